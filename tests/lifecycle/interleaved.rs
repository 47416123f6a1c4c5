//! What comes while a reload waits for the first check of a new server that accepts and says
//! nothing.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::task::JoinHandle;

use crate::fake::{Fake, Mood};
use crate::ports::free_port;
use crate::warren::{Client, SOON, Setup, Warren};

/// A question to the daemon whose answer may come later.
type Asked = JoinHandle<std::io::Result<String>>;

/// A pool `p` of these servers, whose checks may take a minute, and more of the file.
fn hanging(servers: &[(&str, &Fake)], more: &str) -> String {
    let mut text = "[pool.p.check]\ntype = \"http\"\ntimeout = \"1m\"\nrise = 1\nfall = 1\n\
                    interval = \"100ms\"\n[pool.p.servers]\n"
        .to_owned();
    for (name, fake) in servers {
        text.push_str(&format!("{name} = \"{}\"\n", fake.address));
    }
    text + more
}

/// A listener `second` of the pool.
fn second(port: u16) -> String {
    format!("[listen.second]\nbind = \"127.0.0.1:{port}\"\npool = \"p\"\n")
}

async fn client_at(port: u16) -> std::io::Result<Client> {
    tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .map(Client)
}

/// A server that is good, one that hangs, and a daemon with the first one.
async fn world() -> (Fake, Fake, Warren) {
    let (one, slow) = (Fake::new(Mood::Good).await, Fake::new(Mood::Silent).await);
    let setup = Setup::new("drain_timeout = \"1m\"", &hanging(&[("one", &one)], ""));
    let warren = setup.start().await;
    (one, slow, warren)
}

/// Begins a reload of this file, whose server `slow` it waits for; it is in force already.
async fn begun(warren: &Warren, global: &str, pool: &str) -> Asked {
    warren.setup.write(global, pool);
    let asked = warren.asked("reload");
    warren.shows("slow", "status", "DOWN").await;
    asked
}

/// What the daemon said, once it has.
async fn said(asked: Asked) -> String {
    let said = asked.await.unwrap().unwrap();
    said.trim_end().to_owned()
}

