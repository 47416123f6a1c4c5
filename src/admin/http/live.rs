//! *pure* `/status.json`: what `warren status --json` says, and what the page shows besides. It
//! comes in pieces, so that ten thousand servers do not stall the control thread.

use std::cell::RefCell;
use std::rc::Rc;

use serde::Serialize;
use serde_json::{Value, json};

use crate::stats::chart::{Charts, STEP};
use crate::stats::readiness;
use crate::stats::snapshot::{PoolSnapshot, ServerStatus, Snapshot};

/// Servers in one piece.
const SERVERS: usize = 64;

/// The text, piece by piece.
pub(super) struct Live {
    /// What stands before the pools.
    head: Option<String>,
    /// Each without its servers, and these.
    pools: Vec<(PoolSnapshot, Vec<ServerStatus>)>,
    charts: Rc<RefCell<Charts>>,
    /// The pool that is written, and how many of its servers are done.
    at: (usize, usize),
}

impl Live {
    /// `events` has a line for each, with its time in front.
    pub(super) fn new(
        mut snapshot: Snapshot,
        events: &str,
        charts: Rc<RefCell<Charts>>,
    ) -> serde_json::Result<Self> {
        let event = |line: &str| {
            let (at, what) = line.split_once(' ').unwrap_or(("", line));
            json!({ "at": at, "what": what })
        };
        let more = json!({
            "problems": snapshot.problems(),
            "obstacles": readiness::obstacles(&snapshot),
            "events": events.lines().map(event).collect::<Vec<_>>(),
            "chart_step_ms": u64::try_from(STEP.as_millis()).unwrap_or(u64::MAX),
        });
        let apart = |mut pool: PoolSnapshot| {
            let servers = std::mem::take(&mut pool.servers);
            (pool, servers)
        };
        let pools = std::mem::take(&mut snapshot.pools);
        let mut head = without(&snapshot, "pools", &more)?;
        head.push_str(",\"pools\":[");
        Ok(Self {
            head: Some(head),
            pools: pools.into_iter().map(apart).collect(),
            charts,
            at: (0, 0),
        })
    }

    fn servers(&self, pool: &str, servers: &[ServerStatus]) -> serde_json::Result<String> {
        let (_, from) = self.at;
        let charts = self.charts.borrow();
        let mut text = String::new();
        for (index, server) in servers.iter().enumerate().skip(from).take(SERVERS) {
            let chart = serde_json::to_string(&charts.of(pool, &server.name))?;
            let more = json!({ "usable": server.usable(), "throttle": server.throttle() });
            let comma = if index == 0 { "" } else { "," };
            text.push_str(comma);
            text.push_str(&without(server, "", &more)?);
            text.push_str(",\"chart\":");
            text.push_str(&chart);
            text.push('}');
        }
        Ok(text)
    }

    fn piece(&mut self) -> serde_json::Result<Option<String>> {
        if let Some(head) = self.head.take() {
            return Ok(Some(head));
        }
        let (index, from) = self.at;
        let Some((pool, servers)) = self.pools.get(index) else {
            // Once: the object and its array end.
            self.at.0 = usize::MAX;
            return Ok((index != usize::MAX).then(|| "]}\n".to_owned()));
        };
        let mut text = String::new();
        if from == 0 {
            let comma = if index == 0 { "" } else { "," };
            text.push_str(comma);
            let usable = servers.iter().filter(|server| server.usable()).count();
            text.push_str(&without(pool, "servers", &json!({ "usable": usable }))?);
            text.push_str(",\"servers\":[");
        }
        text.push_str(&self.servers(&pool.name, servers)?);
        self.at.1 += SERVERS;
        if self.at.1 >= servers.len() {
            text.push_str("]}");
            self.at = (index + 1, 0);
        }
        Ok(Some(text))
    }
}

/// An object without one of its members and with some more, and without its closing brace.
fn without(object: &impl Serialize, member: &str, more: &Value) -> serde_json::Result<String> {
    let mut object = serde_json::to_value(object)?;
    if let (Value::Object(members), Value::Object(more)) = (&mut object, more) {
        members.remove(member);
        members.extend(more.clone());
    }
    let mut text = serde_json::to_string(&object)?;
    text.pop();
    Ok(text)
}

impl Iterator for Live {
    type Item = String;

    /// Ends early when something cannot be written, which plain data always can.
    fn next(&mut self) -> Option<String> {
        self.piece().ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::example::snapshot;

    fn text(snapshot: Snapshot) -> Value {
        let charts = Rc::new(RefCell::new(Charts::default()));
        charts.borrow_mut().sample(&snapshot);
        let events = "2026-11-29T23:00:00.000Z server a/b up -> down: why\n";
        let pieces: Vec<String> = Live::new(snapshot, events, charts).unwrap().collect();
        assert!(pieces.iter().all(|piece| piece.len() < 128 * 1024));
        serde_json::from_str(&pieces.concat()).unwrap()
    }

    #[test]
    fn it_is_the_status_and_more() {
        let snapshot = snapshot();
        let live = text(snapshot.clone());
        let same: Snapshot = serde_json::from_value(live.clone()).unwrap();
        assert_eq!(same, snapshot);
        assert_eq!(live["events"][0]["at"], "2026-11-29T23:00:00.000Z");
        assert_eq!(live["events"][0]["what"], "server a/b up -> down: why");
        assert_eq!(live["problems"].as_array().unwrap().len(), 3);
        assert_eq!(live["obstacles"], json!([]));
        assert_eq!(live["pools"][0]["usable"], 3);
        let server = &live["pools"][0]["servers"][1];
        assert_eq!(server["throttle"], 35);
        assert_eq!(server["chart"]["open"], json!([601]));
    }

    #[test]
    fn many_servers_and_none_come_in_pieces() {
        let mut snapshot = snapshot();
        let server = snapshot.pools[0].servers[0].clone();
        snapshot.pools[0].servers = vec![server; 1_000];
        snapshot.pools[1].servers.clear();
        let live = text(snapshot.clone());
        let same: Snapshot = serde_json::from_value(live).unwrap();
        assert_eq!(same, snapshot);
        snapshot.pools.clear();
        snapshot.listeners.clear();
        assert_eq!(text(snapshot)["pools"], json!([]));
    }
}
