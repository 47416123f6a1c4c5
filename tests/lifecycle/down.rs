//! Servers that go down under traffic and come back.

use std::time::{Duration, Instant};

use crate::fake::{Fake, Mood};
use crate::warren::{SOON, Setup, Warren};

/// A daemon in front of the servers `one`, which is what the test is about, and `two`.
async fn in_front_of(one: &Fake, two: &Fake, keys: &str, check: &str) -> Warren {
    let pool = format!(
        "[pool.p]\nbalance = \"roundrobin\"\n{keys}\n\
         [pool.p.check]\n{check}\n\
         [pool.p.servers]\none = \"{}\"\ntwo = \"{}\"",
        one.address, two.address
    );
    let warren = Setup::new("", &pool).start().await;
    warren.shows("one", "status", "UP").await;
    warren.shows("two", "status", "UP").await;
    warren
}

/// An http check that is asked often.
const OFTEN: &str = "type = \"http\"\ninterval = \"200ms\"\ntimeout = \"500ms\"";

/// As many connections to `server` as asked for, all in use; those to the other server are closed.
async fn clients_of(warren: &Warren, server: &str, count: usize) -> Vec<crate::warren::Client> {
    let mut clients = Vec::new();
    let begun = Instant::now();
    while clients.len() < count {
        assert!(begun.elapsed() < SOON, "{server} gets no clients");
        let before = total(warren, server);
        let mut client = warren.client().await;
        client.echo().await.unwrap();
        if total(warren, server) > before {
            clients.push(client);
        }
    }
    clients
}

fn total(warren: &Warren, server: &str) -> u64 {
    let total = warren.stat(server, "stot").expect("a server");
    total.parse().expect("a number")
}

/// Ten new clients, none of which `one` gets.
async fn out_of_rotation(warren: &Warren) {
    let before = total(warren, "one");
    for _ in 0..10 {
        warren.client().await.echo().await.unwrap();
    }
    assert_eq!(
        total(warren, "one"),
        before,
        "new clients of a server that is down"
    );
}

/// The connections of `one`, which is down, stay in use; it comes back, all of them end, and as
/// many descriptors are open as before.
async fn nothing_is_reset(
    warren: Warren,
    one: &Fake,
    mut clients: Vec<crate::warren::Client>,
    before: usize,
) {
    // Longer than a worker takes to look at its connections.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for client in &mut clients {
        client.echo().await.unwrap();
    }
    one.become_(Mood::Good);
    back_in_rotation(&warren).await;
    drop(clients);
    warren.settles_to(before).await;
    let log = warren.stop(SOON).await;
    assert!(!log.contains("ending=server-down"), "{log}");
}

/// Clients reach `one` again.
async fn back_in_rotation(warren: &Warren) {
    warren.shows("one", "status", "UP").await;
    clients_of(warren, "one", 2).await;
}

#[tokio::test]
async fn resets_its_connections_where_that_is_wanted() {
    let (one, two) = (Fake::new(Mood::Good).await, Fake::new(Mood::Good).await);
    let mut warren = in_front_of(&one, &two, "on_down = \"reset\"", OFTEN).await;
    let before = warren.descriptors().await;
    let mut clients = clients_of(&warren, "one", 3).await;
    let mut others = clients_of(&warren, "two", 1).await;
    one.become_(Mood::No);
    for client in &mut clients {
        client.is_reset().await;
    }
    warren.shows("one", "status", "DOWN").await;
    let line = warren
        .logs("server changed pool=p server=one from=up to=down")
        .await;
    assert!(
        line.contains("answered 503") && line.contains("usable=1"),
        "{line}"
    );
    let line = warren.logs("ending=server-down").await;
    assert!(line.contains("by=us during=relaying"), "{line}");
    out_of_rotation(&warren).await;
    others[0].echo().await.unwrap();
    one.become_(Mood::Good);
    back_in_rotation(&warren).await;
    drop((clients, others));
    warren.settles_to(before).await;
    let log = warren.stop(SOON).await;
    assert_eq!(log.matches("ending=server-down").count(), 3, "{log}");
}

