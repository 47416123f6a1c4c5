//! Other settings for a router that goes on.

use super::*;
use crate::vrrp::timing::master_down;

const SECOND: Centiseconds = Centiseconds(100);

/// The configuration that a bench of this priority has already.
fn same(priority: u8) -> Change<'static> {
    Change {
        settings: settings(priority),
        priority,
        intervals: &[SECOND],
        claims: false,
        speaks: false,
    }
}

impl Bench {
    fn change(&mut self, change: &Change<'_>) -> Vec<Action> {
        let actions = self.router.reconfigure(change, self.now);
        actions.into_iter().collect()
    }
}

/// A router of priority 100 in every state.
fn every_state() -> Vec<Bench> {
    let mut stopped = Bench::backup(100);
    stopped.feed(Event::Stopped);
    vec![
        Bench::new(settings(100)),
        Bench::backup(100),
        Bench::master(100),
        Bench::leaving(100),
        stopped,
    ]
}

#[test]
fn the_same_once_more_changes_nothing() {
    for mut bench in every_state() {
        let before = format!("{:?}", bench.router);
        assert_eq!(bench.change(&same(100)), []);
        assert_eq!(format!("{:?}", bench.router), before);
    }
}

/// Changes, and what a master does then.
fn changes() -> Vec<(Change<'static>, Vec<Action>)> {
    use Action::{Announce, Claim};
    let change = same(100);
    let paced = |intervals| Change {
        intervals,
        ..change
    };
    let speaks = Change {
        speaks: true,
        ..change
    };
    let claims = Change {
        claims: true,
        ..change
    };
    let delays = Settings {
        preempt: false,
        preempt_delay: ms(500),
        startup_delay: ms(500),
        settle: ms(500),
        ..change.settings
    };
    let delayed = Change {
        settings: delays,
        ..change
    };
    let weighed = |change| Change {
        priority: 80,
        ..change
    };
    vec![
        (weighed(change), vec![says(80)]),
        (paced(&[Centiseconds(300)]), vec![says(100)]),
        (paced(&[Centiseconds(10)]), vec![says(100)]),
        (speaks, vec![says(100)]),
        (claims, vec![Claim, says(100), Announce]),
        (weighed(claims), vec![Claim, says(80), Announce]),
        (delayed, vec![]),
    ]
}

/// No state is left, and only a master has something to do.
#[test]
fn every_change_in_every_state() {
    for (change, of_master) in changes() {
        for mut bench in every_state() {
            let state = bench.state();
            let did = bench.change(&change);
            let wanted = if state == "master" {
                &of_master[..]
            } else {
                &[]
            };
            assert_eq!(did, wanted, "{state}: {change:?}");
            assert_eq!(bench.state(), state);
            assert_eq!(bench.router.priority(), change.priority);
            let known = Change {
                claims: false,
                speaks: false,
                ..change
            };
            assert_eq!(bench.change(&known), [], "{state}: {change:?}");
        }
    }
}

#[test]
fn a_master_goes_on_at_its_new_pace() {
    let mut bench = Bench::master(100);
    bench.change(&Change {
        intervals: &[Centiseconds(10)],
        ..same(100)
    });
    for _ in 0..20 {
        let before = bench.now;
        bench.wait();
        assert!(bench.now <= before + ms(100));
    }
    let slow = Centiseconds(300);
    bench.change(&Change {
        intervals: &[slow],
        ..same(100)
    });
    // Whoever did not hear of it would take us for dead after three of the shorter ones.
    let due = bench.router.members()[0].due;
    assert_eq!(due, bench.now + ms(100));
    bench.now = due;
    assert!(bench.does(Event::DeadlinePassed).contains(&says(100)));
    assert_eq!(bench.router.members()[0].due, bench.now + slow.duration());
}

