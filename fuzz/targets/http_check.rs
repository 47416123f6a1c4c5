//! What a server answers to the http check.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warren::health::http::judge;

fuzz_target!(|input: &[u8]| {
    let Some((cut, answer)) = input.split_first() else {
        return;
    };
    let whole = judge(answer, true).expect("an answer that has ended has a verdict");
    // A verdict that was given early is not taken back when the rest arrives.
    let end = answer.len() * usize::from(*cut) / 256;
    if let Some(early) = judge(&answer[..end], false) {
        assert_eq!(early.code, whole.code, "after {end} bytes");
    }
});
