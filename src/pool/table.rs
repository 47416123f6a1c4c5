//! choose() -> Grant; release() gives the slot back, or to the next in line.
//!
//! What holds after every call, for every waiter in the queue: the tier that serves has a usable
//! server that it has not tried, and each such server is at its limit.

use std::net::SocketAddr;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::choose::{Load, SHARES_PER_WEIGHT, Tier, Wish};
use super::queue::{Grant, Queue, Ticket};
use super::server::{Admin, Health, Record, ServerSnapshot, State};
use crate::config::{self, CheckKind, Host, OnDown};
use crate::stats::history::Clear;

mod rearrange;
mod state;

pub(super) use rearrange::Place;

/// Everything of a pool that changes.
pub(super) struct Table {
    loads: Vec<Load>,
    targets: Vec<Target>,
    records: Vec<Record>,
    /// The servers and the backup servers.
    tiers: [Tier; 2],
    queue: Queue,
    /// Servers in slow start, with its beginning.
    starting: Vec<(usize, Instant)>,
    slow_start: Duration,
    on_down: OnDown,
    checked: bool,
    /// What is new to the next configuration begins in maintenance.
    hold: bool,
}

/// Where new connections to a server go.
struct Target {
    address: Option<SocketAddr>,
    /// An operator has set the address: what the name resolves to does not count.
    overridden: bool,
    epoch: u32,
}

/// What became of a request.
pub(super) enum Decision {
    Granted(Grant),
    Queued(Ticket),
    QueueFull,
    NoServer,
}

impl Table {
    pub(super) fn new(config: &config::Pool, now: Instant) -> Self {
        let checked = config.check.kind != CheckKind::None;
        let servers = config.servers.iter();
        let mut table = Self {
            loads: servers
                .clone()
                .zip(0..)
                .map(|(server, place)| Load::new(server, place))
                .collect(),
            targets: servers.map(Target::new).collect(),
            records: Vec::with_capacity(config.servers.len()),
            tiers: [false, true].map(|backup| Tier::new(config, backup, config.servers.len())),
            queue: Queue::new(config.max_queue),
            starting: Vec::new(),
            slow_start: config.slow_start,
            on_down: config.on_down,
            checked,
            hold: false,
        };
        for server in 0..config.servers.len() {
            let health = if checked || table.targets[server].address.is_none() {
                Health::Unknown
            } else {
                Health::Up
            };
            table.records.push(Record::new(health, now));
            table.update_usable(server);
        }
        table
    }

    pub(super) fn choose(&mut self, wish: Wish, tried: &[usize]) -> Decision {
        if let Some(server) = self.pick(wish, tried) {
            return Decision::Granted(self.grant(server));
        }
        if !self.has_hope(tried) {
            return Decision::NoServer;
        }
        self.queue
            .join(wish, tried)
            .map_or(Decision::QueueFull, Decision::Queued)
    }

    /// Ends one connection of `server`.
    pub(super) fn release(&mut self, server: usize) {
        let load = &mut self.loads[server];
        let tier = load.tier();
        self.tiers[tier].close(server, load);
        if self.queue.is_empty() || !load.has_room() || tier != self.serving() {
            return;
        }
        if let Some(ticket) = self.queue.first_for(server) {
            let grant = self.grant(server);
            self.queue.answer(ticket, Some(grant));
        }
    }

    pub(super) fn poll(&mut self, ticket: Ticket, waker: &Waker) -> Poll<Option<Grant>> {
        self.queue.poll(ticket, waker)
    }

