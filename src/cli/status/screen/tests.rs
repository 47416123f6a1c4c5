//! The screen against the stored one.

use super::*;
use crate::pool::server::State;
use crate::stats::example::{assert_expected, removed, snapshot};

#[test]
fn the_screen_is_as_stored() {
    assert_expected("status.txt", &render(&snapshot(), Room::ENDLESS, false));
}

#[test]
fn colours_change_nothing_but_the_colour() {
    let coloured = render(&snapshot(), Room::ENDLESS, true);
    assert!(coloured.contains("\x1b[32mup\x1b[0m"), "{coloured}");
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    assert_eq!(plain, render(&snapshot(), Room::ENDLESS, false));
}

#[test]
fn a_check_cannot_move_the_cursor() {
    let mut snapshot = snapshot();
    snapshot.pools[0].servers[0].check.as_mut().unwrap().detail = "a\x1b[2Jb\nc".to_owned();
    let text = render(&snapshot, Room::ENDLESS, false);
    assert!(text.contains("a [2Jb c\n"), "{text}");
}

/// Many servers, of which some are down, some drained.
fn crowd(servers: usize, down: usize) -> Snapshot {
    let mut snapshot = snapshot();
    let one = snapshot.pools[0].servers[0].clone();
    snapshot.pools[0].servers = (0..servers)
        .map(|number| {
            let mut server = one.clone();
            server.name = format!("rabbit-{number}");
            if number >= servers - down {
                server.state = State::Down;
            }
            server
        })
        .collect();
    snapshot
}

fn size(text: &str) -> (usize, usize) {
    let widest = text.lines().map(|line| line.chars().count()).max();
    (widest.unwrap_or(0), text.lines().count())
}

#[test]
fn eighty_columns_are_enough() {
    for snapshot in [snapshot(), crowd(40, 2)] {
        for columns in 80..200 {
            let room = Room {
                columns,
                lines: usize::MAX,
            };
            let text = render(&snapshot, room, false);
            assert!(size(&text).0 <= columns, "{columns}:\n{text}");
        }
    }
    let room = Room {
        columns: 80,
        lines: usize::MAX,
    };
    assert_expected("status-80.txt", &render(&snapshot(), room, false));
}

#[test]
fn many_servers_stay_on_one_screen() {
    for lines in [40, 50, 60] {
        let room = Room { columns: 80, lines };
        let text = render(&crowd(200, 3), room, false);
        assert_eq!(size(&text).1, lines, "all of it is used:\n{text}");
        let servers = text
            .lines()
            .skip_while(|line| !line.starts_with("SERVER"))
            .skip(1);
        let names: Vec<_> = servers
            .filter_map(|line| line.split(' ').next())
            .take(4)
            .collect();
        assert_eq!(
            names,
            ["rabbit-197", "rabbit-198", "rabbit-199", "rabbit-0"],
            "{text}"
        );
    }
    let text = render(&crowd(200, 3), Room::ENDLESS, false);
    assert!(
        !text.contains(" more: ") && text.contains("\nrabbit-150 "),
        "{text}"
    );
}

#[test]
fn the_rest_is_summed_up() {
    let room = Room {
        columns: 80,
        lines: 0,
    };
    let text = render(&crowd(200, 3), room, false);
    let line = "and 199 more: 2 down, 197 up; 112,037 open, 995/s\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn many_problems_are_counted() {
    let room = Room {
        columns: 80,
        lines: 50,
    };
    let text = render(&crowd(200, 100), room, false);
    let problems = text.lines().filter(|line| line.starts_with("! "));
    let problems: Vec<_> = problems.collect();
    assert_eq!(problems.len(), PROBLEMS, "{text}");
    assert_eq!(problems[PROBLEMS - 1], "! and 93 more");
    let all = render(&crowd(200, 100), Room::ENDLESS, false);
    assert!(
        all.contains("! server rabbit/rabbit-199 is down\n"),
        "{all}"
    );
}

#[test]
fn an_address_that_an_operator_has_set_is_shown_as_such() {
    let mut snapshot = snapshot();
    for server in &mut snapshot.pools[0].servers {
        server.address = Some("10.0.0.9:5673".parse().unwrap());
        server.overridden = true;
    }
    let text = render(&snapshot, Room::ENDLESS, false);
    for name in ["rabbit-1", "rabbit-7"] {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line.contains(" 10.0.0.9:5673 (set)  "), "{line}");
    }
}

#[test]
fn connections_of_removed_servers_have_a_line() {
    let mut snapshot = snapshot();
    let without = render(&snapshot, Room::ENDLESS, false);
    assert!(!without.contains("\nremoved "), "{without}");
    snapshot.removed = vec![
        removed("rabbit", "old", 1_200),
        removed("gone", "spare", 30),
    ];
    let text = render(&snapshot, Room::ENDLESS, false);
    let line = "\nremoved      1,230 open at servers that a reload removed: \
                rabbit/old (192.0.2.29:5672) 1,200, gone/spare (192.0.2.29:5672) 30\n";
    assert!(text.contains(line), "{text}");
    let narrow = render(
        &snapshot,
        Room {
            columns: 80,
            lines: usize::MAX,
        },
        false,
    );
    assert!(size(&narrow).0 <= 80, "{narrow}");
}

#[test]
fn a_listener_that_an_operator_closed_says_so() {
    let mut snapshot = snapshot();
    snapshot.listeners[0].paused = true;
    let text = render(&snapshot, Room::ENDLESS, false);
    assert!(text.contains("  closed, 1,204/5,000  "), "{text}");
}

#[test]
fn a_low_terminal_has_servers_instead_of_latencies() {
    let room = |lines| Room { columns: 80, lines };
    let low = render(&crowd(40, 2), room(30), false);
    assert!(
        !low.contains("\nconnect  ") && !low.contains("\nendings  "),
        "{low}"
    );
    assert_eq!(size(&low).1, 30, "{low}");
    let high = render(&crowd(40, 2), room(40), false);
    assert!(
        high.contains("\nconnect  ") && high.contains("\nendings  "),
        "{high}"
    );
}
