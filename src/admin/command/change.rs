//! *pure* Commands that change something: from their words to a [`Change`], or to the words of
//! HAProxy that refuse it.

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Look, Reply};
use crate::admin::wish::Wish;
use crate::config::units::duration_text;
use crate::config::{CheckKind, Config};
use crate::pool::server::Admin;
use crate::stats::history::Clear;
use crate::stats::snapshot::Snapshot;

/// The largest weight, as in HAProxy.
const MAX_WEIGHT: i64 = 256;

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Index of its pool.
    pub pool: usize,
    /// Its index in the pool.
    pub server: usize,
    /// Name of the pool.
    pub pool_name: String,
    /// Its name in the pool.
    pub server_name: String,
}

/// As commands name it.
impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pool_name, self.server_name)
    }
}

/// Something to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// What the operator says of a server.
    Admin(Place, Admin),
    /// The weight of a server.
    Weight(Place, u16),
    /// The most open connections of a server; 0: no limit.
    ServerLimit(Place, u32),
    /// Where a server listens.
    Address(Place, SocketAddr),
    /// Whether a server is checked.
    Checked(Place, bool),
    /// Whether a server is up, as if its checks had said so.
    Health(Place, bool),
    /// The open connections of the servers of this name, in pools of that name, are ended.
    EndServer(String, String),
    /// A server gets no new connections, and those it has are closed over this time; if so said
    /// also while no other server of its pool is usable.
    Drain(Place, Duration, bool),
    /// Connections of the pool of this name are moved, so many a second at most, within this time.
    Rebalance(String, u32, Duration),
    /// No connections of the pool of this name are moved any more.
    EndRebalance(String),
    /// The most open connections of a listener, by its index and with its name; 0: no limit of its
    /// own.
    ListenerLimit(usize, String, u32),
    /// The most open connections in all.
    CommonLimit(u32),
    /// The most connections accepted per second in all; 0: no limit.
    AcceptRate(u32),
    /// Counters.
    Clear(Clear),
}

/// As it stands in the log: the command in its longest form.
impl Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = |place: &Place| format!("set server {place}");
        match self {
            Self::Admin(place, Admin::Ready) => write!(f, "{} state ready", set(place)),
            Self::Admin(place, Admin::Drain) => write!(f, "{} state drain", set(place)),
            Self::Admin(place, Admin::Maint) => write!(f, "{} state maint", set(place)),
            Self::Weight(place, weight) => write!(f, "{} weight {weight}", set(place)),
            Self::ServerLimit(place, limit) => {
                write!(f, "set maxconn server {place} {limit}")
            }
            Self::Address(place, address) => {
                let (ip, port) = (address.ip(), address.port());
                write!(f, "{} addr {ip} port {port}", set(place))
            }
            Self::Health(place, true) => write!(f, "{} health up", set(place)),
            Self::Health(place, false) => write!(f, "{} health down", set(place)),
            Self::Checked(place, true) => write!(f, "enable health {place}"),
            Self::Checked(place, false) => write!(f, "disable health {place}"),
            Self::EndServer(pool, server) => {
                write!(f, "shutdown sessions server {pool}/{server}")
            }
            Self::Drain(place, over, force) => {
                let force = if *force { " force" } else { "" };
                let over = duration_text(*over);
                write!(f, "drain server {place} over {over}{force}")
            }
            Self::Rebalance(pool, rate, within) => {
                let within = duration_text(*within);
                write!(f, "rebalance {pool} rate {rate} within {within}")
            }
            Self::EndRebalance(pool) => write!(f, "rebalance {pool} stop"),
            Self::ListenerLimit(_, name, limit) => write!(f, "set maxconn frontend {name} {limit}"),
            Self::CommonLimit(limit) => write!(f, "set maxconn global {limit}"),
            Self::AcceptRate(rate) => write!(f, "set rate-limit sessions global {rate}"),
            Self::Clear(Clear::Maxima) => f.write_str("clear counters"),
            Self::Clear(Clear::All) => f.write_str("clear counters all"),
        }
    }
}

/// What stops a command, in HAProxy's words.
pub(super) type Refusal = Reply;

fn refuse<T>(line: &str) -> Result<T, Refusal> {
    Err(Reply::line(line))
}

