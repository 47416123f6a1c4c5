//! AMQP frames as the demo's brokers and clients read them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warren::amqp::content::{Inbox, Received};
use warren::amqp::method::Method;

const LIMIT: usize = 64 << 10;

fuzz_target!(|bytes: &[u8]| {
    let mut inbox = Inbox::default();
    for part in bytes.chunks(7) {
        inbox.extend(part);
        loop {
            match inbox.next(LIMIT) {
                Ok(Some((channel, Received::Method(method)))) => reads_back(channel, &method),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
});

/// A method that was understood means the same once it is encoded again.
fn reads_back(channel: u16, method: &Method) {
    let mut frame = Vec::new();
    method.encode(channel, &mut frame);
    let mut inbox = Inbox::default();
    inbox.extend(&frame);
    match inbox.next(usize::MAX) {
        Ok(Some((_, Received::Method(again)))) => assert_eq!(&again, method),
        other => panic!("{method:?} became {other:?}"),
    }
}
