//! The keys of the configuration, from `conf/reference.toml`, which other tests compare with the
//! code.

use std::fmt::Write as _;

use crate::roff::{escaped, lines};

/// The tables as the reference has them, and with what stands for a name.
const TABLES: [(&str, &str); 9] = [
    ("[global]", "[global]"),
    ("[log]", "[log]"),
    ("[admin]", "[admin]"),
    ("[listen.amqp]", "[listen.NAME]"),
    ("[pool.rabbit]", "[pool.NAME]"),
    ("[pool.rabbit.check]", "[pool.NAME.check]"),
    ("[pool.rabbit.servers]", "[pool.NAME.servers]"),
    (
        "[pool.rabbit.servers.rabbit-2]",
        "[pool.NAME.servers.SERVER]",
    ),
    ("[vrrp.amqp]", "[vrrp.NAME]"),
];

/// What the reference says before its first table, but for what is about the file itself.
pub(crate) fn introduction(reference: &str) -> String {
    let (top, _) = reference.split_once("\n[").unwrap();
    let paragraphs = top.split("\n#\n").skip(1);
    paragraphs
        .map(|paragraph| lines(&uncommented(paragraph)))
        .collect()
}

pub(crate) fn sections(reference: &str) -> String {
    let (top, _) = reference.split_once("\n[").unwrap();
    let mut out = String::new();
    let mut comment = String::new();
    for line in reference[top.len()..].lines() {
        if let Some(text) = line.strip_prefix("# ") {
            comment.push_str(text);
            comment.push('\n');
        } else if line.starts_with('[') {
            table(&mut out, line, &std::mem::take(&mut comment));
        } else if let Some((name, value)) = line.split_once(" = ") {
            key(&mut out, name, value, &std::mem::take(&mut comment));
        } else if !comment.is_empty() {
            // It belongs to what follows, and nothing follows: it is about the keys below.
            let _ = write!(out, ".PP\n{}", paragraph(&std::mem::take(&mut comment)));
        }
    }
    assert_eq!(comment, "", "the reference ends with a key");
    out
}

// Writing to a String cannot fail, hence the ignored results.

fn table(out: &mut String, line: &str, comment: &str) {
    let known = TABLES.iter().find(|(table, _)| *table == line);
    let (_, shown) = known.unwrap_or_else(|| panic!("add {line} to TABLES"));
    let _ = writeln!(out, ".SS \"{shown}\"");
    out.push_str(&paragraph(comment));
}

fn key(out: &mut String, name: &str, value: &str, comment: &str) {
    let has_default = !name.starts_with('#') && !comment.starts_with("Required");
    let name = escaped(name.trim_start_matches('#'));
    let value = escaped(value);
    let _ = match has_default {
        true => writeln!(out, ".TP\n\\fB{name}\\fR = {value}"),
        false => writeln!(out, ".TP\n\\fB{name}\\fR [{value}]"),
    };
    out.push_str(&paragraph(comment));
}

/// The lines of a comment. One that begins with a value that is accepted begins anew.
fn paragraph(comment: &str) -> String {
    let mut out = String::new();
    for line in comment.lines() {
        if line.starts_with('"') && line.contains("\": ") {
            out.push_str(".br\n");
        }
        out.push_str(&lines(line));
    }
    out
}

fn uncommented(text: &str) -> String {
    let lines = text.lines().map(|line| line.trim_start_matches('#').trim());
    lines.collect::<Vec<_>>().join("\n")
}
