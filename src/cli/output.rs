//! What commands print, and on what.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};

use terminal_size::{Height, Width, terminal_size};

use super::exit;
use super::table::Room;

/// What standard output has room for now.
pub(super) fn room() -> Room {
    if !io::stdout().is_terminal() {
        return Room::ENDLESS;
    }
    terminal_size().map_or(Room::ENDLESS, |(Width(columns), Height(lines))| Room {
        columns: usize::from(columns),
        lines: usize::from(lines),
    })
}

/// Colours only for people who want them: <https://no-color.org>.
pub(super) fn colours() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Prints a whole answer and returns the exit code: `code`, unless it could not be printed. A
/// reader that has seen enough (`| head`) is not an error.
pub(super) fn print(text: &str, code: u8) -> u8 {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            complain(format_args!("the answer could not be printed: {error}"))
        }
        Ok(()) | Err(_) => code,
    }
}

/// Says what failed, and returns the exit code for that.
pub(super) fn complain(what: impl Display) -> u8 {
    fail(what, exit::FAILED)
}

/// Says what is wrong with an argument, and returns the exit code for that.
pub(super) fn misuse(argument: &str, words: impl Display) -> u8 {
    fail(format_args!("{argument}: {words}"), exit::USAGE)
}

/// Says what failed, and returns `code`.
pub(super) fn fail(what: impl Display, code: u8) -> u8 {
    // Nothing is left to do if that stream is gone too.
    let _ = writeln!(io::stderr(), "warren: {what}");
    code
}
