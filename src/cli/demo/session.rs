//! The broker's side of one connection: handshake, channels, heartbeats, closing. No IO: bytes and
//! time come in, bytes to write are left in `out`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::channel::{self, Channel, Context};
use super::cluster::{Cluster, Refusal, SessionId};
use crate::amqp::content::{Inbox, InboxError, Received};
use crate::amqp::method::{Long, Method, MethodError, reply};
use crate::amqp::{Frame, FrameKind, PROTOCOL_HEADER, Writer};

/// The largest frame we take and send, header and end included.
const FRAME_MAX: u32 = 128 << 10;
/// The smallest that a client may ask for (specification, section 4.2.3).
const FRAME_MIN: u32 = 4096;
const CHANNEL_MAX: u16 = 64;
/// Seconds; what RabbitMQ suggests too.
const HEARTBEAT: u16 = 60;
/// A handshake, and a goodbye, may take this long.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Header,
    StartOk,
    TuneOk,
    Open,
    Running,
    /// We have sent `connection.close` and wait for the answer.
    Closing,
    /// Nothing more is read; what is in `out` should still be written.
    Closed,
}

/// One connection.
pub(super) struct Session {
    id: SessionId,
    name: &'static str,
    cluster: Rc<RefCell<Cluster>>,
    /// Notified when [`Session::deliver`] may have something to do.
    pub wake: Rc<Notify>,
    inbox: Inbox,
    /// To be written to the client.
    pub out: Vec<u8>,
    phase: Phase,
    phase_since: Instant,
    channels: BTreeMap<u16, Channel>,
    /// Channels that we closed; until `channel.close-ok` what comes in on them is ignored.
    closing: Vec<u16>,
    frame_max: usize,
    heartbeat: Duration,
    heard: Instant,
    sent: Instant,
}

impl Session {
    pub(super) fn new(name: &'static str, cluster: Rc<RefCell<Cluster>>, now: Instant) -> Self {
        let id = cluster.borrow_mut().connect();
        Self {
            id,
            name,
            cluster,
            wake: Rc::default(),
            inbox: Inbox::default(),
            out: Vec::new(),
            phase: Phase::Header,
            phase_since: now,
            channels: BTreeMap::new(),
            closing: Vec::new(),
            frame_max: usize::try_from(FRAME_MAX).unwrap_or(usize::MAX),
            heartbeat: Duration::ZERO,
            heard: now,
            sent: now,
        }
    }

    /// Whether the connection ends as soon as `out` is written.
    pub(super) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Takes what was read from the client; [`Session::process`] looks at it.
    pub(super) fn receive(&mut self, bytes: &[u8], now: Instant) {
        self.heard = now;
        self.inbox.extend(bytes);
    }

    /// Whether so much waits to be written that nothing more is taken from the client.
    pub(super) fn is_choked(&self) -> bool {
        self.out.len() >= channel::OUTPUT_LIMIT
    }

    /// Carries out what was received, until it is done or the connection is choked.
    pub(super) fn process(&mut self, now: Instant) {
        while self.phase != Phase::Closed && !self.is_choked() {
            if self.phase == Phase::Header {
                let Some(header) = self.inbox.take() else {
                    return;
                };
                self.greet(header, now);
                continue;
            }
            let (channel, outcome) = match self.inbox.next(self.frame_max) {
                Ok(None) => return,
                Ok(Some((channel, frame))) => (channel, self.frame(channel, frame, now)),
                Err(InboxError::Method { channel, error }) => {
                    let code = match error {
                        MethodError::Unknown { .. } => reply::NOT_IMPLEMENTED,
                        MethodError::Decode(_) | MethodError::NotText => reply::SYNTAX_ERROR,
                    };
                    (channel, Err(Refusal::new(code, error.to_string())))
                }
                Err(InboxError::Frame(error)) => {
                    let refusal = Refusal::new(reply::FRAME_ERROR, error.to_string());
                    self.refuse(0, refusal, now);
                    // Where the next frame begins is not known, so no answer can be read.
                    self.enter(Phase::Closed, now);
                    return;
                }
            };
            if let Err(refusal) = outcome {
                self.refuse(channel, refusal, now);
            }
        }
    }

