//! *pure* The forms that HAProxy has for one and the same numbers: plain, typed and JSON.
//!
//! A typed value carries three letters: where it comes from (`M`etric, `S`tatus, `K`ey, `C`onfig,
//! `P`roduct), what it is (`G`auge, `L`imit, `M`ax, `R`ate, `C`ounter, `D`uration, `A`ge, `N`ame,
//! `O`utput, `a`verage) and whom it is about (`P`rocess or `S`ervice); then its type.

use std::fmt::Write as _;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// Lines of `Key: value`, or CSV.
    #[default]
    Plain,
    /// One line per value, with tags and type.
    Typed,
    /// The same as JSON, in one line.
    Json,
}

/// A form with its options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// The form.
    pub form: Form,
    /// Each value of a form that has lines for single values is followed by what it means.
    pub described: bool,
    /// Times with fractions.
    pub float: bool,
}

impl Style {
    /// The style that the words of a command ask for; of several forms the last one counts.
    #[must_use]
    pub fn of(words: &[&str]) -> Self {
        let mut style = Self::default();
        for word in words {
            match *word {
                "typed" => style.form = Form::Typed,
                "json" => style.form = Form::Json,
                "desc" => style.described = true,
                "float" => style.float = true,
                _ => {}
            }
        }
        style
    }
}

/// What a field means, apart from its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// Its name.
    pub name: &'static str,
    /// Origin, nature and scope, a letter each.
    pub tags: &'static str,
    /// `str`, `u32`, `u64`, `s32` or `flt`.
    pub kind: &'static str,
    /// In words.
    pub about: &'static str,
}

/// A [`Meaning`], short enough for tables.
pub(super) const fn m(
    name: &'static str,
    tags: &'static str,
    kind: &'static str,
    about: &'static str,
) -> Meaning {
    Meaning {
        name,
        tags,
        kind,
        about,
    }
}

impl Meaning {
    /// Writes `position.name.1:tags:kind:value`.
    pub(super) fn typed(&self, text: &mut String, position: usize, value: &str) {
        let (name, tags, kind) = (self.name, self.tags, self.kind);
        let value = one_line(value);
        // Writing to a String cannot fail.
        let _ = write!(text, "{position}.{name}.1:{tags}:{kind}:{value}");
    }

    /// Writes what the field means, in quotes.
    pub(super) fn describe(&self, text: &mut String) {
        let _ = write!(text, ":\"{}\"", self.about);
    }

    /// Writes the members of an object, without its braces.
    pub(super) fn json(&self, text: &mut String, position: usize, value: &str) {
        let (name, kind) = (self.name, self.kind);
        let letter = |index: usize| self.tags.as_bytes().get(index).copied().unwrap_or(b'?');
        let (origin, nature, scope) = (origin(letter(0)), nature(letter(1)), scope(letter(2)));
        let value = match kind {
            "str" => serde_json::Value::from(value).to_string(),
            _ => value.to_owned(),
        };
        let _ = write!(
            text,
            "\"field\":{{\"pos\":{position},\"name\":\"{name}\"}},\"processNum\":1,\
             \"tags\":{{\"origin\":\"{origin}\",\"nature\":\"{nature}\",\"scope\":\"{scope}\"}},\
             \"value\":{{\"type\":\"{kind}\",\"value\":{value}}}"
        );
    }
}

/// A line break would end the value; it becomes a space.
pub(super) fn one_line(value: &str) -> String {
    value.replace(['\n', '\r'], " ")
}

const fn origin(letter: u8) -> &'static str {
    match letter {
        b'M' => "Metric",
        b'S' => "Status",
        b'K' => "Key",
        b'C' => "Config",
        b'P' => "Product",
        _ => "Unknown",
    }
}

const fn nature(letter: u8) -> &'static str {
    match letter {
        b'G' => "Gauge",
        b'L' => "Limit",
        b'M' => "Max",
        b'R' => "Rate",
        b'C' => "Counter",
        b'D' => "Duration",
        b'A' => "Age",
        b'N' => "Name",
        b'O' => "Output",
        b'a' => "Avg",
        _ => "Unknown",
    }
}

const fn scope(letter: u8) -> &'static str {
    match letter {
        b'P' => "Process",
        b'S' => "Service",
        _ => "Unknown",
    }
}
