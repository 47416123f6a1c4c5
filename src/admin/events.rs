//! What has changed lately, for `show events`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use crate::calendar;

/// Events that are remembered; older ones are only in the log.
const REMEMBERED: usize = 256;

/// The changes of servers, by checks and operators, oldest first.
#[derive(Debug, Default)]
pub struct Events(RefCell<VecDeque<String>>);

impl Events {
    /// Remembers one line.
    pub fn note(&self, line: &str) {
        let mut text = String::new();
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        calendar::push_rfc3339(&mut text, since_1970.unwrap_or(Duration::ZERO));
        text.push(' ');
        text.push_str(&line.replace(['\n', '\r'], " "));
        text.push('\n');
        let mut events = self.0.borrow_mut();
        if events.len() == REMEMBERED {
            events.pop_front();
        }
        events.push_back(text);
    }

    /// All of them.
    pub(super) fn text(&self) -> String {
        self.0.borrow().iter().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_events_are_remembered_a_line_each() {
        let events = Events::default();
        for number in 0..REMEMBERED + 2 {
            events.note(&format!("event {number}\nof two lines"));
        }
        let text = events.text();
        assert_eq!(text.lines().count(), REMEMBERED);
        assert!(
            text.lines()
                .next()
                .unwrap()
                .ends_with("Z event 2 of two lines")
        );
    }
}
