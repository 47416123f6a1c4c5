//! `warren status --watch`: the screen again every second.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::{StatusError, ask, colours, exit_code, explain, parse, screen};
use crate::cli::exit;

const PERIOD: Duration = Duration::from_secs(1);

/// Second screen, no cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// As it was before.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// Home; each line is cleared to its end, then what is below the last one.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K\n";
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
pub(super) fn run(socket: &Path) -> Result<u8, StatusError> {
    // Without a daemon at the start the plain error is more useful than a screen that says so.
    parse(&ask(socket)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StatusError::Print)?;
    runtime.block_on(redraw(socket)).map_err(StatusError::Print)
}

async fn redraw(socket: &Path) -> io::Result<u8> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let _terminal = Terminal::enter()?;
    loop {
        // Asking blocks for a moment, which nothing else in this process minds.
        let (text, code) = match ask(socket).and_then(|answer| parse(&answer)) {
            Ok(snapshot) => (screen::render(&snapshot, colours()), exit_code(&snapshot)),
            Err(error) => (format!("{}\n", explain(&error, socket)), exit::FAILED),
        };
        draw(&frame(&text))?;
        tokio::select! {
            _ = interrupt.recv() => return Ok(code),
            _ = terminate.recv() => return Ok(code),
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

/// One screenful over the last one, without flicker.
fn frame(text: &str) -> String {
    format!("{HOME}{}{CLEAR_BELOW}", text.replace('\n', CLEAR_LINE))
}
