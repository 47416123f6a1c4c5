//! Another configuration for the running process.
//!
//! Everything that can fail comes first: the file is read and checked, descriptors are budgeted,
//! new addresses bound, new capabilities tried. Then, in an order in which no client finds a
//! listener without a server: pools and limits change, new servers are checked once, the workers
//! take the new listeners, servers that were removed get no more connections, and the virtual
//! routers follow. Whatever stays the same is not touched.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;

use super::election::Election;
use super::{StartError, budget};
use crate::admin::Events;
use crate::admin::reload::{Outcome, Wish};
pub(super) use crate::admin::reload::{REQUESTS, Request};
use crate::config::diff::{self, Plan, Running};
use crate::config::error::Problems;
use crate::config::{self, Config};
use crate::exit;
use crate::health::monitor::{Monitors, OnChange};
use crate::lifecycle::{Notifier, fd_store};
use crate::proxy::inquiry::{Inbox, Question};
use crate::proxy::listener;
use crate::proxy::worker::{CommonLimits, Sockets};
use crate::stats::{Registry, Scene};
use crate::vrrp::difference;

mod dynamic;

/// How long reading the file may take.
const LOADING: Duration = Duration::from_secs(10);

/// Changes of one reload that the log and the events name: a file with thousands of servers must
/// not drive everything else out of them.
const MOST_LINES: usize = 32;

/// What a reload acts on.
pub(super) struct Reloader {
    /// `None`: the configuration came from no file.
    pub(super) file: Option<PathBuf>,
    pub(super) registry: Arc<Registry>,
    pub(super) election: Rc<Election>,
    pub(super) monitors: Rc<RefCell<Monitors>>,
    pub(super) on_change: OnChange,
    pub(super) events: Rc<Events>,
    pub(super) limits: CommonLimits,
    /// By worker.
    pub(super) inboxes: Arc<[Inbox]>,
    pub(super) notifier: Rc<Notifier>,
}

/// Why nothing was changed.
enum Refusal {
    /// The file.
    Problems(Box<Problems>),
    /// Something that the file asks for cannot be had.
    Start(StartError),
    /// It cannot be now.
    Unable(&'static str),
}

/// What was taken for a configuration that is going to be applied.
struct Prepared {
    /// The new sockets, by worker.
    sockets: Vec<Sockets>,
    /// The most connections that the descriptors leave room for.
    max_connections: u32,
}

/// A configuration that can be applied, with what it changes.
struct Next {
    config: Arc<Config>,
    plan: Plan,
    warnings: Problems,
}

impl Reloader {
    /// Serves requests, one after the other.
    pub(super) async fn run(self: Rc<Self>, mut requests: mpsc::Receiver<Request>) {
        while let Some(Request { wish, reply }) = requests.recv().await {
            let outcome = match wish {
                Wish::Apply => self.reload().await,
                // It changes nothing, so nobody has to wait for it.
                Wish::Show => {
                    let this = Rc::clone(&self);
                    tokio::task::spawn_local(async move {
                        let outcome = this.show().await;
                        // Whoever asked may have gone.
                        let _ = reply.map(|reply| reply.send(outcome).is_ok());
                    });
                    continue;
                }
                Wish::Add(pool, server) => self.add(&pool, *server).await,
                Wish::Delete(pool, server) => self.delete(&pool, &server).await,
            };
            // Whoever asked may have gone.
            let _ = reply.map(|reply| reply.send(outcome).is_ok());
        }
    }

    /// What a reload would change.
    async fn show(&self) -> Outcome {
        let next = self.read().await.and_then(|next| {
            self.try_out(&next.config)?;
            Ok(next)
        });
        match next {
            Ok(next) => Outcome {
                code: exit::GOOD,
                text: describe(&next),
            },
            Err(refusal) => refusal.outcome(),
        }
    }

    async fn reload(&self) -> Outcome {
        self.notifier.reloading();
        let result = self.read_and_apply().await;
        let outcome = match &result {
            Ok(next) => Outcome {
                code: exit::GOOD,
                text: describe(next),
            },
            Err(refusal) => refusal.outcome(),
        };
        self.note(&result, &outcome);
        self.notifier
            .ready(&self.registry.snapshot(Instant::now()).headline());
        outcome
    }

