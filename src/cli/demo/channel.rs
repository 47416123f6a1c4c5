//! One channel of a broker's connection: what `queue`, `exchange`, `basic` and `confirm` methods
//! do to the cluster. No IO: answers are appended to the connection's output.
//!
//! Simpler than RabbitMQ in one way that clients can see: a prefetch limit counts for the channel,
//! whatever `global` says.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::Notify;

use super::cluster::{Cluster, Entry, Refusal, Routed, SessionId};
use crate::amqp::content::{Assembly, Message};
use crate::amqp::method::{Long, Method, flag, reply};

/// The largest body of a message, in bytes.
const MAX_BODY: u64 = 1 << 20;
/// Deliveries without acknowledgement on one channel when there is no smaller prefetch limit.
const MAX_UNACKED: usize = 2_000;
/// Consumers of one channel.
const MAX_CONSUMERS: usize = 64;
/// No more deliveries while this many bytes wait to be written to the client.
pub(super) const OUTPUT_LIMIT: usize = 256 << 10;

/// What a channel needs of its connection.
pub(super) struct Context<'a> {
    pub cluster: &'a RefCell<Cluster>,
    pub session: SessionId,
    /// Notified when a queue that is consumed has something.
    pub wake: &'a Rc<Notify>,
    pub frame_max: usize,
    pub out: &'a mut Vec<u8>,
}

impl Context<'_> {
    fn answer(&mut self, channel: u16, method: &Method) {
        method.encode(channel, self.out);
    }
}

struct Consumer {
    tag: String,
    queue: String,
    no_ack: bool,
}

/// A delivery that waits for its acknowledgement.
struct Unacked {
    queue: String,
    entry: Entry,
}

/// A `basic.publish` whose content is still coming in.
struct Incoming {
    exchange: String,
    key: String,
    flags: u8,
    content: Option<Assembly>,
}

/// An open channel.
pub(super) struct Channel {
    id: u16,
    prefetch: usize,
    consumers: Vec<Consumer>,
    unacked: BTreeMap<u64, Unacked>,
    delivered: u64,
    /// Messages published since `confirm.select`.
    confirms: Option<u64>,
    incoming: Option<Incoming>,
    /// An empty queue name means this one.
    last_queue: String,
    tags: u64,
}

impl Channel {
    pub(super) fn new(id: u16) -> Self {
        Self {
            id,
            prefetch: 0,
            consumers: Vec::new(),
            unacked: BTreeMap::new(),
            delivered: 0,
            confirms: None,
            incoming: None,
            last_queue: String::new(),
            tags: 0,
        }
    }

    /// Carries out one method.
    pub(super) fn method(&mut self, method: Method, cx: &mut Context<'_>) -> Result<(), Refusal> {
        if self.incoming.is_some() {
            return Err(Refusal::new(
                reply::UNEXPECTED_FRAME,
                "content was expected",
            ));
        }
        match method.id() {
            (40 | 50, _) => self.declaration(method, cx),
            (60, 40..=90 | 120) => self.messaging(method, cx),
            _ => self.setting(method, cx),
        }
    }

