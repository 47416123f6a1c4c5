//! *pure* What a new configuration changes of a virtual router, and whether it can go on with that.

use std::collections::HashSet;
use std::fmt::Debug;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::{Config, VirtualRouter, VrrpVersion};

/// The priority of the owner of the addresses.
const OWNER: u8 = 255;

/// What it is known by on its network: its interface, the family of its addresses, its VRID.
#[must_use]
pub fn identity(router: &VirtualRouter) -> (&str, bool, u8) {
    let v6 = router.addresses.iter().any(|one| one.addr().is_ipv6());
    (&router.interface, v6, router.router_id)
}

/// Whether the one can become the other without leaving its state: peers go on taking its
/// advertisements for those of the same virtual router, and whose addresses they are, the host's or
/// nobody's, stays as it is.
#[must_use]
pub fn can_become(old: &VirtualRouter, new: &VirtualRouter) -> bool {
    let paced = new.version == VrrpVersion::V3 || old.advert_interval == new.advert_interval;
    let owns = |router: &VirtualRouter| router.priority == OWNER;
    identity(old) == identity(new) && old.version == new.version && owns(old) == owns(new) && paced
}

/// The addresses of `new` that `old` has not.
#[must_use]
pub fn added(old: &[IpNet], new: &[IpNet]) -> Vec<IpNet> {
    let missing = new.iter().filter(|address| !old.contains(address));
    missing.copied().collect()
}

/// Whether two lists have an address in common.
#[must_use]
pub fn overlap(some: &[IpNet], others: &[IpNet]) -> bool {
    let ip = |address: &IpNet| address.addr();
    let others: Vec<IpAddr> = others.iter().map(ip).collect();
    some.iter().any(|address| others.contains(&ip(address)))
}

/// What becomes of a virtual router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is new.
    Added,
    /// It is not wanted any more.
    Removed,
    /// It goes on with other settings.
    Reconfigured,
    /// It ends, and begins again with other settings.
    BeginsAnew,
}

/// What is said of one virtual router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told<'a> {
    /// Its table key.
    pub name: &'a str,
    /// What becomes of it.
    pub fate: Fate,
    /// What differs, in words.
    pub changes: String,
}

/// What becomes of the virtual routers that are not in the new configuration what they were in the
/// old one. Those with a name in `anew` do not go on in the state that they are in.
#[must_use]
pub fn compare<'a>(old: &'a Config, new: &'a Config, anew: &HashSet<&str>) -> Vec<Told<'a>> {
    let mut told = Vec::new();
    let mut known: HashSet<&str> = HashSet::new();
    for router in &new.virtual_routers {
        let name = router.name.as_str();
        let begins = anew.contains(name);
        let same_name = |old: &&VirtualRouter| old.name == name;
        // Perhaps under another name.
        let same = |old: &&VirtualRouter| !begins && identity(old) == identity(router);
        let mut routers = old.virtual_routers.iter();
        let before = routers
            .clone()
            .find(same)
            .or_else(|| routers.find(same_name));
        known.extend(before.map(|before| before.name.as_str()));
        let changes = before.map(|before| differences((old, before), (new, router)).join(", "));
        let (fate, changes) = match (changes, begins) {
            (None, _) => (Fate::Added, String::new()),
            (Some(changes), false) if changes.is_empty() => continue,
            (Some(changes), false) => (Fate::Reconfigured, changes),
            (Some(changes), true) if changes.is_empty() => {
                (Fate::BeginsAnew, "others of its group".to_owned())
            }
            (Some(changes), true) => (Fate::BeginsAnew, changes),
        };
        told.push(Told {
            name,
            fate,
            changes,
        });
    }
    let gone = old
        .virtual_routers
        .iter()
        .map(|router| router.name.as_str());
    told.extend(gone.filter(|name| !known.contains(name)).map(|name| Told {
        name,
        fate: Fate::Removed,
        changes: String::new(),
    }));
    told
}

/// What differs, in words: `priority 150 -> 100`, `addresses + 192.0.2.101/24`. The pools are those
/// of the configurations.
fn differences(
    (old_config, old): (&Config, &VirtualRouter),
    (new_config, new): (&Config, &VirtualRouter),
) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |key: &str, old: &dyn Debug, new: &dyn Debug| {
        let (old, new) = (format!("{old:?}"), format!("{new:?}"));
        if old != new {
            found.push(format!("{key} {old} -> {new}"));
        }
    };
    compare("name", &Plain(&old.name), &Plain(&new.name));
    compare("interface", &Plain(&old.interface), &Plain(&new.interface));
    compare("router_id", &old.router_id, &new.router_id);
    compare("version", &old.version, &new.version);
    compare("priority", &old.priority, &new.priority);
    let interval = |router: &VirtualRouter| router.advert_interval.duration();
    compare("advert_interval", &interval(old), &interval(new));
    compare("preempt", &old.preempt, &new.preempt);
    compare("preempt_delay", &old.preempt_delay, &new.preempt_delay);
    compare("startup_delay", &old.startup_delay, &new.startup_delay);
    compare("peers", &old.peers, &new.peers);
    compare("source", &old.source, &new.source);
    compare("checksum", &old.checksum, &new.checksum);
    compare("group", &old.group, &new.group);
    let interfaces = |router: &VirtualRouter| {
        let tracked = router.track_interfaces.iter();
        let tracked = tracked.map(|one| weighed(&one.interface, one.weight));
        tracked.collect::<Vec<_>>()
    };
    compare("track_interfaces", &interfaces(old), &interfaces(new));
    let pools = |config: &Config, router: &VirtualRouter| {
        let tracked = router.track_pools.iter();
        let tracked = tracked.map(|one| weighed(&config.pools[one.pool].name, Some(one.weight)));
        tracked.collect::<Vec<_>>()
    };
    compare(
        "track_pools",
        &pools(old_config, old),
        &pools(new_config, new),
    );
    found.extend(different_addresses(&old.addresses, &new.addresses));
    found
}

fn weighed(name: &str, weight: Option<u8>) -> Plain<String> {
    Plain(match weight {
        Some(weight) => format!("{name} {weight}"),
        None => name.to_owned(),
    })
}

fn different_addresses(old: &[IpNet], new: &[IpNet]) -> Option<String> {
    let mut words = Vec::new();
    words.extend(added(old, new).iter().map(|address| format!("+ {address}")));
    words.extend(added(new, old).iter().map(|address| format!("- {address}")));
    match (words.is_empty(), old == new) {
        (false, _) => Some(format!("addresses {}", words.join(" "))),
        (true, false) => Some("addresses in another order".to_owned()),
        (true, true) => None,
    }
}

/// A text without quotation marks.
struct Plain<T>(T);

impl<T: std::fmt::Display> Debug for Plain<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests;
