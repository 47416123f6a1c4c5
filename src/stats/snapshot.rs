//! *pure* Everything that is known at one moment, as plain data. The status command, the stats
//! socket and every other reader are fed by it.
//!
//! The JSON of `warren status --json` is this, field by field: names are stable, durations carry
//! their unit in the name, absent values are `null`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod maintenance;
mod pieces;
mod removed;

pub use maintenance::{DrainSnapshot, DrainStage, RebalanceSnapshot, RebalanceStage};
pub use pieces::Pieces;
pub use removed::RemovedSnapshot;

use super::history::Rate;
use super::totals::{ListenerTotals, PoolTotals, ServerTotals};
use crate::pool::server::{Admin, State};

/// The whole daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Version of warren.
    pub version: String,
    /// What `show info` calls the product.
    pub identity: Identity,
    /// Name of this host.
    pub node: String,
    /// Process id.
    pub pid: u32,
    /// Seconds since the epoch at which the daemon started.
    pub started_at: u64,
    /// How long it runs.
    pub uptime_ms: u64,
    /// Microseconds since the epoch at which this was taken, by the clock of that moment.
    pub taken_at_us: u64,
    /// Worker threads.
    pub workers: usize,
    /// What each of them has done.
    pub threads: Vec<ThreadSnapshot>,
    /// The first checks are in, and clients are accepted.
    #[serde(default)]
    pub accepting: bool,
    /// It does not accept any more.
    pub stopping: bool,
    /// The thread that makes no progress, in words.
    #[serde(default)]
    pub stuck: Option<String>,
    /// The configuration in force.
    pub configuration: ConfigurationSnapshot,
    /// Open connections.
    pub connections: Level,
    /// What the limit of `connections` was at the start; it can be set lower.
    pub hard_limit: u32,
    /// Connections accepted per second.
    pub accept_rate: Rate,
    /// The limit on `accept_rate`; 0: none but those of listeners.
    pub max_accept_rate: u32,
    /// Connections that passed the lists per second.
    pub session_rate: Rate,
    /// Bytes to clients per second.
    pub bytes_out_rate: Rate,
    /// Bytes that went through splice.
    pub spliced: u64,
    /// Pipes for splice.
    pub pipes: Pipes,
    /// The descriptor limit.
    pub descriptors: u64,
    /// Log lines that were dropped.
    pub logs_dropped: u64,
    /// Processor time of the whole process since it started.
    #[serde(default)]
    pub cpu_us: u64,
    /// Memory that the process has in RAM, in bytes; 0: not known.
    #[serde(default)]
    pub resident: u64,
    /// Share of the workers' CPU time left over during the last second, in percent.
    pub idle_percent: u8,
    /// In the order of the configuration.
    pub listeners: Vec<ListenerSnapshot>,
    /// In the order of the configuration.
    pub pools: Vec<PoolSnapshot>,
    /// Servers that a reload has removed and that have connections.
    #[serde(default)]
    pub removed: Vec<RemovedSnapshot>,
    /// Servers that are being emptied, or were, until they are ready again.
    pub drains: Vec<DrainSnapshot>,
    /// The latest rebalance of each pool that had one.
    pub rebalances: Vec<RebalanceSnapshot>,
    /// In the order of the configuration.
    pub virtual_routers: Vec<VirtualRouterSnapshot>,
    /// Every documented ending with its count, in the order of their numbers.
    pub endings: Vec<EndingCount>,
}

/// What a worker has done so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadSnapshot {
    /// Times it looked after its connections, once a second.
    pub sweeps: u64,
    /// Connections it accepted.
    pub accepted: u64,
}

/// How old the configuration in force is, and whether the file is still it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationSnapshot {
    /// Seconds since the epoch at which it was read.
    pub read_at: u64,
    /// Milliseconds since then.
    pub age_ms: u64,
    /// Reloads that were applied.
    pub reloads: u64,
    /// Reloads that were refused.
    pub reloads_refused: u64,
    /// Why the last reload was refused; `None` when it was applied.
    pub error: Option<String>,
}

impl Snapshot {
    /// The servers of all pools, or of the one of that index, each with its pool.
    pub(super) fn servers(
        &self,
        only: Option<usize>,
    ) -> impl Iterator<Item = (&PoolSnapshot, &ServerStatus)> {
        let pools = match only {
            None => &self.pools[..],
            Some(index) => std::slice::from_ref(&self.pools[index]),
        };
        pools
            .iter()
            .flat_map(|pool| pool.servers.iter().map(move |server| (pool, server)))
    }

