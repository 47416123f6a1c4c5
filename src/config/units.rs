//! Values with a form of their own: "250ms", "192.0.2.21:5672", "10.0.0.0/8", "0660".

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::{Address, Host};

/// Longest accepted duration: a year, beyond any use and far from any overflow.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Longest name of the table keys that become names in logs and statistics, in bytes.
pub const LONGEST_NAME: usize = 64;
/// Longest host name, in bytes (RFC 1035, section 2.3.4, without the final dot).
const LONGEST_HOST: usize = 253;
/// Longest part of a host name between dots, in bytes (the same section).
const LONGEST_LABEL: usize = 63;

const MILLISECONDS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// A time in centiseconds, the unit of VRRP version 3 (RFC 9568, section 5.2.7). Up to 40.95 s on
/// the wire of version 3, and up to 255 s in version 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Centiseconds(pub u16);

impl Centiseconds {
    /// The time as a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_millis(10 * u64::from(self.0))
    }
}

/// Why a text is not the value it should be, in a few words to stand behind the carets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// `"30"` as a duration.
    #[error("has no unit; did you mean `{0}s`?")]
    NoUnit(String),
    /// `"30y"`
    #[error("unknown unit `{0}`")]
    Unit(String),
    /// `"1.5s"`, `"-1s"`, `"fast"`
    #[error("not a whole number and a unit")]
    NotADuration,
    /// Longer than [`LONGEST`].
    #[error("longer than a year")]
    TooLong,
    /// `"192.0.2.21"`
    #[error("has no port")]
    NoPort,
    /// `"192.0.2.21:http"`, `"192.0.2.21:0"`
    #[error("`{0}` is not a port from 1 to 65535")]
    Port(String),
    /// `":5672"`, `"*:5672"`
    #[error("has no address")]
    NoHost,
    /// `"::1:5672"`
    #[error("an IPv6 address stands in brackets before its port")]
    Brackets,
    /// `"amqp://192.0.2.21:5672"`
    #[error("a URL; only host and port are wanted")]
    Url,
    /// `"300.0.2.21:5672"`, `"a b:5672"`
    #[error("`{0}` is neither an IP address nor a host name")]
    Host(String),
    /// `"localhost:5672"` where we listen.
    #[error("`{0}` is not an IP address")]
    NotAnIp(String),
    /// `"[::ffff:192.0.2.1]:5672"`: our IPv6 sockets take IPv6 only, so nobody has such an address.
    /// Holds what to write.
    #[error("an IPv4 address in IPv6 form; write `{0}`")]
    MappedIpv4(String),
    /// `"[fe80::1]:5672"`, `"224.0.0.1:5672"` as a server: what it is instead.
    #[error("{0}")]
    NoServer(&'static str),
    /// `"10.0.0.0/33"`
    #[error("not an IP address with a prefix length")]
    Network,
    /// `"10.1.2.3/8"`
    #[error("has bits set beyond its prefix; did you mean `{0}`?")]
    HostBits(IpNet),
    /// `"rw-rw----"`, `"1660"`
    #[error("not three octal digits")]
    Mode,
    /// `"rabbit 1"`
    #[error("`{0}` cannot be part of a name")]
    NameCharacter(char),
    /// `""`
    #[error("is empty")]
    Empty,
    /// Longer than the limit, in bytes.
    #[error("is longer than {0} bytes")]
    Longer(usize),
}

/// A whole number and a unit: ms, s, m, h, d.
///
/// # Errors
///
/// The rule that the text breaks, as for all functions of this module.
pub fn duration(text: &str) -> Result<Duration, ValueError> {
    let digits = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if number.is_empty() || unit.starts_with(['.', ',']) {
        return Err(ValueError::NotADuration);
    }
    let unit = unit.trim_start();
    if unit.is_empty() {
        return Err(ValueError::NoUnit(number.to_owned()));
    }
    let (_, factor) = MILLISECONDS
        .into_iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| ValueError::Unit(unit.to_owned()))?;
    let number: u64 = number.parse().map_err(|_| ValueError::TooLong)?;
    let milliseconds = number.checked_mul(factor).ok_or(ValueError::TooLong)?;
    let duration = Duration::from_millis(milliseconds);
    if duration > LONGEST {
        return Err(ValueError::TooLong);
    }
    Ok(duration)
}

