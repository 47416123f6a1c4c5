//! What arrives on the VRRP socket. The first byte says how to read the rest: family, form and
//! whether the checksum is made right, without which nothing gets past it.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use warren::config::VrrpVersion;
use warren::config::units::Centiseconds;
use warren::vrrp::packet::{Envelope, PROTOCOL, decode};
use warren::vrrp::receive::{GROUP_V4, GROUP_V6, Receiver, ipv4, screen};

fuzz_target!(|bytes: &[u8]| {
    let Some((&mode, rest)) = bytes.split_first() else {
        return;
    };
    if mode & 1 != 0 {
        let _ = ipv4(rest).map(|(envelope, message)| hear(message, &envelope));
        return;
    }
    let v6 = mode & 2 != 0;
    let envelope = Envelope {
        source: if v6 { ip("fe80::9") } else { ip("10.0.1.9") },
        destination: match (mode & 4 != 0, v6) {
            (true, true) => ip("fe80::1"),
            (true, false) => ip("10.0.1.1"),
            (false, true) => GROUP_V6.into(),
            (false, false) => GROUP_V4.into(),
        },
        ttl: if mode & 8 != 0 { 254 } else { 255 },
    };
    let mut message = rest.to_vec();
    if mode & 16 != 0 {
        make_right(&mut message, &envelope, mode & 32 != 0);
    }
    hear(&message, &envelope);
});

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Decodes, and what was understood means the same once it is encoded again.
fn hear(message: &[u8], envelope: &Envelope) {
    let receiver = |router_id, version, peers: &[&str]| Receiver {
        router_id,
        version,
        interval: Centiseconds(100),
        addresses: vec![
            ip("10.0.1.5"),
            ip("10.0.1.6"),
            ip("fe80::5"),
            ip("2001:db8::5"),
        ],
        peers: peers.iter().map(|peer| ip(peer)).collect(),
        own: Some(ip("10.0.1.1")),
    };
    let receivers = [
        receiver(1, VrrpVersion::V3, &[]),
        receiver(2, VrrpVersion::V2, &[]),
        receiver(3, VrrpVersion::V3, &["10.0.1.9", "fe80::9"]),
    ];
    let screened = screen(message, envelope, &receivers);
    let decoded = decode(message, envelope);
    assert!(decoded.is_ok() || screened.is_err());
    if let Ok(decoded) = decoded {
        let said = &decoded.advertisement;
        let again = said.encode(envelope.source, envelope.destination, decoded.form);
        assert_eq!(decode(&again, envelope).as_ref(), Ok(&decoded));
    }
}

/// Writes the checksum that a sender would (RFC 1071).
fn make_right(message: &mut [u8], envelope: &Envelope, pseudo_header: bool) {
    if message.len() < 8 {
        return;
    }
    message[6..8].fill(0);
    let mut covered = Vec::new();
    if pseudo_header || envelope.source.is_ipv6() {
        for address in [envelope.source, envelope.destination] {
            match address {
                IpAddr::V4(address) => covered.extend(address.octets()),
                IpAddr::V6(address) => covered.extend(address.octets()),
            }
        }
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        match envelope.source {
            IpAddr::V4(_) => covered.extend((u32::from(PROTOCOL) << 16 | length).to_be_bytes()),
            IpAddr::V6(_) => {
                covered.extend(length.to_be_bytes());
                covered.extend(u32::from(PROTOCOL).to_be_bytes());
            }
        }
    }
    covered.extend_from_slice(message);
    let mut sum: u64 = 0;
    for pair in covered.chunks(2) {
        sum += u64::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let sum = !u16::try_from(sum).expect("folded");
    message[6..8].copy_from_slice(&sum.to_be_bytes());
}