#[tokio::test]
async fn nobody_waits_for_the_checks_of_somebody_else() {
    let (one, slow, warren) = world().await;
    let port = free_port();
    let both = hanging(&[("one", &one), ("slow", &slow)], &second(port));
    let first = begun(&warren, "", &both).await;
    // The kernel takes it in, and the daemon does not.
    let mut early = client_at(port).await.unwrap();
    let ask = |command: &str| warren.ask(command).unwrap();
    assert_eq!(
        ask("add server p/new 127.0.0.1:9 weight 7"),
        "New server registered.\n\n"
    );
    assert_eq!(warren.stat("new", "status").as_deref(), Some("MAINT"));
    assert_eq!(ask("del server p/new"), "Server deleted.\n");
    assert_eq!(warren.stat("new", "status"), None);
    assert_eq!(ask("disable frontend entrance"), "\n");
    let refused = client_at(warren.setup.port).await.map(|_| ()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(ask("enable frontend entrance"), "\n");
    warren.client().await.echo().await.unwrap();
    // What is bound already is no obstacle.
    assert!(ask("diff").starts_with("Success=1\nCode=0\n--\nnothing changes\n"));
    // A file that cannot be had changes nothing of it.
    warren.setup.write("", "[pool.p");
    assert!(ask("reload").starts_with("Success=0\nCode=78\n"));
    assert!(!first.is_finished());
    // Another one takes over.
    warren
        .setup
        .write("", &both.replace("rise = 1", "rise = 2"));
    let next = warren.asked("reload");
    let first = said(first).await;
    let lines: Vec<_> = first.lines().collect();
    assert_eq!(lines[..2], ["Success=0", "Code=1"]);
    assert!(lines.contains(&"listener second: new"), "{first}");
    assert!(first.ends_with("overtaken by another reload before new servers were checked"));
    assert!(!next.is_finished());
    slow.become_(Mood::Good);
    let next = said(next).await;
    let changed = "Success=1\nCode=0\n--\npool p: check.rise 1 -> 2\n";
    assert!(next.starts_with(changed), "{next}");
    early.echo().await.unwrap();
    drop(early);
    warren.stop(SOON).await;
}

#[tokio::test]
async fn what_a_reload_would_have_taken_away_serves_on_when_another_keeps_it() {
    let (one, slow, warren) = world().await;
    let mut old = warren.client().await;
    old.echo().await.unwrap();
    let [port, other] = [free_port(), free_port()];
    let bound = warren.descriptors().await;
    // Everything is another one.
    warren
        .setup
        .write("", &hanging(&[("slow", &slow)], &second(port)));
    let file = std::fs::read_to_string(warren.setup.file()).unwrap();
    let entrance = format!("127.0.0.1:{}", warren.setup.port);
    let moved = file.replace(&entrance, &format!("127.0.0.1:{other}"));
    std::fs::write(warren.setup.file(), moved).unwrap();
    let first = warren.asked("reload");
    warren.shows("slow", "status", "DOWN").await;
    // Nobody else serves, and the listener that is to go does.
    warren.client().await.echo().await.unwrap();
    let mut lost = client_at(port).await.unwrap();
    warren.setup.write("", &hanging(&[("one", &one)], ""));
    let next = said(warren.asked("reload")).await;
    assert!(next.starts_with("Success=1\n"), "{next}");
    assert!(said(first).await.starts_with("Success=0\nCode=1\n"));
    // It is the same server as before, with its connection, and was never out of use.
    assert_eq!(warren.stat("one", "status").as_deref(), Some("UP"));
    assert_eq!(warren.stat("one", "scur").as_deref(), Some("1"));
    for _ in 0..10 {
        warren.client().await.echo().await.unwrap();
    }
    lost.is_reset().await;
    for port in [port, other] {
        assert!(client_at(port).await.is_err());
    }
    old.echo().await.unwrap();
    drop(old);
    warren.settles_to(bound).await;
}

#[tokio::test]
async fn a_listener_is_closed_and_opened_before_it_has_a_server() {
    let (one, slow, warren) = world().await;
    let port = free_port();
    let both = hanging(&[("one", &one), ("slow", &slow)], &second(port));
    let reload = begun(&warren, "", &both).await;
    assert_eq!(warren.ask("disable frontend second").unwrap(), "\n");
    assert!(client_at(port).await.is_err());
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let refused = "Failed to resume frontend, check logs for precise cause (port conflict?).\n\n";
    assert_eq!(warren.ask("enable frontend second").unwrap(), refused);
    drop(taken);
    assert_eq!(warren.ask("enable frontend second").unwrap(), "\n");
    let mut early = client_at(port).await.unwrap();
    assert!(!reload.is_finished());
    slow.become_(Mood::Good);
    assert!(said(reload).await.starts_with("Success=1\n"));
    early.echo().await.unwrap();
}

/// Reloads of a server that is never heard end as soon as an operator has said what it is.
#[tokio::test]
async fn a_server_that_an_operator_decides_about_is_not_waited_for() {
    let (one, slow, warren) = world().await;
    let only = hanging(&[("one", &one)], "");
    let both = hanging(&[("one", &one), ("slow", &slow)], "");
    for decided in [
        "disable server p/slow",
        "set server p/slow health up",
        "set server p/slow health down",
        "disable health p/slow",
    ] {
        let reload = begun(&warren, "", &both).await;
        assert!(!reload.is_finished());
        assert_eq!(warren.ask(decided).unwrap(), "\n", "{decided}");
        let said = tokio::time::timeout(SOON, said(reload)).await;
        assert!(said.expect(decided).starts_with("Success=1\n"));
        warren.setup.write("", &only);
        let removed = tokio::time::timeout(SOON, warren.asked("reload")).await;
        removed.unwrap().unwrap().unwrap();
    }
    // Nor does a start.
    let mut warren = Setup::new("", &hanging(&[("slow", &slow)], "")).launch();
    let socket = warren.setup.socket.clone();
    let bound = async || socket.exists().then_some(());
    crate::wait::until("the admin socket", SOON, bound).await;
    assert_eq!(warren.ask("disable server p/slow").unwrap(), "\n");
    warren.logs("accepting").await;
}

#[tokio::test]
async fn a_listener_that_is_closed_before_the_first_checks_does_not_open() {
    let server = Fake::new(Mood::Silent).await;
    let warren = Setup::new("", &hanging(&[("one", &server)], "")).launch();
    let socket = warren.setup.socket.clone();
    let bound = async || socket.exists().then_some(());
    crate::wait::until("the admin socket", SOON, bound).await;
    let mut early = warren.client().await;
    assert_eq!(warren.ask("disable frontend entrance").unwrap(), "\n");
    server.become_(Mood::Good);
    early.is_reset().await;
    // Another worker may begin later.
    warren.refuses().await;
    let opened = said(warren.asked("enable frontend entrance")).await;
    assert_eq!(opened, "");
    warren.client().await.echo().await.unwrap();
}

#[tokio::test]
async fn what_has_its_name_again_before_it_has_gone_is_the_same() {
    let (one, slow, warren) = world().await;
    let mut old = warren.client().await;
    old.echo().await.unwrap();
    warren.setup.write("", &hanging(&[("slow", &slow)], ""));
    let file = std::fs::read_to_string(warren.setup.file()).unwrap();
    let file = file.replace("listen.entrance", "listen.door");
    let file = file.replace("pool.p", "pool.q").replace("\"p\"", "\"q\"");
    std::fs::write(warren.setup.file(), file).unwrap();
    let first = warren.asked("reload");
    warren.shows("slow", "status", "DOWN").await;
    warren.setup.write("", &hanging(&[("one", &one)], ""));
    let next = said(warren.asked("reload")).await;
    assert!(next.starts_with("Success=1\n"), "{next}");
    assert!(said(first).await.starts_with("Success=0\nCode=1\n"));
    for row in ["FRONTEND", "one"] {
        assert_eq!(warren.stat(row, "scur").as_deref(), Some("1"), "{row}");
    }
    old.echo().await.unwrap();
}

#[tokio::test]
async fn a_reload_that_the_stop_cuts_short_says_so() {
    let (one, slow, mut warren) = world().await;
    let mut client = warren.client().await;
    client.echo().await.unwrap();
    let port = free_port();
    let both = hanging(&[("one", &one), ("slow", &slow)], &second(port));
    let reload = begun(&warren, "drain_timeout = \"1m\"", &both).await;
    warren.daemon.signal(Signal::SIGTERM);
    let reload = said(reload).await;
    assert!(reload.starts_with("Success=0\nCode=1\n"), "{reload}");
    assert!(reload.ends_with("cut short: the daemon is stopping, and opens no new listener"));
    warren.logs("the reload was cut short").await;
    assert!(client_at(port).await.is_err());
    drop(client);
    assert_eq!(warren.ends(Duration::from_secs(5)).await, 0);
    let log = warren.log();
    assert!(!log.contains("the configuration was reloaded"), "{log}");
}
