//! The kernel's interface for addresses and links: ask and wait for the answer, or listen.
//!
//! Requests are synchronous: the kernel carries them out within the system call, and an address has
//! to be gone when [`Netlink::delete`] returns. Only the kernel is believed (port 0).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, send,
    setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::sys;

pub mod message;

pub use message::link::NewLink;
pub use message::{Address, Change, Link, NewAddress};

use message::{Body, Message, Renewal, messages};

/// The kernel answers within its system call; this is for a kernel that does not, in milliseconds.
const PATIENCE: i64 = 500;
/// A dump that something changed under lacks what was there all the time, and is repeated. One of a
/// few addresses fits into one datagram, under which nothing can change.
const DUMPS: usize = 8;
/// No further dump is begun after this long: with many addresses one takes a while, and whoever
/// asks has advertisements to send.
const DUMPING: Duration = Duration::from_millis(50);
/// Several messages of a dump come in one datagram of at most this size.
const DATAGRAM: usize = 64 << 10;
/// Notifications that may wait while we do something else.
const BACKLOG: usize = 1 << 20;
/// Groups of notifications: links, addresses of both families (`linux/rtnetlink.h`, RTMGRP).
const GROUPS: u32 = 0x1 | 0x10 | 0x100;

/// Why the kernel did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// EPERM.
    #[error("not permitted: CAP_NET_ADMIN is missing")]
    NotPermitted,
    /// ENODEV: the interface has gone.
    #[error("no such interface")]
    NoInterface,
    /// EADDRNOTAVAIL: there is no such address to remove.
    #[error("no such address")]
    NoAddress,
    /// EEXIST: there is such an address already.
    #[error("the address is there already")]
    Exists,
    /// Something changed during each of several dumps.
    #[error("addresses or links change too fast to be read")]
    Changing,
    /// The answer did not come.
    #[error("the kernel does not answer")]
    Silent,
    /// Anything else.
    #[error(transparent)]
    Other(#[from] io::Error),
}

impl From<Errno> for NetlinkError {
    fn from(errno: Errno) -> Self {
        if errno == Errno::EPERM {
            Self::NotPermitted
        } else if errno == Errno::ENODEV {
            Self::NoInterface
        } else if errno == Errno::EADDRNOTAVAIL {
            Self::NoAddress
        } else if errno == Errno::EEXIST {
            Self::Exists
        } else if errno == Errno::EAGAIN {
            Self::Silent
        } else {
            Self::Other(errno.into())
        }
    }
}

/// A socket for requests.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

fn open(groups: u32) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let route = SockProtocol::NetlinkRoute;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, route)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(socket)
}

/// A datagram of the kernel; `None` for one of somebody else.
fn receive(socket: i32, buffer: &mut [u8]) -> nix::Result<Option<usize>> {
    let (length, sender) = recvfrom::<NetlinkAddr>(socket, buffer)?;
    let from_kernel = sender.is_some_and(|sender| sender.pid() == 0);
    Ok(from_kernel.then_some(length))
}

impl Netlink {
    /// Opens the socket.
    ///
    /// # Errors
    ///
    /// The kernel's; opening needs no capability.
    pub fn open() -> io::Result<Self> {
        let socket = open(0)?;
        setsockopt(
            &socket,
            sockopt::ReceiveTimeout,
            &TimeVal::milliseconds(PATIENCE),
        )?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Adds an address, or renews it if it is there. Returns which: whether it was added.
    ///
    /// # Errors
    ///
    /// See [`NetlinkError`]; the address is not there, or as before.
    pub fn add(&mut self, address: &NewAddress) -> Result<bool, NetlinkError> {
        let sequence = self.next();
        let request = message::new_address(sequence, address, Renewal::Refused);
        match self.carry_out(&request) {
            Ok(()) => return Ok(true),
            Err(NetlinkError::Exists) => {}
            Err(error) => return Err(error),
        }
        let sequence = self.next();
        self.carry_out(&message::new_address(sequence, address, Renewal::Allowed))?;
        Ok(false)
    }

    /// Removes an address.
    ///
    /// # Errors
    ///
    /// See [`NetlinkError`]; [`NetlinkError::NoAddress`] if it was not there.
    pub fn delete(&mut self, interface: u32, address: IpNet) -> Result<(), NetlinkError> {
        let sequence = self.next();
        self.carry_out(&message::delete_address(sequence, interface, address))
    }

    /// Makes a link.
    ///
    /// # Errors
    ///
    /// See [`NetlinkError`].
    pub fn make(&mut self, link: NewLink<'_>) -> Result<(), NetlinkError> {
        let sequence = self.next();
        self.carry_out(&message::link::new_link(sequence, link))
    }

    /// Sets a link up, as a port of the bridge with the index `bridge` if there is one.
    ///
    /// # Errors
    ///
    /// See [`NetlinkError`].
    pub fn set_up(&mut self, index: u32, bridge: Option<u32>) -> Result<(), NetlinkError> {
        let sequence = self.next();
        self.carry_out(&message::link::set_up(sequence, index, bridge))
    }

    /// Gives an interface an address for good.
    ///
    /// # Errors
    ///
    /// See [`NetlinkError`].
    pub fn keep(&mut self, index: u32, address: IpNet) -> Result<(), NetlinkError> {
        let sequence = self.next();
        self.carry_out(&message::link::keep_address(sequence, index, address))
    }

    /// All addresses.
    ///
    /// # Errors
    ///
    /// See [`NetlinkError`].
    pub fn addresses(&mut self) -> Result<Vec<Address>, NetlinkError> {
        self.dump(message::dump_addresses, |change| match change {
            Change::AddressAdded(address) => Some(address),
            Change::AddressRemoved(_) | Change::Link(_) => None,
            Change::LinkRemoved { .. } | Change::Overflow => None,
        })
    }

    /// All links.
    ///
    /// # Errors
    ///
    /// See [`NetlinkError`].
    pub fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        self.dump(message::dump_links, |change| match change {
            Change::Link(link) => Some(link),
            Change::AddressAdded(_) | Change::AddressRemoved(_) => None,
            Change::LinkRemoved { .. } | Change::Overflow => None,
        })
    }

