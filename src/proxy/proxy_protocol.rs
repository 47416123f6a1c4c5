//! The PROXY protocol, versions 1 and 2: who the client is, said before its first byte.
//!
//! Source: "The PROXY protocol", HAProxy's `doc/proxy-protocol.txt`. A receiver must know from its
//! configuration whether a header comes: [`decode`] never concludes that there is none, because a
//! client that may leave it out may also forge it. Bytes that cannot become a header are an error
//! as soon as that is certain, usually at the first one.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::config::SendProxy;

mod v1;
mod v2;

#[cfg(test)]
mod tests;

/// The longest header that is accepted, in bytes. Version 2 could claim 64 KiB; what senders put
/// there besides addresses (names, TLS facts) stays far below this.
pub const MAX_HEADER: usize = 4096;

/// What a header says about the connection behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// Nothing that we can use: the sender speaks for itself (a health check), or for something
    /// that is not TCP over IP. The addresses of the connection itself are the right ones.
    Local,
    /// The connection is on behalf of somebody else.
    Proxied {
        /// The client.
        source: SocketAddr,
        /// The address that the client connected to.
        destination: SocketAddr,
    },
}

/// Why bytes are not a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They start with neither signature.
    #[error("does not start with a proxy header")]
    Signature,
    /// Version 1: no end of line within 107 bytes.
    #[error("proxy v1 line is longer than 107 bytes")]
    V1TooLong,
    /// Version 1: a CR without LF, an LF without CR, or another control character.
    #[error("proxy v1 line contains a stray control character")]
    V1ControlCharacter,
    /// Version 1: neither TCP4, TCP6 nor UNKNOWN.
    #[error("proxy v1 names an unknown protocol")]
    V1Protocol,
    /// Version 1: fields are separated by more than one space.
    #[error("proxy v1 fields are not separated by exactly one space")]
    V1Separator,
    /// Version 1: the line does not have two addresses and two ports.
    #[error("proxy v1 line does not have exactly two addresses and two ports")]
    V1FieldCount,
    /// Version 1: an address is not one of the family that the line names.
    #[error("proxy v1 address is not one of its protocol")]
    V1Address,
    /// Version 1: a port is not a number from 0 to 65535 without leading zeros.
    #[error("proxy v1 port is not a plain number up to 65535")]
    V1Port,
    /// Version 2: the version is not 2 (the field has the version in its upper half).
    #[error("proxy header claims another version ({0:#04x})")]
    V2Version(u8),
    /// Version 2: the command is neither LOCAL nor PROXY.
    #[error("proxy v2 command is unknown ({0:#04x})")]
    V2Command(u8),
    /// Version 2: a combination of family and transport that the protocol does not define.
    #[error("proxy v2 address family is unknown ({0:#04x})")]
    V2Family(u8),
    /// Version 2: the header would be longer than [`MAX_HEADER`].
    #[error("proxy v2 header of 16 + {0} bytes is larger than the limit")]
    V2TooLarge(u16),
    /// Version 2: the length has no room for the addresses of the family.
    #[error("proxy v2 length {0} is too short for its addresses")]
    V2TooShort(u16),
    /// Version 2: a type-length-value field reaches beyond the end of the header.
    #[error("proxy v2 field reaches beyond the end of the header")]
    V2FieldOverrun,
    /// Version 2: the checksum field is not four bytes long.
    #[error("proxy v2 checksum is not four bytes long")]
    V2ChecksumLength,
    /// Version 2: the CRC32C of the header is not what its checksum field says.
    #[error("proxy v2 checksum is wrong")]
    V2Checksum,
}

/// The header that tells a server about a client: nothing for [`SendProxy::Off`].
///
/// Addresses are written in their canonical form (an IPv4 client of a dual-stack socket is an IPv4
/// client); if one side is IPv4 and the other is not, both are written as IPv6. Scope and flow of
/// an IPv6 address have no place in the protocol.
#[must_use]
pub fn encode(version: SendProxy, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let (source_ip, destination_ip) = (source.ip().to_canonical(), destination.ip().to_canonical());
    let ips = match (source_ip, destination_ip) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            Ips::V4(source.octets(), destination.octets())
        }
        (source, destination) => Ips::V6(in_six(source).octets(), in_six(destination).octets()),
    };
    match version {
        SendProxy::Off => Vec::new(),
        SendProxy::V1 => v1::encode(ips, source.port(), destination.port()),
        SendProxy::V2 => v2::encode(ips, source.port(), destination.port()),
    }
}

/// Decodes the header at the start of `bytes`: what it says and the number of bytes it took, or
/// `None` while it is incomplete but may still become one.
///
/// # Errors
///
/// The first rule that the bytes break, as early as it can be known.
pub fn decode(bytes: &[u8]) -> Result<Option<(Header, usize)>, DecodeError> {
    match bytes.first() {
        None => Ok(None),
        Some(b'P') => v1::decode(bytes),
        Some(b'\r') => v2::decode(bytes),
        Some(_) => Err(DecodeError::Signature),
    }
}

/// Source and destination in one family.
#[derive(Debug, Clone, Copy)]
enum Ips {
    V4([u8; 4], [u8; 4]),
    V6([u8; 16], [u8; 16]),
}

const fn in_six(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// Whether `bytes` may still become, or already starts with, `signature`.
fn may_start_with(bytes: &[u8], signature: &[u8]) -> bool {
    let known = bytes.len().min(signature.len());
    bytes[..known] == signature[..known]
}
