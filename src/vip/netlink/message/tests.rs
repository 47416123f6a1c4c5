//! Requests against the layouts written down by hand, answers as a kernel (Linux 6.18, x86_64) sent
//! them, and anything else.

use proptest::prelude::*;

use super::link::{NewLink, keep_address, new_link, set_up};
use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let text = |pair: &[u8]| std::str::from_utf8(pair).unwrap().to_owned();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&text(pair), 16).unwrap())
        .collect()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// What one datagram says.
fn bodies(datagram: &[u8]) -> Vec<Body> {
    messages(datagram).map(|message| message.body).collect()
}

/// `ip address add 192.0.2.7/24 dev d0 valid_lft 20 preferred_lft 0`
const ADDED_V4: &str = "4c000000 1400 0000 5205076b 3f180000 02 18 20 00 02000000 \
    0800 0100 c0000207  0800 0200 c0000207  0700 0300 643000 00  0800 0800 20000000 \
    1400 0600 00000000 14000000 35d94e00 35d94e00";
/// `ip address delete 192.0.2.8/24 dev d0`, the second address of its network.
const REMOVED_V4: &str = "4c000000 1500 0000 5205076b 63180000 02 18 81 00 02000000 \
    0800 0100 c0000208  0800 0200 c0000208  0700 0300 643000 00  0800 0800 81000000 \
    1400 0600 ffffffff ffffffff 54d94e00 54d94e00";
/// `ip address add 2001:db8::7/64 dev d0`, while duplicate address detection goes on.
const ADDED_V6: &str = "48000000 1400 0000 00000000 00000000 0a 40 c0 00 02000000 \
    1400 0100 20010db8000000000000000000000007 1400 0600 ffffffff ffffffff 72d94e00 72d94e00 \
    0800 0800 c0000000";
/// `ip link set d0 up`, without most of its attributes.
const LINK_UP: &str = "3c000000 1000 0000 00000000 00000000 00 00 0100 02000000 43100100 01000000 \
    0700 0300 643000 00  0800 0d00 e8030000  0a00 0100 922c0584948e 0000";

#[test]
#[cfg(target_endian = "little")]
fn what_the_kernel_says_is_understood() {
    let address = Address {
        interface: 2,
        address: net("192.0.2.7/24"),
        secondary: false,
        tentative: false,
        valid: Some(Duration::from_secs(20)),
        preferred: Some(Duration::ZERO),
        marked: false,
    };
    let added = |address| vec![Body::Change(Change::AddressAdded(address))];
    assert_eq!(bodies(&bytes(ADDED_V4)), added(address));
    let forever = Address {
        valid: None,
        preferred: None,
        ..address
    };
    let removed = Address {
        address: net("192.0.2.8/24"),
        secondary: true,
        ..forever
    };
    let removed = Body::Change(Change::AddressRemoved(removed));
    assert_eq!(bodies(&bytes(REMOVED_V4)), [removed]);
    let tentative = Address {
        address: net("2001:db8::7/64"),
        tentative: true,
        ..forever
    };
    assert_eq!(bodies(&bytes(ADDED_V6)), added(tentative));
    let link = Link {
        index: 2,
        name: "d0".to_owned(),
        hardware: Some([0x92, 0x2c, 0x05, 0x84, 0x94, 0x8e]),
        carrier: true,
    };
    assert_eq!(
        bodies(&bytes(LINK_UP)),
        [Body::Change(Change::Link(link.clone()))]
    );
    let mut gone = bytes(LINK_UP);
    gone[4] = 17;
    let removed = Body::Change(Change::LinkRemoved { index: 2 });
    assert_eq!(bodies(&gone), [removed]);
    // The link of a bridge's port is the bridge's business.
    gone[16] = 7;
    assert_eq!(bodies(&gone), [Body::Other]);
    // Down: neither IFF_UP nor IFF_RUNNING; a cable that is out: IFF_UP alone.
    for flags in [0x1002, 0x1003] {
        let mut down = bytes(LINK_UP);
        down[24..28].copy_from_slice(&u32::to_ne_bytes(flags));
        let carrier = false;
        let link = Link {
            carrier,
            ..link.clone()
        };
        assert_eq!(bodies(&down), [Body::Change(Change::Link(link))]);
    }
}

