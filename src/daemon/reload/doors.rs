//! The sockets of listeners: what is bound, what has to be, and who serves it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Reloader;
use super::dynamic::{done, refused};
use crate::admin::reload::Outcome;
use crate::config::{Config, Listener};
use crate::daemon::StartError;
use crate::lifecycle::fd_store;
use crate::proxy::inquiry::Question;
use crate::proxy::listener;
use crate::proxy::worker::Sockets;
use crate::stats::{self, Scene};

/// HAProxy's word for a listener that cannot be bound again.
const NOT_RESUMED: &str =
    "Failed to resume frontend, check logs for precise cause (port conflict?).\n";

/// Both together, without those that no open listener of the configuration has.
pub(super) fn join(bound: Vec<Sockets>, more: Vec<Sockets>, scene: &Scene) -> Vec<Sockets> {
    let mut bound = bound.into_iter();
    let joined = more.into_iter().map(|more| {
        let mut sockets = bound.next().unwrap_or_default();
        sockets.retain(|(address, _)| {
            let mut listeners = open(scene);
            listeners.any(|one| one.bind.contains(address))
        });
        sockets.extend(more);
        sockets
    });
    joined.collect()
}

/// The listeners that no operator has closed.
fn open(scene: &Scene) -> impl Iterator<Item = &Listener> {
    let listeners = scene.config.listeners.iter().zip(&scene.listeners);
    let open = listeners.filter(|(_, listener)| !listener.open.is_closed());
    open.map(|(config, _)| config)
}

/// A listener by its name.
fn find<'a>(scene: &'a Scene, name: &str) -> Option<(&'a Listener, &'a Arc<stats::Listener>)> {
    let mut listeners = scene.config.listeners.iter().zip(&scene.listeners);
    listeners.find(|(config, _)| config.name == name)
}

impl Reloader {
    /// Binds what a configuration has and is not bound: nothing for a listener that stays closed.
    pub(super) fn bind(&self, config: &Config) -> Result<Vec<Sockets>, StartError> {
        let scene = self.registry.scene();
        let stays_closed = |listener: &&Listener| {
            let known = find(&scene, &listener.name);
            known.is_some_and(|(_, known)| known.open.is_closed())
        };
        let listeners = config.listeners.iter();
        self.bind_for(listeners.filter(|one| !stays_closed(one)))
    }

    /// Binds the addresses of these listeners that are not bound, for each worker.
    fn bind_for<'a>(
        &self,
        listeners: impl Iterator<Item = &'a Listener>,
    ) -> Result<Vec<Sockets>, StartError> {
        let workers = self.inboxes.len();
        let mut sockets: Vec<Sockets> = (0..workers).map(|_| Vec::new()).collect();
        let mut held = self.held();
        for listen in listeners {
            for &address in &listen.bind {
                if held.contains(&address) {
                    continue;
                }
                let beside = held.iter().any(|our| our.port() == address.port());
                let bound = listener::bind(address, workers, !beside);
                let bound = bound.map_err(|source| StartError::Bind {
                    name: listen.name.clone(),
                    address,
                    source,
                })?;
                for (worker, socket) in sockets.iter_mut().zip(bound) {
                    worker.push((address, socket));
                }
                held.push(address);
            }
        }
        Ok(sockets)
    }

    /// The addresses that are bound: those that the workers serve, and those that wait for checks.
    fn held(&self) -> Vec<SocketAddr> {
        let served = self.served.borrow();
        let served = open(&served).flat_map(|one| one.bind.iter().copied());
        let waiting = self.waiting.borrow();
        let bound = waiting.iter().filter_map(|one| one.sockets.first());
        let bound = bound.flatten().map(|(address, _)| *address);
        served.chain(bound).collect()
    }

    /// Has the workers serve the listeners of a configuration, with these new sockets. They have
    /// shut what they do not serve any more when this ends.
    pub(super) async fn serve(&self, scene: &Arc<Scene>, mut sockets: Vec<Sockets>) {
        self.served.replace(Arc::clone(scene));
        fd_store::keep(sockets.iter().flatten().map(|(_, socket)| socket));
        sockets.resize_with(self.inboxes.len(), Vec::new);
        for (inbox, sockets) in self.inboxes.iter().zip(sockets) {
            // A worker that has ended has nothing to do any more.
            let _ = inbox
                .ask(Question::Rearrange(Arc::clone(scene), sockets))
                .await;
        }
    }

    /// `disable frontend`: new clients are refused when this ends.
    pub(super) async fn close(&self, name: &str) -> Outcome {
        let scene = self.registry.scene();
        let Some((config, listener)) = find(&scene, name) else {
            return refused("No such frontend.\n");
        };
        listener.open.set_closed(true);
        // Clients may already be in the backlog of one that waits for checks.
        if let Some(waiting) = &mut *self.waiting.borrow_mut() {
            let sockets = waiting.sockets.iter_mut();
            sockets.for_each(|worker| worker.retain(|(at, _)| !config.bind.contains(at)));
        }
        // Who waits for a place to accept need not any more.
        self.limits.reconsider();
        let served = Arc::clone(&self.served.borrow());
        self.serve(&served, Vec::new()).await;
        done("")
    }

    /// `enable frontend`: its addresses are bound anew, all or none.
    pub(super) async fn open(&self, name: &str) -> Outcome {
        if self.registry.stopping.load(Ordering::Relaxed) {
            return refused("Frontend was previously shut down, cannot enable.\n");
        }
        let (scene, served) = (self.registry.scene(), Arc::clone(&self.served.borrow()));
        let Some((config, listener)) = find(&scene, name) else {
            return refused("No such frontend.\n");
        };
        if !listener.open.is_closed() {
            return refused("All sockets are already enabled.\n");
        }
        // A worker may not have seen yet that it was closed.
        self.serve(&served, Vec::new()).await;
        // While a reload waits for checks the workers serve it as it was before.
        let known = find(&served, name).filter(|(_, known)| Arc::ptr_eq(known, listener));
        let known = known.map(|(config, _)| config);
        let mut now = match self.bind_for(known.into_iter().chain([config])) {
            Ok(bound) => bound,
            Err(error) => {
                tracing::error!("{}", error.in_words());
                return refused(NOT_RESUMED);
            }
        };
        listener.open.set_closed(false);
        if let Some(waiting) = &mut *self.waiting.borrow_mut() {
            let is_later = |at: &SocketAddr| !known.is_some_and(|one| one.bind.contains(at));
            for (now, later) in now.iter_mut().zip(&mut waiting.sockets) {
                later.extend(now.extract_if(.., |(at, _)| is_later(at)));
            }
        }
        self.serve(&served, now).await;
        done("")
    }
}
