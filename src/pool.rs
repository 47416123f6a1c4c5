//! What a pool promises: to choose a usable server quickly, to keep every server within its limit,
//! and to count open connections exactly.
//!
//! [`Pool`] guards the pure [`table::Table`] with one short lock, taken once per connection when a
//! server is chosen and once when its [`Lease`] is dropped; never for a byte.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Instant;

use crate::config;
use crate::health::verdict::CheckResult;
use crate::stats::Averages;

pub mod choose;
pub mod server;
pub mod table;
pub mod wait;

use server::{Admin, Health, ServerSnapshot, StateChange};
use wait::Waiting;

/// The servers behind a listener and how to choose among them.
pub struct Pool {
    /// The configuration it was made from.
    pub config: config::Pool,
    /// Index into [`config::Config::pools`].
    pub id: usize,
    /// In the order of the file.
    pub servers: Vec<Server>,
    /// HAProxy's averages of the BACKEND row.
    pub averages: Averages,
}

/// What connections and statistics need of a server without the pool's lock.
pub struct Server {
    /// Index over all pools, into [`crate::stats::WorkerCounters::servers`].
    pub id: usize,
    /// The configuration it was made from.
    pub config: config::Server,
    /// HAProxy's averages of the server row.
    pub averages: Averages,
    /// Counts the times at which open connections of this server had to be reset. A connection
    /// remembers the value of its lease ([`Lease::epoch`]) and ends when it has moved on.
    pub epoch: AtomicU32,
}

/// Who asks for a server.
pub struct Request<'a> {
    /// The client's address, for `balance = "source"`.
    pub client: IpAddr,
    /// A random number, for `balance = "random"`: the pool has no randomness of its own.
    pub draw: u64,
    /// Indices of servers already tried for this connection, to be avoided.
    pub tried: &'a [usize],
}

/// The answer to a [`Request`].
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

/// The right to hold one connection to a server. Dropping it gives the slot back, or hands it to
/// the connection that has waited longest.
pub struct Lease {
    pool: Arc<Pool>,
    index: usize,
    address: SocketAddr,
    epoch: u32,
}

impl Lease {
    /// Index of the server in its pool.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.pool.servers[self.index]
    }

    /// Where to connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the server went down since and its connections have to be reset.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.server()
            .epoch
            .load(std::sync::atomic::Ordering::Relaxed)
            != self.epoch
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
}

impl Pool {
    /// A pool whose servers are all [`Health::Unknown`], or [`Health::Up`] with check type `none`.
    /// Servers with a literal address have it; the others wait for [`Pool::set_address`].
    /// `first_server` is the id of its first server.
    #[must_use]
    pub fn new(
        _config: config::Pool,
        _id: usize,
        _first_server: usize,
        _now: Instant,
    ) -> Arc<Self> {
        todo!("pool helper")
    }

    /// Chooses a server.
    #[must_use]
    pub fn choose(self: &Arc<Self>, _request: &Request<'_>) -> Choice {
        todo!("pool helper")
    }

    /// Takes a check's result. A change of state comes back for the log; with `on_down = "reset"`
    /// a server that went down has moved its [`Server::epoch`] on.
    pub fn report(&self, _server: usize, _report: Report, _now: Instant) -> Option<StateChange> {
        todo!("pool helper")
    }

    /// Sets what the operator says. Maint resets connections as a failed check does? No: as
    /// HAProxy, the open ones stay; only a check that fails resets.
    pub fn set_admin(
        &self,
        _server: usize,
        _admin: Admin,
        _reason: &str,
        _now: Instant,
    ) -> Option<StateChange> {
        todo!("pool helper")
    }

    /// Sets the address that a name resolved to. `None`, while there was never an answer, makes
    /// the server [`Health::Down`].
    pub fn set_address(
        &self,
        _server: usize,
        _address: Option<SocketAddr>,
        _now: Instant,
    ) -> Option<StateChange> {
        todo!("pool helper")
    }

    /// Where the server listens now; `None` while its name does not resolve.
    #[must_use]
    pub fn address(&self, _server: usize) -> Option<SocketAddr> {
        todo!("pool helper")
    }

    /// Moves slow starts on. Called a few times a second; cheap when no server is starting.
    pub fn tick(&self, _now: Instant) {
        todo!("pool helper")
    }

    /// A copy of every server's numbers, in the order of the file.
    #[must_use]
    pub fn snapshot(&self, _now: Instant) -> Vec<ServerSnapshot> {
        todo!("pool helper")
    }

    /// Connections waiting now and at most so far.
    #[must_use]
    pub fn queued(&self) -> (u32, u32) {
        todo!("pool helper")
    }
}
