//! What a client or a server can do to one connection.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::socket::{MsgFlags, send};
use std::os::fd::AsRawFd;

use crate::keyed::{Dice, Keyed, mix};
use crate::warren::{SOON, Setup, Warren};
use crate::wire::{
    Server, address_of, expect_end, expect_reset, finish_writing, pair, pass, ping, reset,
};

const MIB: usize = 1 << 20;

/// From the environment, or a new one; it is printed, and `cargo test` shows it of a failed test.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("WARREN_SEED").ok();
    let seed = given.map_or_else(
        || u64::from(std::process::id()),
        |seed| seed.parse().unwrap(),
    );
    println!("WARREN_SEED={seed}");
    mix(seed)
}

/// Writes the next bytes of a stream.
pub(crate) fn write(stream: &mut TcpStream, keyed: &mut Keyed, length: usize) {
    let mut bytes = vec![0; length];
    keyed.fill(&mut bytes);
    stream.write_all(&bytes).unwrap();
}

/// Reads the next bytes of a stream.
pub(crate) fn read(stream: &mut TcpStream, keyed: &mut Keyed, length: usize) {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    keyed.check(&bytes).unwrap();
}

/// Reads the stream to its FIN; returns how long it was.
pub(crate) fn read_to_end(stream: &mut TcpStream, keyed: &mut Keyed) -> u64 {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => return keyed.position(),
            count => keyed.check(&buffer[..count]).unwrap(),
        }
    }
}

/// Reads a stream that is broken off by RST: what comes before is a beginning of it. Returns how
/// much of it came.
pub(crate) fn read_to_reset(stream: &mut TcpStream, keyed: &mut Keyed) -> u64 {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => panic!("FIN instead of RST after {}", keyed.position()),
            Ok(count) => keyed.check(&buffer[..count]).unwrap(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                return keyed.position();
            }
        }
    }
}

/// Cases 3 and 32: bytes one by one, and the last of them in one segment with the FIN, from both
/// sides at once.
#[test]
fn single_bytes_and_two_ends_at_once() {
    let seed = seed();
    let server = Server::start();
    let warren = Warren::start(&Setup::of(&[&server]));
    let (client, at_server) = pair(&warren, &server);
    let side = |mut stream: TcpStream, to_server: bool| {
        let mut ours = Keyed::new(seed, 1, to_server);
        let mut theirs = Keyed::new(seed, 1, !to_server);
        let mut reading = stream.try_clone().unwrap();
        let reader = thread::spawn(move || read_to_end(&mut reading, &mut theirs));
        for _ in 0..2000 {
            write(&mut stream, &mut ours, 1);
        }
        finish_writing(&stream);
        assert_eq!(reader.join().unwrap(), 2000);
    };
    thread::scope(|scope| {
        scope.spawn(|| side(client, true));
        scope.spawn(|| side(at_server, false));
    });
    warren.finish(&[&server]);
}

