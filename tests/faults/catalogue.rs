//! Whether the catalogue is whole and does not lie.

use std::path::Path;

const CATALOGUE: &str = include_str!("catalogue.txt");
const CASES: usize = 60;

/// The number of a case, what it is, and where it is tested or why it is not.
fn cases() -> Vec<(usize, &'static str, Vec<&'static str>)> {
    let lines = CATALOGUE.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let parts: Vec<&str> = line.split(" | ").collect();
            let [number, what, places] = parts[..] else {
                panic!("{line}");
            };
            // A reason is one sentence, whatever is in it.
            let places = match places.starts_with("not:") {
                true => vec![places],
                false => places.split(", ").collect(),
            };
            (number.trim().parse().unwrap(), what, places)
        })
        .collect()
}

#[test]
fn every_case_has_a_place_or_a_reason() {
    let numbers: Vec<usize> = cases().iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, (1..=CASES).collect::<Vec<_>>());
    for (number, what, places) in cases() {
        assert!(!what.is_empty());
        for place in places {
            if let Some(reason) = place.strip_prefix("not:") {
                assert!(reason.len() > 10, "{number}: {reason}");
                continue;
            }
            let (file, test) = place.split_once("::").unwrap_or_else(|| panic!("{place}"));
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            let source = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
            assert!(
                source.contains(&format!("fn {test}(")),
                "{number}: {file} has no test {test}"
            );
        }
    }
}
