//! `warren events`, `warren sessions`, and what they say when nobody answers.

use std::io::Write;
use std::process::Command;

use serde_json::Value;

use crate::terminal::Terminal;
use crate::{Warren, pool, refusing, server};

fn lines_of_json(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn events_tell_what_happened_and_go_on() {
    let (_refusing, dead) = refusing();
    let servers = format!("r1 = \"{}\"\nr2 = \"{dead}\"\n", server());
    let mut warren = Warren::start(&pool(&servers));
    warren.until("both are checked", || {
        warren.says(&["events"]).lines().count() >= 2
    });
    let text = warren.says(&["events"]);
    assert!(
        text.contains("Z  server rabbit/r2 unknown -> down: connection refused\n"),
        "{text}"
    );
    let json = lines_of_json(&warren.says(&["events", "--json"]));
    let down = json.iter().find(|event| event["server"] == "r2").unwrap();
    assert_eq!(
        (&down["kind"], &down["to"]),
        (&"server".into(), &"down".into())
    );
    assert_eq!(warren.says(&["events", "--since", "1ms"]), "");
    assert_eq!(warren.says(&["events", "--since", "1h"]), text);

    let socket = warren.socket().display().to_string();
    let words = ["events", "--follow", "--since", "1ms", "--socket", &socket];
    let mut follower = Terminal::start(env!("CARGO_BIN_EXE_warren"), &words, 24, 200);
    // It is listening once it has told of one; more than one may be needed until it does.
    warren.until("it follows", || {
        warren.order("set weight rabbit/r1 9");
        follower
            .text()
            .contains(": set server rabbit/r1 weight 9\r\n")
    });
    warren.order("set server rabbit/r1 state drain");
    follower.until("the change and the command", |text| {
        text.contains("server rabbit/r1 up -> drain: by an operator\r\n")
            && text.contains(": set server rabbit/r1 state drain\r\n")
    });
    let old = "server rabbit/r2 unknown -> down";
    assert!(!follower.text().contains(old), "{}", follower.text());
    warren.kill();
    follower.until("it says so", |text| text.contains("; waiting for it\r\n"));
    warren.restart();
    follower.until("it goes on with the next daemon", |text| {
        let after = text.split("; waiting for it").nth(1);
        after.is_some_and(|after| after.contains("server rabbit/r1 unknown -> up: connected"))
    });
    let text = follower.text();
    assert!(!text.contains("are missing here"), "{text}");
    assert_eq!(
        text.matches("server rabbit/r1 up -> drain").count(),
        1,
        "{text}"
    );
    follower.press("\x03");
    follower.wait();
}

#[test]
fn sessions_are_listed_and_filtered() {
    let warren = Warren::start(&pool(&format!(
        "r1 = \"{}\"\nr2 = \"{}\"\n",
        server(),
        server()
    )));
    let both = r#""r2","#;
    warren.until(both, || {
        let status = warren.run(&["status"]);
        String::from_utf8_lossy(&status.stdout).contains("2 of 2 servers usable")
    });
    let mut clients: Vec<_> = (0..4).map(|_| warren.connect()).collect();
    clients[0].write_all(b"hello").unwrap();
    let list = |filters: &[&str]| -> Value {
        let words = [&["sessions", "--json"], filters].concat();
        serde_json::from_str(&warren.says(&words)).unwrap()
    };
    warren.until("all are relayed, and the bytes", || {
        let all = list(&[]);
        let sessions = all["sessions"].as_array().unwrap();
        let bytes: u64 = sessions
            .iter()
            .filter_map(|one| one["bytes_in"].as_u64())
            .sum();
        sessions.len() == 4 && bytes == 5 && sessions.iter().all(|one| one["state"] == "relaying")
    });
    // Asked again, because a worker that is starved does not answer in time.
    let becomes = |filters: &[&str], matching: u64, shown: usize| {
        warren.until(&format!("{matching} with {filters:?}"), || {
            let list = list(filters);
            let sessions = list["sessions"].as_array().unwrap();
            list["matching"] == matching && sessions.len() == shown
        });
    };
    becomes(&["--server", "r1"], 2, 2);
    becomes(&["--server", "rabbit/r2"], 2, 2);
    becomes(&["--pool", "rabbit"], 4, 4);
    becomes(&["--client", "127.0.0.0/8"], 4, 4);
    becomes(&["--client", "192.0.2.0/24"], 0, 0);
    becomes(&["--older", "1h"], 0, 0);
    becomes(&["--idle", "1h"], 0, 0);
    becomes(&["--idle", "0s", "--older", "1ms"], 4, 4);
    becomes(&["--limit", "3"], 4, 3);
    let mut text = String::new();
    warren.until("a screen", || {
        text = warren.says(&["sessions", "--limit", "1"]);
        text.ends_with("\n1 shown of 4 that match, of 4 open\n")
    });
    // The id is the one that `shutdown session` takes.
    let id = text
        .lines()
        .nth(1)
        .and_then(|line| line.split(' ').next())
        .unwrap();
    warren.order(&format!("shutdown session {id}"));
    becomes(&[], 3, 3);
}

#[test]
fn a_filter_that_is_wrong_is_named() {
    let servers = format!("r1 = \"{0}\"\nr2 = \"{0}\"\n", server());
    let warren = Warren::start(&pool(&servers));
    for (words, told) in [
        (
            &["sessions", "--pool", "nosuch"][..],
            "warren: --pool: there is no pool `nosuch`; there are: rabbit\n",
        ),
        (
            &["sessions", "--server", "r3"],
            "warren: --server: there is no server `r3`; did you mean `r2`? There are: rabbit/r1, \
             rabbit/r2\n",
        ),
        (
            &["sessions", "--client", "fast"],
            "'fast' for '--client <NETWORK>': neither a network, such as 192.0.2.0/24, nor an IP \
             address\n",
        ),
        (
            &["sessions", "--limit", "0"],
            "'0' for '--limit <N>': not 1 to 10,000\n",
        ),
        (
            &["sessions", "--idle", "3"],
            "'3' for '--idle <TIME>': has no unit; did you mean `3s`? (a time is ",
        ),
        (
            &["sessions", "--older", "3y"],
            "'3y' for '--older <TIME>': unknown unit `y` (a time is a whole number and ms, s, m, ",
        ),
        (
            &["events", "--since", "fast"],
            "'fast' for '--since <TIME>': not a whole number and a unit (a time is ",
        ),
        (
            &["explain", "server", "nosuch"],
            "warren: SERVER: there is no server `nosuch`; there are: rabbit/r1, rabbit/r2\n",
        ),
        (
            &["explain", "vrrp", "nosuch"],
            "warren: NAME: there is no virtual router `nosuch`, nor any other\n",
        ),
    ] {
        let output = warren.run(words);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{words:?}: {text}");
        assert!(text.contains(told), "{words:?}: {text}");
    }
}

#[test]
fn without_a_daemon_each_command_says_so() {
    let commands: [&[&str]; 5] = [
        &["status"],
        &["status", "--watch"],
        &["events", "--follow"],
        &["sessions"],
        &["explain", "server", "s"],
    ];
    for words in commands {
        let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
        let output = command
            .args(words)
            .args(["--socket", "/nonexistent/s"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        let expected = "warren: /nonexistent/s: no warren is running here";
        assert!(text.starts_with(expected), "{words:?}: {text}");
        assert_eq!(output.stdout, b"", "{words:?}");
    }
}
