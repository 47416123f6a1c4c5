//! The worker, its listeners, and what is behind them.

use std::cell::Cell;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use socket2::{Domain, Socket, Type};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::watch;
use warren::config::{self, limits::Surroundings};
use warren::pool::Server;
use warren::proxy::inquiry::Inbox;
use warren::proxy::listener;
use warren::proxy::worker::{self, CommonLimits, Shared};
use warren::stats::{Budget, Registry};

use crate::side::{Noise, Side};

/// Connections of one run. Each has a listener and a server of its own, so that it is known which
/// server belongs to which client.
pub(crate) const PAIRS: usize = 3;
/// Of the sockets of clients and servers, by pair, in bytes; one grows as it likes.
const RECEIVE_BUFFERS: [Option<usize>; PAIRS] = [Some(8 << 10), Some(32 << 10), None];
/// Turns of the runtime after which nothing can be under way any more.
const LONG: usize = 20_000;

/// A client and the server that it talks to.
pub(crate) struct Pair {
    pub(crate) client: Side,
    pub(crate) server: Side,
    listener: &'static TcpListener,
}

impl Pair {
    /// The client is side 0.
    pub(crate) fn side(&mut self, number: usize) -> &mut Side {
        self.accept();
        match number {
            0 => &mut self.client,
            _ => &mut self.server,
        }
    }

    pub(crate) fn read(&mut self, number: usize, length: usize) {
        self.accept();
        match number {
            0 => self.client.read(length, &self.server),
            _ => self.server.read(length, &self.client),
        }
        for (side, other) in [(&self.client, &self.server), (&self.server, &self.client)] {
            assert!(!side.is_cut || other.has_reset, "a reset that nobody made");
        }
    }

    fn accept(&mut self) {
        if self.server.socket.is_none()
            && !self.server.has_reset
            && let Ok((socket, _)) = self.listener.accept()
        {
            socket.set_nonblocking(true).expect("O_NONBLOCK");
            self.server.socket = Some(socket);
        }
    }

    /// Both say what they have left to say and hear the other one out.
    fn conclude(&mut self) -> bool {
        for number in [0, 1] {
            self.side(number).end();
            for _ in 0..8 {
                self.read(number, 1 << 20);
            }
        }
        // A client that reset before it was accepted may never get a server.
        let without_server = self.client.has_reset && self.server.socket.is_none();
        self.client.is_done() && (self.server.is_done() || without_server)
    }
}

