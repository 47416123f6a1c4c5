//! A federation link between two brokers whose upstream address is warren's.

use std::time::Duration;

use lapin::options::{ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ExchangeKind};

use crate::client::{bind, body, connect, declare, publish, take_soon};
use crate::rabbit::Node;
use crate::wait::until;
use crate::warren_process::Warren;
use crate::world::{CHECK, World, pool};

const LIMIT: Duration = Duration::from_secs(60);

/// Messages published upstream arrive downstream, also after the upstream broker was restarted.
pub(crate) async fn link(world: &World) {
    let [up, down] = world.pair().await.nodes.as_slice() else {
        panic!("two nodes");
    };
    let mut warren = Warren::start(&pool(std::slice::from_ref(up), CHECK), &["lone1"]).await;
    let uri = format!(
        "{{\"uri\":\"amqp://guest:guest@127.0.0.1:{}\"}}",
        warren.port
    );
    down.ctl(&["set_parameter", "federation-upstream", "warren", &uri])
        .await;
    let policy = "{\"federation-upstream\":\"warren\"}";
    down.ctl(&[
        "set_policy",
        "--apply-to",
        "exchanges",
        "federated",
        "^federated",
        policy,
    ])
    .await;

    let (_downstream, receiver) = open(down).await;
    let queue: ShortString = "received".into();
    declare(&receiver, &queue, &[]).await;
    bind(&receiver, &queue, &EXCHANGE.into(), "news", &[]).await;
    let (upstream, sender) = open(up).await;
    running(down).await;
    assert_eq!(warren.open("lone1"), 1, "the link goes through warren");
    deliver(&sender, &receiver, &queue, "first").await;

    drop((upstream, sender));
    up.stop().await;
    warren.sees("lone1", "DOWN", LIMIT).await;
    up.start();
    up.serving().await;
    warren.sees("lone1", "UP", LIMIT).await;
    let (_upstream, sender) = open(up).await;
    running(down).await;
    deliver(&sender, &receiver, &queue, "second").await;
    down.ctl(&["clear_policy", "federated"]).await;
    down.ctl(&["clear_parameter", "federation-upstream", "warren"])
        .await;
    warren.stop().await;
}

const EXCHANGE: &str = "federated.news";

/// A confirming channel on a broker where the exchange exists.
async fn open(node: &Node) -> (Connection, Channel) {
    let connection = connect(node.port, "", "federation").await.expect("connect");
    let channel = connection.create_channel().await.expect("open a channel");
    let confirm = channel.confirm_select(ConfirmSelectOptions::default());
    confirm.await.expect("turn on confirms");
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let kind = ExchangeKind::Topic;
    let declared = channel.exchange_declare(EXCHANGE.into(), kind, options, FieldTable::default());
    declared.await.expect("declare the exchange");
    (connection, channel)
}

/// Waits until the link is up, bindings included: the upstream then has a queue for it.
async fn running(down: &Node) {
    let up = async || {
        let status = down
            .ctl(&["eval", "rabbit_federation_status:status()."])
            .await;
        status.contains("{status,running}").then_some(())
    };
    until("the federation link runs", LIMIT, up).await;
}

/// Publishes a hundred messages upstream and takes them downstream, each once and in order.
async fn deliver(sender: &Channel, receiver: &Channel, queue: &ShortString, name: &str) {
    for number in 0..100 {
        let text = format!("{name} {number}");
        let properties = BasicProperties::default().with_delivery_mode(2);
        publish(
            sender,
            &EXCHANGE.into(),
            "news",
            text.as_bytes(),
            properties,
        )
        .await;
    }
    for number in 0..100 {
        let found = body(&take_soon(receiver, queue).await);
        assert_eq!(found, format!("{name} {number}"));
    }
}
