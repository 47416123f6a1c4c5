//! *pure* The screen of `warren status`. What is wrong comes first, then who has the virtual
//! addresses, then what goes through. It is made to fit: columns and servers that say least are
//! left out where there is no room for them.

use std::fmt::Write as _;

use super::maintenance;
use crate::cli::table::{Cell, Column, Paint, Room, cut, one_line, render as table};
use crate::cli::units::{age, bytes, count, latency};
use crate::stats::snapshot::{
    Level, ListenerSnapshot, Percentiles, PoolSnapshot, Snapshot, VirtualRouterSnapshot,
};

mod router;
mod servers;

/// Lines for what is wrong, unless there is room for everything.
const PROBLEMS: usize = 8;

/// Servers of a pool that are more worth than how it was so far.
const MUST_SEE: usize = 5;

/// The screen; with colours if they are wanted. IN is what clients sent, OUT what they got, for
/// listeners and servers alike.
pub(super) fn render(snapshot: &Snapshot, room: Room, colours: bool) -> String {
    let mut top = daemon(snapshot, room, colours);
    problems(&mut top, snapshot, room, colours);
    for router in &snapshot.virtual_routers {
        top.push('\n');
        top.push_str(&router::brief(router, room.columns, colours));
    }
    let maintenance = maintenance::lines(snapshot);
    if !maintenance.is_empty() {
        top.push('\n');
        for line in maintenance.lines() {
            let _ = writeln!(top, "{}", cut(line, room.columns));
        }
    }
    top.push('\n');
    top.push_str(&traffic(snapshot, room.columns));
    top.push('\n');
    top.push_str(&listeners(snapshot, room.columns, colours));
    let bottom = endings(snapshot, room.columns);
    let left = room.lines.saturating_sub(lines(&top));
    let mut text = top;
    // A low terminal has to do without how it was so far.
    let history = left.saturating_sub(lines(&bottom));
    match pools(
        snapshot,
        Room {
            lines: history,
            ..room
        },
        true,
        colours,
    ) {
        Some(pools) => text.extend([pools, bottom]),
        None => {
            let room = Room {
                lines: left,
                ..room
            };
            text.extend(pools(snapshot, room, false, colours));
        }
    }
    text
}

/// All pools, with or without their latencies; `None` if latencies would take the place of servers
/// that people have to see.
fn pools(snapshot: &Snapshot, room: Room, with_latencies: bool, colours: bool) -> Option<String> {
    let frames = snapshot.pools.iter().map(|pool| {
        let foot = match with_latencies {
            true => latencies(pool),
            false => String::new(),
        };
        (head(pool, room.columns, colours), foot)
    });
    let frames: Vec<_> = frames.collect();
    let taken = frames.iter().fold(0, |taken, (head, foot)| {
        // With the blank line above and the heading of the table.
        taken + lines(head) + lines(foot) + 2
    });
    let most = servers::most(&snapshot.pools, room.lines.saturating_sub(taken));
    let has_to = |pool: &PoolSnapshot| most >= pool.servers.len().min(MUST_SEE);
    if with_latencies && !snapshot.pools.iter().all(has_to) {
        return None;
    }
    let mut text = String::new();
    for (pool, (head, foot)) in snapshot.pools.iter().zip(&frames) {
        text.push('\n');
        text.push_str(head);
        text.push_str(&servers::section(pool, most, room.columns, colours));
        text.push_str(foot);
    }
    Some(text)
}

/// One virtual router with everything that is counted.
pub(super) fn virtual_router(router: &VirtualRouterSnapshot, colours: bool) -> String {
    router::full(router, colours)
}

fn lines(text: &str) -> usize {
    text.matches('\n').count()
}

// Writing to a String cannot fail, hence the ignored results.

fn daemon(snapshot: &Snapshot, room: Room, colours: bool) -> String {
    let name = format!("warren {}", snapshot.version);
    let rest = format!(
        " on {}  up {}  pid {}  configuration {} old{}",
        snapshot.node,
        age(snapshot.uptime_ms),
        snapshot.pid,
        age(snapshot.configuration.age_ms),
        if snapshot.stopping { "  stopping" } else { "" },
    );
    let left = room.columns.saturating_sub(name.len());
    format!(
        "{}{}\n",
        Paint::Bold.apply(&name, colours),
        cut(&rest, left)
    )
}

fn problems(text: &mut String, snapshot: &Snapshot, room: Room, colours: bool) {
    let problems = snapshot.problems();
    let shown = match room.lines {
        usize::MAX => problems.len(),
        _ if problems.len() <= PROBLEMS => problems.len(),
        _ => PROBLEMS - 1,
    };
    let mark = Paint::Red.apply("!", colours);
    let left = room.columns.saturating_sub(2);
    for problem in &problems[..shown] {
        let _ = writeln!(text, "{mark} {}", cut(&one_line(problem), left));
    }
    if shown < problems.len() {
        let _ = writeln!(
            text,
            "{mark} and {} more",
            count((problems.len() - shown) as u64)
        );
    }
}

