//! *pure* The one line that `systemctl status` shows.

use std::fmt::Write as _;

use super::snapshot::{Snapshot, VirtualRouterSnapshot};
use crate::pool::server::State;

/// So many names stand in a list; the rest is counted.
const NAMES: usize = 3;

impl Snapshot {
    /// What an operator wants to know first, in one line:
    /// `master of amqp; 2/3 servers usable, down: rabbit/rabbit-2; 1,204 connections`.
    #[must_use]
    pub fn headline(&self) -> String {
        let mut parts = Vec::new();
        if self.stopping {
            parts.push("draining".to_owned());
        }
        if let Some(error) = &self.configuration.error {
            parts.push(format!("the last reload was refused: {error}"));
        }
        parts.extend(states(&self.virtual_routers));
        parts.push(self.servers_line());
        parts.push(format!(
            "{} connections",
            count(self.connections.now.into())
        ));
        parts.join("; ")
    }

    fn servers_line(&self) -> String {
        let servers = || {
            let pools = self.pools.iter();
            pools.flat_map(|pool| pool.servers.iter().map(move |server| (pool, server)))
        };
        let usable: usize = self.pools.iter().map(|pool| pool.usable()).sum();
        let mut line = format!("{usable}/{} servers usable", servers().count());
        let down: Vec<_> = servers()
            .filter(|(_, server)| server.state == State::Down)
            .map(|(pool, server)| format!("{}/{}", pool.name, server.name))
            .collect();
        if !down.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(line, ", down: {}", list(&down));
        }
        line
    }
}

/// What the virtual routers are: those that are well by their state, the others by what is wrong.
fn states(routers: &[VirtualRouterSnapshot]) -> Vec<String> {
    let mut parts = Vec::new();
    for (state, words) in [
        ("master", "master of"),
        ("backup", "backup of"),
        ("leaving", "leaving"),
    ] {
        let in_order = |router: &&VirtualRouterSnapshot| router.problem().is_none();
        let names = routers
            .iter()
            .filter(|router| router.state == state)
            .filter(in_order);
        let names: Vec<_> = names.map(|router| router.name.clone()).collect();
        if !names.is_empty() {
            parts.push(format!("{words} {}", list(&names)));
        }
    }
    let problems = routers.iter().filter_map(|router| {
        let problem = router.problem()?;
        Some(format!("{} {problem}", router.name))
    });
    let problems: Vec<_> = problems.collect();
    if !problems.is_empty() {
        parts.push(list(&problems));
    }
    parts
}

/// `a, b, c and 4 more`.
fn list(names: &[String]) -> String {
    let shown = names[..names.len().min(NAMES)].join(", ");
    match names.len().saturating_sub(NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A count with thousands apart: `1,204`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::example::snapshot;
    use super::*;

    #[test]
    fn says_first_what_matters_first() {
        let mut snapshot = snapshot();
        assert_eq!(
            snapshot.headline(),
            "master of amqp; 4/10 servers usable, down: rabbit/rabbit-3, rabbit/rabbit-4; \
             1,204 connections"
        );
        snapshot.stopping = true;
        snapshot.virtual_routers[0].state = "leaving".to_owned();
        snapshot.connections.now = 1;
        for pool in &mut snapshot.pools {
            for server in &mut pool.servers {
                server.state = State::Up;
                server.effective_weight = 100;
            }
        }
        assert_eq!(
            snapshot.headline(),
            "draining; leaving amqp; 10/10 servers usable; 1 connections"
        );
        snapshot.virtual_routers.clear();
        snapshot.stopping = false;
        snapshot.connections.now = 0;
        assert_eq!(snapshot.headline(), "10/10 servers usable; 0 connections");
    }

    /// `systemctl reload` is over when the daemon was told, whatever comes of it.
    #[test]
    fn a_reload_that_was_refused_says_why() {
        let mut snapshot = snapshot();
        snapshot.configuration.error = Some("listener amqp cannot bind [::1]:5672".to_owned());
        let line = snapshot.headline();
        let start =
            "the last reload was refused: listener amqp cannot bind [::1]:5672; master of amqp; ";
        assert!(line.starts_with(start), "{line}");
    }

    #[test]
    fn a_virtual_router_that_is_not_well_says_why() {
        let mut snapshot = snapshot();
        let mut v6 = snapshot.virtual_routers[0].clone();
        v6.name = "amqp-v6".to_owned();
        v6.state = "init".to_owned();
        v6.waiting_for = Some("interface eth0, which has no carrier".to_owned());
        snapshot.virtual_routers.push(v6);
        snapshot.virtual_routers[0].state = "backup".to_owned();
        let line = snapshot.headline();
        let start = "backup of amqp; amqp-v6 waits for interface eth0, which has no carrier; 4/10";
        assert!(line.starts_with(start), "{line}");
    }

    #[test]
    fn a_long_list_is_cut() {
        let names: Vec<_> = (1..=5).map(|n| format!("n{n}")).collect();
        assert_eq!(list(&names[..3]), "n1, n2, n3");
        assert_eq!(list(&names), "n1, n2, n3 and 2 more");
    }
}
