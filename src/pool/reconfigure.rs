//! A pool takes another configuration while connections are chosen and end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::table::Place;
use super::{Pool, Server, Setup, nanoseconds};
use crate::config;

impl Pool {
    /// Takes another configuration, whose place in the file is `id`. A server with the name and
    /// address of one that is there is that server: it keeps its connections, counters, health, and
    /// what an operator has set, unless the file says something new about it. Others are new, and
    /// not usable before they were checked. Those that are not in the file any more serve on until
    /// [`Pool::retire`].
    pub fn reconfigure(&self, config: &config::Pool, id: usize, now: Instant) {
        self.id.store(id, Ordering::Relaxed);
        let idle_timeout = nanoseconds(config.idle_timeout);
        self.idle_timeout.store(idle_timeout, Ordering::Relaxed);
        let workers = self.counters.len();
        self.with(|inside| {
            let before = self.setup.load_full();
            let mut known: HashMap<_, _> = (0..)
                .zip(&inside.servers)
                .map(|(place, server): (usize, _)| ((&*server.name, &server.address), place))
                .collect();
            let mut servers = Vec::new();
            let mut from = Vec::new();
            for server in &config.servers {
                let place = known.remove(&(server.name.as_str(), &server.address));
                servers.push(match place {
                    Some(place) => Arc::clone(&inside.servers[place]),
                    None => Server::new(server, workers),
                });
                from.push(place);
            }
            let mut left: Vec<usize> = known.into_values().collect();
            left.retain(|&place| place < before.servers.len() || inside.table.open(place) > 0);
            left.sort_unstable();
            let setup = Setup {
                config: config.clone(),
                servers: servers.clone(),
            };
            servers.extend(left.iter().map(|&place| Arc::clone(&inside.servers[place])));
            from.extend(left.into_iter().map(Some));
            let last: Vec<_> = servers
                .iter()
                .map(|server| server.config.load_full())
                .collect();
            let places: Vec<_> = from
                .iter()
                .zip(&last)
                .enumerate()
                .map(|(to, (&from, last))| Place {
                    config: config.servers.get(to).unwrap_or(last),
                    from,
                    // Who was removed before has been out of sight: it begins anew.
                    before: from
                        .filter(|&from| from < before.servers.len() || to >= config.servers.len())
                        .map(|_| &**last),
                })
                .collect();
            inside.table.rearrange(config, &places, now);
            for (place, server) in servers.iter().enumerate() {
                server.place.store(place, Ordering::Relaxed);
            }
            for (server, from) in servers.iter().zip(&from) {
                if from.is_some_and(|from| from >= before.servers.len()) {
                    server.unchecked.store(false, Ordering::Relaxed);
                }
            }
            for (server, config) in servers.iter().zip(&config.servers) {
                server.config.store(Arc::new(config.clone()));
            }
            inside.servers = servers;
            self.setup.store(Arc::new(setup));
        });
    }

    /// Servers that are not in the file any more take no new connections from now on. Those that
    /// they have stay.
    pub fn retire(&self, now: Instant) {
        let count = self.setup().servers.len();
        self.with(|inside| {
            for place in count..inside.servers.len() {
                inside.table.retire(place, now);
            }
        });
    }
}
