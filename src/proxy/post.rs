//! A socket that listens, and for which listener. A reload can give it to another listener; it is
//! shut when its listener is closed or its address is not in the configuration any more, at once,
//! whatever its task is at.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::rc::Rc;

use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::worker::{Door, Worker};
use super::{connection, listener};

/// A socket that listens.
pub(super) struct Post {
    /// As the configuration has it.
    pub(super) address: SocketAddr,
    door: RefCell<Rc<Door>>,
    socket: RefCell<io::Result<Rc<TcpListener>>>,
    /// Who was accepted already, but waits for a slot, as those in the backlog do. Others waited
    /// behind them who had to be reset.
    pub(super) early: RefCell<VecDeque<Early>>,
    leaving: Cell<bool>,
    task: OnceCell<AbortHandle>,
}

/// A client that was accepted, and its address.
pub(super) type Early = (StdStream, SocketAddr);

impl Post {
    /// Begins to accept.
    pub(super) fn begin(
        worker: &Rc<Worker>,
        door: &Rc<Door>,
        (address, socket): (SocketAddr, StdListener),
    ) -> Rc<Self> {
        let post = Rc::new(Self {
            address,
            door: RefCell::new(Rc::clone(door)),
            socket: RefCell::new(TcpListener::from_std(socket).map(Rc::new)),
            early: RefCell::default(),
            leaving: Cell::new(false),
            task: OnceCell::new(),
        });
        let accepting = listener::run(Rc::clone(worker), Rc::clone(&post));
        let task = tokio::task::spawn_local(accepting).abort_handle();
        // It is new, so there is none.
        let _ = post.task.set(task);
        post
    }

    /// For whom it accepts.
    pub(super) fn door(&self) -> Rc<Door> {
        Rc::clone(&self.door.borrow())
    }

    /// Accepts for another listener, or the same one with other settings.
    pub(super) fn serve(&self, door: &Rc<Door>) {
        self.door.replace(Rc::clone(door));
    }

    /// The socket, or what is wrong with it.
    pub(super) fn socket(&self) -> io::Result<Rc<TcpListener>> {
        match &*self.socket.borrow() {
            Ok(socket) => Ok(Rc::clone(socket)),
            Err(error) => Err(io::Error::from(error.kind())),
        }
    }

    /// Goes on with another socket, or with what is wrong with it.
    pub(super) fn replace(&self, socket: io::Result<TcpListener>) {
        *self.socket.borrow_mut() = socket.map(Rc::new);
    }

    /// Shuts the socket.
    pub(super) fn shut(&self) {
        let socket = self.socket.replace(Err(ErrorKind::NotConnected.into()));
        if let Ok(socket) = socket {
            listener::shut(&*socket);
        }
    }

    /// Lets in who waits in the backlog, unless the listener is closed, and accepts no more.
    pub(super) fn leave(&self, worker: &Rc<Worker>) {
        self.leaving.set(true);
        self.let_early_in(worker);
        if let Ok(socket) = self.socket() {
            listener::take_in(worker, &self.door(), &socket);
        }
        self.shut();
    }

    /// Lets in who was accepted already; resets them if the listener is closed, as the kernel does
    /// with those in the backlog.
    fn let_early_in(&self, worker: &Rc<Worker>) {
        let door = self.door();
        for early in self.early.take() {
            match door.listener.open.is_closed() {
                true => connection::reset(&early.0),
                false => listener::let_in(worker, &door, early),
            }
        }
    }

    /// Whether somebody may wait for it who came to one of these addresses.
    pub(super) fn serves_any_of(&self, addresses: &[IpAddr]) -> bool {
        let own = self.address.ip();
        !addresses.is_empty() && (own.is_unspecified() || addresses.contains(&own.to_canonical()))
    }

    /// Whether it accepts no more.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.get()
    }

    /// Ends its task as it is. The service manager may go on with the socket, but not with those
    /// who have left its backlog already.
    pub(super) fn stop(&self, worker: &Rc<Worker>) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
        self.let_early_in(worker);
    }
}
