//! `warren rebalance`.

use crate::accounts::densest;
use crate::world::{SOON, World, open};

/// Thirty clients on two servers, and none on the third one, which is ready.
async fn after_a_drain(keys: &str) -> (World, crate::world::Crowd) {
    let world = World::start(keys, "").await;
    let crowd = world.crowd(60).await;
    assert_eq!(world.run("drain s3 --over 0").await.code, Some(0));
    crowd.connected_are(60).await;
    assert_eq!(world.run("ready s3").await.code, Some(0));
    assert_eq!(world.open().await[2], 0);
    (world, crowd)
}

fn is_balanced(open: &[u64]) -> bool {
    open.iter().all(|open| (18..=22).contains(open))
}

#[tokio::test]
async fn connections_move_back_until_each_server_has_its_share() {
    let (world, crowd) = after_a_drain("").await;
    assert_eq!(world.open().await, [30, 30, 0]);
    let ran = world.run("rebalance --rate 8").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("pool p is balanced, "), "{ran:?}");
    crowd.connected_are(60).await;
    let status = world.status().await;
    assert!(is_balanced(&open(&status)), "{:?}", open(&status));
    let accounts = world.accounts("rebalanced");
    // Eighteen may do, and nobody moves for nothing.
    assert!((18..=20).contains(&accounts.len()), "{}", accounts.len());
    assert!(accounts.iter().all(|account| account.server != "s3"));
    assert!(densest(&accounts) <= 8, "{accounts:?}");
    let rebalance = &status["rebalances"][0];
    assert_eq!(rebalance["stage"], "balanced");
    assert_eq!(rebalance["moved"], accounts.len());
    let log = world.log();
    assert!(
        log.contains("command=\"rebalance p rate 8 within 1h\""),
        "{log}"
    );
    // And now there is nothing to be done.
    let again = world.run("rebalance").await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(
        again
            .out
            .contains("pool p is balanced, 0 connections moved: s1 "),
        "{again:?}"
    );
}

#[tokio::test]
async fn it_works_where_clients_come_back_anywhere() {
    let (world, crowd) = after_a_drain("balance = \"random\"").await;
    let ran = world.run("rebalance p --rate 100").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    crowd.connected_are(60).await;
    let open = world.open().await;
    assert!(is_balanced(&open), "{open:?}");
}

#[tokio::test]
async fn nothing_moves_while_a_server_is_down_or_drains() {
    let (mut world, crowd) = after_a_drain("").await;
    let ran = world.run("rebalance --rate 1 --no-wait").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let moved = |status: &serde_json::Value| status["rebalances"][0]["moved"].as_u64().unwrap();
    world
        .status_until("some are moved", |status| moved(status) >= 1)
        .await;
    assert_eq!(
        world.run("drain s3 --over 1h --no-wait").await.code,
        Some(0)
    );
    let waits = |why: &'static str| {
        move |status: &serde_json::Value| {
            let one = &status["rebalances"][0];
            one["stage"] == "waiting" && one["why"] == why
        }
    };
    world
        .status_until("it waits for the drain", waits("server s3 is draining"))
        .await;
    assert_eq!(world.run("ready s3").await.code, Some(0));
    world.stop_server(2);
    let status = world
        .status_until("it waits for s3", waits("server s3 is down"))
        .await;
    let before = moved(&status);
    // Two of them would have been moved by now.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(moved(&world.status().await), before);
    let screen = world.run("status").await;
    assert!(
        screen.out.contains(" at most, waits: server s3 is down\n"),
        "{screen:?}"
    );
    world.start_server(2).await;
    world
        .status_until("it goes on", |status| moved(status) > before)
        .await;
    let listed = world.ask("show rebalances").await;
    assert!(listed.contains("\np moving "), "{listed}");

    let ended = world.run("rebalance --stop").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let status = world.status().await;
    assert_eq!(status["rebalances"][0]["stage"], "stopped");
    assert_eq!(status["rebalances"][0]["why"], "by an operator");
    assert!(!is_balanced(&open(&status)), "{:?}", open(&status));
    crowd.connected_are(60).await;
    let ended =
        |log: &str| log.contains("rebalance ended pool=p stage=stopped why=\"by an operator\"");
    let logged = async || ended(&world.log()).then_some(());
    crate::wait::until("it is logged", SOON, logged).await;
}

#[tokio::test]
async fn it_gives_up_after_its_time() {
    let (world, _crowd) = after_a_drain("").await;
    let ran = world.run("rebalance --rate 1 --within 2s").await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.out.contains("then given up: the time is over\n"),
        "{ran:?}"
    );
    let moved = world.accounts("rebalanced").len();
    assert!((1..=3).contains(&moved), "{moved}");
}

#[tokio::test]
async fn it_ends_when_a_reload_leaves_no_shares() {
    let (world, _crowd) = after_a_drain("balance = \"leastconn\"").await;
    let ran = world.run("rebalance --rate 1 --no-wait").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    world
        .reload(|file| file.replace("leastconn", "source"))
        .await;
    let stopped = |status: &serde_json::Value| status["rebalances"][0]["stage"] == "stopped";
    let status = world.status_until("it has ended", stopped).await;
    let why = status["rebalances"][0]["why"].as_str().unwrap();
    assert!(
        why.starts_with("pool p has balance = \"source\": "),
        "{why}"
    );
    // Nothing goes on, and so nothing is ended.
    let ended = world.run("rebalance --stop").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.out, "No rebalance of pool p goes on.\n");
}

#[tokio::test]
async fn what_a_reload_left_at_another_address_is_not_moved() {
    let world = World::start("", "").await;
    let crowd = world.crowd(30).await;
    let (old, new) = (world.address(2), world.address(0));
    world.reload(|file| file.replace(&old, &new)).await;
    let more = world.crowd(30).await;
    assert!(world.open().await[2] >= 16, "the emptiest one gets them");
    assert_eq!(world.ask("set weight p/s3 10").await, "\n");
    let ran = world.run("rebalance --rate 100").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    crowd.connected_are(30).await;
    more.connected_are(30).await;
    let moved = world.accounts("rebalanced");
    assert!(moved.len() >= 10, "{}", moved.len());
    let status = world.status().await;
    assert_eq!(status["removed"][0]["open"], 10, "{}", status["removed"]);
}
