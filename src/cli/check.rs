//! `warren check`: report every problem of a configuration file in one run.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use super::{exit, output};
use crate::config::{self, Config, Problems};

/// Options of `warren check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code: 0 the file is good, 1 it has warnings and they are denied, or the answer could not be
printed, 78 it cannot be used.")]
pub struct Options {
    /// Configuration file
    #[arg(short, long, value_name = "FILE", default_value = super::DEFAULT_CONFIG)]
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
pub fn main(options: &Options) -> u8 {
    let file = options.config.display();
    let (config, problems) = match config::load(&options.config, false) {
        Ok((config, problems)) => (Some(config), problems),
        Err(problems) => (None, problems),
    };
    // Nothing is left to do if a stream is gone.
    let _ = print(&problems);
    let found = counted(&problems);
    match config {
        None => {
            let _ = writeln!(std::io::stderr(), "{file}: {found}");
            exit::CONFIG
        }
        Some(_) if options.deny_warnings && problems.warnings() > 0 => {
            let _ = writeln!(std::io::stderr(), "{file}: {found}, denied");
            exit::FAILED
        }
        Some(config) => {
            if options.quiet {
                return exit::GOOD;
            }
            let with = if problems.is_empty() { "" } else { " with " };
            let size = size(&config);
            output::print(&format!("{file}: good{with}{found} ({size})\n"), exit::GOOD)
        }
    }
}

fn print(problems: &Problems) -> std::io::Result<()> {
    let mut stderr = std::io::stderr().lock();
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let colour = wanted && stderr.is_terminal();
    stderr.write_all(problems.render(colour).as_bytes())
}

/// "2 errors, 1 warning"; nothing for nothing.
fn counted(problems: &Problems) -> String {
    let parts = [
        (problems.errors(), "error"),
        (problems.warnings(), "warning"),
    ];
    let words: Vec<String> = parts
        .into_iter()
        .filter(|&(count, _)| count > 0)
        .map(|(count, word)| several(count, word))
        .collect();
    words.join(", ")
}

fn size(config: &Config) -> String {
    let servers = config.pools.iter().map(|pool| pool.servers.len()).sum();
    format!(
        "{}, {}, {}",
        several(config.listeners.len(), "listener"),
        several(config.pools.len(), "pool"),
        several(servers, "server")
    )
}

fn several(count: usize, word: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {word}{plural}")
}
