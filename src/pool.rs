//! What a pool promises: to choose a usable server quickly, to keep every server within its limit,
//! and to count open connections exactly.
//!
//! *Usable* is a server that is up and ready and has a weight and an address. Backup servers are
//! chosen only while no other server is usable, then all of them, by the same algorithm. A server
//! at its limit is still usable: connections wait for it in the pool's queue, first come, first
//! served, and no slot is ever free that somebody in the queue could have.
//!
//! [`Pool`] guards the pure `Table` with one short lock, taken once per connection when a server is
//! chosen and once when its [`Lease`] is dropped; never for a byte. A slot that comes free is
//! handed to the next in line under that same lock.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};

use crate::config;
use crate::health::verdict::{CheckResult, Verdict};
use crate::stats::history::Clear;
use crate::stats::numbers::{FIRST_SERVER, Numbers};
use crate::stats::{Averages, Latencies, PerWorker, PoolCounters, ServerCounters};

mod choose;
mod queue;
mod reconfigure;
pub mod server;
mod source;
mod table;
mod tree;
pub mod wait;

use choose::Wish;
use queue::Grant;
use server::{Admin, Health, ServerSnapshot, StateChange};
use table::{Decision, Table};
use wait::Waiting;

/// The servers behind a listener and how to choose among them. It is the same pool for as long as
/// its name is in the file, whatever else a reload changes, and when it comes back while something
/// of it is left.
pub struct Pool {
    /// Its name.
    pub name: Arc<str>,
    /// The `iid` of [`crate::stats::numbers`].
    pub number: usize,
    /// HAProxy's averages of the BACKEND row.
    pub averages: Averages,
    /// What each worker counts for it.
    pub counters: PerWorker<PoolCounters>,
    /// What each worker measures for it.
    pub latencies: PerWorker<Mutex<Latencies>>,
    id: AtomicUsize,
    /// In nanoseconds; 0: none.
    idle_timeout: AtomicU64,
    /// When a check of one of its servers last passed, in nanoseconds after `since`; 0: never.
    passed_at: AtomicU64,
    since: Instant,
    setup: ArcSwap<Setup>,
    inside: Mutex<Inside>,
}

/// What a pool is by the configuration in force.
pub struct Setup {
    /// The configuration.
    pub config: config::Pool,
    /// In the order of the file.
    pub servers: Vec<Arc<Server>>,
}

/// What a pool's lock guards.
struct Inside {
    table: Table,
    /// By place in the table: those of the file, then those that were removed from it and have, or
    /// had when it was last read, open connections.
    servers: Vec<Arc<Server>>,
}

/// What connections and statistics need of a server without the pool's lock. It is the same server
/// for as long as its name and address are in the file.
pub struct Server {
    /// Its name, which is shared with no other server: one that a reload has put in its place has
    /// the same name in another place of memory.
    pub name: Arc<str>,
    /// The `sid` of [`crate::stats::numbers`].
    pub number: usize,
    /// Its address by the file.
    pub address: config::Address,
    /// HAProxy's averages of the server row.
    pub averages: Averages,
    /// What each worker counts for it.
    pub counters: PerWorker<ServerCounters>,
    /// Counts the times at which open connections of this server had to be reset. A connection
    /// remembers the value at its lease and ends when it has moved on.
    pub epoch: AtomicU32,
    /// As `epoch`: the times at which an operator had its open connections ended.
    ended: AtomicU32,
    /// An operator has stopped its checks.
    unchecked: AtomicBool,
    config: ArcSwap<config::Server>,
    /// Its place in the table, written under the pool's lock.
    place: AtomicUsize,
    /// Hears of suspicions.
    watcher: ArcSwapOption<Watcher>,
}

type Watcher = Box<dyn Fn() + Send + Sync>;

