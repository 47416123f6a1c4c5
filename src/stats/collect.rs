//! Adding up: from the workers' counters and the pools to a [`Snapshot`].

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use nix::sys::resource::{UsageWho, getrusage};

use super::history::{Baseline, Clear, Flow, History, PoolHistory, PoolSample, Sample};
use super::snapshot::{
    AverageTimes, CONNECT_BOUNDS_US, CheckStatus, ConfigurationSnapshot, EndingCount,
    HeardSnapshot, Identity, LENGTH_BOUNDS_MS, Latency, Level, ListenerSnapshot,
    OtherMasterSnapshot, Percentiles, Pipes, PoolSnapshot, RemovedSnapshot, ServerStatus, Snapshot,
    ThreadSnapshot, VirtualRouterSnapshot, Within,
};
use super::totals::{ListenerTotals, PoolTotals, ServerTotals};
use super::{Averages, Latencies, Listener, Registry, Scene, WorkerCounters};
use crate::config::{self, Balance, CheckKind, Host};
use crate::pool::server::{CheckRecord, Health, ServerSnapshot, State};
use crate::pool::{Pool, Server};
use crate::proxy::account::Cause;
use crate::vrrp::receive::Refusal;
use crate::vrrp::status::RouterStatus;

/// Numbers stay readable when a thread that held the lock has panicked (in tests; the daemon
/// aborts).
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Milliseconds from `then` to `now`.
fn since(then: Instant, now: Instant) -> u64 {
    milliseconds(now.saturating_duration_since(then))
}

impl Registry {
    /// Moves rates and highest values on. The control thread calls this once per second.
    pub fn sample(&self, now: Instant) {
        let sample = sample(&self.scene(), now);
        lock(&self.history).sample(&sample, self.workers.len(), now);
    }

    /// Forgets highest values, or everything that is counted for listeners, pools and servers.
    pub fn clear(&self, clear: Clear) {
        let scene = self.scene();
        let mut history = lock(&self.history);
        history.clear(clear);
        self.connections.forget_max();
        scene.listeners.iter().for_each(|one| one.open.forget_max());
        scene.pools.iter().for_each(|pool| pool.clear(clear));
        if clear == Clear::Maxima {
            return;
        }
        history.baseline = Baseline {
            listeners: scene
                .listeners
                .iter()
                .map(|one| listener_totals(one))
                .collect(),
            servers: scene.servers.iter().map(|one| server_totals(one)).collect(),
            pools: scene.pools.iter().map(|pool| pool_totals(pool)).collect(),
            endings: (0..Cause::ALL.len())
                .map(|index| self.ended(index))
                .collect(),
        };
        for latencies in scene.pools.iter().flat_map(|pool| pool.latencies.iter()) {
            let mut latencies = lock(latencies);
            latencies.connect.reset();
            latencies.length.reset();
        }
    }

    /// Puts another scene in place of the one in force. What stays keeps its history.
    pub fn set_scene(&self, scene: Scene) {
        let before = self.scene();
        let mut history = lock(&self.history);
        history.rearrange(
            &moves(&before.listeners, &scene.listeners),
            &moves(&before.servers, &scene.servers),
            &moves(&before.pools, &scene.pools),
            &sample(&scene, Instant::now()),
        );
        self.maintenance.keep(&scene.servers);
        self.scene.store(Arc::new(scene));
    }

