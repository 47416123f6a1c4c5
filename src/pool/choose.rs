//! The balancing algorithms, each over an index that holds the servers that can be chosen now.
//!
//! Every operation costs a walk through the four levels or less of a [`super::tree`], whatever the
//! number of servers and whatever state they are in.
//!
//! * *leastconn*: idle servers first, then the smallest (open + 1) / weight; equals take turns.
//! * *roundrobin*: stride scheduling. A server's next turn comes one stride (the inverse of its
//!   weight) after its last; the earliest turn is next. The first is half a stride away, which
//!   spreads the heavy servers' turns between the light ones'.
//! * *random*: two different servers drawn by weight; the one with the smaller open / weight.
//! * *source*: see [`super::source`]. A client whose server is full goes to its next one.
//! * *first*: the first of the file.

use std::net::IpAddr;

use super::source;
use super::tree::{Key, MinTree, SumTree};
use crate::config::{self, Balance};

/// Parts of a unit of weight, so that slow start has steps also for a weight of 1.
pub(super) const SHARES_PER_WEIGHT: u32 = 16;

/// The load of one connection on a server of one share, and the stride of such a server: large
/// against the largest share (4,096), small enough that a turn does not overflow in a century of
/// 100,000 connections per second on a server of weight 1.
const SCALE: u64 = 1 << 20;

/// What choosing and releasing change of a server: one cache line of its own.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct Load {
    /// Open connections.
    pub(super) open: u32,
    /// Most open connections so far.
    pub(super) open_max: u32,
    /// Connections opened so far.
    pub(super) opened: u64,
    /// Most open connections allowed now; `u32::MAX`: no limit.
    pub(super) limit: u32,
    /// The limit outside of slow start.
    pub(super) full_limit: u32,
    /// Weight after slow start, times [`SHARES_PER_WEIGHT`].
    pub(super) share: u32,
    /// Weight, times [`SHARES_PER_WEIGHT`].
    pub(super) full_share: u32,
    /// What `full_share` is by the file; the table of *source* was made from it.
    pub(super) filed_share: u32,
    /// Up, ready, with weight and address.
    pub(super) usable: bool,
    tier: u8,
    /// When its turn comes, in the time of [`Tier::clock`].
    pass: u64,
    /// Its place among equals: who was chosen longest ago is first.
    turn: u64,
}

impl Load {
    /// An idle server that is not usable yet. `place` is its place in the file.
    pub(super) fn new(server: &config::Server, place: usize) -> Self {
        let share = u32::from(server.weight) * SHARES_PER_WEIGHT;
        let limit = match server.max_connections {
            0 => u32::MAX,
            limit => limit,
        };
        Self {
            open: 0,
            open_max: 0,
            opened: 0,
            limit,
            full_limit: limit,
            share,
            full_share: share,
            filed_share: share,
            usable: false,
            tier: u8::from(server.backup),
            pass: 0,
            turn: place as u64,
        }
    }

    /// The same server by another configuration. What was set at run time stays unless the file
    /// says something else than `before`.
    pub(super) fn go_on_as(&mut self, server: &config::Server, before: Option<&config::Server>) {
        let fresh = Self::new(server, 0);
        let known = self.clone();
        (self.tier, self.filed_share) = (fresh.tier, fresh.filed_share);
        (self.full_share, self.full_limit) = (fresh.full_share, fresh.full_limit);
        if let Some(before) = before {
            self.is_set_as(&known, server, before);
        }
    }

    /// What was set at run time for `other` counts, unless the file says something else than
    /// `before`.
    pub(super) fn is_set_as(
        &mut self,
        other: &Self,
        server: &config::Server,
        before: &config::Server,
    ) {
        if before.weight == server.weight {
            self.full_share = other.full_share;
        }
        if before.max_connections == server.max_connections {
            self.full_limit = other.full_limit;
        }
    }

    /// Takes its place behind those that are there, among equals.
    pub(super) fn stand_at(&mut self, turn: u64) {
        self.turn = turn;
    }

    /// Whether it can take one more connection.
    pub(super) fn has_room(&self) -> bool {
        self.usable && self.open < self.limit
    }

    /// Which tier it belongs to: 0, or 1 for a backup.
    pub(super) fn tier(&self) -> usize {
        usize::from(self.tier)
    }

    fn stride(&self) -> u64 {
        SCALE / u64::from(self.share.max(1))
    }

    fn key(&self, balance: Balance, place: usize) -> Key {
        let rank = match balance {
            Balance::Leastconn if self.open == 0 => 0,
            Balance::Leastconn => (u64::from(self.open) + 1) * SCALE / u64::from(self.share.max(1)),
            Balance::Roundrobin => self.pass,
            Balance::First | Balance::Random | Balance::Source => place as u64,
        };
        Key::from(rank) << 64 | Key::from(self.turn)
    }

    /// Whether it has fewer open connections for its share.
    fn is_less_loaded_than(&self, other: &Self) -> bool {
        u64::from(self.open) * u64::from(other.share)
            < u64::from(other.open) * u64::from(self.share)
    }
}

/// What a choice depends on beside the servers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) client: IpAddr,
    pub(super) draw: u64,
}

