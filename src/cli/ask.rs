//! A question to a running daemon over its stats socket.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::with_causes;
use crate::stats::event::Recent;
use crate::stats::snapshot::Snapshot;

/// A daemon that takes longer hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// No answer is longer: a snapshot of 100,000 servers has 150 MB.
const LONGEST: u64 = 1 << 28;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there.
    #[error("no warren is running here, or its stats socket is elsewhere (try --socket PATH)")]
    NotRunning(#[source] io::Error),
    /// The mode of the socket.
    #[error("this user may not open the socket (try as root, or join the socket's group)")]
    Forbidden(#[source] io::Error),
    /// It hangs.
    #[error("the daemon has not answered within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// It went away.
    #[error("the daemon does not answer")]
    Silent(#[source] io::Error),
    /// It answers in words where data was wanted.
    #[error("the daemon says: {0}")]
    Refused(String),
    /// Something else answers.
    #[error("what answers is not this version of warren")]
    NotUnderstood(#[source] serde_json::Error),
}

impl AskError {
    /// The socket and the error with its causes, in one line.
    pub(super) fn explain(&self, socket: &Path) -> String {
        format!("{}: {}", socket.display(), with_causes(self))
    }
}

/// Everything that the daemon knows now.
pub(super) fn snapshot(socket: &Path) -> Result<Snapshot, AskError> {
    ask(socket, "warren status", PATIENCE)
}

/// The same, or in words why it is not known.
pub(super) fn fetch(socket: &Path) -> Result<Snapshot, String> {
    snapshot(socket).map_err(|error| error.explain(socket))
}

/// What has happened after the event of this number.
pub(super) fn recent(socket: &Path, number: u64) -> Result<Recent, AskError> {
    ask(socket, &format!("warren events {number}"), PATIENCE)
}

/// The answer to a command, or in words why there is none.
pub(super) fn words(socket: &Path, command: &str, patience: Duration) -> Result<String, String> {
    let answer = exchange(socket, command, patience).map_err(|error| error.explain(socket))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The answer to a command whose answer is JSON.
pub(super) fn ask<T: DeserializeOwned>(
    socket: &Path,
    command: &str,
    patience: Duration,
) -> Result<T, AskError> {
    let answer = exchange(socket, command, patience)?;
    let text = String::from_utf8_lossy(&answer);
    if !text.is_empty() && !text.starts_with('{') {
        let words = text.lines().next().unwrap_or_default();
        return Err(AskError::Refused(words.to_owned()));
    }
    serde_json::from_str(&text).map_err(AskError::NotUnderstood)
}

fn exchange(socket: &Path, command: &str, patience: Duration) -> Result<Vec<u8>, AskError> {
    let mut stream = UnixStream::connect(socket).map_err(|error| {
        if error.kind() == ErrorKind::PermissionDenied {
            AskError::Forbidden(error)
        } else {
            AskError::NotRunning(error)
        }
    })?;
    let mut answer = Vec::new();
    stream
        .set_read_timeout(Some(patience))
        .and_then(|()| stream.set_write_timeout(Some(patience)))
        .and_then(|()| stream.write_all(format!("{command}\n").as_bytes()))
        .and_then(|()| stream.take(LONGEST).read_to_end(&mut answer))
        .map_err(|error| {
            // EAGAIN is what a socket with a time limit says when the time is over.
            if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
                AskError::TimedOut(patience)
            } else {
                AskError::Silent(error)
            }
        })?;
    Ok(answer)
}
