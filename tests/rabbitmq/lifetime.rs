//! Queues that belong to a connection or to their consumers.

use lapin::options::{BasicCancelOptions, QueueDeclareOptions};
use lapin::types::FieldTable;

use crate::client::{Stage, consume, gone, send, take_all};
use crate::scenario::{Scenario, Transcript, scenario};

pub(crate) const EXCLUSIVE: Scenario = scenario!(
    exclusive,
    &[
        "its owner gets [\"mine\"]",
        "405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'RUN.queue' in \
         vhost '/'. It could be originally declared on another connection or the exclusive \
         property value does not match that of the original declaration.",
        "404 NOT_FOUND - no queue 'RUN.queue' in vhost '/'",
    ]
);

async fn exclusive(stage: &Stage<'_>) -> Transcript {
    let (owner, channel) = stage.channel().await;
    let (other, foreign) = stage.channel().await;
    let queue = stage.name("queue");
    let options = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    let declared = channel.queue_declare(queue.clone(), options, FieldTable::default());
    declared.await.expect("declare the queue");
    send(&channel, &queue, "mine").await;
    let mine = take_all(&channel, &queue).await;

    let refused = foreign.queue_declare(queue.clone(), options, FieldTable::default());
    let refusal = stage.refusal(&refused.await.expect_err("locked"));
    owner.close(200, "".into()).await.expect("close the owner");
    vec![
        format!("its owner gets {mine:?}"),
        refusal,
        gone(stage, &other, &queue).await,
    ]
}

pub(crate) const AUTO_DELETE: Scenario = scenario!(
    auto_delete,
    &[
        "before its last consumer left: [\"there\"]",
        "404 NOT_FOUND - no queue 'RUN.queue' in vhost '/'"
    ]
);

async fn auto_delete(stage: &Stage<'_>) -> Transcript {
    let (connection, channel) = stage.channel().await;
    let queue = stage.name("queue");
    let options = QueueDeclareOptions {
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let declared = channel.queue_declare(queue.clone(), options, FieldTable::default());
    declared.await.expect("declare the queue");
    send(&channel, &queue, "there").await;
    let before = take_all(&channel, &queue).await;
    let consumer = consume(&channel, &queue).await.expect("consume");
    let cancelled = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
    cancelled.await.expect("cancel the consumer");
    vec![
        format!("before its last consumer left: {before:?}"),
        gone(stage, &connection, &queue).await,
    ]
}
