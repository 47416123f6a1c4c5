//! Transcripts of checks, `+` good and `-` bad, against the changes and scores they must give; then
//! the same rules said once more, as counts over arbitrary transcripts.

use proptest::prelude::*;

use super::{Health, Verdict};

/// What each check of `checks` changed, and the score after it.
fn transcript(rise: u32, fall: u32, checks: &str) -> Vec<(Option<Health>, u32)> {
    let mut verdict = Verdict::new(rise, fall);
    let mut take = |check| (verdict.observe(check == '+'), verdict.score());
    checks.chars().map(&mut take).collect()
}

#[test]
fn first_check_decides_alone() {
    assert_eq!(transcript(2, 3, "+"), [(Some(Health::Up), 4)]);
    assert_eq!(transcript(2, 3, "-"), [(Some(Health::Down), 0)]);
}

#[test]
fn falls_after_fall_bad_checks_in_a_row() {
    let expected = [
        (Some(Health::Up), 4),
        (None, 3),
        (None, 2),
        (None, 4),
        (None, 3),
        (None, 2),
        (Some(Health::Down), 0),
        (None, 0),
    ];
    assert_eq!(transcript(2, 3, "+--+----"), expected);
}

#[test]
fn rises_after_rise_good_checks_in_a_row() {
    let expected = [
        (Some(Health::Down), 0),
        (None, 1),
        (None, 0),
        (None, 1),
        (Some(Health::Up), 4),
    ];
    assert_eq!(transcript(2, 3, "-+-++"), expected);
}

#[test]
fn counts_of_one_and_zero_follow_every_check() {
    for (rise, fall) in [(1, 1), (0, 0)] {
        let changes: Vec<_> = transcript(rise, fall, "+-+")
            .into_iter()
            .map(|(change, _)| change)
            .collect();
        assert_eq!(
            changes,
            [Some(Health::Up), Some(Health::Down), Some(Health::Up)]
        );
    }
}

#[test]
fn condemned_needs_no_confirmation_and_rises_as_usual() {
    let mut verdict = Verdict::new(2, 3);
    let _ = verdict.observe(true);
    assert_eq!(verdict.condemn(), Some(Health::Down));
    assert_eq!(verdict.condemn(), None, "already down");
    assert_eq!(verdict.observe(true), None);
    assert_eq!(verdict.observe(true), Some(Health::Up));
}

#[test]
fn doubts_count_bad_checks_of_a_server_that_is_up() {
    let mut verdict = Verdict::new(2, 3);
    let mut doubts = vec![verdict.doubts()];
    for passed in [true, false, false, true, false, false, false, true] {
        let _ = verdict.observe(passed);
        doubts.push(verdict.doubts());
    }
    assert_eq!(doubts, [0, 0, 1, 2, 0, 1, 2, 0, 0]);
}

proptest! {
    #[test]
    fn health_follows_the_last_checks(
        rise in 1_u32..5,
        fall in 1_u32..5,
        checks in proptest::collection::vec(any::<bool>(), 1..60),
    ) {
        let mut verdict = Verdict::new(rise, fall);
        let mut expected = Health::Unknown;
        for (index, &passed) in checks.iter().enumerate() {
            let before = verdict.health();
            let change = verdict.observe(passed);
            let same = checks[..=index].iter().rev().take_while(|c| **c == passed).count();
            let same = u32::try_from(same).unwrap();
            expected = match (expected, passed) {
                (Health::Unknown, true) => Health::Up,
                (Health::Unknown, false) => Health::Down,
                (Health::Down, true) if same >= rise => Health::Up,
                (Health::Up, false) if same >= fall => Health::Down,
                (unchanged, _) => unchanged,
            };
            prop_assert_eq!(verdict.health(), expected);
            prop_assert_eq!(change.is_some(), before != expected);
            let up = expected == Health::Up;
            let range = if up { rise..rise + fall } else { 0..rise };
            prop_assert!(range.contains(&verdict.score()), "score {}", verdict.score());
        }
    }
}
