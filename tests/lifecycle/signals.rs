//! Signals that do not end the daemon.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::spawn_blocking;

use crate::fake::{Fake, Mood};
use crate::warren::{SOON, Setup, unchecked};

#[tokio::test]
async fn hup_reads_the_configuration_again() {
    let server = Fake::new(Mood::Good).await;
    let mut warren = Setup::new("", &unchecked(server.address)).start().await;
    let another = unchecked(server.address).replace("one = ", "another = ");
    warren.setup.write("", &another);
    warren.daemon.signal(Signal::SIGHUP);
    warren
        .logs("the configuration was reloaded changes=2")
        .await;
    warren.shows("another", "status", "no check").await;
    warren.client().await.echo().await.unwrap();
    warren.stop(SOON).await;
}

#[tokio::test]
async fn usr1_writes_the_state_to_the_log() {
    let server = Fake::new(Mood::Good).await;
    let mut warren = Setup::new("", &unchecked(server.address)).start().await;
    let mut client = warren.client().await;
    client.echo().await.unwrap();
    warren.daemon.signal(Signal::SIGUSR1);
    warren.logs("1/1 servers usable; 1 connections").await;
    let line = warren.logs(" server=one").await;
    assert!(line.contains("pool=p") && line.contains("open=1"), "{line}");
    drop(client);
    warren.stop(SOON).await;
}

#[tokio::test]
async fn a_burst_of_signals_loses_no_term() {
    let server = Fake::new(Mood::Good).await;
    let mut warren = Setup::new("", &unchecked(server.address)).start().await;
    for _ in 0..1000 {
        warren.daemon.signal(Signal::SIGHUP);
        warren.daemon.signal(Signal::SIGUSR1);
    }
    assert_eq!(warren.daemon.ended(), None);
    warren.client().await.echo().await.unwrap();
    for _ in 0..1000 {
        warren.daemon.signal(Signal::SIGUSR1);
        warren.daemon.signal(Signal::SIGHUP);
    }
    warren.stop(SOON).await;
}

#[tokio::test]
async fn a_stream_survives_stop_and_cont() {
    const LENGTH: usize = 64 << 20;
    let server = Fake::new(Mood::Good).await;
    let warren = Setup::new("", &unchecked(server.address)).start().await;
    let stream = warren.client().await.0;
    let (mut reader, mut writer) = stream.into_split();
    let sending = tokio::spawn(async move {
        for at in (0..LENGTH).step_by(1 << 16) {
            writer.write_all(&part(at, 1 << 16)).await.unwrap();
        }
        writer.shutdown().await.unwrap();
    });
    let receiving = tokio::spawn(async move {
        let (mut at, mut buffer) = (0, vec![0; 1 << 18]);
        loop {
            let count = reader.read(&mut buffer).await.unwrap();
            if count == 0 {
                return at;
            }
            assert!(buffer[..count] == part(at, count), "wrong bytes after {at}");
            at += count;
        }
    });
    for _ in 0..5 {
        warren.daemon.signal(Signal::SIGSTOP);
        tokio::time::sleep(Duration::from_millis(300)).await;
        warren.daemon.signal(Signal::SIGCONT);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let received = tokio::time::timeout(Duration::from_secs(60), receiving).await;
    assert_eq!(received.expect("the stream hangs").unwrap(), LENGTH);
    sending.await.unwrap();
    warren.stop(SOON).await;
}

/// Every four bytes say where they are.
fn part(at: usize, length: usize) -> Vec<u8> {
    let byte = |at: usize| (at / 4).to_le_bytes()[at % 4];
    (at..at + length).map(byte).collect()
}

/// The configuration comes from a pipe, so that the start lasts as long as it takes.
#[tokio::test]
async fn what_is_asked_during_the_start_is_done_after_it() {
    let server = Fake::new(Mood::Good).await;
    let setup = Setup::new("", &unchecked(server.address));
    let (file, ready) = (setup.file(), setup.file().with_extension("ready"));
    std::fs::rename(&file, &ready).unwrap();
    nix::unistd::mkfifo(&file, Mode::S_IRWXU).unwrap();
    let text = std::fs::read(&ready).unwrap();
    let mut warren = setup.launch();
    // Ends when the daemon opens it for reading.
    let opened = spawn_blocking(move || (File::create(&file).unwrap(), file));
    let (mut pipe, file) = opened.await.unwrap();
    for signal in [Signal::SIGHUP, Signal::SIGUSR1] {
        warren.daemon.signal(signal);
    }
    std::fs::rename(&ready, &file).unwrap();
    pipe.write_all(&text).unwrap();
    drop(pipe);
    warren
        .logs("the configuration was reloaded changes=0")
        .await;
    warren.logs("1/1 servers usable; 0 connections").await;
    warren.client().await.echo().await.unwrap();
    warren.stop(SOON).await;
}
