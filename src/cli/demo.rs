//! `warren demo`: three embedded brokers, warren in front of them, and clients that count.
//!
//! ```text
//!  load, client  ->  warren (its own threads)  ->  broker, session, channel  ->  cluster
//!        \                                                                         |
//!         ledger: what was confirmed, what arrived                 queues that all brokers share
//! ```
//!
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
mod session;

/// Options of `warren demo`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Keep running and print a client URL to try
    #[arg(long)]
    pub stay: bool,
}

/// Runs the subcommand and returns the exit code.
#[must_use]
pub fn main(_options: &Options) -> u8 {
    todo!("the story")
}
