//! `warren ready` and `warren maint`: what an operator says of a server.

use std::path::PathBuf;

use super::drain::full_name;
use super::exit;
use super::output::complain;
use super::talk;

/// Options of `warren ready` and `warren maint`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code: 0 done, 1 the daemon cannot be reached or refuses, 64 there is no such server.")]
pub struct Options {
    /// The server: POOL/SERVER, or SERVER alone if only one pool has it
    #[arg(value_name = "SERVER", add = super::complete::servers())]
    pub server: String,
    /// The daemon's admin socket
    #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// Runs the subcommand and returns the exit code; `verb` is the command on the socket.
#[must_use]
pub fn main(options: &Options, verb: &str) -> u8 {
    let name = match full_name(&options.socket, &options.server) {
        Ok(name) => name,
        Err(code) => return code,
    };
    match talk::tell(&options.socket, &format!("{verb} server {name}")) {
        Ok(()) => exit::GOOD,
        Err(words) => complain(words),
    }
}
