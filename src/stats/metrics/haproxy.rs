//! *pure* The families of HAProxy 2.6's exporter, in TCP mode. Names, types and labels are
//! HAProxy's, the words are ours; the values are those of `show stat` and `show info`. What warren
//! does not have is 0, as in an HAProxy that does not use it.

use super::Value::{Millis, Nan, Signed};
use super::{About, Each, Family, Kind, Lines, Value};
use crate::pool::server::Admin;
use crate::stats::info;
use crate::stats::snapshot::{PoolSnapshot, ServerStatus};

/// All of them.
pub(super) const FAMILIES: [&[Family]; 4] = [&PROCESS, &FRONTEND, &BACKEND, &SERVER];

const STATES: [&str; 5] = ["DOWN", "UP", "MAINT", "DRAIN", "NOLB"];

const CHECK_STATES: [&str; 16] = [
    "HANA", "SOCKERR", "L4OK", "L4TOUT", "L4CON", "L6OK", "L6TOUT", "L6RSP", "L7TOUT", "L7RSP",
    "L7OK", "L7OKC", "L7STS", "PROCERR", "PROCTOUT", "PROCOK",
];

const fn process(name: &'static str, kind: Kind, key: &'static str) -> Family {
    Family {
        name,
        kind,
        about: About::Key(key),
        each: Each::Info(key),
    }
}

/// `listener!(Kind "name" "column of show stat" |...| value)`
macro_rules! listener {
    ($kind:ident $name:literal $column:literal |$l:pat_param| $value:expr) => {
        Family {
            name: concat!("haproxy_frontend_", $name),
            kind: Kind::$kind,
            about: About::Column($column),
            each: Each::Listener(|_, $l, to| to.put($value)),
        }
    };
}

/// `pool!(Kind "name" "column of show stat" |...| value)`
macro_rules! pool {
    ($kind:ident $name:literal $column:literal |$p:pat_param| $value:expr) => {
        Family {
            name: concat!("haproxy_backend_", $name),
            kind: Kind::$kind,
            about: About::Column($column),
            each: Each::Pool(|$p, to| to.put($value)),
        }
    };
}

/// `server!(Kind "name" "column of show stat" |...| value)`
macro_rules! server {
    ($kind:ident $name:literal $column:literal |$p:pat_param, $s:pat_param| $value:expr) => {
        Family {
            name: concat!("haproxy_server_", $name),
            kind: Kind::$kind,
            about: About::Column($column),
            each: Each::Server(|$p, $s, to| to.put($value)),
        }
    };
}

/// A family of gauges whose lines are not one value for each thing.
const fn gauge(name: &'static str, column: &'static str, each: Each) -> Family {
    Family {
        name,
        kind: Kind::Gauge,
        about: About::Column(column),
        each,
    }
}

/// How long ago, in whole seconds; -1: never.
fn ago(milliseconds: Option<u64>) -> Value {
    milliseconds.map_or(Signed(-1), |ms| (ms / 1000).into())
}

/// HAProxy's word for a server's state, without its progress.
fn state(server: &ServerStatus) -> &'static str {
    match (server.admin, server.healthy) {
        (Admin::Maint, _) => "MAINT",
        (_, Some(false) | None) => "DOWN",
        (Admin::Drain, Some(true)) => "DRAIN",
        (Admin::Ready, Some(true)) => "UP",
    }
}

/// HAProxy's word for the result of the last check; `None` before the first one.
fn check_state(server: &ServerStatus) -> Option<&str> {
    server.check.as_ref().map(|check| check.code.as_str())
}

/// How many of the servers of a pool are in each state.
fn count_states(pool: &PoolSnapshot, lines: &mut Lines<'_>) {
    for word in STATES {
        let servers = pool.servers.iter();
        lines.put_of(
            "state",
            word,
            servers.filter(|one| state(one) == word).count(),
        );
    }
}

fn count_check_states(pool: &PoolSnapshot, lines: &mut Lines<'_>) {
    for word in CHECK_STATES {
        let checked = pool.servers.iter().filter(|one| pool.checks(one));
        let count = checked.filter(|one| check_state(one) == Some(word)).count();
        lines.put_of("state", word, count);
    }
}

