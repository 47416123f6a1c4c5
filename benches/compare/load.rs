//! The clients and servers. Each is a process of its own and speaks in lines:
//!
//! ```text
//! server   says its port, then serves until it is killed
//! client   connects, warms up, says "ready" -> is told "go" -> works, says "UNITS NANOSECONDS
//!          SEEN" -> holds its connections until its input ends
//! ```
//!
//! SEEN, of echoes and confirms: the 50th, 99th and 99.9th percentile of the time of a round trip,
//! in microseconds. Of short connections: the rate of the last quarter to that of the first, and
//! how many failed.
//!
//! A client gives up when nothing moves for [`STALL`], so that nobody waits for ever.

pub(crate) mod amqp;
mod bulk;
mod echo;
mod idle;
mod short;

use std::io::{self, BufRead, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::process::{Side, prepare};
use crate::rows::{Ending, Settings, Traffic};

/// What a load generator process does. Fields are its command line.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Load {
    EchoServer {
        at: IpAddr,
    },
    SinkServer {
        at: IpAddr,
    },
    Echo {
        to: SocketAddr,
        connections: u32,
        bytes: usize,
        milliseconds: u64,
    },
    Amqp {
        to: SocketAddr,
        connections: u32,
        bytes: usize,
        milliseconds: u64,
    },
    Bulk {
        to: SocketAddr,
        streams: u32,
        bytes: u64,
    },
    Idle {
        to: SocketAddr,
        connections: u32,
    },
    Short {
        to: SocketAddr,
        connections: u32,
        ending: Ending,
    },
}

/// When nothing moved for so long, the balancer (or the machine) is stuck.
const STALL: Duration = Duration::from_secs(10);
const BACKLOG: i32 = 4096;

/// The command line of the server for this traffic, on an address of its own.
pub(crate) fn server(traffic: Traffic, at: IpAddr) -> Vec<String> {
    let role = match traffic {
        Traffic::Bulk { .. } => "sink-server",
        Traffic::Echo { .. }
        | Traffic::Amqp { .. }
        | Traffic::Idle { .. }
        | Traffic::Short { .. } => "echo-server",
    };
    vec![role.to_owned(), at.to_string()]
}

/// The command line of the client for this traffic, through the balancer at `port`.
pub(crate) fn client(traffic: Traffic, to: SocketAddr, settings: &Settings) -> Vec<String> {
    let (role, numbers) = match traffic {
        Traffic::Echo { connections, bytes } => (
            "echo",
            vec![
                connections.to_string(),
                bytes.to_string(),
                settings.echo.as_millis().to_string(),
            ],
        ),
        Traffic::Amqp { connections, bytes } => (
            "amqp",
            vec![
                connections.to_string(),
                bytes.to_string(),
                settings.echo.as_millis().to_string(),
            ],
        ),
        Traffic::Bulk { streams } => (
            "bulk",
            vec![streams.to_string(), settings.bulk_bytes.to_string()],
        ),
        Traffic::Idle { connections } => ("idle", vec![connections.to_string()]),
        Traffic::Short { ending } => (
            "short",
            vec![
                settings.short_connections.to_string(),
                match ending {
                    Ending::Fin => "fin",
                    Ending::Reset => "reset",
                }
                .to_owned(),
            ],
        ),
    };
    [role.to_owned(), to.to_string()]
        .into_iter()
        .chain(numbers)
        .collect()
}

impl Load {
    /// Does the work of this process.
    pub(crate) fn run(&self) -> io::Result<()> {
        prepare(Side::Load).map_err(io::Error::other)?;
        match *self {
            Self::EchoServer { at } => echo::serve(&listen(at)?),
            Self::SinkServer { at } => bulk::serve(&listen(at)?),
            Self::Echo {
                to,
                connections,
                bytes,
                milliseconds,
            } => echo::run(to, connections, bytes, Duration::from_millis(milliseconds)),
            Self::Amqp {
                to,
                connections,
                bytes,
                milliseconds,
            } => amqp::run(to, connections, bytes, Duration::from_millis(milliseconds)),
            Self::Bulk { to, streams, bytes } => bulk::run(to, streams, bytes),
            Self::Idle { to, connections } => idle::run(to, connections),
            Self::Short {
                to,
                connections,
                ending,
            } => short::run(to, connections, ending),
        }
    }
}

/// A listener on a free port, with a backlog that a burst of connections fits into. Says the port.
fn listen(at: IpAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(at, 0).into())?;
    socket.set_tcp_nodelay(true)?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    say(listener.local_addr()?.port())?;
    Ok(listener)
}

fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, STALL)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STALL))?;
    stream.set_write_timeout(Some(STALL))?;
    Ok(stream)
}

/// Says "ready", waits for "go", works, and reports; then waits for the end of the input.
fn work(mut work: impl FnMut() -> io::Result<(u64, Vec<f64>)>) -> io::Result<()> {
    say("ready")?;
    let mut input = io::stdin().lock();
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Ok(());
    }
    let begin = Instant::now();
    let (units, seen) = work()?;
    let took = begin.elapsed().as_nanos();
    let seen: String = seen.iter().map(|number| format!(" {number}")).collect();
    say(format_args!("{units} {took}{seen}"))?;
    input.read_line(&mut line)?;
    Ok(())
}

fn say(what: impl std::fmt::Display) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{what}")?;
    output.flush()
}
