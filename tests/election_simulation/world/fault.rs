//! What is done to the nodes and the network, and how it is undone.

use super::*;

/// Between two faults.
const MOST_PAUSE: Time = 3 * SECOND;

impl World {
    /// One more fault, and the next one some time later.
    pub(super) fn fault(&mut self) -> Result<(), String> {
        if !self.disturbing {
            return Ok(());
        }
        self.totals.faults += 1;
        self.be_unquiet();
        let next = self.now + 1 + self.random.below(MOST_PAUSE);
        self.schedule(next, Due::Fault);
        let node = usize::try_from(self.random.below(self.nodes.len() as u64)).unwrap();
        let other = usize::try_from(self.random.below(self.nodes.len() as u64)).unwrap();
        let long = self.random.pick(&[20_000, 200_000, SECOND, 3 * SECOND, 20 * SECOND]);
        let until = self.now + 1 + self.random.below(long);
        match self.random.below(13) {
            0 => {
                // Killed. The kernel keeps what it has for a while.
                self.nodes[node].running = false;
                self.schedule(until, Due::Mend(Mend::Start(node)));
            }
            1 => {
                self.nodes[node].hung = true;
                self.schedule(until, Due::Mend(Mend::Resume(node)));
            }
            2 => {
                self.nodes[node].suspended = true;
                self.schedule(until, Due::Mend(Mend::Resume(node)));
            }
            3 => {
                self.nodes[node].link = false;
                self.schedule(until, Due::Mend(Mend::Link(node)));
                return self.feed_all(node, Event::Unable);
            }
            4 | 5 => self.cut_off(node, other, until),
            6 => {
                self.feed_all(node, Event::Stopped)?;
                if self.random.chance(50) {
                    self.schedule(until, Due::Mend(Mend::Start(node)));
                }
            }
            7 => self.remove_often(node),
            8 => {
                self.nodes[node].base = self.random.pick(&[1, 50, 100, 150, 200, 254]);
                // Tracking changed, or somebody has changed the file: the microseconds decide, so
                // that seeds remain what they were.
                if self.is_awake(node) && self.now.is_multiple_of(2) {
                    self.tell_priorities(node)?;
                } else if self.is_awake(node) {
                    for router in 0..self.plans.len() {
                        self.reconfigure(node, router, self.plans[router].interval)?;
                    }
                }
            }
            9 => {
                let good = self.random.chance(50);
                return self.pool(node, good);
            }
            10 => {
                let router = usize::try_from(self.random.below(self.plans.len() as u64)).unwrap();
                let claimed = self.nodes[node].instances[router].claimed;
                if self.is_awake(node) && claimed {
                    return self.feed(node, router, Event::CannotAdvertise);
                }
            }
            11 => self.late(node),
            _ => self.forge(node),
        }
        Ok(())
    }

    /// Cuts one direction between two nodes or both, on one network or all.
    fn cut_off(&mut self, node: usize, other: usize, until: Time) {
        let both = self.random.chance(50);
        let one = usize::try_from(self.random.below(MEMBERS as u64)).unwrap();
        let all = self.random.chance(70);
        for network in (0..MEMBERS).filter(|&network| all || network == one) {
            self.cut[network][node][other] = true;
            self.cut[network][other][node] |= both;
        }
        self.schedule(until, Due::Mend(Mend::Cut(node, other)));
        self.schedule(until, Due::Mend(Mend::Cut(other, node)));
    }

    /// Somebody removes an address; some do it again and again.
    fn remove_often(&mut self, node: usize) {
        let router = usize::try_from(self.random.below(self.plans.len() as u64)).unwrap();
        for time in 0..self.random.pick(&[1, 1, 5]) {
            let at = self.now + time * 2 * SECOND;
            self.schedule(at, Due::Remove { node, router });
        }
    }

    pub(super) fn remove_an_address(&mut self, node: usize, router: usize) -> Result<(), String> {
        let instance = &mut self.nodes[node].instances[router];
        if instance.claimed && matches!(instance.machine, Machine::Warren(_)) {
            instance.held_until = 0;
            if self.is_awake(node) {
                return self.feed(node, router, Event::AddressLost);
            }
        }
        Ok(())
    }

    /// A node whose timers come late.
    fn late(&mut self, node: usize) {
        for router in 0..self.plans.len() {
            if let Some(at) = self.nodes[node].instances[router].scheduled {
                let late = at.max(self.now) + self.random.below(100_000);
                self.nodes[node].instances[router].scheduled = Some(late);
                self.schedule(late, Due::Deadline { node, router });
            }
        }
    }

    /// Packets of somebody who is no node: all must be refused.
    fn forge(&mut self, to: usize) {
        let router = usize::try_from(self.random.below(self.plans.len() as u64)).unwrap();
        let plan = self.plans[router];
        let nobody = self.nodes.len() + 5;
        let mut said = Advertisement {
            version: plan.version,
            router_id: router_id(router, 0),
            priority: self.random.pick(&[0, 1, 254, 255]),
            interval: Centiseconds(plan.interval),
            addresses: vec![virtual_address(router, 0)],
        };
        let (mut ttl, mut source) = (255, nobody);
        let kind = self.random.below(6);
        match kind {
            0 => ttl = self.random.pick(&[0, 1, 64, 254]),
            1 => said.addresses = vec![IpAddr::from([10, 0, 9, 9])],
            2 => said.router_id = 200,
            3 => {
                said.version = match plan.version {
                    VrrpVersion::V2 => VrrpVersion::V3,
                    VrrpVersion::V3 => VrrpVersion::V2,
                };
            }
            4 => source = to,
            _ => {}
        }
        let group = GROUP_V4.into();
        let mut bytes = said.encode(address(source, 0), group, ChecksumForm::PseudoHeader);
        if kind >= 5 {
            let bit = self.random.below(bytes.len() as u64 * 8);
            bytes[usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8);
        }
        let at = self.now + self.random.below(1_000);
        let packet = Packet { network: 0, bytes, source, ttl, genuine: false };
        self.schedule(at, Due::Packet { to, packet });
    }

