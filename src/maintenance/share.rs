//! *pure* What a server's share of its pool's connections is, and where one is too many.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::pool::server::State;
use crate::stats::snapshot::{PoolSnapshot, ServerStatus};

/// So far from its share a server may be, as a part of it. Less than one connection is never far.
const TOLERANCE: f64 = 0.1;

/// A client that was moved is back within this time, or is not coming.
pub(super) const RETURN: Duration = Duration::from_secs(30);

/// As many seconds of closes as may be on their way at once.
const AWAY_SECONDS: u32 = 10;

/// So many clients have to stay away before that means something.
const FEW: u64 = 5;

/// What a pool needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Every server has its share.
    Balanced,
    /// The server of this index has too many connections.
    From(usize),
    /// Clients are on their way, or nothing can be moved now.
    Await,
    /// Nothing may be moved now, for this reason.
    Pause(String),
}

/// Why the servers of this pool have no shares.
#[must_use]
pub fn shareless(pool: &PoolSnapshot) -> Option<String> {
    let why = match pool.balance.as_str() {
        "source" => "the address of a client decides which server it belongs to",
        "first" => "the first server that has room gets the clients",
        _ => return None,
    };
    let (name, balance) = (&pool.name, &pool.balance);
    Some(format!(
        "pool {name} has balance = \"{balance}\": {why}, so there are no shares to be kept"
    ))
}

/// Why connections of this pool should stay where they are for now.
#[must_use]
pub fn obstacle(pool: &PoolSnapshot) -> Option<String> {
    let backups_serve = do_backups_serve(pool);
    let mut concerned = pool
        .servers
        .iter()
        .filter(|server| server.weight > 0 && (backups_serve || !server.backup));
    let server = concerned
        .find(|server| matches!(server.state, State::Down | State::Unknown | State::Drain));
    let what = match server.map(|server| (server, server.state)) {
        Some((server, State::Down)) => format!("server {} is down", server.name),
        Some((server, State::Drain)) => format!("server {} is draining", server.name),
        Some((server, _)) => format!("server {} has not been checked yet", server.name),
        None if pool.usable() == 0 => "no server is usable".to_owned(),
        None => return None,
    };
    Some(what)
}

/// Whether backup servers get the new connections, for want of others.
fn do_backups_serve(pool: &PoolSnapshot) -> bool {
    let mut servers = pool.servers.iter();
    !servers.any(|server| !server.backup && server.usable())
}

/// What is next, while `away` clients that were moved have not come back.
pub(super) fn step(pool: &PoolSnapshot, away: u32, rate: u32) -> Step {
    if let Some(why) = obstacle(pool) {
        return Step::Pause(why);
    }
    let parts = parts(pool);
    let open: f64 = parts.iter().map(|part| part.open).sum();
    let shares = shares(&parts, open + f64::from(away));
    let outside =
        |open: &dyn Fn(usize) -> f64| (0..parts.len()).any(|at| is_far(open(at), shares[at]));
    if !outside(&|at| parts[at].open) {
        let starting = |server: &ServerStatus| server.throttle().is_some();
        return match pool.servers.iter().find(|server| starting(server)) {
            // Its share grows.
            Some(server) => Step::Pause(format!("server {} is in its slow start", server.name)),
            None => Step::Balanced,
        };
    }
    // As it will be when those who are away have come to where there is room for them.
    let missing = |at: usize| (shares[at] - parts[at].open).max(0.0);
    let all_missing: f64 = (0..parts.len()).map(missing).sum();
    let filled = |at: usize| match all_missing {
        0.0 => parts[at].open,
        all => parts[at].open + missing(at) * f64::from(away).min(all) / all,
    };
    if away >= rate.saturating_mul(AWAY_SECONDS) || !outside(&filled) {
        return Step::Await;
    }
    let surplus = |at: usize| (parts[at].open - shares[at]) / shares[at].max(1.0);
    let most = (0..parts.len()).max_by(|a, b| surplus(*a).total_cmp(&surplus(*b)));
    match most.filter(|at| surplus(*at) > 0.0) {
        Some(at) => Step::From(parts[at].index),
        None => Step::Await,
    }
}