#[tokio::test]
async fn keeps_its_connections_where_that_is_wanted() {
    let (one, two) = (Fake::new(Mood::Good).await, Fake::new(Mood::Good).await);
    let warren = in_front_of(&one, &two, "on_down = \"keep\"", OFTEN).await;
    let before = warren.descriptors().await;
    let clients = clients_of(&warren, "one", 3).await;
    one.become_(Mood::No);
    warren.shows("one", "status", "DOWN").await;
    out_of_rotation(&warren).await;
    nothing_is_reset(warren, &one, clients, before).await;
}

#[tokio::test]
async fn is_noticed_by_the_first_client_that_is_refused() {
    let (mut one, two) = (Fake::new(Mood::Good).await, Fake::new(Mood::Good).await);
    // Without clients it would take half a minute.
    let rare = "type = \"tcp\"\ninterval = \"30s\"";
    let mut warren = in_front_of(&one, &two, "", rare).await;
    one.close().await;
    let start = Instant::now();
    for _ in 0..4 {
        // One that is refused is served by the other server.
        warren.client().await.echo().await.unwrap();
    }
    warren.shows("one", "status", "DOWN").await;
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    let line = warren
        .logs("server changed pool=p server=one from=up to=down")
        .await;
    assert!(line.contains("connection refused"), "{line}");
    out_of_rotation(&warren).await;
    warren.stop(SOON).await;
}

/// Checks that `server` has failed or passed so far, as `column` counts them.
fn count(warren: &Warren, column: &str) -> u64 {
    let count = warren.stat("one", column).expect("a server");
    count.parse().expect("a number")
}

