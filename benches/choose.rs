//! What choosing a server and giving it back costs among 10 servers and among 10,000.
//!
//! `cargo bench --bench choose` prints nanoseconds per choice and release together, the median of
//! interleaved rounds, and fails when any algorithm pays more than three times as much for the
//! thousandfold pool. `mixed` has weights from 1 to 256, limits, backup servers, and servers that
//! are down, drained, in maintenance, never checked, or full.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use warren::config::{
    Address, Balance, Check, CheckKind, Host, OnDown, Pool as Settings, SendProxy, Server,
};
use warren::health::verdict::{CheckCode, CheckResult};
use warren::pool::server::{Admin, Health};
use warren::pool::{Choice, Lease, Pool, Report, Request};

const SMALL: u32 = 10;
const LARGE: u32 = 10_000;
/// Open connections: three for each server of the large pool.
const OPEN: u32 = 3 * LARGE;
const ROUNDS: usize = 15;
const CHOICES_PER_ROUND: u32 = 50_000;
const MOST: f64 = 3.0;

fn main() -> ExitCode {
    println!("ns per choice and release     {SMALL:>6} servers  {LARGE:>6} servers   ratio");
    let mut passed = true;
    for balance in [
        Balance::Leastconn,
        Balance::Roundrobin,
        Balance::Random,
        Balance::Source,
        Balance::First,
    ] {
        for mixed in [false, true] {
            let (small, large) = compare(balance, mixed);
            let ratio = large / small;
            passed &= ratio <= MOST;
            let name = format!("{balance:?}").to_lowercase();
            let kind = if mixed { "mixed" } else { "equal" };
            println!("{name:<12}{kind:<12}{small:>20.0}{large:>16.0}{ratio:>9.2}");
        }
    }
    if passed {
        ExitCode::SUCCESS
    } else {
        eprintln!("a ratio is above {MOST}");
        ExitCode::FAILURE
    }
}

/// Median cost for the small and for the large pool.
fn compare(balance: Balance, mixed: bool) -> (f64, f64) {
    let mut benches = [SMALL, LARGE].map(|servers| Bench::new(balance, servers, mixed));
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (bench, costs) in benches.iter_mut().zip(&mut costs) {
            costs.push(bench.round());
        }
    }
    let [small, large] = costs.map(|mut costs| {
        costs.sort_by(f64::total_cmp);
        costs[costs.len() / 2]
    });
    (small, large)
}

/// A pool in the middle of its work: a random one of its open connections is replaced at each
/// step. Both pools hold the same number, so that the bench itself costs the same.
struct Bench {
    pool: Arc<Pool>,
    open: Vec<Lease>,
    random: u64,
}

impl Bench {
    fn new(balance: Balance, servers: u32, mixed: bool) -> Self {
        let now = Instant::now();
        let pool = Pool::new(settings(balance, servers, mixed), 0, 0, 0, now);
        for server in 0..servers as usize {
            set_state(&pool, server, mixed, now);
        }
        let mut bench = Self {
            pool,
            open: Vec::new(),
            random: 88_172_645_463_325_252,
        };
        for _ in 0..OPEN {
            if let Some(lease) = bench.choose() {
                bench.open.push(lease);
            }
        }
        bench
    }

    fn choose(&mut self) -> Option<Lease> {
        let draw = self.next_random();
        let client = IpAddr::V4(Ipv4Addr::from_bits(low_bits(draw >> 16)));
        let request = Request {
            client,
            draw,
            tried: &[],
        };
        match self.pool.choose(&request) {
            Choice::Leased(lease) => Some(lease),
            Choice::Wait(_) | Choice::QueueFull | Choice::NoServer => None,
        }
    }

    /// Nanoseconds per choice and release.
    fn round(&mut self) -> f64 {
        let start = Instant::now();
        for _ in 0..CHOICES_PER_ROUND {
            let at = low_bits(self.next_random()) as usize % self.open.len();
            drop(self.open.swap_remove(at));
            if let Some(lease) = black_box(self.choose()) {
                self.open.push(lease);
            }
        }
        start.elapsed().as_nanos() as f64 / f64::from(CHOICES_PER_ROUND)
    }

    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

/// The lower half.
fn low_bits(number: u64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

fn settings(balance: Balance, servers: u32, mixed: bool) -> Settings {
    let server = |index: u32| Server {
        name: format!("rabbit-{index}"),
        address: Address {
            host: Host::Ip(IpAddr::V4(Ipv4Addr::from_bits(0x7f00_0000 | index))),
            port: 5672,
        },
        weight: if mixed {
            u16::from(index.wrapping_mul(37).to_le_bytes()[0]) + 1
        } else {
            100
        },
        max_connections: if mixed {
            [0, 1, 4][index as usize % 3]
        } else {
            0
        },
        backup: mixed && index % 10 == 9,
        send_proxy: SendProxy::Off,
    };
    Settings {
        name: "rabbit".to_owned(),
        balance,
        retries: 3,
        on_down: OnDown::Reset,
        slow_start: Duration::ZERO,
        connect_timeout: Duration::from_secs(5),
        idle_timeout: None,
        queue_timeout: Duration::from_secs(5),
        max_queue: 1000,
        check: Check {
            kind: CheckKind::Tcp,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
        },
        servers: (0..servers).map(server).collect(),
    }
}

fn set_state(pool: &Pool, server: usize, mixed: bool, now: Instant) {
    let health = match (mixed, server % 10) {
        (true, 1) => Health::Unknown,
        (true, 3) => Health::Down,
        _ => Health::Up,
    };
    let admin = match (mixed, server % 10) {
        (true, 5) => Admin::Drain,
        (true, 7) => Admin::Maint,
        _ => Admin::Ready,
    };
    let report = Report {
        result: CheckResult {
            code: CheckCode::L4Ok,
            reply_code: None,
            detail: String::new(),
            took: Duration::ZERO,
        },
        score: 0,
        health: Some(health),
        leaving: false,
    };
    pool.report(server, report, now);
    pool.set_admin(server, admin, "bench", now);
}
