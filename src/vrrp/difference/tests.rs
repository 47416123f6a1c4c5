//! From one configuration to another, in words and in what can be done under way.

use std::path::Path;

use super::*;
use crate::config::limits::Surroundings;
use crate::config::parse_within;

/// A configuration with two pools and these virtual routers.
fn config(pools: [&str; 2], routers: &str) -> Config {
    let mut text = "[listen.amqp]\nbind = \"0.0.0.0:5672\"\npool = \"rabbit\"\n".to_owned();
    for pool in pools {
        text += &format!("[pool.{pool}.servers]\nrabbit-1 = \"192.0.2.21:5672\"\n");
    }
    let machine = Surroundings {
        descriptors: 10_000,
        cpus: 2,
        is_daemon: true,
        interfaces: None,
    };
    let parsed = parse_within(&(text + routers), "test.toml", Path::new("."), machine);
    parsed.unwrap_or_else(|problems| panic!("{problems}")).0
}

const POOLS: [&str; 2] = ["rabbit", "spare"];

/// A virtual router with these lines instead of its own, or beside them.
fn router(name: &str, lines: &[&str]) -> String {
    let own = [
        "interface = \"eth0\"",
        "router_id = 51",
        "addresses = [\"192.0.2.100/24\"]",
    ];
    let key = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let is_given = |own: &&&str| !lines.iter().any(|line| key(line) == key(own));
    let lines = own.iter().filter(is_given).chain(lines);
    let lines: Vec<&str> = lines.copied().collect();
    format!("[vrrp.{name}]\n{}\n", lines.join("\n"))
}

/// Fate and changes of the virtual router `v` from the one to the other.
fn told(old: &[&str], new: &[&str], anew: bool) -> Vec<(Fate, String)> {
    let (old, new) = (
        config(POOLS, &router("v", old)),
        config(POOLS, &router("v", new)),
    );
    let anew = if anew {
        HashSet::from(["v"])
    } else {
        HashSet::new()
    };
    let told = compare(&old, &new, &anew);
    assert!(told.iter().all(|told| told.name == "v"));
    told.into_iter()
        .map(|told| (told.fate, told.changes))
        .collect()
}

#[test]
fn each_key_is_named_with_both_values() {
    let rows: &[(&[&str], &[&str], &str)] = &[
        (&[], &["priority = 150"], "priority 100 -> 150"),
        (
            &[],
            &["advert_interval = \"250ms\""],
            "advert_interval 1s -> 250ms",
        ),
        (&[], &["preempt = false"], "preempt true -> false"),
        (&[], &["preempt_delay = \"2s\""], "preempt_delay 0ns -> 2s"),
        (
            &["startup_delay = \"3s\""],
            &["startup_delay = \"2s\""],
            "startup_delay 3s -> 2s",
        ),
        (&[], &["peers = [\"192.0.2.2\"]"], "peers [] -> [192.0.2.2]"),
        (
            &[],
            &["source = \"192.0.2.1\""],
            "source None -> Some(192.0.2.1)",
        ),
        (&[], &["checksum = \"rfc9568\""], "checksum Auto -> Rfc9568"),
        (&[], &["group = \"g\""], "group None -> Some(\"g\")"),
        (
            &[],
            &["track_interfaces = [\"eth1\"]"],
            "track_interfaces [] -> [eth1]",
        ),
        (
            &["track_pools = { rabbit = 20 }"],
            &["track_pools = { rabbit = 30, spare = 5 }"],
            "track_pools [rabbit 20] -> [rabbit 30, spare 5]",
        ),
        (
            &["addresses = [\"192.0.2.100/24\", \"192.0.2.101/24\"]"],
            &["addresses = [\"192.0.2.102/24\", \"192.0.2.101/24\"]"],
            "addresses + 192.0.2.102/24 - 192.0.2.100/24",
        ),
        (
            &["addresses = [\"192.0.2.100/24\", \"192.0.2.101/24\"]"],
            &["addresses = [\"192.0.2.101/24\", \"192.0.2.100/24\"]"],
            "addresses in another order",
        ),
    ];
    for (old, new, changes) in rows {
        let wanted = [(Fate::Reconfigured, (*changes).to_owned())];
        assert_eq!(told(old, new, false), wanted, "{new:?}");
        assert_eq!(told(new, new, false), [], "{new:?}");
    }
    let wanted = "interface eth0 -> eth1, router_id 51 -> 52, version V3 -> V2";
    let hard = ["interface = \"eth1\"", "router_id = 52", "version = 2"];
    let wanted = [(Fate::BeginsAnew, wanted.to_owned())];
    assert_eq!(told(&[], &hard, true), wanted);
    let wanted = [(Fate::BeginsAnew, "others of its group".to_owned())];
    assert_eq!(told(&[], &[], true), wanted);
}

#[test]
fn pools_are_compared_by_name() {
    let v = router("v", &["track_pools = { rabbit = 20 }"]);
    let (old, new) = (config(POOLS, &v), config(["spare", "rabbit"], &v));
    assert_ne!(old.virtual_routers, new.virtual_routers, "other indices");
    assert_eq!(compare(&old, &new, &HashSet::new()), []);
}

#[test]
fn who_comes_who_goes_and_who_has_another_name() {
    let other = |name| {
        router(
            name,
            &["router_id = 52", "addresses = [\"192.0.2.200/24\"]"],
        )
    };
    let third = router("c", &["router_id = 53", "addresses = [\"192.0.2.210/24\"]"]);
    let old = config(POOLS, &(router("a", &[]) + &other("b")));
    let new = config(POOLS, &(other("x") + &third));
    let told = compare(&old, &new, &HashSet::from(["c"]));
    let told: Vec<_> = told
        .iter()
        .map(|told| (told.name, told.fate, told.changes.as_str()))
        .collect();
    let wanted = [
        ("x", Fate::Reconfigured, "name b -> x"),
        ("c", Fate::Added, ""),
        ("a", Fate::Removed, ""),
    ];
    assert_eq!(told, wanted);
}

#[test]
fn what_can_change_under_way() {
    let can = |old: &[&str], new: &[&str]| {
        let one = |lines| config(POOLS, &router("v", lines)).virtual_routers.remove(0);
        can_become(&one(old), &one(new))
    };
    let soft: &[&[&str]] = &[
        &[],
        &["priority = 254"],
        &["advert_interval = \"250ms\""],
        &["preempt = false"],
        &["addresses = [\"192.0.2.7/32\"]"],
        &["peers = [\"192.0.2.2\"]"],
        &["track_pools = { rabbit = 20 }"],
    ];
    for new in soft {
        assert!(can(&[], new) && can(new, &[]), "{new:?}");
    }
    let hard: &[&[&str]] = &[
        &["interface = \"eth1\""],
        &["router_id = 52"],
        &["version = 2"],
        &["priority = 255"],
        &["addresses = [\"fe80::100/64\"]"],
    ];
    for new in hard {
        assert!(!can(&[], new) && !can(new, &[]), "{new:?}");
    }
    let slow = ["version = 2", "advert_interval = \"2s\""];
    assert!(
        !can(&["version = 2"], &slow),
        "peers refuse another interval"
    );
    assert!(can(&slow, &slow));
}
