//! *pure* What a reload has removed and what still has connections.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{ServerStatus, Snapshot};

/// A server that is not in the configuration any more, or not at this address, and whose
/// connections stay until they end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedSnapshot {
    /// Its pool, which may have been removed as well.
    pub pool: String,
    /// The pool's [`super::PoolSnapshot::number`].
    pub pool_number: usize,
    /// Its table key.
    pub server: String,
    /// Its [`super::ServerStatus::number`].
    pub number: usize,
    /// The address as it was configured.
    pub address: String,
    /// Where that was last; `null` while its name had not resolved.
    #[serde(default)]
    pub resolved: Option<SocketAddr>,
    /// Open connections.
    pub open: u32,
}

impl Snapshot {
    /// `POOL/SERVER` of all removed servers that `name` means: `POOL/SERVER`, or `SERVER` alone.
    #[must_use]
    pub fn removed_named(&self, name: &str) -> Vec<String> {
        let (pool, server) = match name.split_once('/') {
            Some((pool, server)) => (Some(pool), server),
            None => (None, name),
        };
        let mut names: Vec<String> = self
            .removed
            .iter()
            .filter(|one| one.server == server && pool.is_none_or(|pool| one.pool == pool))
            .map(|one| format!("{}/{}", one.pool, one.server))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What became of a server that `name` means and that a reload has removed, and which command
    /// ends its connections; `None` when none of them is open.
    #[must_use]
    pub fn removal(&self, name: &str) -> Option<String> {
        let names = self.removed_named(name);
        let [name] = names.as_slice() else {
            return None;
        };
        let removed = self.removed.iter();
        let removed = removed.filter(|one| *name == format!("{}/{}", one.pool, one.server));
        let connections = match removed.map(|one| one.open).sum::<u32>() {
            1 => "connection".to_owned(),
            open => format!("{open} connections"),
        };
        Some(format!(
            "{name} is gone: a reload has removed it; `shutdown sessions server {name}` over the \
             stats socket ends its {connections}"
        ))
    }

    /// Who else has connections to where this server is, by its configuration or now, and how many:
    /// servers under other names and in other pools, removed ones included. Its broker is theirs.
    #[must_use]
    pub fn others_at(&self, server: &ServerStatus) -> Vec<(String, u32)> {
        let is_there = |configured: &str, now: Option<SocketAddr>| {
            configured == server.configured || now.is_some() && now == server.address
        };
        let present = self.servers(None).filter(|(_, other)| {
            !std::ptr::eq(*other, server) && is_there(&other.configured, other.address)
        });
        let present =
            present.map(|(pool, one)| (format!("{}/{}", pool.name, one.name), one.open.now));
        let removed = self.removed.iter();
        let removed = removed.filter(|one| is_there(&one.address, one.resolved));
        let removed =
            removed.map(|one| (format!("{}/{} (removed)", one.pool, one.server), one.open));
        present
            .chain(removed)
            .filter(|(_, open)| *open > 0)
            .collect()
    }

    /// Whether there is a pool of this name, be it one that was removed and has connections.
    #[must_use]
    pub fn has_pool(&self, name: &str) -> bool {
        self.pools.iter().any(|pool| pool.name == name)
            || self.removed.iter().any(|one| one.pool == name)
    }

    /// Whether there is a server of this name in a pool of that name, be it one that was removed
    /// and has connections.
    #[must_use]
    pub fn has_server(&self, pool: &str, name: &str) -> bool {
        let pools = self.pools.iter().filter(|one| one.name == pool);
        let mut servers = pools.flat_map(|pool| &pool.servers);
        let mut removed = self.removed.iter();
        servers.any(|server| server.name == name)
            || removed.any(|one| one.pool == pool && one.server == name)
    }
}
