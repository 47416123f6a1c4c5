//! The types of single values, and what is accepted for each.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeValue;

use super::read::{Key, List, Named, Names, Read, Value};
use crate::config::Address;
use crate::config::error::Problems;
use crate::config::units;

const DURATION: &str = "a duration such as \"250ms\", \"5s\", \"10m\", \"1h\" or \"2d\"";
const NETWORK: &str = "a network such as \"192.0.2.0/24\" or \"2001:db8::/32\"";
const BIND: &str = "an IP address and a port, such as \"0.0.0.0:5672\" or \"[::]:5672\"";
const HTTP: &str = "an IP address and a port, such as \"127.0.0.1:8404\", or \"\" for none";
const ADDRESS: &str =
    "a host and a port, such as \"192.0.2.21:5672\", \"[2001:db8::21]:5672\" or \"rabbit-1:5672\"";
const MODE: &str = "permission bits in octal, such as \"0660\"";

/// Where the HTTP side listens; `None`: nowhere.
#[derive(Debug, Clone, Copy)]
pub struct HttpAddress(pub Option<SocketAddr>);

/// Permission bits.
#[derive(Debug, Clone, Copy)]
pub struct Mode(pub u32);

/// An address as an interface has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceAddress(pub IpNet);

/// The name of a network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceName(pub String);

/// `track_interfaces`: names, each with a weight or without.
#[derive(Debug, Default)]
pub struct TrackedInterfaces(pub Vec<(InterfaceName, Range<usize>, Key<i64>)>);

impl Read for i64 {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
        let DeValue::Integer(integer) = value.toml else {
            return value.wrong_type("a whole number", problems);
        };
        // A number beyond 64 bits is out of every range: the nearest one says so.
        let read = Self::from_str_radix(integer.as_str(), integer.radix());
        let beyond = if integer.as_str().starts_with('-') {
            Self::MIN
        } else {
            Self::MAX
        };
        Some(read.unwrap_or(beyond))
    }
}

impl Read for bool {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
        let DeValue::Boolean(given) = value.toml else {
            return value.wrong_type("true or false", problems);
        };
        Some(*given)
    }
}

impl Read for String {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
        let DeValue::String(text) = value.toml else {
            return value.wrong_type("a string", problems);
        };
        Some(text.to_string())
    }
}

impl Read for PathBuf {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
        String::read(value, problems).map(Self::from)
    }
}

impl Read for Duration {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
        value.form(DURATION, units::duration, problems)
    }
}

impl Read for Option<Duration> {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
        let parse = |text: &str| match text {
            "off" => Ok(None),
            _ => units::duration(text).map(Some),
        };
        value.form(&format!("\"off\", or {DURATION}"), parse, problems)
    }
}

impl Read for SocketAddr {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
        value.form(BIND, units::bind_address, problems)
    }
}

impl Read for HttpAddress {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
        let address = |text: &str| match text {
            "" => Ok(Self(None)),
            text => units::bind_address(text).map(|address| Self(Some(address))),
        };
        value.form(HTTP, address, problems)
    }
}

impl Read for Address {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
        value.form(ADDRESS, units::address, problems)
    }
}

impl Read for IpNet {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
        value.form(NETWORK, units::network, problems)
    }
}

impl Read for Mode {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
        value.form(MODE, units::socket_mode, problems).map(Mode)
    }
}

impl Read for IpAddr {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
        value.form("an IP address such as \"192.0.2.12\"", units::ip, problems)
    }
}

impl Read for InterfaceAddress {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
        const FORM: &str = "an address such as \"192.0.2.100/24\" or \"2001:db8::100/64\"";
        value
            .form(FORM, units::interface_address, problems)
            .map(Self)
    }
}

impl Read for InterfaceName {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
        const FORM: &str = "the name of a network interface, such as \"eth0\"";
        value.form(FORM, units::interface_name, problems).map(Self)
    }
}

impl Read for TrackedInterfaces {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
        if let DeValue::Table(_) = value.toml {
            let table = Names::<Key<i64>>::read(value, problems)?;
            let one = |named: Named<Key<i64>>| (InterfaceName(named.name), named.at, named.value);
            return Some(Self(table.into_iter().map(one).collect()));
        }
        let list = List::<InterfaceName>::read(value, problems)?;
        let one = |(name, at)| (name, at, Key::Absent);
        Some(Self(list.into_iter().map(one).collect()))
    }
}

impl Read for Key<i64> {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
        Some(Self::of(value, problems))
    }
}
