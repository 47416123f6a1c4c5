//! One client of the stats socket: lines in, answers out.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Hands;
use super::command::{Mode, Reply, Wanted, answer};
use super::framing::{Words, commands};
use super::guests::Moved;
use super::reload::Wish;
use crate::config::Level;
use crate::proxy::account::Cause;
use crate::proxy::inquiry::Question;
use crate::proxy::sight::{Id, Sight};
use crate::stats::event::What;
use crate::stats::sessions::listing::{Filter, Listing};
use crate::stats::{csv, sessions};

mod long;

/// A longer line is the end of the connection, as with HAProxy.
const MAX_LINE: usize = 16 * 1024;

/// A client that sends nothing for so long, unless it asked for another time, or does not take its
/// answer, is cut off.
const IDLE: Duration = Duration::from_secs(10);

/// Bytes written at once. The time limit counts anew for each, so that a long answer to a client
/// that reads is never cut.
const CHUNK: usize = 64 * 1024;

/// Serves one client until it is done, idle, too slow, or gone; `moved` tells when it last sent or
/// took something.
pub(super) async fn serve(stream: UnixStream, hands: Rc<Hands>, moved: Moved) {
    let mut client = Client {
        level: hands.registry.config().admin.socket_level,
        interactive: false,
        idle: IDLE,
        stream,
        hands,
        moved,
        pending: Vec::new(),
        modes: Vec::new(),
    };
    if let Err(error) = client.converse().await {
        tracing::debug!(%error, "a client of the stats socket was cut off");
    }
    let stream = client.stream;
    // What is still unread would turn the close into a reset, which some clients report as an
    // error although they have their answer.
    let mut rest = [0; 4096];
    while stream.try_read(&mut rest).is_ok_and(|read| read > 0) {}
}

/// Whether the last command ends with `<<`, which is taken away: then lines follow, up to an empty
/// one, that are no commands. No command of ours wants them.
fn takes_payload(commands: &mut [Words]) -> bool {
    let Some(last) = commands.last_mut() else {
        return false;
    };
    let takes = last.last().is_some_and(|word| word == "<<");
    if takes {
        last.pop();
    }
    takes
}

/// Nothing but an end of a line.
fn is_empty(line: &[u8]) -> bool {
    matches!(line, b"" | b"\r")
}

struct Client {
    stream: UnixStream,
    hands: Rc<Hands>,
    moved: Moved,
    /// What it has sent that was not looked at yet.
    pending: Vec<u8>,
    level: Level,
    /// The modes that are on.
    modes: Vec<Mode>,
    interactive: bool,
    /// How long it may be idle.
    idle: Duration,
}

impl Client {
    async fn converse(&mut self) -> io::Result<()> {
        loop {
            let Some(line) = self.next_line().await? else {
                return Ok(());
            };
            let mut given = commands(&line);
            if takes_payload(&mut given) {
                while !self.next_line().await?.is_none_or(|line| is_empty(&line)) {}
            }
            for words in given {
                let Some(text) = self.obey(&words).await? else {
                    return Ok(());
                };
                self.write(text.as_bytes()).await?;
                let end: &[u8] = if self.interactive { b"\n> " } else { b"\n" };
                self.write(end).await?;
            }
            // One line and no more, except for lines that were already there.
            if !self.interactive && self.pending.is_empty() {
                return Ok(());
            }
        }
    }

    /// Does what a command says and returns its answer; `None` ends the connection.
    async fn obey(&mut self, words: &Words) -> io::Result<Option<String>> {
        let registry = Arc::clone(&self.hands.registry);
        let snapshot = || registry.snapshot(Instant::now());
        match answer(words, self.level, &registry.config(), &snapshot) {
            Reply::Text(text) => return Ok(Some(text)),
            Reply::Change(change, text) => {
                self.hands.perform(&change, Instant::now());
                self.log(&change);
                return Ok(Some(text));
            }
            Reply::Reload(wish) => return Ok(Some(self.reload(wish).await)),
            Reply::Stat(filter, style) => {
                let rows = csv::Pieces::new(Rc::new(snapshot()), filter, style);
                return self.pieces(rows).await.map(Some);
            }
            Reply::Status => {
                let pieces = snapshot().pieces()?;
                return self.pieces(pieces.chain(["\n".to_owned()])).await.map(Some);
            }
            Reply::Events(watch) => return self.events(watch).await.map(Some),
            Reply::EventsAfter(number) => {
                let recent = serde_json::to_string(&self.hands.events.after(number))?;
                return Ok(Some(format!("{recent}\n")));
            }
            Reply::Listing(filter) => return Ok(Some(self.list(filter).await?)),
            Reply::Sessions(wanted) => return self.sessions(wanted).await.map(Some),
            Reply::Release(names) => {
                self.log(&format_args!("vrrp release {}", names.join(" ")));
                return Ok(Some(self.hands.release(names).await));
            }
            Reply::EndSession(id) => return Ok(Some(self.end_session(id).await)),
            Reply::TogglePrompt => self.interactive = !self.interactive,
            Reply::Mode(mode, None) => {
                let on = self.modes.contains(&mode);
                let state = if on { "ON" } else { "OFF" };
                return Ok(Some(format!("{} is {state}\n", mode.name())));
            }
            Reply::Mode(mode, Some(on)) => {
                self.modes.retain(|known| *known != mode);
                self.modes.extend(on.then_some(mode));
            }
            Reply::Lower(level) => self.level = level,
            Reply::Timeout(idle) => self.idle = idle,
            Reply::Wait(wait) => return self.wait(&wait).await.map(Some),
            Reply::Quit => return Ok(None),
        }
        Ok(Some(String::new()))
    }

