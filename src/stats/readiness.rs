//! *pure* Whether this node would serve a client, for `/readyz`.

use super::snapshot::Snapshot;

/// What keeps this node from serving, a line each; empty: it would serve.
///
/// It would when the first checks are in, it is not on its way down, and every listener takes
/// clients and has a pool with at least one usable server. Who is master does not matter: a backup
/// that is not ready now would not serve after taking over either.
#[must_use]
pub fn obstacles(snapshot: &Snapshot) -> Vec<String> {
    let mut obstacles = Vec::new();
    if snapshot.stopping {
        obstacles.push("the daemon is stopping".to_owned());
    } else if !snapshot.accepting {
        obstacles.push("the first checks are still running".to_owned());
    }
    for listener in &snapshot.listeners {
        if listener.paused {
            obstacles.push(format!("listener {} is disabled", listener.name));
        }
        match snapshot.pools.get(listener.pool) {
            Some(pool) if pool.usable() == 0 => obstacles.push(format!(
                "pool {} of listener {} has no usable server",
                pool.name, listener.name
            )),
            _ => {}
        }
    }
    obstacles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::server::State;
    use crate::stats::example::snapshot;

    #[test]
    fn a_node_is_ready_unless_something_keeps_it_from_serving() {
        assert_eq!(obstacles(&snapshot()), [""; 0]);
        let mut starting = snapshot();
        starting.accepting = false;
        assert_eq!(obstacles(&starting), ["the first checks are still running"]);
        let mut stopping = snapshot();
        stopping.stopping = true;
        assert_eq!(obstacles(&stopping), ["the daemon is stopping"]);
        let mut closed = snapshot();
        closed.listeners[1].paused = true;
        assert_eq!(obstacles(&closed), ["listener plain is disabled"]);
        let mut empty = snapshot();
        for server in &mut empty.pools[0].servers {
            server.state = State::Down;
        }
        let expected = ["pool rabbit of listener amqp has no usable server"];
        assert_eq!(obstacles(&empty), expected);
    }

    #[test]
    fn a_pool_that_no_listener_uses_does_not_matter() {
        let mut snapshot = snapshot();
        snapshot.listeners.truncate(1);
        snapshot.pools[1].servers.clear();
        assert_eq!(obstacles(&snapshot), [""; 0]);
    }
}
