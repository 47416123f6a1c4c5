//! What changes a server's state: checks, the operator, its name, and the time in slow start.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Table, Target};
use crate::config::OnDown;
use crate::pool::Report;
use crate::pool::choose::SHARES_PER_WEIGHT;
use crate::pool::server::{Admin, CheckRecord, Health, StateChange};

/// A slow start begins with this part of the weight: one hundredth.
const FIRST_SHARE: u32 = 100;

impl Table {
    pub(in crate::pool) fn report(
        &mut self,
        server: usize,
        report: Report,
        now: Instant,
    ) -> Option<StateChange> {
        let reason = report.result.detail.clone();
        self.records[server].note(CheckRecord {
            result: report.result,
            at: now,
            score: report.score,
        });
        let health = report.health?;
        self.change(server, &reason, now, |table| {
            let was_up = table.records[server].health == Health::Up;
            table.set_health(server, health, now);
            if was_up && health == Health::Down && !report.leaving {
                table.revoke(server);
            }
        })
    }

    /// Takes an operator's word for the health of a server; its next check goes on from `score`.
    pub(in crate::pool) fn pronounce(
        &mut self,
        server: usize,
        health: Health,
        score: u32,
        reason: &str,
        now: Instant,
    ) -> Option<StateChange> {
        if let Some(check) = &mut self.records[server].check {
            check.score = score;
        }
        self.change(server, reason, now, |table| {
            let was_up = table.records[server].health == Health::Up;
            table.set_health(server, health, now);
            if was_up && health == Health::Down {
                table.revoke(server);
            }
        })
    }

    pub(in crate::pool) fn set_admin(
        &mut self,
        server: usize,
        admin: Admin,
        reason: &str,
        now: Instant,
    ) -> Option<StateChange> {
        self.change(server, reason, now, |table| {
            let before = std::mem::replace(&mut table.records[server].admin, admin);
            match (before, admin) {
                (Admin::Ready | Admin::Drain, Admin::Maint) => table.end_slow_start(server),
                (Admin::Maint, Admin::Ready | Admin::Drain) => table.begin_slow_start(server, now),
                (Admin::Maint, Admin::Maint) | (Admin::Ready | Admin::Drain, _) => {}
            }
        })
    }

    pub(in crate::pool) fn set_address(
        &mut self,
        server: usize,
        address: Option<SocketAddr>,
        now: Instant,
    ) -> Option<StateChange> {
        let Target {
            address: known,
            overridden,
            ..
        } = self.targets[server];
        match address {
            _ if overridden => None,
            None if known.is_some() => None,
            None => self.change(server, "its name does not resolve", now, |table| {
                table.set_health(server, Health::Down, now);
            }),
            Some(address) => self.readdress(server, address, "its name resolved", now),
        }
    }

    /// Takes an operator's word for the address of a server.
    pub(in crate::pool) fn override_address(
        &mut self,
        server: usize,
        address: SocketAddr,
        now: Instant,
    ) -> Option<StateChange> {
        self.targets[server].overridden = true;
        self.readdress(server, address, "an operator has set its address", now)
    }

    fn readdress(
        &mut self,
        server: usize,
        address: SocketAddr,
        reason: &str,
        now: Instant,
    ) -> Option<StateChange> {
        self.change(server, reason, now, |table| {
            let known = table.targets[server].address.replace(address);
            if known.is_none() && !table.checked {
                table.set_health(server, Health::Up, now);
            }
        })
    }

    /// Sets the weight; a slow start goes on with it.
    pub(in crate::pool) fn set_weight(&mut self, server: usize, weight: u16, now: Instant) {
        self.loads[server].full_share = u32::from(weight) * SHARES_PER_WEIGHT;
        self.reconsider(server, now);
    }

    /// Sets the most open connections; 0: no limit. A slow start goes on with it.
    pub(in crate::pool) fn set_limit(&mut self, server: usize, limit: u32, now: Instant) {
        self.loads[server].full_limit = if limit == 0 { u32::MAX } else { limit };
        self.reconsider(server, now);
    }

    /// Follows up a change of the full weight or limit.
    fn reconsider(&mut self, server: usize, now: Instant) {
        let starting = self.starting.iter().find(|(other, _)| *other == server);
        let elapsed = starting.map_or(self.slow_start, |(_, since)| {
            now.saturating_duration_since(*since)
        });
        self.ramp(server, elapsed);
        self.update_usable(server);
        self.serve_queue();
    }

