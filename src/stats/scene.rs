//! What the configuration in force consists of, and how another one takes its place.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::Listener;
use super::numbers::{FIRST_PROXY, Numbers};
use crate::config::Config;
use crate::pool::{Pool, Server};

/// What the configuration in force consists of, all in its order. A reload replaces it as a whole.
pub struct Scene {
    /// The configuration.
    pub config: Arc<Config>,
    /// Its listeners.
    pub listeners: Vec<Arc<Listener>>,
    /// Its pools.
    pub pools: Vec<Arc<Pool>>,
    /// The servers of all pools, after each other.
    pub servers: Vec<Arc<Server>>,
    gone: Gone,
}

/// What is in the configuration no more, for as long as connections hold it.
#[derive(Default)]
struct Gone {
    listeners: Vec<Weak<Listener>>,
    pools: Vec<Weak<Pool>>,
}

/// Names of listeners are none of pools, but both are numbered together.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Name {
    Listener(Arc<str>),
    Pool(Arc<str>),
}

impl Scene {
    /// The first one: everything is new.
    pub(super) fn begin(config: Arc<Config>, workers: usize, now: Instant) -> Self {
        let nothing = Self {
            config: Arc::clone(&config),
            listeners: Vec::new(),
            pools: Vec::new(),
            servers: Vec::new(),
            gone: Gone::default(),
        };
        nothing.followed_by(config, workers, now)
    }

    /// That of another configuration: what has its name goes on, and pools take their new
    /// configuration at once. So does what this one has no more, as long as something of it is
    /// left: its connections are counted where the new ones are.
    #[must_use]
    pub fn followed_by(&self, config: Arc<Config>, workers: usize, now: Instant) -> Self {
        let mut numbers = self.numbers();
        // One that an operator has closed begins anew, and open.
        let gone = self.gone_listeners().filter(|one| !one.open.is_closed());
        let gone: Vec<_> = gone.collect();
        let known = by_name([&gone, &self.listeners], |one| &one.name);
        let listeners = config.listeners.iter().map(|listener| {
            if let Some(known) = known.get(listener.name.as_str()) {
                return Arc::clone(known);
            }
            let number = numbers.of(Name::Listener(listener.name.as_str().into()));
            Listener::new(listener, number, workers)
        });
        let listeners: Vec<_> = listeners.collect();
        let gone: Vec<_> = self.gone_pools().collect();
        let known = by_name([&gone, &self.pools], |one| &one.name);
        let pools = config.pools.iter().enumerate().map(|(id, pool)| {
            if let Some(known) = known.get(pool.name.as_str()) {
                known.reconfigure(pool, id, now);
                return Arc::clone(known);
            }
            let number = numbers.of(Name::Pool(pool.name.as_str().into()));
            Pool::new(pool.clone(), id, number, workers, now)
        });
        let pools: Vec<_> = pools.collect();
        let servers = pools.iter().flat_map(|pool| pool.setup().servers.clone());
        Self {
            gone: self.gone_after(&listeners, &pools),
            config,
            listeners,
            servers: servers.collect(),
            pools,
        }
    }

    fn gone_listeners(&self) -> impl Iterator<Item = Arc<Listener>> {
        self.gone.listeners.iter().filter_map(Weak::upgrade)
    }

    /// Pools that are not in the configuration any more and have connections.
    pub fn gone_pools(&self) -> impl Iterator<Item = Arc<Pool>> {
        self.gone.pools.iter().filter_map(Weak::upgrade)
    }

    /// What is gone once these are there.
    fn gone_after(&self, listeners: &[Arc<Listener>], pools: &[Arc<Pool>]) -> Gone {
        Gone {
            listeners: gone(&self.gone.listeners, &self.listeners, listeners),
            pools: gone(&self.gone.pools, &self.pools, pools),
        }
    }

