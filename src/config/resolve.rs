//! From the mirror of the file to the configuration: defaults, cross-field rules, all problems.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{Problem, Problems};
use super::file::read::{Key, Named};
use super::file::{self, File, HttpAddress};
use super::limits::Surroundings;
use super::units::duration_text;
use super::{Admin, Config, Global, Identity, Level, Log, LogFormat, LogLevel};

mod capacity;
mod check;
mod listener;
mod pool;
mod vrrp;

/// The default of `admin.socket`.
const SOCKET: &str = "/run/warren/admin.sock";
/// The default of `admin.socket_mode`.
const SOCKET_MODE: u32 = 0o660;
/// The default of `admin.http`.
const HTTP: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8404));
/// Longest path of a UNIX socket in bytes: `sun_path` of unix(7) without its final zero.
const LONGEST_SOCKET: usize = 107;
/// Most worker threads.
const MOST_WORKERS: i64 = 1024;
/// Most connections that a limit can say.
const MOST_CONNECTIONS: i64 = 10_000_000;
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What resolving needs from outside the file.
pub struct Outside<'a> {
    /// What the machine offers.
    pub surroundings: Surroundings,
    /// Reads a password file; the error is in words.
    pub read_password: &'a dyn Fn(&Path) -> Result<String, String>,
}

/// The configuration, or `None` when there are errors among the problems.
#[must_use]
pub fn resolve(file: &File, outside: &Outside<'_>, problems: &mut Problems) -> Option<Config> {
    let nothing = (
        file::Global::default(),
        file::Log::default(),
        file::Admin::default(),
    );
    let global = global(file.global.value().unwrap_or(&nothing.0), outside, problems);
    let log = log(file.log.value().unwrap_or(&nothing.1));
    let file_admin = file.admin.value().unwrap_or(&nothing.2);
    let admin = admin(file_admin, problems);

    let pool_names: Vec<&str> = names(&file.pool).iter().map(|pool| &*pool.name).collect();
    let listeners = names(&file.listen);
    let listeners = listener::resolve(listeners, &pool_names, &file_admin.http, problems);
    let pools = pool::resolve(names(&file.pool), outside, problems);
    if file.listen.is_absent() || file.listen.value().is_some_and(Vec::is_empty) {
        missing(
            problems,
            "the file has no listener",
            "add [listen.NAME] with `bind` and `pool`",
        );
    }
    if file.pool.is_absent() || file.pool.value().is_some_and(Vec::is_empty) {
        missing(
            problems,
            "the file has no pool",
            "add [pool.NAME.servers] with an address each",
        );
    }
    let config = Config {
        global,
        log,
        admin,
        listeners,
        pools,
        virtual_routers: vrrp::resolve(file, &pool_names, &outside.surroundings, problems),
    };
    capacity::check(file, &config, &outside.surroundings, problems);
    problems.sort();
    (!problems.has_errors()).then_some(config)
}

fn names<T>(key: &Key<Vec<Named<T>>>) -> &[Named<T>] {
    key.value().map_or(&[], Vec::as_slice)
}

/// Notes that the file lacks something, unless it may only have been misunderstood.
fn missing(problems: &mut Problems, what: &str, help: &str) {
    if !problems.has_syntax_errors() {
        problems.push(Problem::error("E0106", what).help(help));
    }
}

fn global(file: &file::Global, outside: &Outside<'_>, problems: &mut Problems) -> Global {
    let workers = number(&file.workers, 0, 0..=MOST_WORKERS, problems);
    Global {
        workers: match workers {
            0 => outside.surroundings.cpus,
            given => given,
        },
        max_connections: number(&file.max_connections, 0, 0..=MOST_CONNECTIONS, problems),
        drain_timeout: length(
            &file.drain_timeout,
            Duration::from_secs(30),
            Duration::ZERO..=DAY,
            problems,
        ),
    }
}

fn log(file: &file::Log) -> Log {
    Log {
        format: or(&file.format, LogFormat::Auto),
        level: or(&file.level, LogLevel::Info),
        connections: or(&file.connections, true),
    }
}

