//! *pure* `/metrics`: the text that Prometheus reads.
//!
//! First the families of HAProxy 2.6's own exporter, by the same names and labels, so that
//! dashboards made for it show warren; then ours. All lines of a family stand together, as the
//! format wants it, and the text comes in pieces: with ten thousand servers it has 50 MB.
//!
//! Source: the text format of Prometheus, version 0.0.4.

use std::fmt::{self, Write as _};
use std::rc::Rc;

use super::csv::meaning::meaning;
use super::info;
use super::snapshot::{
    ListenerSnapshot, PoolSnapshot, ServerStatus, Snapshot, VirtualRouterSnapshot,
};
use crate::pool::server::State;

mod haproxy;
mod own;
#[cfg(test)]
mod tests;

/// The type of the text, for HTTP.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A piece of the text is about so long, in bytes.
const PIECE: usize = 32 * 1024;

/// Which families and servers are wanted, as HAProxy's exporter can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Words out of [`SCOPES`]; none: all.
    pub scopes: Vec<&'static str>,
    /// Leave out servers in maintenance.
    pub no_maint: bool,
}

/// What families belong to: HAProxy's words, of which `listener` and `sticktable` have none here,
/// and one for ours.
pub const SCOPES: [&str; 7] = [
    "global",
    "frontend",
    "listener",
    "backend",
    "server",
    "sticktable",
    "warren",
];

/// A value of one line.
enum Value {
    Whole(u64),
    Signed(i64),
    /// Written in seconds.
    Millis(u64),
    /// Written in seconds.
    Micros(u64),
    /// There is none.
    Nan,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Whole(value) => write!(f, "{value}"),
            Self::Signed(value) => write!(f, "{value}"),
            Self::Millis(value) => write!(f, "{}.{:03}", value / 1_000, value % 1_000),
            Self::Micros(value) => write!(f, "{}.{:06}", value / 1_000_000, value % 1_000_000),
            Self::Nan => f.write_str("NaN"),
        }
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Whole(u64::from(value))
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(u64::from(value))
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nan, Into::into)
    }
}

