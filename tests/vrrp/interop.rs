//! warren beside keepalived 2.2.7 and FRR 8.4, as master and as backup of each.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::lab::{Host, Lab, Process, until};
use crate::peer::{Frr, Node, Warren, keepalived};
use crate::strays::vrrp;

const LONG: Duration = Duration::from_secs(15);
/// On top of what the protocol allows, for a busy machine.
const SLACK: Duration = Duration::from_millis(700);
/// How long the kernel keeps the address of a dead warren.
const LEASE: Duration = Duration::from_millis(2_500);

/// The address that is looked for.
fn address(node: &Node) -> &'static str {
    node.addresses.last().unwrap().split('/').next().unwrap()
}

/// Starts a peer on a host.
type Start = fn(&Host, &Node) -> Process;

/// warren on host 1 is master; the other one, on host 2, follows.
fn as_master(lab: &Lab, ours: &Node, theirs: &Node, start: Start) {
    let (one, two) = (lab.host(1), lab.host(2));
    let vip = address(ours);
    let mut peer = start(two, theirs);
    let mut warren = Warren::node(one, ours);
    until("warren is master", LONG, || one.has(vip) && !two.has(vip));

    // Stopped: the address is never without an owner.
    warren.stop();
    assert!(two.has(vip), "the other one took over before warren let go");
    assert!(!one.has(vip));

    // Back: the higher priority takes over again.
    warren = Warren::node(one, ours);
    until("given back", LONG, || one.has(vip) && !two.has(vip));

    // Killed: taken over in time, and gone by itself.
    warren.process.signal(Signal::SIGKILL);
    let took = until("taken over", ours.down() + SLACK, || two.has(vip));
    until("gone here", LEASE, || !one.has(vip));
    println!("  killed: taken over after {took:?}");

    // The link: released at once, taken over in time.
    warren = Warren::node(one, ours);
    until("master once more", LONG, || one.has(vip) && !two.has(vip));
    lab.link(1, "down");
    until("released", Duration::from_millis(500), || !one.has(vip));
    until("taken over", ours.down() + SLACK, || two.has(vip));
    lab.link(1, "up");
    until("given back", LONG, || one.has(vip) && !two.has(vip));
    warren.stop();
    assert!(lab.judge(1) > 1);
    peer.signal(Signal::SIGTERM);
    peer.wait(LONG);
}

/// The other one, on host 2, is master; warren on host 1 follows.
fn as_backup(lab: &Lab, ours: &Node, theirs: &Node, start: Start) {
    let (one, two) = (lab.host(1), lab.host(2));
    let vip = address(ours);
    let mut warren = Warren::node(one, ours);
    let mut peer = start(two, theirs);
    until("the other one is master", LONG, || {
        two.has(vip) && !one.has(vip)
    });
    assert_eq!(warren.router("state"), "backup");

    peer.signal(Signal::SIGTERM);
    let took = until("taken over", theirs.down() + SLACK, || one.has(vip));
    println!("  stopped: taken over after {took:?}");
    peer.wait(LONG);

    peer = start(two, theirs);
    until("given back", LONG, || two.has(vip) && !one.has(vip));

    lab.link(2, "down");
    let took = until("taken over", theirs.down() + SLACK, || one.has(vip));
    println!("  link lost: taken over after {took:?}");
    lab.link(2, "up");
    until("given back", LONG, || two.has(vip) && !one.has(vip));

    peer.signal_children(Signal::SIGKILL);
    peer.signal(Signal::SIGKILL);
    let took = until("taken over", theirs.down() + SLACK, || one.has(vip));
    println!(
        "  killed: taken over after {took:?}; the dead one still has it: {}",
        two.has(vip)
    );
    drop(peer);
    peer = start(two, theirs);
    until("given back", LONG, || two.has(vip) && !one.has(vip));
    warren.stop();
    lab.judge(1);
    drop(peer);
}

fn both(ours: Node, start: Start) {
    let (high, low) = (150, 100);
    let with = |priority| Node {
        priority,
        ..ours.clone()
    };
    let lab = Lab::new(2);
    as_master(&lab, &with(high), &with(low), start);
    as_backup(&lab, &with(low), &with(high), start);
}

pub(crate) fn keepalived_v2() {
    let node = Node {
        version: 2,
        interval: 1000,
        ..Node::default()
    };
    both(node, keepalived);
}

