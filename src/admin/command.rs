//! *pure* The commands of the stats socket.

use crate::stats::form::Style;
use crate::stats::snapshot::Snapshot;
use crate::stats::{csv, info, servers_state};

mod usage;

/// What a command wants.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// This text, to which the protocol adds an empty line.
    Text(String),
    /// Interactive mode on or off.
    TogglePrompt,
    /// The end of the connection.
    Quit,
}

impl Reply {
    fn line(text: &str) -> Self {
        Self::Text(format!("{text}\n"))
    }
}

/// Answers one command. Words after the known ones are ignored, as HAProxy does. `snapshot` is
/// called only by commands that need it.
pub fn answer(words: &[String], snapshot: impl FnOnce() -> Snapshot) -> Reply {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["show", "info", rest @ ..] => Reply::Text(info::render(&snapshot(), Style::of(rest))),
        ["show", "stat", rest @ ..] => show_stat(rest, &snapshot()),
        ["show", "servers", "state", rest @ ..] => {
            match servers_state::render(&snapshot(), rest.first().copied()) {
                Some(text) => Reply::Text(text),
                None => Reply::line("Can't find backend."),
            }
        }
        ["show", "version", ..] => Reply::line(&info::version(&snapshot())),
        // Whoever may open the socket may do everything that it can do.
        ["show", "cli", "level", ..] => Reply::line("admin"),
        ["warren", "status", ..] => match serde_json::to_string(&snapshot()) {
            Ok(json) => Reply::line(&json),
            Err(error) => Reply::line(&error.to_string()),
        },
        ["help", topic @ ..] => Reply::Text(usage::help(topic)),
        ["prompt", ..] => Reply::TogglePrompt,
        ["quit", ..] => Reply::Quit,
        unknown => Reply::Text(usage::unknown(unknown)),
    }
}

/// `show stat [domain proxy] [{iid|name} type sid] [typed|json|desc|up|no-maint]*`. Fewer than
/// three words of a filter are no filter, and what is not a number counts as 0, as with HAProxy.
fn show_stat(mut words: &[&str], snapshot: &Snapshot) -> Reply {
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
            0 => match iid_of(proxy, snapshot) {
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
    Reply::Text(csv::render(snapshot, &filter, Style::of(words)))
}

fn iid_of(name: &str, snapshot: &Snapshot) -> Option<i64> {
    let listener = || snapshot.listeners.iter().position(|one| one.name == name);
    let pool = || snapshot.pools.iter().position(|one| one.name == name);
    let iid = listener()
        .map(|index| snapshot.listener_iid(index))
        .or_else(|| pool().map(|index| snapshot.pool_iid(index)))?;
    i64::try_from(iid).ok()
}
