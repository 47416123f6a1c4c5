//! *pure* Advertisement <-> bytes.

use std::net::IpAddr;

use crate::config::VrrpVersion;
use crate::config::units::Centiseconds;

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
