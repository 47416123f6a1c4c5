//! *pure* Why a server gets connections or does not.

use crate::cli::names::full_name;
use crate::cli::table::one_line;
use crate::cli::units::{age, count, latency};
use crate::pool::server::{Admin, State};
use crate::stats::event::{BY_AN_OPERATOR, Event, What};
use crate::stats::snapshot::{CheckStatus, DrainSnapshot, DrainStage, PoolSnapshot, ServerStatus};

/// What decides whether a server gets new connections. The first that holds is the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// An operator took it out, and it is not checked.
    Maintenance,
    /// An operator lets its connections end.
    Draining,
    /// Its name has never resolved.
    Unresolved,
    /// No check of it has ended yet.
    Unchecked,
    /// Its checks fail.
    Down,
    /// Its weight is 0.
    Weightless,
    /// It is a backup server, and others are usable.
    NotNeeded,
    /// It has as many connections as it may.
    Full,
    /// It gets less than its share for a while.
    SlowStart,
    /// Nothing keeps it from its share.
    Used,
}

impl Reason {
    fn of(pool: &PoolSnapshot, server: &ServerStatus) -> Self {
        let primary = |one: &&ServerStatus| one.usable() && !one.backup;
        match server.state {
            State::Maint => Self::Maintenance,
            State::Drain => Self::Draining,
            _ if server.address.is_none() => Self::Unresolved,
            State::Unknown => Self::Unchecked,
            State::Down => Self::Down,
            State::Up if server.effective_weight == 0 => Self::Weightless,
            State::Up if server.backup && pool.servers.iter().any(|one| primary(&one)) => {
                Self::NotNeeded
            }
            State::Up if is_full(server) => Self::Full,
            State::Up if server.throttle().is_some() => Self::SlowStart,
            State::Up => Self::Used,
        }
    }
}

fn is_full(server: &ServerStatus) -> bool {
    server.open.limit > 0 && server.open.now >= server.open.limit
}

/// One paragraph; `events` are those of this server, oldest first.
pub(super) fn explain(
    pool: &PoolSnapshot,
    server: &ServerStatus,
    drain: Option<&DrainSnapshot>,
    events: &[&Event],
) -> String {
    let reason = Reason::of(pool, server);
    let mut said = vec![verdict(pool, server, reason, events)];
    if let Some(words) = also(server, reason) {
        said.push(words);
    }
    said.extend(address(server));
    if let Some(words) = weight(server, reason) {
        said.push(words);
    }
    if reason != Reason::Down && reason != Reason::Unresolved {
        said.extend(health(pool, server, reason));
    }
    said.push(connections(server, drain, reason));
    said.extend(past(server));
    one_line(&said.join(" "))
}

/// The first sentences: used or not, since when, why.
fn verdict(
    pool: &PoolSnapshot,
    server: &ServerStatus,
    reason: Reason,
    events: &[&Event],
) -> String {
    let name = full_name(pool, server);
    let address = match server.address {
        Some(address) if server.overridden => &address.to_string(),
        _ => &server.configured,
    };
    let time = age(server.since_ms);
    let who = operator(events);
    let not = format!("{name} ({address}) gets no new connections");
    match reason {
        Reason::Maintenance => format!(
            "{not}: an operator{who} put it into maintenance {time} ago. It is not checked either, \
             until an operator makes it ready."
        ),
        Reason::Draining => format!(
            "{not}: an operator{who} has been draining it for {time}. It is still checked, and \
             healthy; it is used again when an operator makes it ready."
        ),
        Reason::Unresolved => format!(
            "{not}: its name {} does not resolve. It is looked up again every 5 s, and used once \
             there is an address{}.",
            server.host_name.as_deref().unwrap_or(address),
            if pool.checked {
                " that passes the checks"
            } else {
                ""
            },
        ),
        Reason::Unchecked => format!(
            "{not}: no check of it has ended in the {time} that it is known, and a server is not \
             used before its first check has passed."
        ),
        Reason::Down => format!(
            "{not}: it has been down for {time}{}",
            down(pool, server, events)
        ),
        Reason::Weightless => format!(
            "{not}: it has been up for {time}, but its weight is 0{}.",
            match server.configured_weight {
                0 => " in the configuration".to_owned(),
                filed => format!(", set by an operator{who}; the configuration has {filed}"),
            }
        ),
        Reason::NotNeeded => format!(
            "{not}: it has been up for {time}, but as a backup server it is not needed while {} of \
             the pool can be used.",
            others(pool)
        ),
        Reason::Full => format!(
            "{not}: it has been up for {time}, and has {} connections, as many as it may. {}",
            count(server.open.now.into()),
            queue(pool)
        ),
        Reason::SlowStart => format!(
            "{name} ({address}) gets new connections, but {} of its share: it came back {time} \
             ago, and slow_start lets it reach the full one after {}.",
            percent(server.effective_weight.into(), server.weight.into()),
            age(pool.slow_start_ms)
        ),
        Reason::Used => format!(
            "{name} ({address}) gets new connections: it has been up for {time}{}. {}",
            match server.backup {
                true =>
                    ", and as a backup server it is needed: no other server of the pool can \
                         be used",
                false => "",
            },
            share(pool, server)
        ),
    }
}

