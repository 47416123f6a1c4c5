//! *pure* The families that HAProxy has no names for: the virtual address, splice, why connections
//! ended, how long they took.

use super::Value::{Micros, Millis, Whole};
use super::{About, Each, Family, Kind, Lines, Value};
use crate::stats::readiness;
use crate::stats::snapshot::{CONNECT_BOUNDS_US, LENGTH_BOUNDS_MS, VirtualRouterSnapshot, Within};

/// All of them.
pub(super) const FAMILIES: [&[Family]; 4] = [&DAEMON, &CONFIGURATION, &TRAFFIC, &ROUTERS];

const ROUTER_STATES: [&str; 5] = ["init", "backup", "master", "leaving", "stopped"];

const fn family(name: &'static str, kind: Kind, words: &'static str, each: Each) -> Family {
    Family {
        name,
        kind,
        about: About::Words(words),
        each,
    }
}

const fn counter(name: &'static str, words: &'static str, each: Each) -> Family {
    family(name, Kind::Counter, words, each)
}

const fn gauge(name: &'static str, words: &'static str, each: Each) -> Family {
    family(name, Kind::Gauge, words, each)
}

/// Where the configuration in force came from, and whether the file is still it.
const CONFIGURATION: [Family; 3] = [
    gauge(
        "warren_config_last_reload_successful",
        "1 if the configuration that was last read is in force",
        Each::Process(|d, to| to.put(d.configuration.error.is_none())),
    ),
    gauge(
        "warren_config_last_reload_success_timestamp_seconds",
        "when the configuration in force was read, in seconds since 1970",
        Each::Process(|d, to| to.put(d.configuration.read_at)),
    ),
    counter(
        "warren_config_reloads_total",
        "times it was told to read the configuration again, by what came of it",
        Each::Process(|d, to| {
            to.put_of("result", "applied", d.configuration.reloads);
            to.put_of("result", "refused", d.configuration.reloads_refused);
        }),
    ),
];

const DAEMON: [Family; 12] = [
    gauge(
        "warren_build_info",
        "the version",
        Each::Process(|d, to| to.put_of("version", &d.version, true)),
    ),
    gauge(
        "warren_ready",
        "1 if this node would serve, as /readyz says",
        Each::Process(|d, to| to.put(readiness::obstacles(d).is_empty())),
    ),
    gauge(
        "warren_workers",
        "worker threads",
        Each::Process(|d, to| to.put(d.workers)),
    ),
    counter(
        "warren_connections_ended_total",
        "connections by how they ended, in the words of the log",
        Each::Process(|d, to| {
            for ending in &d.endings {
                to.put_of("ending", &ending.cause, ending.count);
            }
        }),
    ),
    counter(
        "warren_spliced_bytes_total",
        "bytes that went through splice",
        Each::Process(|d, to| to.put(d.spliced)),
    ),
    gauge(
        "warren_pipes",
        "pipes for splice that are open",
        Each::Process(|d, to| {
            to.put_of("state", "used", d.pipes.used);
            to.put_of("state", "free", d.pipes.free);
        }),
    ),
    counter(
        "warren_pipes_refused_total",
        "times a pipe was wanted and there was none",
        Each::Process(|d, to| to.put(d.pipes.refused)),
    ),
    counter(
        "warren_log_lines_dropped_total",
        "log lines lost because the sink was slow or broken",
        Each::Process(|d, to| to.put(d.logs_dropped)),
    ),
    counter(
        "process_cpu_seconds_total",
        "processor time of the process",
        Each::Process(|d, to| to.put(Micros(d.cpu_us))),
    ),
    gauge(
        "process_resident_memory_bytes",
        "memory of the process that is in RAM",
        Each::Process(|d, to| to.put(d.resident)),
    ),
    gauge(
        "process_max_fds",
        "limit on file descriptors",
        Each::Process(|d, to| to.put(d.descriptors)),
    ),
    gauge(
        "process_start_time_seconds",
        "when the process started, in seconds since 1970",
        Each::Process(|d, to| to.put(d.started_at)),
    ),
];

const TRAFFIC: [Family; 9] = [
    counter(
        "warren_listener_accept_failures_total",
        "times accepting failed: by the peer's fault, at a limit of ours, otherwise",
        Each::Listener(|_, l, to| {
            to.put_of("reason", "aborted", l.totals.accept_aborted);
            to.put_of("reason", "limited", l.totals.accept_limited);
            to.put_of("reason", "broken", l.totals.accept_broken);
        }),
    ),
    counter(
        "warren_listener_paused_total",
        "times accepting paused because of max_connections (full) or max_accept_rate (rate)",
        Each::Listener(|_, l, to| {
            to.put_of("reason", "full", l.totals.paused_full);
            to.put_of("reason", "rate", l.totals.paused_rate);
        }),
    ),
    gauge(
        "warren_pool_servers",
        "servers of the pool",
        Each::Pool(|p, to| to.put(p.servers.len())),
    ),
    gauge(
        "warren_pool_usable_servers",
        "servers that take new connections",
        Each::Pool(|p, to| to.put(p.usable())),
    ),
    counter(
        "warren_pool_refused_total",
        "connections that no server was found for",
        Each::Pool(|p, to| {
            to.put_of("reason", "no-server", p.totals.no_server);
            to.put_of("reason", "queue-full", p.totals.queue_full);
            to.put_of("reason", "queue-timeout", p.totals.queue_timeout);
        }),
    ),
    family(
        "warren_connect_duration_seconds",
        Kind::Histogram,
        "time to connect to a server",
        Each::Pool(|p, to| {
            let count = p.latency.connect_us.count;
            to.put_histogram(&CONNECT_BOUNDS_US, &p.latency.connect_within, count, Micros);
        }),
    ),
    family(
        "warren_connection_length_seconds",
        Kind::Histogram,
        "time from accept to end, of connections that have ended",
        Each::Pool(|p, to| {
            let count = p.latency.length_ms.count;
            to.put_histogram(&LENGTH_BOUNDS_MS, &p.latency.length_within, count, Millis);
        }),
    ),
    counter(
        "warren_server_failed_attempts_total",
        "connection attempts that failed, those that were made good elsewhere too",
        Each::Server(|_, s, to| to.put(s.totals.failed_attempts)),
    ),
    gauge(
        "warren_server_check_age_seconds",
        "time since the last check ended",
        Each::Server(|_, s, to| {
            if let Some(check) = &s.check {
                to.put(Millis(check.age_ms));
            }
        }),
    ),
];

