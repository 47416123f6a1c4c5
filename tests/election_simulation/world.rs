//! A network of routers on a virtual clock, from a seed.
//!
//! The routers are the real ones, and so are the bytes between them: what is sent is encoded, and
//! what arrives passes the same checks as on a wire. The network loses, delays, repeats, reorders
//! and breaks packets, cuts one or both directions between two nodes, and makes up forged ones.
//! Nodes crash, hang, are suspended, lose their link and come back; a kernel's lease keeps the
//! addresses of a dead one for 2.0 to 2.45 s. Somebody removes addresses, claims fail, priorities
//! change, pools fail for all nodes at slightly different times, nodes stop and start, and read
//! their configuration again. Some nodes are not warren but a model of what Keepalived does.
//!
//! What must hold after every event, for the nodes that are warren:
//!
//! 1. Whoever is master or leaving has claimed the addresses, and nobody else has.
//! 2. Claims and releases alternate, clients are reset right before every release, and an
//!    announcement follows every claim.
//! 3. Nobody advertises a priority above 0 without the addresses, or after the lease has ended.
//! 4. Whoever lets go of its own accord says so with priority 0.
//! 5. A deadline that fires early does nothing, and the next one is never in the past.
//! 6. A master that hears a rival of lower priority says at once that it is there, and tells the
//!    neighbours again within a second. Whoever gives way says that it was there.
//! 7. What never was master cannot end a master's term, and a forged or broken packet does nothing.
//! 8. The lists of actions and every queue stay short.
//! 9. A master that is heard is replaced only by a better one; without preemption only if its
//!    priority fell; never before the preempt delay. Nobody claims before the startup delay.
//! 10. An address that somebody removes is put back three times a minute at most.
//!
//! While nothing is done to the nodes and the network:
//!
//! 11. Two nodes that hear each other have the addresses both for an interval at most, and the time
//!     that packets and late timers take.
//! 12. The neighbours find the winner of a conflict within seconds, also if nobody heard that the
//!     other one gave way.
//!
//! And once the network has been whole and nobody has been disturbed for long enough:
//!
//! 13. Exactly one node has the addresses.
//! 14. It is the right one: with preemption one of the highest priority, without it any.
//! 15. The neighbours heard of the addresses from it last.
//! 16. Losing fewer than three advertisements in a row changes nothing, nor does an outage of the
//!     pools of all nodes.
//! 17. A master that is stopped is followed after the skew of the best of the others, one that is
//!     killed after three intervals and the skew; by that one.
//! 18. When the nodes get another interval one after the other, nothing changes, and no single lost
//!     advertisement makes that different.
//!
//! Some virtual routers are groups. Each of their members has a network of its own, on which the
//! nodes' addresses are in another order, and which can be cut alone.

use std::collections::{BinaryHeap, VecDeque};
use std::cmp::Reverse;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::config::VrrpVersion;
use crate::config::units::Centiseconds;
use crate::vrrp::packet::{Advertisement, ChecksumForm, Envelope};
use crate::vrrp::receive::{GROUP_V4, Receiver, screen};
use crate::vrrp::router::{
    Action, Change, Event, Heard, LEASE, Member, Proof, Router, Settings, State,
};
use crate::vrrp::timing::master_down;

/// Microseconds of virtual time.
type Time = u64;

const SECOND: Time = 1_000_000;

/// A small generator (xorshift64*, Vigna 2016), so that a seed is a trace on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            random.next();
        }
        random
    }

    fn next(&mut self) -> u64 {
        let mut x = self.0;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0 = x;
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end.max(1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let index = self.below(of.len() as u64);
        of[usize::try_from(index).unwrap()]
    }
}

/// What happened in all.
#[derive(Debug, Default, Clone, Copy)]
pub struct Totals {
    pub time: Time,
    pub events: u64,
    pub faults: u64,
    pub takeovers: u64,
    pub checks: u64,
}

