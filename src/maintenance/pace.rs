//! *pure* When to close the next connection: evenly over a time, and never more in a second than
//! was asked for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The time in which connections are counted.
const SECOND: Duration = Duration::from_secs(1);

/// Spreads closes over time.
///
/// The caller says when a connection was ordered to end and when it is known to have ended. Counted
/// is from the second to the first, so that in no second, wherever it begins, more than
/// [`Pace::rate`] connections end, however slow the machine is.
#[derive(Debug)]
pub struct Pace {
    rate: u32,
    deadline: Instant,
    /// When the latest connections had ended: at most `rate` of them, the oldest first.
    ended: VecDeque<Instant>,
    /// When the latest one was ordered to end.
    ordered: Option<Instant>,
    /// At least so long from one order to the next.
    step: Duration,
}

impl Pace {
    /// Closes `open` connections within `over`. With `over` 0 there is no limit.
    #[must_use]
    pub fn over(open: u32, over: Duration, now: Instant) -> Self {
        let rate = match over.as_nanos() {
            0 => u32::MAX,
            nanoseconds => {
                let rate = (u128::from(open) * SECOND.as_nanos()).div_ceil(nanoseconds);
                u32::try_from(rate).unwrap_or(u32::MAX).max(1)
            }
        };
        Self::new(rate, now + over, Duration::ZERO)
    }

    /// Closes up to `rate` connections a second, in even steps, until `deadline`.
    #[must_use]
    pub fn at_rate(rate: u32, deadline: Instant) -> Self {
        Self::new(rate.max(1), deadline, SECOND / rate.max(1))
    }

    fn new(rate: u32, deadline: Instant, step: Duration) -> Self {
        Self {
            rate,
            deadline,
            ended: VecDeque::new(),
            ordered: None,
            step,
        }
    }

    /// The most connections that end in any second.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// When the last connection should have ended.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Nothing could be closed for so long: the last connection may end so much later.
    pub fn postpone(&mut self, by: Duration) {
        self.deadline += by;
    }

    /// When the next of `left` connections may be ordered to end, so that all of them end by the
    /// deadline, evenly; the first one at once.
    #[must_use]
    pub fn spread(&self, left: u32) -> Option<Instant> {
        let ordered = self.ordered?;
        let rest = self.deadline.saturating_duration_since(ordered);
        let slot = ordered + rest / left.saturating_add(1);
        Some(self.free().map_or(slot, |free| free.max(slot)))
    }

    /// When the next connection may be ordered to end, however many are left.
    #[must_use]
    pub fn steady(&self) -> Option<Instant> {
        let slot = self.ordered? + self.step;
        Some(self.free().map_or(slot, |free| free.max(slot)))
    }

    /// When fewer than `rate` connections will have ended within a second.
    fn free(&self) -> Option<Instant> {
        let full = self.ended.len() >= usize::try_from(self.rate).unwrap_or(usize::MAX);
        let oldest = self.ended.front().filter(|_| full)?;
        Some(*oldest + SECOND)
    }

    /// A connection was ordered to end, and had ended at the second time.
    pub fn closed(&mut self, ordered: Instant, ended: Instant) {
        self.ordered = Some(ordered);
        if self.rate == u32::MAX {
            return;
        }
        if self.free().is_some() {
            self.ended.pop_front();
        }
        self.ended.push_back(ended);
    }
}

#[cfg(test)]
mod tests;
