//! `warren demo`: three embedded brokers, warren in front of them, and clients that count.

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
    todo!("demo helper")
}
