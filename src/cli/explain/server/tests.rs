//! Each reason, on the server of the example that it holds for.

use super::*;
use crate::stats::example::snapshot;

/// The servers of the checked pool, one in each state.
fn rabbit() -> PoolSnapshot {
    snapshot().pools.remove(0)
}

fn index(pool: &PoolSnapshot, name: &str) -> usize {
    let mut servers = pool.servers.iter();
    servers.position(|server| server.name == name).unwrap()
}

/// What is said of a server after a change to the pool and the server.
fn said(name: &str, change: impl FnOnce(&mut PoolSnapshot, usize)) -> (Reason, String) {
    let mut pool = rabbit();
    let at = index(&pool, name);
    change(&mut pool, at);
    let server = &pool.servers[at];
    let text = explain(&pool, server, None, &[]);
    (Reason::of(&pool, server), text)
}

/// What is said of a server whose drain is so far.
fn said_while(stage: DrainStage, change: impl FnOnce(&mut DrainSnapshot)) -> String {
    let mut snapshot = snapshot();
    let drain = &mut snapshot.drains[0];
    drain.stage = stage;
    change(drain);
    let drain = snapshot.drain_of("rabbit", "rabbit-5");
    let pool = &snapshot.pools[0];
    let server = &pool.servers[index(pool, "rabbit-5")];
    explain(pool, server, drain, &[])
}

/// Expects a reason and, in this order, some words.
fn expect(said: (Reason, String), reason: Reason, words: &[&str]) {
    let (found, text) = said;
    assert_eq!(found, reason, "{text}");
    let mut rest = text.as_str();
    for word in words {
        let Some((_, after)) = rest.split_once(word) else {
            panic!("`{word}` is not, or not in this order, in: {text}");
        };
        rest = after;
    }
}

#[test]
fn one_that_is_used_has_a_share() {
    expect(
        said("rabbit-1", |_, _| {}),
        Reason::Used,
        &[
            "rabbit/rabbit-1 (192.0.2.21:5672) gets new connections: it has been up for 3m 07s.",
            "Its weight is 100 of 135 in all, 74 % of what leastconn gives out.",
            "Its last check passed: L7OK after 1.25 ms, 400 ms ago: logged in to RabbitMQ 3.10.8.",
            "563 connections are open; most so far 603, 43,990 in all, 5 per second now.",
            "So far 12 attempts to connect to it failed, 2 connections were cut on its side.",
        ],
    );
    let only = said("rabbit-1", |pool, at| {
        pool.servers = vec![pool.servers[at].clone()];
    });
    expect(
        only,
        Reason::Used,
        &["It is the only one that leastconn chooses from."],
    );
}

#[test]
fn one_whose_checks_begin_to_fail_is_still_used() {
    let failing = said("rabbit-1", |pool, at| {
        let check = pool.servers[at].check.as_mut().unwrap();
        (check.passed, check.score) = (false, 2);
        check.detail = "connection refused".to_owned();
    });
    let words = [
        "gets new connections",
        "failed: L7OK",
        "connection refused; 2 of the 3 in a row",
    ];
    expect(failing, Reason::Used, &words);
}

#[test]
fn one_that_is_down_says_what_its_check_found() {
    expect(
        said("rabbit-3", |_, _| {}),
        Reason::Down,
        &[
            "rabbit/rabbit-3 (192.0.2.23:5672) gets no new connections: it has been down",
            " for 3m 07s.",
            "Its last check failed: L7STS 403 after 1.25 ms, 400 ms ago: refused the login",
            "So far it went down 1 time, 1m 05s in all,",
        ],
    );
    // Its last check passed, and that is not yet enough.
    let words = [
        "it has been down",
        "Its last check passed (L7OK",
        "), 1 of the 2 in a row",
    ];
    expect(said("rabbit-4", |_, _| {}), Reason::Down, &words);
    let stopped = said("rabbit-3", |pool, at| {
        pool.servers[at].checks_stopped = true
    });
    expect(
        stopped,
        Reason::Down,
        &["An operator has stopped its checks, so it stays"],
    );
    let never = said("rabbit-3", |pool, at| pool.servers[at].check = None);
    expect(never, Reason::Down, &["It has not passed a check."]);
    let drained = said("rabbit-3", |pool, at| pool.servers[at].admin = Admin::Drain);
    expect(drained, Reason::Down, &["An operator drains it besides"]);
}

