//! The only file that knows everything: builds, connects, spawns, watches.
//!
//! Everything that can fail is done before the first client is accepted: descriptors are budgeted,
//! addresses bound, the admin socket made, the first round of checks awaited.

use std::cell::RefCell;
use std::future::pending;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior};

mod bind;
mod election;
mod reload;

use bind::Bound;
use election::{Election, Voice};
use reload::{Reloader, Request};

use crate::admin::{self, Events, Hands, http};
use crate::cli::with_causes;
use crate::config::Config;
use crate::config::limits::{Needs, PIPES_PER_WORKER};
use crate::exit;
use crate::health::monitor::{Monitors, OnChange};
use crate::lifecycle::{Notifier, fd_store, signals};
use crate::pool::Pool;
use crate::pool::server::{State, StateChange};
use crate::proxy::worker::{self, CommonLimits, Shared, Signal, Sockets, Stage};
use crate::stats::event::What;
use crate::stats::{Budget, Registry};

/// How often slow starts are moved on, and virtual routers hear of their pools.
const TICK: Duration = Duration::from_millis(200);
const SECOND: Duration = Duration::from_secs(1);
/// Large pipes in all: with 1 MiB each they stay below `fs.pipe-user-pages-soft` (64 MiB).
const PIPES: usize = 48;
/// How long checks may take to end in order.
const FAREWELL: Duration = Duration::from_millis(250);
/// Commands that may wait for the control thread.
const COMMANDS: usize = 16;

/// Why the daemon did not start. Nothing was left behind.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address could not be bound.
    #[error("listener {name} cannot bind {address}")]
    Bind {
        /// The listener.
        name: String,
        /// Its address.
        address: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The admin socket could not be made.
    #[error("admin socket {} cannot be made", path.display())]
    Admin {
        /// Its path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The descriptor limit is too small.
    #[error(
        "{needed} file descriptors are needed, but the limit is {limit} (LimitNOFILE, ulimit -n)"
    )]
    Descriptors {
        /// What the configuration needs.
        needed: u64,
        /// The hard limit.
        limit: u64,
    },
    /// The virtual routers need something that this process may not do.
    #[error("{0} is missing: VRRP needs CAP_NET_ADMIN and CAP_NET_RAW")]
    Capability(&'static str),
    /// A thread or runtime could not be made.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

impl StartError {
    /// With its causes and, where it helps, what is missing.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut line = with_causes(self);
        if matches!(self, Self::Bind { .. }) && self.exit_code() == exit::NO_PERMISSION {
            line.push_str(" (ports below 1024 need CAP_NET_BIND_SERVICE)");
        }
        line
    }

    /// What a process that fails for this exits with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Bind {
                source, address, ..
            } if source.kind() == ErrorKind::PermissionDenied && address.port() < 1024 => {
                exit::NO_PERMISSION
            }
            Self::Capability(_) => exit::NO_PERMISSION,
            Self::Bind { .. } | Self::Admin { .. } => exit::UNAVAILABLE,
            Self::Descriptors { .. } => exit::CONFIG,
            Self::Thread(_) => exit::FAILED,
        }
    }
}

/// What the control thread can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Stop accepting, wait for connections to end, exit. The second one ends at once.
    Stop,
    /// End at once.
    End,
    /// Write the state to the log.
    Dump,
    /// Read the configuration again.
    Reload,
}

/// A daemon that runs on threads of its own.
pub struct Running {
    /// Everything that can be known about it.
    pub registry: Arc<Registry>,
    /// By listener: the bound addresses, port 0 resolved.
    pub addresses: Vec<Vec<SocketAddr>>,
    commands: mpsc::Sender<Command>,
    control: JoinHandle<()>,
}

impl Running {
    /// Stops accepting, waits up to `drain` for connections to end, ends the rest and joins.
    pub fn stop(self, drain: Duration) {
        // A send fails only when the control thread has ended already.
        let _ = self.commands.try_send(Command::Stop);
        let deadline = Instant::now() + drain;
        while !self.control.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.commands.try_send(Command::End);
        let _ = self.control.join();
    }
}

