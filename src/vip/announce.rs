//! *pure* Frames that tell the neighbours where an address is: gratuitous ARP (RFC 5227, section 3)
//! and unsolicited neighbour advertisements (RFC 4861, section 7.2.6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pnet_base::MacAddr;
use pnet_packet::Packet;
use pnet_packet::arp::{ArpHardwareTypes, ArpOperation, ArpOperations, MutableArpPacket};
use pnet_packet::ethernet::{EtherType, EtherTypes, MutableEthernetPacket};
use pnet_packet::icmpv6::ndp::{MutableNeighborAdvertPacket, NdpOption, NdpOptionTypes};
use pnet_packet::icmpv6::{Icmpv6Code, Icmpv6Packet, Icmpv6Types, checksum};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv6::MutableIpv6Packet;

const ETHERNET: usize = 14;
const ARP: usize = 28;
const IPV6: usize = 40;
/// With one option of eight bytes, the hardware address.
const ADVERTISEMENT: u16 = 32;
/// The shortest frame that Ethernet has, without its checksum.
const SHORTEST: usize = 60;
/// "Override": what neighbours know of the address is outdated (RFC 4861, section 4.4).
const OVERRIDE: u8 = 0x20;
/// All nodes, ff02::1, and its multicast hardware address (RFC 2464, section 7).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_HARDWARE: MacAddr = MacAddr(0x33, 0x33, 0, 0, 0, 1);
/// What neighbour discovery sends and accepts (RFC 4861, section 7.1.2).
const HOP_LIMIT: u8 = 255;

/// The frames of one announcement of an address that lives at `hardware`. ARP in both forms: some
/// neighbours learn from requests only, some from replies only.
#[must_use]
pub fn frames(address: IpAddr, hardware: [u8; 6]) -> Vec<Vec<u8>> {
    let hardware = MacAddr::from(hardware);
    match address {
        IpAddr::V4(address) => [ArpOperations::Request, ArpOperations::Reply]
            .into_iter()
            .filter_map(|operation| arp(address, hardware, operation))
            .collect(),
        IpAddr::V6(address) => advertisement(address, hardware).into_iter().collect(),
    }
}

fn arp(address: Ipv4Addr, hardware: MacAddr, operation: ArpOperation) -> Option<Vec<u8>> {
    let mut frame = vec![0; SHORTEST];
    ethernet(&mut frame, hardware, MacAddr::broadcast(), EtherTypes::Arp)?;
    let mut arp = MutableArpPacket::new(&mut frame[ETHERNET..ETHERNET + ARP])?;
    arp.set_hardware_type(ArpHardwareTypes::Ethernet);
    arp.set_protocol_type(EtherTypes::Ipv4);
    arp.set_hw_addr_len(6);
    arp.set_proto_addr_len(4);
    arp.set_operation(operation);
    arp.set_sender_hw_addr(hardware);
    arp.set_sender_proto_addr(address);
    // A request leaves open what it asks for; a reply tells everybody.
    arp.set_target_hw_addr(match operation == ArpOperations::Reply {
        true => MacAddr::broadcast(),
        false => MacAddr::zero(),
    });
    arp.set_target_proto_addr(address);
    Some(frame)
}

fn advertisement(address: Ipv6Addr, hardware: MacAddr) -> Option<Vec<u8>> {
    let mut frame = vec![0; ETHERNET + IPV6 + usize::from(ADVERTISEMENT)];
    ethernet(&mut frame, hardware, ALL_NODES_HARDWARE, EtherTypes::Ipv6)?;
    let mut ip = MutableIpv6Packet::new(&mut frame[ETHERNET..])?;
    ip.set_version(6);
    ip.set_payload_length(ADVERTISEMENT);
    ip.set_next_header(IpNextHeaderProtocols::Icmpv6);
    ip.set_hop_limit(HOP_LIMIT);
    ip.set_source(address);
    ip.set_destination(ALL_NODES);
    let message = &mut frame[ETHERNET + IPV6..];
    let mut said = MutableNeighborAdvertPacket::new(message)?;
    said.set_icmpv6_type(Icmpv6Types::NeighborAdvert);
    said.set_icmpv6_code(Icmpv6Code(0));
    said.set_flags(OVERRIDE);
    said.set_target_addr(address);
    said.set_options(&[NdpOption {
        option_type: NdpOptionTypes::TargetLLAddr,
        length: 1,
        data: hardware.octets().to_vec(),
    }]);
    let sum = checksum(&Icmpv6Packet::new(said.packet())?, &address, &ALL_NODES);
    said.set_checksum(sum);
    Some(frame)
}

fn ethernet(frame: &mut [u8], from: MacAddr, to: MacAddr, kind: EtherType) -> Option<()> {
    let mut ethernet = MutableEthernetPacket::new(frame)?;
    ethernet.set_source(from);
    ethernet.set_destination(to);
    ethernet.set_ethertype(kind);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARDWARE: [u8; 6] = [2, 0x42, 10, 0, 1, 5];

    #[test]
    fn arp_in_both_forms() {
        let frames = frames("10.0.1.5".parse().unwrap(), HARDWARE);
        let expected = |operation: u8, target: [u8; 6]| {
            let mut frame = vec![0xff; 6];
            frame.extend(HARDWARE);
            frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
            frame.extend(HARDWARE);
            frame.extend([10, 0, 1, 5]);
            frame.extend(target);
            frame.extend([10, 0, 1, 5]);
            frame.resize(60, 0);
            frame
        };
        assert_eq!(frames, [expected(1, [0; 6]), expected(2, [0xff; 6])]);
    }

    #[test]
    fn neighbour_advertisement_byte_by_byte() {
        let frames = frames("2001:db8::5".parse().unwrap(), HARDWARE);
        let address = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5];
        let mut expected = vec![0x33, 0x33, 0, 0, 0, 1];
        expected.extend(HARDWARE);
        expected.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255]);
        expected.extend(address);
        expected.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        expected.extend([136, 0, 0, 0, 0x20, 0, 0, 0]);
        expected.extend(address);
        expected.extend([2, 1]);
        expected.extend(HARDWARE);
        // The sum over pseudo-header and message (RFC 4443, section 2.3), added up here by hand.
        let words = |bytes: &[u8]| -> u32 {
            let pairs = bytes.chunks(2);
            pairs
                .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
                .sum()
        };
        let sum = words(&expected[22..54]) + 32 + 58 + words(&expected[54..]);
        let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
        expected[56..58].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(frames, [expected]);
    }
}
