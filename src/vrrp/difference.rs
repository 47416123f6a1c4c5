//! *pure* What a new configuration changes of the virtual routers, and which can go on with that.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::{Config, OWNER, VirtualRouter, VrrpVersion};

mod words;

use words::changes;

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

/// Whether virtual routers that move together can become these without leaving their state.
#[must_use]
pub fn can_all_become(old: &[&VirtualRouter], new: &[&VirtualRouter]) -> bool {
    let mut pairs = old.iter().zip(new);
    old.len() == new.len() && pairs.all(|(old, new)| can_become(old, new))
}

/// What moves together: the members of each group, in the order that all nodes put them in, and
/// each virtual router without a group. With the name of either.
#[must_use]
pub fn units(config: &Config) -> Vec<(&str, Vec<&VirtualRouter>)> {
    let mut units: Vec<(&str, Vec<&VirtualRouter>)> = Vec::new();
    for router in &config.virtual_routers {
        let name = router.group.as_ref().unwrap_or(&router.name).as_str();
        let same = |(known, members): &&mut (&str, Vec<&VirtualRouter>)| {
            *known == name && router.group.is_some() && members[0].group.is_some()
        };
        match units.iter_mut().find(same) {
            Some((_, members)) => members.push(router),
            None => units.push((name, vec![router])),
        }
    }
    for (_, members) in &mut units {
        members.sort_by_cached_key(|member| order(member));
    }
    units
}

/// By what two nodes tell the members of a group apart, whatever the order in their files: it is
/// the same on both, and another one for each. IPv4 comes first.
fn order(router: &VirtualRouter) -> (bool, u8, Vec<IpAddr>) {
    let mut addresses: Vec<IpAddr> = router.addresses.iter().map(IpNet::addr).collect();
    addresses.sort_unstable();
    let v6 = addresses.iter().any(IpAddr::is_ipv6);
    (v6, router.router_id, addresses)
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
    /// It goes on in its state with other settings, its name perhaps.
    Reconfigured,
    /// It ends, and begins again with other settings.
    BeginsAnew,
}

/// What is said of one virtual router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told<'a> {
    /// Its table key, in the new configuration if it is there.
    pub name: &'a str,
    /// Its table key, in the old configuration if it is there.
    pub was: &'a str,
    /// What becomes of it.
    pub fate: Fate,
    /// What is different, in words; nothing of what comes or goes.
    pub changes: String,
}

impl Told<'_> {
    /// For whoever asks what a reload changes.
    #[must_use]
    fn line(&self) -> String {
        let what = match self.fate {
            Fate::Added => "new",
            Fate::Removed => "removed",
            Fate::Reconfigured => "",
            Fate::BeginsAnew => "begins anew: ",
        };
        format!("virtual router {}: {what}{}", self.was, self.changes)
    }
}

/// What becomes of the virtual routers, a line each, under the names that they have now.
#[must_use]
pub fn lines(old: &Config, new: &Config) -> Vec<String> {
    compare(old, new).iter().map(Told::line).collect()
}

/// What becomes of the virtual routers that are not in the new configuration what they were in the
/// old one.
#[must_use]
pub fn compare<'a>(old: &'a Config, new: &'a Config) -> Vec<Told<'a>> {
    let continued = continued(old, new);
    let taken: HashSet<&str> = continued.values().map(|one| one.name.as_str()).collect();
    let others = old.virtual_routers.iter();
    let others = others.map(|one| (one.name.as_str(), one));
    let mut others: HashMap<&str, &VirtualRouter> =
        others.filter(|(name, _)| !taken.contains(name)).collect();
    let mut told = Vec::new();
    for router in &new.virtual_routers {
        let name = router.name.as_str();
        let (was, fate, changes) = if let Some(&before) = continued.get(name) {
            let changes = changes((old, before), (new, router));
            if changes.is_empty() {
                continue;
            }
            (before.name.as_str(), Fate::Reconfigured, changes)
        } else if let Some(before) = others.remove(name) {
            let mut changes = changes((old, before), (new, router));
            if can_become(before, router) {
                changes.push("others of its group".to_owned());
            }
            (name, Fate::BeginsAnew, changes)
        } else {
            (name, Fate::Added, Vec::new())
        };
        told.push(Told {
            name,
            was,
            fate,
            changes: changes.join("; "),
        });
    }
    let names = old.virtual_routers.iter().map(|one| one.name.as_str());
    let gone = names.filter(|name| others.contains_key(name));
    told.extend(gone.map(|name| Told {
        name,
        was: name,
        fate: Fate::Removed,
        changes: String::new(),
    }));
    told
}

/// By the name of each that goes on in the state that it is in: what it was, perhaps under another
/// name.
fn continued<'a>(old: &'a Config, new: &'a Config) -> HashMap<&'a str, &'a VirtualRouter> {
    let before = units(old);
    let mut continued = HashMap::new();
    for (_, members) in units(new) {
        let same = |(_, old): &&(&str, Vec<&VirtualRouter>)| can_all_become(old, &members);
        if let Some((_, old)) = before.iter().find(same) {
            let names = members.iter().map(|one| one.name.as_str());
            continued.extend(names.zip(old.iter().copied()));
        }
    }
    continued
}

#[cfg(test)]
mod tests;
