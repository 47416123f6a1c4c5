//! *pure* The screen of `warren status`.

use std::fmt::Write as _;

use super::maintenance;
use super::table::{Cell, Column, Paint, render as table};
use super::units::{age, bytes, count, latency};
use crate::pool::server::{Admin, State};
use crate::stats::snapshot::{
    CheckStatus, Level, ListenerSnapshot, Percentiles, PoolSnapshot, ServerStatus, Snapshot,
    VirtualRouterSnapshot,
};

/// The whole screen; with colours if they are wanted. IN is what clients sent, OUT what they got,
/// for listeners and servers alike.
pub(super) fn render(snapshot: &Snapshot, colours: bool) -> String {
    let mut text = daemon(snapshot, colours);
    text.push('\n');
    for router in &snapshot.virtual_routers {
        text.push_str(&virtual_router(router, colours));
        text.push('\n');
    }
    text.push_str(&listeners(snapshot, colours));
    for pool in &snapshot.pools {
        text.push('\n');
        text.push_str(&pool_section(pool, colours));
    }
    let maintenance = maintenance::lines(snapshot);
    if !maintenance.is_empty() {
        let _ = write!(text, "\n{maintenance}");
    }
    let endings = endings(snapshot);
    if !endings.is_empty() {
        let _ = write!(text, "\nendings  {endings}\n");
    }
    for problem in snapshot.problems() {
        let _ = writeln!(text, "{} {problem}", Paint::Red.apply("!", colours));
    }
    text
}

// Writing to a String cannot fail, hence the ignored results.

fn daemon(snapshot: &Snapshot, colours: bool) -> String {
    let mut text = format!(
        "{}  on {}, pid {}, up {}{}\n",
        Paint::Bold.apply(&format!("warren {}", snapshot.version), colours),
        snapshot.node,
        snapshot.pid,
        age(snapshot.uptime_ms),
        if snapshot.stopping { ", stopping" } else { "" },
    );
    let _ = writeln!(
        text,
        "connections  {} open of {}, at most {} so far; {} per second, at most {}",
        count(snapshot.connections.now.into()),
        count(snapshot.connections.limit.into()),
        count(snapshot.connections.max.into()),
        count(snapshot.accept_rate.now),
        count(snapshot.accept_rate.max),
    );
    let _ = writeln!(
        text,
        "workers      {}, {} % idle; {} spliced; {} pipes in use",
        snapshot.workers,
        snapshot.idle_percent,
        bytes(snapshot.spliced),
        snapshot.pipes.used,
    );
    if snapshot.logs_dropped > 0 {
        let _ = writeln!(
            text,
            "log          {} lines dropped",
            count(snapshot.logs_dropped)
        );
    }
    text
}

