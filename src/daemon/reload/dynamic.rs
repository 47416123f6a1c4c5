//! One server more or less, at run time. It is a change of the configuration like any other, but
//! the file does not know of it: the next reload has what the file says.
//!
//! The workers serve the same listeners as before, and a server in maintenance is not checked: so
//! there is nothing to wait for, whatever a reload waits for meanwhile.

use std::sync::Arc;
use std::time::Instant;

use super::{Reloader, budget};
use crate::admin::reload::Outcome;
use crate::admin::removable::removable;
use crate::config::{Config, Server};
use crate::exit;
use crate::pool::server::{Admin, State, StateChange};
use crate::stats::Scene;

/// Why it cannot be, in HAProxy's words, which for some have no line feed of their own.
pub(super) fn refused(words: &str) -> Outcome {
    Outcome {
        code: exit::FAILED,
        text: words.to_owned(),
    }
}

pub(super) fn done(words: &str) -> Outcome {
    Outcome {
        code: exit::GOOD,
        text: words.to_owned(),
    }
}

impl Reloader {
    /// One more server for a pool, in maintenance.
    pub(super) fn add(&self, pool: &str, server: Server) -> Outcome {
        let before = self.registry.scene();
        let mut config = Config::clone(&before.config);
        let Some(known) = config.pools.iter_mut().find(|known| known.name == pool) else {
            return refused("No such backend.");
        };
        if known.servers.iter().any(|known| known.name == server.name) {
            return refused("Already exists a server with the same name in backend.\n");
        }
        let name = server.name.clone();
        known.servers.push(server);
        let max_connections = match budget(&config) {
            Ok((_, most)) => most,
            Err(error) => return refused(&format!("{}\n", error.in_words())),
        };
        // From the beginning: clients may wait for one, and the workers choose all the time.
        if let Some(pool) = before.pools.iter().find(|known| *known.name == *pool) {
            pool.hold_newcomers();
        }
        let scene = self.put_in_force(Arc::new(config), max_connections);
        self.set_maintenance(&scene, pool, &name);
        drop(self.follow(&scene));
        done("New server registered.\n")
    }

    /// A server less.
    pub(super) fn delete(&self, pool: &str, name: &str) -> Outcome {
        let scene = self.registry.scene();
        let place = match removable(&scene, pool, name) {
            Ok(place) => place,
            Err(obstacle) => return refused(&obstacle.to_string()),
        };
        let mut config = Config::clone(&scene.config);
        for known in config.pools.iter_mut().filter(|known| known.name == pool) {
            known.servers.remove(place);
        }
        let max_connections = match budget(&config) {
            Ok((_, most)) => most,
            Err(error) => return refused(&format!("{}\n", error.in_words())),
        };
        let scene = self.put_in_force(Arc::new(config), max_connections);
        drop(self.follow(&scene));
        done("Server deleted.")
    }

    fn set_maintenance(&self, scene: &Scene, pool: &str, name: &str) {
        let Some(pool) = scene.pools.iter().find(|known| *known.name == *pool) else {
            return;
        };
        let setup = pool.setup();
        let Some(server) = setup.servers.iter().find(|server| *server.name == *name) else {
            return;
        };
        let (place, reason) = (server.place(), "added by an operator");
        let change = pool.set_admin(place, Admin::Maint, reason, Instant::now());
        // One that a reload has removed may still serve. Any other is in maintenance already.
        let change = change.unwrap_or_else(|| StateChange {
            server: place,
            from: State::Unknown,
            to: State::Maint,
            reason: reason.to_owned(),
        });
        (self.on_change)(pool, &change);
    }
}
