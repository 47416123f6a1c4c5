//! What the broker says without being asked: close, blocked, and refusals at login.

use std::time::Duration;

use lapin::{BasicProperties, Connection, ConnectionProperties, ErrorKind, Event};

use crate::client::{QUIET, SOON, Stage, declare, next, take_all};
use crate::scenario::{Scenario, Transcript, scenario};

pub(crate) const CLOSE: Scenario =
    scenario!(close, &["320 CONNECTION_FORCED - the warren is closing"]);

async fn close(stage: &Stage<'_>) -> Transcript {
    let connection = stage.connect().await;
    let mut events = Box::pin(connection.events_listener());
    let list = stage
        .node
        .ctl(&["-s", "list_connections", "pid", "client_properties"])
        .await;
    let line = list.lines().find(|line| line.contains(&stage.prefix));
    let id = line
        .and_then(|line| line.split('\t').next())
        .expect("our connection");
    stage
        .node
        .ctl(&["close_connection", id, "the warren is closing"])
        .await;
    loop {
        match tokio::time::timeout(SOON, next(&mut events)).await {
            Ok(Some(Event::Error(error))) => {
                if let ErrorKind::ProtocolError(_) = error.kind() {
                    return vec![stage.refusal(&error)];
                }
            }
            Ok(Some(_)) => {}
            ended => panic!("no close from the broker: {ended:?}"),
        }
    }
}

pub(crate) const BLOCKED: Scenario = scenario!(
    blocked,
    &[
        "blocked: low on memory",
        "confirmed while blocked: false",
        "unblocked",
        "confirmed: Ack(None)",
        "[\"patient\"]",
    ]
);

async fn blocked(stage: &Stage<'_>) -> Transcript {
    let (connection, channel) = stage.channel().await;
    let queue = stage.name("queue");
    declare(&channel, &queue, &[]).await;
    let mut events = Box::pin(connection.events_listener());
    stage
        .node
        .ctl(&["set_vm_memory_high_watermark", "0.000001"])
        .await;
    let options = lapin::options::BasicPublishOptions::default();
    let properties = BasicProperties::default();
    let sent = channel
        .basic_publish("".into(), queue.clone(), options, b"patient", properties)
        .await
        .expect("publish");
    let mut confirm = Box::pin(sent);
    let mut transcript = Vec::new();
    match tokio::time::timeout(SOON, next(&mut events)).await {
        Ok(Some(Event::ConnectionBlocked(why))) => transcript.push(format!("blocked: {why}")),
        other => panic!("not blocked: {other:?}"),
    }
    let early = tokio::time::timeout(QUIET, &mut confirm).await.is_ok();
    transcript.push(format!("confirmed while blocked: {early}"));
    stage
        .node
        .ctl(&["set_vm_memory_high_watermark", "0.4"])
        .await;
    match tokio::time::timeout(SOON, next(&mut events)).await {
        Ok(Some(Event::ConnectionUnblocked)) => transcript.push("unblocked".to_owned()),
        other => panic!("not unblocked: {other:?}"),
    }
    let confirmed = tokio::time::timeout(Duration::from_secs(10), confirm).await;
    let confirmed = confirmed.expect("a confirm in time").expect("a confirm");
    transcript.push(format!("confirmed: {confirmed:?}"));
    transcript.push(format!("{:?}", take_all(&channel, &queue).await));
    transcript
}

pub(crate) const REFUSED: Scenario = scenario!(
    refused,
    &[
        "403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For \
         details see the broker logfile.",
        "530 NOT_ALLOWED - vhost nowhere not found",
    ]
);

async fn refused(stage: &Stage<'_>) -> Transcript {
    let port = stage.port;
    let mut transcript = Vec::new();
    for place in ["guest:wrong@127.0.0.1", "guest:guest@127.0.0.1"] {
        let vhost = if place.contains("wrong") {
            "%2f"
        } else {
            "nowhere"
        };
        let uri = format!("amqp://{place}:{port}/{vhost}");
        let refused = Connection::connect(&uri, ConnectionProperties::default()).await;
        let error = refused.expect_err("a refusal");
        transcript.push(stage.refusal(&error));
    }
    transcript
}
