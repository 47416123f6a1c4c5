//! `warren drain`: empties a server so that its broker can be stopped.

use std::path::PathBuf;
use std::time::Duration;

use super::output::{complain, misuse};
use super::status::maintenance;
use super::talk::{self, Progress};
use super::units::count;
use super::{ask, exit, names, values};
use crate::stats::snapshot::{DrainSnapshot, DrainStage, Snapshot};

/// Options of `warren drain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The daemon does it, and goes on when this command is interrupted. `warren ready SERVER` ends it.

Exit code: 0 the server has no connections any more (with --no-wait: the drain has begun), 1 the
daemon cannot be reached or refuses, somebody made the server ready, or the command was interrupted,
64 there is no such server.")]
pub struct Options {
    /// The server: POOL/SERVER, or SERVER alone if only one pool has it
    #[arg(value_name = "SERVER", add = super::complete::servers())]
    pub server: String,
    /// Close its connections evenly over this time, those that are silent first; 0 is at once
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = values::span)]
    pub over: Duration,
    /// Also if it is the last usable server of its pool, so that clients are refused
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
    let name = match full_name(&options.socket, &options.server) {
        Ok(name) => name,
        Err(code) => return code,
    };
    let force = if options.force { " force" } else { "" };
    let over = options.over.as_millis();
    let command = format!("drain server {name} over {over}ms{force}");
    if let Err(words) = talk::tell(&options.socket, &command) {
        return complain(words);
    }
    if options.no_wait {
        println!("{name} takes no new connections, and those it has are closed.");
        return exit::GOOD;
    }
    let farewell =
        format!("The daemon goes on: `warren status` shows it, `warren ready {name}` ends it.");
    talk::follow(&options.socket, &farewell, |snapshot| {
        judge(snapshot, &name)
    })
}

/// `POOL/SERVER` of a name; or the exit code, when it has been said what is wrong.
pub(super) fn full_name(socket: &std::path::Path, name: &str) -> Result<String, u8> {
    let snapshot = ask::fetch(socket).map_err(complain)?;
    let found = names::server(&snapshot, name);
    let (pool, server) = found.map_err(|words| misuse("SERVER", words))?;
    Ok(names::full_name(pool, server))
}

fn judge(snapshot: &Snapshot, name: &str) -> Progress {
    let is_it = |drain: &&DrainSnapshot| format!("{}/{}", drain.pool, drain.server) == name;
    let Some(drain) = snapshot.drains.iter().find(is_it) else {
        let words = match snapshot.find_server(name) {
            Ok(_) => format!("{name} is ready again: somebody has ended the drain."),
            Err(_) => {
                let removal = snapshot.removal(name);
                removal.unwrap_or_else(|| format!("{name} is gone: a reload has removed it")) + "."
            }
        };
        return Progress::Over(words, exit::FAILED);
    };
    match drain.stage {
        DrainStage::Draining => Progress::Going(maintenance::drain(drain)),
        DrainStage::Drained => {
            let words = format!("{name} has no connections: it is safe to stop the broker.");
            Progress::Over(words, exit::GOOD)
        }
        DrainStage::Late => {
            let open = count(drain.open.into());
            let words = format!("{name} has {open} connections that do not end: see the log.");
            Progress::Over(words, exit::FAILED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::example;

    #[test]
    fn a_drain_is_told_by_its_stage() {
        let mut snapshot = example::snapshot();
        let name = "rabbit/rabbit-5";
        let mut told = |stage| {
            snapshot.drains[0].stage = stage;
            match judge(&snapshot, name) {
                Progress::Going(words) => (words, None),
                Progress::Over(words, code) => (words, Some(code)),
            }
        };
        let (words, code) = told(DrainStage::Draining);
        assert_eq!(code, None);
        assert_eq!(
            words,
            "rabbit/rabbit-5: 40 of 600 connections left, 20s to go, at most 2 a second"
        );
        let (words, code) = told(DrainStage::Drained);
        assert_eq!(code, Some(exit::GOOD));
        assert!(words.ends_with("it is safe to stop the broker."), "{words}");
        assert_eq!(told(DrainStage::Late).1, Some(exit::FAILED));
        snapshot.drains.clear();
        assert!(matches!(
            judge(&snapshot, name),
            Progress::Over(_, exit::FAILED)
        ));
    }
}
