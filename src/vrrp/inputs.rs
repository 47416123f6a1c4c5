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

/// What is known of one pool.
#[derive(Debug)]
pub struct PoolInput {
    /// Its name.
    pub name: String,
    /// It has a usable server.
    pub usable: AtomicBool,
    /// When a check of it last passed, in nanoseconds after a time that [`Inputs::good_at`] knows;
    /// 0: never.
    pub good_at: AtomicU64,
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
    base: Instant,
    /// By pool of the configuration.
    pub pools: Box<[PoolInput]>,
    absent: ArcSwap<Absent>,
    /// Wakes the control thread, which tells the workers.
    changed: mpsc::Sender<()>,
    workers: Vec<Arc<WorkerCounters>>,
    /// Rounds of the vrrp thread, for the watchdog.
    pub rounds: Counter,
}

impl Inputs {
    /// For these pools and workers. `changed` gets a message when [`Inputs::absent`] changed.
    #[must_use]
    pub fn new<'a>(
        pools: impl Iterator<Item = &'a str>,
        workers: Vec<Arc<WorkerCounters>>,
        changed: mpsc::Sender<()>,
    ) -> Self {
        let pool = |name: &str| PoolInput {
            name: name.to_owned(),
            usable: AtomicBool::new(false),
            good_at: AtomicU64::new(0),
        };
        Self {
            base: Instant::now(),
            pools: pools.map(pool).collect(),
            absent: ArcSwap::default(),
            changed,
            workers,
            rounds: Counter::default(),
        }
    }

    /// Tells what is known of a pool; true when that makes a difference at once.
    pub fn tell_pool(&self, pool: usize, usable: bool, good_at: Option<Instant>) -> bool {
        let known = &self.pools[pool];
        if let Some(at) = good_at {
            let since = at.saturating_duration_since(self.base).as_nanos();
            let since = u64::try_from(since).unwrap_or(u64::MAX).max(1);
            known.good_at.store(since, Ordering::Relaxed);
        }
        known.usable.swap(usable, Ordering::Relaxed) != usable
    }

    /// When a check of a pool last passed.
    #[must_use]
    pub fn good_at(&self, pool: usize) -> Option<Instant> {
        let nanos = self.pools[pool].good_at.load(Ordering::Relaxed);
        (nanos > 0).then(|| self.base + Duration::from_nanos(nanos))
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
