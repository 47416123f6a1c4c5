//! Very many connections at once.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::keyed::{Dice, Keyed};
use crate::relay::seed;
use crate::warren::{Setup, Warren};
use crate::wire::{Server, connect_from, expect_end, finish_writing, reset};

/// Connections, if the descriptor limit allows two each and some more, for us and for warren.
const MANY: usize = 10_000;
/// Descriptors beside those: what else runs in this process, and what warren has and keeps free.
const SPARE: usize = 400;
/// The most that one side says in a round. It fits into every buffer on the way, so that one
/// thread can play all sides.
const LONGEST: u64 = 4_000;

/// Both ends of a connection.
struct Pair {
    client: TcpStream,
    server: TcpStream,
    /// What each of them says, and what each should hear.
    to_server: [Keyed; 2],
    to_client: [Keyed; 2],
}

/// As many connections at once as descriptors allow, each with a key of its own: no byte of one
/// appears on another.
#[test]
fn ten_thousand_connections_with_distinct_keys() {
    let seed = seed();
    let (_, limit) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit).unwrap();
    let possible = usize::try_from(limit).unwrap().saturating_sub(SPARE) / 2;
    let count = MANY.min(possible);
    println!("{count} connections, of {limit} descriptors");
    let server = Server::start();
    let warren = Warren::start(&Setup::of(&[&server]));
    let mut pairs = connect_all(&warren, &server, count, seed);
    let open = warren.status()["connections"]["now"].as_u64();
    assert_eq!(open, Some(count as u64));
    let mut dice = Dice::new(seed);
    let mut buffer = vec![0; usize::try_from(LONGEST).unwrap()];
    for _ in 0..3 {
        let mut length = || usize::try_from(1 + dice.below(LONGEST)).unwrap();
        let lengths: Vec<_> = pairs.iter().map(|_| (length(), length())).collect();
        // All at once in each direction, so that they meet in the relay.
        for (pair, (up, down)) in pairs.iter_mut().zip(&lengths) {
            say(&mut pair.client, &mut pair.to_server[0], &mut buffer[..*up]);
            say(
                &mut pair.server,
                &mut pair.to_client[0],
                &mut buffer[..*down],
            );
        }
        for (pair, (up, down)) in pairs.iter_mut().zip(&lengths) {
            hear(&mut pair.server, &mut pair.to_server[1], &mut buffer[..*up]);
            hear(
                &mut pair.client,
                &mut pair.to_client[1],
                &mut buffer[..*down],
            );
        }
    }
    for (number, mut pair) in pairs.into_iter().enumerate() {
        if number % 2 == 0 {
            finish_writing(&pair.client);
            expect_end(&mut pair.server);
        } else {
            reset(pair.client);
        }
    }
    warren.finish(&[&server]);
}

/// Which server's end belongs to which client is what the client says first.
fn connect_all(warren: &Warren, server: &Server, count: usize, seed: u64) -> Vec<Pair> {
    let arrived = AtomicU64::new(0);
    thread::scope(|scope| {
        let accepting = scope.spawn(|| {
            let accept = |_| {
                let mut stream = server.accept();
                let mut number = [0; 8];
                stream.read_exact(&mut number).unwrap();
                arrived.fetch_add(1, Ordering::Relaxed);
                (u64::from_be_bytes(number), stream)
            };
            let mut accepted: Vec<_> = (0..count).map(accept).collect();
            accepted.sort_by_key(|(number, _)| *number);
            accepted
        });
        let clients: Vec<TcpStream> = (0..count as u64)
            .map(|number| {
                // Less than the server's backlog: what the kernel drops is not the question here.
                while number - arrived.load(Ordering::Relaxed) > 64 && !accepting.is_finished() {
                    thread::sleep(Duration::from_millis(1));
                }
                // From addresses with ports of their own: those of 127.0.0.1 are warren's.
                let source = [127, 0, 1, 1 + (number % 8) as u8];
                let mut client = connect_from(warren.address, source);
                client.write_all(&number.to_be_bytes()).unwrap();
                client
            })
            .collect();
        let accepted = accepting.join().unwrap();
        clients
            .into_iter()
            .zip(accepted)
            .enumerate()
            .map(|(index, (client, (number, server)))| {
                assert_eq!(
                    number, index as u64,
                    "a connection is missing, or there twice"
                );
                let keyed = |to_server| [(); 2].map(|()| Keyed::new(seed, number, to_server));
                Pair {
                    client,
                    server,
                    to_server: keyed(true),
                    to_client: keyed(false),
                }
            })
            .collect()
    })
}

fn say(stream: &mut TcpStream, keyed: &mut Keyed, buffer: &mut [u8]) {
    keyed.fill(buffer);
    stream.write_all(buffer).unwrap();
}

fn hear(stream: &mut TcpStream, keyed: &mut Keyed, buffer: &mut [u8]) {
    stream.read_exact(buffer).unwrap();
    keyed.check(buffer).unwrap();
}
