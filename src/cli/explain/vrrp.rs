//! *pure* Why a node is master of a virtual router or is not.

use crate::cli::table::one_line;
use crate::cli::units::{age, count, latency};
use crate::config::OWNER;
use crate::stats::snapshot::{HeardSnapshot, VirtualRouterSnapshot};

/// One paragraph.
pub(super) fn explain(router: &VirtualRouterSnapshot, node: &str) -> String {
    let mut said = vec![verdict(router, node)];
    said.extend(dispute(router));
    said.push(priority(router));
    said.push(heard(router));
    said.push(outlook(router));
    if let Some(group) = &router.group {
        said.push(format!(
            "It moves together with the others of group {group}."
        ));
    }
    if router.transitions > 0 {
        said.push(format!(
            "It changed {} since the start, and became master {}.",
            times(router.transitions),
            times(router.became_master)
        ));
    }
    one_line(&said.join(" "))
}

/// What it is, since when, why.
fn verdict(router: &VirtualRouterSnapshot, node: &str) -> String {
    let (name, since, why) = (&router.name, age(router.since_ms), &router.why);
    let addresses = router.addresses.join(" ");
    match router.state.as_str() {
        "master" => format!(
            "{node} has been master of {name} for {since}, with {addresses} on {}: {why}.",
            router.interface
        ),
        "backup" => {
            format!("{node} has been backup for {name} for {since}, without {addresses}: {why}.")
        }
        "leaving" => format!(
            "{node} has been giving {addresses} of {name} up for {since} ({why}): it says priority \
             0 and goes on answering until another node is heard."
        ),
        "stopped" => format!("{node} left the election of {name} {since} ago: {why}."),
        _ => match &router.waiting_for {
            Some(what) => format!(
                "{node} has taken no part in the election of {name} for {since}: it waits for \
                 {what}."
            ),
            None => format!(
                "{node} has taken no part in the election of {name} for {since}: {why}. It tries \
                 again by itself."
            ),
        },
    }
}

fn dispute(router: &VirtualRouterSnapshot) -> Option<String> {
    let other = router.other_master.as_ref()?;
    Some(format!(
        "For {} there are two masters, and both have the addresses: {other}.",
        age(other.for_ms)
    ))
}

/// The arithmetic.
fn priority(router: &VirtualRouterSnapshot) -> String {
    if router.base_priority == OWNER {
        return "Its priority is 255: the addresses are the host's own, and it has them whenever \
                it runs."
            .to_owned();
    }
    if router.priority == router.base_priority {
        return format!("Its priority is {}, which nothing lowers.", router.priority);
    }
    let lowered = router.base_priority.saturating_sub(router.priority);
    format!(
        "Its priority is lowered by {lowered} to {}: {}.",
        router.priority, router.arithmetic
    )
}

fn heard(router: &VirtualRouterSnapshot) -> String {
    let Some(heard) = &router.heard else {
        return match router.state.as_str() {
            "master" => "Nobody else was heard so far; a backup is silent.".to_owned(),
            _ => "No master was heard so far.".to_owned(),
        };
    };
    let HeardSnapshot {
        from,
        priority,
        ago_ms,
    } = heard;
    let ago = latency(ago_ms.saturating_mul(1000));
    let what = match priority {
        0 => "that it leaves (priority 0)".to_owned(),
        priority => format!("priority {priority}"),
    };
    format!("{from} was heard last, {ago} ago, and said {what}.")
}

/// When it will change.
fn outlook(router: &VirtualRouterSnapshot) -> String {
    let interval = count(router.advert_interval_ms);
    let own = router.priority;
    match router.state.as_str() {
        "master" if own == OWNER => String::new(),
        "master" => format!(
            "It says so every {interval} ms, and gives way to a node that says more than {own}."
        ),
        "backup" => match &router.heard {
            Some(heard) if heard.priority > own => format!(
                "It takes over when that master is silent for three advertisements of {interval} \
                 ms and a part of one, leaves, or says less than {own}{}.",
                preemption(router)
            ),
            Some(heard) if heard.priority == own => format!(
                "Of two nodes with the same priority the one with the higher address stays; it \
                 takes over when that master is silent for three advertisements of {interval} ms \
                 and a part of one, leaves, or says less than {own}{}.",
                preemption(router)
            ),
            Some(heard) if heard.priority > 0 => lower(router),
            _ => format!(
                "It becomes master if nobody is heard for three advertisements of {interval} ms \
                 and a part of one."
            ),
        },
        _ => String::new(),
    }
}

/// Why a living master of lower priority is still one.
fn lower(router: &VirtualRouterSnapshot) -> String {
    let own = router.priority;
    if router.preempt && router.released {
        return format!(
            "That is less than {own}, but an operator has given that master the addresses (vrrp \
             release): it is replaced only when its priority falls, or it leaves or falls silent."
        );
    }
    match (router.preempt, router.preempt_delay_ms) {
        (false, _) => format!(
            "That is less than {own}, but preempt is off: a master that works is left alone, and \
             replaced only when its priority falls, or it leaves or falls silent."
        ),
        (true, 0) => format!("That is less than {own}, so it is about to take over."),
        (true, delay) => format!(
            "That is less than {own}, so it takes over once that master was heard for a \
             preempt_delay of {}.",
            age(delay)
        ),
    }
}

/// What the configuration says of taking over from a living master.
fn preemption(router: &VirtualRouterSnapshot) -> String {
    match (router.preempt, router.preempt_delay_ms) {
        (false, _) => " because its pools fail (preempt is off)".to_owned(),
        (true, 0) => String::new(),
        (true, delay) => format!(" (after a preempt_delay of {})", age(delay)),
    }
}

fn times(number: u64) -> String {
    match number {
        1 => "once".to_owned(),
        number => format!("{} times", count(number)),
    }
}

#[cfg(test)]
mod tests;
