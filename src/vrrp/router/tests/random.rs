//! Any events and reconfigurations at any times: nothing panics, and the rules hold.

use proptest::prelude::*;

use super::*;
use crate::vrrp::timing::master_down;

/// An event, or a reconfiguration: priority, interval, whether it claims, whether it speaks.
#[derive(Debug, Clone, Copy)]
enum Step {
    Event(Event),
    Change(u8, u16, bool, bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    let change = (1..=255u8, 1..=4095u16, any::<bool>(), any::<bool>());
    prop_oneof![
        12 => any_event().prop_map(Step::Event),
        1 => change.prop_map(|(priority, interval, claims, speaks)| {
            Step::Change(priority, interval, claims, speaks)
        }),
    ]
}

impl Bench {
    fn step(&mut self, step: Step) -> Vec<Action> {
        match step {
            Step::Event(event) => self.feed(event),
            Step::Change(priority, interval, claims, speaks) => {
                let before = self.state();
                let interval = Centiseconds(interval);
                let settings = Settings {
                    priority,
                    ..settings(priority)
                };
                let change = Change {
                    settings,
                    priority,
                    intervals: &[interval, interval],
                    claims,
                    speaks,
                };
                let actions = self.router.reconfigure(&change, self.now);
                let actions: Vec<Action> = actions.into_iter().collect();
                let slept = actions
                    .iter()
                    .any(|action| matches!(action, Action::Report(_)));
                assert!(slept || self.state() == before, "{step:?}: {actions:?}");
                actions
            }
        }
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let heard = (0..2usize, 1..20u8, any::<u8>(), 1..=4095u16).prop_map(
        |(member, from, priority, interval)| {
            Event::Heard(Heard {
                member,
                from: ip(from),
                priority,
                interval: Centiseconds(interval),
            })
        },
    );
    prop_oneof![
        3 => Just(Event::Able),
        1 => Just(Event::Unable),
        8 => heard,
        12 => Just(Event::DeadlinePassed),
        2 => (1..=255u8).prop_map(Event::PriorityChanged),
        4 => prop_oneof![
            Just(Proof::Missing),
            Just(Proof::NotNeeded),
            Just(Proof::GoodAt(Instant::now())),
        ].prop_map(Event::PoolsGood),
        1 => Just(Event::SourceChanged { member: 1, own: ip(7) }),
        1 => Just(Event::AddressLost),
        1 => Just(Event::ClaimFailed),
        1 => Just(Event::CannotAdvertise),
        1 => Just(Event::Released),
        1 => Just(Event::Away),
        1 => Just(Event::Stopped),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_events_at_any_times(
        steps in prop::collection::vec((any_step(), 0..3_000u64), 0..80),
        settings in (1..=255u8, any::<bool>(), 0..3u64, 0..3u64, any::<bool>()),
    ) {
        let (priority, preempt, preempt_delay, startup_delay, tracks_pools) = settings;
        let mut bench = Bench::of(Settings {
            priority,
            preempt,
            preempt_delay: Duration::from_secs(preempt_delay),
            startup_delay: Duration::from_secs(startup_delay),
            tracks_pools,
            settle: Duration::from_secs(1),
        }, 2);
        let mut claimed = false;
        let mut proven = !tracks_pools;
        for (mut step, wait) in steps {
            // Often just when something is due.
            match bench.router.next_deadline() {
                Some(due) if wait % 2 == 0 => bench.now = bench.now.max(due),
                Some(_) | None => bench.pass(ms(wait)),
            }
            if let Step::Event(Event::PoolsGood(proof)) = &mut step {
                if let Proof::GoodAt(at) = proof {
                    // Some of them from before what was heard last.
                    *at = bench.now.checked_sub(ms(wait % 1000)).unwrap_or(bench.now);
                }
                proven = *proof != Proof::Missing;
            }
            let before = bench.router.state();
            let actions = bench.step(step);
            prop_assert!(actions.len() <= 2 * 2 + 5, "{actions:?}");
            for (index, action) in actions.iter().enumerate() {
                match action {
                    Action::Claim => {
                        let again = matches!(
                            step,
                            Step::Event(Event::AddressLost | Event::ClaimFailed)
                                | Step::Change(_, _, true, _)
                        ) || matches!(before, State::Leaving { .. });
                        prop_assert!(!claimed || again, "claimed twice: {actions:?}");
                        claimed = true;
                    }
                    Action::Release => {
                        prop_assert!(claimed, "released without a claim: {actions:?}");
                        prop_assert_eq!(actions[index - 1], Action::ResetClients);
                        claimed = false;
                    }
                    Action::Advertise { priority, .. } => {
                        prop_assert!(claimed || *priority == 0, "{before:?}: {actions:?}");
                    }
                    Action::Renew => prop_assert!(claimed),
                    Action::Announce => prop_assert!(claimed),
                    Action::ResetClients | Action::Report(_) => {}
                }
            }
            prop_assert_eq!(claimed, bench.router.state().holds_addresses());
            if let Step::Event(Event::Heard(heard)) = step
                && matches!(bench.router.state(), State::Backup { .. })
                && heard.priority > 0
                && !proven
            {
                // Whoever has not proven its own pools follows any master.
                let member = &bench.router.members()[heard.member];
                let down = master_down(member.version, bench.router.priority(), member.learned);
                prop_assert_eq!(member.due, bench.now + down);
            }
            if let Step::Event(Event::DeadlinePassed) = step {
                let due = bench.router.next_deadline();
                prop_assert!(due.is_none_or(|due| due > bench.now), "{before:?}");
            }
        }
    }
}
