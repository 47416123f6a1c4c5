//! *pure* Interfaces by name, with what VRRP needs to know of them, kept up to date by changes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::netlink::message::{Address, Change, Link};

/// How long the kernel keeps an address of ours that is not renewed.
pub const LEASE: Duration = Duration::from_secs(2);

/// What a virtual router needs to send from.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// Whether it speaks IPv6.
    pub v6: bool,
    /// The address that is asked for.
    pub source: Option<IpAddr>,
    /// The first of those that it speaks to, if it does not speak to the group.
    pub peer: Option<IpAddr>,
    /// The virtual addresses of all virtual routers.
    pub virtual_addresses: &'a [IpAddr],
    /// Those of an owner: the host has them by itself.
    pub own: &'a [IpAddr],
}

impl Sender<'_> {
    fn fits(&self, known: &Address) -> bool {
        let address = known.address.addr();
        if let Some(source) = self.source {
            return address == source && !known.tentative;
        }
        let IpAddr::V6(ip) = address else {
            return !self.v6 && !known.secondary;
        };
        let local = self.peer.is_none_or(|peer| is_link_local(&peer));
        let fresh = !known.tentative && known.preferred != Some(Duration::ZERO);
        self.v6 && ip.is_unicast_link_local() == local && fresh && !known.secondary
    }
}

/// All interfaces and addresses of this host.
#[derive(Debug, Default)]
pub struct Interfaces {
    links: BTreeMap<u32, Link>,
    addresses: Vec<Address>,
}

impl Interfaces {
    /// What a dump said.
    #[must_use]
    pub fn new(links: Vec<Link>, addresses: Vec<Address>) -> Self {
        Self {
            links: links.into_iter().map(|link| (link.index, link)).collect(),
            addresses,
        }
    }

    /// Takes note of a change. [`Change::Overflow`] is the caller's to make good.
    pub fn apply(&mut self, change: &Change) {
        match change {
            // In its place: the first ordinary address stays the first when it is renewed.
            Change::AddressAdded(new) => match self.position(new) {
                Some(at) => self.addresses[at] = *new,
                None => self.addresses.push(*new),
            },
            Change::AddressRemoved(old) => {
                if let Some(at) = self.position(old) {
                    self.addresses.remove(at);
                }
            }
            Change::Link(link) => {
                self.links.insert(link.index, link.clone());
            }
            Change::LinkRemoved { index } => {
                self.links.remove(index);
                self.addresses.retain(|known| known.interface != *index);
            }
            Change::Overflow => {}
        }
    }

    fn position(&self, one: &Address) -> Option<usize> {
        let mut known = self.addresses.iter();
        known.position(|known| (known.interface, known.address) == (one.interface, one.address))
    }

    /// The interface with this name.
    #[must_use]
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }

    /// Whether the interface exists and has a carrier.
    #[must_use]
    pub fn has_carrier(&self, name: &str) -> bool {
        self.link(name).is_some_and(|link| link.carrier)
    }

    /// Whether the interface has the address, with any prefix length.
    #[must_use]
    pub fn holds(&self, interface: u32, address: IpAddr) -> bool {
        let mut of_it = self.of(interface);
        of_it.any(|known| known.address.addr() == address)
    }

    /// The address as the host has it by itself: not under a lease of ours.
    #[must_use]
    pub fn of_host(&self, interface: u32, address: IpAddr) -> Option<&Address> {
        let mut of_it = self.of(interface);
        of_it.find(|known| known.address.addr() == address && !is_lease(known))
    }

    /// Whether the host needs the address, which is one of `virtual_addresses`: no other of its
    /// kind is left on the interface without them, or it is the first of an IPv4 network, whose
    /// route and other addresses would go with it. Otherwise somebody who had it as a virtual
    /// address has left it behind, or put it beside ours.
    #[must_use]
    pub fn is_needed(&self, one: &Address, virtual_addresses: &[IpAddr]) -> bool {
        // What the host needs was there first, and is never put under a lease.
        let ours = |other: &Address| is_lease(other) && other.address.addr() == one.address.addr();
        if self.of(one.interface).any(ours) {
            return false;
        }
        let first = one.address.addr().is_ipv4() && !one.secondary && one.address.prefix_len() < 32;
        let ordinary = |other: &Address| {
            kind(other) == kind(one)
                && !is_lease(other)
                && !virtual_addresses.contains(&other.address.addr())
        };
        first || !self.of(one.interface).any(ordinary)
    }

    /// The address that a virtual router on this interface sends from.
    ///
    /// The one that is asked for, if the host has it. Otherwise of IPv4 one that is not secondary,
    /// of IPv6 a link-local one, or a wider one if the peers have wider ones; the first that shares
    /// a network with the first peer, or the first of all. Never a virtual address, unless the host
    /// owns it and there is no other.
    #[must_use]
    pub fn source(&self, interface: u32, sender: &Sender<'_>) -> Option<IpAddr> {
        let usable = || {
            self.of(interface)
                // What has a short lifetime may be a virtual address that an earlier run left.
                .filter(|known| !is_lease(known) && sender.fits(known))
        };
        let address = |known: &Address| known.address.addr();
        let ordinary =
            || usable().filter(|known| !sender.virtual_addresses.contains(&address(known)));
        let near = |known: &&Address| {
            let mut peer = sender.peer.iter();
            peer.any(|peer| known.address.contains(peer))
        };
        let is_own = |known: &&Address| sender.own.contains(&address(known));
        let found = ordinary().find(near).or_else(|| ordinary().next());
        let found = found.or_else(|| usable().find(is_own));
        found.map(address)
    }

    /// The name of an interface.
    #[must_use]
    pub fn name(&self, interface: u32) -> Option<&str> {
        self.links.get(&interface).map(|link| link.name.as_str())
    }

    /// All links are these, whatever was known.
    pub fn set_links(&mut self, links: Vec<Link>) {
        self.links = links.into_iter().map(|link| (link.index, link)).collect();
    }

    /// The addresses of all interfaces.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.addresses.iter()
    }

    /// The addresses of an interface.
    pub fn of(&self, interface: u32) -> impl Iterator<Item = &Address> {
        self.addresses
            .iter()
            .filter(move |known| known.interface == interface)
    }
}

