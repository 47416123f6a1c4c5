//! A server and clients in the network of a machine.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::unistd::Pid;

use crate::machine::{Machine, SOON, in_network};

/// Where the daemon of these tests listens, and where its server does.
pub(crate) const ENTRANCE: &str = "127.0.0.1:5672";
pub(crate) const SERVER: &str = "127.0.0.1:5673";

/// Clients at once.
const CLIENTS: usize = 4;

/// A server that echoes; it ends when it is dropped.
pub(crate) struct Server(Arc<AtomicBool>);

impl Server {
    /// Listens at these addresses in the network of a process.
    pub(crate) fn start(network: Pid, addresses: &'static [&'static str]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (tell, listening) = std::sync::mpsc::channel();
        in_network(network, move || {
            let bind = |address| {
                let listener = TcpListener::bind(address).unwrap();
                listener.set_nonblocking(true).unwrap();
                listener
            };
            let listeners: Vec<_> = addresses.iter().map(bind).collect();
            tell.send(()).unwrap();
            while !stopped.load(Ordering::Relaxed) {
                for listener in &listeners {
                    if let Ok((client, _)) = listener.accept() {
                        std::thread::spawn(move || echo(client));
                    }
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        listening.recv().unwrap();
        Self(stop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn echo(mut client: TcpStream) {
    let mut said = [0; 64];
    // However it ends.
    let _ = client.set_nonblocking(false);
    while let Ok(length @ 1..) = client.read(&mut said) {
        if client.write_all(&said[..length]).is_err() {
            return;
        }
    }
}

/// One client's connection, from its beginning to its end. `Err` has what it was doing.
pub(crate) fn visit(address: SocketAddr) -> Result<(), (&'static str, ErrorKind)> {
    let kind = |what| move |error: io::Error| (what, error.kind());
    let mut stream = TcpStream::connect_timeout(&address, SOON).map_err(kind("connecting"))?;
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"ping").map_err(kind("asking"))?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).map_err(kind("waiting"))?;
    assert_eq!(&answer, b"ping");
    Ok(())
}

/// Whether a connection to `address` is refused on this machine.
pub(crate) fn is_refused(machine: &Machine, address: &str) -> bool {
    let address = address.parse().unwrap();
    let visited = in_network(machine.network(), move || visit(address));
    let visited = visited.join().unwrap();
    visited == Err(("connecting", ErrorKind::ConnectionRefused))
}

/// Clients that connect, get one answer and leave, again and again.
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Vec<(&'static str, ErrorKind)>>>,
}

impl Clients {
    pub(crate) fn start(machine: &Machine) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let one = |_| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            in_network(machine.network(), move || come_and_go(&stop, &served))
        };
        Self {
            threads: (0..CLIENTS).map(one).collect(),
            stop,
            served,
        }
    }

    /// Waits until some more connections than there can be on their way now have been served.
    pub(crate) fn are_served(&self, machine: &Machine) {
        let before = self.served.load(Ordering::Relaxed);
        machine.until("clients are served", || {
            (self.served.load(Ordering::Relaxed) > before + 40).then_some(())
        });
    }

    /// What went wrong for clients.
    pub(crate) fn stop(self) -> Vec<(&'static str, ErrorKind)> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.threads.into_iter();
        ended.flat_map(|thread| thread.join().unwrap()).collect()
    }
}

fn come_and_go(stop: &AtomicBool, served: &AtomicU64) -> Vec<(&'static str, ErrorKind)> {
    let mut failures = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match visit(ENTRANCE.parse().unwrap()) {
            Ok(()) => {
                served.fetch_add(1, Ordering::Relaxed);
            }
            Err(failure) => failures.push(failure),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    failures
}
