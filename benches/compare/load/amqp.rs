//! Messages that a real broker confirms: AMQP 0-9-1, each connection with a queue of its own and
//! one message on its way.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use warren::amqp::PROTOCOL_HEADER;
use warren::amqp::content::{Inbox, Message, Received};
use warren::amqp::method::{Long, Method, flag};

use super::{connect, echo};

const CHANNEL: u16 = 1;
const FRAME_MAX: u32 = 131_072;
/// A frame of basic.ack: 7 bytes in front, class and method, delivery tag, flags, the end.
const ACK_BYTES: usize = 7 + 4 + 8 + 1 + 1;

/// The client; the unit is one message that was confirmed.
pub(super) fn run(
    to: SocketAddr,
    connections: u32,
    bytes: usize,
    time: Duration,
) -> io::Result<()> {
    let open = |number| {
        // The queue of a client before this one may not be gone yet.
        let queue = format!("compare-{}-{number}", std::process::id());
        let stream = log_in(to, Some(&queue))?;
        let mut publish = Vec::new();
        let method = Method::BasicPublish {
            reserved: 0,
            exchange: String::new(),
            key: queue,
            flags: 0,
        };
        method.encode(CHANNEL, &mut publish);
        let message = Message::plain(vec![b'w'; bytes]);
        message.encode(CHANNEL, FRAME_MAX as usize, &mut publish);
        Ok((stream, publish))
    };
    let streams = (0..connections).map(open).collect::<io::Result<_>>()?;
    echo::play(streams, ACK_BYTES, time)
}

/// A connection that is logged in as guest; with a queue also one with a channel that confirms what
/// is published to it. The queue ends with the connection.
pub(crate) fn log_in(to: SocketAddr, queue: Option<&str>) -> io::Result<TcpStream> {
    let mut stream = connect(to)?;
    let mut inbox = Inbox::default();
    stream.write_all(&PROTOCOL_HEADER)?;
    hear(&mut stream, &mut inbox)?;
    let start_ok = Method::ConnectionStartOk {
        properties: Long(Vec::new()),
        mechanism: "PLAIN".to_owned(),
        response: Long(b"\0guest\0guest".to_vec()),
        locale: "en_US".to_owned(),
    };
    ask(&mut stream, &mut inbox, 0, &start_ok)?;
    let tune_ok = Method::ConnectionTuneOk {
        channel_max: CHANNEL,
        frame_max: FRAME_MAX,
        heartbeat: 0,
    };
    say(&mut stream, 0, &tune_ok)?;
    let open = Method::ConnectionOpen {
        vhost: "/".to_owned(),
        reserved: String::new(),
        flags: 0,
    };
    ask(&mut stream, &mut inbox, 0, &open)?;
    let Some(queue) = queue else {
        return Ok(stream);
    };
    let reserved = String::new();
    let requests = [
        Method::ChannelOpen { reserved },
        Method::ConfirmSelect { flags: 0 },
        Method::QueueDeclare {
            reserved: 0,
            queue: queue.to_owned(),
            flags: flag::EXCLUSIVE | flag::AUTO_DELETE,
            arguments: Long::default(),
        },
    ];
    for request in &requests {
        ask(&mut stream, &mut inbox, CHANNEL, request)?;
    }
    Ok(stream)
}

fn say(stream: &mut TcpStream, channel: u16, method: &Method) -> io::Result<()> {
    let mut bytes = Vec::new();
    method.encode(channel, &mut bytes);
    stream.write_all(&bytes)
}

fn ask(stream: &mut TcpStream, inbox: &mut Inbox, channel: u16, method: &Method) -> io::Result<()> {
    say(stream, channel, method)?;
    hear(stream, inbox)
}

/// Waits for a method of the broker; one that closes something is a failure.
fn hear(stream: &mut TcpStream, inbox: &mut Inbox) -> io::Result<()> {
    loop {
        match inbox.next(FRAME_MAX as usize).map_err(io::Error::other)? {
            Some((
                _,
                Received::Method(
                    Method::ConnectionClose { text, .. } | Method::ChannelClose { text, .. },
                ),
            )) => return Err(io::Error::other(text)),
            Some((_, Received::Method(_))) => return Ok(()),
            Some(_) => {}
            None => {
                let mut bytes = [0; 4096];
                let count = stream.read(&mut bytes)?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                inbox.extend(&bytes[..count]);
            }
        }
    }
}
