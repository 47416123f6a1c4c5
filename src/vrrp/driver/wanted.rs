//! What a configuration wants of the units: each group, and each virtual router without one.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, VirtualRouter};
use crate::vrrp::difference::{can_all_become, units};
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
        let (old, new): (Vec<_>, Vec<_>) = (old.collect(), self.routers().collect());
        can_all_become(&old, &new)
    }
}

/// The units of a configuration.
pub(super) fn wanted(config: &Config, pools: &Pools) -> Vec<Wanted> {
    let unit = |(name, members): (&str, Vec<&VirtualRouter>)| {
        let tracked = |router: &VirtualRouter| {
            let tracked = router.track_pools.iter();
            let tracked = tracked.map(|one| (Arc::clone(&pools[one.pool]), one.weight));
            tracked.collect()
        };
        Wanted {
            name: name.to_owned(),
            settings: settings(config, &members),
            members: members
                .into_iter()
                .map(|one| (one.clone(), tracked(one)))
                .collect(),
        }
    };
    units(config).into_iter().map(unit).collect()
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