    /// Moves messages from the queues that this connection consumes to `out`.
    pub(super) fn deliver(&mut self) {
        let mut cx = Context {
            cluster: &self.cluster,
            session: self.id,
            wake: &self.wake,
            frame_max: self.frame_max,
            out: &mut self.out,
        };
        for channel in self.channels.values_mut() {
            channel.deliver(&mut cx);
        }
    }

    /// Called about once a second. False: the client is taking too long.
    pub(super) fn tick(&mut self, now: Instant) -> bool {
        if self.phase != Phase::Running {
            return now - self.phase_since < PATIENCE;
        }
        if self.heartbeat.is_zero() {
            return true;
        }
        if now - self.sent >= self.heartbeat / 2 && self.out.is_empty() {
            let frame = Frame {
                kind: FrameKind::Heartbeat,
                channel: 0,
                payload: &[],
            };
            frame.encode(&mut self.out);
            self.sent = now;
        }
        now - self.heard < self.heartbeat * 2
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.phase_since = now;
    }

    fn greet(&mut self, header: [u8; 8], now: Instant) {
        if header != PROTOCOL_HEADER {
            self.out.extend_from_slice(&PROTOCOL_HEADER);
            self.enter(Phase::Closed, now);
            return;
        }
        let capabilities = Writer::default()
            .entry_bool("publisher_confirms", true)
            .entry_bool("basic.nack", true)
            .entry_bool("authentication_failure_close", true)
            .done();
        let properties = Writer::default()
            .entry_string("product", "warren demo broker")
            .entry_string("version", env!("CARGO_PKG_VERSION"))
            .entry_string("cluster_name", self.name)
            .entry_table("capabilities", &capabilities)
            .done();
        let start = Method::ConnectionStart {
            major: 0,
            minor: 9,
            properties: Long(properties),
            mechanisms: Long(b"PLAIN".to_vec()),
            locales: Long(b"en_US".to_vec()),
        };
        start.encode(0, &mut self.out);
        self.enter(Phase::StartOk, now);
    }

    fn frame(&mut self, channel: u16, frame: Received, now: Instant) -> Result<(), Refusal> {
        match (channel, frame) {
            (_, Received::Heartbeat) => Ok(()),
            (0, Received::Method(method)) if self.phase == Phase::Closing => {
                self.last_words(&method, now);
                Ok(())
            }
            (_, _) if self.phase == Phase::Closing => Ok(()),
            (0, Received::Method(method)) => self.connection(method, now),
            (_, frame) if self.phase == Phase::Running && channel != 0 => {
                self.channel(channel, frame)
            }
            _ => {
                let text = "this frame makes no sense here";
                Err(Refusal::new(reply::UNEXPECTED_FRAME, text))
            }
        }
    }

    fn last_words(&mut self, method: &Method, now: Instant) {
        if *method == (Method::ConnectionCloseOk {}) {
            self.enter(Phase::Closed, now);
        } else if let Method::ConnectionClose { .. } = method {
            Method::ConnectionCloseOk {}.encode(0, &mut self.out);
        }
    }

