//! How many file descriptors a configuration needs, and what the machine offers.

use ipnet::IpNet;

/// Splice pipes that each worker may hold at once.
pub const PIPES_PER_WORKER: usize = 32;

/// Client and server side.
const PER_CONNECTION: usize = 2;
/// Reading and writing end.
const PER_PIPE: usize = 2;
/// epoll, eventfd, signal pipe of a worker's runtime, and one spare to accept and close with.
const PER_WORKER: usize = 4;
/// The connection of its health check, an older one whose goodbye is not answered yet, and one more
/// while its name is resolved.
const PER_SERVER: usize = 3;
/// Standard streams, the control runtime, the journal, the admin socket and its clients.
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

/// File descriptors needed for `connections` at once, with `sockets` listening (bound addresses
/// times workers).
#[must_use]
pub fn descriptors_needed(
    connections: usize,
    sockets: usize,
    servers: usize,
    workers: usize,
) -> usize {
    connections
        .saturating_mul(PER_CONNECTION)
        .saturating_add(descriptors_besides(sockets, servers, workers))
}

/// The most connections that `descriptors` allow; the inverse of [`descriptors_needed`].
#[must_use]
pub fn connections_possible(
    descriptors: usize,
    sockets: usize,
    servers: usize,
    workers: usize,
) -> usize {
    descriptors.saturating_sub(descriptors_besides(sockets, servers, workers)) / PER_CONNECTION
}

fn descriptors_besides(sockets: usize, servers: usize, workers: usize) -> usize {
    let per_worker = PER_WORKER + PIPES_PER_WORKER * PER_PIPE;
    RESERVE
        .saturating_add(sockets)
        .saturating_add(servers.saturating_mul(PER_SERVER))
        .saturating_add(workers.saturating_mul(per_worker))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_example_by_hand() {
        // 1000 connections, 2 workers on one address, 3 servers.
        assert_eq!(
            descriptors_needed(1000, 2, 3, 2),
            2000 + 64 + 2 + 3 * 3 + 2 * (4 + 64)
        );
    }

    proptest! {
        #[test]
        fn the_inverse_is_exact(
            connections in 0usize..1 << 40, sockets in 0usize..1000,
            servers in 0usize..20_000, workers in 0usize..256,
        ) {
            let needed = descriptors_needed(connections, sockets, servers, workers);
            prop_assert_eq!(connections_possible(needed, sockets, servers, workers), connections);
            let possible = connections_possible(needed + 1, sockets, servers, workers);
            prop_assert_eq!(possible, connections);
        }

        #[test]
        fn nothing_overflows(a: usize, b: usize, c: usize, d: usize) {
            let needed = descriptors_needed(a, b, c, d);
            prop_assert!(connections_possible(needed, b, c, d) <= needed);
        }
    }
}
