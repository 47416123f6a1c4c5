//! *pure* What is different of a virtual router, in words.

use ipnet::IpNet;

use super::added;
use crate::config::diff::{Settings, differences, list, text};
use crate::config::units::duration_text;
use crate::config::{Config, VirtualRouter, VrrpVersion};

/// What is different, key by key: `priority 150 -> 100`, `addresses + 192.0.2.101/24`. The pools
/// are those of the configurations.
pub(super) fn changes(
    (old_config, old): (&Config, &VirtualRouter),
    (new_config, new): (&Config, &VirtualRouter),
) -> Vec<String> {
    let mut changes = differences(&settings(old, old_config), &settings(new, new_config));
    changes.extend(different_addresses(&old.addresses, &new.addresses));
    changes
}

/// All but the addresses, of which each may come or go.
fn settings(router: &VirtualRouter, config: &Config) -> Settings {
    let version = match router.version {
        VrrpVersion::V2 => "2",
        VrrpVersion::V3 => "3",
    };
    let interval = router.advert_interval.duration();
    let source = router.source.map(|source| source.to_string());
    let interfaces = router.track_interfaces.iter();
    let interfaces = interfaces.map(|one| match one.weight {
        Some(weight) => format!("{}: {weight}", one.interface),
        None => one.interface.clone(),
    });
    let pools = router.track_pools.iter();
    let pools = pools.map(|one| format!("{}: {}", config.pools[one.pool].name, one.weight));
    vec![
        ("name", router.name.clone()),
        ("interface", router.interface.clone()),
        ("router_id", router.router_id.to_string()),
        ("version", version.to_owned()),
        ("priority", router.priority.to_string()),
        ("advert_interval", duration_text(interval)),
        ("preempt", router.preempt.to_string()),
        ("preempt_delay", duration_text(router.preempt_delay)),
        ("startup_delay", duration_text(router.startup_delay)),
        ("peers", list(&router.peers)),
        ("source", source.unwrap_or_default()),
        ("checksum", text(&router.checksum)),
        ("group", router.group.clone().unwrap_or_default()),
        ("track_interfaces", list(&interfaces.collect::<Vec<_>>())),
        ("track_pools", list(&pools.collect::<Vec<_>>())),
    ]
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
