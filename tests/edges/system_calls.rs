//! What a round trip and a short connection cost in system calls, counted by strace. Unlike times,
//! counts are the same on every machine.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::skip::skip;
use crate::warren::{SOON, Setup, Warren};
use crate::wire::{Server, connect, finish_writing, pair, pass, ping, reset};

const BUDGET: &str = include_str!("system_calls.txt");
/// Calls that have no line in the budget, per unit of work: timers, the log.
const OTHERS: f64 = 0.01;
/// A part of a unit that was under way when counting began or ended.
const SLACK: f64 = 0.02;

const CONNECTIONS: usize = 8;
const ROUNDS: usize = 100;
const SHORT: usize = 400;

/// By name of the call: per round trip, and per short connection.
fn budget() -> BTreeMap<&'static str, [f64; 2]> {
    let lines = BUDGET.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [name, trip, short] = words[..] else {
                panic!("system_calls.txt: {line}");
            };
            (name, [trip, short].map(|number| number.parse().unwrap()))
        })
        .collect()
}

/// strace, attached to the workers of a warren.
pub(crate) struct Strace {
    child: Child,
    folder: tempfile::TempDir,
}

impl Strace {
    /// `None` where it is not there, or not allowed to.
    pub(crate) fn attach(warren: &Warren, arguments: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let said = File::create(folder.path().join("said")).unwrap();
        let mut strace = Command::new("strace");
        strace.args(arguments).arg("-o");
        strace.arg(folder.path().join("written"));
        let workers = workers(warren);
        for worker in &workers {
            strace.arg("-p").arg(worker);
        }
        let Ok(child) = strace.stdin(Stdio::null()).stderr(said).spawn() else {
            skip("there is no strace");
            return None;
        };
        let mut strace = Self { child, folder };
        let begun = Instant::now();
        loop {
            let said = std::fs::read_to_string(strace.folder.path().join("said")).unwrap();
            if said.matches("attached").count() == workers.len() {
                return Some(strace);
            }
            if strace.child.try_wait().unwrap().is_some() {
                skip(&format!("strace: {}", said.trim()));
                return None;
            }
            assert!(begun.elapsed() < SOON, "{said}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it has written.
    pub(crate) fn detach(mut self) -> String {
        let id = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(id), Signal::SIGINT).unwrap();
        self.child.wait().unwrap();
        std::fs::read_to_string(self.folder.path().join("written")).unwrap()
    }
}

/// The ids of its workers' threads.
fn workers(warren: &Warren) -> Vec<OsString> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", warren.id())).unwrap();
    let is_worker = |name: String| name.starts_with("worker-");
    tasks
        .map(|task| task.unwrap())
        .filter(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(is_worker))
        .map(|task| task.file_name())
        .collect()
}

/// Calls per unit of work, from the columns that [`COUNT`] asks for.
fn per(counts: &str, units: usize) -> BTreeMap<String, f64> {
    let line = |line: &str| {
        let (calls, name) = line.trim().split_once(char::is_whitespace)?;
        Some((name.trim().to_owned(), calls.parse::<f64>().ok()?))
    };
    counts
        .lines()
        .filter_map(line)
        // The tests' own doing: the allocator gives back at once, so that memory can be audited.
        .filter(|(name, _)| name != "total" && name != "madvise")
        .map(|(name, calls)| (name, calls / units as f64))
        .collect()
}

const COUNT: &[&str] = &["-c", "-U", "calls,name"];

/// What a worker asks for the connections that are open when it looks after them, once a second, is
/// counted as well: the more of it the slower the machine is.
const BY_THE_SECOND: f64 = 4.0;

/// `per_second`: units of work.
fn check(counted: &BTreeMap<String, f64>, column: usize, what: &str, per_second: f64) {
    println!("  per {what}: {counted:.2?}");
    assert!(!counted.is_empty());
    let budget = budget();
    for (name, &calls) in counted {
        let most = budget
            .get(name.as_str())
            .map_or(0.0, |budget| budget[column]);
        assert!(
            calls <= most + OTHERS.max(SLACK * most) + BY_THE_SECOND / per_second,
            "{calls:.2} {name} per {what}, {most} are allowed: {counted:.2?}"
        );
    }
}

fn start(server: &Server) -> Warren {
    Warren::start(&Setup {
        global: "workers = 1\n",
        ..Setup::of(&[server])
    })
}

#[test]
fn a_round_trip_costs_what_it_did() {
    let server = Server::start();
    let warren = start(&server);
    let mut pairs: Vec<_> = (0..CONNECTIONS).map(|_| pair(&warren, &server)).collect();
    let message = [b'w'; 1024];
    for (client, at_server) in &mut pairs {
        ping(client, at_server, &message);
        ping(client, at_server, &message);
    }
    // The first sweep arms keepalive, which happens once.
    std::thread::sleep(Duration::from_millis(2_100));
    let Some(strace) = Strace::attach(&warren, COUNT) else {
        return;
    };
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        for (client, at_server) in &mut pairs {
            pass(client, at_server, &message);
        }
        for (client, at_server) in &mut pairs {
            pass(at_server, client, &message);
        }
    }
    let units = ROUNDS * CONNECTIONS;
    let per_second = units as f64 / begun.elapsed().as_secs_f64();
    check(&per(&strace.detach(), units), 0, "round trip", per_second);
    drop(pairs);
    warren.finish(&[&server]);
}

