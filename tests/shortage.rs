//! A daemon that runs out of descriptors: nobody who is connected may notice, and no server may be
//! blamed for it.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

#[path = "support/ports.rs"]
mod ports;

/// Longest wait for what happens at once; generous, for a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// Dropping it kills the daemon, also when the test fails.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    /// Sets the soft descriptor limit of the running daemon.
    fn limit(&self, descriptors: usize) {
        let status = Command::new("prlimit")
            .args(["--pid", &self.0.id().to_string()])
            .arg(format!("--nofile={descriptors}:"))
            .status();
        assert!(status.unwrap().success());
    }

    fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.0.id());
        std::fs::read_dir(folder).unwrap().count()
    }
}

#[test]
fn a_shortage_of_descriptors_is_nobodys_fault() {
    let home = tempfile::tempdir().unwrap();
    let log = home.path().join("log");
    let server = echo_server();
    let (daemon, entrance) = start(home.path(), &log, server);
    let mut client = TcpStream::connect(entrance).unwrap();
    echo(&mut client);
    // Checks hold a descriptor now and then, so that this leaves none or one.
    daemon.limit(daemon.descriptors());
    let mut waiting: Vec<_> = (0..4)
        .map(|_| TcpStream::connect(entrance).unwrap())
        .collect();
    let since = Instant::now();
    wait_for(&log, "cannot accept");
    // Many times as long as `fall` checks take.
    thread::sleep(Duration::from_secs(3));
    let complaints = read(&log).matches("cannot accept").count();
    let allowed = since.elapsed().as_secs() + 2;
    assert!(
        complaints as u64 <= allowed,
        "{complaints} in {:?}",
        since.elapsed()
    );
    echo(&mut client);
    daemon.limit(1024);
    // At most one of them was taken while there was no descriptor for its server.
    let served = waiting.iter_mut().filter_map(|c| try_echo(c).ok()).count();
    assert!(served >= 3, "{served} of 4 were served:\n{}", read(&log));
    echo(&mut client);
    assert!(!read(&log).contains("to=down"), "{}", read(&log));
}

fn start(home: &Path, log: &Path, server: SocketAddr) -> (Daemon, SocketAddr) {
    let config = home.join("warren.toml");
    let entrance = SocketAddr::from(([127, 0, 0, 1], ports::free_port()));
    let text = format!(
        "[global]\nworkers = 2\n[log]\nformat = \"text\"\n[admin]\nsocket = \"\"\nhttp = \"\"\n\
         [listen.entrance]\nbind = \"{entrance}\"\npool = \"p\"\n\
         [pool.p.check]\ntype = \"tcp\"\ninterval = \"100ms\"\ntimeout = \"500ms\"\n\
         [pool.p.servers]\none = \"{server}\"\n"
    );
    std::fs::write(&config, text).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_warren"))
        .args(["run", "-c"])
        .arg(&config)
        .stdin(Stdio::null())
        .stderr(std::fs::File::create(log).unwrap())
        .spawn();
    let daemon = Daemon(child.unwrap());
    wait_for(log, "accepting");
    (daemon, entrance)
}

/// Echoes to everybody, each on a thread of its own.
fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut back = stream.try_clone().unwrap();
                // It ends when the other side does, in whatever way.
                let _ = std::io::copy(&mut stream, &mut back);
            });
        }
    });
    address
}

fn echo(client: &mut TcpStream) {
    try_echo(client).unwrap();
}

fn try_echo(client: &mut TcpStream) -> std::io::Result<()> {
    client.set_read_timeout(Some(SOON))?;
    client.write_all(b"still there?")?;
    let mut heard = [0; 12];
    client.read_exact(&mut heard)?;
    assert_eq!(&heard, b"still there?");
    Ok(())
}

fn read(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap()
}

/// Waits until the log has these words.
fn wait_for(log: &Path, words: &str) {
    let start = Instant::now();
    while !read(log).contains(words) {
        assert!(start.elapsed() < SOON, "no {words:?} in:\n{}", read(log));
        thread::sleep(Duration::from_millis(20));
    }
}
