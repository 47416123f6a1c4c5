//! `warren demo`: three embedded brokers, warren in front of them, and clients that count.
//!
//! ```text
//!  load, client  ->  warren (its own threads)  ->  broker, session, channel  ->  cluster
//!        \                                                                         |
//!         ledger: what was confirmed, what arrived                 queues that all brokers share
//! ```
//!
//! `story` says what happens when; `screen` shows it; `summary` judges it.

use super::{exit, with_causes};
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
mod screen;
mod session;
mod setup;
mod story;
mod summary;

/// Options of `warren demo`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Keep running and print a client URL to try
    #[arg(long)]
    pub stay: bool,
}

/// Runs the subcommand and returns the exit code: 1 when a message was lost or a count is off.
#[must_use]
pub fn main(options: &Options) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("warren: no runtime: {error}");
            return exit::FAILED;
        }
    };
    match runtime.block_on(story::play(options.stay)) {
        Ok(true) => exit::GOOD,
        Ok(false) => exit::FAILED,
        Err(error) => {
            eprintln!("warren: {}", with_causes(&error));
            match error {
                DemoError::Broker(_) => exit::UNAVAILABLE,
                DemoError::Start(_) | DemoError::Thread(_) => exit::FAILED,
            }
        }
    }
}