impl Server {
    fn new(config: &config::Server, number: usize, workers: usize) -> Arc<Self> {
        Arc::new(Self {
            name: config.name.as_str().into(),
            number,
            address: config.address.clone(),
            averages: Averages::default(),
            counters: PerWorker::new(workers),
            epoch: AtomicU32::new(0),
            ended: AtomicU32::new(0),
            unchecked: AtomicBool::new(false),
            config: ArcSwap::from_pointee(config.clone()),
            place: AtomicUsize::new(0),
            watcher: ArcSwapOption::empty(),
        })
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> Guard<Arc<config::Server>> {
        self.config.load()
    }

    /// Its index in the pool. Only a reload changes it; the thread that reloads can rely on it.
    #[must_use]
    pub fn place(&self) -> usize {
        self.place.load(Ordering::Relaxed)
    }

    /// Whether an operator has stopped its checks.
    #[must_use]
    pub fn checks_are_stopped(&self) -> bool {
        self.unchecked.load(Ordering::Relaxed)
    }

    /// Tells whoever checks it that a connection to it has failed.
    pub fn suspect(&self) {
        if let Some(watcher) = &*self.watcher.load() {
            watcher();
        }
    }

    /// `watcher` hears of every suspicion from now on, in place of the one before.
    pub fn set_watcher(&self, watcher: impl Fn() + Send + Sync + 'static) {
        self.watcher.store(Some(Arc::new(Box::new(watcher))));
    }
}

/// Who asks for a server.
pub struct Request<'a> {
    /// The client's address, for `balance = "source"`.
    pub client: IpAddr,
    /// A random number, for `balance = "random"`: the pool has no randomness of its own.
    pub draw: u64,
    /// Servers already tried for this connection, to be avoided.
    pub tried: &'a [Arc<Server>],
}

/// The answer to a [`Request`].
#[must_use = "a lease that is dropped is given back"]
pub enum Choice {
    /// Use this server.
    Leased(Lease),
    /// Every usable server is at its limit: await a slot, no longer than `queue_timeout`.
    Wait(Waiting),
    /// Every usable server is at its limit and so is the queue.
    QueueFull,
    /// No server is usable, or every usable one was tried.
    NoServer,
}

/// A [`Seat`] at a server, and where to connect.
pub struct Lease {
    /// What to keep while connected.
    pub seat: Seat,
    /// Where to connect.
    pub address: SocketAddr,
}

impl Lease {
    fn new(pool: Arc<Pool>, server: Arc<Server>, grant: Grant) -> Self {
        let ended = server.ended.load(Ordering::Relaxed);
        Self {
            seat: Seat {
                pool,
                server,
                epoch: grant.epoch,
                ended,
            },
            address: grant.address,
        }
    }

    /// Index of the server in its pool.
    #[must_use]
    pub fn index(&self) -> usize {
        self.seat.server.place()
    }
}

/// The right to hold one connection to a server. Dropping it gives the slot back, or hands it to
/// the connection that has waited longest. Every connection has one, so it is small.
pub struct Seat {
    pool: Arc<Pool>,
    server: Arc<Server>,
    epoch: u32,
    ended: u32,
}

impl Seat {
    /// The server.
    #[must_use]
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Whether the server went down since and its connections have to be reset.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.server.epoch.load(Ordering::Relaxed) != self.epoch
    }

    /// Whether an operator has ended the connections of the server since.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.server.ended.load(Ordering::Relaxed) != self.ended
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.pool
            .with(|inside| inside.table.release(self.server.place()));
    }
}

/// What a health monitor tells after each check.
pub struct Report {
    /// What the check found.
    pub result: CheckResult,
    /// [`server::CheckRecord::score`].
    pub score: u32,
    /// The verdict, when it changed.
    pub health: Option<Health>,
    /// The server has announced that it leaves and tells its clients so itself: a reset from us
    /// would only overtake its words.
    pub leaving: bool,
}

impl Pool {
    /// A pool whose servers are all [`Health::Unknown`], or [`Health::Up`] with check type `none`
    /// once they have an address. Servers with a literal address have it; the others wait for
    /// [`Pool::set_address`]. `id` is its index in [`config::Config::pools`].
    #[must_use]
    pub fn new(
        config: config::Pool,
        id: usize,
        number: usize,
        workers: usize,
        now: Instant,
    ) -> Arc<Self> {
        let mut numbers = numbering(&[]);
        let servers: Vec<_> = config
            .servers
            .iter()
            .map(|server| Server::new(server, numbers.of(&server.name), workers))
            .collect();
        for (place, server) in servers.iter().enumerate() {
            server.place.store(place, Ordering::Relaxed);
        }
        Arc::new(Self {
            name: config.name.as_str().into(),
            number,
            averages: Averages::default(),
            counters: PerWorker::new(workers),
            latencies: PerWorker::new(workers),
            id: AtomicUsize::new(id),
            idle_timeout: AtomicU64::new(nanoseconds(config.idle_timeout)),
            passed_at: AtomicU64::new(0),
            since: now,
            inside: Mutex::new(Inside {
                table: Table::new(&config, now),
                servers: servers.clone(),
            }),
            setup: ArcSwap::from_pointee(Setup { config, servers }),
        })
    }

    /// What it is by the configuration in force.
    #[must_use]
    pub fn setup(&self) -> Guard<Arc<Setup>> {
        self.setup.load()
    }

