//! *pure* The servers of a pool, as many as there is room for: the unusable ones first, the rest
//! summed up.

use super::{Cell, Column, Paint, age, bytes, count, latency, level, one_line, table};
use crate::pool::server::{Admin, State};
use crate::stats::snapshot::{CheckStatus, PoolSnapshot, ServerStatus};

/// How many servers of each pool fit into so many lines, one that sums up the rest included; at
/// least one.
pub(super) fn most(pools: &[PoolSnapshot], lines: usize) -> usize {
    let needed = |most: usize| -> usize {
        let of_pool = |pool: &PoolSnapshot| match pool.servers.len() {
            all if all <= most => all,
            _ => most + 1,
        };
        pools.iter().map(of_pool).sum()
    };
    let largest = pools.iter().map(|pool| pool.servers.len()).max();
    let mut sizes = (1..=largest.unwrap_or(0)).rev();
    sizes.find(|most| needed(*most) <= lines).unwrap_or(1)
}

const COLUMNS: [Column; 13] = [
    Column::left("SERVER"),
    Column::left("ADDRESS").optional(4),
    Column::left("STATE"),
    Column::right("SINCE"),
    Column::right("WEIGHT").optional(1),
    Column::right("OPEN"),
    Column::right("MOST").optional(6),
    Column::right("RATE"),
    Column::right("TOTAL").optional(5),
    Column::right("IN").optional(3),
    Column::right("OUT").optional(3),
    Column::right("ERRORS").optional(2),
    Column::left("CHECK").flexible(),
];

/// The table, with at most so many servers.
pub(super) fn section(pool: &PoolSnapshot, most: usize, columns: usize, colours: bool) -> String {
    let mut servers: Vec<_> = pool.servers.iter().collect();
    if servers.len() > most {
        // Otherwise in the order of the configuration, which people know.
        servers.sort_by_key(|server| concern(server));
    }
    let rest = servers.split_off(most.min(servers.len()));
    let rows: Vec<_> = servers.iter().map(|server| row(pool, server)).collect();
    let mut text = table(&COLUMNS, &rows, columns, colours);
    if !rest.is_empty() {
        text.push_str(&sum(&rest));
    }
    text
}

/// What people have to see comes first.
fn concern(server: &ServerStatus) -> u8 {
    match server.state {
        State::Down | State::Unknown => 0,
        State::Drain | State::Maint => 1,
        State::Up if !server.usable() => 1,
        State::Up => 2,
    }
}

/// `and 38 more: 35 up, 3 drain; 1,204 open, 12/s`
fn sum(rest: &[&ServerStatus]) -> String {
    let states = [
        State::Down,
        State::Unknown,
        State::Maint,
        State::Drain,
        State::Up,
    ];
    let counts = states.into_iter().filter_map(|state| {
        let number = rest.iter().filter(|server| server.state == state).count();
        (number > 0).then(|| format!("{} {}", count(number as u64), state.name()))
    });
    let counts: Vec<_> = counts.collect();
    let open: u64 = rest.iter().map(|server| u64::from(server.open.now)).sum();
    let rate: u64 = rest.iter().map(|server| server.session_rate.now).sum();
    format!(
        "and {} more: {}; {} open, {}/s\n",
        count(rest.len() as u64),
        counts.join(", "),
        count(open),
        count(rate)
    )
}

fn row(pool: &PoolSnapshot, server: &ServerStatus) -> Vec<Cell> {
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
        Cell::new(format!("{}/s", count(server.session_rate.now))),
        Cell::new(count(totals.sessions)),
        Cell::new(bytes(totals.bytes_in)),
        Cell::new(bytes(totals.bytes_out)),
        Cell::new(count(errors)),
        check(pool, server),
    ]
}

fn address(server: &ServerStatus) -> String {
    match (&server.host_name, server.address) {
        (_, Some(address)) if server.overridden => format!("{address} (set)"),
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
    if server.address.is_none() {
        return Cell::painted("its name does not resolve", Paint::Red);
    }
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
