//! A network for one test: loopback and an interface with an address, and nobody else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

use crate::skip::skip;

/// Moves this thread, and what it starts from now on, into a new network with `eth0`. False, said
/// as a skip, where that is not possible.
pub(crate) fn enter() -> bool {
    if !nix::unistd::geteuid().is_root() {
        skip("needs root, for a network of its own");
        return false;
    }
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    for line in [
        "link set lo up",
        "link add eth0 type veth peer name far",
        "address add 192.0.2.11/24 dev eth0",
        "link set eth0 up",
        "link set far up",
    ] {
        let done = Command::new("ip").args(line.split(' ')).status().unwrap();
        assert!(done.success(), "ip {line}");
    }
    true
}

/// Asks `question` until it has an answer.
pub(crate) fn until<T>(what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(Instant::now() < deadline, "in vain waited for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What is at a path: status, head and body. `None`: nobody answers.
pub(crate) fn get(address: &str, target: &str) -> Option<(u16, String, String)> {
    let address: SocketAddr = address.parse().unwrap();
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let body = if chunked {
        unchunked(body)
    } else {
        body.to_owned()
    };
    Some((status, head.to_owned(), body))
}

/// A body without the lengths of its chunks.
fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    loop {
        let (length, text) = rest.split_once("\r\n").unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        body.push_str(&text[..length]);
        rest = text[length..].strip_prefix("\r\n").unwrap();
        if length == 0 {
            assert_eq!(rest, "", "nothing comes after the last one");
            return body;
        }
    }
}

/// The body of what is there.
pub(crate) fn body(address: &str, target: &str) -> String {
    let (status, _, body) = get(address, target).unwrap();
    assert_eq!(status, 200, "{target}: {body}");
    body
}
