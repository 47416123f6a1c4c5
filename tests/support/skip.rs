//! Tests that find out only while they run that they cannot.

use std::fs::OpenOptions;
use std::io::Write;

/// Reports that the running test cannot do here what it is for; it returns then. The usual harness
/// calls that passed, `tests/run` counts it as skipped.
pub(crate) fn skip(reason: &str) {
    let thread = std::thread::current();
    let line = format!("{} ({reason})\n", thread.name().unwrap_or("a test"));
    print!("skipped: {line}");
    if let Some(path) = std::env::var_os("WARREN_SKIPS") {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .expect("a file for what is skipped");
    }
}
