//! What commands that change something act on. Everything here is done in a moment: a pool's lock
//! is held for one server, and connections are ended by their workers.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::Events;
use super::command::{Change, Place};
use super::reload::{Outcome, Request, Wish};
use crate::exit;
use crate::health::monitor::OnChange;
use crate::maintenance::Maintenance;
use crate::pool::Pool;
use crate::pool::server::{Admin, Health, StateChange};
use crate::proxy::inquiry::{self, Answer, Inbox, Question};
use crate::proxy::worker::{CommonLimits, Signal};
use crate::stats::Registry;
use crate::stats::event::BY_AN_OPERATOR;
use crate::vrrp::driver::Command;

/// The daemon as the stats socket can change it.
pub struct Hands {
    /// Everything that can be known.
    pub registry: Arc<Registry>,
    pub(super) events: Rc<Events>,
    /// By worker.
    pub inboxes: Arc<[Inbox]>,
    /// Rings when somebody has changed something.
    pub changed: Rc<Notify>,
    maintenance: Maintenance,
    /// Told of each change of a server's state.
    on_change: OnChange,
    /// To the workers.
    signal: Rc<watch::Sender<Signal>>,
    limits: CommonLimits,
    /// To whoever reloads the configuration.
    reloads: mpsc::Sender<Request>,
    /// To the vrrp thread.
    routers: mpsc::Sender<Command>,
}

impl Hands {
    /// Those of a daemon whose first checks are still running.
    #[must_use]
    pub fn new(
        registry: &Arc<Registry>,
        on_change: &OnChange,
        events: &Rc<Events>,
        signal: &Rc<watch::Sender<Signal>>,
        limits: &CommonLimits,
        reloads: &mpsc::Sender<Request>,
        routers: &mpsc::Sender<Command>,
    ) -> Rc<Self> {
        let inboxes = registry.workers.iter().map(|_| Inbox::default()).collect();
        Rc::new(Self {
            maintenance: Maintenance::new(registry, &inboxes, events),
            inboxes,
            changed: Rc::default(),
            registry: Arc::clone(registry),
            on_change: Rc::clone(on_change),
            events: Rc::clone(events),
            signal: Rc::clone(signal),
            limits: limits.clone(),
            reloads: reloads.clone(),
            routers: routers.clone(),
        })
    }

    /// Asks a worker; `None` when there is none of that index or it does not answer.
    pub(super) async fn ask(&self, worker: usize, question: Question) -> Option<Answer> {
        inquiry::ask(&self.inboxes, worker, question).await
    }

    /// Has the configuration, or what is served of it, changed or compared.
    pub(super) async fn reload(&self, wish: Wish) -> Outcome {
        if let Wish::Close(name) = &wish
            && !self.registry.accepting.load(Ordering::Relaxed)
        {
            return self.keep_closed(name);
        }
        let (reply, answer) = oneshot::channel();
        let reply = Some(reply);
        // A daemon that starts or stops has nobody who reloads.
        let sent = self.reloads.send(Request { wish, reply }).await.is_ok();
        let outcome = if sent { answer.await.ok() } else { None };
        outcome.unwrap_or_else(|| Outcome {
            code: exit::FAILED,
            text: "the daemon is stopping".to_owned(),
        })
    }

    /// Closes a listener before there are clients: whoever is about to accept for it sees that.
    fn keep_closed(&self, name: &str) -> Outcome {
        let scene = self.registry.scene();
        let mut listeners = scene.listeners.iter();
        if let Some(listener) = listeners.find(|one| *one.name == *name) {
            listener.open.set_closed(true);
            self.signal.send_modify(|signal| signal.revocations += 1);
        }
        Outcome {
            code: exit::GOOD,
            text: String::new(),
        }
    }

    /// Has another node take the addresses of virtual routers that are master here. What is wrong
    /// is said in one line.
    pub(super) async fn release(&self, names: Vec<String>) -> String {
        match self.routers.send(Command::Release(names)).await {
            Ok(()) => String::new(),
            Err(_) => "the daemon is stopping\n".to_owned(),
        }
    }

    /// Makes a change.
    pub(super) fn perform(&self, change: &Change, now: Instant) {
        match change {
            Change::Admin(place, admin) => {
                let (pool, server) = (&place.pool_name, &place.server_name);
                if *admin == Admin::Ready && self.maintenance.end_drain(pool, server) {
                    // Its connections were closed: without this it would get every new client.
                    self.pool(place).begin_slow_start(place.server, now);
                }
                self.set_admin(place, *admin, now);
                if *admin == Admin::Maint {
                    self.maintenance.stop_drain(pool, server);
                }
            }
            Change::Health(place, up) => {
                let health = if *up { Health::Up } else { Health::Down };
                let pool = self.pool(place);
                let change = pool.set_health(place.server, health, BY_AN_OPERATOR, now);
                self.tell(&pool, change);
            }
            Change::Drain(place, over, force) => {
                // Maintenance means that as well.
                let pool = self.pool(place);
                if pool.admin(place.server) != Admin::Maint {
                    self.set_admin(place, Admin::Drain, now);
                }
                let server = &pool.setup().servers[place.server];
                self.maintenance
                    .drain(&place.pool_name, &server.name, *over, *force);
            }
            Change::Rebalance(pool, rate, within) => {
                self.maintenance.rebalance(pool, *rate, *within);
            }
            Change::EndRebalance(pool) => self.maintenance.end_rebalance(pool),
            Change::Weight(place, weight) => {
                self.pool(place).set_weight(place.server, *weight, now);
            }
            Change::ServerLimit(place, limit) => {
                self.pool(place).set_limit(place.server, *limit, now);
            }
            Change::Address(place, address) => {
                let pool = self.pool(place);
                self.tell(&pool, pool.override_address(place.server, *address, now));
                self.check_soon(place);
            }
            Change::Checked(place, checked) => {
                self.pool(place).set_checked(place.server, *checked);
                self.check_soon(place);
            }
            Change::EndServer(pool, server) => {
                let scene = self.registry.scene();
                let pools = scene.pools.iter().cloned().chain(scene.gone_pools());
                let named = pools.filter(|one| *one.name == **pool);
                named.for_each(|one| one.end_connections(server));
                self.signal.send_modify(|signal| signal.revocations += 1);
            }
            Change::ListenerLimit(listener, _, limit) => {
                self.registry.scene().listeners[*listener]
                    .open
                    .set_limit(*limit);
                self.limits.reconsider();
            }
            Change::CommonLimit(limit) => {
                self.registry.connections.set_limit(*limit);
                self.limits.reconsider();
            }
            Change::AcceptRate(rate) => self.registry.rate.set(*rate),
            Change::Clear(clear) => self.registry.clear(*clear),
        }
        self.changed.notify_waiters();
    }

    fn pool(&self, place: &Place) -> Arc<Pool> {
        Arc::clone(&self.registry.scene().pools[place.pool])
    }

    /// A server that was in maintenance was not checked: it is as healthy as it was then, and
    /// checked at once.
    fn set_admin(&self, place: &Place, admin: Admin, now: Instant) {
        let pool = self.pool(place);
        let change = pool.set_admin(place.server, admin, BY_AN_OPERATOR, now);
        self.tell(&pool, change);
        self.check_soon(place);
    }

    fn tell(&self, pool: &Pool, change: Option<StateChange>) {
        if let Some(change) = change {
            (self.on_change)(pool, &change);
        }
    }

    fn check_soon(&self, place: &Place) {
        self.pool(place).setup().servers[place.server].suspect();
    }
}
