//! What the state machine does in time.

use super::*;
use crate::vrrp::timing::{master_down, skew};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_backup_waits_for_exactly_the_master_down_interval() {
    let mut bench = Bench::backup(100);
    let start = bench.now;
    let down = master_down(VrrpVersion::V3, 100, Centiseconds(100));
    assert_eq!(bench.router.next_deadline(), Some(start + down));
    bench.now = start + down - Duration::from_nanos(1);
    assert_eq!(bench.feed(Event::DeadlinePassed), []);
    bench.now = start + down;
    let claims = [Action::Claim, says(100), Action::Announce];
    assert_eq!(bench.does(Event::DeadlinePassed), claims);
    assert_eq!(bench.why(), Why::NobodyHeard);
}

#[test]
fn the_interval_of_the_master_is_learned_and_forgotten() {
    let mut bench = Bench::backup(100);
    let slow = Event::Heard(Heard {
        member: 0,
        from: ip(9),
        priority: 150,
        interval: Centiseconds(200),
    });
    bench.feed(slow);
    let down = master_down(VrrpVersion::V3, 100, Centiseconds(200));
    assert_eq!(bench.router.next_deadline(), Some(bench.now + down));
    bench.wait();
    assert_eq!(bench.why(), Why::MasterSilent { from: ip(9) });
    let due = bench.router.members()[0].due;
    assert_eq!(due, bench.now + SECOND, "as master its own");
}

#[test]
fn the_owner_starts_as_master() {
    let mut bench = Bench::new(settings(255));
    let claims = [Action::Claim, says(255), Action::Announce];
    assert_eq!(bench.does(Event::Able), claims);
    assert_eq!(bench.why(), Why::Owner);
}

#[test]
fn the_startup_delay_is_for_joining_only() {
    let mut bench = Bench::new(Settings {
        startup_delay: 10 * SECOND,
        ..settings(100)
    });
    bench.feed(Event::Able);
    let start = bench.now;
    assert_eq!(bench.router.next_deadline(), Some(start + 10 * SECOND));
    bench.wait();
    assert_eq!(bench.state(), "master");
    bench.pass(ms(50));
    bench.feed(heard(9, 200));
    let down = master_down(VrrpVersion::V3, 100, Centiseconds(100));
    assert_eq!(bench.router.next_deadline(), Some(bench.now + down));
}

#[test]
fn an_absence_does_not_end_the_startup_delay() {
    let mut bench = Bench::new(Settings {
        startup_delay: 10 * SECOND,
        ..settings(100)
    });
    bench.feed(Event::Able);
    let start = bench.now;
    bench.pass(SECOND);
    bench.feed(Event::Away);
    assert_eq!(bench.router.next_deadline(), Some(start + 10 * SECOND));
    assert_eq!(bench.router.claims_from(), Some(start + 10 * SECOND));
    bench.wait();
    assert_eq!(
        (bench.state(), bench.router.claims_from()),
        ("master", None)
    );
}

/// Hears a master of this priority every second for so many seconds; true when it took over.
fn takes_over_from(bench: &mut Bench, priority: u8, seconds: u32) -> bool {
    for _ in 0..seconds {
        bench.feed(heard(9, priority));
        let next = bench.now + SECOND;
        while bench.router.next_deadline().is_some_and(|due| due <= next) {
            bench.wait();
            if bench.state() == "master" {
                return true;
            }
        }
        bench.now = next;
    }
    false
}

#[test]
fn preempt_no_preempt_and_its_delay() {
    assert!(takes_over_from(&mut Bench::backup(100), 50, 5));
    assert!(!takes_over_from(&mut Bench::backup(100), 100, 20));
    assert!(!takes_over_from(&mut Bench::backup(100), 150, 20));
    let with = |preempt, preempt_delay| {
        let mut bench = Bench::new(Settings {
            preempt,
            preempt_delay,
            ..settings(100)
        });
        bench.feed(Event::Able);
        bench
    };
    let mut never = with(false, Duration::ZERO);
    assert!(!takes_over_from(&mut never, 50, 100));
    never.wait();
    assert_eq!(never.why(), Why::MasterSilent { from: ip(9) });
    let mut delayed = with(true, 10 * SECOND);
    assert!(!takes_over_from(&mut delayed, 50, 10));
    assert!(takes_over_from(&mut delayed, 50, 5));
}

