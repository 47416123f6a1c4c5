//! What has happened lately, for `show events` and `warren events`.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::calendar;
use crate::stats::event::{Event, Recent, What};
use crate::vrrp::status::{Past, RouterStatus};

/// Events that are remembered; older ones are only in the log.
const REMEMBERED: usize = 256;

/// What is published of virtual routers is younger than that.
const LATE: Duration = Duration::from_secs(1);

/// The changes of servers and virtual routers, by themselves and by operators, oldest first.
#[derive(Debug, Default)]
pub struct Events {
    ring: RefCell<Ring>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Event>,
    /// The number of the first one; 0 before.
    first: u64,
    /// By virtual router: how many changes of it are here, or were.
    routers: BTreeMap<String, u64>,
    /// When those were looked at last.
    looked_at: Option<Instant>,
}

impl Events {
    /// Remembers that something has just happened.
    pub fn note(&self, what: impl Into<What>) {
        self.note_at(SystemTime::now(), what.into());
    }

    /// Remembers what virtual routers have done since the last time. To be called more often than
    /// one of them may change [`crate::vrrp::status::REMEMBERED`] times.
    pub fn note_routers(&self, routers: &[RouterStatus], now: Instant) {
        let wall = SystemTime::now();
        let before = self.ring.borrow().looked_at;
        for router in routers {
            let latest = router.past.back().map_or(0, |change| change.number);
            let known = self.ring.borrow().routers.get(&router.name).copied();
            // One that counts from the beginning has been made anew, and one that has another name
            // brings its past with it.
            let known = known.filter(|known| *known <= latest);
            let is_new = |change: &&Past| match known {
                Some(known) => change.number > known,
                None => before.is_none_or(|before| change.at + LATE > before),
            };
            for change in router.past.iter().filter(is_new) {
                let what = What::VirtualRouter {
                    virtual_router: router.name.clone(),
                    from: change.from.to_owned(),
                    to: change.to.to_owned(),
                    reason: change.reason.clone(),
                    priority: change.priority.clone(),
                };
                let ago = now.saturating_duration_since(change.at);
                self.note_at(wall.checked_sub(ago).unwrap_or(wall), what);
            }
            let mut ring = self.ring.borrow_mut();
            ring.routers.insert(router.name.clone(), latest);
        }
        let mut ring = self.ring.borrow_mut();
        ring.looked_at = Some(now);
        let exists = |name: &String, _: &mut u64| routers.iter().any(|router| router.name == *name);
        ring.routers.retain(exists);
    }

    fn note_at(&self, at: SystemTime, what: What) {
        let since_1970 = at.duration_since(SystemTime::UNIX_EPOCH);
        let at_ms = since_1970.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(0));
        let mut ring = self.ring.borrow_mut();
        let number = match ring.events.back() {
            Some(last) => last.number + 1,
            None => at_ms.max(1),
        };
        if ring.first == 0 {
            ring.first = number;
        }
        if ring.events.len() == REMEMBERED {
            ring.events.pop_front();
        }
        ring.events.push_back(Event {
            number,
            at_ms,
            what,
        });
        self.news.notify_waiters();
    }

    /// Resolves when something happens after this call.
    pub(super) fn news(&self) -> Notified<'_> {
        self.news.notified()
    }

    /// The number of the latest one; 0: there was none yet.
    pub(super) fn latest(&self) -> u64 {
        let ring = self.ring.borrow();
        ring.events.back().map_or(0, |event| event.number)
    }

    /// Those after the one of this number, a line each.
    pub(super) fn text(&self, number: u64) -> String {
        let mut text = String::new();
        let ring = self.ring.borrow();
        for event in ring.events.iter().filter(|event| event.number > number) {
            calendar::push_rfc3339(&mut text, Duration::from_millis(event.at_ms));
            text.push(' ');
            text.push_str(&event.what.to_string().replace(['\n', '\r'], " "));
            text.push('\n');
        }
        text
    }

    /// A line that tells of those after the one of this number that are forgotten, if any is.
    pub(super) fn gap(&self, number: u64) -> String {
        let recent = self.after(number);
        let (Some(words), Some(oldest)) = (recent.gap_after(number), recent.events.first()) else {
            return String::new();
        };
        let mut line = String::new();
        calendar::push_rfc3339(&mut line, Duration::from_millis(oldest.at_ms));
        line + " " + &words + "\n"
    }

    /// Those after the one of this number.
    pub(super) fn after(&self, number: u64) -> Recent {
        let ring = self.ring.borrow();
        let events = ring.events.iter().filter(|event| event.number > number);
        Recent {
            first: ring.first,
            events: events.cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests;
