//! Questions about single connections. Only the worker that a connection lives on knows it, so it
//! is asked, and answers a page at a time: a look at all of 100,000 would hold up their bytes.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::account::Cause;
use super::connection::{Connection, Order};
use super::sight::{Id, Sight};
use super::worker::{Sockets, Worker};
use crate::stats::Scene;

/// Places in the table of connections that a worker looks at for one question.
const PAGE: usize = 256;

/// How long a worker may take to answer; one that is well needs a few microseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// What can be asked of a worker.
pub enum Question {
    /// Some of its connections, from this place on.
    Page(usize),
    /// As `Page`, with the addresses of their sockets.
    FullPage(usize),
    /// This one, with the addresses of its sockets.
    One(Id),
    /// This one, which is to be ended for this cause.
    End(Id, Cause),
    /// To serve the listeners of another configuration.
    Rearrange(Arc<Scene>, Sockets),
}

/// The answer to a [`Question`].
#[derive(Debug, Default)]
pub struct Answer {
    /// The connections that were found.
    pub sights: Vec<Sight>,
    /// Where to ask on; `None` when there are no more.
    pub next: Option<usize>,
}

/// Asks a worker; `None` when there is none of that index or it does not answer.
pub async fn ask(inboxes: &[Inbox], worker: usize, question: Question) -> Option<Answer> {
    let answer = inboxes.get(worker)?.ask(question);
    timeout(PATIENCE, answer).await.ok().flatten()
}

/// The questions to one worker.
#[derive(Default)]
pub struct Inbox {
    waiting: Mutex<VecDeque<(Question, oneshot::Sender<Answer>)>>,
    bell: Notify,
    /// There is a worker, or there will be one in a moment. One that has ended has no connections.
    open: AtomicBool,
}

impl Inbox {
    /// Asks. Without a worker there are no connections; `None` when it ends meanwhile.
    pub async fn ask(&self, question: Question) -> Option<Answer> {
        if !self.open.load(Ordering::Relaxed) {
            return Some(Answer::default());
        }
        let (reply, answer) = oneshot::channel();
        self.put(question, reply);
        self.bell.notify_one();
        answer.await.ok()
    }

    fn put(&self, question: Question, reply: oneshot::Sender<Answer>) {
        let mut waiting = self.waiting();
        // Of somebody who gave up while the worker was busy.
        waiting.retain(|(_, reply)| !reply.is_closed());
        waiting.push_back((question, reply));
    }

    /// Its worker is about to begin, and will answer.
    pub(super) fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    /// Nobody answers any more: who waits for it hears so.
    pub(super) fn close(&self) {
        self.open.store(false, Ordering::Relaxed);
        self.waiting().clear();
    }

    /// Ends when there may be a question.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }

    fn next(&self) -> Option<(Question, oneshot::Sender<Answer>)> {
        self.waiting().pop_front()
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<(Question, oneshot::Sender<Answer>)>> {
        // A panic ends the process, so nobody sees what a panic left behind.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    /// Answers one question; another one rings again.
    pub(super) fn answer_one(self: &Rc<Self>, inbox: &Inbox) {
        let Some((question, reply)) = inbox.next() else {
            return;
        };
        inbox.bell.notify_one();
        // Whoever gave up must not see it done later, when it counts for something else.
        if !(reply.is_closed() && matches!(question, Question::End(..))) {
            // Whoever asked may have gone.
            let _ = reply.send(self.answer(question));
        }
    }

    fn answer(self: &Rc<Self>, question: Question) -> Answer {
        let mut answer = Answer::default();
        match question {
            Question::Page(from) | Question::FullPage(from) => {
                let look = if matches!(question, Question::FullPage(_)) {
                    Connection::full_sight
                } else {
                    Connection::sight
                };
                let connections = self.connections.borrow();
                let places = from..connections.capacity().min(from.saturating_add(PAGE));
                answer.next = (places.end < connections.capacity()).then_some(places.end);
                let found = places.filter_map(|key| connections.get(key));
                answer.sights.extend(found.map(|one| look(one)));
            }
            Question::Rearrange(scene, sockets) => self.rearrange(&scene, sockets),
            Question::One(id) | Question::End(id, _) => {
                let connections = self.connections.borrow();
                let found = connections.get(id.key());
                let Some(found) = found.filter(|found| found.sight().id == id) else {
                    return answer;
                };
                if let Question::End(_, cause) = question {
                    answer.sights.push(found.sight());
                    found.give(Order::EndFor(cause));
                } else {
                    answer.sights.push(found.full_sight());
                }
            }
        }
        answer
    }
}
