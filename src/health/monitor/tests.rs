//! Monitors of a pool of one server, which is a scripted broker on loopback.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{Instant, sleep, timeout};

use super::{Monitors, OnChange};
use crate::config::{self, CheckKind, Host};
use crate::health::verdict::{CheckCode, CheckResult};
use crate::pool::Pool;
use crate::pool::server::{Admin, ServerSnapshot, State, StateChange};

const START: &[u8] =
    b"\x01\0\0\0\0\0\x1C\0\x0A\0\x0A\0\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\x05en_US\xCE";
const TUNE: &[u8] = b"\x01\0\0\0\0\0\x0C\0\x0A\0\x1E\x07\xFF\0\x02\0\0\0\x3C\xCE";
const OPEN_OK: &[u8] = b"\x01\0\0\0\0\0\x05\0\x0A\0\x29\0\xCE";
const CHANNEL_OPEN_OK: &[u8] = b"\x01\0\x01\0\0\0\x08\0\x14\0\x0B\0\0\0\0\xCE";
const QOS_OK: &[u8] = b"\x01\0\x01\0\0\0\x04\0\x3C\0\x0B\xCE";
const FORCED: &[u8] = b"\x01\0\0\0\0\0\x16\0\x0A\0\x32\x01\x40\x0Bmaintenance\0\0\0\0\xCE";
const BLOCKED: &[u8] = b"\x01\0\0\0\0\0\x0F\0\x0A\0\x3C\x0Alow memory\xCE";

/// A pool of one server under watch, and the changes that were told.
struct Watched {
    pool: Arc<Pool>,
    changes: Rc<RefCell<Vec<StateChange>>>,
    monitors: Monitors,
    on_change: OnChange,
}

impl Watched {
    async fn over(config: config::Pool) -> Self {
        let changes = Rc::new(RefCell::new(Vec::new()));
        let told = Rc::clone(&changes);
        let on_change: OnChange = Rc::new(move |_: &Pool, change: &StateChange| {
            told.borrow_mut().push(change.clone());
        });
        let pool = Pool::new(config, 0, 0, 0, std::time::Instant::now());
        let mut monitors = Monitors::default();
        let starting = monitors.follow(&[Arc::clone(&pool)], &on_change);
        timeout(Duration::from_secs(5), starting)
            .await
            .expect("started");
        Self {
            pool,
            changes,
            monitors,
            on_change,
        }
    }

    async fn amqp(address: SocketAddr) -> Self {
        let watched = Self::over(pool(amqp(), address)).await;
        assert_eq!(watched.becomes(State::Up).await, "answered");
        watched
    }

    /// Waits for the next change, which must be to `state`; its reason.
    async fn becomes(&self, state: State) -> String {
        self.wait("a change of state", || !self.changes.borrow().is_empty())
            .await;
        let change = self.changes.borrow_mut().remove(0);
        assert_eq!(change.to, state, "{change:?}");
        change.reason
    }

    async fn wait(&self, what: &str, condition: impl Fn() -> bool) {
        let began = Instant::now();
        while !condition() {
            assert!(began.elapsed() < Duration::from_secs(8), "{what}");
            sleep(Duration::from_millis(2)).await;
        }
    }

    fn server(&self) -> ServerSnapshot {
        self.pool.snapshot(std::time::Instant::now()).remove(0)
    }

    fn last_check(&self) -> CheckResult {
        self.server().check.expect("checked").result
    }

    fn nothing_changed(&self) {
        assert_eq!(*self.changes.borrow(), []);
    }
}

fn check(kind: CheckKind) -> config::Check {
    config::Check {
        kind,
        interval: Duration::from_millis(400),
        timeout: Duration::from_millis(800),
        rise: 2,
        fall: 3,
    }
}

fn amqp() -> CheckKind {
    CheckKind::Amqp {
        credentials: config::Credentials {
            username: "guest".to_owned(),
            password: "guest".to_owned(),
        },
        vhost: "/".to_owned(),
    }
}

