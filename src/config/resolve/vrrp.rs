//! `[vrrp.NAME]`: virtual routers, each right in itself and all of them together.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use ipnet::IpNet;

use super::listener::available;
use super::{HOUR, length, names, number, or};
use crate::config::error::{Problem, Problems};
use crate::config::file::read::{Key, Named};
use crate::config::file::{File, Vrrp};
use crate::config::limits::Surroundings;
use crate::config::units::Centiseconds;
use crate::config::{
    OWNER, TrackedInterface, TrackedPool, VirtualRouter, VrrpChecksum, VrrpVersion,
};

mod together;
mod unicast;

/// RFC 9568, section 5.2.4.
const PRIORITY: u8 = 100;
/// The default interval, a second.
const INTERVAL: Centiseconds = Centiseconds(100);
/// A message has to fit into a frame (RFC 9568, section 5.2.9 has room for 255).
const MOST_ADDRESSES: usize = 64;
const TICK: Duration = Duration::from_millis(10);

/// Resolves all virtual routers. `pools` are the names of the pools in their order.
pub(super) fn resolve(
    file: &File,
    pools: &[&str],
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Vec<VirtualRouter> {
    let given = names(&file.vrrp);
    let routers: Vec<Option<VirtualRouter>> = given
        .iter()
        .map(|router| one(router, pools, problems))
        .collect();
    together::check(given, problems);
    for (named, router) in given.iter().zip(&routers) {
        if let Some(router) = router {
            check_host(named, router, surroundings, problems);
        }
    }
    routers.into_iter().flatten().collect()
}

fn one(named: &Named<Vrrp>, pools: &[&str], problems: &mut Problems) -> Option<VirtualRouter> {
    let file = &named.value;
    let interface = needed(named, &file.interface, "interface", "\"eth0\"", problems);
    let router_id = needed(named, &file.router_id, "router_id", "51", problems);
    let router_id = router_id.and_then(|_| in_range(&file.router_id, 1..=255, problems));
    let version = version(&file.version, problems);
    let addresses = addresses(named, version, problems);
    let priority = number(&file.priority, PRIORITY, 1..=255, problems);
    check_preempt(file, priority, problems);
    check_owner(file, priority, problems);
    let delay = Duration::ZERO..=HOUR;
    let router = VirtualRouter {
        name: named.name.clone(),
        interface: interface.map(|name| name.0.clone()).unwrap_or_default(),
        router_id: router_id.unwrap_or_default(),
        priority,
        version,
        advert_interval: interval(&file.advert_interval, version, problems),
        preempt: or(&file.preempt, true),
        preempt_delay: length(&file.preempt_delay, Duration::ZERO, delay.clone(), problems),
        startup_delay: length(&file.startup_delay, Duration::ZERO, delay, problems),
        peers: unicast::peers(file, &addresses, problems),
        source: unicast::source(file, &addresses, priority, problems),
        checksum: or(&file.checksum, VrrpChecksum::Auto),
        group: file
            .group
            .value()
            .filter(|group| !group.is_empty())
            .cloned(),
        track_interfaces: track_interfaces(file, problems),
        track_pools: track_pools(file, pools, problems),
        addresses,
    };
    let complete = interface.is_some() && router_id.is_some() && !router.addresses.is_empty();
    complete.then_some(router)
}

/// The value of a key that has no default.
fn needed<'a, T>(
    named: &Named<Vrrp>,
    key: &'a Key<T>,
    name: &str,
    example: &str,
    problems: &mut Problems,
) -> Option<&'a T> {
    if key.is_absent() && !problems.has_syntax_errors() {
        let what = format!("[vrrp.{}] needs `{name}`", named.name);
        problems.push(
            Problem::error("E0106", what)
                .at(named.at.clone(), "has no default")
                .help(format!("for example: {name} = {example}")),
        );
    }
    key.value()
}

fn in_range(key: &Key<i64>, accepted: RangeInclusive<i64>, problems: &mut Problems) -> Option<u8> {
    let before = problems.errors();
    let value = number(key, 0, accepted, problems);
    (problems.errors() == before).then_some(value)
}

fn version(key: &Key<i64>, problems: &mut Problems) -> VrrpVersion {
    match key.given() {
        None => VrrpVersion::V3,
        Some(given) if given.value == 2 => VrrpVersion::V2,
        Some(given) if given.value == 3 => VrrpVersion::V3,
        Some(given) => {
            problems.push(
                Problem::error("E0105", format!("`{}` is out of range", given.path))
                    .at(given.at.clone(), "no such version of VRRP")
                    .help("accepted: 2 or 3"),
            );
            VrrpVersion::V3
        }
    }
}

