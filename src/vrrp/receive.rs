//! *pure* From what a raw socket received to the virtual router that it is for, or the reason why
//! it is for none. Each reason is a counter of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::packet::{Advertisement, ChecksumForm, DecodeError, Envelope, PROTOCOL, decode};
use crate::config::units::Centiseconds;
use crate::config::{OWNER, VrrpVersion};

/// The group of IPv4 (RFC 9568, section 5.1.1.2).
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// The group of IPv6 (RFC 9568, section 5.1.2.2).
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// The priority that says: the master is leaving.
const LEAVING: u8 = 0;

/// What a virtual router has to be known by, to sort out what is for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// VRID.
    pub router_id: u8,
    /// Version.
    pub version: VrrpVersion,
    /// Our own interval.
    pub interval: Centiseconds,
    /// The virtual addresses.
    pub addresses: Vec<IpAddr>,
    /// Whom to listen to; empty: everybody in the group.
    pub peers: Vec<IpAddr>,
    /// The address that we send from.
    pub own: Option<IpAddr>,
}

/// An advertisement that passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Which of the receivers it is for.
    pub index: usize,
    /// Its sender.
    pub from: IpAddr,
    /// What it says.
    pub advertisement: Advertisement,
    /// The form of its checksum.
    pub form: ChecksumForm,
    /// Its addresses are not quite ours. Accepted, because the addresses of a pair are changed on
    /// one node first.
    pub addresses_differ: bool,
}

/// A packet that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which of the receivers it would have been for, if that can be told.
    pub index: Option<usize>,
    /// Why.
    pub why: Refusal,
    /// Its sender.
    pub from: Option<IpAddr>,
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// Why a packet was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Refusal {
            $($(#[$doc])* $variant,)*
        }

        impl Refusal {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// Its documented name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

refusals! {
    /// The IP header is broken, or not of VRRP.
    IpHeader => "ip_header",
    /// TTL or hop limit is not 255.
    Ttl => "ttl",
    /// Shorter than a header.
    TooShort => "too_short",
    /// Neither version 2 nor 3, or 2 over IPv6.
    UnknownVersion => "unknown_version",
    /// Not an advertisement.
    UnknownType => "unknown_type",
    /// VRID 0.
    RouterIdZero => "router_id_zero",
    /// No addresses.
    NoAddresses => "no_addresses",
    /// Length and count of addresses disagree.
    Length => "length",
    /// Wrong in every form.
    Checksum => "checksum",
    /// Version 2 with authentication.
    Authentication => "authentication",
    /// An interval of 0.
    IntervalZero => "interval_zero",
    /// No virtual router of ours has this VRID on this interface.
    UnknownRouterId => "unknown_router_id",
    /// Its version is not ours.
    OtherVersion => "other_version",
    /// Version 2 with another interval than ours (RFC 3768, section 7.1).
    OtherInterval => "other_interval",
    /// Sent from our own address, or from a virtual one by somebody who does not say to own it.
    OwnAddress => "own_address",
    /// We have peers, and the sender is none of them.
    NotAPeer => "not_a_peer",
    /// Sent to the group, and we have peers.
    Multicast => "multicast",
    /// Sent to us, and we have no peers.
    Unicast => "unicast",
    /// Not one of its addresses is ours: somebody else uses the same VRID on this network.
    Collision => "collision",
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::IpHeader => Self::IpHeader,
            DecodeError::Ttl => Self::Ttl,
            DecodeError::TooShort => Self::TooShort,
            DecodeError::Version => Self::UnknownVersion,
            DecodeError::Type => Self::UnknownType,
            DecodeError::RouterId => Self::RouterIdZero,
            DecodeError::Count => Self::NoAddresses,
            DecodeError::Length => Self::Length,
            DecodeError::Checksum => Self::Checksum,
            DecodeError::Authentication => Self::Authentication,
            DecodeError::Interval => Self::IntervalZero,
        }
    }
}

