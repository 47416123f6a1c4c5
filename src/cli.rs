//! The command line: one subcommand per file in `cli/`.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod check;
pub mod demo;
pub mod run;
pub mod status;
pub mod vrrp;

/// Where the configuration lives unless `-c` says otherwise.
pub const DEFAULT_CONFIG: &str = "/etc/warren/warren.toml";
/// Where the admin socket lives unless `--socket` or the configuration says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/warren/admin.sock";

/// Process exit codes (sysexits.h where it has a fitting one).
pub mod exit {
    /// Everything went well.
    pub const GOOD: u8 = 0;
    /// Something failed at run time.
    pub const FAILED: u8 = 1;
    /// The command line is wrong (EX_USAGE).
    pub const USAGE: u8 = 64;
    /// An address or port could not be had (EX_UNAVAILABLE).
    pub const UNAVAILABLE: u8 = 69;
    /// A capability is missing (EX_NOPERM).
    pub const NO_PERMISSION: u8 = 77;
    /// The configuration is wrong (EX_CONFIG).
    pub const CONFIG: u8 = 78;
}

const RUN_HELP: &str = "\
Signals: TERM and INT stop accepting and wait up to `drain_timeout` for connections to end, a second
one ends at once, as does QUIT; USR1 writes the state to the log.

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
    /// Show the virtual routers of a running daemon
    Vrrp(vrrp::Options),
    /// Balance three embedded AMQP brokers, kill one, kill the master of two nodes, and count
    Demo(demo::Options),
}

/// The error with its causes, in one line.
fn with_causes(error: &dyn Error) -> String {
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
        Command::Vrrp(options) => vrrp::main(&options),
        Command::Demo(options) => demo::main(&options),
    })
}