/// Whether warren put the address there: it carries our mark, or, where the kernel knows no marks,
/// a lifetime as short as nobody else gives.
#[must_use]
pub fn is_lease(address: &Address) -> bool {
    address.marked || address.valid.is_some_and(|valid| valid <= LEASE)
}

/// What can stand in for each other: addresses of one family, and of one scope in IPv6.
fn kind(address: &Address) -> (bool, bool) {
    let ip = address.address.addr();
    (ip.is_ipv6(), is_link_local(&ip))
}

/// Whether it is an IPv6 address for one network only.
#[must_use]
pub fn is_link_local(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// An address as an operator adds it.
#[cfg(test)]
pub(crate) fn added(interface: u32, text: &str) -> Address {
    Address {
        interface,
        address: text.parse().unwrap(),
        secondary: false,
        tentative: false,
        valid: None,
        preferred: None,
        marked: false,
    }
}

#[cfg(test)]
mod tests {
    use super::added as address;
    use super::*;

    fn link(index: u32, name: &str, carrier: bool) -> Link {
        Link {
            index,
            name: name.to_owned(),
            hardware: Some([2, 0, 0, 0, 0, 1]),
            carrier,
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn links_come_change_and_go() {
        let mut known = Interfaces::default();
        assert!(!known.has_carrier("eth0"));
        known.apply(&Change::Link(link(2, "eth0", false)));
        assert!(known.link("eth0").is_some() && !known.has_carrier("eth0"));
        known.apply(&Change::Link(link(2, "eth0", true)));
        assert!(known.has_carrier("eth0"));
        known.apply(&Change::Link(link(2, "lan0", true)));
        assert!(known.link("eth0").is_none() && known.has_carrier("lan0"));
        known.apply(&Change::AddressAdded(address(2, "10.0.0.1/24")));
        known.apply(&Change::LinkRemoved { index: 2 });
        assert!(known.link("lan0").is_none());
        assert!(
            !known.holds(2, ip("10.0.0.1")),
            "its addresses went with it"
        );
    }

    #[test]
    fn the_source_is_an_ordinary_address_of_the_interface() {
        let secondary = Address {
            secondary: true,
            ..address(2, "10.0.0.9/24")
        };
        let tentative = Address {
            tentative: true,
            ..address(2, "fe80::9/64")
        };
        let left_behind = Address {
            marked: true,
            ..address(2, "10.0.0.4/32")
        };
        let addresses = vec![
            secondary,
            left_behind,
            address(3, "10.0.0.8/24"),
            address(2, "10.0.0.5/24"),
            address(2, "10.0.0.1/24"),
            address(2, "2001:db8::1/64"),
            tentative,
            address(2, "fe80::5/64"),
            address(2, "fe80::1/64"),
        ];
        let known = Interfaces::new(vec![link(2, "eth0", true)], addresses);
        let virtual_addresses = [ip("10.0.0.5"), ip("fe80::5")];
        let sender = Sender {
            v6: false,
            source: None,
            peer: None,
            virtual_addresses: &virtual_addresses,
            own: &[ip("10.0.0.5"), ip("10.0.0.4")],
        };
        let six = Sender { v6: true, ..sender };
        assert_eq!(known.source(2, &sender), Some(ip("10.0.0.1")));
        assert_eq!(known.source(2, &six), Some(ip("fe80::1")));
        assert_eq!(known.source(4, &sender), None);
        let all = ["10.0.0.1", "10.0.0.4", "10.0.0.5"].map(ip);
        let of_owner = |own: &[IpAddr]| {
            let virtual_addresses = &all;
            let sender = Sender {
                virtual_addresses,
                own,
                ..sender
            };
            known.source(2, &sender)
        };
        assert_eq!(of_owner(&[]), None);
        assert_eq!(of_owner(sender.own), Some(ip("10.0.0.5")));
        assert_eq!(of_owner(&[ip("10.0.0.4")]), None, "this one is a lease");
    }

    #[test]
    fn peers_are_spoken_to_from_their_own_network() {
        let secondary = |text| Address {
            secondary: true,
            ..address(2, text)
        };
        let deprecated = Address {
            preferred: Some(Duration::ZERO),
            ..address(2, "2001:db8::9/64")
        };
        let addresses = vec![
            address(2, "10.8.0.1/24"),
            address(2, "10.9.0.1/24"),
            secondary("10.9.0.2/24"),
            address(2, "fe80::1/64"),
            address(2, "fd00::1/64"),
            secondary("2001:db8::8/64"),
            deprecated,
            address(2, "2001:db8::1/64"),
        ];
        let known = Interfaces::new(vec![link(2, "eth0", true)], addresses);
        let source = |peer: &str, source: Option<&str>| {
            let sender = Sender {
                v6: peer.contains(':'),
                source: source.map(ip),
                peer: Some(ip(peer)),
                virtual_addresses: &[],
                own: &[],
            };
            known.source(2, &sender).map(|found| found.to_string())
        };
        for (peer, expected) in [
            ("10.9.0.7", "10.9.0.1"),
            ("10.8.0.7", "10.8.0.1"),
            ("192.0.2.7", "10.8.0.1"),
            ("2001:db8::7", "2001:db8::1"),
            ("fe80::7", "fe80::1"),
            ("2001:db8:7::7", "fd00::1"),
        ] {
            assert_eq!(source(peer, None).as_deref(), Some(expected), "{peer}");
        }
        let asked = source("10.8.0.7", Some("10.9.0.2"));
        assert_eq!(asked.as_deref(), Some("10.9.0.2"));
        assert_eq!(source("10.8.0.7", Some("10.9.0.3")), None);
    }

    #[test]
    fn what_the_host_needs_is_told_from_what_was_left_behind() {
        let left = address(2, "10.0.0.100/32");
        let leased = Address {
            valid: Some(LEASE),
            ..address(2, "10.0.0.101/24")
        };
        let by_dhcp = Address {
            valid: Some(Duration::from_secs(3_600)),
            ..address(2, "10.0.0.1/24")
        };
        let secondary = Address {
            secondary: true,
            ..address(2, "10.0.0.102/24")
        };
        let (local, global) = (address(2, "fe80::1/64"), address(2, "2001:db8::1/64"));
        let elsewhere = address(3, "2001:db8::2/64");
        let all = [left, leased, by_dhcp, secondary, local, global, elsewhere];
        let known = Interfaces::new(vec![link(2, "eth0", true)], all.to_vec());
        let needed = |one: &Address, others: &[&str]| {
            let others = others.iter().map(|text| ip(text));
            let all: Vec<IpAddr> = others.chain([one.address.addr()]).collect();
            known.is_needed(one, &all)
        };
        assert!(!needed(&left, &[]) && !needed(&secondary, &[]));
        assert!(!needed(&leased, &["10.0.0.1"]), "ours");
        assert!(needed(&by_dhcp, &[]), "the first of its network");
        assert!(needed(&left, &["10.0.0.1", "10.0.0.102"]), "none is left");
        assert!(needed(&local, &[]) && needed(&global, &[]), "the only one");
        let beside = address(2, "10.0.0.101/16");
        assert!(!needed(&beside, &[]), "it came beside ours");
        assert_eq!(known.of_host(2, ip("10.0.0.101")), None);
        assert_eq!(known.of_host(2, ip("10.0.0.1")), Some(&by_dhcp));
    }

    #[test]
    fn a_renewed_address_is_there_once() {
        let mut known = Interfaces::default();
        for _ in 0..3 {
            known.apply(&Change::AddressAdded(address(2, "10.0.0.5/32")));
        }
        assert_eq!(known.of(2).count(), 1);
        assert!(known.holds(2, ip("10.0.0.5")));
        known.apply(&Change::AddressRemoved(address(2, "10.0.0.5/32")));
        assert!(!known.holds(2, ip("10.0.0.5")));
    }
}
