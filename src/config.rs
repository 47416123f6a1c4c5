//! The configuration as the program uses it: every default applied, every rule checked.
//!
//! [`load`] reads a file through two levels: `config/file.rs` mirrors the TOML text, and
//! `config/resolve.rs` turns it into the types below or into [`Problems`]. The rest of the program
//! never sees the first level.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;
use std::time::Duration;

use ipnet::IpNet;
use nix::ifaddrs::getifaddrs;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::SockaddrStorage;

pub mod diff;
pub mod error;
pub mod file;
pub mod limits;
pub mod resolve;
pub mod units;

use error::Problem;
pub use error::Problems;
use limits::{Interface, Surroundings};
use units::Centiseconds;

/// Largest configuration file: some hundred thousand servers.
const MOST_BYTES: u64 = 16 << 20;
/// Largest password file.
const MOST_PASSWORD_BYTES: u64 = 4096;

/// Everything that a configuration file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `[global]`
    pub global: Global,
    /// `[log]`
    pub log: Log,
    /// `[admin]`
    pub admin: Admin,
    /// `[listen.NAME]`, in the order of the file.
    pub listeners: Vec<Listener>,
    /// `[pool.NAME]`, in the order of the file.
    pub pools: Vec<Pool>,
    /// `[vrrp.NAME]`, in the order of the file.
    pub virtual_routers: Vec<VirtualRouter>,
}

/// `[global]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Global {
    /// Worker threads; never 0 (the file's 0 has become the number of CPUs).
    pub workers: usize,
    /// Connections in all; 0: what the descriptor limit allows (the daemon computes it).
    pub max_connections: u32,
    /// How long TERM waits for connections to end.
    pub drain_timeout: Duration,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Shape of a log line.
    pub format: LogFormat,
    /// The least severe level that is written.
    pub level: LogLevel,
    /// One line per connection, when it ends.
    pub connections: bool,
}

/// Shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Native journal when stderr is connected to it, text otherwise.
    Auto,
    /// Human-readable lines on stderr.
    Text,
    /// One JSON object per line on stderr.
    Json,
    /// systemd's native journal protocol.
    Journal,
}

/// Severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// `[admin]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Path of the stats socket; `None` when the file says `""`.
    pub socket: Option<PathBuf>,
    /// Permission bits of the socket, `0o660` by default.
    pub socket_mode: u32,
    /// What the clients of the socket may do.
    pub socket_level: Level,
    /// Where the HTTP side listens; `None` when the file says `""`.
    pub http: Option<SocketAddr>,
    /// What `show info` calls the product.
    pub identity: Identity,
}

/// What a client of the stats socket may do; each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Read, without addresses.
    User,
    /// Read everything, forget highest values.
    Operator,
    /// Change what the running daemon does.
    Admin,
}

/// What `show info` calls the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// `Name: HAProxy`, so that existing tools accept it.
    Haproxy,
    /// `Name: warren`.
    Warren,
}

/// `[listen.NAME]`: addresses we accept on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its table key.
    pub name: String,
    /// At least one address.
    pub bind: Vec<SocketAddr>,
    /// Index into [`Config::pools`].
    pub pool: usize,
    /// Open connections of this listener; 0: no limit of its own. The rest waits in the backlog.
    pub max_connections: u32,
    /// Accepted connections per second; 0: no limit. The rest waits in the backlog.
    pub max_accept_rate: u32,
    /// Client networks that may connect; empty: all.
    pub allow: Vec<IpNet>,
    /// Client networks that may not; looked at before `allow`.
    pub deny: Vec<IpNet>,
    /// Expect a PROXY v1 or v2 header, from `trusted` sources only.
    pub proxy_protocol: bool,
    /// Networks whose PROXY headers we believe.
    pub trusted: Vec<IpNet>,
}

/// `[pool.NAME]`: the servers behind a listener and how to choose among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its table key.
    pub name: String,
    /// How to choose.
    pub balance: Balance,
    /// Connection attempts after the first one failed, on servers not tried yet if there are any.
    pub retries: u32,
    /// What happens to the connections of a server that went down.
    pub on_down: OnDown,
    /// A server that comes back up reaches its full share after this long; zero: at once.
    pub slow_start: Duration,
    /// How long one connection attempt may take.
    pub connect_timeout: Duration,
    /// A connection silent in both directions for this long is closed; `None`: never.
    pub idle_timeout: Option<Duration>,
    /// How long a connection may wait when every server is at its limit.
    pub queue_timeout: Duration,
    /// How many connections may wait; more are refused.
    pub max_queue: u32,
    /// `[pool.NAME.check]`
    pub check: Check,
    /// `[pool.NAME.servers]`, in the order of the file; at least one.
    pub servers: Vec<Server>,
}

/// How to choose a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// Fewest open connections for its weight; equals take turns.
    Leastconn,
    /// Smooth weighted round robin.
    Roundrobin,
    /// The less loaded of two drawn by weight.
    Random,
    /// Consistent hashing on the client address.
    Source,
    /// The first server of the file that is not at its limit.
    First,
}

