//! The sockets: one per interface and family of addresses that some member needs.

use std::net::IpAddr;

use super::unit::Unit;
use crate::vrrp::receive::Receiver;
use crate::vrrp::socket::VrrpSocket;

/// One socket: an interface and a family of addresses.
pub(super) struct Port {
    pub(super) interface: String,
    pub(super) v6: bool,
    /// Index of the interface that the socket is bound to.
    pub(super) index: u32,
    pub(super) socket: Option<VrrpSocket>,
    /// By receiver: the unit and the member.
    pub(super) members: Vec<(usize, usize)>,
    pub(super) receivers: Vec<Receiver>,
}

/// The ports that the units need. They keep the sockets of the `old` ones; other sockets are
/// closed.
pub(super) fn ports(units: &[Unit], mut old: Vec<Port>) -> Vec<Port> {
    let mut ports: Vec<Port> = Vec::new();
    for (unit, one) in units.iter().enumerate() {
        for (member, (config, receiver)) in one.receivers().enumerate() {
            let v6 = receiver.addresses.iter().any(IpAddr::is_ipv6);
            let same = |port: &Port| port.interface == config.interface && port.v6 == v6;
            let at = ports.iter().position(same).unwrap_or_else(|| {
                let known = old.iter().position(same);
                let (index, socket) = known.map_or((0, None), |known| {
                    let known = old.swap_remove(known);
                    (known.index, known.socket)
                });
                ports.push(Port {
                    interface: config.interface.clone(),
                    v6,
                    index,
                    socket,
                    members: Vec::new(),
                    receivers: Vec::new(),
                });
                ports.len() - 1
            });
            ports[at].members.push((unit, member));
            ports[at].receivers.push(receiver);
        }
    }
    ports
}
