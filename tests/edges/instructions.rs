//! What a round trip costs in instructions outside the kernel, counted by callgrind. Unlike times,
//! they hardly depend on the machine or on what else it does. Of the unoptimised program, as tests
//! run it: the number is large, but what makes it grow makes the optimised one grow, too.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ports::free_port;
use crate::skip::skip;
use crate::wire::{Server, connect_from, ping};

const BUDGET: &str = include_str!("instructions.txt");
/// Another compiler, another layout of hash tables, a timer more or less.
const SLACK: f64 = 1.05;
/// Everything takes fifty times as long.
const PATIENCE: Duration = Duration::from_secs(60);
/// The difference of two runs has nothing of start and end in it.
const TRIPS: [usize; 2] = [200, 3_200];

/// warren under callgrind.
struct Counted {
    child: Child,
    said: std::path::PathBuf,
    _home: tempfile::TempDir,
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Both fail only when the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Instructions of a run with so many round trips; `None` without valgrind.
fn instructions(trips: usize) -> Option<u64> {
    let server = Server::start();
    let home = tempfile::tempdir().unwrap();
    let (file, said) = (home.path().join("warren.toml"), home.path().join("said"));
    let address = ([127, 0, 0, 1], free_port()).into();
    let text = format!(
        "[global]\nworkers = 1\n[log]\nconnections = false\n[admin]\nsocket = \"\"\nhttp = \"\"\n\
         [listen.test]\nbind = \"{address}\"\npool = \"test\"\n\
         [pool.test.check]\ntype = \"none\"\n[pool.test.servers]\na = \"{}\"\n",
        server.address
    );
    std::fs::write(&file, text).unwrap();
    let spawned = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--log-file={}", said.display()))
        .arg(env!("CARGO_BIN_EXE_warren"))
        .args(["run", "-c"])
        .arg(&file)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut counted = Counted {
        child: spawned.ok()?,
        said,
        _home: home,
    };
    let begun = Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        assert!(
            counted.child.try_wait().unwrap().is_none(),
            "{}",
            text_of(&counted.said)
        );
        assert!(begun.elapsed() < PATIENCE, "{}", text_of(&counted.said));
        std::thread::sleep(Duration::from_millis(100));
    }
    // The one that was tried first.
    drop(server.accept());
    let mut client = connect_from(address, [127, 0, 0, 1]);
    let mut at_server = server.accept();
    for _ in 0..trips {
        ping(&mut client, &mut at_server, &[b'w'; 1024]);
    }
    drop((client, at_server));
    let id = i32::try_from(counted.child.id()).unwrap();
    kill(Pid::from_raw(id), Signal::SIGTERM).unwrap();
    assert!(counted.child.wait().unwrap().success());
    let text = text_of(&counted.said);
    let collected = text.lines().find_map(|line| line.split_once("Collected :"));
    Some(collected.expect("a sum").1.trim().parse().unwrap())
}

fn text_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn a_round_trip_takes_as_many_instructions_as_it_did() {
    let [Some(few), Some(many)] = TRIPS.map(instructions) else {
        skip("there is no valgrind");
        return;
    };
    let each = (many - few) as f64 / (TRIPS[1] - TRIPS[0]) as f64;
    println!("  {each:.0} instructions per round trip");
    let lines = BUDGET.lines().find(|line| !line.starts_with('#'));
    let budget: f64 = lines.unwrap().parse().unwrap();
    assert!(
        each <= budget * SLACK,
        "{each:.0} instructions per round trip, {budget} are allowed"
    );
}
