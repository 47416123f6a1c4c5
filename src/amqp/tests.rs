//! One byte array per direction, every split of it, and every rule broken once.

use super::{DecodeError, Frame, FrameKind, PROTOCOL_HEADER, Reader, Writer};

const TUNE: [u8; 20] = [
    1, 0, 0, 0, 0, 0, 12, 0, 10, 0, 30, 0x07, 0xFF, 0, 2, 0, 0, 0, 0x3C, 0xCE,
];

#[test]
fn decodes_and_encodes_connection_tune() {
    let (frame, used) = Frame::decode(&TUNE, 4096).unwrap().unwrap();
    assert_eq!(
        (frame.kind, frame.channel, used),
        (FrameKind::Method, 0, TUNE.len())
    );
    let mut arguments = Reader::new(frame.payload);
    assert_eq!(arguments.u16(), Ok(10));
    assert_eq!(arguments.u16(), Ok(30));
    assert_eq!(arguments.u16(), Ok(2047));
    assert_eq!(arguments.u32(), Ok(131_072));
    assert_eq!(arguments.u16(), Ok(60));
    assert_eq!(arguments.u8(), Err(DecodeError::Truncated));
    let mut out = vec![0xA5];
    frame.encode(&mut out);
    assert_eq!(out[1..], TUNE);
}

#[test]
fn waits_at_every_split() {
    for length in 0..TUNE.len() {
        assert_eq!(
            Frame::decode(&TUNE[..length], 4096),
            Ok(None),
            "after {length} bytes"
        );
    }
}

#[test]
fn refuses_what_is_not_amqp() {
    assert_eq!(
        Frame::decode(b"HTTP/1.1", 4096),
        Err(DecodeError::FrameType(b'H'))
    );
    assert_eq!(
        Frame::decode(b"AMQP\x00\x01\x00\x00", 9),
        Err(DecodeError::OtherVersion(1, 0, 0))
    );
    assert_eq!(Frame::decode(&PROTOCOL_HEADER, 9), Err(DecodeError::Echo));
    assert_eq!(Frame::decode(b"AMQ", 9), Ok(None));
    assert_eq!(Frame::decode(b"AB", 9), Err(DecodeError::FrameType(b'A')));
    let huge = [1, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF];
    assert_eq!(
        Frame::decode(&huge, 1 << 20),
        Err(DecodeError::TooLarge(u32::MAX))
    );
    let mut broken = TUNE;
    broken[19] = 0;
    assert_eq!(Frame::decode(&broken, 4096), Err(DecodeError::FrameEnd(0)));
}

#[test]
fn writes_what_it_reads() {
    let table = Writer::default().entry_bool("basic.nack", true).done();
    let payload = Writer::method(10, 11)
        .long_string(&table)
        .short_string("PLAIN")
        .u64(7)
        .done();
    let mut reader = Reader::new(&payload);
    assert_eq!((reader.u16(), reader.u16()), (Ok(10), Ok(11)));
    assert_eq!(reader.long_string(), Ok(table.as_slice()));
    assert_eq!(reader.short_string(), Ok(b"PLAIN".as_slice()));
    assert_eq!(reader.u64(), Ok(7));
    assert!(reader.rest().is_empty());
    let mut claims_too_much = Reader::new(&[0xFF, 0xFF, 0xFF, 0xFF, 1]);
    assert_eq!(claims_too_much.long_string(), Err(DecodeError::Truncated));
}
