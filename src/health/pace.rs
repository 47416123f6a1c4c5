//! How long until the next check?

use std::time::Duration;

/// The shortest pause between two checks of one server.
pub const SHORTEST: Duration = Duration::from_millis(100);

/// The pause before a check that has to confirm the `doubts`-th (1 is the first) bad one in a row:
/// 100 ms, doubling, no longer than `interval`. A dead server is out of rotation quickly and a
/// hiccup is forgiven quickly, but nobody is asked without end.
#[must_use]
pub fn confirmation(interval: Duration, doubts: u32) -> Duration {
    let doublings = doubts.saturating_sub(1).min(16);
    (SHORTEST * (1 << doublings)).min(interval)
}

/// The longest pause of [`refused`], unless the interval is longer.
const LONGEST_REFUSED: Duration = Duration::from_secs(30);

/// The pause after the `refusals`-th (1 is the first) refused login in a row: `interval`, doubling
/// up to 30 s. A wrong password does not mend itself from one check to the next, and each try
/// costs the broker's log five lines.
#[must_use]
pub fn refused(interval: Duration, refusals: u32) -> Duration {
    let doublings = refusals.saturating_sub(1).min(16);
    interval
        .saturating_mul(1 << doublings)
        .min(LONGEST_REFUSED.max(interval))
}

/// The pause between two questions of a long-lived session.
///
/// A server that fell silent right after an answer misses its first question one pause later, and
/// `fall` further pauses have to pass without an answer. So it is down when it has been silent for
/// `timeout`, at the latest.
#[must_use]
pub fn question(timeout: Duration, fall: u32) -> Duration {
    (timeout / fall.max(1).saturating_add(1)).max(SHORTEST)
}

/// `pause` made up to a tenth shorter or longer, so that the checks of many servers, and of both
/// nodes of a pair, do not fall into step. `draw` is a random number.
#[must_use]
pub fn jittered(pause: Duration, draw: u64) -> Duration {
    let permille = u32::try_from(draw % 201).unwrap_or(0);
    pause / 1000 * (900 + permille)
}

#[cfg(test)]
mod tests {
    use super::{Duration, confirmation, jittered, question, refused};

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn confirmations_double_up_to_the_interval() {
        let pauses: Vec<_> = (0..7)
            .map(|doubts| confirmation(ms(2000), doubts))
            .collect();
        assert_eq!(
            pauses,
            [100, 100, 200, 400, 800, 1600, 2000].map(Duration::from_millis)
        );
        assert_eq!(confirmation(ms(2000), u32::MAX), ms(2000));
        assert_eq!(confirmation(ms(50), 1), ms(50));
    }

    #[test]
    fn refused_logins_are_tried_more_and_more_rarely() {
        let pauses: Vec<_> = (0..8).map(|times| refused(ms(2000), times)).collect();
        assert_eq!(
            pauses,
            [2, 2, 4, 8, 16, 30, 30, 30].map(Duration::from_secs)
        );
        assert_eq!(refused(ms(60_000), 5), ms(60_000));
        assert_eq!(refused(Duration::MAX, u32::MAX), Duration::MAX);
    }

    #[test]
    fn silence_is_noticed_within_the_timeout() {
        assert_eq!(question(ms(2000), 3), ms(500));
        assert_eq!(question(ms(2000), 1), ms(1000));
        assert_eq!(question(ms(100), 3), ms(100));
        assert_eq!(question(ms(1000), u32::MAX), ms(100));
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        assert_eq!(jittered(ms(2000), 0), ms(1800));
        assert_eq!(jittered(ms(2000), 100), ms(2000));
        assert_eq!(jittered(ms(2000), 200), ms(2200));
        assert_eq!(jittered(ms(2000), 201), ms(1800));
    }
}
