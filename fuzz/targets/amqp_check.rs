//! What a broker, or what sits at its address, answers to the health check. The first byte says in
//! pieces of how many bytes it arrives; however it arrives, it is understood the same way. With 0
//! the check asks and leaves in between.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warren::config::Credentials;
use warren::health::amqp::{Conversation, Failure, Heard, Login};

fuzz_target!(|bytes: &[u8]| {
    let Some((&piece, bytes)) = bytes.split_first() else {
        return;
    };
    if piece == 0 {
        converse_and_ask(bytes);
        return;
    }
    let all = converse(bytes, bytes.len().max(1));
    let pieces = converse(bytes, usize::from(piece));
    assert_eq!(all, pieces);
});

fn conversation() -> Conversation {
    Conversation::new(Login {
        credentials: Credentials {
            username: "guest".to_owned(),
            password: "guest".to_owned(),
        },
        vhost: "/".to_owned(),
        connection_name: "warren check of rabbit/rabbit-1".to_owned(),
        heartbeat: 10,
    })
}

fn converse_and_ask(bytes: &[u8]) {
    let mut conversation = conversation();
    for (number, part) in bytes.chunks(16).enumerate() {
        if conversation.receive(part).is_err() {
            return;
        }
        conversation.ask();
        if number > 8 {
            conversation.leave();
        }
        let _ = (conversation.take_output(), conversation.awaited());
    }
}

/// All that was heard until it ended, and why it ended.
fn converse(bytes: &[u8], piece: usize) -> (Vec<Heard>, Option<Failure>) {
    let mut conversation = conversation();
    let mut heard = Vec::new();
    for part in bytes.chunks(piece) {
        match conversation.receive(part) {
            Ok(more) => heard.extend(more),
            Err(failure) => return (Vec::new(), Some(failure)),
        }
    }
    (heard, None)
}
