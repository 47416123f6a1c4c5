//! Answers that take a while.

use std::io;

use super::Client;

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
}
