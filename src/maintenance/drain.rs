//! Emptying one server: its connections are closed evenly over a time, the longest silent first.
//! While their clients could go nowhere they stay.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::close::Closer;
use super::pace::Pace;
use super::{Crew, TICK};
use crate::proxy::account::Cause;
use crate::stats::snapshot::DrainStage;

/// What the last connections may need to end after the time is over.
const GRACE: Duration = Duration::from_secs(10);

/// Why connections stay for now.
const ALONE: &str = "no other server is usable";

/// A drain as it is shown.
#[derive(Debug, Clone)]
pub(crate) struct DrainStatus {
    pub(crate) pool: String,
    /// Its own name: see [`crate::pool::Server::name`].
    pub(crate) server: Arc<str>,
    pub(crate) stage: DrainStage,
    /// What it waits for, or why it was stopped.
    pub(crate) why: String,
    /// Whether it goes on when no other server is usable.
    pub(crate) force: bool,
    pub(crate) open_at_start: u32,
    pub(crate) closed: u64,
    pub(crate) rate: Option<u32>,
    pub(crate) over: Duration,
    pub(crate) waited: Duration,
    pub(crate) since: Instant,
}

impl DrainStatus {
    pub(super) fn key(&self) -> (String, String) {
        (self.pool.clone(), self.server.to_string())
    }
}

/// How many connections a server has, and whether its pool has one that is usable.
fn look(crew: &Crew, pool: &str, server: &str) -> Option<(u32, bool)> {
    let snapshot = crew.registry.snapshot(Instant::now());
    let pool = snapshot.pools.iter().find(|one| one.name == pool)?;
    let server = pool.servers.iter().find(|one| one.name == server)?;
    Some((server.open.now, pool.usable() > 0))
}

fn open(crew: &Crew, pool: &str, server: &str) -> u32 {
    look(crew, pool, server).map_or(0, |(open, _)| open)
}

/// Begins to empty a server that is out of rotation; [`run`] goes on.
pub(super) fn begin(
    crew: &Crew,
    pool: &str,
    server: &Arc<str>,
    over: Duration,
    force: bool,
) -> (DrainStatus, Pace) {
    let since = Instant::now();
    let open = open(crew, pool, server);
    let pace = Pace::over(open, over, since);
    let status = DrainStatus {
        pool: pool.to_owned(),
        server: Arc::clone(server),
        stage: DrainStage::Draining,
        why: String::new(),
        force,
        open_at_start: open,
        closed: 0,
        rate: (pace.rate() < u32::MAX).then_some(pace.rate()),
        over,
        waited: Duration::ZERO,
        since,
    };
    crew.show_drain(&status);
    let most = status.rate.map_or_else(
        || "all at once".to_owned(),
        |rate| format!("{rate} a second"),
    );
    tracing::info!(%pool, %server, open, ?over, at_most = %most, "drain began");
    crew.events.note(&format!(
        "drain of {pool}/{server} began: {open} connections over {over:?}, {most}"
    ));
    (status, pace)
}

/// Closes connections until there are none.
pub(super) async fn run(crew: Rc<Crew>, mut status: DrainStatus, pace: Pace) {
    let Some(stage) = close_all(&crew, pace, &mut status).await else {
        lose(&crew, &status);
        return;
    };
    (status.stage, status.why) = (stage, String::new());
    crew.update_drain(&status);
    let (pool, server) = (&status.pool, &status.server);
    let (closed, took) = (status.closed, status.since.elapsed());
    let left = open(&crew, pool, server);
    if status.stage == DrainStage::Drained {
        tracing::info!(%pool, %server, closed, ?took, "drain ended: no connections are left");
    } else {
        tracing::error!(%pool, %server, closed, left, ?took,
            "drain ended: connections are left that do not end");
    }
    crew.events.note(&format!(
        "drain of {pool}/{server} ended: {closed} connections closed in {took:?}, {left} are left"
    ));
}

