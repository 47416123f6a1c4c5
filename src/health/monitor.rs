//! One task per server: wait, probe, observe, tell the pool.
//!
//! Tasks, all on the control thread's `LocalSet`, all ended by dropping it at any await:
//!
//! - per server: `Monitor::run`. It holds at most one connection, and one more that awaits the
//!   answer to its goodbye.
//! - per server with a name: [`resolve::follow`].

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::resolve::{self, Resolution};
use super::verdict::{CheckCode, CheckResult, Verdict};
use super::{pace, probe};
use crate::config::{self, CheckKind, Host};
use crate::pool::server::{Health, StateChange};
use crate::pool::{Pool, Report, Server};

mod amqp;

/// The first checks of all servers start within this time.
const SPREAD: Duration = Duration::from_millis(50);

/// Called on the control thread after every state change: the daemon logs it, wakes the workers
/// whose connections may have to be reset, and tells systemd.
pub type OnChange = Rc<dyn Fn(&Pool, &StateChange)>;

/// The running monitors of all pools.
#[derive(Default)]
pub struct Monitors {
    running: Vec<Watch>,
    /// Rings when an operator has changed something.
    changed: Rc<Notify>,
}

/// The monitor of one server.
struct Watch {
    /// What it was started with.
    check: config::Check,
    send_proxy: config::SendProxy,
    doubt: Arc<Notify>,
    ending: watch::Sender<bool>,
    first: First,
}

/// The first check of a server.
#[derive(Clone)]
struct First {
    subject: Rc<Subject>,
    /// What the server was before.
    health: Health,
    /// Loses its sender when it has ended.
    ended: watch::Receiver<()>,
}

impl First {
    /// Waits until it has ended, or an operator has said what it was to tell.
    async fn over(mut self, changed: &Notify) {
        loop {
            let changed = changed.notified();
            if !self.subject.is_checked() || self.subject.health() != self.health {
                return;
            }
            tokio::select! {
                // Nothing is ever sent: a monitor that has nothing more to wait for drops its end.
                _ = self.ended.changed() => return,
                () = changed => {}
            }
        }
    }
}

impl Watch {
    /// Tells it to end: a session says goodbye, so that the broker logs an orderly end.
    fn end(&self) {
        self.ending.send_replace(true);
    }
}

impl Monitors {
    /// None yet. `changed` rings when an operator has changed something.
    #[must_use]
    pub fn new(changed: &Rc<Notify>) -> Self {
        Self {
            running: Vec::new(),
            changed: Rc::clone(changed),
        }
    }

    /// Has every server of the pools watched as its configuration says, and nobody else: monitors
    /// whose check has changed begin again, with the health that the server has, and those of
    /// servers that are in no pool any more end. The future ends when each of those that are there
    /// now has finished its first check (or its first check timed out), so that the daemon knows
    /// when to start accepting. A server that an operator takes out of use meanwhile, or whose
    /// health they set, is not waited for. They run on the current `LocalSet` until it is dropped.
    pub fn follow(
        &mut self,
        pools: &[Arc<Pool>],
        on_change: &OnChange,
    ) -> impl Future<Output = ()> + use<> {
        let mut known: HashMap<_, _> = std::mem::take(&mut self.running)
            .into_iter()
            .map(|watch| (Arc::as_ptr(&watch.first.subject.server), watch))
            .collect();
        for pool in pools {
            let setup = pool.setup();
            for server in &setup.servers {
                let known = known.remove(&Arc::as_ptr(server));
                let watch = watch_on(known, pool, server, &setup.config.check, on_change);
                self.running.push(watch);
            }
        }
        known.values().for_each(Watch::end);
        let firsts: Vec<_> = self.running.iter().map(|one| one.first.clone()).collect();
        let changed = Rc::clone(&self.changed);
        async move {
            for first in firsts {
                first.over(&changed).await;
            }
        }
    }

    /// Tells them to end: sessions say goodbye, so that brokers log an orderly end.
    pub fn end(&self) {
        self.running.iter().for_each(Watch::end);
    }

    /// Waits until they have ended, a fraction of a second even if no broker answers.
    pub async fn ended(&self) {
        for watch in &self.running {
            watch.ending.closed().await;
        }
    }
}

/// The monitor of a server, `known` if there is nothing to be changed about it.
fn watch_on(
    known: Option<Watch>,
    pool: &Arc<Pool>,
    server: &Arc<Server>,
    check: &config::Check,
    on_change: &OnChange,
) -> Watch {
    let send_proxy = server.config().send_proxy;
    let doubt = match known {
        Some(watch) if watch.check == *check && watch.send_proxy == send_proxy => {
            return watch;
        }
        Some(watch) => {
            watch.end();
            watch.doubt
        }
        None => watched(server),
    };
    let subject = Rc::new(Subject {
        pool: Arc::clone(pool),
        server: Arc::clone(server),
        on_change: Rc::clone(on_change),
    });
    let ending = watch::Sender::new(false);
    let first = watch_over(&subject, check, Arc::clone(&doubt), ending.subscribe());
    Watch {
        check: check.clone(),
        send_proxy,
        doubt,
        ending,
        first,
    }
}

