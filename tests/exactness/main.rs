//! Byte exactness: many connections at once through the real binary, both directions, random
//! sizes, pauses and endings; each byte is checked against a keyed stream, on the copy path and on
//! the splice path. After each test the descriptors are back where they were.
//!
//! `WARREN_SEED=N` repeats a run.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpSocket;
use tokio::runtime::{Builder, LocalOptions};

mod actor;
mod keyed;
mod plan;

use actor::{Scene, play_all};
use plan::Traffic;

/// warren with one listener in front of one server.
struct Warren {
    child: Child,
    address: SocketAddr,
    socket: PathBuf,
    _home: tempfile::TempDir,
}

impl Warren {
    fn start(server: SocketAddr) -> Self {
        let home = tempfile::tempdir().unwrap();
        let socket = home.path().join("admin.sock");
        // A port that was free a moment ago; nobody else on loopback asks for it by number.
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let file = home.path().join("warren.toml");
        let text = format!(
            "[global]\nworkers = 2\ndrain_timeout = \"1s\"\n\
             [log]\nformat = \"text\"\nconnections = false\n\
             [admin]\nsocket = \"{}\"\nhttp = \"\"\n\
             [listen.test]\nbind = \"{address}\"\npool = \"test\"\n\
             [pool.test.check]\ntype = \"none\"\n\
             [pool.test.servers]\nonly = \"{server}\"\n",
            socket.display(),
        );
        std::fs::write(&file, text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_warren"));
        let mut child = child
            .arg("run")
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(address).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "warren ended");
            assert!(Instant::now() < deadline, "warren does not accept");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self {
            child,
            address,
            socket,
            _home: home,
        }
    }

    fn status(&self) -> serde_json::Value {
        let output = Command::new(env!("CARGO_BIN_EXE_warren"))
            .args(["status", "--json", "--socket"])
            .arg(&self.socket)
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).expect("status prints JSON")
    }

    /// Bytes that went through splice.
    fn spliced(&self) -> u64 {
        self.status()["spliced"].as_u64().expect("a number")
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .unwrap()
            .count()
    }

    /// Waits until as few descriptors are open as at the beginning: pipes are closed by a sweep.
    fn settles_to(&self, descriptors: usize) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.descriptors() > descriptors {
            assert!(
                Instant::now() < deadline,
                "{} > {descriptors} open",
                self.descriptors()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        let open = self.status()["connections"]["now"].as_u64();
        assert_eq!(open, Some(0), "open connections");
    }
}

impl Drop for Warren {
    fn drop(&mut self) {
        let id = i32::try_from(self.child.id()).unwrap();
        // It fails only when the process has ended.
        let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

fn seed() -> u64 {
    let given = std::env::var("WARREN_SEED").ok();
    given.map_or_else(rand_seed, |text| {
        text.parse().expect("WARREN_SEED is a number")
    })
}

fn rand_seed() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    u64::from(now.subsec_nanos()) ^ now.as_secs()
}

/// Plays `count` connections and returns the bytes that were spliced.
fn exact(traffic: Traffic, count: u64, together: usize) -> u64 {
    let seed = seed();
    println!("WARREN_SEED={seed}");
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    runtime.unwrap().block_on(async {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = traffic.receive_buffer {
            // Accepted sockets inherit it.
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1024).unwrap();
        let warren = Warren::start(listener.local_addr().unwrap());
        // The connection that found warren ready.
        let (probe, _) = listener.accept().await.unwrap();
        drop(probe);
        std::thread::sleep(Duration::from_millis(300));
        let descriptors = warren.descriptors();
        let scene = Scene { seed, traffic };
        let playing = play_all(scene, warren.address, listener, count, together);
        let problems = tokio::time::timeout(Duration::from_secs(100), playing).await;
        let problems = problems.expect("a connection hangs");
        assert!(
            problems.is_empty(),
            "seed {seed}, {}: {:#?}",
            problems.len(),
            problems.first()
        );
        warren.settles_to(descriptors);
        warren.spliced()
    })
}

#[test]
fn messages_are_exact_on_the_copy_path() {
    let traffic = Traffic {
        // Less than it takes to prove to be a stream.
        length: 100_000,
        write: 8_000,
        pause_every: 10,
        resets: true,
        receive_buffer: None,
    };
    let spliced = exact(traffic, 600, 300);
    assert_eq!(spliced, 0, "messages must not go through splice");
}

#[test]
fn large_and_small_writes_are_exact() {
    let traffic = Traffic {
        length: 2_000_000,
        write: 300_000,
        pause_every: 50,
        resets: true,
        receive_buffer: Some(4096),
    };
    exact(traffic, 200, 60);
}

#[test]
fn streams_are_exact_on_the_splice_path() {
    let traffic = Traffic {
        length: 60_000_000,
        write: 1_000_000,
        pause_every: 0,
        resets: true,
        receive_buffer: None,
    };
    let spliced = exact(traffic, 24, 6);
    assert!(spliced > 100_000_000, "only {spliced} bytes were spliced");
}
