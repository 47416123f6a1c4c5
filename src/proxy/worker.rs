//! One worker: its runtime, its listeners, its connections.
//!
//! Tasks of a worker: one that accepts per listener socket, one per connection, and the sweep,
//! which is the worker's own future. All run on one thread; a connection lives and dies on it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::{IpAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use slab::Slab;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, watch};

use super::account::{Account, Cause};
use super::connection::{Connection, Order};
use super::inquiry::Inbox;
use super::limit::Limits;
use super::listener;
use super::pipe::PipePool;
use super::relay::Scratch;
use crate::health::monitor::Monitors;
use crate::stats::{Registry, WorkerCounters};

/// How often a worker looks after its connections: idle timeouts, unseen resets, quiet pipes.
pub(super) const SWEEP: Duration = Duration::from_secs(1);

/// How far the process is on its way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    /// Accepting and relaying.
    #[default]
    Running,
    /// Not accepting; open connections go on.
    Draining,
    /// Open connections are reset.
    Ending,
}

/// Virtual addresses that this node does not have, and which telling of them this is.
#[derive(Debug, Clone, Default)]
pub struct Absent {
    /// Counts the times that they changed; a worker that has reset the clients of all of them says
    /// so in [`WorkerCounters::departed`].
    pub generation: u64,
    /// The addresses.
    pub addresses: Arc<[IpAddr]>,
}

/// What the control thread tells all workers.
#[derive(Debug, Clone, Default)]
pub struct Signal {
    /// How far the process is on its way down.
    pub stage: Stage,
    /// Counts the times at which a server was revoked, or a listener closed or opened: workers look
    /// at once.
    pub revocations: u64,
    /// Whose clients are reset, and new ones not taken.
    pub absent: Absent,
}

/// What every worker needs of the daemon.
#[derive(Clone)]
pub struct Shared {
    /// Configuration, pools, counters.
    pub registry: Arc<Registry>,
    /// By pool: whom to tell of servers that live traffic could not reach.
    pub monitors: Arc<[Monitors]>,
    /// The control thread's voice.
    pub signal: watch::Receiver<Signal>,
    /// By worker: questions about single connections.
    pub inboxes: Arc<[Inbox]>,
}

/// The limits that all workers keep together.
#[derive(Clone)]
pub struct CommonLimits(Arc<Limits>);

impl CommonLimits {
    /// The limits of a configuration.
    #[must_use]
    pub fn new(registry: &Arc<Registry>) -> Self {
        Self(Arc::new(Limits::new(Arc::clone(registry))))
    }

    /// To be called when a limit of the registry's gauges was raised: whoever waits for a slot
    /// looks again.
    pub fn reconsider(&self) {
        self.0.reconsider();
    }
}

/// The state of one worker.
pub(super) struct Worker {
    pub(super) index: usize,
    pub(super) registry: Arc<Registry>,
    pub(super) counters: Arc<WorkerCounters>,
    pub(super) limits: Arc<Limits>,
    pub(super) scratch: Scratch,
    pub(super) connections: RefCell<Slab<Rc<Connection>>>,
    /// Listeners may have been closed or opened.
    pub(super) doors: Notify,
    /// Somebody left the table.
    pub(super) ended: Notify,
    pub(super) stage: Cell<Stage>,
    pub(super) absent: RefCell<Absent>,
    /// Sweeps so far: a clock that costs nothing to read.
    pub(super) tick: Cell<u32>,
    monitors: Arc<[Monitors]>,
    random: Cell<u64>,
}

/// Starts worker `index` with one socket per listener address: `(listener, socket)`.
///
/// # Errors
///
/// When the thread cannot be made.
///
/// # Panics
///
/// In the new thread, when its runtime cannot be made: the process then ends.
pub fn start(
    index: usize,
    shared: Shared,
    limits: &CommonLimits,
    sockets: Vec<(usize, StdListener)>,
    pipes: usize,
) -> io::Result<JoinHandle<()>> {
    let limits = limits.clone();
    let runtime = Builder::new_current_thread;
    std::thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            let runtime = runtime().enable_all().build_local(LocalOptions::default());
            let runtime =
                runtime.expect("a runtime needs an epoll descriptor, which the budget has");
            runtime.block_on(run(index, shared, &limits, sockets, pipes));
        })
}

