//! `warren status --watch`: the screen again every second, and when the terminal's size changes.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{exit_code, screen};
use crate::cli::ask::{self, AskError};
use crate::cli::exit;
use crate::cli::output::{colours, complain, room};
use crate::cli::table::{Room, cut};
use crate::cli::units::age;
use crate::stats::snapshot::Snapshot;

const PERIOD: Duration = Duration::from_secs(1);

/// Second screen, no cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// As it was before.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// Home; each line is cleared to its end, then what is below the last one.
const HOME: &str = "\x1b[H";
const CLEAR_TO_END: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// Gives the terminal back, however the watch ends.
struct Terminal;

impl Terminal {
    fn enter() -> io::Result<Self> {
        draw(ENTER)?;
        Ok(Self)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to give back.
        let _ = draw(LEAVE);
    }
}

fn draw(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Draws until interrupted. The exit code is that of the last screen.
pub(super) fn run(socket: &Path) -> io::Result<u8> {
    // Without a daemon at the start the plain error is more useful than a screen that says so.
    let first = match ask::snapshot(socket) {
        Ok(snapshot) => snapshot,
        Err(error) => return Ok(complain(error.explain(socket))),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(watch(socket.to_owned(), first));
    // A daemon that hangs is not waited for.
    runtime.shutdown_background();
    result
}

async fn watch(socket: PathBuf, first: Snapshot) -> io::Result<u8> {
    let mut end = End::new()?;
    let mut resized = signal(SignalKind::window_change())?;
    let _terminal = Terminal::enter()?;
    let mut seen = Seen {
        snapshot: first,
        at: Instant::now(),
        trouble: None,
    };
    loop {
        draw(&frame(&seen, room(), colours()))?;
        let next = tokio::time::sleep(PERIOD);
        tokio::pin!(next);
        loop {
            tokio::select! {
                () = &mut next => break,
                () = end.wanted() => return Ok(seen.exit_code()),
                _ = resized.recv() => draw(&frame(&seen, room(), colours()))?,
            }
        }
        let path = socket.clone();
        let mut asked = tokio::task::spawn_blocking(move || ask::snapshot(&path));
        let answer = loop {
            tokio::select! {
                answer = &mut asked => break answer.map_err(io::Error::other)?,
                () = end.wanted() => return Ok(seen.exit_code()),
                _ = resized.recv() => draw(&frame(&seen, room(), colours()))?,
            }
        };
        seen.take(answer, &socket);
    }
}

/// The signals that end it.
struct End {
    interrupted: Signal,
    terminated: Signal,
}

impl End {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupted: signal(SignalKind::interrupt())?,
            terminated: signal(SignalKind::terminate())?,
        })
    }

    /// Waits until somebody wants the end.
    async fn wanted(&mut self) {
        tokio::select! {
            _ = self.interrupted.recv() => {}
            _ = self.terminated.recv() => {}
        }
    }
}

/// What is known of the daemon.
struct Seen {
    /// As it was last seen.
    snapshot: Snapshot,
    /// When that was.
    at: Instant,
    /// Why there is nothing newer.
    trouble: Option<String>,
}

impl Seen {
    fn take(&mut self, answer: Result<Snapshot, AskError>, socket: &Path) {
        match answer {
            Ok(snapshot) => {
                *self = Self {
                    snapshot,
                    at: Instant::now(),
                    trouble: None,
                }
            }
            Err(error) => self.trouble = Some(error.explain(socket)),
        }
    }

    fn exit_code(&self) -> u8 {
        match self.trouble {
            None => exit_code(&self.snapshot),
            Some(_) => exit::FAILED,
        }
    }
}

/// One screenful over the last one, without flicker. A daemon that is gone leaves its last screen
/// below the line that says so.
fn frame(seen: &Seen, room: Room, colours: bool) -> String {
    let mut text = String::new();
    if let Some(trouble) = &seen.trouble {
        let ago = u64::try_from(seen.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let told = format!("{trouble}; below is what was {} ago", age(ago));
        for line in [cut(&told, room.columns), String::new()] {
            text.push_str(&line);
            text.push('\n');
        }
    }
    let left = Room {
        lines: room.lines.saturating_sub(text.matches('\n').count()),
        ..room
    };
    text.push_str(&screen::render(&seen.snapshot, left, colours));
    let mut lines: Vec<&str> = text.lines().collect();
    let more;
    if lines.len() > room.lines && room.lines > 0 {
        more = format!(
            "{} lines more: warren status --all",
            lines.len() - room.lines + 1
        );
        lines.truncate(room.lines - 1);
        lines.push(&more);
    }
    let mut frame = HOME.to_owned();
    for (index, line) in lines.iter().enumerate() {
        let end = if index == 0 { "" } else { "\n" };
        frame.push_str(end);
        frame.push_str(line);
        frame.push_str(CLEAR_TO_END);
    }
    frame.push_str(CLEAR_BELOW);
    frame
}
