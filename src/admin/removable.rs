//! Whether a server can be removed, for `del server` and for who waits until it can.

use std::time::Instant;

use crate::pool::server::Admin;
use crate::stats::Scene;

/// What is in the way, in HAProxy's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// There is no such pool.
    #[error("No such backend.")]
    NoPool,
    /// There is no such server.
    #[error("No such server.")]
    NoServer,
    /// It may get connections.
    #[error("Only servers in maintenance mode can be deleted.")]
    NotInMaintenance,
    /// It has connections.
    #[error("Server still has connections attached to it, cannot remove it.")]
    Connected,
}

impl Obstacle {
    /// Whether it goes by itself.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(self, Self::Connected)
    }
}

/// Where a server is in its pool that can be removed.
///
/// # Errors
///
/// What is in the way.
pub fn removable(scene: &Scene, pool: &str, server: &str) -> Result<usize, Obstacle> {
    let mut pools = scene.config.pools.iter().zip(&scene.pools);
    let (config, pool) = pools
        .find(|(config, _)| config.name == pool)
        .ok_or(Obstacle::NoPool)?;
    let mut servers = config.servers.iter();
    let place = servers
        .position(|known| known.name == server)
        .ok_or(Obstacle::NoServer)?;
    if pool.admin(place) != Admin::Maint {
        return Err(Obstacle::NotInMaintenance);
    }
    match pool.snapshot(Instant::now())[place].open {
        0 => Ok(place),
        _ => Err(Obstacle::Connected),
    }
}
