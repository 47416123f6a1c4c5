//! `warren status`: one clear screen from a running daemon.

use std::path::PathBuf;

/// Options of `warren status`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The daemon's admin socket
    #[arg(long, default_value = super::DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// Print JSON for programs
    #[arg(long)]
    pub json: bool,
    /// Redraw every second until interrupted
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
}

/// Runs the subcommand and returns the exit code.
#[must_use]
pub fn main(_options: &Options) -> u8 {
    todo!("stats helper")
}
