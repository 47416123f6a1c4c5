//! Real shells are asked to complete.

use std::path::Path;
use std::process::Command;

use crate::skip::skip;
use crate::terminal::Terminal;
use crate::{Warren, pool, server};

fn is_installed(shell: &str) -> bool {
    let places = ["/bin", "/usr/bin"];
    let found = places
        .iter()
        .any(|place| Path::new(place).join(shell).exists());
    if !found {
        skip(&format!("{shell} is not installed"));
    }
    found
}

fn warren() -> Warren {
    let live = server();
    let warren = Warren::start(&format!(
        "{}rabbit-1 = \"{live}\"\nrabbit-2 = \"{live}\"\nspare = \"{live}\"\n",
        pool("")
    ));
    warren.explains("spare", "it has been up for");
    warren
}

/// Where the shells find warren first.
fn path() -> String {
    let folder = Path::new(env!("CARGO_BIN_EXE_warren")).parent().unwrap();
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

/// What somebody sees who presses TAB in a shell. `prepare` makes it know the completions.
fn on_a_terminal(shell: &str, options: &[&str], prepare: &str) {
    let warren = warren();
    let socket = warren.socket().display().to_string();
    let path = format!("PATH={}", path());
    let words = [&[path.as_str(), "PS1=ready> ", shell], options].concat();
    let mut terminal = Terminal::start("env", &words, 40, 200);
    terminal.until("a prompt", |text| text.contains("ready> "));
    terminal.press(&format!("{prepare}; echo pre''pared\r"));
    terminal.until("the completions", |text| text.contains("prepared"));
    // One that is clear is completed at the first TAB, and the command is right.
    let before = terminal.text().len();
    let after = |text: &str| text[before..].to_owned();
    terminal.press(&format!("warren explain server --socket {socket} sp\t"));
    terminal.until("the name", |text| after(text).contains("spare"));
    terminal.press("\r");
    terminal.until("the explanation", |text| {
        after(text).contains("rabbit/spare (")
    });
    // Several are listed; bash wants to be asked more than once.
    let before = terminal.text().len();
    let after = |text: &str| text[before..].to_owned();
    terminal.press(&format!("warren explain server --socket {socket} ra\t\t\t"));
    terminal.until("both names", |text| {
        let text = after(text);
        text.contains("rabbit-1") && text.contains("rabbit-2") && !text.contains("spare")
    });
    terminal.press("\x15");
    let before = terminal.text().len();
    terminal.press("warren sess\t");
    terminal.until("the command", |text| {
        text[before..].contains("warren sessions")
    });
}

#[test]
fn bash_completes() {
    if is_installed("bash") {
        let script = "source <(warren completions bash)";
        on_a_terminal("bash", &["--norc", "--noprofile", "-i"], script);
    }
}

#[test]
fn zsh_completes() {
    if is_installed("zsh") {
        // As a file in a folder that it searches, where packages put it.
        let script = "mkdir $TMPDIR/f; warren completions zsh > $TMPDIR/f/_warren; \
                      fpath=($TMPDIR/f $fpath); autoload -U compinit; compinit -D -u";
        let folder = tempfile::tempdir().unwrap();
        let script = script.replace("$TMPDIR", &folder.path().display().to_string());
        on_a_terminal("zsh", &["-f", "-i"], &script);
    }
}

#[test]
fn fish_completes() {
    if !is_installed("fish") {
        return;
    }
    let warren = warren();
    let socket = warren.socket().display().to_string();
    let complete = |line: &str| -> Vec<String> {
        let script = format!("warren completions fish | source; complete -C '{line}'");
        let mut fish = Command::new("fish");
        fish.args(["--no-config", "-c", &script])
            .env("PATH", path());
        let output = fish.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let names = text.lines().filter_map(|line| line.split('\t').next());
        names.map(str::to_owned).collect()
    };
    let line = format!("warren explain server --socket {socket} ra");
    assert_eq!(complete(&line), ["rabbit-1", "rabbit-2"]);
    let line = format!("warren explain server --socket {socket} rabbit/");
    assert_eq!(
        complete(&line),
        ["rabbit/rabbit-1", "rabbit/rabbit-2", "rabbit/spare"]
    );
    let line = format!("warren sessions --socket {socket} --pool ");
    assert_eq!(complete(&line), ["rabbit"]);
    assert_eq!(complete("warren expl"), ["explain"]);
}

/// No daemon runs: the file has the names.
#[test]
fn names_come_from_the_file_when_no_daemon_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("warren.toml");
    std::fs::write(&file, "[pool.p.servers]\nfrom-the-file = 1\n[vrrp.v]\n").unwrap();
    let socket = folder.path().join("none").display().to_string();
    let ask = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
        command
            .env("WARREN_COMPLETE", "fish")
            .args(["--", "warren"]);
        let output = command.args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let config = format!("--config={}", file.display());
    let words = ["explain", "server", "--socket", &socket, &config, "fr"];
    assert_eq!(ask(&words), "from-the-file\n");
    let words = ["explain", "vrrp", "--socket", &socket, &config, ""];
    assert!(
        ask(&words).lines().any(|line| line == "v"),
        "{}",
        ask(&words)
    );
}

/// What the package installs, so that nobody has to run anything.
#[test]
fn the_packaged_scripts_are_those_of_the_command() {
    for (shell, stored) in [
        (
            "bash",
            include_str!("../../packaging/completions/warren.bash"),
        ),
        (
            "zsh",
            include_str!("../../packaging/completions/warren.zsh"),
        ),
        (
            "fish",
            include_str!("../../packaging/completions/warren.fish"),
        ),
    ] {
        let printed = Command::new(env!("CARGO_BIN_EXE_warren"))
            .args(["completions", shell])
            .output()
            .unwrap();
        let printed = String::from_utf8(printed.stdout).unwrap();
        assert_eq!(printed, stored, "packaging/completions/warren.{shell}");
    }
}
