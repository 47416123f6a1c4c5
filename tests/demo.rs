//! Runs the real `warren demo`, as somebody would who has just built it, and reads what it prints.

use std::process::Command;
use std::time::{Duration, Instant};

/// The numbers at the end of the line that begins with `title`.
fn numbers(output: &str, title: &str) -> Vec<u64> {
    let line = output.lines().find(|line| line.trim().starts_with(title));
    let line = line.unwrap_or_else(|| panic!("no line {title:?} in:\n{output}"));
    let words = line.trim()[title.len()..].split_whitespace();
    words.map_while(|word| word.parse().ok()).collect()
}

#[test]
fn demo_loses_nothing_and_ends_by_itself() {
    let started = Instant::now();
    let demo = Command::new(env!("CARGO_BIN_EXE_warren"))
        .arg("demo")
        .output();
    let demo = demo.expect("the binary runs");
    let took = started.elapsed();
    let output = String::from_utf8(demo.stdout).expect("the output is UTF-8");
    let errors = String::from_utf8_lossy(&demo.stderr);
    assert!(demo.status.success(), "{output}\n{errors}");
    assert!(took < Duration::from_secs(30), "took {took:?}");
    let (output, pair) = output.split_once("\nTwo nodes").expect("a second part");
    if pair.contains("This part is left out.") {
        assert!(errors.contains("user namespaces") || errors.contains("kernel does not give"));
    } else {
        assert_eq!(
            errors, "",
            "warren's own log does not get between the lines"
        );
        assert_eq!(numbers(pair, "messages lost"), [0]);
        assert!(pair.ends_with("\nNothing was lost.\n"), "{pair}");
    }
    assert!(
        !output.contains('\x1b'),
        "no redraws where there is no terminal"
    );

    assert_eq!(numbers(output, "messages lost"), [0]);
    let confirmed = numbers(output, "messages confirmed");
    assert_eq!(confirmed, numbers(output, "messages consumed"));
    assert!(confirmed[0] > 1000, "{output}");

    let before = numbers(output, "before the kill");
    assert_eq!(before.iter().sum::<u64>(), 32);
    assert!(before.iter().all(|&open| open >= 10), "{before:?}");
    let dead = numbers(output, "while it was dead");
    assert_eq!((dead[0] + dead[2], dead[1]), (32, 0));
    let end = numbers(output, "at the end");
    assert_eq!(
        end,
        [16, 16, 16],
        "the newcomers go to the server that came back"
    );

    // The check holds a connection, so it notices at once, and confirms in fractions of a second.
    assert!(
        numbers(output, "out of rotation after")[0] < 2_000,
        "{output}"
    );
    assert!(
        numbers(output, "last client back after")[0] < 8_000,
        "{output}"
    );
    assert_eq!(numbers(output, "connections cut"), [before[1]]);
}
