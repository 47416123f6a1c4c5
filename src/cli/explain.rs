//! `warren explain`: why a server is used or not, and why this node is master or not, in one
//! paragraph.

use std::path::{Path, PathBuf};

use super::output::{complain, fail, print, room};
use super::table::cut;
use super::{ask, events, exit, names};
use crate::stats::event::{Event, What};
use crate::stats::snapshot::{ListenerSnapshot, PoolSnapshot, Snapshot, VirtualRouterSnapshot};

mod server;
mod vrrp;

/// Lines are no longer on the widest screen.
const WIDEST: usize = 100;
/// Events that belong to an explanation.
const LATEST: usize = 8;

const HELP: &str = "\
The latest events of it follow, in UTC; `warren events` has all that are remembered.

Exit code: 0 it was explained, 1 the daemon cannot be reached, 64 there is nothing of that name.";

/// Options of `warren explain`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// What is to be explained
    #[command(subcommand)]
    pub what: Subject,
}

/// What can be explained.
#[derive(Debug, clap::Subcommand)]
pub enum Subject {
    /// Why a server gets connections or does not
    #[command(after_help = HELP)]
    Server {
        /// POOL/SERVER, or SERVER if only one pool has it
        #[arg(value_name = "SERVER", add = super::complete::servers())]
        name: String,
        /// The daemon's admin socket
        #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET)]
        socket: PathBuf,
    },
    /// Why this node is master of its virtual addresses or is not
    #[command(after_help = HELP)]
    Vrrp {
        /// One virtual router; all of them if left out
        #[arg(value_name = "NAME", add = super::complete::virtual_routers())]
        name: Option<String>,
        /// The daemon's admin socket
        #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET)]
        socket: PathBuf,
    },
}

/// Runs the subcommand and returns the exit code.
#[must_use]
pub fn main(options: &Options) -> u8 {
    let socket = match &options.what {
        Subject::Server { socket, .. } | Subject::Vrrp { socket, .. } => socket,
    };
    let (snapshot, events) = match facts(socket) {
        Ok(facts) => facts,
        Err(words) => return complain(words),
    };
    let explained = match &options.what {
        Subject::Server { name, .. } => explain_server(&snapshot, &events, name),
        Subject::Vrrp { name, .. } => explain_routers(&snapshot, &events, name.as_deref()),
    };
    match explained {
        Ok(text) => print(&text, exit::GOOD),
        Err(words) => fail(words, exit::USAGE),
    }
}

fn facts(socket: &Path) -> Result<(Snapshot, Vec<Event>), String> {
    let snapshot = ask::snapshot(socket);
    let facts = snapshot.and_then(|snapshot| Ok((snapshot, ask::recent(socket, 0)?.events)));
    facts.map_err(|error| error.explain(socket))
}

fn explain_server(snapshot: &Snapshot, events: &[Event], name: &str) -> Result<String, String> {
    let found = names::server(snapshot, name);
    let (pool, server) = found.map_err(|words| format!("SERVER: {words}"))?;
    let concerned = |what: &What| what.concerns_server(&pool.name, &server.name);
    let events: Vec<_> = events
        .iter()
        .filter(|event| concerned(&event.what))
        .collect();
    let drain = snapshot.drain_of(&pool.name, &server.name);
    let mut paragraph = server::explain(pool, server, drain, &events);
    if let Some(words) = closed(snapshot, pool) {
        paragraph.insert_str(0, &format!("{words} Otherwise: "));
    }
    if snapshot.stopping {
        paragraph.insert_str(
            0,
            "The daemon is stopping, and lets nobody in any more. Before that: ",
        );
    }
    Ok(page(&paragraph, &events))
}

/// That nobody can reach a pool, whatever its servers are.
fn closed(snapshot: &Snapshot, pool: &PoolSnapshot) -> Option<String> {
    let leads = |listener: &&ListenerSnapshot| {
        let target = snapshot.pools.get(listener.pool);
        target.is_some_and(|target| target.name == pool.name)
    };
    let listeners: Vec<_> = snapshot.listeners.iter().filter(leads).collect();
    if listeners.iter().any(|listener| !listener.paused) {
        return None;
    }
    let names: Vec<_> = listeners.iter().map(|one| one.name.as_str()).collect();
    let (name, are) = (&pool.name, if names.len() == 1 { "is" } else { "are" });
    Some(match names.is_empty() {
        true => format!("No listener sends clients to pool {name}, so its servers get none."),
        false => format!(
            "No open listener sends clients to pool {name}, so its servers get none: {} {are} \
             disabled.",
            names.join(", ")
        ),
    })
}