/// Case 31: a byte of urgent data. The kernel takes it out of the stream, as TCP proxies do
/// everywhere; nothing stalls, and the rest is exact.
#[test]
fn urgent_data_stalls_nothing() {
    let seed = seed();
    let server = Server::start();
    let warren = Warren::start(&Setup::of(&[&server]));
    let (mut client, mut at_server) = pair(&warren, &server);
    let mut ours = Keyed::new(seed, 1, true);
    let mut theirs = Keyed::new(seed, 1, true);
    for _ in 0..100 {
        write(&mut client, &mut ours, 1000);
        send(client.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
        read(&mut at_server, &mut theirs, 1000);
    }
    // Before and behind it, when warren comes to read; nothing follows that would wake it.
    for _ in 0..3 {
        warren.signal(Signal::SIGSTOP);
        write(&mut client, &mut ours, 1000);
        send(client.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
        write(&mut client, &mut ours, 1000);
        thread::sleep(Duration::from_millis(50));
        warren.signal(Signal::SIGCONT);
        read(&mut at_server, &mut theirs, 2000);
    }
    ping(&mut client, &mut at_server, b"and back");
    drop((client, at_server));
    warren.finish(&[&server]);
}

/// Case 31 on the splice path: the call never moves anything past urgent data. There is one urgent
/// byte at a time: a second one makes an ordinary byte of one that waits to be read (tcp(7)).
#[test]
fn urgent_data_in_a_spliced_stream_stalls_nothing() {
    let seed = seed();
    let server = Server::start();
    let warren = Warren::start(&Setup::of(&[&server]));
    let (mut client, mut at_server) = pair(&warren, &server);
    let (tell, told) = mpsc::channel();
    let sending = thread::spawn(move || {
        let mut ours = Keyed::new(seed, 1, true);
        for _ in 0..3 {
            write(&mut client, &mut ours, 16 * MIB);
            send(client.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
            told.recv().unwrap();
        }
        write(&mut client, &mut ours, 16 * MIB);
        finish_writing(&client);
        expect_end(&mut client);
    });
    let mut theirs = Keyed::new(seed, 1, true);
    for _ in 0..3 {
        read(&mut at_server, &mut theirs, 16 * MIB);
        tell.send(()).unwrap();
    }
    let arrived = read_to_end(&mut at_server, &mut theirs);
    assert_eq!(arrived, 64 * MIB as u64);
    let spliced = warren.status()["spliced"].as_u64().unwrap();
    assert!(spliced > 8 * MIB as u64, "{spliced} bytes were spliced");
    drop(at_server);
    sending.join().unwrap();
    warren.finish(&[&server]);
}

/// A sender that is in the middle of a stream, and its other end, which has read for a while: the
/// relay splices.
fn in_the_middle_of_a_stream(
    warren: &Warren,
    mut from: TcpStream,
    to: &mut TcpStream,
    seed: u64,
) -> thread::JoinHandle<TcpStream> {
    let mut ours = Keyed::new(seed, 1, true);
    let sending = thread::spawn(move || {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let mut next = bytes.as_mut_slice();
            ours.fill(next);
            while !next.is_empty() {
                match from.write(next) {
                    Ok(count) => next = &mut next[count..],
                    Err(_) => return from,
                }
            }
        }
    });
    let mut theirs = Keyed::new(seed, 1, true);
    let before = warren.status()["spliced"].as_u64().unwrap();
    read(to, &mut theirs, 64 * MIB);
    let spliced = warren.status()["spliced"].as_u64().unwrap() - before;
    assert!(spliced > 8 * MIB as u64, "{spliced} bytes were spliced");
    sending
}

/// Cases 5, 6, 26 and 58: a reset in the middle of a splice, of the side that reads and of the side
/// that writes.
#[test]
fn a_reset_in_the_middle_of_a_splice() {
    let seed = seed();
    let server = Server::start();
    let mut warren = Warren::start(&Setup::of(&[&server]));

    let (client, mut at_server) = pair(&warren, &server);
    let address = address_of(&client);
    let sending = in_the_middle_of_a_stream(&warren, client, &mut at_server, seed);
    reset(at_server);
    let client = sending.join().unwrap();
    assert_eq!(warren.ending(address), "server-reset");
    drop(client);

    let (mut client, at_server) = pair(&warren, &server);
    let address = address_of(&client);
    let sending = in_the_middle_of_a_stream(&warren, at_server, &mut client, seed);
    reset(client);
    drop(sending.join().unwrap());
    assert_eq!(warren.ending(address), "client-reset");

    // The writer: what had arrived is a beginning of the stream, and then comes the reset.
    let (mut client, mut at_server) = pair(&warren, &server);
    let address = address_of(&client);
    let mut ours = Keyed::new(seed, 2, true);
    let reading =
        thread::spawn(move || read_to_reset(&mut at_server, &mut Keyed::new(seed, 2, true)));
    write(&mut client, &mut ours, 32 * MIB);
    reset(client);
    let arrived = reading.join().unwrap();
    assert!(arrived <= 32 * MIB as u64);
    assert_eq!(warren.ending(address), "client-reset");
    warren.finish(&[&server]);
}

/// Cases 4 and 8, while messages are copied: what the reader does not take is kept aside, and comes
/// whole, in order and once, and the end after it.
#[test]
fn a_stall_while_messages_are_copied() {
    // More than the kernel's buffers hold; slowly, so that it is no stream before they are full.
    const MESSAGES: usize = 2_400;
    const LENGTH: usize = 5_000;
    let seed = seed();
    let server = Server::start();
    // Accepted sockets inherit it: a window that is soon closed.
    socket2::SockRef::from(&server)
        .set_recv_buffer_size(8 * 1024)
        .unwrap();
    let warren = Warren::start(&Setup::of(&[&server]));
    let (mut client, mut at_server) = pair(&warren, &server);
    let sending = thread::spawn(move || {
        let mut ours = Keyed::new(seed, 1, true);
        for _ in 0..MESSAGES {
            write(&mut client, &mut ours, LENGTH);
            thread::sleep(Duration::from_millis(1));
        }
        finish_writing(&client);
        expect_end(&mut client);
    });
    thread::sleep(Duration::from_secs(3));
    // It reads now and then only, so that there is always something aside.
    let mut theirs = Keyed::new(seed, 1, true);
    for _ in 0..100 {
        read(&mut at_server, &mut theirs, 3 * LENGTH);
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(
        read_to_end(&mut at_server, &mut theirs),
        (MESSAGES * LENGTH) as u64
    );
    drop(at_server);
    sending.join().unwrap();
    warren.finish(&[&server]);
}

/// Cases 8, 9 and 57: one reader takes a few bytes at a time and its stream is exact in the end;
/// the others of the same worker do not wait for it.
#[test]
fn a_reader_that_dribbles() {
    let seed = seed();
    let server = Server::start();
    let warren = Warren::start(&Setup {
        global: "workers = 1",
        ..Setup::of(&[&server])
    });
    let (mut client, mut at_server) = pair(&warren, &server);
    let sending = thread::spawn(move || {
        let mut ours = Keyed::new(seed, 1, true);
        write(&mut client, &mut ours, 16 * MIB);
        finish_writing(&client);
        expect_end(&mut client);
    });
    let (mut other, mut other_server) = pair(&warren, &server);
    let mut theirs = Keyed::new(seed, 1, true);
    let mut dice = Dice::new(seed);
    let mut slowest = Duration::ZERO;
    for _ in 0..100 {
        let length = usize::try_from(1 + dice.below(3)).unwrap();
        read(&mut at_server, &mut theirs, length);
        let begun = Instant::now();
        ping(&mut other, &mut other_server, b"in between");
        slowest = slowest.max(begun.elapsed());
        thread::sleep(Duration::from_millis(10));
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert_eq!(read_to_end(&mut at_server, &mut theirs), 16 * MIB as u64);
    drop(at_server);
    sending.join().unwrap();
    drop((other, other_server));
    warren.finish(&[&server]);
}

/// Case 43: somebody who speaks TLS or HTTP to the AMQP port is the server's business.
#[test]
fn other_protocols_pass() {
    let server = Server::start();
    let warren = Warren::start(&Setup::of(&[&server]));
    let hello = [0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0];
    for bytes in [&hello[..], b"GET / HTTP/1.1\r\nHost: rabbit\r\n\r\n"] {
        let (mut client, mut at_server) = pair(&warren, &server);
        pass(&mut client, &mut at_server, bytes);
        reset(at_server);
        expect_reset(&mut client);
    }
    warren.finish(&[&server]);
}

/// That nothing here waits longer than the rest does.
const _: () = assert!(SOON.as_secs() <= 20);