    /// Everything as of now. Takes each pool's lock and each histogram's once, for a moment.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let scene = self.scene();
        let history = lock(&self.history);
        let started_at = self.started_at.duration_since(UNIX_EPOCH);
        let time_of_day = SystemTime::now().duration_since(UNIX_EPOCH);
        let pools = self.pools(&scene, &history, now);
        let (drains, rebalances) = self.maintenance.snapshot(&pools, now);
        Snapshot {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            identity: match scene.config.admin.identity {
                config::Identity::Haproxy => Identity::Haproxy,
                config::Identity::Warren => Identity::Warren,
            },
            node: node_name(),
            pid: std::process::id(),
            started_at: started_at.map_or(0, |since_epoch| since_epoch.as_secs()),
            uptime_ms: since(self.started, now),
            taken_at_us: time_of_day.map_or(0, microseconds),
            workers: self.workers.len(),
            threads: self.threads(&scene),
            accepting: self.accepting.load(Ordering::Relaxed),
            stopping: self.stopping.load(Ordering::Relaxed),
            stuck: self.progress.stuck(),
            configuration: self.configuration(),
            connections: Level {
                now: self.connections.get(),
                max: self.connections.max(),
                limit: self.connections.limit(),
            },
            hard_limit: self.max_connections.load(Ordering::Relaxed),
            accept_rate: history.accepted.rate,
            max_accept_rate: self.rate.get(),
            session_rate: history.sessions.rate,
            bytes_out_rate: history.bytes_out.rate,
            spliced: self.sum(|worker| worker.spliced.get()),
            pipes: self.pipes(),
            descriptors: self.descriptors,
            logs_dropped: self.logs_dropped.load(Ordering::Relaxed),
            cpu_us: microseconds(process_cpu()),
            resident: resident(),
            idle_percent: history.idle_percent.unwrap_or(100),
            listeners: (0..scene.listeners.len())
                .map(|index| self.listener(&scene, index, &history))
                .collect(),
            pools,
            removed: removed(&scene),
            drains,
            rebalances,
            virtual_routers: self.virtual_routers(now),
            endings: self.endings(&history.baseline),
        }
    }

    fn threads(&self, scene: &Scene) -> Vec<ThreadSnapshot> {
        let workers = self.workers.iter().enumerate();
        let threads = workers.map(|(index, worker)| {
            let accepted = |one: &Arc<Listener>| one.counters.of(index).accepted.get();
            ThreadSnapshot {
                sweeps: worker.sweeps.get(),
                accepted: scene.listeners.iter().map(accepted).sum(),
            }
        });
        threads.collect()
    }

    fn configuration(&self) -> ConfigurationSnapshot {
        let reloads = self.reloads();
        let read_at = reloads.applied_at.duration_since(UNIX_EPOCH);
        ConfigurationSnapshot {
            read_at: read_at.map_or(0, |since_epoch| since_epoch.as_secs()),
            // A clock that was set back makes it new.
            age_ms: reloads.applied_at.elapsed().map_or(0, milliseconds),
            reloads: reloads.applied,
            reloads_refused: reloads.refused,
            error: reloads.error.clone(),
        }
    }

    fn virtual_routers(&self, now: Instant) -> Vec<VirtualRouterSnapshot> {
        let published = self.virtual_routers.load();
        let routers = published.iter();
        routers.map(|router| virtual_router(router, now)).collect()
    }

    fn sum(&self, number: impl Fn(&WorkerCounters) -> u64) -> u64 {
        self.workers.iter().map(|worker| number(worker)).sum()
    }

    fn pipes(&self) -> Pipes {
        let load = |worker: &WorkerCounters| {
            (
                worker.pipes_held.load(Ordering::Relaxed),
                worker.pipes_used.load(Ordering::Relaxed),
            )
        };
        let mut pipes = Pipes {
            refused: self.sum(|worker| worker.pipes_refused.get()),
            limit: self.max_pipes,
            ..Pipes::default()
        };
        for (held, used) in self.workers.iter().map(|worker| load(worker)) {
            pipes.used += used;
            pipes.free += held.saturating_sub(used);
        }
        pipes
    }

    /// How many connections ended for the cause of this number.
    fn ended(&self, cause: usize) -> u64 {
        self.sum(|worker| worker.endings[cause].get())
    }

    fn endings(&self, baseline: &Baseline) -> Vec<EndingCount> {
        let before = |index: usize| baseline.endings.get(index).copied().unwrap_or(0);
        let count = |index: usize| self.ended(index).saturating_sub(before(index));
        Cause::ALL
            .iter()
            .enumerate()
            .map(|(index, cause)| EndingCount {
                cause: cause.name().to_owned(),
                count: count(index),
            })
            .collect()
    }

    /// The most connections that a listener can hold.
    fn listener_limit(&self, listener: &Listener) -> u32 {
        let common = self.connections.limit();
        match listener.open.limit() {
            0 => common,
            own => own.min(common),
        }
    }

    fn listener(&self, scene: &Scene, index: usize, history: &History) -> ListenerSnapshot {
        let config = &scene.config.listeners[index];
        let listener = &scene.listeners[index];
        let flows = history.listeners.get(index);
        ListenerSnapshot {
            name: config.name.clone(),
            number: listener.number,
            addresses: config.bind.iter().map(ToString::to_string).collect(),
            pool: config.pool,
            paused: listener.open.is_closed(),
            open: Level {
                now: listener.open.get(),
                max: listener.open.max(),
                limit: self.listener_limit(listener),
            },
            accept_rate: flows.map_or_else(Default::default, |(accepted, _)| accepted.rate),
            max_accept_rate: config.max_accept_rate,
            session_rate: flows.map_or_else(Default::default, |(_, sessions)| sessions.rate),
            totals: listener_totals(listener).since(history.baseline.listeners.get(index)),
        }
    }

    fn pools(&self, scene: &Scene, history: &History, now: Instant) -> Vec<PoolSnapshot> {
        let mut first = 0;
        let pools = scene.pools.iter().enumerate();
        let pools = pools.map(|(index, pool)| {
            let listeners = scene.config.listeners.iter().zip(&scene.listeners);
            let limit = listeners
                .filter(|(config, _)| config.pool == index)
                .map(|(_, listener)| self.listener_limit(listener))
                .fold(0, u32::saturating_add)
                .min(self.connections.limit());
            let past = Past {
                pool: history.pools.get(index),
                servers: history.servers.get(first..).unwrap_or_default(),
                baseline: history.baseline.pools.get(index),
                server_baseline: history.baseline.servers.get(first..).unwrap_or_default(),
                started: self.started,
            };
            first += pool.setup().servers.len();
            pool_snapshot(pool, limit, &past, now)
        });
        pools.collect()
    }
}

