//! Where the proxy and VRRP meet: the vrrp thread, and what it and the workers have to know of each
//! other.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};

use super::StartError;
use crate::config::{CheckKind, Config};
use crate::pool::Pool;
use crate::proxy::worker::Absent;
use crate::stats::Registry;
use crate::vrrp::driver::{self, Command, Driver};
use crate::vrrp::inputs::{Inputs, PoolInput, Pools};

/// Commands that may wait for the vrrp thread, which looks at all inputs whenever it gets one.
const COMMANDS: usize = 16;
/// A router that is told to stop waits for another one as long as the slowest would take; this is
/// for what comes after.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the vrrp thread is told and what it tells; without virtual routers nobody listens.
#[derive(Clone)]
pub(super) struct Voice {
    inputs: Arc<Inputs>,
    /// By pool of the configuration that the thread has, or gets next.
    pools: Rc<RefCell<Pools>>,
    commands: mpsc::Sender<Command>,
}

/// The other ends.
pub(super) struct Ears {
    pub(super) commands: mpsc::Receiver<Command>,
    /// Gets a message when [`Voice::absent`] has changed.
    pub(super) changed: mpsc::Receiver<()>,
}

/// Both ends.
pub(super) fn channel(registry: &Registry) -> (Voice, Ears) {
    // One is enough: it says that there is something to look at.
    let (tell_changed, changed) = mpsc::channel(1);
    let (tell, commands) = mpsc::channel(COMMANDS);
    let pools = registry.config.pools.iter();
    let pools: Pools = pools.map(|pool| PoolInput::new(&pool.name)).collect();
    let inputs = Inputs::new(registry.workers.clone(), tell_changed);
    let voice = Voice {
        inputs: Arc::new(inputs),
        pools: Rc::new(RefCell::new(pools)),
        commands: tell,
    };
    (voice, Ears { commands, changed })
}

impl Voice {
    /// Tells what is known of a pool now.
    pub(super) fn tell_pool(&self, pool: &Pool, now: Instant) {
        let usable = pool.usable() != (0, 0);
        // Without checks nothing can be said against it.
        let unchecked = pool.config.check.kind == CheckKind::None;
        let good_at = match unchecked {
            true => usable.then_some(now),
            false => pool.passed_at(),
        };
        let pools = self.pools.borrow();
        // By name: between a reload and its command the pools are others already.
        let known = pools.iter().find(|known| known.name() == pool.config.name);
        if known.is_some_and(|known| known.tell(usable, good_at)) {
            // Full: it will look anyway.
            let _ = self.commands.try_send(Command::Look);
        }
    }

    /// Gives the vrrp thread another configuration, whose `pools` are these. While no thread runs
    /// nobody takes it, and [`Voice::follow`] is enough.
    #[expect(dead_code, reason = "what the reload of the daemon is going to call")]
    pub(super) async fn reconfigure(&self, config: &Arc<Config>, pools: &[Arc<Pool>]) {
        let command = Command::Reconfigure {
            config: Arc::clone(config),
            pools: self.follow(config, pools),
        };
        // It has ended: there is nothing to reconfigure.
        let _ = self.commands.send(command).await;
    }

    /// Gets to know the pools of another configuration. One that stays is known as before; what is
    /// known of the others is told before the thread asks.
    pub(super) fn follow(&self, config: &Config, pools: &[Arc<Pool>]) -> Pools {
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

/// The running vrrp thread: gets a message, or loses its sender, when it has ended.
pub(super) type Ended = oneshot::Receiver<()>;

/// Starts the vrrp thread.
///
/// # Errors
///
/// A missing capability, or a thread or socket that could not be made.
pub(super) fn start(
    registry: &Arc<Registry>,
    voice: &Voice,
    commands: mpsc::Receiver<Command>,
) -> Result<Ended, StartError> {
    let Some(published) = registry.virtual_routers.clone() else {
        return Ok(oneshot::channel().1);
    };
    let (config, inputs) = (Arc::clone(&registry.config), Arc::clone(&voice.inputs));
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
        Ok(Err(driver::StartError::Capability(name))) => Err(StartError::Capability(name)),
        Ok(Err(driver::StartError::Other(error))) => Err(StartError::Thread(error)),
        // It panicked, and the process is gone.
        Err(_) => Err(StartError::Thread(std::io::ErrorKind::Other.into())),
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
