//! The raw socket of one interface and one family: multicast joined, TTL 255, source address.
//!
//! It is bound to its device, so that it hears one interface only, and sends each message from the
//! given address: the kernel would choose a virtual address as well.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::task::{Context, Poll};

use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, recv,
    recvmsg, sendmsg, setsockopt, sockopt,
};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockFilter, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::packet::Envelope;
use super::receive::{GROUP_V4, GROUP_V6};
use crate::sys;

/// VRRP's IP protocol number (RFC 9568, section 5.1.1.4).
const PROTOCOL: i32 = 112;
/// What VRRP sends and accepts (RFC 9568, section 5.1.1.3).
const TTL: u32 = 255;
/// Class selector 6, network control (RFC 4594, section 3.1), as a TOS byte.
const NETWORK_CONTROL: u32 = 0xc0;
/// The queue of the kernel's that leaves first.
const PRIORITY: u32 = 6;
/// Advertisements that may wait for us: hundreds, as many as a process that was stopped has missed
/// before it starts again as backup.
const RECEIVE_BUFFER: usize = 256 << 10;
/// Larger than any advertisement: 255 IPv6 addresses behind the longest IPv4 header.
pub(super) const LARGEST: usize = 8 + 255 * 16 + 60;

/// IPv4 (`linux/if_ether.h`, ETH_P_IP).
const ETHERTYPE: u16 = 0x0800;
/// What a tap lets pass, in the language of socket filters (`linux/filter.h`): load the type of the
/// packet, drop what is for another host (3), load the protocol of the IPv4 header, drop what is
/// not VRRP, take the rest.
const TAP: [SockFilter; 6] = [
    SockFilter::new(0x30, 0, 0, 0xffff_f004),
    SockFilter::new(0x15, 3, 0, 3),
    SockFilter::new(0x30, 0, 0, 9),
    SockFilter::new(0x15, 0, 1, 112),
    SockFilter::new(0x06, 0, 0, 0xffff),
    SockFilter::new(0x06, 0, 0, 0),
];

/// One family of one interface.
#[derive(Debug)]
pub(super) struct VrrpSocket {
    socket: AsyncFd<Socket>,
    /// IPv4 again, before the kernel drops packets from addresses that this host has too: the owner
    /// of an address may have no other one to send from, and has to be heard by whoever has taken
    /// over from it.
    tap: Option<AsyncFd<Socket>>,
    index: u32,
    v6: bool,
}

/// What came in.
pub(super) enum Received {
    /// An IPv4 datagram of this length, header included.
    V4(usize),
    /// The same, but the kernel may have dropped it, or not.
    Tapped(usize),
    /// An IPv6 payload of this length.
    V6(Envelope, usize),
}

