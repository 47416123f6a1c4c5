//! Monitors over a subject that remembers what it was told, against scripted brokers on loopback.

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

use super::{Subject, watch_over};
use crate::config::{self, CheckKind, Host};
use crate::health::verdict::CheckCode;
use crate::pool::Report;
use crate::pool::server::{Admin, Health};

const START: &[u8] =
    b"\x01\0\0\0\0\0\x1C\0\x0A\0\x0A\0\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\x05en_US\xCE";
const TUNE: &[u8] = b"\x01\0\0\0\0\0\x0C\0\x0A\0\x1E\x07\xFF\0\x02\0\0\0\x3C\xCE";
const OPEN_OK: &[u8] = b"\x01\0\0\0\0\0\x05\0\x0A\0\x29\0\xCE";
const CHANNEL_OPEN_OK: &[u8] = b"\x01\0\x01\0\0\0\x08\0\x14\0\x0B\0\0\0\0\xCE";
const QOS_OK: &[u8] = b"\x01\0\x01\0\0\0\x04\0\x3C\0\x0B\xCE";
const FORCED: &[u8] = b"\x01\0\0\0\0\0\x16\0\x0A\0\x32\x01\x40\x0Bmaintenance\0\0\0\0\xCE";
const BLOCKED: &[u8] = b"\x01\0\0\0\0\0\x0F\0\x0A\0\x3C\x0Alow memory\xCE";

/// What every change of health was, and why.
struct Remembered {
    address: Cell<Option<SocketAddr>>,
    admin: Cell<Admin>,
    reports: RefCell<Vec<Report>>,
    news: Notify,
}

impl Subject for Rc<Remembered> {
    fn address(&self) -> Option<SocketAddr> {
        self.address.get()
    }

    fn set_address(&self, address: Option<SocketAddr>) {
        self.address.set(address);
    }

    fn admin(&self) -> Admin {
        self.admin.get()
    }

    fn report(&self, report: Report) {
        self.reports.borrow_mut().push(report);
        self.news.notify_one();
    }
}

impl Remembered {
    fn at(address: Option<SocketAddr>) -> Rc<Self> {
        Rc::new(Self {
            address: Cell::new(address),
            admin: Cell::new(Admin::Ready),
            reports: RefCell::default(),
            news: Notify::new(),
        })
    }

    /// Waits until the health became `health`; the detail of that report.
    async fn becomes(&self, health: Health) -> String {
        let found = self.find(|report| report.health == Some(health));
        timeout(Duration::from_secs(8), found)
            .await
            .expect("in time")
    }

    /// The detail of the first report not yet seen that is `wanted`.
    async fn find(&self, wanted: impl Fn(&Report) -> bool) -> String {
        loop {
            let mut reports = self.reports.borrow_mut();
            if let Some(index) = reports.iter().position(&wanted) {
                let detail = reports[index].result.detail.clone();
                reports.drain(..=index);
                return detail;
            }
            drop(reports);
            self.news.notified().await;
        }
    }