#[rustfmt::skip]
const PROCESS: [Family; 60] = [
    process("haproxy_process_nbthread", Kind::Gauge, "Nbthread"),
    process("haproxy_process_nbproc", Kind::Gauge, "Nbproc"),
    process("haproxy_process_relative_process_id", Kind::Gauge, "Process_num"),
    process("haproxy_process_uptime_seconds", Kind::Gauge, "Uptime_sec"),
    process("haproxy_process_pool_failures_total", Kind::Counter, "PoolFailed"),
    process("haproxy_process_max_fds", Kind::Gauge, "Ulimit-n"),
    process("haproxy_process_max_sockets", Kind::Gauge, "Maxsock"),
    process("haproxy_process_max_connections", Kind::Gauge, "Maxconn"),
    process("haproxy_process_hard_max_connections", Kind::Gauge, "Hard_maxconn"),
    process("haproxy_process_current_connections", Kind::Gauge, "CurrConns"),
    process("haproxy_process_connections_total", Kind::Counter, "CumConns"),
    process("haproxy_process_requests_total", Kind::Counter, "CumReq"),
    process("haproxy_process_max_ssl_connections", Kind::Gauge, "MaxSslConns"),
    process("haproxy_process_current_ssl_connections", Kind::Gauge, "CurrSslConns"),
    process("haproxy_process_ssl_connections_total", Kind::Counter, "CumSslConns"),
    process("haproxy_process_max_pipes", Kind::Gauge, "Maxpipes"),
    process("haproxy_process_pipes_used_total", Kind::Counter, "PipesUsed"),
    process("haproxy_process_pipes_free_total", Kind::Counter, "PipesFree"),
    process("haproxy_process_current_connection_rate", Kind::Gauge, "ConnRate"),
    process("haproxy_process_limit_connection_rate", Kind::Gauge, "ConnRateLimit"),
    process("haproxy_process_max_connection_rate", Kind::Gauge, "MaxConnRate"),
    process("haproxy_process_current_session_rate", Kind::Gauge, "SessRate"),
    process("haproxy_process_limit_session_rate", Kind::Gauge, "SessRateLimit"),
    process("haproxy_process_max_session_rate", Kind::Gauge, "MaxSessRate"),
    process("haproxy_process_current_ssl_rate", Kind::Gauge, "SslRate"),
    process("haproxy_process_limit_ssl_rate", Kind::Gauge, "SslRateLimit"),
    process("haproxy_process_max_ssl_rate", Kind::Gauge, "MaxSslRate"),
    process("haproxy_process_current_frontend_ssl_key_rate", Kind::Gauge, "SslFrontendKeyRate"),
    process("haproxy_process_max_frontend_ssl_key_rate", Kind::Gauge, "SslFrontendMaxKeyRate"),
    process("haproxy_process_frontend_ssl_reuse", Kind::Gauge, "SslFrontendSessionReuse_pct"),
    process("haproxy_process_current_backend_ssl_key_rate", Kind::Gauge, "SslBackendKeyRate"),
    process("haproxy_process_max_backend_ssl_key_rate", Kind::Gauge, "SslBackendMaxKeyRate"),
    process("haproxy_process_ssl_cache_lookups_total", Kind::Counter, "SslCacheLookups"),
    process("haproxy_process_ssl_cache_misses_total", Kind::Counter, "SslCacheMisses"),
    process("haproxy_process_http_comp_bytes_in_total", Kind::Counter, "CompressBpsIn"),
    process("haproxy_process_http_comp_bytes_out_total", Kind::Counter, "CompressBpsOut"),
    process("haproxy_process_limit_http_comp", Kind::Gauge, "CompressBpsRateLim"),
    process("haproxy_process_current_zlib_memory", Kind::Gauge, "ZlibMemUsage"),
    process("haproxy_process_max_zlib_memory", Kind::Gauge, "MaxZlibMemUsage"),
    process("haproxy_process_current_tasks", Kind::Gauge, "Tasks"),
    process("haproxy_process_current_run_queue", Kind::Gauge, "Run_queue"),
    process("haproxy_process_idle_time_percent", Kind::Gauge, "Idle_pct"),
    process("haproxy_process_stopping", Kind::Gauge, "Stopping"),
    process("haproxy_process_jobs", Kind::Gauge, "Jobs"),
    process("haproxy_process_unstoppable_jobs", Kind::Gauge, "Unstoppable Jobs"),
    process("haproxy_process_listeners", Kind::Gauge, "Listeners"),
    process("haproxy_process_active_peers", Kind::Gauge, "ActivePeers"),
    process("haproxy_process_connected_peers", Kind::Gauge, "ConnectedPeers"),
    process("haproxy_process_dropped_logs_total", Kind::Counter, "DroppedLogs"),
    process("haproxy_process_busy_polling_enabled", Kind::Gauge, "BusyPolling"),
    process("haproxy_process_failed_resolutions", Kind::Counter, "FailedResolutions"),
    process("haproxy_process_bytes_out_total", Kind::Counter, "TotalBytesOut"),
    process("haproxy_process_spliced_bytes_out_total", Kind::Counter, "TotalSplicdedBytesOut"),
    process("haproxy_process_bytes_out_rate", Kind::Gauge, "BytesOutRate"),
    Family {
        name: "haproxy_process_build_info",
        kind: Kind::Gauge,
        about: About::Key("Build info"),
        each: Each::Process(|d, to| to.put_of("version", &info::version(d), true)),
    },
    process("haproxy_process_recv_logs_total", Kind::Counter, "CumRecvLogs"),
    process("haproxy_process_max_memory_bytes", Kind::Gauge, "Memmax_bytes"),
    process("haproxy_process_pool_allocated_bytes", Kind::Gauge, "PoolAlloc_bytes"),
    process("haproxy_process_pool_used_bytes", Kind::Gauge, "PoolUsed_bytes"),
    process("haproxy_process_start_time_seconds", Kind::Gauge, "Start_time_sec"),
];

