//! One log line as bytes: text for people, JSON for programs, fields for the journal.
//!
//! What the network says ends up in values, so they are cut at [`MAX_VALUE`] bytes and cannot
//! forge lines or drive a terminal: control characters are escaped in text, and JSON and the
//! journal's protocol carry them as data.

use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime};

use tracing::Level;
use tracing::field::{Field, Visit};

use crate::calendar;

/// The longest message or value in bytes; the rest is cut off and shows as `…`.
const MAX_VALUE: usize = 2048;
/// The longest field name that journald takes.
const MAX_JOURNAL_NAME: usize = 64;
const IDENTIFIER: &str = "warren";

/// One event, independent of how it will be written.
#[derive(Debug)]
pub(super) struct Record {
    at: SystemTime,
    level: Level,
    target: String,
    message: String,
    fields: Vec<(&'static str, Value)>,
}

#[derive(Debug)]
enum Value {
    Text(String),
    /// A number or boolean as JSON writes it.
    Plain(String),
}

impl Record {
    pub(super) fn of(event: &tracing::Event<'_>, at: SystemTime) -> Self {
        let metadata = event.metadata();
        let mut record = Self {
            at,
            level: *metadata.level(),
            target: metadata.target().to_owned(),
            message: String::new(),
            fields: Vec::with_capacity(metadata.fields().len()),
        };
        event.record(&mut record);
        record
    }

    /// The line that stands for `count` lines that are missing.
    pub(super) fn of_dropped(count: u64, at: SystemTime) -> Self {
        Self {
            at,
            level: Level::WARN,
            target: module_path!().to_owned(),
            message: "log lines were dropped".to_owned(),
            fields: vec![("dropped", Value::Plain(count.to_string()))],
        }
    }

    fn text(&mut self, field: &Field, text: String) {
        if field.name() == "message" {
            self.message = text;
        } else {
            self.fields.push((field.name(), Value::Text(text)));
        }
    }

    fn plain(&mut self, field: &Field, literal: String) {
        self.fields.push((field.name(), Value::Plain(literal)));
    }
}

impl Visit for Record {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, bounded(format_args!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, bounded(format_args!("{value}")));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.plain(field, serde_json::Value::from(value).to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value.to_string());
    }
}

/// The text of `arguments`, cut at [`MAX_VALUE`] bytes while it is being made.
fn bounded(arguments: fmt::Arguments<'_>) -> String {
    struct Bounded(String);
    impl fmt::Write for Bounded {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let room = MAX_VALUE - self.0.len();
            if text.len() <= room {
                self.0.push_str(text);
                return Ok(());
            }
            self.0.push_str(&text[..text.floor_char_boundary(room)]);
            Err(fmt::Error)
        }
    }
    let mut out = Bounded(String::new());
    if out.write_fmt(arguments).is_err() {
        out.0.push('…');
    }
    out.0
}

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Text {
        /// The level in colour.
        coloured: bool,
        /// `<3>` and the like at the start, for a journal that reads the stream (sd-daemon(3)).
        prefixed: bool,
    },
    Json,
    Journal,
}

impl Shape {
    pub(super) fn encode(self, record: &Record) -> Vec<u8> {
        match self {
            Self::Text { coloured, prefixed } => text(record, coloured, prefixed).into_bytes(),
            Self::Json => json(record).into_bytes(),
            Self::Journal => journal(record),
        }
    }
}

/// `2026-11-25T01:53:01.123Z INFO message key=value other="two words"`
fn text(record: &Record, coloured: bool, prefixed: bool) -> String {
    let mut out = String::with_capacity(128);
    if prefixed {
        let _ = write!(out, "<{}>", priority(record.level));
    }
    push_timestamp(&mut out, record.at);
    let level = record.level.as_str();
    if coloured {
        let _ = write!(out, " \x1b[{}m{level:<5}\x1b[0m ", colour(record.level));
    } else {
        let _ = write!(out, " {level:<5} ");
    }
    push_words(&mut out, record);
    out.push('\n');
    out
}

/// `message key=value other="two words"`
fn push_words(out: &mut String, record: &Record) {
    push_escaped(out, &record.message);
    for (name, value) in &record.fields {
        let _ = write!(out, " {name}=");
        match value {
            Value::Plain(value) => out.push_str(value),
            Value::Text(value) if is_one_word(value) => out.push_str(value),
            Value::Text(value) => {
                let _ = write!(out, "{value:?}");
            }
        }
    }
}

fn is_one_word(value: &str) -> bool {
    let breaks = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '"' | '=' | '\\');
    !value.is_empty() && !value.contains(breaks)
}

fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
}

/// `{"timestamp":…,"level":…,"target":…,"message":…,"key":value}`, one object per line.
fn json(record: &Record) -> String {
    let mut out = String::with_capacity(192);
    out.push_str("{\"timestamp\":\"");
    push_timestamp(&mut out, record.at);
    out.push('"');
    push_member(&mut out, "level", &quoted(record.level.as_str()));
    push_member(&mut out, "target", &quoted(&record.target));
    push_member(&mut out, "message", &quoted(&record.message));
    for (name, value) in &record.fields {
        match value {
            Value::Plain(value) => push_member(&mut out, name, value),
            Value::Text(value) => push_member(&mut out, name, &quoted(value)),
        }
    }
    out.push_str("}\n");
    out
}

fn push_member(out: &mut String, name: &str, value: &str) {
    let _ = write!(out, ",{}:{value}", quoted(name));
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// systemd's native protocol (`JOURNAL_NATIVE_PROTOCOL` in its documentation), every field in the
/// form that allows any octet: name, LF, length as 64 bits little-endian, value, LF.
fn journal(record: &Record) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let priority = priority(record.level).to_string();
    // The values once more: `journalctl -u` and `systemctl status` show nothing but this.
    let mut words = String::with_capacity(128);
    push_words(&mut words, record);
    push_journal_field(&mut out, "MESSAGE", &words);
    push_journal_field(&mut out, "PRIORITY", &priority);
    push_journal_field(&mut out, "SYSLOG_IDENTIFIER", IDENTIFIER);
    push_journal_field(&mut out, "TARGET", &record.target);
    for (name, value) in &record.fields {
        let (Value::Text(value) | Value::Plain(value)) = value;
        push_journal_field(&mut out, &journal_name(name), value);
    }
    out
}

fn push_journal_field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

/// Capital letters, digits and underscores, starting with a letter: journald ignores others.
fn journal_name(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' => c.to_ascii_uppercase(),
            _ => '_',
        })
        .skip_while(|c| !c.is_ascii_alphabetic())
        .take(MAX_JOURNAL_NAME)
        .collect()
}

/// syslog's severities (RFC 5424, section 6.2.1).
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// ECMA-48 colour: red, yellow, green, blue.
const fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG | Level::TRACE => 34,
    }
}

/// RFC 3339 in UTC with milliseconds. A clock before 1970 shows as 1970.
fn push_timestamp(out: &mut String, at: SystemTime) {
    let since_1970 = at.duration_since(SystemTime::UNIX_EPOCH);
    calendar::push_rfc3339(out, since_1970.unwrap_or(Duration::ZERO));
}