/// The servers, or the backup servers, of a pool.
pub(super) struct Tier {
    /// Servers that are usable, full or not.
    pub(super) usable: u32,
    balance: Balance,
    index: Index,
    /// Time of the stride scheduler: the latest turn that was taken.
    clock: u64,
    /// Number of the next choice, for [`Load::turn`].
    next_turn: u64,
}

/// The servers of a tier that have room.
enum Index {
    Ordered(MinTree),
    Drawn(SumTree),
    Hashed(SumTree, source::Table),
}

impl Tier {
    /// The tier of the servers whose `backup` flag is as given; none of them usable yet. `count` is
    /// at least the number of servers of the pool.
    pub(super) fn new(pool: &config::Pool, backup: bool, count: usize) -> Self {
        let index = match pool.balance {
            Balance::Leastconn | Balance::Roundrobin | Balance::First => {
                Index::Ordered(MinTree::new(count))
            }
            Balance::Random => Index::Drawn(SumTree::new(count)),
            Balance::Source => {
                let members: Vec<_> = (0..)
                    .zip(&pool.servers)
                    .filter(|(_, server)| server.backup == backup)
                    .collect();
                Index::Hashed(SumTree::new(count), source::Table::new(&members))
            }
        };
        Self {
            usable: 0,
            balance: pool.balance,
            index,
            clock: 0,
            next_turn: count as u64,
        }
    }

    /// The number of the next choice.
    pub(super) fn turns(&self) -> u64 {
        self.next_turn
    }

    /// Goes on where another tier of the same pool has come to.
    pub(super) fn go_on_from(&mut self, before: &Self) {
        self.clock = self.clock.max(before.clock);
        self.next_turn = self.next_turn.max(before.next_turn);
    }

    /// Puts the server where its load belongs, or takes it out if it has no room.
    pub(super) fn list(&mut self, place: usize, load: &mut Load) {
        if !load.has_room() {
            return self.unlist(place);
        }
        // Who was full or down does not catch up on the turns that it missed.
        load.pass = load.pass.max(self.clock);
        match &mut self.index {
            Index::Ordered(tree) => tree.set(place, Some(load.key(self.balance, place))),
            Index::Drawn(tree) | Index::Hashed(tree, _) => tree.set(place, load.share),
        }
    }

    /// Takes the server out.
    pub(super) fn unlist(&mut self, place: usize) {
        match &mut self.index {
            Index::Ordered(tree) => tree.set(place, None),
            Index::Drawn(tree) | Index::Hashed(tree, _) => tree.set(place, 0),
        }
    }

    /// The server to take, of those that are listed.
    pub(super) fn best(&self, loads: &[Load], wish: Wish) -> Option<usize> {
        match &self.index {
            Index::Ordered(tree) => tree.min(),
            Index::Drawn(tree) => less_loaded_of_two(tree, loads, wish.draw),
            Index::Hashed(tree, table) => {
                table.find(tree, |place| loads[place].filed_share, wish.client)
            }
        }
    }

    /// The server begins to take part: its first turn is half a stride away.
    pub(super) fn join(&mut self, load: &mut Load) {
        load.pass = self.clock + load.stride() / 2;
    }

    /// The server gets a connection and goes to the end of its equals.
    pub(super) fn open(&mut self, place: usize, load: &mut Load) {
        load.open += 1;
        load.open_max = load.open_max.max(load.open);
        load.opened += 1;
        self.clock = self.clock.max(load.pass);
        load.pass += load.stride();
        load.turn = self.next_turn;
        self.next_turn += 1;
        self.list(place, load);
    }

    /// A connection of the server ended.
    ///
    /// # Panics
    ///
    /// When it had none: a slot was given back twice, and every later choice would be wrong.
    pub(super) fn close(&mut self, place: usize, load: &mut Load) {
        assert!(load.open > 0, "a slot was given back twice");
        load.open -= 1;
        self.list(place, load);
    }

    /// Changes the server's share; the rest of its wait for a turn shrinks or grows with it.
    pub(super) fn reshare(&mut self, place: usize, load: &mut Load, share: u32) {
        let rest = load.pass.saturating_sub(self.clock);
        load.pass = self.clock + rest * u64::from(load.share) / u64::from(share.max(1));
        load.share = share;
        self.list(place, load);
    }
}

/// Power of two choices. The halves of `draw` are two independent numbers.
fn less_loaded_of_two(shares: &SumTree, loads: &[Load], draw: u64) -> Option<usize> {
    let total = shares.total();
    if total == 0 {
        return None;
    }
    let first = shares.at(((draw >> 32) * total) >> 32);
    let others = total - shares.share(first.leaf);
    if others == 0 {
        return Some(first.leaf);
    }
    // A point among the others' shares: the first one's are jumped over.
    let mut point = ((draw & u64::from(u32::MAX)) * others) >> 32;
    if point >= first.start {
        point += shares.share(first.leaf);
    }
    let second = shares.at(point);
    if loads[second.leaf].is_less_loaded_than(&loads[first.leaf]) {
        Some(second.leaf)
    } else {
        Some(first.leaf)
    }
}
