//! Where the proxy and VRRP meet: the vrrp thread, and what it and the workers have to know of each
//! other.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};

use super::StartError;
use crate::config::{CheckKind, Config, OWNER};
use crate::pool::Pool;
use crate::proxy::worker::Absent;
use crate::stats::{Registry, Scene};
use crate::vrrp::driver::{self, Command, Driver};
use crate::vrrp::inputs::{Inputs, PoolInput, Pools};

/// Commands that may wait for the vrrp thread, which looks at all inputs whenever it gets one.
const COMMANDS: usize = 16;
/// A router that is told to stop waits for another one as long as the slowest would take; this is
/// for what comes after.
const FAREWELL: Duration = Duration::from_secs(1);
/// Clients may have connected to a virtual address while no daemon ran, and wait in a backlog. The
/// workers reset them at once, but that reaches them only while this node still has the address. So
/// the vrrp thread, which removes it, begins so much later.
pub(super) const HEAD_START: Duration = Duration::from_millis(250);

/// What the vrrp thread is told and what it tells; without virtual routers nobody listens.
#[derive(Clone)]
pub(super) struct Voice {
    inputs: Arc<Inputs>,
    /// By pool of the configuration that the thread has, or gets next.
    pools: Rc<RefCell<Pools>>,
    commands: mpsc::Sender<Command>,
}

/// The vrrp thread, which runs from the moment at which there is a virtual router.
pub(super) struct Election {
    pub(super) voice: Voice,
    /// Taken by the thread.
    heard: RefCell<Option<mpsc::Receiver<Command>>>,
    /// Gets a message, or loses its sender, when the thread has ended. There once it runs.
    pub(super) ended: RefCell<Option<oneshot::Receiver<()>>>,
}

impl Election {
    /// One that has not begun. The receiver gets a message when [`Voice::absent`] has changed.
    pub(super) fn new(registry: &Registry) -> (Rc<Self>, mpsc::Receiver<()>) {
        let (voice, heard, changed) = channel(registry);
        let election = Self {
            voice,
            heard: RefCell::new(Some(heard)),
            ended: RefCell::default(),
        };
        (Rc::new(election), changed)
    }

    /// Whether the thread runs.
    pub(super) fn is_on(&self) -> bool {
        self.heard.borrow().is_none()
    }

    /// Has the thread follow another configuration.
    pub(super) async fn reconfigure(&self, scene: &Scene) {
        if self.is_on() {
            self.voice.reconfigure(&scene.config, &scene.pools).await;
        } else {
            self.voice.follow(&scene.config, &scene.pools);
        }
    }

    /// Whether the thread runs, or could.
    ///
    /// # Errors
    ///
    /// A missing capability.
    pub(super) fn may_start(&self) -> Result<(), StartError> {
        match self.is_on() {
            true => Ok(()),
            false => driver::permitted().map_err(in_our_words),
        }
    }

    /// Starts the thread, unless it runs.
    ///
    /// # Errors
    ///
    /// A missing capability, or a thread or socket that could not be made.
    pub(super) fn start(&self, registry: &Arc<Registry>) -> Result<(), StartError> {
        if self.is_on() {
            return Ok(());
        }
        // Before anything is taken: a later reload may try again.
        self.may_start()?;
        if let Some(heard) = self.heard.take() {
            let ended = start(registry, &self.voice, heard)?;
            self.ended.replace(Some(ended));
        }
        Ok(())
    }
}

/// Both ends: what is told, what is heard, and the changes of [`Voice::absent`].
fn channel(registry: &Registry) -> (Voice, mpsc::Receiver<Command>, mpsc::Receiver<()>) {
    // One is enough: it says that there is something to look at.
    let (tell_changed, changed) = mpsc::channel(1);
    let (tell, commands) = mpsc::channel(COMMANDS);
    let config = registry.config();
    let pools = config.pools.iter();
    let pools: Pools = pools.map(|pool| PoolInput::new(&pool.name)).collect();
    let inputs = Inputs::new(registry.workers.clone(), tell_changed);
    // Nothing is ours before it is claimed.
    let routers = config.virtual_routers.iter();
    let others = routers.filter(|router| router.priority != OWNER);
    let addresses = others.flat_map(|router| router.addresses.iter().map(|net| net.addr()));
    inputs.tell_absent(addresses.collect());
    let voice = Voice {
        inputs: Arc::new(inputs),
        pools: Rc::new(RefCell::new(pools)),
        commands: tell,
    };
    (voice, commands, changed)
}

