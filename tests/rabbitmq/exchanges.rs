//! The four types of exchange and the default one.

use lapin::types::{AMQPValue, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, ExchangeKind};

use crate::client::{Stage, arguments, bind, declare, exchange, publish, send, take_all, text};
use crate::scenario::{Scenario, Transcript, scenario};

pub(crate) const DIRECT: Scenario =
    scenario!(direct, &["a: [\"to a\", \"to both\"]", "b: [\"to both\"]"]);

async fn direct(stage: &Stage<'_>) -> Transcript {
    let set = Set::new(stage, ExchangeKind::Direct).await;
    for (queue, key) in [(&set.a, "a"), (&set.a, "both"), (&set.b, "both")] {
        bind(&set.channel, queue, &set.exchange, key, &[]).await;
    }
    set.publish("a", "to a").await;
    set.publish("both", "to both").await;
    set.contents().await
}

pub(crate) const TOPIC: Scenario = scenario!(
    topic,
    &[
        "a: [\"stock.usd.nyse\", \"stock.eur.nyse\"]",
        "b: [\"stock.usd.nyse\", \"stock\"]",
    ]
);

async fn topic(stage: &Stage<'_>) -> Transcript {
    let set = Set::new(stage, ExchangeKind::Topic).await;
    bind(&set.channel, &set.a, &set.exchange, "*.*.nyse", &[]).await;
    bind(&set.channel, &set.b, &set.exchange, "stock.usd.#", &[]).await;
    bind(&set.channel, &set.b, &set.exchange, "stock", &[]).await;
    for key in ["stock.usd.nyse", "stock.eur.nyse", "stock"] {
        set.publish(key, key).await;
    }
    set.contents().await
}

pub(crate) const FANOUT: Scenario =
    scenario!(fanout, &["a: [\"one\", \"two\"]", "b: [\"one\", \"two\"]"]);

async fn fanout(stage: &Stage<'_>) -> Transcript {
    let set = Set::new(stage, ExchangeKind::Fanout).await;
    for queue in [&set.a, &set.b] {
        bind(&set.channel, queue, &set.exchange, "", &[]).await;
    }
    set.publish("ignored", "one").await;
    set.publish("", "two").await;
    set.contents().await
}

pub(crate) const HEADERS: Scenario = scenario!(
    headers,
    &["a: [\"both\"]", "b: [\"both\", \"colour only\"]"]
);

async fn headers(stage: &Stage<'_>) -> Transcript {
    let set = Set::new(stage, ExchangeKind::Headers).await;
    let (red, large) = (("colour", text("red")), ("size", AMQPValue::LongInt(3)));
    for (queue, rule) in [(&set.a, "all"), (&set.b, "any")] {
        let entries = [("x-match", text(rule)), red.clone(), large.clone()];
        bind(&set.channel, queue, &set.exchange, "", &entries).await;
    }
    for (entries, body) in [(&[red.clone(), large][..], "both"), (&[red], "colour only")] {
        let properties = BasicProperties::default().with_headers(arguments(entries));
        publish(&set.channel, &set.exchange, "", body.as_bytes(), properties).await;
    }
    set.contents().await
}

pub(crate) const DEFAULT: Scenario = scenario!(default, &["a: [\"by its name\"]", "b: []"]);

async fn default(stage: &Stage<'_>) -> Transcript {
    let set = Set::new(stage, ExchangeKind::Direct).await;
    send(&set.channel, &set.a, "by its name").await;
    set.contents().await
}

/// An exchange and two queues beside it.
struct Set {
    // Kept open: the queues' contents are read over it.
    _connection: lapin::Connection,
    channel: Channel,
    exchange: ShortString,
    a: ShortString,
    b: ShortString,
}

impl Set {
    async fn new(stage: &Stage<'_>, kind: ExchangeKind) -> Self {
        let (connection, channel) = stage.channel().await;
        let (name, a, b) = (stage.name("exchange"), stage.name("a"), stage.name("b"));
        exchange(&channel, &name, kind).await;
        declare(&channel, &a, &[]).await;
        declare(&channel, &b, &[]).await;
        Self {
            _connection: connection,
            channel,
            exchange: name,
            a,
            b,
        }
    }

    async fn publish(&self, key: &str, body: &str) {
        let properties = BasicProperties::default();
        let confirmation = publish(
            &self.channel,
            &self.exchange,
            key,
            body.as_bytes(),
            properties,
        )
        .await;
        assert_eq!(confirmation, Confirmation::Ack(None), "{body} is routed");
    }

    async fn contents(&self) -> Transcript {
        let a = take_all(&self.channel, &self.a).await;
        let b = take_all(&self.channel, &self.b).await;
        vec![format!("a: {a:?}"), format!("b: {b:?}")]
    }
}
