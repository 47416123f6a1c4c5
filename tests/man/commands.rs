//! The commands, from the definitions that parse the command line.

use std::fmt::Write as _;

use clap::{Arg, Command};

use crate::roff::{escaped, lines, literal};

/// Every command with what one types for it, in the order of the help.
pub(crate) fn all() -> Vec<(String, Command)> {
    let mut root = warren::cli::command();
    root.build();
    let mut found = Vec::new();
    collect("warren", &root, &mut found);
    found
}

fn collect(path: &str, command: &Command, found: &mut Vec<(String, Command)>) {
    for one in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        let path = format!("{path} {}", one.get_name());
        if one.has_subcommands() {
            collect(&path, one, found);
        } else {
            found.push((path, one.clone()));
        }
    }
}

pub(crate) fn sections() -> String {
    let mut out = String::new();
    for (path, command) in all() {
        section(&mut out, &path, &command);
    }
    out
}

// Writing to a String cannot fail, hence the ignored results.

fn section(out: &mut String, path: &str, command: &Command) {
    let arguments: Vec<&Arg> = command
        .get_arguments()
        .filter(|one| one.get_id() != "help" && !one.is_hide_set())
        .collect();
    let positional = arguments.iter().filter(|one| one.is_positional());
    let words = positional.map(|one| match one.is_required_set() {
        true => value(one),
        false => format!("[{}]", value(one)),
    });
    let options = arguments.iter().any(|one| !one.is_positional());
    let options = options.then(|| "[OPTION...]".to_owned());
    let usage: Vec<String> = [path.to_owned()]
        .into_iter()
        .chain(options)
        .chain(words)
        .collect();
    let _ = writeln!(
        out,
        ".SS \"{}\"",
        escaped(&usage.join(" ")).replace("\\-", "-")
    );
    let about = command.get_about().map(ToString::to_string);
    out.push_str(&lines(&format!("{}.", about.unwrap_or_default())));
    for argument in arguments {
        let _ = writeln!(out, ".TP\n{}", tag(argument));
        out.push_str(&lines(&help(argument)));
    }
    let after = command.get_after_help().map(ToString::to_string);
    for paragraph in after.unwrap_or_default().split("\n\n") {
        after_help(out, paragraph);
    }
}

/// A paragraph; lines that are indented stay as they are.
fn after_help(out: &mut String, paragraph: &str) {
    if paragraph.is_empty() {
        return;
    }
    out.push_str(".PP\n");
    let (text, table): (Vec<_>, Vec<_>) =
        paragraph.lines().partition(|line| !line.starts_with(' '));
    out.push_str(&lines(&text.join("\n")));
    if !table.is_empty() {
        let _ = write!(out, ".PP\n.nf\n{}.fi\n", literal(&table.join("\n")));
    }
}

fn value(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    names.join(" ")
}

fn tag(argument: &Arg) -> String {
    let bold = |text: String| format!("\\fB{}\\fR", escaped(&text));
    let short = argument.get_short().map(|short| bold(format!("-{short}")));
    let long = argument.get_long().map(|long| bold(format!("--{long}")));
    let names: Vec<_> = short.into_iter().chain(long).collect();
    let takes_value = argument.get_action().takes_values();
    let value = takes_value.then(|| format!("\\fI{}\\fR", escaped(&value(argument))));
    let parts: Vec<_> = Some(names.join(", "))
        .filter(|names| !names.is_empty())
        .into_iter()
        .chain(value)
        .collect();
    parts.join(" ")
}

fn help(argument: &Arg) -> String {
    let mut text = argument
        .get_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    text.push('.');
    let default: Vec<_> = argument
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    if !default.is_empty() && argument.get_action().takes_values() {
        let _ = write!(text, "\nDefault: `{}`.", default.join(" "));
    }
    let accepted: Vec<_> = argument
        .get_possible_values()
        .iter()
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !accepted.is_empty() && argument.get_action().takes_values() {
        let _ = write!(text, "\nAccepted: {}.", accepted.join(", "));
    }
    text
}
