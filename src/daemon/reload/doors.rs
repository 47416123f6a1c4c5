//! The sockets of listeners: what is bound, what has to be, and who serves it.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Reloader;
use crate::config::Config;
use crate::daemon::StartError;
use crate::lifecycle::fd_store;
use crate::proxy::inquiry::Question;
use crate::proxy::listener;
use crate::proxy::worker::Sockets;
use crate::stats::Scene;

/// Both together, without those that no listener of the configuration has.
pub(super) fn join(bound: Vec<Sockets>, more: Vec<Sockets>, scene: &Scene) -> Vec<Sockets> {
    let mut bound = bound.into_iter();
    let joined = more.into_iter().map(|more| {
        let mut sockets = bound.next().unwrap_or_default();
        sockets.retain(|(address, _)| {
            let mut listeners = scene.config.listeners.iter();
            listeners.any(|one| one.bind.contains(address))
        });
        sockets.extend(more);
        sockets
    });
    joined.collect()
}

impl Reloader {
    /// Binds what a configuration has and is not bound, for each worker.
    pub(super) fn bind(&self, config: &Config) -> Result<Vec<Sockets>, StartError> {
        let workers = self.inboxes.len();
        let mut sockets: Vec<Sockets> = (0..workers).map(|_| Vec::new()).collect();
        let mut held = self.held();
        for listen in &config.listeners {
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
        let listeners = served.config.listeners.iter();
        let served = listeners.flat_map(|one| one.bind.iter().copied());
        let waiting = self.waiting.borrow();
        let bound = waiting.iter().filter_map(|one| one.sockets.first());
        let bound = bound.flatten().map(|(address, _)| *address);
        served.chain(bound).collect()
    }

    /// Has the workers serve the listeners of a configuration, with these new sockets.
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
}
