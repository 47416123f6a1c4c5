//! How many file descriptors a configuration needs, and what the machine offers.

use ipnet::IpNet;

use super::{CheckKind, Config, Host, Pool, Server};

/// Splice pipes that each worker may hold at once.
pub const PIPES_PER_WORKER: usize = 32;

/// Client and server side.
const PER_CONNECTION: usize = 2;
/// Reading and writing end.
const PER_PIPE: usize = 2;
/// epoll, eventfd, signal pipe of a worker's runtime, and one spare to accept and close with.
const PER_WORKER: usize = 4;
/// Standard streams, the control runtime, the journal, the admin socket, the HTTP side and the
/// clients of both.
const RESERVE: usize = 64;

/// What the surroundings of a configuration offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// The most file descriptors that the process may have (hard RLIMIT_NOFILE).
    pub descriptors: usize,
    /// CPUs that the process may run on; at least 1.
    pub cpus: usize,
    /// The daemon itself runs here. `warren check` runs in a shell, whose descriptor limit is not
    /// the unit's: what does not fit there is only worth a warning.
    pub is_daemon: bool,
    /// The network interfaces with their addresses; `None` when they cannot be read, or must not
    /// matter.
    pub interfaces: Option<Vec<Interface>>,
}

/// A network interface of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its addresses, each with the length of its network's prefix.
    pub addresses: Vec<IpNet>,
}

/// What a configuration needs descriptors for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Besides connections.
    fixed: usize,
}

impl Needs {
    /// Of a configuration whose workers are counted.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let addresses = config.listeners.iter().map(|one| one.bind.len());
        let servers = config.pools.iter().map(for_servers);
        Self::counted(addresses.sum(), servers.sum(), config.global.workers)
    }

    fn counted(addresses: usize, servers: usize, workers: usize) -> Self {
        let per_worker = PER_WORKER + PIPES_PER_WORKER * PER_PIPE;
        let fixed = RESERVE
            .saturating_add(addresses.saturating_mul(workers))
            .saturating_add(servers)
            .saturating_add(workers.saturating_mul(per_worker));
        Self { fixed }
    }

    /// File descriptors needed for so many connections at once.
    #[must_use]
    pub fn descriptors(self, connections: usize) -> usize {
        connections
            .saturating_mul(PER_CONNECTION)
            .saturating_add(self.fixed)
    }

    /// The most connections that `descriptors` allow; the inverse of [`Needs::descriptors`].
    #[must_use]
    pub fn connections(self, descriptors: usize) -> usize {
        descriptors.saturating_sub(self.fixed) / PER_CONNECTION
    }
}

/// The connections of a pool's health checks, and one more while a name is resolved.
fn for_servers(pool: &Pool) -> usize {
    let per_check = match pool.check.kind {
        CheckKind::None => 0,
        CheckKind::Tcp | CheckKind::Http { .. } => 1,
        // And an older one whose goodbye is not answered yet.
        CheckKind::Amqp { .. } => 2,
    };
    let named = |server: &&Server| matches!(server.address.host, Host::Name(_));
    let names = pool.servers.iter().filter(named).count();
    pool.servers.len() * per_check + names
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_example_by_hand() {
        // 1000 connections, 2 workers on one address, 3 servers with a tcp check.
        let needs = Needs::counted(1, 3, 2);
        assert_eq!(needs.descriptors(1000), 2000 + 64 + 2 + 3 + 2 * (4 + 64));
    }

    proptest! {
        #[test]
        fn the_inverse_is_exact(
            connections in 0usize..1 << 40, addresses in 0usize..1000,
            servers in 0usize..20_000, workers in 0usize..256,
        ) {
            let needs = Needs::counted(addresses, servers, workers);
            let needed = needs.descriptors(connections);
            prop_assert_eq!(needs.connections(needed), connections);
            prop_assert_eq!(needs.connections(needed + 1), connections);
        }

        #[test]
        fn nothing_overflows(a: usize, b: usize, c: usize, d: usize) {
            let needs = Needs::counted(b, c, d);
            let needed = needs.descriptors(a);
            prop_assert!(needs.connections(needed) <= needed);
        }
    }
}
