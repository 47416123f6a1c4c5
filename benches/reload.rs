//! How long a reload takes with 10,000 servers.
//!
//! `cargo bench --bench reload` starts warren with so many servers in one pool, of which every
//! second one gets another weight with each reload, one in a hundred another address, and one in a
//! hundred is new; it prints the time from the question to the answer, and fails when the median is
//! more than a second. Without checks: how long servers take to answer one is not what is measured.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const SERVERS: usize = 10_000;
/// Of the listener, below those that the kernel gives to clients.
const PORT: u16 = 18_672;
const ROUNDS: usize = 11;
const MOST: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let home = tempfile::tempdir().expect("a scratch folder");
    let (file, socket) = (
        home.path().join("warren.toml"),
        home.path().join("admin.sock"),
    );
    write(&file, &socket, 0);
    let mut warren = Command::new(env!("CARGO_BIN_EXE_warren"))
        .args(["run", "-c"])
        .arg(&file)
        .stderr(Stdio::null())
        .spawn()
        .expect("start warren");
    let begun = Instant::now();
    while ask(&socket, "show info").is_none_or(|answer| answer.is_empty()) {
        assert!(begun.elapsed() < PATIENCE, "warren does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        write(&file, &socket, round);
        let asked = Instant::now();
        let answer = ask(&socket, "reload").unwrap_or_default();
        times.push(asked.elapsed());
        assert!(answer.starts_with("Success=1\n"), "{answer}");
    }
    warren.kill().expect("end warren");
    // It was told to; how it ends does not matter.
    let _ = warren.wait();
    times.sort_unstable();
    let median = times[times.len() / 2];
    println!(
        "{ROUNDS} reloads of {SERVERS} servers: median {median:.0?}, longest {:.0?}",
        times[times.len() - 1]
    );
    if median > MOST {
        println!("more than {MOST:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn write(file: &Path, socket: &Path, round: usize) {
    let mut text = format!(
        "[admin]\nsocket = \"{}\"\nhttp = \"\"\n[listen.amqp]\nbind = \"127.0.0.1:{PORT}\"\n\
         pool = \"p\"\n\
         [pool.p.check]\ntype = \"none\"\n[pool.p.servers]\n",
        socket.display()
    );
    for number in 0..SERVERS {
        let name = if number % 100 == 0 {
            number + SERVERS * round
        } else {
            number
        };
        let port = if number % 100 == 1 {
            5_000 + round
        } else {
            5_672
        };
        let weight = if number % 2 == 0 { 100 } else { 100 + round };
        let (high, low) = (number / 256, number % 256);
        text.push_str(&format!(
            "s{name} = {{ address = \"127.1.{high}.{low}:{port}\", weight = {weight} }}\n"
        ));
    }
    std::fs::write(file, text).expect("write the configuration");
}

fn ask(socket: &Path, command: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(format!("{command}\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
