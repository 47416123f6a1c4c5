//! What many servers, or none, can do to the clients.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::ports::free_port;
use crate::warren::{Setup, Warren};
use crate::wire::{Server, address_of, connect, expect_reset, ping};

/// Case 27, and all servers full at once: who comes too late waits in the queue, and whom the queue
/// has no place for is reset; nobody waits for ever, and every slot is used again.
#[test]
fn all_servers_full_at_once() {
    let servers = [Server::start(), Server::start(), Server::start()];
    let line = |(name, server): (char, &Server)| {
        format!(
            "{name} = {{ address = \"{}\", max_connections = 2 }}\n",
            server.address
        )
    };
    let setup = Setup {
        pool: "max_queue = 3\nqueue_timeout = \"2s\"\n",
        servers: ('a'..).zip(&servers).map(line).collect(),
        ..Setup::default()
    };
    let mut warren = Warren::start(&setup);
    let mut served = Vec::new();
    for _ in 0..6 {
        let mut client = connect(&warren);
        let at_server = warren.served(&mut client, &servers.each_ref());
        served.push((client, at_server));
    }
    let mut waiting: Vec<TcpStream> = (0..3).map(|_| connect(&warren)).collect();
    warren.until("a full queue", |warren| {
        (warren.queued() == 3).then_some(())
    });
    let mut late = connect(&warren);
    let late_address = address_of(&late);
    expect_reset(&mut late);
    assert_eq!(warren.ending(late_address), "queue-full");
    // All slots become free at once: every one that waits gets one.
    drop(served);
    for client in &mut waiting {
        client.write_all(b"hello").unwrap();
    }
    for _ in &waiting {
        let mut at_server =
            warren.until("a server", |_| servers.iter().find_map(Server::accept_now));
        at_server.read_exact(&mut [0; 5]).unwrap();
    }
    drop(waiting);
    warren.finish(&servers.each_ref());
}

/// Case 28: a server that comes and goes every second. Clients never notice: a connection that it
/// refuses goes to the other one.
#[test]
fn a_server_that_flaps() {
    let steady = Server::start();
    let flapping = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let setup = Setup {
        check: "type = \"tcp\"\ninterval = \"100ms\"\ntimeout = \"1s\"\nrise = 2\nfall = 2\n",
        servers: format!(
            "steady = \"{}\"\nflapping = \"{flapping}\"\n",
            steady.address
        ),
        complaints: &["server changed"],
        ..Setup::default()
    };
    let warren = Warren::start(&setup);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // It listens for a second and answers, and is gone for another one.
                let listener = TcpListener::bind(flapping).unwrap();
                listener.set_nonblocking(true).unwrap();
                let until = Instant::now() + Duration::from_secs(1);
                while Instant::now() < until {
                    if let Ok((mut stream, _)) = listener.accept() {
                        stream.set_nonblocking(false).unwrap();
                        // A check says nothing.
                        if stream.read_exact(&mut [0; 5]).is_ok() {
                            stream.write_all(b"hello").unwrap();
                        }
                    }
                    thread::sleep(Duration::from_millis(1));
                }
                drop(listener);
                thread::sleep(Duration::from_secs(1));
            }
        });
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if let Some(mut stream) = steady.accept_now()
                    && stream.read_exact(&mut [0; 5]).is_ok()
                {
                    stream.write_all(b"hello").unwrap();
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        let begun = Instant::now();
        let (mut good, mut bad) = (0, Vec::new());
        while begun.elapsed() < Duration::from_secs(7) {
            let mut client = connect(&warren);
            let answer = client
                .write_all(b"hello")
                .and_then(|()| client.read_exact(&mut [0; 5]));
            match answer {
                Ok(()) => good += 1,
                Err(error) => bad.push((begun.elapsed(), error)),
            }
        }
        over.store(true, Ordering::Relaxed);
        println!("{good} clients were served, {} were not", bad.len());
        assert!(good > 100);
        // Whoever was connected to it when it went, or in its backlog, is reset.
        assert!(bad.len() <= 4, "{bad:?}");
    });
    let flaps = warren.status()["pools"][0]["servers"][1]["downs"].as_u64();
    assert!(flaps.is_none_or(|flaps| flaps >= 2), "{flaps:?}");
    let changes = warren.lines().into_iter();
    let changes = changes
        .filter(|line| line["message"] == "server changed")
        .count();
    assert!((4..=16).contains(&changes), "{changes} changes");
    warren.finish(&[&steady]);
}

/// Case 34: ten thousand servers and a thousand listeners.
#[test]
fn ten_thousand_servers_and_a_thousand_listeners() {
    let server = Server::start();
    let port = server.address.port();
    let mut servers = format!("first = \"{}\"\n", server.address);
    for number in 0..10_000 {
        let (high, low) = (number / 250, number % 250 + 1);
        servers += &format!("s{number} = \"127.1.{high}.{low}:{port}\"\n");
    }
    // A port that is free on one address of loopback is free on all of them, most likely.
    let entrance = free_port();
    let mut listeners = String::new();
    for number in 0..1_000 {
        let (high, low) = (number / 250, number % 250 + 1);
        listeners += &format!(
            "[listen.l{number}]\nbind = \"127.2.{high}.{low}:{entrance}\"\npool = \"test\"\n"
        );
    }
    let setup = Setup {
        global: "workers = 1\n",
        listen: &listeners,
        pool: "balance = \"first\"\n",
        servers,
        ..Setup::default()
    };
    let begun = Instant::now();
    let warren = Warren::start(&setup);
    let took = begun.elapsed();
    // 0.6 s on a quiet machine, 0.4 s of them here; the square of the number would be minutes.
    println!("started after {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    for address in [
        warren.address,
        SocketAddr::from(([127, 2, 3, 250], entrance)),
    ] {
        let mut client = TcpStream::connect(address).unwrap();
        let mut at_server = server.accept();
        ping(&mut client, &mut at_server, b"hello");
    }
    warren.finish(&[&server]);
}
