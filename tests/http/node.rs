//! Daemons in the network of a test, each killed when dropped.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::network::{body, get, until};
use crate::skip::skip;

/// Where the HTTP side of warren is: its default, which only this network has.
pub(crate) const HTTP: &str = "127.0.0.1:8404";
/// Where that of haproxy is.
pub(crate) const HAPROXY: &str = "127.0.0.1:8405";

/// A program in the background.
pub(crate) struct Program(Child);

impl Program {
    /// Starts it with its output in a file of `home`; `None`, said as a skip, when it is missing.
    pub(crate) fn start(command: &mut Command, home: &Path) -> Option<Self> {
        let log = std::fs::File::create(home.join("log")).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        match command.spawn() {
            Ok(child) => Some(Self(child)),
            Err(_) => {
                let program = command.get_program().display();
                skip(&format!("{program} is not installed"));
                None
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that accepts everything and answers nothing, at this port of loopback.
pub(crate) fn serve(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    // Each connection ends with its client, the threads with the test process.
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            std::thread::spawn(move || std::io::copy(&mut connection, &mut std::io::sink()));
        }
    });
}

/// A running warren.
pub(crate) struct Warren {
    home: TempDir,
    program: Program,
}

/// `rabbit` has two servers that refuse connections, one of them a backup, and one that accepts
/// them; `plain` is not checked.
pub(crate) const POOLS: &str = r#"
[listen.amqp]
bind = "127.0.0.1:5672"
max_connections = 200
pool = "rabbit"
[pool.rabbit.check]
interval = "200ms"
[pool.rabbit.servers]
r1 = { address = "127.0.0.1:5681", max_connections = 50 }
r2 = "127.0.0.1:5682"
r3 = { address = "127.0.0.1:5681", backup = true }
[pool.plain]
balance = "roundrobin"
[pool.plain.check]
type = "none"
[pool.plain.servers]
n1 = "127.0.0.1:5682"
"#;

/// A virtual router of its own.
pub(crate) const ROUTER: &str = r#"
[vrrp.amqp]
interface = "eth0"
router_id = 51
priority = 150
advert_interval = "100ms"
addresses = ["192.0.2.100/24"]
"#;

impl Warren {
    /// Starts it in front of these pools and waits until its HTTP side answers.
    pub(crate) fn start(tables: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let socket = home.path().join("admin.sock");
        let file = home.path().join("warren.toml");
        let text = format!("[admin]\nsocket = {socket:?}\n[global]\nworkers = 1\n{tables}");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
        command.args(["run", "-c"]).arg(&file);
        let program = Program::start(&mut command, home.path()).unwrap();
        until("the HTTP side", || get(HTTP, "/healthz"));
        Self { home, program }
    }

    /// The same, ready and with the decision of every check.
    pub(crate) fn ready(tables: &str) -> Self {
        let warren = Self::start(tables);
        until("ready", || {
            get(HTTP, "/readyz").filter(|(status, ..)| *status == 200)
        });
        warren
    }

    /// Tells it to stop, as systemd does.
    pub(crate) fn terminate(&self) {
        let id = i32::try_from(self.program.0.id()).unwrap();
        kill(Pid::from_raw(id), Signal::SIGTERM).unwrap();
    }

    /// Puts other tables into its file and tells it to read them; the answer comes back.
    pub(crate) fn reload(&self, tables: &str) -> String {
        let file = self.home.path().join("warren.toml");
        let before = std::fs::read_to_string(&file).unwrap();
        let (admin, _) = before.split_once("[listen.").unwrap();
        std::fs::write(&file, format!("{admin}{tables}")).unwrap();
        self.tell("reload")
    }

    /// What the stats socket answers to a line.
    pub(crate) fn tell(&self, line: &str) -> String {
        let mut stream = UnixStream::connect(self.home.path().join("admin.sock")).unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// Debian's haproxy as [`POOLS`] has it, with its page and exporter at [`HAPROXY`], when its checks
/// have decided; `None`, said as a skip, when it is missing.
pub(crate) fn haproxy() -> Option<(TempDir, Program)> {
    let home = tempfile::tempdir().unwrap();
    let file: PathBuf = home.path().join("haproxy.cfg");
    let check = "check inter 200ms rise 2 fall 3 weight 100";
    let text = format!(
        "global
    maxconn 1000
    nbthread 1
defaults
    mode tcp
    timeout client 10s
    timeout server 10s
    timeout connect 1s
frontend amqp
    bind 127.0.0.1:5673
    maxconn 200
    default_backend rabbit
backend rabbit
    balance leastconn
    server r1 127.0.0.1:5681 {check} maxconn 50
    server r2 127.0.0.1:5682 {check}
    server r3 127.0.0.1:5681 {check} backup
backend plain
    balance roundrobin
    server n1 127.0.0.1:5682 weight 100
frontend http
    mode http
    bind {HAPROXY}
    http-request use-service prometheus-exporter if {{ path /metrics }}
    stats enable
    stats uri /
    stats show-legends
"
    );
    std::fs::write(&file, text).unwrap();
    let program = Program::start(Command::new("haproxy").arg("-f").arg(&file), home.path())?;
    until("haproxy", || get(HAPROXY, "/metrics"));
    until("its checks", || {
        let rows = body(HAPROXY, "/;csv");
        (!rows.contains("* L") && rows.matches(",L4CON,").count() == 2 && rows.contains(",L4OK,"))
            .then_some(())
    });
    Some((home, program))
}