    pub(super) fn mend(&mut self, mend: &Mend) -> Result<(), String> {
        self.be_unquiet();
        match *mend {
            Mend::Cut(from, to) => self.cut.iter_mut().for_each(|cut| cut[from][to] = false),
            Mend::Link(node) => {
                if !self.nodes[node].link {
                    self.nodes[node].link = true;
                    return self.feed_all(node, Event::Able);
                }
            }
            Mend::Start(node) => return self.start(node),
            Mend::Resume(node) => return self.resume(node),
        }
        Ok(())
    }

    /// Starts a node that does not run, or has stopped.
    fn start(&mut self, node: usize) -> Result<(), String> {
        let stopped = |instance: &Instance| match &instance.machine {
            Machine::Warren(router) => router.state() == State::Stopped,
            Machine::Keepalived(model) => model.due == Time::MAX && self.nodes[node].link,
        };
        let ended = self.nodes[node].instances.iter().any(stopped);
        if self.nodes[node].running && !ended {
            return Ok(());
        }
        let base = self.nodes[node].base;
        for router in 0..self.plans.len() {
            let fresh = self.fresh(node, router, base);
            let learned = self.plans[router].interval;
            let instance = &mut self.nodes[node].instances[router];
            // What an earlier run left behind is removed.
            (instance.claimed, instance.held_until) = (false, 0);
            instance.seen = Seen::default();
            match &mut instance.machine {
                Machine::Warren(router) => *router = fresh,
                Machine::Keepalived(model) => {
                    *model = Model {
                        master: false,
                        due: Time::MAX,
                        learned,
                    };
                }
            }
        }
        let one = &mut self.nodes[node];
        (one.running, one.hung, one.suspended) = (true, false, false);
        one.waiting.clear();
        self.tell_priorities(node)?;
        match self.nodes[node].link {
            true => self.feed_all(node, Event::Able),
            false => Ok(()),
        }
    }

    /// A process goes on: first what waits in its sockets, then its deadlines.
    fn resume(&mut self, node: usize) -> Result<(), String> {
        let one = &mut self.nodes[node];
        let suspended = std::mem::replace(&mut one.suspended, false);
        let hung = std::mem::replace(&mut one.hung, false);
        if !one.running || !(suspended || hung) {
            return Ok(());
        }
        if suspended {
            one.waiting.clear();
            self.feed_all(node, Event::Away)?;
        }
        for instance in &mut self.nodes[node].instances {
            instance.seen.rival_at = None;
        }
        while let Some(packet) = self.nodes[node].waiting.pop_front() {
            self.receive(node, &packet)?;
        }
        let link = self.nodes[node].link;
        self.feed_all(node, if link { Event::Able } else { Event::Unable })?;
        // The kernel tells of addresses whose lease has ended.
        for router in 0..self.plans.len() {
            let instance = &self.nodes[node].instances[router];
            let warren = matches!(instance.machine, Machine::Warren(_));
            if warren && instance.claimed && instance.held_until <= self.now {
                self.feed(node, router, Event::AddressLost)?;
            }
        }
        self.tell_priorities(node)?;
        self.feed_all(node, Event::DeadlinePassed)
    }

    /// One event for every virtual router of a node that is awake.
    pub(super) fn feed_all(&mut self, node: usize, event: Event) -> Result<(), String> {
        if !self.is_awake(node) {
            return Ok(());
        }
        for router in 0..self.plans.len() {
            self.feed(node, router, event)?;
        }
        Ok(())
    }

    /// Sends an advertisement to everybody who can hear it.
    pub(super) fn send(&mut self, from: usize, router: usize, member: usize, priority: u8) {
        if !self.nodes[from].link {
            return;
        }
        let plan = self.plans[router];
        let id = router_id(router, member);
        let interval = match &self.nodes[from].instances[router].machine {
            Machine::Warren(machine) => machine.members()[member].interval,
            Machine::Keepalived(_) => Centiseconds(plan.interval),
        };
        let said = Advertisement {
            version: plan.version,
            router_id: id,
            priority,
            interval,
            addresses: vec![virtual_address(router, member)],
        };
        let form = self.random.pick(&[ChecksumForm::PseudoHeader, ChecksumForm::MessageOnly]);
        let bytes = said.encode(address(from, member), GROUP_V4.into(), form);
        for to in 0..self.nodes.len() {
            if to == from || self.cut[member][from][to] {
                continue;
            }
            let lost = &mut self.lost[from][to][usize::from(id)];
            if self.random.chance(self.loss) && *lost < self.most_lost {
                *lost += 1;
                continue;
            }
            *lost = 0;
            let copies = if self.strange && self.random.chance(10) { 2 } else { 1 };
            for _ in 0..copies {
                let mut bytes = bytes.clone();
                let genuine = !(self.strange && self.random.chance(2));
                if !genuine {
                    let bit = self.random.below(bytes.len() as u64 * 8);
                    bytes[usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8);
                }
                let at = self.now + 5 + self.random.below(self.delay);
                let (network, source, ttl) = (member, from, 255);
                let packet = Packet { network, bytes, source, ttl, genuine };
                self.schedule(at, Due::Packet { to, packet });
            }
        }
    }
}