#[test]
fn a_master_whose_priority_fell_is_replaced_without_preempt_too() {
    let mut bench = Bench::new(Settings {
        preempt: false,
        ..settings(100)
    });
    bench.feed(Event::Able);
    assert!(!takes_over_from(&mut bench, 150, 5));
    assert!(takes_over_from(&mut bench, 90, 6));
    // One that is back where it was is left alone.
    let mut bench = Bench::new(Settings {
        preempt: false,
        ..settings(160)
    });
    bench.feed(Event::Able);
    assert!(!takes_over_from(&mut bench, 150, 5));
    bench.feed(heard(9, 90));
    assert!(!takes_over_from(&mut bench, 150, 50));
}

fn good_at(at: Instant) -> Event {
    Event::PoolsGood(Proof::GoodAt(at))
}

#[test]
fn a_backup_whose_pools_are_not_proven_leaves_a_failing_master_alone() {
    let tracking = || {
        let mut bench = Bench::new(Settings {
            tracks_pools: true,
            settle: 5 * SECOND,
            ..settings(100)
        });
        bench.feed(Event::Able);
        bench.feed(good_at(bench.now));
        assert!(!takes_over_from(&mut bench, 150, 5));
        bench
    };
    // The last check that passed was before the fall.
    let mut bench = tracking();
    assert!(!takes_over_from(&mut bench, 90, 60));
    let mut bench = tracking();
    bench.feed(heard(9, 90));
    bench.pass(ms(500));
    bench.feed(good_at(bench.now));
    assert!(takes_over_from(&mut bench, 90, 6));
    // Its own pools are back first: the other one may need a moment.
    let mut bench = tracking();
    bench.feed(Event::PriorityChanged(40));
    assert!(!takes_over_from(&mut bench, 90, 5));
    bench.feed(Event::PriorityChanged(100));
    bench.feed(good_at(bench.now + ms(1)));
    assert!(!takes_over_from(&mut bench, 90, 4));
    assert!(takes_over_from(&mut bench, 90, 8));
}

#[test]
fn a_pool_that_is_down_here_needs_no_proof() {
    let mut bench = Bench::new(Settings {
        tracks_pools: true,
        ..settings(100)
    });
    bench.feed(Event::Able);
    assert!(!takes_over_from(&mut bench, 90, 60), "nothing is known yet");
    assert_eq!(
        bench.router.obstacle(bench.now),
        Some((90, Obstacle::Unproven))
    );
    bench.feed(Event::PoolsGood(Proof::NotNeeded));
    assert!(takes_over_from(&mut bench, 90, 6));
    assert_eq!(bench.router.obstacle(bench.now), None);
}

#[test]
fn a_backup_says_why_it_leaves_a_master_of_lower_priority_alone() {
    let mut bench = Bench::new(Settings {
        preempt: false,
        preempt_delay: 5 * SECOND,
        tracks_pools: true,
        settle: 10 * SECOND,
        ..settings(80)
    });
    bench.feed(Event::Able);
    let heard = |bench: &mut Bench, priority| {
        bench.pass(SECOND);
        bench.feed(heard(9, priority));
        bench.router.obstacle(bench.now)
    };
    assert_eq!(heard(&mut bench, 90), None);
    bench.feed(Event::PriorityChanged(100));
    assert_eq!(heard(&mut bench, 90), Some((90, Obstacle::NoPreempt)));
    assert_eq!(heard(&mut bench, 70), Some((70, Obstacle::Delay)));
    for _ in 0..4 {
        assert_eq!(heard(&mut bench, 70), Some((70, Obstacle::Delay)));
    }
    assert_eq!(heard(&mut bench, 70), Some((70, Obstacle::Unproven)));
    bench.feed(good_at(bench.now));
    assert_eq!(heard(&mut bench, 70), Some((70, Obstacle::Unsettled)));
    assert_eq!(heard(&mut bench, 70), Some((70, Obstacle::Unsettled)));
    assert_eq!(heard(&mut bench, 70), None);
}

