//! Messages: the content header and body frames that follow a method. Pure.
//!
//! Source: AMQP 0-9-1 specification, sections 2.3.5.2 and 4.2.6. The properties of a message are
//! kept as the bytes they came in.

use super::method::{Method, MethodError};
use super::{DecodeError, Frame, FrameKind, Reader, Writer};

/// Octets of a frame around its payload.
const FRAME_OVERHEAD: usize = 8;
/// Class number of `basic`, the only one with content.
const BASIC: u16 = 60;
/// Property flags that say "no properties".
const NO_PROPERTIES: [u8; 2] = [0, 0];

/// A message as it travels: properties (flags and list, as received) and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Property flags and property list, not looked into.
    pub properties: Vec<u8>,
    /// What the publisher sent.
    pub body: Vec<u8>,
}

impl Message {
    /// A message without properties.
    #[must_use]
    pub fn plain(body: Vec<u8>) -> Self {
        Self {
            properties: NO_PROPERTIES.to_vec(),
            body,
        }
    }

    /// Appends content header and body frames, none larger than `frame_max` bytes in all.
    pub fn encode(&self, channel: u16, frame_max: usize, out: &mut Vec<u8>) {
        let mut header = Writer::method(BASIC, 0)
            .u64(u64::try_from(self.body.len()).unwrap_or(u64::MAX))
            .done();
        header.extend_from_slice(&self.properties);
        let mut append = |kind, payload: &[u8]| {
            Frame {
                kind,
                channel,
                payload,
            }
            .encode(out);
        };
        append(FrameKind::Header, &header);
        for part in self
            .body
            .chunks(frame_max.max(FRAME_OVERHEAD + 1) - FRAME_OVERHEAD)
        {
            append(FrameKind::Body, part);
        }
    }
}

/// A frame that was received, decoded and owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A method.
    Method(Method),
    /// A content header: the size that the body will have, and the properties.
    Header {
        /// Claimed, not to be allocated by.
        size: u64,
        /// Property flags and list.
        properties: Vec<u8>,
    },
    /// A piece of a body.
    Body(Vec<u8>),
    /// A sign of life.
    Heartbeat,
}

impl Received {
    /// Decodes the payload of a frame.
    ///
    /// # Errors
    ///
    /// As [`Method::decode`].
    pub fn decode(frame: &Frame<'_>) -> Result<Self, MethodError> {
        Ok(match frame.kind {
            FrameKind::Method => Self::Method(Method::decode(frame.payload)?),
            FrameKind::Header => {
                let mut reader = Reader::new(frame.payload);
                let (_class, _weight) = (reader.u16()?, reader.u16()?);
                let size = reader.u64()?;
                let properties = reader.rest();
                if properties.len() < NO_PROPERTIES.len() {
                    return Err(DecodeError::Truncated.into());
                }
                Self::Header {
                    size,
                    properties: properties.to_vec(),
                }
            }
            FrameKind::Body => Self::Body(frame.payload.to_vec()),
            FrameKind::Heartbeat => Self::Heartbeat,
        })
    }
}

/// Puts a message together from its frames.
#[derive(Debug)]
pub struct Assembly {
    missing: u64,
    message: Message,
}

impl Assembly {
    /// Starts with what the content header said. The caller has checked `size` against its limit.
    #[must_use]
    pub fn new(size: u64, properties: Vec<u8>) -> Self {
        Self {
            missing: size,
            message: Message {
                properties,
                body: Vec::new(),
            },
        }
    }

    /// Adds a piece of the body. False: it is longer than what is missing.
    #[must_use]
    pub fn add(&mut self, part: &[u8]) -> bool {
        let Some(missing) = u64::try_from(part.len())
            .ok()
            .and_then(|length| self.missing.checked_sub(length))
        else {
            return false;
        };
        self.missing = missing;
        self.message.body.extend_from_slice(part);
        true
    }

