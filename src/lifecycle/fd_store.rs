//! Listening sockets that outlive the process: the service manager keeps a copy of each (the file
//! descriptor store of sd_notify(3)) and gives them back to the next start, also after a crash. In
//! between nobody is refused: clients wait in the backlog.
//!
//! A socket that is only closed here goes on taking clients into its backlog. Whoever means to
//! refuse them shuts it down: the manager sees the hang-up and drops its copy.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::LazyLock;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Protocol, SockRef, Type};

use super::manager::Manager;
use crate::sys;

mod name;

/// So many descriptors fit into one message (SCM_MAX_FD of the kernel).
const AT_ONCE: usize = 253;
/// How long to wait until the manager has closed what it was told to close.
const PATIENCE: Duration = Duration::from_secs(5);

/// There is one service manager, and the environment names it.
static MANAGER: LazyLock<Option<Manager>> =
    LazyLock::new(|| Manager::from_environment().ok().flatten());

/// Gives copies of listening sockets to the service manager. It recognises those that it has, and
/// takes none without `FileDescriptorStoreMax=`.
pub fn keep<'a>(sockets: impl IntoIterator<Item = &'a TcpListener>) {
    if let Some(manager) = &*MANAGER {
        keep_at(manager, sockets);
    }
}

fn keep_at<'a>(manager: &Manager, sockets: impl IntoIterator<Item = &'a TcpListener>) {
    let mut named: Vec<(String, Vec<BorrowedFd<'_>>)> = Vec::new();
    for socket in sockets {
        // A socket without an address is broken, and whoever accepts from it will notice.
        let Ok(address) = socket.local_addr() else {
            continue;
        };
        let name = name::of(address);
        match named.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sockets)) => sockets.push(socket.as_fd()),
            None => named.push((name, vec![socket.as_fd()])),
        }
    }
    for (name, sockets) in named {
        for sockets in sockets.chunks(AT_ONCE) {
            manager.tell(&format!("FDSTORE=1\nFDNAME={name}\n"), sockets);
        }
    }
}

/// Lets the service manager forget the sockets of these addresses, and waits until it has closed
/// them: until then nobody else can bind an address that overlaps one of them. Clients that wait in
/// their backlogs are reset when our own copies are closed, too.
pub fn forget(addresses: impl IntoIterator<Item = SocketAddr>) {
    if let Some(manager) = &*MANAGER {
        forget_at(manager, addresses.into_iter().map(name::of));
    }
}

fn forget_at(manager: &Manager, names: impl IntoIterator<Item = String>) {
    let mut told = false;
    for name in names {
        manager.tell(&format!("FDSTOREREMOVE=1\nFDNAME={name}\n"), &[]);
        told = true;
    }
    if told && !has_heard(manager) {
        tracing::warn!("the service manager does not answer");
    }
}

/// Waits until the manager has done everything that it was told, at most [`PATIENCE`]: it closes a
/// descriptor that comes with `BARRIER=1` when it gets to it.
fn has_heard(manager: &Manager) -> bool {
    let Ok((ours, theirs)) = io::pipe() else {
        return false;
    };
    manager.tell("BARRIER=1\n", &[theirs.as_fd()]);
    drop(theirs);
    let limit = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::NONE);
    // Interrupted by a signal counts as silence: whoever waits is about to fail anyway.
    poll(&mut [PollFd::new(ours.as_fd(), PollFlags::empty())], limit).is_ok_and(|ready| ready > 0)
}

/// The listening sockets that an earlier run left with the service manager. What else there is, for
/// example a socket that was shut down, is forgotten and closed. Once: later calls return nothing.
#[must_use]
pub fn take() -> Vec<(SocketAddr, TcpListener)> {
    let given = sys::inherited().unwrap_or_else(|error| {
        tracing::warn!(%error, "the descriptors of the service manager cannot be had");
        Vec::new()
    });
    let mut sockets = Vec::new();
    let mut useless = Vec::new();
    for (descriptor, name) in given {
        match recognise(descriptor, &name) {
            Ok(socket) => sockets.push(socket),
            Err(reason) => {
                tracing::warn!(
                    name,
                    reason,
                    "a descriptor of the service manager is of no use"
                );
                useless.push(name);
            }
        }
    }
    if let Some(manager) = &*MANAGER {
        forget_at(manager, useless);
    }
    sockets
}

/// The socket, if it is what its name says; else what is wrong with it.
fn recognise(descriptor: OwnedFd, name: &str) -> Result<(SocketAddr, TcpListener), &'static str> {
    let address = name::address(name).ok_or("it has no name of ours")?;
    let socket = SockRef::from(&descriptor);
    let is_tcp = socket.r#type().is_ok_and(|kind| kind == Type::STREAM)
        && socket
            .protocol()
            .is_ok_and(|found| found == Some(Protocol::TCP));
    if !is_tcp {
        return Err("it is no TCP socket");
    }
    if !socket.is_listener().unwrap_or(false) {
        return Err("it does not listen");
    }
    let bound = socket.local_addr().ok().and_then(|found| found.as_socket());
    if bound != Some(address) {
        return Err("it has another address");
    }
    Ok((address, TcpListener::from(descriptor)))
}

#[cfg(test)]
mod tests;
