//! Moving connections of one pool: those of servers that have more than their share are closed, a
//! bounded number per second, and their clients come back to where there is room.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::close::Closer;
use super::pace::Pace;
use super::share::{self, Returns, Step};
use super::{Crew, TICK};
use crate::proxy::account::Cause;
use crate::stats::snapshot::{PoolSnapshot, RebalanceStage};

/// A rebalance as it is shown.
#[derive(Debug, Clone)]
pub(crate) struct RebalanceStatus {
    pub(crate) pool: String,
    pub(crate) stage: RebalanceStage,
    pub(crate) why: String,
    pub(crate) moved: u64,
    pub(crate) rate: u32,
    pub(crate) within: Duration,
    pub(crate) since: Instant,
    pub(crate) ended: Option<Instant>,
}

impl RebalanceStatus {
    fn turn(&mut self, stage: RebalanceStage, why: &str) -> bool {
        let changed = (self.stage, self.why.as_str()) != (stage, why);
        (self.stage, self.why) = (stage, why.to_owned());
        changed
    }
}

/// Begins to rebalance a pool; [`run`] goes on.
pub(super) fn begin(crew: &Crew, pool: &str, rate: u32, within: Duration) -> RebalanceStatus {
    let status = RebalanceStatus {
        pool: pool.to_owned(),
        stage: RebalanceStage::Moving,
        why: String::new(),
        moved: 0,
        rate,
        within,
        since: Instant::now(),
        ended: None,
    };
    crew.show_rebalance(&status);
    tracing::info!(%pool, at_most = rate, ?within, "rebalance began");
    crew.events.note(&format!(
        "rebalance of {pool} began: at most {rate} connections a second, within {within:?}"
    ));
    status
}

/// Moves connections until every server has its share, or something ends it.
pub(super) async fn run(crew: Rc<Crew>, mut status: RebalanceStatus) {
    let (stage, why) = move_all(&crew, &mut status).await;
    status.turn(stage, &why);
    crew.end_rebalance(status);
}

async fn move_all(crew: &Crew, status: &mut RebalanceStatus) -> (RebalanceStage, String) {
    let deadline = status.since + status.within;
    let mut pace = Pace::at_rate(status.rate, deadline);
    let mut closer = Closer::new(&crew.inboxes, &status.pool, Cause::Rebalanced);
    let mut returns = Returns::default();
    loop {
        let now = Instant::now();
        let snapshot = crew.registry.snapshot(now);
        let Some(pool) = snapshot.pools.iter().find(|one| one.name == status.pool) else {
            return stopped("a reload has removed the pool");
        };
        // A reload may have changed how servers are chosen.
        if let Some(why) = share::shareless(pool) {
            return stopped(&why);
        }
        returns.look(pool, now);
        if let Some(lost) = returns.lost() {
            let seconds = share::RETURN.as_secs();
            return stopped(&format!(
                "{lost} of {} clients did not come back within {seconds} s",
                returns.moved()
            ));
        }
        let step = share::step(pool, returns.away(), status.rate);
        if step == Step::Balanced {
            return (RebalanceStage::Balanced, shares(pool));
        }
        if now >= deadline {
            return stopped(&match status.why.as_str() {
                "" => "the time is over".to_owned(),
                why => format!("the time is over; {why}"),
            });
        }
        let (stage, why) = match &step {
            Step::Pause(why) => (RebalanceStage::Waiting, why.as_str()),
            Step::Balanced | Step::From(_) | Step::Await => (RebalanceStage::Moving, ""),
        };
        if status.turn(stage, why) {
            tracing::info!(pool = %status.pool, stage = stage.name(), why, "rebalance");
        }
        crew.show_rebalance(status);
        let due = pace.steady().unwrap_or(now);
        let idlest = match step {
            Step::From(server) if due <= now => {
                // Nothing was awaited since the snapshot: it is the same pool.
                let server = crew.own_name(&status.pool, &pool.servers[server].name);
                match server {
                    Some(server) => closer.idlest(&server).await,
                    None => None,
                }
            }
            Step::From(_) | Step::Balanced | Step::Await | Step::Pause(_) => None,
        };
        let Some(idlest) = idlest else {
            let wait = due.saturating_duration_since(now);
            let wait = if wait.is_zero() { TICK } else { wait.min(TICK) };
            tokio::time::sleep(wait).await;
            continue;
        };
        let ordered = Instant::now();
        if closer.end(idlest).await {
            let ended = Instant::now();
            pace.closed(ordered, ended);
            returns.closed(ended);
            status.moved += 1;
        }
    }
}

fn stopped(why: &str) -> (RebalanceStage, String) {
    (RebalanceStage::Stopped, why.to_owned())
}

/// Who has how many: `rabbit-1 34, rabbit-2 33`.
fn shares(pool: &PoolSnapshot) -> String {
    let servers = pool.servers.iter().filter(|server| server.usable());
    let servers = servers.map(|server| format!("{} {}", server.name, server.open.now));
    servers.collect::<Vec<_>>().join(", ")
}
