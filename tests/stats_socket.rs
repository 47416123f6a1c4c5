//! The stats socket against the real thing: the same questions to Debian's haproxy with an
//! equivalent configuration. Skipped, with a word, where haproxy is not installed.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;
use warren::config;
use warren::stats::csv::{self, COLUMNS, Filter};
use warren::stats::{Gauge, Registry, WorkerCounters, info, servers_state};

#[path = "stats_socket/equivalent.rs"]
mod equivalent;
#[path = "stats_socket/haproxy.rs"]
mod haproxy;

use haproxy::Haproxy;

/// Sends `request` and returns everything until the close.
fn ask(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The served stats socket of a registry with neither listeners nor pools.
struct Served {
    folder: TempDir,
}

impl Served {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let (ready, wait) = std::sync::mpsc::channel();
        // Ends with the test process.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, async {
                let listener = warren::admin::bind(&path, 0o660).unwrap();
                ready.send(()).unwrap();
                warren::admin::serve(listener, registry()).await;
            });
        });
        wait.recv().unwrap();
        Self { folder }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("admin.sock")
    }
}

fn registry() -> Arc<Registry> {
    let config = config::Config {
        global: config::Global {
            workers: 1,
            max_connections: 0,
            drain_timeout: Duration::ZERO,
        },
        log: config::Log {
            format: config::LogFormat::Text,
            level: config::LogLevel::Info,
            connections: false,
        },
        admin: config::Admin {
            socket: None,
            socket_mode: 0o660,
            identity: config::Identity::Haproxy,
        },
        listeners: vec![],
        pools: vec![],
    };
    Arc::new(Registry {
        config: Arc::new(config),
        pools: vec![],
        workers: vec![Arc::new(WorkerCounters::new(0, 0, 0))],
        listeners: Box::new([]),
        connections: Gauge::default(),
        max_connections: 1000,
        descriptors: 2048,
        started: Instant::now(),
        started_at: SystemTime::now(),
        stopping: AtomicBool::new(false),
        logs_dropped: Arc::new(AtomicU64::new(0)),
        history: Mutex::default(),
    })
}

#[test]
fn show_stat_has_haproxys_rows_and_columns() {
    let live = TcpListener::bind("127.0.0.1:0").unwrap();
    let Some(haproxy) = Haproxy::start(&live) else {
        return;
    };
    let theirs = haproxy.ask("show stat\n");
    let ours = csv::render(&equivalent::snapshot(&haproxy), &Filter::ALL);
    let mut theirs = theirs.trim_end().lines();
    let mut ours = ours.lines();

    // Theirs goes on after the lone `-` with the columns of its modules.
    let header = format!("# {},-,", COLUMNS.join(","));
    assert!(theirs.next().unwrap().starts_with(&header));
    assert_eq!(ours.next().unwrap(), header);

    loop {
        let (Some(their_row), Some(our_row)) = (theirs.next(), ours.next()) else {
            break;
        };
        compare_rows(our_row, their_row);
    }
    assert_eq!((theirs.next(), ours.next()), (None, None));
}

/// The intended differences of `show stat` are here.
fn compare_rows(our_row: &str, their_row: &str) {
    let their_values: Vec<_> = their_row.split(',').collect();
    let our_values: Vec<_> = our_row.split(',').collect();
    assert_eq!(our_values.len(), COLUMNS.len() + 2, "{our_row}");
    assert_eq!(our_values[COLUMNS.len()], "-");
    for (index, name) in COLUMNS.iter().enumerate() {
        let (their, our) = (their_values[index], our_values[index]);
        let place = format!("{name} of\n{our_row}\n{their_row}");
        match *name {
            // Ours says in the check's own words also why it passed.
            "last_chk" if their.is_empty() && our_values[1] == "r2" => {}
            // HAProxy's is a tenth of the limits of the frontends.
            "slim" if our_values[1] == "BACKEND" => assert!(!our.is_empty(), "{place}"),
            // HAProxy's guess at the connections it could keep open for reuse.
            "need_conn_est" => assert_eq!(our.is_empty(), their.is_empty(), "{place}"),
            // Differ by the clock, or in words.
            "lastchg" | "downtime" | "check_duration" | "last_chk" => {
                assert_eq!(our.is_empty(), their.is_empty(), "{place}");
            }
            _ => assert_eq!(our, their, "{place}"),
        }
    }
}