pub(crate) fn keepalived_v3() {
    both(Node::default(), keepalived);
}

/// Each on host 1 or 2 with the other one as its peer.
fn unicast(node: &Node) {
    let lab = Lab::new(2);
    let with = |priority, peers| Node {
        priority,
        peers,
        ..node.clone()
    };
    as_master(&lab, &with(150, &[2]), &with(100, &[1]), keepalived);
    as_backup(&lab, &with(100, &[2]), &with(150, &[1]), keepalived);
    let to_group = lab.captured(
        "vrrp and (ip.dst == 224.0.0.18 or ipv6.dst == ff02::12)",
        &[],
    );
    assert!(to_group.is_empty(), "{to_group:#?}");
}

pub(crate) fn keepalived_v2_unicast() {
    unicast(&Node {
        version: 2,
        interval: 1000,
        ..Node::default()
    });
}

pub(crate) fn keepalived_v3_unicast() {
    unicast(&Node::default());
}

/// keepalived sends unicast over IPv6 with a hop limit of 64 unless it is told otherwise.
const HOPS: &str = "unicast_ttl 255";

fn six(global: bool, keepalived: &'static str) -> Node {
    Node {
        addresses: &["fe80::100/64", "2001:db8::100/64"],
        global,
        keepalived,
        ..Node::default()
    }
}

pub(crate) fn keepalived_v3_ipv6_unicast() {
    unicast(&six(false, HOPS));
}

pub(crate) fn keepalived_v3_ipv6_unicast_global() {
    unicast(&six(true, HOPS));
}

/// Whoever may have forwarded it is not believed, but named if it is a peer.
pub(crate) fn keepalived_ipv6_unicast_with_a_short_hop_limit() {
    let lab = Lab::new(2);
    let with = |peers| Node {
        peers,
        ..six(true, "")
    };
    let _peer = keepalived(
        lab.host(2),
        &Node {
            priority: 150,
            ..with(&[1])
        },
    );
    let warren = Warren::node(lab.host(1), &with(&[2]));
    let words = "what 2001:db8::2 says is refused (ttl)";
    until("it is named", LONG, || vrrp(&warren).0.contains(words));
    let log = warren.process.log();
    assert!(log.contains("from=2001:db8::2 reason=ttl"), "{log}");
}

pub(crate) fn keepalived_v3_ipv6() {
    let node = Node {
        addresses: &["fe80::100/64", "2001:db8::100/64"],
        ..Node::default()
    };
    both(node, keepalived);
}

/// Who is there first keeps the address, whatever the priorities.
pub(crate) fn keepalived_nopreempt() {
    let lab = Lab::new(2);
    let (one, two) = (lab.host(1), lab.host(2));
    let with = |priority| Node {
        priority,
        preempt: false,
        ..Node::default()
    };
    let vip = address(&with(1));
    let peer = keepalived(two, &with(100));
    until("the first is master", LONG, || two.has(vip));
    let mut warren = Warren::node(one, &with(150));
    until("the second is backup", LONG, || {
        warren.router("state") == "backup"
    });
    std::thread::sleep(Duration::from_secs(2));
    assert!(two.has(vip) && !one.has(vip), "it stays");
    peer.signal(Signal::SIGTERM);
    until("taken over", LONG, || one.has(vip) && !two.has(vip));
    let _peer = keepalived(two, &with(200));
    std::thread::sleep(Duration::from_secs(3));
    assert!(one.has(vip) && !two.has(vip), "it stays");
    warren.stop();
    lab.judge(1);
}

pub(crate) fn keepalived_equal_priorities() {
    let lab = Lab::new(2);
    let (one, two) = (lab.host(1), lab.host(2));
    let node = Node::default();
    let vip = address(&node);
    // Host 2 has the higher address. A backup does not replace an equal master.
    let warren = Warren::node(one, &node);
    until("alone", LONG, || one.has(vip));
    let peer = keepalived(two, &node);
    std::thread::sleep(Duration::from_secs(2));
    assert!(one.has(vip) && !two.has(vip), "an equal master stays");
    // Two masters: the higher address wins.
    lab.link(2, "down");
    std::thread::sleep(Duration::from_secs(1));
    lab.link(2, "up");
    until("one of them", LONG, || one.has(vip) != two.has(vip));
    let stays = one.has(vip);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(
        (one.has(vip), two.has(vip)),
        (stays, !stays),
        "it is settled"
    );
    drop((warren, peer));
    lab.judge(1);
}

