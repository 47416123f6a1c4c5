//! What the three brokers share: exchanges, queues and their messages.
//!
//! A cluster whose queues are replicated gives a confirmed message to whichever broker is left.
//! Here that is one structure in memory which outlives each broker: a message is in it before it
//! is confirmed, and what a dead broker had delivered without an acknowledgement goes back.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use tokio::sync::Notify;

use crate::amqp::content::Message;
use crate::amqp::method::{flag, reply};

/// Queues, exchanges and bindings of a queue, each.
const MAX_NAMES: usize = 256;
/// Messages that wait in one queue; more are refused with `basic.nack`.
const MAX_READY: usize = 10_000;
/// Bytes of all messages together, delivered ones that are not acknowledged included.
const MAX_HELD: usize = 64 << 20;
/// What a message costs besides its content, roughly.
const MESSAGE_OVERHEAD: usize = 256;

/// One connection to one of the brokers.
pub(super) type SessionId = u64;

/// A request that a broker refuses: becomes `channel.close` or `connection.close`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub code: u16,
    pub text: String,
}

impl Refusal {
    pub(super) fn new(code: u16, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { code, text }
    }

    /// Whether it ends the connection and not only the channel (specification, section 1.2).
    pub(super) const fn is_hard(&self) -> bool {
        self.code >= 500
    }
}

/// A message in the cluster. Shared by the queues that a fanout put it into.
#[derive(Debug)]
pub(super) struct Stored {
    pub exchange: String,
    pub key: String,
    pub message: Message,
    held: Rc<Cell<usize>>,
}

impl Stored {
    fn new(exchange: String, key: String, message: Message, held: &Rc<Cell<usize>>) -> Self {
        let held = Rc::clone(held);
        held.set(held.get() + Self::cost(&message));
        Self {
            exchange,
            key,
            message,
            held,
        }
    }

    fn cost(message: &Message) -> usize {
        MESSAGE_OVERHEAD + message.properties.len() + message.body.len()
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.held.set(self.held.get() - Self::cost(&self.message));
    }
}

/// A message in one queue.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub stored: Rc<Stored>,
    /// It was delivered before.
    pub redelivered: bool,
}

#[derive(Default)]
struct Queue {
    ready: VecDeque<Entry>,
    owner: Option<SessionId>,
    auto_delete: bool,
    consumers: Vec<(SessionId, Rc<Notify>)>,
    bindings: Vec<(String, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Direct,
    Fanout,
}

/// What became of a message that was published.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Routed {
    /// In this many queues.
    Stored,
    /// No queue wants it.
    Nowhere,
    /// A limit of the cluster does not allow it.
    Full,
}

/// Name, messages and consumers of a queue.
pub(super) type QueueInfo = (String, u32, u32);

/// The shared state.
pub(super) struct Cluster {
    queues: BTreeMap<String, Queue>,
    exchanges: BTreeMap<String, Kind>,
    held: Rc<Cell<usize>>,
    named: u64,
    sessions: SessionId,
}

impl Cluster {
    pub(super) fn new() -> Self {
        let exchanges = [("amq.direct", Kind::Direct), ("amq.fanout", Kind::Fanout)];
        Self {
            queues: BTreeMap::new(),
            exchanges: exchanges.map(|(name, kind)| (name.to_owned(), kind)).into(),
            held: Rc::default(),
            named: 0,
            sessions: 0,
        }
    }

    /// A number for a new connection.
    pub(super) fn connect(&mut self) -> SessionId {
        self.sessions += 1;
        self.sessions
    }

    /// Ends what lived only as long as this connection.
    pub(super) fn disconnect(&mut self, session: SessionId) {
        self.queues.retain(|_, queue| {
            let before = queue.consumers.len();
            queue.consumers.retain(|(owner, _)| *owner != session);
            let abandoned = before > 0 && queue.consumers.is_empty() && queue.auto_delete;
            queue.owner != Some(session) && !abandoned
        });
    }