    /// A waiter gives up. The slot that it may have got a moment ago goes to the next.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        if let Some(grant) = self.queue.leave(ticket) {
            self.release(grant.server);
        }
    }

    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        self.queue.take_wakers()
    }

    pub(super) fn address(&self, server: usize) -> Option<SocketAddr> {
        self.targets[server].address
    }

    pub(super) fn admin(&self, server: usize) -> Admin {
        self.records[server].admin
    }

    pub(super) fn health(&self, server: usize) -> Health {
        self.records[server].health
    }

    pub(super) fn epoch(&self, server: usize) -> u32 {
        self.targets[server].epoch
    }

    /// Of the first `count` servers.
    pub(super) fn snapshot(&self, now: Instant, count: usize) -> Vec<ServerSnapshot> {
        let parts = self.loads.iter().zip(&self.targets).zip(&self.records);
        parts
            .take(count)
            .map(|((load, target), record)| copy(load, target, record, now))
            .collect()
    }

    pub(super) fn clear(&mut self, clear: Clear) {
        self.queue.forget_longest();
        for (load, record) in self.loads.iter_mut().zip(&mut self.records) {
            load.open_max = load.open;
            if clear == Clear::All {
                load.opened = 0;
                (record.checks_failed, record.downs) = (0, 0);
            }
        }
    }

    /// Connections waiting now and at most so far.
    pub(super) fn queued(&self) -> (u32, u32) {
        // Bounded by `max_queue`, which is a u32.
        let count = |length| u32::try_from(length).unwrap_or(u32::MAX);
        (count(self.queue.len()), count(self.queue.longest()))
    }

    /// Usable servers and usable backup servers.
    pub(super) fn usable(&self) -> (u32, u32) {
        (self.tiers[0].usable, self.tiers[1].usable)
    }

    /// Whether a server has not been checked yet.
    pub(super) fn is_undecided(&self) -> bool {
        let mut states = self.records.iter().map(Record::state);
        states.any(|state| state == State::Unknown)
    }

    /// The tier that connections go to now.
    fn serving(&self) -> usize {
        usize::from(self.tiers[0].usable == 0)
    }

    /// The server with room that a request gets.
    fn pick(&mut self, wish: Wish, tried: &[usize]) -> Option<usize> {
        let serving = self.serving();
        let count = self.loads.len();
        let tried = tried.iter().filter(|&&server| server < count);
        for &server in tried.clone() {
            self.tiers[serving].unlist(server);
        }
        let best = self.tiers[serving].best(&self.loads, wish);
        for &server in tried {
            let load = &mut self.loads[server];
            self.tiers[load.tier()].list(server, load);
        }
        best
    }

    /// Whether there is a usable server, full or not, that was not tried.
    fn has_hope(&self, tried: &[usize]) -> bool {
        let serving = self.serving();
        let in_vain = tried.iter().enumerate().filter(|&(at, &server)| {
            let is_first = !tried[..at].contains(&server);
            let load = self.loads.get(server);
            is_first && load.is_some_and(|load| load.usable && load.tier() == serving)
        });
        in_vain.count() < self.tiers[serving].usable as usize
    }

    /// Counts a connection to `server`, which has room.
    fn grant(&mut self, server: usize) -> Grant {
        let load = &mut self.loads[server];
        assert!(load.has_room(), "a server without room was chosen");
        self.tiers[load.tier()].open(server, load);
        let target = &self.targets[server];
        #[expect(clippy::expect_used, reason = "no server is usable without an address")]
        let address = target.address.expect("a usable server has an address");
        Grant {
            server,
            address,
            epoch: target.epoch,
        }
    }

    /// Gives every waiter what it can have now: a slot, or the answer that there is no hope.
    fn serve_queue(&mut self) {
        let mut last = None;
        while let Some((ticket, waiter)) = self.queue.after(last) {
            last = Some(ticket);
            let (wish, tried) = (waiter.wish, waiter.tried.clone());
            if let Some(server) = self.pick(wish, &tried) {
                let grant = self.grant(server);
                self.queue.answer(ticket, Some(grant));
            } else if !self.has_hope(&tried) {
                self.queue.answer(ticket, None);
            }
        }
    }
}

impl Target {
    fn new(server: &config::Server) -> Self {
        let address = match &server.address.host {
            Host::Ip(ip) => Some(SocketAddr::new(*ip, server.address.port)),
            Host::Name(_) => None,
        };
        Self {
            address,
            overridden: false,
            epoch: 0,
        }
    }
}

/// All of a server, for statistics.
fn copy(load: &Load, target: &Target, record: &Record, now: Instant) -> ServerSnapshot {
    // Both fit: they were made from a u16.
    let weight = |share: u32| u16::try_from(share.div_ceil(SHARES_PER_WEIGHT)).unwrap_or(u16::MAX);
    ServerSnapshot {
        health: record.health,
        admin: record.admin,
        state: record.state(),
        since: record.since,
        open: load.open,
        open_max: load.open_max,
        limit: match load.full_limit {
            u32::MAX => 0,
            limit => limit,
        },
        leased_total: load.opened,
        weight: weight(load.full_share),
        effective_weight: weight(load.share),
        check: record.check.clone(),
        checks_failed: record.checks_failed,
        downs: record.downs,
        downtime: record.downtime(now),
        address: target.address,
        overridden: target.overridden,
    }
}
