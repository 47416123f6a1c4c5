//! *pure* Whether another node is master beside us and does not give way.
//!
//! Two masters that hear each other settle it with one advertisement. If one is still heard after
//! several, they do not: it does not hear us, or one of the two refuses what the other says.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::receive::Refusal;
use super::timing::LOST;

/// However short the interval, a busy node is given this long to answer.
const LEAST: Duration = Duration::from_secs(1);

/// Another master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherMaster {
    /// Its address.
    pub from: IpAddr,
    /// When it was first heard since we are master.
    pub since: Instant,
    /// Why what it said last was refused, if it was.
    pub refused: Option<Refusal>,
}

/// What is heard of other masters while we are one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dispute {
    other: Option<(OtherMaster, Heard)>,
}

/// When it was heard last, and how long it may be silent, or may take to give way.
#[derive(Debug, Clone, Copy)]
struct Heard {
    at: Instant,
    patience: Duration,
}

impl Dispute {
    /// Another master was heard; the longer of our intervals is `interval`.
    pub fn hear(
        &mut self,
        from: IpAddr,
        refused: Option<Refusal>,
        interval: Duration,
        now: Instant,
    ) {
        let patience = (interval * (LOST + 1)).max(LEAST);
        let since = match self.other {
            Some((other, last)) if now <= last.at + patience => other.since,
            Some(_) | None => now,
        };
        let other = OtherMaster {
            from,
            since,
            refused,
        };
        self.other = Some((other, Heard { at: now, patience }));
    }

    /// The other master that ought to have given way by now and was still heard lately.
    #[must_use]
    pub fn standing(&self, now: Instant) -> Option<OtherMaster> {
        let (other, Heard { at, patience }) = self.other?;
        (at >= other.since + patience && now <= at + patience).then_some(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_heard_for_long_does_not_give_way() {
        let interval = Duration::from_secs(1);
        let begun = Instant::now();
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let from = IpAddr::from([10, 0, 0, 2]);
        let mut dispute = Dispute::default();
        assert_eq!(dispute.standing(begun), None);
        for second in 0..=6 {
            dispute.hear(from, None, interval, at(second));
            let standing = dispute.standing(at(second));
            assert_eq!(standing.is_some(), second >= 4, "{second}");
        }
        dispute.hear(from, Some(Refusal::NotAPeer), interval, at(7));
        let other = OtherMaster {
            from,
            since: begun,
            refused: Some(Refusal::NotAPeer),
        };
        assert_eq!(dispute.standing(at(11)), Some(other));
        assert_eq!(dispute.standing(at(12)), None, "it has gone");
        dispute.hear(from, None, interval, at(13));
        assert_eq!(dispute.standing(at(13)), None, "anew");
    }

    #[test]
    fn short_intervals_are_given_a_second() {
        let interval = Duration::from_millis(10);
        let begun = Instant::now();
        let mut dispute = Dispute::default();
        for tick in 0..=100 {
            let now = begun + interval * tick;
            dispute.hear(IpAddr::from([10, 0, 0, 2]), None, interval, now);
            assert_eq!(dispute.standing(now).is_some(), tick >= 100);
        }
    }
}
