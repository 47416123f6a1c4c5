//! A broker is emptied by `warren drain`, stopped, started again and filled by `warren rebalance`,
//! while clients publish and consume.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::accounts::{self, Account, densest};
use crate::client::{connect, next};
use crate::failover::declare;
use crate::rabbit::Node;
use crate::traffic::{Balance, CLIENTS, Traffic};
use crate::wait::until;
use crate::warren_process::Warren;
use crate::world::{CHECK, World, pool};

/// Clients that are connected and say nothing.
const SILENT: usize = 16;
const ALL: usize = SILENT + 2 * CLIENTS;
/// In seconds.
const OVER: usize = 4;
/// Per second.
const RATE: usize = 3;
/// Of the silent ones, which never leave by themselves, each server has at least so many.
const LEAST: usize = SILENT / 4;
const LIMIT: Duration = Duration::from_secs(60);

/// No confirmed message is lost, no second sees more closes than were asked for, no connection is
/// left when the broker stops, and in the end each server has its share.
pub(crate) async fn round_trip(world: &World) {
    let cluster = world.cluster().await;
    let (one, two) = (&cluster.nodes[0], &cluster.nodes[1]);
    // Led by the broker that is going to be stopped.
    let policy = r#"{"ha-mode":"all","ha-sync-mode":"automatic"}"#;
    one.ctl(&["set_policy", "mirrored", "^mirrored", policy])
        .await;
    declare(two, "mirrored.emptying", "classic").await;
    declare(two, "quorum.emptying", "quorum").await;
    let mut warren = Warren::start(&pool(&cluster.nodes, CHECK), &["r1", "r2", "r3"]).await;
    let silent = Silent::start(warren.port);
    let all = ["mirrored.emptying", "quorum.emptying"].map(|q| Traffic::start(warren.port, q));
    settled(&warren, &silent, |_| true).await;
    let before = warren.open("r2");

    empty(&mut warren, &silent, &all, one, two).await;

    let said = warren.run(&format!("rebalance --rate {RATE}")).await;
    println!("  {}", said.lines().last().unwrap_or_default());
    settled(&warren, &silent, |open| {
        let share = ALL / 3;
        open.iter().all(|open| open.abs_diff(share) <= 1)
    })
    .await;
    for (traffic, kind) in all.into_iter().zip(["mirrored", "quorum"]) {
        traffic.progress(100, LIMIT, one).await;
        let Balance {
            confirmed,
            lost,
            repeated,
        } = traffic.finish().await;
        println!("  {kind}: {confirmed} confirmed, {lost} lost, {repeated} delivered again");
        assert_eq!(lost, 0, "{kind}: confirmed messages that nobody got");
    }
    drop(silent);
    let log = warren.stop().await;
    let drained = closed(&log, "drained", before.div_ceil(OVER));
    assert!(drained.iter().all(|account| account.server == "r2"));
    assert!((LEAST..=before).contains(&drained.len()), "{drained:?}");
    let rebalanced = closed(&log, "rebalanced", RATE);
    assert!(rebalanced.iter().all(|account| account.server != "r2"));
    assert!(
        (LEAST..=ALL / 2).contains(&rebalanced.len()),
        "{rebalanced:?}"
    );
}

/// Drains r2, stops its broker and starts it again.
async fn empty(warren: &mut Warren, silent: &Silent, all: &[Traffic], one: &Node, two: &Node) {
    let before = two.log().len();
    let said = warren.run(&format!("drain r2 --over {OVER}s")).await;
    assert!(said.ends_with("it is safe to stop the broker.\n"), "{said}");
    assert_eq!(warren.open("r2"), 0);
    settled(warren, silent, |open| open[1] == 0).await;
    for traffic in all {
        traffic.progress(100, LIMIT, one).await;
    }
    let log = two.log().split_off(before);
    let words = "client unexpectedly closed TCP connection";
    println!("  {} times r2 logged: {words}", log.matches(words).count());
    two.stop().await;
    for traffic in all {
        traffic.progress(100, LIMIT, one).await;
    }
    two.start();
    two.serving().await;
    warren.sees("r2", "DRAIN", LIMIT).await;
    warren.run("ready r2").await;
    warren.sees("r2", "UP", LIMIT).await;
}

/// The connections with this ending, of which no second has seen more than `rate`.
fn closed(log: &str, ending: &str, rate: usize) -> Vec<Account> {
    let accounts = accounts::with_ending(log, ending);
    let most = densest(&accounts);
    println!("  {} {ending}, at most {most} in a second", accounts.len());
    assert!(most <= rate, "{most} in a second, not {rate}: {accounts:?}");
    accounts
}

/// Waits until all clients are connected and the servers have as many as is wanted of them.
async fn settled(warren: &Warren, silent: &Silent, wanted: impl Fn(&[usize]) -> bool) {
    let settled = async || {
        let rows = warren.rows();
        let open: Vec<usize> = rows.iter().map(|row| row.open).collect();
        let all = open.iter().sum::<usize>() == ALL;
        (all && silent.connected.load(Ordering::Relaxed) == SILENT && wanted(&open)).then_some(())
    };
    until("all clients are where they should be", LIMIT, settled).await;
}

/// Clients that only stay, and connect again when they lose their connection.
struct Silent {
    connected: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Silent {
    fn start(port: u16) -> Self {
        let connected = Arc::default();
        let mut tasks = JoinSet::new();
        for _ in 0..SILENT {
            tasks.spawn(stay(port, Arc::clone(&connected)));
        }
        Self {
            connected,
            _tasks: tasks,
        }
    }
}

async fn stay(port: u16, connected: Arc<AtomicUsize>) {
    loop {
        if let Ok(connection) = connect(port, "heartbeat=0", "silent").await {
            connected.fetch_add(1, Ordering::Relaxed);
            let mut events = connection.events_listener();
            while connection.status().connected() {
                // Nothing but its end is expected; a look from time to time misses no end.
                let _ = tokio::time::timeout(Duration::from_secs(1), next(&mut events)).await;
            }
            connected.fetch_sub(1, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
