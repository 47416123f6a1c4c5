//! Rules over the whole file: which pools are used, and whether the limits can be kept.

use super::names;
use crate::config::Config;
use crate::config::error::{Problem, Problems};
use crate::config::file::File;
use crate::config::file::read::{Given, Key};
use crate::config::limits::{Surroundings, connections_possible, descriptors_needed};

/// Checks what needs more than one table.
pub(super) fn check(
    file: &File,
    config: &Config,
    surroundings: Surroundings,
    problems: &mut Problems,
) {
    warn_of_unused_pools(file, problems);
    let budget = Budget::of(config, surroundings.descriptors);
    let limits = file.global.value().map(|global| &global.max_connections);
    let listeners = names(&file.listen)
        .iter()
        .map(|listener| &listener.value.max_connections);
    let given = limits.into_iter().chain(listeners).filter_map(Key::given);
    for limit in given {
        budget.check(limit, problems);
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
    sockets: usize,
    servers: usize,
    workers: usize,
    possible: usize,
}

impl Budget {
    fn of(config: &Config, descriptors: usize) -> Self {
        let workers = config.global.workers;
        let addresses: usize = config.listeners.iter().map(|one| one.bind.len()).sum();
        let sockets = addresses.saturating_mul(workers);
        let servers = config.pools.iter().map(|pool| pool.servers.len()).sum();
        Self {
            descriptors,
            sockets,
            servers,
            workers,
            possible: connections_possible(descriptors, sockets, servers, workers),
        }
    }

    fn check(&self, limit: &Given<i64>, problems: &mut Problems) {
        let Ok(connections) = usize::try_from(limit.value) else {
            return;
        };
        if connections <= self.possible {
            return;
        }
        let what = format!("`{}` is more than the descriptor limit allows", limit.path);
        let label = format!("possible: {}", self.possible);
        problems.push(
            self.too_small(&what, connections)
                .at(limit.at.clone(), label),
        );
    }

    fn too_small(&self, what: &str, connections: usize) -> Problem {
        let needed = descriptors_needed(connections, self.sockets, self.servers, self.workers);
        Problem::error("E0112", what).help(format!(
            "it needs {needed} file descriptors and the hard limit is {}; raise LimitNOFILE= of \
             the unit, or `ulimit -Hn`",
            self.descriptors
        ))
    }
}
