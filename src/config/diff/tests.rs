//! One line per change, and none for what stays.

use std::path::Path;

use super::*;
use crate::config::limits::Surroundings;
use crate::config::parse_within;

fn config(text: &str) -> Config {
    let surroundings = Surroundings {
        descriptors: 20_000,
        cpus: 2,
        is_daemon: false,
        interfaces: None,
    };
    let parsed = parse_within(text, "test", Path::new("."), surroundings);
    parsed.unwrap_or_else(|problems| panic!("{problems}")).0
}

const BASE: &str = r#"
[listen.amqp]
bind = "0.0.0.0:5672"
pool = "rabbit"
[pool.rabbit.servers]
one = "192.0.2.1:5672"
two = "192.0.2.2:5672"
"#;

/// What `after` changes of [`BASE`] when every server has three connections.
fn changed(after: &str) -> Vec<String> {
    let three = Running {
        open: 3,
        ..Running::default()
    };
    changes(&config(BASE), &config(after), |_, _| three)
}

#[test]
fn the_same_changes_nothing() {
    assert_eq!(changed(BASE), Vec::<String>::new());
    // A pool in front moves indices, not what they mean.
    let moved = BASE.replace(
        "[pool.rabbit",
        "[pool.aaa.servers]\nx = \"192.0.2.9:1\"\n[pool.rabbit",
    );
    let moved = moved + "[listen.aaa]\nbind = \"0.0.0.0:1\"\npool = \"aaa\"\n";
    assert_eq!(changed(&moved), ["listener aaa: new", "pool aaa: new"]);
}

#[test]
fn each_setting_is_named_with_what_it_was_and_is() {
    let cases = [
        (
            "[listen.amqp]",
            "[listen.amqp]\nmax_connections = 9",
            "listener amqp: max_connections 0 -> 9",
        ),
        (
            "0.0.0.0:5672\"",
            "0.0.0.0:5673\"",
            "listener amqp: bind 0.0.0.0:5672 -> 0.0.0.0:5673",
        ),
        (
            "[listen.amqp]",
            "[listen.amqp]\nallow = [\"10.0.0.0/8\"]",
            "listener amqp: allow none -> 10.0.0.0/8",
        ),
        (
            "[pool.rabbit.servers]",
            "[pool.rabbit]\nbalance = \"source\"\nidle_timeout = \"1h\"\n\
          [pool.rabbit.servers]",
            "pool rabbit: balance leastconn -> source; idle_timeout off -> 1h",
        ),
        (
            "[pool.rabbit.servers]",
            "[pool.rabbit.check]\ninterval = \"5s\"\n[pool.rabbit.servers]",
            "pool rabbit: check.interval 2s -> 5s",
        ),
        (
            "\"192.0.2.1:5672\"",
            "{ address = \"192.0.2.1:5672\", weight = 7, backup = true }",
            "server rabbit/one: weight 100 -> 7; backup false -> true",
        ),
        (
            "[listen.amqp]",
            "[log]\nconnections = false\n[listen.amqp]",
            "log.connections true -> false",
        ),
    ];
    for (from, to, line) in cases {
        assert_eq!(changed(&BASE.replacen(from, to, 1)), [line]);
    }
}

#[test]
fn times_are_in_the_units_of_the_file() {
    let with = |idle: &str, time: &str| {
        let keys = format!(
            "[global]\ndrain_timeout = \"{time}\"\n[pool.rabbit]\nslow_start = \"{time}\"\n\
             queue_timeout = \"{time}\"\nidle_timeout = \"{idle}\"\n[pool.rabbit.servers]"
        );
        config(&BASE.replacen("[pool.rabbit.servers]", &keys, 1))
    };
    let (before, after) = (with("1h", "90s"), with("1500ms", "0s"));
    let times = "slow_start 90s -> 0s; idle_timeout 1h -> 1500ms; queue_timeout 90s -> 0s";
    assert_eq!(
        changes(&before, &after, |_, _| Running::default()),
        [
            "global.drain_timeout 90s -> 0s",
            &format!("pool rabbit: {times}"),
        ]
    );
}

#[test]
fn what_a_check_asks_is_in_the_words_of_the_file() {
    let with = |check: &str| {
        let keys = format!("[pool.rabbit]\ncheck = {{ {check} }}\n[pool.rabbit.servers]");
        config(&BASE.replacen("[pool.rabbit.servers]", &keys, 1))
    };
    let kinds = [
        "type = 'http', path = '/a'",
        "type = 'http', path = '/b', port = 15672",
        "type = 'amqp', vhost = '/'",
    ];
    let expected = [
        "pool rabbit: check.port none -> 15672; check.path /a -> /b",
        "pool rabbit: check.type http -> amqp; check.port 15672 -> none; check.path /b -> none; \
         check.vhost none -> /",
    ];
    for (kinds, expected) in kinds.windows(2).zip(expected) {
        let lines = changes(&with(kinds[0]), &with(kinds[1]), |_, _| Running::default());
        assert_eq!(lines[0], expected);
    }
}