const ROUTERS: [Family; 17] = [
    gauge(
        "warren_vrrp_state",
        "1 for the state that the virtual router is in",
        Each::Router(|r, to| to.put_states(&ROUTER_STATES, Some(r.state.as_str()))),
    ),
    gauge(
        "warren_vrrp_state_seconds",
        "time in this state",
        Each::Router(|r, to| to.put(Millis(r.since_ms))),
    ),
    gauge(
        "warren_vrrp_master_seen",
        "1 if this node is master, or hears one",
        Each::Router(|r, to| to.put(sees_a_master(r))),
    ),
    gauge(
        "warren_vrrp_other_master",
        "1 if another node is master as well and does not give way",
        Each::Router(|r, to| to.put(r.other_master.is_some())),
    ),
    gauge(
        "warren_vrrp_priority",
        "priority that is advertised, or would be",
        Each::Router(|r, to| to.put(u32::from(r.priority))),
    ),
    gauge(
        "warren_vrrp_base_priority",
        "priority as configured",
        Each::Router(|r, to| to.put(u32::from(r.base_priority))),
    ),
    gauge(
        "warren_vrrp_heard_priority",
        "priority of the other router that was heard last",
        Each::Router(|r, to| {
            if let Some(heard) = &r.heard {
                to.put(u32::from(heard.priority));
            }
        }),
    ),
    gauge(
        "warren_vrrp_heard_age_seconds",
        "time since the last advertisement of another router",
        Each::Router(|r, to| {
            if let Some(heard) = &r.heard {
                to.put(Millis(heard.ago_ms));
            }
        }),
    ),
    counter(
        "warren_vrrp_transitions_total",
        "changes of state",
        Each::Router(|r, to| to.put(r.transitions)),
    ),
    counter(
        "warren_vrrp_became_master_total",
        "times it became master",
        Each::Router(|r, to| to.put(r.became_master)),
    ),
    counter(
        "warren_vrrp_advertisements_sent_total",
        "advertisements sent",
        Each::Router(|r, to| to.put(r.sent)),
    ),
    counter(
        "warren_vrrp_advertisements_unsent_total",
        "advertisements that could not be sent",
        Each::Router(|r, to| to.put(r.unsent)),
    ),
    counter(
        "warren_vrrp_advertisements_received_total",
        "advertisements received and believed",
        Each::Router(|r, to| to.put(r.received)),
    ),
    counter(
        "warren_vrrp_advertisements_refused_total",
        "packets refused, in the words of warren vrrp",
        Each::Router(|r, to| {
            for (reason, count) in &r.refused {
                to.put_of("reason", reason, *count);
            }
        }),
    ),
    counter(
        "warren_vrrp_addresses_put_back_total",
        "times somebody removed a virtual address and it was put back",
        Each::Router(|r, to| to.put(r.put_back)),
    ),
    counter(
        "warren_vrrp_addresses_cleared_total",
        "times a virtual address that somebody else put on an interface was removed",
        Each::Router(|r, to| to.put(r.cleared)),
    ),
    counter(
        "warren_vrrp_addresses_differ_total",
        "advertisements whose addresses were not quite ours",
        Each::Router(|r, to| to.put(r.addresses_differ)),
    ),
];

/// A backup waits three intervals and a part of one before it takes over; after four and a second
/// more nobody can be said to be heard.
fn sees_a_master(router: &VirtualRouterSnapshot) -> bool {
    let patience = router.advert_interval_ms * 4 + 1000;
    let heard = router.heard.as_ref();
    match router.state.as_str() {
        "master" | "leaving" => true,
        _ => heard.is_some_and(|heard| heard.ago_ms <= patience),
    }
}

impl Lines<'_> {
    fn put_histogram(
        &mut self,
        bounds: &[u64],
        within: &Within,
        count: u64,
        seconds: fn(u64) -> Value,
    ) {
        for (bound, reached) in bounds.iter().zip(within.counts) {
            let more = format!(",le=\"{}\"", seconds(*bound));
            self.line("_bucket", &more, reached);
        }
        self.line("_bucket", ",le=\"+Inf\"", count);
        self.line("_sum", "", seconds(within.sum));
        self.line("_count", "", Whole(count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::example::snapshot;
    use crate::stats::snapshot::HeardSnapshot;

    #[test]
    fn a_backup_that_hears_nobody_sees_no_master() {
        let mut router = snapshot().virtual_routers.remove(0);
        assert!(sees_a_master(&router));
        router.state = "backup".to_owned();
        assert!(!sees_a_master(&router), "it was heard two hours ago");
        router.heard = Some(HeardSnapshot {
            ago_ms: 4_900,
            ..router.heard.unwrap()
        });
        assert!(sees_a_master(&router));
        router.state = "init".to_owned();
        assert!(sees_a_master(&router), "also from outside of the election");
        router.heard = None;
        assert!(!sees_a_master(&router));
    }
}