#[test]
fn a_master_that_leaves_is_followed_after_the_skew_and_a_stranger_is_not_believed() {
    let mut bench = Bench::backup(100);
    bench.feed(heard(9, 150));
    let due = bench.router.next_deadline();
    bench.feed(heard(8, 0));
    assert_eq!(bench.router.next_deadline(), due, "who is not the master");
    bench.feed(heard(9, 0));
    let soon = bench.now + skew(VrrpVersion::V3, 100, Centiseconds(100));
    assert_eq!(bench.router.next_deadline(), Some(soon));
    bench.wait();
    assert_eq!(bench.why(), Why::MasterLeft);
}

#[test]
fn a_flood_of_rivals_is_not_answered_by_a_flood() {
    let mut bench = Bench::master(100);
    let mut answers = 0;
    for _ in 0..1000 {
        bench.pass(Duration::from_micros(100));
        let did = bench.does(heard(9, 50));
        answers += did.iter().filter(|action| **action == says(100)).count();
    }
    assert!(
        (5..=11).contains(&answers),
        "{answers} in a tenth of a second"
    );
}

/// When the neighbours are told within so many seconds, in milliseconds from now.
fn told(bench: &mut Bench, seconds: u32) -> Vec<u128> {
    let start = bench.now;
    let mut told = Vec::new();
    while bench.router.next_deadline().expect("a deadline") <= start + seconds * SECOND {
        if bench.wait().contains(&Action::Announce) {
            told.push((bench.now - start).as_millis());
        }
    }
    told
}

#[test]
fn the_neighbours_are_told_in_a_burst_then_every_5_s_for_who_lost_without_a_word() {
    let mut bench = Bench::backup(100);
    bench.wait();
    let due = [
        50, 100, 250, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 20_000,
    ];
    assert_eq!(told(&mut bench, 24), due);
}

#[test]
fn a_whole_burst_follows_the_last_word_of_a_rival() {
    let mut bench = Bench::backup(100);
    bench.wait();
    told(&mut bench, 7);
    assert!(bench.does(heard(9, 50)).contains(&Action::Announce));
    let start = bench.now;
    bench.pass(ms(200));
    let did = bench.does(heard(9, 50));
    assert!(!did.contains(&Action::Announce), "the burst has begun");
    bench.now = start;
    let due = [
        50, 100, 250, 500, 1_000, 1_050, 1_100, 1_250, 1_500, 2_000, 3_000, 6_000, 11_000,
    ];
    assert_eq!(told(&mut bench, 12), due);
}

#[test]
fn a_flood_of_rivals_does_not_flood_the_neighbours() {
    let mut bench = Bench::master(100);
    let mut told = 0;
    let end = bench.now + 10 * SECOND;
    while bench.now < end {
        bench.pass(ms(1));
        for event in [heard(9, 50), Event::DeadlinePassed] {
            let did = bench.does(event);
            told += did.iter().filter(|&&a| a == Action::Announce).count();
        }
    }
    assert!((40..=60).contains(&told), "{told} in ten seconds");
}

#[test]
fn the_lease_is_renewed_also_between_slow_advertisements() {
    let now = Instant::now();
    let slow = Member::new(VrrpVersion::V3, Centiseconds(4095), ip(5), now);
    let mut bench = Bench {
        router: Router::new(settings(255), vec![slow], now),
        now,
    };
    bench.feed(Event::Able);
    let mut last = bench.now;
    while bench.now < now + 100 * SECOND {
        if bench.wait().contains(&Action::Renew) {
            assert_eq!(bench.now - last, RENEW);
            last = bench.now;
        }
    }
    assert!(bench.now - last <= RENEW);
}

