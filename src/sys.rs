//! System calls that no library offers. The only file with `unsafe`.
#![allow(unsafe_code, reason = "each block says why it is sound")]

use std::io;

use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Lets the runtime of this thread wait for a socket to become readable.
///
/// # Errors
///
/// When epoll refuses it.
///
/// # Panics
///
/// Outside a runtime.
pub fn watch(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: a `Socket` owns its descriptor and answers with the same one as long as it lives; the
    // `AsyncFd` owns the `Socket` and gives out shared references only, through which it can be
    // neither closed nor replaced.
    let registered = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
    registered.map_err(io::Error::from)
}
