//! What arrives on a route netlink socket: a datagram of several messages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warren::vip::interface::Interfaces;
use warren::vip::netlink::Change;
use warren::vip::netlink::message::{Body, LONGEST_NAME, messages};

fuzz_target!(|datagram: &[u8]| {
    let mut known = Interfaces::default();
    let mut count = 0;
    for message in messages(datagram) {
        count += 1;
        if let Body::Change(change) = message.body {
            if let Change::Link(link) = &change {
                // Bytes that are no UTF-8 become three each.
                assert!(link.name.len() <= 3 * LONGEST_NAME);
            }
            known.apply(&change);
        }
    }
    assert!(count <= datagram.len() / 16, "each has a header");
});
