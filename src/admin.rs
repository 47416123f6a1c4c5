//! The stats socket: HAProxy's protocol, so that existing scripts and dashboards work.
//!
//! A client sends one line of commands separated by `;`. Each answer ends with one extra empty
//! line, then the connection is closed. `prompt` keeps it open. [`framing`] cuts lines into
//! commands, [`command`] answers them from one [`crate::stats::snapshot::Snapshot`] or says what is
//! to be changed, [`Hands`] changes it, `bind` makes the socket and [`serve`] carries the bytes.

mod bind;
mod client;
pub mod command;
mod events;
pub mod framing;
mod hands;
pub mod reload;
mod wish;

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::UnixListener;
use tokio::task::JoinHandle;

pub use bind::bind;
pub use events::Events;
pub use hands::Hands;

/// Clients served at once. One more takes the place of the one that has been still for longest:
/// forgotten connections must not keep an operator out.
const MAX_CLIENTS: usize = 16;

/// Pause after an accept that failed (no descriptor left), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A client that is being served.
struct Guest {
    task: JoinHandle<()>,
    /// When it last sent something or took something of its answer.
    moved: Rc<Cell<Instant>>,
}

/// Serves the stats socket on the current `LocalSet`, for ever.
pub async fn serve(listener: UnixListener, hands: Rc<Hands>) {
    let mut guests: Vec<Guest> = Vec::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                guests.retain(|guest| !guest.task.is_finished());
                if guests.len() >= MAX_CLIENTS {
                    make_room(&mut guests);
                }
                let moved = Rc::new(Cell::new(Instant::now()));
                let client = client::serve(stream, Rc::clone(&hands), Rc::clone(&moved));
                let task = tokio::task::spawn_local(client);
                guests.push(Guest { task, moved });
            }
            Err(error) => {
                tracing::warn!(%error, "the stats socket could not accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Cuts off the guest that has been still for longest.
fn make_room(guests: &mut Vec<Guest>) {
    let stillest = (0..guests.len()).min_by_key(|&index| guests[index].moved.get());
    if let Some(index) = stillest {
        guests.swap_remove(index).task.abort();
        tracing::debug!("a client of the stats socket made room for another");
    }
}

#[cfg(test)]
mod tests;