/// One virtual router, and who else was heard.
pub(super) fn virtual_router(router: &VirtualRouterSnapshot, colours: bool) -> String {
    let paint = match router.state.as_str() {
        "master" | "backup" => Paint::Green,
        _ => Paint::Red,
    };
    let mut text = format!(
        "{}  {} since {}: {}\n",
        Paint::Bold.apply(&format!("VIRTUAL ROUTER {}", router.name), colours),
        paint.apply(&router.state, colours),
        age(router.since_ms),
        router.why,
    );
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
    if let Some(what) = &router.waiting_for {
        let _ = writeln!(text, "waits for    {what}");
    }
    let _ = writeln!(text, "priority     {}", router.arithmetic);
    let heard = router.heard.as_ref().map(|heard| {
        let (from, priority, ago) = (&heard.from, heard.priority, age(heard.ago_ms));
        format!("{from} with priority {priority}, {ago} ago")
    });
    let _ = writeln!(
        text,
        "heard        {}",
        heard.as_deref().unwrap_or("nobody else")
    );
    if let Some(other) = &router.other_master {
        let time = age(other.for_ms);
        let line = format!("two masters  for {time}: {other}");
        let _ = writeln!(text, "{}", Paint::Red.apply(&line, colours));
    }
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

fn listeners(snapshot: &Snapshot, colours: bool) -> String {
    let columns = [
        Column::Left("LISTENER"),
        Column::Left("ADDRESS"),
        Column::Left("POOL"),
        Column::Right("OPEN"),
        Column::Right("TOTAL"),
        Column::Right("RATE"),
        Column::Right("IN"),
        Column::Right("OUT"),
        Column::Right("REJECTED"),
    ];
    let rows: Vec<_> = snapshot
        .listeners
        .iter()
        .map(|listener| listener_row(snapshot, listener))
        .collect();
    table(&columns, &rows, colours)
}

fn listener_row(snapshot: &Snapshot, listener: &ListenerSnapshot) -> Vec<Cell> {
    let totals = &listener.totals;
    let pool = snapshot.pools.get(listener.pool);
    vec![
        Cell::painted(&listener.name, Paint::Bold),
        Cell::new(listener.addresses.join(" ")),
        Cell::new(pool.map_or("-", |pool| &pool.name)),
        Cell::new(level(listener.open)),
        Cell::new(count(totals.sessions)),
        Cell::new(format!("{}/s", count(listener.accept_rate.now))),
        Cell::new(bytes(totals.bytes_in)),
        Cell::new(bytes(totals.bytes_out)),
        Cell::new(count(totals.denied)),
    ]
}

/// `now/limit`, or `now` without a limit.
fn level(level: Level) -> String {
    match level.limit {
        0 => count(level.now.into()),
        limit => format!("{}/{}", count(level.now.into()), count(limit.into())),
    }
}

fn pool_section(pool: &PoolSnapshot, colours: bool) -> String {
    let usable = pool.usable();
    let servers = pool.servers.len();
    let paint = match usable {
        0 => Paint::Red,
        _ if usable < servers => Paint::Yellow,
        _ => Paint::Green,
    };
    let mut text = format!(
        "{}  {}, {}",
        Paint::Bold.apply(&format!("POOL {}", pool.name), colours),
        pool.balance,
        paint.apply(&format!("{usable} of {servers} servers usable"), colours),
    );
    let refused = pool.totals.no_server + pool.totals.queue_full + pool.totals.queue_timeout;
    let _ = write!(
        text,
        "; {} waiting, at most {}",
        count(pool.queue.now.into()),
        count(pool.queue.max.into()),
    );
    if refused > 0 {
        let _ = write!(text, "; {} refused", count(refused));
    }
    text.push('\n');
    let columns = [
        Column::Left("SERVER"),
        Column::Left("ADDRESS"),
        Column::Left("STATE"),
        Column::Right("SINCE"),
        Column::Right("WEIGHT"),
        Column::Right("OPEN"),
        Column::Right("MOST"),
        Column::Right("TOTAL"),
        Column::Right("IN"),
        Column::Right("OUT"),
        Column::Right("ERRORS"),
        Column::Left("CHECK"),
    ];
    let rows: Vec<_> = pool
        .servers
        .iter()
        .map(|server| server_row(pool, server))
        .collect();
    text.push_str(&table(&columns, &rows, colours));
    latencies(&mut text, pool);
    text
}

fn server_row(pool: &PoolSnapshot, server: &ServerStatus) -> Vec<Cell> {
    let totals = &server.totals;
    let errors = totals.failed_attempts + totals.server_aborts;
    vec![
        Cell::painted(&server.name, Paint::Bold),
        Cell::new(address(server)),
        state(server),
        Cell::new(age(server.since_ms)),
        Cell::new(match server.throttle() {
            Some(_) => format!("{}/{}", server.effective_weight, server.weight),
            None => server.weight.to_string(),
        }),
        Cell::new(level(server.open)),
        Cell::new(count(server.open.max.into())),
        Cell::new(count(totals.sessions)),
        Cell::new(bytes(totals.bytes_in)),
        Cell::new(bytes(totals.bytes_out)),
        Cell::new(count(errors)),
        check(pool, server),
    ]
}

fn address(server: &ServerStatus) -> String {
    match (&server.host_name, server.address) {
        (Some(_), Some(address)) => format!("{} ({})", server.configured, address.ip()),
        (Some(_), None) => format!("{} (unresolved)", server.configured),
        (None, _) => server.configured.clone(),
    }
}

fn state(server: &ServerStatus) -> Cell {
    let paint = match server.state {
        State::Up => Paint::Green,
        State::Down => Paint::Red,
        State::Unknown | State::Drain | State::Maint => Paint::Yellow,
    };
    let word = server.state.name();
    if server.backup {
        Cell::painted(format!("{word} (backup)"), paint)
    } else {
        Cell::painted(word, paint)
    }
}

fn check(pool: &PoolSnapshot, server: &ServerStatus) -> Cell {
    if !pool.checked {
        return Cell::new("not checked");
    }
    if server.admin == Admin::Maint {
        return Cell::new("paused");
    }
    let Some(last) = &server.check else {
        return Cell::painted("no result yet", Paint::Yellow);
    };
    let CheckStatus { code, detail, .. } = last;
    let took = latency(last.took_us);
    let text = if detail.is_empty() {
        format!("{code} in {took}")
    } else {
        format!("{code} in {took}, {detail}")
    };
    let paint = if last.passed {
        Paint::Plain
    } else {
        Paint::Red
    };
    Cell::painted(one_line(&text), paint)
}

/// What a server or a check said must not move the cursor.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn latencies(text: &mut String, pool: &PoolSnapshot) {
    let line = |name: &str, spread: &Percentiles, show: &dyn Fn(u64) -> String| {
        format!(
            "{name:<8} half within {}, 99 % within {}, at most {}\n",
            show(spread.p50),
            show(spread.p99),
            show(spread.max)
        )
    };
    if pool.latency.connect_us.count > 0 {
        text.push_str(&line("connect", &pool.latency.connect_us, &latency));
    }
    if pool.latency.length_ms.count > 0 {
        let show = |ms: u64| latency(ms.saturating_mul(1000));
        text.push_str(&line("length", &pool.latency.length_ms, &show));
    }
}

/// The causes that occurred, most frequent first.
fn endings(snapshot: &Snapshot) -> String {
    let mut seen: Vec<_> = snapshot.endings.iter().filter(|e| e.count > 0).collect();
    seen.sort_by_key(|ending| std::cmp::Reverse(ending.count));
    let texts: Vec<String> = seen
        .iter()
        .map(|ending| format!("{} {}", ending.cause, count(ending.count)))
        .collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests;