#[test]
fn connections_that_stay_are_counted() {
    let without = BASE.replace("two = \"192.0.2.2:5672\"\n", "");
    assert_eq!(
        changed(&without),
        [
            "server rabbit/two: removed",
            "server rabbit/two: its 3 connections stay until they end"
        ]
    );
    let moved = BASE.replace("192.0.2.1:5672", "192.0.2.7:5672");
    assert_eq!(
        changed(&moved),
        [
            "server rabbit/one: address 192.0.2.1:5672 -> 192.0.2.7:5672",
            "server rabbit/one at 192.0.2.1:5672: its 3 connections stay until they end"
        ]
    );
    let set = Running {
        open: 1,
        address: Some("10.0.0.9:5672".parse().unwrap()),
        ..Running::default()
    };
    assert_eq!(
        changes(&config(BASE), &config(&moved), |_, _| set),
        [
            "server rabbit/one: address 10.0.0.9:5672 (set) -> 192.0.2.7:5672",
            "server rabbit/one at 10.0.0.9:5672 (set): its 1 connection stays until it ends"
        ]
    );
    // What an operator has set stays, so it is no change.
    assert!(changes(&config(BASE), &config(BASE), |_, _| set).is_empty());
    let renamed = BASE.replace("rabbit", "hare");
    assert_eq!(
        changed(&renamed),
        [
            "listener amqp: pool rabbit -> hare",
            "pool hare: new",
            "pool rabbit: removed",
            "pool rabbit: its 6 connections stay until they end"
        ]
    );
}

#[test]
fn a_password_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let text = BASE.replace(
        "[pool.rabbit.servers]",
        &format!(
            "[pool.rabbit.check]\ntype = \"amqp\"\npassword_file = \"{}\"\n[pool.rabbit.servers]",
            file.display()
        ),
    );
    let read = |password: &str| {
        std::fs::write(&file, password).unwrap();
        config(&text)
    };
    let lines = changes(&read("old"), &read("new"), |_, _| Running::default());
    assert_eq!(
        lines,
        ["pool rabbit: check.username or check.password changed"]
    );
}

#[test]
fn what_takes_a_restart_stays_as_it_is() {
    let before = config(BASE);
    let text = BASE.replace(
        "[listen.amqp]",
        "[global]\nworkers = 7\ndrain_timeout = \"1s\"\n[admin]\nsocket = \"\"\n[listen.amqp]",
    );
    let mut after = config(&text);
    assert_eq!(
        hold_back(&before, &mut after),
        [
            "global.workers 2 -> 7".to_owned(),
            "admin.socket /run/warren/admin.sock -> none".to_owned()
        ]
    );
    assert_eq!(after.global.workers, 2);
    assert_eq!(after.admin, before.admin);
    let lines = changes(&before, &after, |_, _| Running::default());
    assert_eq!(lines, ["global.drain_timeout 30s -> 1s"]);
}

#[test]
fn a_pool_that_keeps_only_withdrawn_servers_is_named() {
    const EMPTY: &str = "pool rabbit has no usable server";
    let empty = |after: &str| {
        let running = |_: &str, server: &str| Running {
            weight: if server == "zero" { 0 } else { 100 },
            withdrawn: server == "one",
            ..Running::default()
        };
        let before = config(&(BASE.to_owned() + "zero = \"192.0.2.3:5672\"\n"));
        without_servers(&before, &config(after), running)
    };
    assert_eq!(empty(BASE), Vec::<String>::new());
    let alone = BASE.replace("two = \"192.0.2.2:5672\"\n", "");
    assert_eq!(empty(&alone), [EMPTY]);
    // What was set is kept, and what the file says anew is not.
    let set = alone.clone() + "zero = \"192.0.2.3:5672\"\n";
    assert_eq!(empty(&set), [EMPTY]);
    let weighted = alone.clone() + "zero = { address = \"192.0.2.3:5672\", weight = 7 }\n";
    assert_eq!(empty(&weighted), Vec::<String>::new());
    // Also at another address. Only one with another name is not known.
    let moved = alone.replace("192.0.2.1:", "192.0.2.9:");
    assert_eq!(empty(&moved), [EMPTY]);
    assert_eq!(empty(&moved.replace("one", "good")), Vec::<String>::new());
    let new = alone.clone() + "new = { address = \"192.0.2.9:5672\", weight = 0 }\n";
    assert_eq!(empty(&new), [EMPTY]);
}
