//! `warren status`: one clear screen from a running daemon.

use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{exit, with_causes};
use crate::stats::snapshot::{Snapshot, VirtualRouterSnapshot};

pub(super) mod maintenance;
mod screen;
mod table;
pub(super) mod units;
mod watch;

/// The daemon answers, but something is wrong: a server is down or a pool has none left.
pub const DEGRADED: u8 = 2;

/// A daemon that takes longer hangs.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// Options of `warren status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code: 0 all is well, 1 the daemon cannot be reached, 2 a server is down or not checked yet, a
pool has no usable server, a virtual router is out of the election or not the only master, or the
daemon is stopping.")]
pub struct Options {
    /// The daemon's admin socket
    #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// Print JSON for programs
    #[arg(long)]
    pub json: bool,
    /// Redraw every second until interrupted
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
}

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
enum StatusError {
    #[error("no warren is running here, or its stats socket is elsewhere (try --socket PATH)")]
    NotRunning(#[source] io::Error),
    #[error("this user may not open the socket (try as root, or join the socket's group)")]
    Forbidden(#[source] io::Error),
    #[error("the daemon has not answered within {} s", TIMEOUT.as_secs())]
    TimedOut,
    #[error("the daemon does not answer")]
    Silent(#[source] io::Error),
    #[error("what answers is not this version of warren")]
    NotUnderstood(#[source] serde_json::Error),
    #[error("the answer could not be printed")]
    Print(#[source] io::Error),
}

/// Runs the subcommand and returns the exit code.
#[must_use]
pub fn main(options: &Options) -> u8 {
    let result = if options.watch {
        watch::run(&options.socket)
    } else {
        once(options)
    };
    result.unwrap_or_else(|error| {
        eprintln!("warren: {}", explain(&error, &options.socket));
        exit::FAILED
    })
}

fn once(options: &Options) -> Result<u8, StatusError> {
    let answer = ask(&options.socket)?;
    let snapshot = parse(&answer)?;
    let text = if options.json {
        let mut text =
            serde_json::to_string_pretty(&snapshot).map_err(StatusError::NotUnderstood)?;
        text.push('\n');
        text
    } else {
        screen::render(&snapshot, colours())
    };
    match io::stdout().write_all(text.as_bytes()) {
        // `warren status | head` is not an error.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(StatusError::Print(error)),
        _ => Ok(exit_code(&snapshot)),
    }
}

/// The answer of the daemon behind a socket to a command, or in words why there is none.
pub(super) fn command(socket: &Path, line: &str, patience: Duration) -> Result<String, String> {
    let answer = exchange(socket, line, patience).map_err(|error| explain(&error, socket))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// What the daemon behind a socket is doing, or in words why that is not known.
pub(super) fn fetch(socket: &Path) -> Result<Snapshot, String> {
    let fetched = ask(socket).and_then(|answer| parse(&answer));
    fetched.map_err(|error| explain(&error, socket))
}

/// The section of the screen about a virtual router.
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

/// Colours only for people who want them: <https://no-color.org>.
fn colours() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The socket and the error with its causes, in one line.
fn explain(error: &StatusError, socket: &Path) -> String {
    format!("{}: {}", socket.display(), with_causes(error))
}

fn ask(socket: &Path) -> Result<Vec<u8>, StatusError> {
    exchange(socket, "warren status", TIMEOUT)
}

fn exchange(socket: &Path, command: &str, patience: Duration) -> Result<Vec<u8>, StatusError> {
    let mut stream = UnixStream::connect(socket).map_err(|error| {
        if error.kind() == ErrorKind::PermissionDenied {
            StatusError::Forbidden(error)
        } else {
            StatusError::NotRunning(error)
        }
    })?;
    let mut answer = Vec::new();
    stream
        .set_read_timeout(Some(patience))
        .and_then(|()| stream.set_write_timeout(Some(TIMEOUT)))
        .and_then(|()| stream.write_all(format!("{command}\n").as_bytes()))
        .and_then(|()| stream.read_to_end(&mut answer))
        .map_err(|error| {
            // EAGAIN is what a socket with a time limit says when the time is over.
            if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
                StatusError::TimedOut
            } else {
                StatusError::Silent(error)
            }
        })?;
    Ok(answer)
}

fn parse(answer: &[u8]) -> Result<Snapshot, StatusError> {
    serde_json::from_slice(answer).map_err(StatusError::NotUnderstood)
}
