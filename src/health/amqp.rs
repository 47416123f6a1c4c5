//! The long-lived AMQP 0-9-1 check connection, as bytes.
//!
//! ```text
//!  check  protocol header                                                broker
//!         <------------------------------------------------ connection.start
//!         connection.start-ok (PLAIN, who we are) ----------------------->
//!         <------------------------------------------------- connection.tune
//!         connection.tune-ok, connection.open (vhost) ------------------->
//!         <---------------------------------------------- connection.open-ok
//!         channel.open -------------------------------------------------->
//!         <------------------------------------------------- channel.open-ok
//!         basic.qos ----------------------------------------------------->  again and
//!         <---------------------------------------------------- basic.qos-ok  again
//! ```
//!
//! basic.qos changes nothing for a channel without consumers, and its answer has to come from the
//! channel's own process, through the connection's: a broker that answers it does its work.
//!
//! Source: AMQP 0-9-1 specification, sections 1.4, 1.5 and 1.8 of the class reference.

use crate::amqp::{DecodeError, Frame, FrameKind, PROTOCOL_HEADER, Reader, Writer};

/// The largest frame payload that we take, and announce, in bytes: RabbitMQ's smallest frame_max.
const FRAME_LIMIT: usize = 8192;
const FRAME_MAX: u32 = 8192;
const CHANNEL: u16 = 1;
/// Longest text taken over from a server, in characters.
const LONGEST_TEXT: usize = 200;

/// Who logs in, and where to.
#[derive(Debug, Clone)]
pub struct Login {
    /// For PLAIN.
    pub credentials: crate::config::Credentials,
    /// Virtual host to open.
    pub vhost: String,
    /// What RabbitMQ's management shows as the name of the connection.
    pub connection_name: String,
    /// Seconds of silence after which the broker may give us up: twice our longest pause.
    pub heartbeat: u16,
}

/// What the broker told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Logged in; the channel is open.
    Ready,
    /// The answer to [`Conversation::ask`].
    Answer,
    /// connection.blocked: publishers are held back, for this reason.
    Blocked(String),
    /// connection.unblocked: they no longer are.
    Unblocked,
}

/// Why a conversation is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The bytes are not AMQP 0-9-1.
    #[error("{0}")]
    Nonsense(#[from] DecodeError),
    /// A method came that has no place here.
    #[error("sent method {class}.{method} instead of {expected}")]
    Unexpected {
        /// Class that came.
        class: u16,
        /// Method that came.
        method: u16,
        /// Name of what the specification allows at this point.
        expected: &'static str,
    },
    /// The broker's login mechanisms do not include PLAIN.
    #[error("does not offer PLAIN logins but: {0}")]
    NoPlain(String),
    /// We said goodbye and the broker agreed.
    #[error("said goodbye")]
    Left,
    /// connection.close or channel.close.
    #[error("closed with {code}: {text}")]
    Closed {
        /// Reply code.
        code: u16,
        /// Reply text.
        text: String,
    },
}

/// What is awaited next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Start,
    Tune,
    OpenOk,
    ChannelOpenOk,
    /// Logged in; nothing is awaited.
    Idle,
    QosOk,
    /// We want to say goodbye, when our last question is answered.
    LastQosOk,
    /// We said goodbye; whatever else is under way does not matter any more.
    CloseOk,
    Over,
}

impl Phase {
    const fn awaited(self) -> Option<&'static str> {
        match self {
            Self::Start => Some("connection.start"),
            Self::Tune => Some("connection.tune"),
            Self::OpenOk => Some("connection.open-ok"),
            Self::ChannelOpenOk => Some("channel.open-ok"),
            Self::Idle | Self::Over => None,
            Self::QosOk | Self::LastQosOk => Some("basic.qos-ok"),
            Self::CloseOk => Some("connection.close-ok"),
        }
    }
}

