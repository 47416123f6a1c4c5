//! What the vrrp thread and the others tell each other, without locks.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use crate::stats::{Counter, WorkerCounters};

/// Clients are reset before an address is removed: without it no reset can be sent any more, and a
/// silent client would wait for its next heartbeat. Ten thousand take about 100 ms; an address does
/// not stay longer than this for a worker that hangs.
pub const RESET_LIMIT: Duration = Duration::from_millis(500);

/// What is known of one pool: told by the control thread, read by the vrrp thread. A pool that
/// stays when the configuration is read again keeps its own.
#[derive(Debug)]
pub struct PoolInput {
    name: String,
    /// What [`PoolInput::good_at`] counts from.
    base: Instant,
    usable: AtomicBool,
    /// In nanoseconds after `base`; 0: never.
    good_at: AtomicU64,
}

/// By pool of a configuration, as [`TrackedPool::pool`](crate::config::TrackedPool::pool) counts.
pub type Pools = Arc<[Arc<PoolInput>]>;

impl PoolInput {
    /// A pool of which nothing good is known yet.
    #[must_use]
    pub fn new(name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            base: Instant::now(),
            usable: AtomicBool::new(false),
            good_at: AtomicU64::new(0),
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes note of whether it has a usable server and when a check last passed; true when that
    /// makes a difference at once.
    pub fn tell(&self, usable: bool, good_at: Option<Instant>) -> bool {
        if let Some(at) = good_at {
            let since = at.saturating_duration_since(self.base).as_nanos();
            let since = u64::try_from(since).unwrap_or(u64::MAX).max(1);
            self.good_at.store(since, Ordering::Relaxed);
        }
        self.usable.swap(usable, Ordering::Relaxed) != usable
    }

    /// Whether it has a usable server.
    #[must_use]
    pub fn usable(&self) -> bool {
        self.usable.load(Ordering::Relaxed)
    }

    /// When a check of it last passed.
    #[must_use]
    pub fn good_at(&self) -> Option<Instant> {
        let nanos = self.good_at.load(Ordering::Relaxed);
        (nanos > 0).then(|| self.base + Duration::from_nanos(nanos))
    }
}

/// Virtual addresses that are not ours now, and which telling of them this is.
#[derive(Debug, Clone, Default)]
pub struct Absent {
    /// Counts the times that they changed.
    pub generation: u64,
    /// The addresses.
    pub addresses: Arc<[IpAddr]>,
}

/// Written by one side and read by the other.
pub struct Inputs {
    absent: ArcSwap<Absent>,
    /// Wakes the control thread, which tells the workers.
    changed: mpsc::Sender<()>,
    workers: Vec<Arc<WorkerCounters>>,
    /// Rounds of the vrrp thread, for the watchdog.
    pub rounds: Counter,
}

impl Inputs {
    /// For these workers. `changed` gets a message when [`Inputs::absent`] changed.
    #[must_use]
    pub fn new(workers: Vec<Arc<WorkerCounters>>, changed: mpsc::Sender<()>) -> Self {
        Self {
            absent: ArcSwap::default(),
            changed,
            workers,
            rounds: Counter::default(),
        }
    }

    /// The virtual addresses that are not ours.
    #[must_use]
    pub fn absent(&self) -> Arc<Absent> {
        self.absent.load_full()
    }

    /// Called by the vrrp thread: clients of these addresses are to be reset, and others not taken.
    pub fn tell_absent(&self, addresses: Vec<IpAddr>) {
        let generation = self.absent.load().generation + 1;
        self.absent.store(Arc::new(Absent {
            generation,
            addresses: addresses.into(),
        }));
        // Full: it has not looked yet, and will.
        let _ = self.changed.try_send(());
    }

    /// Whether all workers have reset whom they had to.
    #[must_use]
    pub fn all_reset(&self) -> bool {
        let generation = self.absent.load().generation;
        let mut workers = self.workers.iter();
        workers.all(|worker| worker.departed.load(Ordering::Acquire) >= generation)
    }
}
