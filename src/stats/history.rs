//! *pure* What statistics can only know by looking once per second: rates, their highest values,
//! when something was last seen, how long a pool was down.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::totals::{ListenerTotals, PoolTotals, ServerTotals};

/// What `clear counters` forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clear {
    /// Highest values.
    Maxima,
    /// Those, and everything that is counted for listeners, pools and servers.
    All,
}

/// From where counters count since somebody cleared them: workers count on.
#[derive(Debug, Default)]
pub struct Baseline {
    /// By listener.
    pub listeners: Vec<ListenerTotals>,
    /// By server id.
    pub servers: Vec<ServerTotals>,
    /// By pool.
    pub pools: Vec<PoolTotals>,
    /// By ending.
    pub endings: Vec<u64>,
}

/// Events per second: over the last full second, and the highest so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Per second, over the time between the last two samples.
    pub now: u64,
    /// The highest `now` so far.
    pub max: u64,
}

/// A counter that is sampled.
#[derive(Debug, Default, Clone)]
pub struct Flow {
    total: u64,
    /// Its speed.
    pub rate: Rate,
    /// When it was last seen to have grown.
    pub grew_at: Option<Instant>,
}

impl Flow {
    /// One that has counted before it is sampled for the first time.
    pub(super) fn from_total(total: u64) -> Self {
        Self {
            total,
            ..Self::default()
        }
    }

    fn clear(&mut self, clear: Clear) {
        self.rate.max = 0;
        if clear == Clear::All {
            self.grew_at = None;
        }
    }

    fn sample(&mut self, total: u64, now: Instant, elapsed: Duration) {
        let growth = total.saturating_sub(self.total);
        if growth > 0 {
            self.grew_at = Some(now);
        }
        self.total = total;
        self.rate.now = per_second(growth, elapsed);
        self.rate.max = self.rate.max.max(self.rate.now);
    }
}