    /// What is wrong now, one line each; empty when all is well. Servers that an operator took out
    /// of rotation are not wrong, as long as their pool has another usable one. A listener that an
    /// operator closed is: its clients are refused.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.stopping {
            problems.push("the daemon is stopping".to_owned());
        }
        problems.extend(self.stuck.clone());
        if let Some(error) = &self.configuration.error {
            problems.push(format!("the last reload was refused: {error}"));
        }
        for router in &self.virtual_routers {
            if let Some(problem) = router.problem() {
                problems.push(format!("virtual router {} {problem}", router.name));
            }
        }
        for listener in self.listeners.iter().filter(|one| one.paused) {
            problems.push(format!("listener {} is disabled", listener.name));
        }
        for drain in self
            .drains
            .iter()
            .filter(|one| one.stage == DrainStage::Late)
        {
            let (pool, server, open) = (&drain.pool, &drain.server, drain.open);
            problems.push(format!(
                "drain of {pool}/{server}: {open} connections do not end"
            ));
        }
        for pool in &self.pools {
            if pool.usable() == 0 {
                problems.push(format!("pool {} has no usable server", pool.name));
            }
            for server in &pool.servers {
                let what = match server.state {
                    State::Down => "is down",
                    State::Unknown => "has not been checked yet",
                    State::Up | State::Drain | State::Maint => continue,
                };
                problems.push(format!("server {}/{} {what}", pool.name, server.name));
            }
        }
        problems
    }
}

/// What `show info` calls the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Identity {
    Haproxy,
    Warren,
}

/// A level with its highest value and its limit.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Now.
    pub now: u32,
    /// Highest so far.
    pub max: u32,
    /// 0: none.
    pub limit: u32,
}

/// Pipes for splice, all workers together.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipes {
    /// In use.
    pub used: u32,
    /// Open and not in use.
    pub free: u32,
    /// Times one was wanted and there was none.
    pub refused: u64,
    /// Pipes that may be held at most.
    pub limit: u32,
}

/// One virtual router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualRouterSnapshot {
    /// Its table key.
    pub name: String,
    /// Its interface.
    pub interface: String,
    /// VRID.
    pub router_id: u8,
    /// Version of VRRP.
    pub version: u8,
    /// Time between two of its advertisements.
    pub advert_interval_ms: u64,
    /// The virtual addresses.
    pub addresses: Vec<String>,
    /// The virtual routers that it moves with.
    pub group: Option<String>,
    /// `init`, `backup`, `master`, `leaving` or `stopped`.
    pub state: String,
    /// How long it is in this state.
    pub since_ms: u64,
    /// Why.
    pub why: String,
    /// What it waits for while it is out of the election.
    pub waiting_for: Option<String>,
    /// As configured.
    pub base_priority: u8,
    /// It takes the addresses from a working master of lower priority.
    pub preempt: bool,
    /// How long it leaves such a master alone.
    pub preempt_delay_ms: u64,
    /// An operator has given the addresses to another node, and it has not been master since: until
    /// then it leaves a master alone as without `preempt`.
    #[serde(default)]
    pub released: bool,
    /// How long `startup_delay` keeps it from claiming the addresses still.
    #[serde(default)]
    pub startup_delay_left_ms: u64,
    /// What it advertises, or would.
    pub priority: u8,
    /// How the second came from the first: `150 - 50 = 100: pool rabbit has no usable server`.
    pub arithmetic: String,
    /// The other router that was heard last.
    pub heard: Option<HeardSnapshot>,
    /// Another node that is master as well and does not give way.
    pub other_master: Option<OtherMasterSnapshot>,
    /// Advertisements sent.
    pub sent: u64,
    /// Advertisements that could not be sent.
    pub unsent: u64,
    /// Advertisements received and believed.
    pub received: u64,
    /// Packets refused, by the documented name of the reason.
    pub refused: BTreeMap<String, u64>,
    /// Changes of state.
    pub transitions: u64,
    /// Times it became master.
    pub became_master: u64,
    /// Times that somebody removed an address and it was put back.
    pub put_back: u64,
    /// Times that somebody put an address on the interface of a node that was not master, and it
    /// was removed.
    pub cleared: u64,
    /// Advertisements whose addresses were not quite ours.
    pub addresses_differ: u64,
}

impl VirtualRouterSnapshot {
    /// What is wrong with it now, to be read after its name.
    pub(super) fn problem(&self) -> Option<String> {
        let other = self.other_master.as_ref();
        self.absence()
            .or_else(|| other.map(|other| format!("is not the only master: {other}")))
    }

    /// Why it is out of the election, to be read after its name.
    pub(super) fn absence(&self) -> Option<String> {
        if let Some(what) = &self.waiting_for {
            return Some(format!("waits for {what}"));
        }
        matches!(self.state.as_str(), "init" | "stopped")
            .then(|| format!("is out of the election: {}", self.why))
    }
}

