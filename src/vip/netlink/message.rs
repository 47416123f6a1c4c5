//! *pure* Route netlink as bytes: requests for addresses and links, and what the kernel says.
//!
//! ```text
//!   nlmsghdr: length u32 | type u16 | flags u16 | sequence u32 | port u32
//!   then ifaddrmsg (8 bytes) or ifinfomsg (16 bytes)
//!   then attributes: length u16 | type u16 | value, each padded to 4 bytes
//! ```
//!
//! Numbers are in the byte order of the machine. Sources: `linux/netlink.h`, `linux/rtnetlink.h`,
//! `linux/if_addr.h`, `linux/if_link.h`; rtnetlink(7). Decoding takes any bytes: what does not fit
//! is left out, nothing is read beyond its message, and nothing is allocated by a claimed length
//! but a name of at most 15 bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;

pub mod link;

/// The mark (`IFA_PROTO`, Linux 5.18 and later) on addresses that warren added: the number of the
/// VRRP protocol. Older kernels ignore it.
pub const MARK: u8 = 112;
/// The longest name of an interface, in bytes.
pub const LONGEST_NAME: usize = 15;

const HEADER: usize = 16;
const ALIGNMENT: usize = 4;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_DUMP: u16 = 0x300;

const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_PROTO: u16 = 11;
const IFA_F_SECONDARY: u32 = 0x01;
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_TENTATIVE: u32 = 0x40;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
const FOREVER: u32 = u32::MAX;

const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFF_UP: u32 = 0x1;
const IFF_RUNNING: u32 = 0x40;
const ARPHRD_ETHER: u16 = 1;

/// An address to be added, or renewed if it is there with the same prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewAddress {
    /// Index of the interface.
    pub interface: u32,
    /// The address and the length of its prefix.
    pub address: IpNet,
    /// How long the kernel keeps it, in whole seconds.
    pub valid: Duration,
    /// How long new connections may use it as their source, in whole seconds.
    pub preferred: Duration,
    /// Whether the kernel shall add the route to the address's network (IPv6 only; the IPv4 route
    /// has no lifetime and is shared with other addresses by itself).
    pub prefix_route: bool,
}

/// Whether an address that is to be added may be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// Its lifetimes begin anew then.
    Allowed,
    /// That is an error (EEXIST).
    Refused,
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// Index of the interface.
    pub interface: u32,
    /// The address and the length of its prefix.
    pub address: IpNet,
    /// IPv4: it is not the first address of its network on this interface. IPv6: it is temporary,
    /// another one follows it.
    pub secondary: bool,
    /// IPv6: duplicate address detection has not passed; the kernel neither answers for it nor
    /// sends from it.
    pub tentative: bool,
    /// Time left, in whole seconds; `None` is for ever.
    pub valid: Option<Duration>,
    /// Time left to be used as a source, in whole seconds; `None` is for ever.
    pub preferred: Option<Duration>,
    /// Whether it carries [`MARK`].
    pub marked: bool,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index, which stays when it is renamed.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address, if it is an Ethernet.
    pub hardware: Option<[u8; 6]>,
    /// Whether it is set up and can carry packets (`IFF_UP` and `IFF_RUNNING`).
    pub carrier: bool,
}

/// What changed in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An address was added, renewed or otherwise changed.
    AddressAdded(Address),
    /// An address was removed, or its lifetime ended.
    AddressRemoved(Address),
    /// A link appeared or changed.
    Link(Link),
    /// A link is gone, and its addresses with it.
    LinkRemoved {
        /// Its index.
        index: u32,
    },
    /// Changes were lost: read everything again.
    Overflow,
}

/// One message of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The sequence number of the request that it answers; 0 for a notification.
    pub sequence: u32,
    /// The dump that it is a part of is inconsistent: something changed meanwhile.
    pub interrupted: bool,
    /// What it says.
    pub body: Body,
}