/// `POOL/SERVER`, each by its name or, behind a `#`, by its number.
pub(super) fn place(
    word: Option<&&str>,
    config: &Config,
    snapshot: Look<'_>,
) -> Result<Place, Refusal> {
    let (pool_word, server_word) = pool_and_server(word)?;
    let Some(pool) = pool(pool_word, config, snapshot) else {
        return refuse("No such backend.");
    };
    let named = &config.pools[pool];
    let numbers = || numbers(&snapshot().pools[pool].servers, |one| one.number);
    let names = named.servers.iter().map(|server| server.name.as_str());
    let Some(server) = position(server_word, names, numbers) else {
        return refuse("No such server.");
    };
    Ok(Place {
        pool,
        server,
        pool_name: named.name.clone(),
        server_name: named.servers[server].name.clone(),
    })
}

/// The two words of `POOL/SERVER`.
pub(super) fn pool_and_server<'a>(word: Option<&&'a str>) -> Result<(&'a str, &'a str), Refusal> {
    let words = word.and_then(|word| word.split_once('/'));
    let words = words.filter(|(pool, server)| !pool.is_empty() && !server.is_empty());
    let expected = || Reply::line("Require 'backend/server'.");
    words.ok_or_else(expected)
}

/// The index of a pool, by its name or, behind a `#`, by its number.
pub(super) fn pool(word: &str, config: &Config, snapshot: Look<'_>) -> Option<usize> {
    let names = config.pools.iter().map(|pool| pool.name.as_str());
    position(word, names, || numbers(&snapshot().pools, |one| one.number))
}

fn numbers<T>(list: &[T], number: impl Fn(&T) -> usize) -> Vec<usize> {
    list.iter().map(number).collect()
}

/// Which of these a word means. It takes a snapshot to know the numbers, so that they are asked for
/// only where the word is one.
fn position<'a>(
    word: &str,
    mut names: impl Iterator<Item = &'a str>,
    numbers: impl FnOnce() -> Vec<usize>,
) -> Option<usize> {
    if word.starts_with('#') {
        return numbers().iter().position(|number| means(word, "", *number));
    }
    names.position(|name| name == word)
}

/// Whether a word means what has this name and this number: no name begins with a `#`.
pub(super) fn means(word: &str, name: &str, number: usize) -> bool {
    let Some(digits) = word.strip_prefix('#') else {
        return word == name;
    };
    leading_number(digits).is_some_and(|(wanted, _)| usize::try_from(wanted) == Ok(number))
}

/// `shutdown sessions server POOL/SERVER`: the server may be one that a reload has removed.
pub(super) fn end_server(
    word: Option<&&str>,
    config: &Config,
    snapshot: Look<'_>,
) -> Result<Reply, Refusal> {
    let refusal = match place(word, config, snapshot) {
        Ok(place) => return done(Change::EndServer(place.pool_name, place.server_name)),
        Err(refusal) => refusal,
    };
    let (pool, server) = pool_and_server(word)?;
    let removed = snapshot().removed.into_iter().find(|one| {
        means(pool, &one.pool, one.pool_number) && means(server, &one.server, one.number)
    });
    let removed = removed.ok_or(refusal)?;
    done(Change::EndServer(removed.pool, removed.server))
}

/// A change that is answered by nothing.
fn done(change: Change) -> Result<Reply, Refusal> {
    Ok(Reply::Change(change, String::new()))
}

/// `set server POOL/SERVER ...`
pub(super) fn set_server(
    words: &[&str],
    config: &Config,
    snapshot: Look<'_>,
) -> Result<Reply, Refusal> {
    let place = place(words.first(), config, snapshot)?;
    match words.get(1..).unwrap_or_default() {
        ["state", "ready", ..] => done(Change::Admin(place, Admin::Ready)),
        ["state", "drain", ..] => done(Change::Admin(place, Admin::Drain)),
        ["state", "maint", ..] => done(Change::Admin(place, Admin::Maint)),
        ["state", ..] => refuse("'set server <srv> state' expects 'ready', 'drain' and 'maint'."),
        ["weight", rest @ ..] => set_weight(place, rest.first(), config),
        ["addr", rest @ ..] => set_address(place, rest, &snapshot()),
        ["agent", ..] | ["agent-send", ..] => {
            refuse("agent checks are not enabled on this server.")
        }
        ["agent-addr" | "agent-port", ..] => Err(Reply::Text(
            "agent checks are not enabled on this server".to_owned(),
        )),
        ["check-addr" | "check-port", ..] if !is_checked(&place, config) => Err(Reply::Text(
            "health checks are not enabled on this server".to_owned(),
        )),
        ["health", "up", ..] => done(Change::Health(place, true)),
        ["health", "down", ..] => done(Change::Health(place, false)),
        ["health", "stopping", ..] | ["check-addr" | "check-port", ..] => {
            refuse("warren does not support this; 'set server <srv> state' may do.")
        }
        ["health", ..] => refuse("'set server <srv> health' expects 'up', 'stopping', or 'down'."),
        ["fqdn", ..] => {
            refuse("set server <b>/<s> fqdn failed because no resolution is configured.")
        }
        ["ssl", ..] => refuse(
            "'set server <srv> ssl' cannot be set.  default-server should define ssl settings",
        ),
        _ => refuse(
            "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | \
             agent-send | check-addr | check-port | fqdn | health | ssl | state | weight",
        ),
    }
}

