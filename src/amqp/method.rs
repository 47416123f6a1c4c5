//! The methods of AMQP 0-9-1 that the demo's brokers and clients exchange. Pure.
//!
//! One table below says what each method consists of; reading and writing are made from it, so
//! that they cannot disagree. Source: AMQP 0-9-1 specification, section 3, and for `basic.nack`
//! and `confirm` RabbitMQ's extensions to it.

use super::{DecodeError, Frame, FrameKind, Reader, Writer};

/// Bits of the `flags` of a method. The protocol packs neighbouring bits into one octet.
pub mod flag {
    /// `queue.declare`, `exchange.declare`: only look whether it exists.
    pub const PASSIVE: u8 = 1;
    /// `queue.declare`: belongs to this connection and ends with it.
    pub const EXCLUSIVE: u8 = 1 << 2;
    /// `queue.declare`: ends with its last consumer.
    pub const AUTO_DELETE: u8 = 1 << 3;
    /// `queue.declare`, `exchange.declare`: do not answer.
    pub const DECLARE_NO_WAIT: u8 = 1 << 4;
    /// `queue.bind`, `queue.purge`, `basic.cancel`, `confirm.select`: do not answer.
    pub const NO_WAIT: u8 = 1;
    /// `queue.delete`: only without consumers.
    pub const IF_UNUSED: u8 = 1;
    /// `queue.delete`: only without messages.
    pub const IF_EMPTY: u8 = 1 << 1;
    /// `queue.delete`: do not answer.
    pub const DELETE_NO_WAIT: u8 = 1 << 2;
    /// `basic.consume`: deliveries need no acknowledgement.
    pub const CONSUME_NO_ACK: u8 = 1 << 1;
    /// `basic.consume`: do not answer.
    pub const CONSUME_NO_WAIT: u8 = 1 << 3;
    /// `basic.get`: the message needs no acknowledgement.
    pub const GET_NO_ACK: u8 = 1;
    /// `basic.publish`: return what no queue takes.
    pub const MANDATORY: u8 = 1;
    /// `basic.ack`, `basic.nack`: this delivery tag and all before it.
    pub const MULTIPLE: u8 = 1;
    /// `basic.nack`: put it back into the queue.
    pub const NACK_REQUEUE: u8 = 1 << 1;
    /// `basic.reject`: put it back into the queue.
    pub const REJECT_REQUEUE: u8 = 1;
}

/// Reply codes (AMQP 0-9-1 specification, section 1.2).
pub mod reply {
    /// Closed because somebody wanted to.
    pub const SUCCESS: u16 = 200;
    /// No queue took a mandatory message.
    pub const NO_ROUTE: u16 = 312;
    /// A message or a number of things is over a limit.
    pub const CONTENT_TOO_LARGE: u16 = 311;
    /// Wrong credentials, or something that nobody may touch.
    pub const ACCESS_REFUSED: u16 = 403;
    /// No such queue or exchange.
    pub const NOT_FOUND: u16 = 404;
    /// Another connection's exclusive queue.
    pub const RESOURCE_LOCKED: u16 = 405;
    /// A condition was not met, such as an unknown delivery tag.
    pub const PRECONDITION_FAILED: u16 = 406;
    /// Bytes that are no frame.
    pub const FRAME_ERROR: u16 = 501;
    /// Arguments that cannot be read.
    pub const SYNTAX_ERROR: u16 = 502;
    /// A method at a time when it makes no sense.
    pub const COMMAND_INVALID: u16 = 503;
    /// A channel that is not open.
    pub const CHANNEL_ERROR: u16 = 504;
    /// A frame at a time when it makes no sense.
    pub const UNEXPECTED_FRAME: u16 = 505;
    /// Over a limit of this connection.
    pub const RESOURCE_ERROR: u16 = 506;
    /// No such virtual host.
    pub const NOT_ALLOWED: u16 = 530;
    /// A method that is not implemented.
    pub const NOT_IMPLEMENTED: u16 = 540;
}

/// Why the payload of a method frame is none of the methods below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MethodError {
    /// Not in the table.
    #[error("method ({class}, {method}) is not implemented")]
    Unknown {
        /// Class number.
        class: u16,
        /// Method number.
        method: u16,
    },
    /// Its arguments end too early.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A name is not UTF-8.
    #[error("name is not UTF-8")]
    NotText,
}

