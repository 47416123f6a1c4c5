//! Virtual addresses that somebody else puts on a node, and a node that is not the only master.

use std::time::Duration;

use crate::lab::{Lab, until};
use crate::peer::{Node, PROXY, Warren};

const LONG: Duration = Duration::from_secs(10);
/// How long it may take until the kernel's word has been acted upon, on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(300);
const VIP: &str = "10.9.0.100";

fn node(priority: u8) -> Node {
    Node {
        priority,
        ..Node::default()
    }
}

pub(crate) fn a_backup_does_not_keep_the_address() {
    let lab = Lab::new(2);
    let _one = Warren::node(lab.host(1), &node(150));
    let two = Warren::node(lab.host(2), &node(100));
    until("the first is master", LONG, || {
        lab.host(1).has(VIP) && two.router("state") == "backup" && !lab.host(2).has(VIP)
    });
    for (times, length, lifetime) in [
        (1, 32, ""),
        (2, 24, ""),
        (3, 32, " valid_lft 2 preferred_lft 0"),
    ] {
        let host = lab.host(2);
        host.ip(&format!("address add {VIP}/{length} dev eth0{lifetime}"));
        let took = until("removed", AT_ONCE, || !host.has(VIP));
        println!("  removed after {took:?}, the look at it included");
        // What has so short a life may be our own: it is nobody's fault.
        until("counted", LONG, || two.router("cleared") == times.min(2));
    }
    let log = two.process.log();
    let said = log
        .matches("somebody put a virtual address on the interface")
        .count();
    assert_eq!(said, 1, "once in a minute: {log}");
    assert_eq!(two.router("state"), "backup");
}

pub(crate) fn an_interface_does_not_bring_the_address() {
    let mut lab = Lab::new(1);
    let routers = format!(
        "[vrrp.v]\ninterface = \"later\"\nrouter_id = 5\nstartup_delay = \"10s\"\n\
         advert_interval = \"100ms\"\naddresses = [\"{VIP}/24\"]\n"
    );
    let warren = Warren::start(lab.host(1), PROXY, &routers);
    until("it waits", LONG, || warren.router("state") == "init");
    lab.plug_in(1, "sooner");
    let host = lab.host(1);
    host.ip(&format!("address add {VIP}/32 dev sooner"));
    host.ip("link set sooner down");
    assert!(host.ip("address show dev sooner").contains(VIP));
    host.ip("link set sooner name later");
    until("removed", AT_ONCE, || {
        !host.ip("address show dev later").contains(VIP)
    });
    host.ip("link set later up");
    until("it takes part", LONG, || warren.router("state") == "backup");
}

pub(crate) fn nothing_of_the_address_stays_behind() {
    let lab = Lab::new(1);
    let host = lab.host(1);
    let mut warren = Warren::node(host, &node(150));
    until("it is master", LONG, || host.has(VIP));
    host.ip(&format!("address add {VIP}/32 dev eth0"));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(warren.router("state"), "master");
    warren.stop();
    assert!(!host.has(VIP), "{}", host.ip("address show dev eth0"));
    let log = warren.process.log();
    assert!(
        log.contains("somebody put a virtual address on the interface"),
        "{log}"
    );
}

/// What `warren vrrp` says, and its exit code.
pub(crate) fn vrrp(warren: &Warren) -> (String, Option<i32>) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_warren"))
        .args(["vrrp", "--socket"])
        .arg(&warren.socket)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (text, output.status.code())
}

pub(crate) fn two_masters_are_named() {
    let lab = Lab::new(2);
    // The one speaks to the group, the other to a peer: neither believes the other.
    let with = |priority, peers| Node {
        peers,
        ..node(priority)
    };
    let one = Warren::node(lab.host(1), &with(150, &[2]));
    let two = Warren::node(lab.host(2), &with(100, &[]));
    for (warren, other, why) in [
        (&one, "10.9.0.2", "multicast"),
        (&two, "10.9.0.1", "unicast"),
    ] {
        let words = format!("what {other} says is refused ({why})");
        until("it is told", LONG, || vrrp(warren).0.contains(&words));
        assert_eq!(vrrp(warren).1, Some(2));
        let said = "another node is master too and does not give way";
        let log = warren.process.log();
        assert_eq!(log.matches(said).count(), 1, "{log}");
    }
    let told = two.router("other_master");
    assert_eq!(
        (&told["from"], &told["refused"]),
        (&"10.9.0.1".into(), &"unicast".into())
    );
    drop(one);
    until("settled", LONG, || vrrp(&two).1 == Some(0));
}
