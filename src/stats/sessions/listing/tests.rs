//! Which connections are told.

use super::*;
use crate::proxy::account::During;
use crate::proxy::sight::{Ends, Id};
use crate::stats::example;

/// The pools `rabbit` with `r1` and `r2`, and `other` with `r2`; of a pool `old` that a reload has
/// removed the server `r9` has connections.
fn snapshot() -> Snapshot {
    let mut snapshot = example::snapshot();
    let names = [("rabbit", &["r1", "r2"][..]), ("other", &["r2"])];
    for (pool, (name, servers)) in snapshot.pools.iter_mut().zip(names) {
        name.clone_into(&mut pool.name);
        pool.servers.truncate(servers.len());
        for (server, name) in pool.servers.iter_mut().zip(servers) {
            (*name).clone_into(&mut server.name);
        }
    }
    snapshot.removed = vec![example::removed("old", "r9", 1)];
    snapshot
}

/// A connection of this age in seconds, by way of the listener `amqp`, `plain` or one that
/// is gone.
fn sight(client: &str, listener: &str, server: Option<&str>, age: u64) -> Sight {
    let pool = match listener {
        "amqp" => "rabbit",
        "plain" => "other",
        _ => "old",
    };
    Sight {
        id: Id(age),
        client: client.parse().unwrap(),
        listener: listener.into(),
        listener_number: 2,
        pool: pool.into(),
        pool_number: 4,
        server: server.map(Into::into),
        server_number: server.map(|_| 1),
        during: During::Relaying,
        accepted_at: Duration::from_millis(1_795_985_343_845),
        age: Duration::from_secs(age),
        silence: Duration::from_secs(age / 2),
        to_server: 10,
        to_client: 20,
        retries: 0,
        ends: Ends {
            listener: "192.0.2.100:5672".parse().ok(),
            local: "192.0.2.10:40123".parse().ok(),
            server: None,
        },
    }
}

fn all() -> Vec<Sight> {
    vec![
        sight("192.0.2.7:1", "amqp", Some("r1"), 10),
        sight("[::ffff:192.0.2.8]:1", "amqp", Some("r2"), 30),
        sight("[2001:db8::9]:1", "plain", Some("r2"), 20),
        sight("198.51.100.1:1", "amqp", None, 5),
        sight("198.51.100.2:1", "gone", Some("r9"), 3),
    ]
}

/// The ages of what passes, in the order that it is told in.
fn ages(words: &str) -> Vec<u64> {
    let words: Vec<&str> = words.split_whitespace().collect();
    let mut listing = Listing::new(Filter::of(&words, snapshot).unwrap());
    all().iter().for_each(|sight| listing.take(sight));
    let told = listing.finish();
    assert_eq!(told.open, 5);
    told.sessions.iter().map(|one| one.age_ms / 1000).collect()
}

#[test]
fn each_filter_lets_through_what_it_says() {
    let cases: [(&str, &[u64]); 14] = [
        ("", &[30, 20, 10, 5, 3]),
        ("pool old", &[3]),
        ("server old/r9", &[3]),
        ("pool rabbit", &[30, 10, 5]),
        ("pool other", &[20]),
        ("server rabbit/r2", &[30]),
        ("server other/r2", &[20]),
        ("client 192.0.2.0/24", &[30, 10]),
        ("client 2001:db8::/32", &[20]),
        ("client 198.51.100.1", &[5]),
        ("idle 10s", &[30, 20]),
        ("older 20s", &[30, 20]),
        ("limit 2", &[30, 20]),
        ("pool rabbit older 6s limit 1", &[30]),
    ];
    for (words, expected) in cases {
        assert_eq!(ages(words), expected, "{words}");
    }
}

#[test]
fn what_is_left_out_is_counted() {
    let filter = Filter::of(&["limit", "1", "pool", "rabbit"], snapshot).unwrap();
    let mut listing = Listing::new(filter);
    all().iter().for_each(|sight| listing.take(sight));
    let told = listing.finish();
    assert_eq!((told.open, told.matching, told.sessions.len()), (5, 3, 1));
    let one = &told.sessions[0];
    assert_eq!(one.id, "0x1e");
    assert_eq!(one.listener, "amqp");
    assert_eq!(one.pool, "rabbit");
    assert_eq!(one.server.as_deref(), Some("r2"));
    assert_eq!(one.accepted_at_ms, 1_795_985_343_845);
    let ends = [
        &one.listener_address,
        &one.local_address,
        &one.server_address,
    ];
    let ends = ends.map(Option::as_deref);
    assert_eq!(
        ends,
        [Some("192.0.2.100:5672"), Some("192.0.2.10:40123"), None]
    );
    assert_eq!((one.idle_ms, one.bytes_in, one.bytes_out), (15_000, 10, 20));
    let json = serde_json::to_string(&told).unwrap();
    assert_eq!(serde_json::from_str::<Sessions>(&json).unwrap(), told);
}

#[test]
fn a_wrong_filter_is_answered_in_words() {
    let cases = [
        ("pool", "'pool' expects a value."),
        ("pool nosuch", "There is no pool `nosuch`."),
        ("server r1", "There is no server `r1`."),
        ("server rabbit/r3", "There is no server `rabbit/r3`."),
        ("server rabbit/r9", "There is no server `rabbit/r9`."),
        ("server nosuch/r9", "There is no pool `nosuch`."),
        (
            "pool other server rabbit/r1",
            "The server is not of that pool.",
        ),
        ("client fast", "client `fast`: "),
        ("idle 3", "idle `3`: has no unit; did you mean `3s`?"),
        ("limit 0", "limit `0`: not 1 to 10000"),
        ("limit 10001", "limit `10001`: not 1 to 10000"),
        (
            "colour red",
            "'colour' is not one of pool, server, client, idle, older, limit.",
        ),
    ];
    for (words, expected) in cases {
        let words: Vec<&str> = words.split_whitespace().collect();
        let error = Filter::of(&words, snapshot).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}