/// Those that a backup server stands behind.
fn others(pool: &PoolSnapshot) -> String {
    let primary = |one: &&ServerStatus| one.usable() && !one.backup;
    let others = pool.servers.iter().filter(primary).count();
    several(others as u64, "other server", "other servers")
}

/// ` (user 0)`: who gave the last command about it.
fn operator(events: &[&Event]) -> String {
    let commands = events.iter().rev();
    let uids = commands.filter_map(|event| match &event.what {
        What::Command { uid, .. } => Some(*uid),
        What::Server { .. } | What::VirtualRouter { .. } | What::Remark { .. } => None,
    });
    let mut uids = uids;
    uids.next()
        .map_or_else(String::new, |uid| format!(" (user {uid})"))
}

/// `: an operator (user 0) put it down`, if one did. That maintenance ended shows what was before.
fn put_down(events: &[&Event]) -> String {
    let latest = events.iter().rev().find_map(|event| match &event.what {
        What::Server {
            from, to, reason, ..
        } => (*to == State::Down && *from != State::Maint).then_some(reason),
        What::VirtualRouter { .. } | What::Command { .. } | What::Remark { .. } => None,
    });
    if latest.is_none_or(|reason| reason != BY_AN_OPERATOR) {
        return String::new();
    }
    let told = |event: &&Event| match &event.what {
        What::Command { command, .. } => command.ends_with(" health down"),
        What::Server { .. } | What::VirtualRouter { .. } | What::Remark { .. } => false,
    };
    let told: Vec<_> = events.iter().copied().filter(told).collect();
    format!(": an operator{} put it down", operator(&told))
}

/// What put it down, if that was an operator, and what keeps it down.
fn down(pool: &PoolSnapshot, server: &ServerStatus, events: &[&Event]) -> String {
    let mut said = put_down(events) + ". ";
    said.push_str(&match &server.check {
        None if !pool.checked => {
            "It is not checked, so it stays down until an operator puts it up.".to_owned()
        }
        None => "It has not passed a check.".to_owned(),
        Some(last) if last.passed => format!(
            "Its last check passed ({}), {} of the {} in a row that it takes to come back.",
            result(last),
            last.score,
            pool.rise
        ),
        Some(last) => format!("Its last check failed: {}.", result(last)),
    });
    if server.checks_stopped {
        said.push_str(" An operator has stopped its checks, so it stays as it is.");
    }
    said
}

/// What else keeps it from being used, which the verdict hides.
fn also(server: &ServerStatus, reason: Reason) -> Option<String> {
    match (reason, server.admin) {
        (Reason::Unresolved | Reason::Unchecked | Reason::Down, Admin::Drain) => Some(
            "An operator drains it besides: it is not used even when it is up again.".to_owned(),
        ),
        (Reason::Maintenance, _) if server.healthy == Some(false) => {
            Some("Before that it was down.".to_owned())
        }
        _ => None,
    }
}

/// That its address is another one than in the configuration.
fn address(server: &ServerStatus) -> Option<String> {
    let filed = &server.configured;
    server
        .overridden
        .then(|| format!("An operator has set its address; the configuration has {filed}."))
}

/// That its weight is another one than in the configuration.
fn weight(server: &ServerStatus, reason: Reason) -> Option<String> {
    let (now, filed) = (server.weight, server.configured_weight);
    (now != filed && reason != Reason::Weightless)
        .then(|| format!("An operator has set its weight to {now}; the configuration has {filed}."))
}

/// What its checks say while they do not keep it down.
fn health(pool: &PoolSnapshot, server: &ServerStatus, reason: Reason) -> Option<String> {
    if !pool.checked {
        return Some("The servers of this pool are not checked.".to_owned());
    }
    if server.checks_stopped {
        return Some("An operator has stopped its checks: it counts for what it was.".to_owned());
    }
    let last = server.check.as_ref()?;
    if last.passed {
        return Some(format!("Its last check passed: {}.", result(last)));
    }
    let failed = format!("Its last check failed: {}", result(last));
    // The score falls from rise + fall - 1 with each bad check in a row.
    let best = (pool.rise + pool.fall).saturating_sub(1);
    let bad = best.saturating_sub(last.score);
    Some(
        match matches!(reason, Reason::Maintenance | Reason::Unchecked) {
            true => format!("{failed}."),
            false => format!(
                "{failed}; {bad} of the {} in a row that take it down.",
                pool.fall
            ),
        },
    )
}