/// By index in `after`: where the same thing was in `before`.
fn moves<T>(before: &[Arc<T>], after: &[Arc<T>]) -> Vec<Option<usize>> {
    let places: HashMap<_, _> = before.iter().map(Arc::as_ptr).zip(0..).collect();
    let places = after.iter().map(|one| places.get(&Arc::as_ptr(one)));
    places.map(Option::<&usize>::copied).collect()
}

fn listener_totals(listener: &Listener) -> ListenerTotals {
    let mut totals = ListenerTotals::default();
    listener.counters.iter().for_each(|one| totals.add(one));
    totals
}

fn server_totals(server: &Server) -> ServerTotals {
    let mut totals = ServerTotals::default();
    server.counters.iter().for_each(|one| totals.add(one));
    totals
}

fn pool_totals(pool: &Pool) -> PoolTotals {
    let mut totals = PoolTotals::default();
    pool.counters.iter().for_each(|one| totals.add(one));
    totals
}

fn sample(scene: &Scene, now: Instant) -> Sample {
    let listeners = scene.listeners.iter().map(|one| listener_totals(one));
    let listeners: Vec<_> = listeners.collect();
    let servers = scene.servers.iter();
    let pools = scene.pools.iter();
    Sample {
        accepted: listeners.iter().map(|totals| totals.accepted).collect(),
        sessions: listeners.iter().map(|totals| totals.sessions).collect(),
        servers: servers.map(|one| server_totals(one).sessions).collect(),
        pools: pools.map(|pool| sample_pool(pool, now)).collect(),
        bytes_out: listeners.iter().map(|totals| totals.bytes_out).collect(),
        cpu: process_cpu(),
    }
}

fn sample_pool(pool: &Pool, now: Instant) -> PoolSample {
    let servers = pool.snapshot(now);
    let open: u32 = servers.iter().map(|server| server.open).sum();
    PoolSample {
        sessions: pool_totals(pool).sessions,
        open: open.saturating_add(pool.queued().0),
        usable: servers
            .iter()
            .any(|server| server.state == State::Up && server.effective_weight > 0),
    }
}

/// What is remembered of one pool and its servers.
struct Past<'a> {
    pool: Option<&'a PoolHistory>,
    /// From its first server on.
    servers: &'a [Flow],
    baseline: Option<&'a PoolTotals>,
    /// From its first server on.
    server_baseline: &'a [ServerTotals],
    started: Instant,
}

