//! A configuration file: whatever is in it is accepted or answered with problems, which can be
//! printed.
#![no_main]

use std::path::Path;

use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;
use warren::config::limits::{Interface, Surroundings};
use warren::config::parse_within;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // Files of this machine have no part in it.
    if text.contains("password_file") {
        return;
    }
    let surroundings = Surroundings {
        descriptors: 20_000,
        cpus: 2,
        is_daemon: bytes.len() % 2 == 0,
        interfaces: Some(vec![Interface {
            name: "eth0".to_owned(),
            addresses: vec![IpNet::new([192, 0, 2, 1].into(), 24).expect("a network")],
        }]),
    };
    match parse_within(text, "fuzz.toml", Path::new("/nonexistent"), surroundings) {
        Ok((config, problems)) => {
            assert!(!config.listeners.is_empty());
            let _ = problems.to_string();
        }
        Err(problems) => assert!(!problems.to_string().is_empty()),
    }
});
