//! `warren rebalance`: moves connections to a server that came back.

use std::path::PathBuf;
use std::time::Duration;

use super::output::{complain, misuse};
use super::status::maintenance;
use super::talk::{self, Progress};
use super::units::count;
use super::{ask, exit, names, values};
use crate::stats::snapshot::{RebalanceStage, Snapshot};

/// Options of `warren rebalance`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The daemon does it, and goes on when this command is interrupted. Servers have shares by their
weights; a connection that is too much on one of them is closed, the one that is silent for longest
first, and its client comes back to where there is room. Nothing is moved while a server is down or
draining.

Exit code: 0 every server has its share within ten per cent (with --no-wait: the rebalance has
begun; with --stop: it has ended), 1 the daemon cannot be reached or refuses, the rebalance was
given up, or the command was interrupted, 64 there is no such pool.")]
pub struct Options {
    /// The pool; not needed if there is only one
    #[arg(value_name = "POOL", add = super::complete::pools())]
    pub pool: Option<String>,
    /// Close at most so many connections in any second
    #[arg(long, value_name = "N", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rate: u32,
    /// Give up after this time
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = values::span)]
    pub within: Duration,
    /// End the rebalance that goes on
    #[arg(long, conflicts_with_all = ["rate", "within", "no_wait"])]
    pub stop: bool,
    /// Do not wait until every server has its share
    #[arg(long)]
    pub no_wait: bool,
    /// The daemon's admin socket
    #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// Runs the subcommand and returns the exit code.
#[must_use]
pub fn main(options: &Options) -> u8 {
    let snapshot = match ask::fetch(&options.socket) {
        Ok(snapshot) => snapshot,
        Err(words) => return complain(words),
    };
    let pool = match names::pool(&snapshot, options.pool.as_deref()) {
        Ok(pool) => &pool.name,
        Err(words) => return misuse("POOL", words),
    };
    if options.stop && !snapshot.is_rebalanced(pool) {
        println!("No rebalance of pool {pool} goes on.");
        return exit::GOOD;
    }
    let (rate, within) = (options.rate, options.within.as_millis());
    let command = match options.stop {
        true => format!("rebalance stop {pool}"),
        false => format!("rebalance pool {pool} rate {rate} within {within}ms"),
    };
    if let Err(words) = talk::tell(&options.socket, &command) {
        return complain(words);
    }
    if options.stop {
        return exit::GOOD;
    }
    if options.no_wait {
        println!("The connections of pool {pool} are being moved.");
        return exit::GOOD;
    }
    let farewell = format!(
        "The daemon goes on: `warren status` shows it, `warren rebalance {pool} --stop` ends it."
    );
    talk::follow(&options.socket, &farewell, |snapshot| judge(snapshot, pool))
}

fn judge(snapshot: &Snapshot, pool: &str) -> Progress {
    let mut rebalances = snapshot.rebalances.iter();
    let Some(one) = rebalances.find(|rebalance| rebalance.pool == pool) else {
        let words = format!("The daemon knows of no rebalance of pool {pool}: it was restarted.");
        return Progress::Over(words, exit::FAILED);
    };
    let (moved, why) = (count(one.moved), &one.why);
    match one.stage {
        RebalanceStage::Moving | RebalanceStage::Waiting => {
            Progress::Going(maintenance::rebalance(one))
        }
        RebalanceStage::Balanced => {
            let words = format!("pool {pool} is balanced, {moved} connections moved: {why}");
            Progress::Over(words, exit::GOOD)
        }
        RebalanceStage::Stopped => {
            let words = format!("pool {pool}: {moved} connections moved, then given up: {why}");
            Progress::Over(words, exit::FAILED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::example;

    #[test]
    fn a_rebalance_is_told_by_its_stage() {
        let mut snapshot = example::snapshot();
        let mut told = |stage| {
            snapshot.rebalances[0].stage = stage;
            match judge(&snapshot, "rabbit") {
                Progress::Going(words) => (words, None),
                Progress::Over(words, code) => (words, Some(code)),
            }
        };
        let (words, code) = told(RebalanceStage::Waiting);
        assert_eq!(code, None);
        assert_eq!(
            words,
            "pool rabbit: 120 connections moved, 59m 43s to go at most, \
             waits: server rabbit-3 is down"
        );
        assert_eq!(told(RebalanceStage::Moving).1, None);
        assert_eq!(told(RebalanceStage::Balanced).1, Some(exit::GOOD));
        let (words, code) = told(RebalanceStage::Stopped);
        assert_eq!(code, Some(exit::FAILED));
        assert!(
            words.ends_with("given up: server rabbit-3 is down"),
            "{words}"
        );
    }
}