#[test]
fn show_info_has_haproxys_keys_in_its_order() {
    let live = TcpListener::bind("127.0.0.1:0").unwrap();
    let Some(haproxy) = Haproxy::start(&live) else {
        return;
    };
    let keys = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.is_empty());
        lines
            .map(|line| line.split_once(": ").unwrap().0.to_owned())
            .collect()
    };
    // The intended differences: three keys more.
    let mut expected = keys(&haproxy.ask("show info\n"));
    let node = expected.iter().position(|key| key == "node").unwrap();
    expected.insert(node + 1, "description".to_owned());
    expected.extend(["Product", "Product_version"].map(str::to_owned));
    let ours = info::render(&equivalent::snapshot(&haproxy));
    assert_eq!(keys(&ours), expected);
}

#[test]
fn show_servers_state_is_haproxys_but_for_the_clock() {
    // srv_time_since_last_change
    const CLOCK: usize = 9;
    let live = TcpListener::bind("127.0.0.1:0").unwrap();
    let Some(haproxy) = Haproxy::start(&live) else {
        return;
    };
    let table = |text: &str| -> Vec<Vec<String>> {
        let rows = text.trim_end().lines().map(|line| {
            let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            if !line.starts_with('#') && words.len() > CLOCK {
                words[CLOCK] = "clock".to_owned();
            }
            words
        });
        rows.collect()
    };
    let theirs = haproxy.ask("show servers state\n");
    let ours = servers_state::render(&equivalent::snapshot(&haproxy), None).unwrap();
    assert_eq!(table(&ours), table(&theirs));
}

/// Answered alike to the letter, but for the version.
const SAME: [&str; 17] = [
    "show version;show cli level\n",
    "  show   version \r\n",
    "show version extra\nshow cli level\n",
    "quit\n",
    "show version;quit;show version\n",
    "show version",
    "prompt\nshow version\nshow version;show cli level\nquit\n",
    "prompt\nprompt\nshow version\n",
    "show version;prompt;show version\nshow cli level\nquit\n",
    "prompt\r\nshow version\r\nquit\r\n",
    "sho version\n",
    "Show version\n",
    "show\\ version\n",
    "help show version\n",
    "show servers state nosuch\n",
    "show stat nosuch 1 1\n",
    "show stat domain nosuch\n",
];

/// Answered with the list of commands, which is shorter here.
const LISTS: [&str; 5] = ["\n", ";\n", "show version;\n", "help\n", "show\n"];

#[test]
fn the_protocol_is_haproxys() {
    let live = TcpListener::bind("127.0.0.1:0").unwrap();
    let Some(haproxy) = Haproxy::start(&live) else {
        return;
    };
    let served = Served::start();
    let their_version = haproxy.ask("show version\n");
    let our_version = ask(&served.socket(), "show version\n");
    assert!(our_version.starts_with("2.6.") && our_version.ends_with("\n\n"));
    let both = |request| {
        let theirs = haproxy.ask(request);
        let theirs = theirs.replace(their_version.trim_end(), our_version.trim_end());
        (ask(&served.socket(), request), theirs)
    };
    for request in SAME {
        let (ours, theirs) = both(request);
        assert_eq!(ours, theirs, "{request:?}");
    }
    for request in LISTS {
        let (ours, theirs) = both(request);
        let without_commands = |answer: &str| -> Vec<String> {
            let lines = answer.lines().filter(|line| !line.starts_with("  "));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(
            without_commands(&ours),
            without_commands(&theirs),
            "{request:?}"
        );
    }
}

fn warren_status(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_warren"))
        .args(["status", "--socket"])
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn warren_status_tells_by_text_json_and_exit_code() {
    let served = Served::start();
    let socket = served.socket();
    let socket = socket.to_str().unwrap();
    let output = warren_status(&[socket]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let screen = String::from_utf8(output.stdout).unwrap();
    let first = format!("warren {}  on ", env!("CARGO_PKG_VERSION"));
    assert!(screen.starts_with(&first), "{screen}");

    let output = warren_status(&[socket, "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["connections"]["limit"], 1000);
}

#[test]
fn warren_status_without_a_daemon_says_what_to_do() {
    let output = warren_status(&["/nonexistent/admin.sock"]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("no warren is running here"), "{message}");
    assert_eq!(message.lines().count(), 1);
}
