//! Known headers both ways, each cut at every byte; every rule broken at least once and refused
//! as early as it can be; the laws by property; and an independent implementation as a judge.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::{DecodeError, Header, MAX_HEADER, decode, encode, v2};
use crate::config::SendProxy;

const SIGNATURE: [u8; 12] = [
    0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A,
];
const IPV4_BLOCK: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 100, 0xC7, 0x38, 0x16, 0x28];

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn proxied(source: &str, destination: &str) -> Header {
    Header::Proxied {
        source: address(source),
        destination: address(destination),
    }
}

/// A version 2 header whose length octets tell the truth.
fn binary(version_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap();
    claiming(version_command, family, length, block)
}

fn claiming(version_command: u8, family: u8, length: u16, block: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([version_command, family]);
    header.extend(length.to_be_bytes());
    header.extend(block);
    header
}

fn with_fields(fields: &[u8]) -> Vec<u8> {
    binary(0x21, 0x11, &[&IPV4_BLOCK, fields].concat())
}

/// A header with a checksum field between two others, computed as the protocol says.
fn with_checksum() -> Vec<u8> {
    let mut header = with_fields(&[0x04, 0, 1, 0xFF, 0x03, 0, 4, 0, 0, 0, 0, 0xE0, 0, 2, 1, 2]);
    let crc = !v2::crc32c(&header, !0);
    header[35..39].copy_from_slice(&crc.to_be_bytes());
    header
}

fn good() -> Vec<(Vec<u8>, Header)> {
    let four = proxied("192.0.2.1:51000", "192.0.2.100:5672");
    let six = proxied("[2001:db8::1]:51000", "[2001:db8::64]:5672");
    let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let unknown = format!("PROXY UNKNOWN {longest} {longest} 65535 65535\r\n");
    assert_eq!(unknown.len(), 107);
    let mut six_block = [0; 36];
    six_block[..4].copy_from_slice(&[0x20, 0x01, 0x0D, 0xB8]);
    six_block[15] = 1;
    six_block[16..20].copy_from_slice(&[0x20, 0x01, 0x0D, 0xB8]);
    six_block[31] = 0x64;
    six_block[32..].copy_from_slice(&[0xC7, 0x38, 0x16, 0x28]);
    vec![
        (
            b"PROXY TCP4 192.0.2.1 192.0.2.100 51000 5672\r\n".to_vec(),
            four,
        ),
        (
            b"PROXY TCP6 2001:db8::1 2001:db8::64 51000 5672\r\n".to_vec(),
            six,
        ),
        (
            b"PROXY TCP6 2001:0DB8:0::1 2001:db8::0.0.0.100 51000 5672\r\n".to_vec(),
            six,
        ),
        (
            b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n".to_vec(),
            proxied("0.0.0.0:0", "255.255.255.255:65535"),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), Header::Local),
        (unknown.into_bytes(), Header::Local),
        (binary(0x21, 0x11, &IPV4_BLOCK), four),
        (binary(0x21, 0x21, &six_block), six),
        (with_fields(&[0x04, 0, 0]), four),
        (with_fields(&[0xEE, 0, 3, 1, 2, 3, 0x05, 0, 1, 9]), four),
        (with_checksum(), four),
        (binary(0x20, 0x00, &[]), Header::Local),
        (binary(0x20, 0x11, &IPV4_BLOCK), Header::Local),
        (binary(0x20, 0x77, &[9; 5]), Header::Local),
        (binary(0x21, 0x00, &[]), Header::Local),
        (binary(0x21, 0x00, &[9; 7]), Header::Local),
        (binary(0x21, 0x12, &IPV4_BLOCK), Header::Local),
        (binary(0x21, 0x22, &six_block), Header::Local),
        (binary(0x21, 0x31, &[b'/'; 216]), Header::Local),
        (binary(0x21, 0x32, &[b'/'; 216]), Header::Local),
        (binary(0x20, 0x00, &vec![0; MAX_HEADER - 16]), Header::Local),
    ]
}

