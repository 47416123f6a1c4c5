//! Clients as they should be: publishers that count only what was confirmed, consumers that
//! acknowledge, and both reconnect when they lose their connection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lapin::options::{BasicAckOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Confirmation, Connection};
use tokio::task::JoinHandle;

use crate::client::{connect, consume, next};
use crate::rabbit::Node;

/// A client that hears nothing for this long connects anew.
const PATIENCE: Duration = Duration::from_secs(5);
/// Messages of one publisher that may be without a confirm.
const WINDOW: usize = 10;
/// Pause between two windows of one publisher.
const PAUSE: Duration = Duration::from_millis(20);
/// Pause before a client connects again.
const RECONNECT: Duration = Duration::from_millis(100);

/// Two publishers and two consumers of one queue.
pub(crate) struct Traffic {
    ledger: Arc<Ledger>,
    publishers: Vec<JoinHandle<()>>,
    consumers: Vec<JoinHandle<()>>,
}

/// Clients of one [`Traffic`], each with one connection.
pub(crate) const CLIENTS: usize = 4;

struct Ledger {
    port: u16,
    queue: String,
    next: AtomicU64,
    publishing: AtomicBool,
    consuming: AtomicBool,
    confirmed: Mutex<BTreeSet<u64>>,
    /// How often each message was delivered.
    consumed: Mutex<BTreeMap<u64, u32>>,
    /// What clients gave up for, and when: what a test that hangs is looked into with.
    failures: Mutex<Vec<(Instant, &'static str, lapin::Error)>>,
    /// The last answer to a publisher that was not a confirm.
    refused: Mutex<Option<Confirmation>>,
}

/// What became of the messages.
#[derive(Debug)]
pub(crate) struct Balance {
    /// Confirmed to a publisher.
    pub(crate) confirmed: usize,
    /// Confirmed, but delivered to no consumer.
    pub(crate) lost: usize,
    /// Delivered again after the first time, which at-least-once delivery allows.
    pub(crate) repeated: u32,
}

impl Traffic {
    /// Starts the clients against a port; the queue must exist.
    pub(crate) fn start(port: u16, queue: &str) -> Self {
        let ledger = Arc::new(Ledger {
            port,
            queue: queue.to_owned(),
            next: AtomicU64::new(0),
            publishing: AtomicBool::new(true),
            consuming: AtomicBool::new(true),
            confirmed: Mutex::default(),
            consumed: Mutex::default(),
            failures: Mutex::default(),
            refused: Mutex::default(),
        });
        let publisher = |_| tokio::spawn(publish(Arc::clone(&ledger)));
        let consumer = |_| tokio::spawn(acknowledge(Arc::clone(&ledger)));
        Self {
            publishers: (0..CLIENTS / 2).map(publisher).collect(),
            consumers: (0..CLIENTS / 2).map(consumer).collect(),
            ledger,
        }
    }

