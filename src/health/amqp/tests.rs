//! The broker's side is written here as bytes, taken from the specification; ours must answer with
//! the bytes beside it. Every conversation is also received one byte at a time.

use proptest::prelude::*;

use super::{Conversation, DecodeError, Failure, Heard, Login, one_line};
use crate::amqp::{Frame, FrameKind, Writer};
use crate::config::Credentials;

const TUNE: &[u8] = b"\x01\0\0\0\0\0\x0C\0\x0A\0\x1E\x07\xFF\0\x02\0\0\0\x3C\xCE";
const OPEN_OK: &[u8] = b"\x01\0\0\0\0\0\x05\0\x0A\0\x29\0\xCE";
const CHANNEL_OPEN_OK: &[u8] = b"\x01\0\x01\0\0\0\x08\0\x14\0\x0B\0\0\0\0\xCE";
const QOS_OK: &[u8] = b"\x01\0\x01\0\0\0\x04\0\x3C\0\x0B\xCE";

const TUNE_OK_AND_OPEN: &[u8] = b"\x01\0\0\0\0\0\x0C\0\x0A\0\x1F\0\x01\0\0\x20\0\0\x0A\xCE\
    \x01\0\0\0\0\0\x08\0\x0A\0\x28\x01/\0\0\xCE";
const CHANNEL_OPEN: &[u8] = b"\x01\0\x01\0\0\0\x05\0\x14\0\x0A\0\xCE";
const QOS: &[u8] = b"\x01\0\x01\0\0\0\x0B\0\x3C\0\x0A\0\0\0\0\0\x01\0\xCE";
const HEARTBEAT: &[u8] = b"\x08\0\0\0\0\0\0\xCE";
const CONNECTION_CLOSE_OK: &[u8] = b"\x01\0\0\0\0\0\x04\0\x0A\0\x33\xCE";
const CHANNEL_CLOSE_OK: &[u8] = b"\x01\0\x01\0\0\0\x04\0\x14\0\x29\xCE";

fn frame(channel: u16, method: Writer) -> Vec<u8> {
    let mut bytes = Vec::new();
    let payload = method.done();
    let frame = Frame {
        kind: FrameKind::Method,
        channel,
        payload: &payload,
    };
    frame.encode(&mut bytes);
    bytes
}

fn start(mechanisms: &str) -> Vec<u8> {
    let properties = Writer::default().entry_string("product", "RabbitMQ").done();
    let method = Writer::method(10, 10)
        .u8(0)
        .u8(9)
        .long_string(&properties)
        .long_string(mechanisms.as_bytes())
        .long_string(b"en_US");
    frame(0, method)
}

fn close(class: u16, code: u16, text: &str) -> Vec<u8> {
    let (channel, method) = if class == 10 { (0, 50) } else { (1, 40) };
    let close = Writer::method(class, method).u16(code).short_string(text);
    frame(channel, close.u16(0).u16(0))
}

fn conversation() -> Conversation {
    Conversation::new(Login {
        credentials: Credentials {
            username: "guest".to_owned(),
            password: "secret".to_owned(),
        },
        vhost: "/".to_owned(),
        connection_name: "warren check of rabbit/one".to_owned(),
        heartbeat: 10,
    })
}

fn logged_in() -> Conversation {
    let mut check = conversation();
    let bytes = [&start("PLAIN AMQPLAIN"), TUNE, OPEN_OK, CHANNEL_OPEN_OK].concat();
    assert_eq!(check.receive(&bytes), Ok(vec![Heard::Ready]));
    let _ = check.take_output();
    check
}

#[test]
fn logs_in_and_asks_with_these_bytes() {
    let mut check = conversation();
    assert_eq!(check.take_output(), b"AMQP\0\0\x09\x01");
    assert!(!check.is_recognized());

    assert_eq!(check.receive(&start("AMQPLAIN PLAIN")), Ok(vec![]));
    let start_ok = check.take_output();
    assert_eq!(start_ok[..3], [1, 0, 0]);
    assert_eq!(start_ok[7..11], [0, 10, 0, 11]);
    assert!(start_ok.ends_with(b"\x05PLAIN\0\0\0\x0D\0guest\0secret\x05en_US\xCE"));
    for part in [
        b"\x0Fconnection_nameS\0\0\0\x1Awarren check of rabbit/one".as_slice(),
        b"\x1Cauthentication_failure_closet\x01",
        b"\x12connection.blockedt\x01",
    ] {
        assert!(start_ok.windows(part.len()).any(|w| w == part), "{part:?}");
    }
    assert!(check.is_recognized());

    assert_eq!(check.receive(TUNE), Ok(vec![]));
    assert_eq!(check.take_output(), TUNE_OK_AND_OPEN);
    assert_eq!(check.receive(OPEN_OK), Ok(vec![]));
    assert_eq!(check.take_output(), CHANNEL_OPEN);
    assert_eq!(check.receive(CHANNEL_OPEN_OK), Ok(vec![Heard::Ready]));
    assert_eq!(check.take_output(), b"");

    check.ask();
    assert_eq!(check.take_output(), QOS);
    check.ask();
    assert_eq!(check.take_output(), HEARTBEAT, "one question at a time");
    assert_eq!(check.receive(HEARTBEAT), Ok(vec![]));
    assert_eq!(check.receive(QOS_OK), Ok(vec![Heard::Answer]));
    check.ask();
    assert_eq!(check.take_output(), QOS);
}

#[test]
fn understands_bytes_that_arrive_one_by_one() {
    let mut check = conversation();
    let mut heard = Vec::new();
    for byte in [&start("PLAIN"), TUNE, OPEN_OK, CHANNEL_OPEN_OK].concat() {
        heard.extend(check.receive(&[byte]).unwrap());
    }
    assert_eq!(heard, [Heard::Ready]);
    let output = check.take_output();
    assert!(output.ends_with(&[TUNE_OK_AND_OPEN, CHANNEL_OPEN].concat()));
}