#[rustfmt::skip]
const FRONTEND: [Family; 18] = [
    listener!(Gauge "current_sessions" "scur" |l| l.open.now),
    listener!(Gauge "max_sessions" "smax" |l| l.open.max),
    listener!(Gauge "limit_sessions" "slim" |l| l.open.limit),
    listener!(Counter "sessions_total" "stot" |l| l.totals.sessions),
    listener!(Counter "bytes_in_total" "bin" |l| l.totals.bytes_in),
    listener!(Counter "bytes_out_total" "bout" |l| l.totals.bytes_out),
    listener!(Counter "requests_denied_total" "dreq" |_| 0_u64),
    listener!(Counter "responses_denied_total" "dresp" |_| 0_u64),
    listener!(Counter "request_errors_total" "ereq" |_| 0_u64),
    gauge("haproxy_frontend_status", "status", Each::Listener(|d, l, to| {
        let closed = d.stopping || l.paused;
        to.put_states(&STATES[..2], Some(if closed { "DOWN" } else { "UP" }));
    })),
    listener!(Gauge "limit_session_rate" "rate_lim" |l| l.max_accept_rate),
    listener!(Gauge "max_session_rate" "rate_max" |l| l.session_rate.max),
    listener!(Gauge "connections_rate_max" "conn_rate_max" |l| l.accept_rate.max),
    listener!(Counter "connections_total" "conn_tot" |l| l.totals.accepted),
    listener!(Counter "denied_connections_total" "dcon" |l| l.totals.denied),
    listener!(Counter "denied_sessions_total" "dses" |_| 0_u64),
    listener!(Counter "failed_header_rewriting_total" "wrew" |_| 0_u64),
    listener!(Counter "internal_errors_total" "eint" |_| 0_u64),
];