/// `count` in `elapsed`, as a number per second, rounded; 0 when no time has passed.
fn per_second(count: u64, elapsed: Duration) -> u64 {
    let millis = elapsed.as_millis();
    let Some(rate) = (u128::from(count) * 1000 + millis / 2).checked_div(millis) else {
        return 0;
    };
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// A pool as the BACKEND row shows it.
#[derive(Debug, Default, Clone)]
pub struct PoolHistory {
    /// Connections that asked for a server.
    pub sessions: Flow,
    /// Most connections at once, waiting ones included, as of the samples.
    pub open_max: u32,
    /// Whether it had a usable server, and since when; `None` before the first sample.
    pub usable: Option<(bool, Instant)>,
    /// Times it lost its last usable server.
    pub downs: u64,
    /// Time without a usable server, up to the last change.
    downtime: Duration,
}

impl PoolHistory {
    fn sample(&mut self, sample: &PoolSample, now: Instant, elapsed: Duration) {
        self.sessions.sample(sample.sessions, now, elapsed);
        self.open_max = self.open_max.max(sample.open);
        match self.usable {
            Some((was, _)) if was == sample.usable => {}
            Some((was, since)) => {
                if was {
                    self.downs += 1;
                } else {
                    self.downtime += now.saturating_duration_since(since);
                }
                self.usable = Some((sample.usable, now));
            }
            None => self.usable = Some((sample.usable, now)),
        }
    }

    /// Time without a usable server until `now`.
    #[must_use]
    pub fn downtime(&self, now: Instant) -> Duration {
        match self.usable {
            Some((false, since)) => self.downtime + now.saturating_duration_since(since),
            _ => self.downtime,
        }
    }
}

/// One pool at the moment of a sample.
#[derive(Debug, Default, Clone)]
pub struct PoolSample {
    /// Connections that asked for a server so far.
    pub sessions: u64,
    /// Connections open or waiting.
    pub open: u32,
    /// Whether it has a usable server.
    pub usable: bool,
}

/// The totals at the moment of a sample.
#[derive(Debug, Default, Clone)]
pub struct Sample {
    /// Connections accepted, by listener.
    pub accepted: Vec<u64>,
    /// Connections that passed the lists, by listener.
    pub sessions: Vec<u64>,
    /// Connections relayed, by server id.
    pub servers: Vec<u64>,
    /// By pool.
    pub pools: Vec<PoolSample>,
    /// Bytes sent to clients, by listener.
    pub bytes_out: Vec<u64>,
    /// CPU time of the whole process.
    pub cpu: Duration,
}

/// Everything that is derived from samples.
#[derive(Debug, Default)]
pub struct History {
    sampled_at: Option<Instant>,
    cpu: Duration,
    /// Share of the workers' CPU time that was left over, in percent; `None` before two samples.
    pub idle_percent: Option<u8>,
    /// Connections accepted, all listeners together.
    pub accepted: Flow,
    /// Connections that passed the lists, all listeners together.
    pub sessions: Flow,
    /// Bytes sent to clients.
    pub bytes_out: Flow,
    /// By listener: connections accepted, connections that passed the lists.
    pub listeners: Vec<(Flow, Flow)>,
    /// By server id: connections relayed.
    pub servers: Vec<Flow>,
    /// By pool.
    pub pools: Vec<PoolHistory>,
    /// From where the counters count.
    pub baseline: Baseline,
}

impl History {
    /// Forgets highest values, or also when something was last seen to grow. How often and how long
    /// pools were down stays, as with HAProxy.
    pub fn clear(&mut self, clear: Clear) {
        let listeners = self.listeners.iter_mut();
        let listeners = listeners.flat_map(|(accepted, sessions)| [accepted, sessions]);
        let pools = self.pools.iter_mut().map(|pool| {
            pool.open_max = 0;
            &mut pool.sessions
        });
        [&mut self.accepted, &mut self.sessions, &mut self.bytes_out]
            .into_iter()
            .chain(listeners)
            .chain(&mut self.servers)
            .chain(pools)
            .for_each(|flow| flow.clear(clear));
    }

    /// Listeners, servers and pools have other places from now on. For each of those that there are
    /// now: where it was, or `None` if it is new. What is new may have been removed and be there
    /// again, and counts on: `sample` tells from where.
    pub fn rearrange(
        &mut self,
        listeners: &[Option<usize>],
        servers: &[Option<usize>],
        pools: &[Option<usize>],
        sample: &Sample,
    ) {
        rearrange(&mut self.listeners, listeners);
        for index in new(listeners) {
            let (accepted, sessions) = (sample.accepted[index], sample.sessions[index]);
            self.listeners[index] = (Flow::from_total(accepted), Flow::from_total(sessions));
            self.accepted.total += accepted;
            self.sessions.total += sessions;
            self.bytes_out.total += sample.bytes_out[index];
        }
        rearrange(&mut self.servers, servers);
        for index in new(servers) {
            self.servers[index] = Flow::from_total(sample.servers[index]);
        }
        rearrange(&mut self.pools, pools);
        for index in new(pools) {
            self.pools[index].sessions = Flow::from_total(sample.pools[index].sessions);
        }
        rearrange(&mut self.baseline.listeners, listeners);
        rearrange(&mut self.baseline.servers, servers);
        rearrange(&mut self.baseline.pools, pools);
    }

    /// Takes the totals of `now`; to be called once per second. The first sample only sets the
    /// marks from which the next one measures.
    pub fn sample(&mut self, sample: &Sample, workers: usize, now: Instant) {
        let elapsed = self
            .sampled_at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if !elapsed.is_zero() {
            let used = sample.cpu.saturating_sub(self.cpu);
            self.idle_percent = Some(idle_percent(used, elapsed, workers));
        }
        self.sampled_at = Some(now);
        self.cpu = sample.cpu;

        let accepted = sample.accepted.iter().sum();
        let sessions = sample.sessions.iter().sum();
        self.accepted.sample(accepted, now, elapsed);
        self.sessions.sample(sessions, now, elapsed);
        let bytes_out = sample.bytes_out.iter().sum();
        self.bytes_out.sample(bytes_out, now, elapsed);
        self.listeners
            .resize_with(sample.accepted.len(), Default::default);
        for (index, (accepted, sessions)) in self.listeners.iter_mut().enumerate() {
            accepted.sample(sample.accepted[index], now, elapsed);
            sessions.sample(sample.sessions[index], now, elapsed);
        }
        self.servers
            .resize_with(sample.servers.len(), Default::default);
        for (flow, total) in self.servers.iter_mut().zip(&sample.servers) {
            flow.sample(*total, now, elapsed);
        }
        self.pools.resize_with(sample.pools.len(), Default::default);
        for (pool, sample) in self.pools.iter_mut().zip(&sample.pools) {
            pool.sample(sample, now, elapsed);
        }
    }
}

/// The places of what was not there before.
fn new(moves: &[Option<usize>]) -> impl Iterator<Item = usize> {
    let places = moves.iter().enumerate();
    places.filter_map(|(place, from)| from.is_none().then_some(place))
}

/// What was not there before begins as [`Default`].
fn rearrange<T: Clone + Default>(list: &mut Vec<T>, moves: &[Option<usize>]) {
    let moved = |from: &Option<usize>| from.and_then(|from| list.get(from).cloned());
    *list = moves
        .iter()
        .map(|from| moved(from).unwrap_or_default())
        .collect();
}

fn idle_percent(used: Duration, elapsed: Duration, workers: usize) -> u8 {
    let available = elapsed.as_micros() * workers.max(1) as u128;
    let idle = available.saturating_sub(used.as_micros());
    // At most 100, so it fits.
    u8::try_from((idle * 100).checked_div(available).unwrap_or(100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn sample(sessions: u64, usable: bool) -> Sample {
        Sample {
            accepted: vec![sessions],
            sessions: vec![sessions],
            servers: vec![sessions],
            pools: vec![PoolSample {
                sessions,
                open: 3,
                usable,
            }],
            bytes_out: vec![sessions * 1000],
            cpu: Duration::from_millis(sessions * 10),
        }
    }

    #[test]
    fn a_rate_is_the_growth_between_two_samples_scaled_to_a_second() {
        let start = Instant::now();
        let mut history = History::default();
        history.sample(&sample(50, true), 1, start);
        assert_eq!(history.sessions.rate, Rate { now: 0, max: 0 });
        history.sample(&sample(90, true), 1, start + second(2));
        assert_eq!(history.sessions.rate, Rate { now: 20, max: 20 });
        assert_eq!(
            history.bytes_out.rate,
            Rate {
                now: 20_000,
                max: 20_000
            }
        );
        history.sample(&sample(91, true), 1, start + second(3));
        assert_eq!(history.servers[0].rate, Rate { now: 1, max: 20 });
        assert_eq!(history.servers[0].grew_at, Some(start + second(3)));
    }

    #[test]
    fn two_samples_in_the_same_moment_are_no_division_by_zero() {
        let start = Instant::now();
        let mut history = History::default();
        history.sample(&sample(1, true), 1, start);
        history.sample(&sample(9, true), 1, start);
        assert_eq!(history.accepted.rate.now, 0);
    }

    #[test]
    fn idle_is_what_the_workers_did_not_use() {
        let start = Instant::now();
        let mut history = History::default();
        history.sample(&sample(0, true), 2, start);
        // 0.5 s of CPU in 1 s of two workers.
        history.sample(&sample(50, true), 2, start + second(1));
        assert_eq!(history.idle_percent, Some(75));
        assert_eq!(idle_percent(second(5), second(1), 2), 0);
    }

    #[test]
    fn a_pool_that_starts_without_servers_has_not_gone_down() {
        let start = Instant::now();
        let mut history = History::default();
        history.sample(&sample(0, false), 1, start);
        history.sample(&sample(0, true), 1, start + second(2));
        assert_eq!(history.pools[0].downs, 0);
        assert_eq!(history.pools[0].downtime(start + second(9)), second(2));
        history.sample(&sample(0, false), 1, start + second(10));
        assert_eq!(history.pools[0].downs, 1);
        assert_eq!(history.pools[0].downtime(start + second(13)), second(5));
    }
}
