//! *pure* What the servers did during the last minutes, for the status page: whoever opens it after
//! an incident still sees it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

use super::snapshot::{ServerStatus, Snapshot};

/// Time between two samples.
pub const STEP: Duration = Duration::from_secs(5);

/// Samples that are kept: five minutes. A server takes about 700 bytes, ten thousand take 7 MB.
pub const LENGTH: usize = 60;

/// The samples of one server, oldest first.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Chart {
    /// Open connections.
    open: VecDeque<u32>,
    /// Connections that began since the sample before.
    new: VecDeque<u32>,
    /// Connections so far, as of the last sample.
    #[serde(skip)]
    sessions: u64,
}

impl Chart {
    fn sample(&mut self, server: &ServerStatus) {
        let sessions = server.totals.sessions;
        // Counters that were cleared count from the beginning.
        let before = match self.open.is_empty() || sessions < self.sessions {
            true => sessions,
            false => self.sessions,
        };
        self.sessions = sessions;
        let begun = u32::try_from(sessions - before).unwrap_or(u32::MAX);
        for (samples, value) in [(&mut self.open, server.open.now), (&mut self.new, begun)] {
            if samples.len() == LENGTH {
                samples.pop_front();
            }
            samples.push_back(value);
        }
    }
}

/// The charts of all servers, by the names of pool and server: they outlive a reload.
#[derive(Debug, Default)]
pub struct Charts(BTreeMap<String, BTreeMap<String, Chart>>);

impl Charts {
    /// Takes one sample of every server, to be called once per [`STEP`], and forgets servers that
    /// are no more.
    pub fn sample(&mut self, snapshot: &Snapshot) {
        let mut old = std::mem::take(&mut self.0);
        for pool in &snapshot.pools {
            let mut old = old.remove(&pool.name).unwrap_or_default();
            let charts = pool.servers.iter().map(|server| {
                let mut chart = old.remove(&server.name).unwrap_or_default();
                chart.sample(server);
                (server.name.clone(), chart)
            });
            self.0.insert(pool.name.clone(), charts.collect());
        }
    }

    /// The one of a server; `None` before its first sample.
    #[must_use]
    pub fn of(&self, pool: &str, server: &str) -> Option<&Chart> {
        self.0.get(pool)?.get(server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::example::snapshot;

    #[test]
    fn the_last_minutes_are_kept_and_no_more() {
        let mut charts = Charts::default();
        let mut snapshot = snapshot();
        assert_eq!(charts.of("rabbit", "rabbit-1"), None);
        let sample = |charts: &mut Charts, snapshot: &mut Snapshot, open, sessions| {
            let server = &mut snapshot.pools[0].servers[0];
            server.open.now = open;
            server.totals.sessions = sessions;
            charts.sample(snapshot);
        };
        sample(&mut charts, &mut snapshot, 7, 1_000);
        sample(&mut charts, &mut snapshot, 9, 1_003);
        sample(&mut charts, &mut snapshot, 9, 2);
        let chart = charts.of("rabbit", "rabbit-1").unwrap();
        let json = serde_json::to_string(chart).unwrap();
        assert_eq!(json, r#"{"open":[7,9,9],"new":[0,3,0]}"#);
        for _ in 0..LENGTH {
            sample(&mut charts, &mut snapshot, 1, 4);
        }
        let chart = charts.of("rabbit", "rabbit-1").unwrap();
        assert_eq!((chart.open.len(), chart.new.len()), (LENGTH, LENGTH));
        assert_eq!((chart.open[0], chart.new[0]), (1, 2));

        snapshot.pools[0].servers.remove(0);
        charts.sample(&snapshot);
        assert_eq!(charts.of("rabbit", "rabbit-1"), None);
        assert!(charts.of("rabbit", "rabbit-2").is_some());
    }
}
