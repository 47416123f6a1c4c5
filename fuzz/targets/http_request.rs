//! What a client of the HTTP side asks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warren::admin::http::request::{LONGEST_HEAD, is_local_name, parse};
use warren::admin::http::route::route;

fuzz_target!(|input: &[u8]| {
    let Some((cut, bytes)) = input.split_first() else {
        return;
    };
    let whole = parse(bytes);
    assert!(whole.is_some() || bytes.len() < LONGEST_HEAD, "a limit");
    // What was understood early is not taken back when the rest arrives.
    let end = bytes.len() * usize::from(*cut) / 256;
    if let Some(early) = parse(&bytes[..end]) {
        assert_eq!(whole.as_ref(), Some(&early), "after {end} bytes");
    }
    if let Some(Ok(request)) = whole {
        let _ = route(&request.target);
        let _ = is_local_name(&request.host, "lb-1.example");
    }
});