/// What a message of the kernel says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The request was carried out (0), or the error number.
    Answer(i32),
    /// The dump is complete (0), or ended by this error number.
    Done(i32),
    /// A link or an address: a notification, or a part of an answer.
    Change(Change),
    /// Something that warren has no use for.
    Other,
}

/// The request to add an address, and to renew it if it is there and that is `allowed`.
#[must_use]
pub fn new_address(sequence: u32, new: &NewAddress, allowed: Renewal) -> Vec<u8> {
    let there = match allowed {
        Renewal::Allowed => NLM_F_REPLACE,
        Renewal::Refused => NLM_F_EXCL,
    };
    let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | there;
    let mut request = Request::new(RTM_NEWADDR, flags, sequence);
    request.address(new.interface, new.address);
    let mut lifetime = [0; 16];
    lifetime[..4].copy_from_slice(&seconds(new.preferred).to_ne_bytes());
    lifetime[4..8].copy_from_slice(&seconds(new.valid).to_ne_bytes());
    request.attribute(IFA_CACHEINFO, &lifetime);
    if let IpNet::V6(_) = new.address {
        let route = if new.prefix_route {
            0
        } else {
            IFA_F_NOPREFIXROUTE
        };
        request.attribute(IFA_FLAGS, &(IFA_F_NODAD | route).to_ne_bytes());
    }
    request.attribute(IFA_PROTO, &[MARK]);
    request.finish()
}

/// The request to remove an address from the interface with this index.
#[must_use]
pub fn delete_address(sequence: u32, interface: u32, address: IpNet) -> Vec<u8> {
    let mut request = Request::new(RTM_DELADDR, NLM_F_REQUEST | NLM_F_ACK, sequence);
    request.address(interface, address);
    request.finish()
}

/// The request for all addresses of both families.
#[must_use]
pub fn dump_addresses(sequence: u32) -> Vec<u8> {
    let mut request = Request::new(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, sequence);
    request.bytes.extend_from_slice(&[0; 8]);
    request.finish()
}

/// The request for all links.
#[must_use]
pub fn dump_links(sequence: u32) -> Vec<u8> {
    let mut request = Request::new(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, sequence);
    request.bytes.extend_from_slice(&[0; 16]);
    request.finish()
}

/// The messages of one datagram.
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = Message> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(rest, 0)?).ok()?;
        let message = rest
            .get(..length)
            .filter(|message| message.len() >= HEADER)?;
        rest = rest
            .get(length.next_multiple_of(ALIGNMENT)..)
            .unwrap_or_default();
        decode(message)
    })
}

/// Decodes a message whose header is complete.
fn decode(message: &[u8]) -> Option<Message> {
    let payload = message.get(HEADER..)?;
    let error = || i32_at(payload, 0).map(i32::saturating_neg);
    let change = |change: Option<Change>| change.map_or(Body::Other, Body::Change);
    let body = match u16_at(message, 4)? {
        NLMSG_ERROR => error().map_or(Body::Other, Body::Answer),
        NLMSG_DONE => Body::Done(error().unwrap_or(0)),
        RTM_NEWADDR => change(address(payload).map(Change::AddressAdded)),
        RTM_DELADDR => change(address(payload).map(Change::AddressRemoved)),
        RTM_NEWLINK => change(link(payload).map(Change::Link)),
        RTM_DELLINK => change(link(payload).map(|link| Change::LinkRemoved { index: link.index })),
        _ => Body::Other,
    };
    Some(Message {
        sequence: u32_at(message, 8)?,
        interrupted: u16_at(message, 6)? & NLM_F_DUMP_INTR != 0,
        body,
    })
}