    async fn reload(&self, wish: Wish) -> String {
        let (changes, is_file) = (wish != Wish::Show, wish.is_about_the_file());
        let command = wish.to_string();
        let outcome = self.hands.reload(wish).await;
        if changes && (is_file || outcome.code == 0) {
            self.log(&command);
        }
        if is_file {
            outcome.answer()
        } else {
            outcome.text
        }
    }

    /// Writes connections while the workers tell them, page by page: there may be very many. The
    /// last words of the answer come back.
    async fn sessions(&mut self, wanted: Wanted) -> io::Result<String> {
        let render = |text: &mut String, sight: &Sight| match wanted {
            Wanted::Short => sessions::short(text, sight),
            Wanted::Long | Wanted::One(_) => sessions::long(text, sight),
        };
        if let Wanted::One(id) = wanted {
            let found = self.hands.ask(id.worker(), Question::One(id)).await;
            let mut text = String::new();
            match found.as_ref().and_then(|answer| answer.sights.first()) {
                Some(sight) => render(&mut text, sight),
                None => text.push_str("Session not found.\n"),
            }
            return Ok(text);
        }
        let ask = match wanted {
            Wanted::Short => Question::Page,
            Wanted::Long | Wanted::One(_) => Question::FullPage,
        };
        for worker in 0..self.hands.inboxes.len() {
            let mut from = Some(0);
            while let Some(place) = from {
                let Some(page) = self.hands.ask(worker, ask(place)).await else {
                    break;
                };
                let mut text = String::new();
                for sight in &page.sights {
                    render(&mut text, sight);
                }
                self.write(text.as_bytes()).await?;
                from = page.next;
            }
        }
        Ok(String::new())
    }

    /// The oldest of the connections that pass a filter, as JSON. No more than are told are held.
    async fn list(&self, filter: Filter) -> io::Result<String> {
        let mut listing = Listing::new(filter);
        for worker in 0..self.hands.inboxes.len() {
            let mut from = Some(0);
            while let Some(place) = from {
                let Some(page) = self.hands.ask(worker, Question::FullPage(place)).await else {
                    listing.silent_workers += 1;
                    break;
                };
                page.sights.iter().for_each(|sight| listing.take(sight));
                from = page.next;
            }
        }
        Ok(format!("{}\n", serde_json::to_string(&listing.finish())?))
    }

    async fn end_session(&self, id: Id) -> String {
        let ended = self
            .hands
            .ask(id.worker(), Question::End(id, Cause::EndedByOperator))
            .await;
        match ended.is_some_and(|answer| !answer.sights.is_empty()) {
            true => {
                self.log(&format_args!("shutdown session 0x{:x}", id.0));
                String::new()
            }
            false => "No such session (use 'show sess').\n".to_owned(),
        }
    }

    /// One line for everything that was changed, with whom the kernel says the client to be.
    /// It is an event as well.
    fn log(&self, change: &dyn Display) {
        let peer = self.stream.peer_cred();
        let (uid, gid) = peer
            .as_ref()
            .map_or((u32::MAX, u32::MAX), |peer| (peer.uid(), peer.gid()));
        let pid = peer.ok().and_then(|peer| peer.pid()).unwrap_or(0);
        tracing::info!(uid, gid, pid, command = %change, "changed over the stats socket");
        self.hands.events.note(What::Command {
            command: change.to_string(),
            uid,
        });
    }

    /// The next line without its line feed; `None` at the end of the input. An unfinished last line
    /// is not answered, as with HAProxy: half a command must not be executed.
    async fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            let news = &self.pending[searched..];
            if let Some(at) = news.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.pending.drain(..=searched + at).collect();
                line.pop();
                return Ok(Some(line));
            }
            searched = self.pending.len();
            if searched > MAX_LINE {
                return Err(io::Error::new(
                    ErrorKind::InvalidData,
                    "the line is too long",
                ));
            }
            let mut buffer = [0; 4096];
            let read = timeout(self.idle, self.stream.read(&mut buffer)).await??;
            self.moved.set(Instant::now());
            if read == 0 {
                return Ok(None);
            }
            self.pending.extend_from_slice(&buffer[..read]);
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
