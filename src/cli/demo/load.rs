//! The demo's clients: some publish, some consume, the rest is just connected. Each is one task
//! that connects again when it is cut, as AMQP clients do.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::client::{Client, ClientError, Event};
use super::ledger::{Ledger, MessageId};
use super::summary::Messages;
use crate::amqp::content::Message;
use crate::amqp::method::{Method, flag};

pub(super) const PUBLISHERS: u16 = 4;
pub(super) const CONSUMERS: u16 = 4;
/// The queue that all of them use.
const QUEUE: &str = "demo";
/// Bytes of a body.
const BODY: usize = 256;
/// A publisher sends this many messages per beat...
const BURST: usize = 5;
/// ...which makes 500 per second.
const BEAT: Duration = Duration::from_millis(10);
/// Messages of one publisher that wait for their confirm.
const WINDOW: usize = 100;
/// Messages on their way to one consumer.
const PREFETCH: u16 = 50;
/// A consumer acknowledges this often all that has arrived, so that there is always something to
/// be delivered again when its broker dies.
const ACK_BEAT: Duration = Duration::from_millis(20);
/// Pause before a client that was cut connects again.
const RECONNECT: Duration = Duration::from_millis(100);

/// What the clients are asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Goal {
    /// Work.
    Run,
    /// Publish nothing new, get the rest confirmed and consumed.
    Drain,
    /// Say goodbye.
    Leave,
}

/// What the clients have in common.
pub(super) struct Shared {
    /// Where all of them connect.
    address: SocketAddr,
    pub ledger: RefCell<Ledger>,
    /// Logged in now.
    pub connected: Cell<usize>,
    /// When the last of them logged in.
    pub last_connected: Cell<Instant>,
    /// Connections that were cut so far.
    pub cut: Cell<u64>,
    goal: watch::Sender<Goal>,
}

impl Shared {
    async fn reached(&self, goal: Goal) {
        // It ends with an error when there is no sender; we hold it.
        let _ = self.goal.subscribe().wait_for(|now| *now >= goal).await;
    }

    fn is(&self, goal: Goal) -> bool {
        *self.goal.borrow() >= goal
    }
}

/// Counts a client while it is logged in.
struct Attendance<'a>(&'a Shared);

impl<'a> Attendance<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.connected.set(shared.connected.get() + 1);
        shared.last_connected.set(Instant::now());
        Self(shared)
    }
}

impl Drop for Attendance<'_> {
    fn drop(&mut self) {
        self.0.connected.set(self.0.connected.get() - 1);
    }
}

#[derive(Clone, Copy)]
enum Role {
    Publisher(u16),
    Consumer,
    Quiet,
}

/// All clients.
pub(super) struct Load {
    pub shared: Rc<Shared>,
    tasks: JoinSet<()>,
    /// How many there should be.
    pub clients: usize,
}

impl Load {
    /// Publishers, consumers and `quiet` others. Has to be called inside a `LocalSet`.
    pub(super) fn start(address: SocketAddr, quiet: u16) -> Self {
        let shared = Shared {
            address,
            ledger: RefCell::new(Ledger::new(PUBLISHERS)),
            connected: Cell::new(0),
            last_connected: Cell::new(Instant::now()),
            cut: Cell::new(0),
            goal: watch::Sender::new(Goal::Run),
        };
        let mut load = Self {
            shared: Rc::new(shared),
            tasks: JoinSet::new(),
            clients: 0,
        };
        for publisher in 0..PUBLISHERS {
            load.add(Role::Publisher(publisher));
        }
        for _ in 0..CONSUMERS {
            load.add(Role::Consumer);
        }
        load.add_quiet(quiet);
        load
    }

    /// Adds clients that connect and are silent.
    pub(super) fn add_quiet(&mut self, number: u16) {
        for _ in 0..number {
            self.add(Role::Quiet);
        }
    }

    fn add(&mut self, role: Role) {
        let shared = Rc::clone(&self.shared);
        self.tasks.spawn_local(run(role, shared));
        self.clients += 1;
    }

    /// Whether every client is logged in.
    pub(super) fn is_complete(&self) -> bool {
        self.shared.connected.get() == self.clients
    }

    /// Publish nothing new from now on.
    pub(super) fn drain(&self) {
        self.shared.goal.send_replace(Goal::Drain);
    }

    /// Whether everything was confirmed and consumed.
    pub(super) fn is_drained(&self) -> bool {
        let ledger = self.shared.ledger.borrow();
        ledger.missing() == 0 && ledger.unconfirmed() == 0
    }

    /// Says goodbye, and returns what became of all messages when every client has.
    pub(super) async fn leave(mut self) -> Messages {
        self.shared.goal.send_replace(Goal::Leave);
        while self.tasks.join_next().await.is_some() {}
        let ledger = self.shared.ledger.borrow();
        Messages {
            totals: ledger.totals(),
            lost: ledger.missing(),
            unconfirmed: ledger.unconfirmed(),
            cut: self.shared.cut.get(),
        }
    }
}

/// One client until it is to leave.
async fn run(role: Role, shared: Rc<Shared>) {
    let mut backlog = VecDeque::new();
    while !shared.is(Goal::Leave) {
        let ended = match role {
            Role::Publisher(number) => publish(number, &shared, &mut backlog).await,
            Role::Consumer => consume(&shared).await,
            Role::Quiet => be_quiet(&shared).await,
        };
        if ended.is_err() {
            tokio::select! {
                () = sleep(RECONNECT) => {}
                () = shared.reached(Goal::Leave) => {}
            }
        }
    }
}

