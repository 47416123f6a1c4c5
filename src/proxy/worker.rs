//! One worker: its runtime, its listeners, its connections.
//!
//! Tasks of a worker: one that accepts per listener socket, one per connection, and the sweep,
//! which is the worker's own future. All run on one thread; a connection lives and dies on it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
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
use super::post::Post;
use super::relay::Scratch;
use crate::config;
use crate::pool::{Pool, Server};
use crate::stats::{Listener, Registry, Scene, WorkerCounters};

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
    /// Counts the times at which a server was revoked, or a listener closed: workers look at once.
    pub revocations: u64,
    /// Whose clients are reset, and new ones not taken.
    pub absent: Absent,
}

/// What every worker needs of the daemon.
#[derive(Clone)]
pub struct Shared {
    /// Configuration, pools, counters.
    pub registry: Arc<Registry>,
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
    /// One log line per connection.
    logs: Cell<bool>,
    /// Who accepts.
    posts: RefCell<Vec<Rc<Post>>>,
    random: Cell<u64>,
}

/// Sockets that listen, each with its address as the configuration has it.
pub type Sockets = Vec<(SocketAddr, StdListener)>;

/// A listener as it is when a client comes. A reload makes another one for those that come later.
pub(super) struct Door {
    pub(super) listener: Arc<Listener>,
    pub(super) config: config::Listener,
    pub(super) pool: Arc<Pool>,
    /// There are virtual addresses, which may go.
    pub(super) moves: bool,
}

/// Starts worker `index` with one socket per listener address.
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
    sockets: Sockets,
    pipes: usize,
) -> io::Result<JoinHandle<()>> {
    let limits = limits.clone();
    let runtime = Builder::new_current_thread;
    shared.inboxes[index].open();
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
    sockets: Sockets,
    pipes: usize,
) {
    let worker = Rc::new(Worker::new(index, &shared, Arc::clone(&limits.0), pipes));
    let inbox = &shared.inboxes[index];
    worker.run(shared.signal, inbox, sockets).await;
    inbox.close();
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
            logs: Cell::new(false),
            posts: RefCell::default(),
            random: Cell::new(seed(index)),
        }
    }

    async fn run(
        self: Rc<Self>,
        mut signal: watch::Receiver<Signal>,
        inbox: &Inbox,
        sockets: Sockets,
    ) {
        self.rearrange(&self.registry.scene(), sockets);
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
                        self.stop_accepting();
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

    /// Serves the listeners of a configuration: goes on with the sockets whose address it has,
    /// whoever's they were, begins with new ones, and shuts the others. Listeners that an operator
    /// has closed have none.
    pub(super) fn rearrange(self: &Rc<Self>, scene: &Scene, mut sockets: Sockets) {
        self.logs.set(scene.config.log.connections);
        let mut left = self.posts.take();
        left.retain(|post| !post.is_leaving());
        let mut posts = Vec::new();
        for (config, listener) in scene.config.listeners.iter().zip(&scene.listeners) {
            if listener.open.is_closed() {
                continue;
            }
            let door = Rc::new(Door {
                listener: Arc::clone(listener),
                config: config.clone(),
                pool: Arc::clone(&scene.pools[config.pool]),
                moves: !scene.config.virtual_routers.is_empty(),
            });
            for address in &config.bind {
                // More than one of an address, if an earlier run had more workers.
                while let Some(at) = left.iter().position(|post| post.address == *address) {
                    let post = left.swap_remove(at);
                    post.serve(&door);
                    posts.push(post);
                }
                while let Some(at) = sockets.iter().position(|(of, _)| of == address) {
                    posts.push(Post::begin(self, &door, sockets.swap_remove(at)));
                }
            }
        }
        left.iter().for_each(|post| post.leave(self));
        // Their listener was closed before it could use them.
        sockets
            .iter()
            .for_each(|(_, socket)| listener::shut(socket));
        self.posts.replace(posts);
        if self.stage.get() != Stage::Running {
            self.stop_accepting();
        }
        self.doors.notify_waiters();
    }

    fn stop_accepting(self: &Rc<Self>) {
        self.posts.take().iter().for_each(|post| post.stop(self));
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
        self.turn_away();
    }

    /// Ends those clients of such addresses that wait in a backlog.
    fn turn_away(&self) {
        let absent = Arc::clone(&self.absent.borrow().addresses);
        let posts = self.posts.borrow();
        let posts = posts.iter().filter(|post| post.serves_any_of(&absent));
        posts.for_each(|post| listener::turn_away(self, post));
        // Some may have left the backlog that are to be let in.
        self.doors.notify_waiters();
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
            // Some have come while the others were ended.
            self.turn_away();
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

    /// Logs a failure to accept, unless one was logged a moment ago; the counters have them all.
    pub(super) fn complain(&self, what: fmt::Arguments<'_>) {
        if self.limits.may_complain() {
            tracing::error!("{what}");
        }
    }

    /// Writes the account of a connection: counters, averages, histograms, one log line.
    pub(super) fn record(&self, account: &Account, door: &Door, server: Option<&Server>) {
        let cause = account.ending.cause;
        self.counters.endings[cause as usize].add(1);
        if matches!(
            cause,
            Cause::Denied
                | Cause::UntrustedProxy
                | Cause::BadProxyHeader
                | Cause::ProxyHeaderTimeout
        ) {
            door.listener.counters.of(self.index).denied.add(1);
        }
        let client_aborted = matches!(cause, Cause::ClientReset | Cause::ClientVanished);
        let server_aborted = matches!(
            cause,
            Cause::ServerReset | Cause::ServerVanished | Cause::ServerDown
        );
        match server.map(|server| server.counters.of(self.index)) {
            Some(server) if client_aborted => server.client_aborts.add(1),
            Some(server) if server_aborted => server.server_aborts.add(1),
            None if client_aborted => door.pool.counters.of(self.index).client_aborts.add(1),
            Some(_) | None => {}
        }
        if let Some(server) = server {
            self.record_times(account, &door.pool, server);
        }
        if self.logs.get() {
            log(account, door, server);
        }
    }

    fn record_times(&self, account: &Account, pool: &Pool, server: &Server) {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        for averages in [&server.averages, &pool.averages] {
            averages.queue.add(milliseconds(account.choosing));
            averages.connect.add(milliseconds(account.connecting));
            averages.total.add(milliseconds(account.total));
        }
        let Ok(mut latencies) = pool.latencies.of(self.index).lock() else {
            return;
        };
        let connect = u64::try_from(account.connecting.as_micros()).unwrap_or(u64::MAX);
        latencies.connect.saturating_record(connect);
        latencies
            .length
            .saturating_record(milliseconds(account.total));
    }
}

/// The one line of a connection.
fn log(account: &Account, door: &Door, server: Option<&Server>) {
    let ending = account.ending;
    tracing::info!(
        target: "warren::connection",
        client = %account.client,
        listener = %door.listener.name,
        pool = %door.pool.name,
        server = server.map_or("-", |server| &server.name),
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

/// A different sequence for every worker and start.
fn seed(index: usize) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(index) | 1
}