/// Another router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardSnapshot {
    /// Its address.
    pub from: String,
    /// Its priority.
    pub priority: u8,
    /// How long ago.
    pub ago_ms: u64,
}

/// Another master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherMasterSnapshot {
    /// Its address.
    pub from: String,
    /// How long we hear it.
    pub for_ms: u64,
    /// The documented name of the reason why what it says is refused, if it is.
    pub refused: Option<String>,
}

impl std::fmt::Display for OtherMasterSnapshot {
    /// `192.0.2.12 does not give way`, and why.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.refused {
            None => write!(f, "{} does not give way", self.from),
            Some(why) => write!(f, "what {} says is refused ({why})", self.from),
        }
    }
}

/// How often connections ended in one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndingCount {
    /// Documented name.
    pub cause: String,
    /// Connections.
    pub count: u64,
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerSnapshot {
    /// Its table key.
    pub name: String,
    /// HAProxy's `iid`: see [`super::numbers`].
    #[serde(default)]
    pub number: usize,
    /// Configured addresses.
    pub addresses: Vec<String>,
    /// Index of its pool.
    pub pool: usize,
    /// An operator has closed it.
    pub paused: bool,
    /// Open connections; the limit is its own or, without one, the daemon's.
    pub open: Level,
    /// Connections accepted per second.
    pub accept_rate: Rate,
    /// The limit on `accept_rate`; 0: none.
    pub max_accept_rate: u32,
    /// Connections that passed the lists per second.
    pub session_rate: Rate,
    /// Counters.
    #[serde(flatten)]
    pub totals: ListenerTotals,
}

/// One pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSnapshot {
    /// Its table key.
    pub name: String,
    /// HAProxy's `iid`: see [`super::numbers`].
    #[serde(default)]
    pub number: usize,
    /// Configured algorithm, in HAProxy's words, which are ours too.
    pub balance: String,
    /// Whether its servers are checked.
    pub checked: bool,
    /// Good checks in a row until up.
    pub rise: u32,
    /// Bad checks in a row until down.
    pub fall: u32,
    /// How long a server that came back takes to reach its full share.
    pub slow_start_ms: u64,
    /// Connections open or waiting; the limit is the sum of the limits of its listeners.
    pub open: Level,
    /// Connections waiting for a server.
    pub queue: Level,
    /// Connections that asked for a server per second.
    pub session_rate: Rate,
    /// How long since it won or lost its last usable server.
    pub since_ms: u64,
    /// Times it lost its last usable server.
    pub downs: u64,
    /// How long it was without a usable server in all.
    pub downtime_ms: u64,
    /// How long since a connection last asked for a server; `null`: never.
    pub last_session_ms: Option<u64>,
    /// Counters that belong to no server.
    #[serde(flatten)]
    pub totals: PoolTotals,
    /// HAProxy's sliding averages.
    pub averages: AverageTimes,
    /// Since the start.
    pub latency: Latency,
    /// In the order of the configuration.
    pub servers: Vec<ServerStatus>,
}

impl PoolSnapshot {
    /// Whether this server of it is checked.
    #[must_use]
    pub fn checks(&self, server: &ServerStatus) -> bool {
        self.checked && !server.checks_stopped
    }

    /// How many of its servers take new connections, backup servers included.
    #[must_use]
    pub fn usable(&self) -> usize {
        self.servers.iter().filter(|server| server.usable()).count()
    }

    /// How many take new connections of those that are backup servers, or are not.
    pub(super) fn usable_of(&self, backup: bool) -> usize {
        let servers = self.servers.iter();
        servers
            .filter(|server| server.usable() && server.backup == backup)
            .count()
    }

    /// The weights of the servers in use together. Backup servers count only while they are the
    /// ones in use.
    pub(super) fn weight(&self) -> u32 {
        let backup = self.usable_of(false) == 0;
        let servers = self.servers.iter();
        servers
            .filter(|server| server.usable() && server.backup == backup)
            .map(|server| u32::from(server.effective_weight))
            .sum()
    }

    /// The counters of all its servers together.
    pub(super) fn sums(&self) -> ServerTotals {
        self.servers
            .iter()
            .map(|server| server.totals.clone())
            .sum()
    }

    /// Connections that no server was found for.
    pub(super) fn refused(&self) -> u64 {
        self.totals.no_server + self.totals.queue_full + self.totals.queue_timeout
    }
}

/// HAProxy's sliding averages over about 1,024 connections and the highest values, in milliseconds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct AverageTimes {
    pub queue_ms: u64,
    pub queue_max_ms: u64,
    pub connect_ms: u64,
    pub connect_max_ms: u64,
    pub total_ms: u64,
    pub total_max_ms: u64,
}