    /// `exchange` and `queue`.
    fn declaration(&mut self, method: Method, cx: &mut Context<'_>) -> Result<(), Refusal> {
        let mut cluster = cx.cluster.borrow_mut();
        let session = cx.session;
        let (no_wait, answer) = match method {
            Method::ExchangeDeclare {
                exchange,
                kind,
                flags,
                ..
            } => {
                cluster.declare_exchange(&exchange, &kind, flags)?;
                let no_wait = flags & flag::DECLARE_NO_WAIT;
                (no_wait, Method::ExchangeDeclareOk {})
            }
            Method::QueueDeclare { queue, flags, .. } => {
                let (queue, messages, consumers) = cluster.declare(session, &queue, flags)?;
                self.last_queue.clone_from(&queue);
                let answer = Method::QueueDeclareOk {
                    queue,
                    messages,
                    consumers,
                };
                (flags & flag::DECLARE_NO_WAIT, answer)
            }
            Method::QueueBind {
                queue,
                exchange,
                key,
                flags,
                ..
            } => {
                cluster.bind(session, &self.named(queue), &exchange, &key)?;
                (flags & flag::NO_WAIT, Method::QueueBindOk {})
            }
            Method::QueuePurge { queue, flags, .. } => {
                let messages = cluster.purge(session, &self.named(queue))?;
                (flags & flag::NO_WAIT, Method::QueuePurgeOk { messages })
            }
            Method::QueueDelete { queue, flags, .. } => {
                let messages = cluster.delete(session, &self.named(queue), flags)?;
                let answer = Method::QueueDeleteOk { messages };
                (flags & flag::DELETE_NO_WAIT, answer)
            }
            other => return Err(misplaced(&other)),
        };
        drop(cluster);
        if no_wait == 0 {
            cx.answer(self.id, &answer);
        }
        Ok(())
    }

    /// `confirm` and what of `basic` sets the channel up.
    fn setting(&mut self, method: Method, cx: &mut Context<'_>) -> Result<(), Refusal> {
        let (no_wait, answer) = match method {
            Method::BasicQos { prefetch_count, .. } => {
                self.prefetch = usize::from(prefetch_count);
                (0, Method::BasicQosOk {})
            }
            Method::BasicConsume {
                queue, tag, flags, ..
            } => {
                let tag = self.consume(queue, tag, flags, cx)?;
                let no_wait = flags & flag::CONSUME_NO_WAIT;
                (no_wait, Method::BasicConsumeOk { tag })
            }
            Method::BasicCancel { tag, flags } => {
                if let Some(at) = self.consumers.iter().position(|known| known.tag == tag) {
                    let consumer = self.consumers.remove(at);
                    let mut cluster = cx.cluster.borrow_mut();
                    cluster.cancel(cx.session, &consumer.queue);
                }
                (flags & flag::NO_WAIT, Method::BasicCancelOk { tag })
            }
            Method::ConfirmSelect { flags } => {
                self.confirms.get_or_insert(0);
                (flags & flag::NO_WAIT, Method::ConfirmSelectOk {})
            }
            other => return Err(misplaced(&other)),
        };
        if no_wait == 0 {
            cx.answer(self.id, &answer);
        }
        Ok(())
    }

    /// What of `basic` moves messages.
    fn messaging(&mut self, method: Method, cx: &mut Context<'_>) -> Result<(), Refusal> {
        match method {
            Method::BasicPublish {
                exchange,
                key,
                flags,
                ..
            } => {
                self.incoming = Some(Incoming {
                    exchange,
                    key,
                    flags,
                    content: None,
                });
                Ok(())
            }
            Method::BasicGet { queue, flags, .. } => self.get(queue, flags, cx),
            Method::BasicAck { tag, flags } => {
                self.settle(tag, flags & flag::MULTIPLE != 0, false, cx)
            }
            Method::BasicReject { tag, flags } => {
                self.settle(tag, false, flags & flag::REJECT_REQUEUE != 0, cx)
            }
            Method::BasicNack { tag, flags } => {
                let requeue = flags & flag::NACK_REQUEUE != 0;
                self.settle(tag, flags & flag::MULTIPLE != 0, requeue, cx)
            }
            other => Err(misplaced(&other)),
        }
    }

    fn named(&self, queue: String) -> String {
        if queue.is_empty() {
            self.last_queue.clone()
        } else {
            queue
        }
    }

    fn consume(
        &mut self,
        queue: String,
        tag: String,
        flags: u8,
        cx: &mut Context<'_>,
    ) -> Result<String, Refusal> {
        if self.consumers.len() >= MAX_CONSUMERS {
            return Err(Refusal::new(reply::RESOURCE_ERROR, "too many consumers"));
        }
        let tag = if tag.is_empty() {
            self.tags += 1;
            format!("amq.ctag-{}-{}", self.id, self.tags)
        } else {
            tag
        };
        if self.consumers.iter().any(|known| known.tag == tag) {
            return Err(Refusal::new(reply::NOT_ALLOWED, "consumer tag is in use"));
        }
        let queue = self.named(queue);
        let mut cluster = cx.cluster.borrow_mut();
        cluster.consume(cx.session, &queue, cx.wake)?;
        self.consumers.push(Consumer {
            tag: tag.clone(),
            queue,
            no_ack: flags & flag::CONSUME_NO_ACK != 0,
        });
        Ok(tag)
    }