fn interval(key: &Key<Duration>, version: VrrpVersion, problems: &mut Problems) -> Centiseconds {
    let Some(given) = key.given() else {
        return INTERVAL;
    };
    let (unit, least, most, accepted) = match version {
        VrrpVersion::V2 => (
            Duration::from_secs(1),
            Duration::from_secs(1),
            Duration::from_secs(255),
            "\"1s\" to \"255s\" in whole seconds; version 3 knows shorter ones",
        ),
        VrrpVersion::V3 => (
            TICK,
            TICK,
            Duration::from_millis(40_950),
            "\"10ms\" to \"40950ms\" in steps of 10 ms",
        ),
    };
    let whole = given.value.as_nanos().is_multiple_of(unit.as_nanos());
    if whole && (least..=most).contains(&given.value) {
        let centiseconds = given.value.as_millis() / 10;
        return Centiseconds(u16::try_from(centiseconds).unwrap_or(u16::MAX));
    }
    let label = if given.value < least {
        "too short"
    } else if given.value > most {
        "too long"
    } else {
        "cannot be said in an advertisement"
    };
    problems.push(
        Problem::error("E0105", format!("`{}` is out of range", given.path))
            .at(given.at.clone(), label)
            .help(format!("accepted: {accepted}")),
    );
    INTERVAL
}

fn addresses(named: &Named<Vrrp>, version: VrrpVersion, problems: &mut Problems) -> Vec<IpNet> {
    let key = &named.value.addresses;
    let Some(list) = needed(named, key, "addresses", "[\"192.0.2.100/24\"]", problems) else {
        return Vec::new();
    };
    let path = format!("vrrp.{}.addresses", named.name);
    if list.is_empty() || list.len() > MOST_ADDRESSES {
        if let Some(given) = key.given() {
            problems.push(
                Problem::error("E0105", format!("`{path}` is out of range"))
                    .at(given.at.clone(), format!("{} addresses", list.len()))
                    .help(format!("accepted: 1 to {MOST_ADDRESSES} addresses")),
            );
        }
        return Vec::new();
    }
    let first = list[0].0.0.addr();
    let mut right = true;
    for (index, (address, at)) in list.iter().enumerate() {
        let ip = address.0.addr();
        let wrong = if let Some(why) = cannot_be_virtual(ip).or_else(|| of_no_host(address.0)) {
            Some((why, "accepted: an address that a host can have"))
        } else if ip.is_ipv4() != first.is_ipv4() {
            let help = "IPv4 and IPv6 need a virtual router each; `group` lets them move together";
            Some(("not of the family of the first one", help))
        } else if ip.is_ipv6() && version == VrrpVersion::V2 {
            Some(("version 2 is for IPv4 only", "leave `version` out"))
        } else if index == 0 && matches!(ip, IpAddr::V6(ip) if !ip.is_unicast_link_local()) {
            let help = "begin with one of fe80::/10, such as \"fe80::100/64\" \
                        (RFC 9568, section 5.2.9)";
            Some(("the first IPv6 address must be link-local", help))
        } else {
            None
        };
        if let Some((label, help)) = wrong {
            right = false;
            problems.push(
                Problem::error("E0114", format!("{ip} cannot be a virtual address here"))
                    .at(at.clone(), label)
                    .help(help),
            );
        }
    }
    match right {
        true => list.iter().map(|(address, _)| address.0).collect(),
        false => Vec::new(),
    }
}

fn cannot_be_virtual(ip: IpAddr) -> Option<&'static str> {
    if ip.is_unspecified() {
        Some("the unspecified address")
    } else if ip.is_loopback() {
        Some("a loopback address")
    } else if ip.is_multicast() {
        Some("a multicast address")
    } else if matches!(ip, IpAddr::V4(ip) if ip.is_broadcast()) {
        Some("the broadcast address")
    } else {
        None
    }
}

/// The first and the last address of a network, unless it has only one or two (RFC 3021, RFC 4291
/// section 2.6.1, RFC 6164).
fn of_no_host(address: IpNet) -> Option<&'static str> {
    let ip = address.addr();
    if address.max_prefix_len() - address.prefix_len() < 2 {
        None
    } else if ip == address.network() {
        Some("the address of the network itself")
    } else if ip.is_ipv4() && ip == address.broadcast() {
        Some("the broadcast address of its network")
    } else {
        None
    }
}

fn check_preempt(file: &Vrrp, priority: u8, problems: &mut Problems) {
    let Some(preempt) = file.preempt.given().filter(|given| !given.value) else {
        return;
    };
    if priority == OWNER {
        problems.push(
            Problem::error(
                "E0110",
                format!("`{}` cannot be false with priority 255", preempt.path),
            )
            .at(
                preempt.at.clone(),
                "the owner of the addresses always takes them",
            )
            .help("accepted: a priority of at most 254, or preempt = true"),
        );
    }
    if let Some(delay) = file.preempt_delay.given() {
        problems.push(
            Problem::warning("W0204", format!("`{}` has no effect", delay.path))
                .at(delay.key.clone(), "`preempt` is false"),
        );
    }
}

