//! What the commands share that have a running daemon do something and wait for it.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use super::output::complain;
use super::{ask, exit};
use crate::stats::snapshot::Snapshot;

/// How often the daemon is asked how far it is.
const PERIOD: Duration = Duration::from_millis(500);

/// Where there is no terminal a line is printed only so often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How far something is.
pub(super) enum Progress {
    /// Not yet at its end, in words.
    Going(String),
    /// At its end, with the last words and the exit code.
    Over(String, u8),
}

/// Gives a command that is answered by nothing when it is obeyed.
pub(super) fn tell(socket: &Path, command: &str) -> Result<(), String> {
    let answer = ask::words(socket, command, ask::PATIENCE)?;
    match answer.trim() {
        "" => Ok(()),
        words => Err(words.to_owned()),
    }
}

/// Asks again and again how far it is, and shows it. When somebody interrupts that, `farewell` says
/// what becomes of what was begun.
pub(super) fn follow(socket: &Path, farewell: &str, judge: impl Fn(&Snapshot) -> Progress) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let followed = match runtime {
        Ok(runtime) => runtime.block_on(watch(socket, farewell, judge)),
        Err(error) => Err(error),
    };
    followed.unwrap_or_else(complain)
}

async fn watch(
    socket: &Path,
    farewell: &str,
    judge: impl Fn(&Snapshot) -> Progress,
) -> io::Result<u8> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut line = Line::default();
    loop {
        // Asking blocks for a moment, which nothing else in this process minds.
        match ask::fetch(socket).map(|snapshot| judge(&snapshot)) {
            Ok(Progress::Going(words)) => line.show(&words)?,
            Ok(Progress::Over(words, code)) => {
                line.end(&words)?;
                return Ok(code);
            }
            Err(words) => {
                line.end("")?;
                return Ok(complain(words));
            }
        }
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
    line.end(farewell)?;
    Ok(exit::FAILED)
}

/// One line that is written over on a terminal; elsewhere a new one from time to time.
#[derive(Default)]
struct Line {
    shown: String,
    printed: Option<Instant>,
}

impl Line {
    fn show(&mut self, words: &str) -> io::Result<()> {
        if self.shown == words {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        if out.is_terminal() {
            write!(out, "\r\x1b[K{words}")?;
        } else {
            if self.printed.is_some_and(|at| at.elapsed() < LINE_EVERY) {
                return Ok(());
            }
            writeln!(out, "{words}")?;
        }
        words.clone_into(&mut self.shown);
        self.printed = Some(Instant::now());
        out.flush()
    }

    /// The last words, if there are any.
    fn end(&self, words: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if out.is_terminal() {
            // What was shown last may be of interest where there are no other words.
            let over = if words.is_empty() { "\n" } else { "\r\x1b[K" };
            write!(out, "{over}")?;
        }
        if !words.is_empty() {
            writeln!(out, "{words}")?;
        }
        out.flush()
    }
}
