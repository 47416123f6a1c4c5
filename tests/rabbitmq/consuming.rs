//! Prefetch, the three ways to settle a delivery, and a consumer that the broker cancels.

use lapin::options::{
    BasicAckOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions, QueueDeleteOptions,
};

use crate::client::{Stage, body, consume, declare, delivery, is_quiet, next, send, take_all};
use crate::scenario::{Scenario, Transcript, scenario};

pub(crate) const PREFETCH: Scenario = scenario!(
    prefetch,
    &[
        "0",
        "1",
        "2",
        "then quiet: true",
        "after one ack: 3",
        "then quiet: true",
        "left: 3"
    ]
);

async fn prefetch(stage: &Stage<'_>) -> Transcript {
    let (connection, channel) = stage.channel().await;
    let queue = stage.name("queue");
    declare(&channel, &queue, &[]).await;
    for number in 0..5 {
        send(&channel, &queue, &number.to_string()).await;
    }
    let other = connection.create_channel().await.expect("open a channel");
    let limit = other.basic_qos(3, BasicQosOptions::default());
    limit.await.expect("limit the prefetch");
    let mut consumer = consume(&other, &queue).await.expect("consume");
    let first = delivery(&mut consumer).await;
    let mut transcript = vec![body(&first)];
    for _ in 0..2 {
        transcript.push(body(&delivery(&mut consumer).await));
    }
    transcript.push(format!("then quiet: {}", is_quiet(&mut consumer).await));
    first.ack(BasicAckOptions::default()).await.expect("ack");
    let another = body(&delivery(&mut consumer).await);
    transcript.push(format!("after one ack: {another}"));
    transcript.push(format!("then quiet: {}", is_quiet(&mut consumer).await));
    // One unsent and three unsettled ones go back to the queue, in their order.
    other
        .close(200, "".into())
        .await
        .expect("close the channel");
    let left = take_all(&channel, &queue).await;
    transcript.push(format!("left: {}", left.len() - 1));
    transcript
}

pub(crate) const SETTLING: Scenario = scenario!(
    settling,
    &[
        "ack, redelivered: false",
        "nack, redelivered: false",
        "reject, redelivered: false",
        "nack and requeue, redelivered: false",
        "reject and requeue, redelivered: false",
        "nack and requeue, redelivered: true",
        "reject and requeue, redelivered: true",
        "left: []",
    ]
);

async fn settling(stage: &Stage<'_>) -> Transcript {
    let (_connection, channel) = stage.channel().await;
    let queue = stage.name("queue");
    declare(&channel, &queue, &[]).await;
    let ways = [
        "ack",
        "nack",
        "reject",
        "nack and requeue",
        "reject and requeue",
    ];
    for way in ways {
        send(&channel, &queue, way).await;
    }
    let limit = channel.basic_qos(1, BasicQosOptions::default());
    limit.await.expect("limit the prefetch");
    let mut consumer = consume(&channel, &queue).await.expect("consume");
    let mut seen = Vec::new();
    while seen.len() < ways.len() + 2 {
        let delivery = delivery(&mut consumer).await;
        let requeue = !delivery.redelivered;
        let nack = BasicNackOptions {
            multiple: false,
            requeue,
        };
        let settled = match body(&delivery).as_str() {
            "nack" => delivery.nack(BasicNackOptions::default()).await,
            "reject" => delivery.reject(BasicRejectOptions::default()).await,
            "nack and requeue" if requeue => delivery.nack(nack).await,
            "reject and requeue" if requeue => {
                delivery.reject(BasicRejectOptions { requeue }).await
            }
            _ => delivery.ack(BasicAckOptions::default()).await,
        };
        assert!(settled.expect("settle"), "settled once");
        seen.push(format!(
            "{}, redelivered: {}",
            body(&delivery),
            delivery.redelivered
        ));
    }
    // A requeued message goes back to its place, before or after the next one was sent.
    seen.sort_by_key(|line| line.ends_with("true"));
    seen.push(format!("left: {:?}", take_all(&channel, &queue).await));
    seen
}

pub(crate) const CANCELLED: Scenario = scenario!(
    cancelled,
    &["the consumer ends when its queue is deleted: true"]
);

async fn cancelled(stage: &Stage<'_>) -> Transcript {
    let (_connection, channel) = stage.channel().await;
    let queue = stage.name("queue");
    declare(&channel, &queue, &[]).await;
    let mut consumer = consume(&channel, &queue).await.expect("consume");
    let (_other, remover) = stage.channel().await;
    let removed = remover.queue_delete(queue, QueueDeleteOptions::default());
    removed.await.expect("delete the queue");
    let end = tokio::time::timeout(crate::client::SOON, next(&mut consumer)).await;
    let ended = end.expect("the broker's cancel in time").is_none();
    vec![format!(
        "the consumer ends when its queue is deleted: {ended}"
    )]
}
