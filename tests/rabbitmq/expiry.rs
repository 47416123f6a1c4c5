//! Time limits of messages and queues, and dead-lettering for each of its three reasons.

use std::time::Duration;

use lapin::options::{BasicNackOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, ShortString};
use lapin::{BasicProperties, Channel};

use crate::client::{
    QUIET, Stage, arguments, body, consume, declare, delivery, gone, publish, send, take_all,
    take_soon, text,
};
use crate::scenario::{Scenario, Transcript, scenario};

pub(crate) const MESSAGE_TTL: Scenario = scenario!(
    message_ttl,
    &["by the message: [\"stays\"]", "by the queue: []"]
);

async fn message_ttl(stage: &Stage<'_>) -> Transcript {
    let (_connection, channel) = stage.channel().await;
    let (plain, short) = (stage.name("plain"), stage.name("short"));
    declare(&channel, &plain, &[]).await;
    declare(
        &channel,
        &short,
        &[("x-message-ttl", AMQPValue::LongInt(100))],
    )
    .await;
    let brief = BasicProperties::default().with_expiration("100".into());
    publish(&channel, &"".into(), plain.as_str(), b"goes", brief).await;
    send(&channel, &plain, "stays").await;
    send(&channel, &short, "goes too").await;
    tokio::time::sleep(QUIET).await;
    vec![
        format!("by the message: {:?}", take_all(&channel, &plain).await),
        format!("by the queue: {:?}", take_all(&channel, &short).await),
    ]
}

pub(crate) const QUEUE_TTL: Scenario = scenario!(
    queue_ttl,
    &[
        "404 NOT_FOUND - no queue 'RUN.queue' in vhost '/'",
        "not before its time: true"
    ]
);

async fn queue_ttl(stage: &Stage<'_>) -> Transcript {
    let (connection, channel) = stage.channel().await;
    let queue = stage.name("queue");
    let life = Duration::from_millis(600);
    let begun = std::time::Instant::now();
    declare(&channel, &queue, &[("x-expires", AMQPValue::LongInt(600))]).await;
    // Asking for the queue would prolong its life.
    tokio::time::sleep(life + QUIET).await;
    let refusal = gone(stage, &connection, &queue).await;
    vec![
        refusal,
        format!("not before its time: {}", begun.elapsed() >= life),
    ]
}

pub(crate) const DEAD_REJECTED: Scenario = scenario!(
    dead_rejected,
    &["unwanted came from RUN.queue, rejected once"]
);

async fn dead_rejected(stage: &Stage<'_>) -> Transcript {
    let (_connection, channel) = stage.channel().await;
    let (queue, dead) = with_dead_letters(stage, &channel, &[]).await;
    send(&channel, &queue, "unwanted").await;
    let mut consumer = consume(&channel, &queue).await.expect("consume");
    let refused = delivery(&mut consumer).await;
    let settled = refused.nack(BasicNackOptions::default()).await;
    assert!(settled.expect("nack"), "settled once");
    vec![obituary(stage, &channel, &dead).await]
}

pub(crate) const DEAD_EXPIRED: Scenario =
    scenario!(dead_expired, &["late came from RUN.queue, expired once"]);

async fn dead_expired(stage: &Stage<'_>) -> Transcript {
    let (_connection, channel) = stage.channel().await;
    let ttl = [("x-message-ttl", AMQPValue::LongInt(100))];
    let (queue, dead) = with_dead_letters(stage, &channel, &ttl).await;
    send(&channel, &queue, "late").await;
    vec![obituary(stage, &channel, &dead).await]
}

pub(crate) const DEAD_MAXLEN: Scenario = scenario!(
    dead_maxlen,
    &[
        "first came from RUN.queue, maxlen once",
        "left: [\"second\"]"
    ]
);

async fn dead_maxlen(stage: &Stage<'_>) -> Transcript {
    let (_connection, channel) = stage.channel().await;
    let limit = [("x-max-length", AMQPValue::LongInt(1))];
    let (queue, dead) = with_dead_letters(stage, &channel, &limit).await;
    send(&channel, &queue, "first").await;
    send(&channel, &queue, "second").await;
    vec![
        obituary(stage, &channel, &dead).await,
        format!("left: {:?}", take_all(&channel, &queue).await),
    ]
}

/// A queue with `entries` as its arguments, and the queue that gets its dead letters.
async fn with_dead_letters(
    stage: &Stage<'_>,
    channel: &Channel,
    entries: &[(&str, AMQPValue)],
) -> (ShortString, ShortString) {
    let (queue, dead) = (stage.name("queue"), stage.name("dead"));
    declare(channel, &dead, &[]).await;
    let mut entries = entries.to_vec();
    entries.push(("x-dead-letter-exchange", text("")));
    entries.push(("x-dead-letter-routing-key", text(dead.as_str())));
    let options = QueueDeclareOptions::default();
    let declared = channel.queue_declare(queue.clone(), options, arguments(&entries));
    declared.await.expect("declare the queue");
    (queue, dead)
}

/// Where a dead letter came from and why, from the header that the broker adds.
async fn obituary(stage: &Stage<'_>, channel: &Channel, dead: &ShortString) -> String {
    let letter = take_soon(channel, dead).await;
    let headers = letter.properties.headers().clone().expect("headers");
    let Some(AMQPValue::FieldArray(deaths)) = headers.inner().get("x-death") else {
        panic!("no x-death in {headers:?}");
    };
    let Some(AMQPValue::FieldTable(death)) = deaths.as_slice().first() else {
        panic!("no entry in {deaths:?}");
    };
    let word = |key: &str| match death.inner().get(key) {
        Some(AMQPValue::LongString(value)) => value.to_string(),
        other => panic!("{key} is {other:?}"),
    };
    assert_eq!(death.inner().get("count"), Some(&AMQPValue::LongLongInt(1)));
    let (queue, reason) = (stage.plain(&word("queue")), word("reason"));
    format!("{} came from {queue}, {reason} once", body(&letter))
}
