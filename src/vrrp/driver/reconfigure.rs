//! Another configuration for the running thread.
//!
//! Each unit of the new configuration is one of three. It *continues* a unit that is there: that
//! one takes over what is new in the state that it is in, and notices nothing if nothing is. Or it
//! *begins*, as at the start. Or it *waits*, because units that are not wanted any more are in its
//! way until they have let go, as at the end of the process: its own predecessor, if what changed
//! cannot be changed under way.
//!
//! An address can go from one unit to another. So no address is removed that anybody has claimed on
//! that interface, nor are its clients reset while anybody serves them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::Driver;
use super::ports::ports;
use super::unit::{News, Unit};
use super::wanted::{Wanted, wanted};
use crate::config::{Config, VirtualRouter};
use crate::vip;
use crate::vrrp::difference::{Fate, Told, compare};
use crate::vrrp::inputs::Pools;
use crate::vrrp::router::Event;

impl Driver {
    /// Takes another configuration over.
    pub(super) fn reconfigure(&mut self, config: Arc<Config>, pools: &Pools, now: Instant) {
        let wanted = self.find_predecessors(wanted(&config, pools));
        for told in &compare(&self.config, &config) {
            log(told);
        }
        self.config = config;
        let continued: Vec<usize> = wanted.iter().filter_map(|(unit, _)| *unit).collect();
        for unit in 0..self.units.len() {
            if !continued.contains(&unit) && !self.units[unit].ending {
                self.units[unit].ending = true;
                self.feed(unit, Event::Stopped, now);
            }
        }
        let mut news: Vec<(usize, News)> = Vec::new();
        let waited = std::mem::take(&mut self.waiting);
        for (place, (predecessor, wanted)) in wanted.into_iter().enumerate() {
            if let Some(unit) = predecessor {
                self.units[unit].place = place;
                news.push((unit, self.units[unit].adopt(wanted)));
            } else {
                let mut unit = Unit::new(wanted, now);
                unit.place = place;
                waited.iter().for_each(|old| unit.inherit(old));
                self.waiting.push(unit);
            }
        }
        self.ports = ports(&self.units, std::mem::take(&mut self.ports));
        // Before anything is claimed: what the host has by itself is not.
        self.look_at_own();
        self.continue_with(&news, now);
        self.take_turns(now);
        self.look_at_interfaces(now);
        self.look_at_inputs(now);
        if self.absent() != *self.inputs.absent().addresses {
            self.tell_absent();
        }
        self.publish_at = None;
    }

    /// For each that is wanted the unit that it continues.
    fn find_predecessors(&self, wanted: Vec<Wanted>) -> Vec<(Option<usize>, Wanted)> {
        let find = |wanted: &Wanted| {
            let continues = |unit: &Unit| !unit.ending && wanted.continues(unit.routers());
            self.units.iter().position(continues)
        };
        let wanted = wanted.into_iter();
        wanted.map(|wanted| (find(&wanted), wanted)).collect()
    }

    /// Lets the routers that go on know what is new.
    fn continue_with(&mut self, news: &[(usize, News)], now: Instant) {
        for (unit, news) in news {
            if let Err(error) = vip::remove(&mut self.netlink, &news.renumbered, &[]) {
                tracing::error!(virtual_router = self.units[*unit].name(), %error,
                    "the prefix length of a virtual address cannot be changed");
            }
            self.departing.add(&news.departing, now);
        }
        for (unit, news) in news {
            let actions = self.units[*unit].follow(news, &self.interfaces, now);
            self.perform_all(*unit, actions, now);
        }
    }

    /// Units that have let go are forgotten, and those that waited for them begin.
    pub(super) fn take_turns(&mut self, now: Instant) {
        let has_gone = |unit: &Unit| unit.ending && unit.has_ended();
        if self.waiting.is_empty() && !self.units.iter().any(has_gone) {
            return;
        }
        let units = std::mem::take(&mut self.units);
        let (gone, stay): (Vec<Unit>, Vec<Unit>) = units.into_iter().partition(has_gone);
        self.units = stay;
        for old in &gone {
            self.waiting.iter_mut().for_each(|unit| unit.inherit(old));
        }
        let mut ready = Vec::new();
        for mut unit in std::mem::take(&mut self.waiting) {
            let in_its_way = |old: &&Unit| old.ending && unit.collides(old);
            match self.units.iter().find(in_its_way) {
                Some(old) => {
                    unit.wait_for(old);
                    self.waiting.push(unit);
                }
                None => ready.push(unit),
            }
        }
        if gone.is_empty() && ready.is_empty() {
            return;
        }
        self.units.extend(ready);
        self.ports = ports(&self.units, std::mem::take(&mut self.ports));
        self.look_at_interfaces(now);
        self.look_at_inputs(now);
        self.tell_absent();
        self.publish_at = None;
    }

    /// The units in the order of the configuration; of two with the same virtual router, the one
    /// that has not let go yet.
    pub(super) fn in_order(&self) -> Vec<&Unit> {
        let ending = self.units.iter().filter(|unit| unit.ending);
        let ending = ending.flat_map(Unit::routers);
        let ending: HashSet<&str> = ending.map(|router| router.name.as_str()).collect();
        let is_shown = |router: &VirtualRouter| ending.contains(router.name.as_str());
        let waiting = self.waiting.iter();
        let waiting = waiting.filter(|unit| !unit.routers().any(is_shown));
        let mut units: Vec<&Unit> = self.units.iter().chain(waiting).collect();
        units.sort_by_key(|unit| unit.place);
        units
    }
}

/// One line for a virtual router that is new, gone, or not what it was.
fn log(told: &Told<'_>) {
    let (virtual_router, changes) = (told.name, &told.changes);
    match told.fate {
        Fate::Added => tracing::info!(virtual_router, "virtual router added"),
        Fate::Removed => tracing::info!(virtual_router, "virtual router removed"),
        Fate::Reconfigured => {
            tracing::info!(virtual_router, changes, "virtual router reconfigured");
        }
        Fate::BeginsAnew => {
            tracing::info!(virtual_router, changes, "virtual router begins anew");
        }
    }
}
