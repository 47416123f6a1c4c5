//! A warren in front of servers that echo, and a crowd of clients.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::{AbortHandle, JoinSet};

use crate::accounts::{self, Account};
use crate::ports::free_port;
use crate::process::{Daemon, mortal};
use crate::wait::until;

/// How long anything may take that happens soon. The machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Names of the servers, in the order of their numbers.
pub(crate) const NAMES: [&str; 3] = ["s1", "s2", "s3"];

/// Something that echoes, until it is stopped.
pub(crate) struct Server {
    port: u16,
    task: AbortHandle,
}

impl Server {
    fn start(port: u16) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    // Its client may be gone.
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        Self {
            port,
            task: task.abort_handle(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The daemon and its three servers.
pub(crate) struct World {
    servers: Vec<Option<Server>>,
    ports: Vec<u16>,
    port: u16,
    daemon: Daemon,
    home: TempDir,
}

impl World {
    /// Three servers in the pool `p` with `keys`, and further tables.
    pub(crate) async fn start(keys: &str, tables: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let servers = NAMES.map(|_| Server::start(free_port()));
        let port = free_port();
        let ports: Vec<u16> = servers.iter().map(|server| server.port).collect();
        let listed = NAMES.iter().zip(&ports);
        let listed = listed.map(|(name, port)| format!("{name} = \"127.0.0.1:{port}\"\n"));
        let text = format!(
            "[global]\nworkers = 2\ndrain_timeout = \"0s\"\n\
             [log]\nformat = \"text\"\n\
             [admin]\nsocket = \"{}\"\n\
             [listen.entrance]\nbind = \"127.0.0.1:{port}\"\npool = \"p\"\n\
             [pool.p]\n{keys}\n\
             check = {{ interval = \"100ms\" }}\n\
             [pool.p.servers]\n{}\n{tables}",
            home.path().join("admin.sock").display(),
            listed.collect::<String>(),
        );
        let file = home.path().join("warren.toml");
        std::fs::write(&file, text).unwrap();
        let mut command = mortal(env!("CARGO_BIN_EXE_warren"));
        command.args(["run", "-c"]).arg(&file);
        let world = Self {
            servers: servers.into_iter().map(Some).collect(),
            ports,
            port,
            daemon: Daemon::start(command, &home.path().join("log")),
            home,
        };
        let accepting = async || world.daemon.log().contains("accepting").then_some(());
        until("it accepts", SOON, accepting).await;
        world
    }

    /// Where a server listens.
    pub(crate) fn address(&self, number: usize) -> String {
        format!("127.0.0.1:{}", self.ports[number])
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("admin.sock")
    }

    /// Changes the file and has it read again.
    pub(crate) async fn reload(&self, change: impl FnOnce(&str) -> String) {
        let file = self.home.path().join("warren.toml");
        let before = std::fs::read_to_string(&file).unwrap();
        let after = change(&before);
        assert_ne!(after, before);
        std::fs::write(&file, after).unwrap();
        let ran = self.run("reload").await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }

    /// `warren COMMAND ARGUMENTS --socket ...`
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
        command
            .args(arguments.split(' '))
            .arg("--socket")
            .arg(self.socket());
        command.kill_on_drop(true);
        command
    }

    /// Runs such a command to its end.
    pub(crate) async fn run(&self, arguments: &str) -> Ran {
        let output = tokio::time::timeout(SOON, self.command(arguments).output()).await;
        Ran::from(output.expect("a command that ends").unwrap())
    }

    /// What `warren status --json` says.
    pub(crate) async fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.run("status --json").await.out).unwrap()
    }

    /// Waits until it is as wanted.
    pub(crate) async fn status_until(
        &self,
        what: &str,
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let right = async || Some(self.status().await).filter(|status| wanted(status));
        until(what, SOON, right).await.0
    }

    /// Open connections of each server.
    pub(crate) async fn open(&self) -> Vec<u64> {
        open(&self.status().await)
    }

    /// Sends a line to the stats socket.
    pub(crate) async fn ask(&self, line: &str) -> String {
        let mut stream = tokio::net::UnixStream::connect(self.socket())
            .await
            .unwrap();
        stream
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    pub(crate) fn log(&self) -> String {
        self.daemon.log()
    }

    /// The accounts in the log with this ending, in the order in which they were written.
    pub(crate) fn accounts(&self, ending: &str) -> Vec<Account> {
        accounts::with_ending(&self.daemon.log(), ending)
    }

    /// Stops a server and what is connected to it.
    pub(crate) fn stop_server(&mut self, number: usize) {
        self.servers[number] = None;
    }

    pub(crate) async fn start_server(&mut self, number: usize) {
        // Its connections end in a moment, and with them the use of the port.
        let port = self.ports[number];
        let free = async || std::net::TcpListener::bind(("127.0.0.1", port)).ok();
        until("the port is free", SOON, free).await;
        self.servers[number] = Some(Server::start(port));
    }

    /// So many clients, which come one after the other and stay.
    pub(crate) async fn crowd(&self, count: usize) -> Crowd {
        let mut crowd = Crowd {
            connected: Arc::default(),
            tasks: JoinSet::new(),
        };
        for _ in 0..count {
            let first = greet(self.port).await.unwrap();
            let live = live(self.port, first, Arc::clone(&crowd.connected));
            crowd.tasks.spawn(live);
        }
        crowd.connected_are(count).await;
        crowd
    }
}

/// Open connections of each server.
pub(crate) fn open(status: &serde_json::Value) -> Vec<u64> {
    let servers = status["pools"][0]["servers"].as_array().unwrap();
    let now = |server: &serde_json::Value| server["open"]["now"].as_u64().unwrap();
    servers.iter().map(now).collect()
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: Option<i32>,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code(),
        }
    }
}

/// Clients that connect again at once when they lose their connection.
pub(crate) struct Crowd {
    connected: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Crowd {
    /// Waits until so many have a connection that echoes.
    pub(crate) async fn connected_are(&self, count: usize) {
        let there = async || (self.connected.load(Ordering::Relaxed) == count).then_some(());
        until("all clients are connected", SOON, there).await;
    }
}

/// A connection that echoes.
async fn greet(port: u16) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(&[7]).await?;
    stream.read_exact(&mut [0]).await?;
    Ok(stream)
}

async fn live(port: u16, first: TcpStream, connected: Arc<AtomicUsize>) {
    let mut stream = first;
    loop {
        connected.fetch_add(1, Ordering::Relaxed);
        // Until somebody ends it.
        let _ = stream.read(&mut [0]).await;
        connected.fetch_sub(1, Ordering::Relaxed);
        stream = loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if let Ok(stream) = greet(port).await {
                break stream;
            }
        };
    }
}

/// A client that never stops talking, until it is cut off.
pub(crate) async fn chatter(world: &World) -> SocketAddr {
    let mut stream = greet(world.port).await.unwrap();
    let address = stream.local_addr().unwrap();
    tokio::spawn(async move {
        let mut byte = [7];
        while stream.write_all(&byte).await.is_ok() && stream.read_exact(&mut byte).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    address
}