#[test]
fn decodes_known_headers_and_waits_at_every_split() {
    for (bytes, header) in good() {
        let shown = bytes.escape_ascii();
        assert_eq!(decode(&bytes), Ok(Some((header, bytes.len()))), "{shown}");
        for length in 0..bytes.len() {
            assert_eq!(
                decode(&bytes[..length]),
                Ok(None),
                "{length} bytes of {shown}"
            );
        }
        let mut followed = bytes.clone();
        followed.extend_from_slice(b"AMQP\0\0\x09\x01");
        assert_eq!(
            decode(&followed),
            Ok(Some((header, bytes.len()))),
            "{shown}"
        );
    }
}

#[test]
fn encodes_known_headers() {
    let (client, service) = (address("192.0.2.1:51000"), address("192.0.2.100:5672"));
    assert!(encode(SendProxy::Off, client, service).is_empty());
    assert_eq!(
        encode(SendProxy::V1, client, service),
        b"PROXY TCP4 192.0.2.1 192.0.2.100 51000 5672\r\n"
    );
    assert_eq!(
        encode(SendProxy::V2, client, service),
        binary(0x21, 0x11, &IPV4_BLOCK)
    );
    let mapped = address("[::ffff:192.0.2.1]:51000");
    assert_eq!(
        encode(SendProxy::V1, mapped, service),
        encode(SendProxy::V1, client, service)
    );
    assert_eq!(
        encode(SendProxy::V1, address("[fe80::1%7]:9"), service),
        b"PROXY TCP6 fe80::1 ::ffff:192.0.2.100 9 5672\r\n"
    );
}

/// The bytes, how many of them suffice for the verdict, and the verdict.
type Bad = (Vec<u8>, usize, DecodeError);

fn bad_lines() -> Vec<Bad> {
    use DecodeError::*;
    let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
    let late = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 92], b"\r\n"].concat();
    assert_eq!(late.len(), 108);
    let mut bad = vec![(endless, 107, V1TooLong), (late, 107, V1TooLong)];
    let texts: [(&str, usize, DecodeError); 38] = [
        ("AMQP\0\0\x09\x01", 1, Signature),
        ("\0", 1, Signature),
        ("proxy TCP4 ", 1, Signature),
        ("POST / HTTP/1.1", 2, Signature),
        ("PROXY\tTCP4", 6, Signature),
        ("PROXY  TCP4", 7, V1Protocol),
        ("PROXY UDP4", 8, V1Protocol),
        ("PROXY TCP5 ", 10, V1Protocol),
        ("PROXY tcp4 ", 7, V1Protocol),
        ("PROXY TCP 1.2.3.4", 10, V1Protocol),
        ("PROXY TCP42 ", 11, V1Protocol),
        ("PROXY UNKNOWNS\r\n", 14, V1Protocol),
        ("PROXY \r\n", 7, V1Protocol),
        ("PROXY UNKNOWN\n", 14, V1ControlCharacter),
        ("PROXY UNKNOWN \0", 15, V1ControlCharacter),
        ("PROXY UNKNOWN\r\r\n", 15, V1ControlCharacter),
        ("PROXY TCP4\r\n", 11, V1FieldCount),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", 29, V1FieldCount),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", 31, V1FieldCount),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", 31, V1FieldCount),
        ("PROXY TCP4  1.2.3.4", 12, V1Separator),
        ("PROXY TCP4 1.2.3.4 1.2.3.4  1 2\r\n", 28, V1Separator),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n", 30, V1Separator),
        ("PROXY TCP4 1.2.3.4\t1.2.3.4", 19, V1ControlCharacter),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", 12, V1Address),
        ("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", 19, V1Address),
        ("PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n", 20, V1Address),
        ("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", 17, V1Address),
        ("PROXY TCP4 256.2.3.4 1.2.3.4 1 2\r\n", 21, V1Address),
        ("PROXY TCP4 0x1.2.3.4 1.2.3.4 1 2\r\n", 13, V1Address),
        ("PROXY TCP6 ::1::1 ::1 1 2\r\n", 18, V1Address),
        ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", 19, V1Address),
        ("PROXY TCP6 ::1 [::1] 1 2\r\n", 16, V1Address),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", 29, V1Port),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", 33, V1Port),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", 28, V1Port),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 -2\r\n", 30, V1Port),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 123456\r\n", 35, V1Port),
    ];
    bad.extend(texts.map(|(text, known, error)| (text.as_bytes().to_vec(), known, error)));
    bad
}

