//! One client, from accept to account.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::socket::{SockaddrStorage, getpeername, getsockname};
use socket2::SockRef;
use tokio::net::TcpStream;

use super::account::{Account, Cause, During, Ending};
use super::connect::{self, DialError};
use super::limit::Occupied;
use super::relay::{Relay, Scratch, Side, cause_of};
use super::sight::{Ends, Id, Sight};
use super::vanish::{self, Peer};
use super::worker::{Door, SWEEP, Stage, Worker};
use super::{admit, proxy_protocol};
use crate::config::SendProxy;
use crate::pool::{Choice, Lease, Pool, Request, Seat, Server};
use crate::stats::{Counter, ListenerCounters, ServerCounters};

/// The same server is tried again no sooner than this.
const TURN_AROUND: Duration = Duration::from_secs(1);

/// What the worker asks of a connection from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Look whether the server was revoked or a socket has failed while nobody was reading it.
    Look,
    /// End: silent for the idle timeout.
    EndIdle,
    /// End: the address that the client connected to is not ours any more.
    EndReleased,
    /// End: an operator wants it, for this cause.
    EndFor(Cause),
    /// End: the process stops.
    EndStopped,
}

/// A duration of at most 584 years, in half the space.
#[derive(Debug, Clone, Copy, Default)]
struct Nanoseconds(u64);

impl Nanoseconds {
    fn and(self, more: Duration) -> Self {
        let more = u64::try_from(more.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(more))
    }
}

impl From<Nanoseconds> for Duration {
    fn from(time: Nanoseconds) -> Self {
        Self::from_nanos(time.0)
    }
}

/// What is known of a connection outside its future: what the account needs, and what the worker
/// watches.
pub(super) struct Connection {
    worker: Rc<Worker>,
    door: Rc<Door>,
    client: Cell<SocketAddr>,
    /// The address of ours that it connected to, if some address of ours may go.
    local: Option<IpAddr>,
    /// Whom the client connected to, as a PROXY header gave it.
    destination: OnceCell<Box<SocketAddr>>,
    during: Cell<During>,
    seat: RefCell<Option<Seat>>,
    /// The server used last.
    server: RefCell<Option<Arc<Server>>>,
    accepted_at: Instant,
    choosing: Cell<Nanoseconds>,
    connecting: Cell<Nanoseconds>,
    relaying_since: Cell<Option<Instant>>,
    to_server: Cell<u64>,
    to_client: Cell<u64>,
    /// The configuration allows no more than fit.
    retries: Cell<u8>,
    /// The server's side has its keepalive: armed by the first sweep, so that a connection shorter
    /// than a second does not pay for it.
    guarded: Cell<bool>,
    /// A peer owes us an acknowledgement although nothing moves.
    awaited: Cell<bool>,
    /// Bytes of the client's own came with its PROXY header.
    spoke: Cell<bool>,
    /// The worker's tick at which bytes last moved.
    pub(super) active: Cell<u32>,
    /// The sweep has to look: a direction waits for its sink or has ended, so that a reset of its
    /// source goes unseen, or it holds a pipe.
    pub(super) watched: Cell<bool>,
    order: Cell<Option<Order>>,
    waker: RefCell<Option<Waker>>,
    /// Where the worker keeps it; an [`Id`] has less room for it.
    key: u32,
    /// The task has the socket itself, and removes the connection when it closes it.
    client_socket: RawFd,
    /// As `client_socket`; -1 before there is one.
    server_socket: Cell<RawFd>,
    _slot: Occupied,
}

/// The address of a TCP socket.
fn address(name: SockaddrStorage) -> Option<SocketAddr> {
    let v4 = name.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    let v6 = || {
        name.as_sockaddr_in6()
            .map(|v6| SocketAddr::V6((*v6).into()))
    };
    v4.or_else(v6)
}

