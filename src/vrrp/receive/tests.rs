//! Who an advertisement is for.

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn receiver(router_id: u8, peers: &[&str]) -> Receiver {
    Receiver {
        router_id,
        version: VrrpVersion::V3,
        interval: Centiseconds(100),
        addresses: vec![ip("10.0.1.5"), ip("10.0.1.6")],
        peers: peers.iter().map(|peer| ip(peer)).collect(),
        own: Some(ip("10.0.1.1")),
    }
}

fn said(router_id: u8) -> Advertisement {
    Advertisement {
        version: VrrpVersion::V3,
        router_id,
        priority: 100,
        interval: Centiseconds(100),
        addresses: vec![ip("10.0.1.5"), ip("10.0.1.6")],
    }
}

fn heard(
    said: &Advertisement,
    source: &str,
    destination: &str,
    receivers: &[Receiver],
) -> Result<Accepted, (Option<usize>, Refusal)> {
    let envelope = Envelope {
        source: ip(source),
        destination: ip(destination),
        ttl: 255,
    };
    let message = said.encode(
        envelope.source,
        envelope.destination,
        ChecksumForm::PseudoHeader,
    );
    screen(&message, &envelope, receivers).map_err(|refused| {
        assert_eq!(refused.from, Some(envelope.source));
        (refused.index, refused.why)
    })
}

const GROUP: &str = "224.0.0.18";

#[test]
fn the_router_id_decides() {
    let receivers = [receiver(1, &[]), receiver(7, &[])];
    for (id, index) in [(1, 0), (7, 1)] {
        let accepted = heard(&said(id), "10.0.1.2", GROUP, &receivers).unwrap();
        assert_eq!((accepted.index, accepted.from), (index, ip("10.0.1.2")));
        assert!(!accepted.addresses_differ);
        assert_eq!(accepted.form, ChecksumForm::PseudoHeader);
    }
    assert_eq!(
        heard(&said(8), "10.0.1.2", GROUP, &receivers),
        Err((None, Refusal::UnknownRouterId))
    );
}

#[test]
fn our_own_words_are_not_news() {
    assert_eq!(
        heard(&said(1), "10.0.1.1", GROUP, &[receiver(1, &[])]),
        Err((Some(0), Refusal::OwnAddress))
    );
}

/// Only their owner may have nothing but virtual addresses to send from.
#[test]
fn a_virtual_address_speaks_for_its_owner_alone() {
    let receivers = [receiver(1, &[])];
    for (priority, believed) in [(255, true), (0, true), (254, false), (1, false)] {
        let mut said = said(1);
        said.priority = priority;
        let heard = heard(&said, "10.0.1.6", GROUP, &receivers);
        let refused = heard.as_ref().err();
        assert_eq!(heard.is_ok(), believed, "{priority}");
        assert!(believed || refused == Some(&(Some(0), Refusal::OwnAddress)));
    }
    let mut six = receiver(1, &[]);
    six.addresses = ["fe80::5", "2001:db8::5"].map(ip).to_vec();
    let mut said = said(1);
    said.addresses.clone_from(&six.addresses);
    let heard_from = |source| heard(&said, source, "ff02::12", std::slice::from_ref(&six));
    assert!(heard_from("fe80::5").is_ok(), "as FRR does");
    let refused = Err((Some(0), Refusal::OwnAddress));
    assert_eq!(heard_from("2001:db8::5"), refused);
    let from = |source: &str, destination: &str| {
        let envelope = Envelope {
            source: ip(source),
            destination: ip(destination),
            ttl: 255,
        };
        is_from_virtual(&envelope, &receivers)
    };
    assert!(from("10.0.1.6", GROUP));
    assert!(!from("10.0.1.2", GROUP) && !from("10.0.1.6", "10.0.1.1"));
}

#[test]
fn peers_speak_to_us_and_others_to_the_group() {
    let unicast = [receiver(1, &["10.0.1.2"])];
    assert!(heard(&said(1), "10.0.1.2", "10.0.1.1", &unicast).is_ok());
    assert_eq!(
        heard(&said(1), "10.0.1.3", "10.0.1.1", &unicast),
        Err((Some(0), Refusal::NotAPeer))
    );
    assert_eq!(
        heard(&said(1), "10.0.1.2", GROUP, &unicast),
        Err((Some(0), Refusal::Multicast))
    );
    assert_eq!(
        heard(&said(1), "10.0.1.2", "10.0.1.1", &[receiver(1, &[])]),
        Err((Some(0), Refusal::Unicast))
    );
}

#[test]
fn versions_do_not_mix() {
    let mut second = said(1);
    second.version = VrrpVersion::V2;
    assert_eq!(
        heard(&second, "10.0.1.2", GROUP, &[receiver(1, &[])]),
        Err((Some(0), Refusal::OtherVersion))
    );
    let mut receiver = receiver(1, &[]);
    receiver.version = VrrpVersion::V2;
    assert!(heard(&second, "10.0.1.2", GROUP, std::slice::from_ref(&receiver)).is_ok());
    second.interval = Centiseconds(200);
    assert_eq!(
        heard(&second, "10.0.1.2", GROUP, &[receiver]),
        Err((Some(0), Refusal::OtherInterval))
    );
}