fn frr(ours: Node) {
    let lab = Lab::new(2);
    let one = lab.host(1);
    let with = |priority| Node {
        priority,
        ..ours.clone()
    };
    // Its address stays on its macvlan; who is master is seen by who advertises.
    let mut warren = Warren::node(one, &with(150));
    let mut frr = Frr::start(lab.host(2), &with(100));
    let vip = address(&ours);
    until("warren is master", LONG, || one.has(vip));
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(warren.router("state"), "master", "{}", frr.vrrpd.log());
    assert_eq!(heard_from_frr(&warren), 0, "FRR follows");
    let takes_over = |how: &str, act: &mut dyn FnMut()| {
        let before = advertisements_of_frr(&lab);
        act();
        std::thread::sleep(ours.down() + SLACK);
        assert!(advertisements_of_frr(&lab) > before, "{how}: FRR took over");
        until("gone here", LEASE, || !one.has(vip));
    };
    takes_over("stopped", &mut || warren.stop());
    warren = Warren::node(one, &with(150));
    until("given back", LONG, || one.has(vip));
    takes_over("killed", &mut || warren.process.signal(Signal::SIGKILL));
    warren = Warren::node(one, &with(150));
    until("given back", LONG, || one.has(vip));
    takes_over("link lost", &mut || lab.link(1, "down"));
    lab.link(1, "up");
    until("given back", LONG, || one.has(vip));
    warren.stop();

    // As a backup.
    warren = Warren::node(one, &with(50));
    until("warren hears FRR", LONG, || heard_from_frr(&warren) > 5);
    assert_eq!(warren.router("state"), "backup");
    frr.stop();
    until("taken over", ours.down() + SLACK, || one.has(vip));
    frr = Frr::start(lab.host(2), &with(200));
    until("given back", LONG, || !one.has(vip));
    lab.link(2, "down");
    until("taken over", ours.down() + SLACK, || one.has(vip));
    lab.link(2, "up");
    until("given back", LONG, || !one.has(vip));
    frr.vrrpd.signal(Signal::SIGKILL);
    until("taken over from the dead", ours.down() + SLACK, || {
        one.has(vip)
    });
    warren.stop();
    assert!(lab.judge(1) > 1);
}

/// Host 2 has the higher address. Two masters: one of them stays, and it alone advertises.
pub(crate) fn frr_equal_priorities() {
    let lab = Lab::new(2);
    let node = Node::default();
    let one = lab.host(1);
    let warren = Warren::node(one, &node);
    until("alone", LONG, || one.has(address(&node)));
    let _frr = Frr::start(lab.host(2), &node);
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(heard_from_frr(&warren), 0, "an equal master stays");
    lab.link(2, "down");
    std::thread::sleep(Duration::from_secs(1));
    lab.link(2, "up");
    // Both were masters; give them time to meet.
    std::thread::sleep(Duration::from_secs(2));
    let state = warren.router("state");
    let before = advertisements_of_frr(&lab);
    std::thread::sleep(Duration::from_secs(1));
    let advertises = advertisements_of_frr(&lab) > before;
    assert_eq!(warren.router("state"), state, "it is settled");
    assert_eq!(
        state == "master",
        !advertises,
        "{state}, and FRR advertises: {advertises}"
    );
    drop(warren);
    lab.judge(1);
}

fn heard_from_frr(warren: &Warren) -> u64 {
    warren.router("received").as_u64().unwrap_or(0)
}

/// Advertisements of whoever is not warren.
fn advertisements_of_frr(lab: &Lab) -> usize {
    std::thread::sleep(Duration::from_millis(200));
    let others = lab.captured(
        "vrrp and not (ip.src == 10.9.0.1 or ipv6.src == fe80::1)",
        &[],
    );
    others.len()
}

pub(crate) fn frr_ipv4() {
    frr(Node::default());
}

pub(crate) fn frr_ipv6() {
    frr(Node {
        addresses: &["fe80::100/64", "2001:db8::100/64"],
        ..Node::default()
    });
}
