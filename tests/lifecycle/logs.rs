//! Logs that nobody reads.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fake::{Fake, Mood};
use crate::wait::until;
use crate::warren::{Client, SOON, Setup};

/// How many lines one SIGUSR1 writes, about.
const SERVERS: usize = 300;

#[tokio::test]
async fn a_log_that_nobody_reads_costs_lines_and_nothing_else() {
    let server = Fake::new(Mood::Good).await;
    let mut pool = "[pool.p.check]\ntype = \"none\"\n[pool.p.servers]\n".to_owned();
    for number in 0..SERVERS {
        pool.push_str(&format!("s{number} = \"{}\"\n", server.address));
    }
    let setup = Setup::new("drain_timeout = \"1s\"", &pool);
    let mut command = setup.command();
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _unread = child.stderr.take().unwrap();
    let id = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let address = ("127.0.0.1", setup.port);
    until("warren accepts", SOON, async || {
        let stream = tokio::net::TcpStream::connect(address).await.ok()?;
        Client(stream).echo().await.ok()
    })
    .await;
    until("dropped lines", SOON, async || {
        kill(id, Signal::SIGUSR1).unwrap();
        (dropped(&setup) > 0).then_some(())
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        clients.push(Client(stream));
    }
    for client in &mut clients {
        client.echo().await.unwrap();
    }
    let before = dropped(&setup);
    drop(clients);
    until("their lines are counted", SOON, async || {
        (dropped(&setup) >= before + 50).then_some(())
    })
    .await;
    let asked = Instant::now();
    kill(id, Signal::SIGTERM).unwrap();
    let status = until("the end", SOON, async || child.try_wait().unwrap()).await;
    assert_eq!(status.0.code(), Some(0));
    assert!(
        asked.elapsed() < Duration::from_secs(4),
        "{:?}",
        asked.elapsed()
    );
    assert!(!setup.socket.exists());
}

fn dropped(setup: &Setup) -> u64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
    command.args(["status", "--json", "--socket"]);
    let output = command.arg(&setup.socket).output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    status["logs_dropped"].as_u64().expect("a number")
}
