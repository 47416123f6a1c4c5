//! What a server answers to the http check.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warren::health::http::judge;

fuzz_target!(|answer: &[u8]| {
    // A verdict that was given early is not taken back when the rest arrives.
    for end in 0..answer.len() {
        if let Some(early) = judge(&answer[..end], false) {
            let late = judge(answer, true).expect("an answer that has ended has a verdict");
            assert_eq!(early.code, late.code, "after {end} bytes");
            break;
        }
    }
    assert!(judge(answer, true).is_some());
});
