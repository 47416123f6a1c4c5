//! *pure* `help`, and what is said to an unknown command.

use std::fmt::Write as _;

use crate::config::Level;

struct Command {
    /// The words that select it.
    words: &'static [&'static str],
    /// Who may give it.
    level: Level,
    /// With its arguments, as `help` shows it.
    usage: &'static str,
    /// What it does.
    about: &'static str,
}

const fn command(
    words: &'static [&'static str],
    level: Level,
    usage: &'static str,
    about: &'static str,
) -> Command {
    Command {
        words,
        level,
        usage,
        about,
    }
}

const COMMANDS: [Command; 58] = [
    command(
        &["add", "server"],
        Level::Admin,
        "add server <bk>/<srv> <addr> [opts]",
        "one more server, in maintenance until it is enabled",
    ),
    command(
        &["clear", "counters"],
        Level::Operator,
        "clear counters [all]",
        "clear max statistics counters (or all counters)",
    ),
    command(
        &["del", "server"],
        Level::Admin,
        "del server <bk>/<srv>",
        "remove a server that is in maintenance and has no connections",
    ),
    command(
        &["diff"],
        Level::Admin,
        "diff",
        "tell what a reload of the configuration would change",
    ),
    command(
        &["disable", "agent"],
        Level::Admin,
        "disable agent <bk>/<srv>",
        "there are none to disable",
    ),
    command(
        &["disable", "frontend"],
        Level::Admin,
        "disable frontend <frontend>",
        "refuse the clients of a listener",
    ),
    command(
        &["disable", "health"],
        Level::Admin,
        "disable health <bk>/<srv>",
        "stop checking a server",
    ),
    command(
        &["disable", "server"],
        Level::Admin,
        "disable server <bk>/<srv>",
        "like 'set server <bk>/<srv> state maint'",
    ),
    command(
        &["drain", "server"],
        Level::Admin,
        "drain server [<bk>/]<srv> [over <t>] [force]",
        "close a server's connections evenly over a time",
    ),
    command(
        &["enable", "agent"],
        Level::Admin,
        "enable agent <bk>/<srv>",
        "there are none to enable",
    ),
    command(
        &["enable", "frontend"],
        Level::Admin,
        "enable frontend <frontend>",
        "take the clients of a listener again",
    ),
    command(
        &["enable", "health"],
        Level::Admin,
        "enable health <bk>/<srv>",
        "check a server again",
    ),
    command(
        &["enable", "server"],
        Level::Admin,
        "enable server <bk>/<srv>",
        "like 'set server <bk>/<srv> state ready'",
    ),
    command(
        &["experimental-mode"],
        Level::Admin,
        "experimental-mode [on|off]",
        "accepted for HAProxy's sake; it allows nothing more",
    ),
    command(
        &["expert-mode"],
        Level::Admin,
        "expert-mode [on|off]",
        "accepted for HAProxy's sake; it allows nothing more",
    ),
    command(
        &["get", "weight"],
        Level::User,
        "get weight <bk>/<srv>",
        "report a server's current weight",
    ),
    command(
        &["maint", "server"],
        Level::Admin,
        "maint server [<bk>/]<srv>",
        "give a server neither connections nor checks",
    ),
    command(
        &["operator"],
        Level::Operator,
        "operator",
        "lower the level of this connection to operator",
    ),
    command(
        &["ready", "server"],
        Level::Admin,
        "ready server [<bk>/]<srv>",
        "use a server again, and end its drain",
    ),
    command(
        &["rebalance", "pool"],
        Level::Admin,
        "rebalance pool <bk> [rate <n>] [within <t>]",
        "move connections until each server has its share",
    ),
    command(
        &["rebalance", "stop"],
        Level::Admin,
        "rebalance stop <bk>",
        "move no more connections",
    ),
    command(
        &["reload"],
        Level::Admin,
        "reload",
        "read the configuration file again and apply it",
    ),
    command(
        &["set", "maxconn", "frontend"],
        Level::Admin,
        "set maxconn frontend <fe> <n>",
        "change a frontend's connection limit",
    ),
    command(
        &["set", "maxconn", "global"],
        Level::Admin,
        "set maxconn global <n>",
        "change the common connection limit",
    ),
    command(
        &["set", "maxconn", "server"],
        Level::Admin,
        "set maxconn server <bk>/<srv> <n>",
        "change a server's connection limit",
    ),
    command(
        &["set", "rate-limit"],
        Level::Admin,
        "set rate-limit <setting> <value>",
        "change how many clients are accepted per second",
    ),
    command(
        &["set", "server"],
        Level::Admin,
        "set server <bk>/<srv> [opts]",
        "change a server's state, weight or address",
    ),
    command(
        &["set", "timeout"],
        Level::User,
        "set timeout [cli] <time>",
        "change how long this connection may be idle",
    ),
    command(
        &["set", "weight"],
        Level::Admin,
        "set weight <bk>/<srv> <n>[%]",
        "like 'set server <bk>/<srv> weight'",
    ),
    command(
        &["show", "activity"],
        Level::User,
        "show activity",
        "show per-thread activity stats",
    ),
    command(
        &["show", "cli", "level"],
        Level::User,
        "show cli level",
        "display the level of the current CLI session",
    ),
    command(
        &["show", "backend"],
        Level::User,
        "show backend",
        "list the pools",
    ),
    command(
        &["show", "cli", "sockets"],
        Level::User,
        "show cli sockets",
        "list the sockets of this kind",
    ),
    command(
        &["show", "drains"],
        Level::User,
        "show drains",
        "list the servers that are being emptied, or were",
    ),
    command(
        &["show", "errors"],
        Level::Operator,
        "show errors [<px>]",
        "report captured errors; there are none in TCP mode",
    ),
    command(
        &["show", "events"],
        Level::User,
        "show events [<sink>] [-w] [-n]",
        "list the event sinks, or show one of them",
    ),
    command(
        &["show", "map"],
        Level::User,
        "show map [<map>]",
        "report maps; there are none",
    ),
    command(
        &["show", "peers"],
        Level::User,
        "show peers [<section>]",
        "report the peers of HAProxy; there are none",
    ),
    command(
        &["show", "rebalances"],
        Level::User,
        "show rebalances",
        "list the latest rebalance of each pool",
    ),
    command(
        &["show", "resolvers"],
        Level::User,
        "show resolvers [<id>]",
        "report sections of resolvers; there are none",
    ),
    command(
        &["show", "servers", "conn"],
        Level::User,
        "show servers conn [<backend>]",
        "dump server connections status (all or for a single backend)",
    ),
    command(
        &["show", "table"],
        Level::User,
        "show table [<table>]",
        "report tables; there are none",
    ),
    command(
        &["show", "info"],
        Level::User,
        "show info [desc|json|typed|float]*",
        "report information about the running process",
    ),
    command(
        &["show", "schema", "json"],
        Level::User,
        "show schema json",
        "report the schema of what is shown as JSON",
    ),
    command(
        &["show", "servers", "state"],
        Level::User,
        "show servers state [<backend>]",
        "dump volatile server information (all or for a single backend)",
    ),
    command(
        &["show", "sess"],
        Level::Operator,
        "show sess [id|all]",
        "report the open connections, or one or all of them in detail",
    ),
    command(
        &["show", "stat"],
        Level::User,
        "show stat [desc|json|no-maint|typed|up]*",
        "report counters for each proxy and server",
    ),
    command(
        &["show", "version"],
        Level::User,
        "show version",
        "show version of the current process",
    ),
    command(
        &["shutdown", "session"],
        Level::Admin,
        "shutdown session [id]",
        "end one connection",
    ),
    command(
        &["shutdown", "sessions", "server"],
        Level::Admin,
        "shutdown sessions server <bk>/<srv>",
        "end the connections to a server",
    ),
    command(
        &["user"],
        Level::User,
        "user",
        "lower the level of this connection to user",
    ),
    command(
        &["vrrp", "release"],
        Level::Admin,
        "vrrp release [<name>]",
        "have another node take the virtual addresses",
    ),
    command(
        &["vrrp", "show"],
        Level::User,
        "vrrp show",
        "show the virtual routers, a line each",
    ),
    command(
        &["vrrp", "stats"],
        Level::User,
        "vrrp stats",
        "show what the virtual routers have counted",
    ),
    command(
        &["wait"],
        Level::Admin,
        "wait {-h|<delay>} [<condition>]",
        "wait for a time, or until a server is removable",
    ),
    command(
        &["warren", "events"],
        Level::User,
        "warren events [<number>]",
        "report the events after this number as one line of JSON",
    ),
    command(
        &["warren", "sessions"],
        Level::Operator,
        "warren sessions [<filter> <value>]*",
        "report the oldest connections that match as one line of JSON",
    ),
    command(
        &["warren", "status"],
        Level::User,
        "warren status",
        "report everything as one line of JSON",
    ),
];

/// These end every list.
const ALWAYS: [Command; 3] = [
    command(
        &["help"],
        Level::User,
        "help [<command>]",
        "list matching or all commands",
    ),
    command(
        &["prompt"],
        Level::User,
        "prompt",
        "toggle interactive mode with prompt",
    ),
    command(&["quit"], Level::User, "quit", "disconnect"),
];

/// How alike two texts must be for one to be a misspelling of the other: 1 is equal, 0 has nothing
/// in common.
const ALIKE: f64 = 0.7;

/// The level that a command needs; `None` when there is no such command.
pub(super) fn level(words: &[&str]) -> Option<Level> {
    let mut commands = COMMANDS.iter().chain(&ALWAYS);
    let known = commands.find(|command| words.starts_with(command.words))?;
    Some(known.level)
}

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
