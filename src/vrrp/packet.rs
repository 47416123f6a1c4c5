//! *pure* Advertisement <-> bytes.
//!
//! Version 3, over IPv4 and IPv6 (RFC 9568, section 5.1):
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------+-------+---------------+---------------+---------------+
//! |Version| Type  | Virtual Rtr ID|   Priority    |Count of addrs |
//! +-------+-------+---------------+---------------+---------------+
//! |  rsvd |  Max Advertise Interval (cs)  |          Checksum     |
//! +-------+-------------------------------+-----------------------+
//! |                 addresses, 4 or 16 bytes each                 |
//! ```
//!
//! Version 2, over IPv4 (RFC 3768, section 5.1): the second word is authentication type (0),
//! interval in seconds and checksum, and eight bytes of authentication data (0) end the message.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::VrrpVersion;
use crate::config::units::Centiseconds;

/// The one type of message.
const ADVERTISEMENT: u8 = 1;
/// VRRP's IP protocol number (RFC 9568, section 5.1.1.4).
pub const PROTOCOL: u8 = 112;
/// TTL or hop limit of every advertisement: a router would have lowered it (section 5.1.1.3).
pub const TTL: u8 = 255;

const HEADER: usize = 8;
const VERSION_TYPE: usize = 0;
const ROUTER_ID: usize = 1;
const PRIORITY: usize = 2;
const COUNT: usize = 3;
/// Version 3: reserved and interval. Version 2: authentication type and interval.
const INTERVAL: usize = 4;
const CHECKSUM: usize = 6;
/// Authentication data at the end of version 2.
const AUTHENTICATION: usize = 8;
/// An Ethernet frame has at least 46 bytes of payload, 20 of them the IPv4 header: a shorter
/// message arrives padded. With IPv6 no frame is that short.
const LONGEST_PADDED: usize = 26;

/// What a master says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertisement {
    /// Version of the protocol.
    pub version: VrrpVersion,
    /// VRID, 1 to 255.
    pub router_id: u8,
    /// 0: the master is leaving; 255: the owner of the addresses.
    pub priority: u8,
    /// Time between two advertisements.
    pub interval: Centiseconds,
    /// The virtual addresses, all of one family.
    pub addresses: Vec<IpAddr>,
}

/// What the IP header says about a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// Who sent it.
    pub source: IpAddr,
    /// Whom it was sent to: the group, or us.
    pub destination: IpAddr,
    /// TTL or hop limit on arrival.
    pub ttl: u8,
}

/// What the checksum of version 3 over IPv4 covers. RFC 5798 was read in two ways, and RFC 9568
/// settled for the one that Keepalived does not use by default. IPv6 always has the pseudo-header,
/// version 2 never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChecksumForm {
    /// A pseudo-header of both addresses, and the message.
    PseudoHeader,
    /// The message alone (RFC 9568, section 5.2.8).
    MessageOnly,
}

/// An advertisement and the form of its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// What it says.
    pub advertisement: Advertisement,
    /// The form that was right; [`ChecksumForm::PseudoHeader`] if both were.
    pub form: ChecksumForm,
}

/// Why bytes are not an advertisement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DecodeError {
    /// The IP header is broken, or not of VRRP.
    IpHeader,
    /// It was forwarded by a router, or made up by somebody who is not on this network.
    Ttl,
    /// Shorter than a header.
    TooShort,
    /// Neither 2 nor 3, or 2 over IPv6.
    Version,
    /// Not an advertisement.
    Type,
    /// VRID 0.
    RouterId,
    /// No address at all.
    Count,
    /// Not as long as its count of addresses says.
    Length,
    /// The sum over the message is wrong, in both forms.
    Checksum,
    /// Version 2 with authentication, which RFC 3768 removed.
    Authentication,
    /// An interval of 0: every backup would take over at once.
    Interval,
}

impl Advertisement {
    /// The message as it is sent from `source` to `destination`. `form` matters to version 3 over
    /// IPv4 only. Addresses beyond 255 and of another family than `source` have no place in it;
    /// the interval is cut to what the version can say.
    #[must_use]
    pub fn encode(&self, source: IpAddr, destination: IpAddr, form: ChecksumForm) -> Vec<u8> {
        let same_family = |address: &&IpAddr| address.is_ipv4() == source.is_ipv4();
        let addresses = || self.addresses.iter().filter(same_family).take(255);
        let count = u8::try_from(addresses().count()).unwrap_or(u8::MAX);
        let version = number(self.version);
        let mut message = vec![version << 4 | ADVERTISEMENT];
        message.extend([self.router_id, self.priority, count]);
        message.extend(match self.version {
            VrrpVersion::V2 => [
                0,
                u8::try_from(self.interval.0.div_ceil(100)).unwrap_or(u8::MAX),
            ],
            VrrpVersion::V3 => self.interval.0.min(0x0fff).to_be_bytes(),
        });
        message.extend([0, 0]);
        for address in addresses() {
            match address {
                IpAddr::V4(address) => message.extend(address.octets()),
                IpAddr::V6(address) => message.extend(address.octets()),
            }
        }
        if self.version == VrrpVersion::V2 {
            message.extend([0; AUTHENTICATION]);
        }
        let pseudo = pseudo_header(self.version, form, source, destination, message.len());
        let sum = checksum(pseudo, &message);
        message[CHECKSUM..HEADER].copy_from_slice(&sum.to_be_bytes());
        message
    }
}

