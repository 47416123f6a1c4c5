//! One server: weight, limit, state, open connections.

use std::time::Instant;

use crate::health::verdict::CheckResult;

/// What the health check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// No check has ended yet; not usable.
    Unknown,
    /// Passing.
    Up,
    /// Failing, or its name does not resolve.
    Down,
}

/// What the operator says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admin {
    /// Use it when it is healthy.
    Ready,
    /// No new connections; the open ones stay.
    Drain,
    /// No new connections and no checks.
    Maint,
}

/// What both together mean, in the words of logs and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum State {
    Unknown,
    Up,
    Down,
    Drain,
    Maint,
}

/// A server's state changed; the driver logs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// Index of the server in its pool.
    pub server: usize,
    /// State before.
    pub from: State,
    /// State now.
    pub to: State,
    /// The check's or the operator's own words.
    pub reason: String,
}

/// Everything that statistics show of one server, copied under the pool's lock.
#[derive(Debug, Clone)]
pub struct ServerSnapshot {
    /// Health alone.
    pub health: Health,
    /// Operator's state alone.
    pub admin: Admin,
    /// Both together.
    pub state: State,
    /// When `state` last changed.
    pub since: Instant,
    /// Open connections (leases).
    pub open: u32,
    /// Most open connections so far.
    pub open_max: u32,
    /// Leases handed out so far.
    pub leased_total: u64,
    /// Configured or set weight.
    pub weight: u16,
    /// Weight after slow start, in the same unit.
    pub effective_weight: u16,
    /// The last finished check.
    pub check: Option<CheckRecord>,
    /// Failed checks while the server was up (HAProxy's chkfail).
    pub checks_failed: u64,
    /// UP to DOWN transitions (HAProxy's chkdown).
    pub downs: u64,
    /// Time spent DOWN so far.
    pub downtime: std::time::Duration,
    /// Current address; `None` while its name does not resolve.
    pub address: Option<std::net::SocketAddr>,
}

/// The last check of a server and where its hysteresis stands.
#[derive(Debug, Clone)]
pub struct CheckRecord {
    /// What the check found.
    pub result: CheckResult,
    /// When it ended.
    pub at: Instant,
    /// HAProxy's check_health: 0..rise-1 while down, rise..rise+fall-1 while up.
    pub score: u32,
}
