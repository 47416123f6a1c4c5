//! `warren demo --pair`, which makes a network of its own inside the one of the test.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

/// The numbers at the end of the line that begins with `title`.
fn number(output: &str, title: &str) -> u64 {
    let line = output.lines().find(|line| line.starts_with(title));
    let line = line.unwrap_or_else(|| panic!("no line {title:?} in:\n{output}"));
    let word = line[title.len()..].split_whitespace().next().unwrap();
    word.parse().unwrap_or_else(|_| panic!("no number: {line}"))
}

/// Folders of demos that run, or did not clean up.
fn folders() -> BTreeSet<String> {
    let folder = std::fs::read_dir(std::env::temp_dir()).unwrap();
    let names = folder.filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    names
        .filter(|name| name.starts_with("warren-demo-"))
        .collect()
}

pub(crate) fn two_nodes_share_an_address() {
    let begun = Instant::now();
    let before = folders();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_warren"));
    let demo = demo.args(["demo", "--pair"]).output().unwrap();
    let output = String::from_utf8(demo.stdout).unwrap();
    let errors = String::from_utf8(demo.stderr).unwrap();
    assert!(demo.status.success(), "{output}{errors}");
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert_eq!(errors, "", "the nodes have nothing to complain about");
    for (when, states) in [
        ("before the kill", ["master", "backup"]),
        ("after it", ["dead", "master"]),
        ("at the end", ["master", "backup"]),
    ] {
        let line = output.lines().find(|line| line.trim().starts_with(when));
        let words: Vec<&str> = line.unwrap().trim()[when.len()..]
            .split_whitespace()
            .collect();
        assert_eq!(words, states, "{when}:\n{output}");
    }
    assert_eq!(number(&output, "messages lost"), 0);
    let confirmed = number(&output, "messages confirmed");
    assert_eq!(confirmed, number(&output, "messages consumed"));
    assert!(confirmed > 1000, "{output}");
    assert_eq!(number(&output, "connections cut"), 2 * 32, "once each way");
    // Three intervals of 100 ms and a bit; clients pause for 100 ms before they connect again.
    assert!((200..1_000).contains(&number(&output, "taken over after")));
    assert!(number(&output, "last client back after") < 2_000);
    let lease = number(&output, "off the dead node after");
    assert!((1_000..=2_500).contains(&lease), "{lease} ms");
    assert!(folders().is_subset(&before), "it cleans up");
}

/// As an administrator can have it.
pub(crate) fn without_user_namespaces_it_says_so() {
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" demo --pair";
    let mut shell = Command::new("unshare");
    shell.args(["--user", "--map-root-user", "sh", "-c", script]);
    let demo = shell.arg(env!("CARGO_BIN_EXE_warren")).output().unwrap();
    assert_eq!(demo.status.code(), Some(77));
    let errors = String::from_utf8(demo.stderr).unwrap();
    let words = "warren: user namespaces are not allowed here";
    assert!(errors.starts_with(words), "{errors}");
}