    /// The log, the events, and what the metrics show.
    fn note(&self, result: &Result<Next, Refusal>, outcome: &Outcome) {
        let mut reloads = self.registry.reloads();
        match result {
            Ok(next) => {
                reloads.succeeded(SystemTime::now());
                for warning in next.warnings.iter() {
                    tracing::warn!(code = warning.code, "configuration: {}", warning.what);
                }
                for change in next.plan.changes.iter().take(MOST_LINES) {
                    tracing::info!("reload: {change}");
                    self.events.note(&format!("reload: {change}"));
                }
                let more = next.plan.changes.len().saturating_sub(MOST_LINES);
                if more > 0 {
                    tracing::info!("reload: and {more} more changes");
                    self.events
                        .note(&format!("reload: and {more} more changes"));
                }
                for change in &next.plan.later {
                    tracing::warn!("reload: {change}: takes effect at the next start");
                }
                let changes = next.plan.changes.len();
                tracing::info!(changes, "the configuration was reloaded");
            }
            Err(refusal) => {
                reloads.failed(refusal.in_a_line());
                let lines = outcome.text.lines().filter(|line| !line.trim().is_empty());
                for line in lines.take(MOST_LINES) {
                    tracing::error!("reload: {line}");
                }
                tracing::error!("the configuration was not reloaded: the one before stays");
                self.events
                    .note("reload: refused, the configuration before stays");
            }
        }
    }

    async fn read_and_apply(&self) -> Result<Next, Refusal> {
        if self.registry.stopping.load(Ordering::Relaxed) {
            return Err(Refusal::Unable("the daemon is stopping"));
        }
        let next = self.read().await?;
        let prepared = self.prepare(&next.config)?;
        let config = Arc::clone(&next.config);
        self.apply(config, prepared, |_| ()).await;
        Ok(next)
    }

    /// Reads and checks the file, without holding up this thread.
    async fn read(&self) -> Result<Next, Refusal> {
        let file = self.file.clone();
        let file = file.ok_or(Refusal::Unable("the configuration came from no file"))?;
        let loading = tokio::task::spawn_blocking(move || config::load(&file, true));
        // A pipe, or a network that hangs; the thread that waits for it is given up.
        let loaded = tokio::time::timeout(LOADING, loading).await;
        let loaded =
            loaded.map_err(|_elapsed| Refusal::Unable("the file cannot be read in time"))?;
        let loaded = loaded.map_err(|_| Refusal::Unable("the file could not be read"))?;
        let (mut config, warnings) =
            loaded.map_err(|problems| Refusal::Problems(Box::new(problems)))?;
        let scene = self.registry.scene();
        let later = diff::hold_back(&scene.config, &mut config);
        let running = running(&scene);
        let running =
            |pool: &str, server: &str| running.get(&(pool, server)).copied().unwrap_or_default();
        let mut changes = diff::changes(&scene.config, &config, running);
        changes.extend(difference::lines(&scene.config, &config));
        Ok(Next {
            config: Arc::new(config),
            plan: Plan { changes, later },
            warnings,
        })
    }

    /// Everything that can fail.
    fn prepare(&self, config: &Config) -> Result<Prepared, Refusal> {
        let prepared = self.try_out(config)?;
        if !config.virtual_routers.is_empty() {
            self.election
                .start(&self.registry)
                .map_err(Refusal::Start)?;
        }
        Ok(prepared)
    }

    /// Whether everything can be had that a configuration needs, by taking it.
    fn try_out(&self, config: &Config) -> Result<Prepared, Refusal> {
        let (_, max_connections) = budget(config).map_err(Refusal::Start)?;
        if !config.virtual_routers.is_empty() {
            self.election.may_start().map_err(Refusal::Start)?;
        }
        let before = self.registry.config();
        let workers = self.inboxes.len();
        let mut sockets: Vec<Sockets> = (0..workers).map(|_| Vec::new()).collect();
        let ours: Vec<SocketAddr> = before
            .listeners
            .iter()
            .flat_map(|one| one.bind.clone())
            .collect();
        for listen in &config.listeners {
            for &address in listen.bind.iter().filter(|address| !ours.contains(address)) {
                let beside = ours.iter().any(|our| our.port() == address.port());
                let bound = listener::bind(address, workers, !beside);
                let bound = bound.map_err(|source| {
                    Refusal::Start(StartError::Bind {
                        name: listen.name.clone(),
                        address,
                        source,
                    })
                })?;
                for (worker, socket) in sockets.iter_mut().zip(bound) {
                    worker.push((address, socket));
                }
            }
        }
        Ok(Prepared {
            sockets,
            max_connections,
        })
    }

