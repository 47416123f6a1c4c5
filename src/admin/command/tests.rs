//! The commands as words, and what they are answered with.

use super::*;
use crate::config;
use crate::stats::example;

/// The listeners, pools and servers of the example.
fn file() -> String {
    let mut text = String::new();
    let snapshot = example::snapshot();
    for (port, listener) in (1..).zip(&snapshot.listeners) {
        let (name, pool) = (&listener.name, &snapshot.pools[listener.pool].name);
        let bind = format!("'127.0.0.1:{port}'");
        text.push_str(&format!(
            "listen.{name} = {{ bind = {bind}, pool = '{pool}' }}\n"
        ));
    }
    for pool in &snapshot.pools {
        for server in &pool.servers {
            let (pool, name) = (&pool.name, &server.name);
            text.push_str(&format!("pool.{pool}.servers.{name} = '127.0.0.1:3'\n"));
        }
    }
    text
}

/// Of the example after a reload: numbers do not follow the order any more.
fn snapshot() -> Snapshot {
    let mut snapshot = example::snapshot();
    snapshot.listeners[1].number = 7;
    snapshot.pools[0].number = 3;
    snapshot.pools[0].servers[0].number = 12;
    snapshot.removed = vec![
        example::removed("rabbit", "rabbit-9", 3),
        example::removed("old", "r1", 1),
    ];
    snapshot.removed[0].pool_number = 3;
    snapshot
}

fn reply(line: &str) -> Reply {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let config = config::parse(&file(), "test.toml", std::path::Path::new("."));
    answer(&words, Level::Admin, &config.unwrap().0, &snapshot)
}

/// A change as it is logged, or else what is said.
fn said(line: &str) -> String {
    let reply = reply(line);
    if let Reply::Change(change, _) = reply {
        return change.to_string();
    }
    if let Reply::Reload(wish) = reply {
        return wish.to_string();
    }
    if let Reply::Stat(filter, style) = reply {
        return csv::render(&snapshot(), &filter, style);
    }
    let Reply::Text(text) = reply else {
        panic!("{reply:?}");
    };
    text
}

#[test]
fn a_number_behind_a_hash_stands_for_a_name() {
    for (line, expected) in [
        (
            "set server #3/#12 state drain",
            "set server rabbit/rabbit-1 state drain",
        ),
        (
            "set weight rabbit/#2 7",
            "set server rabbit/rabbit-2 weight 7",
        ),
        ("set weight #5/n1 7", "set server plain/n1 weight 7"),
        ("disable health #3/#2", "disable health rabbit/rabbit-2"),
        (
            "set maxconn server #3/#12 9",
            "set maxconn server rabbit/rabbit-1 9",
        ),
        ("set maxconn frontend #7 9", "set maxconn frontend plain 9"),
        ("disable frontend #2", "disable frontend amqp"),
        ("del server #3/#12", "del server rabbit/rabbit-1"),
        (
            "add server #3/new 127.0.0.1:1",
            "add server rabbit/new 127.0.0.1:1 weight 100 maxconn 0",
        ),
        ("get weight #3/#12", "100 (initial 100)\n"),
        ("get weight #4/rabbit-1", "No such backend.\n"),
        ("get weight #2/rabbit-1", "No such backend.\n"),
        ("get weight #/rabbit-1", "No such backend.\n"),
        ("get weight rabbit/#1", "No such server.\n"),
        ("get weight rabbit/#x", "No such server.\n"),
        ("disable frontend #3", "No such frontend.\n"),
        ("show servers state #2", "Can't find backend.\n"),
        ("show stat #6 -1 -1", "No such proxy.\n"),
    ] {
        assert_eq!(said(line), expected, "{line}");
    }
    let state = said("show servers state #3");
    assert!(state.contains("\n3 rabbit 12 rabbit-1 "), "{state}");
    assert!(!state.contains(" plain "), "{state}");
    assert_eq!(state, said("show servers state rabbit"));
    let listed = said("show servers conn #5");
    assert!(listed.contains("\nplain/n1 5/1 "), "{listed}");
    let rows = said("show stat #3 4 12");
    assert_eq!(rows.lines().count(), 2);
    assert!(rows.contains("\nrabbit,rabbit-1,"), "{rows}");
    assert_eq!(rows, said("show stat 3 4 12"));
}

#[test]
fn connections_of_removed_servers_can_be_ended() {
    for (word, server) in [
        ("rabbit/rabbit-1", Some("rabbit/rabbit-1")),
        ("#3/#12", Some("rabbit/rabbit-1")),
        ("rabbit/rabbit-9", Some("rabbit/rabbit-9")),
        ("rabbit/#9", Some("rabbit/rabbit-9")),
        ("old/r1", Some("old/r1")),
        ("#8/#9", Some("old/r1")),
        ("old/rabbit-9", None),
        ("old/nosuch", None),
        ("rabbit/r1", None),
    ] {
        let said = said(&format!("shutdown sessions server {word}"));
        match server {
            Some(server) => assert_eq!(said, format!("shutdown sessions server {server}")),
            None => assert!(said.starts_with("No such "), "{word}: {said}"),
        }
    }
    // Only that.
    assert_eq!(said("get weight old/r1"), "No such backend.\n");
    assert_eq!(said("set weight rabbit/rabbit-9 1"), "No such server.\n");
}

#[test]
fn an_address_may_stand_in_brackets_and_is_told_as_given() {
    for (given, logged) in [("[::1]", "::1"), ("::ffff:192.0.2.9", "192.0.2.9")] {
        let set = |address| format!("set server rabbit/rabbit-1 addr {address} port 7");
        let Reply::Change(change, text) = reply(&set(given)) else {
            panic!("no change");
        };
        assert_eq!(change.to_string(), set(logged));
        let told = format!(" to '{given}', port changed ");
        assert!(text.contains(&told), "{text}");
    }
    assert_eq!(
        said("set server rabbit/rabbit-1 addr [::1"),
        "Invalid addr '[::1' by 'stats socket command'\n"
    );
}

#[test]
fn a_frontend_that_was_shut_down_is_neither_enabled_nor_disabled() {
    let mut stopping = snapshot();
    stopping.stopping = true;
    let config = config::parse(&file(), "test.toml", std::path::Path::new("."));
    let config = config.unwrap().0;
    for verb in ["enable", "disable"] {
        let words = [verb, "frontend", "amqp"].map(str::to_owned);
        let told = answer(&words, Level::Admin, &config, &|| stopping.clone());
        let expected = format!("Frontend was previously shut down, cannot {verb}.");
        assert_eq!(told, Reply::line(&expected));
    }
}

#[test]
fn the_time_of_day_is_that_of_the_question() {
    // Neither whole seconds nor the start and the time since then.
    assert_eq!(
        said("show errors"),
        "Total events captured on [28/Nov/2026:05:57:03.845] : 0\n"
    );
    let activity = said("show activity");
    assert!(activity.contains("\ndate_now: 1795845423.845678\n"));
}
