//! `rabbitmq-upgrade drain`: the broker refuses new clients and closes those it has.

use std::time::{Duration, Instant};

use crate::client::{connect, next};
use crate::rabbit::Node;
use crate::warren_process::Warren;
use crate::world::{CHECK, World, pool};

const LIMIT: Duration = Duration::from_secs(10);

/// A node in maintenance leaves the rotation, its clients hear why, and clients that come
/// meanwhile are served elsewhere.
///
/// The pool resets the connections of a server that is down, but not of one that says goodbye by
/// itself: the reset would overtake the broker's own words.
pub(crate) async fn drain(world: &World) {
    let cluster = world.cluster().await;
    let node = &cluster.nodes[2];
    let mut warren = Warren::start(&pool(&cluster.nodes, CHECK), &["r1", "r2", "r3"]).await;
    let mut farewells = Vec::new();
    for _ in 0..3 {
        let client = connect(warren.port, "", "client").await.expect("connect");
        let events = Box::pin(client.events_listener());
        farewells.push((client, events));
    }
    assert_eq!(warren.open("r3"), 1);

    let visiting = visit_all_along(&warren);
    let ((visitors, refused), took) = tokio::join!(visiting, put_into_maintenance(node));
    assert!(
        refused <= CAUGHT,
        "{refused} clients were refused during the drain"
    );
    let words = farewells_of(&mut farewells).await;
    let polite = |word: &String| word.contains("Node was put into maintenance mode");
    assert!(
        words.len() == 1 && polite(&words[0]),
        "one client hears why: {words:?}"
    );
    let noticed = warren.sees("r3", "DOWN", LIMIT).await;
    println!(
        "  drained in {took:?} while {visitors} clients came; seen down {noticed:?} after that"
    );

    node.tool("rabbitmq-upgrade", &["revive"]).await;
    warren.sees("r3", "UP", LIMIT).await;
    let client = connect(warren.port, "", "client").await.expect("connect");
    assert_eq!(warren.open("r3"), 1, "the node that is back has the fewest");
    drop(client);
    warren.stop().await;
}

/// The kernel resets what waits in the broker's backlog when the broker closes its port. Such a
/// client's first bytes are under way already, so it cannot be sent elsewhere; the visitors come
/// one after the other, so that it can be one of them.
const CAUGHT: usize = 1;

/// How often the drain is asked for: this broker's drain fails when one of its connections ends
/// by itself at that moment, and has then done only a part of its work.
const DRAINS: usize = 5;

async fn put_into_maintenance(node: &Node) -> Duration {
    let begun = Instant::now();
    for _ in 0..DRAINS {
        match node.try_tool("rabbitmq-upgrade", &["drain"]).await {
            Ok(_) => return begun.elapsed(),
            Err(problem) => println!("  drain, once more: {problem}"),
        }
    }
    panic!("the node does not drain");
}

/// Connects over and over for three seconds and counts the clients that were served and refused.
/// One whose login the broker itself ended with its farewell was served.
async fn visit_all_along(warren: &Warren) -> (usize, usize) {
    let begun = Instant::now();
    let mut refused = 0;
    let mut visitors = Vec::new();
    while begun.elapsed() < Duration::from_secs(3) {
        match connect(warren.port, "", "visitor").await {
            Ok(visitor) => visitors.push(visitor),
            Err(error) if error.to_string().contains("maintenance mode") => {}
            Err(error) => {
                let caught = error.to_string().contains("reset by peer");
                assert!(caught, "a client that came during the drain: {error}");
                println!("  refused: {error}");
                refused += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (visitors.len(), refused)
}

/// What those clients heard whose connections were closed.
async fn farewells_of(
    clients: &mut [(
        lapin::Connection,
        impl futures_core::Stream<Item = lapin::Event> + Unpin,
    )],
) -> Vec<String> {
    let mut words = Vec::new();
    for (client, events) in clients {
        if client.status().connected() {
            continue;
        }
        while let Ok(Some(event)) = tokio::time::timeout(LIMIT, next(events)).await {
            if let lapin::Event::Error(error) = event {
                words.push(error.to_string());
                break;
            }
        }
    }
    words
}
