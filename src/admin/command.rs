//! *pure* The commands of the stats socket.

use std::time::Duration;

use super::wish::Wish;
use crate::calendar;
use crate::config::{Config, Level};
use crate::proxy::sight::Id;
use crate::stats::form::Style;
use crate::stats::history::Clear;
use crate::stats::sessions::listing::Filter;
use crate::stats::snapshot::Snapshot;
use crate::stats::{activity, csv, info, schema, servers_conn, servers_state};

mod change;
mod dynamic;
pub mod maintenance;
mod usage;
mod vrrp;
mod wait;

pub use change::{Change, Place};
pub use wait::Wait;

/// The longest idle time that `set timeout cli` gives.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// What a command wants.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// This text, to which the protocol adds an empty line.
    Text(String),
    /// This change, and then this text.
    Change(Change, String),
    /// These rows of the statistics, in this style.
    Stat(csv::Filter, Style),
    /// Everything that is known, as JSON.
    Status,
    /// The configuration, or what is served of it, changed by whoever keeps it.
    Reload(Wish),
    /// What has changed lately, or changes.
    Events(Watch),
    /// What has happened after the event of this number, as JSON.
    EventsAfter(u64),
    /// Some of the connections, as JSON.
    Listing(Filter),
    /// Connections, which only the workers know.
    Sessions(Wanted),
    /// The end of this connection.
    EndSession(Id),
    /// Another node as master of these virtual routers.
    Release(Vec<String>),
    /// Interactive mode on or off.
    TogglePrompt,
    /// A mode on or off, or what it is.
    Mode(Mode, Option<bool>),
    /// The client may do less from now on.
    Lower(Level),
    /// The client may be idle for so long.
    Timeout(Duration),
    /// Nothing for a time.
    Wait(Wait),
    /// The end of the connection.
    Quit,
}

/// What allows a client of HAProxy more commands, and one of warren none: scripts that switch it on
/// first shall work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `experimental-mode`
    Experimental,
    /// `expert-mode`
    Expert,
}

impl Mode {
    /// The command.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Experimental => "experimental-mode",
            Self::Expert => "expert-mode",
        }
    }
}

/// How the events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watch {
    /// Go on with what happens, until the client sends something.
    pub wait: bool,
    /// Only what happens from now on.
    pub new: bool,
}

/// Which connections, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// All, a line each.
    Short,
    /// All in detail.
    Long,
    /// This one in detail.
    One(Id),
}

impl Reply {
    pub(super) fn line(text: &str) -> Self {
        Self::Text(format!("{text}\n"))
    }
}

/// Takes a snapshot, for commands that need one.
type Look<'a> = &'a dyn Fn() -> Snapshot;

/// Answers one command of a client of this level. Words after the known ones are ignored, as
/// HAProxy does.
pub fn answer(words: &[String], level: Level, config: &Config, snapshot: Look<'_>) -> Reply {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some(needed) = usage::level(&words) else {
        return unsupported(&words, level).unwrap_or_else(|| Reply::Text(usage::unknown(&words)));
    };
    if level < needed {
        return Reply::line("Permission denied");
    }
    match words.as_slice() {
        ["show", rest @ ..] => show(rest, level, config, snapshot),
        [
            "get" | "set" | "enable" | "disable" | "shutdown" | "clear",
            ..,
        ] => either(alter(&words, level, config, snapshot)),
        ["drain" | "ready" | "maint" | "rebalance", ..] => maintenance::answer(&words, &snapshot()),
        ["warren", "events", rest @ ..] => events_after(rest),
        ["warren", "sessions", rest @ ..] => match Filter::of(rest, snapshot) {
            Ok(filter) => Reply::Listing(filter),
            Err(words) => Reply::line(&words),
        },
        ["warren", ..] => Reply::Status,
        ["vrrp", rest @ ..] => vrrp::answer(rest, &snapshot()),
        ["help", topic @ ..] => Reply::Text(usage::help(topic)),
        ["add", _, rest @ ..] => either(dynamic::add(rest, config, snapshot)),
        ["del", _, rest @ ..] => either(dynamic::delete(rest, config, snapshot)),
        ["reload", ..] => Reply::Reload(Wish::Apply),
        ["diff", ..] => Reply::Reload(Wish::Show),
        ["experimental-mode", rest @ ..] => mode(Mode::Experimental, rest),
        ["expert-mode", rest @ ..] => mode(Mode::Expert, rest),
        ["operator", ..] => Reply::Lower(Level::Operator),
        ["user", ..] => Reply::Lower(Level::User),
        ["prompt", ..] => Reply::TogglePrompt,
        ["wait", rest @ ..] => wait::answer(rest),
        _ => Reply::Quit,
    }
}