impl Voice {
    /// Tells what is known of a pool now.
    pub(super) fn tell_pool(&self, pool: &Pool, now: Instant) {
        let usable = pool.usable() != (0, 0);
        // Without checks nothing can be said against it.
        let unchecked = pool.setup().config.check.kind == CheckKind::None;
        let good_at = match unchecked {
            true => usable.then_some(now),
            false => pool.passed_at(),
        };
        let pools = self.pools.borrow();
        // Between a reload and its command the pools are others already.
        let is_it = |known: &&Arc<PoolInput>| known.name() == &*pool.name;
        let known = pools.get(pool.id()).filter(is_it);
        let known = known.or_else(|| pools.iter().find(is_it));
        if known.is_some_and(|known| known.tell(usable, good_at)) {
            // Full: it will look anyway.
            let _ = self.commands.try_send(Command::Look);
        }
    }

    /// Gives the vrrp thread another configuration, whose `pools` are these. While no thread runs
    /// nobody takes it, and [`Voice::follow`] is enough.
    async fn reconfigure(&self, config: &Arc<Config>, pools: &[Arc<Pool>]) {
        let command = Command::Reconfigure {
            config: Arc::clone(config),
            pools: self.follow(config, pools),
        };
        // It has ended: there is nothing to reconfigure.
        let _ = self.commands.send(command).await;
    }

    /// Gets to know the pools of another configuration. One that stays is known as before; what is
    /// known of the others is told before the thread asks.
    fn follow(&self, config: &Config, pools: &[Arc<Pool>]) -> Pools {
        let known = Arc::clone(&self.pools.borrow());
        let keep = |name: &str| known.iter().find(|pool| pool.name() == name).cloned();
        let names = config.pools.iter().map(|pool| pool.name.as_str());
        let inputs = names.map(|name| keep(name).unwrap_or_else(|| PoolInput::new(name)));
        let inputs: Pools = inputs.collect();
        *self.pools.borrow_mut() = Arc::clone(&inputs);
        for pool in pools {
            self.tell_pool(pool, Instant::now());
        }
        inputs
    }

    /// The virtual addresses that this node does not have.
    pub(super) fn absent(&self) -> Absent {
        let absent = self.inputs.absent();
        Absent {
            generation: absent.generation,
            addresses: Arc::clone(&absent.addresses),
        }
    }

    /// Where the vrrp thread is told something.
    pub(super) fn commands(&self) -> &mpsc::Sender<Command> {
        &self.commands
    }

    /// Rounds of the vrrp thread so far.
    pub(super) fn rounds(&self) -> u64 {
        self.inputs.rounds.get()
    }

    /// Tells the vrrp thread to give the addresses up.
    pub(super) async fn stop(&self) {
        // It has ended already.
        let _ = self.commands.send(Command::Stop).await;
    }
}

fn start(
    registry: &Arc<Registry>,
    voice: &Voice,
    commands: mpsc::Receiver<Command>,
) -> Result<oneshot::Receiver<()>, StartError> {
    let published = Arc::clone(&registry.virtual_routers);
    let (config, inputs) = (registry.config(), Arc::clone(&voice.inputs));
    let pools = Arc::clone(&voice.pools.borrow());
    let (started, starting) = std::sync::mpsc::channel();
    let (ending, ended) = oneshot::channel();
    let run = move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .expect("a runtime needs an epoll descriptor, which the budget has");
        runtime.block_on(async {
            let driver = Driver::new(config, &pools, inputs, commands, published);
            let driver = match driver {
                Ok(driver) => driver,
                Err(error) => {
                    // Whoever started us waits for this.
                    let _ = started.send(Err(error));
                    return;
                }
            };
            let _ = started.send(Ok(()));
            driver.run().await;
            let _ = ending.send(());
        });
    };
    let thread = std::thread::Builder::new().name("vrrp".into()).spawn(run);
    thread.map_err(StartError::Thread)?;
    match starting.recv() {
        Ok(Ok(())) => Ok(ended),
        Ok(Err(error)) => Err(in_our_words(error)),
        // It panicked, and the process is gone.
        Err(_) => Err(StartError::Thread(std::io::ErrorKind::Other.into())),
    }
}

fn in_our_words(error: driver::StartError) -> StartError {
    match error {
        driver::StartError::Capability(name) => StartError::Capability(name),
        driver::StartError::Other(error) => StartError::Thread(error),
    }
}

/// How long the virtual routers may take to find a successor.
pub(super) fn longest_farewell(config: &Config) -> Duration {
    let intervals = config
        .virtual_routers
        .iter()
        .map(|router| router.advert_interval.duration());
    intervals
        .max()
        .map_or(Duration::ZERO, |longest| longest + FAREWELL)
}
