//! Thousands of clients that connect again in the same second, as after a failover.

use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use warren::amqp::PROTOCOL_HEADER;
use warren::amqp::content::{Inbox, Received};
use warren::amqp::method::{Long, Method};

use crate::warren_process::Warren;
use crate::world::{World, pool};

/// Clients.
const MANY: usize = 5_000;
/// How many of them the listener lets in per second. Three brokers on two processors can do that.
const RATE: usize = 400;
/// All are in at this rate, and as long again for a busy machine.
const LIMIT: Duration = Duration::from_secs((2 * MANY / RATE) as u64);
/// What the listener may let in at once, in time.
const PAUSE: Duration = Duration::from_secs(2);
const FRAME_LIMIT: usize = 128 * 1024;

/// Everybody connects, is thrown out, and connects again at once. The listener paces them; all are
/// served, evenly, and no broker gives up a handshake.
pub(crate) async fn reconnect(world: &World) {
    let cluster = world.cluster().await;
    let listen = format!("max_accept_rate = {RATE}\n");
    let config = listen + &pool(&cluster.nodes, "");
    let names = ["r1", "r2", "r3"];
    let warren = Warren::start(&config, &names).await;
    let before: Vec<usize> = cluster.nodes.iter().map(|node| node.log().len()).collect();
    let first = all(warren.port).await;
    for client in &first {
        SockRef::from(client)
            .set_linger(Some(Duration::ZERO))
            .expect("SO_LINGER");
    }
    drop(first);
    let begun = Instant::now();
    let second = all(warren.port).await;
    let took = begun.elapsed();
    println!("  {MANY} clients were back after {took:?}");
    assert!(took > LIMIT / 2 - PAUSE, "nobody paced them");
    let open: Vec<usize> = names.iter().map(|name| warren.open(name)).collect();
    assert_eq!(open.iter().sum::<usize>(), MANY, "{open:?}");
    assert!(
        open.iter().all(|open| open.abs_diff(MANY / 3) <= MANY / 30),
        "{open:?}"
    );
    drop(second);
    for (node, before) in cluster.nodes.iter().zip(before) {
        let log = &node.log()[before..];
        assert!(
            !log.contains("handshake"),
            "{}: {:?}",
            node.short_name(),
            log.lines().find(|line| line.contains("handshake"))
        );
    }
    warren.stop().await;
}

/// All clients at once, each logged in.
async fn all(port: u16) -> Vec<TcpStream> {
    let mut joining = JoinSet::new();
    for _ in 0..MANY {
        joining.spawn(log_in(port));
    }
    let all = tokio::time::timeout(LIMIT, joining.join_all()).await;
    let all = all.expect("all clients within the time");
    let failed: Vec<_> = all
        .iter()
        .filter_map(|client| client.as_ref().err())
        .collect();
    let first = failed.first();
    assert!(failed.is_empty(), "{} failed: {first:?}", failed.len());
    all.into_iter().flatten().collect()
}

async fn log_in(port: u16) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut inbox = Inbox::default();
    stream.write_all(&PROTOCOL_HEADER).await?;
    let start = hear(&mut stream, &mut inbox).await?;
    assert!(matches!(start, Method::ConnectionStart { .. }), "{start:?}");
    let start_ok = Method::ConnectionStartOk {
        properties: Long(Vec::new()),
        mechanism: "PLAIN".to_owned(),
        response: Long(b"\0guest\0guest".to_vec()),
        locale: "en_US".to_owned(),
    };
    say(&mut stream, &start_ok).await?;
    let tune = hear(&mut stream, &mut inbox).await?;
    assert!(matches!(tune, Method::ConnectionTune { .. }), "{tune:?}");
    let tune_ok = Method::ConnectionTuneOk {
        channel_max: 1,
        frame_max: 4096,
        heartbeat: 0,
    };
    say(&mut stream, &tune_ok).await?;
    let open = Method::ConnectionOpen {
        vhost: "/".to_owned(),
        reserved: String::new(),
        flags: 0,
    };
    say(&mut stream, &open).await?;
    let opened = hear(&mut stream, &mut inbox).await?;
    assert!(
        matches!(opened, Method::ConnectionOpenOk { .. }),
        "{opened:?}"
    );
    Ok(stream)
}

async fn say(stream: &mut TcpStream, method: &Method) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    method.encode(0, &mut bytes);
    stream.write_all(&bytes).await
}

async fn hear(stream: &mut TcpStream, inbox: &mut Inbox) -> std::io::Result<Method> {
    loop {
        let next = inbox.next(FRAME_LIMIT).map_err(std::io::Error::other)?;
        match next {
            Some((_, Received::Method(method))) => return Ok(method),
            Some(_) => {}
            None => {
                let mut bytes = [0; 4096];
                let count = stream.read(&mut bytes).await?;
                if count == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                inbox.extend(&bytes[..count]);
            }
        }
    }
}
