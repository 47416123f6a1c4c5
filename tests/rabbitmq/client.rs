//! What the scenarios share: a way to the broker and short forms of common requests.

use std::sync::OnceLock;

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind,
    ExchangeKind,
};

use crate::rabbit::Node;

/// A message that is due arrives within this time.
pub(crate) const SOON: Duration = Duration::from_secs(5);
/// Nothing arrived for this long: nothing will.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

/// A way to the broker, straight or through warren, and names that only this run uses.
pub(crate) struct Stage<'a> {
    /// Where to connect.
    pub(crate) port: u16,
    /// Starts every name of this run.
    pub(crate) prefix: String,
    /// A node to run the broker's own tools on.
    pub(crate) node: &'a Node,
}

impl Stage<'_> {
    /// Connects as guest.
    pub(crate) async fn connect(&self) -> Connection {
        self.connect_with("").await
    }

    /// Connects as guest with a query such as `heartbeat=2`.
    pub(crate) async fn connect_with(&self, query: &str) -> Connection {
        let result = connect(self.port, query, &self.prefix).await;
        result.expect("connect and log in")
    }

    /// A connection and a channel on it that confirms publishes.
    pub(crate) async fn channel(&self) -> (Connection, Channel) {
        let connection = self.connect().await;
        let channel = connection.create_channel().await.expect("open a channel");
        let confirm = channel.confirm_select(ConfirmSelectOptions::default());
        confirm.await.expect("turn on confirms");
        (connection, channel)
    }

    /// A name that no other run uses.
    pub(crate) fn name(&self, what: &str) -> ShortString {
        format!("{}.{what}", self.prefix).into()
    }

    /// `text` as it reads in every run.
    pub(crate) fn plain(&self, text: &str) -> String {
        text.replace(&self.prefix, "RUN")
    }

    /// What the broker said when it refused: its code and its words.
    pub(crate) fn refusal(&self, error: &lapin::Error) -> String {
        let ErrorKind::ProtocolError(refusal) = error.kind() else {
            panic!("not the broker's words: {error:?}");
        };
        self.plain(&format!("{} {}", refusal.get_id(), refusal.get_message()))
    }
}

/// Where the ports are, unless it is the loopback address.
pub(crate) static HOST: OnceLock<&str> = OnceLock::new();

/// Connects to a port as guest under a name that the broker's tools can show.
pub(crate) async fn connect(port: u16, query: &str, name: &str) -> lapin::Result<Connection> {
    let host = HOST.get().unwrap_or(&"127.0.0.1");
    let uri = format!("amqp://guest:guest@{host}:{port}/%2f?{query}");
    let properties =
        ConnectionProperties::default().with_connection_name(LongString::from(name.to_owned()));
    Connection::connect(&uri, properties).await
}

/// Arguments of a declaration.
pub(crate) fn arguments(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert((*key).into(), value.clone());
    }
    table
}

/// A long string as a value of an argument.
pub(crate) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.to_owned().into())
}

/// Declares a plain queue with `entries` as its arguments.
pub(crate) async fn declare(channel: &Channel, queue: &ShortString, entries: &[(&str, AMQPValue)]) {
    let options = QueueDeclareOptions::default();
    let declared = channel.queue_declare(queue.clone(), options, arguments(entries));
    declared.await.expect("declare a queue");
}

/// Declares an exchange.
pub(crate) async fn exchange(channel: &Channel, name: &ShortString, kind: ExchangeKind) {
    let options = ExchangeDeclareOptions {
        auto_delete: true,
        ..ExchangeDeclareOptions::default()
    };
    let declared = channel.exchange_declare(name.clone(), kind, options, FieldTable::default());
    declared.await.expect("declare an exchange");
}

/// Binds a queue to an exchange.
pub(crate) async fn bind(
    channel: &Channel,
    queue: &ShortString,
    exchange: &ShortString,
    key: &str,
    entries: &[(&str, AMQPValue)],
) {
    let bound = channel.queue_bind(
        queue.clone(),
        exchange.clone(),
        key.into(),
        QueueBindOptions::default(),
        arguments(entries),
    );
    bound.await.expect("bind a queue");
}

/// Publishes one message and waits for its confirm.
pub(crate) async fn publish(
    channel: &Channel,
    exchange: &ShortString,
    key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> Confirmation {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let sent = channel
        .basic_publish(exchange.clone(), key.into(), options, body, properties)
        .await
        .expect("publish");
    sent.await.expect("a confirm")
}

/// Publishes a text to a queue through the default exchange.
pub(crate) async fn send(channel: &Channel, queue: &ShortString, body: &str) {
    let properties = BasicProperties::default();
    let confirmation = publish(
        channel,
        &"".into(),
        queue.as_str(),
        body.as_bytes(),
        properties,
    )
    .await;
    assert_eq!(
        confirmation,
        Confirmation::Ack(None),
        "{queue} takes {body}"
    );
}

/// Empties a queue and returns the texts in it.
pub(crate) async fn take_all(channel: &Channel, queue: &ShortString) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(delivery) = take(channel, queue).await {
        texts.push(body(&delivery));
    }
    texts
}

/// Takes the first message of a queue, if there is one.
pub(crate) async fn take(channel: &Channel, queue: &ShortString) -> Option<Delivery> {
    let options = BasicGetOptions { no_ack: true };
    let got = channel
        .basic_get(queue.clone(), options)
        .await
        .expect("get");
    got.map(|message| message.delivery)
}

/// Takes the first message that a queue has within [`SOON`].
pub(crate) async fn take_soon(channel: &Channel, queue: &ShortString) -> Delivery {
    let message = async || take(channel, queue).await;
    crate::wait::until("a message in the queue", SOON, message)
        .await
        .0
}

/// The text of a message.
pub(crate) fn body(delivery: &Delivery) -> String {
    String::from_utf8(delivery.data.clone()).expect("a text")
}

/// Starts a consumer that has to acknowledge.
pub(crate) async fn consume(channel: &Channel, queue: &ShortString) -> lapin::Result<Consumer> {
    let options = BasicConsumeOptions::default();
    let consuming = channel.basic_consume(queue.clone(), "".into(), options, FieldTable::default());
    consuming.await
}

/// The next item of a stream; `None` at its end.
pub(crate) async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

/// The next delivery, which is due.
pub(crate) async fn delivery(consumer: &mut Consumer) -> Delivery {
    let delivery = tokio::time::timeout(SOON, next(consumer)).await;
    let delivery = delivery.expect("a delivery in time").expect("a delivery");
    delivery.expect("a delivery, not an error")
}

/// Whether the broker sends nothing more.
pub(crate) async fn is_quiet(consumer: &mut Consumer) -> bool {
    tokio::time::timeout(QUIET, next(consumer)).await.is_err()
}

/// Waits until a queue is gone and returns the broker's words about it.
pub(crate) async fn gone(
    stage: &Stage<'_>,
    connection: &Connection,
    queue: &ShortString,
) -> String {
    let passive = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let asked = async || {
        // A refusal closes the channel.
        let channel = connection.create_channel().await.expect("open a channel");
        let found = channel
            .queue_declare(queue.clone(), passive, FieldTable::default())
            .await;
        found.err().map(|error| stage.refusal(&error))
    };
    crate::wait::until("the queue is gone", SOON, asked).await.0
}
