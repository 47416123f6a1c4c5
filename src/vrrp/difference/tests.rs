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
fn told(old: &[&str], new: &[&str]) -> Vec<(Fate, String)> {
    let (old, new) = (
        config(POOLS, &router("v", old)),
        config(POOLS, &router("v", new)),
    );
    let told = compare(&old, &new);
    assert!(told.iter().all(|told| (told.name, told.was) == ("v", "v")));
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
        (&[], &["preempt_delay = \"2s\""], "preempt_delay 0s -> 2s"),
        (
            &["startup_delay = \"3s\""],
            &["startup_delay = \"2s\""],
            "startup_delay 3s -> 2s",
        ),
        (&[], &["peers = [\"192.0.2.2\"]"], "peers none -> 192.0.2.2"),
        (&[], &["source = \"192.0.2.1\""], "source none -> 192.0.2.1"),
        (&[], &["checksum = \"rfc9568\""], "checksum auto -> rfc9568"),
        (&[], &["group = \"g\""], "group none -> g"),
        (
            &[],
            &["track_interfaces = [\"eth1\"]"],
            "track_interfaces none -> eth1",
        ),
        (
            &["track_pools = { rabbit = 20 }"],
            &["track_pools = { rabbit = 30, spare = 5 }"],
            "track_pools rabbit: 20 -> rabbit: 30, spare: 5",
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
        (
            &[],
            &["priority = 150", "preempt = false"],
            "priority 100 -> 150; preempt true -> false",
        ),
    ];
    for (old, new, changes) in rows {
        let wanted = [(Fate::Reconfigured, (*changes).to_owned())];
        assert_eq!(told(old, new), wanted, "{new:?}");
        assert_eq!(told(new, new), [], "{new:?}");
    }
    let wanted = "interface eth0 -> eth1; router_id 51 -> 52; version 3 -> 2";
    let hard = ["interface = \"eth1\"", "router_id = 52", "version = 2"];
    let wanted = [(Fate::BeginsAnew, wanted.to_owned())];
    assert_eq!(told(&[], &hard), wanted);
}

#[test]
fn pools_are_compared_by_name() {
    let v = router("v", &["track_pools = { rabbit = 20 }"]);
    let (old, new) = (config(POOLS, &v), config(["spare", "rabbit"], &v));
    assert_ne!(old.virtual_routers, new.virtual_routers, "other indices");
    assert_eq!(compare(&old, &new), []);
}

/// The lines from the one to the other, virtual routers with their names, router ids and what else
/// is said of them.
fn said(old: &[(&str, u8, &str)], new: &[(&str, u8, &str)]) -> Vec<String> {
    let all = |routers: &[(&str, u8, &str)]| {
        let one = |(name, id, more): &(&str, u8, &str)| {
            let id_line = format!("router_id = {id}");
            let addresses = format!("addresses = [\"192.0.2.{id}/24\"]");
            router(name, &[&id_line, &addresses, more])
        };
        config(POOLS, &routers.iter().map(one).collect::<String>())
    };
    lines(&all(old), &all(new))
}

#[test]
fn who_comes_who_goes_and_who_has_another_name() {
    let (a, b) = (("a", 51, ""), ("b", 52, ""));
    assert_eq!(said(&[a, b], &[a, b]), [""; 0]);
    assert_eq!(
        said(&[a, b], &[("x", 52, ""), ("c", 53, "")]),
        [
            "virtual router b: name b -> x",
            "virtual router c: new",
            "virtual router a: removed"
        ]
    );
    assert_eq!(
        said(&[a], &[("x", 51, "priority = 150")]),
        ["virtual router a: name a -> x; priority 100 -> 150"]
    );
    // Names change places.
    assert_eq!(
        said(&[a, b], &[("a", 52, ""), ("b", 51, "")]),
        [
            "virtual router b: name b -> a",
            "virtual router a: name a -> b"
        ]
    );
    // The one that had this name goes on: this is another one.
    assert_eq!(
        said(&[a], &[("a", 52, ""), ("x", 51, "")]),
        ["virtual router a: new", "virtual router a: name a -> x"]
    );
    // What begins anew under another name takes nothing along.
    assert_eq!(
        said(&[a], &[("x", 51, "version = 2")]),
        ["virtual router x: new", "virtual router a: removed"]
    );
    assert_eq!(
        said(&[a], &[("a", 53, "priority = 150")]),
        [
            "virtual router a: begins anew: router_id 51 -> 53; priority 100 -> 150; \
             addresses + 192.0.2.53/24 - 192.0.2.51/24"
        ]
    );
}

#[test]
fn a_group_goes_on_or_begins_anew_as_one() {
    let in_group =
        |priority: u8, group: &str| format!("group = \"{group}\"\npriority = {priority}");
    let (g, other, raised) = (in_group(100, "g"), in_group(100, "h"), in_group(150, "g"));
    let both = [("a", 51, &*g), ("b", 52, &*g)];
    // The order in the file says nothing.
    assert_eq!(
        said(&both, &[("b", 52, &raised), ("a", 51, &raised)]),
        [
            "virtual router b: priority 100 -> 150",
            "virtual router a: priority 100 -> 150"
        ]
    );
    assert_eq!(
        said(&both, &[("a", 51, &other), ("b", 52, &other)]),
        [
            "virtual router a: group g -> h",
            "virtual router b: group g -> h"
        ]
    );
    assert_eq!(
        said(&both, &[("a", 51, &raised)]),
        [
            "virtual router a: begins anew: priority 100 -> 150; others of its group",
            "virtual router b: removed"
        ]
    );
    assert_eq!(
        said(&both, &[("a", 51, &g), ("b", 53, &g)]),
        [
            "virtual router a: begins anew: others of its group",
            "virtual router b: begins anew: router_id 52 -> 53; \
             addresses + 192.0.2.53/24 - 192.0.2.52/24"
        ]
    );
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
