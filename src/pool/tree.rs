//! Two flat trees over the servers of a pool: the smallest of their keys, and the sum of their
//! shares. Sixteen children to a node, so that 10,000 servers are four levels of a few cache lines.

/// Children of a node.
const FAN: usize = 16;

/// The place of a server in an order; smaller is chosen first. Keys of different servers differ.
pub(super) type Key = u128;

/// The key of a server that cannot be chosen.
const ABSENT: Key = Key::MAX;

/// Lengths of the levels of a tree over `leaves` leaves, from the leaves to the one root. All but
/// the root are padded to whole nodes.
fn level_lengths(leaves: usize) -> Vec<usize> {
    let mut lengths = vec![leaves.max(1).next_multiple_of(FAN)];
    while let Some(&last) = lengths.last()
        && last > FAN
    {
        lengths.push((last / FAN).next_multiple_of(FAN));
    }
    lengths.push(1);
    lengths
}

/// Which server has the smallest key.
pub(super) struct MinTree {
    levels: Vec<MinLevel>,
}

/// Entry `i` speaks for entries `i * FAN ..` of the level below.
struct MinLevel {
    keys: Vec<Key>,
    /// The leaf that the key belongs to; empty in the level of the leaves.
    leaves: Vec<usize>,
}

impl MinTree {
    pub(super) fn new(leaves: usize) -> Self {
        let levels = level_lengths(leaves)
            .into_iter()
            .enumerate()
            .map(|(level, length)| MinLevel {
                keys: vec![ABSENT; length],
                leaves: vec![0; if level == 0 { 0 } else { length }],
            })
            .collect();
        Self { levels }
    }

    /// Gives `leaf` a key, or takes it out.
    pub(super) fn set(&mut self, leaf: usize, key: Option<Key>) {
        let mut new = key.unwrap_or(ABSENT);
        let mut old = std::mem::replace(&mut self.levels[0].keys[leaf], new);
        let mut winner = leaf;
        let mut at = leaf;
        for level in 1..self.levels.len() {
            if new == old {
                return;
            }
            let node = at / FAN;
            let before = self.levels[level].keys[node];
            if new > before {
                if old != before {
                    return;
                }
                (new, winner) = self.levels[level - 1].smallest_of(node);
            }
            self.levels[level].keys[node] = new;
            self.levels[level].leaves[node] = winner;
            old = before;
            at = node;
        }
    }

    /// The leaf with the smallest key.
    pub(super) fn min(&self) -> Option<usize> {
        let root = &self.levels[self.levels.len() - 1];
        (root.keys[0] != ABSENT).then_some(root.leaves[0])
    }
}

impl MinLevel {
    fn smallest_of(&self, node: usize) -> (Key, usize) {
        let start = node * FAN;
        let mut best = start;
        for at in start + 1..start + FAN {
            if self.keys[at] < self.keys[best] {
                best = at;
            }
        }
        (
            self.keys[best],
            self.leaves.get(best).copied().unwrap_or(best),
        )
    }
}

/// Draws a server by its share.
pub(super) struct SumTree {
    levels: Vec<Vec<u64>>,
}

/// Where a number fell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Drawn {
    pub(super) leaf: usize,
    /// The sum of all shares before this leaf's.
    pub(super) start: u64,
}

impl SumTree {
    pub(super) fn new(leaves: usize) -> Self {
        let levels = level_lengths(leaves)
            .into_iter()
            .map(|length| vec![0; length])
            .collect();
        Self { levels }
    }

    pub(super) fn set(&mut self, leaf: usize, share: u32) {
        let old = self.levels[0][leaf];
        let new = u64::from(share);
        if old == new {
            return;
        }
        let mut at = leaf;
        for level in &mut self.levels {
            level[at] = level[at] - old + new;
            at /= FAN;
        }
    }

    pub(super) fn share(&self, leaf: usize) -> u64 {
        self.levels[0][leaf]
    }

    /// The sum of all shares.
    pub(super) fn total(&self) -> u64 {
        self.levels[self.levels.len() - 1][0]
    }

    /// The leaf that `point` falls on when the shares are laid end to end.
    ///
    /// # Panics
    ///
    /// When `point` is not below [`SumTree::total`].
    pub(super) fn at(&self, point: u64) -> Drawn {
        assert!(point < self.total(), "a point beyond all shares");
        let mut rest = point;
        let mut node = 0;
        for level in self.levels.iter().rev().skip(1) {
            node *= FAN;
            while rest >= level[node] {
                rest -= level[node];
                node += 1;
            }
        }
        Drawn {
            leaf: node,
            start: point - rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_trees_agree_with_a_scan(
            size in 1_usize..600,
            changes in prop::collection::vec((any::<prop::sample::Index>(), 0_u32..50), 1..200),
        ) {
            let mut keys = vec![None; size];
            let mut shares = vec![0_u32; size];
            let (mut min, mut sum) = (MinTree::new(size), SumTree::new(size));
            for (turn, (index, value)) in changes.into_iter().enumerate() {
                let leaf = index.index(size);
                keys[leaf] = (value > 0).then_some(Key::from(value) << 64 | turn as Key);
                shares[leaf] = value;
                min.set(leaf, keys[leaf]);
                sum.set(leaf, value);
                let best = (0..size).filter(|&i| keys[i].is_some()).min_by_key(|&i| keys[i]);
                prop_assert_eq!(min.min(), best);
                prop_assert_eq!(sum.total(), shares.iter().map(|&s| u64::from(s)).sum::<u64>());
                let mut start = 0;
                for (leaf, &share) in shares.iter().enumerate().filter(|(_, s)| **s > 0) {
                    let drawn = Drawn { leaf, start };
                    prop_assert_eq!(sum.at(start), drawn);
                    prop_assert_eq!(sum.at(start + u64::from(share) - 1), drawn);
                    start += u64::from(share);
                }
            }
        }
    }
}
