//! Numbers: counted by the workers without sharing, added up when somebody asks.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use hdrhistogram::Histogram;

use crate::proxy::account::Cause;
use history::Clear;

pub mod collect;
pub mod csv;
pub mod form;
pub mod history;
pub mod info;
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
#[derive(Debug, Default)]
pub struct Gauge {
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

    /// One more, unless the level has reached its limit or is closed; says whether. It counts as a
    /// highest value only once [`Gauge::mark`] is called.
    pub fn up(&self) -> bool {
        if self.is_closed() {
            return false;
        }
        let limit = self.limit();
        let one_more = |now: u32| (limit == 0 || now < limit).then_some(now + 1);
        self.now
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
    }

    /// Remembers the level if it is the highest so far.
    pub fn mark(&self) {
        self.max.fetch_max(self.get(), Ordering::Relaxed);
    }

    /// One less.
    ///
    /// # Panics
    ///
    /// When nothing was up: something was given back twice.
    pub fn down(&self) {
        let before = self.now.fetch_sub(1, Ordering::Relaxed);
        assert!(
            before > 0,
            "a gauge went below zero: something was given back twice"
        );
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

/// Everything that one worker counts. Indices: [`crate::config::Config::listeners`],
/// [`crate::pool::server`] ids over all pools, [`crate::config::Config::pools`].
#[derive(Debug)]
pub struct WorkerCounters {
    /// By listener.
    pub listeners: Box<[ListenerCounters]>,
    /// By server id, all pools after each other.
    pub servers: Box<[ServerCounters]>,
    /// By pool.
    pub pools: Box<[PoolCounters]>,
    /// By pool.
    pub latencies: Box<[Mutex<Latencies>]>,
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

impl WorkerCounters {
    /// All zero, for so many listeners, servers (over all pools) and pools.
    #[must_use]
    pub fn new(listeners: usize, servers: usize, pools: usize) -> Self {
        Self {
            listeners: filled(listeners),
            servers: filled(servers),
            pools: filled(pools),
            latencies: filled(pools),
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

fn filled<T: Default>(length: usize) -> Box<[T]> {
    std::iter::repeat_with(T::default).take(length).collect()
}

/// Everything that statistics can be computed from. Made once by the daemon.
pub struct Registry {
    /// The configuration in force.
    pub config: std::sync::Arc<crate::config::Config>,
    /// In the order of the configuration.
    pub pools: Vec<std::sync::Arc<crate::pool::Pool>>,
    /// One per worker.
    pub workers: Vec<std::sync::Arc<WorkerCounters>>,
    /// Open connections by listener, all workers together.
    pub listeners: Box<[Gauge]>,
    /// Open connections in all.
    pub connections: Gauge,
    /// What the limit of [`Registry::connections`] was made: it can be set lower and back.
    pub max_connections: u32,
    /// Splice pipes that all workers together may hold.
    pub max_pipes: u32,
    /// The descriptor limit that the budget was made from.
    pub descriptors: u64,
    /// When the daemon started.
    pub started: std::time::Instant,
    /// When the daemon started, by the wall clock, for people only.
    pub started_at: std::time::SystemTime,
    /// Set when the daemon stops accepting.
    pub stopping: AtomicBool,
    /// Log lines that were dropped because the sink was slow or broken.
    pub logs_dropped: std::sync::Arc<AtomicU64>,
    /// Rates and highest values that only exist when somebody looks once per second; starts as
    /// [`Default`], moved on by [`Registry::sample`].
    pub history: Mutex<history::History>,
    /// What the vrrp thread last published; `None` without virtual routers.
    pub virtual_routers: Option<std::sync::Arc<crate::vrrp::driver::Published>>,
}

#[cfg(test)]
pub(crate) mod example;
#[cfg(test)]
mod tests;