impl VrrpSocket {
    /// Opens the socket of `interface` with this index.
    ///
    /// # Errors
    ///
    /// `EPERM` without CAP_NET_RAW, `ENODEV` when the interface has gone.
    pub(super) fn open(interface: &str, index: u32, v6: bool) -> io::Result<Self> {
        let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(PROTOCOL)))?;
        socket.set_nonblocking(true)?;
        socket.bind_device(Some(interface.as_bytes()))?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.set_priority(PRIORITY)?;
        if v6 {
            socket.set_multicast_if_v6(index)?;
            socket.set_multicast_hops_v6(TTL)?;
            socket.set_unicast_hops_v6(TTL)?;
            socket.set_multicast_loop_v6(false)?;
            socket.set_tclass_v6(NETWORK_CONTROL)?;
            socket.set_recv_hoplimit_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            socket.join_multicast_v6(&GROUP_V6, index)?;
        } else {
            socket.set_multicast_ttl_v4(TTL)?;
            socket.set_ttl_v4(TTL)?;
            socket.set_multicast_loop_v4(false)?;
            socket.set_tos_v4(NETWORK_CONTROL)?;
            // What others on this host have joined is not for us.
            socket.set_multicast_all_v4(false)?;
            socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(index))?;
        }
        let tap = if v6 { None } else { Some(tap(index)?) };
        let socket = sys::watch(socket)?;
        Ok(Self {
            socket,
            tap,
            index,
            v6,
        })
    }

    /// Ready when something can be received, or the socket has failed.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        // The readiness is not cleared here: `receive` does that when nothing is left.
        let mut sockets = std::iter::once(&self.socket).chain(&self.tap);
        match sockets.any(|socket| socket.poll_read_ready(cx).is_ready()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// The next packet that waits, if there is one; its bytes are put into `buffer`.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Option<io::Result<Received>> {
        let received = self
            .socket
            .try_io(Interest::READABLE, |_| self.receive_now(buffer));
        match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.receive_tapped(buffer),
            done => Some(done),
        }
    }

    fn receive_tapped(&self, buffer: &mut [u8]) -> Option<io::Result<Received>> {
        let received = self.tap.as_ref()?.try_io(Interest::READABLE, |tap| {
            Ok(recv(tap.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)?)
        });
        match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            done => Some(done.map(Received::Tapped)),
        }
    }

    fn receive_now(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut control = cmsg_space!(in6_pktinfo, i32);
        let mut parts = [IoSliceMut::new(buffer)];
        let message = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        )?;
        let length = message.bytes;
        if !self.v6 {
            return Ok(Received::V4(length));
        }
        let source = message.address.and_then(|address| {
            let address = address.as_sockaddr_in6()?;
            Some(IpAddr::V6(address.ip()))
        });
        let (mut destination, mut ttl) = (None, None);
        for control in message.cmsgs()? {
            if let ControlMessageOwned::Ipv6PacketInfo(info) = control {
                destination = Some(IpAddr::V6(info.ipi6_addr.s6_addr.into()));
            } else if let ControlMessageOwned::Ipv6HopLimit(hops) = control {
                ttl = u8::try_from(hops).ok();
            }
        }
        match (source, destination, ttl) {
            (Some(source), Some(destination), Some(ttl)) => Ok(Received::V6(
                Envelope {
                    source,
                    destination,
                    ttl,
                },
                length,
            )),
            _ => Err(io::Error::other(
                "a packet without its addresses or hop limit",
            )),
        }
    }

    /// Sends a message from `source`, which is of the family of the socket, as is `destination`.
    ///
    /// # Errors
    ///
    /// The kernel's, `ENOBUFS` and `EAGAIN` when its queue is full among them.
    pub(super) fn send(
        &self,
        message: &[u8],
        source: IpAddr,
        destination: IpAddr,
    ) -> io::Result<()> {
        let parts = [IoSlice::new(message)];
        let descriptor = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let info = in_pktinfo {
                    ipi_ifindex: i32::try_from(self.index).unwrap_or(0),
                    ipi_spec_dst: in_addr {
                        s_addr: u32::from_ne_bytes(source.octets()),
                    },
                    ipi_addr: in_addr { s_addr: 0 },
                };
                let control = [ControlMessage::Ipv4PacketInfo(&info)];
                let to = SockaddrIn::from(SocketAddrV4::new(destination, 0));
                sendmsg(descriptor, &parts, &control, flags, Some(&to))?;
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let info = in6_pktinfo {
                    ipi6_addr: in6_addr {
                        s6_addr: source.octets(),
                    },
                    ipi6_ifindex: self.index,
                };
                let control = [ControlMessage::Ipv6PacketInfo(&info)];
                let to = SockaddrIn6::from(SocketAddrV6::new(destination, 0, 0, self.index));
                sendmsg(descriptor, &parts, &control, flags, Some(&to))?;
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                return Err(io::Error::from(io::ErrorKind::InvalidInput));
            }
        }
        Ok(())
    }
}

fn tap(index: u32) -> io::Result<AsyncFd<Socket>> {
    // Nothing is received before it is bound.
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    socket.attach_filter(&TAP)?;
    socket.bind(&sys::link_layer(index, ETHERTYPE)?)?;
    sys::watch(socket)
}