/// The duration in the largest unit that divides it, as the file would say it.
#[must_use]
pub fn duration_text(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    let (unit, factor) = MILLISECONDS
        .into_iter()
        .rev()
        .find(|&(_, factor)| milliseconds.is_multiple_of(u128::from(factor)))
        .unwrap_or(("ms", 1));
    format!("{}{unit}", milliseconds / u128::from(factor))
}

/// Host and port, split at the last colon; brackets are taken off.
fn host_and_port(text: &str) -> Result<(&str, u16), ValueError> {
    if text.contains("://") {
        return Err(ValueError::Url);
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(ValueError::Brackets);
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(ValueError::Brackets)?;
            (host, after.strip_prefix(':').ok_or(ValueError::NoPort)?)
        }
        None => text.rsplit_once(':').ok_or(ValueError::NoPort)?,
    };
    if host.is_empty() || host == "*" {
        return Err(ValueError::NoHost);
    }
    if host.contains(':') && !text.starts_with('[') {
        return Err(ValueError::Brackets);
    }
    match port.parse() {
        Ok(number) if number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok((host, number))
        }
        _ => Err(ValueError::Port(port.to_owned())),
    }
}

/// The address of a server: an IP address or a name, and a port.
///
/// # Errors
///
/// See [`duration`].
pub fn address(text: &str) -> Result<Address, ValueError> {
    let (host, port) = host_and_port(text)?;
    let host = if let Ok(ip) = host.parse::<IpAddr>() {
        refuse_mapped(ip, |ip| SocketAddr::new(ip, port).to_string())?;
        refuse_unconnectable(ip)?;
        Host::Ip(ip)
    } else if is_host_name(host) {
        Host::Name(host.to_owned())
    } else {
        return Err(ValueError::Host(host.to_owned()));
    };
    Ok(Address { host, port })
}

/// Refuses an address that no connection can be made to.
fn refuse_unconnectable(ip: IpAddr) -> Result<(), ValueError> {
    if ip.is_multicast() {
        return Err(ValueError::NoServer("a multicast address"));
    }
    match ip {
        IpAddr::V4(ip) if ip.is_broadcast() => Err(ValueError::NoServer("the broadcast address")),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Err(ValueError::NoServer(
            "link-local, and there is no way to say on which interface",
        )),
        IpAddr::V4(_) | IpAddr::V6(_) => Ok(()),
    }
}

/// Letters, digits, hyphens and underscores between dots (RFC 1123, section 2.1, and the
/// underscores of container networks); not all numeric at the end, which would be an address.
fn is_host_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let label_is_good = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= LONGEST_HOST
        && text.split('.').all(label_is_good)
        && !text.rsplit('.').next().is_some_and(numeric)
}

/// The address of a listener: an IP address and a port.
///
/// # Errors
///
/// See [`duration`].
pub fn bind_address(text: &str) -> Result<SocketAddr, ValueError> {
    let (host, port) = host_and_port(text)?;
    if let Ok(address) = text.parse::<SocketAddr>() {
        refuse_mapped(address.ip(), |ip| SocketAddr::new(ip, port).to_string())?;
        return Ok(address);
    }
    Err(ValueError::NotAnIp(host.to_owned()))
}

/// An IP address alone.
///
/// # Errors
///
/// See [`duration`].
pub fn ip(text: &str) -> Result<IpAddr, ValueError> {
    let ip = text
        .parse()
        .map_err(|_| ValueError::NotAnIp(text.to_owned()))?;
    refuse_mapped(ip, |ip| ip.to_string())?;
    Ok(ip)
}

