//! The HTTP side: it tells, and changes nothing.
//!
//! | path | what |
//! |---|---|
//! | `/` | the status page, which asks for `/status.json` |
//! | `/status.json` | `warren status --json` with events and charts |
//! | `/metrics` | for Prometheus, see [`crate::stats::metrics`] |
//! | `/healthz` | 200 while every thread makes progress |
//! | `/readyz` | 200 while this node would serve |
//! | `/;csv`, `/;json`, `/stats;csv`, ... | HAProxy's `show stat` |
//!
//! One request per connection. It runs on the control thread beside checks and the stats socket, so
//! clients, the sizes of requests and all times have limits, and what may be long is written in
//! pieces. [`request`] and [`route`] understand, `answer` answers, `client` carries the bytes.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;

use super::Hands;
use super::guests::{ACCEPT_PAUSE, Guests};
use crate::stats::chart::{Charts, STEP};
use crate::stats::snapshot::Snapshot;

mod answer;
mod client;
mod live;
mod page;
pub mod request;
pub mod route;

/// How long to wait before an address is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// What the HTTP side tells.
pub struct Side {
    hands: Rc<Hands>,
    charts: Rc<RefCell<Charts>>,
}

impl Side {
    /// With empty charts.
    #[must_use]
    pub fn new(hands: &Rc<Hands>) -> Rc<Self> {
        Rc::new(Self {
            hands: Rc::clone(hands),
            charts: Rc::default(),
        })
    }

    fn snapshot(&self) -> Snapshot {
        self.hands.registry.snapshot(Instant::now())
    }

    fn events(&self) -> String {
        self.hands.events.text(0)
    }

    fn charts(&self) -> Rc<RefCell<Charts>> {
        Rc::clone(&self.charts)
    }

    /// The thread that makes no progress, in words. A daemon that stops is not stuck: its workers
    /// end one after the other.
    fn stuck(&self) -> Option<String> {
        self.hands.registry.progress.stuck()
    }

    /// Takes a sample of every server now and then.
    async fn draw(&self) {
        let mut step = tokio::time::interval(STEP);
        step.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            step.tick().await;
            self.charts.borrow_mut().sample(&self.snapshot());
        }
    }
}

/// Serves the HTTP side at an address on the current `LocalSet`, for ever. An address that cannot
/// be had keeps nobody's connections waiting: it is told once and tried again.
pub async fn serve(address: SocketAddr, side: Rc<Side>) {
    let drawing = side.draw();
    let accepting = async {
        let listener = bind(address).await;
        let mut guests = Guests::default();
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let side = Rc::clone(&side);
                    guests.add(|moved| client::serve(stream, side, moved));
                }
                Err(error) => {
                    tracing::warn!(%error, "the HTTP side could not accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::join!(drawing, accepting);
}

async fn bind(address: SocketAddr) -> TcpListener {
    let mut told = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                tracing::info!(%address, "HTTP side");
                return listener;
            }
            Err(error) if !told => {
                tracing::error!(%address, %error, "the HTTP side has no address, and tries again");
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests;
