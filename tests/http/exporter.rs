//! `/metrics` and the CSV beside those of Debian's haproxy.

use std::collections::{BTreeMap, BTreeSet};

use crate::network::{body, enter, until};
use crate::node::{HAPROXY, HTTP, POOLS, Warren, haproxy, serve};

/// One family: its type, and its series with their values.
#[derive(Debug, Default, PartialEq)]
struct Family<'a> {
    kind: &'a str,
    words: &'a str,
    series: BTreeMap<&'a str, f64>,
}

/// The families of HAProxy's names, without the frontend that only serves them, and without
/// families that have no other line.
fn families(text: &str) -> BTreeMap<&str, Family<'_>> {
    let mut families: BTreeMap<&str, Family<'_>> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').unwrap();
            families.entry(name).or_default().words = words;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            families.entry(name).or_default().kind = kind;
        } else if line.starts_with("haproxy_") && !line.contains("proxy=\"http\"") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let family = families.get_mut(name).unwrap();
            let once = family.series.insert(series, value.parse().unwrap());
            assert_eq!(once, None, "{series} twice");
        }
    }
    families.retain(|name, family| name.starts_with("haproxy_") && !family.series.is_empty());
    families
}

/// What the clock moves, what is about this very process, and what is meant to differ: limits that
/// come from elsewhere; servers that HAProxy takes for up before their first check; the connections
/// of its own exporter.
fn may_differ(name: &str) -> bool {
    let endings = ["_seconds", "_seconds_total", "_rate", "_rate_max"];
    let ours = [
        "haproxy_process_",
        "haproxy_backend_limit_sessions",
        "haproxy_backend_check_up_down_total",
        "haproxy_server_check_failures_total",
        "haproxy_server_check_up_down_total",
        "haproxy_server_need_connections_current",
    ];
    endings.iter().any(|end| name.ends_with(end))
        || ours.iter().any(|start| name.starts_with(start))
}

#[test]
fn metrics_are_haproxys() {
    if !enter() {
        return;
    }
    serve(5682);
    let Some(_haproxy) = haproxy() else { return };
    let _warren = Warren::ready(POOLS);
    for port in [5672, 5673] {
        let connection = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        drop(connection);
    }
    let ended = |address| {
        let text = until("the end of a connection", || {
            let text = body(address, "/metrics");
            let open = "haproxy_server_current_sessions{proxy=\"rabbit\",server=\"r2\"} 0\n";
            let done = "haproxy_server_sessions_total{proxy=\"rabbit\",server=\"r2\"} 1\n";
            let checks = "haproxy_backend_agg_check_status{proxy=\"rabbit\",state=\"L4CON\"} 2\n";
            (text.contains(open) && text.contains(done) && text.contains(checks)).then_some(text)
        });
        text.lines()
            .filter(|line| !line.starts_with("haproxy_process_build_info"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let (theirs, ours) = (ended(HAPROXY), ended(HTTP));
    let (theirs, ours) = (families(&theirs), families(&ours));
    let names = |families: &BTreeMap<&str, Family<'_>>| -> BTreeSet<String> {
        families.keys().map(|name| (*name).to_owned()).collect()
    };
    assert_eq!(names(&ours), names(&theirs));
    assert!(ours.len() > 150, "{}", ours.len());
    for (name, ours) in &ours {
        let theirs = &theirs[name];
        assert_eq!(ours.kind, theirs.kind, "{name}");
        assert!(!ours.words.is_empty(), "{name}");
        let labels =
            |family: &Family<'_>| family.series.keys().copied().collect::<Vec<_>>().join("\n");
        assert_eq!(labels(ours), labels(theirs));
        for (series, value) in &ours.series {
            let their = theirs.series[series];
            let same = *value == their || value.is_nan() && their.is_nan();
            assert!(
                same || may_differ(name),
                "{series}: {value}, haproxy {their}"
            );
        }
    }
}

/// Pool and name of each row.
fn names(rows: &str) -> Vec<String> {
    let rows = rows
        .lines()
        .filter(|row| !row.starts_with("http,") && !row.is_empty());
    rows.map(|row| row.split(',').take(2).collect::<Vec<_>>().join("/"))
        .collect()
}

#[test]
fn the_csv_is_haproxys_and_that_of_the_socket() {
    if !enter() {
        return;
    }
    serve(5682);
    let warren = Warren::ready(POOLS);
    let _ = warren.tell("set server rabbit/r3 state maint");
    let socket = warren.tell("show stat");
    let places = [
        "/;csv",
        "/;csv;norefresh",
        "/?stats;csv",
        "/stats;csv",
        "/haproxy?stats;csv",
    ];
    for place in places {
        let rows = body(HTTP, place);
        assert_eq!(names(&rows), names(&socket), "{place}");
        assert_eq!(rows.lines().next(), socket.lines().next(), "{place}");
    }
    let Some(_haproxy) = haproxy() else { return };
    assert_eq!(names(&body(HTTP, "/;csv")), names(&body(HAPROXY, "/;csv")));
    assert_eq!(
        names(&body(HTTP, "/;csv;up")),
        names(&body(HAPROXY, "/;csv;up"))
    );
    let first = |address: &str| -> serde_json::Value {
        let rows: serde_json::Value = serde_json::from_str(&body(address, "/;json")).unwrap();
        let mut first = rows[0][0].clone();
        // The number depends on what else there is.
        first["proxyId"] = 0.into();
        first
    };
    assert_eq!(first(HTTP), first(HAPROXY));
    // What programs look for in the page.
    let page = body(HTTP, "/haproxy?stats");
    for words in ["HAProxy version 2.6.", ", released 20", "uptime = 0d 0h00m"] {
        assert!(page.contains(words), "{words}");
    }
}