#[test]
fn a_drain_that_goes_on_is_said() {
    for (stage, words) in [
        (
            DrainStage::Draining,
            "40 connections are open, which a drain closes, at most 2 a second, with 20s to go; ",
        ),
        (
            DrainStage::Waiting,
            "40 connections are open, which a drain closes, with 20s to go, but not now: why; ",
        ),
        (
            DrainStage::Late,
            "40 connections are open, which a drain could not close; ",
        ),
        (
            DrainStage::Stopped,
            "40 connections are open, which may end by themselves; ",
        ),
    ] {
        let text = said_while(stage, |drain| drain.why = "why".to_owned());
        assert!(text.contains(words), "{text}");
    }
    let at_once = said_while(DrainStage::Draining, |drain| drain.rate = None);
    let words = "40 connections are open, which a drain closes at once; ";
    assert!(at_once.contains(words), "{at_once}");
}

#[test]
fn what_an_operator_did_is_said() {
    expect(
        said("rabbit-5", |_, _| {}),
        Reason::Draining,
        &[
            "gets no new connections: an operator has been draining it for 3m 07s.",
            " It is still checked",
            "40 connections are open, which may end by themselves;",
        ],
    );
    let words = [
        "an operator put it into maintenance 3m 07s ago",
        "Its last check failed: L4CON",
    ];
    expect(said("rabbit-6", |_, _| {}), Reason::Maintenance, &words);
    let was_down = said("rabbit-6", |pool, at| {
        pool.servers[at].healthy = Some(false)
    });
    expect(was_down, Reason::Maintenance, &["Before that it was down."]);
    let stopped = said("rabbit-1", |pool, at| {
        pool.servers[at].checks_stopped = true
    });
    expect(
        stopped,
        Reason::Used,
        &["An operator has stopped its checks: it counts for"],
    );
    let weighed = said("rabbit-1", |pool, at| {
        pool.servers[at].configured_weight = 50
    });
    let words = ["An operator has set its weight to 100; the configuration has 50."];
    expect(weighed, Reason::Used, &words);
}

#[test]
fn an_address_that_an_operator_has_set_is_the_one_in_force() {
    let moved = said("rabbit-1", |pool, at| {
        pool.servers[at].address = Some("10.0.0.9:5673".parse().unwrap());
        pool.servers[at].overridden = true;
    });
    let words = [
        "rabbit/rabbit-1 (10.0.0.9:5673) gets new connections",
        "An operator has set its address; the configuration has 192.0.2.21:5672.",
    ];
    expect(moved, Reason::Used, &words);
}

#[test]
fn the_operator_is_named_who_did_it_last() {
    let pool = rabbit();
    let event = |uid| Event {
        number: 1,
        at_ms: 1,
        what: What::Command {
            command: "set server rabbit/rabbit-5 state drain".to_owned(),
            uid,
        },
    };
    let (first, last) = (event(0), event(1000));
    let server = &pool.servers[index(&pool, "rabbit-5")];
    let text = explain(&pool, server, None, &[&first, &last]);
    assert!(
        text.contains("an operator (user 1000) has been draining it"),
        "{text}"
    );
}

#[test]
fn an_operator_who_put_it_down_is_named() {
    let numbered = |what| Event {
        number: 1,
        at_ms: 1,
        what,
    };
    let turn = |from, to, reason: &str| {
        numbered(What::Server {
            pool: "rabbit".to_owned(),
            server: "rabbit-4".to_owned(),
            from,
            to,
            reason: reason.to_owned(),
        })
    };
    let command = |uid, words: &str| {
        let command = format!("set server rabbit/rabbit-4 {words}");
        numbered(What::Command { command, uid })
    };
    let mut pool = rabbit();
    let at = index(&pool, "rabbit-4");
    let told = |pool: &PoolSnapshot, events: &[Event]| {
        let events: Vec<_> = events.iter().collect();
        explain(pool, &pool.servers[at], None, &events)
    };
    let mut events = vec![
        turn(State::Up, State::Down, BY_AN_OPERATOR),
        command(1000, "health down"),
        turn(State::Down, State::Maint, BY_AN_OPERATOR),
        turn(State::Maint, State::Down, BY_AN_OPERATOR),
        command(0, "weight 7"),
    ];
    let words = "it has been down for 3m 07s: an operator (user 1000) put it down. Its last check \
                 passed (L7OK";
    let text = told(&pool, &events);
    assert!(text.contains(words), "{text}");
    events.extend([
        turn(State::Down, State::Up, "connected"),
        turn(State::Up, State::Down, "connection refused"),
        turn(State::Down, State::Maint, BY_AN_OPERATOR),
        turn(State::Maint, State::Down, BY_AN_OPERATOR),
    ]);
    let text = told(&pool, &events);
    assert!(text.contains("it has been down for 3m 07s. Its"), "{text}");
    pool.checked = false;
    pool.servers[at].check = None;
    let text = told(&pool, &events[..2]);
    let words = "put it down. It is not checked, so it stays down until an operator puts it up. ";
    assert!(text.contains(words), "{text}");
}

