//! Bind, accept, limits, and the three kinds of accept failure.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::connect::keepalive;
use super::connection;
use super::limit::Slot;
use super::post::{Early, Post};
use super::worker::{Door, Worker};
use crate::lifecycle::fd_store;

/// Connections that the kernel keeps for us while we don't accept; net.core.somaxconn caps it.
const BACKLOG: i32 = 4096;
/// How long to stay away from a listener after our own limits were hit.
const PAUSE_LIMITED: Duration = Duration::from_millis(100);
/// So many clients that had gone when they were accepted, one after the other, are no chance: it is
/// us who may not accept (EPERM of a security module or a filter, say).
const ODD: u32 = 16;
/// So many who were accepted before there was a slot for them may wait in a post although no
/// descriptor was budgeted for them.
const EARLY: usize = 16;
/// How long to wait before a broken listener is bound anew.
const PAUSE_BROKEN: Duration = Duration::from_secs(1);

/// Binds one address for `workers` workers, one socket each. The address need not exist on this
/// host yet (IP_FREEBIND), so that a backup node is ready before it owns the virtual address.
///
/// # Errors
///
/// `AddrInUse` also when another process shares its port by SO_REUSEPORT: two balancers that split
/// the clients of one port between them are never what was meant. That cannot be told if `alone` is
/// false: this process itself has the port, on an address that covers this one or is covered by it.
pub fn bind(address: SocketAddr, workers: usize, alone: bool) -> io::Result<Vec<StdListener>> {
    if alone {
        drop(open(address, false)?);
    }
    let first = open(address, true)?;
    // Port 0 is the kernel's choice; the other workers need the same.
    let address = first.local_addr()?;
    complete(vec![first], address, workers)
}

/// Makes the sockets that are here of one address at least one per worker.
///
/// # Errors
///
/// The kernel's, when it refuses a further socket, or to set an option.
pub fn complete(
    mut sockets: Vec<StdListener>,
    address: SocketAddr,
    workers: usize,
) -> io::Result<Vec<StdListener>> {
    for socket in &sockets {
        // What an earlier version has opened may have other options.
        prepare(&SockRef::from(socket))?;
    }
    while sockets.len() < workers {
        sockets.push(open(address, true)?);
    }
    Ok(sockets)
}

fn open(address: SocketAddr, shared: bool) -> io::Result<StdListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(true)?;
    } else {
        socket.set_freebind_v4(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    prepare(&SockRef::from(&socket))?;
    Ok(socket.into())
}

/// Sets what can be set at any time, and listens.
fn prepare(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit these two.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive())?;
    socket.listen(BACKLOG)
}

/// What a failed accept() deserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AcceptFailure {
    /// The client has gone, or its network has (accept(2)): go on at once.
    PeersFault,
    /// We are out of descriptors or memory: pause, then go on.
    OurLimits,
    /// The socket itself is broken: bind it anew.
    Broken,
}

impl AcceptFailure {
    fn of(error: &io::Error) -> Self {
        use nix::libc as c;
        match error.raw_os_error() {
            Some(
                c::ECONNABORTED
                | c::EINTR
                | c::EPROTO
                | c::ENETDOWN
                | c::ENOPROTOOPT
                | c::EHOSTDOWN
                | c::ENONET
                | c::EHOSTUNREACH
                | c::EOPNOTSUPP
                | c::ENETUNREACH
                | c::EPERM
                | c::ETIMEDOUT,
            ) => Self::PeersFault,
            Some(c::EMFILE | c::ENFILE | c::ENOBUFS | c::ENOMEM) => Self::OurLimits,
            _ => Self::Broken,
        }
    }
}

/// Accepts on one socket until the worker stops accepting, the listener is closed, or the address
/// is not in the configuration any more.
pub(super) async fn run(worker: Rc<Worker>, post: Rc<Post>) {
    let address = post.socket().and_then(|socket| socket.local_addr());
    let mut aborted = 0;
    loop {
        let accepted = accept(&worker, &post).await;
        let door = post.door();
        let counters = door.listener.counters.of(worker.index);
        let error = match accepted {
            // Without a socket clients are refused, and try another node.
            Ok(None) => return post.leave(&worker),
            Ok(Some((client, peer, slot))) => {
                aborted = 0;
                let pause = enter(&worker, &door, client, peer, slot);
                if !pause.is_zero() {
                    counters.paused_rate.add(1);
                    tokio::time::sleep(pause).await;
                }
                continue;
            }
            Err(_) if post.is_leaving() => return,
            Err(error) => error,
        };
        let name = &door.listener.name;
        match AcceptFailure::of(&error) {
            AcceptFailure::PeersFault if aborted < ODD => {
                aborted += 1;
                counters.accept_aborted.add(1);
            }
            AcceptFailure::PeersFault | AcceptFailure::OurLimits => {
                counters.accept_limited.add(1);
                worker.complain(format_args!("listener {name} cannot accept: {error}"));
                tokio::time::sleep(PAUSE_LIMITED).await;
            }
            AcceptFailure::Broken => {
                counters.accept_broken.add(1);
                worker.complain(format_args!(
                    "listener {name} is broken: {error}; binding anew"
                ));
                post.shut();
                tokio::time::sleep(PAUSE_BROKEN).await;
                if !post.is_leaving() {
                    post.replace(again(&address));
                }
            }
        }
    }
}

