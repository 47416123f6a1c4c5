//! How long clients are without the address when the master goes, beside keepalived.
//!
//! A client begins one TCP connection per millisecond to the virtual address; the dark time is the
//! longest gap between two that were accepted. `WARREN_DARK_ROUNDS=20` takes so many rounds instead
//! of two. The median has to be within what the README says, the maximum with a margin.

use std::fmt::Write as _;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::lab::{Lab, Process, until};
use crate::peer::{Node, Warren, keepalived};

const LONG: Duration = Duration::from_secs(15);
const VIP: &str = "10.9.0.100";
/// Three intervals of 100 ms, the skew of priority 100, and 50 ms.
const DOWN: f64 = 300.0 + 61.0 + 50.0;
/// What a hand-over in order may take.
const HAND_OVER: f64 = 20.0;
/// The longest round of all may take this much more, because the client, both nodes and the bridge
/// share the processors with whatever else runs. The table has the maximum as it was.
const BUSY: f64 = 90.0;

/// What happens to the master.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Term,
    Kill,
    Link,
}

/// Who they are; the first named is the master.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pair {
    Warren,
    /// warren, and keepalived as its backup.
    Mixed,
    Keepalived,
}

const PAIRS: [(Pair, &str); 3] = [
    (Pair::Warren, "warren"),
    (Pair::Mixed, "warren, keepalived"),
    (Pair::Keepalived, "keepalived"),
];

const FAULTS: [(Fault, &str); 3] = [
    (Fault::Term, "SIGTERM"),
    (Fault::Kill, "SIGKILL"),
    (Fault::Link, "link cut"),
];

pub(crate) fn dark_times() {
    let rounds = std::env::var("WARREN_DARK_ROUNDS").map_or(2, |text| text.parse().unwrap());
    let mut table = format!(
        "  {:<10} {:<18} {:>6} {:>12} {:>12}\n",
        "fault", "pair", "rounds", "median ms", "maximum ms"
    );
    let mut ours = Vec::new();
    for (fault, name) in FAULTS {
        for (pair, pair_name) in PAIRS {
            let mut times: Vec<f64> = (0..rounds).map(|_| once(fault, pair)).collect();
            times.sort_by(f64::total_cmp);
            let (median, most) = (times[(times.len() - 1) / 2], times[times.len() - 1]);
            let count = times.len();
            let _ = writeln!(
                table,
                "  {name:<10} {pair_name:<18} {count:>6} {median:>12.1} {most:>12.1}"
            );
            if pair == Pair::Warren || (pair == Pair::Mixed && fault == Fault::Term) {
                ours.push((fault, name, median, most));
            }
        }
    }
    println!("{table}");
    for (fault, name, median, most) in ours {
        let limit = match fault {
            Fault::Term => HAND_OVER,
            Fault::Kill | Fault::Link => DOWN,
        };
        let good = median <= limit && most <= limit + BUSY;
        assert!(good, "{name}: {limit} ms are allowed, and {BUSY} more once");
    }
}

/// A fresh pair, one fault, and the longest gap in milliseconds.
fn once(fault: Fault, pair: Pair) -> f64 {
    let lab = Lab::new(3);
    let with = |priority| Node {
        priority,
        ..Node::default()
    };
    let is_warren = |number: usize| match pair {
        Pair::Warren => true,
        Pair::Mixed => number == 1,
        Pair::Keepalived => false,
    };
    let start = |number: usize, priority: u8| -> Process {
        let host = lab.host(number);
        match is_warren(number) {
            true => Warren::node(host, &with(priority)).process,
            false => keepalived(host, &with(priority)),
        }
    };
    let listen = |number: usize| (!is_warren(number)).then(|| lab.host(number).python(LISTENER));
    let _listeners = (listen(1), listen(2));
    let master = start(1, 150);
    let _backup = start(2, 100);
    until("the first is master", LONG, || {
        lab.host(1).has(VIP) && !lab.host(2).has(VIP)
    });
    std::thread::sleep(Duration::from_millis(700));
    let mut client = lab.host(3).python(CLIENT);
    std::thread::sleep(Duration::from_millis(300));
    match fault {
        Fault::Term => master.signal(Signal::SIGTERM),
        Fault::Kill => kill_all(&master),
        Fault::Link => lab.link(1, "down"),
    }
    client.wait(LONG);
    let log = client.log();
    let gap = log.trim().parse();
    gap.unwrap_or_else(|_| panic!("{log}"))
}

/// Connects for two seconds and prints the longest gap in milliseconds.
const CLIENT: &str = "\
import errno, select, socket, time
begun = last = time.monotonic()
longest, accepted, open = 0, 0, {}
poll = select.epoll()
while (now := time.monotonic()) < begun + 2:
    s = socket.socket()
    s.setblocking(False)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\\1\\0\\0\\0\\0\\0\\0\\0')
    if s.connect_ex(('10.9.0.100', 5672)) == errno.EINPROGRESS:
        open[s.fileno()] = (s, now)
        poll.register(s, select.EPOLLOUT)
    while (left := now + 0.001 - time.monotonic()) > 0:
        for number, events in poll.poll(left):
            s, _ = open.pop(number)
            poll.unregister(number)
            if not s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                at = time.monotonic()
                longest, last, accepted = max(longest, at - last), at, accepted + 1
            s.close()
    for number in [n for n, (_, at) in open.items() if at < now - 0.2]:
        poll.unregister(number)
        open.pop(number)[0].close()
assert accepted > 500, accepted
print(max(longest, time.monotonic() - last) * 1000)
";

/// What listens beside keepalived, which does not do that itself.
const LISTENER: &str = "\
import socket
s = socket.create_server(('', 5672), backlog=4096)
while True:
    s.accept()[0].close()
";

/// Kills a process and its children at once, as a lack of memory or a cgroup would.
fn kill_all(process: &Process) {
    process.signal_children(Signal::SIGKILL);
    process.signal(Signal::SIGKILL);
}
