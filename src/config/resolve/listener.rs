//! `[listen.NAME]`: the pool must exist, and no address may be bound twice, be it by the HTTP side.

use std::collections::HashMap;
use std::net::{Ipv6Addr, SocketAddr};
use std::ops::Range;

use super::{HTTP, MOST_CONNECTIONS, number, or};
use crate::config::Listener;
use crate::config::error::{Problem, Problems};
use crate::config::file::read::{Key, List, Named};
use crate::config::file::{HttpAddress, Listen};

/// Resolves all listeners. `pools` are the names of the pools in their order, `http` is what the
/// file says of the HTTP side.
pub(super) fn resolve(
    listeners: &[Named<Listen>],
    pools: &[&str],
    http: &Key<HttpAddress>,
    problems: &mut Problems,
) -> Vec<Listener> {
    refuse_double_binds(listeners, http, problems);
    listeners
        .iter()
        .filter_map(|listener| one(listener, pools, problems))
        .collect()
}

fn one(listener: &Named<Listen>, pools: &[&str], problems: &mut Problems) -> Option<Listener> {
    let file = &listener.value;
    let bind = addresses(listener, problems);
    let pool = pool(listener, pools, problems);
    check_trusted(file, problems);
    let limit = |key, problems: &mut Problems| number(key, 0, 0..=MOST_CONNECTIONS, problems);
    let max_connections = limit(&file.max_connections, problems);
    let max_accept_rate = limit(&file.max_accept_rate, problems);
    Some(Listener {
        name: listener.name.clone(),
        bind: bind?,
        pool: pool?,
        max_connections,
        max_accept_rate,
        allow: values(&file.allow),
        deny: values(&file.deny),
        proxy_protocol: or(&file.proxy_protocol, false),
        trusted: values(&file.trusted),
    })
}

fn values<T: Copy>(key: &Key<List<T>>) -> Vec<T> {
    key.value()
        .map(|list| list.iter().map(|(value, _)| *value).collect())
        .unwrap_or_default()
}

fn addresses(listener: &Named<Listen>, problems: &mut Problems) -> Option<Vec<SocketAddr>> {
    let bind = values(&listener.value.bind);
    if !bind.is_empty() {
        return Some(bind);
    }
    let missing = Problem::error("E0106", format!("[listen.{}] needs `bind`", listener.name))
        .help("for example: bind = \"0.0.0.0:5672\"");
    match &listener.value.bind {
        Key::Absent if !problems.has_syntax_errors() => {
            problems.push(missing.at(listener.at.clone(), "listens nowhere"));
        }
        Key::Given(given) => problems.push(missing.at(given.at.clone(), "no address")),
        Key::Absent | Key::Wrong => {}
    }
    None
}

fn pool(listener: &Named<Listen>, pools: &[&str], problems: &mut Problems) -> Option<usize> {
    let given = match &listener.value.pool {
        Key::Given(given) => given,
        Key::Absent if !problems.has_syntax_errors() => {
            problems.push(
                Problem::error("E0106", format!("[listen.{}] needs `pool`", listener.name))
                    .at(listener.at.clone(), "has no servers behind it")
                    .help("for example: pool = \"rabbit\", with [pool.rabbit.servers]"),
            );
            return None;
        }
        Key::Absent | Key::Wrong => return None,
    };
    let found = pools.iter().position(|name| *name == given.value);
    // Without any pool there is a problem of its own.
    if found.is_none() && !pools.is_empty() {
        problems.push(
            Problem::error("E0108", format!("there is no pool `{}`", given.value))
                .at(given.at.clone(), "not a [pool.NAME] of this file")
                .did_you_mean(&given.value, pools.iter().copied())
                .help(available(pools)),
        );
    }
    found
}

/// How many pools a message lists.
const MOST_LISTED: usize = 10;

pub(super) fn available(pools: &[&str]) -> String {
    let listed = pools[..pools.len().min(MOST_LISTED)].join(", ");
    match pools.len().saturating_sub(MOST_LISTED) {
        0 => format!("accepted: {listed}"),
        more => format!("accepted: {listed} and {more} more"),
    }
}