/// Refuses an IPv4 address in IPv6 form; `write` says it in the right one.
fn refuse_mapped(ip: IpAddr, write: impl FnOnce(IpAddr) -> String) -> Result<(), ValueError> {
    match ip.to_canonical() {
        canonical if canonical == ip => Ok(()),
        ipv4 => Err(ValueError::MappedIpv4(write(ipv4))),
    }
}

/// An address with the length of its prefix; without a length it is a network of its own.
fn with_prefix(text: &str) -> Result<IpNet, ValueError> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(ip));
    }
    text.parse().map_err(|_| ValueError::Network)
}

/// Bits of an IPv6 address before the IPv4 address that it stands for (RFC 4291, section 2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

/// The IPv4 network that one in IPv6 form stands for: all of IPv4 if its prefix is too short to say
/// more.
fn in_ipv4(network: IpNet) -> Option<IpNet> {
    let ip = network.addr().to_canonical();
    let length = network.prefix_len().saturating_sub(MAPPED_PREFIX);
    (ip != network.addr()).then(|| IpNet::new(ip, length).ok())?
}

/// A network in CIDR form; an address alone is a network of one.
///
/// # Errors
///
/// See [`duration`].
pub fn network(text: &str) -> Result<IpNet, ValueError> {
    let network = with_prefix(text)?;
    if let Some(ipv4) = in_ipv4(network) {
        return Err(ValueError::MappedIpv4(ipv4.trunc().to_string()));
    }
    if network.trunc() != network {
        return Err(ValueError::HostBits(network.trunc()));
    }
    Ok(network)
}

/// An address with the length of its network's prefix, as an interface has it: "192.0.2.100/24".
/// Without a length it is a network of its own.
///
/// # Errors
///
/// See [`duration`].
pub fn interface_address(text: &str) -> Result<IpNet, ValueError> {
    let address = with_prefix(text)?;
    match in_ipv4(address) {
        Some(ipv4) => Err(ValueError::MappedIpv4(ipv4.to_string())),
        None => Ok(address),
    }
}

/// The name of a network interface: at most 15 bytes, neither `/` nor white space (the kernel's
/// `dev_valid_name`).
///
/// # Errors
///
/// See [`duration`].
pub fn interface_name(text: &str) -> Result<String, ValueError> {
    const LONGEST: usize = 15;
    if text.is_empty() {
        return Err(ValueError::Empty);
    }
    if text.len() > LONGEST {
        return Err(ValueError::Longer(LONGEST));
    }
    let wrong = |character: char| character.is_whitespace() || "/:".contains(character);
    match text.chars().find(|character| wrong(*character)) {
        Some(character) => Err(ValueError::NameCharacter(character)),
        None => Ok(text.to_owned()),
    }
}

/// Permission bits in octal: "0660".
///
/// # Errors
///
/// See [`duration`].
pub fn socket_mode(text: &str) -> Result<u32, ValueError> {
    let digits = text.strip_prefix('0').unwrap_or(text);
    if digits.len() != 3 || !digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte)) {
        return Err(ValueError::Mode);
    }
    u32::from_str_radix(digits, 8).map_err(|_| ValueError::Mode)
}

/// Names that a server cannot have: they mean something else in HAProxy's statistics.
pub const TAKEN_NAMES: [&str; 2] = ["FRONTEND", "BACKEND"];

/// Checks a name that will stand in logs and in HAProxy's CSV: letters, digits, `_`, `-`, `.`.
///
/// # Errors
///
/// See [`duration`].
pub fn check_name(text: &str) -> Result<(), ValueError> {
    if text.is_empty() {
        return Err(ValueError::Empty);
    }
    if text.len() > LONGEST_NAME {
        return Err(ValueError::Longer(LONGEST_NAME));
    }
    match text
        .chars()
        .find(|character| !character.is_ascii_alphanumeric() && !"_-.".contains(*character))
    {
        Some(character) => Err(ValueError::NameCharacter(character)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
