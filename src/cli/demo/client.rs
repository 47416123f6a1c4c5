//! A small AMQP client: one connection, one channel, enough to publish and to consume.
//!
//! It asks for no heartbeats: a connection that is cut shows as a reset at once, and the demo ends
//! before a silent loss would matter.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::amqp::content::{Assembly, Inbox, InboxError, Message, Received};
use crate::amqp::method::{Long, Method, flag, reply};
use crate::amqp::{PROTOCOL_HEADER, Writer};

/// The one channel that a client opens.
const CHANNEL: u16 = 1;
/// The largest frame, in bytes.
const FRAME_MAX: u32 = 64 << 10;
const PAYLOAD_MAX: usize = FRAME_MAX as usize;
/// Connecting and every answer may take this long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Class and method numbers of the answers that a client waits for.
const START: (u16, u16) = (10, 10);
const TUNE: (u16, u16) = (10, 30);
const OPEN_OK: (u16, u16) = (10, 41);
const CHANNEL_OPEN_OK: (u16, u16) = (20, 11);
const DECLARE_OK: (u16, u16) = (50, 11);
const QOS_OK: (u16, u16) = (60, 11);
const CONSUME_OK: (u16, u16) = (60, 21);
const SELECT_OK: (u16, u16) = (85, 11);

