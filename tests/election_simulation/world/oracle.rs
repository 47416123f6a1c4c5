//! Feeding a machine, doing what it says as the driver would, and judging it.

use super::*;
use crate::vrrp::router::Why;

/// The neighbours have heard of the winner of a conflict after this long: timers may be late.
pub(super) const HEARD: Time = 5_300_000;
/// A lease that is not renewed ends this long after it at the latest.
const LATE: Time = 450_000;

impl World {
    pub(super) fn feed(&mut self, node: usize, router: usize, event: Event) -> Result<(), String> {
        if let Machine::Keepalived(_) = self.nodes[node].instances[router].machine {
            self.feed_model(node, router, event);
            return Ok(());
        }
        let mut next = Some(event);
        let mut rounds = 0;
        while let Some(event) = next.take() {
            rounds += 1;
            if rounds > 6 {
                return Err("failures without end".to_owned());
            }
            let now = self.instant();
            let instance = &mut self.nodes[node].instances[router];
            let Machine::Warren(machine) = &mut instance.machine else {
                return Ok(());
            };
            let before = machine.state();
            let due = machine.next_deadline();
            if event == Event::DeadlinePassed && due.is_none_or(|due| due > now) {
                // Nothing may come of it, unless it slept.
                let mut other = machine.clone();
                if other.handle(event, now).into_iter().next().is_some() {
                    return Err(format!("acted before its deadline: {before:?}"));
                }
            }
            let actions: Vec<Action> = machine.handle(event, now).into_iter().collect();
            let after = machine.state();
            self.judge(node, router, event, (before, after), &actions)?;
            self.count_put_back(node, router, event, &actions)?;
            next = self.perform(node, router, &actions)?;
        }
        self.check_instance(node, router, event)?;
        self.check_rival(node, router)?;
        self.arm(node, router);
        Ok(())
    }

    /// A node has read its configuration again, with this interval and its base.
    pub(super) fn reconfigure(
        &mut self,
        node: usize,
        router: usize,
        interval: u16,
    ) -> Result<(), String> {
        let priority = self.priority(node, router);
        let change = Change {
            settings: self.settings(router, self.nodes[node].base),
            priority,
            intervals: &[Centiseconds(interval); MEMBERS][..self.plans[router].members],
            claims: false,
            speaks: false,
        };
        let now = self.instant();
        let instance = &mut self.nodes[node].instances[router];
        let Machine::Warren(machine) = &mut instance.machine else {
            return Ok(());
        };
        let before = machine.state();
        let actions: Vec<Action> = machine.reconfigure(&change, now).into_iter().collect();
        let after = machine.state();
        let event = Event::PriorityChanged(priority);
        self.judge(node, router, event, (before, after), &actions)?;
        self.perform(node, router, &actions)?;
        self.check_instance(node, router, event)?;
        self.arm(node, router);
        Ok(())
    }

    /// Does what the machine says, in its order.
    fn perform(
        &mut self,
        node: usize,
        router: usize,
        actions: &[Action],
    ) -> Result<Option<Event>, String> {
        let lease = Time::try_from(LEASE.as_micros()).unwrap();
        let mut failed = None;
        for action in actions {
            let held_until = self.now + lease + self.random.below(LATE);
            match *action {
                Action::Claim => {
                    let fails = self.disturbing && self.random.chance(3);
                    let instance = &mut self.nodes[node].instances[router];
                    instance.claimed = !fails;
                    instance.held_until = if fails { 0 } else { held_until };
                    failed = fails.then_some(Event::ClaimFailed);
                    self.totals.takeovers += 1;
                    self.schedule(self.now + self.bound(router), Due::Alone { router });
                }
                Action::Renew => {
                    let instance = &mut self.nodes[node].instances[router];
                    if instance.claimed {
                        instance.held_until = held_until;
                    }
                }
                Action::Release => {
                    let instance = &mut self.nodes[node].instances[router];
                    (instance.claimed, instance.held_until) = (false, 0);
                }
                Action::Advertise { member, priority } => {
                    if failed.is_some() {
                        continue;
                    }
                    let instance = &self.nodes[node].instances[router];
                    if priority > 0 && !instance.claimed {
                        return Err("advertised without the addresses".to_owned());
                    }
                    let lease = instance.held_until;
                    // 0: somebody has removed the address, which it may not have noticed.
                    if priority > 0 && lease > 0 && lease + LATE < self.now {
                        return Err("advertised after its lease".to_owned());
                    }
                    self.nodes[node].instances[router].said_at = self.now;
                    self.send(node, router, member, priority);
                }
                Action::Announce => {
                    if failed.is_none() && self.nodes[node].link {
                        self.announced[router] = Some((node, self.now));
                        self.nodes[node].instances[router].seen.rival_at = None;
                    }
                }
                Action::ResetClients => {}
                Action::Report(change) => {
                    self.transitions += 1;
                    self.tell(node, router, change.from, change.to, &change.why.to_string());
                    self.note(node, router, &change)?;
                }
            }
        }
        Ok(failed)
    }

