//! A reload between the moment at which its configuration is in force and the one at which the
//! workers take its listeners: the first checks of its new servers.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Instant;

use tokio::sync::oneshot;

use super::{Next, Reloader, answer, describe};
use crate::admin::reload::Outcome;
use crate::exit;
use crate::proxy::worker::Sockets;
use crate::stats::Scene;

/// A reload that waits for first checks.
pub(in crate::daemon) struct Waiting {
    pub(super) next: Next,
    /// What is bound and not handed over, by worker.
    pub(super) sockets: Vec<Sockets>,
    /// Ends when they are in.
    pub(super) checked: Pin<Box<dyn Future<Output = ()>>>,
    /// Who waits for the answer.
    pub(super) reply: Option<oneshot::Sender<Outcome>>,
}

impl Waiting {
    /// The answer that its configuration came into force and nothing more, and why.
    fn give_up(self, why: &str) {
        let text = format!("{}{why}\n", describe(&self.next));
        let code = exit::FAILED;
        answer(self.reply, Outcome { code, text });
    }
}

/// The pools that send nobody anywhere now, a line each: what the file says may be right, and the
/// brokers or their names wrong.
fn without_servers(scene: &Scene) -> String {
    let empty = scene.pools.iter().filter(|pool| pool.usable() == (0, 0));
    empty
        .map(|pool| format!("pool {} has no usable server\n", pool.name))
        .collect()
}

impl Reloader {
    /// Ends when the checks are in that a reload waits for.
    pub(super) async fn checked(&self) {
        poll_fn(|context| match &mut *self.waiting.borrow_mut() {
            Some(waiting) => waiting.checked.as_mut().poll(context),
            None => Poll::Pending,
        })
        .await;
    }

    /// The workers take the new listeners, and what was removed is not used any more.
    pub(super) async fn finish(&self) {
        if self.registry.stopping.load(Ordering::Relaxed) {
            return self.cut_short();
        }
        let Some(mut waiting) = self.waiting.take() else {
            return;
        };
        let scene = self.registry.scene();
        let sockets = std::mem::take(&mut waiting.sockets);
        self.serve(&scene, sockets).await;
        let now = Instant::now();
        scene.pools.iter().for_each(|pool| pool.retire(now));
        self.election.reconfigure(&scene).await;
        if self.registry.stopping.load(Ordering::Relaxed) {
            // They take nobody in.
            self.waiting.replace(Some(waiting));
            return self.cut_short();
        }
        let changes = waiting.next.plan.changes.len();
        tracing::info!(changes, "the configuration was reloaded");
        self.ready();
        let outcome = Outcome {
            code: exit::GOOD,
            text: describe(&waiting.next) + &without_servers(&scene),
        };
        answer(waiting.reply, outcome);
    }

    /// Another reload goes on in place of the one that waits, with what that one has bound.
    pub(super) fn overtake(&self) -> Vec<Sockets> {
        let Some(mut waiting) = self.waiting.take() else {
            return Vec::new();
        };
        tracing::warn!("a reload was overtaken by another one before its first checks were in");
        let sockets = std::mem::take(&mut waiting.sockets);
        waiting.give_up("overtaken by another reload before new servers were checked");
        sockets
    }

    /// The daemon stops: nobody is to be let in any more.
    pub(super) fn cut_short(&self) {
        let Some(waiting) = self.waiting.take() else {
            return;
        };
        tracing::error!("the reload was cut short: the daemon is stopping");
        waiting.give_up("cut short: the daemon is stopping, and opens no new listener");
    }
}