    /// `exchange.declare`
    pub(super) fn declare_exchange(
        &mut self,
        name: &str,
        kind: &str,
        flags: u8,
    ) -> Result<(), Refusal> {
        let known = self.exchanges.get(name).copied();
        if flags & flag::PASSIVE != 0 {
            return known.map(|_| ()).ok_or_else(|| no_exchange(name));
        }
        let kind = match kind {
            "direct" => Kind::Direct,
            "fanout" => Kind::Fanout,
            other => {
                let text = format!("exchanges of type '{}' are not implemented", short(other));
                return Err(Refusal::new(reply::NOT_IMPLEMENTED, text));
            }
        };
        match known {
            Some(known) if known == kind => return Ok(()),
            Some(_) => {
                let text = format!("exchange '{}' has another type", short(name));
                return Err(Refusal::new(reply::PRECONDITION_FAILED, text));
            }
            None => {}
        }
        if name.is_empty() || name.starts_with("amq.") {
            let text = "this name is reserved";
            return Err(Refusal::new(reply::ACCESS_REFUSED, text));
        }
        if self.exchanges.len() >= MAX_NAMES {
            return Err(Refusal::new(reply::RESOURCE_ERROR, "too many exchanges"));
        }
        self.exchanges.insert(name.to_owned(), kind);
        Ok(())
    }

    /// `queue.declare`. An empty name is replaced by a new one.
    pub(super) fn declare(
        &mut self,
        session: SessionId,
        name: &str,
        flags: u8,
    ) -> Result<QueueInfo, Refusal> {
        let exists = self.queues.contains_key(name);
        if !exists && flags & flag::PASSIVE == 0 {
            if self.queues.len() >= MAX_NAMES {
                return Err(Refusal::new(reply::RESOURCE_ERROR, "too many queues"));
            }
            let queue = Queue {
                owner: (flags & flag::EXCLUSIVE != 0).then_some(session),
                auto_delete: flags & flag::AUTO_DELETE != 0,
                ..Queue::default()
            };
            let name = if name.is_empty() {
                self.named += 1;
                format!("amq.gen-{}", self.named)
            } else {
                name.to_owned()
            };
            self.queues.insert(name.clone(), queue);
            return Ok((name, 0, 0));
        }
        let queue = self.queue(session, name)?;
        let info = (
            name.to_owned(),
            count(queue.ready.len()),
            count(queue.consumers.len()),
        );
        Ok(info)
    }

    /// `queue.bind`
    pub(super) fn bind(
        &mut self,
        session: SessionId,
        queue: &str,
        exchange: &str,
        key: &str,
    ) -> Result<(), Refusal> {
        if exchange.is_empty() {
            let text = "the default exchange needs no binding";
            return Err(Refusal::new(reply::ACCESS_REFUSED, text));
        }
        if !self.exchanges.contains_key(exchange) {
            return Err(no_exchange(exchange));
        }
        let bindings = &mut self.queue(session, queue)?.bindings;
        let binding = (exchange.to_owned(), key.to_owned());
        if bindings.contains(&binding) {
            return Ok(());
        }
        if bindings.len() >= MAX_NAMES {
            return Err(Refusal::new(reply::RESOURCE_ERROR, "too many bindings"));
        }
        bindings.push(binding);
        Ok(())
    }

    /// `queue.purge`: the number of messages thrown away.
    pub(super) fn purge(&mut self, session: SessionId, name: &str) -> Result<u32, Refusal> {
        let queue = self.queue(session, name)?;
        let messages = count(queue.ready.len());
        queue.ready.clear();
        Ok(messages)
    }

    /// `queue.delete`: the number of messages that were in it. A queue that does not exist counts
    /// as deleted, as in RabbitMQ.
    pub(super) fn delete(
        &mut self,
        session: SessionId,
        name: &str,
        flags: u8,
    ) -> Result<u32, Refusal> {
        if !self.queues.contains_key(name) {
            return Ok(0);
        }
        let queue = self.queue(session, name)?;
        if flags & flag::IF_UNUSED != 0 && !queue.consumers.is_empty() {
            return Err(Refusal::new(reply::PRECONDITION_FAILED, "queue is in use"));
        }
        if flags & flag::IF_EMPTY != 0 && !queue.ready.is_empty() {
            return Err(Refusal::new(
                reply::PRECONDITION_FAILED,
                "queue is not empty",
            ));
        }
        let messages = count(queue.ready.len());
        self.queues.remove(name);
        Ok(messages)
    }

