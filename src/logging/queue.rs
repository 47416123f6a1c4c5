//! The bounded queue between the threads that log and the thread that writes.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::time::{Duration, Instant, SystemTime};
use std::{io, thread};

use super::Sink;
use super::line::{Record, Shape};

/// Lines that may wait. When it is full new ones are dropped and counted: a log that cannot keep
/// up must cost lines, not connections.
const CAPACITY: usize = 4096;
/// How long the end of the process waits for the queue.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a flush looks for a free place in a full queue.
const FLUSH_RETRY: Duration = Duration::from_millis(5);

enum Message {
    Line(Vec<u8>),
    /// Answer once everything before it was written.
    Flush(SyncSender<()>),
}

/// The sending half; every copy feeds the same thread.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl Queue {
    /// Starts the thread `log`, which writes to `sink`. It lives as long as the process or any
    /// copy of the queue.
    pub(super) fn start(shape: Shape, sink: Sink) -> io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel(CAPACITY);
        let dropped = Arc::default();
        let writer = Writer {
            shape,
            sink,
            dropped: Arc::clone(&dropped),
            reported: 0,
        };
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.run(&receiver))?;
        Ok(Self { sender, dropped })
    }

    pub(super) fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }

    /// Queues one encoded line, or counts it as dropped. Never waits.
    pub(super) fn push(&self, line: Vec<u8>) {
        if self.sender.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything queued before was written, [`FLUSH_TIMEOUT`] at most.
    pub(super) fn flush(&self) {
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        let (done, wait) = mpsc::sync_channel(1);
        let mut message = Message::Flush(done);
        while let Err(TrySendError::Full(back)) = self.sender.try_send(message) {
            if Instant::now() >= deadline {
                return;
            }
            message = back;
            thread::sleep(FLUSH_RETRY);
        }
        // Too late is fine: the process ends without the rest.
        let _ = wait.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

struct Writer {
    shape: Shape,
    sink: Sink,
    dropped: Arc<AtomicU64>,
    /// The part of `dropped` that a line has mentioned.
    reported: u64,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Message>) {
        while let Ok(message) = receiver.recv() {
            match message {
                Message::Line(line) => self.write(&line),
                Message::Flush(done) => {
                    self.report();
                    // The flush may have timed out.
                    let _ = done.try_send(());
                }
            }
        }
    }

    fn write(&mut self, line: &[u8]) {
        self.report();
        if self.sink.write_all(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Says how many lines are missing since the last time it could be said.
    fn report(&mut self) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped == self.reported {
            return;
        }
        let missing = Record::of_dropped(dropped - self.reported, SystemTime::now());
        if self.sink.write_all(&self.shape.encode(&missing)).is_ok() {
            self.reported = dropped;
        }
    }
}
