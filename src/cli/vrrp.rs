//! `warren vrrp`: the virtual routers of a running daemon, and an exit code for scripts.

use std::path::PathBuf;

use super::output::{complain, print};
use super::{ask, exit, status};
use crate::stats::snapshot::{Snapshot, VirtualRouterSnapshot};

/// Options of `warren vrrp`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code: 0 every virtual router takes part in the election, as backup or the only master, 1 the
daemon cannot be reached, 2 one of them is out of the election or not the only master, or there is
none.")]
pub struct Options {
    /// The daemon's admin socket
    #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// Print nothing
    #[arg(short, long)]
    pub quiet: bool,
}

/// Runs the subcommand and returns the exit code.
#[must_use]
pub fn main(options: &Options) -> u8 {
    let snapshot = match ask::fetch(&options.socket) {
        Ok(snapshot) => snapshot,
        Err(words) => return complain(words),
    };
    if options.quiet {
        return exit_code(&snapshot);
    }
    let sections = snapshot.virtual_routers.iter();
    let sections: Vec<String> = sections.map(status::virtual_router).collect();
    let text = match sections.is_empty() {
        true => "no virtual routers: the configuration has no [vrrp.NAME]\n".to_owned(),
        false => sections.join("\n"),
    };
    print(&text, exit_code(&snapshot))
}

fn exit_code(snapshot: &Snapshot) -> u8 {
    let routers = &snapshot.virtual_routers;
    let good = |router: &VirtualRouterSnapshot| {
        matches!(router.state.as_str(), "master" | "backup") && router.other_master.is_none()
    };
    match !routers.is_empty() && routers.iter().all(good) {
        true => exit::GOOD,
        false => status::DEGRADED,
    }
}
