//! The commands as words, and what they are answered with.

use super::*;
use crate::stats::example;

/// Two pools, all servers up.
fn snapshot() -> Snapshot {
    let mut snapshot = example::snapshot();
    let server = snapshot.pools[0].servers[0].clone();
    let servers: [&[&str]; 2] = [&["rabbit-1", "rabbit-2", "both"], &["n1", "both"]];
    for (pool, names) in snapshot.pools.iter_mut().zip(servers) {
        let named = names.iter().map(|name| {
            let mut server = server.clone();
            server.name = (*name).to_owned();
            server
        });
        pool.servers = named.collect();
    }
    snapshot.pools[1].balance = "source".to_owned();
    // Of one, connections to two addresses are left.
    let removed = [
        ("rabbit", "rabbit-9", 2),
        ("plain", "n0", 1),
        ("rabbit", "rabbit-9", 3),
    ];
    snapshot.removed = removed
        .map(|one| example::removed(one.0, one.1, one.2))
        .into();
    snapshot
}

fn said(line: &str, snapshot: &Snapshot) -> Result<String, String> {
    let words: Vec<&str> = line.split(' ').collect();
    let reply = answer(&words, snapshot);
    if let Reply::Change(change, text) = reply {
        assert_eq!(text, "");
        return Ok(change.to_string());
    }
    let Reply::Text(text) = reply else {
        panic!("{reply:?}");
    };
    Err(text)
}

#[test]
fn every_form_is_understood() {
    for (line, change) in [
        (
            "drain server rabbit-2",
            "drain server rabbit/rabbit-2 over 5m",
        ),
        (
            "drain server plain/both over 0",
            "drain server plain/both over 0s",
        ),
        (
            "drain server rabbit/rabbit-1 force over 90s",
            "drain server rabbit/rabbit-1 over 90s force",
        ),
        ("ready server n1", "set server plain/n1 state ready"),
        (
            "maint server rabbit/both",
            "set server rabbit/both state maint",
        ),
        (
            "rebalance pool rabbit",
            "rebalance rabbit rate 10 within 1h",
        ),
        (
            "rebalance pool rabbit within 5m rate 100",
            "rebalance rabbit rate 100 within 5m",
        ),
        ("rebalance stop rabbit", "rebalance rabbit stop"),
    ] {
        assert_eq!(said(line, &snapshot()).as_deref(), Ok(change), "{line}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (line, words) in [
        ("drain server", "which server?"),
        (
            "drain server x",
            "there is no server `x`, but rabbit/rabbit-1, rabbit/rabbit-2, ",
        ),
        ("drain server both", "say which: rabbit/both, plain/both\n"),
        (
            "drain server plain/rabbit-1",
            "there is no server `plain/rabbit-1`",
        ),
        (
            "drain server rabbit-9",
            "rabbit/rabbit-9 is gone: a reload has removed it; `shutdown sessions server \
             rabbit/rabbit-9` over the stats socket ends its 5 connections",
        ),
        (
            "maint server plain/n0",
            "`shutdown sessions server plain/n0` over the stats socket ends its connection",
        ),
        ("drain server n1 over", "`over` is neither"),
        (
            "drain server n1 over 5",
            "`5` has no unit; did you mean `5s`?",
        ),
        ("drain server n1 over 25h", "longer than a day"),
        (
            "drain server n1 now",
            "`now` is neither `over TIME` nor `force`",
        ),
        ("ready server", "a name is expected"),
        ("ready server n1 now", "nothing behind it"),
        ("rebalance pool", "which pool?"),
        (
            "rebalance pool x",
            "there is no pool `x`, but rabbit, plain",
        ),
        ("rebalance pool rabbit rate 0", "from 1 to 1000"),
        ("rebalance pool rabbit rate 1001", "from 1 to 1000"),
        (
            "rebalance pool rabbit within x",
            "`x` not a whole number and a unit",
        ),
        (
            "rebalance pool plain",
            "pool plain has balance = \"source\": ",
        ),
        ("rebalance stop x", "there is no pool `x`"),
    ] {
        let refused = said(line, &snapshot());
        assert!(
            refused.as_ref().is_err_and(|text| text.contains(words)),
            "{line}: {refused:?}"
        );
    }
}

#[test]
fn the_last_usable_server_is_drained_only_by_force() {
    use crate::pool::server::State;
    let mut snapshot = snapshot();
    snapshot.pools[1].servers[1].state = State::Down;
    let refused = said("drain server n1", &snapshot).unwrap_err();
    assert!(
        refused.contains("plain/n1 is the last usable server"),
        "{refused}"
    );
    assert!(said("drain server n1 force", &snapshot).is_ok());
    // Nobody is served by one that is down.
    assert!(said("drain server plain/both", &snapshot).is_ok());
    // A backup is better than nothing.
    snapshot.pools[1].servers[1].state = State::Up;
    snapshot.pools[1].servers[1].backup = true;
    assert!(said("drain server n1", &snapshot).is_ok());
}

#[test]
fn a_rebalance_does_not_begin_while_a_server_is_down() {
    let mut snapshot = snapshot();
    snapshot.pools[0].servers[1].state = crate::pool::server::State::Down;
    let refused = said("rebalance pool rabbit", &snapshot).unwrap_err();
    assert!(
        refused.starts_with("server rabbit-2 is down: "),
        "{refused}"
    );
}

#[test]
fn nothing_is_changed_by_the_end_of_a_rebalance_that_does_not_go_on() {
    let mut snapshot = snapshot();
    let nothing = Err(String::new());
    assert_eq!(said("rebalance stop plain", &snapshot), nothing);
    snapshot.rebalances[0].ended_ms = Some(5);
    assert_eq!(said("rebalance stop rabbit", &snapshot), nothing);
}

#[test]
fn drains_and_rebalances_are_listed_under_their_names() {
    let snapshot = example::snapshot();
    let drains = drains(&snapshot);
    let (title, row) = drains.split_once('\n').unwrap();
    assert_eq!(
        title.trim_start_matches("# ").split(' ').count(),
        row.split(' ').count()
    );
    assert_eq!(
        row,
        "rabbit rabbit-5 draining 40 600 520 2 300000 10000 290000 -\n"
    );
    let rebalances = rebalances(&snapshot);
    assert!(
        rebalances.ends_with("\nrabbit waiting 120 10 3600000 17000 server rabbit-3 is down\n"),
        "{rebalances}"
    );
}
