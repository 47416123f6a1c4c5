//! *pure* Drains and rebalances, a line each.

use crate::cli::units::{age, count};
use crate::stats::snapshot::{
    DrainSnapshot, DrainStage, RebalanceSnapshot, RebalanceStage, Snapshot,
};

/// What goes on now. Servers that are drained stand in the table of their pool.
pub(super) fn lines(snapshot: &Snapshot) -> String {
    let drains = snapshot.drains.iter().filter(|drain| drain.goes_on());
    let drains = drains.map(|one| format!("drain      {}\n", drain(one)));
    let going = |one: &&RebalanceSnapshot| one.ended_ms.is_none();
    let rebalances = snapshot.rebalances.iter().filter(going);
    let rebalances = rebalances.map(|one| format!("rebalance  {}\n", rebalance(one)));
    drains.chain(rebalances).collect()
}

/// How far a drain is.
pub(crate) fn drain(drain: &DrainSnapshot) -> String {
    let (pool, server) = (&drain.pool, &drain.server);
    let (open, start) = (count(drain.open.into()), count(drain.open_at_start.into()));
    let left = age(drain.left_ms());
    let rate = drain.rate.map(|rate| format!(", at most {rate} a second"));
    let rate = rate.unwrap_or_default();
    let waits = match drain.stage {
        DrainStage::Waiting => format!(", waits: {}", drain.why),
        DrainStage::Draining | DrainStage::Drained | DrainStage::Late | DrainStage::Stopped => {
            String::new()
        }
    };
    format!("{pool}/{server}: {open} of {start} connections left, {left} to go{rate}{waits}")
}

/// How far a rebalance is.
pub(crate) fn rebalance(rebalance: &RebalanceSnapshot) -> String {
    let (pool, moved) = (&rebalance.pool, count(rebalance.moved));
    let left = age(rebalance.within_ms.saturating_sub(rebalance.since_ms));
    let waits = match rebalance.stage {
        RebalanceStage::Waiting => format!(", waits: {}", rebalance.why),
        RebalanceStage::Moving | RebalanceStage::Balanced | RebalanceStage::Stopped => {
            String::new()
        }
    };
    format!("pool {pool}: {moved} connections moved, {left} to go at most{waits}")
}
