//! *pure* Whether this node would serve a client, for `/readyz`.

use super::snapshot::{Snapshot, VirtualRouterSnapshot};

/// What keeps this node from serving, a line each; empty: it would serve.
///
/// It would when the first checks are in, it is not on its way down, every thread goes on, every
/// listener takes clients and has a pool with at least one usable server, and every virtual router
/// is in the election. Who is master does not matter: a backup would take over, and one that is not
/// ready now would not serve then either.
#[must_use]
pub fn obstacles(snapshot: &Snapshot) -> Vec<String> {
    let mut obstacles = Vec::new();
    if snapshot.stopping {
        obstacles.push("the daemon is stopping".to_owned());
    } else if !snapshot.accepting {
        obstacles.push("the first checks are still running".to_owned());
    }
    obstacles.extend(snapshot.stuck.clone());
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
    let routers = snapshot.virtual_routers.iter();
    let routers = routers.filter_map(|router| Some((&router.name, incapacity(router)?)));
    obstacles.extend(routers.map(|(name, why)| format!("virtual router {name} {why}")));
    obstacles
}

/// Why it would not take over now, to be read after its name. One that gives its addresses up is
/// still heard and served, and a backup afterwards.
fn incapacity(router: &VirtualRouterSnapshot) -> Option<String> {
    router.absence().or_else(|| {
        let waits = router.startup_delay_left_ms > 0;
        waits.then(|| "claims nothing yet: startup_delay has not passed".to_owned())
    })
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
    fn a_virtual_router_that_would_not_take_over_keeps_it_from_serving() {
        let with = |change: fn(&mut VirtualRouterSnapshot)| {
            let mut snapshot = snapshot();
            change(&mut snapshot.virtual_routers[0]);
            obstacles(&snapshot)
        };
        for state in ["master", "backup", "leaving"] {
            let mut snapshot = snapshot();
            snapshot.virtual_routers[0].state = state.to_owned();
            assert_eq!(obstacles(&snapshot), [""; 0], "{state}");
        }
        let waits = with(|router| {
            router.state = "init".to_owned();
            router.waiting_for = Some("interface eth0, which has no carrier".to_owned());
        });
        let expected = "virtual router amqp waits for interface eth0, which has no carrier";
        assert_eq!(waits, [expected]);
        let trouble = with(|router| {
            router.state = "init".to_owned();
            router.why = "the addresses could not be claimed".to_owned();
        });
        let expected =
            "virtual router amqp is out of the election: the addresses could not be claimed";
        assert_eq!(trouble, [expected]);
        let delayed = with(|router| {
            router.state = "backup".to_owned();
            router.startup_delay_left_ms = 1;
        });
        let expected = "virtual router amqp claims nothing yet: startup_delay has not passed";
        assert_eq!(delayed, [expected]);
        let mut alone = snapshot();
        alone.virtual_routers.clear();
        assert_eq!(obstacles(&alone), [""; 0]);
    }

    #[test]
    fn a_thread_that_makes_no_progress_keeps_it_from_serving() {
        let mut snapshot = snapshot();
        snapshot.stuck = Some("worker 1 makes no progress".to_owned());
        assert_eq!(obstacles(&snapshot), ["worker 1 makes no progress"]);
        assert!(snapshot.problems().contains(&obstacles(&snapshot)[0]));
    }

    #[test]
    fn a_pool_that_no_listener_uses_does_not_matter() {
        let mut snapshot = snapshot();
        snapshot.listeners.truncate(1);
        snapshot.pools[1].servers.clear();
        assert_eq!(obstacles(&snapshot), [""; 0]);
    }
}