pub(crate) struct Scene {
    runtime: LocalRuntime,
    registry: Arc<Registry>,
    /// Of warren's listeners.
    addresses: Vec<SocketAddr>,
    /// The servers'.
    listeners: Vec<&'static TcpListener>,
    noise: &'static Noise,
    runs: Cell<usize>,
    /// Keeps the worker from ending.
    _signal: watch::Sender<worker::Signal>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let listeners: Vec<&TcpListener> = (0..PAIRS)
            .map(|index| {
                let socket = socket(index);
                let any = SocketAddr::from(([127, 0, 0, 1], 0));
                socket.bind(&any.into()).expect("a port");
                socket.listen(16).expect("a listener");
                socket.set_nonblocking(true).expect("O_NONBLOCK");
                &*Box::leak(Box::new(socket.into()))
            })
            .collect();
        let registry = Arc::new(registry(&listeners));
        let (mut addresses, mut sockets) = (Vec::new(), Vec::new());
        for index in 0..PAIRS {
            // Any port will do, which a configuration cannot say.
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let socket = listener::bind(any, 1, true).expect("a port").remove(0);
            addresses.push(socket.local_addr().expect("an address"));
            sockets.push((registry.config().listeners[index].bind[0], socket));
        }
        // As the Rust runtime does for the daemon: here it is libFuzzer whose `main` it is.
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGPIPE);
        signals.thread_block().expect("a mask");
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build_local(LocalOptions::default())
            .expect("a runtime");
        let (signal, receiver) = watch::channel(worker::Signal::default());
        let limits = CommonLimits::new(&registry);
        let shared = Shared {
            registry: Arc::clone(&registry),
            signal: receiver,
            inboxes: vec![Inbox::default()].into(),
        };
        runtime.spawn_local(async move { worker::run(0, shared, &limits, sockets, 2).await });
        Self {
            runtime,
            registry,
            addresses,
            listeners,
            noise: Box::leak(Box::new(Noise::new())),
            runs: Cell::new(0),
            _signal: signal,
        }
    }

    /// Plays a script with new connections, lets them end, and looks that nothing is left.
    pub(crate) fn play(&self, script: impl AsyncFnOnce(Vec<Pair>) -> Vec<Pair>) {
        let before = self.totals();
        let said = self.runtime.block_on(async {
            let mut pairs = script(self.connect()).await;
            let mut turns = 0;
            while !pairs
                .iter_mut()
                .fold(true, |all, pair| pair.conclude() && all)
            {
                assert!(turns < LONG, "a connection hangs");
                self.run(4).await;
                // Resets of a side that is not being read are found by a sweep.
                if turns % 16 == 15 {
                    self.sweep().await;
                }
                turns += 1;
            }
            let heard: usize = pairs.iter().map(|pair| pair.server.heard).sum();
            let exact = pairs
                .iter()
                .all(|pair| pair.client.heard_end && pair.server.heard_end);
            for mut pair in pairs {
                pair.client.reset();
                pair.server.reset();
            }
            turns = 0;
            let all = before.endings + PAIRS as u64;
            while self.totals().endings < all || self.registry.connections.get() > 0 {
                assert!(turns < LONG, "a connection is left over");
                self.run(4).await;
                for listener in &self.listeners {
                    // The server of a client that had gone.
                    drop(listener.accept());
                }
                if turns % 16 == 15 {
                    self.sweep().await;
                }
                turns += 1;
            }
            (heard as u64, exact)
        });
        let after = self.totals();
        assert_eq!(after.endings - before.endings, PAIRS as u64, "accounts");
        assert_eq!(after.pipes, 0, "pipes in use");
        let moved = after.to_servers - before.to_servers;
        assert!(
            moved >= said.0 && (!said.1 || moved == said.0),
            "bytes counted"
        );
    }

    fn connect(&self) -> Vec<Pair> {
        let run = self.runs.get() + 1;
        self.runs.set(run);
        let connect = |(index, address)| {
            let socket = socket(index);
            socket.connect(&SocketAddr::into(address)).expect("connect");
            socket.set_nonblocking(true).expect("O_NONBLOCK");
            let socket = TcpStream::from(socket);
            let key = 2 * (PAIRS * run + index);
            Pair {
                client: Side::new(Some(socket), self.noise.stream(key)),
                server: Side::new(None, self.noise.stream(key + 1)),
                listener: self.listeners[index],
            }
        };
        self.addresses
            .iter()
            .copied()
            .enumerate()
            .map(connect)
            .collect()
    }

    /// Lets the worker have so many turns.
    pub(crate) async fn run(&self, turns: usize) {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }

    /// Lets a second go by, but not while connections are being made: a client that has hung up
    /// without a word by then does not get a server.
    pub(crate) async fn sweep(&self) {
        self.run(16).await;
        tokio::time::advance(Duration::from_secs(1)).await;
        self.run(4).await;
    }

    fn totals(&self) -> Totals {
        let (worker, scene) = (&self.registry.workers[0], self.registry.scene());
        let to_server = |server: &Arc<Server>| server.counters.of(0).bytes_in.get();
        Totals {
            endings: worker.endings.iter().map(|ending| ending.get()).sum(),
            to_servers: scene.servers.iter().map(to_server).sum(),
            pipes: worker.pipes_used.load(Ordering::Relaxed),
        }
    }
}

/// A socket of a client or server of the pair `index`. The smaller its buffer, the more often the
/// relay can write only a part.
fn socket(index: usize) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    if let Some(bytes) = RECEIVE_BUFFERS[index] {
        socket.set_recv_buffer_size(bytes).expect("SO_RCVBUF");
        // Loopback's segments are larger than such a buffer: it would be filled once in 200 ms.
        socket.set_tcp_mss(1_000).expect("TCP_MAXSEG");
    }
    socket
}

struct Totals {
    endings: u64,
    to_servers: u64,
    pipes: u32,
}

fn registry(servers: &[&TcpListener]) -> Registry {
    let mut text = "[global]\nworkers = 1\n[log]\nconnections = false\n".to_owned();
    for (index, server) in servers.iter().enumerate() {
        let address = server.local_addr().expect("an address");
        text += &format!(
            "[listen.l{index}]\nbind = \"127.0.0.1:{}\"\npool = \"p{index}\"\n\
             [pool.p{index}.check]\ntype = \"none\"\n\
             [pool.p{index}.servers]\nonly = \"{address}\"\n",
            index + 1
        );
    }
    let surroundings = Surroundings {
        descriptors: 20_000,
        cpus: 1,
        is_daemon: false,
        interfaces: None,
    };
    let parsed = config::parse_within(&text, "fuzz", "/".as_ref(), surroundings);
    let config = Arc::new(parsed.expect("a good configuration").0);
    let budget = Budget {
        descriptors: 20_000,
        max_connections: 100,
        max_pipes: 2,
    };
    Registry::new(config, budget, Arc::default(), Instant::now())
}
