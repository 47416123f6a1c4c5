//! What is remembered.

use super::*;
use crate::pool::server::State;
use crate::vrrp::status::example;

fn server(reason: &str) -> What {
    What::Server {
        pool: "p".to_owned(),
        server: "s".to_owned(),
        from: State::Up,
        to: State::Down,
        reason: reason.to_owned(),
    }
}

#[test]
fn the_latest_events_are_remembered_a_line_each() {
    let events = Events::default();
    assert_eq!(events.after(0).first, 0);
    for number in 0..REMEMBERED + 2 {
        events.note(server(&format!("event {number}\nof two lines")));
    }
    let text = events.text(0);
    assert_eq!(text.lines().count(), REMEMBERED);
    let first = text.lines().next().unwrap();
    assert!(
        first.ends_with("Z server p/s up -> down: event 2 of two lines"),
        "{first}"
    );
}

#[test]
fn what_is_asked_for_after_a_number_is_what_came_later() {
    let events = Events::default();
    for number in 0..REMEMBERED + 2 {
        events.note(server(&number.to_string()));
    }
    let all = events.after(0);
    assert_eq!(all.events.len(), REMEMBERED);
    assert_eq!(all.events[0].number, all.first + 2, "two are forgotten");
    let last = all.events[REMEMBERED - 1].number;
    assert_eq!(events.after(last - 1).events, all.events[REMEMBERED - 1..]);
    assert_eq!(events.after(last).events, []);
}

#[test]
fn changes_of_virtual_routers_are_taken_once_and_anew_after_a_new_beginning() {
    let events = Events::default();
    let begun = Instant::now();
    let at = |second| begun + Duration::from_secs(second);
    let change = |number, second, to| Past {
        number,
        at: at(second),
        from: "backup",
        to,
        reason: "a reason".to_owned(),
        priority: "150 - 50 = 100: that".to_owned(),
    };
    let look = |router: &RouterStatus, second| {
        events.note_routers(std::slice::from_ref(router), at(second));
    };
    let mut router = example(begun);
    router.past.push_back(change(1, 0, "master"));
    look(&router, 1);
    look(&router, 2);
    router.past.push_back(change(2, 3, "init"));
    look(&router, 4);
    // It counts from the beginning.
    router.past = [change(1, 5, "leaving")].into();
    look(&router, 6);
    // It has another name, and the same past.
    router.name = "renamed".to_owned();
    router.past.push_back(change(2, 7, "stopped"));
    look(&router, 8);
    look(&router, 9);
    let text = events.text(0);
    let words: Vec<_> = text
        .lines()
        .filter_map(|line| line.split(' ').nth(6))
        .collect();
    assert_eq!(
        words,
        ["master:", "init:", "leaving:", "stopped:"],
        "{text}"
    );
    assert!(
        text.contains(" a reason (priority 150 - 50 = 100: that)\n"),
        "{text}"
    );
    events.note_routers(&[], at(10));
    assert!(events.ring.borrow().routers.is_empty());
}