fn admin(file: &file::Admin, problems: &mut Problems) -> Admin {
    if let Some(socket) = file.socket.given()
        && socket.value.len() > LONGEST_SOCKET
    {
        problems.push(
            Problem::error("E0105", format!("`{}` is too long", socket.path))
                .at(socket.at.clone(), format!("{} bytes", socket.value.len()))
                .help(format!(
                    "accepted: at most {LONGEST_SOCKET} bytes, the kernel's limit for a socket"
                )),
        );
    }
    if let Some(mode) = file.socket_mode.given()
        && mode.value.0 & 0o007 != 0
    {
        problems.push(
            Problem::warning(
                "W0206",
                "everybody on this machine may use the admin socket",
            )
            .at(mode.at.clone(), "the last digit is for everybody")
            .help("add people to the group of the socket and use \"0660\""),
        );
    }
    let socket = file.socket.value().map_or(SOCKET, String::as_str);
    Admin {
        socket: (!socket.is_empty()).then(|| PathBuf::from(socket)),
        socket_mode: file.socket_mode.value().map_or(SOCKET_MODE, |mode| mode.0),
        socket_level: or(&file.socket_level, Level::Admin),
        http: http(&file.http, problems),
        identity: or(&file.identity, Identity::Haproxy),
    }
}

/// Where the HTTP side listens. What it tells is for whoever can connect.
fn http(key: &Key<HttpAddress>, problems: &mut Problems) -> Option<SocketAddr> {
    let Some(given) = key.given() else {
        return Some(HTTP);
    };
    let address = given.value.0?;
    if !address.ip().to_canonical().is_loopback() {
        problems.push(
            Problem::warning("W0216", "the status page is for everybody who can reach it")
                .at(given.at.clone(), "not a loopback address")
                .help("it changes nothing, but shows names, addresses and loads of servers")
                .help("keep others out with a packet filter, or use \"127.0.0.1:8404\""),
        );
    }
    Some(address)
}

/// The value, or the default.
fn or<T: Copy>(key: &Key<T>, default: T) -> T {
    key.value().copied().unwrap_or(default)
}

/// The number, or the default; a problem when it is outside the accepted range.
fn number<T: TryFrom<i64>>(
    key: &Key<i64>,
    default: T,
    accepted: RangeInclusive<i64>,
    problems: &mut Problems,
) -> T {
    let Some(given) = key.given() else {
        return default;
    };
    if accepted.contains(&given.value)
        && let Ok(value) = T::try_from(given.value)
    {
        return value;
    }
    let (least, most) = accepted.into_inner();
    problems.push(
        Problem::error("E0105", format!("`{}` is out of range", given.path))
            .at(given.at.clone(), beyond(given.value < least))
            .help(format!("accepted: {least} to {most}")),
    );
    default
}

/// The duration, or the default; a problem when it is outside the accepted range.
fn length(
    key: &Key<Duration>,
    default: Duration,
    accepted: RangeInclusive<Duration>,
    problems: &mut Problems,
) -> Duration {
    let Some(given) = key.given() else {
        return default;
    };
    if !accepted.contains(&given.value) {
        let (least, most) = accepted.into_inner();
        let (least_text, most_text) = (duration_text(least), duration_text(most));
        problems.push(
            Problem::error("E0105", format!("`{}` is out of range", given.path))
                .at(given.at.clone(), beyond(given.value < least))
                .help(format!("accepted: \"{least_text}\" to \"{most_text}\"")),
        );
        return default;
    }
    given.value
}

fn beyond(too_little: bool) -> &'static str {
    if too_little { "too little" } else { "too much" }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// The same path is written in cli.rs, which this pure file does not use.
    #[test]
    fn the_default_socket_is_the_one_that_commands_use() {
        assert_eq!(super::SOCKET, crate::cli::DEFAULT_SOCKET);
    }

    #[test]
    fn a_worker_per_cpu_unless_configured() {
        let workers = |global: &str| {
            let text = format!(
                "{global}\nlisten.a = {{ bind = '127.0.0.1:1', pool = 'p' }}\n\
                 pool.p.servers.s = '127.0.0.1:2'"
            );
            let surroundings = crate::config::limits::Surroundings {
                descriptors: 10_000,
                cpus: 7,
                is_daemon: true,
                interfaces: None,
            };
            let parsed = crate::config::parse_within(&text, "test", Path::new("."), surroundings);
            parsed.unwrap().0.global.workers
        };
        assert_eq!(workers(""), 7);
        assert_eq!(workers("global.workers = 0"), 7);
        assert_eq!(workers("global.workers = 2"), 2);
    }
}
