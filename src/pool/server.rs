//! One server: what its checks and the operator say about it, and since when.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admin {
    /// Use it when it is healthy.
    Ready,
    /// No new connections; the open ones stay.
    Drain,
    /// No new connections and no checks.
    Maint,
}

/// What both together mean, in the words of logs, status and JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not checked yet; takes no connections.
    Unknown,
    /// In rotation.
    Up,
    /// Its check fails.
    Down,
    /// No new connections, by an operator.
    Drain,
    /// No new connections and no checks, by an operator.
    Maint,
}

impl State {
    /// The word used in logs and status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
            Self::Drain => "drain",
            Self::Maint => "maint",
        }
    }

    /// As in HAProxy, maintenance hides health, and draining hides only that a server is up.
    #[must_use]
    pub const fn of(health: Health, admin: Admin) -> Self {
        match (admin, health) {
            (Admin::Maint, _) => Self::Maint,
            (Admin::Drain, Health::Up) => Self::Drain,
            (Admin::Ready, Health::Up) => Self::Up,
            (Admin::Ready | Admin::Drain, Health::Unknown) => Self::Unknown,
            (Admin::Ready | Admin::Drain, Health::Down) => Self::Down,
        }
    }
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
    /// Most open connections allowed outside of slow start, configured or set; 0: no limit.
    pub limit: u32,
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
    /// Time spent DOWN so far, this time included.
    pub downtime: Duration,
    /// Current address; `None` while its name does not resolve.
    pub address: Option<std::net::SocketAddr>,
    /// An operator has set the address.
    pub overridden: bool,
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

/// The history of one server. Nothing of it is read when a connection chooses.
pub(super) struct Record {
    pub(super) health: Health,
    pub(super) admin: Admin,
    /// When the state of both together last changed.
    pub(super) since: Instant,
    pub(super) check: Option<CheckRecord>,
    pub(super) checks_failed: u64,
    pub(super) downs: u64,
    /// Sum of the times DOWN that are over.
    downtime: Duration,
    down_since: Option<Instant>,
}

impl Record {
    pub(super) fn new(health: Health, now: Instant) -> Self {
        Self {
            health,
            admin: Admin::Ready,
            since: now,
            check: None,
            checks_failed: 0,
            downs: 0,
            downtime: Duration::ZERO,
            down_since: None,
        }
    }

    pub(super) fn state(&self) -> State {
        State::of(self.health, self.admin)
    }

    /// Notes a check that ended.
    pub(super) fn note(&mut self, check: CheckRecord) {
        if self.health == Health::Up && !check.result.code.passed() {
            self.checks_failed += 1;
        }
        self.check = Some(check);
    }

    /// Changes the health; the caller has made sure that it differs.
    pub(super) fn turn(&mut self, health: Health, now: Instant) {
        if let Some(since) = self.down_since.take() {
            self.downtime += now.saturating_duration_since(since);
        }
        if health == Health::Down {
            self.down_since = Some(now);
            self.downs += u64::from(self.health == Health::Up);
        }
        self.health = health;
    }

    pub(super) fn downtime(&self, now: Instant) -> Duration {
        let current = self
            .down_since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.downtime + current
    }
}
