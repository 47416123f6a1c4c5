//! A snapshot with one of everything, for the tests of what is rendered from it.

use super::history::Rate;
use super::snapshot::*;
use super::totals::{ListenerTotals, PoolTotals, ServerTotals};
use crate::pool::server::{Admin, State};

/// Compares with `src/stats/expected/NAME`; with UPDATE_EXPECTED=1 in the environment it stores
/// `actual` there, to be read before it is committed.
pub(crate) fn assert_expected(name: &str, actual: &str) {
    let path = format!("{}/src/stats/expected/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(actual, expected, "differs from {path}");
}

/// Two listeners, a checked pool with a server in each state, and an unchecked one.
pub(crate) fn snapshot() -> Snapshot {
    Snapshot {
        version: "0.1.0".to_owned(),
        identity: Identity::Haproxy,
        node: "lb-1".to_owned(),
        pid: 4711,
        started_at: 1_795_571_519,
        uptime_ms: 273_904_000,
        taken_at_us: 1_795_845_423_845_678,
        workers: 2,
        threads: [(273_904, 50_000), (273_904, 39_324)]
            .map(|(sweeps, accepted)| ThreadSnapshot { sweeps, accepted })
            .into(),
        accepting: true,
        stopping: false,
        stuck: None,
        configuration: ConfigurationSnapshot {
            read_at: 1_795_571_519,
            age_ms: 273_904_000,
            reloads: 0,
            reloads_refused: 0,
            error: None,
        },
        connections: level(1_204, 1_310, 100_000),
        hard_limit: 100_000,
        accept_rate: Rate { now: 12, max: 240 },
        max_accept_rate: 0,
        session_rate: Rate { now: 11, max: 239 },
        bytes_out_rate: Rate {
            now: 123_456,
            max: 999_999,
        },
        spliced: 3_000_000_000,
        pipes: Pipes {
            used: 3,
            free: 5,
            refused: 1,
            limit: 48,
        },
        descriptors: 250_000,
        logs_dropped: 0,
        cpu_us: 61_250_000,
        resident: 14_680_064,
        idle_percent: 97,
        listeners: vec![
            listener("amqp", 2, &["0.0.0.0:5672", "[::]:5672"], 0, 1_204),
            listener("plain", 3, &["127.0.0.1:5673"], 1, 0),
        ],
        pools: vec![rabbit(), plain()],
        removed: Vec::new(),
        drains: vec![drain()],
        rebalances: vec![rebalance()],
        virtual_routers: vec![virtual_router()],
        endings: [
            ("client-closed", 88_120),
            ("server-reset", 2),
            ("denied", 0),
            ("no-server", 17),
        ]
        .map(|(cause, count)| EndingCount {
            cause: cause.to_owned(),
            count,
        })
        .to_vec(),
    }
}

/// A server that a reload has removed, number 9 of its pool, which is number 8.
pub(crate) fn removed(pool: &str, server: &str, open: u32) -> RemovedSnapshot {
    RemovedSnapshot {
        pool: pool.to_owned(),
        pool_number: 8,
        server: server.to_owned(),
        number: 9,
        address: "192.0.2.29:5672".to_owned(),
        resolved: "192.0.2.29:5672".parse().ok(),
        open,
    }
}

fn drain() -> DrainSnapshot {
    DrainSnapshot {
        pool: "rabbit".to_owned(),
        server: "rabbit-5".to_owned(),
        stage: DrainStage::Draining,
        why: String::new(),
        open: 40,
        open_at_start: 600,
        closed: 520,
        rate: Some(2),
        over_ms: 300_000,
        waited_ms: 10_000,
        since_ms: 290_000,
    }
}

fn rebalance() -> RebalanceSnapshot {
    RebalanceSnapshot {
        pool: "rabbit".to_owned(),
        stage: RebalanceStage::Waiting,
        why: "server rabbit-3 is down".to_owned(),
        moved: 120,
        rate: 10,
        within_ms: 3_600_000,
        since_ms: 17_000,
        ended_ms: None,
    }
}

fn virtual_router() -> VirtualRouterSnapshot {
    VirtualRouterSnapshot {
        name: "amqp".to_owned(),
        interface: "eth0".to_owned(),
        router_id: 51,
        version: 3,
        advert_interval_ms: 1000,
        addresses: vec!["192.0.2.100/24".to_owned()],
        group: None,
        state: "master".to_owned(),
        since_ms: 7_380_000,
        why: "master 192.0.2.12 fell silent".to_owned(),
        waiting_for: None,
        base_priority: 150,
        preempt: true,
        preempt_delay_ms: 0,
        released: false,
        startup_delay_left_ms: 0,
        priority: 90,
        arithmetic: "150 - 60 = 90: pool plain has no usable server".to_owned(),
        heard: Some(HeardSnapshot {
            from: "192.0.2.12".to_owned(),
            priority: 100,
            ago_ms: 7_384_000,
        }),
        other_master: None,
        sent: 7_381,
        unsent: 0,
        received: 12,
        refused: [("checksum".to_owned(), 2), ("ttl".to_owned(), 1)].into(),
        transitions: 4,
        became_master: 2,
        put_back: 1,
        cleared: 0,
        addresses_differ: 0,
    }
}

fn level(now: u32, max: u32, limit: u32) -> Level {
    Level { now, max, limit }
}

fn listener(
    name: &str,
    number: usize,
    addresses: &[&str],
    pool: usize,
    open: u32,
) -> ListenerSnapshot {
    ListenerSnapshot {
        name: name.to_owned(),
        number,
        addresses: addresses.iter().map(ToString::to_string).collect(),
        pool,
        paused: false,
        open: level(open, open + 106, 5000),
        accept_rate: Rate { now: 12, max: 240 },
        session_rate: Rate { now: 11, max: 239 },
        max_accept_rate: 500,
        totals: ListenerTotals {
            accepted: 89_330,
            denied: 6,
            sessions: 89_324,
            bytes_in: 1_288_490_189,
            bytes_out: 3_650_722_201,
            ..ListenerTotals::default()
        },
    }
}

fn rabbit() -> PoolSnapshot {
    let times = AverageTimes {
        queue_ms: 0,
        queue_max_ms: 40,
        connect_ms: 1,
        connect_max_ms: 9,
        total_ms: 60_000,
        total_max_ms: 7_200_000,
    };
    PoolSnapshot {
        name: "rabbit".to_owned(),
        number: 4,
        balance: "leastconn".to_owned(),
        checked: true,
        rise: 2,
        fall: 3,
        slow_start_ms: 300_000,
        open: level(1_204, 1_310, 5_000),
        queue: level(3, 17, 1_000),
        session_rate: Rate { now: 11, max: 239 },
        since_ms: 273_902_000,
        downs: 0,
        downtime_ms: 2_000,
        last_session_ms: Some(900),
        totals: PoolTotals {
            sessions: 89_324,
            no_server: 17,
            ..PoolTotals::default()
        },
        averages: times,
        latency: Latency {
            connect_us: Percentiles {
                count: 88_122,
                p50: 350,
                p90: 720,
                p99: 1_290,
                max: 9_100,
            },
            length_ms: Percentiles {
                count: 88_122,
                p50: 41,
                p90: 5_200,
                p99: 3_600_000,
                max: 7_200_000,
            },
            connect_within: Within {
                counts: [
                    4, 20_000, 80_000, 87_000, 88_100, 88_120, 88_122, 88_122, 88_122, 88_122,
                    88_122, 88_122, 88_122, 88_122, 88_122, 88_122,
                ],
                sum: 33_000_000,
            },
            length_within: Within {
                counts: [
                    9_000, 50_000, 60_000, 70_000, 75_000, 80_000, 82_000, 83_000, 84_000, 85_000,
                    86_000, 88_000, 88_122, 88_122, 88_122, 88_122,
                ],
                sum: 99_000_000,
            },
        },
        servers: numbered(rabbit_servers()),
    }
}

fn numbered(mut servers: Vec<ServerStatus>) -> Vec<ServerStatus> {
    for (number, server) in (1..).zip(&mut servers) {
        server.number = number;
    }
    servers
}

/// One in each state.
fn rabbit_servers() -> Vec<ServerStatus> {
    let mut slow = server("rabbit-2", State::Up, "192.0.2.22:5672", 601);
    slow.effective_weight = 35;
    slow.open.limit = 5000;
    slow.check = Some(check("L7OK", true, None, "logged in to RabbitMQ 3.10.8", 3));
    let mut down = server("rabbit-3", State::Down, "192.0.2.23:5672", 0);
    down.check = Some(check(
        "L7STS",
        false,
        Some(403),
        "refused the login: \"ACCESS_REFUSED\", for guest",
        0,
    ));
    (down.checks_failed, down.downs, down.downtime_ms) = (3, 1, 65_000);
    let mut rising = server("rabbit-4", State::Down, "192.0.2.24:5672", 0);
    rising.check = Some(check("L7OK", true, None, "logged in to RabbitMQ 3.10.8", 1));
    let mut drain = server("rabbit-5", State::Drain, "192.0.2.25:5672", 40);
    drain.admin = Admin::Drain;
    drain.healthy = Some(true);
    let mut maint = server("rabbit-6", State::Maint, "192.0.2.26:5672", 0);
    maint.admin = Admin::Maint;
    maint.check = Some(check("L4CON", false, None, "connection refused", 0));
    let mut named = server("rabbit-7", State::Unknown, "192.0.2.27:5672", 0);
    named.configured = "rabbit-7.example:5672".to_owned();
    named.host_name = Some("rabbit-7.example".to_owned());
    (named.address, named.check) = (None, None);
    let mut spare = server("spare", State::Up, "[2001:db8::31]:5672", 0);
    spare.backup = true;
    spare.last_session_ms = None;
    vec![
        server("rabbit-1", State::Up, "192.0.2.21:5672", 563),
        slow,
        down,
        rising,
        drain,
        maint,
        named,
        spare,
    ]
}

fn plain() -> PoolSnapshot {
    let mut bare = server("n1", State::Up, "127.0.0.1:25679", 0);
    bare.check = None;
    let mut maint = server("n2", State::Maint, "127.0.0.1:25680", 0);
    maint.admin = Admin::Maint;
    maint.check = None;
    PoolSnapshot {
        name: "plain".to_owned(),
        number: 5,
        balance: "roundrobin".to_owned(),
        checked: false,
        queue: level(0, 0, 1_000),
        last_session_ms: None,
        totals: PoolTotals::default(),
        averages: AverageTimes::default(),
        latency: Latency::default(),
        open: level(0, 0, 5_000),
        session_rate: Rate::default(),
        servers: numbered(vec![bare, maint]),
        ..rabbit()
    }
}

fn check(code: &str, passed: bool, reply: Option<u16>, detail: &str, score: u32) -> CheckStatus {
    CheckStatus {
        code: code.to_owned(),
        passed,
        reply_code: reply,
        detail: detail.to_owned(),
        took_us: 1_250,
        age_ms: 400,
        score,
    }
}

fn server(name: &str, state: State, address: &str, open: u32) -> ServerStatus {
    ServerStatus {
        name: name.to_owned(),
        number: 0,
        configured: address.to_owned(),
        host_name: None,
        port: 5672,
        address: Some(address.parse().unwrap()),
        overridden: false,
        state,
        healthy: match state {
            State::Unknown => None,
            State::Up => Some(true),
            State::Down | State::Drain | State::Maint => Some(false),
        },
        admin: Admin::Ready,
        since_ms: 187_000,
        backup: false,
        configured_weight: 100,
        weight: 100,
        effective_weight: 100,
        open: level(open, open + 40, 0),
        session_rate: Rate { now: 5, max: 120 },
        last_session_ms: Some(1_900),
        chosen: 44_000,
        totals: ServerTotals {
            sessions: 43_990,
            attempts: 44_002,
            failed_attempts: 12,
            connect_errors: 10,
            server_aborts: 2,
            client_aborts: 4,
            retries: 1,
            redispatches: 11,
            bytes_in: 644_245_094,
            bytes_out: 1_825_361_100,
        },
        averages: AverageTimes::default(),
        checks_stopped: false,
        check: Some(check("L7OK", true, None, "logged in to RabbitMQ 3.10.8", 4)),
        checks_failed: 0,
        downs: 0,
        downtime_ms: 0,
    }
}