/// `L7STS 403 after 1.25 ms, 400 ms ago: refused the login`
fn result(last: &CheckStatus) -> String {
    let reply = last
        .reply_code
        .map_or_else(String::new, |code| format!(" {code}"));
    let ago = latency(last.age_ms.saturating_mul(1000));
    let words = match last.detail.as_str() {
        "" => String::new(),
        detail => format!(": {detail}"),
    };
    format!(
        "{}{reply} after {}, {ago} ago{words}",
        last.code,
        latency(last.took_us)
    )
}

/// Its part of what is chosen from.
fn share(pool: &PoolSnapshot, server: &ServerStatus) -> String {
    let chosen_from = pool.servers.iter();
    let chosen_from = chosen_from.filter(|one| one.usable() && one.backup == server.backup);
    let all: u64 = chosen_from.map(|one| u64::from(one.effective_weight)).sum();
    let own = u64::from(server.effective_weight);
    if all == own {
        return format!("It is the only one that {} chooses from.", pool.balance);
    }
    format!(
        "Its weight is {own} of {} in all, {} of what {} gives out.",
        count(all),
        percent(own, all),
        pool.balance
    )
}

/// `35 %`. A part that is there is not said to be none.
fn percent(part: u64, whole: u64) -> String {
    match part * 100 / whole.max(1) {
        0 => "less than 1 %".to_owned(),
        percent => format!("{percent} %"),
    }
}

fn queue(pool: &PoolSnapshot) -> String {
    match pool.queue.now {
        0 => "Nobody waits for it.".to_owned(),
        waiting => {
            let clients = several(waiting.into(), "client waits", "clients wait");
            format!(
                "{clients} in the queue of the pool, which has room for {}.",
                count(pool.queue.limit.into())
            )
        }
    }
}

/// What it has now.
fn connections(server: &ServerStatus, drain: Option<&DrainSnapshot>, reason: Reason) -> String {
    let open = server.open;
    let mut said = match open.now {
        0 => "No connection is open".to_owned(),
        now => several(now.into(), "connection is open", "connections are open"),
    };
    match (open.limit, reason) {
        (0, _) | (_, Reason::Full) => {}
        (limit, _) => said.push_str(&format!(" of at most {}", count(limit.into()))),
    }
    let stay = matches!(
        reason,
        Reason::Maintenance | Reason::Draining | Reason::Weightless
    );
    match drain.and_then(closing) {
        _ if open.now == 0 => {}
        Some(words) => said.push_str(&format!(", {words}")),
        None if stay => said.push_str(", which may end by themselves"),
        None => {}
    }
    format!(
        "{said}; most so far {}, {} in all, {} per second now.",
        count(open.max.into()),
        count(server.totals.sessions),
        count(server.session_rate.now)
    )
}

/// What a drain does with the open connections; `None` when it leaves them alone.
fn closing(drain: &DrainSnapshot) -> Option<String> {
    let left = age(drain.left_ms());
    match drain.stage {
        DrainStage::Draining => Some(match drain.rate {
            Some(rate) => {
                format!("which a drain closes, at most {rate} a second, with {left} to go")
            }
            None => "which a drain closes at once".to_owned(),
        }),
        DrainStage::Waiting => Some(format!(
            "which a drain closes, with {left} to go, but not now: {}",
            drain.why
        )),
        DrainStage::Late => Some("which a drain could not close".to_owned()),
        DrainStage::Drained | DrainStage::Stopped => None,
    }
}

/// What went wrong so far.
fn past(server: &ServerStatus) -> Option<String> {
    let totals = &server.totals;
    let mut said = Vec::new();
    if server.downs > 0 {
        let times = several(server.downs, "time", "times");
        said.push(format!(
            "it went down {times}, {} in all",
            age(server.downtime_ms)
        ));
    }
    if totals.failed_attempts > 0 {
        let attempts = several(totals.failed_attempts, "attempt", "attempts");
        said.push(format!("{attempts} to connect to it failed"));
    }
    if totals.server_aborts > 0 {
        let cut = several(totals.server_aborts, "connection was", "connections were");
        said.push(format!("{cut} cut on its side"));
    }
    (!said.is_empty()).then(|| format!("So far {}.", said.join(", ")))
}

/// `1 time`, `3 times`
fn several(number: u64, one: &str, more: &str) -> String {
    let word = if number == 1 { one } else { more };
    format!("{} {word}", count(number))
}

#[cfg(test)]
mod tests;