    /// Moves slow starts on.
    pub(in crate::pool) fn tick(&mut self, now: Instant) {
        if self.starting.is_empty() {
            return;
        }
        let starting = std::mem::take(&mut self.starting);
        for (server, since) in starting {
            let elapsed = now.saturating_duration_since(since);
            self.ramp(server, elapsed);
            if elapsed < self.slow_start {
                self.starting.push((server, since));
            }
        }
        self.serve_queue();
    }

    /// Does something to a server's state and follows it up. Returns what changed, for the log.
    fn change(
        &mut self,
        server: usize,
        reason: &str,
        now: Instant,
        act: impl FnOnce(&mut Self),
    ) -> Option<StateChange> {
        let from = self.records[server].state();
        act(self);
        if self.update_usable(server) {
            self.serve_queue();
        }
        let to = self.records[server].state();
        (from != to).then(|| {
            self.records[server].since = now;
            StateChange {
                server,
                from,
                to,
                reason: reason.to_owned(),
            }
        })
    }

    /// Has the open connections of a server that went down reset, if the pool wants that.
    fn revoke(&mut self, server: usize) {
        if self.on_down == OnDown::Reset {
            let epoch = &mut self.targets[server].epoch;
            *epoch = epoch.wrapping_add(1);
        }
    }

    fn set_health(&mut self, server: usize, health: Health, now: Instant) {
        let before = self.records[server].health;
        if before == health {
            return;
        }
        self.records[server].turn(health, now);
        match (before, health) {
            (_, Health::Down) => self.end_slow_start(server),
            (Health::Down, Health::Up) => self.begin_slow_start(server, now),
            _ => {}
        }
    }

    /// Begins a slow start; one that is down begins it when it is up.
    pub(in crate::pool) fn begin_slow_start(&mut self, server: usize, now: Instant) {
        self.starting.retain(|&(other, _)| other != server);
        if self.records[server].health != Health::Down && !self.slow_start.is_zero() {
            self.starting.push((server, now));
            self.ramp(server, Duration::ZERO);
        }
    }

    fn end_slow_start(&mut self, server: usize) {
        self.starting.retain(|&(other, _)| other != server);
        self.ramp(server, self.slow_start);
    }

    /// Whether a server is usable, from all that decides it. Returns whether that changed.
    pub(super) fn update_usable(&mut self, server: usize) -> bool {
        let usable = self.is_usable(server);
        if usable == self.loads[server].usable {
            return false;
        }
        if usable {
            self.take_part(server, true);
            return true;
        }
        let load = &mut self.loads[server];
        load.usable = false;
        let tier = &mut self.tiers[load.tier()];
        tier.usable -= 1;
        tier.list(server, load);
        true
    }

    pub(in crate::pool) fn is_usable(&self, server: usize) -> bool {
        let record = &self.records[server];
        record.health == Health::Up
            && record.admin == Admin::Ready
            && self.loads[server].full_share > 0
            && self.targets[server].address.is_some()
    }

    /// A server that did not count as usable counts as such if it is. One that does not join has
    /// its turn already.
    pub(super) fn take_part(&mut self, server: usize, joins: bool) {
        if !self.is_usable(server) {
            return;
        }
        let load = &mut self.loads[server];
        load.usable = true;
        let tier = &mut self.tiers[load.tier()];
        tier.usable += 1;
        if joins {
            tier.join(load);
        }
        tier.list(server, load);
    }

    /// Sets weight and limit to what they are after `elapsed` of a slow start: linear, as in
    /// HAProxy, from a hundredth of the weight and from one connection.
    pub(super) fn ramp(&mut self, server: usize, elapsed: Duration) {
        let part = |full: u32| -> u32 {
            if elapsed >= self.slow_start {
                return full;
            }
            let part = u128::from(full) * elapsed.as_nanos() / self.slow_start.as_nanos();
            u32::try_from(part).unwrap_or(full)
        };
        let load = &mut self.loads[server];
        let full = load.full_share;
        let share = part(full).max(full.div_ceil(FIRST_SHARE));
        load.limit = match load.full_limit {
            u32::MAX => u32::MAX,
            limit => part(limit).max(1),
        };
        self.tiers[load.tier()].reshare(server, load, share);
    }
}
