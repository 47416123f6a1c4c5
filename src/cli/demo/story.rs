//! What happens in the demo, in order, and what is measured on the way.
//!
//! The brokers and the clients are tasks of one runtime on the main thread; warren has threads of
//! its own, as it has in earnest, and is told nothing but its configuration.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;

use super::broker::Broker;
use super::cluster::Cluster;
use super::load::Load;
use super::screen::{Row, Screen};
use super::setup;
use super::summary::{Outcome, Spread};
use crate::daemon::{self, Running, StartError};
use crate::pool::Pool;
use crate::pool::server::{ServerSnapshot, State};

pub(super) const SERVERS: [&str; 3] = ["rabbit-1", "rabbit-2", "rabbit-3"];
/// The one that is killed.
const VICTIM: usize = 1;
/// Clients that are just connected: from the start, and those that come at the end.
const QUIET: u16 = 24;
const NEWCOMERS: u16 = 16;
/// Nothing is waited for any longer after this, and the summary comes.
const LIMIT: Duration = Duration::from_secs(23);
/// How long one thing may take.
const PATIENCE: Duration = Duration::from_secs(8);
/// How often we look at the pool, and how often the table is drawn.
const BEAT: Duration = Duration::from_millis(20);
const FRAME: Duration = Duration::from_millis(250);

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub(super) enum DemoError {
    #[error("the brokers cannot listen on 127.0.0.1")]
    Broker(#[source] io::Error),
    #[error("warren cannot start")]
    Start(#[from] StartError),
    #[error("a thread cannot be started or joined")]
    Thread(#[from] JoinError),
}

/// Plays the demo, prints the summary and returns whether all is well. With `stay` it goes on
/// until Ctrl-C.
pub(super) async fn play(stay: bool) -> Result<bool, DemoError> {
    let started = Instant::now();
    let mut screen = Screen::new(started);
    let cluster = Rc::new(RefCell::new(Cluster::new()));
    let mut brokers = Vec::new();
    for name in SERVERS {
        let mut broker = Broker::new(name, Ipv4Addr::LOCALHOST, Rc::clone(&cluster))
            .map_err(DemoError::Broker)?;
        broker.start().map_err(DemoError::Broker)?;
        screen.event(
            Instant::now(),
            format_args!("{name} runs at {}", broker.address),
        );
        brokers.push(broker);
    }
    let servers = brokers.iter().map(|broker| (broker.name, broker.address));
    let config = Arc::new(setup::config(servers));
    // It waits for the first health checks, which the brokers on this thread have to answer.
    let running = spawn_blocking(|| daemon::start(config)).await??;
    let mut story = Story::new(brokers, &running, screen, started);
    // It accepts since the first checks ended.
    story.notice(Instant::now());
    let address = story.address;
    story.say(format_args!(
        "warren balances amqp://guest:guest@{address}/"
    ));
    let spreads = story.play(stay).await;
    let good = story.finish(spreads, !stay).await;
    spawn_blocking(|| running.stop(Duration::from_secs(1))).await?;
    Ok(good)
}

/// Connections and clients before the kill, while the victim was dead, at the end.
type Spreads = [(Spread, usize); 3];

struct Story {
    brokers: Vec<Broker>,
    /// Warren's listener.
    address: SocketAddr,
    pool: Arc<Pool>,
    load: Load,
    screen: Screen,
    deadline: Instant,
    drawn: Instant,
    states: Vec<State>,
    killed: Option<Instant>,
    out_after: Option<Duration>,
    back_after: Option<Duration>,
}

impl Story {
    fn new(brokers: Vec<Broker>, running: &Running, screen: Screen, started: Instant) -> Self {
        let address = running.addresses[0][0];
        Self {
            brokers,
            address,
            pool: Arc::clone(&running.registry.scene().pools[0]),
            load: Load::start(address, QUIET),
            screen,
            deadline: started + LIMIT,
            drawn: started,
            states: vec![State::Unknown; SERVERS.len()],
            killed: None,
            out_after: None,
            back_after: None,
        }
    }

    async fn play(&mut self, stay: bool) -> Spreads {
        self.until(PATIENCE, |story| story.load.is_complete()).await;
        let clients = self.load.clients;
        self.say(format_args!("{clients} clients are connected"));
        self.pass(Duration::from_secs(4)).await;
        let before = self.spread();

        self.kill().await;
        self.pass(Duration::from_secs(4)).await;
        let dead = self.spread();

        self.revive().await;
        self.pass(Duration::from_secs(4)).await;
        let end = self.spread();
        if stay {
            self.stay().await;
        }
        [before, dead, end]
    }

    async fn kill(&mut self) {
        let cut_before = self.load.shared.cut.get();
        let (spread, clients) = self.spread();
        let connections = spread[VICTIM];
        // With `--stay` somebody else may be connected, to the victim or not.
        let open: u64 = spread.iter().copied().map(u64::from).sum();
        let strangers = open.saturating_sub(clients as u64);
        let own = u64::from(connections).saturating_sub(strangers);
        let killed = Instant::now();
        self.killed = Some(killed);
        self.brokers[VICTIM].kill();
        let name = SERVERS[VICTIM];
        self.say(format_args!(
            "{name} is killed; {connections} clients are connected to it"
        ));
        let back = |story: &Self| {
            let cut = story.load.shared.cut.get() - cut_before;
            cut >= own && story.load.is_complete()
        };
        if self.until(PATIENCE, back).await {
            let at = self.load.shared.last_connected.get();
            self.back_after = Some(at - killed);
            self.screen.event(at, "every client is connected again");
        }
        self.until(PATIENCE, |story| story.out_after.is_some())
            .await;
    }

    async fn revive(&mut self) {
        let name = SERVERS[VICTIM];
        if let Err(error) = self.brokers[VICTIM].start() {
            // The rest shows in the numbers: it will have no connections at the end.
            self.say(format_args!("{name} cannot be started again: {error}"));
            return;
        }
        self.say(format_args!("{name} is started again"));
        self.until(PATIENCE, |story| story.states[VICTIM] == State::Up)
            .await;
        self.load.add_quiet(NEWCOMERS);
        self.say(format_args!("{NEWCOMERS} new clients connect"));
        self.until(PATIENCE, |story| story.load.is_complete()).await;
    }

    async fn stay(&mut self) {
        let address = self.address;
        self.say(format_args!(
            "try it at amqp://guest:guest@{address}/ until Ctrl-C"
        ));
        let interrupted = tokio::signal::ctrl_c();
        tokio::pin!(interrupted);
        loop {
            tokio::select! {
                _ = &mut interrupted => break,
                () = self.beat() => {}
            }
        }
        self.deadline = Instant::now() + PATIENCE;
    }

    /// Lets the clients finish and sums up. True: all is well.
    async fn finish(mut self, [before, dead, end]: Spreads, alone: bool) -> bool {
        self.say("publishers stop; what is on its way arrives");
        self.load.drain();
        self.until(PATIENCE, |story| story.load.is_drained()).await;
        let outcome = Outcome {
            servers: SERVERS.to_vec(),
            victim: VICTIM,
            before,
            dead,
            end,
            alone,
            messages: self.load.leave().await,
            out_after: self.out_after,
            back_after: self.back_after,
        };
        self.screen.text(&outcome);
        self.screen.judge(&outcome.complaints())
    }

    fn say(&mut self, text: impl std::fmt::Display) {
        self.screen.event(Instant::now(), text);
    }

    fn spread(&self) -> (Spread, usize) {
        let servers = self.pool.snapshot(Instant::now());
        let open = servers.iter().map(|server| server.open).collect();
        (open, self.load.clients)
    }

    /// Lets time pass.
    async fn pass(&mut self, time: Duration) {
        self.until(time, |_| false).await;
    }

    /// Lets time pass until something is done. False: it took longer than `patience`.
    async fn until(&mut self, patience: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let deadline = self.deadline.min(Instant::now() + patience);
        while !done(self) {
            if Instant::now() >= deadline {
                return false;
            }
            self.beat().await;
        }
        true
    }

    /// Tells which servers changed their state, in the order in which they did.
    fn notice(&mut self, now: Instant) -> Vec<ServerSnapshot> {
        let servers = self.pool.snapshot(now);
        let mut changed: Vec<usize> = (0..servers.len())
            .filter(|&index| servers[index].state != self.states[index])
            .collect();
        changed.sort_by_key(|&index| servers[index].since);
        for index in changed {
            let server = &servers[index];
            self.states[index] = server.state;
            let detail = server
                .check
                .as_ref()
                .map_or("", |check| &check.result.detail);
            let (name, state) = (SERVERS[index], server.state.name());
            self.screen
                .event(server.since, format_args!("{name} is {state}: {detail}"));
            if let Some(killed) = self.killed
                && (index, server.state) == (VICTIM, State::Down)
            {
                let after = server.since.saturating_duration_since(killed);
                self.out_after.get_or_insert(after);
            }
        }
        servers
    }

    /// Sleeps a moment, then looks at the pool and keeps the screen up to date.
    async fn beat(&mut self) {
        sleep(BEAT).await;
        let now = Instant::now();
        let servers = self.notice(now);
        if now - self.drawn < FRAME {
            return;
        }
        self.drawn = now;
        let row = |(name, server): (&&'static str, &ServerSnapshot)| Row {
            name,
            state: server.state.name(),
            open: server.open,
            total: server.leased_total,
        };
        let rows: Vec<Row> = SERVERS.iter().zip(&servers).map(row).collect();
        let totals = self.load.shared.ledger.borrow().totals();
        self.screen.draw("server", &rows, totals, now);
    }
}
