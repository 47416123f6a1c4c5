//! What the service manager hears; a socket plays it.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

use crate::fake::{Fake, Mood};
use crate::warren::{SOON, Setup, Warren};

struct Manager(UnixDatagram);

impl Manager {
    /// The next message; nothing within `limit`.
    async fn hears(&self, limit: Duration) -> Option<String> {
        let mut message = [0; 512];
        let length = timeout(limit, self.0.recv(&mut message)).await.ok()?;
        let length = length.expect("receive a datagram");
        Some(String::from_utf8_lossy(&message[..length]).into_owned())
    }

    /// Waits for a message with `words`.
    async fn waits_for(&self, words: &str) -> String {
        let deadline = Instant::now() + SOON;
        while Instant::now() < deadline {
            if let Some(message) = self.hears(SOON).await
                && message.contains(words)
            {
                return message;
            }
        }
        panic!("no {words}");
    }
}

/// A daemon behind a service manager, in front of a server with an http check.
fn launch(server: &Fake, watchdog: Option<Duration>) -> (Manager, Warren) {
    let pool = format!(
        "[pool.p.check]\ntype = \"http\"\ntimeout = \"1m\"\n[pool.p.servers]\none = \"{}\"",
        server.address
    );
    let mut setup = Setup::new("", &pool);
    let path = setup.home.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&path).expect("a socket in a new folder"));
    setup = setup.with("NOTIFY_SOCKET", path.display().to_string());
    if let Some(watchdog) = watchdog {
        setup = setup.with("WATCHDOG_USEC", watchdog.as_micros().to_string());
    }
    (manager, setup.launch())
}

#[tokio::test]
async fn hears_ready_only_when_the_first_checks_are_in() {
    let server = Fake::new(Mood::Silent).await;
    let (manager, warren) = launch(&server, None);
    let early = manager.hears(Duration::from_secs(1)).await;
    assert_eq!(early, None, "before the first check");
    server.become_(Mood::Good);
    let ready = manager.waits_for("READY=1").await;
    assert_eq!(ready, "READY=1\nSTATUS=1/1 servers usable; 0 connections\n");
    // It is true.
    warren.client().await.echo().await.unwrap();
    let mut client = warren.client().await;
    client.echo().await.unwrap();
    manager
        .waits_for("STATUS=1/1 servers usable; 1 connections")
        .await;
    warren.daemon.signal(Signal::SIGTERM);
    manager.waits_for("STOPPING=1").await;
    manager.waits_for("EXTEND_TIMEOUT_USEC=35000000").await;
    // Whoever waits for the end can see what it waits for.
    manager
        .waits_for("STATUS=draining; 1/1 servers usable; 1 connections")
        .await;
    drop(client);
    // It has had its signal.
    let mut warren = warren;
    assert_eq!(warren.ends(SOON).await, 0);
    assert!(!warren.setup.socket.exists());
}

/// Whoever reloads by a signal has no other answer.
#[tokio::test]
async fn hears_why_a_reload_was_refused() {
    let server = Fake::new(Mood::Good).await;
    let (manager, warren) = launch(&server, None);
    manager.waits_for("READY=1").await;
    let good = std::fs::read_to_string(warren.setup.file()).unwrap();
    std::fs::write(warren.setup.file(), format!("{good}\n[listen.two]")).unwrap();
    warren.daemon.signal(Signal::SIGHUP);
    manager.waits_for("RELOADING=1").await;
    let ready = manager.waits_for("READY=1").await;
    let refused = "STATUS=the last reload was refused: [listen.two] needs `bind`; 1/1 servers";
    assert!(ready.contains(refused), "{ready}");
    std::fs::write(warren.setup.file(), good).unwrap();
    warren.daemon.signal(Signal::SIGHUP);
    manager.waits_for("RELOADING=1").await;
    let ready = manager.waits_for("READY=1").await;
    assert!(ready.contains("STATUS=1/1 servers"), "{ready}");
    warren.stop(SOON).await;
}

#[tokio::test]
async fn hears_stopping_also_before_the_first_checks_are_in() {
    let server = Fake::new(Mood::Silent).await;
    let (manager, mut warren) = launch(&server, None);
    let socket = warren.setup.socket.clone();
    crate::wait::until("the admin socket", SOON, async || {
        socket.exists().then_some(())
    })
    .await;
    warren.daemon.signal(Signal::SIGTERM);
    assert_eq!(manager.waits_for("STOPPING=1").await, "STOPPING=1\n");
    assert_eq!(warren.ends(Duration::from_secs(2)).await, 0);
}

/// A daemon that has nothing to do, and a watchdog that waits for it for `limit`.
async fn is_alive_in_time(limit: Duration) {
    let server = Fake::new(Mood::Good).await;
    let (manager, warren) = launch(&server, Some(limit));
    manager.waits_for("READY=1").await;
    let start = Instant::now();
    let (mut last, mut longest) = (start, Duration::ZERO);
    while start.elapsed() < Duration::from_secs(6) {
        manager.waits_for("WATCHDOG=1").await;
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    assert!(longest < limit, "{longest:?} of {limit:?}");
    let log = warren.stop(SOON).await;
    assert!(!log.contains("no progress"), "{log}");
}

#[tokio::test]
async fn hears_in_time_for_a_watchdog_of_a_second() {
    is_alive_in_time(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn hears_in_time_for_a_watchdog_of_two_seconds() {
    is_alive_in_time(Duration::from_secs(2)).await;
}