/// A message with this type, flags and payload, in answer to request 7.
fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + payload.len()).unwrap();
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(7u32.to_ne_bytes());
    message.extend(99u32.to_ne_bytes());
    message.extend(payload);
    message
}

#[test]
fn answers_carry_their_error_and_their_request() {
    let answer = |error: i32| message(2, 0, &[&error.to_ne_bytes()[..], &[0; 16]].concat());
    let all = [
        answer(0),
        answer(-1),
        message(3, 0, &0i32.to_ne_bytes()),
        message(3, 0, &(-16i32).to_ne_bytes()),
        message(3, 0, &[]),
        message(2, 0, &[0]),
        message(99, 0x10, &[]),
    ];
    let found: Vec<Message> = messages(&all.concat()).collect();
    let bodies: Vec<Body> = found.iter().map(|one| one.body.clone()).collect();
    let expected = [
        Body::Answer(0),
        Body::Answer(1),
        Body::Done(0),
        Body::Done(16),
        Body::Done(0),
        Body::Other,
        Body::Other,
    ];
    // The sixth has 17 bytes, and the next begins at a multiple of four.
    assert_eq!(bodies[..5], expected[..5]);
    assert!(found.iter().all(|one| one.sequence == 7));
    let padded: Vec<u8> = [&all[5][..], &[0; 3], &all[6]].concat();
    let found: Vec<Message> = messages(&padded).collect();
    assert_eq!(found.len(), 2);
    assert_eq!(
        (&found[0].body, &found[1].body),
        (&expected[5], &expected[6])
    );
    assert!(!found[0].interrupted && found[1].interrupted);
}

#[test]
#[cfg(target_endian = "little")]
fn what_is_cut_off_or_lies_about_its_length_is_left_out() {
    let whole = bytes(ADDED_V4);
    for length in 0..whole.len() {
        assert_eq!(bodies(&whole[..length]), [], "{length} bytes");
    }
    // One that says it is longer than the datagram, and one that says it has no header.
    for length in [u32::MAX, 77, 15, 0] {
        let mut lies = whole.clone();
        lies[..4].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(bodies(&lies), [], "{length}");
    }
    // An attribute that ends behind its message: what came before it counts.
    let mut lies = whole.clone();
    lies[56..58].copy_from_slice(&100u16.to_ne_bytes());
    let [Body::Change(Change::AddressAdded(address))] = &bodies(&lies)[..] else {
        panic!("{:?}", bodies(&lies));
    };
    assert_eq!(
        (address.address, address.valid),
        (net("192.0.2.7/24"), None)
    );
    // A prefix that is longer than the address.
    let mut lies = whole;
    lies[17] = 33;
    assert_eq!(bodies(&lies), [Body::Other]);
}

#[test]
#[cfg(target_endian = "little")]
fn requests_are_as_the_kernel_reads_them() {
    let new = NewAddress {
        interface: 2,
        address: net("192.0.2.100/32"),
        valid: Duration::from_millis(2_900),
        preferred: Duration::ZERO,
        prefix_route: false,
    };
    let expected = "44000000 1400 0505 09000000 00000000 02 20 00 00 02000000 \
        0800 0200 c0000264  0800 0100 c0000264  1400 0600 00000000 02000000 00000000 00000000 \
        0500 0b00 70 000000";
    assert_eq!(new_address(9, &new, Renewal::Allowed), bytes(expected));
    let only_new = new_address(9, &new, Renewal::Refused);
    assert_eq!(only_new[4..8], bytes("1400 0506"));
    let expected = "5c000000 1400 0505 0a000000 00000000 0a 40 00 fd 03000000 \
        1400 0200 fe800000000000000000000000000064 1400 0100 fe800000000000000000000000000064 \
        1400 0600 00000000 feffffff 00000000 00000000  0800 0800 02020000  0500 0b00 70 000000";
    let six = NewAddress {
        interface: 3,
        address: net("fe80::64/64"),
        valid: Duration::MAX,
        ..new
    };
    assert_eq!(
        new_address(10, &six, Renewal::Allowed)[4..],
        bytes(expected)[4..],
        "NODAD, no route, never for ever"
    );
    let expected = "28000000 1500 0500 0b000000 00000000 02 20 00 00 02000000 \
        0800 0200 c0000264  0800 0100 c0000264";
    assert_eq!(
        delete_address(11, 2, net("192.0.2.100/32")),
        bytes(expected)
    );
    let expected = "28000000 1400 0506 0c000000 00000000 02 18 00 00 02000000 \
        0800 0200 c000020b  0800 0100 c000020b";
    assert_eq!(keep_address(12, 2, net("192.0.2.11/24")), bytes(expected));
    let expected = "18000000 1600 0103 0d000000 00000000 00 000000 00000000";
    assert_eq!(dump_addresses(13), bytes(expected));
    let expected = "20000000 1200 0103 0e000000 00000000 00000000 00000000 00000000 00000000";
    assert_eq!(dump_links(14), bytes(expected));
}