/// What can be scheduled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A deadline of a node's virtual router may have passed.
    Deadline { node: usize, router: usize },
    /// A packet arrives.
    Packet { to: usize, packet: Packet },
    /// Something is done to somebody.
    Fault,
    /// The fault is over.
    Mend(Mend),
    /// A pool changes for one node.
    Pool { node: usize, good: bool },
    /// All brokers go, or come back.
    Brokers(bool),
    /// A node reads a configuration with another interval.
    Pace { node: usize, router: usize, interval: u16 },
    /// A master gave way some seconds ago: by now the neighbours have heard of the other one.
    Told { router: usize },
    /// Two masters have had the time to hear each other.
    Alone { router: usize },
    /// Somebody removes an address.
    Remove { node: usize, router: usize },
}

/// Bytes on the wire of one of the networks: each member of a group has one of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    network: usize,
    bytes: Vec<u8>,
    source: usize,
    ttl: u8,
    /// As a node sent it.
    genuine: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Mend {
    Start(usize),
    Resume(usize),
    Link(usize),
    Cut(usize, usize),
}

/// What a node does with the virtual routers.
enum Machine {
    Warren(Router),
    Keepalived(Model),
}

/// As Keepalived 2.2.7 goes on after every surprise, without fences or second thoughts.
struct Model {
    master: bool,
    due: Time,
    learned: u16,
}

/// One virtual router on one node.
struct Instance {
    machine: Machine,
    /// What the process thinks.
    claimed: bool,
    /// Until when the kernel has the addresses.
    held_until: Time,
    /// The deadline that is scheduled.
    scheduled: Option<Time>,
    /// When it last advertised.
    said_at: Time,
    /// For the rules about what it may do.
    seen: Seen,
}

struct Node {
    running: bool,
    hung: bool,
    suspended: bool,
    link: bool,
    /// What waits in the sockets of a process that hangs.
    waiting: VecDeque<Packet>,
    base: u8,
    pool: bool,
    instances: Vec<Instance>,
}

/// What all nodes of a virtual router agree on.
#[derive(Clone, Copy)]
struct Plan {
    version: VrrpVersion,
    interval: u16,
    preempt: bool,
    preempt_delay: Time,
    startup_delay: Time,
    tracks: bool,
    /// More than one: a group.
    members: usize,
}

pub struct World {
    random: Random,
    start: Instant,
    now: Time,
    order: u64,
    queue: BinaryHeap<Reverse<(Time, u64, Due)>>,
    nodes: Vec<Node>,
    plans: Vec<Plan>,
    /// By network, sender and receiver.
    cut: Vec<Vec<Vec<bool>>>,
    /// In percent.
    loss: u64,
    /// How many packets in a row were lost, by sender, receiver and router id.
    lost: Vec<Vec<Vec<u32>>>,
    /// By node and network.
    receivers: Vec<Vec<Vec<Receiver>>>,
    most_lost: u32,
    delay: Time,
    strange: bool,
    disturbing: bool,
    /// The checks of pools can pass.
    brokers: bool,
    /// By virtual router: who announced last, and when.
    announced: Vec<Option<(usize, Time)>>,
    /// By virtual router: when a master last gave way.
    gave_way_at: Vec<Time>,
    /// When something last was done to a node or the network.
    quiet_since: Time,
    /// By virtual router: who became master first since the master was lost, and when.
    successor: Vec<Option<(usize, Time)>>,
    transitions: u64,
    tells: bool,
    pub totals: Totals,
    pub trace: u64,
}

/// How long a process of the pair needs at most to see what the other sees of a pool.
const SETTLE: Duration = Duration::from_secs(6);

/// So many members a group has at most.
const MEMBERS: usize = 3;

/// The order of the nodes is the other way round on every other network.
fn address(node: usize, network: usize) -> IpAddr {
    let last = if network % 2 == 0 { node + 1 } else { 200 - node };
    IpAddr::from([10, u8::try_from(network).unwrap(), 0, u8::try_from(last).unwrap()])
}

