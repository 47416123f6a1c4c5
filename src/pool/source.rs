//! `balance = "source"`: which servers does a client address prefer, and in which order?
//!
//! Every client has an endless sequence of servers, drawn from a fixed table in which each server
//! has slots by its weight. It goes to the first one that can take it. When a server goes away only
//! its own clients move, spread over the others by weight; when it returns, so do they.
//!
//! The table is filled as in Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
//! Balancer" (NSDI 2016), section 3.4: every server takes turns at claiming the next free slot of a
//! permutation that follows from its name. Two nodes with the same file agree, and a file with one
//! server more moves little more than that server's share.

use std::net::IpAddr;

use super::tree::SumTree;
use crate::config;

/// Slots per server: shares come out within one slot. Large pools have no more than this, so that
/// the table of 10,000 servers stays close to the processor (2 MiB).
const SLOTS_PER_SERVER: usize = 32;
const MIN_SLOTS: usize = 1 << 12;
const MAX_SLOTS: usize = 1 << 20;

/// Servers of its sequence that a client tries. With nine tenths of the pool away, one client in a
/// thousand finds none; it is then drawn among those that are left.
const PROBES: u64 = 64;

/// Who owns a slot; index into the pool's servers.
type Owner = u32;

const FREE: Owner = Owner::MAX;

/// The slots of one tier.
pub(super) struct Table {
    /// A power of two long; empty without a server of weight.
    slots: Vec<Owner>,
}

impl Table {
    /// A table over `members`, given as index and configuration.
    pub(super) fn new(members: &[(u32, &config::Server)]) -> Self {
        let mut claimants: Vec<Claimant> = members
            .iter()
            .filter(|(_, server)| server.weight > 0)
            .map(|&(owner, server)| Claimant::new(owner, server))
            .collect();
        let Some(heaviest) = claimants.iter().map(|claimant| claimant.weight).max() else {
            return Self { slots: Vec::new() };
        };
        for claimant in &mut claimants {
            // Everybody has a slot after the first round, however light.
            claimant.credit = heaviest - claimant.weight;
        }
        let size = (claimants.len() * SLOTS_PER_SERVER)
            .clamp(MIN_SLOTS, MAX_SLOTS)
            .max(claimants.len())
            .next_power_of_two();
        let mut slots = vec![FREE; size];
        let mut free = size;
        loop {
            for claimant in &mut claimants {
                claimant.credit += claimant.weight;
                if claimant.credit < heaviest {
                    continue;
                }
                claimant.credit -= heaviest;
                claimant.claim(&mut slots);
                free -= 1;
                if free == 0 {
                    return Self { slots };
                }
            }
        }
    }

    /// The first server of the client's sequence that has a share now. During slow start a server
    /// takes only the part of its clients that its share allows: always the same ones, and more
    /// with time.
    pub(super) fn find(
        &self,
        shares: &SumTree,
        full_share: impl Fn(usize) -> u32,
        client: IpAddr,
    ) -> Option<usize> {
        if shares.total() == 0 || self.slots.is_empty() {
            return None;
        }
        let client = hash_address(client);
        for probe in 0..PROBES {
            let hash = mix(client ^ mix(probe));
            let owner = self.slots[low_bits(hash, self.slots.len())] as usize;
            let coin = ((hash >> 32) * u64::from(full_share(owner))) >> 32;
            if coin < shares.share(owner) {
                return Some(owner);
            }
        }
        Some(shares.at(client % shares.total()).leaf)
    }
}

/// `hash` modulo `size`, a power of two.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the mask is no larger than a table of at most u32::MAX slots"
)]
fn low_bits(hash: u64, size: usize) -> usize {
    (hash & (size as u64 - 1)) as usize
}

/// A server that claims slots.
struct Claimant {
    owner: Owner,
    weight: u32,
    credit: u32,
    /// The next slot that it would like, and the (odd) step to the one after, modulo the size.
    next: u64,
    step: u64,
}

impl Claimant {
    fn new(owner: Owner, server: &config::Server) -> Self {
        // FNV-1a, then mixed: names are short and alike.
        let name = server
            .name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        Self {
            owner,
            weight: u32::from(server.weight),
            credit: 0,
            next: mix(name),
            step: mix(!name) | 1,
        }
    }

    /// Takes the next slot of its permutation that is free; there must be one.
    fn claim(&mut self, slots: &mut [Owner]) {
        loop {
            let slot = low_bits(self.next, slots.len());
            self.next = self.next.wrapping_add(self.step);
            if slots[slot] == FREE {
                slots[slot] = self.owner;
                return;
            }
        }
    }
}

/// The same for an IPv4 address and its IPv4-mapped form.
fn hash_address(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => mix(u64::from(v4.to_bits())),
        IpAddr::V6(v6) => {
            let [high, low] = [v6.to_bits() >> 64, v6.to_bits() & u128::from(u64::MAX)]
                .map(|half| u64::try_from(half).unwrap_or(u64::MAX));
            mix(mix(high) ^ low)
        }
    }
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): every input bit changes every output bit
/// with probability one half. Not keyed, because both nodes have to agree.
fn mix(input: u64) -> u64 {
    let z = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
