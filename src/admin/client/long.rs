//! Answers that take a while.

use std::io;
use std::rc::Rc;
use std::time::Instant;

use tokio::io::AsyncReadExt;

use super::Client;
use crate::admin::command::Watch;

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
    /// but not for reading.
    pub(super) async fn events(&mut self, watch: Watch) -> io::Result<String> {
        let events = Rc::clone(&self.hands.events);
        let mut told = if watch.new { events.latest() } else { 0 };
        loop {
            // From here on, so that nothing is missed that happens while something is written.
            let news = events.news();
            let text = events.text(told);
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
                    () = news => continue,
                }
            }
            self.pending.clear();
            return Ok(String::new());
        }
    }
}