/// What the values of a family are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Where the words about a family are.
#[derive(Clone, Copy)]
enum About {
    /// With the column of `show stat` that has the same value.
    Column(&'static str),
    /// With the key of `show info` that has the same value.
    Key(&'static str),
    /// Here.
    Words(&'static str),
}

/// What a family has lines for, and how the lines for one of them are written.
#[derive(Clone, Copy)]
enum Each {
    Process(fn(&Snapshot, &mut Lines<'_>)),
    /// The process, by a key of `show info`.
    Info(&'static str),
    Listener(fn(&Snapshot, &ListenerSnapshot, &mut Lines<'_>)),
    Pool(fn(&PoolSnapshot, &mut Lines<'_>)),
    Server(fn(&PoolSnapshot, &ServerStatus, &mut Lines<'_>)),
    Router(fn(&VirtualRouterSnapshot, &mut Lines<'_>)),
}

/// A metric with all its lines.
struct Family {
    name: &'static str,
    kind: Kind,
    about: About,
    each: Each,
}

impl Family {
    fn is_haproxys(&self) -> bool {
        self.name.starts_with("haproxy_")
    }

    fn scope(&self) -> &'static str {
        match self.each {
            _ if !self.is_haproxys() => "warren",
            Each::Process(_) | Each::Info(_) | Each::Router(_) => "global",
            Each::Listener(_) => "frontend",
            Each::Pool(_) => "backend",
            Each::Server(_) => "server",
        }
    }

    fn header(&self) -> String {
        let about = match self.about {
            About::Column(name) => meaning(name, false).map_or("", |meaning| meaning.about),
            About::Key(key) => info::about(key),
            About::Words(words) => words,
        };
        let kind = match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let name = self.name;
        format!("# HELP {name} {about}\n# TYPE {name} {kind}\n")
    }
}

/// The lines of one family about one thing.
struct Lines<'a> {
    text: &'a mut String,
    name: &'a str,
    /// What they are about, without braces.
    labels: &'a str,
}

impl Lines<'_> {
    fn put(&mut self, value: impl Into<Value>) {
        self.line("", "", value);
    }

    /// With one more label.
    fn put_of(&mut self, label: &str, of: &str, value: impl Into<Value>) {
        let comma = if self.labels.is_empty() { "" } else { "," };
        let more = format!("{comma}{label}=\"{}\"", escaped(of));
        self.line("", &more, value);
    }

    /// 1 for the state that it is in and 0 for all others.
    fn put_states(&mut self, states: &[&str], now: Option<&str>) {
        for state in states {
            self.put_of("state", state, now == Some(state));
        }
    }

    fn line(&mut self, suffix: &str, more: &str, value: impl Into<Value>) {
        let (name, labels, value) = (self.name, self.labels, value.into());
        // Writing to a String cannot fail.
        let _ = match (labels.is_empty(), more.is_empty()) {
            (true, true) => writeln!(self.text, "{name}{suffix} {value}"),
            _ => writeln!(self.text, "{name}{suffix}{{{labels}{more}}} {value}"),
        };
    }
}

/// A value of a label: backslash, quote and line feed have to be escaped.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// The text, piece by piece.
pub struct Pieces {
    snapshot: Rc<Snapshot>,
    info: Vec<(&'static str, String)>,
    /// Pool and server, in order.
    servers: Vec<(usize, usize)>,
    families: Vec<&'static Family>,
    /// The family that is written, and how many of its things are done.
    at: (usize, usize),
}

impl Pieces {
    /// Of what a snapshot knows.
    #[must_use]
    pub fn new(snapshot: Rc<Snapshot>, wanted: &Wanted) -> Self {
        let mut servers = Vec::new();
        for (index, pool) in snapshot.pools.iter().enumerate() {
            let shown = (0..pool.servers.len())
                .filter(|&server| !wanted.no_maint || pool.servers[server].state != State::Maint);
            servers.extend(shown.map(|server| (index, server)));
        }
        let wants =
            |family: &&Family| wanted.scopes.is_empty() || wanted.scopes.contains(&family.scope());
        Self {
            info: info::values(&snapshot),
            servers,
            families: all().filter(wants).collect(),
            at: (0, 0),
            snapshot,
        }
    }

    /// How many things a family has lines for.
    fn things(&self, each: Each) -> usize {
        match each {
            Each::Process(_) | Each::Info(_) => 1,
            Each::Listener(_) => self.snapshot.listeners.len(),
            Each::Pool(_) => self.snapshot.pools.len(),
            Each::Server(_) => self.servers.len(),
            Each::Router(_) => self.snapshot.virtual_routers.len(),
        }
    }

    fn write(&self, family: &Family, thing: usize, text: &mut String) {
        let ours = !family.is_haproxys();
        let word = |haproxys: &'static str, own| if ours { own } else { haproxys };
        let label = |name: &str, value: &str| format!("{name}=\"{}\"", escaped(value));
        let mut labels = String::new();
        match family.each {
            Each::Process(_) | Each::Info(_) => {}
            Each::Listener(_) => {
                let name = &self.snapshot.listeners[thing].name;
                labels = label(word("proxy", "listener"), name);
            }
            Each::Pool(_) => {
                labels = label(word("proxy", "pool"), &self.snapshot.pools[thing].name);
            }
            Each::Server(_) => {
                let (pool, server) = self.servers[thing];
                let pool = &self.snapshot.pools[pool];
                labels = label(word("proxy", "pool"), &pool.name);
                labels.push(',');
                labels.push_str(&label("server", &pool.servers[server].name));
            }
            Each::Router(_) => {
                labels = label("virtual_router", &self.snapshot.virtual_routers[thing].name);
            }
        }
        let mut lines = Lines {
            text,
            name: family.name,
            labels: &labels,
        };
        match family.each {
            Each::Process(write) => write(&self.snapshot, &mut lines),
            Each::Info(key) => lines.put(self.number(key)),
            Each::Listener(write) => {
                write(&self.snapshot, &self.snapshot.listeners[thing], &mut lines);
            }
            Each::Pool(write) => write(&self.snapshot.pools[thing], &mut lines),
            Each::Server(write) => {
                let (pool, server) = self.servers[thing];
                let pool = &self.snapshot.pools[pool];
                write(pool, &pool.servers[server], &mut lines);
            }
            Each::Router(write) => write(&self.snapshot.virtual_routers[thing], &mut lines),
        }
    }

    /// A number of `show info`.
    fn number(&self, key: &str) -> Option<u64> {
        let found = self.info.iter().find(|(known, _)| *known == key);
        found.and_then(|(_, value)| value.parse().ok())
    }
}

fn all() -> impl Iterator<Item = &'static Family> {
    haproxy::FAMILIES.into_iter().chain(own::FAMILIES).flatten()
}

impl Iterator for Pieces {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut text = String::with_capacity(PIECE + PIECE / 8);
        while let Some(family) = self.families.get(self.at.0).copied() {
            if text.len() >= PIECE {
                break;
            }
            let (_, thing) = self.at;
            if thing == self.things(family.each) {
                self.at = (self.at.0 + 1, 0);
                continue;
            }
            // A family that has lines for nothing here still says what it is about.
            if thing == 0 {
                text.push_str(&family.header());
            }
            self.write(family, thing, &mut text);
            self.at.1 += 1;
        }
        (!text.is_empty()).then_some(text)
    }
}
