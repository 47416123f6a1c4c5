//! What a configuration wants of the units: each group, and each virtual router without one.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, VirtualRouter};
use crate::vrrp::difference::can_become;
use crate::vrrp::inputs::{PoolInput, Pools};
use crate::vrrp::router::Settings;

/// A pool that lowers the priority, and by how much.
pub(super) type Tracked = (Arc<PoolInput>, u8);

/// What one unit is to be.
pub(super) struct Wanted {
    /// Of the group, or of the virtual router without one.
    pub(super) name: String,
    pub(super) settings: Settings,
    /// In the order that all nodes put them in.
    pub(super) members: Vec<(VirtualRouter, Vec<Tracked>)>,
}

impl Wanted {
    /// The virtual routers.
    pub(super) fn routers(&self) -> impl Iterator<Item = &VirtualRouter> {
        self.members.iter().map(|(config, _)| config)
    }

    /// Whether a unit of these virtual routers can become this one without leaving its state.
    pub(super) fn continues<'a>(&self, old: impl Iterator<Item = &'a VirtualRouter>) -> bool {
        let old: Vec<&VirtualRouter> = old.collect();
        let mut pairs = old.iter().zip(self.routers());
        old.len() == self.members.len() && pairs.all(|(old, new)| can_become(old, new))
    }
}

/// The units of a configuration.
pub(super) fn wanted(config: &Config, pools: &Pools) -> Vec<Wanted> {
    let mut groups: Vec<(String, Vec<&VirtualRouter>)> = Vec::new();
    for router in &config.virtual_routers {
        let name = router.group.as_ref().unwrap_or(&router.name);
        let same = |(known, members): &&mut (String, Vec<&VirtualRouter>)| {
            known == name && router.group.is_some() && members[0].group.is_some()
        };
        match groups.iter_mut().find(same) {
            Some((_, members)) => members.push(router),
            None => groups.push((name.clone(), vec![router])),
        }
    }
    let unit = |(name, mut members): (String, Vec<&VirtualRouter>)| {
        members.sort_by_cached_key(|member| order(member));
        let tracked = |router: &VirtualRouter| {
            let tracked = router.track_pools.iter();
            let tracked = tracked.map(|one| (Arc::clone(&pools[one.pool]), one.weight));
            tracked.collect()
        };
        Wanted {
            name,
            settings: settings(config, &members),
            members: members
                .into_iter()
                .map(|one| (one.clone(), tracked(one)))
                .collect(),
        }
    };
    groups.into_iter().map(unit).collect()
}

/// By what two nodes tell the members of a group apart, whatever the order in their files: it is
/// the same on both, and another one for each. IPv4 comes first.
fn order(router: &VirtualRouter) -> (bool, u8, Vec<IpAddr>) {
    let mut addresses: Vec<IpAddr> = router.addresses.iter().map(ipnet::IpNet::addr).collect();
    addresses.sort_unstable();
    let v6 = addresses.iter().any(IpAddr::is_ipv6);
    (v6, router.router_id, addresses)
}

fn settings(config: &Config, members: &[&VirtualRouter]) -> Settings {
    let first = members[0];
    Settings {
        priority: first.priority,
        preempt: first.preempt,
        preempt_delay: first.preempt_delay,
        startup_delay: first.startup_delay,
        tracks_pools: members.iter().any(|member| !member.track_pools.is_empty()),
        settle: settle(config, members),
    }
}

/// How long after a pool became usable here the other node may see the same: its checks are not in
/// step with ours.
fn settle(config: &Config, members: &[&VirtualRouter]) -> Duration {
    let tracked = members.iter().flat_map(|member| &member.track_pools);
    tracked
        .map(|tracked| {
            let check = &config.pools[tracked.pool].check;
            // Intervals are jittered by a tenth.
            check.interval * check.rise * 11 / 10 + check.timeout
        })
        .max()
        .unwrap_or_default()
}
