//! What is rendered from a snapshot, against stored texts.

use super::csv::{self, COLUMNS, Filter};
use super::example::{assert_expected, snapshot};
use super::snapshot::Identity;
use super::{Sliding, WorkerCounters, info, servers_state};
use crate::pool::server::State;

fn field<'a>(row: &'a str, column: &str) -> &'a str {
    let index = COLUMNS.iter().position(|name| *name == column).unwrap();
    // Good for columns before the first quoted one.
    row.split(',').nth(index).unwrap()
}

#[test]
fn show_stat_is_as_stored() {
    assert_expected("stat.csv", &csv::render(&snapshot(), &Filter::ALL));
}

#[test]
fn show_info_is_as_stored() {
    assert_expected("info.txt", &info::render(&snapshot()));
}

#[test]
fn show_servers_state_is_as_stored() {
    let text = servers_state::render(&snapshot(), None).unwrap();
    assert_expected("servers_state.txt", &text);
}

#[test]
fn show_servers_state_of_one_pool_leaves_the_others_out() {
    let text = servers_state::render(&snapshot(), Some("plain")).unwrap();
    assert_eq!(text.lines().count(), 4);
    assert!(text.contains("\n5 plain 1 n1 127.0.0.1 2 0 "), "{text}");
    assert!(servers_state::render(&snapshot(), Some("amqp")).is_none());
}

#[test]
fn a_filter_chooses_proxy_kind_and_server() {
    let names = |filter: Filter| {
        let text = csv::render(&snapshot(), &filter);
        let rows = text.lines().skip(1);
        rows.map(|row| format!("{}/{}", field(row, "pxname"), field(row, "svname")))
            .collect::<Vec<_>>()
    };
    let all = Filter::ALL;
    assert_eq!(
        names(Filter { types: 1, ..all }),
        ["amqp/FRONTEND", "plain/FRONTEND"]
    );
    assert_eq!(
        names(Filter { types: 2, ..all }),
        ["rabbit/BACKEND", "plain/BACKEND"]
    );
    assert_eq!(
        names(Filter { iid: 5, ..all }),
        ["plain/n1", "plain/n2", "plain/BACKEND"]
    );
    assert_eq!(
        names(Filter {
            iid: 5,
            sid: 2,
            types: 4,
            ..all
        }),
        ["plain/n2"]
    );
    assert_eq!(
        names(Filter {
            iid: 5,
            sid: 0,
            types: 6,
            ..all
        }),
        ["plain/BACKEND"]
    );
    assert_eq!(names(Filter { types: 8, ..all }).len(), 0);
    assert_eq!(names(Filter { iid: 99, ..all }).len(), 0);
    assert_eq!(
        names(Filter {
            no_maint: true,
            iid: 5,
            types: 4,
            ..all
        }),
        ["plain/n1"]
    );
    let up = names(Filter {
        up: true,
        iid: 4,
        types: 4,
        ..all
    });
    assert_eq!(
        up,
        [
            "rabbit/rabbit-1",
            "rabbit/rabbit-2",
            "rabbit/rabbit-5",
            "rabbit/spare"
        ]
    );
}

#[test]
fn a_pool_on_its_backup_servers_is_up_with_their_weight() {
    let mut snapshot = snapshot();
    for server in &mut snapshot.pools[0].servers {
        if !server.backup {
            (server.state, server.healthy) = (State::Down, Some(false));
        }
    }
    let backend = |snapshot: &_| {
        let filter = Filter {
            iid: 4,
            types: 2,
            ..Filter::ALL
        };
        csv::render(snapshot, &filter)
            .lines()
            .nth(1)
            .unwrap()
            .to_owned()
    };
    let row = backend(&snapshot);
    assert_eq!(field(&row, "status"), "UP");
    assert_eq!((field(&row, "act"), field(&row, "bck")), ("0", "1"));
    assert_eq!(field(&row, "weight"), "100");
    snapshot.pools[0].servers[7].state = State::Down;
    let row = backend(&snapshot);
    assert_eq!(
        (field(&row, "status"), field(&row, "weight")),
        ("DOWN", "0")
    );
}

#[test]
fn show_info_under_our_own_name_and_with_a_hostile_node_name() {
    let mut snapshot = snapshot();
    snapshot.identity = Identity::Warren;
    snapshot.node = "a: b\nPid: 1".to_owned();
    let text = info::render(&snapshot);
    assert!(text.starts_with("Name: warren\nVersion: 0.1.0\n"), "{text}");
    assert!(text.contains("\nnode: a__b_Pid__1\n"), "{text}");
    for line in text.lines() {
        assert_eq!(line.matches(':').count(), 1, "{line:?}");
    }
}

#[test]
fn a_snapshot_survives_its_json() {
    let json = serde_json::to_string(&snapshot()).unwrap();
    assert!(!json.contains('\n'));
    assert_eq!(
        serde_json::from_str::<super::snapshot::Snapshot>(&json).unwrap(),
        snapshot()
    );
}

#[test]
fn what_an_operator_took_out_is_no_problem_what_fell_out_is() {
    assert_eq!(
        snapshot().problems(),
        [
            "server rabbit/rabbit-3 is down",
            "server rabbit/rabbit-4 is down",
            "server rabbit/rabbit-7 has not been checked yet",
        ]
    );
    let mut drained = snapshot();
    drained.pools.remove(0);
    assert_eq!(drained.problems().len(), 0);
    drained.pools[0].servers[0].state = State::Drain;
    assert_eq!(drained.problems(), ["pool plain has no usable server"]);
}

#[test]
fn a_sliding_average_is_right_from_the_first_sample_and_forgets_slowly() {
    let average = Sliding::default();
    assert_eq!(average.average(), 0);
    average.add(50);
    assert_eq!(average.average(), 50);
    average.add(60);
    assert_eq!((average.average(), average.max()), (55, 60));
    for _ in 0..20_000 {
        average.add(10);
    }
    assert_eq!((average.average(), average.max()), (10, 60));
}

#[test]
fn worker_counters_have_one_entry_per_thing() {
    let counters = WorkerCounters::new(2, 5, 3);
    assert_eq!(counters.listeners.len(), 2);
    assert_eq!(counters.servers.len(), 5);
    assert_eq!((counters.pools.len(), counters.latencies.len()), (3, 3));
}