/// A long string, or a table in its outer form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Long(pub Vec<u8>);

/// How one argument is read and written.
trait Argument: Sized {
    fn read(reader: &mut Reader<'_>) -> Result<Self, MethodError>;
    fn write(&self, writer: Writer) -> Writer;
}

macro_rules! number {
    ($($kind:ident)*) => {$(
        impl Argument for $kind {
            fn read(reader: &mut Reader<'_>) -> Result<Self, MethodError> {
                Ok(reader.$kind()?)
            }
            fn write(&self, writer: Writer) -> Writer {
                writer.$kind(*self)
            }
        }
    )*};
}

number!(u8 u16 u32 u64);

impl Argument for String {
    fn read(reader: &mut Reader<'_>) -> Result<Self, MethodError> {
        let bytes = reader.short_string()?;
        let text = std::str::from_utf8(bytes).map_err(|_| MethodError::NotText)?;
        Ok(text.to_owned())
    }

    fn write(&self, writer: Writer) -> Writer {
        writer.short_string(self)
    }
}

impl Argument for Long {
    fn read(reader: &mut Reader<'_>) -> Result<Self, MethodError> {
        Ok(Self(reader.long_string()?.to_vec()))
    }

    fn write(&self, writer: Writer) -> Writer {
        writer.long_string(&self.0)
    }
}

/// Defines [`Method`] with its reading and writing: class, method, name, arguments in order.
macro_rules! methods {
    ($($class:literal $method:literal $name:ident { $($field:ident: $kind:ty),* })*) => {
        /// A method with its arguments. `reserved` ones are written as they should be and
        /// otherwise ignored; `flags` are explained in [`flag`].
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[expect(missing_docs, reason = "names are the specification's")]
        pub enum Method {
            $($name { $($field: $kind),* },)*
        }

        impl Method {
            /// Reads the payload of a method frame.
            ///
            /// # Errors
            ///
            /// The method is not in the table, or its arguments cannot be read.
            pub fn decode(payload: &[u8]) -> Result<Self, MethodError> {
                let mut reader = Reader::new(payload);
                match (reader.u16()?, reader.u16()?) {
                    $(($class, $method) => Ok(Self::$name {
                        $($field: Argument::read(&mut reader)?),*
                    }),)*
                    (class, method) => Err(MethodError::Unknown { class, method }),
                }
            }

            fn payload(&self) -> Vec<u8> {
                match self {
                    $(Self::$name { $($field),* } => {
                        let writer = Writer::method($class, $method);
                        $(let writer = $field.write(writer);)*
                        writer.done()
                    })*
                }
            }

            /// Class and method number.
            #[must_use]
            pub const fn id(&self) -> (u16, u16) {
                match self {
                    $(Self::$name { .. } => ($class, $method),)*
                }
            }
        }
    };
}

methods! {
    10 10 ConnectionStart {
        major: u8, minor: u8, properties: Long, mechanisms: Long, locales: Long
    }
    10 11 ConnectionStartOk { properties: Long, mechanism: String, response: Long, locale: String }
    10 30 ConnectionTune { channel_max: u16, frame_max: u32, heartbeat: u16 }
    10 31 ConnectionTuneOk { channel_max: u16, frame_max: u32, heartbeat: u16 }
    10 40 ConnectionOpen { vhost: String, reserved: String, flags: u8 }
    10 41 ConnectionOpenOk { reserved: String }
    10 50 ConnectionClose { code: u16, text: String, class: u16, method: u16 }
    10 51 ConnectionCloseOk { }
    20 10 ChannelOpen { reserved: String }
    20 11 ChannelOpenOk { reserved: Long }
    20 40 ChannelClose { code: u16, text: String, class: u16, method: u16 }
    20 41 ChannelCloseOk { }
    40 10 ExchangeDeclare {
        reserved: u16, exchange: String, kind: String, flags: u8, arguments: Long
    }
    40 11 ExchangeDeclareOk { }
    50 10 QueueDeclare { reserved: u16, queue: String, flags: u8, arguments: Long }
    50 11 QueueDeclareOk { queue: String, messages: u32, consumers: u32 }
    50 20 QueueBind {
        reserved: u16, queue: String, exchange: String, key: String, flags: u8, arguments: Long
    }
    50 21 QueueBindOk { }
    50 30 QueuePurge { reserved: u16, queue: String, flags: u8 }
    50 31 QueuePurgeOk { messages: u32 }
    50 40 QueueDelete { reserved: u16, queue: String, flags: u8 }
    50 41 QueueDeleteOk { messages: u32 }
    60 10 BasicQos { prefetch_size: u32, prefetch_count: u16, flags: u8 }
    60 11 BasicQosOk { }
    60 20 BasicConsume { reserved: u16, queue: String, tag: String, flags: u8, arguments: Long }
    60 21 BasicConsumeOk { tag: String }
    60 30 BasicCancel { tag: String, flags: u8 }
    60 31 BasicCancelOk { tag: String }
    60 40 BasicPublish { reserved: u16, exchange: String, key: String, flags: u8 }
    60 50 BasicReturn { code: u16, text: String, exchange: String, key: String }
    60 60 BasicDeliver {
        consumer: String, tag: u64, redelivered: u8, exchange: String, key: String
    }
    60 70 BasicGet { reserved: u16, queue: String, flags: u8 }
    60 71 BasicGetOk { tag: u64, redelivered: u8, exchange: String, key: String, messages: u32 }
    60 72 BasicGetEmpty { reserved: String }
    60 80 BasicAck { tag: u64, flags: u8 }
    60 90 BasicReject { tag: u64, flags: u8 }
    60 120 BasicNack { tag: u64, flags: u8 }
    85 10 ConfirmSelect { flags: u8 }
    85 11 ConfirmSelectOk { }
}

impl Method {
    /// Appends the method as a frame to `out`.
    ///
    /// # Panics
    ///
    /// When a name is longer than 255 bytes, which no caller builds.
    pub fn encode(&self, channel: u16, out: &mut Vec<u8>) {
        let frame = Frame {
            kind: FrameKind::Method,
            channel,
            payload: &self.payload(),
        };
        frame.encode(out);
    }
}

#[cfg(test)]
mod tests {
    use super::{Long, Method, MethodError, flag};
    use crate::amqp::{DecodeError, Frame};