/// Starts the daemon on threads of its own and returns when it accepts clients.
///
/// # Errors
///
/// See [`StartError`].
pub fn start(config: Arc<Config>) -> Result<Running, StartError> {
    let built = build(config, Arc::default())?;
    let (registry, addresses) = (Arc::clone(&built.registry), built.bound.addresses.clone());
    let (commands, receiver) = mpsc::channel(COMMANDS);
    let (ready, accepting) = std::sync::mpsc::channel();
    let control = std::thread::Builder::new()
        .name("control".into())
        .spawn(move || {
            let result = drive(control(built, receiver, move || {
                // Nobody waits any more when the caller has gone.
                let _ = ready.send(());
            }));
            if let Err(error) = result {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the daemon did not start"
                );
            }
        });
    let control = control.map_err(StartError::Thread)?;
    accepting
        .recv()
        .map_err(|_| StartError::Thread(io::Error::other("the control thread ended")))?;
    Ok(Running {
        registry,
        addresses,
        commands,
        control,
    })
}

/// Runs the daemon on this thread until a signal stops it. `file` is where the configuration came
/// from, to be read again; `logs_dropped` counts the lines that the log has lost.
///
/// # Errors
///
/// See [`StartError`].
pub fn run(
    config: Arc<Config>,
    file: PathBuf,
    logs_dropped: Arc<AtomicU64>,
) -> Result<(), StartError> {
    let listeners = config.listeners.iter();
    let addresses: Vec<_> = listeners.flat_map(|listen| listen.bind.clone()).collect();
    let run = || {
        let mut built = build(config, logs_dropped)?;
        built.file = Some(file);
        let (commands, receiver) = mpsc::channel(COMMANDS);
        drive(async {
            signals(commands).map_err(StartError::Thread)?;
            control(built, receiver, || {}).await
        })
    };
    run().inspect_err(|_| {
        // Nobody knows whether a further start will succeed: clients shall not wait for it.
        fd_store::forget(addresses);
    })
}

/// Runs the control thread's future to its end.
fn drive(future: impl Future<Output = Result<(), StartError>>) -> Result<(), StartError> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let runtime = runtime.map_err(StartError::Thread)?;
    let result = runtime.block_on(future);
    // The end does not wait for a look-up of a name that hangs.
    runtime.shutdown_timeout(Duration::ZERO);
    result
}

/// Everything that exists before the first thread.
struct Built {
    registry: Arc<Registry>,
    /// Where the configuration came from.
    file: Option<PathBuf>,
    bound: Bound,
    pipes_per_worker: usize,
}

fn build(config: Arc<Config>, logs_dropped: Arc<AtomicU64>) -> Result<Built, StartError> {
    let workers = config.global.workers;
    let pipes_per_worker = (PIPES / workers).clamp(1, PIPES_PER_WORKER);
    let (descriptors, max_connections) = budget(&config)?;
    let budget = Budget {
        descriptors,
        max_connections,
        max_pipes: u32::try_from(workers * pipes_per_worker).unwrap_or(u32::MAX),
    };
    let bound = bind::all(&config)?;
    let registry = Registry::new(config, budget, logs_dropped, Instant::now());
    Ok(Built {
        registry: Arc::new(registry),
        file: None,
        bound,
        pipes_per_worker,
    })
}

/// Raises the descriptor limit to the hard one; returns it and the connections it allows.
fn budget(config: &Config) -> Result<(u64, u32), StartError> {
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).map_err(|errno| StartError::Thread(errno.into()))?;
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    };
    let needs = Needs::of(config);
    let asked = config.global.max_connections;
    let connections = usize::try_from(asked.max(1)).unwrap_or(usize::MAX);
    let needed = needs.descriptors(connections) as u64;
    if needed > limit {
        return Err(StartError::Descriptors { needed, limit });
    }
    let descriptors = usize::try_from(limit).unwrap_or(usize::MAX);
    let possible = needs.connections(descriptors);
    let possible = u32::try_from(possible).unwrap_or(u32::MAX);
    Ok((limit, if asked == 0 { possible } else { asked }))
}

