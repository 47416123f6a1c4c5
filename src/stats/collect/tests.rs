//! Adding up.

use super::*;

#[test]
fn percentiles_come_from_all_workers() {
    let mut all = Latencies::new();
    for value in 1..=100 {
        all.connect.record(value * 1000).expect("in range");
    }
    let spread = percentiles(&all.connect);
    assert_eq!(spread.count, 100);
    // Two significant digits.
    assert!((49_500..=50_500).contains(&spread.p50), "{}", spread.p50);
    assert!((98_000..=100_000).contains(&spread.p99), "{}", spread.p99);
    assert!(spread.max >= 100_000);
}

#[test]
fn this_process_has_used_cpu_time_and_has_a_node_name() {
    // Busy until the clock of getrusage has moved.
    let before = process_cpu();
    while process_cpu() == before {
        std::hint::black_box((0..10_000).sum::<u64>());
    }
    assert!(!node_name().is_empty());
}
