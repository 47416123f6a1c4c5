//! The sockets of all listeners: what an earlier run left with the service manager, and new ones.

use std::net::{SocketAddr, TcpListener};

use super::StartError;
use crate::config::Config;
use crate::lifecycle::fd_store;
use crate::proxy::listener;
use crate::proxy::worker::Sockets;

/// What is bound.
pub(super) struct Bound {
    /// By listener, port 0 resolved.
    pub(super) addresses: Vec<Vec<SocketAddr>>,
    /// By worker.
    pub(super) sockets: Vec<Sockets>,
    /// Some are from an earlier run, and clients may wait in them.
    pub(super) resumed: bool,
}

/// One socket per worker for each address of the configuration. A worker gets more of an address
/// when an earlier run had more workers: clients may wait in each of them.
///
/// # Errors
///
/// An address that cannot be bound.
pub(super) fn all(config: &Config) -> Result<Bound, StartError> {
    let listed = |address: &SocketAddr| {
        let mut listeners = config.listeners.iter();
        listeners.any(|listen| listen.bind.contains(address))
    };
    let (mut kept, surplus): (Vec<_>, Vec<_>) = fd_store::take()
        .into_iter()
        .partition(|(address, _)| listed(address));
    give_up(surplus);
    let resumed = !kept.is_empty();
    let mut sockets: Vec<Sockets> = (0..config.global.workers).map(|_| Vec::new()).collect();
    let mut addresses = Vec::new();
    for listen in &config.listeners {
        let mut bound = Vec::new();
        for &address in &listen.bind {
            let failed = |source| StartError::Bind {
                name: listen.name.clone(),
                address,
                source,
            };
            let ours = kept.extract_if(.., |(known, _)| *known == address);
            let ours: Vec<_> = ours.map(|(_, socket)| socket).collect();
            let shared = match ours.is_empty() {
                true => listener::bind(address, sockets.len(), true),
                false => listener::complete(ours, address, sockets.len()),
            };
            let shared = shared.map_err(failed)?;
            bound.push(shared[0].local_addr().map_err(failed)?);
            let workers = sockets.len();
            for (number, socket) in shared.into_iter().enumerate() {
                sockets[number % workers].push((address, socket));
            }
        }
        addresses.push(bound);
    }
    Ok(Bound {
        addresses,
        sockets,
        resumed,
    })
}

/// Closes sockets whose addresses are no longer in the configuration. New ones may overlap with
/// them, so this comes first.
fn give_up(surplus: Vec<(SocketAddr, TcpListener)>) {
    let mut addresses: Vec<_> = surplus.iter().map(|(address, _)| *address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    for address in &addresses {
        tracing::info!(%address, "no longer listening: not in the configuration");
    }
    drop(surplus);
    fd_store::forget(addresses);
}
