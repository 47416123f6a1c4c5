//! Dialling one server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use nix::libc::EINPROGRESS;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;

use super::account::Cause;

/// Silence on a connection before TCP asks whether the peer is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// Pause between two such questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Questions without an answer until the peer counts as gone: after 70 s in all.
const KEEPALIVE_PROBES: u32 = 4;

/// The keepalive of both sides (tcp(7)). It finds a dead peer; TCP_USER_TIMEOUT would also cut a
/// living one whose window is closed, as a broker's is during an alarm.
pub(super) fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES)
}

/// Arms the keepalive of a connection to a server.
pub(super) fn guard(server: &TcpStream) {
    // A socket that refuses the option is gone already, as its next read will say.
    let _ = SockRef::from(server).set_tcp_keepalive(&keepalive());
}

/// Why a server could not be reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// It answered with RST.
    #[error("connection refused")]
    Refused,
    /// It did not answer within the pool's `connect_timeout`.
    #[error("no answer in time")]
    TimedOut,
    /// There is no route to it.
    #[error("unreachable: {0}")]
    Unreachable(io::Error),
    /// This host had no port, descriptor or memory left, or forbids it.
    #[error("cannot connect: {0}")]
    Local(io::Error),
}

impl DialError {
    pub(super) const fn cause(&self) -> Cause {
        match self {
            Self::Refused => Cause::ConnectRefused,
            Self::TimedOut => Cause::ConnectTimeout,
            Self::Unreachable(_) => Cause::ConnectUnreachable,
            Self::Local(_) => Cause::ConnectFailed,
        }
    }
}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        use nix::libc::{
            ECONNREFUSED, ECONNRESET, EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH, EPIPE,
            ETIMEDOUT,
        };
        match error.raw_os_error() {
            Some(ECONNREFUSED | ECONNRESET | EPIPE) => Self::Refused,
            Some(ETIMEDOUT) => Self::TimedOut,
            Some(EHOSTUNREACH | ENETUNREACH | EHOSTDOWN | ENETDOWN) => Self::Unreachable(error),
            _ => Self::Local(error),
        }
    }
}

/// Connects to a server; `greet` makes the PROXY header from the connection's own address, and is
/// sent before the first byte of the client.
pub(super) async fn dial(
    address: SocketAddr,
    timeout: Duration,
    greet: impl FnOnce(SocketAddr) -> Vec<u8>,
) -> Result<TcpStream, DialError> {
    let connecting = async {
        let mut stream = begin(address)?;
        let ready = stream.ready(Interest::WRITABLE | Interest::ERROR).await?;
        // The kernel is asked why only if there is a why.
        if (ready.is_error() || ready.is_write_closed())
            && let Some(error) = stream.take_error()?
        {
            return Err(error.into());
        }
        let header = greet(address);
        if !header.is_empty() {
            stream.set_nodelay(true)?;
            stream.write_all(&header).await?;
        }
        Ok(stream)
    };
    tokio::time::timeout(timeout, connecting)
        .await
        .unwrap_or(Err(DialError::TimedOut))
}

/// Starts connecting. The socket gets its TCP_NODELAY from the relay, when it matters.
fn begin(address: SocketAddr) -> io::Result<TcpStream> {
    let domain = Domain::for_address(address);
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(domain, kind, Some(Protocol::TCP))?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() == Some(EINPROGRESS) => {}
        connected => connected?,
    }
    TcpStream::from_std(socket.into())
}
