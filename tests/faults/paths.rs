//! Everything that can happen in the middle of a stream, on both paths of the relay and in both
//! directions: while messages are copied, and while a stream is spliced.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::keyed::Keyed;
use crate::relay::{read, read_to_end, read_to_reset, seed, write};
use crate::warren::{Setup, Warren};
use crate::wire::{Server, address_of, expect_end, finish_writing, pair, reset};

/// How the relay moves the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    Copy,
    Splice,
}

/// Where the bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    ToServer,
    ToClient,
}

/// What happens in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    WriterEnds,
    /// The reader has said all, and goes on reading.
    ReaderEnds,
    WriterResets,
    ReaderResets,
}

const EVENTS: [Event; 4] = [
    Event::WriterEnds,
    Event::ReaderEnds,
    Event::WriterResets,
    Event::ReaderResets,
];

/// A writer that has got nowhere for so long is stalled.
const STILL: Duration = Duration::from_millis(400);

/// How long it stays stalled, if that was asked for.
fn stall() -> Duration {
    let asked = std::env::var("WARREN_STALL").ok();
    Duration::from_secs(asked.map_or(0, |text| text.parse().expect("seconds")))
}

/// Somebody who writes a keyed stream until told to stop, or until it fails.
struct Writer {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: JoinHandle<(TcpStream, Result<(), ErrorKind>)>,
}

impl Writer {
    fn start(mut stream: TcpStream, seed: u64, path: Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let written = Arc::new(AtomicU64::new(0));
        let (told, count) = (Arc::clone(&stop), Arc::clone(&written));
        // It looks whether it should stop also when nobody reads.
        stream
            .set_write_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let thread = thread::spawn(move || {
            let mut keyed = Keyed::new(seed, 1, true);
            let (length, pause) = match path {
                Path::Copy => (4_000, Some(Duration::from_millis(1))),
                Path::Splice => (64 * 1024, None),
            };
            let mut chunk = vec![0; length];
            while !told.load(Ordering::Relaxed) {
                keyed.fill(&mut chunk);
                let mut rest = &chunk[..];
                while !rest.is_empty() && !told.load(Ordering::Relaxed) {
                    match stream.write(rest) {
                        Ok(some) => {
                            count.fetch_add(some as u64, Ordering::Relaxed);
                            rest = &rest[some..];
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(error) => return (stream, Err(error.kind())),
                    }
                }
                if let Some(pause) = pause {
                    thread::sleep(pause);
                }
            }
            (stream, Ok(()))
        });
        Self {
            stop,
            written,
            thread,
        }
    }

    fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Waits until all buffers on the way are full.
    fn stalls(&self) {
        loop {
            let before = self.written();
            thread::sleep(STILL);
            if self.written() == before {
                thread::sleep(stall());
                // The kernel may let its buffers grow a little meanwhile.
                let more = self.written() - before;
                assert!(more < 1 << 20, "{more} bytes more in a stall");
                return;
            }
        }
    }

    /// Its stream, and how many bytes it has written.
    fn stop(self) -> (TcpStream, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let (stream, result) = self.thread.join().unwrap();
        result.unwrap();
        (stream, self.written.load(Ordering::Relaxed))
    }

    /// Waits until it fails.
    fn fails(self) -> ErrorKind {
        self.thread.join().unwrap().1.unwrap_err()
    }
}

/// One connection, one event; `stalled`: the reader has not read for long when it happens.
fn play(warren: &mut Warren, server: &Server, way: (Path, Flow), event: Event, stalled: bool) {
    let (path, flow) = way;
    let seed = seed();
    let what = format!("{path:?} {flow:?} {event:?} stalled: {stalled}");
    let spliced = |warren: &Warren| warren.status()["spliced"].as_u64().unwrap();
    let before = spliced(warren);
    let (client, at_server) = pair(warren, server);
    let address = address_of(&client);
    let (writer, mut reader) = match flow {
        Flow::ToServer => (client, at_server),
        Flow::ToClient => (at_server, client),
    };
    let mut theirs = Keyed::new(seed, 1, true);
    let mut listening = writer.try_clone().unwrap();
    let writer = Writer::start(writer, seed, path);
    match path {
        Path::Copy => read(&mut reader, &mut theirs, 200_000),
        Path::Splice => read(&mut reader, &mut theirs, 16 << 20),
    }
    let moved = spliced(warren) - before;
    assert_eq!(
        moved > 0,
        path == Path::Splice,
        "{what}: {moved} bytes spliced"
    );
    if stalled {
        writer.stalls();
    }
    match event {
        Event::WriterEnds => {
            let (stream, written) = writer.stop();
            finish_writing(&stream);
            assert_eq!(read_to_end(&mut reader, &mut theirs), written, "{what}");
            answer(&mut reader, &mut listening, seed);
        }
        Event::ReaderEnds => {
            answer(&mut reader, &mut listening, seed);
            read(&mut reader, &mut theirs, 100_000);
            let (stream, written) = writer.stop();
            finish_writing(&stream);
            assert_eq!(read_to_end(&mut reader, &mut theirs), written, "{what}");
        }
        Event::WriterResets => {
            drop(listening);
            let (stream, written) = writer.stop();
            reset(stream);
            assert!(read_to_reset(&mut reader, &mut theirs) <= written, "{what}");
        }
        Event::ReaderResets => {
            drop(listening);
            reset(reader);
            let kind = writer.fails();
            let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
            assert!(kinds.contains(&kind), "{what}: {kind:?}");
        }
    }
    let by_client = match event {
        Event::WriterEnds | Event::WriterResets => flow == Flow::ToServer,
        Event::ReaderEnds | Event::ReaderResets => flow == Flow::ToClient,
    };
    let expected = match (event, by_client) {
        (Event::WriterEnds | Event::ReaderEnds, true) => "client-closed",
        (Event::WriterEnds | Event::ReaderEnds, false) => "server-closed",
        (Event::WriterResets | Event::ReaderResets, true) => "client-reset",
        (Event::WriterResets | Event::ReaderResets, false) => "server-reset",
    };
    assert_eq!(warren.ending(address), expected, "{what}");
}

/// The other direction says something, and all of it arrives, and then its end.
fn answer(from: &mut TcpStream, to: &mut TcpStream, seed: u64) {
    let mut ours = Keyed::new(seed, 1, false);
    write(from, &mut ours, 3_000);
    finish_writing(from);
    read(to, &mut Keyed::new(seed, 1, false), 3_000);
    expect_end(to);
}

fn all(path: Path, flow: Flow) {
    let server = Server::start();
    let mut warren = Warren::start(&Setup::of(&[&server]));
    for event in EVENTS {
        for stalled in [false, true] {
            play(&mut warren, &server, (path, flow), event, stalled);
        }
    }
    warren.finish(&[&server]);
}

#[test]
fn on_the_copy_path_to_the_server() {
    all(Path::Copy, Flow::ToServer);
}

#[test]
fn on_the_copy_path_to_the_client() {
    all(Path::Copy, Flow::ToClient);
}

#[test]
fn on_the_splice_path_to_the_server() {
    all(Path::Splice, Flow::ToServer);
}

#[test]
fn on_the_splice_path_to_the_client() {
    all(Path::Splice, Flow::ToClient);
}