    /// Index into [`config::Config::pools`] of the configuration in force.
    #[must_use]
    pub fn id(&self) -> usize {
        self.id.load(Ordering::Relaxed)
    }

    /// How long a connection may be silent in both directions; `None`: for ever.
    #[must_use]
    pub fn idle_timeout(&self) -> Option<Duration> {
        let timeout = self.idle_timeout.load(Ordering::Relaxed);
        (timeout > 0).then(|| Duration::from_nanos(timeout))
    }

    /// Chooses a server.
    pub fn choose(self: &Arc<Self>, request: &Request<'_>) -> Choice {
        let wish = Wish {
            client: request.client,
            draw: request.draw,
        };
        self.with(|inside| {
            let tried: Vec<usize> = request.tried.iter().map(|one| one.place()).collect();
            match inside.table.choose(wish, &tried) {
                Decision::Granted(grant) => {
                    let (server, grant) = inside.served(grant);
                    Choice::Leased(Lease::new(Arc::clone(self), server, grant))
                }
                Decision::Queued(ticket) => Choice::Wait(Waiting::new(Arc::clone(self), ticket)),
                Decision::QueueFull => Choice::QueueFull,
                Decision::NoServer => Choice::NoServer,
            }
        })
    }

    /// Takes a check's result. A change of state comes back for the log; with `on_down = "reset"`
    /// a server that went down, draining or not, has moved its [`Server::epoch`] on, unless it is
    /// [`Report::leaving`].
    pub fn report(&self, server: usize, report: Report, now: Instant) -> Option<StateChange> {
        if report.result.code.passed() {
            let since = now.saturating_duration_since(self.since).as_nanos();
            let since = u64::try_from(since).unwrap_or(u64::MAX);
            self.passed_at.store(since, Ordering::Relaxed);
        }
        self.with(|inside| {
            let change = inside.table.report(server, report, now);
            inside.publish_epoch(server);
            change
        })
    }

    /// When a check of one of its servers last passed.
    #[must_use]
    pub fn passed_at(&self) -> Option<Instant> {
        let since = self.passed_at.load(Ordering::Relaxed);
        (since > 0).then(|| self.since + Duration::from_nanos(since))
    }

    /// Sets the health as if checks had found it; they go on from there. A server that goes down
    /// this way is as down as any other, also for its open connections.
    pub fn set_health(
        &self,
        server: usize,
        health: Health,
        reason: &str,
        now: Instant,
    ) -> Option<StateChange> {
        let check = &self.setup().config.check;
        let score = Verdict::of(health, check.rise, check.fall).score();
        self.with(|inside| {
            let change = inside.table.pronounce(server, health, score, reason, now);
            inside.publish_epoch(server);
            change
        })
    }

    /// Sets what the operator says. Open connections stay, whatever it is: only a check that fails
    /// resets them. The server's health stays as well. As in HAProxy, the end of maintenance begins
    /// a slow start, and that of draining does not: the server may have kept its connections.
    pub fn set_admin(
        &self,
        server: usize,
        admin: Admin,
        reason: &str,
        now: Instant,
    ) -> Option<StateChange> {
        self.with(|inside| inside.table.set_admin(server, admin, reason, now))
    }

    /// Sets the weight, 0 to 256; 0 takes no new connections. With `balance = "source"`, whose
    /// table follows from the file, a weight above the configured one counts as that.
    pub fn set_weight(&self, server: usize, weight: u16, now: Instant) {
        self.with(|inside| inside.table.set_weight(server, weight, now));
    }

    /// Sets the most open connections of the server; 0: no limit. Those above it stay.
    pub fn set_limit(&self, server: usize, limit: u32, now: Instant) {
        self.with(|inside| inside.table.set_limit(server, limit, now));
    }

