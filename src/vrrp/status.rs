//! *pure* What is known of a virtual router at one moment, and the arithmetic of its priority.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::dispute::OtherMaster;
use super::receive::Refusal;
use crate::config::VrrpVersion;
use crate::config::units::Centiseconds;

/// Changes of state that are remembered of each virtual router.
pub const REMEMBERED: usize = 16;

/// One virtual router, as the driver publishes it.
#[derive(Debug, Clone)]
pub struct RouterStatus {
    /// Its table key.
    pub name: String,
    /// Its interface.
    pub interface: String,
    /// VRID.
    pub router_id: u8,
    /// Version of its advertisements.
    pub version: VrrpVersion,
    /// Its own interval.
    pub interval: Centiseconds,
    /// The virtual addresses.
    pub addresses: Vec<IpNet>,
    /// The group that it moves with.
    pub group: Option<String>,
    /// `init`, `backup`, `master`, `leaving` or `stopped`.
    pub state: &'static str,
    /// Since when.
    pub since: Instant,
    /// Why.
    pub why: String,
    /// What it waits for while it cannot take part.
    pub waiting_for: Option<String>,
    /// How its priority came about.
    pub priority: Priority,
    /// The other router that was heard last.
    pub heard: Option<Heard>,
    /// Another node that is master as well and does not give way.
    pub other_master: Option<OtherMaster>,
    /// It takes the addresses from a working master of lower priority.
    pub preempt: bool,
    /// How long it leaves such a master alone.
    pub preempt_delay: Duration,
    /// An operator has given the addresses to another node, and it has not been master since.
    pub released: bool,
    /// As backup: the addresses are not claimed before.
    pub claims_from: Option<Instant>,
    /// What was counted since the start.
    pub counters: Counters,
    /// Its latest changes of state, oldest first, at most [`REMEMBERED`].
    pub past: VecDeque<Past>,
}

/// A change of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Which one it was, counted from 1.
    pub number: u64,
    /// When.
    pub at: Instant,
    /// The state before.
    pub from: &'static str,
    /// The state after.
    pub to: &'static str,
    /// Why.
    pub reason: String,
    /// The arithmetic of the priority then.
    pub priority: String,
}

/// The other router that was heard last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Its address.
    pub from: IpAddr,
    /// Its priority.
    pub priority: u8,
    /// When.
    pub at: Instant,
}

/// What is counted for a virtual router.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// Advertisements sent.
    pub sent: u64,
    /// Advertisements that could not be sent.
    pub unsent: u64,
    /// Advertisements received and believed.
    pub received: u64,
    /// Packets refused, by [`Refusal`].
    pub refused: [u64; Refusal::COUNT],
    /// Changes of state.
    pub transitions: u64,
    /// Times it became master.
    pub became_master: u64,
    /// Addresses that somebody removed and that were put back.
    pub put_back: u64,
    /// Addresses that somebody put on the interface while we did not have them, and that were
    /// removed.
    pub cleared: u64,
    /// Advertisements whose list of addresses was not quite ours.
    pub addresses_differ: u64,
}

/// A priority and what lowers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Priority {
    /// As configured.
    pub base: u8,
    /// What is subtracted, and why, in words.
    pub penalties: Vec<(u8, String)>,
}

impl Priority {
    /// What is advertised: never below 1, since 0 says that the master leaves.
    #[must_use]
    pub fn effective(&self) -> u8 {
        let penalties = self.penalties.iter().map(|(weight, _)| *weight);
        penalties.fold(self.base, u8::saturating_sub).max(1)
    }
}

impl std::fmt::Display for Priority {
    /// `150 - 50 = 100: pool rabbit has no usable server`, or only `150`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.base)?;
        if self.penalties.is_empty() {
            return Ok(());
        }
        for (weight, _) in &self.penalties {
            write!(f, " - {weight}")?;
        }
        write!(f, " = {}: ", self.effective())?;
        for (index, (_, reason)) in self.penalties.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{reason}")?;
        }
        Ok(())
    }
}

/// A virtual router that has just begun.
#[cfg(test)]
pub(crate) fn example(now: Instant) -> RouterStatus {
    RouterStatus {
        name: "amqp".to_owned(),
        interface: "eth0".to_owned(),
        router_id: 51,
        version: VrrpVersion::V3,
        interval: Centiseconds(100),
        addresses: Vec::new(),
        group: None,
        state: "init",
        since: now,
        why: String::new(),
        waiting_for: None,
        priority: Priority {
            base: 150,
            penalties: Vec::new(),
        },
        heard: None,
        other_master: None,
        preempt: true,
        preempt_delay: Duration::ZERO,
        released: false,
        claims_from: None,
        counters: Counters::default(),
        past: VecDeque::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priority(base: u8, penalties: &[(u8, &str)]) -> Priority {
        let penalties = penalties
            .iter()
            .map(|&(weight, reason)| (weight, reason.to_owned()));
        Priority {
            base,
            penalties: penalties.collect(),
        }
    }

    #[test]
    fn the_arithmetic_is_shown() {
        assert_eq!(priority(150, &[]).to_string(), "150");
        let one = priority(150, &[(50, "pool rabbit has no usable server")]);
        assert_eq!(
            one.to_string(),
            "150 - 50 = 100: pool rabbit has no usable server"
        );
        assert_eq!(one.effective(), 100);
        let two = priority(150, &[(50, "this"), (120, "that")]);
        assert_eq!(two.to_string(), "150 - 50 - 120 = 1: this, that");
        assert_eq!(two.effective(), 1);
    }
}
