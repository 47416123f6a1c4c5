//! *pure* Follows a master, or waits for one (RFC 9568, section 6.4.2).

use std::time::Instant;

use super::state::{Announcing, Obstacle, Rival, State, Why};
use super::{Action, Actions, Event, Heard, LEAVING, RENEW, Router};
use crate::config::VrrpVersion;
use crate::config::units::Centiseconds;
use crate::vrrp::timing::{believed, master_down, skew};

impl Router {
    pub(super) fn as_backup(
        &mut self,
        claim_from: Instant,
        event: Event,
        now: Instant,
        actions: &mut Actions,
    ) {
        match event {
            Event::Heard(heard) => self.follow_or_not(heard, now),
            Event::DeadlinePassed => {
                if self.last_due().max(claim_from) <= now {
                    self.take_over(self.reason_to_take_over(now), now, actions);
                }
            }
            Event::Unable => {
                self.enter(State::Init { retry_at: None }, Why::Unable, now, actions);
            }
            Event::Stopped => self.enter(State::Stopped, Why::Stopped, now, actions),
            // The next advertisement is judged by what these say.
            Event::PriorityChanged(_) | Event::PoolsGood(_) | Event::SourceChanged { .. } => {}
            // Nothing that concerns who has no addresses, or may have been away.
            Event::Able
            | Event::AddressLost
            | Event::ClaimFailed
            | Event::CannotAdvertise
            | Event::Released
            | Event::Away => {}
        }
    }

    pub(super) fn follow_or_not(&mut self, heard: Heard, now: Instant) {
        let Heard {
            member,
            from,
            priority,
            interval,
        } = heard;
        let known = self.members[member].rival;
        if priority == LEAVING {
            // Whoever is not the master cannot resign for it.
            if known.is_none_or(|rival| rival.from == from) {
                self.master_leaves();
                self.hurry(now);
            }
            return;
        }
        let lower = priority < self.priority;
        let same = known.filter(|rival| rival.from == from);
        // With a pool that failed it is below what it was; with one that is back it no longer is.
        let best = same.map_or(priority, |before| before.best.max(priority));
        // Counted anew when its priority falls further: what was proven before says nothing about
        // what made it fall.
        let fell_further = same.is_some_and(|before| priority < before.priority);
        let lower_since = known
            .and_then(|rival| rival.lower_since)
            .filter(|_| !fell_further)
            .unwrap_or(now);
        let rival = Rival {
            from,
            priority,
            heard_at: now,
            best,
            lower_since: lower.then_some(lower_since),
            leaving: false,
        };
        self.members[member].rival = Some(rival);
        if !lower || self.spares(&rival, now).is_some() {
            self.follow(member, interval, now);
        }
    }

    fn master_leaves(&mut self) {
        for member in &mut self.members {
            if let Some(rival) = &mut member.rival {
                rival.leaving = true;
            }
        }
    }

    /// The master leaves, with all members: the skew alone decides which backup is first.
    fn hurry(&mut self, now: Instant) {
        let priority = self.priority;
        for member in &mut self.members {
            let wait = skew(member.version, priority, member.learned);
            member.due = member.due.min(now + wait);
        }
    }

    /// Accepts the sender as master.
    fn follow(&mut self, member: usize, interval: Centiseconds, now: Instant) {
        let priority = self.priority;
        let member = &mut self.members[member];
        member.learned = match member.version {
            VrrpVersion::V2 => member.interval,
            VrrpVersion::V3 => believed(interval, member.interval),
        };
        member.due = now + master_down(member.version, priority, member.learned);
    }

    /// Why the master that was heard last is left alone although its priority is lower than ours,
    /// with this priority.
    #[must_use]
    pub fn obstacle(&self, now: Instant) -> Option<(u8, Obstacle)> {
        let State::Backup { .. } = self.state else {
            return None;
        };
        let rivals = self.members.iter().filter_map(|member| member.rival);
        let lower = |rival: &Rival| rival.priority < self.priority;
        let mut lower = rivals.filter(lower);
        lower.find_map(|rival| Some((rival.priority, self.spares(&rival, now)?)))
    }

    /// Why a living master of lower priority may not be replaced.
    fn spares(&self, rival: &Rival, now: Instant) -> Option<Obstacle> {
        let lower_since = rival.lower_since.unwrap_or(now);
        let fell = rival.priority < rival.best;
        let settled = self
            .risen_at
            .is_none_or(|at| now >= at + self.settings.settle);
        if !self.settings.preempt && !fell {
            Some(Obstacle::NoPreempt)
        } else if self.released && !fell {
            Some(Obstacle::Released)
        } else if now < lower_since + self.settings.preempt_delay {
            Some(Obstacle::Delay)
        } else if !self.proof.is_newer_than(lower_since) {
            Some(Obstacle::Unproven)
        } else if !settled {
            Some(Obstacle::Unsettled)
        } else {
            None
        }
    }

    fn reason_to_take_over(&self, now: Instant) -> Why {
        let rivals = || self.members.iter().filter_map(|member| member.rival);
        if rivals().any(|rival| rival.leaving) {
            return Why::MasterLeft;
        }
        // One that is left alone must have fallen silent.
        let replaced =
            |rival: &Rival| rival.lower_since.is_some() && self.spares(rival, now).is_none();
        let lower = rivals().find(replaced);
        match (lower, rivals().next()) {
            (Some(rival), _) => Why::LowerPriority {
                from: rival.from,
                priority: rival.priority,
            },
            (None, Some(rival)) => Why::MasterSilent { from: rival.from },
            (None, None) => Why::NobodyHeard,
        }
    }

    pub(super) fn take_over(&mut self, why: Why, now: Instant, actions: &mut Actions) {
        for member in &mut self.members {
            member.learned = member.interval;
            member.rival = None;
        }
        self.tie = None;
        self.released = false;
        // The addresses first: who hears the advertisement lets go of them.
        actions.push(Action::Claim);
        self.advertise_all(self.priority, now, actions);
        actions.push(Action::Announce);
        let state = State::Master {
            renew_at: now + RENEW,
            announce: Announcing::started(now),
        };
        self.enter(state, why, now, actions);
    }
}
