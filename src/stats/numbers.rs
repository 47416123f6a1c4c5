//! *pure* The numbers that HAProxy's tools know things by: `iid` of listeners and pools, which
//! share one numbering, and `sid` of the servers of a pool.
//!
//! A name keeps its number for as long as something of that name is there. What a reload has
//! removed is there until its last connection has ended: else `show sess` would say one number of
//! two servers, and whoever reads a number in it would act on the other one. Who is new gets the
//! lowest that is free, as with HAProxy.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// HAProxy's own proxies start at 2, and 1 is its global one.
pub const FIRST_PROXY: usize = 2;

/// Servers are counted from 1; 0 stands for their pool.
pub const FIRST_SERVER: usize = 1;

/// One numbering of what has names of this kind.
#[derive(Debug)]
pub struct Numbers<Name> {
    given: HashMap<Name, usize>,
    taken: HashSet<usize>,
    /// None below it is free.
    next: usize,
}

impl<Name: Eq + Hash> Numbers<Name> {
    /// From `first` on, with those that were given before.
    pub fn new(first: usize, given: impl IntoIterator<Item = (Name, usize)>) -> Self {
        let given: HashMap<_, _> = given.into_iter().collect();
        Self {
            taken: given.values().copied().collect(),
            given,
            next: first,
        }
    }

    /// The number of a name: the one that it has, or the lowest that is free.
    pub fn of(&mut self, name: Name) -> usize {
        let Self { given, taken, next } = self;
        *given.entry(name).or_insert_with(|| {
            while !taken.insert(*next) {
                *next += 1;
            }
            *next
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_and_a_new_one_gets_the_lowest_that_is_free() {
        let mut numbers = Numbers::new(1, [("a", 1), ("c", 3), ("f", 6), ("a", 1)]);
        let names = ["x", "c", "y", "a", "x", "z", "last"];
        assert_eq!(names.map(|name| numbers.of(name)), [2, 3, 4, 1, 2, 5, 7]);
    }

    #[test]
    fn numbers_begin_where_they_are_said_to() {
        let mut numbers = Numbers::new(FIRST_PROXY, []);
        assert_eq!(["a", "b", "a"].map(|name| numbers.of(name)), [2, 3, 2]);
    }
}