    /// Whether the body is whole.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// The message.
    #[must_use]
    pub fn done(self) -> Message {
        self.message
    }
}

/// Bytes from a socket, handed out as frames.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    start: usize,
}

impl Inbox {
    /// Adds what was read.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.start));
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the first `N` bytes if they are there: a protocol header.
    pub fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let head = *self.bytes.get(self.start..)?.first_chunk::<N>()?;
        self.start += N;
        Some(head)
    }

    /// The next frame with its channel, or `None` while it is incomplete. `limit` is the largest
    /// payload in bytes.
    ///
    /// # Errors
    ///
    /// The bytes are no frame, or the frame is no method that we know. After the second kind the
    /// frame has been taken and the channel is beside the error.
    pub fn next(&mut self, limit: usize) -> Result<Option<(u16, Received)>, InboxError> {
        let Some((frame, used)) = Frame::decode(&self.bytes[self.start..], limit)? else {
            return Ok(None);
        };
        let channel = frame.channel;
        let received = Received::decode(&frame);
        self.start += used;
        match received {
            Ok(received) => Ok(Some((channel, received))),
            Err(error) => Err(InboxError::Method { channel, error }),
        }
    }
}

/// Why [`Inbox::next`] has no frame to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InboxError {
    /// The bytes are no frame; nothing after them can be understood.
    #[error("not AMQP")]
    Frame(#[from] DecodeError),
    /// The frame could not be understood.
    #[error("frame on channel {channel} cannot be understood")]
    Method {
        /// Where it came in.
        channel: u16,
        /// What is wrong with it.
        #[source]
        error: MethodError,
    },
}

#[cfg(test)]
mod tests {
    use super::{Assembly, Inbox, InboxError, Message, Received};
    use crate::amqp::method::{Method, MethodError};
    use crate::amqp::{DecodeError, Frame, FrameKind};

    #[test]
    fn message_survives_small_frames_and_single_bytes() {
        let message = Message::plain((0..=255).collect());
        let mut wire = Vec::new();
        message.encode(5, 20, &mut wire);
        let mut inbox = Inbox::default();
        let mut assembly = None;
        for byte in wire {
            inbox.extend(&[byte]);
            match inbox.next(64).unwrap() {
                None => {}
                Some((5, Received::Header { size, properties })) => {
                    assert_eq!(size, 256);
                    assembly = Some(Assembly::new(size, properties));
                }
                Some((5, Received::Body(part))) => {
                    assert!(part.len() <= 12);
                    assert!(assembly.as_mut().unwrap().add(&part));
                }
                Some(other) => panic!("{other:?}"),
            }
        }
        let assembly = assembly.unwrap();
        assert!(assembly.is_complete());
        assert_eq!(assembly.done(), message);
    }

    #[test]
    fn body_longer_than_announced_is_refused() {
        let mut assembly = Assembly::new(3, vec![0, 0]);
        assert!(assembly.add(b"ab"));
        assert!(!assembly.is_complete());
        assert!(!assembly.add(b"cd"));
    }

    #[test]
    fn goes_on_after_an_unknown_method_but_not_after_garbage() {
        let mut wire = Vec::new();
        Frame {
            kind: FrameKind::Method,
            channel: 7,
            payload: &[0, 90, 0, 10],
        }
        .encode(&mut wire);
        Method::ChannelCloseOk {}.encode(7, &mut wire);
        wire.push(b'G');
        let mut inbox = Inbox::default();
        inbox.extend(&wire);
        let unknown = MethodError::Unknown {
            class: 90,
            method: 10,
        };
        assert_eq!(
            inbox.next(64),
            Err(InboxError::Method {
                channel: 7,
                error: unknown
            })
        );
        let close = Received::Method(Method::ChannelCloseOk {});
        assert_eq!(inbox.next(64), Ok(Some((7, close))));
        let garbage = InboxError::Frame(DecodeError::FrameType(b'G'));
        assert_eq!(inbox.next(64), Err(garbage));
    }
}
