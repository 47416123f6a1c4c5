//! *pure* The counters of all workers, added up into plain numbers.

use serde::{Deserialize, Serialize};

use super::{ListenerCounters, PoolCounters, ServerCounters};

/// [`ListenerCounters`] of all workers together; the fields are explained there.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the same names are explained at the counters")]
pub struct ListenerTotals {
    pub accepted: u64,
    pub denied: u64,
    pub sessions: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub accept_aborted: u64,
    pub accept_limited: u64,
    pub accept_broken: u64,
    pub paused_full: u64,
    pub paused_rate: u64,
}

impl ListenerTotals {
    /// Adds one worker's share.
    pub fn add(&mut self, counters: &ListenerCounters) {
        self.accepted += counters.accepted.get();
        self.denied += counters.denied.get();
        self.sessions += counters.sessions.get();
        self.bytes_in += counters.bytes_in.get();
        self.bytes_out += counters.bytes_out.get();
        self.accept_aborted += counters.accept_aborted.get();
        self.accept_limited += counters.accept_limited.get();
        self.accept_broken += counters.accept_broken.get();
        self.paused_full += counters.paused_full.get();
        self.paused_rate += counters.paused_rate.get();
    }
}

/// [`ServerCounters`] of all workers together; the fields are explained there.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the same names are explained at the counters")]
pub struct ServerTotals {
    pub sessions: u64,
    pub attempts: u64,
    pub failed_attempts: u64,
    pub connect_errors: u64,
    pub server_aborts: u64,
    pub client_aborts: u64,
    pub retries: u64,
    pub redispatches: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl ServerTotals {
    /// Adds one worker's share.
    pub fn add(&mut self, counters: &ServerCounters) {
        self.sessions += counters.sessions.get();
        self.attempts += counters.attempts.get();
        self.failed_attempts += counters.failed_attempts.get();
        self.connect_errors += counters.connect_errors.get();
        self.server_aborts += counters.server_aborts.get();
        self.client_aborts += counters.client_aborts.get();
        self.retries += counters.retries.get();
        self.redispatches += counters.redispatches.get();
        self.bytes_in += counters.bytes_in.get();
        self.bytes_out += counters.bytes_out.get();
    }
}

impl std::iter::Sum<Self> for ServerTotals {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), |sum, one| Self {
            sessions: sum.sessions + one.sessions,
            attempts: sum.attempts + one.attempts,
            failed_attempts: sum.failed_attempts + one.failed_attempts,
            connect_errors: sum.connect_errors + one.connect_errors,
            server_aborts: sum.server_aborts + one.server_aborts,
            client_aborts: sum.client_aborts + one.client_aborts,
            retries: sum.retries + one.retries,
            redispatches: sum.redispatches + one.redispatches,
            bytes_in: sum.bytes_in + one.bytes_in,
            bytes_out: sum.bytes_out + one.bytes_out,
        })
    }
}

/// [`PoolCounters`] of all workers together; the fields are explained there.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the same names are explained at the counters")]
pub struct PoolTotals {
    pub sessions: u64,
    pub no_server: u64,
    pub queue_full: u64,
    pub queue_timeout: u64,
    pub client_aborts: u64,
}

impl PoolTotals {
    /// Adds one worker's share.
    pub fn add(&mut self, counters: &PoolCounters) {
        self.sessions += counters.sessions.get();
        self.no_server += counters.no_server.get();
        self.queue_full += counters.queue_full.get();
        self.queue_timeout += counters.queue_timeout.get();
        self.client_aborts += counters.client_aborts.get();
    }
}
