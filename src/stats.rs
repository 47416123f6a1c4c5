//! Numbers: counted by the workers without sharing, added up when somebody asks.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use hdrhistogram::Histogram;

use crate::config::{self, Config};
use crate::proxy::account::Cause;
use crate::proxy::limit::AcceptRate;
use history::Clear;
use reloads::Reloads;
pub use scene::Scene;

pub mod activity;
pub mod chart;
pub mod collect;
pub mod csv;
pub mod event;
pub mod form;
pub mod headline;
pub mod history;
pub mod info;
pub mod metrics;
pub mod numbers;
pub mod readiness;
pub mod reloads;
pub mod routers;
mod scene;
pub mod schema;
pub mod servers_conn;
pub mod servers_state;
pub mod sessions;
pub mod snapshot;
pub mod totals;
pub mod words;

/// A number with one writer and any readers: an addition is a load and a store, no locked
/// instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the thread that owns the counter may call this.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }

    /// The value as of a moment ago.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A level that goes up and down in several threads, with its highest value and its limit.
///
/// Who wants to raise it reserves a place first, and need not use it: a worker holds one while it
/// looks whether there is a client. The limit is about places reserved, the level about those used.
#[derive(Debug, Default)]
pub struct Gauge {
    reserved: AtomicU32,
    now: AtomicU32,
    max: AtomicU32,
    /// 0: none.
    limit: AtomicU32,
    /// Nothing more is let in, whatever the limit.
    closed: AtomicBool,
}

impl Gauge {
    /// A level of 0 that goes up to `limit`; 0: no limit.
    #[must_use]
    pub fn limited(limit: u32) -> Self {
        Self {
            limit: AtomicU32::new(limit),
            ..Self::default()
        }
    }

    /// The limit; 0: none.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Sets the limit; 0: none. A level above it stays until it goes down by itself.
    pub fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Whether nothing more is let in.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Lets nothing more in, or does so again.
    pub fn set_closed(&self, closed: bool) {
        self.closed.store(closed, Ordering::Relaxed);
    }

    /// Reserves a place, unless as many as the limit are reserved or it is closed; says whether.
    pub fn reserve(&self) -> bool {
        if self.is_closed() {
            return false;
        }
        let limit = self.limit();
        let one_more = |reserved: u32| (limit == 0 || reserved < limit).then_some(reserved + 1);
        self.reserved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
    }

    /// Reserves a place whatever the limit.
    pub fn reserve_anyway(&self) {
        self.reserved.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives back a place that was reserved.
    ///
    /// # Panics
    ///
    /// When none was: something was given back twice.
    pub fn release(&self) {
        lower(&self.reserved);
    }

    /// One more: a place that was reserved is used.
    pub fn up(&self) {
        let before = self.now.fetch_add(1, Ordering::Relaxed);
        self.max.fetch_max(before + 1, Ordering::Relaxed);
    }

    /// One less. The place is still reserved.
    ///
    /// # Panics
    ///
    /// When nothing was up: something was given back twice.
    pub fn down(&self) {
        lower(&self.now);
    }

    /// The level.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.now.load(Ordering::Relaxed)
    }

    /// Forgets the highest level: it is the one of now.
    pub fn forget_max(&self) {
        self.max.store(self.get(), Ordering::Relaxed);
    }

    /// The highest level so far.
    #[must_use]
    pub fn max(&self) -> u32 {
        self.max.load(Ordering::Relaxed)
    }
}

/// Takes one away.
fn lower(count: &AtomicU32) {
    let before = count.fetch_sub(1, Ordering::Relaxed);
    assert!(
        before > 0,
        "a gauge went below zero: something was given back twice"
    );
}

