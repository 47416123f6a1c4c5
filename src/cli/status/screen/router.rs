//! *pure* A virtual router: briefly, and with everything that is counted.

use std::fmt::Write as _;

use super::{Paint, age, count, cut, one_line};
use crate::stats::snapshot::VirtualRouterSnapshot;

// Writing to a String cannot fail, hence the ignored results.

/// Its name, state, and why.
fn title(router: &VirtualRouterSnapshot, columns: usize, colours: bool) -> String {
    let paint = match router.state.as_str() {
        "master" | "backup" => Paint::Green,
        _ => Paint::Red,
    };
    let name = format!("VIRTUAL ROUTER {}", router.name);
    let rest = format!(" since {}: {}", age(router.since_ms), one_line(&router.why));
    let before = name.chars().count() + 2 + router.state.len();
    format!(
        "{}  {}{}\n",
        Paint::Bold.apply(&name, colours),
        paint.apply(&router.state, colours),
        cut(&rest, columns.saturating_sub(before)),
    )
}

fn heard(router: &VirtualRouterSnapshot) -> String {
    router.heard.as_ref().map_or_else(
        || "nobody else".to_owned(),
        |heard| {
            let (from, priority, ago) = (&heard.from, heard.priority, age(heard.ago_ms));
            format!("{from} with priority {priority}, {ago} ago")
        },
    )
}

/// What keeps it out of the election, and another master.
fn troubles(text: &mut String, router: &VirtualRouterSnapshot, columns: usize, colours: bool) {
    if let Some(what) = &router.waiting_for {
        let line = format!("waits for    {what}");
        let _ = writeln!(text, "{}", Paint::Red.apply(&cut(&line, columns), colours));
    }
    if let Some(other) = &router.other_master {
        let time = age(other.for_ms);
        let line = format!("two masters  for {time}: {other}");
        let _ = writeln!(text, "{}", Paint::Red.apply(&cut(&line, columns), colours));
    }
}

/// For a screen with everything else.
pub(super) fn brief(router: &VirtualRouterSnapshot, columns: usize, colours: bool) -> String {
    let mut text = title(router, columns, colours);
    troubles(&mut text, router, columns, colours);
    let addresses = router.addresses.join(" ");
    for line in [
        format!("addresses    {addresses} on {}", router.interface),
        format!("priority     {}", router.arithmetic),
        format!("heard        {}", heard(router)),
    ] {
        let _ = writeln!(text, "{}", cut(&line, columns));
    }
    text
}

/// Everything.
pub(super) fn full(router: &VirtualRouterSnapshot, colours: bool) -> String {
    let mut text = title(router, usize::MAX, colours);
    let _ = writeln!(
        text,
        "addresses    {} on {}, router id {}, VRRP version {}, an advertisement every {} ms{}",
        router.addresses.join(" "),
        router.interface,
        router.router_id,
        router.version,
        count(router.advert_interval_ms),
        match &router.group {
            Some(group) => format!(", moves with group {group}"),
            None => String::new(),
        },
    );
    let _ = writeln!(text, "priority     {}", router.arithmetic);
    let _ = writeln!(text, "heard        {}", heard(router));
    troubles(&mut text, router, usize::MAX, colours);
    let mut counts = vec![
        format!("{} sent", count(router.sent)),
        format!("{} received", count(router.received)),
    ];
    for (name, number) in [
        ("not sent", router.unsent),
        ("with other addresses", router.addresses_differ),
    ] {
        if number > 0 {
            counts.push(format!("{} {name}", count(number)));
        }
    }
    for (why, number) in &router.refused {
        counts.push(format!("{} refused ({why})", count(*number)));
    }
    let _ = writeln!(text, "adverts      {}", counts.join(", "));
    let _ = write!(
        text,
        "so far       {} transitions, {} times master, {} times put an address back",
        count(router.transitions),
        count(router.became_master),
        count(router.put_back),
    );
    if router.cleared > 0 {
        let _ = write!(text, ", {} times removed one", count(router.cleared));
    }
    text.push('\n');
    text
}
