//! Clients that are being served at once: a bounded number. One more takes the place of the one
//! that has been still for longest: forgotten connections must not keep an operator out.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

/// Clients of one socket at once.
pub(super) const MAX_CLIENTS: usize = 16;

/// Pause after an accept that failed (no descriptor left), so that it does not spin.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// When a client last sent something or took something of its answer.
pub(super) type Moved = Rc<Cell<Instant>>;

/// The clients of one socket.
#[derive(Default)]
pub(super) struct Guests(Vec<(JoinHandle<()>, Moved)>);

impl Guests {
    /// Serves one more on the current `LocalSet`.
    pub(super) fn add<F: Future<Output = ()> + 'static>(&mut self, serve: impl FnOnce(Moved) -> F) {
        self.0.retain(|(task, _)| !task.is_finished());
        if self.0.len() >= MAX_CLIENTS {
            self.make_room();
        }
        let moved = Rc::new(Cell::new(Instant::now()));
        let task = tokio::task::spawn_local(serve(Rc::clone(&moved)));
        self.0.push((task, moved));
    }

    /// Cuts off the one that has been still for longest.
    fn make_room(&mut self) {
        let stillest = (0..self.0.len()).min_by_key(|&index| self.0[index].1.get());
        if let Some(index) = stillest {
            self.0.swap_remove(index).0.abort();
            tracing::debug!("a client of the admin side made room for another");
        }
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        for (task, _) in &self.0 {
            task.abort();
        }
    }
}
