//! The wire format: checked vectors, every way to break them, random ones.

use proptest::prelude::*;

use super::*;
use VrrpVersion::{V2, V3};

const V4_GROUP: &str = "224.0.0.18";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let text = |pair: &[u8]| std::str::from_utf8(pair).unwrap().to_owned();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&text(pair), 16).unwrap())
        .collect()
}

fn envelope(source: &str, destination: &str) -> Envelope {
    Envelope {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        ttl: 255,
    }
}

fn advertisement(
    version: VrrpVersion,
    router_id: u8,
    priority: u8,
    interval: u16,
    addresses: &[&str],
) -> Advertisement {
    Advertisement {
        version,
        router_id,
        priority,
        interval: Centiseconds(interval),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
    }
}

struct Vector {
    hex: &'static str,
    envelope: Envelope,
    advertisement: Advertisement,
    form: ChecksumForm,
}

/// Computed independently, and the same as tshark and scapy accept.
fn vectors() -> Vec<Vector> {
    use ChecksumForm::{MessageOnly, PseudoHeader};
    let multicast = || envelope("10.0.1.3", V4_GROUP);
    let one = &["10.0.1.5"][..];
    let two = &["10.0.1.5", "10.0.1.6"][..];
    let six = &["fe80::", "2001:db8::5"][..];
    let vector = |hex, envelope, advertisement, form| Vector {
        hex,
        envelope,
        advertisement,
        form,
    };
    let v2 = |hex, id, priority, interval| {
        let said = advertisement(V2, id, priority, interval, one);
        vector(hex, multicast(), said, PseudoHeader)
    };
    vec![
        v2("21011e010001b5f70a0001050000000000000000", 1, 30, 100),
        v2("210100010001d3f70a0001050000000000000000", 1, 0, 100),
        v2("2101640100016ff70a0001050000000000000000", 1, 100, 100),
        v2("210101010001d2f70a0001050000000000000000", 1, 1, 100),
        v2("21011e010063b5950a0001050000000000000000", 1, 30, 9900),
        v2("21641e010001b5940a0001050000000000000000", 100, 30, 100),
        vector(
            "31011e020064aef70a0001050a000106",
            multicast(),
            advertisement(V3, 1, 30, 100, two),
            PseudoHeader,
        ),
        vector(
            "31011e0200649a8d0a0001050a000106",
            multicast(),
            advertisement(V3, 1, 30, 100, two),
            MessageOnly,
        ),
        vector(
            "31011e02006484080a0001050a000106",
            envelope("10.0.1.3", "10.0.1.2"),
            advertisement(V3, 1, 30, 100, two),
            PseudoHeader,
        ),
        vector(
            "310100020064ccf70a0001050a000106",
            multicast(),
            advertisement(V3, 1, 0, 100, two),
            PseudoHeader,
        ),
        vector(
            "31011e0200648623fe80000000000000000000000000000520010db8000000000000000000000005",
            envelope("fe80::3", "ff02::12"),
            advertisement(V3, 1, 30, 100, &["fe80::5", six[1]]),
            PseudoHeader,
        ),
    ]
}

#[test]
fn vectors_decode_and_encode() {
    for vector in vectors() {
        let Vector {
            hex,
            envelope,
            advertisement,
            form,
        } = vector;
        let expected = Decoded {
            advertisement: advertisement.clone(),
            form,
        };
        assert_eq!(decode(&bytes(hex), &envelope), Ok(expected), "{hex}");
        let encoded = advertisement.encode(envelope.source, envelope.destination, form);
        assert_eq!(encoded, bytes(hex));
    }
}

#[test]
fn a_line_like_tcpdump() {
    let said = advertisement(V3, 51, 150, 100, &["192.0.2.100", "192.0.2.101"]);
    assert_eq!(
        said.to_string(),
        "VRRPv3, Advertisement, vrid 51, prio 150, intvl 100cs, addrs: 192.0.2.100 192.0.2.101"
    );
}