fn pool(kind: CheckKind, address: SocketAddr) -> config::Pool {
    let server = config::Server {
        name: "one".to_owned(),
        address: config::Address {
            host: Host::Ip(address.ip()),
            port: address.port(),
        },
        weight: 100,
        max_connections: 0,
        backup: false,
        send_proxy: config::SendProxy::Off,
    };
    config::Pool {
        name: "rabbit".to_owned(),
        balance: config::Balance::Leastconn,
        retries: 3,
        on_down: config::OnDown::Reset,
        slow_start: Duration::ZERO,
        connect_timeout: Duration::from_secs(5),
        idle_timeout: None,
        queue_timeout: Duration::from_secs(5),
        max_queue: 100,
        check: check(kind),
        servers: vec![server],
    }
}

/// A broker that answers, can hang, and can be told to say something by itself.
#[derive(Default)]
struct Broker {
    hangs: Cell<bool>,
    /// Sessions up to this number are not answered any more, as if a firewall had lost them.
    forgets: Cell<u32>,
    /// How many channel.close came; they are not answered.
    goodbyes: Cell<u32>,
    /// Takes connections and closes them as soon as they are logged in.
    closes: Cell<bool>,
    /// Stops listening before it says something.
    drains: Cell<bool>,
    says: Cell<&'static [u8]>,
    listening: Notify,
    speaks: Notify,
    logins: Cell<u32>,
}

impl Broker {
    fn say(&self, bytes: &'static [u8]) {
        self.says.set(bytes);
        if self.drains.get() {
            self.listening.notify_one();
        } else {
            self.speaks.notify_one();
        }
    }
}

async fn converse(broker: Rc<Broker>, mut stream: TcpStream) -> std::io::Result<()> {
    broker.logins.set(broker.logins.get() + 1);
    let number = broker.logins.get();
    let mut answers = [START, TUNE, OPEN_OK, CHANNEL_OPEN_OK].into_iter();
    let mut buffer = [0; 1024];
    loop {
        tokio::select! {
            read = stream.read(&mut buffer) => {
                let answer = answers.next();
                let read = read?;
                if read == 0 || (answer.is_none() && broker.closes.get()) {
                    return Ok(());
                }
                if buffer[..read].windows(4).any(|method| method == b"\0\x0A\0\x32") {
                    broker.goodbyes.set(broker.goodbyes.get() + 1);
                }
                if !broker.hangs.get() && number > broker.forgets.get() {
                    stream.write_all(answer.unwrap_or(QOS_OK)).await?;
                }
            }
            () = broker.speaks.notified() => {
                stream.write_all(broker.says.get()).await?;
                if broker.says.get() == FORCED {
                    let read = stream.read(&mut buffer).await?;
                    assert!(buffer[..read].ends_with(b"\0\x0A\0\x33\xCE"), "close-ok");
                    return Ok(());
                }
            }
        }
    }
}

/// Connections end when the task is aborted, as if the process were killed.
fn serve(broker: &Rc<Broker>, listener: TcpListener) -> JoinHandle<()> {
    let broker = Rc::clone(broker);
    spawn_local(async move {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted.unwrap();
                    connections.spawn_local(converse(Rc::clone(&broker), stream));
                }
                () = broker.listening.notified() => break,
            }
        }
        drop(listener);
        broker.speaks.notify_one();
        while connections.join_next().await.is_some() {}
    })
}

async fn broker() -> (Rc<Broker>, SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let broker = Rc::default();
    let serving = serve(&broker, listener);
    (broker, address, serving)
}

