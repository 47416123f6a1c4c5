//! Debian's haproxy and warren, each in front of the same servers, for one test.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::skip::skip;

/// A daemon that is killed when dropped.
pub(crate) struct Daemon(pub(crate) Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the configurations of both name: `r1` and `r3` (a backup) refuse connections, `r2` accepts
/// them; `n1` is not checked.
pub(crate) struct Servers {
    pub(crate) live: SocketAddr,
    dead: SocketAddr,
    peers: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Servers {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let live = listener.local_addr().unwrap();
        let peers = Arc::<Mutex<Vec<_>>>::default();
        let known = Arc::clone(&peers);
        // Each connection ends with its client, the threads with the test process.
        std::thread::spawn(move || {
            for mut connection in listener.incoming().flatten() {
                known.lock().unwrap().extend(connection.peer_addr());
                std::thread::spawn(move || std::io::copy(&mut connection, &mut std::io::sink()));
            }
        });
        let dead = free();
        Self { live, dead, peers }
    }

    /// Whether `r2` has a connection from this address, which it may not have accepted yet.
    pub(crate) fn know(&self, peer: &str) -> bool {
        let known = |peers: &Vec<SocketAddr>| peers.iter().any(|one| one.to_string() == peer);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !known(&self.peers.lock().unwrap()) {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }
}

/// An address where nobody listens.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A running balancer.
pub(crate) struct Balancer {
    folder: TempDir,
    front: SocketAddr,
    _daemon: Daemon,
}

impl Balancer {
    /// Starts haproxy and waits until its checks have decided; `None`, said as a skip, when it
    /// is not installed.
    pub(crate) fn haproxy(servers: &Servers) -> Option<Self> {
        let configuration = |socket: &Path, front| haproxy_file(socket, front, servers);
        let started = Self::start("haproxy", &["-f"], configuration);
        if started.is_none() {
            skip("haproxy is not installed");
        }
        started
    }

    /// Starts the warren of this build and waits until its checks have decided.
    pub(crate) fn warren(servers: &Servers) -> Self {
        let configuration = |socket: &Path, front| warren_file(socket, front, servers);
        Self::start(env!("CARGO_BIN_EXE_warren"), &["run", "-c"], configuration)
            .expect("cargo has built it")
    }

    fn start(
        program: &str,
        arguments: &[&str],
        configuration: impl FnOnce(&Path, SocketAddr) -> String,
    ) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let front = free();
        let file = folder.path().join("configuration");
        let socket = folder.path().join("stats.sock");
        std::fs::write(&file, configuration(&socket, front)).unwrap();
        let started = Command::new(program)
            .args(arguments)
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn();
        let balancer = Self {
            folder,
            front,
            _daemon: Daemon(started.ok()?),
        };
        balancer.wait_for_checks();
        Some(balancer)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("stats.sock")
    }

    /// Sends `request` and returns everything until the close.
    pub(crate) fn ask(&self, request: &str) -> String {
        super::ask(&self.socket(), request)
    }

    /// Sends one line.
    pub(crate) fn ask_line(&self, line: &str) -> String {
        self.ask(&format!("{line}\n"))
    }

    /// What was logged, once it holds `text`: a thread of its own writes it.
    pub(crate) fn log_until(&self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
            if log.contains(text) {
                return log;
            }
            assert!(
                Instant::now() < deadline,
                "in vain waited for {text} in {log}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Connects as a client.
    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(self.front).unwrap()
    }

    /// Listens where its clients connect, which it does not.
    pub(crate) fn take_port(&self) -> TcpListener {
        TcpListener::bind(self.front).unwrap()
    }

    pub(crate) fn wait_until_refused(&self) {
        self.wait_for_port(false);
    }

    pub(crate) fn wait_until_accepting(&self) {
        self.wait_for_port(true);
    }

    fn wait_for_port(&self, accepting: bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(self.front).is_ok() != accepting {
            assert!(Instant::now() < deadline, "in vain waited for {accepting}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks until the answer is as wanted, and returns it.
    pub(crate) fn ask_until(&self, request: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = self.ask(request);
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "in vain waited for {answer}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks until the answer speaks of no check that is going on: HAProxy marks its last result
    /// and leaves the check's words out until it has the next, which is a matter of the moment.
    pub(crate) fn ask_at_rest(&self, request: &str) -> String {
        // srv_check_state of `show servers state`, whose lowest bit is CHK_ST_INPROGRESS.
        const STATE: usize = 13;
        self.ask_until(request, |answer| {
            !answer.contains("* L")
                && !answer
                    .lines()
                    .any(|row| row.split(' ').nth(STATE).is_some_and(|state| state == "7"))
        })
    }

    fn wait_for_checks(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            assert!(Instant::now() < deadline, "no socket");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.ask_until("show stat\n", |rows| {
            let decided = |server: &str, words: [&str; 2]| {
                rows.lines().any(|row| {
                    let values: Vec<_> = row.split(',').collect();
                    values.get(1) == Some(&server) && words.iter().all(|word| values.contains(word))
                })
            };
            decided("r1", ["DOWN", "L4CON"])
                && decided("r2", ["UP", "L4OK"])
                && decided("r3", ["DOWN", "L4CON"])
        });
    }
}

fn haproxy_file(socket: &Path, front: SocketAddr, servers: &Servers) -> String {
    let (socket, dead, live) = (socket.display(), servers.dead, servers.live);
    let check = "check inter 200ms rise 2 fall 3 weight 100";
    format!(
        "global
    stats socket {socket} mode 600 level admin
    maxconn 1000
    nbthread 1
defaults
    mode tcp
    timeout client 10s
    timeout server 10s
    timeout connect 1s
frontend amqp
    bind {front}
    maxconn 200
    default_backend rabbit
backend rabbit
    balance leastconn
    server r1 {dead} {check} maxconn 50
    server r2 {live} {check}
    server r3 {dead} {check} backup
backend plain
    balance roundrobin
    server n1 {live} weight 100
"
    )
}

fn warren_file(socket: &Path, front: SocketAddr, servers: &Servers) -> String {
    let (socket, dead, live) = (socket.display(), servers.dead, servers.live);
    format!(
        r#"
[global]
workers = 1
max_connections = 300
[admin]
socket = "{socket}"
http = ""
[listen.amqp]
bind = "{front}"
max_connections = 200
pool = "rabbit"
[pool.rabbit]
balance = "leastconn"
[pool.rabbit.check]
type = "tcp"
interval = "200ms"
rise = 2
fall = 3
[pool.rabbit.servers]
r1 = {{ address = "{dead}", max_connections = 50 }}
r2 = "{live}"
r3 = {{ address = "{dead}", backup = true }}
[pool.plain]
balance = "roundrobin"
[pool.plain.check]
type = "none"
[pool.plain.servers]
n1 = "{live}"
"#
    )
}