/// What happens to the connections of a server that went down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDown {
    /// Reset them, so that clients reconnect at once.
    Reset,
    /// Leave them to end by themselves.
    Keep,
}

/// `[pool.NAME.check]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is asked.
    pub kind: CheckKind,
    /// Pause between two checks (jittered by the monitor).
    pub interval: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// Good checks in a row until a server that is down is up.
    pub rise: u32,
    /// Bad checks in a row until a server that is up is down.
    pub fall: u32,
}

/// What a health check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// Nothing: the server is always up.
    None,
    /// A TCP handshake, ended before any byte was sent.
    Tcp,
    /// `GET path` on `port`, answered with 200.
    Http {
        /// Port of the HTTP side; `None`: the server's own port.
        port: Option<u16>,
        /// Request path.
        path: String,
        /// `user:password` for basic authentication.
        credentials: Option<Credentials>,
    },
    /// One long-lived, logged-in AMQP 0-9-1 connection.
    Amqp {
        /// Whom to log in as.
        credentials: Credentials,
        /// Virtual host to open.
        vhost: String,
    },
}

/// A user name and a password. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password, read from the file that the configuration names.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// One entry of `[pool.NAME.servers]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its table key.
    pub name: String,
    /// Where it listens.
    pub address: Address,
    /// Its share of the connections, 0 to 256, 100 by default; 0 takes no new ones.
    pub weight: u16,
    /// Open connections; 0: no limit.
    pub max_connections: u32,
    /// Used only when no other server of the pool is usable.
    pub backup: bool,
    /// PROXY header to send before the client's first byte.
    pub send_proxy: SendProxy,
}

/// `host:port`, where the host may be a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// An IP address or a name.
    pub host: Host,
    /// TCP port.
    pub port: u16,
}

/// The host part of an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A literal address.
    Ip(IpAddr),
    /// A name, resolved at start and every 30 s, off the data path.
    Name(String),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// PROXY header to send to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum SendProxy {
    Off,
    V1,
    V2,
}

/// The priority of the owner of virtual addresses, whose host has them always (RFC 9568, section
/// 5.2.4).
pub const OWNER: u8 = 255;

/// `[vrrp.NAME]`: one VRRP instance and its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualRouter {
    /// Its table key.
    pub name: String,
    /// Name of the network interface that carries the advertisements and the addresses.
    pub interface: String,
    /// VRID, 1 to 255: who talks about the same addresses on one network.
    pub router_id: u8,
    /// 1 to 255 before tracking; the highest is master. 255 is the owner of the addresses.
    pub priority: u8,
    /// At least one, all of one family, each with the prefix length it gets on the interface. The
    /// first one of IPv6 is link-local.
    pub addresses: Vec<IpNet>,
    /// Version of the advertisements; IPv6 exists in version 3 only.
    pub version: VrrpVersion,
    /// Time between two advertisements of ours; whole seconds in version 2.
    pub advert_interval: Centiseconds,
    /// Take the addresses from a master of lower priority.
    pub preempt: bool,
    /// How long such a master is left alone after it was first heard.
    pub preempt_delay: Duration,
    /// The addresses are not claimed before this long after the start, or after the interface came
    /// back.
    pub startup_delay: Duration,
    /// Not empty: advertisements go to, and are taken from, these addresses only.
    pub peers: Vec<IpAddr>,
    /// The address to send from; `None`: one of the interface that fits.
    pub source: Option<IpAddr>,
    /// Checksum to send in version 3 over IPv4.
    pub checksum: VrrpChecksum,
    /// Virtual routers with the same name move together.
    pub group: Option<String>,
    /// Interfaces whose loss counts.
    pub track_interfaces: Vec<TrackedInterface>,
    /// Pools without a usable server lower the priority.
    pub track_pools: Vec<TrackedPool>,
}

/// An interface whose loss counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedInterface {
    /// Name of the interface.
    pub interface: String,
    /// Subtracted from the priority while it has no carrier; `None`: the virtual router is out of
    /// the election meanwhile, as when its own interface is lost.
    pub weight: Option<u8>,
}

/// A pool that lowers the priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackedPool {
    /// Index into [`Config::pools`].
    pub pool: usize,
    /// Subtracted from the priority while the pool has no usable server.
    pub weight: u8,
}

/// Version of VRRP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VrrpVersion {
    /// RFC 3768: IPv4 only, intervals of whole seconds.
    V2,
    /// RFC 9568 and its predecessor RFC 5798.
    V3,
}

/// Checksum to send in version 3 over IPv4; both are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VrrpChecksum {
    /// What the peer sends; until it was heard, as [`VrrpChecksum::Rfc5798`].
    Auto,
    /// Over a pseudo-header and the message, as Keepalived and FRR do by default.
    Rfc5798,
    /// Over the message alone.
    Rfc9568,
}