    /// Waits until `count` more messages are confirmed, and says how long that took. `broker` is
    /// asked about its queues when that takes longer than `limit`.
    ///
    /// # Panics
    ///
    /// Then, with all that is known.
    pub(crate) async fn progress(&self, count: usize, limit: Duration, broker: &Node) -> Duration {
        let begun = Instant::now();
        let goal = self.ledger.confirmed() + count;
        while self.ledger.confirmed() < goal {
            if begun.elapsed() > limit {
                let question = "list_queues name state leader members online";
                let words: Vec<_> = question.split(' ').collect();
                panic!(
                    "not within {limit:?}: {count} more confirms on {}, {} missing; {}; {:?}",
                    self.ledger.queue,
                    goal - self.ledger.confirmed(),
                    self.ledger.complaints(),
                    broker.try_tool("rabbitmqctl", &words).await,
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        begun.elapsed()
    }

    /// Ends publishing, lets the consumers finish, and counts.
    pub(crate) async fn finish(self) -> Balance {
        self.ledger.publishing.store(false, Ordering::Relaxed);
        for publisher in self.publishers {
            publisher.await.expect("a publisher that did not panic");
        }
        // Whatever is missing after half a minute is lost: a broker may need a while to give what
        // a dead consumer had to another.
        for _ in 0..600 {
            if self.ledger.missing() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.ledger.consuming.store(false, Ordering::Relaxed);
        for consumer in self.consumers {
            consumer.await.expect("a consumer that did not panic");
        }
        let consumed = self.ledger.consumed.lock().expect("not poisoned");
        Balance {
            confirmed: self.ledger.confirmed(),
            lost: self.ledger.missing_from(&consumed),
            repeated: consumed.values().map(|count| count - 1).sum(),
        }
    }
}

impl Ledger {
    fn confirmed(&self) -> usize {
        self.confirmed.lock().expect("not poisoned").len()
    }

    fn missing(&self) -> usize {
        self.missing_from(&self.consumed.lock().expect("not poisoned"))
    }

    fn missing_from(&self, consumed: &BTreeMap<u64, u32>) -> usize {
        let confirmed = self.confirmed.lock().expect("not poisoned");
        confirmed
            .iter()
            .filter(|number| !consumed.contains_key(number))
            .count()
    }

    fn failed(&self, who: &'static str, error: lapin::Error) {
        let mut failures = self.failures.lock().expect("not poisoned");
        failures.push((Instant::now(), who, error));
    }

    fn complaints(&self) -> String {
        let failures = self.failures.lock().expect("not poisoned");
        let line = |(when, who, error): &(Instant, &str, lapin::Error)| {
            format!("{:?} ago a {who}: {error}", when.elapsed())
        };
        let lines: Vec<_> = failures.iter().map(line).collect();
        let refused = self.refused.lock().expect("not poisoned");
        format!("{}; {:?}", lines.join("; "), *refused)
    }

    async fn connect(&self) -> lapin::Result<Connection> {
        patiently(connect(self.port, "heartbeat=5", &self.queue)).await
    }
}

async fn publish(ledger: Arc<Ledger>) {
    while ledger.publishing.load(Ordering::Relaxed) {
        if let Err(error) = publish_on_one_connection(&ledger).await {
            ledger.failed("publisher", error);
            tokio::time::sleep(RECONNECT).await;
        }
    }
}

async fn publish_on_one_connection(ledger: &Ledger) -> lapin::Result<()> {
    let connection = ledger.connect().await?;
    let channel = patiently(connection.create_channel()).await?;
    patiently(channel.confirm_select(ConfirmSelectOptions::default())).await?;
    while ledger.publishing.load(Ordering::Relaxed) {
        let mut pending = Vec::new();
        for _ in 0..WINDOW {
            // A message without a confirm is never sent again: its number is simply not counted.
            let number = ledger.next.fetch_add(1, Ordering::Relaxed);
            let options = BasicPublishOptions {
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            let body = number.to_be_bytes();
            let sent = channel.basic_publish(
                "".into(),
                ledger.queue.as_str().into(),
                options,
                &body,
                BasicProperties::default().with_delivery_mode(2),
            );
            pending.push((number, patiently(sent).await?));
        }
        let mut taken = false;
        for (number, confirm) in pending {
            let answer = patiently(confirm).await?;
            if answer == Confirmation::Ack(None) {
                let mut confirmed = ledger.confirmed.lock().expect("not poisoned");
                confirmed.insert(number);
                taken = true;
            } else {
                *ledger.refused.lock().expect("not poisoned") = Some(answer);
            }
        }
        if !taken {
            return Err(refused_all());
        }
        tokio::time::sleep(PAUSE).await;
    }
    patiently(connection.close(200, "".into())).await
}

async fn acknowledge(ledger: Arc<Ledger>) {
    while ledger.consuming.load(Ordering::Relaxed) {
        if let Err(error) = acknowledge_on_one_connection(&ledger).await {
            ledger.failed("consumer", error);
            tokio::time::sleep(RECONNECT).await;
        }
    }
}

async fn acknowledge_on_one_connection(ledger: &Ledger) -> lapin::Result<()> {
    let connection = ledger.connect().await?;
    let channel = patiently(connection.create_channel()).await?;
    patiently(channel.basic_qos(50, BasicQosOptions::default())).await?;
    let queue = ledger.queue.as_str().into();
    let mut consumer = patiently(consume(&channel, &queue)).await?;
    while ledger.consuming.load(Ordering::Relaxed) {
        let waited = tokio::time::timeout(Duration::from_millis(200), next(&mut consumer)).await;
        let delivery = match waited {
            Err(_) => continue,
            Ok(None) => return Err(gave_up()),
            Ok(Some(delivery)) => delivery?,
        };
        let bytes = delivery.data.as_slice().try_into().expect("eight bytes");
        {
            let mut consumed = ledger.consumed.lock().expect("not poisoned");
            *consumed.entry(u64::from_be_bytes(bytes)).or_default() += 1;
        }
        patiently(delivery.ack(BasicAckOptions::default())).await?;
    }
    patiently(connection.close(200, "".into())).await
}

/// A broker that is dead without having said so must not hold a client for ever.
async fn patiently<T>(request: impl Future<Output = lapin::Result<T>>) -> lapin::Result<T> {
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(result) => result,
        Err(_) => Err(gave_up()),
    }
}

/// A channel that was opened when a dead node still counted as the leader of a quorum queue asks
/// that node first, and refuses everything for as long as it is down (RabbitMQ 3.10,
/// `rabbit_fifo_client`): only a new one goes on.
fn refused_all() -> lapin::Error {
    std::io::Error::other("the broker took none of the messages").into()
}

fn gave_up() -> lapin::Error {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