#[test]
fn a_small_part_is_not_none() {
    let small = |weight: u16, effective: u16| {
        said("rabbit-1", move |pool, at| {
            pool.servers[at + 1].effective_weight = 200;
            let server = &mut pool.servers[at];
            (server.weight, server.effective_weight) = (weight, effective);
            server.configured_weight = weight;
        })
    };
    let words = ["Its weight is 1 of 201 in all, less than 1 % of what"];
    expect(small(1, 1), Reason::Used, &words);
    let words = ["gets new connections, but less than 1 % of its share"];
    expect(small(200, 1), Reason::SlowStart, &words);
}

#[test]
fn a_weight_of_0_says_whose_it_is() {
    let weigh = |filed: u16| {
        said("rabbit-1", move |pool, at| {
            let server = &mut pool.servers[at];
            (
                server.weight,
                server.effective_weight,
                server.configured_weight,
            ) = (0, 0, filed);
        })
    };
    let words = [
        "gets no new connections: it has been up",
        "its weight is 0 in the configuration.",
    ];
    expect(weigh(0), Reason::Weightless, &words);
    let words = ["its weight is 0, set by an operator; the configuration has 100."];
    expect(weigh(100), Reason::Weightless, &words);
}

#[test]
fn a_backup_server_is_needed_or_not() {
    let words = [
        "gets no new connections",
        "as a backup server it is not needed while 2 other servers",
    ];
    expect(said("spare", |_, _| {}), Reason::NotNeeded, &words);
    let needed = said("spare", |pool, at| {
        for server in &mut pool.servers[..at] {
            server.state = State::Down;
        }
    });
    let words = [
        "gets new connections: it has been up",
        "as a backup server it is needed",
        "the only one",
    ];
    expect(needed, Reason::Used, &words);
}

#[test]
fn a_limit_that_is_reached_tells_of_the_queue() {
    let full = |waiting: u32| {
        said("rabbit-1", move |pool, at| {
            pool.servers[at].open.limit = 563;
            pool.queue.now = waiting;
        })
    };
    let words = ["and has 563 connections, as many as it may. 3 clients wait in the queue"];
    expect(full(3), Reason::Full, &words);
    expect(full(0), Reason::Full, &["Nobody waits for it."]);
    let free = said("rabbit-1", |pool, at| pool.servers[at].open.limit = 564);
    expect(
        free,
        Reason::Used,
        &["563 connections are open of at most 564;"],
    );
}

#[test]
fn a_name_that_does_not_resolve_and_a_first_check_are_waited_for() {
    let words = [
        "its name rabbit-7.example does not resolve",
        "address that passes the checks.",
    ];
    expect(said("rabbit-7", |_, _| {}), Reason::Unresolved, &words);
    let down = said("rabbit-7", |pool, at| pool.servers[at].state = State::Down);
    expect(down, Reason::Unresolved, &["does not resolve"]);
    let unchecked = said("rabbit-7", |pool, at| {
        pool.servers[at].address = Some("192.0.2.27:5672".parse().unwrap());
    });
    expect(
        unchecked,
        Reason::Unchecked,
        &["no check of it has ended in the 3m 07s"],
    );
}

#[test]
fn slow_start_lowers_the_share() {
    let words = [
        "gets new connections, but 35 % of its share: it came back 3m 07s ago",
        "5m 00s.",
    ];
    expect(said("rabbit-2", |_, _| {}), Reason::SlowStart, &words);
}

#[test]
fn a_pool_without_checks_says_so() {
    let pool = snapshot().pools.remove(1);
    let text = explain(&pool, &pool.servers[0], None, &[]);
    assert!(
        text.contains("The servers of this pool are not checked."),
        "{text}"
    );
}

#[test]
fn what_a_server_said_cannot_move_the_cursor() {
    let (_, text) = said("rabbit-3", |pool, at| {
        pool.servers[at].check.as_mut().unwrap().detail = "a\x1b[2Jb\nc".to_owned();
    });
    assert!(text.contains("a [2Jb c"), "{text}");
}