    /// With SIM_TRACE in the environment, what changes and when.
    fn tell(&self, node: usize, router: usize, from: &str, to: &str, why: &str) {
        if self.tells {
            let seconds = self.now as f64 / SECOND as f64;
            println!("{seconds:.6} node {node} router {router}: {from} to {to}: {why}");
        }
    }

    /// Whether a list of actions is one that may be.
    fn judge(
        &mut self,
        node: usize,
        router: usize,
        event: Event,
        (before, after): (State, State),
        actions: &[Action],
    ) -> Result<(), String> {
        if actions.len() > self.plans[router].members + 7 {
            return Err(format!("{} actions at once", actions.len()));
        }
        let Instance { claimed, held_until, .. } = self.nodes[node].instances[router];
        let master = |state| matches!(state, State::Master { .. });
        if master(before) && master(after) && held_until > 0 && held_until < self.now {
            return Err("went on after its lease".to_owned());
        }
        let place = |wanted: Action| actions.iter().position(|action| *action == wanted);
        let (claim, release) = (place(Action::Claim), place(Action::Release));
        if let Some(at) = release {
            if !claimed && event != Event::ClaimFailed {
                return Err("released what it did not have".to_owned());
            }
            if at == 0 || actions[at - 1] != Action::ResetClients {
                return Err("clients were not reset before the release".to_owned());
            }
        }
        if let Some(at) = claim {
            let again = matches!(event, Event::AddressLost | Event::ClaimFailed);
            if claimed && !again {
                return Err("claimed twice".to_owned());
            }
            if place(Action::Announce).is_none_or(|announce| announce < at) {
                return Err("nobody was told of a claim".to_owned());
            }
        }
        if let (State::Master { .. }, State::Master { .. }, Event::Heard(heard)) =
            (before, after, event)
        {
            let interval = Time::from(self.plans[router].interval) * 10_000;
            let said_at = self.nodes[node].instances[router].said_at;
            let answers = actions
                .iter()
                .any(|action| matches!(action, Action::Advertise { .. }));
            if heard.priority > 0 && self.now > said_at + interval / 50 && !answers {
                return Err("a rival was not answered".to_owned());
            }
            self.meet_rival(node, router, heard);
        }
        let away = actions
            .iter()
            .any(|action| matches!(action, Action::Report(change) if change.why == Why::Away));
        let own_trouble = matches!(
            event,
            Event::Unable
                | Event::Stopped
                | Event::CannotAdvertise
                | Event::AddressLost
                | Event::ClaimFailed
        );
        let yields = matches!(before, State::Master { .. })
            && matches!(after, State::Backup { .. })
            && matches!(event, Event::Heard(heard) if heard.priority > 0);
        let tells = |action: &Action| {
            matches!(action, Action::Advertise { priority, .. } if *priority > 0)
        };
        if yields && !away && !actions.iter().any(tells) {
            return Err("gave way without a word".to_owned());
        }
        let says_so = actions
            .iter()
            .any(|action| matches!(action, Action::Advertise { priority: 0, .. }));
        let gives_up = matches!(before, State::Master { .. })
            && matches!(after, State::Init { .. } | State::Leaving { .. });
        // After an absence somebody else may be master: then there is nothing to say.
        if gives_up && own_trouble && !says_so && !away {
            return Err("left without a word".to_owned());
        }
        Ok(())
    }

    /// What a machine is, against what it has; and that it does not wait for the past.
    fn check_instance(&self, node: usize, router: usize, event: Event) -> Result<(), String> {
        let instance = &self.nodes[node].instances[router];
        let Machine::Warren(machine) = &instance.machine else {
            return Ok(());
        };
        if machine.state().holds_addresses() != instance.claimed {
            let state = machine.state().name();
            return Err(format!("{state}, and claimed is {}", instance.claimed));
        }
        let waits = machine.next_deadline().is_some_and(|due| due <= self.instant());
        if event == Event::DeadlinePassed && waits {
            return Err(format!("waits for the past: {:?}", machine.state()));
        }
        Ok(())
    }

    /// Schedules the deadline of a machine.
    fn arm(&mut self, node: usize, router: usize) {
        let at = match &self.nodes[node].instances[router].machine {
            Machine::Warren(machine) => machine.next_deadline().map(|due| {
                let since = due.duration_since(self.start).as_nanos();
                // Never early: a deadline is in nanoseconds.
                Time::try_from(since.div_ceil(1_000)).unwrap()
            }),
            Machine::Keepalived(model) => (model.due < Time::MAX).then_some(model.due),
        };
        let instance = &mut self.nodes[node].instances[router];
        if at != instance.scheduled {
            instance.scheduled = at;
            if let Some(at) = at {
                self.schedule(at.max(self.now), Due::Deadline { node, router });
                let instance = &mut self.nodes[node].instances[router];
                instance.scheduled = Some(at.max(self.now));
            }
        }
    }

