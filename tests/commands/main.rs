//! The commands that ask a running daemon: `status`, `explain`, `events`, `sessions`, and the
//! completion of names in real shells.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod ask;
mod explain;
mod shells;
mod watch;

#[expect(dead_code, reason = "others wait for the end of theirs")]
#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/skip.rs"]
mod skip;
mod terminal;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use daemon::{Daemon, mortal};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

/// How long anything may take that happens by itself on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running warren with one listener in front of the pool `rabbit`.
struct Warren {
    home: TempDir,
    daemon: Daemon,
    front: SocketAddr,
}

impl Warren {
    /// Starts it with the text of its pools, and waits for its socket.
    fn start(pools: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let front = SocketAddr::from(([127, 0, 0, 1], ports::free_port()));
        let text = format!(
            "[global]\nworkers = 2\ndrain_timeout = \"0s\"\n[log]\nformat = \"text\"\n\
             [admin]\nsocket = {:?}\n[listen.amqp]\nbind = \"{front}\"\npool = \"rabbit\"\n{pools}",
            home.path().join("admin.sock"),
        );
        std::fs::write(home.path().join("warren.toml"), text).unwrap();
        let warren = Self {
            daemon: launch(&home),
            front,
            home,
        };
        warren.until("it answers", || {
            warren.run(&["status"]).status.code() != Some(1)
        });
        warren
    }

    /// Starts it again after it was killed.
    fn restart(&mut self) {
        self.daemon = launch(&self.home);
        self.until("it answers", || {
            self.run(&["status"]).status.code() != Some(1)
        });
    }

    /// Ends it, with no time for a farewell.
    fn kill(&mut self) {
        self.daemon.signal(nix::sys::signal::Signal::SIGKILL);
        let begun = Instant::now();
        while self.daemon.ended().is_none() {
            assert!(begun.elapsed() < PATIENCE, "it does not die");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("admin.sock")
    }

    /// Runs a command against it.
    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
        command.args(words).arg("--socket").arg(self.socket());
        command.output().unwrap()
    }

    /// What a command that succeeds prints; without line breaks where it is wrapped.
    fn says(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The paragraph of an explanation, in one line, once it holds some words.
    fn explains(&self, server: &str, words: &str) -> String {
        let mut text = String::new();
        self.until(words, || {
            let page = self.says(&["explain", "server", server]);
            let paragraph = page.split("\n\n").next().unwrap_or_default();
            text = paragraph.replace('\n', " ");
            text.contains(words)
        });
        text
    }

    /// Gives a command of the stats socket.
    fn order(&self, command: &str) {
        use std::io::{Read, Write};
        let mut stream = std::os::unix::net::UnixStream::connect(self.socket()).unwrap();
        writeln!(stream, "{command}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "\n", "{command}");
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.front).unwrap()
    }

    /// Waits until something is so.
    fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !condition() {
            let log = self.daemon.log();
            assert!(
                begun.elapsed() < PATIENCE,
                "in vain waited for: {what}\n{log}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn launch(home: &TempDir) -> Daemon {
    let mut command = mortal(env!("CARGO_BIN_EXE_warren"));
    command
        .args(["run", "-c"])
        .arg(home.path().join("warren.toml"));
    Daemon::start(command, &home.path().join("log"))
}

/// A server that refuses, until it is told to listen. Its port is nobody else's.
fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// A server that accepts and keeps what it accepted, until the test ends.
fn server() -> SocketAddr {
    serve(TcpListener::bind("127.0.0.1:0").unwrap())
}

fn serve(listener: TcpListener) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            std::thread::spawn(move || std::io::copy(&mut connection, &mut std::io::sink()));
        }
    });
    address
}

/// A pool whose checks are quick.
fn pool(servers: &str) -> String {
    format!(
        "[pool.rabbit]\ncheck = {{ interval = \"200ms\", timeout = \"10s\" }}\n\
         [pool.rabbit.servers]\n{servers}"
    )
}
