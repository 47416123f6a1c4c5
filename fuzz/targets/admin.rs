//! A line on the admin socket.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warren::admin::framing::commands;

fuzz_target!(|line: &[u8]| {
    let found = commands(line);
    assert!(found.len() <= line.len() + 1);
});