    /// Puts a message into every queue that the exchange leads to, or into none.
    pub(super) fn publish(
        &mut self,
        exchange: String,
        key: String,
        message: Message,
    ) -> Result<Routed, Refusal> {
        let kind = self.exchanges.get(&exchange).copied();
        if kind.is_none() && !exchange.is_empty() {
            return Err(no_exchange(&exchange));
        }
        let mut targets: Vec<&mut Queue> = match kind {
            None => self.queues.get_mut(&key).into_iter().collect(),
            Some(kind) => {
                let leads_here = |(from, with): &(String, String)| {
                    *from == exchange && (kind == Kind::Fanout || *with == key)
                };
                let bound = |queue: &&mut Queue| queue.bindings.iter().any(leads_here);
                self.queues.values_mut().filter(bound).collect()
            }
        };
        if targets.is_empty() {
            return Ok(Routed::Nowhere);
        }
        let full = targets.iter().any(|queue| queue.ready.len() >= MAX_READY);
        if full || self.held.get() + Stored::cost(&message) > MAX_HELD {
            return Ok(Routed::Full);
        }
        let stored = Rc::new(Stored::new(exchange, key, message, &self.held));
        for queue in &mut targets {
            queue.ready.push_back(Entry {
                stored: Rc::clone(&stored),
                redelivered: false,
            });
            queue.wake();
        }
        Ok(Routed::Stored)
    }

    /// `basic.consume`: from now on `wake` is notified when there is something to take.
    pub(super) fn consume(
        &mut self,
        session: SessionId,
        name: &str,
        wake: &Rc<Notify>,
    ) -> Result<(), Refusal> {
        let queue = self.queue(session, name)?;
        queue.consumers.push((session, Rc::clone(wake)));
        wake.notify_one();
        Ok(())
    }

    /// `basic.cancel`: the opposite of [`Cluster::consume`].
    pub(super) fn cancel(&mut self, session: SessionId, name: &str) {
        let Some(queue) = self.queues.get_mut(name) else {
            return;
        };
        let mine = |(owner, _): &(SessionId, _)| *owner == session;
        if let Some(position) = queue.consumers.iter().position(mine) {
            queue.consumers.remove(position);
        }
        if queue.auto_delete && queue.consumers.is_empty() {
            self.queues.remove(name);
        }
    }

    /// The next message of a queue and how many are left.
    pub(super) fn take(&mut self, name: &str) -> Option<(Entry, u32)> {
        let queue = self.queues.get_mut(name)?;
        let entry = queue.ready.pop_front()?;
        Some((entry, count(queue.ready.len())))
    }

    /// Gives back a message that was delivered and not acknowledged. To keep the order of several,
    /// give back the last one first.
    pub(super) fn requeue(&mut self, name: &str, mut entry: Entry) {
        if let Some(queue) = self.queues.get_mut(name) {
            entry.redelivered = true;
            queue.ready.push_front(entry);
            queue.wake();
        }
    }

    /// `basic.get` and others: the queue has to be there and not another connection's own.
    pub(super) fn look(&mut self, session: SessionId, name: &str) -> Result<(), Refusal> {
        self.queue(session, name).map(|_| ())
    }

    fn queue(&mut self, session: SessionId, name: &str) -> Result<&mut Queue, Refusal> {
        let Some(queue) = self.queues.get_mut(name) else {
            let text = format!("no queue '{}'", short(name));
            return Err(Refusal::new(reply::NOT_FOUND, text));
        };
        if queue.owner.is_some_and(|owner| owner != session) {
            let text = format!("queue '{}' is exclusive", short(name));
            return Err(Refusal::new(reply::RESOURCE_LOCKED, text));
        }
        Ok(queue)
    }
}

impl Queue {
    /// Wakes all consumers, another one first each time: the first takes the message.
    fn wake(&mut self) {
        if !self.consumers.is_empty() {
            self.consumers.rotate_left(1);
        }
        for (_, wake) in &self.consumers {
            wake.notify_one();
        }
    }
}

fn no_exchange(name: &str) -> Refusal {
    Refusal::new(reply::NOT_FOUND, format!("no exchange '{}'", short(name)))
}

/// A name cut down so that it fits into a reply text (a short string) with words around it.
fn short(name: &str) -> String {
    name.chars().take(40).collect()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
