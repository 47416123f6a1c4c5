//! The pair: two nodes, each a real `warren run` on a host of its own, share a virtual address. The
//! master is killed while clients publish and consume through the address, and comes back.
//!
//! The hosts are network namespaces in a user namespace, so that nobody has to be root; brokers and
//! clients are tasks of this process, which is a host of that network, too.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv4Net};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;

use super::broker::Broker;
use super::cluster::Cluster;
use super::load::Load;
use super::network::{Host, Network, NetworkError};
use super::screen::{Row, Screen};
use super::setup;
use super::story::SERVERS;
use super::summary::pair::{Outcome, States};
use crate::cli::ask;
use crate::stats::snapshot::Snapshot;

const NODES: [&str; 2] = ["node-a", "node-b"];
/// The master, as long as it lives.
const FIRST: usize = 0;
const SECOND: usize = 1;
const PRIORITIES: [u8; 2] = [150, 100];

/// For documentation (RFC 5737): no real host has these addresses.
const CLIENTS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const HOSTS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 11), Ipv4Addr::new(192, 0, 2, 12)];
const VIRTUAL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
const PREFIX: u8 = 24;
const PORT: u16 = 5672;

/// Clients that are just connected.
const QUIET: u16 = 24;
/// Nothing is waited for any longer after this, and the summary comes.
const LIMIT: Duration = Duration::from_secs(14);
/// How long one thing may take.
const PATIENCE: Duration = Duration::from_secs(4);
const BEAT: Duration = Duration::from_millis(10);
const FRAME: Duration = Duration::from_millis(250);

