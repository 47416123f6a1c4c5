//! What every probe does with a socket: connect, send, and say what went wrong.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::verdict::{CheckCode, CheckResult};
use crate::config::SendProxy;
use crate::proxy::proxy_protocol;

/// By when a check has to end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) timeout: Duration,
    pub(super) deadline: Instant,
}

impl Limit {
    /// `timeout` from now.
    pub(super) fn starting_now(timeout: Duration) -> Self {
        Self {
            timeout,
            deadline: Instant::now() + timeout,
        }
    }
}

/// A TCP connection to a server, with its PROXY header if it wants one.
pub(super) async fn connect(
    address: SocketAddr,
    send_proxy: SendProxy,
    limit: Limit,
) -> Result<TcpStream, CheckResult> {
    let stream = match timeout_at(limit.deadline, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(refused(&error)),
        Err(_elapsed) => {
            let detail = format!("no connection within {:?}", limit.timeout);
            return Err(CheckResult::new(CheckCode::L4Timeout, detail));
        }
    };
    // An answer of several small segments must not wait for our acknowledgements.
    let set_up = stream
        .set_nodelay(true)
        .and_then(|()| proxy_header(&stream, send_proxy));
    match set_up {
        Ok(header) => send(&stream, &header).map(|()| stream),
        Err(error) => Err(refused(&error)),
    }
}

/// The PROXY header that tells the truth about this connection: it begins and ends here.
fn proxy_header(stream: &TcpStream, version: SendProxy) -> io::Result<Vec<u8>> {
    let (source, destination) = (stream.local_addr()?, stream.peer_addr()?);
    Ok(proxy_protocol::encode(version, source, destination))
}

/// Sends a few bytes without waiting: a peer that has no room for them does not read.
pub(super) fn send(stream: &TcpStream, bytes: &[u8]) -> Result<(), CheckResult> {
    if bytes.is_empty() {
        return Ok(());
    }
    match stream.try_write(bytes) {
        Ok(written) if written == bytes.len() => Ok(()),
        Ok(_) => Err(stuck()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(stuck()),
        Err(error) => Err(broken(&error)),
    }
}

fn stuck() -> CheckResult {
    CheckResult::new(CheckCode::L7Timeout, "does not read what it is sent")
}

/// The result for a connection that broke after it was there.
pub(super) fn broken(error: &io::Error) -> CheckResult {
    CheckResult::new(CheckCode::L4Connection, words(error))
}

/// Makes dropping the stream a reset: nobody waits for its end, and a server that hangs finds
/// nothing to read when it wakes up.
pub(super) fn reset_on_drop(stream: &TcpStream) {
    // It fails only for what is not a socket.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// The result for a connection that could not be made.
fn refused(error: &io::Error) -> CheckResult {
    let code = match error.raw_os_error().map(Errno::from_raw) {
        Some(
            Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM | Errno::EADDRNOTAVAIL,
        ) => CheckCode::Shortage,
        Some(Errno::EAFNOSUPPORT | Errno::EACCES | Errno::EPERM) => CheckCode::SocketError,
        Some(Errno::ETIMEDOUT) => CheckCode::L4Timeout,
        _ => CheckCode::L4Connection,
    };
    CheckResult::new(code, words(error))
}

fn words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_lowercase(),
        None => error.to_string(),
    }
}
