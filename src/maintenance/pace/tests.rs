//! Paces as properties: driven by a clock that the test moves.

use proptest::prelude::*;

use super::*;

/// When connections were ordered to end and had ended, since the start.
type Ends = Vec<(Duration, Duration)>;

/// Closes connections as the driver does, which looks again every `look`. `delays` is how long
/// each takes to end; `leaving` are the times at which clients leave by themselves.
fn drain(open: u32, over: Duration, delays: &[u64], leaving: &[u64]) -> (Pace, Ends) {
    let start = Instant::now();
    let mut pace = Pace::over(open, over, start);
    let (mut now, mut ends) = (start, Ends::new());
    let mut delays = delays.iter().cycle();
    loop {
        let gone = leaving.iter().filter(|at| **at <= millis(now - start));
        let left = (open as usize).saturating_sub(gone.count() + ends.len());
        let Ok(left) = u32::try_from(left) else { break };
        if left == 0 {
            break;
        }
        let due = pace.spread(left);
        if let Some(due) = due.filter(|due| *due > now) {
            now = due.min(now + Duration::from_millis(200));
            continue;
        }
        let delay = delays.next().copied().unwrap_or(0);
        let ended = now + Duration::from_micros(delay);
        pace.closed(now, ended);
        ends.push((now - start, ended - start));
        now = ended;
    }
    (pace, ends)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The most ends in any second. A connection ends somewhere between its order and its end: the
/// latest for the first of them and the earliest for the last is the worst.
fn densest(ends: &Ends) -> usize {
    let within = |at: usize| {
        let (_, first) = ends[at];
        let later = ends[at..].iter().skip(1);
        1 + later
            .filter(|(ordered, _)| *ordered < first + SECOND)
            .count()
    };
    (0..ends.len()).map(within).max().unwrap_or(0)
}

proptest! {
    #[test]
    fn no_second_sees_more_than_the_rate(
        open in 1_u32..400,
        over in 1_u64..60_000,
        delays in prop::collection::vec(0_u64..50_000, 1..20),
        leaving in prop::collection::vec(0_u64..60_000, 0..50),
    ) {
        let over = Duration::from_millis(over);
        let (pace, ends) = drain(open, over, &delays, &leaving);
        let rate = (f64::from(open) / over.as_secs_f64()).ceil();
        prop_assert_eq!(f64::from(pace.rate()), rate);
        prop_assert!(densest(&ends) <= pace.rate() as usize, "{:?}", ends);
    }

    #[test]
    fn all_have_ended_by_the_deadline(
        open in 1_u32..400,
        over in 0_u64..60_000,
        leaving in prop::collection::vec(0_u64..60_000, 0..50),
    ) {
        let over = Duration::from_millis(over);
        let (_, ends) = drain(open, over, &[0], &leaving);
        let last = ends.last().map_or(Duration::ZERO, |(_, ended)| *ended);
        prop_assert!(last <= over, "{:?}", last);
    }

    #[test]
    fn what_is_late_goes_on_at_the_rate(
        open in 1_u32..200,
        over in 1_u64..20,
        delay in 0_u64..20_000,
    ) {
        let over = Duration::from_secs(over);
        let delay = Duration::from_micros(delay);
        let (pace, ends) = drain(open, over, &[u64::try_from(delay.as_micros()).unwrap()], &[]);
        prop_assert!(densest(&ends) <= pace.rate() as usize);
        // Each second loses one delay, or the connections take longer than the time anyway.
        let seconds = u32::try_from(over.as_secs() + 2).unwrap();
        let latest = (over + delay * seconds).max(delay * open) + delay;
        let last = ends.last().unwrap().1;
        prop_assert!(last <= latest, "{:?} of {:?}", last, latest);
    }

    #[test]
    fn the_time_is_used_evenly(open in 2_u32..300, over in 1_u64..60_000) {
        let over = Duration::from_millis(over);
        let (_, ends) = drain(open, over, &[0], &[]);
        prop_assert_eq!(ends.len(), open as usize);
        for (number, (ordered, _)) in (0_u32..).zip(&ends) {
            let even = over * number / open;
            let off = ordered.abs_diff(even);
            prop_assert!(off < Duration::from_millis(1), "{number}: {ordered:?}, {even:?}");
        }
    }

    #[test]
    fn a_steady_pace_takes_even_steps(
        rate in 1_u32..200,
        count in 1_usize..300,
        delays in prop::collection::vec(0_u64..10_000, 1..20),
    ) {
        let start = Instant::now();
        let mut pace = Pace::at_rate(rate, start + SECOND);
        let (mut now, mut ends) = (start, Ends::new());
        for delay in delays.iter().cycle().take(count) {
            now = now.max(pace.steady().unwrap_or(now));
            let ended = now + Duration::from_micros(*delay);
            pace.closed(now, ended);
            ends.push((now - start, ended - start));
            now = ended;
        }
        prop_assert!(densest(&ends) <= rate as usize);
        let step = SECOND / rate;
        prop_assert!(ends.windows(2).all(|pair| pair[1].0 - pair[0].0 >= step));
    }
}

#[test]
fn who_leaves_by_himself_makes_the_others_stay_longer() {
    let over = Duration::from_secs(10);
    // Half of ten leave after the first second.
    let (_, ends) = drain(10, over, &[0], &[1_500; 5]);
    let seconds: Vec<u64> = ends.iter().map(|(at, _)| at.as_secs()).collect();
    assert_eq!(ends.len(), 5);
    assert_eq!(seconds[..2], [0, 1]);
    assert!(seconds[4] >= 7, "{seconds:?}");
}

#[test]
fn what_is_postponed_goes_on_evenly() {
    let start = Instant::now();
    let second = |at| start + SECOND * at;
    let mut pace = Pace::over(10, SECOND * 10, start);
    pace.closed(start, start);
    assert_eq!(pace.spread(9), Some(second(1)));
    pace.postpone(SECOND * 20);
    assert_eq!(pace.deadline(), second(30));
    // It has been due for a while, the one after it has its time again.
    assert!(pace.spread(9) < Some(second(20)));
    pace.closed(second(21), second(21));
    assert_eq!(pace.spread(8), Some(second(22)));
}

#[test]
fn without_a_time_there_is_no_limit() {
    let (pace, ends) = drain(5_000, Duration::ZERO, &[10], &[]);
    assert_eq!(pace.rate(), u32::MAX);
    assert_eq!(ends.len(), 5_000);
    assert!(pace.ended.is_empty(), "nothing is remembered");
}
