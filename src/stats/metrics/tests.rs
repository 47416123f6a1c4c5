//! The text of a known snapshot, stored, and its values compared with `show stat`.

use std::rc::Rc;

use super::*;
use crate::stats::csv::{self, COLUMNS, Filter};
use crate::stats::example::{assert_expected, snapshot};
use crate::stats::form::Style;

fn text(snapshot: Snapshot, wanted: &Wanted) -> String {
    Pieces::new(Rc::new(snapshot), wanted).collect()
}

#[test]
fn the_text_is_as_stored() {
    assert_expected("metrics.txt", &text(snapshot(), &Wanted::default()));
}

/// `name{labels}` and value of each line.
fn values(text: &str) -> Vec<(&str, &str)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap()).collect()
}

#[test]
fn the_values_are_those_of_show_stat() {
    let snapshot = snapshot();
    let rows = csv::render(&snapshot, &Filter::ALL, Style::default());
    let rows: Vec<Vec<&str>> = rows.lines().map(|row| row.split(',').collect()).collect();
    let text = text(snapshot, &Wanted::default());
    let values = values(&text);
    let mut compared = 0;
    for family in all() {
        let About::Column(column) = family.about else {
            continue;
        };
        // Columns behind a quoted one that may hold a comma, and those that are words.
        let place = COLUMNS.iter().position(|name| *name == column).unwrap();
        if place > 54 || column == "status" || column == "check_status" {
            continue;
        }
        let mut lines = values.iter().filter(|(series, _)| {
            let name = series.split('{').next();
            name == Some(family.name)
        });
        for row in &rows {
            let wanted = match (family.each, row[1]) {
                (Each::Listener(_), "FRONTEND") | (Each::Pool(_), "BACKEND") => true,
                (Each::Server(_), name) => !["FRONTEND", "BACKEND", "svname"].contains(&name),
                _ => false,
            };
            // Lines that only servers with a finished check have.
            let none = column.starts_with("check_") && row[36].is_empty() | (row[36] == "INI");
            if !wanted || none && row[1] != "rabbit-6" && row[1] != "rabbit-7" {
                continue;
            }
            if none && row[1] == "rabbit-7" && column == "check_duration" {
                continue;
            }
            let (series, value) = lines.next().unwrap();
            let value: f64 = value.parse().unwrap();
            let expected = match (row[place], column) {
                // In maintenance HAProxy's page is silent about the last check, its exporter not.
                ("", "check_duration") => 1.0,
                ("", "check_code") => 0.0,
                ("", _) => f64::NAN,
                (value, _) => value.parse().unwrap(),
            };
            let scale = if column == "check_duration" {
                1000.0
            } else {
                1.0
            };
            let same = (value * scale - expected).abs() < 1e-6;
            assert!(
                same || value.is_nan() && expected.is_nan(),
                "{series}: {value}, {row:?}"
            );
            compared += 1;
        }
        assert_eq!(lines.next(), None, "{}", family.name);
    }
    assert!(compared > 250, "{compared}");
}

#[test]
fn scopes_choose_families_and_no_maint_servers() {
    for (scope, prefix) in [
        ("global", "haproxy_process_"),
        ("frontend", "haproxy_frontend_"),
        ("backend", "haproxy_backend_"),
        ("server", "haproxy_server_"),
    ] {
        let wanted = Wanted {
            scopes: vec![scope],
            no_maint: false,
        };
        let text = text(snapshot(), &wanted);
        let values = values(&text);
        assert!(!values.is_empty());
        assert!(values.iter().all(|(name, _)| name.starts_with(prefix)));
    }
    let wanted = Wanted {
        scopes: vec!["warren"],
        no_maint: true,
    };
    let text = text(snapshot(), &wanted);
    assert!(!text.contains("haproxy_") && !text.contains("rabbit-6"));
    assert!(text.contains("rabbit-7"));
}

#[test]
fn names_are_escaped() {
    let mut snapshot = snapshot();
    snapshot.pools[0].name = "a\\b\"c\nd".to_owned();
    let text = text(snapshot, &Wanted::default());
    assert!(text.contains(r#"haproxy_backend_uweight{proxy="a\\b\"c\nd"} "#));
}

#[test]
fn the_text_of_many_servers_comes_in_small_pieces() {
    let mut snapshot = snapshot();
    let server = snapshot.pools[0].servers[0].clone();
    snapshot.pools[0].servers = vec![server; 10_000];
    let mut lines = 0;
    for piece in Pieces::new(Rc::new(snapshot), &Wanted::default()) {
        assert!(piece.len() < 2 * PIECE, "{}", piece.len());
        lines += piece.lines().count();
    }
    assert!(lines > 600_000, "{lines}");
}