/// `experimental-mode [on|off]`, `expert-mode [on|off]`: whatever is not `on` is off, as with
/// HAProxy.
fn mode(mode: Mode, words: &[&str]) -> Reply {
    Reply::Mode(mode, words.first().map(|word| *word == "on"))
}

/// `warren events [NUMBER]`
fn events_after(words: &[&str]) -> Reply {
    let number = words.first().map_or(Ok(0), |word| word.parse());
    match number {
        Ok(number) => Reply::EventsAfter(number),
        Err(_) => Reply::line("'warren events' expects the number of an event."),
    }
}

fn either(reply: Result<Reply, Reply>) -> Reply {
    match reply {
        Ok(reply) | Err(reply) => reply,
    }
}

/// What warren does not have is not unknown: scripts get a clear word. Who may not ask HAProxy for
/// it hears that first, as there.
fn unsupported(words: &[&str], level: Level) -> Option<Reply> {
    const FAMILIES: [&str; 17] = [
        "acl",
        "ca-file",
        "cache",
        "dynamic-cookie",
        "env",
        "fd",
        "libs",
        "map",
        "pools",
        "profiling",
        "ssl",
        "startup-logs",
        "table",
        "tasks",
        "threads",
        "tls-keys",
        "var",
    ];
    let [verb, family, ..] = words else {
        return None;
    };
    if !FAMILIES.contains(family) {
        return None;
    }
    let needed = match (*verb, *family) {
        ("show", "env" | "fd" | "libs" | "startup-logs") | ("get", "var") => Level::Operator,
        ("show", "cache" | "profiling") => Level::Admin,
        ("set", "profiling") | ("enable" | "disable", "dynamic-cookie") => Level::Admin,
        ("new" | "add" | "set" | "del" | "commit" | "abort", "ssl") => Level::Admin,
        _ => Level::User,
    };
    Some(Reply::line(if level < needed {
        "Permission denied"
    } else {
        "This is not supported by warren."
    }))
}

