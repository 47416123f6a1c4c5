//! *pure* `warren sessions`: some of the connections, the oldest first, as JSON.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::config::units;
use crate::proxy::sight::Sight;
use crate::stats::snapshot::Snapshot;

/// Connections that are told unless somebody asks for another number.
pub const USUAL: usize = 100;
/// Connections that are told at most: they are held in memory until the last worker was asked.
pub const MOST: usize = 10_000;

/// Which connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Only those of this pool.
    pool: Option<String>,
    /// Only those to the server of this name in that pool.
    server: Option<String>,
    /// Only those of clients in this network.
    client: Option<IpNet>,
    /// Only those that have been silent for so long.
    idle: Duration,
    /// Only those that are so old.
    older: Duration,
    /// So many at most.
    limit: usize,
}

impl Filter {
    /// From words in pairs: `pool NAME`, `server POOL/NAME`, `client NETWORK`, `idle` and `older`
    /// with a duration as in the configuration, `limit N`. Pools and servers may be such that a
    /// reload has removed, as long as they have connections.
    ///
    /// # Errors
    ///
    /// In words, what is wrong.
    pub fn of(words: &[&str], snapshot: impl Fn() -> Snapshot) -> Result<Self, String> {
        let mut filter = Self {
            pool: None,
            server: None,
            client: None,
            idle: Duration::ZERO,
            older: Duration::ZERO,
            limit: USUAL,
        };
        for pair in words.chunks(2) {
            let &[name, value] = pair else {
                return Err(format!("'{}' expects a value.", pair[0]));
            };
            filter.add(name, value)?;
        }
        if let Some(pool) = &filter.pool {
            let snapshot = snapshot();
            if !snapshot.has_pool(pool) {
                return Err(format!("There is no pool `{pool}`."));
            }
            if let Some(server) = &filter.server
                && !snapshot.has_server(pool, server)
            {
                return Err(format!("There is no server `{pool}/{server}`."));
            }
        }
        Ok(filter)
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), String> {
        let wrong = |error: units::ValueError| format!("{name} `{value}`: {error}");
        match name {
            "pool" => self.narrow(value)?,
            "server" => {
                let unknown = || format!("There is no server `{value}`.");
                let (pool, server) = value.split_once('/').ok_or_else(unknown)?;
                self.narrow(pool)?;
                self.server = Some(server.to_owned());
            }
            "client" => self.client = Some(units::network(value).map_err(wrong)?),
            "idle" => self.idle = units::duration(value).map_err(wrong)?,
            "older" => self.older = units::duration(value).map_err(wrong)?,
            "limit" => {
                let limit = value.parse().ok();
                let limit = limit.filter(|limit| (1..=MOST).contains(limit));
                self.limit = limit.ok_or_else(|| format!("limit `{value}`: not 1 to {MOST}"))?;
            }
            _ => {
                return Err(format!(
                    "'{name}' is not one of pool, server, client, idle, older, limit."
                ));
            }
        }
        Ok(())
    }

    /// Only this pool, which must not contradict what was said before.
    fn narrow(&mut self, pool: &str) -> Result<(), String> {
        match self.pool.replace(pool.to_owned()) {
            Some(other) if other != pool => Err("The server is not of that pool.".to_owned()),
            _ => Ok(()),
        }
    }

    fn passes(&self, sight: &Sight) -> bool {
        let client = sight.client.ip().to_canonical();
        let server = sight.server.as_deref();
        self.pool.as_ref().is_none_or(|pool| *pool == *sight.pool)
            && (self.server.is_none() || self.server.as_deref() == server)
            && self.client.is_none_or(|network| network.contains(&client))
            && sight.silence >= self.idle
            && sight.age >= self.older
    }
}

/// One connection. Bytes in are from the client, bytes out to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// As `show sess` writes it, and `shutdown session` takes it.
    pub id: String,
    /// The client.
    pub client: String,
    /// Its listener.
    pub listener: String,
    /// Whom the client connected to: an address of ours, or what its PROXY header says.
    pub listener_address: Option<String>,
    /// Its pool.
    pub pool: String,
    /// The server used last.
    pub server: Option<String>,
    /// Our address towards the server, by whose port the broker knows the connection; none before
    /// it is relayed.
    pub local_address: Option<String>,
    /// The address of the server's that it is relayed to.
    pub server_address: Option<String>,
    /// `admitting`, `choosing`, `connecting`, `relaying` or `draining`.
    pub state: String,
    /// When it was accepted, in milliseconds since the epoch.
    #[serde(default)]
    pub accepted_at_ms: u64,
    /// Since accept.
    pub age_ms: u64,
    /// No byte has moved for so long, give or take a second.
    pub idle_ms: u64,
    /// Bytes from the client to the server.
    pub bytes_in: u64,
    /// Bytes from the server to the client.
    pub bytes_out: u64,
    /// Connection attempts after the first.
    pub retries: u32,
}

/// The answer to `warren sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// Connections that were looked at.
    pub open: u64,
    /// Those of them that match.
    pub matching: u64,
    /// Workers that did not answer in time: their connections are missing.
    pub silent_workers: u64,
    /// The oldest that match, oldest first.
    pub sessions: Vec<Session>,
}

/// Takes all connections, and keeps the oldest that match.
pub struct Listing {
    filter: Filter,
    open: u64,
    matching: u64,
    /// Workers that did not answer.
    pub silent_workers: u64,
    /// The youngest is on top. The number, that of its coming, decides between equals.
    oldest: BinaryHeap<Reverse<(Duration, Reverse<u64>, Held)>>,
}

/// What does not matter for the order.
struct Held(Session);

impl PartialEq for Held {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl Listing {
    /// One that has taken nothing yet.
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        Self {
            filter,
            open: 0,
            matching: 0,
            silent_workers: 0,
            oldest: BinaryHeap::new(),
        }
    }

    /// Takes one connection.
    pub fn take(&mut self, sight: &Sight) {
        self.open += 1;
        if !self.filter.passes(sight) {
            return;
        }
        self.matching += 1;
        let full = self.oldest.len() >= self.filter.limit;
        if full {
            let youngest = self.oldest.peek();
            if youngest.is_some_and(|Reverse((age, ..))| *age >= sight.age) {
                return;
            }
            self.oldest.pop();
        }
        let held = Held(session(sight));
        self.oldest
            .push(Reverse((sight.age, Reverse(self.open), held)));
    }

    /// What was kept.
    #[must_use]
    pub fn finish(self) -> Sessions {
        let sorted = self.oldest.into_sorted_vec().into_iter();
        Sessions {
            open: self.open,
            matching: self.matching,
            silent_workers: self.silent_workers,
            sessions: sorted.map(|Reverse((_, _, Held(one)))| one).collect(),
        }
    }
}

fn session(sight: &Sight) -> Session {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let text = |address: Option<SocketAddr>| address.map(|address| address.to_string());
    Session {
        id: format!("0x{:x}", sight.id.0),
        client: sight.client.to_string(),
        listener: sight.listener.to_string(),
        listener_address: text(sight.ends.listener),
        pool: sight.pool.to_string(),
        server: sight.server.as_deref().map(str::to_owned),
        local_address: text(sight.ends.local),
        server_address: text(sight.ends.server),
        state: sight.during.name().to_owned(),
        accepted_at_ms: ms(sight.accepted_at),
        age_ms: ms(sight.age),
        idle_ms: ms(sight.silence),
        bytes_in: sight.to_server,
        bytes_out: sight.to_client,
        retries: sight.retries,
    }
}

#[cfg(test)]
mod tests;
