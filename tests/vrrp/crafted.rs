//! Packets that no router of ours would send, made by scapy or by hand.

use std::time::Duration;

use crate::lab::{Lab, until};
use crate::peer::{Node, Warren};
use crate::strays::vrrp;

/// Makes advertisements and sends them from host 3.
const SENDER: &str = r#"
import os, socket, struct, sys, time, random

def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff

def message(first=0x31, router=5, priority=254, count=1, interval=10, addresses=("10.9.0.100",),
            source="10.9.0.3", wrong=0, tail=b""):
    body = b"".join(socket.inet_aton(a) for a in addresses) + tail
    head = struct.pack("!BBBBHH", first, router, priority, count, interval, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton("224.0.0.18")
    pseudo += struct.pack("!BBH", 0, 112, len(head + body))
    if first >> 4 == 2:
        pseudo = b""
    total = checksum(pseudo + head + body) ^ wrong
    return head[:6] + struct.pack("!H", total) + body

def send(payload, source="10.9.0.3", ttl=255):
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0xc0, 20 + len(payload), 0, 0, ttl, 112, 0,
                         socket.inet_aton(source), socket.inet_aton("224.0.0.18"))
    raw.sendto(header + payload, ("224.0.0.18", 0))

raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")

"#;

/// Everything that can be wrong, to a master and a backup.
const STORM: &str = r#"
from scapy.all import IP, send as scapy_send
from scapy.layers.vrrp import VRRP, VRRPv3

def crafted(ttl=255, source="10.9.0.3", layer=VRRPv3, **fields):
    said = dict(vrid=5, priority=254, adv=10, addrlist=["10.9.0.100"])
    said.update(fields)
    packet = IP(src=source, dst="224.0.0.18", ttl=ttl, proto=112) / layer(**said)
    scapy_send(packet, iface="eth0", verbose=0)

for _ in range(3):
    crafted(ttl=254)
    crafted(chksum=1)
    crafted(ipcount=7)
    crafted(version=7)
    crafted(adv=0)
    crafted(priority=255, ttl=1)
    crafted(priority=255, addrlist=["10.9.0.201"])
    crafted(priority=0)
    crafted(source="10.9.0.1", priority=255)
    crafted(layer=VRRP, adv=1)

random.seed(5)
for _ in range(3):
    for ttl in (254, 1, 0):
        send(message(), ttl=ttl)
    send(message(wrong=1))
    send(message(count=2))
    send(message(count=0))
    send(message(count=255))
    send(message(tail=b"\0" * 40))
    for version in (0, 1, 4, 15):
        send(message(first=version << 4 | 1))
    send(message(first=0x32))
    send(message(interval=0))
    send(message(router=0))
    send(message(router=77))
    send(message(first=0x21, interval=1, tail=b"\0" * 8))
    send(message(addresses=("10.9.0.201",)))
    send(message(source="10.9.0.1"), source="10.9.0.1")
    send(message(source="10.9.0.100"), source="10.9.0.100")
    for cut in range(1, 12):
        send(message()[:cut])
    for _ in range(200):
        send(os.urandom(random.randrange(0, 60)))
    # The backup never heard of this one as master: it cannot resign for it.
    for _ in range(300):
        send(message(priority=0))
    time.sleep(0.2)
"#;

/// Neither the master nor the backup is moved by any of it, and every reason is counted.
pub(crate) fn packets_that_must_not_matter() {
    let lab = Lab::new(3);
    let with = |priority| Node {
        priority,
        ..Node::default()
    };
    let mut master = Warren::node(lab.host(1), &with(150));
    let mut backup = Warren::node(lab.host(2), &with(100));
    settled_under(&lab, [&master, &backup], STORM);
    for warren in [&master, &backup] {
        refused_each(warren, REASONS);
        refused_each(warren, &["other_version"]);
    }
    // Who speaks in the name of the master itself is heard by the backup only: the master's kernel
    // takes no packet from its own address.
    assert!(
        master
            .process
            .log()
            .contains("10.9.0.3 uses router id 5 for other addresses"),
        "{}",
        master.process.log()
    );
    // A flood of resignations does not make the master flood.
    assert!(master.router("sent").as_u64() < Some(2_000));
    backup.stop();
    master.stop();
    lab.judge(1);
    lab.judge(2);
}

/// A master that leaves the pseudo-header out, for a second; then the sum over the message alone of
/// what others send must be right as well.
const OTHER_FORM: &str = r#"
def plain(priority):
    good = message(priority=priority)
    bare = good[:6] + b"\0\0" + good[8:]
    return good[:6] + struct.pack("!H", checksum(bare)) + good[8:]

for _ in range(20):
    send(plain(200))
    time.sleep(0.05)
hears = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
member = socket.inet_aton("224.0.0.18") + socket.inet_aton("10.9.0.3")
hears.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
hears.settimeout(5)
for _ in range(3):
    got = hears.recv(2000)
    assert checksum(got[20:]) == 0, got.hex()
print("right", flush=True)
"#;

/// Debian's keepalived and FRR only know the form with a pseudo-header; RFC 9568 demands the other.
pub(crate) fn the_other_form_of_checksum() {
    let lab = Lab::new(3);
    let warren = Warren::node(lab.host(1), &Node::default());
    let mut sender = lab.host(3).python(&format!("{SENDER}{OTHER_FORM}"));
    until("it is followed", Duration::from_secs(5), || {
        warren.router("heard")["priority"] == 200 && warren.router("state") == "backup"
    });
    assert_eq!(
        sender.wait(Duration::from_secs(15)),
        Some(0),
        "{}",
        sender.log()
    );
    assert!(sender.log().contains("right"), "{}", sender.log());
    assert_eq!(warren.router("refused"), serde_json::json!({}));
}