/// Commands that read.
fn show(words: &[&str], level: Level, config: &Config, snapshot: Look<'_>) -> Reply {
    match words {
        ["activity", ..] => Reply::Text(activity::render(&snapshot())),
        ["info", rest @ ..] => Reply::Text(info::render(&snapshot(), Style::of(rest))),
        ["stat", rest @ ..] => {
            // It is the socket that counts, as with HAProxy, not what the client has lowered.
            show_stat(rest, config.admin.socket_level > Level::User, snapshot)
        }
        ["servers", what, rest @ ..] => {
            let only = rest
                .first()
                .map(|word| change::pool(word, config, snapshot));
            match only {
                Some(None) => Reply::line("Can't find backend."),
                only => Reply::Text(match *what {
                    "conn" => servers_conn::render(&snapshot(), only.flatten()),
                    _ => servers_state::render(&snapshot(), only.flatten()),
                }),
            }
        }
        ["backend", ..] => {
            let names = config.pools.iter().map(|pool| pool.name.as_str());
            Reply::line(
                &["# name"]
                    .into_iter()
                    .chain(names)
                    .collect::<Vec<_>>()
                    .join("\n"),
            )
        }
        ["errors", rest @ ..] => show_errors(rest.first().copied(), &snapshot()),
        // There are no tables to be found.
        ["table"] => Reply::Text(String::new()),
        ["table", ..] => Reply::line("No such table"),
        // Nor maps, peers, and sections of resolvers.
        ["map"] => Reply::line("# id (file) description"),
        ["map", ..] => Reply::line("Unknown map identifier. Please use #<id> or <file>."),
        ["peers"] | ["peers", "dict" | "-"] => Reply::Text(String::new()),
        ["peers", ..] => Reply::line("No such peers"),
        ["resolvers"] => Reply::line("No resolvers found"),
        ["resolvers", ..] => Reply::line("Can't find that resolvers section"),
        ["events"] => Reply::line(
            "Supported events sinks are listed below. Add -w(wait), -n(new). Any key to stop\n    \
             changes    : type=buffer, 0 dropped, the latest changes",
        ),
        ["events", ..] if level < Level::Operator => Reply::line("Permission denied"),
        ["events", "changes", options @ ..] => show_events(options),
        ["events", ..] => Reply::Text("No such event sink".to_owned()),
        ["cli", "sockets", ..] => {
            let path = config.admin.socket.as_deref().unwrap_or("".as_ref());
            let level = level_name(config.admin.socket_level);
            Reply::line(&format!(
                "# socket lvl processes\nunix@{} {level} all",
                path.display()
            ))
        }
        ["drains", ..] => Reply::Text(maintenance::drains(&snapshot())),
        ["rebalances", ..] => Reply::Text(maintenance::rebalances(&snapshot())),
        ["schema", ..] => Reply::line(&schema::render()),
        ["sess", "all", ..] => Reply::Sessions(Wanted::Long),
        ["sess", id, ..] => Reply::Sessions(pointer(id).map_or(Wanted::Short, Wanted::One)),
        ["sess"] => Reply::Sessions(Wanted::Short),
        ["cli", ..] => Reply::line(level_name(level)),
        _ => Reply::line(&info::version(&snapshot())),
    }
}

/// `show events changes [-w] [-n]`
fn show_events(options: &[&str]) -> Reply {
    let mut watch = Watch::default();
    for option in options {
        match *option {
            "-w" => watch.wait = true,
            "-n" => watch.new = true,
            "-nw" | "-wn" => {
                watch = Watch {
                    wait: true,
                    new: true,
                }
            }
            _ => return Reply::Text("unknown option".to_owned()),
        }
    }
    Reply::Events(watch)
}

const fn level_name(level: Level) -> &'static str {
    match level {
        Level::User => "user",
        Level::Operator => "operator",
        Level::Admin => "admin",
    }
}

/// `show errors [PROXY]`: nothing is captured that is not HTTP.
fn show_errors(name: Option<&str>, snapshot: &Snapshot) -> Reply {
    if let Some(name) = name
        && iid_of(name, snapshot).is_none()
        && name.parse::<i64>().is_err()
    {
        return Reply::line("No such proxy.");
    }
    let now = calendar::haproxy(Duration::from_micros(snapshot.taken_at_us));
    Reply::line(&format!("Total events captured on [{now}] : 0"))
}

/// Commands that change something, and those that belong to them.
fn alter(
    words: &[&str],
    level: Level,
    config: &Config,
    snapshot: Look<'_>,
) -> Result<Reply, Reply> {
    match words {
        // Only this one takes nothing for a name, as with HAProxy.
        ["get", _, word, ..] if word.len() > 1 && word.starts_with('/') => {
            Err(Reply::line("No such backend."))
        }
        ["get", _, rest @ ..] => {
            let place = change::place(rest.first(), config, snapshot)?;
            let server = &snapshot().pools[place.pool].servers[place.server];
            let (now, filed) = (server.weight, server.configured_weight);
            Ok(Reply::line(&format!("{now} (initial {filed})")))
        }
        ["set", "weight", rest @ ..] => {
            let place = change::place(rest.first(), config, snapshot)?;
            change::set_weight(place, rest.get(1), config)
        }
        ["set", "server", rest @ ..] => change::set_server(rest, config, snapshot),
        ["set", "rate-limit", rest @ ..] => change::set_rate_limit(rest),
        ["set", "maxconn", rest @ ..] => change::set_maxconn(rest, config, snapshot),
        ["set", _, rest @ ..] => Ok(set_timeout(rest)),
        [verb @ ("enable" | "disable"), "frontend", rest @ ..] => {
            change::open_listener(rest, *verb == "enable", config, snapshot)
        }
        [verb @ ("enable" | "disable"), what, rest @ ..] => {
            let place = change::place(rest.first(), config, snapshot)?;
            change::enable(what, *verb == "enable", place, config)
        }
        ["shutdown", "session", rest @ ..] => {
            let id = rest.first().and_then(|word| pointer(word));
            let expected = || Reply::line("Session pointer expected (use 'show sess').");
            id.map(Reply::EndSession).ok_or_else(expected)
        }
        ["shutdown", _, _, rest @ ..] => change::end_server(rest.first(), config, snapshot),
        [_, _, "all", ..] if level < Level::Admin => Err(Reply::line("Permission denied")),
        [_, _, "all", ..] => Ok(Reply::Change(Change::Clear(Clear::All), String::new())),
        _ => Ok(Reply::Change(Change::Clear(Clear::Maxima), String::new())),
    }
}