/// The host of an owner has the addresses whatever happens: there is nothing to lower.
fn check_owner(file: &Vrrp, priority: u8, problems: &mut Problems) {
    if priority != OWNER {
        return;
    }
    let mut refuse = |at: Range<usize>, what: &str| {
        problems.push(
            Problem::error("E0110", format!("{what} cannot lower the priority 255"))
                .at(at, "the owner of the addresses has them whatever happens")
                .help("accepted: a priority of at most 254, or nothing that is subtracted"),
        );
    };
    for named in names(&file.track_pools) {
        refuse(named.at.clone(), &format!("pool `{}`", named.name));
    }
    let interfaces = file.track_interfaces.value().into_iter();
    for (name, at, weight) in interfaces.flat_map(|tracked| &tracked.0) {
        if !weight.is_absent() {
            refuse(at.clone(), &format!("interface `{}`", name.0));
        }
    }
}

fn weight(key: &Key<i64>, problems: &mut Problems) -> Option<u8> {
    in_range(key, 1..=254, problems)
}

fn track_interfaces(file: &Vrrp, problems: &mut Problems) -> Vec<TrackedInterface> {
    let Some(given) = file.track_interfaces.given() else {
        return Vec::new();
    };
    let mut tracked = Vec::new();
    for (name, at, weight_key) in &given.value.0 {
        if file.interface.value() == Some(name) {
            problems.push(
                Problem::warning("W0204", format!("tracking `{}` has no effect", name.0))
                    .at(at.clone(), "is the interface of the virtual router itself")
                    .help("its loss takes the virtual router out of the election anyway"),
            );
            continue;
        }
        let weight = match weight_key {
            Key::Absent => None,
            Key::Wrong | Key::Given(_) => match weight(weight_key, problems) {
                Some(weight) => Some(weight),
                None => continue,
            },
        };
        tracked.push(TrackedInterface {
            interface: name.0.clone(),
            weight,
        });
    }
    tracked
}

fn track_pools(file: &Vrrp, pools: &[&str], problems: &mut Problems) -> Vec<TrackedPool> {
    let mut tracked = Vec::new();
    for named in names(&file.track_pools) {
        let Some(pool) = pools.iter().position(|name| *name == named.name) else {
            // Without any pool there is a problem of its own.
            if !pools.is_empty() {
                problems.push(
                    Problem::error("E0108", format!("there is no pool `{}`", named.name))
                        .at(named.at.clone(), "not a [pool.NAME] of this file")
                        .did_you_mean(&named.name, pools.iter().copied())
                        .help(available(pools)),
                );
            }
            continue;
        };
        if let Some(weight) = weight(&named.value, problems) {
            tracked.push(TrackedPool { pool, weight });
        }
    }
    tracked
}

/// What this host says about it; a host that is set up later may say something else.
fn check_host(
    named: &Named<Vrrp>,
    router: &VirtualRouter,
    surroundings: &Surroundings,
    problems: &mut Problems,
) {
    let Some(interfaces) = &surroundings.interfaces else {
        return;
    };
    let place = |key: &Key<_>| {
        key.given()
            .map_or(named.at.clone(), |given| given.at.clone())
    };
    let Some(interface) = interfaces.iter().find(|one| one.name == router.interface) else {
        let known = interfaces.iter().map(|one| one.name.as_str());
        let what = format!("interface `{}` does not exist now", router.interface);
        problems.push(
            Problem::warning("W0211", what)
                .at(place(&named.value.interface), "warren waits for it")
                .did_you_mean(&router.interface, known),
        );
        return;
    };
    unicast::check_source(named, interface, problems);
    let given = named.value.addresses.value().into_iter().flatten();
    for (address, at) in given {
        let ip = address.0.addr();
        let link_local = is_link_local(ip);
        let owned = interface.addresses.iter().any(|one| one.addr() == ip);
        let mut others = interface.addresses.iter().filter(|one| one.addr() != ip);
        if !link_local && !owned && !others.any(|one| one.contains(&ip)) {
            problems.push(
                Problem::warning(
                    "W0210",
                    format!("{ip} is in no network of {}", interface.name),
                )
                .at(at.clone(), "neighbours may not look for it here"),
            );
        }
        if router.priority == OWNER && !owned {
            problems.push(
                Problem::warning("W0213", format!("{} does not have {ip}", interface.name))
                    .at(at.clone(), "priority 255 is for the owner of the address")
                    .help("use at most 254 where the address is only virtual"),
            );
        }
        let same_kind =
            |one: &IpAddr| (one.is_ipv4(), is_link_local(*one)) == (ip.is_ipv4(), link_local);
        let mut own = interface.addresses.iter().map(IpNet::addr);
        let is_virtual = |one: &IpAddr| router.addresses.iter().any(|a| a.addr() == *one);
        if router.priority != OWNER && owned && !own.any(|one| same_kind(&one) && !is_virtual(&one))
        {
            problems.push(
                Problem::warning("W0214", format!("{} needs {ip} itself", interface.name))
                    .at(at.clone(), "warren waits until the host has another one")
                    .help("the owner of an address has priority 255"),
            );
        }
    }
    unicast::check_own_peers(
        named,
        &router.peers,
        interfaces.iter().flat_map(|one| &one.addresses),
        problems,
    );
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}