#[tokio::test]
async fn killed_broker_is_down_at_once_and_up_again_later() {
    let test = async {
        let (broker, address, serving) = broker().await;
        let watched = Watched::amqp(address).await;
        let killed = Instant::now();
        serving.abort();
        assert_eq!(watched.becomes(State::Down).await, "connection refused");
        let took = killed.elapsed().as_millis();
        assert!(took < 450, "{took} ms");
        let _serving = serve(&broker, TcpListener::bind(address).await.unwrap());
        assert_eq!(watched.becomes(State::Up).await, "answered");
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn silent_broker_is_down_after_its_timeout() {
    let test = async {
        let (broker, address, _serving) = broker().await;
        let watched = Watched::amqp(address).await;
        sleep(Duration::from_millis(300)).await;
        broker.hangs.set(true);
        let hung = Instant::now();
        let reason = watched.becomes(State::Down).await;
        assert!(reason.starts_with("no answer for "), "{reason}");
        let took = hung.elapsed().as_millis();
        assert!((500..950).contains(&took), "{took} ms");
        broker.hangs.set(false);
        watched.becomes(State::Up).await;
        assert_eq!(broker.logins.get(), 1, "it went on where it was");
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_session_that_stays_silent_is_replaced() {
    let test = async {
        let (broker, address, _serving) = broker().await;
        let watched = Watched::amqp(address).await;
        broker.forgets.set(1);
        watched.becomes(State::Down).await;
        let down = Instant::now();
        while watched.changes.borrow().is_empty() && down.elapsed() < Duration::from_secs(15) {
            sleep(Duration::from_millis(10)).await;
        }
        watched.becomes(State::Up).await;
        assert!(down.elapsed() > Duration::from_secs(9));
        assert_eq!(broker.logins.get(), 2);
        // It gets ten seconds for the answer that it forgot.
        assert_eq!(broker.goodbyes.get(), 0);
        while broker.goodbyes.get() == 0 && down.elapsed() < Duration::from_secs(25) {
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(broker.goodbyes.get(), 1, "of the first session");
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn lost_connection_alone_is_forgiven() {
    let test = async {
        let (broker, address, serving) = broker().await;
        let watched = Watched::amqp(address).await;
        sleep(Duration::from_millis(500)).await;
        serving.abort();
        let _ = serving.await;
        let _serving = serve(&broker, TcpListener::bind(address).await.unwrap());
        sleep(Duration::from_millis(600)).await;
        watched.nothing_changed();
        assert_eq!(broker.logins.get(), 2);
        assert_eq!(watched.server().checks_failed, 1);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn broker_that_closes_each_session_is_down_and_asked_less_and_less() {
    let test = async {
        let (broker, address, _serving) = broker().await;
        let watched = Watched::amqp(address).await;
        broker.closes.set(true);
        watched.becomes(State::Down).await;
        let before = broker.logins.get();
        sleep(Duration::from_millis(1200)).await;
        let logins = broker.logins.get() - before;
        assert!(
            (1..=5).contains(&logins),
            "{logins} connections in three intervals"
        );
    };
    LocalSet::new().run_until(test).await;
}

/// An operator closes the one connection; later the broker closes all and takes no new one.
#[tokio::test]
async fn forced_close_is_final_when_no_new_connection_is_taken() {
    let test = async {
        let (broker, address, serving) = broker().await;
        let watched = Watched::amqp(address).await;
        sleep(Duration::from_millis(500)).await;
        broker.say(FORCED);
        watched
            .wait("another login", || broker.logins.get() == 2)
            .await;
        sleep(Duration::from_millis(500)).await;
        watched.nothing_changed();
        assert_eq!(watched.server().checks_failed, 1);

        broker.drains.set(true);
        broker.say(FORCED);
        let closed = Instant::now();
        assert_eq!(watched.becomes(State::Down).await, "maintenance");
        let took = closed.elapsed().as_millis();
        assert!(took < 80, "{took} ms");
        assert_eq!(watched.last_check().reply_code, Some(320));
        serving.abort();
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn blocked_publishers_are_told_and_nothing_more() {
    let test = async {
        let (broker, address, _serving) = broker().await;
        let watched = Watched::amqp(address).await;
        broker.say(BLOCKED);
        let blocked = || watched.last_check().detail == "answered; blocks publishers: low memory";
        watched.wait("the reason", blocked).await;
        watched.nothing_changed();
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn suspicion_brings_the_next_check_forward() {
    let test = async {
        let (_broker, address, serving) = broker().await;
        let mut config = pool(CheckKind::Tcp, address);
        config.check.interval = Duration::from_secs(60);
        let watched = Watched::over(config).await;
        assert_eq!(watched.becomes(State::Up).await, "connected");
        serving.abort();
        let _ = serving.await;
        let noticed = Instant::now();
        watched.pool.setup().servers[0].suspect();
        assert_eq!(watched.becomes(State::Down).await, "connection refused");
        let took = noticed.elapsed().as_millis();
        assert!(took < 1000, "{took} ms");
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn nothing_is_asked_in_maintenance() {
    let test = async {
        let (broker, address, _serving) = broker().await;
        let watched = Watched::amqp(address).await;
        let now = std::time::Instant::now();
        let _ = watched.pool.set_admin(0, Admin::Maint, "upgrade", now);
        sleep(Duration::from_millis(400)).await;
        let asked = watched.server().check.unwrap().at;
        sleep(Duration::from_millis(600)).await;
        assert_eq!(watched.server().check.unwrap().at, asked);
        let _ = watched.pool.set_admin(0, Admin::Ready, "upgraded", now);
        watched
            .wait("another login", || broker.logins.get() == 2)
            .await;
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn name_without_an_address_is_a_server_that_is_down() {
    let test = async {
        let mut config = pool(amqp(), SocketAddr::from(([127, 0, 0, 1], 5672)));
        config.servers[0].address.host = Host::Name("no-such-host.invalid".to_owned());
        let watched = Watched::over(config).await;
        let reason = watched.becomes(State::Down).await;
        assert!(reason.starts_with("name does not resolve: "), "{reason}");
        assert_eq!(watched.last_check().code, CheckCode::SocketError);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn name_is_resolved_before_the_first_check() {
    let test = async {
        let (_broker, address, _serving) = broker().await;
        for (kind, reason) in [(amqp(), "answered"), (CheckKind::Tcp, "connected")] {
            let mut config = pool(kind, address);
            config.servers[0].address.host = Host::Name("localhost".to_owned());
            let watched = Watched::over(config).await;
            assert_eq!(watched.becomes(State::Up).await, reason);
        }
    };
    LocalSet::new().run_until(test).await;
}

/// Its check has changed, so that its name is looked up again.
#[tokio::test]
async fn an_address_that_an_operator_has_set_is_checked_on() {
    let test = async {
        let (_broker, address, _serving) = broker().await;
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut config = pool(CheckKind::Tcp, address);
        config.servers[0].address.host = Host::Name("localhost".to_owned());
        let mut watched = Watched::over(config.clone()).await;
        watched.becomes(State::Up).await;
        let now = std::time::Instant::now();
        let _ = watched.pool.override_address(0, nobody, now);
        (config.check.rise, config.check.fall) = (1, 1);
        watched.pool.reconfigure(&config, 0, now);
        let pools = [Arc::clone(&watched.pool)];
        watched.monitors.follow(&pools, &watched.on_change).await;
        assert_eq!(watched.becomes(State::Down).await, "connection refused");
        assert_eq!(watched.pool.address(0), Some(nobody));
    };
    LocalSet::new().run_until(test).await;
}

/// Who follows next waits for it as well.
#[tokio::test]
async fn a_first_check_is_waited_for_by_all_who_follow() {
    let test = async {
        let (broker, address, _serving) = broker().await;
        broker.hangs.set(true);
        let on_change: OnChange = Rc::new(|_: &Pool, _: &StateChange| {});
        let now = std::time::Instant::now();
        let pools = [Pool::new(pool(amqp(), address), 0, 0, 0, now)];
        let mut monitors = Monitors::default();
        for _ in 0..2 {
            let followed = monitors.follow(&pools, &on_change);
            let soon = timeout(Duration::from_millis(20), followed).await;
            assert!(soon.is_err(), "its first check has not ended");
        }
        // In maintenance it has none, and its name need not be looked up first.
        let mut config = pool(amqp(), address);
        config.servers[0].address.host = Host::Name("localhost".to_owned());
        let idle = Pool::new(config, 1, 0, 0, now);
        let _ = idle.set_admin(0, Admin::Maint, "test", now);
        let followed = Monitors::default().follow(&[idle], &on_change);
        tokio::task::yield_now().await;
        let at_once = timeout(Duration::ZERO, followed).await;
        at_once.expect("nothing to wait for");
    };
    LocalSet::new().run_until(test).await;
}
