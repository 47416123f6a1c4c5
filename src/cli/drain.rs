//! `warren drain`: empties a server so that its broker can be stopped.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::output::{complain, misuse};
use super::status::maintenance;
use super::talk::{self, Progress};
use super::units::count;
use super::{ask, exit, names, values};
use crate::pool::server::Admin;
use crate::stats::snapshot::{DrainSnapshot, DrainStage, Snapshot};

/// Options of `warren drain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The daemon does it, and goes on when this command is interrupted. `warren ready SERVER` ends it.

Exit code: 0 the server has no connections any more (with --no-wait: the drain has begun), 1 the
daemon cannot be reached or refuses, somebody made the server ready or put it into maintenance, a
reload removed it or changed its address, another server at the same address has connections, or the
command was interrupted, 64 there is no such server.")]
pub struct Options {
    /// The server: POOL/SERVER, or SERVER alone if only one pool has it
    #[arg(value_name = "SERVER", add = super::complete::servers())]
    pub server: String,
    /// Close its connections evenly over this time, those that are silent first; 0 is at once
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = values::span)]
    pub over: Duration,
    /// Also if it is the last usable server of its pool, or becomes it, so that clients are refused
    #[arg(long)]
    pub force: bool,
    /// Do not wait until it has no connections
    #[arg(long)]
    pub no_wait: bool,
    /// The daemon's admin socket
    #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// Runs the subcommand and returns the exit code.
#[must_use]
pub fn main(options: &Options) -> u8 {
    let (name, address) = match find(&options.socket, &options.server) {
        Ok(found) => found,
        Err(code) => return code,
    };
    let force = if options.force { " force" } else { "" };
    let over = options.over.as_millis();
    let command = format!("drain server {name} over {over}ms{force}");
    if let Err(words) = talk::tell(&options.socket, &command) {
        // What is a word on the stats socket is an option here.
        return complain(words.replace("`force`", "`--force`"));
    }
    if options.no_wait {
        println!("{name} takes no new connections, and those it has are closed.");
        return exit::GOOD;
    }
    let farewell =
        format!("The daemon goes on: `warren status` shows it, `warren ready {name}` ends it.");
    talk::follow(&options.socket, &farewell, |snapshot| {
        judge(snapshot, &name, &address)
    })
}

/// `POOL/SERVER` of a name; or the exit code, when it has been said what is wrong.
pub(super) fn full_name(socket: &Path, name: &str) -> Result<String, u8> {
    find(socket, name).map(|(name, _)| name)
}

/// The same, and the address of the server by the configuration.
fn find(socket: &Path, name: &str) -> Result<(String, String), u8> {
    let snapshot = ask::fetch(socket).map_err(complain)?;
    let found = names::server(&snapshot, name);
    let (pool, server) = found.map_err(|words| misuse("SERVER", words))?;
    Ok((names::full_name(pool, server), server.configured.clone()))
}

/// How far the drain of the server is that had this address when it began.
fn judge(snapshot: &Snapshot, name: &str, address: &str) -> Progress {
    let is_it = |drain: &&DrainSnapshot| format!("{}/{}", drain.pool, drain.server) == name;
    let Some(drain) = snapshot.drains.iter().find(is_it) else {
        return Progress::Over(ended(snapshot, name, address), exit::FAILED);
    };
    match drain.stage {
        DrainStage::Draining | DrainStage::Waiting => Progress::Going(maintenance::drain(drain)),
        DrainStage::Drained => drained(snapshot, name),
        DrainStage::Late => {
            let open = count(drain.open.into());
            let words = format!("{name} has {open} connections that do not end: see the log.");
            Progress::Over(words, exit::FAILED)
        }
        DrainStage::Stopped => {
            let (open, why) = (count(drain.open.into()), &drain.why);
            let words = format!(
                "{name}: {why}, which has ended the drain; its {open} connections stay until they \
                 end."
            );
            Progress::Over(words, exit::FAILED)
        }
    }
}

/// The broker serves whoever has its address, not only this server.
fn drained(snapshot: &Snapshot, name: &str) -> Progress {
    let server = snapshot.find_server(name).ok();
    let server = server.map(|(pool, server)| &snapshot.pools[pool].servers[server]);
    let others = server.map_or_else(Vec::new, |server| snapshot.others_at(server));
    if others.is_empty() {
        let words = format!("{name} has no connections: it is safe to stop the broker.");
        return Progress::Over(words, exit::GOOD);
    }
    let others = others.iter();
    let others = others.map(|(other, open)| format!("{other} has {}", count((*open).into())));
    let others = others.collect::<Vec<_>>().join(", ");
    let words = format!(
        "{name} has no connections, but at the same address {others}: it is not yet safe to stop \
         the broker."
    );
    Progress::Over(words, exit::FAILED)
}

