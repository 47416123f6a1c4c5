//! The snapshot of a warren that is in the same state as the haproxy of these tests.

use std::net::SocketAddr;

use warren::stats::history::Rate;
use warren::stats::snapshot::*;
use warren::stats::totals::{ListenerTotals, PoolTotals, ServerTotals};

use crate::haproxy::Haproxy;

pub(crate) fn snapshot(haproxy: &Haproxy) -> Snapshot {
    let (dead, live) = (haproxy.dead, haproxy.live);
    let mut limited = server("r1", dead);
    limited.open.limit = 50;
    let mut spare = server("r3", dead);
    spare.backup = true;
    let rabbit = vec![
        failed(limited),
        passed(server("r2", live)),
        failed(spare),
        maint(failed(server("r4", dead))),
    ];
    let plain = vec![server("n1", live), maint(server("n2", live))];
    Snapshot {
        version: "0.1.0".to_owned(),
        identity: Identity::Haproxy,
        node: "node".to_owned(),
        pid: 1,
        started_at: 1,
        uptime_ms: 1_000,
        workers: 1,
        stopping: false,
        connections: Level::default(),
        accept_rate: Rate::default(),
        session_rate: Rate::default(),
        bytes_out_rate: Rate::default(),
        spliced: 0,
        pipes: Pipes::default(),
        descriptors: 2048,
        logs_dropped: 0,
        idle_percent: 100,
        listeners: vec![ListenerSnapshot {
            name: "amqp".to_owned(),
            addresses: vec!["127.0.0.1:5672".to_owned()],
            pool: 0,
            open: Level {
                limit: 200,
                ..Level::default()
            },
            accept_rate: Rate::default(),
            max_accept_rate: 0,
            session_rate: Rate::default(),
            totals: ListenerTotals::default(),
        }],
        pools: vec![
            pool("rabbit", "leastconn", true, rabbit),
            pool("plain", "roundrobin", false, plain),
        ],
        endings: vec![],
    }
}

fn pool(name: &str, balance: &str, checked: bool, servers: Vec<ServerStatus>) -> PoolSnapshot {
    PoolSnapshot {
        name: name.to_owned(),
        balance: balance.to_owned(),
        checked,
        rise: 2,
        fall: 3,
        open: Level::default(),
        queue: Level::default(),
        session_rate: Rate::default(),
        since_ms: 0,
        downs: 0,
        downtime_ms: 0,
        last_session_ms: None,
        totals: PoolTotals::default(),
        averages: AverageTimes::default(),
        latency: Latency::default(),
        servers,
    }
}

fn server(name: &str, address: SocketAddr) -> ServerStatus {
    ServerStatus {
        name: name.to_owned(),
        configured: address.to_string(),
        host_name: None,
        port: address.port(),
        address: Some(address),
        state: ServerState::Up,
        healthy: Some(true),
        admin: AdminState::Ready,
        since_ms: 0,
        backup: false,
        configured_weight: 100,
        weight: 100,
        effective_weight: 100,
        open: Level::default(),
        session_rate: Rate::default(),
        last_session_ms: None,
        chosen: 0,
        totals: ServerTotals::default(),
        averages: AverageTimes::default(),
        check: None,
        checks_failed: 0,
        downs: 0,
        downtime_ms: 0,
    }
}

fn check(code: &str, passed: bool, detail: &str, score: u32) -> Option<CheckStatus> {
    Some(CheckStatus {
        code: code.to_owned(),
        passed,
        reply_code: None,
        detail: detail.to_owned(),
        took_us: 0,
        age_ms: 0,
        score,
    })
}

fn passed(mut server: ServerStatus) -> ServerStatus {
    server.check = check("L4OK", true, "connected", 4);
    server
}

/// HAProxy starts its servers one failed check before DOWN, so it has counted one failure.
fn failed(mut server: ServerStatus) -> ServerStatus {
    (server.state, server.healthy) = (ServerState::Down, Some(false));
    server.check = check("L4CON", false, "connection refused", 0);
    (server.checks_failed, server.downs) = (1, 1);
    server
}

fn maint(mut server: ServerStatus) -> ServerStatus {
    (server.state, server.admin) = (ServerState::Maint, AdminState::Maint);
    server
}