    /// The model of Keepalived: RFC 9568 without a fence.
    fn feed_model(&mut self, node: usize, router: usize, event: Event) {
        let plan = self.plans[router];
        let base = self.nodes[node].base;
        let (now, own) = (self.now, address(node, 0));
        let down = |interval: u16| {
            let down = master_down(plan.version, base, Centiseconds(interval));
            Time::try_from(down.as_micros()).unwrap()
        };
        let Machine::Keepalived(model) = &mut self.nodes[node].instances[router].machine else {
            return;
        };
        let was = model.master;
        let mut says = None;
        match event {
            Event::Able => {
                if model.due == Time::MAX {
                    (model.master, model.due) = (false, now + down(model.learned));
                }
            }
            Event::Unable | Event::Stopped => {
                says = (model.master && event == Event::Stopped).then_some(0);
                (model.master, model.due) = (false, Time::MAX);
            }
            Event::DeadlinePassed if model.due <= now => {
                if !model.master {
                    model.learned = plan.interval;
                }
                model.master = true;
                model.due = now + Time::from(plan.interval) * 10_000;
                says = Some(base);
            }
            Event::Heard(heard) if model.due < Time::MAX => {
                let better = heard.priority > base || (heard.priority == base && heard.from > own);
                if model.master && better {
                    model.master = false;
                    model.learned = heard.interval.0;
                    model.due = now + down(model.learned);
                } else if model.master {
                    says = Some(base);
                } else if heard.priority == 0 {
                    let skew = down(model.learned) - Time::from(model.learned) * 30_000;
                    model.due = model.due.min(now + skew);
                } else if heard.priority >= base || !plan.preempt {
                    model.learned = heard.interval.0;
                    model.due = now + down(model.learned);
                }
            }
            _ => {}
        }
        let master = model.master;
        if was != master {
            self.tell(node, router, "model", if master { "master" } else { "backup" }, "");
        }
        self.transitions += u64::from(was != master);
        if master && !was {
            self.became_master(node, router);
            self.schedule(self.now + self.bound(router), Due::Alone { router });
        } else if was && !master && matches!(event, Event::Heard(_)) {
            // Without a word.
            self.gave_way(router);
        }
        let instance = &mut self.nodes[node].instances[router];
        instance.claimed = master;
        instance.held_until = if master { Time::MAX } else { 0 };
        if let Some(priority) = says {
            self.send(node, router, 0, priority);
            if master && priority > 0 && self.nodes[node].link {
                // With its vrrp_garp_master_refresh and garp_lower_prio_repeat on.
                self.announced[router] = Some((node, self.now));
            }
        }
        self.arm(node, router);
    }

    /// Seconds after a master gave way.
    pub(super) fn check_told(&self, router: usize) -> Result<(), String> {
        let too_early = self.now < self.gave_way_at[router] + HEARD;
        let cut = self.cut.iter().flatten().flatten().any(|&cut| cut);
        if self.disturbing || self.loss > 0 || too_early || cut {
            return Ok(());
        }
        let holds = |node: &usize| {
            let node = &self.nodes[*node];
            node.running && node.instances[router].claimed
        };
        let masters: Vec<usize> = (0..self.nodes.len()).filter(holds).collect();
        match (&masters[..], self.announced[router]) {
            // A winner that is a model announces when it advertises.
            ([master], Some((told, at)))
                if *master != told && self.now >= at + HEARD && self.is_warren(*master) =>
            {
                Err(format!(
                    "router {router}: {master} is master, the neighbours look for it at {told}"
                ))
            }
            _ => Ok(()),
        }
    }

    /// What must be so when nothing has happened for long.
    pub(super) fn check_peace(&mut self) -> Result<(), String> {
        self.totals.checks += 1;
        for router in 0..self.plans.len() {
            let holds = |node: &usize| {
                let node = &self.nodes[*node];
                node.running && node.instances[router].claimed
            };
            let masters: Vec<usize> = (0..self.nodes.len()).filter(holds).collect();
            let [master] = masters[..] else {
                return Err(format!("masters of router {router}: {masters:?}"));
            };
            let priority = |node: usize| self.priority(node, router);
            let highest = (0..self.nodes.len()).map(priority).max().unwrap_or(0);
            if self.plans[router].preempt && priority(master) < highest {
                return Err(format!(
                    "router {router}: {master} has {}, the highest is {highest}",
                    priority(master)
                ));
            }
            let told = self.announced[router].map(|(node, _)| node);
            if told != Some(master) {
                return Err(format!(
                    "router {router}: {master} is master, {told:?} was announced last"
                ));
            }
        }
        Ok(())
    }
}