/// Starts the task of a connection.
pub(super) fn spawn(
    worker: &Rc<Worker>,
    door: Rc<Door>,
    client: TcpStream,
    peer: SocketAddr,
    slot: Occupied,
) {
    // A socket without an address has failed, and says so when it is read.
    let local = door.moves.then(|| client.local_addr().ok()).flatten();
    let local = local.map(|address| address.ip().to_canonical());
    let mut connections = worker.connections.borrow_mut();
    let place = connections.vacant_entry();
    let connection = Rc::new(Connection {
        worker: Rc::clone(worker),
        door,
        client: Cell::new(peer),
        local,
        destination: OnceCell::new(),
        during: Cell::new(During::Admitting),
        seat: RefCell::new(None),
        server: RefCell::new(None),
        accepted_at: Instant::now(),
        choosing: Cell::default(),
        connecting: Cell::default(),
        relaying_since: Cell::new(None),
        to_server: Cell::new(0),
        to_client: Cell::new(0),
        retries: Cell::new(0),
        guarded: Cell::new(false),
        awaited: Cell::new(false),
        spoke: Cell::new(false),
        active: Cell::new(worker.tick.get()),
        watched: Cell::new(false),
        order: Cell::new(None),
        waker: RefCell::new(None),
        key: u32::try_from(place.key()).unwrap_or(u32::MAX),
        client_socket: client.as_raw_fd(),
        server_socket: Cell::new(-1),
        _slot: slot,
    });
    place.insert(Rc::clone(&connection));
    drop(connections);
    if connection.is_at(&worker.absent.borrow().addresses) {
        connection.give(Order::EndReleased);
    }
    let preparing = Box::pin(prepare(Rc::clone(&connection), client));
    tokio::task::spawn_local(Task {
        connection,
        progress: Progress::Preparing(preparing),
    });
}

/// The whole life of a connection that is not taken, because its address is not ours any more: the
/// coming close of its socket sends RST.
pub(super) fn turn_away(worker: &Worker, door: &Door, client: &impl AsFd, peer: SocketAddr) {
    reset(client);
    door.listener.counters.of(worker.index).accepted.add(1);
    let account = Account {
        client: peer,
        choosing: Duration::ZERO,
        connecting: Duration::ZERO,
        relaying: Duration::ZERO,
        total: Duration::ZERO,
        to_server: 0,
        to_client: 0,
        retries: 0,
        ending: Ending {
            cause: Cause::AddressReleased,
            during: During::Admitting,
        },
    };
    worker.record(&account, door, None);
}

/// The task of a connection, from accept to account. Tens of thousands may be idle, so that every
/// byte of it counts: an `async fn` keeps its arguments twice, and what is borrowed from them, too.
struct Task {
    connection: Rc<Connection>,
    progress: Progress,
}

enum Progress {
    /// What happens before the relay needs more memory than the relay: it lives in a box of its
    /// own, which is gone while the connection is idle.
    Preparing(Pin<Box<dyn Future<Output = Prepared>>>),
    Relaying {
        client: TcpStream,
        server: TcpStream,
        relay: Relay,
    },
    Over,
}

/// The client, with a server and what to do with both, or the ending of a connection that never was
/// relayed.
type Prepared = (TcpStream, Result<(TcpStream, Relay), Cause>);

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self {
            connection,
            progress,
        } = &mut *self;
        if let Progress::Preparing(preparing) = progress {
            let (client, prepared) = ready!(preparing.as_mut().poll(cx));
            *progress = match prepared {
                Ok((server, relay)) => Progress::Relaying {
                    client,
                    server,
                    relay,
                },
                Err(cause) => {
                    end_client(client, cause);
                    connection.close(cause);
                    Progress::Over
                }
            };
        }
        if let Progress::Relaying {
            client,
            server,
            relay,
        } = progress
        {
            connection.watch(cx);
            let cause = ready!(relay.poll(cx, client, server, connection));
            relay.release(&connection.worker.scratch.pipes);
            if let Progress::Relaying { client, server, .. } =
                std::mem::replace(progress, Progress::Over)
            {
                end_server(server, cause);
                end_client(client, cause);
            }
            connection.close(cause);
        }
        Poll::Ready(())
    }
}

