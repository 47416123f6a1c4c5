//! *pure* What is being done for the maintenance of brokers.

use serde::{Deserialize, Serialize};

use super::Snapshot;

/// A server that is being emptied, or was. It stays in the list until it is ready again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainSnapshot {
    /// Its pool.
    pub pool: String,
    /// Its table key.
    pub server: String,
    /// How far it is.
    pub stage: DrainStage,
    /// What it waits for, or why it was stopped.
    pub why: String,
    /// Open connections.
    pub open: u32,
    /// Open connections at the beginning.
    pub open_at_start: u32,
    /// Connections that were closed for it; the others left by themselves.
    pub closed: u64,
    /// The most connections that are closed in any second; `null`: all at once.
    pub rate: Option<u32>,
    /// The time over which they are closed.
    pub over_ms: u64,
    /// For how long it has waited, by which it ends later.
    pub waited_ms: u64,
    /// How long ago it began.
    pub since_ms: u64,
}

impl DrainSnapshot {
    /// Whether it has not come to an end.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        matches!(self.stage, DrainStage::Draining | DrainStage::Waiting)
    }

    /// How much of its time is left.
    #[must_use]
    pub fn left_ms(&self) -> u64 {
        let end = self.over_ms.saturating_add(self.waited_ms);
        end.saturating_sub(self.since_ms)
    }
}

/// How far a drain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrainStage {
    /// Connections are being closed.
    Draining,
    /// None is closed for now.
    Waiting,
    /// There are none: the broker can be stopped.
    Drained,
    /// The time is over and some did not end: look at the log.
    Late,
    /// The server was put into maintenance: its connections stay.
    Stopped,
}

impl DrainStage {
    /// The word used in logs and answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Waiting => "waiting",
            Self::Drained => "drained",
            Self::Late => "late",
            Self::Stopped => "stopped",
        }
    }
}

/// The latest rebalance of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebalanceSnapshot {
    /// The pool.
    pub pool: String,
    /// How far it is.
    pub stage: RebalanceStage,
    /// What it waits for, or why it has stopped.
    pub why: String,
    /// Connections that were closed so that their clients come back elsewhere.
    pub moved: u64,
    /// The most connections that are closed in any second.
    pub rate: u32,
    /// It stops after this time.
    pub within_ms: u64,
    /// How long ago it began.
    pub since_ms: u64,
    /// How long ago it ended; `null` while it goes on.
    pub ended_ms: Option<u64>,
}

/// How far a rebalance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RebalanceStage {
    /// Connections are being moved.
    Moving,
    /// Nothing is moved for now.
    Waiting,
    /// Every server has its share.
    Balanced,
    /// It was given up.
    Stopped,
}

impl RebalanceStage {
    /// The word used in logs and answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Moving => "moving",
            Self::Waiting => "waiting",
            Self::Balanced => "balanced",
            Self::Stopped => "stopped",
        }
    }
}

/// Servers that a refusal names at most.
const NAMED: usize = 20;

impl Snapshot {
    /// The indices of pool and server that `name` means: `POOL/SERVER`, or `SERVER` alone if only
    /// one pool has a server of that name.
    ///
    /// # Errors
    ///
    /// There is none, or there are several: the words name the candidates.
    pub fn find_server(&self, name: &str) -> Result<(usize, usize), String> {
        let list = |places: &mut dyn Iterator<Item = (usize, usize)>| {
            let names = places.take(NAMED).map(|(pool, server)| {
                let pool = &self.pools[pool];
                format!("{}/{}", pool.name, pool.servers[server].name)
            });
            names.collect::<Vec<_>>().join(", ")
        };
        match self.servers_named(name).as_slice() {
            [place] => Ok(*place),
            [] => Err(self.removal(name).unwrap_or_else(|| {
                let known = list(&mut self.places());
                format!("there is no server `{name}`, but {known}")
            })),
            several => Err(format!(
                "`{name}` is a server of several pools; say which: {}",
                list(&mut several.iter().copied())
            )),
        }
    }

    /// The indices of pool and server of all that `name` means: `POOL/SERVER`, or `SERVER` alone.
    #[must_use]
    pub fn servers_named(&self, name: &str) -> Vec<(usize, usize)> {
        let (pool_name, server_name) = match name.split_once('/') {
            Some((pool, server)) => (Some(pool), server),
            None => (None, name),
        };
        let meant = |&(pool, server): &(usize, usize)| {
            let pool = &self.pools[pool];
            pool_name.is_none_or(|name| pool.name == name)
                && pool.servers[server].name == server_name
        };
        self.places().filter(meant).collect()
    }

    /// The indices of pool and server of every server.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let pools = self.pools.iter().enumerate();
        pools.flat_map(|(at, pool)| (0..pool.servers.len()).map(move |server| (at, server)))
    }

    /// The index of the pool of that name, or of the only one there is.
    ///
    /// # Errors
    ///
    /// There is none, or several: the words name the candidates.
    pub fn find_pool(&self, name: Option<&str>) -> Result<usize, String> {
        let names = self.pools.iter().map(|pool| pool.name.as_str());
        let candidates = || names.clone().take(NAMED).collect::<Vec<_>>().join(", ");
        match name {
            Some(name) => {
                let found = names.clone().position(|pool| pool == name);
                found.ok_or_else(|| format!("there is no pool `{name}`, but {}", candidates()))
            }
            None if self.pools.len() == 1 => Ok(0),
            None => Err(format!(
                "there are several pools; say which: {}",
                candidates()
            )),
        }
    }

    /// Whether a rebalance of the pool of this name goes on.
    #[must_use]
    pub fn is_rebalanced(&self, pool: &str) -> bool {
        let mut rebalances = self.rebalances.iter();
        rebalances.any(|one| one.pool == pool && one.ended_ms.is_none())
    }

    /// The drain of a server, if it is drained or was since it was ready last.
    #[must_use]
    pub fn drain_of(&self, pool: &str, server: &str) -> Option<&DrainSnapshot> {
        let mut drains = self.drains.iter();
        drains.find(|one| one.pool == pool && one.server == server)
    }

    /// Why the drain of a server would leave its pool without one that takes clients.
    #[must_use]
    pub fn is_last_usable(&self, pool: usize, server: usize) -> bool {
        let servers = &self.pools[pool].servers;
        servers[server].usable() && self.pools[pool].usable() == 1
    }
}