#[test]
fn claiming_begins_a_burst_and_a_lease() {
    let mut bench = Bench::master(100);
    bench.pass(ms(400));
    bench.change(&Change {
        claims: true,
        ..same(100)
    });
    let State::Master { renew_at, announce } = bench.router.state() else {
        panic!("no longer master");
    };
    assert_eq!(renew_at, bench.now + RENEW);
    assert_eq!(announce.next, bench.now + ms(50));
    // What fails then is what fails at any other time.
    let again = [Action::Claim, says(100), Action::Announce];
    assert_eq!(bench.does(Event::ClaimFailed), again);
}

#[test]
fn a_backup_that_heard_nobody_waits_for_the_new_interval() {
    let mut bench = Bench::backup(100);
    bench.pass(ms(3000));
    let interval = Centiseconds(20);
    bench.change(&Change {
        intervals: &[interval],
        ..same(100)
    });
    let down = master_down(VrrpVersion::V3, 100, interval);
    assert_eq!(bench.router.next_deadline(), Some(bench.now + down));
    assert_eq!(bench.router.members()[0].learned, interval);
}

#[test]
fn a_backup_that_follows_keeps_what_it_learned() {
    let mut bench = Bench::backup(100);
    bench.feed(heard(9, 200));
    let due = bench.router.next_deadline();
    bench.pass(ms(500));
    bench.change(&Change {
        intervals: &[Centiseconds(10)],
        ..same(100)
    });
    assert_eq!(bench.router.next_deadline(), due);
    assert_eq!(bench.router.members()[0].learned, SECOND);
    bench.wait();
    assert_eq!(bench.why(), Why::MasterSilent { from: ip(9) });
    assert_eq!(
        bench.router.members()[0].due,
        bench.now + ms(100),
        "its own as master"
    );
}

/// The next advertisement is judged by it, as when tracking changes it; but a rise needs no time to
/// settle, since no pool of the other node is about to come back.
#[test]
fn a_backup_elects_by_its_new_priority() {
    for (priority, after) in [(150, "backup"), (250, "master")] {
        let mut bench = Bench::backup(100);
        bench.feed(heard(9, 200));
        bench.change(&Change {
            settings: Settings {
                settle: 10 * SECOND.duration(),
                ..settings(priority)
            },
            ..same(priority)
        });
        for _ in 0..5 {
            bench.pass(ms(900));
            bench.feed(heard(9, 200));
            if bench
                .router
                .next_deadline()
                .is_some_and(|due| due <= bench.now)
            {
                bench.feed(Event::DeadlinePassed);
            }
        }
        assert_eq!(bench.state(), after, "{priority}");
    }
}

#[test]
fn a_startup_delay_that_runs_gets_its_new_length() {
    let delayed = |seconds| Settings {
        startup_delay: seconds * SECOND.duration(),
        ..settings(100)
    };
    let start = || {
        let mut bench = Bench::new(delayed(20));
        bench.feed(Event::Able);
        let begun = bench.now;
        bench.pass(ms(5_000));
        (bench, begun)
    };
    let to = |seconds| Change {
        settings: delayed(seconds),
        ..same(100)
    };
    for seconds in [10, 30] {
        let (mut bench, begun) = start();
        bench.change(&to(seconds));
        let until = begun + seconds * SECOND.duration();
        assert_eq!(bench.router.next_deadline(), Some(until));
    }
    let (mut bench, _) = start();
    bench.change(&to(0));
    assert!(
        bench
            .router
            .next_deadline()
            .is_some_and(|due| due <= bench.now)
    );
    // It does not begin anew.
    bench.pass(ms(200));
    bench.wait();
    bench.pass(ms(30));
    bench.feed(heard(9, 200));
    let due = bench.router.next_deadline();
    bench.change(&to(30));
    assert_eq!(bench.router.next_deadline(), due);
}

#[test]
fn who_slept_is_a_backup_with_the_new_settings() {
    let mut bench = Bench::master(100);
    bench.pass(ms(60_000));
    let did = bench.change(&Change {
        claims: true,
        priority: 80,
        ..same(100)
    });
    assert_eq!(did[..2], [Action::ResetClients, Action::Release]);
    assert_eq!(did.len(), 3, "it reports that: {did:?}");
    assert_eq!((bench.state(), bench.router.priority()), ("backup", 80));
}