/// What one worker counts for one listener.
#[derive(Debug, Default)]
pub struct ListenerCounters {
    /// Connections accepted, before the allow and deny lists.
    pub accepted: Counter,
    /// Connections that the lists or the PROXY rules turned away (dcon).
    pub denied: Counter,
    /// Connections that passed the lists (stot).
    pub sessions: Counter,
    /// Bytes received from clients and passed on.
    pub bytes_in: Counter,
    /// Bytes received from servers and passed on.
    pub bytes_out: Counter,
    /// accept() failed through the peer's fault (ECONNABORTED and the like).
    pub accept_aborted: Counter,
    /// accept() failed through our limits (EMFILE, ENFILE, ENOBUFS, ENOMEM).
    pub accept_limited: Counter,
    /// accept() failed otherwise and the socket was bound anew.
    pub accept_broken: Counter,
    /// Times accepting paused because of `max_connections`.
    pub paused_full: Counter,
    /// Times accepting paused because of `max_accept_rate`.
    pub paused_rate: Counter,
}

/// What one worker counts for one server.
#[derive(Debug, Default)]
pub struct ServerCounters {
    /// Connections relayed to it (stot, lbtot).
    pub sessions: Counter,
    /// Connection attempts (connect).
    pub attempts: Counter,
    /// Connection attempts that failed (econ counts the connections whose last attempt failed).
    pub failed_attempts: Counter,
    /// Connections that ended because this server could not be connected (econ).
    pub connect_errors: Counter,
    /// Connections that the server reset or vanished from (eresp, srv_abrt).
    pub server_aborts: Counter,
    /// Connections that the client reset or vanished from (cli_abrt).
    pub client_aborts: Counter,
    /// Attempts repeated on the same server (wretr).
    pub retries: Counter,
    /// Attempts that moved from this server to another one (wredis).
    pub redispatches: Counter,
    /// Bytes to it.
    pub bytes_in: Counter,
    /// Bytes from it.
    pub bytes_out: Counter,
}

/// What one worker counts for one pool that belongs to no server of it.
#[derive(Debug, Default)]
pub struct PoolCounters {
    /// Connections that asked for a server (stot of the BACKEND row).
    pub sessions: Counter,
    /// Connections refused because no server was usable.
    pub no_server: Counter,
    /// Connections refused because the queue was full.
    pub queue_full: Counter,
    /// Connections that waited for `queue_timeout` in vain.
    pub queue_timeout: Counter,
    /// Clients that left before they had a server (cli_abrt of the BACKEND row).
    pub client_aborts: Counter,
}

/// Latencies of one pool in one worker. The lock is taken when a connection ends and when somebody
/// asks, never for a byte.
#[derive(Debug)]
pub struct Latencies {
    /// Microseconds to connect to a server.
    pub connect: Histogram<u64>,
    /// Milliseconds from accept to end.
    pub length: Histogram<u64>,
}

impl Latencies {
    /// An hour: no connection attempt may take longer.
    const CONNECT_LIMIT_US: u64 = 3_600_000_000;
    /// A year: longer connections count as one of a year.
    const LENGTH_LIMIT_MS: u64 = 31_536_000_000;

