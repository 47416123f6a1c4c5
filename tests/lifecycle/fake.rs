//! A server that answers tcp, http and amqp checks and echoes to everybody else, as well or as
//! badly as the test wants.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use warren::amqp::{Frame, FrameKind, Reader, Writer};

use crate::ports::free_port;
use crate::wait::until;
use crate::warren::SOON;

/// What the server is like. Connections that are being silent go on when it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Answers right.
    Good,
    /// Accepts and says nothing.
    Silent,
    /// Closes what it accepts.
    Closing,
    /// Speaks another protocol.
    Nonsense,
    /// Answers 503, and refuses logins.
    No,
    /// Closes AMQP connections with 320, also new ones, as a broker that is shut down.
    Leaving,
}

pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    mood: watch::Sender<Mood>,
    goodbyes: Arc<AtomicUsize>,
    serving: Option<JoinHandle<()>>,
}

impl Fake {
    /// A server on a free port.
    pub(crate) async fn new(mood: Mood) -> Self {
        // Below the ephemeral range: nobody takes the port while the server is down.
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut fake = Self {
            address,
            mood: watch::Sender::new(mood),
            goodbyes: Arc::default(),
            serving: None,
        };
        fake.open().await;
        fake
    }

    pub(crate) fn become_(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// How many AMQP connections were closed in order, by their clients.
    pub(crate) fn goodbyes(&self) -> usize {
        self.goodbyes.load(Ordering::Relaxed)
    }

    /// Listens again.
    pub(crate) async fn open(&mut self) {
        // A process that is being started may hold a copy of the last listener for a moment.
        let bind = async || TcpListener::bind(self.address).await.ok();
        let (listener, _) = until("a free port", SOON, bind).await;
        let (mood, goodbyes) = (self.mood.subscribe(), Arc::clone(&self.goodbyes));
        self.serving = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("accept on loopback");
                connections.spawn(serve(stream, mood.clone(), Arc::clone(&goodbyes)));
            }
        }));
    }

    /// Refuses new connections and ends those that there are.
    pub(crate) async fn close(&mut self) {
        let serving = self.serving.take().expect("a server that is open");
        serving.abort();
        // It was told to end.
        let _ = serving.await;
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

/// The backlog is full: nobody gets in, and nobody is told so.
pub(crate) struct BlackHole {
    pub(crate) address: SocketAddr,
    _full: socket2::Socket,
    _waiting: TcpStream,
}

impl BlackHole {
    pub(crate) async fn new() -> Self {
        let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let full = full.expect("a socket");
        let loopback = SocketAddr::from(([127, 0, 0, 1], free_port()));
        full.bind(&loopback.into()).expect("a free port");
        full.listen(0).expect("listen");
        Self {
            address: loopback,
            _waiting: TcpStream::connect(loopback).await.expect("one place"),
            _full: full,
        }
    }
}

async fn serve(mut stream: TcpStream, mut mood: watch::Receiver<Mood>, goodbyes: Arc<AtomicUsize>) {
    let mut first = [0; 4];
    let now = *mood.borrow();
    match now {
        // A client has not seen these moods when it is already there.
        Mood::Closing => return,
        Mood::Nonsense => {
            // The check may have gone already.
            let _ = stream.write_all(b"220 ready for mail\r\n").await;
        }
        Mood::Good | Mood::Silent | Mood::No | Mood::Leaving => {}
    }
    if stream.read_exact(&mut first).await.is_err() {
        return;
    }
    let not_silent = mood.wait_for(|mood| !matches!(mood, Mood::Silent | Mood::Nonsense));
    let Ok(now) = not_silent.await.map(|mood| *mood) else {
        return;
    };
    match &first {
        b"AMQP" => {
            let _ = Broker::new(stream, mood, goodbyes).run().await;
        }
        b"GET " => {
            let answer: &[u8] = match now {
                Mood::No => b"HTTP/1.1 503 Service Unavailable\r\n\r\nin maintenance\n",
                Mood::Good | Mood::Leaving | Mood::Closing | Mood::Silent | Mood::Nonsense => {
                    b"HTTP/1.1 200 OK\r\n\r\n"
                }
            };
            // All of the question is read, so that closing is no reset.
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(answer).await;
        }
        _ => {
            let _ = echo(stream, &first).await;
        }
    }
}

async fn echo(mut stream: TcpStream, first: &[u8]) -> std::io::Result<()> {
    stream.write_all(first).await?;
    let (mut reader, mut writer) = stream.split();
    tokio::io::copy(&mut reader, &mut writer).await?;
    writer.shutdown().await
}

/// As much of a broker as a check sees.
struct Broker {
    stream: TcpStream,
    mood: watch::Receiver<Mood>,
    goodbyes: Arc<AtomicUsize>,
    input: Vec<u8>,
}

impl Broker {
    fn new(stream: TcpStream, mood: watch::Receiver<Mood>, goodbyes: Arc<AtomicUsize>) -> Self {
        Self {
            stream,
            mood,
            goodbyes,
            input: Vec::new(),
        }
    }

    async fn run(mut self) -> std::io::Result<()> {
        // The rest of the protocol header.
        self.stream.read_exact(&mut [0; 4]).await?;
        let start = Writer::method(10, 10).u8(0).u8(9).long_string(b"");
        let start = start.long_string(b"AMQPLAIN PLAIN").long_string(b"en_US");
        self.say(0, start).await?;
        let mut logged_in = false;
        loop {
            let now = *self.mood.borrow_and_update();
            if now == Mood::Leaving && logged_in {
                self.close(320, "CONNECTION_FORCED - broker forced connection closure")
                    .await?;
                return Ok(());
            }
            tokio::select! {
                method = next(&mut self.stream, &mut self.input) => {
                    let method = method?;
                    // What hangs has not read the question; when it goes on it answers.
                    let awake = self.mood.wait_for(|mood| *mood != Mood::Silent);
                    if awake.await.is_err() {
                        return Ok(());
                    }
                    logged_in |= method == (10, 11);
                    if self.answer(method).await? {
                        return Ok(());
                    }
                }
                _ = self.mood.changed() => {}
            }
        }
    }

    /// True when that was the last word.
    async fn answer(&mut self, method: (u16, u16)) -> std::io::Result<bool> {
        match method {
            (10, 11) if *self.mood.borrow() == Mood::No => {
                self.close(403, "ACCESS_REFUSED - wrong password").await?;
                return Ok(true);
            }
            (10, 11) => {
                let tune = Writer::method(10, 30).u16(2047).u32(131_072).u16(60);
                self.say(0, tune).await?;
            }
            (10, 40) => self.say(0, Writer::method(10, 41).u8(0)).await?,
            (20, 10) => self.say(1, Writer::method(20, 11).u32(0)).await?,
            (60, 10) => self.say(1, Writer::method(60, 11)).await?,
            (20, 40) => self.say(1, Writer::method(20, 41)).await?,
            (10, 50) => {
                self.goodbyes.fetch_add(1, Ordering::Relaxed);
                self.say(0, Writer::method(10, 51)).await?;
                return Ok(true);
            }
            // tune-ok, heartbeats
            _ => {}
        }
        Ok(false)
    }

    async fn close(&mut self, code: u16, text: &str) -> std::io::Result<()> {
        let close = Writer::method(10, 50).u16(code).short_string(text);
        self.say(0, close.u16(0).u16(0)).await?;
        while next(&mut self.stream, &mut self.input).await? != (10, 51) {}
        Ok(())
    }

    async fn say(&mut self, channel: u16, method: Writer) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        let payload = method.done();
        let frame = Frame {
            kind: FrameKind::Method,
            channel,
            payload: &payload,
        };
        frame.encode(&mut bytes);
        self.stream.write_all(&bytes).await
    }
}

/// Class and method of the next frame; (0, 0) for a heartbeat. Loses nothing when it is dropped.
async fn next(stream: &mut TcpStream, input: &mut Vec<u8>) -> std::io::Result<(u16, u16)> {
    loop {
        if let Some((frame, used)) = Frame::decode(input, 4096).expect("the check speaks AMQP") {
            let mut arguments = Reader::new(frame.payload);
            let method = match frame.kind {
                FrameKind::Method => (
                    arguments.u16().expect("a class"),
                    arguments.u16().expect("a method"),
                ),
                FrameKind::Heartbeat | FrameKind::Header | FrameKind::Body => (0, 0),
            };
            input.drain(..used);
            return Ok(method);
        }
        if stream.read_buf(input).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}
