//! *pure* What another configuration changes, in words, and what of it takes a restart. What
//! becomes of virtual routers is in [`crate::vrrp::difference`].

use std::collections::HashMap;
use std::fmt::{Debug, Display};
use std::net::SocketAddr;

use super::units::duration_text;
use super::{CheckKind, Config, Listener, Pool, Server};

/// What a reload would change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// What it changes, a line each.
    pub changes: Vec<String>,
    /// What takes effect at the next start only, a line each.
    pub later: Vec<String>,
}

/// What a running server has that no file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Running {
    /// Its open connections.
    pub open: u32,
    /// Its address, if an operator has set another one than the file.
    pub address: Option<SocketAddr>,
    /// Its weight, configured or set.
    pub weight: u16,
    /// An operator has put it into maintenance, or drains it.
    pub withdrawn: bool,
}

/// The settings of something, in the words of the file.
pub type Settings = Vec<(&'static str, String)>;

/// Gives `after` what only a start can change as it was in `before`, and says what that is.
#[must_use]
pub fn hold_back(before: &Config, after: &mut Config) -> Vec<String> {
    let differences = differences(&fixed(before), &fixed(after));
    after.global.workers = before.global.workers;
    after.log.format = before.log.format;
    after.log.level = before.log.level;
    after.admin.socket.clone_from(&before.admin.socket);
    after.admin.socket_mode = before.admin.socket_mode;
    after.admin.http = before.admin.http;
    differences
}

/// What only a start can change.
fn fixed(config: &Config) -> Settings {
    let socket = config.admin.socket.as_ref();
    let socket = socket.map_or_else(String::new, |path| path.display().to_string());
    vec![
        ("global.workers", config.global.workers.to_string()),
        ("log.format", text(&config.log.format)),
        ("log.level", text(&config.log.level)),
        ("admin.socket", socket),
        (
            "admin.socket_mode",
            format!("{:o}", config.admin.socket_mode),
        ),
        (
            "admin.http",
            config
                .admin
                .http
                .map_or_else(String::new, |http| http.to_string()),
        ),
    ]
}

/// What `after` changes of `before`, but for virtual routers. `running` knows the servers, by pool
/// and name.
#[must_use]
pub fn changes(
    before: &Config,
    after: &Config,
    running: impl Fn(&str, &str) -> Running,
) -> Vec<String> {
    let mut lines = differences(&process(before), &process(after));
    let pool = |config: &Config, index: usize| config.pools[index].name.clone();
    compare(
        "listener",
        (&before.listeners, &after.listeners),
        |one| &one.name,
        (&|one| listener(one, &pool(before, one.pool)), &|one| {
            listener(one, &pool(after, one.pool))
        }),
        &mut lines,
    );
    let pools = (&before.pools[..], &after.pools[..]);
    compare(
        "pool",
        pools,
        |one| &one.name,
        (&pool_settings, &pool_settings),
        &mut lines,
    );
    for pool in &after.pools {
        if let Some(known) = before.pools.iter().find(|known| known.name == pool.name) {
            compare_servers(known, pool, &running, &mut lines);
        }
    }
    for pool in &before.pools {
        if !after.pools.iter().any(|one| one.name == pool.name) {
            let servers = pool.servers.iter();
            let open = servers.map(|server| running(&pool.name, &server.name).open);
            let open: u32 = open.sum();
            lines.extend(stay(&format!("pool {}", pool.name), open));
        }
    }
    lines
}

/// The pools of `after` that are sure to send nobody anywhere, a line each: the only servers that
/// they keep or get are withdrawn or have the weight 0.
#[must_use]
pub fn without_servers(
    before: &Config,
    after: &Config,
    running: impl Fn(&str, &str) -> Running,
) -> Vec<String> {
    let is_out = |pool: &Pool, server: &Server| {
        let known = before.pools.iter().find(|known| known.name == pool.name);
        let known = known.and_then(|pool| pool.servers.iter().find(|one| one.name == server.name));
        let Some(known) = known else {
            return server.weight == 0;
        };
        let seen = running(&pool.name, &server.name);
        // A weight that was set stays unless the file has another one than before.
        let weight = match known.weight == server.weight {
            true => seen.weight,
            false => server.weight,
        };
        seen.withdrawn || weight == 0
    };
    let empty = |pool: &&Pool| pool.servers.iter().all(|server| is_out(pool, server));
    let empty = after.pools.iter().filter(empty);
    empty
        .map(|pool| format!("pool {} has no usable server", pool.name))
        .collect()
}

/// What belongs to the whole process.
fn process(config: &Config) -> Settings {
    vec![
        (
            "global.max_connections",
            config.global.max_connections.to_string(),
        ),
        (
            "global.drain_timeout",
            duration_text(config.global.drain_timeout),
        ),
        ("log.connections", config.log.connections.to_string()),
        ("admin.socket_level", text(&config.admin.socket_level)),
        ("admin.identity", text(&config.admin.identity)),
    ]
}

fn listener(listener: &Listener, pool: &str) -> Settings {
    vec![
        ("bind", list(&listener.bind)),
        ("pool", pool.to_owned()),
        ("max_connections", listener.max_connections.to_string()),
        ("max_accept_rate", listener.max_accept_rate.to_string()),
        ("allow", list(&listener.allow)),
        ("deny", list(&listener.deny)),
        ("proxy_protocol", listener.proxy_protocol.to_string()),
        ("trusted", list(&listener.trusted)),
    ]
}

fn pool_settings(pool: &Pool) -> Settings {
    let check = &pool.check;
    let (kind, port, path, vhost) = match &check.kind {
        CheckKind::None => ("none", None, "", ""),
        CheckKind::Tcp => ("tcp", None, "", ""),
        CheckKind::Http { port, path, .. } => ("http", *port, path.as_str(), ""),
        CheckKind::Amqp { vhost, .. } => ("amqp", None, "", vhost.as_str()),
    };
    vec![
        ("balance", text(&pool.balance)),
        ("retries", pool.retries.to_string()),
        ("on_down", text(&pool.on_down)),
        ("slow_start", duration_text(pool.slow_start)),
        ("connect_timeout", duration_text(pool.connect_timeout)),
        (
            "idle_timeout",
            pool.idle_timeout
                .map_or_else(|| "off".to_owned(), duration_text),
        ),
        ("queue_timeout", duration_text(pool.queue_timeout)),
        ("max_queue", pool.max_queue.to_string()),
        ("check.type", kind.to_owned()),
        (
            "check.port",
            port.map_or_else(String::new, |port| port.to_string()),
        ),
        ("check.path", path.to_owned()),
        ("check.vhost", vhost.to_owned()),
        ("check.interval", duration_text(check.interval)),
        ("check.timeout", duration_text(check.timeout)),
        ("check.rise", check.rise.to_string()),
        ("check.fall", check.fall.to_string()),
    ]
}

fn server_settings(server: &Server, address: String) -> Settings {
    vec![
        ("address", address),
        ("weight", server.weight.to_string()),
        ("max_connections", server.max_connections.to_string()),
        ("backup", server.backup.to_string()),
        ("send_proxy", text(&server.send_proxy)),
    ]
}

/// Names are in the file's words: one word, in small letters. Times are not: see [`duration_text`].
pub(crate) fn text(value: &impl Debug) -> String {
    format!("{value:?}").to_lowercase()
}

/// Nothing for none.
pub(crate) fn list<T: Display>(values: &[T]) -> String {
    let values: Vec<_> = values.iter().map(ToString::to_string).collect();
    values.join(", ")
}

/// How to read the settings of something, in the configuration before and in the one after.
type Readers<'a, T> = (&'a dyn Fn(&T) -> Settings, &'a dyn Fn(&T) -> Settings);

/// One line for each that is new, gone, or different.
fn compare<T: PartialEq>(
    what: &str,
    (before, after): (&[T], &[T]),
    name: impl Fn(&T) -> &String,
    (read_before, read_after): Readers<'_, T>,
    lines: &mut Vec<String>,
) {
    let mut known: HashMap<_, _> = before.iter().map(|one| (name(one), one)).collect();
    for one in after {
        let Some(known) = known.remove(name(one)) else {
            lines.push(format!("{what} {}: new", name(one)));
            continue;
        };
        let settings = differences(&read_before(known), &read_after(one));
        if !settings.is_empty() {
            lines.push(format!("{what} {}: {}", name(one), settings.join("; ")));
        }
    }
    let gone = before.iter().filter(|one| known.contains_key(name(one)));
    lines.extend(gone.map(|one| format!("{what} {}: removed", name(one))));
}

fn compare_servers(
    before: &Pool,
    after: &Pool,
    running: &impl Fn(&str, &str) -> Running,
    lines: &mut Vec<String>,
) {
    if credentials(&before.check.kind) != credentials(&after.check.kind) {
        lines.push(format!(
            "pool {}: check.username or check.password changed",
            after.name
        ));
    }
    let mut known: HashMap<_, _> = before.servers.iter().map(|one| (&one.name, one)).collect();
    for server in &after.servers {
        let label = format!("server {}/{}", after.name, server.name);
        let Some(known) = known.remove(&server.name) else {
            lines.push(format!("{label}: new, {}", server.address));
            continue;
        };
        let seen = running(&before.name, &known.name);
        let moves = known.address != server.address;
        let set = seen
            .address
            .filter(|_| moves)
            .map(|at| format!("{at} (set)"));
        let left = set.unwrap_or_else(|| known.address.to_string());
        let settings = differences(
            &server_settings(known, left.clone()),
            &server_settings(server, server.address.to_string()),
        );
        if !settings.is_empty() {
            lines.push(format!("{label}: {}", settings.join("; ")));
        }
        if moves {
            lines.extend(stay(&format!("{label} at {left}"), seen.open));
        }
    }
    let gone = before
        .servers
        .iter()
        .filter(|one| known.contains_key(&one.name));
    for server in gone {
        let label = format!("server {}/{}", before.name, server.name);
        lines.push(format!("{label}: removed"));
        lines.extend(stay(&label, running(&before.name, &server.name).open));
    }
}

fn credentials(kind: &CheckKind) -> Option<&super::Credentials> {
    match kind {
        CheckKind::Amqp { credentials, .. } => Some(credentials),
        CheckKind::Http { credentials, .. } => credentials.as_ref(),
        CheckKind::None | CheckKind::Tcp => None,
    }
}

/// What becomes of the connections to something that is removed.
fn stay(label: &str, open: u32) -> Option<String> {
    match open {
        0 => None,
        1 => Some(format!("{label}: its 1 connection stays until it ends")),
        _ => Some(format!(
            "{label}: its {open} connections stay until they end"
        )),
    }
}

/// What is different of two lists of the same settings, each with what it was and is.
#[must_use]
pub fn differences(before: &Settings, after: &Settings) -> Vec<String> {
    let both = before.iter().zip(after);
    let changed = both.filter(|(before, after)| before != after);
    changed
        .map(|((name, before), (_, after))| format!("{name} {} -> {}", shown(before), shown(after)))
        .collect()
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "none" } else { value }
}

#[cfg(test)]
mod tests;
