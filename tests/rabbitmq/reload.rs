//! A thousand reloads while long-lived AMQP connections are open and short ones come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lapin::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::client::connect;
use crate::ports::free_port;
use crate::warren_process::Warren;
use crate::world::{CHECK, World, pool};

/// Long-lived connections.
const LONG: usize = 500;
const RELOADS: usize = 1_000;
/// Clients that connect one time after the other, and how often each does, at most.
const SHORT: u32 = 20;
const PACE: Duration = Duration::from_millis(20);
/// A short connection that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// Nothing is refused, nothing is reset, and nothing grows.
pub(crate) async fn thousand(world: &World) {
    let cluster = world.cluster().await;
    let echo = [echo().await, echo().await, echo().await];
    let ports = [free_port(), free_port()];
    let rest = |round| {
        let base = pool(&cluster.nodes, CHECK);
        format!("{base}\n{}", changing(round, echo, ports))
    };
    let warren = Warren::start(&rest(0), &["r1", "r2", "r3"]).await;
    let mut long = Vec::new();
    for _ in 0..LONG {
        let connected = connect(warren.port, "heartbeat=5", "long").await;
        long.push(connected.expect("connect"));
    }
    let clients = Clients::start(ports[0]);
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut before = None;
    for round in 1..=RELOADS {
        let one = Instant::now();
        warren.reload(&rest(round)).await;
        slowest = slowest.max(one.elapsed());
        if round == RELOADS / 10 {
            before = Some(warren.footprint());
        }
    }
    let took = begun.elapsed();
    let made = clients.finish().await;
    check(&long).await;
    let (before, after) = (before.expect("a tenth of them"), warren.footprint());
    println!(
        "  {RELOADS} reloads in {took:.1?}, the slowest {slowest:.0?}; {:.0} connections per \
         second beside them; descriptors {} and {}, memory {} KiB and {} KiB",
        made as f64 / took.as_secs_f64(),
        before.descriptors,
        after.descriptors,
        before.kib,
        after.kib
    );
    // What is in flight varies.
    assert!(after.descriptors <= before.descriptors + 2 * SHORT as usize + 8);
    assert!(
        after.kib <= before.kib + 4096,
        "memory grows with every reload"
    );
    let log = warren.stop().await;
    for bad in ["no-server", "connect-", "server-reset", "ERROR"] {
        let line = log.lines().find(|line| line.contains(bad));
        assert_eq!(line, None, "{bad}");
    }
    drop(long);
}

/// What differs from reload to reload: servers come and go, weights and limits change, and so does
/// a whole listener.
fn changing(round: usize, echo: [u16; 3], [short, extra]: [u16; 2]) -> String {
    let (a, b) = (echo[round % 3], echo[(round + 1) % 3]);
    let (limit, weight) = (500 + round % 2, 50 + round % 100);
    let mut text = format!(
        "[listen.short]\nbind = \"127.0.0.1:{short}\"\npool = \"echo\"\n\
         max_connections = {limit}\n[pool.echo.check]\ntype = \"tcp\"\ninterval = \"200ms\"\n\
         [pool.echo.servers]\ns{a} = \"127.0.0.1:{a}\"\n\
         s{b} = {{ address = \"127.0.0.1:{b}\", weight = {weight} }}\n",
    );
    if round % 4 == 1 {
        text.push_str(&format!(
            "[listen.extra]\nbind = \"127.0.0.1:{extra}\"\npool = \"echo\"\n"
        ));
    }
    text
}

/// Every connection still answers.
async fn check(long: &[Connection]) {
    for connection in long {
        let channel = connection
            .create_channel()
            .await
            .expect("it is still there");
        channel
            .close(200, "".into())
            .await
            .expect("close the channel");
    }
}

/// A server that echoes; its port.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accept on loopback");
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.into_split();
                // A client that has gone is nobody's loss.
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    port
}

/// Clients that connect, say something, hear it, and leave, again and again.
struct Clients {
    tasks: JoinSet<()>,
    ended: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
}

impl Clients {
    fn start(port: u16) -> Self {
        let (ended, made) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut tasks = JoinSet::new();
        for _ in 0..SHORT {
            let (ended, made) = (Arc::clone(&ended), Arc::clone(&made));
            tasks.spawn(async move {
                let mut pace = tokio::time::interval(PACE);
                while !ended.load(Ordering::Relaxed) {
                    pace.tick().await;
                    let served = tokio::time::timeout(PATIENCE, be_served(port)).await;
                    served
                        .expect("served in time")
                        .expect("neither refused nor reset");
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { tasks, ended, made }
    }

    /// How many connections they made.
    async fn finish(mut self) -> u64 {
        self.ended.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no connection was lost");
        }
        self.made.load(Ordering::Relaxed)
    }
}

async fn be_served(port: u16) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"hello").await?;
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).await?;
    assert_eq!(&heard, b"hello");
    stream.shutdown().await?;
    assert_eq!(stream.read(&mut heard).await?, 0);
    Ok(())
}
