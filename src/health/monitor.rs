//! One task per server: wait, probe, observe, tell the pool.

use std::rc::Rc;
use std::sync::Arc;

use crate::pool::Pool;
use crate::pool::server::StateChange;

/// Called on the control thread after every state change: the daemon logs it, wakes the workers
/// whose connections may have to be reset, and tells systemd.
pub type OnChange = Rc<dyn Fn(&Pool, &StateChange)>;

/// The running monitors of one pool.
#[derive(Debug, Clone)]
pub struct Monitors {}

impl Monitors {
    /// A connection to this server (its index in the pool) failed.
    pub fn suspect(&self, _server: usize) {}
}

/// Starts one monitor per server of `pool` on the current `LocalSet` and returns when each has
/// finished its first check (or its first check timed out), so that the daemon knows when to
/// start accepting. The monitors go on until the `LocalSet` is dropped.
pub async fn start(_pool: Arc<Pool>, _on_change: OnChange) -> Monitors {
    Monitors {}
}
