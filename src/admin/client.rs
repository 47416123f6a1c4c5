//! One client of the stats socket: lines in, answers out.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::command::{Reply, answer};
use super::framing::commands;
use crate::stats::Registry;

/// A longer line is the end of the connection, as with HAProxy.
const MAX_LINE: usize = 16 * 1024;

/// A client that sends nothing, or does not take its answer, for so long is cut off.
const IDLE: Duration = Duration::from_secs(10);

/// Bytes written at once. The time limit counts anew for each, so that a long answer to a client
/// that reads is never cut.
const CHUNK: usize = 64 * 1024;

/// Serves one client until it is done, idle, too slow, or gone; `moved` tells when it last sent or
/// took something.
pub(super) async fn serve(stream: UnixStream, registry: Arc<Registry>, moved: Rc<Cell<Instant>>) {
    let mut client = Client { stream, moved };
    if let Err(error) = client.converse(&registry).await {
        tracing::debug!(%error, "a client of the stats socket was cut off");
    }
    let stream = client.stream;
    // What is still unread would turn the close into a reset, which some clients report as an
    // error although they have their answer.
    let mut rest = [0; 4096];
    while stream.try_read(&mut rest).is_ok_and(|read| read > 0) {}
}

struct Client {
    stream: UnixStream,
    moved: Rc<Cell<Instant>>,
}

impl Client {
    async fn converse(&mut self, registry: &Registry) -> io::Result<()> {
        let mut interactive = false;
        let mut pending = Vec::new();
        loop {
            let Some(line) = self.next_line(&mut pending).await? else {
                return Ok(());
            };
            for words in commands(&line) {
                let text = match answer(&words, || registry.snapshot(Instant::now())) {
                    Reply::Text(text) => text,
                    Reply::TogglePrompt => {
                        interactive = !interactive;
                        String::new()
                    }
                    Reply::Quit => return Ok(()),
                };
                self.write(text.as_bytes()).await?;
                let end: &[u8] = if interactive { b"\n> " } else { b"\n" };
                self.write(end).await?;
            }
            // One line and no more, except for lines that were already there.
            if !interactive && pending.is_empty() {
                return Ok(());
            }
        }
    }

    /// The next line without its line feed; `None` at the end of the input. An unfinished last line
    /// is not answered, as with HAProxy: half a command must not be executed.
    async fn next_line(&mut self, pending: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if let Some(at) = pending[searched..].iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = pending.drain(..=searched + at).collect();
                line.pop();
                return Ok(Some(line));
            }
            searched = pending.len();
            if searched > MAX_LINE {
                return Err(io::Error::new(
                    ErrorKind::InvalidData,
                    "the line is too long",
                ));
            }
            let mut buffer = [0; 4096];
            let read = timeout(IDLE, self.stream.read(&mut buffer)).await??;
            self.moved.set(Instant::now());
            if read == 0 {
                return Ok(None);
            }
            pending.extend_from_slice(&buffer[..read]);
        }
    }

    async fn write(&mut self, text: &[u8]) -> io::Result<()> {
        for chunk in text.chunks(CHUNK) {
            timeout(IDLE, self.stream.write_all(chunk)).await??;
            self.moved.set(Instant::now());
        }
        Ok(())
    }
}