/// The control thread: checks, admin socket, watchdog, and the way down.
async fn control(
    built: Built,
    commands: mpsc::Receiver<Command>,
    ready: impl FnOnce(),
) -> Result<(), StartError> {
    let Built {
        registry,
        file,
        bound,
        pipes_per_worker,
    } = built;
    let (signal, receiver) = watch::channel(Signal::default());
    let signal = Rc::new(signal);
    let notifier = Rc::new(Notifier::from_environment().map_err(StartError::Thread)?);
    let (election, changed) = Election::new(&registry);
    tokio::task::spawn_local(pass_on(changed, election.voice.clone(), Rc::clone(&signal)));
    let events: Rc<Events> = Rc::default();
    let on_change = on_change(&election.voice, &signal, &events);
    let limits = CommonLimits::new(&registry);
    let (reloads, requests) = mpsc::channel(reload::REQUESTS);
    let routers = election.voice.commands();
    let hands = Hands::new(
        &registry, &on_change, &events, &signal, &limits, &reloads, routers,
    );
    let _socket_file = serve_admin(&hands)?;
    serve_http(&hands);
    let monitors = Rc::new(RefCell::new(Monitors::new(&hands.changed)));
    let mut control = Control {
        registry: Arc::clone(&registry),
        election: Rc::clone(&election),
        signal,
        commands,
        reloads,
        notifier: Rc::clone(&notifier),
        events: Rc::clone(&events),
        stopping: Rc::default(),
    };
    // Clients wait in the backlog until the first checks have said which servers there are.
    let first_round = monitors
        .borrow_mut()
        .follow(&registry.scene().pools, &on_change);
    if control.stops_before(first_round).await {
        tracing::info!("stopped before the first checks were in");
        return Ok(());
    }
    let shared = Shared {
        registry: Arc::clone(&registry),
        signal: receiver,
        inboxes: Arc::clone(&hands.inboxes),
    };
    let serving = control.start_serving(shared, &limits, bound, pipes_per_worker);
    let threads = serving.await?;
    let reloader = Reloader {
        file,
        served: RefCell::new(registry.scene()),
        waiting: RefCell::default(),
        stopping: Rc::clone(&control.stopping),
        registry,
        election,
        monitors: Rc::clone(&monitors),
        on_change,
        events,
        limits,
        inboxes: Arc::clone(&hands.inboxes),
        notifier,
    };
    tokio::task::spawn_local(Rc::new(reloader).run(requests));
    control.notifier.ready(&control.status());
    ready();
    control.live().await;
    say_farewell(threads, monitors.take()).await;
    tracing::info!("stopped");
    Ok(())
}

/// One thread per worker.
fn start_workers(
    shared: Shared,
    limits: &CommonLimits,
    sockets: Vec<Sockets>,
    pipes: usize,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    // From now on somebody will accept from them, now or after the next start.
    fd_store::keep(sockets.iter().flatten().map(|(_, socket)| socket));
    let workers = sockets.into_iter().enumerate();
    let threads = workers
        .map(|(index, sockets)| worker::start(index, shared.clone(), limits, sockets, pipes));
    threads
        .collect::<io::Result<_>>()
        .map_err(StartError::Thread)
}

/// Waits for the workers, and lets the checks end in order. Brokers that do not answer are not
/// waited for.
async fn say_farewell(threads: Vec<JoinHandle<()>>, monitors: Monitors) {
    // A worker that panicked has aborted the process already.
    threads.into_iter().for_each(|thread| drop(thread.join()));
    // All say goodbye before one is waited for: a broker that hangs must not use up others' time.
    monitors.end();
    let _ = tokio::time::timeout(FAREWELL, monitors.ended()).await;
}

/// Tells the workers whenever the vrrp thread has given up addresses, or got some.
async fn pass_on(mut changed: mpsc::Receiver<()>, voice: Voice, signal: Rc<watch::Sender<Signal>>) {
    while changed.recv().await.is_some() {
        let absent = voice.absent();
        signal.send_modify(|signal| signal.absent = absent);
    }
}

/// Removes the admin socket, whatever way the daemon ends.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody has removed it already.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn serve_admin(hands: &Rc<Hands>) -> Result<Option<SocketFile>, StartError> {
    let admin = &hands.registry.config().admin;
    let Some(path) = &admin.socket else {
        return Ok(None);
    };
    let bound = admin::bind(path, admin.socket_mode);
    let listener = bound.map_err(|source| StartError::Admin {
        path: path.clone(),
        source,
    })?;
    tokio::task::spawn_local(admin::serve(listener, Rc::clone(hands)));
    Ok(Some(SocketFile(path.clone())))
}

/// Starts the HTTP side, if there is to be one.
fn serve_http(hands: &Rc<Hands>) {
    if let Some(address) = hands.registry.config().admin.http {
        tokio::task::spawn_local(http::serve(address, http::Side::new(hands)));
    }
}

/// Ticks at once and then every `period`; ticks that were missed are not made up for.
fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    interval
}