    /// Bytes of a `basic.publish` as a client sends it, one argument after the other.
    const PUBLISH: &[u8] = b"\0\x3c\0\x28\0\0\x04logs\x03key\x01";
    /// `connection.close` 200 from the specification's own layout.
    const CLOSE: &[u8] = b"\0\x0a\0\x32\0\xc8\x02ok\0\0\0\0";

    fn publish() -> Method {
        Method::BasicPublish {
            reserved: 0,
            exchange: "logs".to_owned(),
            key: "key".to_owned(),
            flags: flag::MANDATORY,
        }
    }

    #[test]
    fn reads_and_writes_bytes_of_the_wire() {
        assert_eq!(Method::decode(PUBLISH), Ok(publish()));
        assert_eq!(publish().payload(), PUBLISH);
        let close = Method::decode(CLOSE).unwrap();
        assert_eq!(close.id(), (10, 50));
        let mut out = vec![0xA5];
        close.encode(3, &mut out);
        let (frame, used) = Frame::decode(&out[1..], 4096).unwrap().unwrap();
        assert_eq!((frame.channel, used), (3, out.len() - 1));
        assert_eq!(frame.payload, CLOSE);
    }

    #[test]
    fn tables_keep_their_bytes() {
        let start = Method::ConnectionStartOk {
            properties: Long(vec![1, b'a', b't', 1]),
            mechanism: "PLAIN".to_owned(),
            response: Long(b"\0guest\0guest".to_vec()),
            locale: "en_US".to_owned(),
        };
        assert_eq!(Method::decode(&start.payload()), Ok(start));
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        for length in 0..PUBLISH.len() {
            assert_eq!(
                Method::decode(&PUBLISH[..length]),
                Err(MethodError::Decode(DecodeError::Truncated)),
                "after {length} bytes"
            );
        }
        assert_eq!(
            Method::decode(&[0, 90, 0, 10]),
            Err(MethodError::Unknown {
                class: 90,
                method: 10
            })
        );
        assert_eq!(
            Method::decode(b"\0\x14\0\x0a\x01\xff"),
            Err(MethodError::NotText)
        );
    }
}
