//! *pure* Aligned columns that fit into a width.

use std::fmt::Write as _;

/// What there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Characters in a line.
    pub(super) columns: usize,
    /// Lines.
    pub(super) lines: usize,
}

impl Room {
    /// A file or a pipe takes everything.
    pub(super) const ENDLESS: Self = Self {
        columns: usize::MAX,
        lines: usize::MAX,
    };
}

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

/// A flexible column keeps at least this width as long as others can be left out.
const READABLE: usize = 30;
/// No column becomes narrower.
const NARROWEST: usize = 8;

/// A column.
pub(super) struct Column {
    heading: &'static str,
    right: bool,
    /// 0: always shown. Of the others those of the highest rank are left out first, together.
    rank: u8,
    /// Cut before any other column is.
    flexible: bool,
}

impl Column {
    /// Texts.
    pub(super) const fn left(heading: &'static str) -> Self {
        Self {
            heading,
            right: false,
            rank: 0,
            flexible: false,
        }
    }

    /// Numbers.
    pub(super) const fn right(heading: &'static str) -> Self {
        Self {
            right: true,
            ..Self::left(heading)
        }
    }

    /// Left out where there is no room; the highest rank first.
    pub(super) const fn optional(self, rank: u8) -> Self {
        Self { rank, ..self }
    }

    /// Long texts whose beginning says most.
    pub(super) const fn flexible(self) -> Self {
        Self {
            flexible: true,
            ..self
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

/// The heading and the rows, two blanks apart, no blanks at the ends of lines. Lines are no longer
/// than `room`, unless there are too many columns that cannot be left out.
pub(super) fn render(columns: &[Column], rows: &[Vec<Cell>], room: usize, colours: bool) -> String {
    let widths = fit(columns, widest(columns, rows), room);
    let heading: Vec<Cell> = columns
        .iter()
        .map(|column| Cell::painted(column.heading, Paint::Bold))
        .collect();
    let mut text = String::new();
    for row in std::iter::once(&heading).chain(rows) {
        let mut line = String::new();
        for ((cell, column), width) in row.iter().zip(columns).zip(&widths) {
            let Some(width) = *width else { continue };
            let shown = cut(&cell.text, width);
            // The width is that of the text; colour codes take no room on the screen.
            let gap = width - shown.chars().count();
            let painted = cell.paint.apply(&shown, colours);
            // Writing to a String cannot fail.
            let _ = match column.right {
                false => write!(line, "{painted}{:gap$}  ", ""),
                true => write!(line, "{:gap$}{painted}  ", ""),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn widest(columns: &[Column], rows: &[Vec<Cell>]) -> Vec<usize> {
    let width = |(index, column): (usize, &Column)| {
        let cells = rows.iter().filter_map(|row| row.get(index));
        let texts = cells.map(|cell| cell.text.chars().count());
        texts.chain([column.heading.len()]).max().unwrap_or(0)
    };
    columns.iter().enumerate().map(width).collect()
}

/// The width of each column; `None`: it is left out.
fn fit(columns: &[Column], wanted: Vec<usize>, room: usize) -> Vec<Option<usize>> {
    let mut widths: Vec<Option<usize>> = wanted.into_iter().map(Some).collect();
    let total = |widths: &[Option<usize>], flexible_at_most: usize| {
        let shown = columns.iter().zip(widths);
        let shown = shown.filter_map(|(column, width)| {
            let width = (*width)?;
            Some(if column.flexible {
                width.min(flexible_at_most)
            } else {
                width
            })
        });
        shown
            .map(|width| width + 2)
            .sum::<usize>()
            .saturating_sub(2)
    };
    while total(&widths, READABLE) > room {
        let shown = columns.iter().zip(&widths);
        let ranks = shown.filter_map(|(column, width)| width.map(|_| column.rank));
        let Some(highest) = ranks.max().filter(|rank| *rank > 0) else {
            break;
        };
        for (column, width) in columns.iter().zip(&mut widths) {
            if column.rank == highest {
                *width = None;
            }
        }
    }
    // What is still too much is taken from texts: the flexible ones, then the widest.
    loop {
        let excess = total(&widths, usize::MAX).saturating_sub(room);
        let texts = columns.iter().zip(&widths).enumerate();
        let texts = texts.filter(|(_, (column, width))| {
            !column.right && width.is_some_and(|width| width > NARROWEST)
        });
        let widest = texts.max_by_key(|(_, (column, width))| (column.flexible, **width));
        let Some((index, (_, Some(width)))) = widest.filter(|_| excess > 0) else {
            return widths;
        };
        widths[index] = Some(width.saturating_sub(excess).max(NARROWEST));
    }
}

/// `text` in at most `width` characters, the last of them `…` if something is missing.
pub(super) fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) => {
            let kept: String = text.chars().take(width.saturating_sub(1)).collect();
            format!("{kept}…")
        }
    }
}

/// What a server or a check said must not move the cursor.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::left("NAME"),
        Column::right("TOTAL").optional(1),
        Column::right("MOST").optional(2),
        Column::left("CHECK").flexible(),
    ];

    fn shown(room: usize) -> String {
        let row = |name: &str, check: &str| {
            ["", name, "12", "7", check][1..]
                .iter()
                .map(|text| Cell::new(*text))
                .collect::<Vec<_>>()
        };
        let long = "a check that has very much to say of what it found";
        render(
            &COLUMNS,
            &[row("one", "ok"), row("zwölf", long)],
            room,
            false,
        )
    }

    #[test]
    fn what_matters_least_is_left_out_first_and_long_texts_are_cut() {
        let full = "\
NAME   TOTAL  MOST  CHECK
one       12     7  ok
zwölf     12     7  a check that has very much to say of what it found
";
        assert_eq!(shown(usize::MAX), full);
        assert_eq!(shown(70), full);
        // From here on the check is cut, as long as it has 30 characters.
        assert!(
            shown(50).contains("  7  a check that has very much to…\n"),
            "{}",
            shown(50)
        );
        assert!(!shown(49).contains("MOST") && shown(49).contains("TOTAL"));
        let narrow = "\
NAME   CHECK
one    ok
zwölf  a check that …
";
        assert_eq!(shown(21), narrow);
        for room in 20..80 {
            let text = shown(room);
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(room), "{room}: {text}");
        }
    }

    #[test]
    fn a_name_is_cut_when_nothing_else_is_left() {
        let columns = [Column::left("NAME"), Column::left("STATE")];
        let row = vec![Cell::new("x".repeat(64)), Cell::new("down")];
        let text = render(&columns, &[row], 40, false);
        assert!(
            text.ends_with(&format!("{}…  down\n", "x".repeat(32))),
            "{text}"
        );
    }
}
