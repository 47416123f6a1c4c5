//! Publisher confirms, mandatory returns, properties and messages of every size.

use lapin::options::BasicPublishOptions;
use lapin::types::AMQPValue;
use lapin::{BasicProperties, Confirmation};

use crate::client::{Stage, arguments, declare, publish, take, take_all, text};
use crate::scenario::{Scenario, Transcript, scenario};

pub(crate) const CONFIRMS: Scenario = scenario!(
    confirms,
    &["500 acknowledged", "500 in the queue, in order: true"]
);

async fn confirms(stage: &Stage<'_>) -> Transcript {
    let (_connection, channel) = stage.channel().await;
    let queue = stage.name("queue");
    declare(&channel, &queue, &[]).await;
    let bodies: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    // All of them are under way before the first confirm is waited for.
    let mut pending = Vec::new();
    for body in &bodies {
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish(
            "".into(),
            queue.clone(),
            options,
            body.as_bytes(),
            BasicProperties::default(),
        );
        pending.push(sent.await.expect("publish"));
    }
    let mut acknowledged = 0;
    for confirm in pending {
        acknowledged += usize::from(confirm.await.expect("a confirm").is_ack());
    }
    let found = take_all(&channel, &queue).await;
    vec![
        format!("{acknowledged} acknowledged"),
        format!(
            "{} in the queue, in order: {}",
            found.len(),
            found == bodies
        ),
    ]
}

pub(crate) const RETURNS: Scenario = scenario!(
    returns,
    &[
        "acknowledged and returned: 312 NO_ROUTE, nowhere",
        "acknowledged: Ack(None)"
    ]
);

async fn returns(stage: &Stage<'_>) -> Transcript {
    let (_connection, channel) = stage.channel().await;
    let queue = stage.name("queue");
    let properties = BasicProperties::default;
    let returned = publish(
        &channel,
        &"".into(),
        queue.as_str(),
        b"nowhere",
        properties(),
    )
    .await;
    let Confirmation::Ack(Some(message)) = returned else {
        panic!("not returned: {returned:?}");
    };
    let body = String::from_utf8_lossy(&message.delivery.data).into_owned();
    let (code, words) = (message.reply_code, &message.reply_text);
    declare(&channel, &queue, &[]).await;
    let kept = publish(&channel, &"".into(), queue.as_str(), b"here", properties()).await;
    vec![
        format!("acknowledged and returned: {code} {words}, {body}"),
        format!("acknowledged: {kept:?}"),
    ]
}

pub(crate) const PROPERTIES: Scenario = scenario!(properties, &["every property came back"]);

async fn properties(stage: &Stage<'_>) -> Transcript {
    let (_connection, channel) = stage.channel().await;
    let queue = stage.name("queue");
    declare(&channel, &queue, &[]).await;
    let sent = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_content_encoding("gzip".into())
        .with_headers(arguments(&[
            ("number", AMQPValue::LongLongInt(-7)),
            ("word", text("w\u{00e4}rren")),
            ("yes", AMQPValue::Boolean(true)),
        ]))
        .with_delivery_mode(2)
        .with_priority(5)
        .with_correlation_id("correlation".into())
        .with_reply_to("reply".into())
        .with_message_id("message".into())
        .with_timestamp(1_700_000_000)
        .with_type("kind".into())
        .with_app_id("warren".into());
    publish(&channel, &"".into(), queue.as_str(), b"", sent.clone()).await;
    let found = take(&channel, &queue)
        .await
        .expect("the message")
        .properties;
    assert_eq!(found, sent);
    vec!["every property came back".to_owned()]
}

pub(crate) const SIZES: Scenario = scenario!(
    sizes,
    &[
        "0 bytes came back equal: true",
        "1 bytes came back equal: true",
        "4096 bytes came back equal: true",
        "131064 bytes came back equal: true",
        "131065 bytes came back equal: true",
        "1048576 bytes came back equal: true",
        "16777216 bytes came back equal: true",
    ]
);

async fn sizes(stage: &Stage<'_>) -> Transcript {
    let (_connection, channel) = stage.channel().await;
    let queue = stage.name("queue");
    declare(&channel, &queue, &[]).await;
    let mut transcript = Vec::new();
    // 131064 is the largest body that fits one frame of the usual 128 KiB.
    for size in [0, 1, 4096, 131_064, 131_065, 1 << 20, 16 << 20] {
        let body = pattern(size);
        let properties = BasicProperties::default();
        publish(&channel, &"".into(), queue.as_str(), &body, properties).await;
        let found = take(&channel, &queue).await.expect("the message").data;
        let equal = found == body;
        transcript.push(format!("{} bytes came back equal: {equal}", found.len()));
    }
    transcript
}

/// Bytes in which a lost, doubled or moved piece shows (a multiplicative generator's high bytes).
fn pattern(size: usize) -> Vec<u8> {
    let mut state: u32 = 1;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..size).map(step).collect()
}
