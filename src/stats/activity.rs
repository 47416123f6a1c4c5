//! *pure* `show activity`: what each thread has done. Only what warren has of it is counted; the
//! keys are HAProxy's, because tools look for them.

use std::fmt::Write as _;
use std::time::Duration;

use super::snapshot::{Snapshot, ThreadSnapshot};

/// HAProxy's counters, in its order.
const KEYS: [&str; 24] = [
    "ctxsw",
    "tasksw",
    "empty_rq",
    "long_rq",
    "loops",
    "wake_tasks",
    "wake_signal",
    "poll_io",
    "poll_exp",
    "poll_drop_fd",
    "poll_skip_fd",
    "conn_dead",
    "stream_calls",
    "pool_fail",
    "buf_wait",
    "cpust_ms_tot",
    "cpust_ms_1s",
    "cpust_ms_15s",
    "avg_loop_us",
    "accepted",
    "accq_pushed",
    "accq_full",
    "accq_ring",
    "fd_takeover",
];

/// All of it. With several threads each number is followed by those of each thread.
#[must_use]
pub fn render(snapshot: &Snapshot) -> String {
    let now = Duration::from_micros(snapshot.taken_at_us);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "thread_id: 1 (1..{})\ndate_now: {}.{:06}",
        snapshot.threads.len().max(1),
        now.as_secs(),
        now.subsec_micros()
    );
    for key in KEYS {
        let number = |thread: &ThreadSnapshot| match key {
            "loops" => thread.sweeps,
            "accepted" => thread.accepted,
            _ => 0,
        };
        let numbers: Vec<u64> = snapshot.threads.iter().map(number).collect();
        let _ = write!(text, "{key}: {}", numbers.iter().sum::<u64>());
        if numbers.len() > 1 {
            let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
            let _ = write!(text, " [ {} ]", numbers.join(" "));
        }
        text.push('\n');
    }
    text
}
