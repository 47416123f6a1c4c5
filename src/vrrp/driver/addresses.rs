//! Which addresses are on the interfaces, and on which of them clients are served.

use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;

use super::unit::{Present, Unit};
use super::{Driver, LOOK};
use crate::vip;
use crate::vrrp::inputs::RESET_LIMIT;

/// Addresses that were taken from units which go on without them. They are removed once their
/// clients are reset.
#[derive(Default)]
pub(super) struct Departing {
    /// With the interface, and the time at which nobody is waited for any longer.
    addresses: Vec<(u32, IpNet, Instant)>,
    look_at: Option<Instant>,
}

impl Departing {
    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    pub(super) fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().map(|(_, address, _)| address.addr())
    }

    pub(super) fn places(&self) -> impl Iterator<Item = (u32, IpNet)> {
        self.addresses.iter().map(|&(at, address, _)| (at, address))
    }

    pub(super) fn add(&mut self, places: &[(u32, IpNet)], now: Instant) {
        let limit = now + RESET_LIMIT;
        let places = places.iter().map(|&(at, address)| (at, address, limit));
        self.addresses.extend(places);
    }

    /// Those whose clients are reset, or have had their time for it.
    fn take_due(&mut self, all_reset: bool, now: Instant) -> Vec<(u32, IpNet)> {
        let is_due = |(_, _, limit): &(u32, IpNet, Instant)| all_reset || *limit <= now;
        let (due, rest) = self.addresses.drain(..).partition(is_due);
        self.addresses = rest;
        self.look_at = (!self.is_empty()).then_some(now + LOOK);
        let due: Vec<(u32, IpNet, Instant)> = due;
        due.iter().map(|&(at, address, _)| (at, address)).collect()
    }
}

impl Driver {
    pub(super) fn claim(&mut self, unit: usize) -> bool {
        let claimed = self.units[unit].claim(&mut self.netlink, &self.interfaces);
        match &claimed {
            Ok(()) => self.tell_absent(),
            Err(error) => {
                tracing::error!(virtual_router = self.units[unit].name(), %error,
                    "the virtual addresses cannot be claimed");
            }
        }
        claimed.is_ok()
    }

    /// Removes addresses of a unit where nobody has claimed them.
    pub(super) fn clear(&mut self, unit: usize) {
        let mut claimed = self.claimed(None);
        claimed.extend(self.departing.places());
        let present = Present {
            interfaces: &self.interfaces,
            claimed: &claimed,
            borrowed: &self.borrowed(),
        };
        self.units[unit].clear(&mut self.netlink, &present);
    }

    /// What is claimed, apart from what one unit has claimed.
    pub(super) fn claimed(&self, apart_from: Option<usize>) -> Vec<(u32, IpNet)> {
        let units = self.units.iter().enumerate();
        let others = units.filter(|(unit, _)| Some(*unit) != apart_from);
        let claimed = others.flat_map(|(_, unit)| unit.claimed());
        claimed.collect()
    }

    /// Whether one of the addresses that are claimed is not there. Notifications may be outdated:
    /// the kernel is asked before anything follows from them. If it could not say just now, the
    /// next renewal tells.
    pub(super) fn has_lost(&mut self, unit: usize, now: Instant) -> bool {
        let has_failed = self.read_at.is_some_and(|at| now < at);
        if has_failed || !self.units[unit].has_lost(&self.interfaces) {
            return false;
        }
        self.read_again(now) && self.units[unit].has_lost(&self.interfaces)
    }

    /// Tells the workers which virtual addresses are not ours now.
    pub(super) fn tell_absent(&mut self) {
        self.inputs.tell_absent(self.absent());
    }

    /// The virtual addresses that no unit serves clients on.
    pub(super) fn absent(&self) -> Vec<IpAddr> {
        let present = self.units.iter().filter(|unit| unit.is_present());
        let present: Vec<IpAddr> = present.flat_map(Unit::addresses).collect();
        let units = self.units.iter().chain(&self.waiting);
        let absent = units.filter(|unit| !unit.is_present());
        let absent = absent.flat_map(Unit::addresses);
        let absent = absent.chain(self.departing.addresses());
        absent.filter(|one| !present.contains(one)).collect()
    }

    /// Removes the addresses once all clients are reset, or have had their time for it.
    pub(super) fn finish_release(&mut self, unit: usize, now: Instant) {
        let Some(limit) = self.units[unit].release_at else {
            return;
        };
        let carrier = self.units[unit].waiting_for(&self.interfaces).is_none();
        if now < limit && carrier && !self.inputs.all_reset() {
            self.units[unit].look_at = Some((now + LOOK).min(limit));
            return;
        }
        (self.units[unit].release_at, self.units[unit].look_at) = (None, None);
        let others = self.claimed(Some(unit));
        if let Err(error) = self.units[unit].release(&mut self.netlink, &others) {
            tracing::error!(virtual_router = self.units[unit].name(), %error,
                "a virtual address cannot be removed: the kernel does when its lease ends");
        }
        // What somebody has put beside ours.
        self.clear(unit);
    }

    /// Addresses that are there before anybody claimed them.
    pub(super) fn clear_addresses(&mut self) {
        self.look_at_own();
        for unit in 0..self.units.len() {
            self.clear(unit);
        }
        self.tell_absent();
    }

    /// Removes addresses once all their clients are reset, or have had their time for it.
    pub(super) fn finish_departing(&mut self, now: Instant) {
        if self.departing.is_empty() {
            return;
        }
        let due = self.departing.take_due(self.inputs.all_reset(), now);
        if due.is_empty() {
            return;
        }
        let claimed = self.claimed(None);
        if let Err(error) = vip::remove(&mut self.netlink, &due, &claimed) {
            tracing::error!(%error,
                "a virtual address cannot be removed: the kernel does when its lease ends");
        }
        self.tell_absent();
    }
}
