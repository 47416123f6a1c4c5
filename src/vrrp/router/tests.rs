//! The state machine: a row for every state and event, then its behaviour in time.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::*;
use crate::config::VrrpVersion;

mod behaviour;
mod random;
mod reconfigure;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn settings(priority: u8) -> Settings {
    Settings {
        priority,
        preempt: true,
        preempt_delay: Duration::ZERO,
        startup_delay: Duration::ZERO,
        tracks_pools: false,
        settle: Duration::ZERO,
    }
}

/// A router of one member at 10.0.0.5 with an interval of a second, and the time.
struct Bench {
    router: Router,
    now: Instant,
}

impl Bench {
    fn of(settings: Settings, members: u8) -> Self {
        let now = Instant::now();
        let interval = Centiseconds(100);
        let member = |n| Member::new(VrrpVersion::V3, interval, ip(5 + 10 * n), now);
        let members = (0..members).map(member).collect();
        Self {
            router: Router::new(settings, members, now),
            now,
        }
    }

    fn new(settings: Settings) -> Self {
        Self::of(settings, 1)
    }

    fn feed(&mut self, event: Event) -> Vec<Action> {
        self.router.handle(event, self.now).into_iter().collect()
    }

    /// The same without the reports.
    fn does(&mut self, event: Event) -> Vec<Action> {
        let actions = self.feed(event).into_iter();
        actions
            .filter(|action| !matches!(action, Action::Report(_)))
            .collect()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Lets the next deadline come.
    fn wait(&mut self) -> Vec<Action> {
        self.now = self.router.next_deadline().expect("a deadline");
        self.does(Event::DeadlinePassed)
    }

    fn backup(priority: u8) -> Self {
        let mut bench = Self::new(settings(priority));
        bench.feed(Event::Able);
        bench
    }

    fn master(priority: u8) -> Self {
        let mut bench = Self::backup(priority);
        bench.wait();
        // So that an answer is not too soon after the last advertisement.
        bench.pass(ms(30));
        bench
    }

    fn leaving(priority: u8) -> Self {
        let mut bench = Self::master(priority);
        bench.feed(Event::Stopped);
        bench
    }

    fn released(priority: u8) -> Self {
        let mut bench = Self::master(priority);
        bench.feed(Event::Released);
        bench
    }

    fn state(&self) -> &'static str {
        self.router.state().name()
    }

    fn why(&self) -> Why {
        self.router.since().1
    }
}

fn heard(from: u8, priority: u8) -> Event {
    Event::Heard(Heard {
        member: 0,
        from: ip(from),
        priority,
        interval: Centiseconds(100),
    })
}

const fn says(priority: u8) -> Action {
    Action::Advertise {
        member: 0,
        priority,
    }
}

/// Every event, the interesting ones more than once. A new one does not compile without a row.
fn events() -> Vec<(&'static str, Event)> {
    let all = [
        ("able", Event::Able),
        ("unable", Event::Unable),
        ("heard 0 from a stranger", heard(9, 0)),
        ("heard lower", heard(9, 50)),
        ("heard equal from below", heard(1, 100)),
        ("heard equal from above", heard(9, 100)),
        ("heard higher", heard(1, 200)),
        ("deadline", Event::DeadlinePassed),
        ("priority", Event::PriorityChanged(80)),
        (
            "pools good",
            Event::PoolsGood(Proof::GoodAt(Instant::now())),
        ),
        (
            "source",
            Event::SourceChanged {
                member: 0,
                own: ip(5),
            },
        ),
        ("address lost", Event::AddressLost),
        ("claim failed", Event::ClaimFailed),
        ("cannot advertise", Event::CannotAdvertise),
        ("away", Event::Away),
        ("released", Event::Released),
        ("stopped", Event::Stopped),
    ];
    for (_, event) in &all {
        match event {
            Event::Able
            | Event::Unable
            | Event::Heard(_)
            | Event::DeadlinePassed
            | Event::PriorityChanged(_)
            | Event::PoolsGood(_)
            | Event::SourceChanged { .. }
            | Event::AddressLost
            | Event::ClaimFailed
            | Event::CannotAdvertise
            | Event::Released
            | Event::Away
            | Event::Stopped => {}
        }
    }
    all.to_vec()
}