#[test]
fn keeps_to_smaller_limits_of_the_broker() {
    let mut check = conversation();
    check.receive(&start("PLAIN")).unwrap();
    let _ = check.take_output();
    let tune = Writer::method(10, 30).u16(0).u32(4096).u16(0);
    check.receive(&frame(0, tune)).unwrap();
    let tune_ok = check.take_output();
    assert_eq!(tune_ok[11..19], [0, 1, 0, 0, 0x10, 0, 0, 10]);
}

#[test]
fn answers_close_and_tells_its_words() {
    let mut check = logged_in();
    let maintenance = "CONNECTION_FORCED - Node was put into maintenance mode";
    let closed = check.receive(&close(10, 320, maintenance)).unwrap_err();
    assert_eq!(check.take_output(), CONNECTION_CLOSE_OK);
    assert_eq!(
        closed.to_string(),
        format!("closed with 320: {maintenance}")
    );

    let mut check = logged_in();
    assert!(check.receive(&close(20, 504, "CHANNEL_ERROR")).is_err());
    assert_eq!(check.take_output(), CHANNEL_CLOSE_OK);

    let mut check = conversation();
    check.receive(&start("PLAIN")).unwrap();
    let refused = Failure::Closed {
        code: 403,
        text: "ACCESS_REFUSED".to_owned(),
    };
    assert_eq!(
        check.receive(&close(10, 403, "ACCESS_REFUSED")),
        Err(refused)
    );
}

#[test]
fn hears_of_blocked_publishers() {
    let mut check = logged_in();
    let blocked = frame(0, Writer::method(10, 60).short_string("low on\nmemory"));
    let bytes = [blocked, frame(0, Writer::method(10, 61))].concat();
    let heard = [Heard::Blocked("low on memory".to_owned()), Heard::Unblocked];
    assert_eq!(check.receive(&bytes), Ok(heard.to_vec()));
}

#[test]
fn leaves_politely_once_logged_in() {
    let mut check = conversation();
    let _ = check.take_output();
    check.leave();
    assert_eq!(check.take_output(), b"", "nothing to close yet");
    let mut check = logged_in();
    check.leave();
    assert_eq!(check.take_output(), goodbye());
    assert_eq!(check.receive(CONNECTION_CLOSE_OK), Err(Failure::Left));
}

#[test]
fn waits_for_its_last_answer_before_it_says_goodbye() {
    let mut check = logged_in();
    check.ask();
    let _ = check.take_output();
    check.leave();
    assert_eq!(check.take_output(), b"", "the channel is at work");
    let qos_ok = frame(1, Writer::method(60, 11));
    assert_eq!(check.receive(&qos_ok), Ok(vec![Heard::Answer]));
    assert_eq!(check.take_output(), goodbye());
    assert_eq!(check.receive(CONNECTION_CLOSE_OK), Err(Failure::Left));
}

#[test]
fn says_goodbye_at_once_when_told_twice_and_then_waits_whatever_else_comes() {
    let mut check = logged_in();
    check.ask();
    let _ = check.take_output();
    check.leave();
    check.leave();
    assert_eq!(check.take_output(), goodbye());
    let qos_ok = frame(1, Writer::method(60, 11));
    assert_eq!(check.receive(&qos_ok), Ok(Vec::new()));
    check.leave();
    assert_eq!(check.take_output(), b"", "said already");
    assert_eq!(check.receive(CONNECTION_CLOSE_OK), Err(Failure::Left));
}

fn goodbye() -> Vec<u8> {
    let close = Writer::method(10, 50).u16(200).short_string("goodbye");
    frame(0, close.u16(0).u16(0))
}

#[test]
fn refuses_what_has_no_place() {
    let unexpected = Failure::Unexpected {
        class: 10,
        method: 41,
        expected: "connection.start",
    };
    assert_eq!(conversation().receive(OPEN_OK), Err(unexpected));
    assert_eq!(
        conversation().receive(b"AMQP\x03\x01\0\0"),
        Err(DecodeError::OtherVersion(1, 0, 0).into())
    );
    assert_eq!(
        conversation().receive(&start("EXTERNAL")),
        Err(Failure::NoPlain("EXTERNAL".to_owned()))
    );
    assert_eq!(
        conversation().receive(b"\x01\0\0\xFF\xFF\xFF\xFF"),
        Err(DecodeError::TooLarge(u32::MAX).into())
    );
    assert_eq!(
        conversation().receive(b"\x01\0\0\0\0\0\x02\0\x0A\xCE"),
        Err(DecodeError::Truncated.into())
    );
    assert_eq!(
        logged_in().receive(b"\x03\0\x01\0\0\0\0\xCE"),
        Err(DecodeError::FrameType(3).into())
    );
}

#[test]
fn foreign_words_become_one_short_line() {
    assert_eq!(one_line(b" a\r\nb\x1B[31m\xFF "), "a  b [31m\u{FFFD}");
    assert_eq!(one_line(&[b'x'; 1000]).len(), 200);
}

proptest! {
    #[test]
    fn survives_any_bytes(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        at in 0..5_usize,
    ) {
        let mut check = conversation();
        let greeting = [start("PLAIN"), TUNE.to_vec(), OPEN_OK.to_vec(), CHANNEL_OPEN_OK.to_vec()];
        for part in &greeting[..at.min(4)] {
            check.receive(part).unwrap();
        }
        check.ask();
        let _ = check.receive(&bytes);
        prop_assert!(check.input.len() <= super::FRAME_LIMIT + 8 + 600);
        prop_assert!(check.output.len() < 4096);
    }
}
