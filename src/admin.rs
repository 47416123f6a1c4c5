//! What can be asked from outside: the stats socket, which has HAProxy's protocol, so that existing
//! scripts and dashboards work, and [`http`], which only tells.
//!
//! A client of the socket sends one line of commands separated by `;`. Each answer ends with one
//! extra empty line, then the connection is closed. `prompt` keeps it open. [`framing`] cuts lines
//! into commands, [`command`] answers them from one [`crate::stats::snapshot::Snapshot`] or says
//! what is to be changed, [`Hands`] changes it, `bind` makes the socket and [`serve`] carries the
//! bytes.

mod bind;
mod client;
pub mod command;
mod events;
pub mod framing;
mod guests;
mod hands;
pub mod http;
pub mod reload;
pub mod removable;
mod wish;

use std::rc::Rc;

use tokio::net::UnixListener;

pub use bind::bind;
pub use events::Events;
use guests::{ACCEPT_PAUSE, Guests};
pub use hands::Hands;

/// Serves the stats socket on the current `LocalSet`, for ever.
pub async fn serve(listener: UnixListener, hands: Rc<Hands>) {
    let mut guests = Guests::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let hands = Rc::clone(&hands);
                guests.add(|moved| client::serve(stream, hands, moved));
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