fn explain_routers(
    snapshot: &Snapshot,
    events: &[Event],
    name: Option<&str>,
) -> Result<String, String> {
    let routers = snapshot.virtual_routers.iter();
    let wanted = |router: &&VirtualRouterSnapshot| name.is_none_or(|name| router.name == name);
    let pages = routers.clone().filter(wanted).map(|router| {
        let events = events_of(&router.name, events);
        page(&vrrp::explain(router, &snapshot.node), &events)
    });
    let pages: Vec<String> = pages.collect();
    match (pages.is_empty(), name) {
        (false, _) => Ok(pages.join("\n")),
        (true, None) => Err("no virtual routers: the configuration has no [vrrp.NAME]".to_owned()),
        (true, Some(name)) => {
            let known = routers.map(|router| router.name.clone());
            let words = names::not_there("virtual router", name, known);
            Err(format!("NAME: {words}"))
        }
    }
}

/// What has happened to a virtual router, also under the names that it had before.
fn events_of<'a>(name: &'a str, events: &'a [Event]) -> Vec<&'a Event> {
    let mut name = name;
    let concerned = |event: &&'a Event| {
        let before = event.what.name_before(name);
        let concerned = before.is_some() || event.what.concerns_router(name);
        name = before.unwrap_or(name);
        concerned
    };
    let mut found: Vec<_> = events.iter().rev().filter(concerned).collect();
    found.reverse();
    found
}

/// The paragraph in lines, and the latest of its events.
fn page(paragraph: &str, events: &[&Event]) -> String {
    let columns = room().columns;
    let mut text = wrap(paragraph, columns.min(WIDEST));
    if !events.is_empty() {
        text.push_str("\nlately:\n");
    }
    for event in &events[events.len().saturating_sub(LATEST)..] {
        text.push_str(&cut(&format!("  {}", events::in_words(event)), columns));
        text.push('\n');
    }
    text
}

/// A paragraph in lines of at most so many characters, unless a word is longer.
fn wrap(paragraph: &str, columns: usize) -> String {
    let mut text = String::new();
    let mut used = 0;
    for word in paragraph.split_whitespace() {
        let length = word.chars().count();
        let fits = used + 1 + length <= columns;
        match (used, fits) {
            (0, _) => {}
            (_, true) => text.push(' '),
            (_, false) => text.push('\n'),
        }
        text.push_str(word);
        used = if used > 0 && fits {
            used + 1 + length
        } else {
            length
        };
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::example::snapshot;

    #[test]
    fn a_pool_that_no_open_listener_leads_to_is_out_of_reach() {
        let explained = |change: &dyn Fn(&mut Snapshot)| {
            let mut snapshot = snapshot();
            change(&mut snapshot);
            let page = explain_server(&snapshot, &[], "plain/n1").unwrap();
            page.replace('\n', " ")
        };
        let nobody = "sends clients to pool plain, so its servers get none";
        assert!(!explained(&|_| ()).contains(nobody));
        let orphan = explained(&|snapshot| snapshot.listeners.truncate(1));
        let words = format!("No listener {nobody}. Otherwise: plain/n1 (");
        assert!(orphan.starts_with(&words), "{orphan}");
        let closed = explained(&|snapshot| snapshot.listeners[1].paused = true);
        let words = format!("No open listener {nobody}: plain is disabled. Otherwise: ");
        assert!(closed.starts_with(&words), "{closed}");
        let both = |snapshot: &mut Snapshot| {
            snapshot.listeners[0].pool = 1;
            snapshot.listeners[1].paused = true;
        };
        assert!(!explained(&both).contains(nobody), "one is open");
        let both = explained(&|snapshot| {
            both(snapshot);
            snapshot.listeners[0].paused = true;
        });
        assert!(
            both.contains(&format!("{nobody}: amqp, plain are disabled. ")),
            "{both}"
        );
    }

    #[test]
    fn a_virtual_router_keeps_its_past_when_a_reload_renames_it() {
        let becomes = |name: &str, to: &str| What::VirtualRouter {
            virtual_router: name.to_owned(),
            from: "init".to_owned(),
            to: to.to_owned(),
            reason: "it has started".to_owned(),
            priority: "150".to_owned(),
        };
        let all = [
            becomes("mq", "init"),
            becomes("amqp", "backup"),
            becomes("other", "backup"),
            What::from("reload: virtual router amqp: name amqp -> mq; priority 150 -> 120"),
            becomes("mq", "master"),
            becomes("amqp", "master"),
        ];
        let events = (1..).zip(all).map(|(number, what)| Event {
            number,
            at_ms: 0,
            what,
        });
        let events: Vec<_> = events.collect();
        let numbers = |name: &str| -> Vec<u64> {
            let found = events_of(name, &events);
            found.iter().map(|event| event.number).collect()
        };
        assert_eq!(numbers("mq"), [2, 4, 5]);
        assert_eq!(numbers("other"), [3]);
    }

    #[test]
    fn a_paragraph_is_broken_between_words() {
        assert_eq!(wrap("one two  three\nfour", 8), "one two\nthree\nfour\n");
        assert_eq!(wrap("abcdefghijkl mn", 5), "abcdefghijkl\nmn\n");
        assert_eq!(wrap("exactly eight", 13), "exactly eight\n");
    }
}
