//! Version 1, one line of text:
//!
//! ```text
//! PROXY TCP4 192.0.2.1 192.0.2.100 51000 5672\r\n
//! PROXY TCP6 2001:db8::1 2001:db8::100 51000 5672\r\n
//! PROXY UNKNOWN anything\r\n
//! ```
//!
//! Fields are separated by exactly one space; IPv4 addresses and ports have no leading zeros; an
//! IPv6 address may be spelt in any way that is one (section 2.1 of the protocol).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{DecodeError, Header, Ips, may_start_with};

/// The longest line, its end included (section 2.1).
const MAX_LINE: usize = 107;
const SIGNATURE: &[u8] = b"PROXY ";
const LINE_END: &[u8] = b"\r\n";
const UNKNOWN: &[u8] = b"UNKNOWN";
/// Source address, destination address, source port, destination port.
const FIELDS: usize = 4;
/// `0000:0000:0000:0000:0000:ffff:255.255.255.255`
const MAX_ADDRESS: usize = 45;

pub(super) fn encode(ips: Ips, source_port: u16, destination_port: u16) -> Vec<u8> {
    let (protocol, source, destination) = match ips {
        Ips::V4(source, destination) => ("TCP4", IpAddr::from(source), IpAddr::from(destination)),
        Ips::V6(source, destination) => ("TCP6", IpAddr::from(source), IpAddr::from(destination)),
    };
    format!("PROXY {protocol} {source} {destination} {source_port} {destination_port}\r\n")
        .into_bytes()
}

pub(super) fn decode(bytes: &[u8]) -> Result<Option<(Header, usize)>, DecodeError> {
    if !may_start_with(bytes, SIGNATURE) {
        return Err(DecodeError::Signature);
    }
    let Some(rest) = bytes.get(SIGNATURE.len()..) else {
        return Ok(None);
    };
    let line = Line::of(&rest[..rest.len().min(MAX_LINE - SIGNATURE.len())]);
    let header = parse(line.text, line.whole)?;
    match line.end {
        End::Stray => Err(DecodeError::V1ControlCharacter),
        End::Missing | End::Begun if bytes.len() >= MAX_LINE => Err(DecodeError::V1TooLong),
        // Without its end a line is not trusted, however complete it looks.
        End::Missing | End::Begun => Ok(None),
        End::Whole => {
            let used = SIGNATURE.len() + line.text.len() + LINE_END.len();
            Ok(header.map(|header| (header, used)))
        }
    }
}

/// What has arrived of the line behind the signature.
struct Line<'a> {
    text: &'a [u8],
    /// A CR follows: the last field is whole.
    whole: bool,
    end: End,
}

/// What follows the text of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing yet.
    Missing,
    /// CR.
    Begun,
    /// CR and LF.
    Whole,
    /// Something that has no place in a line.
    Stray,
}

impl<'a> Line<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let at = bytes.iter().position(u8::is_ascii_control);
        let (text, rest) = bytes.split_at(at.unwrap_or(bytes.len()));
        let end = if rest.is_empty() {
            End::Missing
        } else if rest.starts_with(LINE_END) {
            End::Whole
        } else if rest == b"\r" {
            End::Begun
        } else {
            End::Stray
        };
        Self {
            text,
            whole: rest.starts_with(b"\r"),
            end,
        }
    }
}

/// Checks every byte that has arrived; the header is there once all fields are.
/// Unless the text is `whole`, its last field may be cut short.
fn parse(text: &[u8], whole: bool) -> Result<Option<Header>, DecodeError> {
    let end = text.iter().position(|&byte| byte == b' ');
    let (protocol, rest) = text.split_at(end.unwrap_or(text.len()));
    let followed = whole || end.is_some();
    match protocol {
        UNKNOWN => Ok(followed.then_some(Header::Local)),
        b"TCP4" => addresses::<Ipv4Addr>(rest, whole),
        b"TCP6" => addresses::<Ipv6Addr>(rest, whole),
        part if !followed
            && [UNKNOWN, b"TCP4", b"TCP6"]
                .iter()
                .any(|name| name.starts_with(part)) =>
        {
            Ok(None)
        }
        _ => Err(DecodeError::V1Protocol),
    }
}

/// Parses ` source destination source-port destination-port`, of which the last field that is
/// there may be cut short unless the text is `whole`.
fn addresses<A: Family>(text: &[u8], whole: bool) -> Result<Option<Header>, DecodeError> {
    let mut ips = [None; 2];
    let mut ports = [None; 2];
    let mut rest = text;
    for index in 0..FIELDS {
        let Some(after_space) = rest.strip_prefix(b" ") else {
            return if whole {
                Err(DecodeError::V1FieldCount)
            } else {
                Ok(None)
            };
        };
        let end = after_space.iter().position(|&byte| byte == b' ');
        let (field, after) = after_space.split_at(end.unwrap_or(after_space.len()));
        let finished = whole || end.is_some();
        if finished && field.is_empty() {
            return Err(DecodeError::V1Separator);
        }
        match index {
            0 | 1 => ips[index] = address::<A>(field, finished)?,
            _ => ports[index - 2] = port(field, finished)?,
        }
        rest = after;
    }
    if !rest.is_empty() {
        return Err(DecodeError::V1FieldCount);
    }
    Ok(match (ips, ports) {
        ([Some(source), Some(destination)], [Some(source_port), Some(destination_port)]) => {
            Some(Header::Proxied {
                source: SocketAddr::new(source, source_port),
                destination: SocketAddr::new(destination, destination_port),
            })
        }
        _ => None,
    })
}

/// An address family of the protocol.
trait Family: std::str::FromStr + Into<IpAddr> {
    /// Whether the byte occurs in an address of the family.
    fn has(byte: u8) -> bool;
}

impl Family for Ipv4Addr {
    fn has(byte: u8) -> bool {
        byte.is_ascii_digit() || byte == b'.'
    }
}

impl Family for Ipv6Addr {
    fn has(byte: u8) -> bool {
        byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':')
    }
}

fn address<A: Family>(field: &[u8], finished: bool) -> Result<Option<IpAddr>, DecodeError> {
    if field.len() > MAX_ADDRESS || !field.iter().copied().all(A::has) {
        return Err(DecodeError::V1Address);
    }
    if !finished {
        return Ok(None);
    }
    std::str::from_utf8(field)
        .ok()
        .and_then(|text| text.parse::<A>().ok())
        .map(|address| Some(address.into()))
        .ok_or(DecodeError::V1Address)
}

fn port(field: &[u8], finished: bool) -> Result<Option<u16>, DecodeError> {
    let leading_zero = field.len() > 1 && field[0] == b'0';
    if leading_zero || field.len() > 5 || !field.iter().all(u8::is_ascii_digit) {
        return Err(DecodeError::V1Port);
    }
    if !finished {
        return Ok(None);
    }
    std::str::from_utf8(field)
        .ok()
        .and_then(|text| text.parse().ok())
        .map(Some)
        .ok_or(DecodeError::V1Port)
}
