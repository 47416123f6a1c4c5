//! AMQP 0-9-1 frames and field values as bytes: what the health check and the demo need of the
//! protocol.
//!
//! ```text
//!  0        1         3             7                  size+7
//!  +--------+---------+-------------+ +--------------+ +--------+
//!  |  type  | channel |    size     | |   payload    | |  0xCE  |
//!  +--------+---------+-------------+ +--------------+ +--------+
//!    octet     short       long          size octets      octet
//! ```
//!
//! Source: AMQP 0-9-1 specification, sections 2.3.5 and 4.2. Nothing here allocates by a size that
//! the other side claims: a frame is decoded only once all of it has arrived, and a frame larger
//! than the caller's limit is an error at its first seven bytes.

pub mod content;
pub mod method;

/// What a client sends first.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\0\0\x09\x01";

const HEADER_LENGTH: usize = 7;
const FRAME_END: u8 = 0xCE;

/// The four types of frame (section 2.3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum FrameKind {
    Method,
    Header,
    Body,
    Heartbeat,
}

impl FrameKind {
    const fn octet(self) -> u8 {
        match self {
            Self::Method => 1,
            Self::Header => 2,
            Self::Body => 3,
            Self::Heartbeat => 8,
        }
    }
}

/// One frame, borrowed from the bytes it was decoded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its type.
    pub kind: FrameKind,
    /// 0 for the connection itself.
    pub channel: u16,
    /// For a method: class, method, arguments.
    pub payload: &'a [u8],
}

/// Why bytes are not AMQP 0-9-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The other side answered with a protocol header: it does not speak 0-9-1.
    #[error("speaks another AMQP version ({0}.{1}.{2})")]
    OtherVersion(u8, u8, u8),
    /// The other side answered with our own protocol header, as RabbitMQ does when it is sent
    /// something else.
    #[error("sends our AMQP header back (an echo, or a PROXY header that it does not expect)")]
    Echo,
    /// The first octet is none of the four types.
    #[error("not an AMQP frame (type {0:#04x})")]
    FrameType(u8),
    /// The frame is larger than the caller allows.
    #[error("frame of {0} bytes is larger than the limit")]
    TooLarge(u32),
    /// The frame does not end with 0xCE.
    #[error("frame ends with {0:#04x} instead of 0xce")]
    FrameEnd(u8),
    /// A value reaches beyond the end of its frame.
    #[error("value reaches beyond the end of its frame")]
    Truncated,
}

impl<'a> Frame<'a> {
    /// Decodes the frame at the start of `bytes`: the frame and the number of bytes it took, or
    /// `None` while it is incomplete. `limit` is the largest payload in bytes.
    ///
    /// # Errors
    ///
    /// The first rule that the bytes break, as early as it can be known.
    pub fn decode(bytes: &'a [u8], limit: usize) -> Result<Option<(Self, usize)>, DecodeError> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        let kind = match first {
            1 => FrameKind::Method,
            2 => FrameKind::Header,
            3 => FrameKind::Body,
            8 => FrameKind::Heartbeat,
            b'A' if bytes.starts_with(&PROTOCOL_HEADER) => return Err(DecodeError::Echo),
            b'A' if bytes.len() >= 8 && bytes.starts_with(b"AMQP") => {
                return Err(DecodeError::OtherVersion(bytes[5], bytes[6], bytes[7]));
            }
            b'A' if PROTOCOL_HEADER.starts_with(&bytes[..bytes.len().min(4)]) => return Ok(None),
            other => return Err(DecodeError::FrameType(other)),
        };
        let Some(header) = bytes.first_chunk::<HEADER_LENGTH>() else {
            return Ok(None);
        };
        let channel = u16::from_be_bytes([header[1], header[2]]);
        let claimed = u32::from_be_bytes([header[3], header[4], header[5], header[6]]);
        let size = usize::try_from(claimed).unwrap_or(usize::MAX);
        if size > limit {
            return Err(DecodeError::TooLarge(claimed));
        }
        let end = HEADER_LENGTH + size;
        match bytes.get(end) {
            None => Ok(None),
            Some(&FRAME_END) => {
                let payload = &bytes[HEADER_LENGTH..end];
                Ok(Some((
                    Self {
                        kind,
                        channel,
                        payload,
                    },
                    end + 1,
                )))
            }
            Some(&other) => Err(DecodeError::FrameEnd(other)),
        }
    }

    /// Appends the frame to `out`.
    ///
    /// # Panics
    ///
    /// When the payload is larger than 4 GiB, which no caller builds.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let size = u32::try_from(self.payload.len()).expect("a frame is never larger than 4 GiB");
        out.push(self.kind.octet());
        out.extend_from_slice(&self.channel.to_be_bytes());
        out.extend_from_slice(&size.to_be_bytes());
        out.extend_from_slice(self.payload);
        out.push(FRAME_END);
    }
}

/// Reads field values from the payload of a frame, each checked against its end.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `payload`.
    #[must_use]
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`], as all methods of this type.
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// An octet, also a set of bits.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`]
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// A short.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`]
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// A long.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`]
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// A long long.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`]
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// A string of at most 255 bytes; the protocol does not promise UTF-8.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`]
    pub fn short_string(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.u8()?;
        self.bytes(usize::from(length))
    }

    /// A string with a four-byte length; a table has the same outer form.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`]
    pub fn long_string(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.u32()?;
        self.bytes(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// What has not been read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

/// Builds the payload of a method frame.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// A payload that starts with class and method.
    #[must_use]
    pub fn method(class: u16, method: u16) -> Self {
        Self::default().u16(class).u16(method)
    }

    /// Appends an octet, also a set of bits.
    #[must_use]
    pub fn u8(mut self, value: u8) -> Self {
        self.bytes.push(value);
        self
    }

    /// Appends a short.
    #[must_use]
    pub fn u16(mut self, value: u16) -> Self {
        self.bytes.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Appends a long.
    #[must_use]
    pub fn u32(mut self, value: u32) -> Self {
        self.bytes.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Appends a long long.
    #[must_use]
    pub fn u64(mut self, value: u64) -> Self {
        self.bytes.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Appends a short string.
    ///
    /// # Panics
    ///
    /// When it is longer than 255 bytes: the configuration refuses such names.
    #[must_use]
    pub fn short_string(mut self, value: &str) -> Self {
        self.bytes
            .push(u8::try_from(value.len()).expect("a short string has at most 255 bytes"));
        self.bytes.extend_from_slice(value.as_bytes());
        self
    }

    /// Appends a long string, or a table that was built as a payload of its own.
    ///
    /// # Panics
    ///
    /// When it is longer than 4 GiB, which no caller builds.
    #[must_use]
    pub fn long_string(mut self, value: &[u8]) -> Self {
        let length = u32::try_from(value.len()).expect("a long string has at most 4 GiB");
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(value);
        self
    }

    /// Appends an entry of a table: a name and a long string.
    #[must_use]
    pub fn entry_string(self, name: &str, value: &str) -> Self {
        self.short_string(name)
            .u8(b'S')
            .long_string(value.as_bytes())
    }

    /// Appends an entry of a table: a name and a boolean.
    #[must_use]
    pub fn entry_bool(self, name: &str, value: bool) -> Self {
        self.short_string(name).u8(b't').u8(u8::from(value))
    }

    /// Appends an entry of a table: a name and a table that was built as a payload of its own.
    #[must_use]
    pub fn entry_table(self, name: &str, table: &[u8]) -> Self {
        self.short_string(name).u8(b'F').long_string(table)
    }

    /// The payload.
    #[must_use]
    pub fn done(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests;