#[rustfmt::skip]
const BACKEND: [Family; 42] = [
    pool!(Gauge "current_queue" "qcur" |p| p.queue.now),
    pool!(Gauge "max_queue" "qmax" |p| p.queue.max),
    pool!(Gauge "current_sessions" "scur" |p| p.open.now),
    pool!(Gauge "max_sessions" "smax" |p| p.open.max),
    pool!(Gauge "limit_sessions" "slim" |p| p.open.limit),
    pool!(Counter "sessions_total" "stot" |p| p.totals.sessions),
    pool!(Counter "bytes_in_total" "bin" |p| p.sums().bytes_in),
    pool!(Counter "bytes_out_total" "bout" |p| p.sums().bytes_out),
    pool!(Counter "requests_denied_total" "dreq" |_| 0_u64),
    pool!(Counter "responses_denied_total" "dresp" |_| 0_u64),
    pool!(Counter "connection_errors_total" "econ" |p| p.sums().connect_errors + p.refused()),
    pool!(Counter "response_errors_total" "eresp" |p| p.sums().server_aborts),
    pool!(Counter "retry_warnings_total" "wretr" |p| p.sums().retries),
    pool!(Counter "redispatch_warnings_total" "wredis" |p| p.sums().redispatches),
    gauge("haproxy_backend_status", "status", Each::Pool(|p, to| {
        to.put_states(&STATES[..2], Some(if p.usable() > 0 { "UP" } else { "DOWN" }));
    })),
    pool!(Gauge "weight" "weight" |p| p.weight()),
    pool!(Gauge "active_servers" "act" |p| p.usable_of(false)),
    pool!(Gauge "backup_servers" "bck" |p| p.usable_of(true)),
    pool!(Counter "check_up_down_total" "chkdown" |p| p.downs),
    pool!(Gauge "check_last_change_seconds" "lastchg" |p| p.since_ms / 1000),
    pool!(Counter "downtime_seconds_total" "downtime" |p| p.downtime_ms / 1000),
    pool!(Counter "loadbalanced_total" "lbtot" |p| p.sums().sessions),
    pool!(Gauge "max_session_rate" "rate_max" |p| p.session_rate.max),
    pool!(Counter "client_aborts_total" "cli_abrt"
        |p| p.sums().client_aborts + p.totals.client_aborts),
    pool!(Counter "server_aborts_total" "srv_abrt" |p| p.sums().server_aborts),
    pool!(Gauge "last_session_seconds" "lastsess" |p| ago(p.last_session_ms)),
    pool!(Gauge "queue_time_average_seconds" "qtime" |p| Millis(p.averages.queue_ms)),
    pool!(Gauge "connect_time_average_seconds" "ctime" |p| Millis(p.averages.connect_ms)),
    pool!(Gauge "response_time_average_seconds" "rtime" |_| 0_u64),
    pool!(Gauge "total_time_average_seconds" "ttime" |p| Millis(p.averages.total_ms)),
    pool!(Counter "failed_header_rewriting_total" "wrew" |_| 0_u64),
    pool!(Counter "connection_attempts_total" "connect" |p| p.sums().attempts),
    pool!(Counter "connection_reuses_total" "reuse" |_| 0_u64),
    pool!(Gauge "max_queue_time_seconds" "qtime_max" |p| Millis(p.averages.queue_max_ms)),
    pool!(Gauge "max_connect_time_seconds" "ctime_max" |p| Millis(p.averages.connect_max_ms)),
    pool!(Gauge "max_response_time_seconds" "rtime_max" |_| 0_u64),
    pool!(Gauge "max_total_time_seconds" "ttime_max" |p| Millis(p.averages.total_max_ms)),
    pool!(Counter "internal_errors_total" "eint" |_| 0_u64),
    pool!(Gauge "uweight" "uweight" |p| p.weight()),
    gauge("haproxy_backend_agg_server_status", "agg_server_status", Each::Pool(count_states)),
    gauge("haproxy_backend_agg_server_check_status", "agg_server_check_status",
        Each::Pool(count_states)),
    gauge("haproxy_backend_agg_check_status", "agg_check_status", Each::Pool(count_check_states)),
];

