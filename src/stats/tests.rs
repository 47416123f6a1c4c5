//! What is rendered from a snapshot, against stored texts.

use super::csv::{self, COLUMNS, Filter};
use super::example::{assert_expected, snapshot};
use super::form::Style;
use super::snapshot::Identity;
use super::{Sliding, info, servers_state};
use crate::pool::server::{Admin, State};

fn field<'a>(row: &'a str, column: &str) -> &'a str {
    let index = COLUMNS.iter().position(|name| *name == column).unwrap();
    // Good for columns before the first quoted one.
    row.split(',').nth(index).unwrap()
}

#[test]
fn show_stat_is_as_stored() {
    assert_expected(
        "stat.csv",
        &csv::render(&snapshot(), &Filter::ALL, Style::default()),
    );
}

#[test]
fn show_info_is_as_stored() {
    assert_expected("info.txt", &info::render(&snapshot(), Style::default()));
}

#[test]
fn show_stat_in_pieces_is_the_whole() {
    let mut snapshot = snapshot();
    let server = snapshot.pools[0].servers[0].clone();
    snapshot.pools[0].servers = vec![server; 1_000];
    let none = Filter {
        iid: 99,
        ..Filter::ALL
    };
    let snapshot = std::rc::Rc::new(snapshot);
    for style in [&[][..], &["typed"], &["json"]].map(Style::of) {
        for filter in [Filter::ALL, none] {
            let whole = csv::render(&snapshot, &filter, style);
            let pieces = csv::Pieces::new(snapshot.clone(), filter, style);
            let pieces: Vec<String> = pieces.collect();
            assert_eq!(pieces.concat(), whole);
            let longest = pieces.iter().map(String::len).max();
            assert!(longest < Some(2_000_000), "{longest:?}");
            assert_eq!(pieces.len(), if filter == none { 1 } else { 16 });
        }
    }
}

const OTHER_FORMS: [(&str, &[&str]); 2] = [("typed", &["typed", "desc"]), ("json", &["json"])];

#[test]
fn show_stat_has_the_same_values_in_every_form() {
    for (name, words) in OTHER_FORMS {
        // One listener, one server and one pool.
        let mut snapshot = snapshot();
        snapshot.listeners.truncate(1);
        snapshot.pools.truncate(1);
        snapshot.pools[0].servers.drain(3..);
        snapshot.pools[0].servers.drain(..2);
        let text = csv::render(&snapshot, &Filter::ALL, Style::of(words));
        assert_expected(&format!("stat.{name}"), &text);
    }
    // Nothing that is printed is without a meaning.
    let plain = csv::render(&snapshot(), &Filter::ALL, Style::default());
    let typed = csv::render(&snapshot(), &Filter::ALL, Style::of(&["typed"]));
    for name in COLUMNS {
        let mut rows = plain.lines().skip(1).filter(|row| !row.contains('"'));
        let filled = rows.any(|row| !field(row, name).is_empty());
        assert!(!filled || typed.contains(&format!(".{name}.1:")), "{name}");
    }
}

#[test]
fn show_info_has_the_same_values_in_every_form() {
    for (name, words) in OTHER_FORMS {
        assert_expected(
            &format!("info.{name}"),
            &info::render(&snapshot(), Style::of(words)),
        );
    }
    let mut snapshot = snapshot();
    snapshot.uptime_ms = 12_340;
    let text = info::render(&snapshot, Style::of(&["json", "float", "typed"]));
    for line in ["8.Uptime_sec.1:MDP:flt:12.34", "26.ConnRate.1:MRP:flt:12"] {
        assert!(text.lines().any(|other| other == line), "{text}");
    }
    let keys = info::render(&snapshot, Style::default()).lines().count();
    assert_eq!(text.lines().count(), keys);
}

#[test]
fn every_json_form_is_json_with_numbers_as_numbers() {
    let parse = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
    let mut hostile = snapshot();
    hostile.pools[0].servers[0].check.as_mut().unwrap().detail = "a \"quoted\"\nline".to_owned();
    let stat = parse(csv::render(&hostile, &Filter::ALL, Style::of(&["json"])));
    assert_eq!(stat.as_array().unwrap().len(), 14);
    let values = stat[2].as_array().unwrap().iter();
    let by_name = |name: &str| {
        values
            .clone()
            .find(|one| one["field"]["name"] == name)
            .unwrap()
    };
    assert_eq!(by_name("last_chk")["value"]["value"], "a \"quoted\"\nline");
    assert_eq!(by_name("scur")["value"]["value"], 563);
    let info = parse(info::render(&hostile, Style::of(&["json"])));
    assert_eq!(info[3]["value"]["value"], 2);
}

#[test]
fn show_servers_state_is_as_stored() {
    let text = servers_state::render(&snapshot(), None);
    assert_expected("servers_state.txt", &text);
}

#[test]
fn show_servers_state_of_one_pool_leaves_the_others_out() {
    let text = servers_state::render(&snapshot(), Some(1));
    assert_eq!(text.lines().count(), 4);
    assert!(text.contains("\n5 plain 1 n1 127.0.0.1 2 0 "), "{text}");
}

#[test]
fn show_servers_state_tells_of_a_slow_start_also_while_it_drains() {
    let mut starting = snapshot();
    let drained = &mut starting.pools[0].servers[4];
    assert_eq!(drained.admin, Admin::Drain);
    drained.effective_weight = 35;
    let text = servers_state::render(&starting, None);
    assert!(text.contains(" rabbit-5 192.0.2.25 1 8 "), "{text}");
}

#[test]
fn a_filter_chooses_proxy_kind_and_server() {
    let names = |filter: Filter| {
        let text = csv::render(&snapshot(), &filter, Style::default());
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
        csv::render(snapshot, &filter, Style::default())
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
    let text = info::render(&snapshot, Style::default());
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
    drained.pools.clear();
    drained.configuration.error = Some("error[E0103]".to_owned());
    let refused = "the last reload was refused: error[E0103]";
    assert_eq!(drained.problems(), [refused]);
}

#[test]
fn a_listener_that_an_operator_closed_is_a_problem() {
    let mut closed = snapshot();
    closed.pools.remove(0);
    closed.listeners[1].paused = true;
    assert_eq!(closed.problems(), ["listener plain is disabled"]);
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
