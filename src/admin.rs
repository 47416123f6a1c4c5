//! The stats socket: HAProxy's protocol, so that existing scripts and dashboards work.
//!
//! A client sends one line of commands separated by `;`. Each answer ends with one extra empty
//! line, then the connection is closed. `prompt` keeps it open. [`framing`] cuts lines into
//! commands, [`command`] answers them from one [`crate::stats::snapshot::Snapshot`], `bind`
//! makes the socket and [`serve`] carries the bytes.

mod bind;
mod client;
pub mod command;
pub mod framing;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::Semaphore;

use crate::stats::Registry;

pub use bind::bind;

/// Clients served at once; more wait in the kernel's backlog.
const MAX_CLIENTS: usize = 16;

/// Pause after an accept that failed (no descriptor left), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the stats socket on the current `LocalSet`, for ever.
pub async fn serve(listener: UnixListener, registry: Arc<Registry>) {
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            // Never: nobody closes the semaphore.
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let registry = Arc::clone(&registry);
                tokio::task::spawn_local(async move {
                    client::serve(stream, &registry).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the stats socket could not accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