    /// Has the open connections of the servers of this name ended, once their workers look: also
    /// of those that are not in the file any more.
    pub fn end_connections(&self, name: &str) {
        self.with(|inside| {
            for server in inside.servers.iter().filter(|one| *one.name == *name) {
                server.ended.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    /// Servers that have open connections, with their address and how many: those from this place
    /// on.
    #[must_use]
    pub fn connected(&self, from: usize) -> Vec<(Arc<Server>, Option<SocketAddr>, u32)> {
        self.with(|inside| {
            let servers = inside.servers.iter().enumerate().skip(from);
            let servers = servers.map(|(place, one)| {
                let table = &inside.table;
                (Arc::clone(one), table.address(place), table.open(place))
            });
            servers.filter(|(_, _, open)| *open > 0).collect()
        })
    }

    /// Stops the checks of the server, whose health stays as it is, or has it checked again.
    pub fn set_checked(&self, server: usize, checked: bool) {
        let setup = self.setup();
        let unchecked = &setup.servers[server].unchecked;
        unchecked.store(!checked, Ordering::Relaxed);
    }

    /// Whether the server is to be checked: neither in maintenance nor told otherwise.
    #[must_use]
    pub fn is_checked(&self, server: usize) -> bool {
        !self.setup().servers[server].checks_are_stopped() && self.admin(server) != Admin::Maint
    }

    /// Sets the address that a name resolved to; leases that are out keep the old one. `None`,
    /// while there was never an answer, makes the server [`Health::Down`]; later it changes
    /// nothing. With check type `none` the first answer makes the server [`Health::Up`]. An address
    /// that an operator has set stays.
    pub fn set_address(
        &self,
        server: usize,
        address: Option<SocketAddr>,
        now: Instant,
    ) -> Option<StateChange> {
        self.with(|inside| inside.table.set_address(server, address, now))
    }

    /// Sets the address by an operator's word: it stays, whatever the name of the server resolves
    /// to.
    pub fn override_address(
        &self,
        server: usize,
        address: SocketAddr,
        now: Instant,
    ) -> Option<StateChange> {
        self.with(|inside| inside.table.override_address(server, address, now))
    }

    /// Where the server listens now; `None` while its name does not resolve.
    #[must_use]
    pub fn address(&self, server: usize) -> Option<SocketAddr> {
        self.with(|inside| inside.table.address(server))
    }

    /// What the checks say of the server.
    #[must_use]
    pub fn health(&self, server: usize) -> Health {
        self.with(|inside| inside.table.health(server))
    }

    /// What the operator says of the server.
    #[must_use]
    pub fn admin(&self, server: usize) -> Admin {
        self.with(|inside| inside.table.admin(server))
    }

    /// Begins a slow start, for a server that comes back empty; one that is down begins its own
    /// when it is up.
    pub fn begin_slow_start(&self, server: usize, now: Instant) {
        self.with(|inside| inside.table.begin_slow_start(server, now));
    }

    /// Moves slow starts on. Called a few times a second; cheap when no server is starting.
    pub fn tick(&self, now: Instant) {
        self.with(|inside| inside.table.tick(now));
    }

    /// A copy of every server's numbers, in the order of the file.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Vec<ServerSnapshot> {
        let count = self.setup().servers.len();
        self.with(|inside| inside.table.snapshot(now, count))
    }

    /// Forgets highest values, or everything that is counted. How long servers were down stays, as
    /// with HAProxy.
    pub fn clear(&self, clear: Clear) {
        self.with(|inside| inside.table.clear(clear));
        let setup = self.setup();
        let servers = setup.servers.iter().map(|server| &server.averages);
        for averages in servers.chain([&self.averages]) {
            averages.clear(clear);
        }
    }

    /// Connections waiting now and at most so far.
    #[must_use]
    pub fn queued(&self) -> (u32, u32) {
        self.with(|inside| inside.table.queued())
    }

    /// Usable servers: up, ready, with a weight and an address, full or not. First those that are
    /// not backups, then the backups.
    #[must_use]
    pub fn usable(&self) -> (u32, u32) {
        self.with(|inside| inside.table.usable())
    }

    /// Whether a server has not been checked yet, as at the start.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.with(|inside| inside.table.is_undecided())
    }

    /// Does something under the lock, and wakes whom it concerns when the lock is free again.
    fn with<T>(&self, act: impl FnOnce(&mut Inside) -> T) -> T {
        // A panic ends the process, so nobody sees what a panic left behind.
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = act(&mut inside);
        let wakers = inside.table.take_wakers();
        drop(inside);
        for waker in wakers {
            waker.wake();
        }
        answer
    }
}

impl Inside {
    /// Copies a server's epoch out of the table: under the lock, as everything that is granted
    /// copies it.
    fn publish_epoch(&self, server: usize) {
        let epoch = self.table.epoch(server);
        self.servers[server].epoch.store(epoch, Ordering::Relaxed);
    }

    /// The server of a grant.
    fn served(&self, grant: Grant) -> (Arc<Server>, Grant) {
        (Arc::clone(&self.servers[grant.server]), grant)
    }
}

/// The numbering of the servers of a pool, which has these.
fn numbering<'a>(servers: &'a [&Arc<Server>]) -> Numbers<&'a str> {
    let servers = servers.iter().map(|server| (&*server.name, server.number));
    Numbers::new(FIRST_SERVER, servers)
}

/// 0 for none; a timeout is never 0.
fn nanoseconds(timeout: Option<Duration>) -> u64 {
    timeout.map_or(0, |timeout| {
        u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests;
