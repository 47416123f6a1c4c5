//! A unit takes over what a new configuration wants of it, in its state.

use std::time::Instant;

use ipnet::IpNet;

use super::Unit;
use crate::config::VirtualRouter;
use crate::config::units::Centiseconds;
use crate::vip::interface::Interfaces;
use crate::vrrp::difference::{added, identity, overlap};
use crate::vrrp::driver::wanted::Wanted;
use crate::vrrp::router::{Actions, Change, Settings};

/// What its router has to hear of it.
pub(in crate::vrrp::driver) struct News {
    settings: Settings,
    intervals: Vec<Centiseconds>,
    claims: bool,
    speaks: bool,
    /// Addresses that are on an interface and no longer the unit's.
    pub(in crate::vrrp::driver) departing: Vec<(u32, IpNet)>,
    /// Addresses that get another prefix length: nobody has to leave them.
    pub(in crate::vrrp::driver) renumbered: Vec<(u32, IpNet)>,
}

impl Unit {
    /// Takes over all but what concerns the router, which [`Unit::follow`] tells when the addresses
    /// are known that the host has by itself.
    pub(in crate::vrrp::driver) fn adopt(&mut self, wanted: Wanted) -> News {
        let Wanted {
            name,
            settings,
            members,
        } = wanted;
        let mut news = News {
            settings,
            intervals: Vec::new(),
            claims: false,
            speaks: false,
            departing: Vec::new(),
            renumbered: Vec::new(),
        };
        self.name = name;
        self.priority.base = settings.priority;
        for (member, (config, pools)) in self.members.iter_mut().zip(members) {
            let old = std::mem::replace(&mut member.config, config);
            let new = &member.config;
            member.pools = pools;
            member.addresses = new.addresses.iter().map(IpNet::addr).collect();
            news.intervals.push(new.advert_interval);
            news.claims |= !added(&old.addresses, &new.addresses).is_empty();
            news.speaks |= old.addresses != new.addresses || old.peers != new.peers;
            let gone = member.vip.replace(new.addresses.clone());
            let (renumbered, departing): (Vec<_>, Vec<_>) = gone
                .into_iter()
                .partition(|(_, address)| member.addresses.contains(&address.addr()));
            news.renumbered.extend(renumbered);
            news.departing.extend(departing);
        }
        news
    }

    /// What follows from it for the router.
    pub(in crate::vrrp::driver) fn follow(
        &mut self,
        news: &News,
        interfaces: &Interfaces,
        now: Instant,
    ) -> Actions {
        let _ = self.weigh(interfaces);
        let change = Change {
            settings: news.settings,
            priority: self.priority.effective(),
            intervals: &news.intervals,
            claims: news.claims,
            speaks: news.speaks,
        };
        self.router.reconfigure(&change, now)
    }

    /// A virtual router that begins anew under its name goes on counting.
    pub(in crate::vrrp::driver) fn inherit(&mut self, old: &Self) {
        for member in &mut self.members {
            let mut old = old.members.iter();
            if let Some(old) = old.find(|old| old.config.name == member.config.name) {
                member.counters = old.counters.clone();
                member.past = old.past.clone();
            }
        }
    }

    /// Whether it cannot begin before the other one has ended: their virtual routers are the same
    /// to somebody, be it by name, on the network or for clients.
    pub(in crate::vrrp::driver) fn collides(&self, old: &Self) -> bool {
        let collide = |(old, new): (&VirtualRouter, &VirtualRouter)| {
            old.name == new.name
                || identity(old) == identity(new)
                || overlap(&old.addresses, &new.addresses)
        };
        let mut pairs = old
            .routers()
            .flat_map(|old| self.routers().map(move |new| (old, new)));
        pairs.any(collide)
    }

    /// Waits for another unit to end.
    pub(in crate::vrrp::driver) fn wait_for(&mut self, other: &Self) {
        self.waiting_for = Some(format!("virtual router {} to end", other.name));
    }
}
