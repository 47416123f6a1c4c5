//! `warren status`: one clear screen from a running daemon.

use std::path::PathBuf;

use super::ask;
use super::exit;
use super::output::{colours, complain, print, room};
use super::table::Room;
use crate::stats::snapshot::{Snapshot, VirtualRouterSnapshot};

pub(super) mod maintenance;
mod screen;
mod watch;

/// The daemon answers, but something is wrong, as the lines with `!` say.
pub const DEGRADED: u8 = 2;

/// The line of the prompt that follows.
const PROMPT: usize = 1;

/// Options of `warren status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
On a terminal it fits: columns that say least are left out, and of many servers those that are used
are summed up. Colours are left out when NO_COLOR is set.

Exit code: 0 all is well, 1 the daemon cannot be reached, 2 a server is down or not checked yet, a
pool has no usable server, a listener is disabled, connections of a drain do not end, a virtual
router is out of the election or not the only master, the last reload was refused, or the daemon is
stopping.")]
pub struct Options {
    /// The daemon's admin socket
    #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// Print JSON for programs
    #[arg(long)]
    pub json: bool,
    /// Show everything, however long it gets
    #[arg(short, long)]
    pub all: bool,
    /// Redraw every second until interrupted
    #[arg(short, long, conflicts_with_all = ["json", "all"])]
    pub watch: bool,
}

/// Runs the subcommand and returns the exit code.
#[must_use]
pub fn main(options: &Options) -> u8 {
    let result = if options.watch {
        watch::run(&options.socket)
    } else {
        Ok(once(options))
    };
    result.unwrap_or_else(|error| complain(format_args!("the terminal cannot be used: {error}")))
}

fn once(options: &Options) -> u8 {
    let snapshot = match ask::snapshot(&options.socket) {
        Ok(snapshot) => snapshot,
        Err(error) => return complain(error.explain(&options.socket)),
    };
    let code = exit_code(&snapshot);
    if options.json {
        return match serde_json::to_string_pretty(&snapshot) {
            Ok(json) => print(&format!("{json}\n"), code),
            Err(error) => complain(error),
        };
    }
    let room = room();
    let lines = match options.all {
        true => usize::MAX,
        false => room.lines.saturating_sub(PROMPT),
    };
    let room = Room { lines, ..room };
    print(&screen::render(&snapshot, room, colours()), code)
}

/// The section of `warren vrrp` about a virtual router.
pub(super) fn virtual_router(router: &VirtualRouterSnapshot) -> String {
    screen::virtual_router(router, colours())
}

fn exit_code(snapshot: &Snapshot) -> u8 {
    if snapshot.problems().is_empty() {
        exit::GOOD
    } else {
        DEGRADED
    }
}
