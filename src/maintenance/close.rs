//! Finding the connections of a server, the longest silent first, and ending one of them.

use std::cmp::Reverse;
use std::collections::HashMap;
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
    /// By name of the server: its connections, the longest silent last.
    lists: HashMap<Arc<str>, Vec<Id>>,
    listed: Option<Instant>,
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

    /// The connection of the server of this name that has been silent for longest. One that is only
    /// being made is not among them: it may still go elsewhere.
    pub(super) async fn idlest(&mut self, server: &str) -> Option<Id> {
        let age = self.listed.map(|listed| listed.elapsed());
        let empty = self.lists.get(server).is_none_or(Vec::is_empty);
        let old_enough = if empty { PAUSE } else { FRESH };
        if age.is_none_or(|age| age >= old_enough) {
            self.list().await;
        }
        self.lists.get_mut(server)?.pop()
    }

    /// Asks all workers for all connections.
    async fn list(&mut self) {
        let mut found: HashMap<Arc<str>, Vec<(Duration, Duration, Id)>> = HashMap::new();
        for worker in 0..self.inboxes.len() {
            let mut from = Some(0);
            while let Some(place) = from {
                let Some(page) = self.ask(worker, Question::Page(place)).await else {
                    break;
                };
                for sight in page.sights.iter().filter(|sight| *sight.pool == *self.pool) {
                    if let Some(server) = relayed_to(sight) {
                        let list = found.entry(Arc::clone(server)).or_default();
                        list.push((sight.silence, sight.age, sight.id));
                    }
                }
                from = page.next;
            }
        }
        self.lists = found
            .into_iter()
            .map(|(server, list)| (server, sorted(list)))
            .collect();
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

/// The server that a connection is relayed to.
fn relayed_to(sight: &Sight) -> Option<&Arc<str>> {
    match sight.during {
        During::Relaying | During::Draining => sight.server.as_ref(),
        During::Admitting | During::Choosing | During::Connecting => None,
    }
}

/// The longest silent last; of those that are equally silent, the oldest.
fn sorted(mut list: Vec<(Duration, Duration, Id)>) -> Vec<Id> {
    list.sort_unstable_by_key(|(silence, age, id)| (*silence, *age, Reverse(id.0)));
    list.into_iter().map(|(_, _, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silent_is_taken_first() {
        let seconds = Duration::from_secs;
        let entry = |silence, age, id| (seconds(silence), seconds(age), Id(id));
        let list = sorted(vec![
            entry(5, 90, 1),
            entry(0, 99, 2),
            entry(70, 80, 3),
            entry(5, 95, 4),
        ]);
        assert_eq!(list, [2, 1, 4, 3].map(Id));
    }
}
