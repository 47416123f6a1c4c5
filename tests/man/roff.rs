//! Text as roff.

use std::fmt::Write as _;

/// A text whose characters mean themselves.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '"' => out.push_str("\\(dq"),
            '\'' => out.push_str("\\(aq"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            '`' => out.push_str("\\(ga"),
            c => out.push(c),
        }
    }
    out
}

/// Lines of text, none of which is a request; what stands between backticks is bold.
pub(crate) fn lines(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut parts = line.trim().split('`');
        let mut shown = escaped(parts.next().unwrap_or_default());
        for (index, part) in parts.enumerate() {
            let font = if index.is_multiple_of(2) {
                "\\fB"
            } else {
                "\\fR"
            };
            shown.push_str(font);
            shown.push_str(&escaped(part));
        }
        // A quotation that goes on in the next line ends there.
        if line.matches('`').count() % 2 == 1 {
            shown.push_str("\\fR");
        }
        let guard = if shown.starts_with('.') { "\\&" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{guard}{shown}");
    }
    out
}

/// Lines that stay as they are.
pub(crate) fn literal(text: &str) -> String {
    let lines = text.trim_end().lines().map(|line| {
        let guard = if line.starts_with('.') { "\\&" } else { "" };
        format!("{guard}{}\n", escaped(line))
    });
    lines.collect()
}