/// The advertisement in the payload of an IP packet.
///
/// # Errors
///
/// The first rule that it breaks. The contents are not believed before the checksum.
pub fn decode(message: &[u8], envelope: &Envelope) -> Result<Decoded, DecodeError> {
    if envelope.ttl != TTL {
        return Err(DecodeError::Ttl);
    }
    let Some(header) = message.first_chunk::<HEADER>() else {
        return Err(DecodeError::TooShort);
    };
    let v6 = envelope.source.is_ipv6();
    let version = match header[VERSION_TYPE] >> 4 {
        2 if !v6 => VrrpVersion::V2,
        3 => VrrpVersion::V3,
        _ => return Err(DecodeError::Version),
    };
    if header[VERSION_TYPE] & 0x0f != ADVERTISEMENT {
        return Err(DecodeError::Type);
    }
    let count = usize::from(header[COUNT]);
    if count == 0 {
        return Err(DecodeError::Count);
    }
    let (size, end) = match version {
        VrrpVersion::V2 => (4, AUTHENTICATION),
        VrrpVersion::V3 if v6 => (16, 0),
        VrrpVersion::V3 => (4, 0),
    };
    let addresses_end = HEADER + count * size;
    let length = addresses_end + end;
    let padded = !v6 && message.len() <= LONGEST_PADDED;
    let Some(message) = message
        .get(..length)
        .filter(|_| message.len() == length || padded)
    else {
        return Err(DecodeError::Length);
    };
    let form = right_form(version, message, envelope).ok_or(DecodeError::Checksum)?;
    if header[ROUTER_ID] == 0 {
        return Err(DecodeError::RouterId);
    }
    let interval = match version {
        VrrpVersion::V2 if header[INTERVAL] != 0 => return Err(DecodeError::Authentication),
        VrrpVersion::V2 => u16::from(header[INTERVAL + 1]) * 100,
        VrrpVersion::V3 => u16::from_be_bytes([header[INTERVAL] & 0x0f, header[INTERVAL + 1]]),
    };
    if interval == 0 {
        return Err(DecodeError::Interval);
    }
    let addresses = message[HEADER..addresses_end].chunks_exact(size);
    Ok(Decoded {
        advertisement: Advertisement {
            version,
            router_id: header[ROUTER_ID],
            priority: header[PRIORITY],
            interval: Centiseconds(interval),
            addresses: addresses.filter_map(address).collect(),
        },
        form,
    })
}

fn number(version: VrrpVersion) -> u8 {
    match version {
        VrrpVersion::V2 => 2,
        VrrpVersion::V3 => 3,
    }
}

/// Four or sixteen bytes.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(octets).into());
    }
    let octets = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(octets).into())
}

/// The form in which the checksum is right.
fn right_form(version: VrrpVersion, message: &[u8], envelope: &Envelope) -> Option<ChecksumForm> {
    let (source, destination) = (envelope.source, envelope.destination);
    let forms = [ChecksumForm::PseudoHeader, ChecksumForm::MessageOnly];
    forms.into_iter().find(|&form| {
        let pseudo = pseudo_header(version, form, source, destination, message.len());
        checksum(pseudo, message) == 0
    })
}

/// The sum over the pseudo-header (RFC 9568, section 5.2.8; RFC 8200, section 8.1), 0 without one.
/// Added as 16-bit words, the fields of both families come to the same.
fn pseudo_header(
    version: VrrpVersion,
    form: ChecksumForm,
    source: IpAddr,
    destination: IpAddr,
    length: usize,
) -> u64 {
    let without = version == VrrpVersion::V2 || form == ChecksumForm::MessageOnly;
    if source.is_ipv4() && without {
        return 0;
    }
    let words = |address| match address {
        IpAddr::V4(address) => words(&Ipv4Addr::octets(&address)),
        IpAddr::V6(address) => words(&Ipv6Addr::octets(&address)),
    };
    words(source) + words(destination) + length as u64 + u64::from(PROTOCOL)
}

/// The sum of big-endian 16-bit words; an odd byte at the end is followed by 0.
fn words(bytes: &[u8]) -> u64 {
    let pairs = bytes.chunks(2);
    pairs
        .map(|pair| {
            let low = pair.get(1).copied().unwrap_or(0);
            u64::from(u16::from_be_bytes([pair[0], low]))
        })
        .sum()
}

/// The Internet checksum (RFC 1071). Over a message that holds its own checksum it is 0.
fn checksum(pseudo_header: u64, message: &[u8]) -> u16 {
    let mut sum = pseudo_header + words(message);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

impl fmt::Display for Advertisement {
    /// As tcpdump would say it, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (version, interval) = (number(self.version), self.interval.0);
        write!(
            f,
            "VRRPv{version}, Advertisement, vrid {}, prio {}, intvl {interval}cs, addrs:",
            self.router_id, self.priority
        )?;
        for address in &self.addresses {
            write!(f, " {address}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
