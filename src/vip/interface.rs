//! *pure* Interfaces by name, with what VRRP needs to know of them, kept up to date by changes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::netlink::message::{Address, Change, Link};

/// How long the kernel keeps an address of ours that is not renewed.
pub const LEASE: Duration = Duration::from_secs(2);

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
    /// address has left it behind.
    #[must_use]
    pub fn is_needed(&self, one: &Address, virtual_addresses: &[IpAddr]) -> bool {
        if is_lease(one) {
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

    /// The address to send from: of IPv4 the first that is not secondary, of IPv6 a link-local one;
    /// never one of `virtual_addresses`, unless the host has it by itself and it is among `own`,
    /// and then only if there is no other.
    #[must_use]
    pub fn source(
        &self,
        interface: u32,
        v6: bool,
        virtual_addresses: &[IpAddr],
        own: &[IpAddr],
    ) -> Option<IpAddr> {
        let fits = |known: &&Address| match known.address.addr() {
            IpAddr::V4(_) => !v6 && !known.secondary,
            IpAddr::V6(address) => v6 && address.is_unicast_link_local() && !known.tentative,
        };
        let usable = || self.of(interface).filter(fits);
        let address = |known: &Address| known.address.addr();
        usable()
            // What has a lifetime may be a virtual address that an earlier run left behind.
            .filter(|known| !known.marked)
            .map(address)
            .find(|address| !virtual_addresses.contains(address))
            .or_else(|| {
                let mut of_host = usable().filter(|known| !is_lease(known)).map(address);
                of_host.find(|address| own.contains(address))
            })
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
    match address.address.addr() {
        IpAddr::V4(_) => (false, false),
        IpAddr::V6(ip) => (true, ip.is_unicast_link_local()),
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
        let own = [ip("10.0.0.5"), ip("10.0.0.4")];
        let source = |v6| known.source(2, v6, &virtual_addresses, &own);
        assert_eq!(source(false), Some(ip("10.0.0.1")));
        assert_eq!(source(true), Some(ip("fe80::1")));
        assert_eq!(known.source(4, false, &[], &[]), None);
        let all = ["10.0.0.1", "10.0.0.4", "10.0.0.5"].map(ip);
        let source = |own: &[IpAddr]| known.source(2, false, &all, own);
        assert_eq!(source(&[]), None);
        assert_eq!(source(&own), Some(ip("10.0.0.5")), "of an owner");
        assert_eq!(
            source(&[ip("10.0.0.4")]),
            None,
            "this one is not the host's"
        );
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
