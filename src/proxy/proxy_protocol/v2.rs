//! Version 2, binary:
//!
//! ```text
//!  0                     12        13        14          16
//!  +---------------------+---------+---------+-----------+-----------+---------------+
//!  |      signature      | version | family  |  length   | addresses | type, length, |
//!  |      12 octets      | command | transp. | of what   | and ports | value ...     |
//!  |                     |         |         | follows   |           |               |
//!  +---------------------+---------+---------+-----------+-----------+---------------+
//! ```
//!
//! Source: section 2.2 of the protocol.

use std::net::{IpAddr, SocketAddr};

use super::{DecodeError, Header, Ips, MAX_HEADER, may_start_with};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const FIXED: usize = 16;

const VERSION: u8 = 0x20;
const LOCAL: u8 = 0x0;
const PROXY: u8 = 0x1;

const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const UDP_OVER_IPV4: u8 = 0x12;
const TCP_OVER_IPV6: u8 = 0x21;
const UDP_OVER_IPV6: u8 = 0x22;
const UNIX_STREAM: u8 = 0x31;
const UNIX_DATAGRAM: u8 = 0x32;

const IPV4_ADDRESSES: u16 = 12;
const IPV6_ADDRESSES: u16 = 36;
const UNIX_ADDRESSES: u16 = 216;

/// Type octet and 16-bit length.
const FIELD_HEADER: usize = 3;
const FIELD_CRC32C: u8 = 0x03;

pub(super) fn encode(ips: Ips, source_port: u16, destination_port: u16) -> Vec<u8> {
    let mut out = Vec::with_capacity(FIXED + usize::from(IPV6_ADDRESSES));
    out.extend_from_slice(&SIGNATURE);
    out.push(VERSION | PROXY);
    match ips {
        Ips::V4(source, destination) => {
            out.push(TCP_OVER_IPV4);
            out.extend_from_slice(&IPV4_ADDRESSES.to_be_bytes());
            out.extend_from_slice(&source);
            out.extend_from_slice(&destination);
        }
        Ips::V6(source, destination) => {
            out.push(TCP_OVER_IPV6);
            out.extend_from_slice(&IPV6_ADDRESSES.to_be_bytes());
            out.extend_from_slice(&source);
            out.extend_from_slice(&destination);
        }
    }
    out.extend_from_slice(&source_port.to_be_bytes());
    out.extend_from_slice(&destination_port.to_be_bytes());
    out
}

pub(super) fn decode(bytes: &[u8]) -> Result<Option<(Header, usize)>, DecodeError> {
    if !may_start_with(bytes, &SIGNATURE) {
        return Err(DecodeError::Signature);
    }
    let Some(&version_command) = bytes.get(12) else {
        return Ok(None);
    };
    if version_command & 0xF0 != VERSION {
        return Err(DecodeError::V2Version(version_command));
    }
    let local = match version_command & 0x0F {
        LOCAL => true,
        PROXY => false,
        _ => return Err(DecodeError::V2Command(version_command)),
    };
    let Some(&family) = bytes.get(13) else {
        return Ok(None);
    };
    // LOCAL and UNSPEC: everything behind the length is to be discarded, whatever it is.
    let discard = local || family == UNSPECIFIED;
    let addresses = match family {
        _ if discard => 0,
        TCP_OVER_IPV4 | UDP_OVER_IPV4 => IPV4_ADDRESSES,
        TCP_OVER_IPV6 | UDP_OVER_IPV6 => IPV6_ADDRESSES,
        UNIX_STREAM | UNIX_DATAGRAM => UNIX_ADDRESSES,
        other => return Err(DecodeError::V2Family(other)),
    };
    let Some(&[high, low]) = bytes.get(14..FIXED) else {
        return Ok(None);
    };
    let length = u16::from_be_bytes([high, low]);
    let end = FIXED + usize::from(length);
    if end > MAX_HEADER {
        return Err(DecodeError::V2TooLarge(length));
    }
    if length < addresses {
        return Err(DecodeError::V2TooShort(length));
    }
    let arrived = &bytes[..bytes.len().min(end)];
    if !discard {
        check_fields(arrived, FIXED + usize::from(addresses), end)?;
    }
    if arrived.len() < end {
        return Ok(None);
    }
    let header = if discard {
        Header::Local
    } else {
        proxied(family, &arrived[FIXED..])
    };
    Ok(Some((header, end)))
}

/// What the addresses say. Of what is not TCP over IP a TCP proxy can make no use: it counts as
/// UNSPEC (section 2.2, on families that a receiver does not implement).
fn proxied(family: u8, block: &[u8]) -> Header {
    let ends = match family {
        TCP_OVER_IPV4 => ends::<4>(block),
        TCP_OVER_IPV6 => ends::<16>(block),
        _ => None,
    };
    match ends {
        Some((source, destination)) => Header::Proxied {
            source,
            destination,
        },
        None => Header::Local,
    }
}

/// Reads two addresses of `N` octets, then two ports.
fn ends<const N: usize>(block: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = block.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let destination_port = rest.first_chunk::<2>()?;
    Some((
        SocketAddr::new((*source).into(), u16::from_be_bytes(*source_port)),
        SocketAddr::new((*destination).into(), u16::from_be_bytes(*destination_port)),
    ))
}

/// Walks the type-length-value fields of `header` from `at` to `end`, as far as they have arrived,
/// and verifies a checksum once everything has.
fn check_fields(header: &[u8], mut at: usize, end: usize) -> Result<(), DecodeError> {
    while at < end {
        if at + FIELD_HEADER > end {
            return Err(DecodeError::V2FieldOverrun);
        }
        let Some(&[kind, high, low]) = header.get(at..at + FIELD_HEADER) else {
            return Ok(());
        };
        let value = at + FIELD_HEADER;
        at = value + usize::from(u16::from_be_bytes([high, low]));
        if at > end {
            return Err(DecodeError::V2FieldOverrun);
        }
        if kind == FIELD_CRC32C {
            if at - value != 4 {
                return Err(DecodeError::V2ChecksumLength);
            }
            if header.len() == end && !checksum_holds(header, value) {
                return Err(DecodeError::V2Checksum);
            }
        }
    }
    Ok(())
}

/// The checksum covers the whole header with the checksum's own four octets as zeros.
fn checksum_holds(header: &[u8], at: usize) -> bool {
    let crc = crc32c(&header[..at], !0);
    let crc = crc32c(&[0; 4], crc);
    let crc = !crc32c(&header[at + 4..], crc);
    header[at..at + 4] == crc.to_be_bytes()
}

/// CRC32C (RFC 3720, appendix B.4) without the inversions at both ends, bit by bit: it runs once
/// per connection at most, over at most [`MAX_HEADER`] bytes.
pub(super) fn crc32c(bytes: &[u8], mut crc: u32) -> u32 {
    const POLYNOMIAL_REVERSED: u32 = 0x82F6_3B78;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            let carry = (crc & 1).wrapping_neg();
            crc = (crc >> 1) ^ (POLYNOMIAL_REVERSED & carry);
        }
    }
    crc
}
