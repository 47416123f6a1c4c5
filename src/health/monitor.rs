//! One task per server: wait, probe, observe, tell the pool.
//!
//! Tasks, all on the control thread's `LocalSet`, all ended by dropping it at any await:
//!
//! - per server: `Monitor::run`. It holds at most one connection, and one more that awaits the
//!   answer to its goodbye.
//! - per server with a name: [`resolve::follow`].

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot, watch};
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::resolve::{self, Resolution};
use super::verdict::{CheckCode, CheckResult, Verdict};
use super::{pace, probe};
use crate::config::{self, CheckKind, Host};
use crate::pool::server::{Health, StateChange};
use crate::pool::{Pool, Report};

mod amqp;

/// The first checks of all servers start within this time.
const SPREAD: Duration = Duration::from_millis(50);

/// Called on the control thread after every state change: the daemon logs it, wakes the workers
/// whose connections may have to be reset, and tells systemd.
pub type OnChange = Rc<dyn Fn(&Pool, &StateChange)>;

/// The running monitors of one pool, for those who notice something: cheap to clone, may be sent
/// to other threads.
#[derive(Debug, Clone)]
pub struct Monitors {
    doubts: Arc<[Arc<Notify>]>,
    ending: watch::Sender<bool>,
}

impl Monitors {
    /// A connection to this server (its index in the pool) failed: it is checked at once, if its
    /// last check began 100 ms ago or more, and else as soon as that is so.
    pub fn suspect(&self, server: usize) {
        if let Some(doubt) = self.doubts.get(server) {
            doubt.notify_one();
        }
    }

    /// Tells them to end: sessions say goodbye, so that brokers log an orderly end.
    pub fn end(&self) {
        self.ending.send_replace(true);
    }

    /// Waits until they have ended, a fraction of a second even if no broker answers.
    pub async fn ended(&self) {
        self.ending.closed().await;
    }
}

/// Starts one monitor per server of `pool` on the current `LocalSet` and returns when each has
/// finished its first check (or its first check timed out), so that the daemon knows when to
/// start accepting. The monitors go on until the `LocalSet` is dropped.
pub async fn start(pool: Arc<Pool>, on_change: OnChange) -> Monitors {
    let mut firsts = Vec::new();
    let mut doubts = Vec::new();
    let ending = watch::Sender::new(false);
    for index in 0..pool.servers.len() {
        let subject = Subject {
            pool: Arc::clone(&pool),
            index,
            on_change: Rc::clone(&on_change),
        };
        let doubt = Arc::new(Notify::new());
        doubts.push(Arc::clone(&doubt));
        firsts.push(watch_over(subject, doubt, ending.subscribe()));
    }
    for first in firsts {
        // A monitor without checks drops its end when it has nothing more to wait for.
        let _ = first.await;
    }
    Monitors {
        doubts: doubts.into(),
        ending,
    }
}

/// What a monitor watches and tells.
struct Subject {
    pool: Arc<Pool>,
    index: usize,
    on_change: OnChange,
}

impl Subject {
    fn address(&self) -> Option<SocketAddr> {
        self.pool.address(self.index)
    }

    fn set_address(&self, address: Option<SocketAddr>) {
        self.changed(self.pool.set_address(self.index, address, Instant::now()));
    }

    fn is_checked(&self) -> bool {
        self.pool.is_checked(self.index)
    }

    fn report(&self, report: Report) {
        self.changed(self.pool.report(self.index, report, Instant::now()));
    }

    fn changed(&self, change: Option<StateChange>) {
        if let Some(change) = change {
            (self.on_change)(&self.pool, &change);
        }
    }
}

/// Starts the tasks of one server. The answer comes when its first check has ended.
fn watch_over(
    subject: Subject,
    doubt: Arc<Notify>,
    ending: watch::Receiver<bool>,
) -> oneshot::Receiver<()> {
    let subject = Rc::new(subject);
    let pool = &subject.pool.config;
    let server = &pool.servers[subject.index];
    let (first, first_ended) = oneshot::channel();
    let monitor = Monitor {
        label: format!("{}/{}", pool.name, server.name),
        check: pool.check.clone(),
        server: server.clone(),
        verdict: Verdict::new(pool.check.rise, pool.check.fall),
        resolution: follow_name(&subject),
        subject: Rc::clone(&subject),
        doubt,
        ending,
        first: Some(first),
        asked: tokio::time::Instant::now(),
    };
    spawn_local(monitor.run());
    first_ended
}

/// Follows the name of a server that has one. Without checks nobody else tells the pool that there
/// is no address.
fn follow_name(subject: &Rc<Subject>) -> Option<watch::Receiver<Resolution>> {
    let config = &subject.pool.config;
    let address = &config.servers[subject.index].address;
    let Host::Name(name) = &address.host else {
        return None;
    };
    let unchecked = config.check.kind == CheckKind::None;
    let (name, port) = (name.clone(), address.port);
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
    server: config::Server,
    verdict: Verdict,
    /// Of a server with a name.
    resolution: Option<watch::Receiver<Resolution>>,
    subject: Rc<Subject>,
    doubt: Arc<Notify>,
    /// True when the monitors are to end. Held until this one has ended.
    ending: watch::Receiver<bool>,
    /// Taken when the first check has ended.
    first: Option<oneshot::Sender<()>>,
    /// When the last check began.
    asked: tokio::time::Instant,
}

impl Monitor {
    async fn run(mut self) {
        self.await_resolution().await;
        if self.check.kind != CheckKind::None {
            sleep(SPREAD.min(self.check.interval) / 1000 * draw_permille()).await;
        }
        match self.check.kind.clone() {
            CheckKind::None => {}
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