    /// `begun` is called when the configuration is in force, and nothing new is used yet.
    async fn apply(&self, config: Arc<Config>, prepared: Prepared, begun: impl FnOnce(&Scene)) {
        let Prepared {
            sockets,
            max_connections,
        } = prepared;
        let before = self.registry.scene();
        let workers = self.inboxes.len();
        // In one moment: nothing is awaited in between.
        self.registry
            .set_scene(before.followed_by(config, workers, Instant::now()));
        let scene = self.registry.scene();
        begun(&scene);
        self.change_limits(&before.config, &scene, max_connections);
        let checked = self
            .monitors
            .borrow_mut()
            .follow(&scene.pools, &self.on_change);
        checked.await;
        if self.registry.stopping.load(Ordering::Relaxed) {
            // Nobody is to be let in any more.
            return;
        }
        fd_store::keep(sockets.iter().flatten().map(|(_, socket)| socket));
        for (inbox, sockets) in self.inboxes.iter().zip(sockets) {
            // A worker that has ended has nothing to do any more.
            let _ = inbox
                .ask(Question::Rearrange(Arc::clone(&scene), sockets))
                .await;
        }
        let now = Instant::now();
        scene.pools.iter().for_each(|pool| pool.retire(now));
        self.election.reconfigure(&scene).await;
    }

    /// Limits that the file has changed; others stay as an operator has set them.
    fn change_limits(&self, before: &Config, scene: &Scene, most: u32) {
        let after = &scene.config;
        for (listener, config) in scene.listeners.iter().zip(&after.listeners) {
            let before = before.listeners.iter().find(|one| one.name == config.name);
            if before.is_some_and(|one| one.max_connections != config.max_connections) {
                listener.open.set_limit(config.max_connections);
            }
            listener.rate.set(config.max_accept_rate);
        }
        let known = self.registry.max_connections.swap(most, Ordering::Relaxed);
        if self.registry.connections.limit() == known
            || before.global.max_connections != after.global.max_connections
        {
            self.registry.connections.set_limit(most);
        }
        self.limits.reconsider();
    }
}

/// What the servers have now, by pool and name.
fn running(scene: &Scene) -> HashMap<(&str, &str), Running> {
    let now = Instant::now();
    let pools = scene.config.pools.iter().zip(&scene.pools);
    let servers = pools.flat_map(|(config, pool)| {
        let servers = config.servers.iter().zip(pool.snapshot(now));
        servers.map(|(server, state)| {
            let filed = server.address.to_string();
            let set = state.address.filter(|_| state.overridden);
            let running = Running {
                open: state.open,
                address: set.filter(|address| address.to_string() != filed),
            };
            ((&*config.name, &*server.name), running)
        })
    });
    servers.collect()
}

/// What was changed, or would be, a line each.
fn describe(next: &Next) -> String {
    let Plan { changes, later } = &next.plan;
    let mut text: String = changes.iter().map(|line| format!("{line}\n")).collect();
    for line in later {
        text.push_str(&format!("{line}: takes effect at the next start\n"));
    }
    if text.is_empty() {
        text.push_str("nothing changes\n");
    }
    let warnings = next.warnings.to_string();
    if !warnings.is_empty() {
        text.push_str(&warnings);
        text.push('\n');
    }
    text
}

impl Refusal {
    fn outcome(&self) -> Outcome {
        let (code, text) = match self {
            Self::Problems(problems) => (exit::CONFIG, problems.to_string()),
            Self::Start(error) => (error.exit_code(), error.in_words()),
            Self::Unable(why) => (exit::FAILED, (*why).to_owned()),
        };
        Outcome { code, text }
    }

    /// For the metrics and the status.
    fn in_a_line(&self) -> String {
        match self {
            Self::Problems(problems) => {
                let mut errors = problems.iter().filter(|problem| problem.is_error());
                errors
                    .next()
                    .map_or_else(String::new, |first| first.what.clone())
            }
            Self::Start(error) => error.in_words(),
            Self::Unable(why) => (*why).to_owned(),
        }
    }
}
