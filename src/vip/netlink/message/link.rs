//! *pure* Requests that make a network of one's own: links, set up, with ordinary addresses.
//!
//! Sources: `linux/if_link.h` (IFLA_LINKINFO), `linux/veth.h`; ip-link(8).

use ipnet::IpNet;

use super::{
    IFF_UP, IFLA_IFNAME, NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, RTM_NEWADDR, RTM_NEWLINK, Request,
};

const NLM_F_EXCL: u16 = 0x200;

const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_PID: u16 = 19;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;

/// A link to be made. Names have at most [`LONGEST_NAME`](super::LONGEST_NAME) bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewLink<'a> {
    /// A bridge with this name.
    Bridge(&'a str),
    /// A pair of Ethernets, each the other's cable.
    Veth {
        /// The name of the end that stays here.
        name: &'a str,
        /// The name of the other end.
        peer: &'a str,
        /// The process in whose network namespace the other end appears.
        process: u32,
    },
}

/// The request to make a link.
#[must_use]
pub fn new_link(sequence: u32, new: NewLink<'_>) -> Vec<u8> {
    let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    let mut request = Request::new(RTM_NEWLINK, flags, sequence);
    request.bytes.extend_from_slice(&[0; 16]);
    request.name(match new {
        NewLink::Bridge(name) | NewLink::Veth { name, .. } => name,
    });
    request.nest(IFLA_LINKINFO, |info| match new {
        NewLink::Bridge(_) => info.attribute(IFLA_INFO_KIND, b"bridge"),
        NewLink::Veth { peer, process, .. } => {
            info.attribute(IFLA_INFO_KIND, b"veth");
            info.nest(IFLA_INFO_DATA, |data| {
                data.nest(VETH_INFO_PEER, |end| {
                    end.bytes.extend_from_slice(&[0; 16]);
                    end.name(peer);
                    end.attribute(IFLA_NET_NS_PID, &process.to_ne_bytes());
                });
            });
        }
    });
    request.finish()
}

/// The request to set a link up, as a port of the bridge with the index `bridge` if there is one.
#[must_use]
pub fn set_up(sequence: u32, index: u32, bridge: Option<u32>) -> Vec<u8> {
    let mut request = Request::new(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, sequence);
    request.bytes.extend_from_slice(&[0; 4]);
    for number in [index, IFF_UP, IFF_UP] {
        request.bytes.extend_from_slice(&number.to_ne_bytes());
    }
    if let Some(bridge) = bridge {
        request.attribute(IFLA_MASTER, &bridge.to_ne_bytes());
    }
    request.finish()
}

/// The request to give an interface an address for good. It is not marked as warren's.
#[must_use]
pub fn keep_address(sequence: u32, index: u32, address: IpNet) -> Vec<u8> {
    let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    let mut request = Request::new(RTM_NEWADDR, flags, sequence);
    request.address(index, address);
    request.finish()
}

impl Request {
    fn name(&mut self, name: &str) {
        let mut value = name.as_bytes().to_vec();
        value.push(0);
        self.attribute(IFLA_IFNAME, &value);
    }

    /// An attribute that consists of attributes.
    fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self { bytes: Vec::new() };
        fill(&mut inner);
        self.attribute(kind, &inner.bytes);
    }
}
