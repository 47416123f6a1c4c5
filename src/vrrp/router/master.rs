//! *pure* Has the addresses (RFC 9568, section 6.4.3), or is about to leave them.

use std::time::{Duration, Instant};

use super::state::{Announcing, Member, Rival, State, Tie, Why};
use super::{
    Action, Actions, Event, GRACE, Heard, LEAVING, PENALTY, PUT_BACK, RENEW, Router, TROUBLE,
};
use crate::vrrp::timing::{LOST, believed, skew};

impl Router {
    pub(super) fn as_master(
        &mut self,
        renew_at: Instant,
        event: Event,
        now: Instant,
        actions: &mut Actions,
    ) {
        match event {
            Event::Heard(heard) => self.assert_or_yield(heard, now, actions),
            Event::DeadlinePassed => self.keep_up(now, actions),
            // Peers need not wait for the interval to learn that we are worse, or better.
            Event::PriorityChanged(_) => self.advertise_all(self.priority, now, actions),
            Event::AddressLost => self.put_back(Why::AddressLost, now, actions),
            Event::ClaimFailed => self.put_back(Why::ClaimFailed, now, actions),
            Event::CannotAdvertise => {
                self.step_down(Why::CannotAdvertise, Some(PENALTY), now, actions);
            }
            Event::Unable => self.step_down(Why::Unable, None, now, actions),
            Event::Stopped => self.leave(renew_at, Why::Stopped, now, actions),
            Event::Released => {
                self.released = true;
                self.leave(renew_at, Why::Released, now, actions);
            }
            // A master was not away: whoever was starts again as backup before it comes here.
            Event::Able | Event::PoolsGood(_) | Event::SourceChanged { .. } | Event::Away => {}
        }
    }

    pub(super) fn as_leaving(
        &mut self,
        until: Instant,
        renew_at: Instant,
        event: Event,
        now: Instant,
        actions: &mut Actions,
    ) {
        match event {
            Event::Heard(heard) => self.let_go(heard, now, actions),
            Event::DeadlinePassed => {
                if until <= now && self.released {
                    // Better here than nowhere. No client has noticed.
                    self.take_over(Why::NobodyTookOver, now, actions);
                } else if until <= now {
                    self.be_gone(Why::Stopped, now, actions);
                } else if renew_at <= now {
                    let renew_at = now + RENEW;
                    self.state = State::Leaving { until, renew_at };
                    actions.push(Action::Renew);
                }
            }
            Event::Unable if self.released => self.step_down(Why::Unable, None, now, actions),
            Event::AddressLost if self.released => {
                self.step_down(Why::AddressLost, Some(PENALTY), now, actions);
            }
            Event::ClaimFailed if self.released => {
                self.step_down(Why::ClaimFailed, Some(PENALTY), now, actions);
            }
            Event::CannotAdvertise if self.released => {
                self.step_down(Why::CannotAdvertise, Some(PENALTY), now, actions);
            }
            // For good now.
            Event::Stopped => self.released = false,
            // Too late to mend anything.
            Event::Unable | Event::AddressLost | Event::ClaimFailed | Event::CannotAdvertise => {
                self.be_gone(Why::Stopped, now, actions);
            }
            Event::Able
            | Event::PriorityChanged(_)
            | Event::PoolsGood(_)
            | Event::SourceChanged { .. }
            | Event::Released
            | Event::Away => {}
        }
    }

    pub(super) fn advertise_all(&mut self, priority: u8, now: Instant, actions: &mut Actions) {
        for member in 0..self.members.len() {
            self.advertise(member, priority, now, actions);
        }
    }

    fn advertise(&mut self, member: usize, priority: u8, now: Instant, actions: &mut Actions) {
        actions.push(Action::Advertise { member, priority });
        let member = &mut self.members[member];
        member.due = now + member.interval.duration();
    }

    /// Does what is due.
    fn keep_up(&mut self, now: Instant, actions: &mut Actions) {
        for member in 0..self.members.len() {
            if self.members[member].due <= now {
                self.advertise(member, self.priority, now, actions);
            }
        }
        let State::Master { renew_at, announce } = &mut self.state else {
            return;
        };
        if *renew_at <= now {
            *renew_at = now + RENEW;
            actions.push(Action::Renew);
        }
        if announce.next <= now {
            announce.advance(now);
            actions.push(Action::Announce);
        }
    }

