//! What commands that change something act on. Everything here is done in a moment: a pool's lock
//! is held for one server, and connections are ended by their workers.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use super::Events;
use super::command::{Change, Place};
use crate::health::monitor::{Monitors, OnChange};
use crate::pool::Pool;
use crate::pool::server::{Admin, StateChange};
use crate::proxy::inquiry::{Answer, Inbox, Question};
use crate::proxy::worker::{CommonLimits, Signal};
use crate::stats::Registry;

/// How long a worker may take to answer; one that is well needs a few microseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// The daemon as the stats socket can change it.
pub struct Hands {
    /// Everything that can be known.
    pub registry: Arc<Registry>,
    pub(super) events: Rc<Events>,
    /// By worker.
    pub inboxes: Arc<[Inbox]>,
    /// Told of each change of a server's state.
    on_change: OnChange,
    /// To the workers.
    signal: Rc<watch::Sender<Signal>>,
    /// Empty until the first checks are in: the socket is there before.
    running: OnceCell<Running>,
}

/// What there is once clients are accepted.
struct Running {
    /// By pool.
    monitors: Arc<[Monitors]>,
    /// What accepting waits for.
    limits: CommonLimits,
}

impl Hands {
    /// Those of a daemon whose first checks are still running.
    #[must_use]
    pub fn new(
        registry: &Arc<Registry>,
        on_change: &OnChange,
        events: &Rc<Events>,
        signal: &Rc<watch::Sender<Signal>>,
    ) -> Rc<Self> {
        Rc::new(Self {
            inboxes: registry.workers.iter().map(|_| Inbox::default()).collect(),
            registry: Arc::clone(registry),
            on_change: Rc::clone(on_change),
            events: Rc::clone(events),
            signal: Rc::clone(signal),
            running: OnceCell::new(),
        })
    }

    /// They reach monitors and workers from now on.
    pub fn reach(&self, monitors: &Arc<[Monitors]>, limits: &CommonLimits) {
        let running = Running {
            monitors: Arc::clone(monitors),
            limits: limits.clone(),
        };
        // There is nothing to be replaced: a daemon starts once.
        let _ = self.running.set(running);
    }

    /// Asks a worker; `None` when there is none of that index or it does not answer.
    pub(super) async fn ask(&self, worker: usize, question: Question) -> Option<Answer> {
        let answer = self.inboxes.get(worker)?.ask(question);
        timeout(PATIENCE, answer).await.ok().flatten()
    }

    /// Makes a change.
    pub(super) fn perform(&self, change: &Change, now: Instant) {
        match change {
            Change::Admin(place, admin) => self.set_admin(place, *admin, now),
            Change::Weight(place, weight) => {
                self.pool(place).set_weight(place.server, *weight, now);
            }
            Change::ServerLimit(place, limit) => {
                self.pool(place).set_limit(place.server, *limit, now);
            }
            Change::Address(place, address) => {
                let pool = self.pool(place);
                self.tell(pool, pool.set_address(place.server, Some(*address), now));
                self.check_soon(place);
            }
            Change::Checked(place, checked) => {
                self.pool(place).set_checked(place.server, *checked);
                self.check_soon(place);
            }
            Change::EndServer(place) => {
                self.pool(place).end_connections(place.server);
                self.signal.send_modify(|signal| signal.revocations += 1);
            }
            Change::ListenerLimit(listener, _, limit) => {
                self.registry.listeners[*listener].set_limit(*limit);
                self.reconsider();
            }
            Change::ListenerOpen(listener, _, open) => {
                self.registry.listeners[*listener].set_closed(!open);
                self.reconsider();
                self.signal.send_modify(|signal| signal.revocations += 1);
            }
            Change::CommonLimit(limit) => {
                self.registry.connections.set_limit(*limit);
                self.reconsider();
            }
            Change::Clear(clear) => self.registry.clear(*clear),
        }
    }

    fn pool(&self, place: &Place) -> &Pool {
        &self.registry.pools[place.pool]
    }

    /// A server that was in maintenance was not checked: it is as healthy as it was then, and
    /// checked at once.
    fn set_admin(&self, place: &Place, admin: Admin, now: Instant) {
        let pool = self.pool(place);
        let reason = "by an operator";
        self.tell(pool, pool.set_admin(place.server, admin, reason, now));
        self.check_soon(place);
    }

    fn tell(&self, pool: &Pool, change: Option<StateChange>) {
        if let Some(change) = change {
            (self.on_change)(pool, &change);
        }
    }

    fn check_soon(&self, place: &Place) {
        if let Some(running) = self.running.get() {
            running.monitors[place.pool].suspect(place.server);
        }
    }

    fn reconsider(&self) {
        if let Some(running) = self.running.get() {
            running.limits.reconsider();
        }
    }
}
