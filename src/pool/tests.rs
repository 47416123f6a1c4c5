//! Tests of pools as their users see them. This file has what they share: small configurations,
//! reports, requests, and a waker that notes that it was called.

use std::net::Ipv4Addr;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::server::State;
use super::*;
use crate::config::{Address, Balance, Check, CheckKind, Host, OnDown, SendProxy};
use crate::health::verdict::CheckCode;

mod exhaustive;
mod model;
mod reconfigured;
mod shares;
mod state;
mod stress;

const ALGORITHMS: [Balance; 5] = [
    Balance::Leastconn,
    Balance::Roundrobin,
    Balance::Random,
    Balance::Source,
    Balance::First,
];

fn server_settings(index: usize) -> config::Server {
    let index = u32::try_from(index).unwrap();
    config::Server {
        name: format!("rabbit-{index}"),
        address: Address {
            host: Host::Ip(Ipv4Addr::from_bits(0xc000_0200 + index).into()),
            port: 5672,
        },
        weight: 100,
        max_connections: 0,
        backup: false,
        send_proxy: SendProxy::Off,
    }
}

/// `count` equal servers without limits.
fn settings(balance: Balance, count: usize) -> config::Pool {
    config::Pool {
        name: "rabbit".to_owned(),
        balance,
        retries: 3,
        on_down: OnDown::Reset,
        slow_start: Duration::ZERO,
        connect_timeout: Duration::from_secs(5),
        idle_timeout: None,
        queue_timeout: Duration::from_secs(5),
        max_queue: 4,
        check: Check {
            kind: CheckKind::Tcp,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
        },
        servers: (0..count).map(server_settings).collect(),
    }
}

fn weighted(balance: Balance, weights: &[u16]) -> config::Pool {
    let mut settings = settings(balance, weights.len());
    for (server, &weight) in settings.servers.iter_mut().zip(weights) {
        server.weight = weight;
    }
    settings
}

fn limited(balance: Balance, limits: &[u32]) -> config::Pool {
    let mut settings = settings(balance, limits.len());
    for (server, &limit) in settings.servers.iter_mut().zip(limits) {
        server.max_connections = limit;
    }
    settings
}

/// The pool, with every server up.
fn up(settings: config::Pool) -> Arc<Pool> {
    let now = Instant::now();
    let pool = Pool::new(settings, 0, 0, 0, now);
    for server in 0..pool.setup().servers.len() {
        pool.report(server, report(Some(Health::Up)), now);
    }
    pool
}

/// The report of a check that passed, unless it makes the server Down.
fn report(health: Option<Health>) -> Report {
    let (code, detail) = if health == Some(Health::Down) {
        (CheckCode::L4Connection, "connection refused")
    } else {
        (CheckCode::L4Ok, "connected")
    };
    Report {
        result: CheckResult {
            code,
            reply_code: None,
            detail: detail.to_owned(),
            took: Duration::from_millis(1),
        },
        score: 1,
        health,
        leaving: false,
    }
}

fn choose_by(pool: &Arc<Pool>, client: u32, draw: u64, tried: &[usize]) -> Choice {
    let setup = pool.setup();
    let tried = tried.iter().filter_map(|&server| setup.servers.get(server));
    pool.choose(&Request {
        client: Ipv4Addr::from_bits(client).into(),
        draw,
        tried: &tried.cloned().collect::<Vec<_>>(),
    })
}

fn choose(pool: &Arc<Pool>) -> Choice {
    choose_by(pool, 0x0a00_0001, 0x1234_5678_9abc_def0, &[])
}

fn leased(choice: Choice) -> Lease {
    let name = name(&choice);
    let Choice::Leased(lease) = choice else {
        panic!("expected a lease, not {name}");
    };
    lease
}

fn lease(pool: &Arc<Pool>) -> Lease {
    leased(choose(pool))
}

fn wait(pool: &Arc<Pool>) -> Waiting {
    let choice = choose(pool);
    let name = name(&choice);
    let Choice::Wait(waiting) = choice else {
        panic!("expected a place in the queue, not {name}");
    };
    waiting
}

fn name(choice: &Choice) -> &'static str {
    match choice {
        Choice::Leased(_) => "leased",
        Choice::Wait(_) => "wait",
        Choice::QueueFull => "queue full",
        Choice::NoServer => "no server",
    }
}

/// A waker that notes that it was called.
#[derive(Default)]
struct Bell(AtomicBool);

impl Bell {
    fn has_rung(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn poll(waiting: &mut Waiting, bell: &Arc<Bell>) -> Poll<Option<Lease>> {
    let waker = Waker::from(Arc::clone(bell));
    std::pin::Pin::new(waiting).poll(&mut Context::from_waker(&waker))
}

/// A generator of independent 64-bit numbers (xorshift), so that every run is the same.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The low bits of a raw xorshift are too regular for `draw`.
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