fn pool_snapshot(pool: &Pool, limit: u32, past: &Past<'_>, now: Instant) -> PoolSnapshot {
    let setup = pool.setup();
    let config = &setup.config;
    let (waiting, waiting_max) = pool.queued();
    let states = setup.servers.iter().zip(pool.snapshot(now)).enumerate();
    let servers: Vec<ServerStatus> = states
        .map(|(index, (server, state))| {
            let totals = server_totals(server).since(past.server_baseline.get(index));
            server_status(server, state, totals, past.servers.get(index), now)
        })
        .collect();
    let open = servers.iter().map(|server| server.open.now).sum::<u32>() + waiting;
    // A burst between two samples is seen at least through the server that got most of it.
    let busiest = servers.iter().map(|server| server.open.max).max();
    let history = past.pool;
    PoolSnapshot {
        name: config.name.clone(),
        number: pool.number,
        balance: balance_name(config.balance).to_owned(),
        checked: config.check.kind != CheckKind::None,
        rise: config.check.rise,
        fall: config.check.fall,
        slow_start_ms: milliseconds(config.slow_start),
        open: Level {
            now: open,
            max: history
                .map_or(0, |history| history.open_max)
                .max(open)
                .max(busiest.unwrap_or(0)),
            limit,
        },
        queue: Level {
            now: waiting,
            max: waiting_max,
            limit: config.max_queue,
        },
        session_rate: history.map_or_else(Default::default, |past| past.sessions.rate),
        since_ms: since(
            history
                .and_then(|history| history.usable)
                .map_or(past.started, |(_, since)| since),
            now,
        ),
        downs: history.map_or(0, |history| history.downs),
        downtime_ms: history.map_or(0, |history| milliseconds(history.downtime(now))),
        last_session_ms: history
            .and_then(|history| history.sessions.grew_at)
            .map(|at| since(at, now)),
        totals: pool_totals(pool).since(past.baseline),
        averages: average_times(&pool.averages),
        latency: latency(pool),
        servers,
    }
}

/// Servers that are not in the configuration any more and have connections.
fn removed(scene: &Scene) -> Vec<RemovedSnapshot> {
    let mut removed = Vec::new();
    let mut add = |pool: &Pool, from: usize| {
        let servers = pool.connected(from).into_iter();
        removed.extend(servers.map(|(server, resolved, open)| RemovedSnapshot {
            pool: pool.name.to_string(),
            pool_number: pool.number,
            server: server.name.to_string(),
            number: server.number,
            address: server.address.to_string(),
            resolved,
            open,
        }));
    };
    for pool in &scene.pools {
        add(pool, pool.setup().servers.len());
    }
    scene.gone_pools().for_each(|pool| add(&pool, 0));
    removed
}

fn latency(pool: &Pool) -> Latency {
    let mut all = Latencies::new();
    for one in pool.latencies.iter() {
        let one = lock(one);
        // Every histogram has the same bounds, so adding cannot fail.
        let _ = all.connect.add(&one.connect);
        let _ = all.length.add(&one.length);
    }
    Latency {
        connect_us: percentiles(&all.connect),
        length_ms: percentiles(&all.length),
        connect_within: within(&all.connect, &CONNECT_BOUNDS_US),
        length_within: within(&all.length, &LENGTH_BOUNDS_MS),
    }
}

/// Counts the values up to each bound, and adds all up.
fn within(histogram: &Histogram<u64>, bounds: &[u64]) -> Within {
    let mut within = Within::default();
    for step in histogram.iter_recorded() {
        let (value, count) = (step.value_iterated_to(), step.count_at_value());
        let value = histogram.lowest_equivalent(value);
        within.sum = within.sum.saturating_add(value.saturating_mul(count));
        let reached = within.counts.iter_mut().zip(bounds);
        for (number, _) in reached.filter(|(_, bound)| value <= **bound) {
            *number += count;
        }
    }
    within
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    Percentiles {
        count: histogram.len(),
        p50: histogram.value_at_quantile(0.50),
        p90: histogram.value_at_quantile(0.90),
        p99: histogram.value_at_quantile(0.99),
        max: histogram.max(),
    }
}

fn average_times(averages: &Averages) -> AverageTimes {
    AverageTimes {
        queue_ms: averages.queue.average(),
        queue_max_ms: averages.queue.max(),
        connect_ms: averages.connect.average(),
        connect_max_ms: averages.connect.max(),
        total_ms: averages.total.average(),
        total_max_ms: averages.total.max(),
    }
}