fn is_checked(place: &Place, config: &Config) -> bool {
    config.pools[place.pool].check.kind != CheckKind::None
}

/// `set weight POOL/SERVER N|N%`, where the per cent are of the weight in the file.
pub(super) fn set_weight(
    place: Place,
    word: Option<&&str>,
    config: &Config,
) -> Result<Reply, Refusal> {
    let Some(word) = word else {
        return refuse("Require <weight> or <weight%>.");
    };
    let Some((number, rest)) = leading_number(word) else {
        let text = "Empty weight string empty or preceded by garbage";
        return Err(Reply::Text(text.to_owned()));
    };
    let weight = match rest {
        "%" if number < 0 => return refuse("Relative weight must be positive."),
        "%" => {
            let filed = config.pools[place.pool].servers[place.server].weight;
            (i64::from(filed).saturating_mul(number) / 100).min(MAX_WEIGHT)
        }
        rest if rest.starts_with('%') => return trailing_garbage("weight"),
        _ if !(0..=MAX_WEIGHT).contains(&number) => {
            return refuse("Absolute weight can only be between 0 and 256 inclusive.");
        }
        "" => number,
        _ => return trailing_garbage("weight"),
    };
    // At most 256, so it fits.
    done(Change::Weight(place, u16::try_from(weight).unwrap_or(0)))
}

/// HAProxy ends these lines without an empty one.
fn trailing_garbage<T>(what: &str) -> Result<T, Refusal> {
    Err(Reply::Text(format!("Trailing garbage in {what} string")))
}

/// The number that a word begins with, as strtol finds it, and what follows it.
fn leading_number(word: &str) -> Option<(i64, &str)> {
    let digits_from = usize::from(word.starts_with(['-', '+']));
    let digits = &word[digits_from..];
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    let (number, rest) = word.split_at(digits_from + end);
    (end > 0).then(|| (number.parse().unwrap_or(i64::MAX), rest))
}

/// `set server POOL/SERVER addr IP [port PORT]`
fn set_address(place: Place, words: &[&str], snapshot: &Snapshot) -> Result<Reply, Refusal> {
    let Some(word) = words.first() else {
        return refuse("set server <b>/<s> addr requires an address and optionally a port.");
    };
    let bare = word
        .strip_prefix('[')
        .and_then(|word| word.strip_suffix(']'));
    let Ok(ip) = bare.unwrap_or(word).parse::<IpAddr>() else {
        return refuse(&format!("Invalid addr '{word}' by 'stats socket command'"));
    };
    // An IPv4 address in IPv6 form is the same broker.
    let ip = ip.to_canonical();
    let server = &snapshot.pools[place.pool].servers[place.server];
    let before = server.address;
    let old_port = before.map_or(server.port, |address| address.port());
    let mut port = old_port;
    let mut answer = match before {
        Some(address) if address.ip() == ip => "no need to change the addr".to_owned(),
        Some(address) => format!("IP changed from '{}' to '{word}'", address.ip()),
        None => format!("IP changed from '' to '{word}'"),
    };
    if let ["port", rest @ ..] = &words[1..] {
        let word = rest.first().copied().unwrap_or_default();
        // A sign makes an offset of it in HAProxy.
        let digits = word.bytes().all(|byte| byte.is_ascii_digit());
        let number = word.parse().ok().filter(|port| digits && *port > 0);
        answer += &match number {
            // As with HAProxy, the address is changed nevertheless.
            None => format!(", problem converting port '{word}' to an int"),
            Some(new) if new == old_port => ", no need to change the port".to_owned(),
            Some(new) => {
                port = new;
                format!(", port changed from '{old_port}' to '{new}'")
            }
        };
    }
    let answer = format!("{answer} by 'stats socket command'\n");
    let address = SocketAddr::new(ip, port);
    if before == Some(address) {
        return Err(Reply::Text(answer));
    }
    Ok(Reply::Change(Change::Address(place, address), answer))
}

