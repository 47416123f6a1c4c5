//! Rules about who may take over and when. They know what was heard and done, and nothing of how
//! the machine decides, nor of its timings.

use super::*;
use crate::vrrp::router::{Transition, Why};

/// The timers of a node come this much late at most.
const LATE: Time = 110_000;
/// The announcements begin anew so long after a rival was heard, and lateness.
const AGAIN: Time = SECOND + 3 * LATE;
/// What the network and the kernel need at most when nothing is the matter.
const PROMPT: Time = 10_000;
/// The addresses are put back so often in a minute.
const PUT_BACK: usize = 3;

/// What was seen of one virtual router on one node.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// When it got the addresses.
    pub(super) claimed_at: Time,
    /// When it joined the election.
    joined_at: Option<Time>,
    /// Since it is backup, by sender and member.
    heard: Vec<Known>,
    /// By member: since when only masters of lower priority are heard.
    lower_since: [Option<Time>; MEMBERS],
    put_back: Vec<Time>,
    /// When a rival was heard, while the neighbours have not been told again.
    pub(super) rival_at: Option<Time>,
}

/// Another master that a node hears.
#[derive(Debug, Clone, Copy)]
struct Known {
    source: usize,
    member: usize,
    at: Time,
    last: u8,
    highest: u8,
    /// Its priority was lower than ours when it was heard last.
    lower: bool,
}

impl World {
    pub(super) fn is_warren(&self, node: usize) -> bool {
        self.nodes[node].instances.iter().all(|one| matches!(one.machine, Machine::Warren(_)))
    }

    pub(super) fn interval(&self, router: usize) -> Time {
        Time::from(self.plans[router].interval) * 10_000
    }

    /// An advertisement is about to be told to a node.
    pub(super) fn overhear(&mut self, node: usize, router: usize, source: usize, heard: Heard) {
        let now = self.now;
        let instance = &mut self.nodes[node].instances[router];
        let Machine::Warren(machine) = &instance.machine else {
            return;
        };
        let (own, seen) = (machine.priority(), &mut instance.seen);
        let Heard { member, priority, .. } = heard;
        if priority == 0 {
            // Who hurries waits for nobody.
            seen.heard.clear();
            return;
        }
        let same = |known: &&mut Known| known.source == source && known.member == member;
        let lower = priority < own;
        let since = seen.lower_since[member].unwrap_or(now);
        seen.lower_since[member] = lower.then_some(since);
        match seen.heard.iter_mut().find(same) {
            Some(known) => {
                (known.at, known.last, known.lower) = (now, priority, lower);
                known.highest = known.highest.max(priority);
            }
            None => {
                let (last, highest) = (priority, priority);
                let known = Known { source, member, at: now, last, highest, lower };
                seen.heard.push(known);
            }
        }
    }

    /// A machine changed its state.
    pub(super) fn note(
        &mut self,
        node: usize,
        router: usize,
        change: &Transition,
    ) -> Result<(), String> {
        let now = self.now;
        let seen = &mut self.nodes[node].instances[router].seen;
        if change.from == "init" {
            seen.joined_at = Some(now);
            seen.put_back.clear();
        }
        if change.to == "backup" {
            let yields = matches!(
                change.why,
                Why::HigherPriority { .. } | Why::HigherAddress { .. }
            );
            // All that it goes on knowing is what it has just heard.
            seen.heard.retain(|known| known.at == now);
            seen.lower_since = [None; MEMBERS];
            for known in &mut seen.heard {
                known.highest = known.last;
                seen.lower_since[known.member] = known.lower.then_some(now);
            }
            if yields {
                self.gave_way(router);
            }
        } else if change.to == "master" {
            self.became_master(node, router);
            return self.check_take_over(node, router, change.from == "init");
        }
        Ok(())
    }

    pub(super) fn gave_way(&mut self, router: usize) {
        self.gave_way_at[router] = self.now;
        self.schedule(self.now + super::oracle::HEARD, Due::Told { router });
    }

    pub(super) fn became_master(&mut self, node: usize, router: usize) {
        let now = self.now;
        self.nodes[node].instances[router].seen.claimed_at = now;
        self.successor[router].get_or_insert((node, now));
    }

    /// Who may take over from a master that lives, and when.
    fn check_take_over(&self, node: usize, router: usize, owner: bool) -> Result<(), String> {
        let (plan, interval) = (self.plans[router], self.interval(router));
        let seen = &self.nodes[node].instances[router].seen;
        if seen.joined_at.is_some_and(|at| self.now < at + plan.startup_delay) {
            return Err("claimed before the startup_delay had passed".to_owned());
        }
        for known in &seen.heard {
            if owner || self.now >= known.at + 3 * interval {
                continue;
            }
            if !known.lower {
                return Err("replaced a master that is as good, and was heard".to_owned());
            }
            if !plan.preempt && known.last == known.highest {
                return Err("replaced a master without preempt".to_owned());
            }
            let since = seen.lower_since[known.member].unwrap_or(self.now);
            if self.now < since + plan.preempt_delay {
                return Err("replaced a master before the preempt_delay had passed".to_owned());
            }
        }
        Ok(())
    }

    /// A master heard another one, and stays.
    pub(super) fn meet_rival(&mut self, node: usize, router: usize, heard: Heard) {
        let now = self.now;
        if heard.priority > 0 {
            self.nodes[node].instances[router].seen.rival_at.get_or_insert(now);
        }
    }

    /// Whether the neighbours were told again after a rival was heard.
    pub(super) fn check_rival(&mut self, node: usize, router: usize) -> Result<(), String> {
        let now = self.now;
        let Instance { machine, seen, .. } = &mut self.nodes[node].instances[router];
        if let Machine::Warren(machine) = machine
            && !matches!(machine.state(), State::Master { .. })
        {
            seen.rival_at = None;
        }
        match seen.rival_at {
            Some(at) if now > at + AGAIN => Err("nobody was told after a rival".to_owned()),
            Some(_) | None => Ok(()),
        }
    }

