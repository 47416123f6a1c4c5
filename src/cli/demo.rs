//! `warren demo`: three embedded brokers, warren in front of them, and clients that count.
//!
//! ```text
//!  load, client  ->  warren (its own threads)  ->  broker, session, channel  ->  cluster
//!        \                                                                         |
//!         ledger: what was confirmed, what arrived                 queues that all brokers share
//! ```
//!
//! `story` says what happens when; `screen` shows it; `summary` judges it. Then `pair` does the
//! same with two warrens and a virtual address, in a `network` and a process of its own: only a
//! process with one thread can enter a user namespace.

use std::process::Command;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

use super::{exit, with_causes};
use pair::{PairError, Stage};
use story::DemoError;

mod broker;
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a method that is not expected is refused, whichever it is"
)]
mod channel;
mod client;
mod cluster;
mod ledger;
mod load;
mod network;
mod pair;
mod screen;
mod session;
mod setup;
mod story;
mod summary;

/// Options of `warren demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code: 0 all went well, 1 a message was lost or a count is off, 69 the brokers cannot listen,
77 with --pair, user namespaces are not allowed here.")]
pub struct Options {
    /// Keep running and print a client URL to try
    #[arg(long)]
    pub stay: bool,
    /// Only the second part: two nodes in network namespaces, the master is killed
    #[arg(long, conflicts_with = "stay")]
    pub pair: bool,
}

/// Runs the subcommand and returns the exit code: 1 when a message was lost or a count is off.
#[must_use]
pub fn main(options: &Options) -> u8 {
    let played = match options.pair {
        true => play_the_pair(),
        false => play_the_brokers(options.stay),
    };
    match played {
        Ok(exit::GOOD) if !options.stay && !options.pair => go_on_with_the_pair(),
        Ok(code) => code,
        Err((code, words)) => {
            eprintln!("warren: {words}");
            code
        }
    }
}

/// An exit code, and why.
type Failed = (u8, String);

fn runtime() -> Result<LocalRuntime, Failed> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    runtime.map_err(|error| (exit::FAILED, format!("no runtime: {error}")))
}

fn judged(good: bool) -> u8 {
    match good {
        true => exit::GOOD,
        false => exit::FAILED,
    }
}

fn play_the_brokers(stay: bool) -> Result<u8, Failed> {
    let played = runtime()?.block_on(story::play(stay));
    played.map(judged).map_err(|error| {
        let code = match error {
            DemoError::Broker(_) => exit::UNAVAILABLE,
            DemoError::Start(_) | DemoError::Thread(_) => exit::FAILED,
        };
        (code, with_causes(&error))
    })
}

fn play_the_pair() -> Result<u8, Failed> {
    // Before the runtime, which may have threads.
    let stage = Stage::build().map_err(|error| (exit::NO_PERMISSION, with_causes(&error)))?;
    let played = runtime()?.block_on(pair::play(stage));
    played.map(judged).map_err(|error| {
        let code = match error {
            PairError::Network(_) => exit::NO_PERMISSION,
            PairError::Broker(_) => exit::UNAVAILABLE,
            PairError::Folder(_) | PairError::Node(_) | PairError::Thread(_) => exit::FAILED,
        };
        (code, with_causes(&error))
    })
}

/// Starts a process for the second part. That this host does not allow it is no failure.
fn go_on_with_the_pair() -> u8 {
    println!("\nTwo nodes, one address: the master is killed (warren demo --pair)\n");
    // The program that runs, whatever is at its path by now.
    let pair = Command::new("/proc/self/exe")
        .args(["demo", "--pair"])
        .status();
    match pair.map(|status| status.code().and_then(|code| u8::try_from(code).ok())) {
        Ok(Some(exit::NO_PERMISSION)) => {
            println!("This part is left out.");
            exit::GOOD
        }
        Ok(code) => code.unwrap_or(exit::FAILED),
        Err(error) => {
            eprintln!("warren: cannot start the second part: {error}");
            exit::FAILED
        }
    }
}