#[test]
fn version_3_may_have_another_interval() {
    let mut slow = said(1);
    slow.interval = Centiseconds(300);
    assert!(heard(&slow, "10.0.1.2", GROUP, &[receiver(1, &[])]).is_ok());
}

#[test]
fn other_addresses_are_a_collision_and_some_of_ours_a_change() {
    let mut other = said(1);
    other.addresses = vec![ip("10.0.1.9")];
    assert_eq!(
        heard(&other, "10.0.1.2", GROUP, &[receiver(1, &[])]),
        Err((Some(0), Refusal::Collision))
    );
    for addresses in [
        vec!["10.0.1.5"],
        vec!["10.0.1.5", "10.0.1.9"],
        vec!["10.0.1.5", "10.0.1.6", "10.0.1.7"],
    ] {
        let mut changed = said(1);
        changed.addresses = addresses.iter().map(|text| ip(text)).collect();
        let accepted = heard(&changed, "10.0.1.2", GROUP, &[receiver(1, &[])]).unwrap();
        assert!(accepted.addresses_differ, "{addresses:?}");
    }
    let mut swapped = said(1);
    swapped.addresses.reverse();
    let accepted = heard(&swapped, "10.0.1.2", GROUP, &[receiver(1, &[])]).unwrap();
    assert!(!accepted.addresses_differ, "the order says nothing");
}

#[test]
fn a_broken_packet_is_counted_where_it_belongs() {
    let envelope = Envelope {
        source: ip("10.0.1.2"),
        destination: ip(GROUP),
        ttl: 255,
    };
    let mut message = said(7).encode(
        envelope.source,
        envelope.destination,
        ChecksumForm::PseudoHeader,
    );
    message[6] ^= 1;
    let receivers = [receiver(1, &[]), receiver(7, &[])];
    let refused = screen(&message, &envelope, &receivers).unwrap_err();
    assert_eq!((refused.index, refused.why), (Some(1), Refusal::Checksum));
    let refused = screen(&[], &envelope, &receivers).unwrap_err();
    assert_eq!((refused.index, refused.why), (None, Refusal::TooShort));
}

fn datagram(options: usize, protocol: u8, message: &[u8]) -> Vec<u8> {
    let start = 20 + options;
    let mut datagram = vec![0; start];
    datagram[0] = 0x40 | u8::try_from(start / 4).unwrap();
    let total = u16::try_from(start + message.len()).unwrap();
    datagram[2..4].copy_from_slice(&total.to_be_bytes());
    (datagram[8], datagram[9]) = (255, protocol);
    datagram[12..16].copy_from_slice(&[10, 0, 1, 2]);
    datagram[16..20].copy_from_slice(&[224, 0, 0, 18]);
    datagram.extend(message);
    datagram
}

#[test]
fn an_ipv4_header_may_have_options() {
    for options in [0, 4, 40] {
        let datagram = datagram(options, 112, b"message");
        let (envelope, message) = ipv4(&datagram).unwrap();
        assert_eq!(message, b"message");
        assert_eq!(envelope.source, ip("10.0.1.2"));
        assert_eq!(envelope.destination, ip(GROUP));
        assert_eq!(envelope.ttl, 255);
    }
}

#[test]
fn an_ipv4_header_that_is_broken_is_refused() {
    let good = datagram(4, 112, b"message");
    for length in 0..good.len() {
        assert_eq!(
            ipv4(&good[..length]),
            Err(DecodeError::IpHeader),
            "{length}"
        );
    }
    // What the frame was padded with does not count.
    let padded = [&good[..], b"padding"].concat();
    assert_eq!(ipv4(&padded).unwrap().1, b"message");
    let with = |at: usize, value: u8| {
        let mut datagram = good.clone();
        datagram[at] = value;
        ipv4(&datagram).map(|_| ())
    };
    assert_eq!(with(0, 0x65), Err(DecodeError::IpHeader), "version 6");
    assert_eq!(
        with(0, 0x44),
        Err(DecodeError::IpHeader),
        "too short a header"
    );
    assert_eq!(
        with(0, 0x4f),
        Err(DecodeError::IpHeader),
        "longer than it is"
    );
    assert_eq!(with(9, 6), Err(DecodeError::IpHeader), "TCP");
    assert_eq!(
        with(3, 10),
        Err(DecodeError::IpHeader),
        "ends in its header"
    );
    assert_eq!(
        with(2, 10),
        Err(DecodeError::IpHeader),
        "longer than received"
    );
}

#[test]
fn names_are_stable_and_different() {
    let mut names: Vec<_> = Refusal::ALL.iter().map(|refusal| refusal.name()).collect();
    assert_eq!(names.len(), Refusal::COUNT);
    for (index, refusal) in Refusal::ALL.iter().enumerate() {
        assert_eq!(*refusal as usize, index);
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Refusal::COUNT);
}
