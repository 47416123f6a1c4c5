//! *pure* Moments as people read them, in UTC.

use std::fmt::Write as _;
use std::time::Duration;

/// RFC 3339 with milliseconds.
pub fn push_rfc3339(out: &mut String, since_1970: Duration) {
    let seconds = since_1970.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let millisecond = since_1970.subsec_millis();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z"
    );
}

/// HAProxy's way, without its brackets: `29/Nov/2026:20:49:03.845`.
#[must_use]
pub fn haproxy(since_1970: Duration) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = since_1970.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let name = usize::try_from(month - 1)
        .ok()
        .and_then(|month| MONTHS.get(month));
    format!(
        "{day:02}/{}/{year}:{:02}:{:02}:{:02}.{:03}",
        name.copied().unwrap_or("???"),
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
        since_1970.subsec_millis()
    )
}

/// Year, month and day in the Gregorian calendar of a day counted from 1970-01-01.
///
/// Counted in years that begin in March, so that a leap day is the last of its year, within eras
/// of 400 years, after which the calendar repeats.
const fn civil(day: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    let from_march_of_year_0 = day + 719_468;
    let era = from_march_of_year_0 / ERA;
    let day = from_march_of_year_0 % ERA;
    let year = (day - day / 1460 + day / 36_524 - day / (ERA - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months from March have 31, 30, 31, 30, 31 days, again and again.
    let month_from_march = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month_from_march + 2) / 5 + 1;
    let (month, next_year) = if month_from_march < 10 {
        (month_from_march + 3, 0)
    } else {
        (month_from_march - 9, 1)
    };
    (era * 400 + year + next_year, month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_haproxy_writes_it() {
        assert_eq!(
            haproxy(Duration::from_millis(1_795_985_343_845)),
            "29/Nov/2026:20:49:03.845"
        );
        assert_eq!(haproxy(Duration::ZERO), "01/Jan/1970:00:00:00.000");
    }
}