#[rustfmt::skip]
const SERVER: [Family; 48] = [
    server!(Gauge "current_queue" "qcur" |_, _| 0_u64),
    server!(Gauge "max_queue" "qmax" |_, _| 0_u64),
    server!(Gauge "current_sessions" "scur" |_, s| s.open.now),
    server!(Gauge "max_sessions" "smax" |_, s| s.open.max),
    server!(Gauge "limit_sessions" "slim" |_, s| (s.open.limit > 0).then_some(s.open.limit)),
    server!(Counter "sessions_total" "stot" |_, s| s.totals.sessions),
    server!(Counter "bytes_in_total" "bin" |_, s| s.totals.bytes_in),
    server!(Counter "bytes_out_total" "bout" |_, s| s.totals.bytes_out),
    server!(Counter "responses_denied_total" "dresp" |_, _| 0_u64),
    server!(Counter "connection_errors_total" "econ" |_, s| s.totals.connect_errors),
    server!(Counter "response_errors_total" "eresp" |_, s| s.totals.server_aborts),
    server!(Counter "retry_warnings_total" "wretr" |_, s| s.totals.retries),
    server!(Counter "redispatch_warnings_total" "wredis" |_, s| s.totals.redispatches),
    gauge("haproxy_server_status", "status", Each::Server(|_, s, to| {
        to.put_states(&STATES, Some(state(s)));
    })),
    server!(Gauge "weight" "weight" |_, s| u32::from(s.effective_weight)),
    server!(Counter "check_failures_total" "chkfail" |p, s| p.checks(s).then_some(s.checks_failed)),
    server!(Counter "check_up_down_total" "chkdown" |p, s| p.checks(s).then_some(s.downs)),
    server!(Gauge "check_last_change_seconds" "lastchg" |_, s| s.since_ms / 1000),
    server!(Counter "downtime_seconds_total" "downtime"
        |p, s| p.checks(s).then_some(s.downtime_ms / 1000)),
    Family {
        name: "haproxy_server_queue_limit",
        kind: Kind::Gauge,
        about: About::Words("limit on connections that wait for it; its pool has the queue"),
        each: Each::Server(|_, _, to| to.put(Nan)),
    },
    server!(Gauge "current_throttle" "throttle" |_, s| s.throttle()),
    server!(Counter "loadbalanced_total" "lbtot" |_, s| s.totals.sessions),
    server!(Gauge "max_session_rate" "rate_max" |_, s| s.session_rate.max),
    gauge("haproxy_server_check_status", "check_status", Each::Server(|p, s, to| {
        if p.checks(s) {
            to.put_states(&CHECK_STATES, check_state(s));
        }
    })),
    gauge("haproxy_server_check_code", "check_code", Each::Server(|p, s, to| {
        if p.checks(s) {
            to.put(s.check.as_ref().and_then(|check| check.reply_code).map_or(0, u32::from));
        }
    })),
    gauge("haproxy_server_check_duration_seconds", "check_duration", Each::Server(|p, s, to| {
        if let (true, Some(check)) = (p.checks(s), &s.check) {
            to.put(Millis(check.took_us / 1000));
        }
    })),
    server!(Counter "client_aborts_total" "cli_abrt" |_, s| s.totals.client_aborts),
    server!(Counter "server_aborts_total" "srv_abrt" |_, s| s.totals.server_aborts),
    server!(Gauge "last_session_seconds" "lastsess" |_, s| ago(s.last_session_ms)),
    server!(Gauge "queue_time_average_seconds" "qtime" |_, s| Millis(s.averages.queue_ms)),
    server!(Gauge "connect_time_average_seconds" "ctime" |_, s| Millis(s.averages.connect_ms)),
    server!(Gauge "response_time_average_seconds" "rtime" |_, _| 0_u64),
    server!(Gauge "total_time_average_seconds" "ttime" |_, s| Millis(s.averages.total_ms)),
    server!(Counter "failed_header_rewriting_total" "wrew" |_, _| 0_u64),
    server!(Counter "connection_attempts_total" "connect" |_, s| s.totals.attempts),
    server!(Counter "connection_reuses_total" "reuse" |_, _| 0_u64),
    server!(Gauge "idle_connections_current" "srv_icur" |_, _| 0_u64),
    Family {
        name: "haproxy_server_idle_connections_limit",
        kind: Kind::Gauge,
        about: About::Words("limit on idle connections; there are none in TCP mode"),
        each: Each::Server(|_, _, to| to.put(Nan)),
    },
    server!(Gauge "max_queue_time_seconds" "qtime_max" |_, s| Millis(s.averages.queue_max_ms)),
    server!(Gauge "max_connect_time_seconds" "ctime_max" |_, s| Millis(s.averages.connect_max_ms)),
    server!(Gauge "max_response_time_seconds" "rtime_max" |_, _| 0_u64),
    server!(Gauge "max_total_time_seconds" "ttime_max" |_, s| Millis(s.averages.total_max_ms)),
    server!(Counter "internal_errors_total" "eint" |_, _| 0_u64),
    server!(Gauge "unsafe_idle_connections_current" "idle_conn_cur" |_, _| 0_u64),
    server!(Gauge "safe_idle_connections_current" "safe_conn_cur" |_, _| 0_u64),
    server!(Gauge "used_connections_current" "used_conn_cur" |_, _| 0_u64),
    server!(Gauge "need_connections_current" "need_conn_est" |_, _| 0_u64),
    server!(Gauge "uweight" "uweight" |_, s| u32::from(s.weight)),
];