    fn changes(&self) -> Vec<Health> {
        let reports = self.reports.borrow();
        reports.iter().filter_map(|report| report.health).collect()
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

fn pool(kind: CheckKind, host: Host) -> config::Pool {
    let server = config::Server {
        name: "one".to_owned(),
        address: config::Address { host, port: 5672 },
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

fn watch_address(kind: CheckKind, address: SocketAddr) -> (Rc<Remembered>, Arc<Notify>) {
    let subject = Remembered::at(Some(address));
    let doubt = Arc::new(Notify::new());
    let pool = pool(kind, Host::Ip(address.ip()));
    let _first = watch_over(
        Rc::clone(&subject),
        &pool,
        &pool.servers[0],
        Arc::clone(&doubt),
    );
    (subject, doubt)
}

/// A broker that answers, can hang, and can be told to say something by itself.
#[derive(Default)]
struct Broker {
    hangs: Cell<bool>,
    says: Cell<&'static [u8]>,
    speaks: Notify,
    logins: Cell<u32>,
}

async fn converse(broker: Rc<Broker>, mut stream: TcpStream) -> std::io::Result<()> {
    broker.logins.set(broker.logins.get() + 1);
    let mut answers = [START, TUNE, OPEN_OK, CHANNEL_OPEN_OK].into_iter();
    let mut buffer = [0; 1024];
    loop {
        tokio::select! {
            read = stream.read(&mut buffer) => {
                if read? == 0 {
                    return Ok(());
                }
                if !broker.hangs.get() {
                    stream.write_all(answers.next().unwrap_or(QOS_OK)).await?;
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
            let (stream, _) = listener.accept().await.unwrap();
            connections.spawn_local(converse(Rc::clone(&broker), stream));
        }
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
        let (subject, _) = watch_address(amqp(), address);
        assert_eq!(subject.becomes(Health::Up).await, "answered");
        let killed = Instant::now();
        serving.abort();
        assert_eq!(subject.becomes(Health::Down).await, "connection refused");
        assert!(
            killed.elapsed() < Duration::from_millis(400),
            "{:?}",
            killed.elapsed()
        );
        let _serving = serve(&broker, TcpListener::bind(address).await.unwrap());
        assert_eq!(subject.becomes(Health::Up).await, "answered");
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn silent_broker_is_down_after_its_timeout() {
    let test = async {
        let (broker, address, _serving) = broker().await;
        let (subject, _) = watch_address(amqp(), address);
        subject.becomes(Health::Up).await;
        sleep(Duration::from_millis(300)).await;
        broker.hangs.set(true);
        let hung = Instant::now();
        let detail = subject.becomes(Health::Down).await;
        assert!(detail.starts_with("no answer for "), "{detail}");
        let took = hung.elapsed().as_millis();
        assert!((500..900).contains(&took), "{took} ms");
        broker.hangs.set(false);
        subject.becomes(Health::Up).await;
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn lost_connection_alone_is_forgiven() {
    let test = async {
        let (broker, address, serving) = broker().await;
        let (subject, _) = watch_address(amqp(), address);
        subject.becomes(Health::Up).await;
        sleep(Duration::from_millis(500)).await;
        serving.abort();
        let _ = serving.await;
        let _serving = serve(&broker, TcpListener::bind(address).await.unwrap());
        sleep(Duration::from_millis(600)).await;
        assert_eq!(subject.changes(), []);
        assert_eq!(broker.logins.get(), 2);
        let reports = subject.reports.borrow();
        assert!(
            reports.iter().any(|report| !report.result.code.passed()),
            "noticed"
        );
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn forced_close_is_final_when_no_new_connection_is_taken() {
    let test = async {
        let (broker, address, serving) = broker().await;
        let (subject, _) = watch_address(amqp(), address);
        subject.becomes(Health::Up).await;
        sleep(Duration::from_millis(500)).await;

        broker.says.set(FORCED);
        broker.speaks.notify_one();
        subject
            .find(|report| report.result.reply_code == Some(320))
            .await;
        sleep(Duration::from_millis(300)).await;
        assert_eq!(subject.changes(), [], "only this connection was closed");
        assert_eq!(broker.logins.get(), 2);

        // A drained broker stops listening, then closes its connections.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        subject.address.set(Some(listener.local_addr().unwrap()));
        drop(serving);
        let (mut stream, _) = listener.accept().await.unwrap();
        drop(listener);
        for answer in [START, TUNE, OPEN_OK, CHANNEL_OPEN_OK, FORCED] {
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            stream.write_all(answer).await.unwrap();
        }
        let closed = Instant::now();
        assert_eq!(subject.becomes(Health::Down).await, "maintenance");
        assert!(
            closed.elapsed() < Duration::from_millis(250),
            "{:?}",
            closed.elapsed()
        );
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn blocked_publishers_are_told_and_nothing_more() {
    let test = async {
        let (broker, address, _serving) = broker().await;
        let (subject, _) = watch_address(amqp(), address);
        subject.becomes(Health::Up).await;
        broker.says.set(BLOCKED);
        broker.speaks.notify_one();
        let told = "answered; blocks publishers: low memory";
        let found = subject.find(|report| report.result.detail == told);
        timeout(Duration::from_secs(2), found).await.expect("told");
        assert_eq!(subject.changes(), []);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn suspicion_brings_the_next_check_forward() {
    let test = async {
        let (_broker, address, serving) = broker().await;
        let mut pool = pool(CheckKind::Tcp, Host::Ip(address.ip()));
        pool.check.interval = Duration::from_secs(60);
        let (subject, doubt) = (Remembered::at(Some(address)), Arc::new(Notify::new()));
        let _first = watch_over(
            Rc::clone(&subject),
            &pool,
            &pool.servers[0],
            Arc::clone(&doubt),
        );
        assert_eq!(subject.becomes(Health::Up).await, "connected");
        serving.abort();
        let _ = serving.await;
        doubt.notify_one();
        let noticed = Instant::now();
        assert_eq!(subject.becomes(Health::Down).await, "connection refused");
        assert!(
            noticed.elapsed() < Duration::from_secs(1),
            "{:?}",
            noticed.elapsed()
        );
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn nothing_is_asked_in_maintenance() {
    let test = async {
        let (broker, address, _serving) = broker().await;
        let (subject, _) = watch_address(amqp(), address);
        subject.becomes(Health::Up).await;
        subject.admin.set(Admin::Maint);
        sleep(Duration::from_millis(400)).await;
        subject.reports.borrow_mut().clear();
        sleep(Duration::from_millis(600)).await;
        assert!(subject.reports.borrow().is_empty());
        subject.admin.set(Admin::Ready);
        sleep(Duration::from_millis(600)).await;
        assert_eq!(broker.logins.get(), 2);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn name_without_an_address_is_a_server_that_is_down() {
    let test = async {
        let subject = Remembered::at(None);
        let pool = pool(amqp(), Host::Name("no-such-host.invalid".to_owned()));
        let doubt = Arc::new(Notify::new());
        let first = watch_over(Rc::clone(&subject), &pool, &pool.servers[0], doubt);
        let _ = timeout(Duration::from_secs(5), first)
            .await
            .expect("first check ended");
        let reports = subject.reports.borrow();
        assert_eq!(reports[0].health, Some(Health::Down));
        assert_eq!(reports[0].result.code, CheckCode::SocketError);
        let detail = &reports[0].result.detail;
        assert!(detail.starts_with("name does not resolve: "), "{detail}");
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn zz_real() {
    let Ok(address) = std::env::var("HC_ADDRESS") else {
        return;
    };
    let test = async {
        let address: SocketAddr = address.parse().unwrap();
        let kind = match std::env::var("HC_KIND").as_deref() {
            Ok("tcp") => CheckKind::Tcp,
            Ok("http") => CheckKind::Http {
                port: Some(27814),
                path: std::env::var("HC_PATH").unwrap(),
                credentials: Some(config::Credentials {
                    username: "guest".into(),
                    password: "guest".into(),
                }),
            },
            _ => amqp(),
        };
        let mut pool = pool(kind, Host::Ip(address.ip()));
        pool.check.interval = Duration::from_secs(2);
        pool.check.timeout = Duration::from_secs(2);
        if std::env::var("HC_PROXY").is_ok() {
            pool.servers[0].send_proxy = config::SendProxy::V2;
        }
        let subject = Remembered::at(Some(address));
        let _first = watch_over(
            Rc::clone(&subject),
            &pool,
            &pool.servers[0],
            Arc::new(Notify::new()),
        );
        let all = std::env::var("HC_ALL").is_ok();
        loop {
            subject.news.notified().await;
            for r in subject.reports.borrow_mut().drain(..) {
                if all || r.health.is_some() || !r.result.code.passed() {
                    let t = std::time::SystemTime::now()
                        .duration_since(std::time::UNIX_EPOCH)
                        .unwrap();
                    println!(
                        "{}.{:03} {:?} score {} {} {:?} {} ({:?})",
                        t.as_secs(),
                        t.subsec_millis(),
                        r.health,
                        r.score,
                        r.result.code.name(),
                        r.result.reply_code,
                        r.result.detail,
                        r.result.took
                    );
                }
            }
        }
    };
    let _ = timeout(
        Duration::from_secs(std::env::var("HC_SECS").map_or(10, |s| s.parse().unwrap())),
        LocalSet::new().run_until(test),
    )
    .await;
}
