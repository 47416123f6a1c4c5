//! `[pool.NAME]` and its servers.

use std::collections::HashMap;
use std::time::Duration;

use super::{HOUR, MOST_CONNECTIONS, Outside, check, length, names, number, or};
use crate::config::error::{Problem, Problems};
use crate::config::file;
use crate::config::file::read::{Key, Named};
use crate::config::units::{TAKEN_NAMES, duration_text};
use crate::config::{Balance, OnDown, Pool, SendProxy, Server};

/// The default weight: small enough to leave room above, large enough to take a tenth of it.
const WEIGHT: u16 = 100;
const MOST_WEIGHT: i64 = 256;
const MOST_RETRIES: i64 = 100;
pub(super) const MOST_QUEUED: i64 = 1_000_000;
/// RabbitMQ's default heartbeat; a peer is dead after two silent ones (AMQP 0-9-1, section 4.2.7).
const HEARTBEAT: Duration = Duration::from_secs(60);
/// How often a worker looks for idle connections. A shorter timeout would promise too much.
const SWEEP: Duration = Duration::from_secs(1);

/// Resolves all pools.
pub(super) fn resolve(
    pools: &[Named<file::Pool>],
    outside: &Outside<'_>,
    problems: &mut Problems,
) -> Vec<Pool> {
    pools
        .iter()
        .map(|pool| one(pool, outside, problems))
        .collect()
}

fn one(pool: &Named<file::Pool>, outside: &Outside<'_>, problems: &mut Problems) -> Pool {
    let file = &pool.value;
    check_idle_timeout(file, problems);
    let seconds = Duration::from_secs;
    let tick = Duration::from_millis(1);
    Pool {
        name: pool.name.clone(),
        balance: or(&file.balance, Balance::Leastconn),
        retries: number(&file.retries, 3, 0..=MOST_RETRIES, problems),
        on_down: or(&file.on_down, OnDown::Reset),
        slow_start: length(
            &file.slow_start,
            Duration::ZERO,
            Duration::ZERO..=HOUR,
            problems,
        ),
        connect_timeout: length(&file.connect_timeout, seconds(5), tick..=HOUR, problems),
        idle_timeout: or(&file.idle_timeout, None),
        queue_timeout: length(
            &file.queue_timeout,
            seconds(5),
            Duration::ZERO..=HOUR,
            problems,
        ),
        max_queue: number(&file.max_queue, 1024, 0..=MOST_QUEUED, problems),
        check: check::resolve(file, outside, problems),
        servers: servers(pool, problems),
    }
}

fn check_idle_timeout(file: &file::Pool, problems: &mut Problems) {
    let Some(given) = file.idle_timeout.given() else {
        return;
    };
    match given.value {
        Some(timeout) if timeout < SWEEP => problems.push(
            Problem::error("E0105", format!("`{}` is out of range", given.path))
                .at(given.at.clone(), "too little")
                .help("accepted: \"off\", or \"1s\" to \"365d\""),
        ),
        Some(timeout) if timeout < 2 * HEARTBEAT => problems.push(
            Problem::warning("W0203", "the idle timeout can end healthy AMQP connections")
                .at(
                    given.at.clone(),
                    format!(
                        "shorter than two heartbeats, {}",
                        duration_text(2 * HEARTBEAT)
                    ),
                )
                .help("with a heartbeat of 60 s a healthy connection may be silent for two of them")
                .help("a client that turned heartbeats off may be silent for hours")
                .help("use \"off\": a dead peer is found by TCP keepalive"),
        ),
        Some(_) | None => {}
    }
}

fn servers(pool: &Named<file::Pool>, problems: &mut Problems) -> Vec<Server> {
    if matches!(pool.value.servers, Key::Wrong) {
        return Vec::new();
    }
    let given = names(&pool.value.servers);
    if given.is_empty() {
        if !problems.has_syntax_errors() {
            let name = &pool.name;
            problems.push(
                Problem::error("E0106", format!("[pool.{name}] has no servers"))
                    .at(pool.at.clone(), "nowhere to send connections")
                    .help(format!(
                        "add [pool.{name}.servers] with, for example: \
                         rabbit-1 = \"192.0.2.21:5672\""
                    )),
            );
        }
        return Vec::new();
    }
    let servers: Vec<Server> = given
        .iter()
        .filter_map(|server| one_server(server, problems))
        .collect();
    warn_of_same_address(given, problems);
    let ordinary = |server: &Server| !server.backup && server.weight > 0;
    if servers.len() == given.len() && !servers.iter().any(ordinary) {
        problems.push(
            Problem::warning(
                "W0205",
                format!("[pool.{}] has no server for ordinary times", pool.name),
            )
            .at(pool.at.clone(), "every server is a backup or has weight 0"),
        );
    }
    servers
}

fn one_server(server: &Named<file::Server>, problems: &mut Problems) -> Option<Server> {
    let file = &server.value;
    if TAKEN_NAMES.contains(&server.name.as_str()) {
        problems.push(
            Problem::error("E0107", format!("`{}` cannot be a server", server.name))
                .at(server.at.clone(), "has a meaning in HAProxy's statistics"),
        );
    }
    if file.address.is_absent() && !problems.has_syntax_errors() {
        problems.push(
            Problem::error("E0106", format!("server `{}` needs `address`", server.name))
                .at(server.at.clone(), "where does it listen?")
                .help("for example: address = \"192.0.2.21:5672\""),
        );
    }
    let weight = number(&file.weight, WEIGHT, 0..=MOST_WEIGHT, problems);
    let max_connections = number(&file.max_connections, 0, 0..=MOST_CONNECTIONS, problems);
    Some(Server {
        name: server.name.clone(),
        address: file.address.value()?.clone(),
        weight,
        max_connections,
        backup: or(&file.backup, false),
        send_proxy: or(&file.send_proxy, SendProxy::Off),
    })
}

fn warn_of_same_address(servers: &[Named<file::Server>], problems: &mut Problems) {
    let mut seen = HashMap::new();
    for server in servers {
        let Some(address) = server.value.address.given() else {
            continue;
        };
        let text = address.value.to_string().to_lowercase();
        if let Some((name, at)) = seen.get(&text) {
            problems.push(
                Problem::warning("W0202", "two servers with the same address")
                    .at(
                        address.at.clone(),
                        format!("server `{name}` has it already"),
                    )
                    .also(std::ops::Range::clone(at), "first used here")
                    .help("a server with a larger share needs a larger `weight`"),
            );
        } else {
            seen.insert(text, (&server.name, address.at.clone()));
        }
    }
}
