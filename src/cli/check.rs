//! `warren check`: report every problem of a configuration file in one run.

use std::path::PathBuf;

/// Options of `warren check`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Configuration file
    #[arg(short, long, default_value = super::DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// Exit with 1 when there are warnings
    #[arg(long)]
    pub deny_warnings: bool,
    /// Print nothing when the file is good
    #[arg(short, long)]
    pub quiet: bool,
}

/// Runs the subcommand and returns the exit code.
#[must_use]
pub fn main(_options: &Options) -> u8 {
    todo!("config helper")
}
