//! What is done so that a broker can be stopped and come back: servers are drained, and connections
//! rebalanced. Both live on the control thread and go on whoever asked for them.
//!
//! Long-lived connections move only when somebody closes them. [`pace`] says when the next one may
//! be closed, `close` finds the one that has been silent for longest and ends it by a reset, as
//! every connection that does not end in order: half a message must not look like a whole one. Its
//! client connects again by itself. `share` knows where a connection is one too many.

mod close;
mod drain;
pub mod pace;
mod rebalance;
pub mod share;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use crate::admin::Events;
use crate::pool::Server;
use crate::proxy::inquiry::Inbox;
use crate::stats::Registry;
use crate::stats::snapshot::{DrainSnapshot, PoolSnapshot, RebalanceSnapshot, RebalanceStage};
use drain::DrainStatus;
use rebalance::RebalanceStatus;

/// How often servers are looked at.
const TICK: Duration = Duration::from_millis(200);

/// What everybody may see of drains and rebalances. There is at most one of a server, and one of a
/// pool.
#[derive(Debug, Default)]
pub struct Board(Mutex<Shown>);

#[derive(Debug, Default)]
struct Shown {
    drains: BTreeMap<(String, String), DrainStatus>,
    rebalances: BTreeMap<String, RebalanceStatus>,
}

impl Board {
    fn shown(&self) -> MutexGuard<'_, Shown> {
        // A panic ends the process, so nobody sees what a panic left behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the drains of servers that are not among these: a reload has removed them, and one
    /// of the same name has not been drained.
    pub fn keep(&self, servers: &[Arc<Server>]) {
        let mut shown = self.shown();
        if shown.drains.is_empty() {
            return;
        }
        let names: HashSet<_> = servers.iter().map(|one| Arc::as_ptr(&one.name)).collect();
        let is_there = |drain: &DrainStatus| names.contains(&Arc::as_ptr(&drain.server));
        shown.drains.retain(|_, drain| is_there(drain));
    }

    /// As of now.
    #[must_use]
    pub fn snapshot(
        &self,
        pools: &[PoolSnapshot],
        now: Instant,
    ) -> (Vec<DrainSnapshot>, Vec<RebalanceSnapshot>) {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let since = |then| milliseconds(now.saturating_duration_since(then));
        let server = |drain: &DrainStatus| {
            let pool = pools.iter().find(|pool| pool.name == drain.pool)?;
            let mut servers = pool.servers.iter();
            servers.find(|server| *server.name == *drain.server)
        };
        let shown = self.shown();
        let drains = shown.drains.values().filter_map(|drain| {
            Some(DrainSnapshot {
                pool: drain.pool.clone(),
                server: drain.server.to_string(),
                stage: drain.stage,
                why: drain.why.clone(),
                open: server(drain)?.open.now,
                open_at_start: drain.open_at_start,
                closed: drain.closed,
                rate: drain.rate,
                over_ms: milliseconds(drain.over),
                waited_ms: milliseconds(drain.waited),
                since_ms: since(drain.since),
            })
        });
        let rebalances = shown.rebalances.values().map(|one| RebalanceSnapshot {
            pool: one.pool.clone(),
            stage: one.stage,
            why: one.why.clone(),
            moved: one.moved,
            rate: one.rate,
            within_ms: milliseconds(one.within),
            since_ms: since(one.since),
            ended_ms: one.ended.map(since),
        });
        (drains.collect(), rebalances.collect())
    }
}

/// What drains and rebalances work with.
struct Crew {
    registry: Arc<Registry>,
    inboxes: Arc<[Inbox]>,
    events: Rc<Events>,
}

impl Crew {
    /// The name of a server as its own, see [`Server::name`].
    fn own_name(&self, pool: &str, server: &str) -> Option<Arc<str>> {
        let scene = self.registry.scene();
        let pool = scene.pools.iter().find(|one| *one.name == *pool)?;
        let setup = pool.setup();
        let server = setup.servers.iter().find(|one| *one.name == *server)?;
        Some(Arc::clone(&server.name))
    }

    /// Shows a drain that begins.
    fn show_drain(&self, status: &DrainStatus) {
        let mut shown = self.registry.maintenance.shown();
        shown.drains.insert(status.key(), status.clone());
    }

    /// Shows how far a drain is; `false` when its server is not there any more.
    fn update_drain(&self, status: &DrainStatus) -> bool {
        let mut shown = self.registry.maintenance.shown();
        let shown = shown.drains.get_mut(&status.key());
        match shown.filter(|shown| Arc::ptr_eq(&shown.server, &status.server)) {
            Some(shown) => {
                shown.clone_from(status);
                true
            }
            None => false,
        }
    }