    fn get(&mut self, queue: String, flags: u8, cx: &mut Context<'_>) -> Result<(), Refusal> {
        if self.unacked.len() >= MAX_UNACKED {
            let text = "too many messages without acknowledgement";
            return Err(Refusal::new(reply::RESOURCE_ERROR, text));
        }
        let queue = self.named(queue);
        let taken = {
            let mut cluster = cx.cluster.borrow_mut();
            cluster.look(cx.session, &queue)?;
            cluster.take(&queue)
        };
        let Some((entry, messages)) = taken else {
            let reserved = String::new();
            cx.answer(self.id, &Method::BasicGetEmpty { reserved });
            return Ok(());
        };
        self.delivered += 1;
        let answer = Method::BasicGetOk {
            tag: self.delivered,
            redelivered: u8::from(entry.redelivered),
            exchange: entry.stored.exchange.clone(),
            key: entry.stored.key.clone(),
            messages,
        };
        self.hand_over(&answer, queue, entry, flags & flag::GET_NO_ACK != 0, cx);
        Ok(())
    }

    /// Acknowledges, or gives back, or throws away.
    fn settle(
        &mut self,
        tag: u64,
        multiple: bool,
        requeue: bool,
        cx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        let settled = if multiple {
            let later = match tag {
                // "All so far."
                0 => BTreeMap::new(),
                tag => self.unacked.split_off(&tag.saturating_add(1)),
            };
            std::mem::replace(&mut self.unacked, later)
        } else {
            self.unacked.remove_entry(&tag).into_iter().collect()
        };
        if settled.is_empty() && tag != 0 {
            let text = format!("unknown delivery tag {tag}");
            return Err(Refusal::new(reply::PRECONDITION_FAILED, text));
        }
        if requeue {
            give_back(settled, &mut cx.cluster.borrow_mut());
        }
        // There may be room for more deliveries now.
        cx.wake.notify_one();
        Ok(())
    }

    /// A content header.
    pub(super) fn header(
        &mut self,
        size: u64,
        properties: Vec<u8>,
        cx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        if size > MAX_BODY {
            self.incoming = None;
            let text = format!("message of {size} bytes is larger than {MAX_BODY}");
            return Err(Refusal::new(reply::CONTENT_TOO_LARGE, text));
        }
        match &mut self.incoming {
            Some(incoming) if incoming.content.is_none() => {
                incoming.content = Some(Assembly::new(size, properties));
                self.publish_if_complete(cx)
            }
            _ => Err(unexpected_content()),
        }
    }

    /// A piece of a body.
    pub(super) fn body(&mut self, part: &[u8], cx: &mut Context<'_>) -> Result<(), Refusal> {
        let incoming = self.incoming.as_mut();
        let content = incoming.and_then(|incoming| incoming.content.as_mut());
        if !content.is_some_and(|content| content.add(part)) {
            return Err(unexpected_content());
        }
        self.publish_if_complete(cx)
    }

    fn publish_if_complete(&mut self, cx: &mut Context<'_>) -> Result<(), Refusal> {
        let complete = |incoming: &mut Incoming| {
            let content = incoming.content.as_ref();
            content.is_some_and(Assembly::is_complete)
        };
        let Some(incoming) = self.incoming.take_if(complete) else {
            return Ok(());
        };
        let Some(content) = incoming.content else {
            return Ok(());
        };
        let message = content.done();
        let mandatory = incoming.flags & flag::MANDATORY != 0;
        let names = mandatory.then(|| (incoming.exchange.clone(), incoming.key.clone()));
        let copy = mandatory.then(|| message.clone());
        let mut cluster = cx.cluster.borrow_mut();
        let routed = cluster.publish(incoming.exchange, incoming.key, message)?;
        drop(cluster);
        if let (Routed::Nowhere, Some((exchange, key)), Some(message)) = (&routed, names, copy) {
            self.send_back(exchange, key, &message, cx);
        }
        self.confirm(&routed, cx);
        Ok(())
    }

