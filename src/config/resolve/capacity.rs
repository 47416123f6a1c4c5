//! Rules over the whole file: which pools are used, and whether the limits can be kept.

use std::net::SocketAddr;

use super::pool::MOST_QUEUED;
use super::{MOST_CONNECTIONS, names};
use crate::config::error::{Problem, Problems};
use crate::config::file::File;
use crate::config::file::read::{Given, Key};
use crate::config::limits::{Needs, Surroundings};
use crate::config::{Config, Host};

/// Checks what needs more than one table.
pub(super) fn check(
    file: &File,
    config: &Config,
    surroundings: &Surroundings,
    problems: &mut Problems,
) {
    warn_of_unused_pools(file, problems);
    warn_of_circles(file, config, problems);
    let budget = Budget::of(config, surroundings);
    let limits = file.global.value().map(|global| &global.max_connections);
    let listeners = names(&file.listen)
        .iter()
        .map(|listener| &listener.value.max_connections);
    let given = limits.into_iter().chain(listeners).filter_map(Key::given);
    for limit in given {
        budget.check(limit, problems);
    }
    for pool in names(&file.pool) {
        budget.doubt(&pool.value.max_queue, MOST_QUEUED, problems);
        for server in names(&pool.value.servers) {
            budget.doubt(&server.value.max_connections, MOST_CONNECTIONS, problems);
        }
    }
    if budget.possible == 0 {
        problems.push(budget.too_small("not one connection is possible", 1));
    }
    let most = i64::from(config.global.max_connections);
    for listener in names(&file.listen) {
        if let Some(limit) = listener.value.max_connections.given()
            && most > 0
            && limit.value > most
        {
            problems.push(
                Problem::warning("W0204", format!("`{}` has no effect", limit.path))
                    .at(limit.at.clone(), "can never be reached")
                    .help(format!("`global.max_connections` is {most}")),
            );
        }
    }
}

/// A server that is one of our own listeners: each connection to it makes another one.
fn warn_of_circles(file: &File, config: &Config, problems: &mut Problems) {
    let servers = names(&file.pool)
        .iter()
        .flat_map(|pool| names(&pool.value.servers));
    for server in servers {
        let Some(address) = server.value.address.given() else {
            continue;
        };
        let Host::Ip(ip) = address.value.host else {
            continue;
        };
        let is_here = |bind: &SocketAddr| {
            let everywhere =
                bind.ip().is_unspecified() && bind.is_ipv4() == ip.is_ipv4() && ip.is_loopback();
            bind.port() == address.value.port && (bind.ip() == ip || everywhere)
        };
        let ours = config
            .listeners
            .iter()
            .find(|listener| listener.bind.iter().any(is_here));
        if let Some(listener) = ours {
            problems.push(
                Problem::warning(
                    "W0209",
                    format!("server `{}` is warren itself", server.name),
                )
                .at(
                    address.at.clone(),
                    format!("[listen.{}] has this address", listener.name),
                )
                .help("its connections would go round in a circle"),
            );
        }
    }
}

fn warn_of_unused_pools(file: &File, problems: &mut Problems) {
    let (listeners, pools) = (names(&file.listen), names(&file.pool));
    let used: Vec<&String> = listeners
        .iter()
        .filter_map(|listener| listener.value.pool.value())
        .collect();
    // A listener that was misunderstood, or misspells its pool, may be the one that uses it.
    let all_found = used
        .iter()
        .all(|name| pools.iter().any(|pool| pool.name == **name));
    let unclear = used.len() < listeners.len() || !all_found;
    if used.is_empty() || unclear || problems.has_syntax_errors() {
        return;
    }
    for pool in pools {
        if !used.contains(&&pool.name) {
            problems.push(
                Problem::warning("W0201", format!("nobody uses [pool.{}]", pool.name))
                    .at(pool.at.clone(), "no listener has it as its `pool`"),
            );
        }
    }
}

/// What the descriptor limit allows to a configuration.
struct Budget {
    descriptors: usize,
    is_daemon: bool,
    needs: Needs,
    possible: usize,
}

impl Budget {
    fn of(config: &Config, surroundings: &Surroundings) -> Self {
        let descriptors = surroundings.descriptors;
        let needs = Needs::of(config);
        Self {
            descriptors,
            is_daemon: surroundings.is_daemon,
            needs,
            possible: needs.connections(descriptors),
        }
    }

    /// A limit that warren has to be able to reach.
    fn check(&self, limit: &Given<i64>, problems: &mut Problems) {
        let Some(connections) = self.beyond(limit) else {
            return;
        };
        let what = format!("`{}` is more than the descriptor limit allows", limit.path);
        let label = format!("possible: {}", self.possible);
        problems.push(
            self.too_small(&what, connections)
                .at(limit.at.clone(), label),
        );
    }

    /// A limit that says what something else bears: it may be out of reach.
    fn doubt(&self, limit: &Key<i64>, most: i64, problems: &mut Problems) {
        let Some(limit) = limit.given() else { return };
        let Some(connections) = self.beyond(limit) else {
            return;
        };
        if limit.value > most {
            // That has been said, as an error.
            return;
        }
        problems.push(
            Problem::warning("W0204", format!("`{}` has no effect", limit.path))
                .at(limit.at.clone(), "can never be reached")
                .help(format!("possible: {} connections", self.possible))
                .help(self.explain(connections)),
        );
    }

    /// The limit, if it is beyond what is possible.
    fn beyond(&self, limit: &Given<i64>) -> Option<usize> {
        let connections = usize::try_from(limit.value).ok()?;
        (connections > self.possible).then_some(connections)
    }

    fn too_small(&self, what: &str, connections: usize) -> Problem {
        let problem = match self.is_daemon {
            true => Problem::error("E0112", what),
            false => Problem::warning("W0208", what),
        };
        problem.help(self.explain(connections))
    }

    fn explain(&self, connections: usize) -> String {
        let needed = self.needs.descriptors(connections);
        let limit = self.descriptors;
        match self.is_daemon {
            true => format!(
                "it needs {needed} file descriptors and the hard limit is {limit}; raise \
                 LimitNOFILE= of the unit, or `ulimit -Hn`"
            ),
            false => format!(
                "it needs {needed} file descriptors and the hard limit here is {limit}; under \
                 systemd LimitNOFILE= of the unit decides"
            ),
        }
    }
}
