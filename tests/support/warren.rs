//! The real binary with a configuration of its own, on loopback.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::daemon::{Daemon, mortal};
use crate::ports::free_port;

/// `drain_timeout` of every configuration below.
const DRAIN: Duration = Duration::from_secs(1);

/// A running daemon with one listener in front of the pool `rabbit`.
pub(crate) struct Warren {
    /// Port of the listener.
    pub(crate) port: u16,
    socket: PathBuf,
    daemon: Daemon,
    home: TempDir,
}

/// What a daemon takes of the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Footprint {
    pub(crate) descriptors: usize,
    /// Resident memory.
    pub(crate) kib: usize,
}

/// One server as `show stat` reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// `svname`
    pub(crate) name: String,
    /// `status`, for example `UP` or `DOWN`.
    pub(crate) status: String,
    /// `scur`: open connections.
    pub(crate) open: usize,
    /// `stot`: connections so far.
    pub(crate) total: usize,
}

impl Warren {
    /// Starts the daemon with `pool`, the TOML text of `[pool.rabbit]` and its tables, and waits
    /// until every server named in `up` is up.
    pub(crate) async fn start(pool: &str, up: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("make a scratch folder");
        let port = free_port();
        let socket = home.path().join("admin.sock");
        let file = write(&home, port, pool);
        let mut command = mortal(env!("CARGO_BIN_EXE_warren"));
        command.args(["run", "-c"]).arg(&file);
        let mut warren = Self {
            port,
            socket,
            daemon: Daemon::start(command, &home.path().join("warren.log")),
            home,
        };
        for name in up {
            warren.sees(name, "UP", Duration::from_secs(20)).await;
        }
        warren
    }

    /// Has the daemon go on with another `pool`.
    ///
    /// # Panics
    ///
    /// When it refuses.
    pub(crate) async fn reload(&self, pool: &str) {
        write(&self.home, self.port, pool);
        let mut stream = tokio::net::UnixStream::connect(&self.socket)
            .await
            .expect("the socket");
        stream.write_all(b"reload\n").await.expect("ask");
        let mut answer = String::new();
        let read =
            tokio::time::timeout(Duration::from_secs(30), stream.read_to_string(&mut answer));
        read.await.expect("an answer in time").expect("an answer");
        assert!(answer.starts_with("Success=1\n"), "{answer}");
    }

    /// What it takes of the machine now.
    pub(crate) fn footprint(&self) -> Footprint {
        let info = self.ask("show info\n").expect("the admin socket answers");
        let id = info.lines().find_map(|line| line.strip_prefix("Pid: "));
        let process = PathBuf::from(format!("/proc/{}", id.expect("a process id")));
        let status = std::fs::read_to_string(process.join("status")).expect("a running process");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|line| line.split_whitespace().next());
        Footprint {
            descriptors: std::fs::read_dir(process.join("fd"))
                .expect("its descriptors")
                .count(),
            kib: kib.and_then(|kib| kib.parse().ok()).expect("a number"),
        }
    }

    /// Waits until `server` has `status` and says how long that took.
    pub(crate) async fn sees(&mut self, server: &str, status: &str, limit: Duration) -> Duration {
        let begun = Instant::now();
        loop {
            if let Some(row) = self.rows().into_iter().find(|row| row.name == server)
                && row.status == status
            {
                return begun.elapsed();
            }
            assert!(
                begun.elapsed() < limit,
                "{server} is not {status} within {limit:?}:\n{}",
                self.daemon.log()
            );
            if let Some(ended) = self.daemon.ended() {
                panic!("warren ended with {ended}:\n{}", self.daemon.log());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The servers, in the order of the configuration; none while the daemon starts.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.ask("show stat\n")
            .map_or_else(|_| Vec::new(), |answer| parse(&answer))
    }

    /// Open connections of `server`.
    pub(crate) fn open(&self, server: &str) -> usize {
        self.row(server).open
    }

    /// Connections of `server` so far.
    pub(crate) fn total(&self, server: &str) -> usize {
        self.row(server).total
    }

    fn row(&self, server: &str) -> Row {
        let mut rows = self.rows().into_iter();
        let row = rows.find(|row| row.name == server);
        row.expect("a server of the configuration")
    }

    /// Runs `warren COMMAND ARGUMENTS` on this daemon, and returns what it printed.
    ///
    /// # Panics
    ///
    /// When it fails, or does not end in a minute.
    pub(crate) async fn run(&self, arguments: &str) -> String {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_warren"));
        command
            .args(arguments.split(' '))
            .arg("--socket")
            .arg(&self.socket);
        let output = command.kill_on_drop(true).output();
        let output = tokio::time::timeout(Duration::from_secs(60), output).await;
        let output = output.expect("it ends").expect("run warren");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        let log = || self.daemon.log();
        assert!(
            output.status.success(),
            "{arguments}: {text}{errors}\n{}",
            log()
        );
        text
    }

    /// Stops the daemon with SIGTERM, as systemd does, and returns its log.
    ///
    /// # Panics
    ///
    /// When it does not end in time, or with another exit code than 0.
    pub(crate) async fn stop(mut self) -> String {
        self.daemon.signal(Signal::SIGTERM);
        let status = self.daemon.wait(DRAIN + Duration::from_secs(4)).await;
        let log = self.daemon.log();
        let status = status.unwrap_or_else(|| panic!("warren does not stop:\n{log}"));
        assert!(status.success(), "warren ended with {status}:\n{log}");
        log
    }

    fn ask(&self, command: &str) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(command.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

/// Writes the configuration and says where it is.
fn write(home: &TempDir, port: u16, pool: &str) -> PathBuf {
    let text = format!(
        "[global]\nworkers = 2\ndrain_timeout = \"{}s\"\n\n\
         [log]\nformat = \"text\"\n\n\
         [admin]\nsocket = \"{}\"\nhttp = \"\"\n\n\
         [listen.amqp]\nbind = \"127.0.0.1:{port}\"\npool = \"rabbit\"\n\n{pool}\n",
        DRAIN.as_secs(),
        home.path().join("admin.sock").display(),
    );
    let file = home.path().join("warren.toml");
    std::fs::write(&file, text).expect("write the configuration");
    file
}

/// The servers of HAProxy's CSV, by the names in its first line.
fn parse(csv: &str) -> Vec<Row> {
    let mut lines = csv.lines();
    let header = lines.next().unwrap_or_default().trim_start_matches("# ");
    let names: Vec<&str> = header.split(',').collect();
    let column = |name: &str| {
        let found = names.iter().position(|known| *known == name);
        found.unwrap_or_else(|| panic!("no column {name} in {header:?}"))
    };
    lines
        .map(|line| line.split(',').collect::<Vec<_>>())
        .filter(|cells| cells.len() >= names.len() - 1)
        .map(|cells| Row {
            name: cells[column("svname")].to_owned(),
            status: cells[column("status")].to_owned(),
            open: cells[column("scur")].parse().unwrap_or(0),
            total: cells[column("stot")].parse().unwrap_or(0),
        })
        .filter(|row| row.name != "FRONTEND" && row.name != "BACKEND")
        .collect()
}
