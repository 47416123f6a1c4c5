//! Answers that take a while.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::time::sleep;

use super::Client;
use crate::admin::command::{Wait, Watch};
use crate::admin::removable::removable;

/// What is waited for is looked at again so soon at first.
const LOOK: Duration = Duration::from_millis(5);

/// And this seldom later.
const LOOK_SELDOM: Duration = Duration::from_millis(200);

impl Client {
    /// Writes an answer while it is made. Between two pieces it is the turn of whatever else this
    /// thread does, also when the client takes everything at once. The last words of the answer
    /// come back.
    pub(super) async fn pieces(
        &mut self,
        pieces: impl Iterator<Item = String>,
    ) -> io::Result<String> {
        for piece in pieces {
            self.write(piece.as_bytes()).await?;
            tokio::task::yield_now().await;
        }
        Ok(String::new())
    }

    /// Writes what has happened, and if that is wanted what happens, until the client sends
    /// something, which is then thrown away, or has no more to say. It may take its time for that,
    /// but not for reading; what is forgotten before it could be written is counted.
    pub(super) async fn events(&mut self, watch: Watch) -> io::Result<String> {
        let events = Rc::clone(&self.hands.events);
        let mut told = if watch.new { events.latest() } else { 0 };
        let mut text = events.text(told);
        loop {
            // From here on, so that nothing is missed that happens while something is written.
            let news = events.news();
            told = events.latest();
            self.write(text.as_bytes()).await?;
            if !watch.wait {
                return Ok(String::new());
            }
            let mut input = [0; 4096];
            if self.pending.is_empty() {
                tokio::select! {
                    read = self.stream.read(&mut input) => {
                        read?;
                        self.moved.set(Instant::now());
                    }
                    () = news => {
                        text = events.gap(told) + &events.text(told);
                        continue;
                    }
                }
            }
            self.pending.clear();
            return Ok(String::new());
        }
    }

    /// Waits until a time is over, or what is waited for is so, and says which of them it was;
    /// also for a client that has no more to say.
    pub(super) async fn wait(&self, wait: &Wait) -> io::Result<String> {
        let until = tokio::time::Instant::now() + wait.time;
        let mut look = LOOK;
        loop {
            let obstacle = match &wait.removable {
                None => None,
                Some((pool, server)) => {
                    match removable(&self.hands.registry.scene(), pool, server) {
                        Ok(_) => return Ok("Done.\n".to_owned()),
                        Err(obstacle) if !obstacle.passes() => {
                            return Ok(format!("Failed. {obstacle}\n"));
                        }
                        Err(obstacle) => Some(obstacle),
                    }
                }
            };
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                return Ok(match obstacle {
                    None => "Done.\n".to_owned(),
                    Some(obstacle) => format!("Wait delay expired. {obstacle}\n"),
                });
            }
            sleep(match obstacle {
                None => left,
                Some(_) => left.min(look),
            })
            .await;
            look = (look * 2).min(LOOK_SELDOM);
        }
    }
}