/// Rings when a connection to the server has failed: it is checked at once, if its last check began
/// 100 ms ago or more, and else as soon as that is so.
fn watched(server: &Server) -> Arc<Notify> {
    let doubt = Arc::new(Notify::new());
    let bell = Arc::clone(&doubt);
    server.set_watcher(move || bell.notify_one());
    doubt
}

/// What a monitor watches and tells.
struct Subject {
    pool: Arc<Pool>,
    server: Arc<Server>,
    on_change: OnChange,
}

impl Subject {
    /// Where the server is in its pool; `None` once it is not in the file any more.
    fn place(&self) -> Option<usize> {
        let place = self.server.place();
        let setup = self.pool.setup();
        let there = setup.servers.get(place);
        there
            .filter(|one| Arc::ptr_eq(one, &self.server))
            .map(|_| place)
    }

    fn address(&self) -> Option<SocketAddr> {
        self.pool.address(self.place()?)
    }

    fn health(&self) -> Health {
        self.place()
            .map_or(Health::Unknown, |place| self.pool.health(place))
    }

    fn set_address(&self, address: Option<SocketAddr>) {
        if let Some(place) = self.place() {
            self.changed(self.pool.set_address(place, address, Instant::now()));
        }
    }

    fn is_checked(&self) -> bool {
        self.place()
            .is_some_and(|place| self.pool.is_checked(place))
    }

    fn report(&self, report: Report) {
        if let Some(place) = self.place() {
            self.changed(self.pool.report(place, report, Instant::now()));
        }
    }

    fn changed(&self, change: Option<StateChange>) {
        if let Some(change) = change {
            (self.on_change)(&self.pool, &change);
        }
    }
}

/// Starts the tasks of one server.
fn watch_over(
    subject: &Rc<Subject>,
    check: &config::Check,
    doubt: Arc<Notify>,
    ending: watch::Receiver<bool>,
) -> First {
    let server = subject.server.config().clone();
    let (first, ended) = watch::channel(());
    let health = subject.health();
    let monitor = Monitor {
        label: format!("{}/{}", subject.pool.name, server.name),
        check: check.clone(),
        verdict: Verdict::of(health, check.rise, check.fall),
        resolution: follow_name(subject, &server, check),
        server,
        subject: Rc::clone(subject),
        doubt,
        ending,
        first: Some(first),
        asked: tokio::time::Instant::now(),
    };
    spawn_local(monitor.run());
    First {
        subject: Rc::clone(subject),
        health,
        ended,
    }
}

/// Follows the name of a server that has one. Without checks nobody else tells the pool that there
/// is no address.
fn follow_name(
    subject: &Rc<Subject>,
    server: &config::Server,
    check: &config::Check,
) -> Option<watch::Receiver<Resolution>> {
    let Host::Name(name) = &server.address.host else {
        return None;
    };
    let unchecked = check.kind == CheckKind::None;
    let (name, port) = (name.clone(), server.address.port);
    let (tell, told) = watch::channel(Resolution::Pending);
    let subject = Rc::clone(subject);
    let act = move |resolution: &Resolution| match resolution {
        Resolution::Address(address) => subject.set_address(Some(*address)),
        Resolution::Failed(_) if unchecked => subject.set_address(None),
        Resolution::Failed(_) | Resolution::Pending => {}
    };
    spawn_local(resolve::follow(name, port, tell, act));
    Some(told)
}

struct Monitor {
    /// POOL/SERVER
    label: String,
    check: config::Check,
    server: Arc<config::Server>,
    verdict: Verdict,
    /// Of a server with a name.
    resolution: Option<watch::Receiver<Resolution>>,
    subject: Rc<Subject>,
    doubt: Arc<Notify>,
    /// True when the monitors are to end. Held until this one has ended.
    ending: watch::Receiver<bool>,
    /// Dropped when the first check has ended.
    first: Option<watch::Sender<()>>,
    /// When the last check began.
    asked: tokio::time::Instant,
}

impl Monitor {
    async fn run(mut self) {
        // One that begins in maintenance has no first check.
        self.is_watched();
        self.await_resolution().await;
        if self.check.kind != CheckKind::None {
            sleep(SPREAD.min(self.check.interval) / 1000 * draw_permille()).await;
        }
        match self.check.kind.clone() {
            CheckKind::None => {
                // Its name is followed for as long as it is here.
                self.first = None;
                self.told_to_end().await;
            }
            CheckKind::Tcp | CheckKind::Http { .. } => self.probe_until_ended().await,
            CheckKind::Amqp { credentials, vhost } => {
                self.converse_until_ended(credentials, vhost).await;
            }
        }
    }

