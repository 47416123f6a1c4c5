//! Virtual routers beside each other: router ids, addresses, groups.

use super::*;

/// Checks what needs more than one virtual router.
pub(super) fn check(routers: &[Named<Vrrp>], problems: &mut Problems) {
    refuse_double_ids(routers, problems);
    refuse_double_addresses(routers, problems);
    check_groups(routers, problems);
}

/// IPv4 and IPv6 have router ids of their own (RFC 9568, section 1.1).
fn refuse_double_ids(routers: &[Named<Vrrp>], problems: &mut Problems) {
    let mut seen: HashMap<(&str, i64, bool), (&str, Range<usize>)> = HashMap::new();
    for router in routers {
        let file = &router.value;
        let (Some(interface), Some(id), Some(addresses)) = (
            file.interface.value(),
            file.router_id.given(),
            file.addresses.value(),
        ) else {
            continue;
        };
        let v6 = addresses
            .iter()
            .any(|(address, _)| address.0.addr().is_ipv6());
        let key = (interface.0.as_str(), id.value, v6);
        if let Some((name, at)) = seen.get(&key) {
            let what = format!("router id {} is used twice on {}", id.value, interface.0);
            problems.push(
                Problem::error("E0115", what)
                    .at(id.at.clone(), format!("[vrrp.{name}] has it already"))
                    .also(at.clone(), "first used here")
                    .help("a router id is what tells virtual routers of one network apart"),
            );
        } else {
            seen.insert(key, (&router.name, id.at.clone()));
        }
    }
}

fn refuse_double_addresses(routers: &[Named<Vrrp>], problems: &mut Problems) {
    let mut seen: HashMap<IpAddr, (&str, Range<usize>)> = HashMap::new();
    for router in routers {
        for (address, at) in router.value.addresses.value().into_iter().flatten() {
            let ip = address.0.addr();
            let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
            if let Some((name, place)) = seen.get(&ip) {
                // The same link-local address may be on several interfaces.
                if link_local && *name != router.name {
                    continue;
                }
                problems.push(
                    Problem::error("E0109", format!("{ip} is a virtual address twice"))
                        .at(at.clone(), format!("[vrrp.{name}] has it already"))
                        .also(place.clone(), "first used here"),
                );
            } else {
                seen.insert(ip, (&router.name, at.clone()));
            }
        }
    }
}

/// What moves together must want to move at the same time.
fn check_groups(routers: &[Named<Vrrp>], problems: &mut Problems) {
    let mut groups: Vec<(&str, Vec<&Named<Vrrp>>)> = Vec::new();
    for router in routers {
        let Some(group) = router.value.group.value().filter(|group| !group.is_empty()) else {
            continue;
        };
        match groups.iter_mut().find(|(name, _)| *name == group.as_str()) {
            Some((_, members)) => members.push(router),
            None => groups.push((group, vec![router])),
        }
    }
    for (group, members) in groups {
        if let [alone] = members.as_slice()
            && let Some(given) = alone.value.group.given()
        {
            problems.push(
                Problem::warning("W0212", format!("`{group}` is a group of one"))
                    .at(given.at.clone(), "no other virtual router is in it"),
            );
        }
        for pair in members.windows(2) {
            if let Some(key) = difference(&pair[0].value, &pair[1].value) {
                let what = format!("the virtual routers of group `{group}` differ in `{key}`");
                problems.push(
                    Problem::error("E0116", what)
                        .at(
                            pair[1].at.clone(),
                            format!("not as [vrrp.{}]", pair[0].name),
                        )
                        .also(pair[0].at.clone(), "this one")
                        .help("what moves together has one priority and one set of delays"),
                );
            }
        }
    }
}

fn difference(one: &Vrrp, other: &Vrrp) -> Option<&'static str> {
    let zero = Duration::ZERO;
    if or(&one.priority, i64::from(PRIORITY)) != or(&other.priority, i64::from(PRIORITY)) {
        Some("priority")
    } else if or(&one.preempt, true) != or(&other.preempt, true) {
        Some("preempt")
    } else if or(&one.preempt_delay, zero) != or(&other.preempt_delay, zero) {
        Some("preempt_delay")
    } else if or(&one.startup_delay, zero) != or(&other.startup_delay, zero) {
        Some("startup_delay")
    } else {
        None
    }
}