#[test]
fn an_address_is_put_back_three_times_a_minute() {
    for trouble in [Event::AddressLost, Event::ClaimFailed] {
        let mut bench = Bench::master(100);
        for _ in 0..3 {
            assert_eq!(bench.does(trouble)[0], Action::Claim);
            bench.pass(ms(100));
        }
        let gives_up = [says(0), Action::ResetClients, Action::Release];
        assert_eq!(bench.does(trouble), gives_up);
        let until = bench.now + PENALTY;
        assert_eq!(bench.router.next_deadline(), Some(until));
        bench.pass(SECOND);
        bench.feed(Event::Unable);
        bench.feed(Event::Able);
        assert_eq!(bench.state(), "init", "no way around the penalty");
        bench.wait();
        assert_eq!((bench.state(), bench.now), ("backup", until));
    }
    // Once in a while is no trouble.
    let mut bench = Bench::master(100);
    for _ in 0..20 {
        let next = bench.now + 21 * SECOND;
        while bench.now < next {
            bench.wait();
        }
        assert_eq!(bench.does(Event::AddressLost)[0], Action::Claim);
    }
}

#[test]
fn leaving_ends_when_another_is_heard_or_would_have_been() {
    let mut bench = Bench::leaving(100);
    let start = bench.now;
    let weakest = skew(VrrpVersion::V3, 1, Centiseconds(100));
    let mut renewed = 0;
    while bench.state() == "leaving" {
        renewed += usize::from(bench.wait().contains(&Action::Renew));
    }
    assert_eq!(bench.now, start + weakest + ms(50));
    assert_eq!(renewed, 2, "it answers meanwhile");
    let mut bench = Bench::leaving(100);
    bench.pass(ms(100));
    bench.feed(heard(9, 50));
    assert_eq!(bench.why(), Why::TakenOver { from: ip(9) });
}

/// One that was released, and has heard the next master.
fn handed_over() -> Bench {
    let mut bench = Bench::released(100);
    assert_eq!(bench.why(), Why::Released);
    bench.pass(ms(100));
    bench.feed(heard(9, 50));
    assert_eq!(bench.why(), Why::HandedOver { from: ip(9) });
    let obstacle = bench.router.obstacle(bench.now);
    assert_eq!(obstacle, Some((50, Obstacle::Released)));
    bench
}

#[test]
fn who_was_released_leaves_a_master_that_works_alone() {
    let mut bench = handed_over();
    assert!(!takes_over_from(&mut bench, 50, 1_000));
    // Its pools fail.
    assert!(takes_over_from(&mut bench, 40, 6));
    // It has been master again since.
    assert!(!bench.router.is_released());
    bench.pass(ms(50));
    bench.feed(heard(9, 150));
    assert!(takes_over_from(&mut bench, 50, 6));
    // It falls silent.
    let mut bench = handed_over();
    assert_eq!(bench.wait()[0], Action::Claim);
    assert_eq!(bench.why(), Why::MasterSilent { from: ip(9) });
    // It was released in its turn.
    let mut bench = handed_over();
    bench.feed(heard(9, 0));
    let soon = bench.now + skew(VrrpVersion::V3, 100, Centiseconds(100));
    assert_eq!(bench.router.next_deadline(), Some(soon));
    bench.wait();
    assert_eq!(bench.why(), Why::MasterLeft);
    // It was away, or out of the election.
    for (out, back) in [(Event::Away, None), (Event::Unable, Some(Event::Able))] {
        let mut bench = handed_over();
        bench.feed(out);
        if let Some(event) = back {
            bench.feed(event);
        }
        assert!(!takes_over_from(&mut bench, 50, 100), "{out:?}");
    }
}