fn check_trusted(file: &Listen, problems: &mut Problems) {
    if matches!(file.proxy_protocol, Key::Wrong) || matches!(file.trusted, Key::Wrong) {
        return;
    }
    let proxy = file.proxy_protocol.given().filter(|given| given.value);
    let trusted = file.trusted.given().filter(|given| !given.value.is_empty());
    match (proxy, trusted) {
        (Some(proxy), None) => problems.push(
            Problem::error("E0110", "`proxy_protocol` needs `trusted`")
                .at(proxy.key.clone(), "whose headers may we believe?")
                .help("for example: trusted = [\"10.0.0.0/8\"]")
                .help("anybody else could claim any client address"),
        ),
        (None, Some(trusted)) => problems.push(
            Problem::warning("W0204", "`trusted` has no effect")
                .at(trusted.key.clone(), "`proxy_protocol` is off")
                .help("add: proxy_protocol = true"),
        ),
        (Some(_), Some(_)) | (None, None) => {}
    }
}

/// An address that is bound already.
struct Bound<'a> {
    address: SocketAddr,
    /// `None`: by default, the file does not say it.
    at: Option<Range<usize>>,
    /// `None`: the HTTP side has it.
    listener: Option<&'a str>,
}

impl Bound<'_> {
    /// That of the HTTP side, if there is one.
    fn by_http(http: &Key<HttpAddress>) -> Option<Self> {
        let (address, at) = match http {
            Key::Absent => (HTTP, None),
            Key::Given(given) => (given.value.0?, Some(given.at.clone())),
            Key::Wrong => return None,
        };
        Some(Self {
            address,
            at,
            listener: None,
        })
    }

    /// Whether it and an address with the same port take the same connections. The HTTP side has
    /// one socket, which takes IPv4 as well on `[::]`.
    fn covers(&self, address: SocketAddr) -> bool {
        let http_everywhere = self.listener.is_none() && self.address.ip() == Ipv6Addr::UNSPECIFIED;
        overlap(self.address, address) || http_everywhere
    }

    /// What is wrong with another address that overlaps with it.
    fn refuse(&self, address: SocketAddr, at: Range<usize>) -> Problem {
        let (owner, place) = match self.listener {
            Some(name) => (format!("listener `{name}`"), "first bound here"),
            None => ("the HTTP side".to_owned(), "the HTTP side is here"),
        };
        let other = self.address;
        let label = if other == address {
            format!("{owner} has it already")
        } else if other.ip().is_unspecified() {
            format!("{owner} has it already as part of {other}")
        } else {
            format!("{owner} has {other} already, which is part of it")
        };
        let problem = Problem::error("E0109", format!("{address} is bound twice")).at(at, label);
        match &self.at {
            Some(at) => problem.also(at.clone(), place),
            None => problem.help(format!(
                "`admin.http` is \"{HTTP}\" unless the file says otherwise, \"\" is for none"
            )),
        }
    }
}

fn refuse_double_binds(
    listeners: &[Named<Listen>],
    http: &Key<HttpAddress>,
    problems: &mut Problems,
) {
    let mut by_port: HashMap<u16, Vec<Bound<'_>>> = HashMap::new();
    if let Some(bound) = Bound::by_http(http) {
        by_port.insert(bound.address.port(), vec![bound]);
    }
    for listener in listeners {
        for (address, at) in listener.value.bind.value().into_iter().flatten() {
            let bound = by_port.entry(address.port()).or_default();
            if let Some(other) = bound.iter().find(|other| other.covers(*address)) {
                problems.push(other.refuse(*address, at.clone()));
            } else {
                bound.push(Bound {
                    address: *address,
                    at: Some(at.clone()),
                    listener: Some(&listener.name),
                });
            }
        }
    }
}

/// Whether two addresses with the same port take the same connections. Our IPv6 sockets take IPv6
/// only (IPV6_V6ONLY), so `[::]` and `0.0.0.0` go together.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let any = a.ip().is_unspecified() || b.ip().is_unspecified();
    a == b || (any && a.is_ipv4() == b.is_ipv4())
}