/// Counts the end of a connection that was logged in, if it was cut.
fn count_cut(shared: &Shared, ended: &Result<(), ClientError>) {
    if ended.is_err() {
        shared.cut.set(shared.cut.get() + 1);
    }
}

/// What a publisher still has to get confirmed.
struct Outgoing<'a> {
    number: u16,
    shared: &'a Shared,
    /// To be published again.
    backlog: &'a mut VecDeque<MessageId>,
    /// On this connection, by delivery tag.
    unconfirmed: BTreeMap<u64, MessageId>,
    published: u64,
}

/// Publishes with confirms until the connection is cut. What was not confirmed by then goes to
/// `backlog` and is published again on the next connection: the broker may have it or not.
async fn publish(
    number: u16,
    shared: &Shared,
    backlog: &mut VecDeque<MessageId>,
) -> Result<(), ClientError> {
    let mut client = Client::connect(shared.address, &format!("publisher {number}")).await?;
    client.declare(QUEUE).await?;
    client.confirm_select().await?;
    let attendance = Attendance::new(shared);
    let mut outgoing = Outgoing {
        number,
        shared,
        backlog,
        unconfirmed: BTreeMap::new(),
        published: 0,
    };
    let ended = outgoing.keep_publishing(&mut client).await;
    let Outgoing {
        backlog,
        unconfirmed,
        ..
    } = outgoing;
    backlog.extend(unconfirmed.into_values());
    count_cut(shared, &ended);
    drop(attendance);
    ended?;
    client.close().await
}

impl Outgoing<'_> {
    async fn keep_publishing(&mut self, client: &mut Client) -> Result<(), ClientError> {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = client.next() => self.settle(&event?),
                _ = beat.tick() => {
                    for _ in 0..BURST {
                        self.publish_one(client).await?;
                    }
                }
                () = self.shared.reached(Goal::Leave) => return Ok(()),
            }
        }
    }

    async fn publish_one(&mut self, client: &mut Client) -> Result<(), ClientError> {
        if self.unconfirmed.len() >= WINDOW {
            return Ok(());
        }
        let again = self.backlog.pop_front();
        let id = again.or_else(|| {
            let draining = self.shared.is(Goal::Drain);
            let mut ledger = self.shared.ledger.borrow_mut();
            if draining {
                None
            } else {
                ledger.publish(self.number)
            }
        });
        let Some(id) = id else {
            return Ok(());
        };
        self.published += 1;
        self.unconfirmed.insert(self.published, id);
        let mut body = id.to_bytes().to_vec();
        body.resize(BODY, b'.');
        client.publish(QUEUE, &Message::plain(body)).await
    }

    /// Takes a confirm, positive or negative.
    fn settle(&mut self, event: &Event) {
        let (tag, flags, good) = match *event {
            Event::Method(Method::BasicAck { tag, flags }) => (tag, flags, true),
            Event::Method(Method::BasicNack { tag, flags }) => (tag, flags, false),
            Event::Method(_) | Event::Delivery { .. } => return,
        };
        let settled = if flags & flag::MULTIPLE != 0 {
            let later = self.unconfirmed.split_off(&tag.saturating_add(1));
            std::mem::replace(&mut self.unconfirmed, later)
        } else {
            self.unconfirmed.remove_entry(&tag).into_iter().collect()
        };
        for id in settled.into_values() {
            if good {
                self.shared.ledger.borrow_mut().confirm(id);
            } else {
                self.backlog.push_back(id);
            }
        }
    }
}

/// Consumes until the connection is cut. A message counts when it arrives; one that arrives again,
/// because its acknowledgement was cut off, counts as a duplicate.
async fn consume(shared: &Shared) -> Result<(), ClientError> {
    let mut client = Client::connect(shared.address, "consumer").await?;
    client.declare(QUEUE).await?;
    client.consume(QUEUE, PREFETCH).await?;
    let attendance = Attendance::new(shared);
    let ended = keep_consuming(shared, &mut client).await;
    count_cut(shared, &ended);
    drop(attendance);
    ended?;
    client.close().await
}

async fn keep_consuming(shared: &Shared, client: &mut Client) -> Result<(), ClientError> {
    let mut beat = interval(ACK_BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut arrived = None;
    loop {
        let event = tokio::select! {
            event = client.next() => event?,
            _ = beat.tick() => {
                if let Some(tag) = arrived.take() {
                    client.ack_up_to(tag).await?;
                }
                continue;
            }
            () = shared.reached(Goal::Leave) => return Ok(()),
        };
        if let Event::Delivery {
            tag,
            redelivered,
            message,
        } = event
        {
            let id = MessageId::from_body(&message.body);
            shared.ledger.borrow_mut().consume(id, redelivered);
            arrived = Some(tag);
        }
    }
}

/// Is connected until the connection is cut.
async fn be_quiet(shared: &Shared) -> Result<(), ClientError> {
    let mut client = Client::connect(shared.address, "quiet").await?;
    let attendance = Attendance::new(shared);
    let ended = tokio::select! {
        event = client.next() => Err(event.err().unwrap_or(ClientError::Unexpected)),
        () = shared.reached(Goal::Leave) => Ok(()),
    };
    count_cut(shared, &ended);
    drop(attendance);
    ended?;
    client.close().await
}
