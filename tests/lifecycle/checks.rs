//! The result of every kind of check with every kind of server, as operators see it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::fake::{BlackHole, Fake, Mood};
use crate::ports::free_port;
use crate::warren::{SOON, Setup};

/// A server that is as bad as it is from its first check on: HAProxy's word and code for it in
/// `show stat`, and the check's own words in `show stat` and in the log.
async fn first_check(kind: &str, server: SocketAddr, word: &str, code: &str, words: &str) {
    let pool = format!(
        "[pool.p.check]\ntype = \"{kind}\"\ninterval = \"200ms\"\ntimeout = \"700ms\"\n\
         [pool.p.servers]\none = \"{server}\""
    );
    let mut warren = Setup::new("", &pool).start().await;
    let good = ["L4OK", "L7OK"].contains(&word);
    let (status, to) = if good { ("UP", "up") } else { ("DOWN", "down") };
    warren.shows("one", "check_status", word).await;
    warren.shows("one", "status", status).await;
    warren.shows("one", "check_code", code).await;
    let said = warren.stat("one", "last_chk").unwrap();
    assert!(said.contains(words), "{kind}: {said:?}, not {words:?}");
    let line = warren.logs("server changed").await;
    assert!(line.contains(&format!("to={to}")), "{kind}: {line}");
    assert!(line.contains(words), "{kind}: {line}");
    if good {
        warren.client().await.echo().await.unwrap();
    } else {
        warren.logs("no usable server").await;
        warren.turns_away().await;
        warren.logs("ending=no-server").await;
    }
    warren.stop(SOON).await;
}

#[tokio::test]
async fn a_server_that_refuses() {
    for kind in ["tcp", "http", "amqp"] {
        let nobody = SocketAddr::from(([127, 0, 0, 1], free_port()));
        first_check(kind, nobody, "L4CON", "", "connection refused").await;
    }
}

#[tokio::test]
async fn a_black_hole() {
    for kind in ["tcp", "http", "amqp"] {
        let hole = BlackHole::new().await;
        first_check(
            kind,
            hole.address,
            "L4TOUT",
            "",
            "no connection within 700ms",
        )
        .await;
    }
}

#[tokio::test]
async fn a_server_that_says_nothing() {
    let server = Fake::new(Mood::Silent).await;
    first_check(
        "http",
        server.address,
        "L7TOUT",
        "",
        "connected, but no answer",
    )
    .await;
    first_check(
        "amqp",
        server.address,
        "L7TOUT",
        "",
        "no connection.start within 700ms",
    )
    .await;
}

#[tokio::test]
async fn a_server_that_closes_at_once() {
    let server = Fake::new(Mood::Closing).await;
    for kind in ["http", "amqp"] {
        closes_at_once(kind, server.address).await;
    }
}

/// Whether the close or a reset is seen first is up to the two kernels' timing.
async fn closes_at_once(kind: &str, server: SocketAddr) {
    let pool = format!(
        "[pool.p.check]\ntype = \"{kind}\"\ninterval = \"200ms\"\n\
         [pool.p.servers]\none = \"{server}\""
    );
    let mut warren = Setup::new("", &pool).start().await;
    let line = warren.logs("server changed").await;
    let said = ["closed the connection", "reset by peer", "broken pipe"];
    assert!(said.iter().any(|words| line.contains(words)), "{line}");
    let word = warren.stat("one", "check_status").unwrap();
    assert!(["L7RSP", "L4CON"].contains(&word.as_str()), "{word}");
    warren.stop(SOON).await;
}

#[tokio::test]
async fn a_server_that_talks_nonsense() {
    let server = Fake::new(Mood::Nonsense).await;
    first_check(
        "http",
        server.address,
        "L7RSP",
        "",
        "not an HTTP answer: 220 ready",
    )
    .await;
    first_check(
        "amqp",
        server.address,
        "L7RSP",
        "",
        "not an AMQP frame (type 0x32)",
    )
    .await;
}

#[tokio::test]
async fn a_server_that_says_no() {
    let server = Fake::new(Mood::No).await;
    let words = "answered 503 Service Unavailable: in maintenance";
    first_check("http", server.address, "L7STS", "503", words).await;
    let words = "ACCESS_REFUSED - wrong password";
    first_check("amqp", server.address, "L7STS", "403", words).await;
}

#[tokio::test]
async fn a_server_that_is_well() {
    let server = Fake::new(Mood::Good).await;
    first_check("tcp", server.address, "L4OK", "", "connected").await;
    first_check("http", server.address, "L7OK", "200", "answered 200").await;
    first_check("amqp", server.address, "L7OK", "", "answered").await;
}

#[tokio::test]
async fn a_tcp_check_is_content_with_a_handshake() {
    let server = Fake::new(Mood::Silent).await;
    let pool = format!(
        "[pool.p.check]\ntype = \"tcp\"\ninterval = \"100ms\"\n[pool.p.servers]\none = \"{}\"",
        server.address
    );
    let warren = Setup::new("", &pool).start().await;
    let before = warren.descriptors().await;
    for mood in [Mood::Silent, Mood::Closing, Mood::Nonsense, Mood::No] {
        server.become_(mood);
        // A few checks long.
        tokio::time::sleep(Duration::from_millis(400)).await;
        let word = warren.stat("one", "check_status");
        assert_eq!(word.as_deref(), Some("L4OK"), "{mood:?}");
    }
    warren.settles_to(before).await;
    let log = warren.stop(SOON).await;
    assert!(!log.contains("to=down"), "{log}");
}