/// Closes the server's side: in order if it has left in order, or is gone, else by a reset.
fn end_server(server: TcpStream, cause: Cause) {
    if !matches!(
        cause,
        Cause::ClientClosed | Cause::ServerClosed | Cause::ServerReset
    ) {
        reset(&server);
    }
}

/// As [`end_server`].
fn end_client(client: TcpStream, cause: Cause) {
    if !matches!(
        cause,
        Cause::ClientClosed | Cause::ServerClosed | Cause::ClientReset
    ) {
        reset(&client);
    }
}

/// Admit, choose, dial.
async fn prepare(connection: Rc<Connection>, client: TcpStream) -> Prepared {
    let prepared = async {
        let early = admit::admit(&connection, &client).await?;
        connection.spoke.set(!early.is_empty());
        let server = obtain(&connection, &client).await?;
        connection.start_relaying(&server);
        Ok((server, Relay::new(early)))
    };
    let prepared = prepared.await;
    (client, prepared)
}

/// Makes the coming close of a socket send RST.
pub(super) fn reset(stream: &impl AsFd) {
    // A socket that refuses the option is gone already.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// A connection to a server, elsewhere if the first choice fails. Nothing of the client's has been
/// forwarded yet, so trying again cannot double a byte.
async fn obtain(connection: &Connection, client: &TcpStream) -> Result<TcpStream, Cause> {
    let pool = &connection.door.pool;
    let worker = connection.worker.index;
    let counters = |server: &Server, count: fn(&ServerCounters) -> &Counter| {
        count(server.counters.of(worker)).add(1);
    };
    pool.counters.of(worker).sessions.add(1);
    let mut tried: Vec<Arc<Server>> = Vec::new();
    let mut failed: Option<(Arc<Server>, Cause)> = None;
    loop {
        connection.during.set(During::Choosing);
        let since = Instant::now();
        let leased = lease(connection, client, pool, &tried).await;
        connection.choosing.update(|time| time.and(since.elapsed()));
        let lease = match (leased, &failed) {
            (Ok(lease), _) => lease,
            (Err(Cause::NoServer), Some((server, cause))) if !tried.is_empty() => {
                // All that is left was tried. A broker that restarts is back in a moment.
                counters(server, |server| &server.retries);
                turn_around(connection, client, pool).await?;
                if pool.usable() == (0, 0) {
                    return Err(connection.unreachable(server, *cause));
                }
                tried.clear();
                failed = None;
                continue;
            }
            (Err(cause), _) => return Err(connection.refused(cause)),
        };
        let server = Arc::clone(lease.seat.server());
        if let Some((before, _)) = &failed {
            counters(before, |server| &server.redispatches);
        }
        connection.server.replace(Some(Arc::clone(&server)));
        connection.during.set(During::Connecting);
        let since = Instant::now();
        let dialled = dial(connection, client, pool, lease).await;
        connection
            .connecting
            .update(|time| time.and(since.elapsed()));
        let error = match dialled? {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        counters(&server, |server| &server.failed_attempts);
        server.suspect();
        tracing::debug!(
            server = %server.name, client = %connection.client.get(), %error,
            "connection attempt failed"
        );
        if u32::from(connection.retries.get()) >= pool.setup().config.retries {
            return Err(connection.unreachable(&server, error.cause()));
        }
        connection.retries.set(connection.retries.get() + 1);
        tried.push(Arc::clone(&server));
        failed = Some((server, error.cause()));
    }
}

/// The pause before servers that were tried are tried again.
async fn turn_around(
    connection: &Connection,
    client: &TcpStream,
    pool: &Pool,
) -> Result<(), Cause> {
    let pause = TURN_AROUND.min(pool.setup().config.connect_timeout);
    connection
        .unless_ordered(client, tokio::time::sleep(pause))
        .await
}

/// A server's slot, waiting for one if all are taken.
async fn lease(
    connection: &Connection,
    client: &TcpStream,
    pool: &Arc<Pool>,
    tried: &[Arc<Server>],
) -> Result<Lease, Cause> {
    let request = Request {
        client: connection.client.get().ip(),
        draw: connection.worker.random(),
        tried,
    };
    match pool.choose(&request) {
        Choice::Leased(lease) => Ok(lease),
        Choice::NoServer => Err(Cause::NoServer),
        Choice::QueueFull => Err(Cause::QueueFull),
        Choice::Wait(waiting) => {
            let timeout = pool.setup().config.queue_timeout;
            let waiting = tokio::time::timeout(timeout, waiting);
            match connection.unless_ordered(client, waiting).await? {
                Ok(lease) => lease.ok_or(Cause::NoServer),
                Err(_elapsed) => Err(Cause::QueueTimeout),
            }
        }
    }
}

/// One attempt on the leased server. The lease stays with the connection if it succeeds.
async fn dial(
    connection: &Connection,
    client: &TcpStream,
    pool: &Pool,
    lease: Lease,
) -> Result<Result<TcpStream, DialError>, Cause> {
    let server = lease.seat.server();
    let counters = server.counters.of(connection.worker.index);
    counters.attempts.add(1);
    let greeting = server.config().send_proxy;
    let source = connection.client.get();
    let greet = |fallback| match greeting {
        SendProxy::Off => Vec::new(),
        SendProxy::V1 | SendProxy::V2 => {
            let ours = || client.local_addr().unwrap_or(fallback);
            let destination = connection.destination.get();
            let destination = destination.map_or_else(ours, |destination| **destination);
            proxy_protocol::encode(greeting, source, destination)
        }
    };
    let timeout = pool.setup().config.connect_timeout;
    let dialling = connect::dial(lease.address, timeout, greet);
    let dialled = connection.unless_ordered(client, dialling).await?;
    if dialled.is_ok() {
        connection.seat.replace(Some(lease.seat));
    }
    Ok(dialled)
}

impl Connection {
    /// The configuration of its listener when it was accepted.
    pub(super) fn config(&self) -> &crate::config::Listener {
        &self.door.config
    }

    pub(super) fn scratch(&self) -> &Scratch {
        &self.worker.scratch
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.client.get()
    }

    /// The client's address, and the one it connected to, as a PROXY header gave them.
    pub(super) fn set_ends(&self, peer: SocketAddr, destination: SocketAddr) {
        self.client.set(peer);
        // There is one header.
        let _ = self.destination.set(Box::new(destination));
    }

    /// Counts a connection that got no server, for `cause`.
    fn refused(&self, cause: Cause) -> Cause {
        let counters = self.door.pool.counters.of(self.worker.index);
        if cause == Cause::NoServer {
            counters.no_server.add(1);
        } else if cause == Cause::QueueFull {
            counters.queue_full.add(1);
        } else if cause == Cause::QueueTimeout {
            counters.queue_timeout.add(1);
        }
        cause
    }

    /// Counts a connection whose last attempt failed for `cause`.
    fn unreachable(&self, server: &Server, cause: Cause) -> Cause {
        let counters = server.counters.of(self.worker.index);
        counters.connect_errors.add(1);
        cause
    }

    /// What our worker counts for the listener.
    fn counters(&self) -> &ListenerCounters {
        self.door.listener.counters.of(self.worker.index)
    }

    pub(super) fn admitted(&self) {
        self.counters().sessions.add(1);
    }

    /// Counts bytes as they are passed on, once per wake.
    pub(super) fn moved(&self, to_server: u64, to_client: u64) {
        if to_server + to_client == 0 {
            return;
        }
        self.active.set(self.worker.tick.get());
        self.to_server.set(self.to_server.get() + to_server);
        self.to_client.set(self.to_client.get() + to_client);
        let listener = self.counters();
        listener.bytes_in.add(to_server);
        listener.bytes_out.add(to_client);
        if let Some(server) = &*self.server.borrow() {
            let server = server.counters.of(self.worker.index);
            server.bytes_in.add(to_server);
            server.bytes_out.add(to_client);
        }
    }

    pub(super) fn spliced(&self, bytes: usize) {
        self.worker.counters.spliced.add(bytes as u64);
    }

    /// No byte has moved for a whole sweep.
    pub(super) fn is_quiet(&self) -> bool {
        self.worker.tick.get().wrapping_sub(self.active.get()) > 1
    }

    fn start_relaying(&self, server: &TcpStream) {
        self.server_socket.set(server.as_raw_fd());
        self.during.set(During::Relaying);
        self.relaying_since.set(Some(Instant::now()));
        self.active.set(self.worker.tick.get());
        if let Some(server) = &*self.server.borrow() {
            server.counters.of(self.worker.index).sessions.add(1);
        }
    }

    /// Remembers whom to wake when there is an order.
    pub(super) fn watch(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|known| known.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Gives an order. A stronger one is not replaced by a weaker one.
    pub(super) fn give(&self, order: Order) {
        if order != Order::Look || self.order.get().is_none() {
            self.order.set(Some(order));
        }
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// What somebody who asks may know of it.
    pub(super) fn sight(&self) -> Sight {
        let worker = &self.worker;
        let server = self.server.borrow();
        let accepted = self
            .accepted_at
            .saturating_duration_since(worker.registry.started);
        let age = self.accepted_at.elapsed();
        let time_of_day = SystemTime::now().duration_since(UNIX_EPOCH);
        Sight {
            id: Id::new(worker.index, self.key as usize, accepted),
            client: self.client.get(),
            listener: Arc::clone(&self.door.listener.name),
            listener_number: self.door.listener.number,
            pool: Arc::clone(&self.door.pool.name),
            pool_number: self.door.pool.number,
            server: server.as_ref().map(|one| Arc::clone(&one.name)),
            server_number: server.as_ref().map(|one| one.number),
            during: self.during.get(),
            accepted_at: time_of_day.unwrap_or_default().saturating_sub(age),
            age,
            // It is counted in sweeps, which do not begin with the connection.
            silence: self.silence().min(age),
            to_server: self.to_server.get(),
            to_client: self.to_client.get(),
            retries: self.retries.get().into(),
            ends: Ends::default(),
        }
    }

    /// [`Connection::sight`] with the addresses of its sockets, for which the kernel is asked: they
    /// are not worth the memory that keeping them would take.
    pub(super) fn full_sight(&self) -> Sight {
        let server = Some(self.server_socket.get()).filter(|socket| *socket >= 0);
        let own = |socket| address(getsockname(socket).ok()?);
        let theirs = |socket| address(getpeername(socket).ok()?);
        let destination = self.destination.get().map(|destination| **destination);
        Sight {
            ends: Ends {
                listener: destination.or_else(|| own(self.client_socket)),
                local: server.and_then(own),
                server: server.and_then(theirs),
            },
            ..self.sight()
        }
    }

    /// Whether the client connected to one of these addresses.
    pub(super) fn is_at(&self, addresses: &[IpAddr]) -> bool {
        self.local.is_some_and(|local| addresses.contains(&local))
    }

    /// Whether the sweep should look at this connection every time.
    pub(super) fn wants_a_look(&self) -> bool {
        self.watched.get() || !self.guarded.get() || self.has_fallen_quiet() || self.is_overdue()
    }

    /// Whether this is the first sweep at which [`Connection::is_quiet`]: the relay makes sure that
    /// nothing was left unread.
    fn has_fallen_quiet(&self) -> bool {
        self.worker.tick.get().wrapping_sub(self.active.get()) == 2
    }

    /// Whether an order waits to be taken.
    pub(super) fn has_order(&self) -> bool {
        self.order.get().is_some()
    }

    /// For how long no byte has moved.
    pub(super) fn silence(&self) -> Duration {
        SWEEP * self.worker.tick.get().wrapping_sub(self.active.get())
    }

    /// Whether it is time to ask what the kernel knows of the peers: once when nothing has moved
    /// for so long that one of them may have vanished, and seldom from then on.
    fn is_overdue(&self) -> bool {
        const AGAIN: u64 = 16;
        let since = self.silence().checked_sub(vanish::PATIENCE);
        since.is_some_and(|since| {
            since.is_zero() || self.awaited.get() && since.as_secs().is_multiple_of(AGAIN)
        })
    }

    /// Which peer has vanished while data was on its way to it.
    fn vanished(&self, client: &TcpStream, server: &TcpStream) -> Option<Cause> {
        if self.silence() < vanish::PATIENCE {
            return None;
        }
        let [client, server] = [client, server].map(vanish::look);
        self.awaited.set([client, server].contains(&Peer::Awaited));
        match (client, server) {
            (Peer::Gone, _) => Some(Cause::ClientVanished),
            (_, Peer::Gone) => Some(Cause::ServerVanished),
            _ => None,
        }
    }

    /// How long the connection may be silent.
    pub(super) fn idle_timeout(&self) -> Option<Duration> {
        self.relaying_since.get()?;
        self.door.pool.idle_timeout()
    }

    /// Takes the order, if there is one that ends the connection.
    pub(super) fn order(&self, client: &TcpStream, server: Option<&TcpStream>) -> Option<Cause> {
        match self.order.take()? {
            Order::EndIdle => Some(Cause::IdleTimeout),
            Order::EndReleased => Some(Cause::AddressReleased),
            Order::EndFor(cause) => Some(cause),
            Order::EndStopped => Some(Cause::Stopped),
            Order::Look => {
                if let Some(seat) = &*self.seat.borrow() {
                    if seat.is_revoked() {
                        return Some(Cause::ServerDown);
                    }
                    if seat.is_ended() {
                        return Some(Cause::EndedByOperator);
                    }
                }
                if let Some(server) = server
                    && !self.guarded.replace(true)
                {
                    connect::guard(server);
                }
                let failed = |side, stream: &TcpStream| {
                    vanish::failure(stream).map(|error| cause_of(side, &error))
                };
                // A reset first: it can look like an end.
                failed(Side::Client, client).or_else(|| match server {
                    Some(server) => {
                        failed(Side::Server, server).or_else(|| self.vanished(client, server))
                    }
                    None => self.has_left(client).then_some(Cause::ClientClosed),
                })
            }
        }
    }

    /// Whether a client that waits for a server has closed without ever saying anything: it has
    /// nothing to be served. One that said something may have closed its half only.
    fn has_left(&self, client: &TcpStream) -> bool {
        matches!(self.during.get(), During::Choosing | During::Connecting)
            && !self.spoke.get()
            && matches!(
                SockRef::from(client).peek(&mut [MaybeUninit::uninit()]),
                Ok(0)
            )
    }

    /// Awaits `future`, unless an order ends the connection first.
    pub(super) async fn unless_ordered<F: Future>(
        &self,
        client: &TcpStream,
        future: F,
    ) -> Result<F::Output, Cause> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            self.watch(cx);
            if let Some(cause) = self.order(client, None) {
                return Poll::Ready(Err(cause));
            }
            future.as_mut().poll(cx).map(Ok)
        })
        .await
    }

    /// Gives the slots back, writes the account and leaves the worker's table; the last thing that
    /// happens to a connection.
    fn close(&self, cause: Cause) {
        drop(self.seat.take());
        let mut during = self.during.get();
        if during == During::Relaying && self.worker.stage.get() != Stage::Running {
            during = During::Draining;
        }
        let account = Account {
            client: self.client.get(),
            choosing: self.choosing.get().into(),
            connecting: self.connecting.get().into(),
            relaying: self
                .relaying_since
                .get()
                .map_or(Duration::ZERO, |since| since.elapsed()),
            total: self.accepted_at.elapsed(),
            to_server: self.to_server.get(),
            to_client: self.to_client.get(),
            retries: self.retries.get().into(),
            ending: Ending { cause, during },
        };
        self.worker
            .record(&account, &self.door, self.server.borrow().as_deref());
        self.worker
            .connections
            .borrow_mut()
            .remove(self.key as usize);
        self.worker.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the two counts of its `Rc` and what the allocator adds it fills 272 bytes: one more,
    /// and each connection takes 16 more.
    #[test]
    fn a_connection_is_no_larger_than_what_is_allocated_for_it() {
        assert!(size_of::<Connection>() <= 248);
    }
}
