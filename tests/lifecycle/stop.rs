//! SIGTERM at every moment of a daemon's life.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::fake::{BlackHole, Fake, Mood};
use crate::warren::{Client, SOON, Setup, Warren, unchecked};

/// Much longer than any test takes.
const LONG_DRAIN: &str = "drain_timeout = \"10m\"";

/// A daemon with these keys in front of `server`, and a client that uses it.
async fn in_use(keys: &str, server: &Fake) -> (Warren, Client) {
    let warren = Setup::new(keys, &unchecked(server.address)).start().await;
    let mut client = warren.client().await;
    client.echo().await.unwrap();
    (warren, client)
}

#[tokio::test]
async fn a_drain_lasts_as_long_as_the_last_connection() {
    let server = Fake::new(Mood::Good).await;
    let mut warren = Setup::new(LONG_DRAIN, &unchecked(server.address))
        .start()
        .await;
    let (mut first, mut last) = (warren.client().await, warren.client().await);
    first.echo().await.unwrap();
    last.echo().await.unwrap();
    warren.daemon.signal(Signal::SIGTERM);
    warren.refuses().await;
    drop(first);
    for _ in 0..3 {
        last.echo().await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(warren.ask("show info").is_ok(), "draining can be watched");
    assert_eq!(warren.daemon.ended(), None);
    drop(last);
    assert_eq!(warren.ends(Duration::from_secs(2)).await, 0);
    assert!(!warren.setup.socket.exists());
    let log = warren.log();
    assert!(
        log.contains("ending=client-closed by=client during=draining"),
        "{log}"
    );
    assert!(!log.contains("ending=stopped"), "{log}");
}

#[tokio::test]
async fn the_drain_timeout_resets_what_is_left() {
    let server = Fake::new(Mood::Good).await;
    let (mut warren, mut client) = in_use("drain_timeout = \"700ms\"", &server).await;
    let start = Instant::now();
    warren.daemon.signal(Signal::SIGTERM);
    client.is_reset().await;
    assert!(
        start.elapsed() >= Duration::from_millis(700),
        "reset too soon"
    );
    assert_eq!(warren.ends(SOON).await, 0);
    let log = warren.log();
    assert!(
        log.contains("ending=stopped by=us during=draining"),
        "{log}"
    );
}

#[tokio::test]
async fn a_second_term_ends_at_once() {
    let server = Fake::new(Mood::Good).await;
    let (mut warren, mut client) = in_use(LONG_DRAIN, &server).await;
    warren.daemon.signal(Signal::SIGTERM);
    warren.logs("draining").await;
    assert_eq!(warren.daemon.ended(), None);
    warren.daemon.signal(Signal::SIGTERM);
    assert_eq!(warren.ends(Duration::from_secs(2)).await, 0);
    client.is_reset().await;
    assert!(!warren.setup.socket.exists());
    assert!(warren.log().contains("ending=stopped"), "{}", warren.log());
}

#[tokio::test]
async fn quit_ends_at_once() {
    let server = Fake::new(Mood::Good).await;
    let (mut warren, mut client) = in_use(LONG_DRAIN, &server).await;
    warren.daemon.signal(Signal::SIGQUIT);
    assert_eq!(warren.ends(Duration::from_secs(2)).await, 0);
    client.is_reset().await;
    assert!(!warren.setup.socket.exists());
}

#[tokio::test]
async fn before_the_first_checks_are_in() {
    let hole = BlackHole::new().await;
    let pool = format!(
        "[pool.p.check]\ntimeout = \"1m\"\n[pool.p.servers]\none = \"{}\"",
        hole.address
    );
    let warren = Setup::new(LONG_DRAIN, &pool).launch();
    let socket = warren.setup.socket.clone();
    crate::wait::until("the admin socket", SOON, async || {
        socket.exists().then_some(())
    })
    .await;
    // Its checks go on, and there is nobody yet who has connections.
    let mut sessions = tokio::process::Command::new(env!("CARGO_BIN_EXE_warren"));
    let sessions = sessions.args(["sessions", "--socket"]).arg(&socket);
    let sessions = String::from_utf8(sessions.output().await.unwrap().stdout).unwrap();
    assert!(!sessions.contains("missing"), "{sessions}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let log = warren.stop(Duration::from_secs(2)).await;
    assert!(!log.contains("accepting"), "{log}");
}

#[tokio::test]
async fn a_client_that_came_too_early_is_served() {
    let server = Fake::new(Mood::Silent).await;
    let pool = format!(
        "[pool.p.check]\ntype = \"http\"\ntimeout = \"1m\"\n[pool.p.servers]\none = \"{}\"",
        server.address
    );
    let warren = Setup::new("", &pool).launch();
    let socket = warren.setup.socket.clone();
    crate::wait::until("the admin socket", SOON, async || {
        socket.exists().then_some(())
    })
    .await;
    let mut client = warren.client().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!warren.log().contains("accepting"), "{}", warren.log());
    server.become_(Mood::Good);
    client.echo().await.unwrap();
    drop(client);
    warren.stop(SOON).await;
}

#[tokio::test]
async fn a_client_in_the_queue_is_served_during_the_drain() {
    let server = Fake::new(Mood::Good).await;
    let pool = format!(
        "[pool.p]\nqueue_timeout = \"1m\"\n[pool.p.check]\ntype = \"none\"\n\
         [pool.p.servers]\none = {{ address = \"{}\", max_connections = 1 }}",
        server.address
    );
    let mut warren = Setup::new(LONG_DRAIN, &pool).start().await;
    let mut first = warren.client().await;
    first.echo().await.unwrap();
    let mut waiting = warren.client().await;
    warren.shows("BACKEND", "qcur", "1").await;
    warren.daemon.signal(Signal::SIGTERM);
    warren.refuses().await;
    drop(first);
    waiting.echo().await.unwrap();
    drop(waiting);
    assert_eq!(warren.ends(Duration::from_secs(2)).await, 0);
}

#[tokio::test]
async fn a_second_term_also_ends_clients_that_wait_and_connect() {
    let (server, hole) = (Fake::new(Mood::Good).await, BlackHole::new().await);
    let pool = format!(
        "[pool.p]\nqueue_timeout = \"1m\"\nconnect_timeout = \"1m\"\nbalance = \"first\"\n\
         [pool.p.check]\ntype = \"none\"\n[pool.p.servers]\n\
         one = {{ address = \"{}\", max_connections = 1 }}\n\
         two = {{ address = \"{}\", max_connections = 1 }}",
        server.address, hole.address
    );
    let mut warren = Setup::new(LONG_DRAIN, &pool).start().await;
    let mut relaying = warren.client().await;
    relaying.echo().await.unwrap();
    let mut connecting = warren.client().await;
    warren.shows("two", "scur", "1").await;
    let mut choosing = warren.client().await;
    warren.shows("BACKEND", "qcur", "1").await;
    warren.daemon.signal(Signal::SIGTERM);
    warren.logs("draining").await;
    warren.daemon.signal(Signal::SIGTERM);
    assert_eq!(warren.ends(Duration::from_secs(2)).await, 0);
    for client in [&mut relaying, &mut connecting, &mut choosing] {
        client.is_reset().await;
    }
    let log = warren.log();
    // Whoever waited may have got the place of the first one that was ended.
    assert_eq!(log.matches("ending=stopped by=us").count(), 3, "{log}");
    assert!(
        log.contains("ending=stopped by=us during=connecting"),
        "{log}"
    );
}

#[tokio::test]
async fn checks_say_goodbye_to_a_broker_though_others_hang() {
    let mut servers = Vec::new();
    let mut pools = String::new();
    for name in ["a", "b", "p"] {
        let server = Fake::new(Mood::Good).await;
        pools += &format!(
            "[pool.{name}.check]\ntype = \"amqp\"\ntimeout = \"10s\"\n\
             [pool.{name}.servers]\nof_{name} = \"{}\"\n",
            server.address
        );
        servers.push(server);
    }
    let warren = Setup::new("", &pools).start().await;
    for name in ["of_a", "of_b", "of_p"] {
        warren.shows(name, "status", "UP").await;
    }
    servers[0].become_(Mood::Silent);
    servers[1].become_(Mood::Silent);
    warren.stop(SOON).await;
    let goodbyes: Vec<usize> = servers.iter().map(Fake::goodbyes).collect();
    assert_eq!(goodbyes, [0, 0, 1]);
}