    /// Methods on channel 0.
    fn connection(&mut self, method: Method, now: Instant) -> Result<(), Refusal> {
        match (self.phase, method) {
            (
                Phase::StartOk,
                Method::ConnectionStartOk {
                    mechanism,
                    response,
                    ..
                },
            ) => {
                if mechanism != "PLAIN" || response.0 != b"\0guest\0guest" {
                    let text = "PLAIN with guest and guest is the only login";
                    return Err(Refusal::new(reply::ACCESS_REFUSED, text));
                }
                let tune = Method::ConnectionTune {
                    channel_max: CHANNEL_MAX,
                    frame_max: FRAME_MAX,
                    heartbeat: HEARTBEAT,
                };
                tune.encode(0, &mut self.out);
                self.enter(Phase::TuneOk, now);
                Ok(())
            }
            (
                Phase::TuneOk,
                Method::ConnectionTuneOk {
                    frame_max,
                    heartbeat,
                    ..
                },
            ) => {
                let frame_max = match frame_max {
                    0 => FRAME_MAX,
                    asked => asked.clamp(FRAME_MIN, FRAME_MAX),
                };
                self.frame_max = usize::try_from(frame_max).unwrap_or(usize::MAX);
                self.heartbeat = Duration::from_secs(u64::from(heartbeat));
                self.enter(Phase::Open, now);
                Ok(())
            }
            (Phase::Open, Method::ConnectionOpen { vhost, .. }) => {
                if vhost != "/" {
                    let text = "the only virtual host is '/'";
                    return Err(Refusal::new(reply::NOT_ALLOWED, text));
                }
                let reserved = String::new();
                Method::ConnectionOpenOk { reserved }.encode(0, &mut self.out);
                self.enter(Phase::Running, now);
                Ok(())
            }
            (_, Method::ConnectionClose { .. }) => {
                self.release();
                Method::ConnectionCloseOk {}.encode(0, &mut self.out);
                self.enter(Phase::Closed, now);
                Ok(())
            }
            (phase, method) => {
                let (class, method) = method.id();
                let text = format!("method ({class}, {method}) makes no sense in {phase:?}");
                Err(Refusal::new(reply::COMMAND_INVALID, text))
            }
        }
    }

    /// Frames on the other channels.
    fn channel(&mut self, id: u16, frame: Received) -> Result<(), Refusal> {
        if let Some(position) = self.closing.iter().position(|&closing| closing == id) {
            if frame == Received::Method(Method::ChannelCloseOk {}) {
                self.closing.swap_remove(position);
            } else if let Received::Method(Method::ChannelClose { .. }) = frame {
                Method::ChannelCloseOk {}.encode(id, &mut self.out);
            }
            return Ok(());
        }
        if let Received::Method(Method::ChannelOpen { .. }) = frame {
            if id > CHANNEL_MAX || self.channels.contains_key(&id) {
                let text = format!("channel {id} cannot be opened");
                return Err(Refusal::new(reply::CHANNEL_ERROR, text));
            }
            self.channels.insert(id, Channel::new(id));
            channel::opened().encode(id, &mut self.out);
            return Ok(());
        }
        let Some(channel) = self.channels.get_mut(&id) else {
            let text = format!("channel {id} is not open");
            return Err(Refusal::new(reply::CHANNEL_ERROR, text));
        };
        let mut cx = Context {
            cluster: &self.cluster,
            session: self.id,
            wake: &self.wake,
            frame_max: self.frame_max,
            out: &mut self.out,
        };
        match frame {
            Received::Method(Method::ChannelClose { .. }) => {
                self.end_channel(id);
                Method::ChannelCloseOk {}.encode(id, &mut self.out);
                Ok(())
            }
            Received::Method(method) => channel.method(method, &mut cx),
            Received::Header { size, properties } => channel.header(size, properties, &mut cx),
            Received::Body(part) => channel.body(&part, &mut cx),
            Received::Heartbeat => Ok(()),
        }
    }

    fn end_channel(&mut self, id: u16) {
        if let Some(channel) = self.channels.remove(&id) {
            channel.close(self.id, &mut self.cluster.borrow_mut());
        }
    }

    /// Says no: closes the channel or the connection.
    fn refuse(&mut self, channel: u16, refusal: Refusal, now: Instant) {
        let hard = refusal.is_hard() || channel == 0;
        let Refusal { code, mut text } = refusal;
        text.truncate(text.floor_char_boundary(255));
        let (class, method) = (0, 0);
        if hard {
            if self.phase == Phase::Closing {
                return;
            }
            self.release();
            let close = Method::ConnectionClose {
                code,
                text,
                class,
                method,
            };
            close.encode(0, &mut self.out);
            self.enter(Phase::Closing, now);
        } else {
            self.end_channel(channel);
            self.closing.push(channel);
            let close = Method::ChannelClose {
                code,
                text,
                class,
                method,
            };
            close.encode(channel, &mut self.out);
        }
    }

    /// Gives everything back to the cluster.
    fn release(&mut self) {
        let mut cluster = self.cluster.borrow_mut();
        while let Some((_, channel)) = self.channels.pop_first() {
            channel.close(self.id, &mut cluster);
        }
        cluster.disconnect(self.id);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.release();
    }
}