    async fn probe_until_ended(&mut self) {
        while !self.has_to_end() {
            if self.is_watched() {
                self.asked = tokio::time::Instant::now();
                tokio::select! {
                    result = self.probe() => self.observe(result),
                    () = self.told_to_end() => return,
                }
            }
            self.pause(self.after_check()).await;
        }
    }

    async fn probe(&self) -> CheckResult {
        let address = match self.address() {
            Ok(address) => address,
            Err(result) => return result,
        };
        let timeout = self.check.timeout;
        let CheckKind::Http {
            port,
            path,
            credentials,
        } = &self.check.kind
        else {
            return probe::tcp(address, timeout).await;
        };
        let mut host = self.server.address.clone();
        host.port = port.unwrap_or(host.port);
        let question = probe::Question {
            host: &host.to_string(),
            path,
            credentials: credentials.as_ref(),
            // The header belongs to the server's own port; another one is another listener.
            send_proxy: port.map_or(self.server.send_proxy, |_| config::SendProxy::Off),
        };
        let address = SocketAddr::new(address.ip(), port.unwrap_or(address.port()));
        probe::http(address, question, timeout).await
    }

    /// The first look-up of a name may take as long as a check.
    async fn await_resolution(&mut self) {
        if let Some(resolution) = &mut self.resolution {
            let known = resolution.wait_for(|r| *r != Resolution::Pending);
            // Without an answer the first check says so.
            let _ = tokio::time::timeout(self.check.timeout, known).await;
        }
    }

    /// Where the server is, or why that is not known.
    fn address(&self) -> Result<SocketAddr, CheckResult> {
        self.subject.address().ok_or_else(|| {
            let resolution = self.resolution.as_ref().map(|r| r.borrow().clone());
            let why = match resolution {
                Some(Resolution::Failed(words)) => words,
                Some(Resolution::Pending | Resolution::Address(_)) | None => {
                    "no answer yet".to_owned()
                }
            };
            let detail = format!("name does not resolve: {why}");
            CheckResult::new(CheckCode::SocketError, detail)
        })
    }

    /// False in maintenance, or when an operator has stopped the checks: then nothing is asked, and
    /// nobody has to wait for the first check.
    fn is_watched(&mut self) -> bool {
        let watched = self.subject.is_checked();
        if !watched {
            self.first = None;
        }
        watched
    }

    /// A shortage of this host changes nothing: a server taken for dead because we could not ask
    /// would lose all its connections.
    fn observe(&mut self, result: CheckResult) {
        // An operator may have said something else meanwhile.
        let known = self.subject.health();
        if self.verdict.health() != known {
            self.verdict = Verdict::of(known, self.check.rise, self.check.fall);
        }
        let health = if result.code == CheckCode::Shortage {
            None
        } else {
            self.verdict.observe(result.code.passed())
        };
        self.tell(result, health, false);
    }

    /// Takes the server's own word for it that it leaves.
    fn let_go(&mut self, result: CheckResult) {
        let health = self.verdict.condemn();
        self.tell(result, health, true);
    }

    fn tell(&mut self, result: CheckResult, health: Option<Health>, leaving: bool) {
        tracing::debug!(
            server = self.label,
            code = result.code.name(),
            detail = result.detail,
            took = ?result.took,
            "checked"
        );
        self.subject.report(Report {
            result,
            score: self.verdict.score(),
            health,
            leaving,
        });
        self.first = None;
    }

    /// Bad news is confirmed quickly, everything else has its time.
    fn after_check(&self) -> Duration {
        match self.verdict.doubts() {
            0 => self.check.interval,
            doubts => pace::confirmation(self.check.interval, doubts),
        }
    }

    /// Waits for about `pause`, less when somebody suspects the server.
    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = sleep(pace::jittered(pause, draw())) => {}
            () = self.suspected() => {}
            () = self.told_to_end() => {}
        }
    }

    fn has_to_end(&self) -> bool {
        *self.ending.borrow()
    }

    async fn told_to_end(&self) {
        // The sender lives as long as anybody can wait for this monitor; without it nobody does.
        let _ = self.ending.clone().wait_for(|ending| *ending).await;
    }

    /// Ends when somebody suspects the server and it may be asked again.
    async fn suspected(&self) {
        self.doubt.notified().await;
        tokio::time::sleep_until(self.asked + pace::SHORTEST).await;
    }
}

/// A random number: good enough to keep checks out of step.
pub(super) fn draw() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn draw_permille() -> u32 {
    u32::try_from(draw() % 1000).unwrap_or(0)
}

#[cfg(test)]
mod tests;
