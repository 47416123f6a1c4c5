//! warren in front of a real RabbitMQ.
//!
//! Needs Debian's rabbitmq-server; everything it writes stays in scratch folders and every process
//! ends with the test. Without it every test is reported as skipped.

#[path = "../support/accounts.rs"]
#[expect(dead_code, reason = "shared with the tests of drains")]
mod accounts;
#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/rabbit.rs"]
#[expect(dead_code, reason = "shared with the test of a pair of nodes")]
mod rabbit;
#[path = "../support/runner.rs"]
mod runner;
#[path = "../support/wait.rs"]
mod wait;
#[path = "../support/warren.rs"]
mod warren_process;

mod checks;
mod client;
mod consuming;
mod emptying;
mod exchanges;
mod expiry;
mod failover;
mod federation;
mod heartbeat;
mod lifetime;
mod maintenance;
mod publishing;
mod reload;
mod scenario;
mod server_sent;
mod storm;
mod suites;
mod traffic;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use runner::{Outcome, Test};
use scenario::Scenario;
use world::World;

/// A test that compares a scenario straight and through warren.
macro_rules! compared {
    ($name:expr, $scenario:expr) => {
        Test {
            name: $name,
            limit: Duration::from_secs(150),
            run: |world| Box::pin(with_brokers(passes(compare(world, &$scenario)))),
        }
    };
}

/// A test of a whole set-up.
macro_rules! whole {
    ($name:expr, $run:path) => {
        Test {
            name: $name,
            limit: Duration::from_secs(150),
            run: |world| Box::pin(with_brokers(passes($run(world)))),
        }
    };
}

/// A client suite, which may have its own reason to be skipped.
macro_rules! suite {
    ($name:expr, $run:path) => {
        Test {
            name: $name,
            limit: Duration::from_secs(420),
            run: |world| Box::pin(with_brokers($run(world))),
        }
    };
}

fn main() -> ExitCode {
    let tests = [
        compared!("amqp_direct_exchange", exchanges::DIRECT),
        compared!("amqp_topic_exchange", exchanges::TOPIC),
        compared!("amqp_fanout_exchange", exchanges::FANOUT),
        compared!("amqp_headers_exchange", exchanges::HEADERS),
        compared!("amqp_default_exchange", exchanges::DEFAULT),
        compared!("amqp_publisher_confirms", publishing::CONFIRMS),
        compared!("amqp_mandatory_returns", publishing::RETURNS),
        compared!("amqp_properties", publishing::PROPERTIES),
        compared!("amqp_sizes_to_16_mib", publishing::SIZES),
        compared!("amqp_prefetch", consuming::PREFETCH),
        compared!("amqp_ack_nack_reject", consuming::SETTLING),
        compared!("amqp_consumer_cancelled_by_broker", consuming::CANCELLED),
        compared!("amqp_message_ttl", expiry::MESSAGE_TTL),
        compared!("amqp_queue_ttl", expiry::QUEUE_TTL),
        compared!("amqp_dead_letter_rejected", expiry::DEAD_REJECTED),
        compared!("amqp_dead_letter_expired", expiry::DEAD_EXPIRED),
        compared!("amqp_dead_letter_maxlen", expiry::DEAD_MAXLEN),
        compared!("amqp_exclusive_queue", lifetime::EXCLUSIVE),
        compared!("amqp_auto_delete_queue", lifetime::AUTO_DELETE),
        compared!("amqp_login_refused", server_sent::REFUSED),
        compared!("amqp_connection_close", server_sent::CLOSE),
        compared!("amqp_connection_blocked", server_sent::BLOCKED),
        compared!("amqp_heartbeats_keep", heartbeat::KEPT),
        compared!("amqp_heartbeats_missed", heartbeat::MISSED),
        whole!(
            "cluster_node_killed_while_publishing",
            failover::replicated_queues
        ),
        whole!("cluster_active_and_backup", failover::active_and_backup),
        whole!("cluster_hanging_node", failover::hanging_node),
        whole!("cluster_maintenance", maintenance::drain),
        whole!("cluster_drain_and_rebalance", emptying::round_trip),
        whole!("cluster_storm_of_clients", storm::reconnect),
        whole!("cluster_thousand_reloads", reload::thousand),
        whole!("check_amqp_in_the_log", checks::amqp_check_in_the_log),
        whole!(
            "check_amqp_of_a_hanging_broker",
            checks::amqp_check_of_a_hanging_broker
        ),
        whole!(
            "check_amqp_with_a_wrong_password",
            checks::amqp_check_with_a_wrong_password
        ),
        whole!("check_tcp_in_the_log", checks::tcp_check_in_the_log),
        whole!("federation_link", federation::link),
        suite!("client_suite_py_amqp", suites::py_amqp),
        suite!("client_suite_aiorabbit", suites::aiorabbit),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("build a runtime").block_on(async {
        let world = World::default();
        runner::run(&world, &tests).await
    })
}

async fn with_brokers(test: impl Future<Output = Outcome>) -> Outcome {
    match rabbit::missing() {
        Some(reason) => Outcome::Skipped(reason.to_owned()),
        None => test.await,
    }
}

async fn passes(test: impl Future<Output = ()>) -> Outcome {
    test.await;
    Outcome::Passed
}

async fn compare(world: &World, scenario: &Scenario) {
    let (node, warren) = (&world.cluster().await.nodes[0], world.warren().await);
    scenario.compare(node, warren.port).await;
}
