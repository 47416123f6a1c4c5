//! Finding the connections of a server, the longest silent first, and ending one of them.
//!
//! A server is more than its name: a reload that changes its address puts another one in its place,
//! and what the one before has stays until it ends.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::proxy::account::{Cause, During};
use crate::proxy::inquiry::{self, Answer, Inbox, Question};
use crate::proxy::sight::{Id, Sight};

/// For so long a list of connections is believed: meanwhile some have become busy, and others
/// silent.
const FRESH: Duration = Duration::from_secs(2);

/// A list that named nobody is not made again sooner.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection that was told to end is waited for so long. It takes its worker microseconds; one
/// that hangs is ended by the watchdog, and until then nothing more should be asked of it: all of
/// it would be done at the same moment.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks whether a connection has ended.
const LOOK: Duration = Duration::from_millis(1);

/// Ends connections of one pool one by one.
pub(super) struct Closer {
    /// By worker.
    inboxes: Arc<[Inbox]>,
    pool: String,
    /// What the accounts of the connections say.
    cause: Cause,
    /// By server: its connections, the longest silent last.
    lists: HashMap<Own, Vec<Id>>,
    listed: Option<Instant>,
}

/// The name of a server as its own: that of another server differs, even if it reads the same.
struct Own(Arc<str>);

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Own {}

impl Hash for Own {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).cast::<()>().hash(state);
    }
}

impl Closer {
    pub(super) fn new(inboxes: &Arc<[Inbox]>, pool: &str, cause: Cause) -> Self {
        Self {
            inboxes: Arc::clone(inboxes),
            pool: pool.to_owned(),
            cause,
            lists: HashMap::new(),
            listed: None,
        }
    }

    /// The connection that has been silent for longest of the server that has this name as its own.
    /// One that is only being made is not among them: it may still go elsewhere.
    pub(super) async fn idlest(&mut self, server: &Arc<str>) -> Option<Id> {
        let server = Own(Arc::clone(server));
        let age = self.listed.map(|listed| listed.elapsed());
        let empty = self.lists.get(&server).is_none_or(Vec::is_empty);
        let old_enough = if empty { PAUSE } else { FRESH };
        if age.is_none_or(|age| age >= old_enough) {
            self.list().await;
        }
        self.lists.get_mut(&server)?.pop()
    }

    /// Asks all workers for all connections.
    async fn list(&mut self) {
        let mut sights = Vec::new();
        for worker in 0..self.inboxes.len() {
            let mut from = Some(0);
            while let Some(place) = from {
                let Some(page) = self.ask(worker, Question::Page(place)).await else {
                    break;
                };
                let found = page.sights.iter();
                sights.extend(
                    found
                        .filter(|sight| *sight.pool == *self.pool)
                        .filter_map(silent),
                );
                from = page.next;
            }
        }
        self.lists = by_server(sights);
        self.listed = Some(Instant::now());
    }

    /// Ends a connection and waits until it has ended; `false` if it had ended before, or does not.
    pub(super) async fn end(&self, id: Id) -> bool {
        let told = self.ask(id.worker(), Question::End(id, self.cause)).await;
        if told.is_none_or(|answer| answer.sights.is_empty()) {
            return false;
        }
        let told = Instant::now();
        while told.elapsed() < PATIENCE {
            let answer = self.ask(id.worker(), Question::One(id)).await;
            match answer {
                Some(answer) if answer.sights.is_empty() => return true,
                Some(_) => tokio::time::sleep(LOOK).await,
                // It has been waited for already.
                None => {}
            }
        }
        false
    }

    async fn ask(&self, worker: usize, question: Question) -> Option<Answer> {
        inquiry::ask(&self.inboxes, worker, question).await
    }
}

/// A connection with its server, for how long it has been silent, and its age.
type Silent = (Own, Duration, Duration, Id);

/// A connection that is relayed to a server.
fn silent(sight: &Sight) -> Option<Silent> {
    let server = match sight.during {
        During::Relaying | During::Draining => sight.server.as_ref()?,
        During::Admitting | During::Choosing | During::Connecting => return None,
    };
    let own = Own(Arc::clone(server));
    Some((own, sight.silence, sight.age, sight.id))
}

/// The connections of each server, the longest silent last; of those that are equally silent, the
/// oldest.
fn by_server(mut list: Vec<Silent>) -> HashMap<Own, Vec<Id>> {
    list.sort_unstable_by_key(|(_, silence, age, id)| (*silence, *age, Reverse(id.0)));
    let mut lists: HashMap<_, Vec<Id>> = HashMap::new();
    for (server, _, _, id) in list {
        lists.entry(server).or_default().push(id);
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silent_is_taken_first() {
        let seconds = Duration::from_secs;
        let name: Arc<str> = "s1".into();
        let own = || Own(Arc::clone(&name));
        let entry = |silence, age, id| (own(), seconds(silence), seconds(age), Id(id));
        let lists = by_server(vec![
            entry(5, 90, 1),
            entry(0, 99, 2),
            entry(70, 80, 3),
            entry(5, 95, 4),
        ]);
        assert_eq!(lists[&own()], [2, 1, 4, 3].map(Id));
    }

    #[test]
    fn a_server_in_the_place_of_another_has_its_own_connections() {
        let names: [Arc<str>; 2] = ["s1".into(), "s1".into()];
        let own = |at: usize| Own(Arc::clone(&names[at]));
        let entry = |at, id| (own(at), Duration::ZERO, Duration::ZERO, Id(id));
        let lists = by_server(vec![entry(0, 1), entry(1, 2), entry(0, 3)]);
        assert_eq!(lists[&own(0)], [3, 1].map(Id));
        assert_eq!(lists[&own(1)], [Id(2)]);
    }
}