/// Splits what a raw IPv4 socket received into what its header says and the message (RFC 791).
///
/// # Errors
///
/// [`DecodeError::IpHeader`].
pub fn ipv4(datagram: &[u8]) -> Result<(Envelope, &[u8]), DecodeError> {
    const TOTAL_LENGTH: usize = 2;
    const TTL: usize = 8;
    const PROTOCOL_FIELD: usize = 9;
    const SOURCE: usize = 12;
    const DESTINATION: usize = 16;
    let header = datagram
        .first_chunk::<20>()
        .filter(|header| header[0] >> 4 == 4 && header[PROTOCOL_FIELD] == PROTOCOL)
        .ok_or(DecodeError::IpHeader)?;
    let start = usize::from(header[0] & 0x0f) * 4;
    let total = u16::from_be_bytes([header[TOTAL_LENGTH], header[TOTAL_LENGTH + 1]]);
    let address = |at: usize| {
        let octets = [header[at], header[at + 1], header[at + 2], header[at + 3]];
        IpAddr::from(octets)
    };
    let envelope = Envelope {
        source: address(SOURCE),
        destination: address(DESTINATION),
        ttl: header[TTL],
    };
    let message = datagram
        .get(start..usize::from(total))
        .filter(|_| start >= header.len());
    Ok((envelope, message.ok_or(DecodeError::IpHeader)?))
}

/// Decodes a message and finds out which receiver it is for. All receivers are of one interface and
/// of the family of the message.
///
/// # Errors
///
/// Why it is for none.
pub fn screen(
    message: &[u8],
    envelope: &Envelope,
    receivers: &[Receiver],
) -> Result<Accepted, Refused> {
    let from = envelope.source;
    let refused = |index, why| Refused {
        index,
        why,
        from: Some(from),
    };
    // A broken packet is counted where it seems to belong.
    let find = |id: Option<u8>| receivers.iter().position(|r| Some(r.router_id) == id);
    let decoded = decode(message, envelope)
        .map_err(|error| refused(find(message.get(1).copied()), error.into()))?;
    let advertisement = decoded.advertisement;
    let Some(index) = find(Some(advertisement.router_id)) else {
        return Err(refused(None, Refusal::UnknownRouterId));
    };
    let receiver = &receivers[index];
    receiver
        .check(&advertisement, envelope)
        .map_err(|why| refused(Some(index), why))?;
    let ours = |address: &IpAddr| receiver.addresses.contains(address);
    let common = advertisement.addresses.iter().filter(|a| ours(a)).count();
    if common == 0 {
        return Err(refused(Some(index), Refusal::Collision));
    }
    Ok(Accepted {
        index,
        from,
        form: decoded.form,
        addresses_differ: common != receiver.addresses.len()
            || common != advertisement.addresses.len(),
        advertisement,
    })
}

/// Whether somebody speaks to the group from one of the virtual addresses, as their owner may.
#[must_use]
pub fn is_from_virtual(envelope: &Envelope, receivers: &[Receiver]) -> bool {
    let mut receivers = receivers.iter();
    envelope.destination.is_multicast()
        && receivers.any(|receiver| receiver.addresses.contains(&envelope.source))
}

impl Receiver {
    fn check(&self, advertisement: &Advertisement, envelope: &Envelope) -> Result<(), Refusal> {
        if self.own == Some(envelope.source) {
            return Err(Refusal::OwnAddress);
        }
        // Whoever has a virtual address for as long as it is master has another one to send from;
        // but FRR has the link-local ones on an interface of their own, and no others there.
        let owner = matches!(advertisement.priority, OWNER | LEAVING);
        let link_local = matches!(envelope.source, IpAddr::V6(ip) if ip.is_unicast_link_local());
        if self.addresses.contains(&envelope.source) && !owner && !link_local {
            return Err(Refusal::OwnAddress);
        }
        let multicast = envelope.destination.is_multicast();
        if self.peers.is_empty() && !multicast {
            return Err(Refusal::Unicast);
        }
        if !self.peers.is_empty() {
            if multicast {
                return Err(Refusal::Multicast);
            }
            if !self.peers.contains(&envelope.source) {
                return Err(Refusal::NotAPeer);
            }
        }
        if advertisement.version != self.version {
            return Err(Refusal::OtherVersion);
        }
        if self.version == VrrpVersion::V2 && advertisement.interval != self.interval {
            return Err(Refusal::OtherInterval);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
