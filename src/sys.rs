//! System calls that no library offers. The only file with `unsafe`.
#![allow(unsafe_code, reason = "each block says why it is sound")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc::{AF_PACKET, sa_family_t, sockaddr_ll, socklen_t};
use socket2::{SockAddr, Socket};
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

/// The address of an AF_PACKET socket that sends whole frames through the interface with this
/// index, or hears what comes in there of one protocol; 0: of the socket's (packet(7)).
///
/// # Errors
///
/// Never; the signature is that of the library.
pub fn link_layer(index: u32, protocol: u16) -> io::Result<SockAddr> {
    #[expect(clippy::cast_possible_truncation, reason = "17")]
    const FAMILY: sa_family_t = AF_PACKET as sa_family_t;
    #[expect(clippy::cast_possible_truncation, reason = "20")]
    const LENGTH: socklen_t = size_of::<sockaddr_ll>() as socklen_t;
    // SAFETY: `try_init` gives storage that is large and aligned enough for every kind of socket
    // address, zeroed, and `sockaddr_ll` is one. All of its fields are integers, for which zeros
    // are values; the length written is its size.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            let address = storage.cast::<sockaddr_ll>();
            (*address).sll_family = FAMILY;
            (*address).sll_protocol = protocol.to_be();
            (*address).sll_ifindex = index.cast_signed();
            *length = LENGTH;
            Ok(())
        })?
    };
    Ok(address)
}

/// The descriptors that the service manager gave this process at its start, with their names
/// (sd_listen_fds(3)); they are not passed on. Later calls return nothing.
///
/// # Errors
///
/// The environment contradicts itself, or names descriptors that are not open.
pub fn inherited() -> io::Result<Vec<(OwnedFd, String)>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let given = sd_notify::listen_fds_with_names()?;
    let owned = given.map(|(descriptor, name)| {
        // SAFETY: the service manager opened them before this program began, as the environment
        // tells this process by its id, so nothing in it owns them; and they are taken only once.
        (unsafe { OwnedFd::from_raw_fd(descriptor) }, name)
    });
    Ok(owned.collect())
}

/// Lets the kernel kill the process that `command` starts when the thread that starts it ends
/// (PR_SET_PDEATHSIG of prctl(2)).
pub fn die_with_this_thread(command: &mut Command) {
    let ask = || {
        Ok(nix::sys::prctl::set_pdeathsig(
            nix::sys::signal::Signal::SIGKILL,
        )?)
    };
    // SAFETY: between fork and exec the closure makes one system call and returns a number; it
    // neither allocates nor locks, and touches no memory of the other threads.
    unsafe { command.pre_exec(ask) };
}