fn virtual_address(router: usize, member: usize) -> IpAddr {
    IpAddr::from([10, u8::try_from(member).unwrap(), 1, u8::try_from(router + 1).unwrap()])
}

fn router_id(router: usize, member: usize) -> u8 {
    u8::try_from(router * MEMBERS + member + 1).unwrap()
}

fn receivers(plans: &[Plan], node: usize, network: usize) -> Vec<Receiver> {
    let here = plans.iter().enumerate().filter(|(_, plan)| plan.members > network);
    here.map(|(router, plan)| Receiver {
        router_id: router_id(router, network),
        version: plan.version,
        interval: Centiseconds(plan.interval),
        addresses: vec![virtual_address(router, network)],
        peers: Vec::new(),
        own: Some(address(node, network)),
    })
    .collect()
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = 2 + random.below(4);
        let routers = random.pick(&[1, 1, 1, 2, 3, 8]);
        let preempt = random.chance(70);
        let plan = |random: &mut Random| {
            let version = random.pick(&[VrrpVersion::V2, VrrpVersion::V3, VrrpVersion::V3]);
            Plan {
                version,
                interval: match version {
                    VrrpVersion::V2 => random.pick(&[100, 100, 200, 500]),
                    VrrpVersion::V3 => random.pick(&[1, 10, 10, 25, 100, 100, 400, 4095]),
                },
                preempt,
                preempt_delay: random.pick(&[0, 0, 0, 2, 10]) * SECOND,
                startup_delay: random.pick(&[0, 0, 0, 3]) * SECOND,
                tracks: random.chance(40),
                members: random.pick(&[1, 1, 2, MEMBERS]),
            }
        };
        let mut plans: Vec<Plan> = (0..routers).map(|_| plan(&mut random)).collect();
        if plans.iter().any(|plan| plan.interval < 10) {
            // A hundred advertisements a second of one virtual router are enough.
            plans.truncate(1);
        }
        let count = usize::try_from(count).unwrap();
        let mixed = random.chance(30);
        if mixed || plans.len() > 3 || plans.iter().any(|plan| plan.interval < 10) {
            // The model knows no groups; and many of them are too much work.
            plans.iter_mut().for_each(|plan| plan.members = 1);
        }
        let all = |node| (0..MEMBERS).map(|network| receivers(&plans, node, network)).collect();
        let all = (0..count).map(all).collect();
        let mut world = Self {
            start: Instant::now(),
            now: SECOND,
            order: 0,
            queue: BinaryHeap::new(),
            nodes: Vec::new(),
            cut: vec![vec![vec![false; count]; count]; MEMBERS],
            loss: 0,
            lost: vec![vec![vec![0; plans.len() * MEMBERS + 1]; count]; count],
            receivers: all,
            most_lost: u32::MAX,
            delay: 1_000,
            strange: false,
            disturbing: false,
            brokers: true,
            announced: vec![None; plans.len()],
            gave_way_at: vec![0; plans.len()],
            quiet_since: 0,
            successor: vec![None; plans.len()],
            plans,
            transitions: 0,
            tells: std::env::var_os("SIM_TRACE").is_some(),
            totals: Totals::default(),
            trace: 0,
            random,
        };
        for node in 0..count {
            let foreign = mixed && node == count - 1;
            world.add_node(node, preempt, foreign);
        }
        // In any order, some of them late.
        for node in 0..count {
            let at = world.now + world.random.below(5 * SECOND);
            world.schedule(at, Due::Mend(Mend::Start(node)));
        }
        world
    }

    fn add_node(&mut self, node: usize, preempt: bool, foreign: bool) {
        let base = self.random.pick(&[50, 100, 100, 120, 150, 200, 254, 255]);
        let base = if !preempt { base.min(254) } else { base };
        let instances = (0..self.plans.len())
            .map(|router| Instance {
                machine: match foreign {
                    true => Machine::Keepalived(Model {
                        master: false,
                        due: Time::MAX,
                        learned: self.plans[router].interval,
                    }),
                    false => Machine::Warren(self.fresh(node, router, base)),
                },
                claimed: false,
                held_until: 0,
                scheduled: None,
                said_at: 0,
                seen: Seen::default(),
            })
            .collect();
        self.nodes.push(Node {
            running: false,
            hung: false,
            suspended: false,
            link: true,
            waiting: VecDeque::new(),
            base,
            pool: true,
            instances,
        });
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_micros(self.now)
    }

    fn fresh(&self, node: usize, router: usize, base: u8) -> Router {
        let plan = &self.plans[router];
        let settings = self.settings(router, base);
        let interval = Centiseconds(plan.interval);
        let now = self.instant();
        let member = |at| Member::new(plan.version, interval, address(node, at), now);
        Router::new(settings, (0..plan.members).map(member).collect(), now)
    }

    fn settings(&self, router: usize, base: u8) -> Settings {
        let plan = &self.plans[router];
        Settings {
            priority: base,
            preempt: plan.preempt,
            preempt_delay: Duration::from_micros(plan.preempt_delay),
            startup_delay: Duration::from_micros(plan.startup_delay),
            tracks_pools: plan.tracks,
            settle: if plan.tracks { SETTLE } else { Duration::ZERO },
        }
    }

    fn schedule(&mut self, at: Time, due: Due) {
        self.order += 1;
        self.queue.push(Reverse((at, self.order, due)));
    }

    /// Runs through the times of trouble and of peace. Fails with what did not hold.
    pub fn run(&mut self, cycles: u32) -> Result<(), String> {
        for cycle in 0..cycles {
            self.disturb(cycle);
            let length = self.random.pick(&[1, 5, 20, 60, 300]) * SECOND;
            self.until(self.now + length)?;
            self.heal();
            self.until(self.now + self.patience())?;
            self.check_peace()?;
            self.stay_calm()?;
            match self.random.chance(50) {
                true => self.lose_the_master()?,
                false => self.let_two_masters_meet()?,
            }
        }
        // At the end, so that what came before is what the seed has always been.
        for _ in 0..6 {
            self.change_pace()?;
        }
        self.stay_long()
    }

    /// Days in which nothing happens, where that is not too much work.
    fn stay_long(&mut self) -> Result<(), String> {
        let slow = self.plans.len() == 1 && self.plans[0].interval >= 100;
        if !slow {
            return Ok(());
        }
        let before = self.transitions;
        let days = 1 + self.random.below(20);
        self.until(self.now + days * 24 * 3600 * SECOND)?;
        match self.transitions == before {
            true => self.check_peace(),
            false => Err("transitions in days of peace".to_owned()),
        }
    }

    /// Begins a time of trouble.
    fn disturb(&mut self, cycle: u32) {
        self.disturbing = cycle > 0;
        self.strange = self.random.chance(50);
        self.loss = self.random.pick(&[0, 0, 1, 10, 30, 60]);
        self.most_lost = u32::MAX;
        self.delay = self.random.pick(&[100, 1_000, 1_000, 20_000, 200_000]);
        self.be_unquiet();
        if self.disturbing {
            let at = self.now + self.random.below(2 * SECOND);
            self.schedule(at, Due::Fault);
        }
    }

    /// Everything is whole again.
    fn heal(&mut self) {
        self.disturbing = false;
        self.strange = false;
        self.loss = 0;
        self.delay = 500;
        self.be_unquiet();
        for row in self.cut.iter_mut().flatten() {
            row.fill(false);
        }
        for node in 0..self.nodes.len() {
            for mend in [Mend::Start(node), Mend::Resume(node), Mend::Link(node)] {
                self.schedule(self.now, Due::Mend(mend));
            }
            self.schedule(self.now, Due::Pool { node, good: true });
            // Who was leaving has gone by then.
            self.schedule(self.now + 60 * SECOND, Due::Mend(Mend::Start(node)));
        }
    }

    /// How long it takes at most until all is as it should be: a node that gave up for a minute
    /// comes back, waits, hears, and takes over; then again for one that learned a long interval.
    fn patience(&self) -> Time {
        let longest = |plan: &Plan| {
            let down = master_down(plan.version, 1, Centiseconds(plan.interval.max(100)));
            // A forged interval of up to three times ours may have been learned.
            let down = Time::try_from(down.as_micros()).unwrap() * 3;
            plan.preempt_delay + plan.startup_delay + 4 * down
        };
        140 * SECOND + self.plans.iter().map(longest).max().unwrap_or(0)
    }

    /// Small losses, and an outage of all pools, change nothing.
    fn stay_calm(&mut self) -> Result<(), String> {
        let before = self.transitions;
        self.loss = 30;
        self.most_lost = 2;
        // Skew is less than a tenth of a millisecond for the fastest of high priority.
        self.delay = 10;
        let longest = self.plans.iter().map(|plan| plan.interval).max();
        let length = Time::from(longest.unwrap_or(100)) * 10_000 * 20;
        let outage = self.random.chance(50);
        if outage {
            for good in [false, true] {
                let begin = self.now + if good { length.max(10 * SECOND) } else { 0 } + SECOND;
                self.schedule(begin, Due::Brokers(good));
                for node in 0..self.nodes.len() {
                    // One node notices seconds after another.
                    let at = begin + self.random.below(5 * SECOND);
                    self.schedule(at, Due::Pool { node, good });
                }
            }
        }
        self.until(self.now + 2 * length + 40 * SECOND)?;
        self.be_unquiet();
        self.loss = 0;
        self.most_lost = u32::MAX;
        let foreign = self.has_models();
        // A Keepalived without check scripts does not lower its priority when brokers fail.
        if self.transitions != before && !(outage && foreign) {
            return Err(format!("{} transitions in peace", self.transitions - before));
        }
        self.until(self.now + self.patience())
    }

    fn has_models(&self) -> bool {
        self.nodes.iter().any(|node| {
            let models = |one: &Instance| matches!(one.machine, Machine::Keepalived(_));
            node.instances.iter().any(models)
        })
    }

    /// All nodes get another interval, one after the other, and nobody is taken for dead.
    fn change_pace(&mut self) -> Result<(), String> {
        let router = usize::try_from(self.random.below(self.plans.len() as u64)).unwrap();
        let Plan { version, interval: old, .. } = self.plans[router];
        // A backup does not believe much longer intervals than its own, beyond a second.
        if version == VrrpVersion::V2 || old > 100 || self.has_models() {
            return Ok(());
        }
        let interval = self.random.pick(&[10, 20, 50, 100]);
        let before = self.transitions;
        (self.loss, self.most_lost, self.delay) = (30, 1, 10);
        for node in 0..self.nodes.len() {
            let at = self.now + self.random.below(2 * SECOND);
            self.schedule(at, Due::Pace { node, router, interval });
        }
        self.until(self.now + 12 * SECOND)?;
        (self.loss, self.most_lost) = (0, u32::MAX);
        self.be_unquiet();
        if self.transitions != before {
            return Err(format!("{} transitions at another pace", self.transitions - before));
        }
        self.plans[router].interval = interval;
        Ok(())
    }

    fn until(&mut self, end: Time) -> Result<(), String> {
        while let Some(Reverse((at, ..))) = self.queue.peek() {
            if *at > end {
                break;
            }
            let Some(Reverse((at, _, due))) = self.queue.pop() else { break };
            self.totals.time += at.saturating_sub(self.now);
            self.now = self.now.max(at);
            self.totals.events += 1;
            self.trace = (self.trace ^ self.now).wrapping_mul(0x0100_0000_01B3);
            self.step(due)?;
            if self.queue.len() > 100_000 {
                return Err("events without end".to_owned());
            }
        }
        self.totals.time += end.saturating_sub(self.now);
        self.now = end;
        Ok(())
    }

    fn step(&mut self, due: Due) -> Result<(), String> {
        match due {
            Due::Deadline { node, router } => self.deadline(node, router),
            Due::Packet { to, packet } => self.arrive(to, packet),
            Due::Fault => self.fault(),
            Due::Mend(mend) => self.mend(&mend),
            Due::Pool { node, good } => self.pool(node, good),
            Due::Told { router } => self.check_told(router),
            Due::Alone { router } => self.check_alone(router),
            Due::Remove { node, router } => self.remove_an_address(node, router),
            Due::Pace { node, router, interval } => self.reconfigure(node, router, interval),
            Due::Brokers(up) => {
                self.brokers = up;
                Ok(())
            }
        }
    }

    fn is_awake(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        node.running && !node.hung && !node.suspended
    }

    fn deadline(&mut self, node: usize, router: usize) -> Result<(), String> {
        let instance = &mut self.nodes[node].instances[router];
        if instance.scheduled != Some(self.now) {
            return Ok(());
        }
        instance.scheduled = None;
        if !self.is_awake(node) {
            return Ok(());
        }
        self.feed(node, router, Event::DeadlinePassed)
    }

    fn arrive(&mut self, to: usize, packet: Packet) -> Result<(), String> {
        let node = &mut self.nodes[to];
        if !node.running || !node.link || node.suspended {
            return Ok(());
        }
        if node.hung {
            if node.waiting.len() < 500 {
                node.waiting.push_back(packet);
            }
            return Ok(());
        }
        self.receive(to, &packet)
    }

    fn receive(&mut self, to: usize, packet: &Packet) -> Result<(), String> {
        let Packet { network, source, ttl, .. } = *packet;
        let receivers = &self.receivers[to][network];
        let envelope = Envelope {
            source: address(source, network),
            destination: GROUP_V4.into(),
            ttl,
        };
        let Ok(accepted) = screen(&packet.bytes, &envelope, receivers) else {
            return Ok(());
        };
        if source >= self.nodes.len() {
            return Err("a forged packet was believed".to_owned());
        }
        if source == to {
            return Err("our own packet was believed".to_owned());
        }
        if !packet.genuine {
            return Err("a broken packet was believed".to_owned());
        }
        let mut here = (0..self.plans.len()).filter(|&at| self.plans[at].members > network);
        let router = here.nth(accepted.index).unwrap();
        if self.plans[router].tracks && self.brokers && self.nodes[to].pool {
            // Its checks go on passing.
            let proof = Proof::GoodAt(self.instant());
            self.feed(to, router, Event::PoolsGood(proof))?;
        }
        let heard = Heard {
            member: network,
            from: accepted.from,
            priority: accepted.advertisement.priority,
            interval: accepted.advertisement.interval,
        };
        self.overhear(to, router, source, heard);
        self.feed(to, router, Event::Heard(heard))
    }

    fn pool(&mut self, node: usize, good: bool) -> Result<(), String> {
        self.be_unquiet();
        self.nodes[node].pool = good;
        if !self.is_awake(node) {
            return Ok(());
        }
        self.tell_priorities(node)
    }

    fn priority(&self, node: usize, router: usize) -> u8 {
        let one = &self.nodes[node];
        let foreign = matches!(one.instances[router].machine, Machine::Keepalived(_));
        match self.plans[router].tracks && !one.pool && !foreign {
            true => one.base.saturating_sub(60).max(1),
            false => one.base,
        }
    }

    fn tell_priorities(&mut self, node: usize) -> Result<(), String> {
        for router in 0..self.plans.len() {
            let priority = self.priority(node, router);
            if let Machine::Warren(known) = &self.nodes[node].instances[router].machine
                && known.priority() != priority
            {
                self.feed(node, router, Event::PriorityChanged(priority))?;
            }
        }
        Ok(())
    }
}

mod fault;
mod oracle;
mod rules;

use rules::Seen;
