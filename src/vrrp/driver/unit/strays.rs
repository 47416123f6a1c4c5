//! Virtual addresses that are where nobody of us has put them.

use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;

use super::{COMPLAIN, Unit, Virtual};
use crate::vip::interface::{Interfaces, is_link_local};
use crate::vip::netlink::{Address, Netlink};

/// What is on the interfaces, and whose it is.
pub(in crate::vrrp::driver) struct Present<'a> {
    pub(in crate::vrrp::driver) interfaces: &'a Interfaces,
    /// What somebody of us has put there.
    pub(in crate::vrrp::driver) claimed: &'a [(u32, IpNet)],
    /// The virtual addresses that the host has to do without.
    pub(in crate::vrrp::driver) borrowed: &'a [IpAddr],
}

impl Unit {
    /// Removes virtual addresses that are there though nobody of us has claimed them, also those
    /// beside ours: without a lease they would stay when we are killed.
    pub(in crate::vrrp::driver) fn clear(&mut self, netlink: &mut Netlink, present: &Present<'_>) {
        let now = Instant::now();
        for member in &mut self.members {
            let (left, strays) = member.strays(present);
            member.name_left(&left, present.interfaces, now);
            let cleared = member.vip.clear(netlink, &strays);
            let foreign = cleared.as_ref().map_or(0, Vec::len);
            member.counters.cleared += u64::try_from(foreign).unwrap_or(u64::MAX);
            let nothing = foreign == 0 && cleared.is_ok();
            if nothing || member.strays_named_at.is_some_and(|at| now < at + COMPLAIN) {
                continue;
            }
            member.strays_named_at = Some(now);
            match cleared {
                Ok(foreign) => tracing::warn!(
                    virtual_router = member.config.name,
                    addresses = places(&foreign, present.interfaces),
                    "somebody put a virtual address on an interface, and it is removed: it would \
                     stay when this node is not master"
                ),
                Err(error) => tracing::error!(virtual_router = member.config.name, %error,
                    "a virtual address that is on an interface cannot be removed"),
            }
        }
    }
}

impl Virtual {
    /// Its virtual addresses that nobody of us has claimed where they are: those that are the
    /// host's own on another interface, and those that have to go.
    ///
    /// Linux answers for an address on all interfaces, whichever has it. Only a link-local one of
    /// IPv6 is another address on each interface; and what an owner has is its own.
    pub(super) fn strays(&self, present: &Present<'_>) -> (Vec<Address>, Vec<Address>) {
        let interfaces = present.interfaces;
        let home = interfaces.link(&self.config.interface);
        let home = home.map(|link| link.index);
        let is_home = |known: &Address| Some(known.interface) == home;
        let is_stray = |known: &&Address| {
            let ip = known.address.addr();
            self.addresses.contains(&ip)
                && !present.claimed.contains(&(known.interface, known.address))
                && (is_home(known) || !self.owns() && !is_link_local(&ip))
        };
        // An address that is alone in its network leads nowhere: no host needs it on `lo`, say.
        let is_left = |known: &Address| {
            let of_network = known.address.prefix_len() < known.address.max_prefix_len();
            let needed = interfaces.is_needed(known, present.borrowed);
            !is_home(known) && of_network && needed
        };
        let strays = interfaces.addresses().filter(is_stray).copied();
        strays.partition(is_left)
    }

    /// What the host needs on another interface is not taken from it, as on our own; but the
    /// address is answered for.
    fn name_left(&mut self, left: &[Address], interfaces: &Interfaces, now: Instant) {
        let silent = self.left_named_at.is_some_and(|at| now < at + COMPLAIN);
        if left.is_empty() || silent {
            return;
        }
        self.left_named_at = Some(now);
        tracing::warn!(
            virtual_router = self.config.name,
            addresses = places(left, interfaces),
            "a virtual address is the host's own on another interface, and is left there: this \
             node answers for it also when it is not master"
        );
    }
}

/// The addresses with their interfaces, as ip-address(8) has them.
fn places(addresses: &[Address], interfaces: &Interfaces) -> String {
    let place = |known: &Address| {
        let name = interfaces.name(known.interface).unwrap_or("?");
        format!("{} dev {name}", known.address)
    };
    let places: Vec<String> = addresses.iter().map(place).collect();
    places.join(", ")
}
