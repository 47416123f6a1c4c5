//! The vrrp thread in the network of a host.

use std::fs::File;
use std::net::IpAddr;
use std::panic::{catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use tokio::sync::mpsc;
use warren::config::{self, Config};
use warren::stats::WorkerCounters;
use warren::vip::netlink::Netlink;
use warren::vrrp::driver::{Command, Driver, Published};
use warren::vrrp::inputs::{Inputs, PoolInput, Pools};
use warren::vrrp::status::RouterStatus;

use crate::lab::{Host, until};

pub(crate) const LONG: Duration = Duration::from_secs(20);

/// The vrrp thread, without the rest of the daemon.
pub(crate) struct Elector<'a> {
    host: &'a Host,
    commands: mpsc::Sender<Command>,
    pub(crate) published: Arc<Published>,
    pub(crate) inputs: Arc<Inputs>,
    thread: Option<JoinHandle<()>>,
}

/// A configuration with these virtual routers, and its pools, which have usable servers.
pub(crate) fn configuration(host: &Host, pools: &[&str], routers: &str) -> (Arc<Config>, Pools) {
    let mut text = format!(
        "[listen.amqp]\nbind = \"0.0.0.0:5672\"\npool = {:?}\n",
        pools[0]
    );
    for pool in pools {
        text += &format!("[pool.{pool}.servers]\ns = \"127.0.0.1:7000\"\n");
    }
    let file = host.file("warren.toml");
    std::fs::write(&file, text + routers).unwrap();
    let (config, _) = config::load(&file, false).unwrap_or_else(|problems| panic!("{problems}"));
    let pools = pools.iter().map(|name| {
        let pool = PoolInput::new(name);
        pool.tell(true, Some(Instant::now()));
        pool
    });
    (Arc::new(config), pools.collect())
}

/// A virtual router on `eth0`; `more` are lines of its table.
pub(crate) fn router(name: &str, id: u8, addresses: &[&str], more: &str) -> String {
    let addresses: Vec<String> = addresses.iter().map(|ip| format!("{ip}/24")).collect();
    let interval = match more.contains("advert_interval") {
        true => "",
        false => "advert_interval = \"100ms\"\n",
    };
    format!(
        "[vrrp.{name}]\ninterface = \"eth0\"\nrouter_id = {id}\n{interval}\
         addresses = {addresses:?}\n{more}\n"
    )
}

impl<'a> Elector<'a> {
    pub(crate) fn start(host: &'a Host, routers: &str) -> Self {
        Self::with_workers(host, routers, Vec::new())
    }

    pub(crate) fn with_workers(
        host: &'a Host,
        routers: &str,
        workers: Vec<Arc<WorkerCounters>>,
    ) -> Self {
        let (changed, _) = mpsc::channel(1);
        let inputs = Arc::new(Inputs::new(workers, changed));
        let (commands, receiver) = mpsc::channel(16);
        let published: Arc<Published> = Arc::default();
        let (config, pools) = configuration(host, &["p", "q"], routers);
        let network = File::open(format!("/proc/{}/ns/net", host.holder.id())).unwrap();
        let (told, told_of) = (Arc::clone(&inputs), Arc::clone(&published));
        let thread = std::thread::spawn(move || {
            setns(network, CloneFlags::CLONE_NEWNET).unwrap();
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(async {
                let driver = Driver::new(config, &pools, told, receiver, told_of);
                driver.unwrap().run().await;
            });
        });
        Self {
            host,
            commands,
            published,
            inputs,
            thread: Some(thread),
        }
    }

    pub(crate) fn tell(&self, command: Command) {
        self.commands.blocking_send(command).unwrap();
    }

    pub(crate) fn reconfigure(&self, routers: &str) {
        self.reconfigure_with(&["p", "q"], routers);
    }

    pub(crate) fn reconfigure_with(&self, pools: &[&str], routers: &str) {
        let (config, pools) = configuration(self.host, pools, routers);
        self.tell(Command::Reconfigure { config, pools });
    }

    /// Names and states.
    pub(crate) fn states(&self) -> Vec<(String, &'static str)> {
        let published = self.published.load();
        let states = published.iter().map(|one| (one.name.clone(), one.state));
        states.collect()
    }

    /// Whether these are all virtual routers, in these states.
    pub(crate) fn are(&self, wanted: &[(&str, &str)]) -> bool {
        let states = self.states();
        states
            .iter()
            .map(|(name, state)| (name.as_str(), *state))
            .eq(wanted.iter().copied())
    }

    pub(crate) fn until(&self, wanted: &[(&str, &str)]) {
        let begun = Instant::now();
        while !self.are(wanted) {
            assert!(
                begun.elapsed() < LONG,
                "{:?}, not {wanted:?}",
                self.states()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn status(&self, name: &str) -> RouterStatus {
        let published = self.published.load();
        published
            .iter()
            .find(|one| one.name == name)
            .unwrap()
            .clone()
    }

    /// Stops it, and returns how that went.
    pub(crate) fn stop(&mut self) {
        self.tell(Command::Stop);
        let thread = self.thread.take().unwrap();
        until("ended", LONG, || thread.is_finished());
        thread.join().unwrap();
    }
}

impl Drop for Elector<'_> {
    /// Its thread ends when nobody is left who could tell it to.
    fn drop(&mut self) {
        let (nobody, _) = mpsc::channel(1);
        self.commands = nobody;
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

/// A master that does nothing for three intervals starts again as a backup. The kernel changes the
/// networks of all namespaces one after the other, and takes a while to end one: what another test
/// does may stop the thread for so long, and so may a busy machine.
const STILL: Duration = Duration::from_millis(200);

/// Runs a test, and once more whenever it failed while this machine was seen to stand still.
pub(crate) fn undisturbed(test: fn()) {
    for _ in 0..5 {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let watch = std::thread::spawn(move || longest_pause(&stopped));
        let ended = catch_unwind(test);
        stop.store(true, Ordering::Relaxed);
        let longest = watch.join().unwrap();
        match ended {
            Ok(()) => return,
            Err(_) if longest > STILL => println!("  once more: nothing moved for {longest:?}"),
            Err(problem) => resume_unwind(problem),
        }
    }
    panic!("this machine stands still again and again");
}

/// The longest time in which a thread could not get an answer about addresses.
fn longest_pause(stop: &AtomicBool) -> Duration {
    let mut netlink = Netlink::open().unwrap();
    let nowhere = ipnet::IpNet::from(IpAddr::from([192, 0, 2, 255]));
    let mut longest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        // Nobody has it. The answer takes the lock that every change takes.
        let _ = netlink.delete(1, nowhere);
        std::thread::sleep(Duration::from_millis(10));
        longest = longest.max(begun.elapsed());
    }
    longest
}