    /// Two empty histograms with two significant digits: about 50 KiB.
    ///
    /// # Panics
    ///
    /// Never: the bounds are constants that hdrhistogram accepts.
    #[must_use]
    pub fn new() -> Self {
        let histogram = |limit| {
            Histogram::new_with_bounds(1, limit, 2).expect("constant bounds that are accepted")
        };
        Self {
            connect: histogram(Self::CONNECT_LIMIT_US),
            length: histogram(Self::LENGTH_LIMIT_MS),
        }
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

/// HAProxy's sliding averages of one server or pool, in milliseconds: over the last 1,024 or so.
#[derive(Debug, Default)]
pub struct Averages {
    /// Waiting for a server.
    pub queue: Sliding,
    /// Connecting.
    pub connect: Sliding,
    /// From accept to end.
    pub total: Sliding,
}

impl Averages {
    /// Forgets the highest samples, or all.
    pub fn clear(&self, clear: Clear) {
        for sliding in [&self.queue, &self.connect, &self.total] {
            sliding.clear(clear);
        }
    }
}

/// A sliding average with its highest sample.
#[derive(Debug, Default)]
pub struct Sliding {
    /// The average times the number of samples, which counts for at most 1,024.
    sum: AtomicU64,
    count: AtomicU64,
    max: AtomicU64,
}

impl Sliding {
    const WINDOW: u64 = 1024;

    /// Takes one sample. Any thread may; once per connection.
    pub fn add(&self, sample: u64) {
        let slide = |sum: u64| Some(sum - sum.div_ceil(Self::WINDOW).min(sum) + sample);
        // The closure never declines, so neither does the update.
        let _ = self
            .sum
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, slide);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.max.fetch_max(sample, Ordering::Relaxed);
    }

    /// The average, rounded up; right from the first sample on.
    #[must_use]
    pub fn average(&self) -> u64 {
        let window = self.count.load(Ordering::Relaxed).clamp(1, Self::WINDOW);
        self.sum.load(Ordering::Relaxed).div_ceil(window)
    }

    /// The highest sample so far.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max.load(Ordering::Relaxed)
    }

    /// Forgets the highest sample, or all. A sample that comes in meanwhile may be half forgotten.
    fn clear(&self, clear: Clear) {
        self.max.store(0, Ordering::Relaxed);
        if clear == Clear::All {
            self.sum.store(0, Ordering::Relaxed);
            self.count.store(0, Ordering::Relaxed);
        }
    }
}

/// Everything that one worker counts that belongs to no listener, pool or server.
#[derive(Debug)]
pub struct WorkerCounters {
    /// By [`Cause`], in the order of [`Cause::ALL`].
    pub endings: [Counter; Cause::ALL.len()],
    /// Sweeps made: it stands still when the worker hangs.
    pub sweeps: Counter,
    /// Bytes that went through splice.
    pub spliced: Counter,
    /// Times a pipe was wanted and the pool of pipes was empty.
    pub pipes_refused: Counter,
    /// Pipes this worker holds now, used and free.
    pub pipes_held: AtomicU32,
    /// Pipes in use now.
    pub pipes_used: AtomicU32,
    /// Whose clients it has reset: [`crate::vrrp::inputs::Absent::generation`].
    pub departed: AtomicU64,
}

impl Default for WorkerCounters {
    fn default() -> Self {
        Self {
            endings: std::array::from_fn(|_| Counter::default()),
            sweeps: Counter::default(),
            spliced: Counter::default(),
            pipes_refused: Counter::default(),
            pipes_held: AtomicU32::new(0),
            pipes_used: AtomicU32::new(0),
            departed: AtomicU64::new(0),
        }
    }
}

/// One of each worker's own, so that nobody else writes to its cache lines.
#[derive(Debug)]
pub struct PerWorker<T>(Box<[Apart<T>]>);

/// Two lines, because processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

impl<T: Default> PerWorker<T> {
    /// For so many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self(
            std::iter::repeat_with(Apart::default)
                .take(workers)
                .collect(),
        )
    }
}

impl<T> PerWorker<T> {
    /// That of one worker.
    ///
    /// # Panics
    ///
    /// When there is no such worker.
    #[inline]
    #[must_use]
    pub fn of(&self, worker: usize) -> &T {
        &self.0[worker].0
    }

    /// Those of all workers.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|apart| &apart.0)
    }

    /// The number of workers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no workers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A listener as its workers share it. It is the same listener for as long as its name is in the
/// file, whatever else a reload changes.
#[derive(Debug)]
pub struct Listener {
    /// Its name.
    pub name: Arc<str>,
    /// The `iid` of [`numbers`].
    pub number: usize,
    /// Open connections.
    pub open: Gauge,
    /// Connections per second.
    pub rate: AcceptRate,
    /// What each worker counts for it.
    pub counters: PerWorker<ListenerCounters>,
}

