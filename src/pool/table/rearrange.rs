//! Another configuration: other servers, in other places.

use std::time::{Duration, Instant};

use super::{Table, Target};
use crate::config::{self, CheckKind};
use crate::pool::choose::{Load, Tier};
use crate::pool::server::{Admin, Health, Record};

/// What comes to a place of the table.
pub(in crate::pool) struct Place<'a> {
    /// The server by the new configuration, or by the last one that had it.
    pub(in crate::pool) config: &'a config::Server,
    /// Where the server was; `None` for a new one.
    pub(in crate::pool) from: Option<usize>,
    /// The server by the configuration before; `None` when it was in none.
    pub(in crate::pool) before: Option<&'a config::Server>,
    /// Where the server was that had its name in the configuration before, and what it was there.
    pub(in crate::pool) namesake: Option<(usize, &'a config::Server)>,
}

impl Table {
    /// Takes another configuration. `places` are its servers, in its order, and then those that it
    /// has not but that have open connections. Health, counts and what an operator has set move
    /// with each server; whoever waits goes on waiting.
    pub(in crate::pool) fn rearrange(
        &mut self,
        config: &config::Pool,
        places: &[Place<'_>],
        now: Instant,
    ) {
        let checked = config.check.kind != CheckKind::None;
        let mut moved = vec![None; self.loads.len()];
        for (to, place) in places.iter().enumerate() {
            if let Some(from) = place.from {
                moved[from] = Some(to);
            }
        }
        let moved = |from: usize| moved.get(from).copied().flatten();
        self.queue.rearrange(config.max_queue, moved);
        let starting = self.starting.iter();
        let starting = starting.filter_map(|&(from, since)| Some((moved(from)?, since)));
        self.starting = starting.collect();
        let before = std::mem::replace(
            &mut self.tiers,
            [false, true].map(|backup| Tier::new(config, backup, places.len())),
        );
        for (tier, before) in self.tiers.iter_mut().zip(&before) {
            tier.go_on_from(before);
        }
        self.loads = places.iter().map(|place| self.load_of(place)).collect();
        let admins: Vec<_> = self.records.iter().map(|record| record.admin).collect();
        let mut records: Vec<_> = self.records.drain(..).map(Some).collect();
        let mut targets: Vec<_> = self.targets.drain(..).map(Some).collect();
        let newcomers = match std::mem::take(&mut self.hold) {
            true => Admin::Maint,
            false => Admin::Ready,
        };
        for place in places {
            let from = place.from.filter(|_| place.before.is_some());
            let record = from.and_then(|from| records[from].take());
            self.records.push(record.unwrap_or_else(|| {
                let mut record = Record::new(Health::Unknown, now);
                record.admin = place.namesake.map_or(newcomers, |(from, _)| admins[from]);
                record
            }));
            let known = place.from.and_then(|from| targets[from].take());
            let target = match known {
                Some(known) if from.is_some() => known,
                // The open connections of a server that comes back remember its epoch.
                Some(Target { epoch, .. }) => Target {
                    epoch,
                    ..Target::new(place.config)
                },
                None => Target::new(place.config),
            };
            self.targets.push(target);
        }
        (self.slow_start, self.on_down) = (config.slow_start, config.on_down);
        self.checked = checked;
        for server in 0..places.len() {
            self.settle(server, now);
        }
        self.serve_queue();
    }

    fn load_of(&self, place: &Place<'_>) -> Load {
        let mut load = if let Some(from) = place.from {
            let mut load = self.loads[from].clone();
            load.go_on_as(place.config, place.before);
            load
        } else {
            // Behind those that have been waiting for their turn.
            let mut load = Load::new(place.config, 0);
            load.stand_at(self.tiers[load.tier()].turns());
            load
        };
        if let (None, Some((from, before))) = (place.before, place.namesake) {
            load.is_set_as(&self.loads[from], place.config, before);
        }
        load
    }

    /// Has what is new to the next configuration begin in maintenance.
    pub(in crate::pool) fn hold_newcomers(&mut self) {
        self.hold = true;
    }

    /// Lists a server in its new place.
    fn settle(&mut self, server: usize, now: Instant) {
        let starting = self.starting.iter().find(|(other, _)| *other == server);
        let elapsed = starting.map_or(Duration::MAX, |(_, since)| {
            now.saturating_duration_since(*since)
        });
        if !self.checked && self.targets[server].address.is_some() {
            let record = &mut self.records[server];
            if record.health != Health::Up {
                record.turn(Health::Up, now);
                record.since = now;
            }
        }
        let load = &mut self.loads[server];
        let was_usable = std::mem::take(&mut load.usable);
        self.ramp(server, elapsed.min(self.slow_start));
        self.take_part(server, !was_usable);
    }

    /// The server takes no new connections any more; those that it has stay.
    pub(in crate::pool) fn retire(&mut self, server: usize, now: Instant) {
        self.set_weight(server, 0, now);
    }

    /// Open connections of a server.
    pub(in crate::pool) fn open(&self, server: usize) -> u32 {
        self.loads[server].open
    }
}
