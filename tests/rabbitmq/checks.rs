//! Health checks as the broker's log shows them.

use std::time::Duration;

use crate::rabbit::Node;
use crate::warren_process::Warren;
use crate::world::{World, pool};

const AMQP: &str = "check = { type = \"amqp\", interval = \"500ms\", timeout = \"1s\" }";
const LIMIT: Duration = Duration::from_secs(60);
/// Many probes fit into this.
const WATCH: Duration = Duration::from_secs(3);
/// Longer than a silent session is kept.
const LONG_HANG: Duration = Duration::from_secs(15);

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
    // What the broker says while it stops is not about a new login, nor what it does to start.
    let booted = lines
        .iter()
        .rposition(|line| line.contains("Starting RabbitMQ"));
    let mut lines = lines[booted.expect("the broker's first line")..].to_vec();
    lines.retain(|line| {
        line.contains("AMQP connection")
            || line.contains("onnection <")
            || line.contains("[warning]")
            || line.contains("[error]")
    });
    assert_one_login(&lines);
    warren.stop().await;
}

/// A broker that hangs for a while and goes on loses the check's connection neither here nor there.
pub(crate) async fn amqp_check_of_a_hanging_broker(world: &World) {
    let node = &world.pair().await.nodes[0];
    let servers = pool(std::slice::from_ref(node), AMQP);
    let mut warren = Warren::start(&servers, &["lone1"]).await;
    let log = Mark::at(node);
    let suspended = node.suspend();
    warren.sees("lone1", "DOWN", Duration::from_secs(3)).await;
    tokio::time::sleep(2 * WATCH).await;
    drop(suspended);
    warren.sees("lone1", "UP", Duration::from_secs(5)).await;
    tokio::time::sleep(WATCH).await;
    let lines = log.since();
    assert!(lines.is_empty(), "the connection went on: {lines:#?}");

    let log = Mark::at(node);
    let suspended = node.suspend();
    tokio::time::sleep(LONG_HANG).await;
    drop(suspended);
    warren.sees("lone1", "UP", Duration::from_secs(8)).await;
    tokio::time::sleep(WATCH).await;
    // The broker answers the goodbye of the old connection beside the new login.
    let (goodbyes, login): (Vec<_>, Vec<_>) =
        log.since().into_iter().partition(|line| is_goodbye(line));
    assert_one_goodbye(&goodbyes);
    assert_one_login(&login);

    let log = Mark::at(node);
    warren.stop().await;
    assert_one_goodbye(&log.since());

    let suspended = node.suspend();
    let log = Mark::at(node);
    let mut warren = Warren::start(&servers, &[]).await;
    tokio::time::sleep(2 * WATCH).await;
    drop(suspended);
    warren.sees("lone1", "UP", Duration::from_secs(5)).await;
    tokio::time::sleep(WATCH).await;
    // One login for the time after, and nothing for the attempts before: they were reset while
    // the broker had not looked at them.
    assert_one_login(&log.since());
    warren.stop().await;
}

fn is_goodbye(line: &str) -> bool {
    line.contains("[info]") && line.contains("closing AMQP connection")
}

fn assert_one_goodbye(lines: &[String]) {
    assert!(
        lines.len() == 1 && lines.iter().all(|line| is_goodbye(line)),
        "one line at the end: {lines:#?}"
    );
}

/// A login that is refused is tried more and more rarely.
pub(crate) async fn amqp_check_with_a_wrong_password(world: &World) {
    let node = &world.pair().await.nodes[0];
    let password = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(password.path(), "wrong").expect("write it");
    let check = format!(
        "check = {{ type = \"amqp\", interval = \"200ms\", timeout = \"1s\", \
         username = \"guest\", password_file = {:?} }}",
        password.path()
    );
    let log = Mark::at(node);
    let warren = Warren::start(&pool(std::slice::from_ref(node), &check), &[]).await;
    tokio::time::sleep(3 * WATCH).await;
    warren.stop().await;
    let lines = log.since();
    let refused = |line: &&String| line.contains("PLAIN login refused");
    // At once, and after 0.2, 0.4, 0.8, 1.6, 3.2 s: sums of 0, 0.2, 0.6, 1.4, 3.0, 6.2, and 12.6 s.
    let refusals = lines.iter().filter(refused).count();
    assert!((5..=6).contains(&refusals), "{refusals} in 9 s: {lines:#?}");
    assert_eq!(lines.len(), 5 * refusals, "five lines each: {lines:#?}");
    let errors = lines.iter().filter(|line| line.contains("[error]")).count();
    assert_eq!(errors, 2 * refusals, "two of them errors: {lines:#?}");
    let warnings = lines.iter().any(|line| line.contains("[warning]"));
    assert!(!warnings, "no warnings: {lines:#?}");
}

/// The whole log since then: one login, and nothing louder.
fn assert_one_login(lines: &[String]) {
    println!("  {lines:#?}");
    let phrases = [
        "accepting AMQP connection",
        "has a client-provided name: warren check of rabbit/lone1",
        "authenticated and granted access",
    ];
    assert_eq!(lines.len(), phrases.len(), "one login: {lines:#?}");
    for (line, phrase) in lines.iter().zip(phrases) {
        assert!(
            line.contains("[info]") && line.contains(phrase),
            "{phrase}: {lines:#?}"
        );
    }
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
