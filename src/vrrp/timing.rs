//! *pure* How long a backup waits: skew time and master-down interval (RFC 9568, section 6.1).
//!
//! Skew is a 256th of the interval for every step below priority 256, so it is computed in
//! nanoseconds: in whole centiseconds all backups of a fast virtual router would fire together.

use std::time::Duration;

use crate::config::VrrpVersion;
use crate::config::units::Centiseconds;

const NANOS_PER_CENTISECOND: u64 = 10_000_000;
/// A master is dead after this many of its intervals, and the skew.
pub const LOST: u32 = 3;

/// How much later a backup of this priority takes over than one of priority 256 would. In version 2
/// it is a part of one second whatever the interval is (RFC 3768, section 6.1).
#[must_use]
pub fn skew(version: VrrpVersion, priority: u8, interval: Centiseconds) -> Duration {
    let unit = match version {
        VrrpVersion::V2 => 100,
        VrrpVersion::V3 => u64::from(interval.0),
    };
    let steps = 256 - u64::from(priority);
    Duration::from_nanos(steps * unit * NANOS_PER_CENTISECOND / 256)
}

/// How long a backup hears nothing before it takes over.
#[must_use]
pub fn master_down(version: VrrpVersion, priority: u8, interval: Centiseconds) -> Duration {
    interval.duration() * LOST + skew(version, priority, interval)
}

/// The interval to believe when a master advertises `heard` and ours is `own`: a long one would
/// keep a backup quiet for minutes after one forged packet. A master that really is as slow as
/// three times the limit is still not mistaken for a dead one.
#[must_use]
pub fn believed(heard: Centiseconds, own: Centiseconds) -> Centiseconds {
    const DEFAULT: u16 = 100;
    let limit = own.0.saturating_mul(3).max(DEFAULT);
    Centiseconds(heard.0.min(limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use VrrpVersion::{V2, V3};

    fn nanos(version: VrrpVersion, priority: u8, interval: u16) -> u128 {
        master_down(version, priority, Centiseconds(interval)).as_nanos()
    }

    #[test]
    fn the_examples_of_the_rfcs() {
        // Priority 100 and the default interval of a second: 3.609375 s in both versions.
        assert_eq!(nanos(V2, 100, 100), 3_609_375_000);
        assert_eq!(nanos(V3, 100, 100), 3_609_375_000);
        assert_eq!(nanos(V3, 100, 10), 360_937_500);
        // In version 2 the skew does not grow with the interval.
        assert_eq!(nanos(V2, 100, 300), 9_609_375_000);
        assert_eq!(nanos(V3, 100, 300), 10_828_125_000);
    }

    #[test]
    fn each_step_of_priority_waits_longer_even_with_the_shortest_interval() {
        for version in [V2, V3] {
            for priority in 1..=254 {
                let interval = Centiseconds(1);
                let (more, less) = (
                    skew(version, priority, interval),
                    skew(version, priority + 1, interval),
                );
                assert!(more > less, "{version:?} {priority}");
                assert!(more < Duration::from_secs(1));
            }
        }
        assert_eq!(skew(V3, 255, Centiseconds(256)), Duration::from_millis(10));
    }

    #[test]
    fn nothing_overflows() {
        assert_eq!(nanos(V3, 1, 4095), 3 * 40_950_000_000 + 40_790_039_062);
        assert_eq!(nanos(V2, 1, u16::MAX), 3 * 655_350_000_000 + 996_093_750);
    }

    #[test]
    fn a_long_interval_is_believed_up_to_three_times_ours_or_a_second() {
        let believed = |heard, own| believed(Centiseconds(heard), Centiseconds(own)).0;
        assert_eq!(believed(100, 100), 100);
        assert_eq!(believed(10, 100), 10);
        assert_eq!(believed(300, 100), 300);
        assert_eq!(believed(4095, 100), 300);
        assert_eq!(believed(4095, 10), 100);
        assert_eq!(believed(4095, 4095), 4095);
        assert_eq!(believed(25_500, 25_500), 25_500);
    }
}