impl Listener {
    /// One without connections.
    #[must_use]
    pub fn new(config: &config::Listener, number: usize, workers: usize) -> Arc<Self> {
        Arc::new(Self {
            name: config.name.as_str().into(),
            number,
            open: Gauge::limited(config.max_connections),
            rate: AcceptRate::new(config.max_accept_rate),
            counters: PerWorker::new(workers),
        })
    }
}

/// What the daemon has to live with, whatever the configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The descriptor limit.
    pub descriptors: u64,
    /// Open connections that it leaves room for, or fewer if the file says so.
    pub max_connections: u32,
    /// Splice pipes that all workers together may hold.
    pub max_pipes: u32,
}

/// Everything that statistics can be computed from. Made once by the daemon.
pub struct Registry {
    /// What the configuration in force consists of.
    scene: ArcSwap<Scene>,
    /// One per worker.
    pub workers: Vec<Arc<WorkerCounters>>,
    /// Open connections in all.
    pub connections: Gauge,
    /// What the limit of [`Registry::connections`] was made: it can be set lower and back.
    pub max_connections: AtomicU32,
    /// Connections accepted per second in all; no limit until an operator sets one.
    pub rate: AcceptRate,
    /// Splice pipes that all workers together may hold.
    pub max_pipes: u32,
    /// The descriptor limit that the budget was made from.
    pub descriptors: u64,
    /// When the daemon started.
    pub started: Instant,
    /// When the daemon started, by the wall clock, for people only.
    pub started_at: SystemTime,
    /// Set when the first checks are in and clients are accepted.
    pub accepting: AtomicBool,
    /// Set when the daemon stops accepting.
    pub stopping: AtomicBool,
    /// Log lines that were dropped because the sink was slow or broken.
    pub logs_dropped: Arc<AtomicU64>,
    /// Rates and highest values that only exist when somebody looks once per second; starts as
    /// [`Default`], moved on by [`Registry::sample`].
    pub history: Mutex<history::History>,
    reloads: Mutex<Reloads>,
    /// Drains and rebalances.
    pub maintenance: crate::maintenance::Board,
    /// What the vrrp thread last published; empty without virtual routers.
    pub virtual_routers: Arc<crate::vrrp::driver::Published>,
    /// Whether every thread goes on, as the control thread has seen it.
    pub progress: crate::lifecycle::progress::Watch,
}

impl Registry {
    /// That of a daemon that starts now.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        budget: Budget,
        logs_dropped: Arc<AtomicU64>,
        now: Instant,
    ) -> Self {
        let workers = config.global.workers;
        Self {
            scene: ArcSwap::from_pointee(Scene::begin(config, workers, now)),
            workers: std::iter::repeat_with(Default::default)
                .take(workers)
                .collect(),
            connections: Gauge::limited(budget.max_connections),
            max_connections: budget.max_connections.into(),
            rate: AcceptRate::new(0),
            max_pipes: budget.max_pipes,
            descriptors: budget.descriptors,
            started: now,
            started_at: SystemTime::now(),
            accepting: false.into(),
            stopping: false.into(),
            logs_dropped,
            history: Mutex::default(),
            reloads: Mutex::new(Reloads::new(SystemTime::now())),
            maintenance: Default::default(),
            virtual_routers: Default::default(),
            progress: Default::default(),
        }
    }

    /// What the configuration in force consists of. On the control thread, which reloads, it stays
    /// the same until the next await.
    #[must_use]
    pub fn scene(&self) -> Arc<Scene> {
        self.scene.load_full()
    }

    /// How reading the configuration again has gone.
    pub fn reloads(&self) -> MutexGuard<'_, Reloads> {
        self.reloads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.scene.load().config)
    }
}

#[cfg(test)]
pub(crate) mod example;
#[cfg(test)]
mod tests;