    fn send_back(&self, exchange: String, key: String, message: &Message, cx: &mut Context<'_>) {
        let returned = Method::BasicReturn {
            code: reply::NO_ROUTE,
            text: "NO_ROUTE".to_owned(),
            exchange,
            key,
        };
        cx.answer(self.id, &returned);
        message.encode(self.id, cx.frame_max, cx.out);
    }

    /// Confirms only what the shared state has taken over (or what nobody wanted).
    fn confirm(&mut self, routed: &Routed, cx: &mut Context<'_>) {
        let Some(confirms) = &mut self.confirms else {
            return;
        };
        *confirms += 1;
        let tag = *confirms;
        let answer = match routed {
            Routed::Stored | Routed::Nowhere => Method::BasicAck { tag, flags: 0 },
            Routed::Full => Method::BasicNack { tag, flags: 0 },
        };
        cx.answer(self.id, &answer);
    }

    /// Delivers to the consumers in turn while there are messages and limits allow it.
    pub(super) fn deliver(&mut self, cx: &mut Context<'_>) {
        let limit = match self.prefetch {
            0 => MAX_UNACKED,
            prefetch => prefetch.min(MAX_UNACKED),
        };
        let mut idle = 0;
        while idle < self.consumers.len()
            && self.unacked.len() < limit
            && cx.out.len() < OUTPUT_LIMIT
        {
            // The first becomes the last: consumers take turns.
            self.consumers.rotate_left(1);
            let Some(consumer) = self.consumers.last() else {
                return;
            };
            let Some((entry, _)) = cx.cluster.borrow_mut().take(&consumer.queue) else {
                idle += 1;
                continue;
            };
            idle = 0;
            self.delivered += 1;
            let delivery = Method::BasicDeliver {
                consumer: consumer.tag.clone(),
                tag: self.delivered,
                redelivered: u8::from(entry.redelivered),
                exchange: entry.stored.exchange.clone(),
                key: entry.stored.key.clone(),
            };
            let (queue, no_ack) = (consumer.queue.clone(), consumer.no_ack);
            self.hand_over(&delivery, queue, entry, no_ack, cx);
        }
    }

    fn hand_over(
        &mut self,
        method: &Method,
        queue: String,
        entry: Entry,
        no_ack: bool,
        cx: &mut Context<'_>,
    ) {
        cx.answer(self.id, method);
        entry.stored.message.encode(self.id, cx.frame_max, cx.out);
        if !no_ack {
            self.unacked
                .insert(self.delivered, Unacked { queue, entry });
        }
    }

    /// Ends the channel: what was not acknowledged goes back to its queue.
    pub(super) fn close(self, session: SessionId, cluster: &mut Cluster) {
        for consumer in &self.consumers {
            cluster.cancel(session, &consumer.queue);
        }
        give_back(self.unacked, cluster);
    }
}

fn give_back(unacked: BTreeMap<u64, Unacked>, cluster: &mut Cluster) {
    for Unacked { queue, entry } in unacked.into_values().rev() {
        cluster.requeue(&queue, entry);
    }
}

fn misplaced(method: &Method) -> Refusal {
    let (class, method) = method.id();
    let text = format!("method ({class}, {method}) makes no sense here");
    Refusal::new(reply::COMMAND_INVALID, text)
}

fn unexpected_content() -> Refusal {
    Refusal::new(reply::UNEXPECTED_FRAME, "content was not expected")
}

/// `channel.open-ok`
pub(super) fn opened() -> Method {
    Method::ChannelOpenOk {
        reserved: Long::default(),
    }
}