    fn show_rebalance(&self, status: &RebalanceStatus) {
        let mut shown = self.registry.maintenance.shown();
        shown.rebalances.insert(status.pool.clone(), status.clone());
    }

    /// Says how a rebalance has ended.
    fn end_rebalance(&self, mut status: RebalanceStatus) {
        status.ended = Some(Instant::now());
        self.show_rebalance(&status);
        let (pool, moved, why) = (&status.pool, status.moved, &status.why);
        let (stage, took) = (status.stage.name(), status.since.elapsed());
        tracing::info!(%pool, stage, %why, moved, ?took, "rebalance ended");
        self.events.note(&format!(
            "rebalance of {pool} ended: {stage}: {why}; {moved} connections moved in {took:?}"
        ));
    }
}

/// The drains and rebalances of a daemon.
pub struct Maintenance {
    crew: Rc<Crew>,
    drains: RefCell<BTreeMap<(String, String), AbortHandle>>,
    rebalances: RefCell<BTreeMap<String, AbortHandle>>,
}

impl Maintenance {
    /// None so far.
    #[must_use]
    pub fn new(registry: &Arc<Registry>, inboxes: &Arc<[Inbox]>, events: &Rc<Events>) -> Self {
        Self {
            crew: Rc::new(Crew {
                registry: Arc::clone(registry),
                inboxes: Arc::clone(inboxes),
                events: Rc::clone(events),
            }),
            drains: RefCell::default(),
            rebalances: RefCell::default(),
        }
    }

    /// Begins to empty a server, which the caller has taken out of rotation. One that is being
    /// emptied already begins anew. `server` is its own name; by `force` it goes on when no other
    /// server of its pool is usable.
    pub fn drain(&self, pool: &str, server: &Arc<str>, over: Duration, force: bool) {
        let key = (pool.to_owned(), server.to_string());
        if let Some(before) = self.drains.borrow_mut().remove(&key) {
            before.abort();
        }
        let (status, pace) = drain::begin(&self.crew, pool, server, over, force);
        let task = tokio::task::spawn_local(drain::run(Rc::clone(&self.crew), status, pace));
        self.drains.borrow_mut().insert(key, task.abort_handle());
    }

    /// Forgets the drain of a server that is ready again. Returns whether there was one.
    pub fn end_drain(&self, pool: &str, server: &str) -> bool {
        let key = (pool.to_owned(), server.to_owned());
        let running = self.abort_drain(&key);
        let known = self.crew.registry.maintenance.shown().drains.remove(&key);
        if running {
            tracing::info!(%pool, %server, "drain ended: the server is ready again");
            let events = &self.crew.events;
            events.note(&format!(
                "drain of {pool}/{server} ended: it is ready again"
            ));
        }
        known.is_some()
    }

    /// Ends the drain of a server that is put into maintenance: its connections stay.
    pub fn stop_drain(&self, pool: &str, server: &str) {
        let key = (pool.to_owned(), server.to_owned());
        if !self.abort_drain(&key) {
            return;
        }
        let status = self
            .crew
            .registry
            .maintenance
            .shown()
            .drains
            .get(&key)
            .cloned();
        if let Some(status) = status {
            drain::stop(&self.crew, status);
        }
    }

    /// Ends the task of a drain; `false` when it has ended by itself.
    fn abort_drain(&self, key: &(String, String)) -> bool {
        let task = self.drains.borrow_mut().remove(key);
        task.filter(|task| !task.is_finished())
            .map(|task| task.abort())
            .is_some()
    }

    /// Begins to rebalance a pool. One that is being rebalanced already begins anew.
    pub fn rebalance(&self, pool: &str, rate: u32, within: Duration) {
        let mut tasks = self.rebalances.borrow_mut();
        if let Some(before) = tasks.remove(pool) {
            before.abort();
        }
        let status = rebalance::begin(&self.crew, pool, rate, within);
        let task = tokio::task::spawn_local(rebalance::run(Rc::clone(&self.crew), status));
        tasks.insert(pool.to_owned(), task.abort_handle());
    }

    /// Gives up the rebalance of a pool, if there is one.
    pub fn end_rebalance(&self, pool: &str) {
        let task = self.rebalances.borrow_mut().remove(pool);
        let Some(task) = task.filter(|task| !task.is_finished()) else {
            return;
        };
        task.abort();
        let status = self
            .crew
            .registry
            .maintenance
            .shown()
            .rebalances
            .get(pool)
            .cloned();
        if let Some(mut status) = status {
            status.stage = RebalanceStage::Stopped;
            status.why = "by an operator".to_owned();
            self.crew.end_rebalance(status);
        }
    }
}