struct Control {
    registry: Arc<Registry>,
    election: Rc<Election>,
    signal: Rc<watch::Sender<Signal>>,
    commands: mpsc::Receiver<Command>,
    reloads: mpsc::Sender<Request>,
    notifier: Rc<Notifier>,
    events: Rc<Events>,
    /// Rings when we begin to stop.
    stopping: Rc<Notify>,
}

impl Control {
    /// Starts the workers and last, if there are virtual routers, the vrrp thread: the listeners
    /// are bound before an address may be claimed, and the pools are known.
    async fn start_serving(
        &self,
        shared: Shared,
        limits: &CommonLimits,
        bound: Bound,
        pipes: usize,
    ) -> Result<Vec<JoinHandle<()>>, StartError> {
        let threads = start_workers(shared, limits, bound.sockets, pipes)?;
        let config = self.registry.config();
        if !config.virtual_routers.is_empty() {
            if bound.resumed {
                tokio::time::sleep(election::HEAD_START).await;
            }
            if let Err(error) = self.election.start(&self.registry) {
                self.end_workers().await;
                return Err(error);
            }
        }
        for (listen, addresses) in config.listeners.iter().zip(bound.addresses) {
            tracing::info!(listener = %listen.name, ?addresses, "accepting");
        }
        self.registry.accepting.store(true, Ordering::Relaxed);
        Ok(threads)
    }

    /// The next command that ends the daemon; the others are obeyed here.
    async fn told_to_stop(&mut self) -> Command {
        loop {
            match self.commands.recv().await {
                Some(command @ (Command::Stop | Command::End)) => return command,
                Some(Command::Dump) => self.dump(),
                // Full: one that has not begun yet will read the same file.
                Some(Command::Reload) => drop(self.reloads.try_send(Request::by_signal())),
                // Whoever started us has gone without stopping us: go on serving.
                None => pending().await,
            }
        }
    }

    /// Waits for the first checks, or until somebody stops us.
    async fn stops_before(&mut self, first_round: impl Future<Output = ()>) -> bool {
        tokio::select! {
            () = first_round => false,
            _ = self.told_to_stop() => {
                self.notifier.stopping();
                true
            }
        }
    }

    /// Serves until somebody stops us, and goes the way down.
    async fn live(&mut self) {
        let how = self.keep_house().await;
        let how = self.give_up_addresses(how).await;
        self.stop(how).await;
    }

    /// Everything periodic, until somebody stops us, or stops us again.
    async fn keep_house(&mut self) -> Command {
        let mut period = self.tick_interval();
        let mut tick = every(period);
        let mut second = every(SECOND);
        let watched = self.notifier.watchdog_interval();
        let watched = watched.unwrap_or(Duration::from_secs(3600));
        let mut watchdog = every(watched);
        // systemd's watchdog ends with STOPPING=1, and workers without connections with the drain.
        let stopping = self.registry.stopping.load(Ordering::Relaxed);
        if stopping {
            self.registry.progress.end();
        }
        loop {
            tokio::select! {
                command = self.told_to_stop() => return command,
                _ = tick.tick() => self.tick(Instant::now()),
                _ = second.tick() => {
                    self.registry.sample(Instant::now());
                    self.notifier.status(&self.status());
                    if !stopping {
                        self.look();
                    }
                    // A reload may have changed it.
                    if period != self.tick_interval() {
                        period = self.tick_interval();
                        tick = every(period);
                    }
                }
                _ = watchdog.tick(), if !stopping => self.feed_watchdog(),
            }
        }
    }

    /// Often where something moves by itself; an idle process should not be woken for nothing.
    fn tick_interval(&self) -> Duration {
        let slow_start = |pool: &Arc<Pool>| !pool.setup().config.slow_start.is_zero();
        let moves = self.election.is_on() || self.registry.scene().pools.iter().any(slow_start);
        if moves { TICK } else { SECOND }
    }

    fn tick(&self, now: Instant) {
        for pool in &self.registry.scene().pools {
            pool.tick(now);
            self.election.voice.tell_pool(pool, now);
        }
        let routers = self.registry.virtual_routers.load();
        self.events.note_routers(&routers, now);
    }