    /// The numbers of all listeners and pools, also of those that are gone.
    fn numbers(&self) -> Numbers<Name> {
        let listeners = self.listeners.iter().cloned().chain(self.gone_listeners());
        let listeners = listeners.map(|one| (Name::Listener(Arc::clone(&one.name)), one.number));
        let pools = self.pools.iter().cloned().chain(self.gone_pools());
        let pools = pools.map(|one| (Name::Pool(Arc::clone(&one.name)), one.number));
        Numbers::new(FIRST_PROXY, listeners.chain(pools))
    }
}

/// Of those of the same name the last.
fn by_name<T>(lists: [&[Arc<T>]; 2], name: impl Fn(&T) -> &str) -> HashMap<&str, &Arc<T>> {
    let all = lists.into_iter().flatten();
    all.map(|one| (name(one), one)).collect()
}

/// What was gone before or is now, and is held by somebody.
fn gone<T>(before: &[Weak<T>], left: &[Arc<T>], present: &[Arc<T>]) -> Vec<Weak<T>> {
    let present: HashSet<_> = present.iter().map(Arc::as_ptr).collect();
    let left = left.iter().map(Arc::downgrade);
    let all = before.iter().cloned().chain(left);
    all.filter(|one| one.strong_count() > 0 && !present.contains(&one.as_ptr()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    /// A listener and a pool of each name.
    fn config_of(names: &[&str]) -> Arc<Config> {
        let mut text = String::new();
        for name in names {
            let port = name.bytes().map(u16::from).sum::<u16>();
            text.push_str(&format!(
                "listen.{name} = {{ bind = '127.0.0.1:{port}', pool = '{name}' }}\n\
                 pool.{name}.servers.s = '127.0.0.1:3'\n"
            ));
        }
        let parsed = config::parse(&text, "test", std::path::Path::new("."));
        parsed.unwrap().0.into()
    }

    type Numbered<'a> = Vec<(&'a str, usize)>;

    fn numbers(scene: &Scene) -> (Numbered<'_>, Numbered<'_>) {
        let listeners = scene.listeners.iter().map(|one| (&*one.name, one.number));
        let pools = scene.pools.iter().map(|one| (&*one.name, one.number));
        (listeners.collect(), pools.collect())
    }

    #[test]
    fn listeners_and_pools_are_numbered_together_and_keep_their_numbers() {
        let now = Instant::now();
        let first = Scene::begin(config_of(&["a", "b"]), 1, now);
        let expected = (vec![("a", 2), ("b", 3)], vec![("a", 4), ("b", 5)]);
        assert_eq!(numbers(&first), expected);
        let second = first.followed_by(config_of(&["b", "c"]), 1, now);
        let expected = (vec![("b", 3), ("c", 6)], vec![("b", 5), ("c", 7)]);
        assert_eq!(numbers(&second), expected);
        // As a connection does.
        let held = Arc::clone(&first.pools[0]);
        drop(first);
        let third = second.followed_by(config_of(&["d", "b", "c"]), 1, now);
        let expected = (
            vec![("d", 2), ("b", 3), ("c", 6)],
            vec![("d", 8), ("b", 5), ("c", 7)],
        );
        assert_eq!(numbers(&third), expected);
        let gone: Vec<_> = third.gone_pools().collect();
        assert!(Arc::ptr_eq(&gone[0], &held) && gone.len() == 1);
        // It comes back with what is left of it.
        let fourth = third.followed_by(config_of(&["b", "a"]), 1, now);
        let expected = (vec![("b", 3), ("a", 9)], vec![("b", 5), ("a", 4)]);
        assert_eq!(numbers(&fourth), expected);
        assert!(Arc::ptr_eq(&fourth.pools[1], &held));
        drop((held, gone, second, third));
        assert_eq!(fourth.gone_pools().count(), 0);
        let fifth = fourth.followed_by(config_of(&["e", "a"]), 1, now);
        let expected = (vec![("e", 2), ("a", 9)], vec![("e", 6), ("a", 4)]);
        assert_eq!(numbers(&fifth), expected);
    }
}