/// `enable` and `disable`, `server`, `health` and `agent`.
pub(super) fn enable(
    what: &str,
    on: bool,
    place: Place,
    config: &Config,
) -> Result<Reply, Refusal> {
    match (what, on) {
        ("server", true) => done(Change::Admin(place, Admin::Ready)),
        ("server", false) => done(Change::Admin(place, Admin::Maint)),
        ("health", _) if is_checked(&place, config) => done(Change::Checked(place, on)),
        ("health", true) => {
            refuse("Health check was not configured on this server, cannot enable.")
        }
        ("agent", true) => refuse("Agent was not configured on this server, cannot enable."),
        _ => Err(Reply::Text(String::new())),
    }
}

/// `enable frontend`, `disable frontend`
pub(super) fn open_listener(
    words: &[&str],
    open: bool,
    config: &Config,
    snapshot: Look<'_>,
) -> Result<Reply, Refusal> {
    let listener = listener(words.first(), config, snapshot)?;
    let snapshot = snapshot();
    if snapshot.stopping {
        let what = if open { "enable" } else { "disable" };
        return refuse(&format!(
            "Frontend was previously shut down, cannot {what}."
        ));
    }
    match (snapshot.listeners[listener].paused, open) {
        (false, true) => refuse("All sockets are already enabled."),
        (true, false) => refuse("All sockets are already disabled."),
        _ => {
            let name = config.listeners[listener].name.clone();
            let wish = if open { Wish::Open } else { Wish::Close };
            Ok(Reply::Reload(wish(name)))
        }
    }
}

/// `set maxconn server|frontend|global ...`
pub(super) fn set_maxconn(
    words: &[&str],
    config: &Config,
    snapshot: Look<'_>,
) -> Result<Reply, Refusal> {
    match words {
        ["server", rest @ ..] => {
            let place = place(rest.first(), config, snapshot)?;
            let Some(word) = rest.get(1) else {
                return refuse("Require <maxconn>.");
            };
            match leading_number(word) {
                None => {
                    let text = "maxconn string empty or preceded by garbage";
                    Err(Reply::Text(text.to_owned()))
                }
                Some((number, "")) => done(Change::ServerLimit(place, limit(number)?)),
                Some(_) => trailing_garbage("maxconn"),
            }
        }
        ["frontend", rest @ ..] => {
            let listener = listener(rest.first(), config, snapshot)?;
            let Some((number, _)) = rest.get(1).and_then(|word| leading_number(word)) else {
                return refuse("Integer value expected.");
            };
            let name = config.listeners[listener].name.clone();
            done(Change::ListenerLimit(listener, name, limit(number)?))
        }
        _ => {
            let Some((number, _)) = words.get(1).and_then(|word| leading_number(word)) else {
                return refuse("Expects an integer value.");
            };
            let hard = snapshot().hard_limit;
            match u32::try_from(number) {
                _ if number <= 0 => done(Change::CommonLimit(hard)),
                Ok(limit) if limit <= hard => done(Change::CommonLimit(limit)),
                _ => refuse("Value out of range."),
            }
        }
    }
}

/// `set rate-limit sessions|connections global N`: one limit, because what warren paces is how
/// clients are accepted.
pub(super) fn set_rate_limit(words: &[&str]) -> Result<Reply, Refusal> {
    match words {
        ["sessions" | "connections", "global", rest @ ..] => {
            let Some((number, _)) = rest.first().and_then(|word| leading_number(word)) else {
                return refuse("Expects an integer value.");
            };
            done(Change::AcceptRate(limit(number)?))
        }
        ["ssl-sessions" | "http-compression", "global", ..] => {
            refuse("This is not supported by warren.")
        }
        _ => refuse(
            "'set rate-limit' only supports :\n   \
             - 'connections global' to set the per-process maximum connection rate\n   \
             - 'sessions global' to set the per-process maximum session rate\n   \
             - 'ssl-sessions global' to set the per-process maximum SSL session rate\n   \
             - 'http-compression global' to set the per-process maximum compression speed in kB/s",
        ),
    }
}

fn limit(number: i64) -> Result<u32, Refusal> {
    u32::try_from(number).or_else(|_| refuse("Value out of range."))
}

/// The index of a listener, by its name or, behind a `#`, by its number.
fn listener(word: Option<&&str>, config: &Config, snapshot: Look<'_>) -> Result<usize, Refusal> {
    let Some(word) = word else {
        return refuse("A frontend name is expected.");
    };
    let names = config.listeners.iter().map(|one| one.name.as_str());
    let numbers = || numbers(&snapshot().listeners, |one| one.number);
    position(word, names, numbers).ok_or_else(|| Reply::line("No such frontend."))
}