    fn assert_or_yield(&mut self, heard: Heard, now: Instant, actions: &mut Actions) {
        let Heard {
            member,
            from,
            priority,
            ..
        } = heard;
        let tie = priority == self.priority && self.loses_tie(heard, now);
        if priority > self.priority || tie {
            // Whoever is better may never have heard of us, and has to tell the neighbours again.
            self.advertise_all(self.priority, now, actions);
            actions.push(Action::ResetClients);
            actions.push(Action::Release);
            let why = match tie {
                true => Why::HigherAddress { from },
                false => Why::HigherPriority { from, priority },
            };
            self.listen(Duration::ZERO, why, now, actions);
            self.follow_or_not(heard, now);
            return;
        }
        // A rival, or a backup that was told that the master leaves: assert ourselves at once, so
        // that it gives way and bridges learn where we are. A flood does not make us flood.
        let interval = self.members[member].interval.duration();
        let sent = self.members[member].due - interval;
        if now >= sent + interval / 100 {
            self.advertise(member, self.priority, now, actions);
        }
        if priority == LEAVING {
            return;
        }
        if let State::Master { announce, .. } = &mut self.state
            && announce.restart(now)
        {
            // Neighbours may have believed the other one last.
            actions.push(Action::Announce);
        }
    }

    /// Whether a master of our priority has the higher address where that counts. The addresses of
    /// two members may stand in different orders on two nodes, which must not both give way, nor
    /// both stay: the first member breaks ties. When it has had the time to and did not, one of the
    /// two cannot be heard there, and the next one breaks the tie.
    fn loses_tie(&mut self, heard: Heard, now: Instant) -> bool {
        let member = &self.members[heard.member];
        let higher = heard.from > member.own;
        let theirs = believed(heard.interval, member.interval);
        let patience = |member: &Member| member.interval.max(theirs).duration() * LOST;
        let turn = self.members[..heard.member].iter().map(patience).sum();
        let longest = self.members.iter().map(patience).max();
        let known = self.tie.filter(|tie| now < tie.until);
        let since = known.map_or(now, |tie| tie.since);
        let until = now + longest.unwrap_or_default();
        self.tie = Some(Tie { since, until });
        higher && now - since >= turn
    }

    /// The addresses were removed under us, or could not be put on the interface.
    fn put_back(&mut self, why: Why, now: Instant, actions: &mut Actions) {
        self.losses.retain(|&at| now < at + TROUBLE);
        self.losses.push(now);
        if self.losses.len() > PUT_BACK {
            self.step_down(why, Some(PENALTY), now, actions);
            return;
        }
        actions.push(Action::Claim);
        self.advertise_all(self.priority, now, actions);
        actions.push(Action::Announce);
        if let State::Master { renew_at, announce } = &mut self.state {
            *renew_at = now + RENEW;
            *announce = Announcing::started(now);
        }
    }

    /// Gives the addresses up for trouble of our own, and says so.
    fn step_down(
        &mut self,
        why: Why,
        penalty: Option<Duration>,
        now: Instant,
        actions: &mut Actions,
    ) {
        self.advertise_all(LEAVING, now, actions);
        actions.push(Action::ResetClients);
        actions.push(Action::Release);
        let retry_at = penalty.map(|penalty| now + penalty);
        self.enter(State::Init { retry_at }, why, now, actions);
    }

    /// Tells the peers, and goes on answering until one of them has the addresses.
    fn leave(&mut self, renew_at: Instant, why: Why, now: Instant, actions: &mut Actions) {
        self.advertise_all(LEAVING, now, actions);
        let mut longest = Duration::ZERO;
        for member in &mut self.members {
            member.rival = None;
            longest = longest.max(skew(member.version, 1, member.interval));
        }
        let until = now + longest + GRACE;
        self.enter(State::Leaving { until, renew_at }, why, now, actions);
    }

    fn let_go(&mut self, heard: Heard, now: Instant, actions: &mut Actions) {
        let Heard {
            member,
            from,
            priority,
            ..
        } = heard;
        if priority == LEAVING {
            return;
        }
        self.members[member].rival = Some(Rival {
            from,
            priority,
            heard_at: now,
            best: priority,
            lower_since: None,
            leaving: false,
        });
        if !self.members.iter().all(|member| member.rival.is_some()) {
            return;
        }
        if self.released {
            self.hand_over(Why::HandedOver { from }, now, actions);
            self.follow_or_not(heard, now);
        } else {
            self.be_gone(Why::TakenOver { from }, now, actions);
        }
    }

    /// Lets go, and is a backup from then on.
    pub(super) fn hand_over(&mut self, why: Why, now: Instant, actions: &mut Actions) {
        actions.push(Action::ResetClients);
        actions.push(Action::Release);
        self.listen(Duration::ZERO, why, now, actions);
    }

    pub(super) fn be_gone(&mut self, why: Why, now: Instant, actions: &mut Actions) {
        actions.push(Action::ResetClients);
        actions.push(Action::Release);
        self.enter(State::Stopped, why, now, actions);
    }
}
