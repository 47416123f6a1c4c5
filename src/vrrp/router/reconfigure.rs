//! *pure* Other settings for a router whose members stay, without leaving its state.

use std::time::{Duration, Instant};

use super::state::{Announcing, Settings, State};
use super::{Action, Actions, RENEW, Router};
use crate::config::units::Centiseconds;
use crate::vrrp::timing::master_down;

/// What a new configuration says of a router. The same once more changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    /// What the members have in common.
    pub settings: Settings,
    /// The priority, tracking included, 1 to 255.
    pub priority: u8,
    /// By member: the interval. In version 2 it stays what it was.
    pub intervals: &'a [Centiseconds],
    /// There are further addresses.
    pub claims: bool,
    /// What the advertisements say beside priority and interval has changed, or to whom they go.
    pub speaks: bool,
}

impl Router {
    /// Takes the settings over at `now`. What the checks of the pools say is told by
    /// [`Event::PoolsGood`](super::Event::PoolsGood), as ever.
    pub fn reconfigure(&mut self, change: &Change<'_>, now: Instant) -> Actions {
        let mut actions = Actions::default();
        if self.slept_too_long(now) {
            self.start_again(now, &mut actions);
        }
        let delay_before = self.settings.startup_delay;
        self.settings = change.settings;
        // Not a rise that tracking let happen: the other node has nothing to see first.
        let weighs = std::mem::replace(&mut self.priority, change.priority) != change.priority;
        let members = self.members.iter_mut().zip(change.intervals);
        let before: Vec<Centiseconds> = members
            .map(|(member, interval)| std::mem::replace(&mut member.interval, *interval))
            .collect();
        match self.state {
            State::Backup { claim_from } => {
                self.listen_anew(&before, now);
                let claim_from = moved(claim_from, delay_before, self.settings.startup_delay, now);
                self.state = State::Backup { claim_from };
            }
            State::Master { .. } => {
                let speaks = weighs || change.speaks || self.paces_differ(&before);
                self.go_on(change.claims, speaks, &before, now, &mut actions);
            }
            // It learns its interval anew when it joins, or has no use for one any more.
            State::Init { .. } | State::Leaving { .. } | State::Stopped => {}
        }
        actions
    }

    fn paces_differ(&self, before: &[Centiseconds]) -> bool {
        let mut members = self.members.iter().zip(before);
        members.any(|(member, before)| member.interval != *before)
    }

    /// Members that have heard nobody yet wait as long as their new interval asks for. The others
    /// know the interval of the master that they follow.
    fn listen_anew(&mut self, before: &[Centiseconds], now: Instant) {
        let priority = self.priority;
        for (member, before) in self.members.iter_mut().zip(before) {
            if member.rival.is_none() && member.interval != *before {
                member.learned = member.interval;
                member.due = now + master_down(member.version, priority, member.learned);
            }
        }
    }

    /// Stays master, and says what is new.
    fn go_on(
        &mut self,
        claims: bool,
        speaks: bool,
        before: &[Centiseconds],
        now: Instant,
        actions: &mut Actions,
    ) {
        if claims {
            actions.push(Action::Claim);
        }
        if claims || speaks {
            self.advertise_all(self.priority, now, actions);
        }
        if claims {
            actions.push(Action::Announce);
            if let State::Master { renew_at, announce } = &mut self.state {
                *renew_at = now + RENEW;
                *announce = Announcing::started(now);
            }
        }
        // Whoever has not heard of a longer interval expects the next one after the shorter.
        for (member, before) in self.members.iter_mut().zip(before) {
            if *before < member.interval {
                member.due = member.due.min(now + before.duration());
            }
        }
    }
}

/// When the addresses may be claimed, if the delay that has not passed yet is another one.
fn moved(claim_from: Instant, before: Duration, after: Duration, now: Instant) -> Instant {
    if claim_from <= now {
        return claim_from;
    }
    (claim_from + after).checked_sub(before).unwrap_or(now)
}