    fn next(&mut self) -> u32 {
        // 0 is for notifications.
        self.sequence = self.sequence.checked_add(1).unwrap_or(1);
        self.sequence
    }

    /// Sends a request and waits for its acknowledgement.
    fn carry_out(&self, request: &[u8]) -> Result<(), NetlinkError> {
        self.send(request)?;
        let mut result = None;
        while result.is_none() {
            self.answers(|message| {
                if let Body::Answer(error) = message.body {
                    result = Some(error);
                }
            })?;
        }
        match result {
            None | Some(0) => Ok(()),
            Some(error) => Err(Errno::from_raw(error).into()),
        }
    }

    fn dump<T>(
        &mut self,
        request: fn(u32) -> Vec<u8>,
        pick: fn(Change) -> Option<T>,
    ) -> Result<Vec<T>, NetlinkError> {
        let begun = Instant::now();
        for _ in 0..DUMPS {
            if let Some(whole) = self.dump_once(request, pick)? {
                return Ok(whole);
            }
            if begun.elapsed() >= DUMPING {
                break;
            }
        }
        Err(NetlinkError::Changing)
    }

    /// `None` when something changed meanwhile.
    fn dump_once<T>(
        &mut self,
        request: fn(u32) -> Vec<u8>,
        pick: fn(Change) -> Option<T>,
    ) -> Result<Option<Vec<T>>, NetlinkError> {
        let sequence = self.next();
        self.send(&request(sequence))?;
        let (mut found, mut whole, mut result) = (Vec::new(), true, None);
        while result.is_none() {
            self.answers(|message| {
                whole &= !message.interrupted;
                match message.body {
                    Body::Change(change) => found.extend(pick(change)),
                    Body::Done(error) | Body::Answer(error) => result = Some(error),
                    Body::Other => {}
                }
            })?;
        }
        match result {
            None | Some(0) => Ok(whole.then_some(found)),
            Some(error) => Err(Errno::from_raw(error).into()),
        }
    }

    fn send(&self, request: &[u8]) -> Result<(), NetlinkError> {
        send(self.socket.as_raw_fd(), request, MsgFlags::empty())?;
        Ok(())
    }

    /// Takes the answers to the last request from one datagram; older ones came too late.
    fn answers(&self, take: impl FnMut(Message)) -> Result<(), NetlinkError> {
        let mut buffer = vec![0; DATAGRAM];
        let socket = self.socket.as_raw_fd();
        let Some(length) = receive(socket, &mut buffer)? else {
            return Ok(());
        };
        messages(&buffer[..length])
            .filter(|message| message.sequence == self.sequence)
            .for_each(take);
        Ok(())
    }
}

/// A socket that hears of every change of links and addresses.
#[derive(Debug)]
pub struct Monitor {
    socket: AsyncFd<Socket>,
    buffer: Vec<u8>,
}

impl Monitor {
    /// Opens it, on the runtime of this thread.
    ///
    /// # Errors
    ///
    /// The kernel's; listening needs no capability.
    pub fn open() -> io::Result<Self> {
        let socket = Socket::from(open(GROUPS)?);
        socket.set_nonblocking(true)?;
        // More than the system's limit is not given; an overflow is noticed and made good.
        socket.set_recv_buffer_size(BACKLOG)?;
        Ok(Self {
            socket: sys::watch(socket)?,
            buffer: vec![0; DATAGRAM],
        })
    }

    /// Ready when something can be received.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.socket.poll_read_ready(cx).map(drop)
    }

    /// The changes of the next datagram that waits; `None` when nothing is left.
    pub fn receive(&mut self) -> Option<Vec<Change>> {
        let Self { socket, buffer } = self;
        let received = socket.try_io(Interest::READABLE, |socket| {
            Ok(receive(socket.as_raw_fd(), buffer)?)
        });
        match received {
            Ok(Some(length)) => Some(
                messages(&buffer[..length])
                    .filter_map(|message| match message.body {
                        Body::Change(change) => Some(change),
                        Body::Answer(_) | Body::Done(_) | Body::Other => None,
                    })
                    .collect(),
            ),
            Ok(None) => Some(Vec::new()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            // ENOBUFS: notifications were lost. Whatever else it is, reading anew makes it good.
            Err(_) => Some(vec![Change::Overflow]),
        }
    }
}