/// Lets a client in that was accepted. Returns how long to wait for the next.
fn enter(
    worker: &Rc<Worker>,
    door: &Rc<Door>,
    client: TcpStream,
    peer: SocketAddr,
    slot: Slot,
) -> Duration {
    door.listener.counters.of(worker.index).accepted.add(1);
    connection::spawn(worker, Rc::clone(door), client, peer, slot.occupy());
    worker.limits.pause(&door.listener)
}

/// Accepts who waits in the backlog of a socket that is to be closed: they have been told by the
/// kernel that they are connected.
pub(super) fn take_in(worker: &Rc<Worker>, door: &Rc<Door>, socket: &TcpListener) {
    while let Some(slot) = worker.limits.take(&door.listener) {
        match accept_now(socket).and_then(known) {
            Ok((client, peer)) => {
                // Nobody else comes: the rate need not be kept.
                let _ = enter(worker, door, client, peer, slot);
            }
            Err(_) => break,
        }
    }
}

/// Lets in who was accepted early, whatever the limits: there is nothing any more to wait in.
pub(super) fn let_in(worker: &Rc<Worker>, door: &Rc<Door>, early: Early) {
    if let Ok((client, peer)) = known(early) {
        let slot = worker.limits.take_anyway(&door.listener);
        let _ = enter(worker, door, client, peer, slot);
    }
}

/// Makes the runtime know a client that was accepted without it.
fn known((client, peer): Early) -> io::Result<(TcpStream, SocketAddr)> {
    Ok((TcpStream::from_std(client)?, peer))
}

/// Resets who waits in the backlog and came to an address that is not ours now, without a slot: a
/// limit must not keep silent about it until no reset can be sent any more. The kernel hands them
/// out one after the other, so that others are accepted as well: they wait in the post. Those for
/// whom there is no descriptor are reset like those among whom they were.
pub(super) fn turn_away(worker: &Worker, post: &Post) {
    let Ok(socket) = post.socket() else { return };
    let absent = Arc::clone(&worker.absent.borrow().addresses);
    let door = post.door();
    let stays = |client: &StdStream| {
        let local = client.local_addr().map(|local| local.ip().to_canonical());
        // A socket without an address has failed, and says so when it is read.
        local.map_or(true, |local| !absent.contains(&local))
    };
    // A connection that could be has two descriptors, and other posts take some as well.
    let room = EARLY + worker.limits.free() / (2 * worker.registry.workers.len());
    let mut early = post.early.borrow_mut();
    let known = std::mem::take(&mut *early).into_iter();
    for one in known.chain(std::iter::from_fn(|| {
        next_in_backlog(worker, &door, &socket)
    })) {
        if early.len() < room && stays(&one.0) {
            early.push_back(one);
        } else {
            connection::turn_away(worker, &door, &one.0, one.1);
        }
    }
}

/// Accepts the next who waits already.
fn next_in_backlog(worker: &Worker, door: &Door, socket: &TcpListener) -> Option<Early> {
    let counters = door.listener.counters.of(worker.index);
    for _ in 0..ODD {
        let error = match accept_now(socket) {
            Ok(early) => return Some(early),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => error,
        };
        if AcceptFailure::of(&error) != AcceptFailure::PeersFault {
            // Whoever accepts will meet the same, and does what is to be done.
            return None;
        }
        counters.accept_aborted.add(1);
    }
    None
}

/// Accepts one client that waits already, whatever the runtime knows of it.
fn accept_now(socket: &TcpListener) -> io::Result<Early> {
    let (client, peer) = SockRef::from(socket).accept()?;
    let peer = peer.as_socket().ok_or(ErrorKind::InvalidData)?;
    client.set_nonblocking(true)?;
    Ok((client.into(), peer))
}

/// Ends a socket, also for the service manager, which may have a copy.
pub(super) fn shut(socket: &impl AsFd) {
    // One that is broken may not even do that.
    let _ = SockRef::from(socket).shutdown(Shutdown::Both);
}

/// The same address once more.
fn again(address: &io::Result<SocketAddr>) -> io::Result<TcpListener> {
    match address {
        Ok(address) => {
            let socket = open(*address, true)?;
            fd_store::keep([&socket]);
            TcpListener::from_std(socket)
        }
        Err(error) => Err(io::Error::from(error.kind())),
    }
}

/// Accepts one client once there is a slot for it; until then it waits in the kernel's backlog.
/// `None` when the listener is closed, or leaves.
async fn accept(worker: &Worker, post: &Post) -> io::Result<Option<(TcpStream, SocketAddr, Slot)>> {
    loop {
        let door = post.door();
        if door.listener.open.is_closed() || post.is_leaving() {
            return Ok(None);
        }
        let socket = post.socket()?;
        let accepted = std::future::poll_fn(|cx| {
            let Some(slot) = worker.limits.take(&door.listener) else {
                return Poll::Ready(None);
            };
            if let Some(early) = post.early.borrow_mut().pop_front() {
                return Poll::Ready(Some((known(early), slot)));
            }
            // While nobody is there the slot goes back: waiting for a client needs none.
            socket
                .poll_accept(cx)
                .map(|accepted| Some((accepted, slot)))
        });
        let accepted = tokio::select! {
            biased;
            accepted = accepted => accepted,
            () = worker.doors.notified() => continue,
        };
        match accepted {
            Some((accepted, slot)) => {
                let (client, peer) = accepted?;
                return Ok(Some((client, peer, slot)));
            }
            None => {
                door.listener.counters.of(worker.index).paused_full.add(1);
                tokio::select! {
                    () = worker.limits.freed(&door.listener) => {}
                    () = worker.doors.notified() => {}
                }
            }
        }
    }
}
