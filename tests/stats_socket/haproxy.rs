//! Debian's haproxy, started for one test.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running haproxy; killed when dropped.
pub(crate) struct Haproxy {
    process: Child,
    folder: TempDir,
    /// Where nobody listens: the address of the servers that are down.
    pub(crate) dead: SocketAddr,
    /// Where somebody listens: the address of the servers that are up.
    pub(crate) live: SocketAddr,
}

impl Haproxy {
    /// Starts it with servers at `live` and waits until its checks have decided; `None`, said on
    /// stderr, when it is not installed.
    pub(crate) fn start(live: &TcpListener) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        // Both at once, so that they differ. They are free again when this function has returned.
        let (front, dead) = (free(), free());
        let (front_address, dead_address) =
            (front.local_addr().unwrap(), dead.local_addr().unwrap());
        let live = live.local_addr().unwrap();
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(
            &file,
            configuration(&folder, front_address, dead_address, live),
        )
        .unwrap();
        drop((front, dead));
        let started = Command::new("haproxy")
            .arg("-f")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(process) = started else {
            eprintln!("skipped: haproxy is not installed");
            return None;
        };
        let haproxy = Self {
            process,
            folder,
            dead: dead_address,
            live,
        };
        haproxy.wait_for_checks();
        // Maintenance by command, because `disabled` sets a second flag.
        let answer =
            haproxy.ask("set server rabbit/r4 state maint;set server plain/n2 state maint\n");
        assert_eq!(answer, "\n\n");
        Some(haproxy)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("stats.sock")
    }

    /// Sends `request` and returns everything until the close.
    pub(crate) fn ask(&self, request: &str) -> String {
        super::ask(&self.socket(), request)
    }

    fn wait_for_checks(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            assert!(Instant::now() < deadline, "haproxy did not come up");
            std::thread::sleep(Duration::from_millis(50));
            if !self.socket().exists() {
                continue;
            }
            let rows = self.ask("show stat rabbit 4 -1\n");
            let decided = |server: &str, word: &str, check: &str| {
                rows.lines().any(|row| {
                    row.contains(&format!(",{server},"))
                        && row.contains(&format!(",{word},"))
                        && row.contains(&format!(",{check},"))
                })
            };
            if decided("r1", "DOWN", "L4CON")
                && decided("r2", "UP", "L4OK")
                && decided("r3", "DOWN", "L4CON")
                && decided("r4", "DOWN", "L4CON")
            {
                return;
            }
        }
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(
    folder: &TempDir,
    front: SocketAddr,
    dead: SocketAddr,
    live: SocketAddr,
) -> String {
    let socket = folder.path().join("stats.sock");
    let check = "check inter 200ms rise 2 fall 3 weight 100";
    format!(
        "global
    stats socket {} mode 600 level admin
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
    server r4 {dead} {check}
backend plain
    balance roundrobin
    server n1 {live} weight 100
    server n2 {live} weight 100
",
        socket.display()
    )
}