/// One connection's conversation: bytes in, bytes and [`Heard`] out.
#[derive(Debug)]
pub struct Conversation {
    login: Login,
    phase: Phase,
    /// Bytes that do not make a frame yet; never more than one frame and one read.
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Conversation {
    /// Starts with the protocol header in the output.
    #[must_use]
    pub fn new(login: Login) -> Self {
        Self {
            login,
            phase: Phase::Start,
            input: Vec::new(),
            output: PROTOCOL_HEADER.to_vec(),
        }
    }

    /// Takes the bytes to send.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether the broker has sent a whole frame yet.
    #[must_use]
    pub fn is_recognized(&self) -> bool {
        self.phase != Phase::Start
    }

    /// What is awaited from the broker, by its name in the specification.
    #[must_use]
    pub fn awaited(&self) -> Option<&'static str> {
        self.phase.awaited()
    }

    /// Takes received bytes.
    ///
    /// # Errors
    ///
    /// Why the conversation is over; the output may still hold a last word to the broker.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Heard>, Failure> {
        self.input.extend_from_slice(bytes);
        let mut input = std::mem::take(&mut self.input);
        let mut done = 0;
        let mut heard = Vec::new();
        while let Some((frame, used)) = Frame::decode(&input[done..], FRAME_LIMIT)? {
            done += used;
            heard.extend(self.handle(&frame)?);
        }
        // A frame that comes in many pieces is not copied with each of them; between frames there
        // is no buffer.
        if done < input.len() {
            input.drain(..done);
            self.input = input;
        }
        Ok(heard)
    }

    /// Asks for a sign of life, unless one is awaited already: then a heartbeat goes out, so that
    /// the broker does not give us up meanwhile.
    pub fn ask(&mut self) {
        if self.phase == Phase::Idle {
            self.phase = Phase::QosOk;
            // No limit in bytes, one message, this channel only.
            let qos = Writer::method(60, 10).u32(0).u16(1).u8(0);
            self.say(CHANNEL, qos);
        } else {
            self.say_frame(FrameKind::Heartbeat, 0, &[]);
        }
    }

    /// Says goodbye, so that the broker logs an orderly end; [`Failure::Left`] is its answer. While
    /// an answer is awaited it waits for that, unless it is told a second time.
    ///
    /// Only the connection is closed, and not while the channel is at work: RabbitMQ 3.10 now and
    /// then logs an error (`shutdown_error`) when a connection ends within milliseconds of its
    /// channel. In 2,000 goodbyes on a busy machine: none this way, 1 in the middle of a question,
    /// about 20 after a channel.close.
    pub fn leave(&mut self) {
        if self.phase == Phase::QosOk {
            self.phase = Phase::LastQosOk;
        } else if matches!(self.phase, Phase::Idle | Phase::LastQosOk) {
            self.say_goodbye();
        }
    }

    fn handle(&mut self, frame: &Frame<'_>) -> Result<Option<Heard>, Failure> {
        match frame.kind {
            FrameKind::Heartbeat => return Ok(None),
            FrameKind::Method => {}
            // Nothing was published and nothing is consumed.
            FrameKind::Header => return Err(DecodeError::FrameType(2).into()),
            FrameKind::Body => return Err(DecodeError::FrameType(3).into()),
        }
        let mut arguments = Reader::new(frame.payload);
        let (class, method) = (arguments.u16()?, arguments.u16()?);
        match (class, method, self.phase) {
            (10, 50, _) => Err(self.closed(0, (10, 51), arguments)?),
            (10, 51, Phase::CloseOk) => {
                self.phase = Phase::Over;
                Err(Failure::Left)
            }
            (_, _, Phase::CloseOk) => Ok(None),
            (20, 40, _) => Err(self.closed(CHANNEL, (20, 41), arguments)?),
            (10, 60, _) => Ok(Some(Heard::Blocked(one_line(arguments.short_string()?)))),
            (10, 61, _) => Ok(Some(Heard::Unblocked)),
            (10, 10, Phase::Start) => self.start(arguments),
            (10, 30, Phase::Tune) => self.tune(arguments),
            (10, 41, Phase::OpenOk) => {
                self.phase = Phase::ChannelOpenOk;
                self.say(CHANNEL, Writer::method(20, 10).short_string(""));
                Ok(None)
            }
            (20, 11, Phase::ChannelOpenOk) => {
                self.phase = Phase::Idle;
                Ok(Some(Heard::Ready))
            }
            (60, 11, Phase::QosOk) => {
                self.phase = Phase::Idle;
                Ok(Some(Heard::Answer))
            }
            (60, 11, Phase::LastQosOk) => {
                self.say_goodbye();
                Ok(Some(Heard::Answer))
            }
            (class, method, phase) => Err(Failure::Unexpected {
                class,
                method,
                expected: phase.awaited().unwrap_or("nothing"),
            }),
        }
    }

    /// connection.start: version, server-properties, mechanisms, locales.
    fn start(&mut self, mut arguments: Reader<'_>) -> Result<Option<Heard>, Failure> {
        let (major, minor) = (arguments.u8()?, arguments.u8()?);
        if (major, minor) != (0, 9) {
            return Err(DecodeError::OtherVersion(major, minor, 0).into());
        }
        let _server_properties = arguments.long_string()?;
        let mechanisms = arguments.long_string()?;
        if !mechanisms.split(|b| *b == b' ').any(|m| m == b"PLAIN") {
            return Err(Failure::NoPlain(one_line(mechanisms)));
        }
        let capabilities = Writer::default()
            .entry_bool("authentication_failure_close", true)
            .entry_bool("connection.blocked", true)
            .done();
        let properties = Writer::default()
            .entry_string("product", "warren")
            .entry_string("version", env!("CARGO_PKG_VERSION"))
            .entry_string("connection_name", &self.login.connection_name)
            .entry_table("capabilities", &capabilities)
            .done();
        let credentials = &self.login.credentials;
        let response = format!("\0{}\0{}", credentials.username, credentials.password);
        let start_ok = Writer::method(10, 11)
            .long_string(&properties)
            .short_string("PLAIN")
            .long_string(response.as_bytes())
            .short_string("en_US");
        self.phase = Phase::Tune;
        self.say(0, start_ok);
        Ok(None)
    }

    /// connection.tune: channel_max, frame_max, heartbeat. A limit of 0 means none. Ours must not
    /// be above the broker's; our heartbeat may be anything.
    fn tune(&mut self, mut arguments: Reader<'_>) -> Result<Option<Heard>, Failure> {
        let (_channel_max, frame_max) = (arguments.u16()?, arguments.u32()?);
        let frame_max = match frame_max {
            0 => FRAME_MAX,
            limit => limit.min(FRAME_MAX),
        };
        let tune_ok = Writer::method(10, 31)
            .u16(CHANNEL)
            .u32(frame_max)
            .u16(self.login.heartbeat);
        let open = Writer::method(10, 40)
            .short_string(&self.login.vhost)
            .short_string("")
            .u8(0);
        self.phase = Phase::OpenOk;
        self.say(0, tune_ok);
        self.say(0, open);
        Ok(None)
    }

    /// connection.close and channel.close begin alike; both want their close-ok.
    fn closed(
        &mut self,
        channel: u16,
        close_ok: (u16, u16),
        mut arguments: Reader<'_>,
    ) -> Result<Failure, DecodeError> {
        let (code, text) = (arguments.u16()?, one_line(arguments.short_string()?));
        self.phase = Phase::Over;
        self.say(channel, Writer::method(close_ok.0, close_ok.1));
        Ok(Failure::Closed { code, text })
    }

    fn say_goodbye(&mut self) {
        self.phase = Phase::CloseOk;
        let close = Writer::method(10, 50).u16(200).short_string("goodbye");
        self.say(0, close.u16(0).u16(0));
    }

    fn say(&mut self, channel: u16, method: Writer) {
        self.say_frame(FrameKind::Method, channel, &method.done());
    }

    fn say_frame(&mut self, kind: FrameKind, channel: u16, payload: &[u8]) {
        let frame = Frame {
            kind,
            channel,
            payload,
        };
        frame.encode(&mut self.output);
    }
}

/// A server's words as one short line that cannot disturb a log.
#[must_use]
pub fn one_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LONGEST_TEXT)
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests;