/// Says that the server is not there any more.
fn lose(crew: &Crew, status: &DrainStatus) {
    let DrainStatus { pool, server, .. } = status;
    let why = match crew.own_name(pool, server) {
        Some(other) if !Arc::ptr_eq(&other, server) => {
            tracing::warn!(%pool, %server,
                "drain ended: a reload has given the server another address");
            "a reload has given it another address"
        }
        Some(_) | None => {
            tracing::warn!(%pool, %server, "drain ended: a reload has removed the server");
            "a reload has removed it"
        }
    };
    let events = &crew.events;
    events.note(&format!("drain of {pool}/{server} ended: {why}"));
}

/// Ends a drain, whose task has been ended, for the sake of maintenance.
pub(super) fn stop(crew: &Crew, mut status: DrainStatus) {
    let why = "the server was put into maintenance";
    (status.stage, status.why) = (DrainStage::Stopped, why.to_owned());
    crew.update_drain(&status);
    let (pool, server, closed) = (&status.pool, &status.server, status.closed);
    let left = open(crew, pool, server);
    tracing::info!(%pool, %server, closed, left,
        "drain ended: the server was put into maintenance");
    crew.events.note(&format!(
        "drain of {pool}/{server} ended: it was put into maintenance, {left} connections are left"
    ));
}

/// Shows how far it is, and says when it begins to wait or goes on.
fn turn(crew: &Crew, status: &mut DrainStatus, stage: DrainStage, why: &str) {
    let changed = (status.stage, status.why.as_str()) != (stage, why);
    (status.stage, status.why) = (stage, why.to_owned());
    let (pool, server) = (&status.pool, &status.server);
    if changed && stage == DrainStage::Waiting {
        tracing::warn!(%pool, %server, why, "drain waits");
        let events = &crew.events;
        events.note(&format!("drain of {pool}/{server} waits: {why}"));
    } else if changed {
        tracing::info!(%pool, %server, "drain goes on");
        crew.events
            .note(&format!("drain of {pool}/{server} goes on"));
    }
    crew.update_drain(status);
}

/// `None` when the server is not there any more.
async fn close_all(crew: &Crew, mut pace: Pace, status: &mut DrainStatus) -> Option<DrainStage> {
    let mut closer = Closer::new(&crew.inboxes, &status.pool, Cause::Drained);
    // What connections take to end does not add up to more than a part of the time; and those that
    // are only being made may still go elsewhere.
    let config = crew.registry.config();
    let pool = config.pools.iter().find(|pool| pool.name == status.pool);
    let making = pool.map_or(Duration::ZERO, |pool| pool.connect_timeout);
    let late = GRACE + status.over / 10 + making;
    while crew.update_drain(status) {
        let looked = Instant::now();
        let (open, others) = look(crew, &status.pool, &status.server)?;
        if open == 0 {
            return Some(DrainStage::Drained);
        }
        if !others && !status.force {
            turn(crew, status, DrainStage::Waiting, ALONE);
            tokio::time::sleep(TICK).await;
            pace.postpone(looked.elapsed());
            let planned = status.since + status.over;
            status.waited = pace.deadline().saturating_duration_since(planned);
            continue;
        }
        turn(crew, status, DrainStage::Draining, "");
        if looked >= pace.deadline() + late {
            return Some(DrainStage::Late);
        }
        close_some(crew, &mut closer, &mut pace, status, open).await;
    }
    None
}

/// Closes those of `open` connections whose time comes until servers are to be looked at again.
async fn close_some(
    crew: &Crew,
    closer: &mut Closer,
    pace: &mut Pace,
    status: &mut DrainStatus,
    mut open: u32,
) {
    let begun = Instant::now();
    while open > 0 && begun.elapsed() < TICK {
        let now = Instant::now();
        if let Some(due) = pace.spread(open).filter(|due| *due > now) {
            let rest = TICK.saturating_sub(begun.elapsed());
            tokio::time::sleep((due - now).min(rest)).await;
            continue;
        }
        // A reload may have come meanwhile.
        if !crew.update_drain(status) {
            return;
        }
        let Some(idlest) = closer.idlest(&status.server).await else {
            // Connections that are being made, or that have ended since.
            tokio::time::sleep(TICK / 4).await;
            return;
        };
        let ordered = Instant::now();
        if closer.end(idlest).await {
            pace.closed(ordered, Instant::now());
            status.closed += 1;
            open -= 1;
            crew.update_drain(status);
        }
    }
}