fn address(payload: &[u8]) -> Option<Address> {
    let (family, prefix) = (*payload.first()?, *payload.get(1)?);
    let mut flags = u32::from(*payload.get(2)?);
    let interface = u32_at(payload, 4)?;
    let (mut own, mut peer, mut lifetime, mut marked) = (None, None, None, false);
    for (kind, value) in attributes(payload.get(8..)?) {
        match kind {
            IFA_LOCAL => own = ip(family, value),
            // With a peer this is the peer's address, without one it is the address itself.
            IFA_ADDRESS => peer = ip(family, value),
            IFA_CACHEINFO => lifetime = u32_at(value, 0).zip(u32_at(value, 4)),
            IFA_FLAGS => flags = u32_at(value, 0).unwrap_or(flags),
            IFA_PROTO => marked = value == [MARK],
            _ => {}
        }
    }
    let (preferred, valid) = lifetime.unwrap_or((FOREVER, FOREVER));
    let time = |seconds| (seconds != FOREVER).then(|| Duration::from_secs(u64::from(seconds)));
    Some(Address {
        interface,
        address: IpNet::new(own.or(peer)?, prefix).ok()?,
        // IFA_F_TEMPORARY is the same bit.
        secondary: flags & IFA_F_SECONDARY != 0,
        tentative: flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) != 0,
        valid: time(valid),
        preferred: time(preferred),
        marked,
    })
}

fn link(payload: &[u8]) -> Option<Link> {
    // A bridge tells with AF_BRIDGE that a link joined or left it; the link itself stays.
    if *payload.first()? != AF_UNSPEC {
        return None;
    }
    let (kind, index, flags) = (
        u16_at(payload, 2)?,
        u32_at(payload, 4)?,
        u32_at(payload, 8)?,
    );
    let (mut name, mut hardware) = (None, None);
    for (attribute, value) in attributes(payload.get(16..)?) {
        match attribute {
            IFLA_IFNAME => name = Some(text(value)),
            IFLA_ADDRESS => hardware = value.try_into().ok(),
            _ => {}
        }
    }
    Some(Link {
        index,
        name: name?,
        hardware: hardware.filter(|_| kind == ARPHRD_ETHER),
        carrier: flags & IFF_UP != 0 && flags & IFF_RUNNING != 0,
    })
}

fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        // The two highest bits are flags.
        let kind = u16_at(rest, 2)? & 0x3fff;
        let value = rest.get(4..length)?;
        rest = rest
            .get(length.next_multiple_of(ALIGNMENT)..)
            .unwrap_or_default();
        Some((kind, value))
    })
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).into()),
        AF_INET6 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).into()),
        _ => None,
    }
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0);
    let end = end.unwrap_or(value.len()).min(LONGEST_NAME);
    String::from_utf8_lossy(&value[..end]).into_owned()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Whole seconds, never the number that means "for ever".
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).map_or(FOREVER - 1, |seconds| seconds.min(FOREVER - 1))
}

/// A request under construction. Its length is filled in by `finish`.
struct Request {
    bytes: Vec<u8>,
}

impl Request {
    fn new(kind: u16, flags: u16, sequence: u32) -> Request {
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        // The port of the sender, which the kernel fills in.
        bytes.extend_from_slice(&[0; 4]);
        Request { bytes }
    }

    fn address(&mut self, interface: u32, net: IpNet) {
        let (family, link_local) = match net.addr() {
            IpAddr::V4(address) => (AF_INET, address.is_link_local()),
            IpAddr::V6(address) => (AF_INET6, address.is_unicast_link_local()),
        };
        let scope = if link_local {
            RT_SCOPE_LINK
        } else {
            RT_SCOPE_UNIVERSE
        };
        self.bytes
            .extend_from_slice(&[family, net.prefix_len(), 0, scope]);
        self.bytes.extend_from_slice(&interface.to_ne_bytes());
        for kind in [IFA_LOCAL, IFA_ADDRESS] {
            match net.addr() {
                IpAddr::V4(address) => self.attribute(kind, &address.octets()),
                IpAddr::V6(address) => self.attribute(kind, &address.octets()),
            }
        }
    }

    /// Values are at most a few bytes long.
    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes
            .resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes
    }
}

#[cfg(test)]
mod tests;