fn bad_binaries() -> Vec<Bad> {
    use DecodeError::*;
    let mut wrong_checksum = with_checksum();
    wrong_checksum[16] ^= 1;
    let whole = wrong_checksum.len();
    let mut nearly = SIGNATURE;
    nearly[11] = b'\r';
    vec![
        (b"\r\nGET / HTTP/1.1".to_vec(), 3, Signature),
        (nearly.to_vec(), 12, Signature),
        (binary(0x11, 0x11, &IPV4_BLOCK), 13, V2Version(0x11)),
        (binary(0x31, 0x11, &IPV4_BLOCK), 13, V2Version(0x31)),
        (binary(0x22, 0x11, &IPV4_BLOCK), 13, V2Command(0x22)),
        (binary(0x2F, 0x11, &IPV4_BLOCK), 13, V2Command(0x2F)),
        (binary(0x21, 0x10, &IPV4_BLOCK), 14, V2Family(0x10)),
        (binary(0x21, 0x13, &IPV4_BLOCK), 14, V2Family(0x13)),
        (binary(0x21, 0x01, &IPV4_BLOCK), 14, V2Family(0x01)),
        (binary(0x21, 0x41, &IPV4_BLOCK), 14, V2Family(0x41)),
        (binary(0x21, 0x11, &[]), 16, V2TooShort(0)),
        (binary(0x21, 0x11, &IPV4_BLOCK[..11]), 16, V2TooShort(11)),
        (binary(0x21, 0x21, &IPV4_BLOCK), 16, V2TooShort(12)),
        (binary(0x21, 0x31, &[0; 215]), 16, V2TooShort(215)),
        (claiming(0x21, 0x11, 65535, &[]), 16, V2TooLarge(65535)),
        (claiming(0x20, 0x00, 4081, &[]), 16, V2TooLarge(4081)),
        (with_fields(&[0x04]), 16, V2FieldOverrun),
        (with_fields(&[0x04, 0]), 16, V2FieldOverrun),
        (with_fields(&[0x04, 0, 1]), 31, V2FieldOverrun),
        (with_fields(&[0x04, 0xFF, 0xFF, 0]), 31, V2FieldOverrun),
        (with_fields(&[0x04, 0, 0, 0x05]), 31, V2FieldOverrun),
        (with_fields(&[0x03, 0, 3, 1, 2, 3]), 31, V2ChecksumLength),
        (with_fields(&[0x03, 0, 0]), 31, V2ChecksumLength),
        (with_fields(&[0x03, 0, 4, 0, 0, 0, 0]), 35, V2Checksum),
        (wrong_checksum, whole, V2Checksum),
    ]
}

#[test]
fn refuses_what_breaks_a_rule_as_early_as_possible() {
    for (bytes, known, error) in bad_lines().into_iter().chain(bad_binaries()) {
        let shown = bytes.escape_ascii();
        assert_eq!(decode(&bytes), Err(error), "{shown}");
        assert_eq!(
            decode(&bytes[..known]),
            Err(error),
            "{known} bytes of {shown}"
        );
        for length in 0..known {
            assert_eq!(
                decode(&bytes[..length]),
                Ok(None),
                "{length} bytes of {shown}"
            );
        }
    }
}