fn server_status(
    server: &Server,
    state: ServerSnapshot,
    totals: ServerTotals,
    flow: Option<&Flow>,
    now: Instant,
) -> ServerStatus {
    let config = server.config();
    let configured = config.address.to_string();
    let address = state.address.map(|address| address.to_string());
    ServerStatus {
        name: config.name.clone(),
        number: server.number,
        overridden: state.overridden && address.as_ref() != Some(&configured),
        configured,
        host_name: match &config.address.host {
            Host::Ip(_) => None,
            Host::Name(name) => Some(name.clone()),
        },
        port: config.address.port,
        address: state.address,
        state: state.state,
        healthy: match state.health {
            Health::Unknown => None,
            Health::Up => Some(true),
            Health::Down => Some(false),
        },
        admin: state.admin,
        since_ms: since(state.since, now),
        backup: config.backup,
        configured_weight: config.weight,
        weight: state.weight,
        effective_weight: state.effective_weight,
        open: Level {
            now: state.open,
            max: state.open_max,
            limit: state.limit,
        },
        session_rate: flow.map_or_else(Default::default, |flow| flow.rate),
        last_session_ms: flow.and_then(|flow| flow.grew_at).map(|at| since(at, now)),
        chosen: state.leased_total,
        totals,
        averages: average_times(&server.averages),
        checks_stopped: server.checks_are_stopped(),
        check: state.check.map(|record| check_status(record, now)),
        checks_failed: state.checks_failed,
        downs: state.downs,
        downtime_ms: milliseconds(state.downtime),
    }
}

fn check_status(record: CheckRecord, now: Instant) -> CheckStatus {
    CheckStatus {
        code: record.result.code.name().to_owned(),
        passed: record.result.code.passed(),
        reply_code: record.result.reply_code,
        detail: record.result.detail,
        took_us: microseconds(record.result.took),
        age_ms: since(record.at, now),
        score: record.score,
    }
}

/// HAProxy's word for the algorithm.
const fn balance_name(balance: Balance) -> &'static str {
    match balance {
        Balance::Leastconn => "leastconn",
        Balance::Roundrobin => "roundrobin",
        Balance::Random => "random",
        Balance::Source => "source",
        Balance::First => "first",
    }
}

fn virtual_router(router: &RouterStatus, now: Instant) -> VirtualRouterSnapshot {
    let counters = &router.counters;
    let refused = Refusal::ALL.iter().zip(counters.refused);
    VirtualRouterSnapshot {
        name: router.name.clone(),
        interface: router.interface.clone(),
        router_id: router.router_id,
        version: match router.version {
            config::VrrpVersion::V2 => 2,
            config::VrrpVersion::V3 => 3,
        },
        advert_interval_ms: milliseconds(router.interval.duration()),
        addresses: router.addresses.iter().map(ToString::to_string).collect(),
        group: router.group.clone(),
        state: router.state.to_owned(),
        since_ms: since(router.since, now),
        why: router.why.clone(),
        waiting_for: router.waiting_for.clone(),
        base_priority: router.priority.base,
        preempt: router.preempt,
        preempt_delay_ms: milliseconds(router.preempt_delay),
        released: router.released,
        startup_delay_left_ms: router.claims_from.map_or(0, |from| since(now, from)),
        priority: router.priority.effective(),
        arithmetic: router.priority.to_string(),
        heard: router.heard.map(|heard| HeardSnapshot {
            from: heard.from.to_string(),
            priority: heard.priority,
            ago_ms: since(heard.at, now),
        }),
        other_master: router.other_master.map(|other| OtherMasterSnapshot {
            from: other.from.to_string(),
            for_ms: since(other.since, now),
            refused: other.refused.map(|why| why.name().to_owned()),
        }),
        sent: counters.sent,
        unsent: counters.unsent,
        received: counters.received,
        refused: refused
            .filter(|(_, count)| *count > 0)
            .map(|(why, count)| (why.name().to_owned(), count))
            .collect(),
        transitions: counters.transitions,
        became_master: counters.became_master,
        put_back: counters.put_back,
        cleared: counters.cleared,
        addresses_differ: counters.addresses_differ,
    }
}

/// What the process has in RAM, in bytes: the second number of /proc/self/statm, in pages.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    let page = page
        .ok()
        .flatten()
        .and_then(|size| u64::try_from(size).ok());
    pages.unwrap_or(0) * page.unwrap_or(0)
}

/// User and system time of all threads so far.
fn process_cpu() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
        return Duration::ZERO;
    };
    let micros = |time: nix::sys::time::TimeVal| {
        use nix::sys::time::TimeValLike;
        u64::try_from(time.num_microseconds()).unwrap_or(0)
    };
    Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time()))
}

/// The host's name; `unknown` when it has none that is text.
#[must_use]
pub fn node_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests;