/// Latencies of a pool since the start.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Connecting to a server, in microseconds.
    pub connect_us: Percentiles,
    /// From accept to end, in milliseconds; connections that are still open are not in it.
    pub length_ms: Percentiles,
    /// How many took at most as long as each of [`CONNECT_BOUNDS_US`].
    #[serde(default)]
    pub connect_within: Within,
    /// How many were at most as long as each of [`LENGTH_BOUNDS_MS`].
    #[serde(default)]
    pub length_within: Within,
}

/// Bounds of the histogram of connect times, in microseconds: 100 us to 10 s.
pub const CONNECT_BOUNDS_US: [u64; BOUNDS] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// Bounds of the histogram of lengths, in milliseconds: 10 ms to a week, since AMQP connections
/// live long.
pub const LENGTH_BOUNDS_MS: [u64; BOUNDS] = [
    10,
    50,
    100,
    500,
    1_000,
    5_000,
    10_000,
    30_000,
    60_000,
    300_000,
    900_000,
    3_600_000,
    14_400_000,
    43_200_000,
    86_400_000,
    604_800_000,
];

const BOUNDS: usize = 16;

/// A histogram with a few fixed bounds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Within {
    /// By bound: how many values are not above it. Values are known to two digits, so one within a
    /// hundredth of a bound may be on its other side.
    pub counts: [u64; BOUNDS],
    /// All values together, to two digits each.
    pub sum: u64,
}

/// How values are spread.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Percentiles {
    pub count: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub max: u64,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its table key.
    pub name: String,
    /// HAProxy's `sid`: see [`super::numbers`].
    #[serde(default)]
    pub number: usize,
    /// The address as configured.
    pub configured: String,
    /// The host name, when the configuration has one.
    pub host_name: Option<String>,
    /// TCP port as configured.
    pub port: u16,
    /// Where it listens now; `null` while its name does not resolve.
    pub address: Option<std::net::SocketAddr>,
    /// An operator has set `address`, and it is another one than in the configuration.
    #[serde(default)]
    pub overridden: bool,
    /// Health and the operator's will together.
    pub state: State,
    /// What the check alone says: `null` before the first one.
    pub healthy: Option<bool>,
    /// The operator's will alone.
    pub admin: Admin,
    /// How long it is in this state.
    pub since_ms: u64,
    /// Used only when no other server is usable.
    pub backup: bool,
    /// Weight in the configuration.
    pub configured_weight: u16,
    /// Weight now, as configured or set.
    pub weight: u16,
    /// Weight now, slow start included.
    pub effective_weight: u16,
    /// Open connections.
    pub open: Level,
    /// Connections per second.
    pub session_rate: Rate,
    /// How long since it last got a connection; `null`: never.
    pub last_session_ms: Option<u64>,
    /// Connections that it was chosen for.
    pub chosen: u64,
    /// Counters.
    #[serde(flatten)]
    pub totals: ServerTotals,
    /// HAProxy's sliding averages.
    pub averages: AverageTimes,
    /// An operator has stopped its checks.
    pub checks_stopped: bool,
    /// The last finished check.
    pub check: Option<CheckStatus>,
    /// Failed checks while up.
    pub checks_failed: u64,
    /// Times it went down.
    pub downs: u64,
    /// How long it was down in all.
    pub downtime_ms: u64,
}

impl ServerStatus {
    /// Its IP address as HAProxy writes it, `-` while it has none, and its TCP port.
    pub(super) fn ip_and_port(&self) -> (String, u16) {
        self.address.map_or_else(
            || ("-".to_owned(), self.port),
            |address| (address.ip().to_string(), address.port()),
        )
    }

    /// Whether it takes new connections.
    #[must_use]
    pub fn usable(&self) -> bool {
        self.state == State::Up && self.effective_weight > 0
    }

    /// Percent of its weight during slow start; `None` outside of it.
    #[must_use]
    pub fn throttle(&self) -> Option<u32> {
        (self.state == State::Up && self.effective_weight < self.weight)
            .then(|| u32::from(self.effective_weight) * 100 / u32::from(self.weight))
    }
}

/// The last finished check of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckStatus {
    /// HAProxy's abbreviation.
    pub code: String,
    /// Whether it passed.
    pub passed: bool,
    /// HTTP status or AMQP reply code.
    pub reply_code: Option<u16>,
    /// In its own words.
    pub detail: String,
    /// How long it took.
    pub took_us: u64,
    /// How long ago it ended.
    pub age_ms: u64,
    /// 0 to rise − 1 while down, rise to rise + fall − 1 while up.
    pub score: u32,
}