/// The share of each server of the pool now, in the order of the file; `None` for servers that
/// take no part.
#[must_use]
pub fn shares_of(pool: &PoolSnapshot) -> Vec<Option<f64>> {
    let parts = parts(pool);
    let shares = shares(&parts, parts.iter().map(|part| part.open).sum());
    let mut all = vec![None; pool.servers.len()];
    for (part, share) in parts.iter().zip(shares) {
        all[part.index] = Some(share);
    }
    all
}

/// What a share follows from.
#[derive(Debug, Clone, PartialEq)]
struct Part {
    /// Of the server, in its pool.
    index: usize,
    open: f64,
    /// 0: it should have none.
    weight: f64,
    limit: f64,
}

/// The servers that have a share: those that are usable. Backups that have connections from worse
/// times have a share of nothing. One in maintenance, or of no weight, is left alone.
fn parts(pool: &PoolSnapshot) -> Vec<Part> {
    let backups_serve = do_backups_serve(pool);
    let usable = pool.servers.iter().enumerate();
    usable
        .filter(|(_, server)| server.usable())
        .map(|(index, server)| Part {
            index,
            open: server.open.now.into(),
            weight: match server.backup && !backups_serve {
                true => 0.0,
                false => server.effective_weight.into(),
            },
            limit: match server.open.limit {
                0 => f64::INFINITY,
                limit => limit.into(),
            },
        })
        .collect()
}

/// `total` by weight; what a server's limit keeps out goes to the others.
fn shares(parts: &[Part], total: f64) -> Vec<f64> {
    let mut shares = vec![0.0; parts.len()];
    let mut full = vec![false; parts.len()];
    // Each round but the last finds a server that is full.
    for _ in 0..=parts.len() {
        let taken: f64 = (0..parts.len())
            .filter(|at| full[*at])
            .map(|at| shares[at])
            .sum();
        let free = || (0..parts.len()).filter(|at| !full[*at]);
        let weights: f64 = free().map(|at| parts[at].weight).sum();
        let rest = (total - taken).max(0.0);
        let open: Vec<usize> = free().collect();
        let mut over = false;
        for at in open {
            let share = match weights {
                0.0 => 0.0,
                weights => rest * parts[at].weight / weights,
            };
            (shares[at], full[at]) = (share.min(parts[at].limit), share > parts[at].limit);
            over |= full[at];
        }
        if !over {
            break;
        }
    }
    shares
}

fn is_far(open: f64, share: f64) -> bool {
    let most = (share * (1.0 + TOLERANCE)).max(share.ceil());
    let least = (share * (1.0 - TOLERANCE)).min(share.floor());
    open > most || open < least
}

/// Who was moved and has not come back. Nobody knows a client again: whoever comes to the pool
/// counts as one of them.
#[derive(Debug, Default)]
pub(super) struct Returns {
    /// When connections were closed, those of the last [`RETURN`].
    recent: VecDeque<Instant>,
    /// How many before that.
    earlier: u64,
    /// Who has come since the beginning.
    arrivals: u64,
    /// The pool's count when it was last looked at.
    chosen: Option<u64>,
}

impl Returns {
    /// Notes a connection that was closed.
    pub(super) fn closed(&mut self, at: Instant) {
        self.recent.push_back(at);
    }

    /// Notes how many connections the pool's servers have got so far; a count that somebody has
    /// cleared begins anew.
    pub(super) fn look(&mut self, pool: &PoolSnapshot, now: Instant) {
        let chosen: u64 = pool.servers.iter().map(|server| server.chosen).sum();
        let before = self.chosen.replace(chosen).unwrap_or(chosen);
        self.arrivals += chosen.checked_sub(before).unwrap_or(chosen);
        while let Some(at) = self.recent.front()
            && now.saturating_duration_since(*at) >= RETURN
        {
            self.recent.pop_front();
            self.earlier += 1;
        }
    }

    /// How many were closed.
    pub(super) fn moved(&self) -> u64 {
        self.earlier + self.recent.len() as u64
    }

    /// How many may still come.
    pub(super) fn away(&self) -> u32 {
        let missing = self.moved().saturating_sub(self.arrivals);
        u32::try_from(missing.min(self.recent.len() as u64)).unwrap_or(u32::MAX)
    }

    /// How many will not come any more, if that is most of them.
    pub(super) fn lost(&self) -> Option<u64> {
        let lost = self.earlier.saturating_sub(self.arrivals);
        (lost >= FEW && lost * 2 > self.earlier).then_some(lost)
    }
}

#[cfg(test)]
mod tests;
