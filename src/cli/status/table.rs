//! *pure* Aligned columns.

use std::fmt::Write as _;

/// Colour of a cell on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    /// None.
    Plain,
    /// Good.
    Green,
    /// On the way, or out of rotation on purpose.
    Yellow,
    /// Bad.
    Red,
    /// Names and headings.
    Bold,
}

impl Paint {
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Green => Some("32"),
            Self::Yellow => Some("33"),
            Self::Red => Some("31"),
            Self::Bold => Some("1"),
        }
    }

    /// `text` in this colour, if there are colours.
    pub(super) fn apply(self, text: &str, colours: bool) -> String {
        match self.code() {
            Some(code) if colours => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

/// A column: heading and side.
pub(super) enum Column {
    /// Texts.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

impl Column {
    const fn heading(&self) -> &'static str {
        match self {
            Self::Left(heading) | Self::Right(heading) => heading,
        }
    }
}

/// A cell.
pub(super) struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self::painted(text, Paint::Plain)
    }

    pub(super) fn painted(text: impl Into<String>, paint: Paint) -> Self {
        Self {
            text: text.into(),
            paint,
        }
    }
}

/// The heading and the rows, two blanks apart, no blanks at the ends of lines.
pub(super) fn render(columns: &[Column], rows: &[Vec<Cell>], colours: bool) -> String {
    let width = |index: usize| {
        let cells = rows.iter().filter_map(|row| row.get(index));
        cells
            .map(|cell| cell.text.chars().count())
            .chain([columns[index].heading().len()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let heading: Vec<Cell> = columns
        .iter()
        .map(|column| Cell::painted(column.heading(), Paint::Bold))
        .collect();
    let mut text = String::new();
    for row in std::iter::once(&heading).chain(rows) {
        let mut line = String::new();
        for (index, cell) in row.iter().enumerate() {
            // The width is that of the text; colour codes take no room on the screen.
            let gap = widths[index] - cell.text.chars().count();
            let painted = cell.paint.apply(&cell.text, colours);
            // Writing to a String cannot fail.
            let _ = match columns[index] {
                Column::Left(_) => write!(line, "{painted}{:gap$}  ", ""),
                Column::Right(_) => write!(line, "{:gap$}{painted}  ", ""),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