/// Why there is no pair.
#[derive(Debug, thiserror::Error)]
pub(super) enum PairError {
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error("the brokers cannot listen on {CLIENTS}")]
    Broker(#[source] io::Error),
    #[error("no folder for the nodes' files")]
    Folder(#[source] io::Error),
    #[error("a node cannot be started")]
    Node(#[source] io::Error),
    #[error("a thread cannot be joined")]
    Thread(#[from] JoinError),
}

/// The network of the pair. To be built while this process has one thread.
pub(super) struct Stage {
    // First, so that nobody uses the network any more when it goes.
    hosts: [Host; 2],
    _network: Network,
}

impl Stage {
    /// # Errors
    ///
    /// See [`Network::enter`].
    pub(super) fn build() -> Result<Self, NetworkError> {
        let mut network = Network::enter(on_the_network(CLIENTS))?;
        let [first, second] = HOSTS.map(on_the_network);
        let hosts = [
            network.add(NODES[FIRST], first)?,
            network.add(NODES[SECOND], second)?,
        ];
        Ok(Self {
            hosts,
            _network: network,
        })
    }
}

fn on_the_network(address: Ipv4Addr) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(address, PREFIX))
}

/// Plays it, prints the summary and returns whether all is well.
pub(super) async fn play(stage: Stage) -> Result<bool, PairError> {
    let started = Instant::now();
    let folder = Folder::new().map_err(PairError::Folder)?;
    let cluster = Rc::new(RefCell::new(Cluster::new()));
    let mut brokers = Vec::new();
    for name in SERVERS {
        let broker = Broker::new(name, CLIENTS, Rc::clone(&cluster));
        let mut broker = broker.map_err(PairError::Broker)?;
        broker.start().map_err(PairError::Broker)?;
        brokers.push(broker);
    }
    let servers: Vec<_> = brokers.iter().map(|b| (b.name, b.address)).collect();
    let mut nodes = Vec::new();
    for (index, host) in stage.hosts.into_iter().enumerate() {
        let node = Node::new(index, host, &folder.0, &servers);
        nodes.push(node.map_err(PairError::Folder)?);
    }
    let pair = Pair {
        nodes,
        load: Load::start(SocketAddr::from((VIRTUAL, PORT)), QUIET),
        screen: Screen::new(started),
        deadline: started + LIMIT,
        drawn: started,
        killed: None,
        taken_over: None,
        released: None,
    };
    pair.play().await
}

/// A folder that only we can look into, and that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("warren-demo-{}", std::process::id()));
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it is in a folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One of the two nodes.
struct Node {
    name: &'static str,
    host: Host,
    config: PathBuf,
    socket: PathBuf,
    process: Option<Child>,
    /// What its virtual router is, or `dead`, or `starting`.
    state: String,
    seen: Option<Snapshot>,
}

impl Node {
    fn new(
        index: usize,
        host: Host,
        folder: &Path,
        servers: &[(&'static str, SocketAddr)],
    ) -> io::Result<Self> {
        let name = NODES[index];
        let socket = folder.join(format!("{name}.sock"));
        let config = folder.join(format!("{name}.toml"));
        let address = (on_the_network(VIRTUAL), PORT);
        let text = setup::node(&socket, PRIORITIES[index], address, servers);
        std::fs::write(&config, text)?;
        Ok(Self {
            name,
            host,
            config,
            socket,
            process: None,
            state: "dead".to_owned(),
            seen: None,
        })
    }

    fn start(&mut self) -> Result<(), PairError> {
        // The program that runs, whatever is at its path by now.
        let mut warren = Command::new("/proc/self/exe");
        warren.args(["run", "--config"]).arg(&self.config);
        warren.stdin(Stdio::null()).stdout(Stdio::null());
        self.process = Some(self.host.start(warren).map_err(PairError::Node)?);
        "starting".clone_into(&mut self.state);
        Ok(())
    }

    /// SIGKILL.
    fn kill(&mut self) -> io::Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        "dead".clone_into(&mut self.state);
        self.seen = None;
        Ok(())
    }

    /// Asks for its status. Returns since when its state is a new one, and why.
    async fn look(&mut self) -> Result<Option<(Instant, String)>, JoinError> {
        if self.process.is_none() {
            return Ok(None);
        }
        let socket = self.socket.clone();
        // While it starts nobody answers.
        self.seen = spawn_blocking(move || ask::fetch(&socket)).await?.ok();
        let routers = self.seen.as_ref().map(|seen| &seen.virtual_routers[..]);
        let Some([router]) = routers else {
            return Ok(None);
        };
        if router.state == self.state {
            return Ok(None);
        }
        self.state.clone_from(&router.state);
        let age = Duration::from_millis(router.since_ms);
        let now = Instant::now();
        Ok(Some((
            now.checked_sub(age).unwrap_or(now),
            router.why.clone(),
        )))
    }
}

struct Pair {
    nodes: Vec<Node>,
    load: Load,
    screen: Screen,
    deadline: Instant,
    drawn: Instant,
    killed: Option<Instant>,
    taken_over: Option<Duration>,
    released: Option<Duration>,
}

impl Pair {
    async fn play(mut self) -> Result<bool, PairError> {
        for node in &mut self.nodes {
            node.start()?;
        }
        self.say(format_args!(
            "{} and {} share {VIRTUAL}; clients connect to it",
            NODES[FIRST], NODES[SECOND]
        ));
        self.until(PATIENCE, |pair| {
            pair.is(SECOND, "backup") && pair.load.is_complete()
        })
        .await?;
        self.pass(Duration::from_secs(2)).await?;
        let before = self.states();

        let back_after = self.kill().await?;
        self.pass(Duration::from_secs(1)).await?;
        let killed = self.states();

        let returned = self.revive().await?;
        self.pass(Duration::from_secs(1)).await?;
        let end = self.states();

        self.say("publishers stop; what is on its way arrives");
        self.load.drain();
        self.until(PATIENCE, |pair| pair.load.is_drained()).await?;
        let outcome = Outcome {
            names: NODES,
            before,
            killed,
            end,
            messages: self.load.leave().await,
            taken_over: self.taken_over,
            back_after,
            released: self.released,
            returned,
        };
        self.screen.text(&outcome);
        Ok(self.screen.judge(&outcome.complaints()))
    }

    /// Kills the master; returns after which time every client was connected again.
    async fn kill(&mut self) -> Result<Option<Duration>, PairError> {
        let cut_before = self.load.shared.cut.get();
        let clients = self.load.clients as u64;
        self.nodes[FIRST].kill().map_err(PairError::Node)?;
        let killed = Instant::now();
        self.killed = Some(killed);
        self.say(format_args!(
            "{} is killed (SIGKILL); {clients} clients are connected through it",
            NODES[FIRST]
        ));
        let cut = move |pair: &Self| pair.load.shared.cut.get() - cut_before >= clients;
        let back = move |pair: &Self| cut(pair) && pair.load.is_complete();
        let back = self.until(PATIENCE, back).await?.then(|| {
            let at = self.load.shared.last_connected.get();
            self.screen.event(at, "every client is connected again");
            at - killed
        });
        self.until(PATIENCE, |pair| pair.released.is_some()).await?;
        Ok(back)
    }

    /// Brings the first node back; returns how long after its return every client was connected.
    async fn revive(&mut self) -> Result<Option<Duration>, PairError> {
        let cut_before = self.load.shared.cut.get();
        let clients = self.load.clients as u64;
        self.nodes[FIRST].start()?;
        self.say(format_args!("{} is started again", NODES[FIRST]));
        if !self
            .until(PATIENCE, |pair| pair.is(FIRST, "master"))
            .await?
        {
            return Ok(None);
        }
        let master = Instant::now();
        let cut = move |pair: &Self| pair.load.shared.cut.get() - cut_before >= clients;
        let back = move |pair: &Self| cut(pair) && pair.load.is_complete();
        Ok(self.until(PATIENCE, back).await?.then(|| {
            let at = self.load.shared.last_connected.get();
            self.screen.event(at, "every client has followed it");
            at.saturating_duration_since(master)
        }))
    }

    fn is(&self, node: usize, state: &str) -> bool {
        self.nodes[node].state == state
    }

    fn states(&self) -> States {
        [FIRST, SECOND].map(|node| self.nodes[node].state.clone())
    }

    fn say(&mut self, text: impl std::fmt::Display) {
        self.screen.event(Instant::now(), text);
    }

    /// Lets time pass.
    async fn pass(&mut self, time: Duration) -> Result<(), PairError> {
        self.until(time, |_| false).await.map(drop)
    }

    /// Lets time pass until something is done. False: it took longer than `patience`.
    async fn until(
        &mut self,
        patience: Duration,
        done: impl Fn(&Self) -> bool,
    ) -> Result<bool, PairError> {
        let deadline = self.deadline.min(Instant::now() + patience);
        while !done(self) {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            sleep(BEAT).await;
            self.notice().await?;
        }
        Ok(true)
    }

    /// Looks at the nodes, tells what has changed and keeps the screen up to date.
    async fn notice(&mut self) -> Result<(), PairError> {
        for index in [FIRST, SECOND] {
            let Some((since, why)) = self.nodes[index].look().await? else {
                continue;
            };
            let Node { name, state, .. } = &self.nodes[index];
            self.screen
                .event(since, format_args!("{name} is {state}: {why}"));
            if let Some(killed) = self.killed
                && index == SECOND
                && state == "master"
            {
                let after = since.saturating_duration_since(killed);
                self.taken_over.get_or_insert(after);
            }
        }
        self.watch_the_dead();
        let now = Instant::now();
        if now - self.drawn >= FRAME {
            self.drawn = now;
            self.draw(now);
        }
        Ok(())
    }

    /// Notes when the kernel has taken the address from the host whose warren was killed.
    fn watch_the_dead(&mut self) {
        let Some(killed) = self.killed.filter(|_| self.released.is_none()) else {
            return;
        };
        // A kernel that does not say is asked again.
        let has = self.nodes[FIRST].host.has(IpAddr::V4(VIRTUAL));
        if has.is_ok_and(|has| !has) {
            let now = Instant::now();
            self.released = Some(now - killed);
            let name = NODES[FIRST];
            self.say(format_args!(
                "the kernel of {name} has removed {VIRTUAL}: nobody renewed it"
            ));
        }
    }

    fn draw(&mut self, now: Instant) {
        let rows = self.nodes.iter().map(|node| {
            let listener = node.seen.as_ref().and_then(|seen| seen.listeners.first());
            Row {
                name: node.name,
                state: &node.state,
                open: listener.map_or(0, |listener| listener.open.now),
                total: listener.map_or(0, |listener| listener.totals.accepted),
            }
        });
        let rows: Vec<Row<'_>> = rows.collect();
        let totals = self.load.shared.ledger.borrow().totals();
        self.screen.draw("node", &rows, totals, now);
    }
}
