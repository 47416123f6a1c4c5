//! Emptying one server: its connections are closed evenly over a time, the longest silent first.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::close::Closer;
use super::pace::Pace;
use super::{Crew, TICK};
use crate::pool::server::Admin;
use crate::proxy::account::Cause;
use crate::stats::snapshot::{DrainStage, Snapshot};

/// What the last connections may need to end after the time is over.
const GRACE: Duration = Duration::from_secs(10);

/// A drain as it is shown.
#[derive(Debug, Clone)]
pub(crate) struct DrainStatus {
    pub(crate) pool: String,
    pub(crate) server: String,
    pub(crate) stage: DrainStage,
    pub(crate) open_at_start: u32,
    pub(crate) closed: u64,
    pub(crate) rate: Option<u32>,
    pub(crate) over: Duration,
    pub(crate) since: Instant,
}

/// How many connections a server has; `None` when there is none of that name that is out of
/// rotation: a reload has removed it, or put another one in its place.
fn open(snapshot: &Snapshot, pool: &str, server: &str) -> Option<u32> {
    let pool = snapshot.pools.iter().find(|one| one.name == pool)?;
    let server = pool.servers.iter().find(|one| one.name == server)?;
    (server.admin != Admin::Ready).then_some(server.open.now)
}

/// Begins to empty a server that is out of rotation; [`run`] goes on.
pub(super) fn begin(crew: &Crew, pool: &str, server: &str, over: Duration) -> (DrainStatus, Pace) {
    let since = Instant::now();
    let open = open(&crew.registry.snapshot(since), pool, server).unwrap_or(0);
    let pace = Pace::over(open, over, since);
    let status = DrainStatus {
        pool: pool.to_owned(),
        server: server.to_owned(),
        stage: DrainStage::Draining,
        open_at_start: open,
        closed: 0,
        rate: (pace.rate() < u32::MAX).then_some(pace.rate()),
        over,
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
    let (pool, server) = (status.pool.clone(), status.server.clone());
    let look = || open(&crew.registry.snapshot(Instant::now()), &pool, &server);
    let Some(stage) = close_all(&crew, pace, &mut status, look).await else {
        tracing::warn!(%pool, %server, "drain ended: a reload has removed the server");
        crew.forget_drain(&status);
        return;
    };
    status.stage = stage;
    crew.show_drain(&status);
    let (closed, took) = (status.closed, status.since.elapsed());
    let left = look().unwrap_or(0);
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

async fn close_all(
    crew: &Crew,
    mut pace: Pace,
    status: &mut DrainStatus,
    look: impl Fn() -> Option<u32>,
) -> Option<DrainStage> {
    let mut closer = Closer::new(&crew.inboxes, &status.pool, Cause::Drained);
    // What connections take to end does not add up to more than a part of the time; and those that
    // are only being made may still go elsewhere.
    let config = crew.registry.config();
    let pool = config.pools.iter().find(|pool| pool.name == status.pool);
    let making = pool.map_or(Duration::ZERO, |pool| pool.connect_timeout);
    let latest = pace.deadline() + GRACE + status.over / 10 + making;
    loop {
        let looked = Instant::now();
        let mut open = look()?;
        if open == 0 {
            return Some(DrainStage::Drained);
        }
        if looked >= latest {
            return Some(DrainStage::Late);
        }
        while open > 0 && looked.elapsed() < TICK {
            let now = Instant::now();
            if let Some(due) = pace.spread(open).filter(|due| *due > now) {
                let rest = TICK.saturating_sub(looked.elapsed());
                tokio::time::sleep((due - now).min(rest)).await;
                continue;
            }
            let Some(idlest) = closer.idlest(&status.server).await else {
                // Connections that are being made, or that have ended since.
                tokio::time::sleep(TICK / 4).await;
                break;
            };
            let ordered = Instant::now();
            if closer.end(idlest).await {
                pace.closed(ordered, Instant::now());
                status.closed += 1;
                open -= 1;
            }
        }
        crew.show_drain(status);
    }
}