/// Reads and resolves the configuration file at `path` for the daemon, or to check it. Warnings do
/// not make it fail; they are returned beside the configuration.
///
/// # Errors
///
/// Every problem of the file, in the order of the file.
pub fn load(path: &Path, is_daemon: bool) -> Result<(Config, Problems), Problems> {
    let origin = path.display().to_string();
    let bytes = read_bytes(path, MOST_BYTES).map_err(|reason| unreadable(&origin, &reason, b""))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| unreadable(&origin, &not_utf8(&error), error.as_bytes()))?;
    let base = path.parent().unwrap_or(Path::new("."));
    parse_within(&text, &origin, base, surroundings(is_daemon))
}

/// The one problem of a file that cannot be read, at the first of the `bytes` that is not text.
fn unreadable(origin: &str, reason: &str, bytes: &[u8]) -> Problems {
    let mut problem = Problem::error("E0101", format!("cannot read {origin}: {reason}"));
    if let Err(error) = std::str::from_utf8(bytes) {
        let at = error.valid_up_to();
        problem = problem
            .at(at..at + char::REPLACEMENT_CHARACTER.len_utf8(), "this byte")
            .help("accepted: TOML, which is text in UTF-8");
    }
    // Up to there the text stays as it is.
    let mut problems = Problems::new(&String::from_utf8_lossy(bytes), origin);
    problems.push(problem);
    problems
}

/// Resolves the text of a configuration that came from `origin` (for messages), for the daemon on
/// this machine. Relative paths of password files start at `base`.
///
/// # Errors
///
/// Every problem of the text, in its order.
pub fn parse(text: &str, origin: &str, base: &Path) -> Result<(Config, Problems), Problems> {
    parse_within(text, origin, base, surroundings(true))
}

/// [`parse`] on a machine that offers `surroundings`.
///
/// # Errors
///
/// Every problem of the text, in its order.
pub fn parse_within(
    text: &str,
    origin: &str,
    base: &Path,
    surroundings: Surroundings,
) -> Result<(Config, Problems), Problems> {
    let mut problems = Problems::new(text, origin);
    let file = file::parse(text, &mut problems);
    let outside = resolve::Outside {
        surroundings,
        read_password: &|path| read_text(&base.join(path), MOST_PASSWORD_BYTES),
    };
    match resolve::resolve(&file, &outside, &mut problems) {
        Some(config) => Ok((config, problems)),
        None => Err(problems),
    }
}

/// What this machine offers to this process. The hard descriptor limit counts: the daemon raises
/// its soft limit to it.
#[must_use]
pub fn surroundings(is_daemon: bool) -> Surroundings {
    let descriptors = getrlimit(Resource::RLIMIT_NOFILE)
        .ok()
        .and_then(|(_, hard)| usize::try_from(hard).ok())
        .unwrap_or(usize::MAX);
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Surroundings {
        descriptors,
        cpus,
        is_daemon,
        interfaces: interfaces(),
    }
}

/// The network interfaces of this host.
fn interfaces() -> Option<Vec<Interface>> {
    let mut interfaces: Vec<Interface> = Vec::new();
    for found in getifaddrs().ok()? {
        // An address may carry a label, "eth0:1"; no name of an interface has a colon in it.
        let labelled = found.interface_name;
        let name = labelled.split(':').next().unwrap_or(&labelled).to_owned();
        let at = interfaces.iter().position(|one| one.name == name);
        let at = at.unwrap_or_else(|| {
            let addresses = Vec::new();
            interfaces.push(Interface { name, addresses });
            interfaces.len() - 1
        });
        let ip = |storage: Option<SockaddrStorage>| {
            let storage = storage?;
            let v4 = storage.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| Some(IpAddr::V6(storage.as_sockaddr_in6()?.ip())))
        };
        if let (Some(address), Some(mask)) = (ip(found.address), ip(found.netmask))
            && let Ok(address) = IpNet::with_netmask(address, mask)
        {
            interfaces[at].addresses.push(address);
        }
    }
    Some(interfaces)
}

/// The text of a file of at most `most` bytes; the error is in words.
fn read_text(path: &Path, most: u64) -> Result<String, String> {
    String::from_utf8(read_bytes(path, most)?).map_err(|error| not_utf8(&error))
}

fn not_utf8(error: &FromUtf8Error) -> String {
    let position = error.utf8_error().valid_up_to();
    format!("not UTF-8 at byte {position}")
}

fn read_bytes(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| in_words(&error))?;
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| in_words(&error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > most) {
        return Err(format!("longer than {most} bytes"));
    }
    Ok(bytes)
}

/// The error without the number that the standard library adds.
fn in_words(error: &std::io::Error) -> String {
    error.raw_os_error().map_or_else(
        || error.to_string(),
        |number| nix::errno::Errno::from_raw(number).desc().to_owned(),
    )
}
