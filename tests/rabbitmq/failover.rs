//! A node dies and comes back while clients publish and consume through warren.

use std::time::{Duration, Instant};

use lapin::Connection;
use lapin::options::QueueDeclareOptions;

use crate::client::{arguments, connect, text};
use crate::rabbit::Node;
use crate::traffic::{Balance, CLIENTS, Traffic};
use crate::wait::until;
use crate::warren_process::Warren;
use crate::world::{CHECK, World, pool};

/// A dead broker resets its connections, and connecting again is refused: it is out of rotation
/// after a fraction of a second (a second, on a busy machine).
const NOTICE_DEAD: Duration = Duration::from_secs(1);
/// A hanging broker is out after the check's `timeout` of a second (and one more, on a busy
/// machine).
const NOTICE_HANGING: Duration = Duration::from_secs(2);
/// Something small happens within this time. The machine may be busy.
const SOON: Duration = Duration::from_secs(20);
/// A killed broker is back within this time.
const RETURN: Duration = Duration::from_secs(60);

/// Mirrored and quorum queues on three nodes: the node that leads both queues is killed and
/// restarted while confirmed publishing goes on.
pub(crate) async fn replicated_queues(world: &World) {
    let cluster = world.cluster().await;
    let [one, two, three] = cluster.nodes.as_slice() else {
        panic!("three nodes");
    };
    let policy = r#"{"ha-mode":"all","ha-sync-mode":"automatic"}"#;
    one.ctl(&["set_policy", "mirrored", "^mirrored", policy])
        .await;
    // A queue is led by the node on which it was declared.
    declare(two, "mirrored.failover", "classic").await;
    declare(two, "quorum.failover", "quorum").await;
    let names = ["r1", "r2", "r3"];
    let mut warren = Warren::start(&pool(&cluster.nodes, CHECK), &names).await;

    let mirrored = Traffic::start(warren.port, "mirrored.failover");
    let quorum = Traffic::start(warren.port, "quorum.failover");
    for traffic in [&mirrored, &quorum] {
        traffic.progress(200, SOON, one).await;
    }
    assert_spread(&warren, &names, 2 * CLIENTS).await;

    let begun = Instant::now();
    two.kill();
    warren.sees("r2", "DOWN", NOTICE_DEAD).await;
    let out = begun.elapsed();
    for traffic in [&mirrored, &quorum] {
        traffic.progress(200, Duration::from_secs(20), one).await;
    }
    assert_eq!(warren.open("r2"), 0, "connections of a dead server");
    assert_spread(&warren, &["r1", "r3"], 2 * CLIENTS).await;

    two.start();
    two.serving().await;
    warren.sees("r2", "UP", RETURN).await;
    let mut newcomers = Vec::new();
    for _ in 0..3 {
        newcomers.push(connect(warren.port, "", "newcomer").await.expect("connect"));
    }
    // Queues that come into step again may have cost one of the others its patience, and that one
    // may be here, too.
    assert!(
        warren.open("r2") >= 3,
        "the server that came back has the fewest: {:?}",
        warren.rows()
    );
    assert_eq!(
        named(two, three, "newcomer").await,
        3,
        "as the broker sees it"
    );
    for traffic in [&mirrored, &quorum] {
        traffic.progress(200, Duration::from_secs(20), one).await;
    }

    println!("  the killed node was out of rotation after {out:?}");
    for (traffic, kind) in [(mirrored, "mirrored"), (quorum, "quorum")] {
        let Balance {
            confirmed,
            lost,
            repeated,
        } = traffic.finish().await;
        println!("  {kind}: {confirmed} confirmed, {lost} lost, {repeated} delivered again");
        assert_eq!(lost, 0, "{kind}: confirmed messages that nobody got");
    }
    drop(newcomers);
    warren.stop().await;
}

