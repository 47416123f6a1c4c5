//! Mirror of the TOML text: every key with its type and its place, or that it is absent; unknown
//! keys are errors.
//!
//! Nothing here knows a default or a rule between two keys: that is `config/resolve.rs`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeTable;

use super::error::{Problem, Problems, SYNTAX};
use super::{
    Address, Balance, Identity, Level, LogFormat, LogLevel, OnDown, SendProxy, VrrpChecksum,
};

pub mod read;
mod values;
mod words;

pub use values::{HttpAddress, InterfaceAddress, InterfaceName, Mode, TrackedInterfaces};
pub use words::CheckType;

use read::{Key, List, Names, Read, Table, Value};

/// Declares a table of the file: its keys, the fields that hold them, and their types.
macro_rules! tables {
    ($(
        $(#[$doc:meta])*
        $name:ident { $($key:literal => $field:ident: $type:ty,)* }
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name {
            $(#[doc = concat!("`", $key, "`")] pub $field: Key<$type>,)*
        }

        impl $name {
            /// The keys of this table.
            pub const KEYS: &[&str] = &[$($key),*];

            fn from_table(table: &Table<'_>, problems: &mut Problems) -> Self {
                table.refuse_other_keys(Self::KEYS, problems);
                Self { $($field: table.key($key, problems),)* }
            }
        }
    )*};
}

tables! {
    /// The whole file.
    File {
        "global" => global: Global,
        "log" => log: Log,
        "admin" => admin: Admin,
        "listen" => listen: Names<Listen>,
        "pool" => pool: Names<Pool>,
        "vrrp" => vrrp: Names<Vrrp>,
    }

    /// `[global]`
    Global {
        "workers" => workers: i64,
        "max_connections" => max_connections: i64,
        "drain_timeout" => drain_timeout: Duration,
    }

    /// `[log]`
    Log {
        "format" => format: LogFormat,
        "level" => level: LogLevel,
        "connections" => connections: bool,
    }

    /// `[admin]`
    Admin {
        "socket" => socket: String,
        "socket_mode" => socket_mode: Mode,
        "socket_level" => socket_level: Level,
        "http" => http: HttpAddress,
        "identity" => identity: Identity,
    }

    /// `[listen.NAME]`
    Listen {
        "bind" => bind: List<std::net::SocketAddr>,
        "pool" => pool: String,
        "max_connections" => max_connections: i64,
        "max_accept_rate" => max_accept_rate: i64,
        "allow" => allow: List<IpNet>,
        "deny" => deny: List<IpNet>,
        "proxy_protocol" => proxy_protocol: bool,
        "trusted" => trusted: List<IpNet>,
    }

    /// `[pool.NAME]`
    Pool {
        "balance" => balance: Balance,
        "retries" => retries: i64,
        "on_down" => on_down: OnDown,
        "slow_start" => slow_start: Duration,
        "connect_timeout" => connect_timeout: Duration,
        "idle_timeout" => idle_timeout: Option<Duration>,
        "queue_timeout" => queue_timeout: Duration,
        "max_queue" => max_queue: i64,
        "check" => check: Check,
        "servers" => servers: Names<Server>,
    }

    /// `[pool.NAME.check]`
    Check {
        "type" => kind: CheckType,
        "interval" => interval: Duration,
        "timeout" => timeout: Duration,
        "rise" => rise: i64,
        "fall" => fall: i64,
        "username" => username: String,
        "password_file" => password_file: PathBuf,
        "vhost" => vhost: String,
        "port" => port: i64,
        "path" => path: String,
    }

    /// One entry of `[pool.NAME.servers]`: a table, or only an address.
    Server {
        "address" => address: Address,
        "weight" => weight: i64,
        "max_connections" => max_connections: i64,
        "backup" => backup: bool,
        "send_proxy" => send_proxy: SendProxy,
    }

    /// `[vrrp.NAME]`
    Vrrp {
        "interface" => interface: InterfaceName,
        "router_id" => router_id: i64,
        "priority" => priority: i64,
        "addresses" => addresses: List<InterfaceAddress>,
        "version" => version: i64,
        "advert_interval" => advert_interval: Duration,
        "preempt" => preempt: bool,
        "preempt_delay" => preempt_delay: Duration,
        "startup_delay" => startup_delay: Duration,
        "peers" => peers: List<IpAddr>,
        "source" => source: IpAddr,
        "checksum" => checksum: VrrpChecksum,
        "group" => group: String,
        "track_interfaces" => track_interfaces: TrackedInterfaces,
        "track_pools" => track_pools: Names<Key<i64>>,
    }
}

/// Where which key belongs, for those who look for it elsewhere.
const HOMES: [(&str, &[&str]); 7] = [
    ("global", Global::KEYS),
    ("log", Log::KEYS),
    ("admin", Admin::KEYS),
    ("listen.NAME", Listen::KEYS),
    ("pool.NAME", Pool::KEYS),
    ("pool.NAME.check", Check::KEYS),
    ("vrrp.NAME", Vrrp::KEYS),
];

macro_rules! read_as_tables {
    ($($name:ident)*) => {$(
        impl Read for $name {
            fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
                let expected = format!("keys under [{}]", value.path());
                Some(Self::from_table(&value.table(&expected, problems)?, problems))
            }
        }
    )*};
}

read_as_tables! { Global Log Admin Listen Pool Check Vrrp }

impl Read for Server {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
        if value.is_string() {
            return Some(Self {
                address: Key::of(value, problems),
                ..Self::default()
            });
        }
        let expected = "an address such as \"192.0.2.21:5672\", or a table with `address`";
        Some(Self::from_table(
            &value.table(expected, problems)?,
            problems,
        ))
    }
}

/// Reads as much of the text as can be understood; the rest becomes problems.
#[must_use]
pub fn parse(text: &str, problems: &mut Problems) -> File {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().unwrap_or(text.len()..text.len());
        let what = format!("not TOML: {}", error.message());
        problems.push(Problem::error(SYNTAX, what).at(at, ""));
    }
    File::from_table(&Table::root(root.get_ref()), problems)
}