fn traffic(snapshot: &Snapshot, columns: usize) -> String {
    let mut text = format!(
        "connections  {} open of {}, most {}; {}/s, most {}/s; {}/s out",
        count(snapshot.connections.now.into()),
        count(snapshot.connections.limit.into()),
        count(snapshot.connections.max.into()),
        count(snapshot.accept_rate.now),
        count(snapshot.accept_rate.max),
        bytes(snapshot.bytes_out_rate.now),
    );
    text = cut(&text, columns);
    text.push('\n');
    text.push_str(&removed_servers(snapshot, columns));
    let _ = writeln!(
        text,
        "workers      {}, {} % idle; {} spliced; {} pipes in use",
        snapshot.workers,
        snapshot.idle_percent,
        bytes(snapshot.spliced),
        snapshot.pipes.used,
    );
    if snapshot.logs_dropped > 0 {
        let dropped = count(snapshot.logs_dropped);
        let _ = writeln!(text, "log          {dropped} lines dropped");
    }
    text
}

/// Connections that no row of a server has.
fn removed_servers(snapshot: &Snapshot, columns: usize) -> String {
    let removed = &snapshot.removed;
    let open: u64 = removed.iter().map(|one| u64::from(one.open)).sum();
    if open == 0 {
        return String::new();
    }
    let list = removed.iter().map(|one| {
        let (pool, server, address) = (&one.pool, &one.server, &one.address);
        format!("{pool}/{server} ({address}) {}", count(one.open.into()))
    });
    let list = list.collect::<Vec<_>>().join(", ");
    let text = format!(
        "removed      {} open at servers that a reload removed: {list}",
        count(open)
    );
    format!("{}\n", cut(&text, columns))
}

const LISTENER_COLUMNS: [Column; 9] = [
    Column::left("LISTENER"),
    Column::left("ADDRESS").flexible(),
    Column::left("POOL"),
    Column::right("OPEN"),
    Column::right("RATE"),
    Column::right("TOTAL").optional(2),
    Column::right("IN").optional(1),
    Column::right("OUT").optional(1),
    Column::right("REJECTED"),
];

fn listeners(snapshot: &Snapshot, columns: usize, colours: bool) -> String {
    let listeners = snapshot.listeners.iter();
    let rows: Vec<_> = listeners.map(|one| listener_row(snapshot, one)).collect();
    table(&LISTENER_COLUMNS, &rows, columns, colours)
}

fn listener_row(snapshot: &Snapshot, listener: &ListenerSnapshot) -> Vec<Cell> {
    let totals = &listener.totals;
    let pool = snapshot.pools.get(listener.pool);
    vec![
        Cell::painted(&listener.name, Paint::Bold),
        Cell::new(listener.addresses.join(" ")),
        Cell::new(pool.map_or("-", |pool| &pool.name)),
        match listener.paused {
            false => Cell::new(level(listener.open)),
            true => Cell::painted(format!("closed, {}", level(listener.open)), Paint::Yellow),
        },
        Cell::new(format!("{}/s", count(listener.accept_rate.now))),
        Cell::new(count(totals.sessions)),
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

/// The first line of a pool.
fn head(pool: &PoolSnapshot, columns: usize, colours: bool) -> String {
    let usable = pool.usable();
    let servers = pool.servers.len();
    let paint = match usable {
        0 => Paint::Red,
        _ if usable < servers => Paint::Yellow,
        _ => Paint::Green,
    };
    let refused = pool.totals.no_server + pool.totals.queue_full + pool.totals.queue_timeout;
    let title = format!("POOL {}", pool.name);
    let usable = format!("{usable} of {servers} servers usable");
    let mut rest = format!(
        "; {}/s; {} waiting, most {}",
        count(pool.session_rate.now),
        count(pool.queue.now.into()),
        count(pool.queue.max.into()),
    );
    if refused > 0 {
        let _ = write!(rest, "; {} refused", count(refused));
    }
    let before = title.chars().count() + pool.balance.len() + usable.len() + 4;
    format!(
        "{}  {}, {}{}\n",
        Paint::Bold.apply(&title, colours),
        pool.balance,
        paint.apply(&usable, colours),
        cut(&rest, columns.saturating_sub(before)),
    )
}

fn latencies(pool: &PoolSnapshot) -> String {
    let mut text = String::new();
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
    text
}

/// The causes that occurred, most frequent first.
fn endings(snapshot: &Snapshot, columns: usize) -> String {
    let mut seen: Vec<_> = snapshot.endings.iter().filter(|e| e.count > 0).collect();
    seen.sort_by_key(|ending| std::cmp::Reverse(ending.count));
    let texts: Vec<String> = seen
        .iter()
        .map(|ending| format!("{} {}", ending.cause, count(ending.count)))
        .collect();
    match texts.is_empty() {
        true => String::new(),
        false => format!(
            "\n{}\n",
            cut(&format!("endings  {}", texts.join(", ")), columns)
        ),
    }
}

#[cfg(test)]
mod tests;
