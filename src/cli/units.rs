//! *pure* Numbers for people.

pub(crate) use crate::stats::headline::count;

/// Bytes with a binary unit: `0 B`, `17 KiB`, `1.2 GiB`.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    // Tenths of the unit, so that nothing is lost to floating point.
    let mut tenths = u128::from(count) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{} {}", one_decimal(tenths), UNITS[unit])
}

/// A decimal only where it says something.
fn one_decimal(tenths: u128) -> String {
    if tenths < 100 {
        format!("{}.{}", tenths / 10, tenths % 10)
    } else {
        (tenths / 10).to_string()
    }
}

/// A short time: `0.35 ms`, `12 ms`, `1.2 s`, and longer ones as [`age`].
pub(super) fn latency(microseconds: u64) -> String {
    match microseconds {
        0..10_000 => format!("{}.{:02} ms", microseconds / 1000, microseconds % 1000 / 10),
        10_000..1_000_000 => format!("{} ms", microseconds / 1000),
        1_000_000..60_000_000 => format!(
            "{}.{} s",
            microseconds / 1_000_000,
            microseconds % 1_000_000 / 100_000
        ),
        _ => age(microseconds / 1000),
    }
}

/// How long something lasts, in its two largest units: `4s`, `3m 07s`, `2h 05m`, `17d 3h`.
pub(crate) fn age(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well_at_every_size() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(1024 * 1024 - 1), "1023 KiB");
        assert_eq!(bytes(1_288_490_189), "1.2 GiB");
        assert_eq!(bytes(u64::MAX), "16383 PiB");
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_204), "1,204");
        assert_eq!(count(12_345_678), "12,345,678");
        assert_eq!(latency(350), "0.35 ms");
        assert_eq!(latency(12_999), "12 ms");
        assert_eq!(latency(1_250_000), "1.2 s");
        assert_eq!(latency(187_000_000), "3m 07s");
        assert_eq!(age(59_999), "59s");
        assert_eq!(age(187_000), "3m 07s");
        assert_eq!(age(7_500_000), "2h 05m");
        assert_eq!(age(1_480_000_000), "17d 3h");
    }
}
