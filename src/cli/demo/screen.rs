//! The terminal: events scroll by, and below them a table is drawn again and again. When the
//! output is no terminal there are only events.

use std::fmt;
use std::io::{self, IsTerminal, Stdout, Write};
use std::time::{Duration, Instant};

use super::ledger::Totals;

/// Erases from the cursor to the end of the screen.
const ERASE_BELOW: &str = "\x1b[J";
/// The longest bar of connections, one `=` each.
const BAR_MAX: usize = 32;

/// One line of the table.
pub(super) struct Row<'a> {
    pub name: &'static str,
    pub state: &'a str,
    /// Open connections.
    pub open: u32,
    /// Connections so far.
    pub total: u64,
}

/// Standard output. What cannot be written is not missed: the exit code carries the result.
pub(super) struct Screen {
    out: Stdout,
    started: Instant,
    live: bool,
    /// Lines of the table that are on the screen, below which the cursor stands.
    table: usize,
    /// When the rates were last computed, from which totals.
    measured: (Instant, Totals),
}

impl Screen {
    pub(super) fn new(started: Instant) -> Self {
        let out = io::stdout();
        Self {
            live: out.is_terminal(),
            out,
            started,
            table: 0,
            measured: (started, Totals::default()),
        }
    }

    /// Writes a line with the time that has passed.
    pub(super) fn event(&mut self, at: Instant, text: impl fmt::Display) {
        self.erase();
        let seconds = at.saturating_duration_since(self.started).as_secs_f64();
        let _ = writeln!(self.out, "{seconds:7.2} s  {text}");
        let _ = self.out.flush();
    }

    /// Writes text without a time.
    pub(super) fn text(&mut self, text: impl fmt::Display) {
        self.erase();
        let _ = writeln!(self.out, "{text}");
        let _ = self.out.flush();
    }

    /// Writes what is wrong, or that nothing is. True: nothing.
    pub(super) fn judge(&mut self, complaints: &[String]) -> bool {
        if complaints.is_empty() {
            self.text("Nothing was lost.");
        }
        for complaint in complaints {
            self.text(format_args!("WRONG: {complaint}"));
        }
        complaints.is_empty()
    }

    /// Draws the table, on a terminal. `what` is in its rows.
    pub(super) fn draw(&mut self, what: &str, rows: &[Row<'_>], totals: Totals, now: Instant) {
        if !self.live {
            return;
        }
        self.erase();
        let before = self.measured.1;
        let lines = render(what, rows, totals, before, now - self.measured.0);
        self.measured = (now, totals);
        self.table = lines.len();
        for line in lines {
            let _ = writeln!(self.out, "{line}");
        }
        let _ = self.out.flush();
    }

    fn erase(&mut self) {
        let lines = std::mem::take(&mut self.table);
        if lines > 0 {
            let _ = write!(self.out, "\x1b[{lines}A\r{ERASE_BELOW}");
        }
    }
}

/// The lines of the table, each shorter than 80 columns so that none wraps.
fn render(
    what: &str,
    rows: &[Row<'_>],
    totals: Totals,
    before: Totals,
    elapsed: Duration,
) -> Vec<String> {
    let mut lines = vec![
        String::new(),
        format!("  {:<10}{:<9}{:>5}{:>8}", what, "state", "open", "so far"),
    ];
    for row in rows {
        let bar = usize::try_from(row.open).unwrap_or(BAR_MAX);
        lines.push(format!(
            "  {:<10}{:<9}{:>5}{:>8}  {}",
            row.name,
            row.state,
            row.open,
            row.total,
            "=".repeat(bar.min(BAR_MAX))
        ));
    }
    let rate = |now: u64, before: u64| {
        let per_second = u128::from(now - before) * 1000 / elapsed.as_millis().max(1);
        format!("{now:>8} {per_second:>6}/s")
    };
    lines.push(format!(
        "  confirmed{}   consumed{}   duplicates {}",
        rate(totals.confirmed, before.confirmed),
        rate(totals.consumed, before.consumed),
        totals.duplicates
    ));
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Row, render};
    use crate::cli::demo::ledger::Totals;
    use crate::pool::server::State;

    #[test]
    fn table_fits_a_terminal() {
        let rows = [State::Up, State::Unknown]
            .map(State::name)
            .map(|state| Row {
                name: "rabbit-1",
                state,
                open: u32::MAX,
                total: 99_999,
            });
        let totals = Totals {
            confirmed: 9_999_999,
            consumed: 9_999_999,
            duplicates: 99_999,
            ..Totals::default()
        };
        let before = Totals {
            confirmed: 9_998_999,
            ..totals
        };
        let lines = render("server", &rows, totals, before, Duration::from_millis(500));
        assert_eq!(lines.len(), 5);
        for line in &lines {
            assert!(line.chars().count() < 80, "{line}");
        }
        assert!(lines[4].contains("9999999   2000/s"), "{}", lines[4]);
    }
}