/// The RabbitMQ "warren": one active server and a backup that is used only while it is down.
pub(crate) async fn active_and_backup(world: &World) {
    let cluster = world.cluster().await;
    let (active, spare) = (&cluster.nodes[0], &cluster.nodes[2]);
    let servers = format!(
        "[pool.rabbit]\n{CHECK}\n[pool.rabbit.servers]\n\
         active = \"127.0.0.1:{}\"\n\
         spare = {{ address = \"127.0.0.1:{}\", backup = true }}\n",
        active.port, spare.port,
    );
    let mut warren = Warren::start(&servers, &["active", "spare"]).await;
    let first = clients(&warren, 4).await;
    assert_eq!((warren.open("active"), warren.open("spare")), (4, 0));

    let begun = Instant::now();
    active.kill();
    warren.sees("active", "DOWN", NOTICE_DEAD).await;
    let out = begun.elapsed();
    for client in &first {
        let lost = async || (!client.status().connected()).then_some(());
        until("clients of the dead server notice", SOON, lost).await;
    }
    let second = clients(&warren, 4).await;
    assert_eq!((warren.open("active"), warren.open("spare")), (0, 4));

    active.start();
    active.serving().await;
    warren.sees("active", "UP", RETURN).await;
    let third = clients(&warren, 4).await;
    assert_eq!(
        (warren.open("active"), warren.open("spare")),
        (4, 4),
        "old ones stay"
    );
    println!("  the killed node was out of rotation after {out:?}");
    drop((first, second, third));
    warren.stop().await;
}

/// A broker that hangs: its port stays open, nothing answers.
pub(crate) async fn hanging_node(world: &World) {
    let cluster = world.cluster().await;
    let hanging = &cluster.nodes[1];
    let mut warren = Warren::start(&pool(&cluster.nodes, CHECK), &["r1", "r2", "r3"]).await;
    let before = clients(&warren, 6).await;
    assert_eq!(warren.open("r2"), 2);

    let suspended = hanging.suspend();
    let out = warren.sees("r2", "DOWN", NOTICE_HANGING).await;
    assert_eq!(
        warren.open("r2"),
        0,
        "connections of a server that hangs are reset"
    );
    let after = clients(&warren, 4).await;
    assert_eq!(warren.open("r2"), 0);
    drop(suspended);
    warren.sees("r2", "UP", RETURN).await;
    println!("  the hanging node was out of rotation after {out:?}");
    drop((before, after));
    warren.stop().await;
}

async fn clients(warren: &Warren, count: usize) -> Vec<Connection> {
    let mut clients = Vec::new();
    for number in 0..count {
        let connected = connect(warren.port, "heartbeat=5", "client").await;
        clients.push(connected.unwrap_or_else(|error| panic!("client {number}: {error}")));
    }
    clients
}

pub(crate) async fn declare(node: &Node, queue: &str, kind: &str) {
    let connection = connect(node.port, "", "declare").await.expect("connect");
    let channel = connection.create_channel().await.expect("open a channel");
    let declared = channel.queue_declare(
        queue.into(),
        QueueDeclareOptions::durable(),
        arguments(&[("x-queue-type", text(kind))]),
    );
    declared.await.expect("declare a queue");
    connection.close(200, "".into()).await.expect("close");
}

/// Waits until `total` connections are spread over these servers, none with less than half of
/// its share.
async fn assert_spread(warren: &Warren, servers: &[&str], total: usize) {
    let spread = async || {
        let open: Vec<usize> = servers.iter().map(|name| warren.open(name)).collect();
        let least = total / servers.len() / 2;
        let even = open.iter().all(|count| *count >= least.max(1));
        (even && open.iter().sum::<usize>() == total).then_some(())
    };
    until("connections are spread", Duration::from_secs(10), spread).await;
}

/// How many connections called `name` the broker `on` has, asked through another node.
async fn named(on: &Node, through: &Node, name: &str) -> usize {
    let list = through
        .ctl(&["-s", "list_connections", "pid", "client_properties"])
        .await;
    // An Erlang process is written with the node that it runs on.
    let here = format!("<{}.", on.name);
    let ours = |line: &&str| line.starts_with(&here) && line.contains(&format!("\"{name}\""));
    list.lines().filter(ours).count()
}
