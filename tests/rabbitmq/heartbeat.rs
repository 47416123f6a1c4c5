//! Silence: a client that sends heartbeats keeps its connection, one that stops loses it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use warren::amqp::{Frame, FrameKind, PROTOCOL_HEADER, Writer};

use crate::client::{Stage, declare, send, take_all};
use crate::scenario::{Scenario, Transcript, scenario};

/// In seconds; short, so that three of them fit a test.
const INTERVAL: u16 = 2;

pub(crate) const KEPT: Scenario = scenario!(kept, &["after 3 silent intervals: [\"still here\"]"]);

async fn kept(stage: &Stage<'_>) -> Transcript {
    let connection = stage.connect_with(&format!("heartbeat={INTERVAL}")).await;
    assert_eq!(connection.configuration().heartbeat(), INTERVAL);
    let channel = connection.create_channel().await.expect("open a channel");
    let confirm = channel.confirm_select(lapin::options::ConfirmSelectOptions::default());
    confirm.await.expect("turn on confirms");
    let queue = stage.name("queue");
    declare(&channel, &queue, &[]).await;
    tokio::time::sleep(Duration::from_secs(u64::from(INTERVAL) * 3) + Duration::from_millis(500))
        .await;
    send(&channel, &queue, "still here").await;
    vec![format!(
        "after 3 silent intervals: {:?}",
        take_all(&channel, &queue).await
    )]
}

pub(crate) const MISSED: Scenario = scenario!(
    missed,
    &[
        "heartbeats before the end: true",
        "the broker reset the connection",
        "within its time: true"
    ]
);

async fn missed(stage: &Stage<'_>) -> Transcript {
    let mut peer = Peer::open(stage.port, INTERVAL).await;
    let begun = std::time::Instant::now();
    let mut heartbeats = 0;
    let end = loop {
        match peer.frame().await {
            Ok(Some(FrameKind::Heartbeat)) => heartbeats += 1,
            Ok(Some(other)) => panic!("unexpected {other:?}"),
            Ok(None) => break "the broker closed the connection in order",
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
                break "the broker reset the connection";
            }
        }
    };
    // Two missed intervals, and up to one more until the broker looks.
    let interval = f32::from(INTERVAL);
    let took = begun.elapsed().as_secs_f32();
    let in_time = took > interval && took < 4.0 * interval;
    vec![
        format!("heartbeats before the end: {}", heartbeats > 0),
        end.to_owned(),
        format!("within its time: {in_time}"),
    ]
}

/// A client by hand: lapin never stops its heartbeats.
struct Peer {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Peer {
    /// Logs in as guest with a heartbeat interval in seconds.
    async fn open(port: u16, heartbeat: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("connect");
        let mut peer = Self {
            stream,
            received: Vec::new(),
        };
        peer.write(&PROTOCOL_HEADER).await;
        // connection.start is answered by start-ok, tune by tune-ok and open, then open-ok comes.
        peer.method().await;
        let start_ok = Writer::method(10, 11)
            .long_string(b"")
            .short_string("PLAIN");
        let start_ok = start_ok
            .long_string(b"\0guest\0guest")
            .short_string("en_US");
        peer.send(start_ok).await;
        peer.method().await;
        peer.send(Writer::method(10, 31).u16(2047).u32(131_072).u16(heartbeat))
            .await;
        peer.send(
            Writer::method(10, 40)
                .short_string("/")
                .short_string("")
                .u8(0),
        )
        .await;
        peer.method().await;
        peer
    }

    async fn method(&mut self) {
        let kind = self.frame().await.expect("read the broker's answer");
        assert_eq!(kind, Some(FrameKind::Method));
    }

    async fn send(&mut self, method: Writer) {
        let mut bytes = Vec::new();
        let payload = method.done();
        let frame = Frame {
            kind: FrameKind::Method,
            channel: 0,
            payload: &payload,
        };
        frame.encode(&mut bytes);
        self.write(&bytes).await;
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.stream
            .write_all(bytes)
            .await
            .expect("write to the broker");
    }

    /// The type of the next frame; `None` at the end of the stream.
    async fn frame(&mut self) -> std::io::Result<Option<FrameKind>> {
        loop {
            let decoded = Frame::decode(&self.received, 1 << 20).expect("frames from a broker");
            if let Some((frame, length)) = decoded {
                let kind = frame.kind;
                self.received.drain(..length);
                return Ok(Some(kind));
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Ok(None);
            }
        }
    }
}