    /// An address that was removed may be put back three times a minute.
    pub(super) fn count_put_back(
        &mut self,
        node: usize,
        router: usize,
        event: Event,
        actions: &[Action],
    ) -> Result<(), String> {
        let trouble = matches!(event, Event::AddressLost | Event::ClaimFailed);
        if !trouble || !actions.contains(&Action::Claim) {
            return Ok(());
        }
        let now = self.now;
        let put_back = &mut self.nodes[node].instances[router].seen.put_back;
        put_back.retain(|at| now < at + 60 * SECOND);
        put_back.push(now);
        match put_back.len() > PUT_BACK {
            true => Err("an address was put back without limit".to_owned()),
            false => Ok(()),
        }
    }

    /// Something was done to a node or the network.
    pub(super) fn be_unquiet(&mut self) {
        self.quiet_since = self.now;
        for router in 0..self.plans.len() {
            self.schedule(self.now + self.bound(router), Due::Alone { router });
        }
    }

    /// How long two masters that hear each other stay both: one advertises, and is answered.
    pub(super) fn bound(&self, router: usize) -> Time {
        self.interval(router) + 2 * self.delay + LATE
    }

    /// Two nodes that can hear each other do not have the addresses both.
    pub(super) fn check_alone(&self, router: usize) -> Result<(), String> {
        let before = self.now.saturating_sub(self.bound(router));
        if self.loss > 0 || self.strange || self.quiet_since > before {
            return Ok(());
        }
        let hears_all = |node: usize| {
            let cuts = || self.cut.iter().flat_map(|cut| cut.iter().enumerate());
            self.is_awake(node)
                && self.nodes[node].link
                && !cuts().any(|(from, to)| to[node] || from == node && to.contains(&true))
        };
        let holds = |&node: &usize| {
            let instance = &self.nodes[node].instances[router];
            instance.claimed && instance.seen.claimed_at <= before && hears_all(node)
        };
        let masters: Vec<usize> = (0..self.nodes.len()).filter(holds).collect();
        match masters.len() > 1 {
            true => Err(format!("router {router}: {masters:?} hear each other, and are masters")),
            false => Ok(()),
        }
    }

    fn holder(&self, router: usize) -> Option<usize> {
        (0..self.nodes.len()).find(|&node| self.nodes[node].instances[router].claimed)
    }

    /// In peace a master is alone for so long that there is another one, then they meet. What is
    /// said meanwhile may be lost, also that one of them gives way.
    pub(super) fn let_two_masters_meet(&mut self) -> Result<(), String> {
        let alone = self.holder(0).unwrap_or(0);
        let others = (0..self.nodes.len()).filter(|&node| node != alone);
        for node in others {
            for cut in &mut self.cut {
                (cut[node][alone], cut[alone][node]) = (true, true);
            }
        }
        self.be_unquiet();
        let longest = (0..self.plans.len()).map(|router| self.interval(router)).max();
        let longest = longest.unwrap_or(SECOND);
        // Somebody else is master, and has told the neighbours more than once.
        self.until(self.now + 4 * longest + 10 * SECOND)?;
        self.cut.iter_mut().flatten().for_each(|row| row.fill(false));
        self.loss = 60;
        self.be_unquiet();
        self.until(self.now + (3 * longest).min(4 * SECOND))?;
        self.loss = 0;
        self.be_unquiet();
        self.until(self.now + self.patience() - 120 * SECOND)?;
        self.check_peace()
    }

    /// In peace a master is killed or stopped: the best of the others follows, in its time.
    pub(super) fn lose_the_master(&mut self) -> Result<(), String> {
        let Some(lost) = self.holder(0) else {
            return Err("nobody is master of router 0".to_owned());
        };
        let routers = (0..self.plans.len()).filter(|&router| self.holder(router) == Some(lost));
        let routers: Vec<usize> = routers.collect();
        let (stops, begun) = (self.random.chance(50), self.now);
        self.successor.fill(None);
        self.be_unquiet();
        match stops {
            true => self.feed_all(lost, Event::Stopped)?,
            false => self.nodes[lost].running = false,
        }
        // Nobody has to sit out a minute.
        let patience = self.patience() - 120 * SECOND;
        self.until(begun + patience)?;
        for router in routers {
            self.check_successor(router, lost, stops, begun)?;
        }
        self.schedule(self.now, Due::Mend(Mend::Start(lost)));
        self.until(self.now + patience)?;
        self.check_peace()
    }

    fn check_successor(
        &self,
        router: usize,
        lost: usize,
        stops: bool,
        begun: Time,
    ) -> Result<(), String> {
        let others = (0..self.nodes.len()).filter(|&node| node != lost);
        let best = others.map(|node| self.priority(node, router)).max().unwrap_or(0);
        let Some((who, at)) = self.successor[router] else {
            return Err(format!("router {router}: nobody followed {lost}"));
        };
        let priority = self.priority(who, router);
        if priority < best {
            return Err(format!("router {router}: {who} has {priority}, and was before {best}"));
        }
        let interval = self.interval(router);
        let unit = match self.plans[router].version {
            VrrpVersion::V2 => SECOND,
            VrrpVersion::V3 => interval,
        };
        let skew = (256 - Time::from(best)) * unit / 256;
        let (earliest, latest) = match stops {
            true => (0, skew),
            false => (2 * interval, 3 * interval + skew),
        };
        let after = at - begun;
        match after < earliest || after > latest + PROMPT {
            true => Err(format!("router {router}: {who} followed after {after} us")),
            false => Ok(()),
        }
    }
}