#[test]
fn a_release_that_nobody_answers_changes_nothing_for_clients() {
    let mut bench = Bench::released(100);
    let start = bench.now;
    while bench.state() == "leaving" {
        let did = bench.wait();
        assert!(!did.contains(&Action::ResetClients) && !did.contains(&Action::Release));
        if bench.state() == "master" {
            assert_eq!(did, [Action::Claim, says(100), Action::Announce]);
        }
    }
    let weakest = skew(VrrpVersion::V3, 1, Centiseconds(100));
    assert_eq!(bench.now, start + weakest + ms(50));
    assert_eq!(bench.why(), Why::NobodyTookOver);
    assert!(!bench.router.is_released());
}

#[test]
fn who_is_stopped_while_it_is_released_has_ended_then() {
    let mut bench = Bench::released(100);
    bench.feed(Event::Stopped);
    bench.feed(heard(9, 50));
    assert_eq!(
        (bench.state(), bench.why()),
        ("stopped", Why::TakenOver { from: ip(9) })
    );
    let mut bench = Bench::released(100);
    bench.feed(Event::Stopped);
    while bench.state() == "leaving" {
        bench.wait();
    }
    assert_eq!(bench.why(), Why::Stopped);
}

#[test]
fn a_group_is_released_as_one() {
    let mut bench = Bench::of(settings(100), 2);
    bench.feed(Event::Able);
    bench.wait();
    bench.pass(ms(30));
    bench.feed(Event::Released);
    bench.feed(heard_by(1, 50));
    assert_eq!(bench.state(), "leaving", "the other one is still needed");
    bench.feed(heard_by(0, 50));
    assert_eq!(bench.state(), "backup");
    for _ in 0..60 {
        bench.pass(SECOND);
        bench.feed(heard_by(0, 50));
        bench.feed(heard_by(1, 50));
        bench.feed(Event::DeadlinePassed);
    }
    assert_eq!(bench.state(), "backup");
}

#[test]
fn who_was_away_starts_again_as_backup() {
    // The lease of two seconds ends before peers give up on an interval of one.
    let mut bench = Bench::master(100);
    bench.pass(LEASE);
    let releases = [Action::ResetClients, Action::Release];
    assert_eq!(bench.does(Event::DeadlinePassed), releases);
    assert_eq!((bench.state(), bench.why()), ("backup", Why::Away));
    // With a short interval it is the peers who give up first.
    let now = Instant::now();
    let fast = Member::new(VrrpVersion::V3, Centiseconds(10), ip(5), now);
    let mut bench = Bench {
        router: Router::new(settings(255), vec![fast], now),
        now,
    };
    bench.feed(Event::Able);
    bench.pass(ms(299));
    assert_eq!(bench.does(Event::DeadlinePassed)[0], says(255));
    bench.pass(ms(300));
    assert_eq!(bench.does(Event::DeadlinePassed), releases);
    // A backup does not act on what it missed.
    let mut bench = Bench::backup(100);
    bench.pass(10 * SECOND);
    assert_eq!(bench.does(Event::DeadlinePassed), []);
    assert_eq!(bench.why(), Why::Away);
    // One that is a little late does.
    let mut bench = Bench::backup(100);
    bench.pass(5 * SECOND);
    assert_eq!(bench.does(Event::DeadlinePassed)[0], Action::Claim);
}

fn heard_by(member: usize, priority: u8) -> Event {
    Event::Heard(Heard {
        member,
        from: ip(9),
        priority,
        interval: Centiseconds(100),
    })
}