/// A master of lower priority that does not hear us, as if its network took nothing in.
const DEAF: &str = r#"
while True:
    send(message(priority=50))
    time.sleep(0.1)
"#;

pub(crate) fn a_master_that_does_not_give_way_is_named() {
    let lab = Lab::new(3);
    let warren = Warren::node(lab.host(1), &Node::default());
    let limit = Duration::from_secs(10);
    until("master", limit, || warren.router("state") == "master");
    assert_eq!(vrrp(&warren).1, Some(0));
    let sender = lab.host(3).python(&format!("{SENDER}{DEAF}"));
    until("it is told", limit, || vrrp(&warren).1 == Some(2));
    let (text, _) = vrrp(&warren);
    assert!(text.contains("10.9.0.3 does not give way"), "{text}");
    assert_eq!(warren.router("state"), "master");
    drop(sender);
    until("it is over", limit, || vrrp(&warren).1 == Some(0));
}

/// The same for IPv6, whole packets, since the kernel would choose a source and a checksum.
const STORM_V6: &str = r#"
link = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
GROUP, ALL = "ff02::12", b"\xff" * 6

def message6(first=0x31, router=5, priority=254, count=2, interval=10, source="fe80::3",
             to=GROUP, addresses=("fe80::100", "2001:db8::100"), wrong=0, tail=b""):
    body = b"".join(socket.inet_pton(socket.AF_INET6, a) for a in addresses) + tail
    head = struct.pack("!BBBBHH", first, router, priority, count, interval, 0)
    pseudo = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, to)
    pseudo += struct.pack("!IHBB", len(head + body), 0, 0, 112)
    total = checksum(pseudo + head + body) ^ wrong
    return head[:6] + struct.pack("!H", total) + body

def send6(payload, source="fe80::3", to=GROUP, hops=255):
    header = struct.pack("!IHBB", 0x6c000000, len(payload), 112, hops)
    header += socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, to)
    hardware = b"\x33\x33\0\0\0\x12" if to == GROUP else ALL
    link.sendto(header + payload, ("eth0", 0x86dd, 0, 0, hardware))

random.seed(6)
for _ in range(3):
    for hops in (254, 1, 0):
        send6(message6(), hops=hops)
    send6(message6(wrong=1))
    good = message6()
    bare = good[:6] + b"\0\0" + good[8:]
    # Right without a pseudo-header, which IPv6 does not know.
    send6(good[:6] + struct.pack("!H", checksum(bare)) + good[8:])
    for count in (0, 1, 3, 255):
        send6(message6(count=count))
    # As many bytes as two IPv4 addresses.
    send6(message6(addresses=(), tail=b"\x0a\x09\0\x64" * 2))
    send6(message6(tail=b"\0" * 8))
    # Version 2 has no IPv6.
    for first in (0x21, 0x01, 0x41, 0xf1):
        send6(message6(first=first))
    send6(message6(first=0x32))
    send6(message6(interval=0))
    send6(message6(router=0))
    send6(message6(router=77))
    send6(message6(addresses=("fe80::201", "2001:db8::201")))
    # In the name of the virtual address, and of the master.
    send6(message6(source="2001:db8::100"), source="2001:db8::100")
    send6(message6(source="fe80::1", priority=1), source="fe80::1")
    # Not to the group.
    for node in ("fe80::1", "fe80::2"):
        send6(message6(to=node), to=node)
    for cut in range(1, 40):
        send6(message6()[:cut])
    for _ in range(200):
        send6(os.urandom(random.randrange(0, 80)))
    for _ in range(300):
        send6(message6(priority=0))
    time.sleep(0.2)
"#;

pub(crate) fn ipv6_packets_that_must_not_matter() {
    let lab = Lab::new(3);
    let with = |priority| Node {
        priority,
        addresses: &["fe80::100/64", "2001:db8::100/64"],
        ..Node::default()
    };
    let mut master = Warren::node(lab.host(1), &with(150));
    let mut backup = Warren::node(lab.host(2), &with(100));
    settled_under(&lab, [&master, &backup], STORM_V6);
    for warren in [&master, &backup] {
        refused_each(warren, REASONS);
        refused_each(warren, &["own_address", "unicast"]);
    }
    assert!(master.router("sent").as_u64() < Some(2_000));
    backup.stop();
    master.stop();
    lab.judge(2);
}

/// Sends a storm from host 3 to a pair, of which none changes its state.
fn settled_under(lab: &Lab, pair: [&Warren; 2], storm: &str) {
    let [master, backup] = pair;
    let limit = Duration::from_secs(10);
    until("the pair is settled", limit, || {
        master.router("state") == "master" && backup.router("received").as_u64() > Some(3)
    });
    let before = pair.map(|warren| warren.router("transitions"));
    let mut sender = lab.host(3).python(&format!("{SENDER}{storm}"));
    let code = sender.wait(Duration::from_secs(30));
    assert_eq!(code, Some(0), "{}", sender.log());
    std::thread::sleep(Duration::from_secs(1));
    let after = pair.map(|warren| warren.router("transitions"));
    let logs = pair.map(|warren| warren.process.log()).join("\n");
    assert_eq!(before, after, "{logs}");
}

/// What both storms are refused for.
const REASONS: &[&str] = &[
    "ttl",
    "checksum",
    "no_addresses",
    "length",
    "unknown_version",
    "unknown_type",
    "interval_zero",
    "router_id_zero",
    "unknown_router_id",
    "collision",
    "too_short",
];

/// Each of three rounds had at least one.
fn refused_each(warren: &Warren, reasons: &[&str]) {
    let refused = warren.router("refused");
    for reason in reasons {
        assert!(refused[reason].as_u64() >= Some(3), "{reason}: {refused:#}");
    }
}
