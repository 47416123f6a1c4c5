//! The command line: one subcommand per file in `cli/`.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use crate::exit;

pub mod ask;
pub mod check;
pub mod complete;
pub mod demo;
pub mod drain;
pub mod events;
pub mod explain;
mod names;
mod output;
pub mod ready;
pub mod rebalance;
pub mod reload;
pub mod run;
pub mod sessions;
pub mod status;
mod table;
mod talk;
mod units;
mod values;
pub mod vrrp;

/// Where the configuration lives unless `-c` says otherwise.
pub const DEFAULT_CONFIG: &str = "/etc/warren/warren.toml";
/// Where the admin socket lives unless `--socket` or the configuration says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/warren/admin.sock";

const RUN_HELP: &str = "\
Signals: TERM and INT stop accepting and wait up to `drain_timeout` for connections to end, a second
one ends at once, as does QUIT; HUP reads the configuration again, see `warren reload`; USR1 writes
the state to the log.

Exit code: 0 stopped as told, 1 failed at run time, 69 an address or the admin socket could not be
had, 77 a capability is missing, 78 the configuration is wrong.";

#[derive(Debug, Parser)]
#[command(name = "warren", version, about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground
    #[command(after_help = RUN_HELP)]
    Run {
        /// Configuration file
        #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
    },
    /// Check a configuration file and report every problem
    Check(check::Options),
    /// Show what a running daemon is doing
    Status(status::Options),
    /// Have a running daemon read its configuration again and apply it
    Reload(reload::Options),
    /// Show what `warren reload` would change
    Diff(reload::Options),
    /// Say why a server is used or not, or why this node is master or not
    Explain(explain::Options),
    /// Show what has happened lately
    Events(events::Options),
    /// Show the open connections
    Sessions(sessions::Options),
    /// Show the virtual routers of a running daemon
    Vrrp(vrrp::Options),
    /// Empty a server evenly over a time, so that its broker can be stopped
    Drain(drain::Options),
    /// Use a server again, after a drain or maintenance
    Ready(ready::Options),
    /// Give a server neither connections nor checks; those it has stay
    Maint(ready::Options),
    /// Move connections until each server of a pool has its share
    Rebalance(rebalance::Options),
    /// Balance three embedded AMQP brokers, kill one, kill the master of two nodes, and count
    Demo(demo::Options),
    /// Print a script that teaches a shell to complete commands and names
    Completions(complete::Options),
}

/// The definition of the command line, for what is made from it.
#[must_use]
pub fn command() -> clap::Command {
    <Arguments as clap::CommandFactory>::command()
}

/// The error with its causes, in one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

/// Parses the process arguments, runs the subcommand and returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    match complete::answer() {
        Ok(false) => {}
        Ok(true) => return ExitCode::from(exit::GOOD),
        Err(error) => return ExitCode::from(output::complain(error)),
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // --help and --version are errors to clap but not to the user.
            let code = if error.use_stderr() {
                exit::USAGE
            } else {
                exit::GOOD
            };
            // Nothing is left to do if the terminal is gone.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    ExitCode::from(match arguments.command {
        Command::Run { config } => run::main(&config),
        Command::Check(options) => check::main(&options),
        Command::Status(options) => status::main(&options),
        Command::Reload(options) => reload::main(&options, "reload"),
        Command::Diff(options) => reload::main(&options, "diff"),
        Command::Explain(options) => explain::main(&options),
        Command::Events(options) => events::main(&options),
        Command::Sessions(options) => sessions::main(&options),
        Command::Vrrp(options) => vrrp::main(&options),
        Command::Drain(options) => drain::main(&options),
        Command::Ready(options) => ready::main(&options, "ready"),
        Command::Maint(options) => ready::main(&options, "maint"),
        Command::Rebalance(options) => rebalance::main(&options),
        Command::Demo(options) => demo::main(&options),
        Command::Completions(options) => complete::main(&options),
    })
}
