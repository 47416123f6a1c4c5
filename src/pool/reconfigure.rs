//! A pool takes another configuration while connections are chosen and end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::table::Place;
use super::{Inside, Pool, Server, Setup, nanoseconds, numbering};
use crate::config;

impl Pool {
    /// Takes another configuration, whose place in the file is `id`. A server with the name and
    /// address of one that is there is that server: it keeps its connections, counters, health, and
    /// what an operator has set, unless the file says something new about it. Others are new, and
    /// not usable before they were checked; one that takes the place of another of its name has its
    /// number, and the state, weight and limit that an operator has given that one: a broker is
    /// moved while it is in maintenance. Those that are not in the file any more serve on until
    /// [`Pool::retire`], also through a further configuration, and one that has them again goes on
    /// with them.
    pub fn reconfigure(&self, config: &config::Pool, id: usize, now: Instant) {
        self.id.store(id, Ordering::Relaxed);
        let idle_timeout = nanoseconds(config.idle_timeout);
        self.idle_timeout.store(idle_timeout, Ordering::Relaxed);
        let workers = self.counters.len();
        self.with(|inside| {
            let before = self.setup.load_full();
            let serves = |place| place < before.servers.len() || inside.table.is_usable(place);
            let serves: Vec<bool> = (0..inside.servers.len()).map(serves).collect();
            let (from, left) = inside.places(config, &serves);
            let mut servers = inside.renewed(config, (&from, &left), workers);
            let setup = Setup {
                config: config.clone(),
                servers: servers.clone(),
            };
            servers.extend(left.iter().map(|&place| Arc::clone(&inside.servers[place])));
            let from: Vec<_> = from.into_iter().chain(left.into_iter().map(Some)).collect();
            let last: Vec<_> = servers
                .iter()
                .map(|server| server.config.load_full())
                .collect();
            let named = before.config.servers.iter().enumerate();
            let named: HashMap<_, _> = named.map(|old| (old.1.name.as_str(), old)).collect();
            let places = from.iter().zip(&last).enumerate();
            let places = places.map(|(to, (&from, last))| match config.servers.get(to) {
                // Who was retired before has been out of sight: it begins anew.
                Some(config) => Place {
                    config,
                    from,
                    before: from.filter(|&from| serves[from]).map(|_| &**last),
                    namesake: named.get(config.name.as_str()).copied(),
                },
                None => Place {
                    config: last,
                    from,
                    before: Some(last),
                    namesake: None,
                },
            });
            inside
                .table
                .rearrange(config, &places.collect::<Vec<_>>(), now);
            for (place, server) in servers.iter().enumerate() {
                server.place.store(place, Ordering::Relaxed);
            }
            for (server, from) in servers.iter().zip(&from) {
                if from.is_some_and(|from| !serves[from]) {
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

    /// Has the servers that are new to the next configuration begin in maintenance: one that is not
    /// checked would be usable at once.
    pub fn hold_newcomers(&self) {
        self.with(|inside| inside.table.hold_newcomers());
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

impl Inside {
    /// Where the servers of a configuration are now; `None` for new ones. Then the places of those
    /// that it has not but that stay: they serve, or they have connections.
    fn places(&self, config: &config::Pool, serves: &[bool]) -> (Vec<Option<usize>>, Vec<usize>) {
        let mut known: HashMap<_, _> = (0..)
            .zip(&self.servers)
            .map(|(place, server): (usize, _)| ((&*server.name, &server.address), place))
            .collect();
        let servers = config.servers.iter();
        let from = servers.map(|server| known.remove(&(server.name.as_str(), &server.address)));
        let from = from.collect();
        let mut left: Vec<usize> = known.into_values().collect();
        left.retain(|&place| serves[place] || self.table.open(place) > 0);
        left.sort_unstable();
        (from, left)
    }

    /// The servers of a configuration: those that are there, and new ones in the other places.
    fn renewed(
        &self,
        config: &config::Pool,
        (from, left): (&[Option<usize>], &[usize]),
        workers: usize,
    ) -> Vec<Arc<Server>> {
        let staying = from.iter().flatten().chain(left);
        let staying: Vec<_> = staying.map(|&place| &self.servers[place]).collect();
        let mut numbers = numbering(&staying);
        let servers = config.servers.iter().zip(from);
        let servers = servers.map(|(server, from)| match from {
            Some(place) => Arc::clone(&self.servers[*place]),
            None => Server::new(server, numbers.of(&server.name), workers),
        });
        servers.collect()
    }
}