#[test]
fn a_short_connection_costs_what_it_did() {
    let server = Server::start();
    let warren = start(&server);
    let once = || {
        let (mut client, mut at_server) = pair(&warren, &server);
        ping(&mut client, &mut at_server, b"w");
        reset(client);
        // It ends by the reset that is passed on.
        at_server.peek(&mut [0]).unwrap_err();
    };
    once();
    let Some(strace) = Strace::attach(&warren, COUNT) else {
        return;
    };
    let begun = Instant::now();
    for _ in 0..SHORT {
        once();
    }
    let per_second = SHORT as f64 / begun.elapsed().as_secs_f64();
    let counted = per(&strace.detach(), SHORT);
    check(&counted, 1, "short connection", per_second);
    warren.finish(&[&server]);
}

/// Case 57 of the fault catalogue: a stream without end does not keep its worker from the others.
/// However much there is to move, the worker asks the kernel for news after 4 MiB.
#[test]
fn a_stream_without_end_leaves_the_others_their_turn() {
    const MOST: u64 = 4 << 20;
    // What one splice moves.
    const PIPE: u64 = 1 << 20;
    let server = Server::start();
    let warren = start(&server);
    let (mut client, mut at_server) = pair(&warren, &server);
    let over = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        scope.spawn(|| {
            let bytes = vec![0; 1 << 20];
            while !over.load(Ordering::Relaxed) {
                client.write_all(&bytes).unwrap();
            }
            finish_writing(&client);
        });
        scope.spawn(|| {
            let mut buffer = vec![0; 1 << 20];
            while at_server.read(&mut buffer).unwrap() > 0 {}
        });
        std::thread::sleep(Duration::from_millis(500));
        let strace = Strace::attach(&warren, &["-e", "trace=epoll_wait,splice"]);
        std::thread::sleep(Duration::from_secs(2));
        over.store(true, Ordering::Relaxed);
        strace.map(Strace::detach)
    });
    drop((client, at_server));
    let Some(written) = written else {
        return;
    };
    let (mut moved, mut most, mut turns) = (0, 0, 0);
    for line in written.lines() {
        if line.contains("epoll_wait(") {
            // Every byte goes into the pipe and out of it.
            most = most.max(std::mem::take(&mut moved) / 2);
            turns += 1;
        } else if let Some((_, count)) = line.rsplit_once(" = ") {
            moved += count.parse().unwrap_or(0);
        }
    }
    println!("  {turns} turns, at most {most} bytes in one of them");
    assert!(most > PIPE, "{most} bytes: that was no stream");
    // What is in the pipe at the beginning and at the end comes on top.
    assert!(most <= MOST + 2 * PIPE, "{most} bytes in one turn");
    warren.finish(&[&server]);
}

/// Two workers meet in the pool, whose lock is held for a moment per connection, and nowhere else:
/// with clients at both at once, hardly ever does one wait for the other.
#[test]
fn two_workers_do_not_wait_for_each_other() {
    let server = Server::start();
    // Accounts are queued for the thread that writes them, which has a lock of its own.
    let mut warren = Warren::start(&Setup {
        log: "connections = false",
        ..Setup::of(&[&server])
    });
    let Some(strace) = Strace::attach(&warren, &["-e", "trace=futex,accept4"]) else {
        return;
    };
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                for _ in 0..SHORT / CONNECTIONS {
                    let mut client = connect(&warren);
                    client.write_all(b"w").unwrap();
                    // Somebody's, most likely of another thread.
                    let mut at_server = server.accept();
                    at_server.read_exact(&mut [0]).unwrap();
                    at_server.write_all(b"w").unwrap();
                    client.read_exact(&mut [0]).unwrap();
                    reset(client);
                }
            });
        }
    });
    let written = strace.detach();
    let mut accepted: BTreeMap<&str, usize> = BTreeMap::new();
    for line in written.lines().filter(|line| line.contains("accept4(")) {
        if !line.contains(" = -1") {
            *accepted.entry(line.split(' ').next().unwrap()).or_default() += 1;
        }
    }
    let waits = written.matches("FUTEX_WAIT").count();
    println!("  accepted by each: {accepted:?}; one waited for another {waits} times");
    assert_eq!(accepted.len(), 2, "{accepted:?}");
    assert!(accepted.values().all(|count| *count > SHORT / 4));
    assert!(waits <= SHORT / 50, "{waits} times a worker waited");
    warren.until("no open connections", |warren| {
        (warren.status()["connections"]["now"] == 0).then_some(())
    });
}
