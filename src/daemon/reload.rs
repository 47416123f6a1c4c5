//! Another configuration for the running process.
//!
//! Everything that can fail comes first: the file is read and checked, descriptors are budgeted,
//! new addresses bound, new capabilities tried. Then, in an order in which no client finds a
//! listener without a server: pools and limits change, new servers are checked once, the workers
//! take the new listeners, servers that were removed get no more connections, and the virtual
//! routers follow. Whatever stays the same is not touched.
//!
//! Nobody waits for those checks but who asked for the reload: meanwhile the configuration is in
//! force, and the workers serve the listeners of the one before. Another reload takes over what the
//! first one has bound, and what that one waits for is waited for, too.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, mpsc, oneshot};

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
use crate::lifecycle::Notifier;
use crate::pool::server::Admin;
use crate::proxy::inquiry::Inbox;
use crate::proxy::worker::{CommonLimits, Sockets};
use crate::stats::{Registry, Scene};
use crate::vrrp::difference;

mod doors;
mod dynamic;
mod waiting;

use waiting::Waiting;

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
    /// Rings when the daemon begins to stop.
    pub(super) stopping: Rc<Notify>,
    /// Whose listeners the workers serve.
    pub(super) served: RefCell<Arc<Scene>>,
    /// The reload that waits for first checks.
    pub(super) waiting: RefCell<Option<Waiting>>,
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
    /// The pools that are sure to have no usable server, a line each.
    empty: Vec<String>,
}

impl Reloader {
    /// Serves requests, one after the other.
    pub(super) async fn run(self: Rc<Self>, mut requests: mpsc::Receiver<Request>) {
        loop {
            // A reload that has nothing to wait for is through before the next one begins.
            tokio::select! {
                biased;
                () = self.stopping.notified() => self.cut_short(),
                () = self.checked() => self.finish().await,
                request = requests.recv() => match request {
                    Some(request) => self.obey(request).await,
                    None => return,
                },
            }
        }
    }

    async fn obey(self: &Rc<Self>, Request { wish, reply }: Request) {
        let outcome = match wish {
            Wish::Apply => return self.reload(reply).await,
            // It changes nothing, so nobody has to wait for it.
            Wish::Show => {
                let this = Rc::clone(self);
                tokio::task::spawn_local(async move { answer(reply, this.show().await) });
                return;
            }
            Wish::Add(pool, server) => self.add(&pool, *server),
            Wish::Delete(pool, server) => self.delete(&pool, &server),
            Wish::Open(listener) => self.open(&listener).await,
            Wish::Close(listener) => self.close(&listener).await,
        };
        answer(reply, outcome);
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
                text: describe(&next) + &lines(&next.empty),
            },
            Err(refusal) => refusal.outcome(),
        }
    }

    /// Puts what the file says in force. The answer comes when its new servers have been checked.
    async fn reload(&self, reply: Option<oneshot::Sender<Outcome>>) {
        self.notifier.reloading();
        match self.read_and_prepare().await {
            Ok((next, prepared)) => self.apply(next, prepared, reply),
            Err(refusal) => {
                let outcome = refusal.outcome();
                self.note_refused(&refusal, &outcome);
                // The one before goes on, and says so itself.
                if self.waiting.borrow().is_none() {
                    self.ready();
                }
                answer(reply, outcome);
            }
        }
    }

    async fn read_and_prepare(&self) -> Result<(Next, Prepared), Refusal> {
        self.goes_on()?;
        let next = self.read().await?;
        // It may have been told to stop meanwhile.
        self.goes_on()?;
        let prepared = self.prepare(&next.config)?;
        Ok((next, prepared))
    }

    fn goes_on(&self) -> Result<(), Refusal> {
        match self.registry.stopping.load(Ordering::Relaxed) {
            true => Err(Refusal::Unable("the daemon is stopping")),
            false => Ok(()),
        }
    }

    /// Puts a configuration in force, and waits for the first checks of its servers.
    fn apply(&self, next: Next, prepared: Prepared, reply: Option<oneshot::Sender<Outcome>>) {
        let bound = self.overtake();
        let scene = self.put_in_force(Arc::clone(&next.config), prepared.max_connections);
        self.note_applied(&next);
        let waiting = Waiting {
            next,
            sockets: doors::join(bound, prepared.sockets, &scene),
            checked: Box::pin(self.follow(&scene)),
            reply,
        };
        self.waiting.replace(Some(waiting));
    }

    /// Tells the service manager that it is over.
    fn ready(&self) {
        let status = self.registry.snapshot(Instant::now()).headline();
        self.notifier.ready(&status);
    }

    /// The log, the events, and what the metrics show of a configuration that is in force.
    fn note_applied(&self, next: &Next) {
        self.registry.reloads().succeeded(SystemTime::now());
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
    }

    /// The same of one that is not.
    fn note_refused(&self, refusal: &Refusal, outcome: &Outcome) {
        self.registry.reloads().failed(refusal.in_a_line());
        let lines = outcome.text.lines().filter(|line| !line.trim().is_empty());
        for line in lines.take(MOST_LINES) {
            tracing::error!("reload: {line}");
        }
        tracing::error!("the configuration was not reloaded: the one before stays");
        self.events
            .note("reload: refused, the configuration before stays");
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
        let empty = diff::without_servers(&scene.config, &config, running);
        Ok(Next {
            empty,
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
        Ok(Prepared {
            sockets: self.bind(config).map_err(Refusal::Start)?,
            max_connections,
        })
    }

    /// Puts a configuration in force: pools and limits. What the workers serve stays as it is.
    fn put_in_force(&self, config: Arc<Config>, max_connections: u32) -> Arc<Scene> {
        let before = self.registry.scene();
        let workers = self.inboxes.len();
        // In one moment: nothing is awaited in between.
        let scene = before.followed_by(config, workers, Instant::now());
        self.registry.set_scene(scene);
        let scene = self.registry.scene();
        self.change_limits(&before.config, &scene, max_connections);
        scene
    }

    /// Has the servers of a configuration checked. The future ends when each was checked once.
    fn follow(&self, scene: &Scene) -> impl Future<Output = ()> + use<> {
        let mut monitors = self.monitors.borrow_mut();
        monitors.follow(&scene.pools, &self.on_change)
    }

    /// Limits that the file has changed; others stay as an operator has set them.
    fn change_limits(&self, before: &Config, scene: &Scene, most: u32) {
        let after = &scene.config;
        for (listener, config) in scene.listeners.iter().zip(&after.listeners) {
            let before = before.listeners.iter().find(|one| one.name == config.name);
            if before.is_none_or(|one| one.max_connections != config.max_connections) {
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

/// Tells whoever asked, unless they have gone.
fn answer(reply: Option<oneshot::Sender<Outcome>>, outcome: Outcome) {
    let _ = reply.map(|reply| reply.send(outcome).is_ok());
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
                weight: state.weight,
                withdrawn: state.admin != Admin::Ready,
            };
            ((&*config.name, &*server.name), running)
        })
    });
    servers.collect()
}

/// What was changed, or would be, a line each.
fn describe(next: &Next) -> String {
    let Plan { changes, later } = &next.plan;
    let mut text = lines(changes);
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

fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
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