#[test]
#[cfg(target_endian = "little")]
fn links_are_made_as_the_kernel_reads_them() {
    let expected = "3c000000 1000 0506 01000000 00000000 00000000 00000000 00000000 00000000 \
        0800 0300 62723000  1000 1200  0a00 0100 627269646765 0000  00000000";
    let made = new_link(1, NewLink::Bridge("br0"));
    // The last four bytes above only show where the attributes end.
    assert_eq!(made[4..], bytes(expected)[4..made.len()]);
    assert_eq!(u32_at(&made, 0), u32::try_from(made.len()).ok());
    let veth = NewLink::Veth {
        name: "eth0",
        peer: "a",
        process: 0x1234,
    };
    let expected = "1000 0506 02000000 00000000 00000000 00000000 00000000 00000000 \
        0900 0300 6574683000 000000  3c00 1200  0800 0100 76657468  3000 0200  2c00 0100 \
        00000000 00000000 00000000 00000000  0600 0300 6100 0000  0800 1300 34120000";
    let made = new_link(2, veth);
    assert_eq!(u32_at(&made, 0), u32::try_from(made.len()).ok());
    let nested = bytes(expected);
    assert_eq!(made[4..44], nested[..40], "{made:02x?}");
    let inner: Vec<(u16, &[u8])> = attributes(&made[32..]).collect();
    assert_eq!(inner[0], (3, &b"eth0\0"[..]));
    let info: Vec<(u16, &[u8])> = attributes(inner[1].1).collect();
    assert_eq!((inner[1].0, info[0]), (18, (1, &b"veth"[..])));
    let data: Vec<(u16, &[u8])> = attributes(info[1].1).collect();
    let peer: Vec<(u16, &[u8])> = attributes(&data[0].1[16..]).collect();
    assert_eq!((info[1].0, data[0].0), (2, 1));
    assert_eq!(peer, [(3, &b"a\0"[..]), (19, &0x1234u32.to_ne_bytes())]);
    let expected = "28000000 1000 0500 03000000 00000000 00000000 02000000 01000000 01000000 \
        0800 0a00 05000000";
    assert_eq!(set_up(3, 2, Some(5)), bytes(expected));
}

proptest! {
    #[test]
    fn any_bytes_end(datagram in prop::collection::vec(any::<u8>(), 0..400)) {
        let found = messages(&datagram).count();
        prop_assert!(found <= datagram.len() / HEADER);
    }

    #[test]
    fn what_was_asked_for_is_read_back(
        index in 1u32..1000,
        octets: [u8; 4],
        prefix in 0u8..=32,
        valid in 0u64..1_000_000,
    ) {
        let address = IpNet::new(octets.into(), prefix).unwrap();
        let new = NewAddress {
            interface: index,
            address,
            valid: Duration::from_secs(valid),
            preferred: Duration::ZERO,
            prefix_route: false,
        };
        // What the kernel tells of an address looks like the request for it.
        let read = bodies(&new_address(1, &new, Renewal::Refused));
        let expected = Address {
            interface: index,
            address,
            secondary: false,
            tentative: false,
            valid: Some(new.valid),
            preferred: Some(Duration::ZERO),
            marked: true,
        };
        prop_assert_eq!(read, vec![Body::Change(Change::AddressAdded(expected))]);
    }
}
