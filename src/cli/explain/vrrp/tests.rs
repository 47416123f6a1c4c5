//! Each state and each reason.

use super::*;
use crate::stats::example::snapshot;
use crate::stats::snapshot::OtherMasterSnapshot;

/// The master of the example after a change.
fn said(change: impl FnOnce(&mut VirtualRouterSnapshot)) -> String {
    let mut router = snapshot().virtual_routers.remove(0);
    change(&mut router);
    explain(&router, "lb-1")
}

/// A backup of priority 150 that has heard a master of this priority.
fn backup(heard: Option<u8>, change: impl FnOnce(&mut VirtualRouterSnapshot)) -> String {
    said(|router| {
        router.state = "backup".to_owned();
        router.why = "joined the election".to_owned();
        router.priority = 150;
        router.arithmetic = "150".to_owned();
        router.heard = heard.map(|priority| HeardSnapshot {
            from: "192.0.2.12".to_owned(),
            priority,
            ago_ms: 400,
        });
        change(router);
    })
}

/// Expects some words in this order.
fn expect(text: &str, words: &[&str]) {
    let mut rest = text;
    for word in words {
        let Some((_, after)) = rest.split_once(word) else {
            panic!("`{word}` is not, or not in this order, in: {text}");
        };
        rest = after;
    }
}

#[test]
fn a_master_says_why_and_whom_it_gives_way_to() {
    expect(
        &said(|_| {}),
        &[
            "lb-1 has been master of amqp for 2h 03m, with 192.0.2.100/24 on eth0: master \
             192.0.2.12 fell silent.",
            "Its priority is lowered by 60 to 90: 150 - 60 = 90: pool plain has no usable server.",
            "192.0.2.12 was heard last, 2h 03m ago, and said priority 100.",
            "It says so every 1,000 ms, and gives way to a node that says more than 90.",
            "It changed 4 times since the start, and became master 2 times.",
        ],
    );
    let alone = said(|router| router.heard = None);
    expect(
        &alone,
        &["Nobody else was heard so far; a backup is silent."],
    );
    let after = said(|router| router.heard.as_mut().unwrap().priority = 0);
    expect(&after, &["and said that it leaves (priority 0)."]);
}

#[test]
fn the_owner_says_so_and_gives_way_to_nobody() {
    let owner = said(|router| (router.base_priority, router.priority) = (255, 255));
    expect(
        &owner,
        &["Its priority is 255: the addresses are the host's own"],
    );
    assert!(!owner.contains("gives way"), "{owner}");
}

#[test]
fn two_masters_are_named() {
    let two = said(|router| {
        router.other_master = Some(OtherMasterSnapshot {
            from: "192.0.2.12".to_owned(),
            for_ms: 65_000,
            refused: Some("checksum".to_owned()),
        });
    });
    let words = "For 1m 05s there are two masters, and both have the addresses: what 192.0.2.12 \
                 says is refused (checksum).";
    expect(&two, &[words]);
}

#[test]
fn a_backup_follows_a_higher_priority() {
    let words = [
        "lb-1 has been backup for amqp for 2h 03m, without 192.0.2.100/24: joined the election.",
        "Its priority is 150, which nothing lowers.",
        "192.0.2.12 was heard last, 400 ms ago, and said priority 200.",
        "It takes over when that master is silent for three advertisements of 1,000 ms and a part \
         of one, leaves, or says less than 150.",
    ];
    expect(&backup(Some(200), |_| {}), &words);
    let never = backup(Some(200), |router| router.preempt = false);
    expect(
        &never,
        &["says less than 150 because its pools fail (preempt is off)."],
    );
    let later = backup(Some(200), |router| router.preempt_delay_ms = 60_000);
    expect(
        &later,
        &["says less than 150 (after a preempt_delay of 1m 00s)."],
    );
    let equal = backup(Some(150), |_| {});
    expect(
        &equal,
        &["the same priority the one with the higher address stays"],
    );
}

#[test]
fn a_backup_that_leaves_a_lower_master_alone_says_why() {
    let off = backup(Some(100), |router| {
        router.preempt = false;
        router.why =
            "joined the election; leaves a master of priority 100 alone: preempt is off".to_owned();
    });
    let words = [
        "alone: preempt is off.",
        "That is less than 150, but preempt is off",
    ];
    expect(&off, &words);
    let released = backup(Some(100), |router| router.released = true);
    let words = "That is less than 150, but an operator has given that master the addresses";
    expect(&released, &[words]);
    let soon = backup(Some(100), |_| {});
    expect(
        &soon,
        &["That is less than 150, so it is about to take over."],
    );
    let later = backup(Some(100), |router| router.preempt_delay_ms = 60_000);
    expect(
        &later,
        &["once that master was heard for a preempt_delay of 1m 00s."],
    );
}

#[test]
fn a_backup_that_has_heard_nobody_waits() {
    let words = [
        "No master was heard so far.",
        "It becomes master if nobody is heard for three",
    ];
    expect(&backup(None, |_| {}), &words);
    expect(
        &backup(Some(0), |_| {}),
        &["It becomes master if nobody is heard"],
    );
}

#[test]
fn one_that_is_out_of_the_election_says_what_is_missing() {
    let waiting = said(|router| {
        router.state = "init".to_owned();
        router.waiting_for = Some("interface eth0, which has no carrier".to_owned());
    });
    let words = "lb-1 has taken no part in the election of amqp for 2h 03m: it waits for interface \
                 eth0, which has no carrier.";
    expect(&waiting, &[words]);
    let trouble = said(|router| {
        router.state = "init".to_owned();
        router.why = "somebody keeps removing an address".to_owned();
    });
    expect(
        &trouble,
        &["for 2h 03m: somebody keeps removing an address. It tries again"],
    );
    let leaving = said(|router| {
        router.state = "leaving".to_owned();
        router.why = "released by an operator".to_owned();
    });
    let words = "lb-1 has been giving 192.0.2.100/24 of amqp up for 2h 03m (released by an \
                 operator): it says priority 0";
    expect(&leaving, &[words]);
    let stopped = said(|router| {
        router.state = "stopped".to_owned();
        router.why = "stopped, 192.0.2.12 took over".to_owned();
    });
    expect(
        &stopped,
        &["lb-1 left the election of amqp 2h 03m ago: stopped, 192.0.2.12 took"],
    );
}

#[test]
fn a_group_and_a_single_change_are_told() {
    let text = said(|router| {
        router.group = Some("both".to_owned());
        (router.transitions, router.became_master) = (1, 0);
    });
    let words = [
        "It moves together with the others of group both.",
        "It changed once since the start, and became master 0 times.",
    ];
    expect(&text, &words);
}