/// A connection's id as `show sess` writes it.
fn pointer(word: &str) -> Option<Id> {
    let number = match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok()?,
        None => word.parse().ok()?,
    };
    (number > 0).then_some(Id(number))
}

/// `set timeout cli TIME`: seconds, or a number with a unit.
fn set_timeout(words: &[&str]) -> Reply {
    let time = match words {
        ["cli", time, ..] => *time,
        ["cli"] => return Reply::line("Expects an integer value."),
        _ => return Reply::line("'set timeout' only supports 'cli'."),
    };
    match milliseconds(time, 1000) {
        // As many seconds as HAProxy can count.
        time if time == 0 || time.div_ceil(1000) > u64::from(i32::MAX.unsigned_abs()) => {
            Reply::line("Invalid timeout value.")
        }
        time => Reply::Timeout(Duration::from_millis(time).min(LONGEST_TIMEOUT)),
    }
}

/// A number with a unit, or without one and then so many milliseconds each; 0 if it is none.
fn milliseconds(time: &str, each: u64) -> u64 {
    let unit_from = time
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(time.len());
    let (number, unit) = time.split_at(unit_from);
    let number: u64 = number.parse().unwrap_or(0);
    let unit = match unit {
        "us" => return number.div_ceil(1000),
        "" => each,
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    number.saturating_mul(unit)
}

/// `show stat [domain proxy] [{iid|name} type sid] [typed|json|desc|up|no-maint]*`. Fewer than
/// three words of a filter are no filter, and what is not a number counts as 0, as with HAProxy.
fn show_stat(mut words: &[&str], legends: bool, snapshot: Look<'_>) -> Reply {
    if let ["domain", domain, rest @ ..] = words {
        if *domain != "proxy" {
            return Reply::line("Invalid statistics domain.");
        }
        words = rest;
    }
    let mut filter = csv::Filter::ALL;
    if let [proxy, types, sid, rest @ ..] = words {
        let number = |word: &str| word.parse().unwrap_or(0);
        filter.iid = match number(proxy) {
            0 => match iid_of(proxy, &snapshot()) {
                Some(iid) => iid,
                None => return Reply::line("No such proxy."),
            },
            iid => iid,
        };
        filter.types = number(types);
        filter.sid = number(sid);
        words = rest;
    }
    filter.up = words.contains(&"up");
    filter.no_maint = words.contains(&"no-maint");
    filter.legends = legends;
    Reply::Stat(filter, Style::of(words))
}

/// The number of a listener or pool, of either by its name or, behind a `#`, by the number.
fn iid_of(word: &str, snapshot: &Snapshot) -> Option<i64> {
    let listeners = snapshot.listeners.iter();
    let listeners = listeners.map(|one| (one.name.as_str(), one.number));
    let pools = snapshot.pools.iter();
    let pools = pools.map(|one| (one.name.as_str(), one.number));
    let mut all = listeners.chain(pools);
    let (_, number) = all.find(|(name, number)| change::means(word, name, *number))?;
    i64::try_from(number).ok()
}

#[cfg(test)]
mod tests;
