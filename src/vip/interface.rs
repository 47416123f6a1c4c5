//! *pure* Interfaces by name, with what VRRP needs to know of them, kept up to date by changes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::netlink::message::{Address, Change, Link};

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

    /// The address to send from: of IPv4 the first that is not secondary, of IPv6 a link-local one;
    /// never one of `virtual_addresses`.
    #[must_use]
    pub fn source(&self, interface: u32, v6: bool, virtual_addresses: &[IpAddr]) -> Option<IpAddr> {
        let fits = |known: &&Address| match known.address.addr() {
            IpAddr::V4(_) => !v6 && !known.secondary,
            IpAddr::V6(address) => v6 && address.is_unicast_link_local() && !known.tentative,
        };
        self.of(interface)
            .filter(fits)
            // What has a lifetime may be a virtual address that an earlier run left behind.
            .filter(|known| !known.marked)
            .map(|known| known.address.addr())
            .find(|address| !virtual_addresses.contains(address))
    }

    /// The addresses of an interface.
    pub fn of(&self, interface: u32) -> impl Iterator<Item = &Address> {
        self.addresses
            .iter()
            .filter(move |known| known.interface == interface)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(interface: u32, text: &str) -> Address {
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
        let source = |v6| known.source(2, v6, &virtual_addresses);
        assert_eq!(source(false), Some(ip("10.0.0.1")));
        assert_eq!(source(true), Some(ip("fe80::1")));
        assert_eq!(known.source(4, false, &[]), None);
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