/// Why a client cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("connection failed")]
    Io(#[from] io::Error),
    #[error("no answer in time")]
    TimedOut,
    #[error("answer cannot be understood")]
    Protocol(#[from] InboxError),
    #[error("broker closed: {0} {1}")]
    Closed(u16, String),
    #[error("unexpected answer")]
    Unexpected,
}

/// What a broker sends to a client that has asked for nothing.
#[derive(Debug)]
pub(super) enum Event {
    /// A message for our consumer.
    Delivery {
        tag: u64,
        redelivered: bool,
        message: Message,
    },
    /// Anything else: a confirm, an answer.
    Method(Method),
}

/// A connection that is logged in and has a channel.
pub(super) struct Client {
    stream: TcpStream,
    inbox: Inbox,
    /// A delivery whose message is not complete: tag, redelivered, content.
    pending: Option<(u64, bool, Option<Assembly>)>,
}

impl Client {
    /// Connects, logs in as guest and opens a channel.
    pub(super) async fn connect(address: SocketAddr, name: &str) -> Result<Self, ClientError> {
        let connected = timeout(PATIENCE, TcpStream::connect(address)).await;
        let stream = connected.map_err(|_| ClientError::TimedOut)??;
        stream.set_nodelay(true)?;
        let mut client = Self {
            stream,
            inbox: Inbox::default(),
            pending: None,
        };
        client.stream.write_all(&PROTOCOL_HEADER).await?;
        client.answer(START).await?;
        let properties = Writer::default()
            .entry_string("product", "warren demo client")
            .entry_string("connection_name", name)
            .done();
        let start_ok = Method::ConnectionStartOk {
            properties: Long(properties),
            mechanism: "PLAIN".to_owned(),
            response: Long(b"\0guest\0guest".to_vec()),
            locale: "en_US".to_owned(),
        };
        client.call(&start_ok, TUNE).await?;
        let tune_ok = Method::ConnectionTuneOk {
            channel_max: CHANNEL,
            frame_max: FRAME_MAX,
            heartbeat: 0,
        };
        client.send(&tune_ok).await?;
        let open = Method::ConnectionOpen {
            vhost: "/".to_owned(),
            reserved: String::new(),
            flags: 0,
        };
        client.call(&open, OPEN_OK).await?;
        let reserved = String::new();
        let open = Method::ChannelOpen { reserved };
        client.call(&open, CHANNEL_OPEN_OK).await?;
        Ok(client)
    }

    /// Declares a durable queue.
    pub(super) async fn declare(&mut self, queue: &str) -> Result<(), ClientError> {
        const DURABLE: u8 = 1 << 1;
        let declare = Method::QueueDeclare {
            reserved: 0,
            queue: queue.to_owned(),
            flags: DURABLE,
            arguments: Long::default(),
        };
        self.call(&declare, DECLARE_OK).await
    }

    /// Asks for confirms of what is published from now on.
    pub(super) async fn confirm_select(&mut self) -> Result<(), ClientError> {
        let select = Method::ConfirmSelect { flags: 0 };
        self.call(&select, SELECT_OK).await
    }

    /// Starts a consumer with at most `prefetch` messages on their way to it.
    pub(super) async fn consume(&mut self, queue: &str, prefetch: u16) -> Result<(), ClientError> {
        let qos = Method::BasicQos {
            prefetch_size: 0,
            prefetch_count: prefetch,
            flags: 0,
        };
        self.call(&qos, QOS_OK).await?;
        let consume = Method::BasicConsume {
            reserved: 0,
            queue: queue.to_owned(),
            tag: String::new(),
            flags: 0,
            arguments: Long::default(),
        };
        self.call(&consume, CONSUME_OK).await
    }

    /// Publishes to a queue through the default exchange.
    pub(super) async fn publish(
        &mut self,
        queue: &str,
        message: &Message,
    ) -> Result<(), ClientError> {
        let mut out = Vec::new();
        let publish = Method::BasicPublish {
            reserved: 0,
            exchange: String::new(),
            key: queue.to_owned(),
            flags: flag::MANDATORY,
        };
        publish.encode(CHANNEL, &mut out);
        message.encode(CHANNEL, PAYLOAD_MAX, &mut out);
        Ok(self.stream.write_all(&out).await?)
    }

    /// Acknowledges a delivery and all before it.
    pub(super) async fn ack_up_to(&mut self, tag: u64) -> Result<(), ClientError> {
        let flags = flag::MULTIPLE;
        self.send(&Method::BasicAck { tag, flags }).await
    }

    /// Says goodbye and waits for the broker's.
    pub(super) async fn close(mut self) -> Result<(), ClientError> {
        let close = Method::ConnectionClose {
            code: reply::SUCCESS,
            text: String::new(),
            class: 0,
            method: 0,
        };
        self.send(&close).await?;
        let goodbye = async {
            loop {
                if let Event::Method(Method::ConnectionCloseOk {}) = self.next().await? {
                    return Ok(());
                }
            }
        };
        let in_time = timeout(PATIENCE, goodbye).await;
        in_time.unwrap_or(Err(ClientError::TimedOut))
    }

    /// The next thing that the broker sends. Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Result<Event, ClientError> {
        let mut chunk = [0; 8192];
        loop {
            while let Some((_, received)) = self.inbox.next(PAYLOAD_MAX)? {
                if let Some(event) = self.frame(received)? {
                    return Ok(event);
                }
            }
            self.stream.readable().await?;
            match self.stream.try_read(&mut chunk) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(length) => self.inbox.extend(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn frame(&mut self, received: Received) -> Result<Option<Event>, ClientError> {
        match received {
            Received::Heartbeat => return Ok(None),
            Received::Method(Method::BasicDeliver {
                tag, redelivered, ..
            }) => self.pending = Some((tag, redelivered != 0, None)),
            Received::Method(
                Method::ConnectionClose { code, text, .. }
                | Method::ChannelClose { code, text, .. }
                // A queue that we declared is gone: nothing here can go on without it.
                | Method::BasicReturn { code, text, .. },
            ) => return Err(ClientError::Closed(code, text)),
            Received::Method(method) => return Ok(Some(Event::Method(method))),
            Received::Header { size, properties } => match &mut self.pending {
                Some((_, _, content @ None)) => *content = Some(Assembly::new(size, properties)),
                _ => return Err(ClientError::Unexpected),
            },
            Received::Body(part) => {
                let content = self.pending.as_mut().and_then(|pending| pending.2.as_mut());
                if !content.is_some_and(|content| content.add(&part)) {
                    return Err(ClientError::Unexpected);
                }
            }
        }
        Ok(match self.pending.take() {
            Some((tag, redelivered, Some(content))) if content.is_complete() => {
                let message = content.done();
                Some(Event::Delivery {
                    tag,
                    redelivered,
                    message,
                })
            }
            incomplete => {
                self.pending = incomplete;
                None
            }
        })
    }

    async fn send(&mut self, method: &Method) -> Result<(), ClientError> {
        let channel = match method.id() {
            (10, _) => 0,
            _ => CHANNEL,
        };
        let mut out = Vec::new();
        method.encode(channel, &mut out);
        Ok(self.stream.write_all(&out).await?)
    }

    async fn call(&mut self, method: &Method, answer: (u16, u16)) -> Result<(), ClientError> {
        self.send(method).await?;
        self.answer(answer).await
    }

    /// Waits for the method with these class and method numbers.
    async fn answer(&mut self, wanted: (u16, u16)) -> Result<(), ClientError> {
        let next = timeout(PATIENCE, self.next()).await;
        match next.map_err(|_| ClientError::TimedOut)?? {
            Event::Method(method) if method.id() == wanted => Ok(()),
            Event::Method(_) | Event::Delivery { .. } => Err(ClientError::Unexpected),
        }
    }
}