/// The check value that every description of CRC32C gives.
#[test]
fn computes_crc32c() {
    assert_eq!(!v2::crc32c(b"123456789", !0), 0xE306_9283);
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

/// What `encode` makes of two addresses before it writes them.
fn in_one_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    let six = |end: SocketAddr| match end {
        SocketAddr::V4(end) => (end.ip().to_ipv6_mapped(), end.port()).into(),
        SocketAddr::V6(_) => end,
    };
    let (source, destination) = (canonical(source), canonical(destination));
    if source.is_ipv4() == destination.is_ipv4() {
        (source, destination)
    } else {
        (six(source), six(destination))
    }
}

proptest! {
    #[test]
    fn decodes_what_it_encodes(source in any_address(), destination in any_address()) {
        for version in [SendProxy::V1, SendProxy::V2] {
            let bytes = encode(version, source, destination);
            let (source, destination) = in_one_family(source, destination);
            let header = Header::Proxied { source, destination };
            prop_assert_eq!(decode(&bytes), Ok(Some((header, bytes.len()))));
        }
    }

    #[test]
    fn an_independent_decoder_reads_what_it_encodes(
        source in any_address(),
        destination in any_address(),
    ) {
        let (canonical_source, canonical_destination) = in_one_family(source, destination);
        let line = encode(SendProxy::V1, source, destination);
        let read = ppp::v1::Header::try_from(line.as_slice()).unwrap();
        prop_assert_eq!(read.addresses, (canonical_source, canonical_destination).into());
        let block = encode(SendProxy::V2, source, destination);
        let read = ppp::v2::Header::try_from(block.as_slice()).unwrap();
        prop_assert_eq!(read.addresses, (canonical_source, canonical_destination).into());
        prop_assert_eq!(read.command, ppp::v2::Command::Proxy);
        prop_assert_eq!(read.protocol, ppp::v2::Protocol::Stream);
    }

    #[test]
    fn it_reads_what_an_independent_encoder_writes(
        source in any_address(),
        destination in any_address(),
        name in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        prop_assume!(source.is_ipv4() == destination.is_ipv4());
        let header = Header::Proxied { source, destination };
        let line = ppp::v1::Addresses::from((source, destination)).to_string();
        prop_assert_eq!(decode(line.as_bytes()), Ok(Some((header, line.len()))));
        let block = ppp::v2::Builder::with_addresses(
            ppp::v2::Version::Two | ppp::v2::Command::Proxy,
            ppp::v2::Protocol::Stream,
            (source, destination),
        )
        .write_tlv(ppp::v2::Type::Authority, &name)
        .and_then(ppp::v2::Builder::build)
        .unwrap();
        prop_assert_eq!(decode(&block), Ok(Some((header, block.len()))));
    }

    /// Also: more bytes never change a verdict, and a header never takes more than there is.
    #[test]
    fn survives_anything(
        start in prop_oneof![
            Just(b"".to_vec()),
            Just(b"PROXY ".to_vec()),
            Just(b"PROXY TCP4 ".to_vec()),
            Just(b"PROXY TCP6 ".to_vec()),
            Just(SIGNATURE.to_vec()),
            Just([SIGNATURE.as_slice(), &[0x21, 0x11, 0]].concat()),
        ],
        rest in proptest::collection::vec(
            prop_oneof![any::<u8>(), proptest::sample::select(b"0123.: \r\n".to_vec())],
            0..150,
        ),
    ) {
        let bytes = [start, rest].concat();
        let mut verdict = Ok(None);
        for length in 0..=bytes.len() {
            let next = decode(&bytes[..length]);
            if verdict != Ok(None) {
                prop_assert_eq!(next, verdict);
            }
            if let Ok(Some((_, used))) = next {
                prop_assert!(used <= length && used <= MAX_HEADER);
            }
            verdict = next;
        }
    }
}
