//! Health checks as the broker's log shows them.

use std::time::Duration;

use crate::rabbit::Node;
use crate::warren_process::Warren;
use crate::world::{World, pool};

const LIMIT: Duration = Duration::from_secs(60);
/// Many probes fit into this.
const WATCH: Duration = Duration::from_secs(3);

/// An AMQP check costs the broker's log its login, once per start of the broker.
pub(crate) async fn amqp_check_in_the_log(world: &World) {
    let node = &world.pair().await.nodes[0];
    let check = "check = { type = \"amqp\", interval = \"200ms\", timeout = \"1s\" }";
    let log = Mark::at(node);
    let mut warren = Warren::start(&pool(std::slice::from_ref(node), check), &["lone1"]).await;
    tokio::time::sleep(WATCH).await;
    assert_one_login(&log.since());

    let log = Mark::at(node);
    node.stop().await;
    warren.sees("lone1", "DOWN", Duration::from_secs(6)).await;
    node.start();
    node.serving().await;
    warren.sees("lone1", "UP", LIMIT).await;
    tokio::time::sleep(WATCH).await;
    let lines = log.since();
    // What the broker says while it stops is not about a new login.
    let booted = lines
        .iter()
        .rposition(|line| line.contains("Starting RabbitMQ"));
    assert_one_login(&lines[booted.expect("the broker's first line")..]);
    warren.stop().await;
}

fn assert_one_login(lines: &[String]) {
    let about: Vec<&String> = lines
        .iter()
        .filter(|line| line.contains("onnection <"))
        .collect();
    println!("  {about:#?}");
    assert!(
        (2..=3).contains(&about.len()),
        "two or three lines per start: {lines:#?}"
    );
    let login = |line: &&String| line.contains("authenticated and granted access");
    assert_eq!(
        about.into_iter().filter(login).count(),
        1,
        "one login: {lines:#?}"
    );
}

/// A TCP check leaves nothing in the log above debug.
pub(crate) async fn tcp_check_in_the_log(world: &World) {
    let node = &world.pair().await.nodes[0];
    node.ctl(&["set_log_level", "debug"]).await;
    let log = Mark::at(node);
    let check = "check = { type = \"tcp\", interval = \"200ms\", timeout = \"1s\" }";
    let warren = Warren::start(&pool(std::slice::from_ref(node), check), &["lone1"]).await;
    tokio::time::sleep(WATCH).await;
    warren.stop().await;
    let lines = log.since();
    node.ctl(&["set_log_level", "info"]).await;
    let (debug, loud): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.contains(" [debug] "));
    let probes = debug
        .iter()
        .filter(|line| line.contains("accepting AMQP connection"))
        .count();
    assert!(probes >= 5, "the probes reach the broker: {debug:#?}");
    assert!(loud.is_empty(), "lines above debug: {loud:#?}");
}

/// A place in the log of a broker.
struct Mark<'a> {
    node: &'a Node,
    lines: usize,
}

impl<'a> Mark<'a> {
    fn at(node: &'a Node) -> Self {
        let lines = node.log().lines().count();
        Self { node, lines }
    }

    /// The entries that came after it.
    fn since(&self) -> Vec<String> {
        let log = self.node.log();
        log.lines().skip(self.lines).map(str::to_owned).collect()
    }
}