/// What the status of `one` is until it is `last`, each once in a row.
async fn statuses_until(warren: &Warren, last: &str) -> Vec<String> {
    let begun = Instant::now();
    let mut seen = Vec::new();
    loop {
        let status = warren.stat("one", "status").expect("a server");
        if status == last {
            return seen;
        }
        seen.push(status);
        seen.dedup();
        assert!(begun.elapsed() < SOON, "not {last}: {seen:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn rise_and_fall_are_respected() {
    let (one, two) = (Fake::new(Mood::Good).await, Fake::new(Mood::Good).await);
    let check = format!("{OFTEN}\nrise = 4\nfall = 5");
    let warren = in_front_of(&one, &two, "", &check).await;
    let failed = count(&warren, "chkfail");
    one.become_(Mood::No);
    let seen = statuses_until(&warren, "DOWN").await;
    // HAProxy counts only what fails while a server is up: the fifth is the last.
    assert_eq!(count(&warren, "chkfail"), failed + 5);
    // HAProxy's words for bad checks that have not decided yet.
    assert_eq!(seen.first().map(String::as_str), Some("UP"), "{seen:?}");
    assert!(
        seen.iter().all(|status| status.starts_with("UP")),
        "{seen:?}"
    );
    assert!(seen.len() > 2, "{seen:?}");
    // A single bad check in between costs the good ones.
    let down = count(&warren, "chkdown");
    one.become_(Mood::Good);
    let seen = statuses_until(&warren, "UP").await;
    // Three of four good checks; a busy machine may miss one.
    let counted = ["DOWN", "DOWN 1/4", "DOWN 2/4", "DOWN 3/4"];
    assert!(
        seen.len() > 2 && seen.iter().all(|status| counted.contains(&&**status)),
        "{seen:?}"
    );
    assert_eq!(count(&warren, "chkdown"), down);
    warren.stop(SOON).await;
}

#[tokio::test]
async fn a_single_bad_check_changes_nothing() {
    let (one, two) = (Fake::new(Mood::Good).await, Fake::new(Mood::Good).await);
    let check = format!("{OFTEN}\nfall = 1000");
    let warren = in_front_of(&one, &two, "on_down = \"reset\"", &check).await;
    let mut clients = clients_of(&warren, "one", 1).await;
    let failed = count(&warren, "chkfail");
    one.become_(Mood::No);
    crate::wait::until("a bad check", SOON, async || {
        (count(&warren, "chkfail") > failed).then_some(())
    })
    .await;
    one.become_(Mood::Good);
    warren.shows("one", "status", "UP").await;
    clients[0].echo().await.unwrap();
    drop(clients);
    let log = warren.stop(SOON).await;
    assert!(!log.contains("to=down"), "{log}");
}

/// A session that is asked four times within its timeout.
const SESSION: &str = "type = \"amqp\"\ninterval = \"200ms\"\ntimeout = \"1s\"";

#[tokio::test]
async fn a_broker_that_says_goodbye_keeps_its_connections() {
    let (one, two) = (Fake::new(Mood::Good).await, Fake::new(Mood::Good).await);
    let mut warren = in_front_of(&one, &two, "on_down = \"reset\"", SESSION).await;
    let before = warren.descriptors().await;
    let clients = clients_of(&warren, "one", 3).await;
    one.become_(Mood::Leaving);
    warren.shows("one", "status", "DOWN").await;
    let line = warren
        .logs("server changed pool=p server=one from=up to=down")
        .await;
    assert!(line.contains("CONNECTION_FORCED"), "{line}");
    warren.shows("one", "check_status", "L7STS").await;
    out_of_rotation(&warren).await;
    nothing_is_reset(warren, &one, clients, before).await;
}

#[tokio::test]
async fn a_broker_that_hangs_is_down_within_its_timeout() {
    let (one, two) = (Fake::new(Mood::Good).await, Fake::new(Mood::Good).await);
    let mut warren = in_front_of(&one, &two, "on_down = \"reset\"", SESSION).await;
    let before = warren.descriptors().await;
    let mut clients = clients_of(&warren, "one", 1).await;
    one.become_(Mood::Silent);
    let start = Instant::now();
    clients[0].is_reset().await;
    let took = start.elapsed();
    // The rest is for a busy machine.
    assert!(took < Duration::from_secs(3), "{took:?}");
    let line = warren
        .logs("server changed pool=p server=one from=up to=down")
        .await;
    assert!(line.contains("no answer for"), "{line}");
    warren.shows("one", "check_status", "L7TOUT").await;
    out_of_rotation(&warren).await;
    one.become_(Mood::Good);
    back_in_rotation(&warren).await;
    drop(clients);
    warren.settles_to(before).await;
    warren.stop(SOON).await;
}

#[tokio::test]
async fn a_broker_that_dies_is_down_at_once_and_comes_back() {
    let (mut one, two) = (Fake::new(Mood::Good).await, Fake::new(Mood::Good).await);
    let check = "type = \"amqp\"\ninterval = \"2s\"\ntimeout = \"2s\"\nrise = 1";
    let mut warren = in_front_of(&one, &two, "", check).await;
    let before = warren.descriptors().await;
    for _ in 0..2 {
        let start = Instant::now();
        one.close().await;
        warren.shows("one", "status", "DOWN").await;
        // Confirmed twice, after 100 ms and 200 ms.
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
        out_of_rotation(&warren).await;
        one.open().await;
        back_in_rotation(&warren).await;
    }
    warren
        .logs("server changed pool=p server=one from=down to=up")
        .await;
    warren.settles_to(before).await;
    warren.stop(SOON).await;
}

#[tokio::test]
async fn a_broker_that_no_longer_lets_us_in_keeps_the_session_it_has() {
    let (one, two) = (Fake::new(Mood::Good).await, Fake::new(Mood::Good).await);
    let warren = in_front_of(&one, &two, "", SESSION).await;
    one.become_(Mood::No);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(warren.stat("one", "status").as_deref(), Some("UP"));
    let log = warren.stop(SOON).await;
    assert!(!log.contains("server=one from=up"), "{log}");
}

#[tokio::test]
async fn every_change_of_mind_leaves_no_descriptor() {
    let (mut one, two) = (Fake::new(Mood::Good).await, Fake::new(Mood::Good).await);
    for kind in ["tcp", "http", "amqp"] {
        let check = format!("type = \"{kind}\"\ninterval = \"100ms\"\ntimeout = \"300ms\"");
        let warren = in_front_of(&one, &two, "", &check).await;
        let before = warren.descriptors().await;
        for mood in [
            Mood::Silent,
            Mood::Closing,
            Mood::Nonsense,
            Mood::No,
            Mood::Leaving,
        ] {
            one.become_(mood);
            tokio::time::sleep(Duration::from_millis(400)).await;
            one.become_(Mood::Good);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        one.close().await;
        warren.shows("one", "status", "DOWN").await;
        one.open().await;
        back_in_rotation(&warren).await;
        warren.settles_to(before).await;
        warren.stop(SOON).await;
    }
}