#[test]
fn a_group_moves_together() {
    let group = || {
        let mut bench = Bench::of(settings(100), 2);
        bench.feed(Event::Able);
        bench
    };
    // One member that hears the master is enough to stay.
    let mut bench = group();
    for _ in 0..10 {
        bench.pass(SECOND);
        bench.feed(heard_by(1, 150));
    }
    assert_eq!(bench.state(), "backup");
    let claims = bench.wait();
    let both = [0, 1].map(|member| Action::Advertise {
        member,
        priority: 100,
    });
    assert_eq!(claims, [Action::Claim, both[0], both[1], Action::Announce]);
    // One that hears a better one is enough to give way.
    bench.pass(ms(50));
    bench.feed(heard_by(1, 150));
    assert_eq!(bench.state(), "backup");
    // A master that leaves for one leaves for all.
    let mut bench = group();
    for member in [0, 1] {
        bench.feed(heard_by(member, 150));
    }
    bench.feed(heard_by(1, 0));
    let soon = bench.now + skew(VrrpVersion::V3, 100, Centiseconds(100));
    assert_eq!(bench.router.next_deadline(), Some(soon));
}

/// Two groups of the same priority that are both masters, and hear each other only where `hears`
/// says so: by who hears, and the member. The addresses of the second are higher on odd members.
/// Which of them is master after so many intervals, each time.
fn tied_groups(members: u8, hears: [&[usize]; 2], intervals: u32) -> Vec<[bool; 2]> {
    let start = Instant::now();
    let own = |node: usize, member: usize| match (node + member) % 2 {
        0 => ip(20 + u8::try_from(member).unwrap()),
        _ => ip(10 + u8::try_from(member).unwrap()),
    };
    let mut nodes = [0, 1].map(|node| {
        let mut bench = Bench::of(settings(100), members);
        bench.now = start;
        for member in 0..usize::from(members) {
            let own = own(node, member);
            bench.feed(Event::SourceChanged { member, own });
        }
        bench.feed(Event::Able);
        bench.wait();
        bench
    });
    let mut masters = Vec::new();
    for _ in 0..intervals {
        for sender in [0, 1] {
            let hearer = 1 - sender;
            if nodes[sender].state() != "master" {
                continue;
            }
            for &member in hears[hearer] {
                nodes[hearer].pass(ms(5));
                nodes[hearer].feed(Event::Heard(Heard {
                    member,
                    from: own(sender, member),
                    priority: 100,
                    interval: Centiseconds(100),
                }));
            }
        }
        let end = nodes[0].now.max(nodes[1].now) + SECOND;
        for node in &mut nodes {
            while node.router.next_deadline().is_some_and(|due| due <= end) {
                node.wait();
            }
            node.now = end;
        }
        masters.push([0, 1].map(|node| nodes[node].state() == "master"));
    }
    masters
}

#[test]
fn a_tie_of_groups_is_decided_by_the_first_member_that_both_hear() {
    let (first, second) = ([true, false], [false, true]);
    // The first member says so at once, whatever the second says.
    assert_eq!(tied_groups(2, [&[0, 1], &[0, 1]], 9), [first; 9]);
    assert_eq!(tied_groups(2, [&[1, 0], &[1, 0]], 9), [first; 9]);
    assert_eq!(tied_groups(2, [&[0], &[0]], 9), [first; 9]);
    // Where it cannot be heard the next one does, after the time that peers wait.
    for hears in [[&[1][..], &[1]], [&[0, 1], &[1]]] {
        let masters = tied_groups(2, hears, 9);
        assert_eq!(masters[..3], [[true, true]; 3], "{hears:?}");
        assert_eq!(masters[4..], [second; 5], "{hears:?}");
    }
    // Each later one after as long again, so that two do not say opposite things.
    for (members, member, after) in [(3, 1, 3), (3, 2, 6), (4, 3, 9)] {
        let masters = tied_groups(members, [&[member], &[member]], 15);
        let winner = if member % 2 == 0 { first } else { second };
        assert_eq!(masters[..after], vec![[true, true]; after], "{member}");
        assert_eq!(masters[after + 1..], vec![winner; 14 - after], "{member}");
    }
    assert_eq!(tied_groups(3, [&[1, 2], &[1, 2]], 9)[8], second);
}
