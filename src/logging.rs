//! Logs as text, JSON lines or native journal.
//!
//! [`init`] makes this the place where every `tracing` event of the process goes. An event becomes
//! bytes on the thread that logs and is handed to the thread `log` through a bounded queue; a log
//! sink that is slow, stuck or broken costs lines, which are counted, and never blocks a worker or
//! the end of the process. Spans are not used in warren and are ignored.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use tracing::level_filters::LevelFilter;
use tracing::span;

use crate::config::{self, LogFormat, LogLevel};

mod line;
mod queue;

#[cfg(test)]
mod tests;

use line::{Record, Shape};
use queue::Queue;

/// Where journald listens for its native protocol.
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";
/// `DEVICE:INODE` of the stream that systemd connected to the journal (systemd.exec(5)).
const JOURNAL_STREAM: &str = "JOURNAL_STREAM";

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// `format = "journal"`, and nobody listens on journald's socket.
    #[error("the journal cannot be reached")]
    Journal(#[source] io::Error),
    /// The standard error stream is closed or descriptors have run out.
    #[error("standard error cannot be used")]
    Stderr(#[source] io::Error),
    /// The thread that writes could not be started.
    #[error("the log thread cannot be started")]
    Thread(#[source] io::Error),
    /// Logging was initialised before.
    #[error("logging is already initialised")]
    AlreadyInitialised,
}

/// Keeps the log going. Dropping it waits for the lines that are queued, half a second at most;
/// keep it until the last line of the process was logged.
#[derive(Debug)]
pub struct Logging {
    queue: Queue,
}

impl Logging {
    /// How many lines were lost because the sink was too slow or failed.
    #[must_use]
    pub fn dropped(&self) -> Arc<AtomicU64> {
        self.queue.dropped()
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.queue.flush();
    }
}

/// Starts logging as the configuration says, for the whole process.
///
/// # Errors
///
/// See [`InitError`].
pub fn init(log: &config::Log) -> Result<Logging, InitError> {
    let (shape, sink) = open(log.format)?;
    let queue = Queue::start(shape, sink).map_err(InitError::Thread)?;
    tracing::subscriber::set_global_default(Subscriber {
        level: filter(log.level),
        shape,
        queue: queue.clone(),
    })
    .map_err(|_| InitError::AlreadyInitialised)?;
    Ok(Logging { queue })
}

type Sink = Box<dyn Write + Send>;

/// The shape of a line and where it goes. A copy of the descriptor is written to, not
/// `std::io::stderr`: its lock would make a stuck log thread hang whoever prints an error.
fn open(format: LogFormat) -> Result<(Shape, Sink), InitError> {
    let stderr = io::stderr()
        .as_fd()
        .try_clone_to_owned()
        .map(File::from)
        .map_err(InitError::Stderr)?;
    let is_journal = std::env::var(JOURNAL_STREAM).is_ok_and(|stream| names(&stream, &stderr));
    let journal = || Journal::connect(Path::new(JOURNAL_SOCKET));
    match format {
        LogFormat::Journal => {
            let journal = journal().map_err(InitError::Journal)?;
            return Ok((Shape::Journal, Box::new(journal)));
        }
        LogFormat::Auto if is_journal => {
            if let Ok(journal) = journal() {
                return Ok((Shape::Journal, Box::new(journal)));
            }
        }
        LogFormat::Json => return Ok((Shape::Json, Box::new(stderr))),
        LogFormat::Auto | LogFormat::Text => {}
    }
    let shape = Shape::Text {
        coloured: stderr.is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()),
        prefixed: is_journal,
    };
    Ok((shape, Box::new(stderr)))
}

/// Whether `stream`, the value of [`JOURNAL_STREAM`], is about this file.
fn names(stream: &str, file: &File) -> bool {
    let Ok(metadata) = file.metadata() else {
        return false;
    };
    stream == format!("{}:{}", metadata.dev(), metadata.ino())
}

/// journald's socket; one write is one datagram. It is addressed each time, not connected, because
/// journald may be restarted under us.
#[derive(Debug)]
struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    fn connect(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // journald ignores an empty datagram, but only a living one takes it.
        socket.send_to(&[], path)?;
        Ok(Self {
            socket,
            path: path.to_owned(),
        })
    }
}

impl Write for Journal {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.socket.send_to(datagram, &self.path)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `tracing` hands its events to.
struct Subscriber {
    level: LevelFilter,
    shape: Shape,
    queue: Queue,
}

impl tracing::Subscriber for Subscriber {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let record = Record::of(event, SystemTime::now());
        self.queue.push(self.shape.encode(&record));
    }

    fn new_span(&self, _attributes: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
