//! What "having the address" means: it is on the interface, under a lease of the kernel's, and the
//! neighbours know.
//!
//! The lease is the fence: the kernel removes the addresses of a process that was killed or hangs,
//! because nobody renews them (RFC 3549; `valid_lft` of ip-address(8)). IPv4 addresses last between
//! 2.0 and 2.3 seconds after the last renewal, measured; the kernel looks once a second.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use socket2::{Domain, Socket, Type};

use crate::sys;

pub mod announce;
pub mod interface;
pub mod netlink;

pub use interface::LEASE;
use interface::is_lease;
use netlink::{Address, Netlink, NetlinkError, NewAddress};

/// The virtual addresses of one virtual router.
#[derive(Debug)]
pub struct Vip {
    addresses: Vec<IpNet>,
    /// Those that are the host's: it has them without us.
    kept: Vec<IpAddr>,
    /// The interface that has them: only while they are claimed.
    interface: Option<u32>,
}

impl Vip {
    /// Addresses that are nowhere yet.
    #[must_use]
    pub fn new(addresses: Vec<IpNet>) -> Self {
        Self {
            addresses,
            kept: Vec::new(),
            interface: None,
        }
    }

    /// These are the host's from now on: they get no lease and are not removed.
    pub fn keep(&mut self, kept: Vec<IpAddr>) {
        self.kept = kept;
    }

    fn ours(&self) -> impl Iterator<Item = IpNet> {
        let addresses = self.addresses.iter().copied();
        addresses.filter(|address| !self.kept.contains(&address.addr()))
    }

    /// Whether they are claimed on the interface with this index.
    #[must_use]
    pub fn is_claimed_on(&self, interface: u32) -> bool {
        self.interface == Some(interface)
    }

    /// The addresses that are claimed, with the interface.
    pub fn claimed(&self) -> impl Iterator<Item = (u32, IpNet)> {
        let interface = self.interface.into_iter();
        interface.flat_map(|interface| self.ours().map(move |address| (interface, address)))
    }

    /// Other addresses from now on. Those that are new are not claimed before
    /// [`Vip::renew`]; returned are those that were claimed and are no longer among them, with
    /// their interface.
    pub fn replace(&mut self, addresses: Vec<IpNet>) -> Vec<(u32, IpNet)> {
        let mut departing: Vec<_> = self.claimed().collect();
        departing.retain(|(_, address)| !addresses.contains(address));
        self.addresses = addresses;
        departing
    }

    /// Puts all addresses on the interface, or none.
    ///
    /// # Errors
    ///
    /// See [`NetlinkError`]; none of the addresses is there then.
    pub fn claim(&mut self, netlink: &mut Netlink, interface: u32) -> Result<(), NetlinkError> {
        self.interface = Some(interface);
        let claimed = self.renew(netlink).map(drop);
        if claimed.is_err() {
            // What remains is removed by the kernel when its lease ends.
            let _ = self.release(netlink, &[]);
        }
        claimed
    }

    /// Starts the lease anew, and puts back what is missing: whether something was.
    ///
    /// # Errors
    ///
    /// See [`NetlinkError`].
    pub fn renew(&mut self, netlink: &mut Netlink) -> Result<bool, NetlinkError> {
        let mut missing = false;
        let Some(interface) = self.interface else {
            return Ok(missing);
        };
        for address in self.ours() {
            missing |= netlink.add(&NewAddress {
                interface,
                address,
                valid: LEASE,
                // Connections of our own must not start from an address that may go.
                preferred: Duration::ZERO,
                // With a route of its own, the lifetime of an IPv6 address would become that of the
                // route to the whole network.
                prefix_route: false,
            })?;
        }
        Ok(missing)
    }

    /// Removes the addresses, but for those that others have claimed as well.
    ///
    /// # Errors
    ///
    /// See [`remove`].
    pub fn release(
        &mut self,
        netlink: &mut Netlink,
        others: &[(u32, IpNet)],
    ) -> Result<(), NetlinkError> {
        let claimed: Vec<_> = self.claimed().collect();
        self.interface = None;
        remove(netlink, &claimed, others)
    }

    /// Removes those of the `present` addresses that are virtual and nobody's: left behind by an
    /// earlier run, or put there by somebody else. Returns the latter. What has gone by itself, or
    /// with its interface, is no error.
    ///
    /// # Errors
    ///
    /// See [`NetlinkError`].
    pub fn clear(
        &mut self,
        netlink: &mut Netlink,
        present: &[Address],
    ) -> Result<Vec<Address>, NetlinkError> {
        let mut foreign = Vec::new();
        for known in present {
            let ip = known.address.addr();
            if !self.ours().any(|ours| ours.addr() == ip) {
                continue;
            }
            match netlink.delete(known.interface, known.address) {
                Ok(()) if !is_lease(known) => foreign.push(*known),
                Ok(()) | Err(NetlinkError::NoAddress | NetlinkError::NoInterface) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(foreign)
    }
}

/// Removes addresses from their interfaces, but for those that others have claimed there. That one
/// is not there any more is no error.
///
/// # Errors
///
/// See [`NetlinkError`], the first; the others are removed all the same.
pub fn remove(
    netlink: &mut Netlink,
    addresses: &[(u32, IpNet)],
    others: &[(u32, IpNet)],
) -> Result<(), NetlinkError> {
    let mut result = Ok(());
    for &(interface, address) in addresses {
        let place = (interface, address.addr());
        let mut others = others.iter().map(|(at, other)| (*at, other.addr()));
        if others.any(|other| other == place) {
            continue;
        }
        match netlink.delete(interface, address) {
            Ok(()) | Err(NetlinkError::NoAddress | NetlinkError::NoInterface) => {}
            Err(error) => result = result.and(Err(error)),
        }
    }
    result
}

/// Sends announcements: whole frames, through any interface.
#[derive(Debug)]
pub struct Announcer {
    socket: Socket,
}

impl Announcer {
    /// Opens the socket; it receives nothing.
    ///
    /// # Errors
    ///
    /// `EPERM` without CAP_NET_RAW.
    pub fn open() -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// Tells the neighbours on an interface that `address` lives at `hardware`.
    ///
    /// # Errors
    ///
    /// The kernel's: the interface is down or gone, or its queue is full.
    pub fn announce(&self, interface: u32, hardware: [u8; 6], address: IpAddr) -> io::Result<()> {
        let to = sys::link_layer(interface, 0)?;
        for frame in announce::frames(address, hardware) {
            self.socket.send_to(&frame, &to)?;
        }
        Ok(())
    }
}
