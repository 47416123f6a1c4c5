//! An embedded AMQP broker that can be killed and brought back.
//!
//! Tasks: one accepts and owns the others, one per connection. Killing aborts the first, which
//! drops all of them: the listener closes, every connection is reset, and what was not
//! acknowledged goes back to the [`Cluster`].

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::cluster::Cluster;
use super::session::Session;

/// More connections than this are reset at once.
const MAX_CONNECTIONS: usize = 500;
/// Waiting connections that the kernel keeps; 128 is RabbitMQ's value.
const BACKLOG: i32 = 128;
const CHUNK: usize = 16 << 10;
/// Pause after a failed accept: no descriptors are left, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One broker of the cluster.
pub(super) struct Broker {
    pub name: &'static str,
    pub address: SocketAddr,
    cluster: Rc<RefCell<Cluster>>,
    /// Bound and never listening: keeps the port from being given to somebody's outgoing
    /// connection while the broker is dead.
    _reservation: Socket,
    life: Option<Life>,
}

/// What ends when the broker is killed.
struct Life {
    killed: Rc<Cell<bool>>,
    acceptor: AbortHandle,
}

impl Broker {
    /// A broker on a free port of `ip` that is not running yet.
    ///
    /// # Errors
    ///
    /// As bind(2).
    pub(super) fn new(
        name: &'static str,
        ip: Ipv4Addr,
        cluster: Rc<RefCell<Cluster>>,
    ) -> io::Result<Self> {
        let reservation = bound(SocketAddr::from((ip, 0)))?;
        let address = reservation.local_addr()?.as_socket();
        Ok(Self {
            name,
            address: address.ok_or_else(|| io::Error::other("no IP address"))?,
            cluster,
            _reservation: reservation,
            life: None,
        })
    }

    /// Starts accepting. Has to be called inside a `LocalSet`.
    ///
    /// # Errors
    ///
    /// As bind(2) and listen(2).
    pub(super) fn start(&mut self) -> io::Result<()> {
        let socket = bound(self.address)?;
        socket.set_nonblocking(true)?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
        let killed = Rc::default();
        let acceptor = spawn_local(accept(
            listener,
            self.name,
            Rc::clone(&self.cluster),
            Rc::clone(&killed),
        ));
        let acceptor = acceptor.abort_handle();
        self.life = Some(Life { killed, acceptor });
        Ok(())
    }

    /// Dies without a word, like a process that is killed.
    pub(super) fn kill(&mut self) {
        if let Some(life) = self.life.take() {
            life.killed.set(true);
            life.acceptor.abort();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

async fn accept(
    listener: TcpListener,
    name: &'static str,
    cluster: Rc<RefCell<Cluster>>,
    killed: Rc<Cell<bool>>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if connections.len() < MAX_CONNECTIONS {
            let connection = Connection {
                stream,
                session: Session::new(name, Rc::clone(&cluster), Instant::now()),
                killed: Rc::clone(&killed),
            };
            connections.spawn_local(connection.run());
        }
    }
}

struct Connection {
    stream: TcpStream,
    session: Session,
    killed: Rc<Cell<bool>>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.killed.get() {
            // A zero linger makes close() send RST. When it fails the client sees FIN instead.
            let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl Connection {
    /// Ends when the client is gone, has taken too long, or both sides have said goodbye.
    async fn run(mut self) {
        // Without it small frames wait for each other; the connection works all the same.
        let _ = self.stream.set_nodelay(true);
        let wake = Rc::clone(&self.session.wake);
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut chunk = vec![0; CHUNK];
        loop {
            let Ok(()) = self.work() else {
                return;
            };
            if self.session.is_closed() && self.session.out.is_empty() {
                return;
            }
            let interest = match (self.session.is_choked(), self.session.out.is_empty()) {
                (true, _) => Interest::WRITABLE,
                (false, true) => Interest::READABLE,
                (false, false) => Interest::READABLE | Interest::WRITABLE,
            };
            tokio::select! {
                ready = self.stream.ready(interest) => {
                    if !ready.is_ok_and(|ready| !ready.is_readable() || self.read(&mut chunk)) {
                        return;
                    }
                }
                () = wake.notified() => {}
                _ = tick.tick() => {
                    if !self.session.tick(Instant::now()) {
                        return;
                    }
                }
            }
        }
    }

    /// Everything that can be done without waiting.
    fn work(&mut self) -> io::Result<()> {
        loop {
            self.session.process(Instant::now());
            self.session.deliver();
            if self.session.out.is_empty() || !self.flush()? {
                return Ok(());
            }
        }
    }

    /// Whether everything was written.
    fn flush(&mut self) -> io::Result<bool> {
        let out = &mut self.session.out;
        let mut written = 0;
        while written < out.len() {
            match self.stream.try_write(&out[written..]) {
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        out.drain(..written);
        Ok(out.is_empty())
    }

    /// False: the client is gone.
    fn read(&mut self, chunk: &mut [u8]) -> bool {
        match self.stream.try_read(chunk) {
            Ok(0) => false,
            Ok(length) => {
                self.session.receive(&chunk[..length], Instant::now());
                true
            }
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

#[cfg(test)]
mod tests;
