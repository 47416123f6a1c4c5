//! Virtual addresses that somebody else puts on a node, and a node that is not the only master.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::lab::{Host, Lab, until};
use crate::peer::{Node, PROXY, Warren};

const LONG: Duration = Duration::from_secs(10);
/// How long it may take until the kernel's word has been acted upon, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(1);
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
        .matches("somebody put a virtual address on an interface")
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
    // While it runs it would remove the address from wherever it is.
    warren.process.signal(Signal::SIGSTOP);
    until("stopped", LONG, || warren.process.is_stopped());
    host.ip(&format!("address add {VIP}/32 dev sooner"));
    host.ip("link set sooner down");
    host.ip("link set sooner name later");
    assert!(host.ip("address show dev later").contains(VIP));
    warren.process.signal(Signal::SIGCONT);
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
    // The second begins a network of its own, and the host did without it.
    for (times, stray) in [(1, "10.9.0.100/32 dev eth0"), (2, "10.9.0.100/16 dev eth0")] {
        host.ip(&format!("address add {stray}"));
        until("removed", AT_ONCE, || has_only(host, "10.9.0.100/24"));
        until("counted", LONG, || warren.router("cleared") == times);
    }
    host.ip("address add 10.9.0.100/32 dev lo");
    until("removed", AT_ONCE, || has_only(host, "10.9.0.100/24"));
    assert_eq!(warren.router("state"), "master");
    assert_eq!(warren.router("put_back"), 0, "ours was there all the time");
    let log = warren.process.log();
    let named = "somebody put a virtual address on an interface, and it is removed";
    assert!(log.contains(named) && log.contains("10.9.0.100/32 dev eth0"));
    // What came after the last look of who is killed goes with the next one's first.
    host.ip("address add 10.9.0.100/32 dev eth0");
    until("removed", AT_ONCE, || has_only(host, "10.9.0.100/24"));
    warren.process.signal(Signal::SIGKILL);
    until("the lease ends", LONG, || !host.has(VIP));
    warren = Warren::node(host, &node(150));
    until("it is master again", LONG, || host.has(VIP));
    warren.stop();
    assert!(!host.has(VIP), "{}", host.ip("address show dev eth0"));
}

/// Whether this is the only form in which the host has the address, on one interface.
fn has_only(host: &Host, address: &str) -> bool {
    let shown = host.ip("-o address show");
    let ip = format!("{}/", address.split('/').next().unwrap());
    let mut words = shown
        .split_whitespace()
        .filter(|word| word.starts_with(&ip));
    words.next() == Some(address) && words.next().is_none()
}

/// Linux answers on every interface for what it has on any.
pub(crate) fn a_backup_has_the_address_on_no_interface() {
    let lab = Lab::new(1);
    let host = lab.host(1);
    host.ip("link add br1 type bridge");
    host.ip("link set br1 addrgenmode none");
    host.ip("link set br1 up");
    let routers = "startup_delay = \"60s\"\ninterface = \"eth0\"\nrouter_id = 5\n";
    let routers = format!(
        "[vrrp.four]\n{routers}addresses = [\"{VIP}/24\"]\n\
         [vrrp.six]\n{routers}addresses = [\"fe80::100/64\", \"2001:db8::100/64\"]\n"
    );
    let warren = Warren::start(host, PROXY, &routers);
    let router = |at: usize| warren.status()["virtual_routers"][at].clone();
    until("both are backup", LONG, || {
        router(0)["state"] == "backup" && router(1)["state"] == "backup"
    });
    host.ip("address add fe80::100/64 dev br1 nodad");
    for (address, place) in [
        (VIP, "10.9.0.100/32 dev lo"),
        ("2001:db8::100", "2001:db8::100/128 dev br1"),
    ] {
        host.ip(&format!("address add {place}"));
        until("removed", AT_ONCE, || !host.has(address));
        let log = || warren.process.log();
        until("named", LONG, || log().contains(place));
    }
    until("counted", LONG, || {
        router(0)["cleared"] == 1 && router(1)["cleared"] == 1
    });
    // This one is for the network of the bridge alone.
    assert!(host.has("fe80::100"));
    // A typo must not take an interface off its network.
    host.ip(&format!("address add {VIP}/24 dev br1"));
    let named = "is the host's own on another interface, and is left there";
    until("named", LONG, || warren.process.log().contains(named));
    assert!(host.has(VIP));
    assert_eq!(router(0)["cleared"], 1);
}

/// More changes than the kernel keeps for us. What was lost among them is found by the renewal.
pub(crate) fn a_removed_address_is_counted_in_a_storm_of_changes() {
    let lab = Lab::new(1);
    let host = lab.host(1);
    let slow = Node {
        interval: 1_000,
        ..node(150)
    };
    let warren = Warren::node(host, &slow);
    until("it is master", LONG, || host.has(VIP));
    host.ip("link add many type bridge");
    host.ip("link set many up");
    let batch: String = (0..10_000)
        .map(|n| format!("address add 10.20.{}.{}/32 dev many\n", n / 250, n % 250))
        .collect();
    let file = host.file("batch");
    std::fs::write(&file, batch).unwrap();
    let mut storm = host.inside("ip");
    storm.arg("-batch").arg(file);
    let mut storm = host.start(storm);
    std::thread::sleep(Duration::from_millis(300));
    host.ip(&format!("address delete {VIP}/24 dev eth0"));
    until("counted", LONG, || warren.router("put_back") == 1);
    assert_eq!(storm.wait(LONG), Some(0));
    until("it is back", LONG, || host.has(VIP));
    assert_eq!(warren.router("state"), "master");
    assert_eq!(warren.router("put_back"), 1, "once");
    let log = warren.process.log();
    assert!(log.contains("somebody removed a virtual address"), "{log}");
    let failed = log.matches("the interfaces cannot be read").count();
    assert!(failed < 20, "tried again every second: {log}");
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
