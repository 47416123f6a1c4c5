//! *pure* `help`, and what is said to an unknown command.

use std::fmt::Write as _;

struct Command {
    /// The words that select it.
    words: &'static [&'static str],
    /// With its arguments, as `help` shows it.
    usage: &'static str,
    /// What it does.
    about: &'static str,
}

const COMMANDS: [Command; 6] = [
    Command {
        words: &["show", "cli", "level"],
        usage: "show cli level",
        about: "display the level of the current CLI session",
    },
    Command {
        words: &["show", "info"],
        usage: "show info [desc|json|typed|float]*",
        about: "report information about the running process",
    },
    Command {
        words: &["show", "servers", "state"],
        usage: "show servers state [<backend>]",
        about: "dump volatile server information (all or for a single backend)",
    },
    Command {
        words: &["show", "stat"],
        usage: "show stat [desc|json|no-maint|typed|up]*",
        about: "report counters for each proxy and server",
    },
    Command {
        words: &["show", "version"],
        usage: "show version",
        about: "show version of the current process",
    },
    Command {
        words: &["warren", "status"],
        usage: "warren status",
        about: "report everything as one line of JSON",
    },
];

/// These end every list.
const ALWAYS: [Command; 3] = [
    Command {
        words: &["help"],
        usage: "help [<command>]",
        about: "list matching or all commands",
    },
    Command {
        words: &["prompt"],
        usage: "prompt",
        about: "toggle interactive mode with prompt",
    },
    Command {
        words: &["quit"],
        usage: "quit",
        about: "disconnect",
    },
];

/// How alike two texts must be for one to be a misspelling of the other: 1 is equal, 0 has nothing
/// in common.
const ALIKE: f64 = 0.6;

/// The answer to `help [<command>]`.
pub(super) fn help(topic: &[&str]) -> String {
    list(
        "The following commands are valid at this level:",
        &candidates(topic),
    )
}

/// The answer to a command that does not exist, and to an empty one.
pub(super) fn unknown(words: &[&str]) -> String {
    let found = candidates(words);
    list(
        if found.len() < COMMANDS.len() {
            "Unknown command, but maybe one of the following ones is a better match:"
        } else {
            "Unknown command. Please enter one of the following commands only:"
        },
        &found,
    )
}

fn list(title: &str, commands: &[&Command]) -> String {
    let mut text = format!("{title}\n");
    for command in commands.iter().copied().chain(&ALWAYS) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:<40}: {}", command.usage, command.about);
    }
    text
}

/// The commands that begin with the same words; of those, the ones that go on alike, if there
/// are any. With nothing in common, all of them.
fn candidates(words: &[&str]) -> Vec<&'static Command> {
    let common = |command: &Command| {
        let pairs = command.words.iter().zip(words);
        pairs.take_while(|(ours, theirs)| ours == theirs).count()
    };
    let longest = COMMANDS.iter().map(common).max().unwrap_or(0);
    let beginning: Vec<_> = COMMANDS.iter().filter(|c| common(c) == longest).collect();
    let alike: Vec<_> = beginning
        .iter()
        .copied()
        .filter(|command| is_alike(&command.words[longest..], &words[longest..]))
        .collect();
    if alike.is_empty() { beginning } else { alike }
}

fn is_alike(ours: &[&str], theirs: &[&str]) -> bool {
    strsim::normalized_damerau_levenshtein(&ours.join(" "), &theirs.join(" ")) >= ALIKE
}