/// What every event does in one state: the actions, and the state after it. What is not in the list
/// does nothing.
fn table(start: fn(u8) -> Bench, rows: &[(&str, &[Action], &str)]) {
    let before = start(100).state();
    for (name, event) in events() {
        let mut bench = start(100);
        let did = bench.does(event);
        let row = rows.iter().find(|(row, ..)| *row == name);
        let (actions, after) =
            row.map_or((&[][..], before), |(_, actions, after)| (actions, after));
        assert_eq!(
            (did.as_slice(), bench.state()),
            (actions, after),
            "{before}: {name}"
        );
    }
    for (row, ..) in rows {
        assert!(events().iter().any(|(name, _)| name == row), "{row}");
    }
}

#[test]
fn every_event_in_init() {
    let init = |priority| Bench::new(settings(priority));
    table(
        init,
        &[("able", &[], "backup"), ("stopped", &[], "stopped")],
    );
}

#[test]
fn every_event_in_init_during_the_penalty() {
    let penalized = |priority| {
        let mut bench = Bench::master(priority);
        bench.feed(Event::CannotAdvertise);
        bench
    };
    table(penalized, &[("stopped", &[], "stopped")]);
}

#[test]
fn every_event_in_backup() {
    table(
        Bench::backup,
        &[
            ("unable", &[], "init"),
            ("away", &[], "backup"),
            ("stopped", &[], "stopped"),
        ],
    );
}

#[test]
fn every_event_in_master() {
    use Action::{Announce, Claim, Release, ResetClients};
    let again = [Claim, says(100), Announce];
    let gives_way = [says(100), ResetClients, Release];
    let gives_up = [says(0), ResetClients, Release];
    table(
        Bench::master,
        &[
            ("unable", &gives_up, "init"),
            ("heard 0 from a stranger", &[says(100)], "master"),
            // The burst that began at the take-over goes on.
            ("heard lower", &[says(100)], "master"),
            ("heard equal from below", &[says(100)], "master"),
            ("heard equal from above", &gives_way, "backup"),
            ("heard higher", &gives_way, "backup"),
            ("priority", &[says(80)], "master"),
            ("address lost", &again, "master"),
            ("claim failed", &again, "master"),
            ("cannot advertise", &gives_up, "init"),
            ("away", &[ResetClients, Release], "backup"),
            ("released", &[says(0)], "leaving"),
            ("stopped", &[says(0)], "leaving"),
        ],
    );
}

#[test]
fn every_event_in_leaving() {
    let gone = [Action::ResetClients, Action::Release];
    table(
        Bench::leaving,
        &[
            ("unable", &gone, "stopped"),
            ("heard lower", &gone, "stopped"),
            ("heard equal from below", &gone, "stopped"),
            ("heard equal from above", &gone, "stopped"),
            ("heard higher", &gone, "stopped"),
            ("address lost", &gone, "stopped"),
            ("claim failed", &gone, "stopped"),
            ("cannot advertise", &gone, "stopped"),
            ("away", &gone, "stopped"),
        ],
    );
}

#[test]
fn every_event_in_leaving_for_another_node() {
    let gone = [Action::ResetClients, Action::Release];
    let gives_up = [says(0), Action::ResetClients, Action::Release];
    table(
        Bench::released,
        &[
            ("unable", &gives_up, "init"),
            ("heard lower", &gone, "backup"),
            ("heard equal from below", &gone, "backup"),
            ("heard equal from above", &gone, "backup"),
            ("heard higher", &gone, "backup"),
            ("address lost", &gives_up, "init"),
            ("claim failed", &gives_up, "init"),
            ("cannot advertise", &gives_up, "init"),
            ("away", &gone, "backup"),
        ],
    );
}

#[test]
fn every_event_in_stopped() {
    let stopped = |priority| {
        let mut bench = Bench::backup(priority);
        bench.feed(Event::Stopped);
        bench
    };
    table(stopped, &[]);
}