/// Why there is no drain any more.
fn ended(snapshot: &Snapshot, name: &str, address: &str) -> String {
    let Ok((pool, server)) = snapshot.find_server(name) else {
        let removal = snapshot.removal(name);
        return removal.unwrap_or_else(|| format!("{name} is gone: a reload has removed it")) + ".";
    };
    let pool = &snapshot.pools[pool];
    let server = &pool.servers[server];
    if server.configured == address {
        return format!("{name} is ready again: somebody has ended the drain.");
    }
    let at_the_old_one = snapshot.removed.iter().filter(|one| {
        (&one.pool, &one.server) == (&pool.name, &server.name) && one.address == address
    });
    let open: u32 = at_the_old_one.map(|one| one.open).sum();
    let open = count(open.into());
    let out = match server.admin {
        Admin::Ready => String::new(),
        Admin::Drain | Admin::Maint => {
            format!(", and it gets no new ones until `warren ready {name}`")
        }
    };
    format!(
        "{name} has another address: a reload has ended the drain; its {open} connections at \
         {address} stay until they end{out}."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::example;

    #[test]
    fn a_drain_is_told_by_its_stage() {
        let mut snapshot = example::snapshot();
        let (name, address) = ("rabbit/rabbit-5", "192.0.2.25:5672");
        let told = |snapshot: &mut Snapshot, stage| {
            snapshot.drains[0].stage = stage;
            match judge(snapshot, name, address) {
                Progress::Going(words) => (words, None),
                Progress::Over(words, code) => (words, Some(code)),
            }
        };
        let (words, code) = told(&mut snapshot, DrainStage::Draining);
        assert_eq!(code, None);
        assert_eq!(
            words,
            "rabbit/rabbit-5: 40 of 600 connections left, 20s to go, at most 2 a second"
        );
        snapshot.drains[0].why = "no other server is usable".to_owned();
        let (words, code) = told(&mut snapshot, DrainStage::Waiting);
        assert_eq!(code, None);
        assert!(
            words.ends_with(", at most 2 a second, waits: no other server is usable"),
            "{words}"
        );
        snapshot.drains[0].why = "the server was put into maintenance".to_owned();
        let (words, code) = told(&mut snapshot, DrainStage::Stopped);
        assert_eq!(code, Some(exit::FAILED));
        assert_eq!(
            words,
            "rabbit/rabbit-5: the server was put into maintenance, which has ended the drain; its \
             40 connections stay until they end."
        );
        let (words, code) = told(&mut snapshot, DrainStage::Drained);
        assert_eq!(code, Some(exit::GOOD));
        assert!(words.ends_with("it is safe to stop the broker."), "{words}");
        same_address(&mut snapshot);
        assert_eq!(
            told(&mut snapshot, DrainStage::Drained),
            (
                "rabbit/rabbit-5 has no connections, but at the same address rabbit/rabbit-2 has \
                 601, rabbit/by-name (removed) has 1,200: it is not yet safe to stop the broker."
                    .to_owned(),
                Some(exit::FAILED)
            )
        );
        assert_eq!(told(&mut snapshot, DrainStage::Late).1, Some(exit::FAILED));
    }

    /// Others are where the server that is drained is: one in the configuration, and one that was
    /// known by its name there. A third one is elsewhere, and a fourth has no connections.
    fn same_address(snapshot: &mut Snapshot) {
        let address = "192.0.2.25:5672";
        let servers = &mut snapshot.pools[0].servers;
        servers[1].configured = address.to_owned();
        let mut idle = servers[1].clone();
        (idle.name, idle.open.now) = ("idle".to_owned(), 0);
        servers.push(idle);
        let mut by_name = example::removed("rabbit", "by-name", 1_200);
        by_name.address = "rabbit-5.example:5672".to_owned();
        by_name.resolved = address.parse().ok();
        snapshot.removed = vec![by_name, example::removed("rabbit", "elsewhere", 7)];
    }

    #[test]
    fn why_there_is_no_drain_any_more_is_told() {
        let mut snapshot = example::snapshot();
        snapshot.drains.clear();
        snapshot.removed = vec![
            example::removed("rabbit", "rabbit-5", 72),
            example::removed("rabbit", "rabbit-1", 3),
        ];
        let old = snapshot.removed[0].address.clone();
        let told = |snapshot: &Snapshot, address: &str| match judge(
            snapshot,
            "rabbit/rabbit-5",
            address,
        ) {
            Progress::Over(words, exit::FAILED) => words,
            Progress::Over(words, _) | Progress::Going(words) => panic!("{words}"),
        };
        assert_eq!(
            told(&snapshot, "192.0.2.25:5672"),
            "rabbit/rabbit-5 is ready again: somebody has ended the drain."
        );
        assert_eq!(
            told(&snapshot, &old),
            "rabbit/rabbit-5 has another address: a reload has ended the drain; its 72 connections \
             at 192.0.2.29:5672 stay until they end, and it gets no new ones until `warren ready \
             rabbit/rabbit-5`."
        );
        let servers = &mut snapshot.pools[0].servers;
        servers.retain(|server| server.name != "rabbit-5");
        let words = told(&snapshot, &old);
        assert!(
            words.contains(" is gone: a reload has removed it; "),
            "{words}"
        );
    }
}