#[test]
fn only_a_ttl_of_255_is_believed() {
    for vector in vectors() {
        for ttl in 0..255 {
            let envelope = Envelope {
                ttl,
                ..vector.envelope
            };
            assert_eq!(decode(&bytes(vector.hex), &envelope), Err(DecodeError::Ttl));
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    for vector in vectors() {
        let message = bytes(vector.hex);
        for length in 0..message.len() {
            let refused = decode(&message[..length], &vector.envelope).unwrap_err();
            let expected = match length {
                0..8 => DecodeError::TooShort,
                _ => DecodeError::Length,
            };
            assert_eq!(refused, expected, "{} cut to {length}", vector.hex);
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed_unless_it_is_not_covered() {
    for vector in vectors() {
        let message = bytes(vector.hex);
        for bit in 0..message.len() * 8 {
            let mut broken = message.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(
                decode(&broken, &vector.envelope).is_err(),
                "{}: bit {bit}",
                vector.hex
            );
        }
    }
}

#[test]
fn padding_of_a_short_frame_is_accepted_and_more_is_not() {
    let sender = envelope("10.0.1.3", V4_GROUP);
    let message = summed(bytes("31011e01006400000a000105"), &sender);
    assert!(decode(&message, &sender).is_ok());
    for (length, filler) in [(26, 0), (26, 0xff), (13, 1)] {
        let mut padded = message.clone();
        padded.resize(length, filler);
        assert!(decode(&padded, &sender).is_ok(), "{length}");
    }
    let mut long = message;
    long.resize(27, 0);
    assert_eq!(decode(&long, &sender), Err(DecodeError::Length));
    let six = vectors().pop().unwrap();
    let mut long = bytes(six.hex);
    long.push(0);
    assert_eq!(decode(&long, &six.envelope), Err(DecodeError::Length));
}

/// A message with these first eight bytes and one address, with the right checksum.
fn summed(mut message: Vec<u8>, sender: &Envelope) -> Vec<u8> {
    let v3 = message[0] >> 4 == 3;
    let form = match v3 {
        true => ChecksumForm::PseudoHeader,
        false => ChecksumForm::MessageOnly,
    };
    message[CHECKSUM..HEADER].fill(0);
    let pseudo = pseudo_header(V3, form, sender.source, sender.destination, message.len());
    let sum = checksum(pseudo, &message);
    message[CHECKSUM..HEADER].copy_from_slice(&sum.to_be_bytes());
    message
}

#[test]
fn fields_that_are_wrong_have_a_reason_each() {
    let sender = envelope("10.0.1.3", V4_GROUP);
    let with = |changes: &[(usize, u8)]| {
        let mut message = bytes("31011e01006400000a000105");
        for &(at, value) in changes {
            message[at] = value;
        }
        decode(&summed(message, &sender), &sender).map(|decoded| decoded.advertisement)
    };
    assert!(with(&[]).is_ok());
    for version in [0, 1, 4, 15] {
        assert_eq!(with(&[(0, version << 4 | 1)]), Err(DecodeError::Version));
    }
    for kind in [0, 2, 15] {
        assert_eq!(with(&[(0, 0x30 | kind)]), Err(DecodeError::Type));
    }
    assert_eq!(with(&[(1, 0)]), Err(DecodeError::RouterId));
    assert_eq!(with(&[(3, 0)]), Err(DecodeError::Count));
    assert_eq!(with(&[(3, 2)]), Err(DecodeError::Length));
    assert_eq!(with(&[(3, 255)]), Err(DecodeError::Length));
    assert_eq!(with(&[(4, 0), (5, 0)]), Err(DecodeError::Interval));
    let reserved = with(&[(4, 0xf0)]).unwrap();
    assert_eq!(
        reserved.interval,
        Centiseconds(100),
        "reserved bits say nothing"
    );
    let longest = with(&[(4, 0x0f), (5, 0xff)]).unwrap();
    assert_eq!(longest.interval, Centiseconds(4095));
}

#[test]
fn version_2_has_reasons_of_its_own() {
    let sender = envelope("10.0.1.3", V4_GROUP);
    let with = |at: usize, value| {
        let mut message = bytes("21011e010001b5f70a0001050000000000000000");
        message[at] = value;
        decode(&summed(message, &sender), &sender)
    };
    assert_eq!(with(4, 1), Err(DecodeError::Authentication));
    assert_eq!(with(5, 0), Err(DecodeError::Interval));
    let six = envelope("fe80::3", "ff02::12");
    let message = bytes("21011e010001b5f70a0001050000000000000000");
    assert_eq!(decode(&message, &six), Err(DecodeError::Version));
    // With the pseudo-header, which version 2 does not have.
    let mut wrong = message.clone();
    wrong[0] = 0x31;
    let mut wrong = summed(wrong, &sender);
    wrong[0] = 0x21;
    assert_eq!(decode(&wrong, &sender), Err(DecodeError::Checksum));
}

fn any_advertisement() -> impl Strategy<Value = (Advertisement, Envelope, ChecksumForm)> {
    let four = prop::collection::vec(any::<[u8; 4]>().prop_map(IpAddr::from), 1..=255);
    let six = prop::collection::vec(any::<[u8; 16]>().prop_map(IpAddr::from), 1..=255);
    let family = prop_oneof![
        (four, any::<[u8; 4]>(), any::<[u8; 4]>()).prop_map(|(all, from, to)| (
            all,
            IpAddr::from(from),
            IpAddr::from(to)
        )),
        (six, any::<[u8; 16]>(), any::<[u8; 16]>()).prop_map(|(all, from, to)| (
            all,
            IpAddr::from(from),
            IpAddr::from(to)
        )),
    ];
    let said = (
        1..=255u8,
        any::<u8>(),
        1..=4095u16,
        any::<bool>(),
        any::<bool>(),
    );
    (family, said).prop_map(|((addresses, source, destination), said)| {
        let (router_id, priority, interval, second, message_only) = said;
        let second = second && source.is_ipv4();
        let seconds = (interval % 255 + 1) * 100;
        let advertisement = Advertisement {
            version: if second { V2 } else { V3 },
            router_id,
            priority,
            interval: Centiseconds(if second { seconds } else { interval }),
            addresses,
        };
        let envelope = Envelope {
            source,
            destination,
            ttl: 255,
        };
        let form = match message_only {
            true => ChecksumForm::MessageOnly,
            false => ChecksumForm::PseudoHeader,
        };
        (advertisement, envelope, form)
    })
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same((said, sender, form) in any_advertisement()) {
        let message = said.encode(sender.source, sender.destination, form);
        let decoded = decode(&message, &sender).unwrap();
        prop_assert_eq!(&decoded.advertisement, &said);
        let again = decoded.advertisement.encode(sender.source, sender.destination, decoded.form);
        let once_more = decode(&again, &sender).unwrap();
        prop_assert_eq!(once_more.advertisement, said);
    }

    #[test]
    fn random_bytes_never_panic(
        message in prop::collection::vec(any::<u8>(), 0..200),
        first in prop::sample::select(vec![0x21u8, 0x31, 0x32, 0x41]),
        v6 in any::<bool>(),
    ) {
        let sender = match v6 {
            true => envelope("fe80::3", "ff02::12"),
            false => envelope("10.0.1.3", V4_GROUP),
        };
        let _ = decode(&message, &sender);
        if message.len() >= HEADER {
            let mut message = message;
            message[0] = first;
            message[COUNT] %= 8;
            if let Ok(decoded) = decode(&summed(message, &sender), &sender) {
                let said = &decoded.advertisement;
                let again = said.encode(sender.source, sender.destination, decoded.form);
                prop_assert_eq!(&decode(&again, &sender).unwrap().advertisement, said);
            }
        }
    }
}