    /// Waits until the virtual addresses are given up, or until somebody tells us to hurry. The
    /// listeners serve on meanwhile.
    async fn give_up_addresses(&mut self, how: Command) -> Command {
        let Some(elected) = self.election.ended.take().filter(|_| how != Command::End) else {
            return how;
        };
        self.begin_to_stop();
        let longest = election::longest_farewell(&self.registry.config());
        self.notifier
            .extend_timeout(longest + Duration::from_secs(5));
        self.election.voice.stop().await;
        tokio::select! {
            _ = elected => how,
            how = self.keep_house() => how,
            () = tokio::time::sleep(longest) => how,
        }
    }

    /// Looks whether every thread goes on.
    fn look(&self) {
        let sweeps = self
            .registry
            .workers
            .iter()
            .map(|worker| worker.sweeps.get());
        let elects = self.election.is_on();
        self.registry
            .progress
            .look(sweeps, elects.then(|| self.election.voice.rounds()));
    }

    /// Feeds systemd's watchdog unless a thread is stuck.
    fn feed_watchdog(&self) {
        match self.registry.progress.stuck() {
            Some(what) => tracing::error!("{what}"),
            None => self.notifier.ping(),
        }
    }

    /// Says to everybody that nothing new is to begin.
    fn begin_to_stop(&self) {
        self.registry.stopping.store(true, Ordering::Relaxed);
        self.notifier.stopping();
        self.stopping.notify_one();
    }

    /// The way down: no new clients, then wait, then reset what is left.
    async fn stop(&mut self, how: Command) {
        let drain = self.registry.config().global.drain_timeout;
        self.begin_to_stop();
        let open = self.registry.connections.get();
        if how == Command::Stop {
            tracing::info!(open, drain_timeout = ?drain, "draining: no new connections");
            self.notifier.extend_timeout(drain + Duration::from_secs(5));
            self.signal
                .send_modify(|signal| signal.stage = Stage::Draining);
            let signal = Rc::clone(&self.signal);
            tokio::select! {
                () = signal.closed() => return,
                _ = self.keep_house() => tracing::info!("told to stop again: ending at once"),
                () = tokio::time::sleep(drain) => tracing::info!("drain timeout: ending the rest"),
            }
        }
        self.end_workers().await;
    }

    async fn end_workers(&self) {
        self.signal
            .send_modify(|signal| signal.stage = Stage::Ending);
        // Every worker holds a receiver until it has ended.
        self.signal.closed().await;
    }

    /// The line that `systemctl status` shows.
    fn status(&self) -> String {
        self.registry.snapshot(Instant::now()).headline()
    }

    /// The state, for the log.
    fn dump(&self) {
        tracing::info!("{}", self.status());
        let now = Instant::now();
        for pool in &self.registry.scene().pools {
            for (server, state) in pool.setup().servers.iter().zip(pool.snapshot(now)) {
                tracing::info!(
                    pool = %pool.name, server = %server.name,
                    state = state.state.name(),
                    open = state.open, total = state.leased_total,
                    since_s = now.duration_since(state.since).as_secs(), "server"
                );
            }
        }
    }
}

/// What follows from a change of a server's state.
fn on_change(voice: &Voice, signal: &Rc<watch::Sender<Signal>>, events: &Rc<Events>) -> OnChange {
    let (voice, signal, events) = (voice.clone(), Rc::clone(signal), Rc::clone(events));
    Rc::new(move |pool: &Pool, change: &StateChange| {
        log_change(pool, change);
        events.note(What::Server {
            pool: pool.name.to_string(),
            server: pool.setup().servers[change.server].name.to_string(),
            from: change.from,
            to: change.to,
            reason: change.reason.clone(),
        });
        voice.tell_pool(pool, Instant::now());
        if change.to == State::Down {
            signal.send_modify(|signal| signal.revocations += 1);
        }
    })
}

/// One line per change of a server's state, with the check's own words.
fn log_change(pool: &Pool, change: &StateChange) {
    let setup = pool.setup();
    let (pool_name, server) = (&pool.name, &setup.servers[change.server].name);
    let (active, backup) = pool.usable();
    let (from, to) = (change.from.name(), change.to.name());
    if change.to == State::Up {
        tracing::info!(pool = %pool_name, %server, from, to, reason = %change.reason,
            usable = active + backup, "server changed");
    } else {
        tracing::warn!(pool = %pool_name, %server, from, to, reason = %change.reason,
            usable = active + backup, "server changed");
    }
    // At the start the first server may be down before the others have been asked.
    if active + backup == 0 && !pool.is_undecided() {
        tracing::error!(pool = %pool_name, "pool has no usable server");
    }
}