/// The life of a worker as in [`start`], on the local runtime of this thread.
pub async fn run(
    index: usize,
    shared: Shared,
    limits: &CommonLimits,
    sockets: Vec<(usize, StdListener)>,
    pipes: usize,
) {
    let worker = Rc::new(Worker::new(index, &shared, Arc::clone(&limits.0), pipes));
    let inbox = &shared.inboxes[index];
    worker.run(shared.signal, inbox, sockets).await;
}

impl Worker {
    fn new(index: usize, shared: &Shared, limits: Arc<Limits>, pipes: usize) -> Self {
        let counters = Arc::clone(&shared.registry.workers[index]);
        Self {
            index,
            registry: Arc::clone(&shared.registry),
            limits,
            scratch: Scratch::new(PipePool::new(pipes, Arc::clone(&counters))),
            counters,
            connections: RefCell::default(),
            doors: Notify::new(),
            ended: Notify::new(),
            stage: Cell::default(),
            absent: RefCell::default(),
            tick: Cell::new(0),
            monitors: Arc::clone(&shared.monitors),
            random: Cell::new(seed(index)),
        }
    }

    async fn run(
        self: Rc<Self>,
        mut signal: watch::Receiver<Signal>,
        inbox: &Inbox,
        sockets: Vec<(usize, StdListener)>,
    ) {
        let accepting: Vec<_> = sockets
            .into_iter()
            .map(|(listener, socket)| {
                tokio::task::spawn_local(listener::run(Rc::clone(&self), listener, socket))
            })
            .collect();
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = sweep.tick() => self.sweep(),
                () = inbox.rung() => self.answer_one(inbox),
                () = self.ended.notified(), if self.counts_endings() => {}
                changed = signal.changed() => {
                    // The control thread is gone only when the process is ending.
                    let news = changed.map_or(
                        Signal { stage: Stage::Ending, ..Signal::default() },
                        |()| signal.borrow_and_update().clone(),
                    );
                    self.stage.set(news.stage);
                    self.doors.notify_waiters();
                    self.depart(news.absent);
                    if news.stage != Stage::Running {
                        for task in &accepting {
                            task.abort();
                        }
                    }
                    let order = match news.stage {
                        Stage::Running | Stage::Draining => Order::Look,
                        Stage::Ending => Order::EndStopped,
                    };
                    self.order_all(order);
                }
            }
            self.has_departed();
            if self.stage.get() != Stage::Running && self.connections.borrow().is_empty() {
                return;
            }
        }
    }

    /// Whether it matters that a connection has ended.
    fn counts_endings(&self) -> bool {
        let departing = self.counters.departed.load(Ordering::Relaxed);
        self.stage.get() != Stage::Running || departing != self.absent.borrow().generation
    }

    /// Ends the clients of addresses that are not ours.
    fn depart(&self, absent: Absent) {
        if absent.generation == self.absent.borrow().generation {
            return;
        }
        for (_, connection) in &*self.connections.borrow() {
            if connection.is_at(&absent.addresses) {
                connection.give(Order::EndReleased);
            }
        }
        self.absent.replace(absent);
    }

    /// Says so when none of those clients is left.
    fn has_departed(&self) {
        let absent = self.absent.borrow();
        let departed = &self.counters.departed;
        if departed.load(Ordering::Relaxed) == absent.generation {
            return;
        }
        let connections = self.connections.borrow();
        if !connections
            .iter()
            .any(|(_, one)| one.is_at(&absent.addresses))
        {
            departed.store(absent.generation, Ordering::Release);
        }
    }

    fn order_all(&self, order: Order) {
        for (_, connection) in &*self.connections.borrow() {
            connection.give(order);
        }
    }

    fn sweep(&self) {
        let now = self.tick.get().wrapping_add(1);
        self.tick.set(now);
        self.counters.sweeps.add(1);
        for (_, connection) in &*self.connections.borrow() {
            // A sweep ends in the middle of a second: only a whole one more is surely enough.
            if connection
                .idle_timeout()
                .is_some_and(|timeout| connection.silence() > timeout)
            {
                connection.give(Order::EndIdle);
            } else if connection.wants_a_look() {
                connection.give(Order::Look);
            }
        }
        self.scratch.pipes.trim();
    }

    /// A random number for choosing servers (xorshift64*, Vigna 2016): not for secrets.
    pub(super) fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Tells the health check that live traffic could not reach a server.
    pub(super) fn suspect(&self, pool: usize, server: usize) {
        self.monitors[pool].suspect(server);
    }

    /// Logs a failure to accept, unless one was logged a moment ago; the counters have them all.
    pub(super) fn complain(&self, what: fmt::Arguments<'_>) {
        if self.limits.may_complain() {
            tracing::error!("{what}");
        }
    }

    /// Writes the account of a connection: counters, averages, histograms, one log line.
    pub(super) fn record(&self, account: &Account) {
        let cause = account.ending.cause;
        self.counters.endings[cause as usize].add(1);
        if matches!(
            cause,
            Cause::Denied
                | Cause::UntrustedProxy
                | Cause::BadProxyHeader
                | Cause::ProxyHeaderTimeout
        ) {
            self.counters.listeners[account.listener].denied.add(1);
        }
        let config = &self.registry.config;
        let pool = config.listeners[account.listener].pool;
        let client_aborted = matches!(cause, Cause::ClientReset | Cause::ClientVanished);
        let server_aborted = matches!(
            cause,
            Cause::ServerReset | Cause::ServerVanished | Cause::ServerDown
        );
        match account.server.map(|id| &self.counters.servers[id]) {
            Some(server) if client_aborted => server.client_aborts.add(1),
            Some(server) if server_aborted => server.server_aborts.add(1),
            None if client_aborted => self.counters.pools[pool].client_aborts.add(1),
            Some(_) | None => {}
        }
        self.record_times(account, pool);
        if config.log.connections {
            self.log(account, pool);
        }
    }

    fn record_times(&self, account: &Account, pool: usize) {
        let Some(id) = account.server else { return };
        let pool = &self.registry.pools[pool];
        let server = &pool.servers[id - pool.servers[0].id];
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        for averages in [&server.averages, &pool.averages] {
            averages.queue.add(milliseconds(account.choosing));
            averages.connect.add(milliseconds(account.connecting));
            averages.total.add(milliseconds(account.total));
        }
        let Ok(mut latencies) = self.counters.latencies[pool.id].lock() else {
            return;
        };
        let connect = u64::try_from(account.connecting.as_micros()).unwrap_or(u64::MAX);
        latencies.connect.saturating_record(connect);
        latencies
            .length
            .saturating_record(milliseconds(account.total));
    }

    fn log(&self, account: &Account, pool: usize) {
        let config = &self.registry.config;
        let pool = &config.pools[pool];
        let first = self.registry.pools[config.listeners[account.listener].pool].servers[0].id;
        let server = account
            .server
            .map_or("-", |id| pool.servers[id - first].name.as_str());
        let ending = account.ending;
        tracing::info!(
            target: "warren::connection",
            client = %account.client,
            listener = %config.listeners[account.listener].name,
            pool = %pool.name,
            server,
            choosing_ms = account.choosing.as_micros() as f64 / 1e3,
            connecting_ms = account.connecting.as_micros() as f64 / 1e3,
            relaying_s = account.relaying.as_millis() as f64 / 1e3,
            bytes_to_server = account.to_server,
            bytes_to_client = account.to_client,
            retries = account.retries,
            ending = ending.cause.name(),
            by = ending.cause.by().name(),
            during = ending.during.name(),
            code = ending.haproxy_code(),
            "connection ended"
        );
    }
}

/// A different sequence for every worker and start.
fn seed(index: usize) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(index) | 1
}
