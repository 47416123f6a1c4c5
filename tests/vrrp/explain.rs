//! What the commands say of virtual routers: `warren explain vrrp` and `warren events`.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::lab::{Lab, until};
use crate::peer::{Node, Warren};

const LONG: Duration = Duration::from_secs(30);

/// Its peers wait for more than three seconds, so that a busy machine is not taken for a dead one.
fn node(priority: u8) -> Node {
    Node {
        priority,
        interval: 1000,
        ..Node::default()
    }
}

/// What a command prints.
pub(crate) fn says(warren: &Warren, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
    command.args(words).arg("--socket").arg(&warren.socket);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

/// The paragraph, in one line, once it holds all the words.
fn explains(warren: &Warren, words: &[&str]) {
    let last = std::cell::RefCell::new(String::new());
    let paragraph = || {
        let page = says(warren, &["explain", "vrrp", "v"]);
        let paragraph = page.split("\n\n").next().unwrap_or_default();
        last.replace(paragraph.replace('\n', " "));
        words.iter().all(|words| last.borrow().contains(words))
    };
    let begun = std::time::Instant::now();
    while !paragraph() {
        let text = last.borrow();
        assert!(begun.elapsed() < LONG, "{words:?} not in: {text}");
        drop(text);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn order(warren: &Warren, command: &str) {
    let mut stream = UnixStream::connect(&warren.socket).unwrap();
    writeln!(stream, "{command}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "\n", "{command}");
}

pub(crate) fn why_this_node_is_master_or_not() {
    let lab = Lab::new(2);
    let one = Warren::node(lab.host(1), &node(150));
    let two = Warren::node(lab.host(2), &node(100));
    explains(
        &one,
        &[
            " has been master of v for ",
            ", with 10.9.0.100/24 on eth0: ",
            "Its priority is 150, which nothing lowers.",
            "It says so every 1,000 ms, and gives way to a node that says more than 150.",
        ],
    );
    explains(
        &two,
        &[
            " has been backup for v for ",
            ", without 10.9.0.100/24: ",
            "10.9.0.1 was heard last, ",
            " ago, and said priority 150.",
            "It takes over when that master is silent for three advertisements of 1,000 ms",
        ],
    );
    one.process.signal(Signal::SIGKILL);
    explains(
        &two,
        &[" has been master of v ", ": master 10.9.0.1 fell silent."],
    );
    let event = "virtual router v backup -> master: master 10.9.0.1 fell silent (priority 100)\n";
    // The control thread hears of it a moment later.
    for words in [&["explain", "vrrp"][..], &["events"]] {
        until("the event", LONG, || says(&two, words).contains(event));
    }
    // Each once, as in the log.
    let logged = "virtual_router=v from=backup to=master reason=\"master 10.9.0.1 fell silent\"";
    until("all events", LONG, || {
        says(&two, &["events"]).matches(event).count() == two.process.log().matches(logged).count()
    });
    lab.link(2, "down");
    explains(
        &two,
        &[
            "has taken no part in the election of v",
            "eth0, which has no carrier.",
        ],
    );
}

pub(crate) fn why_a_lower_master_is_left_alone() {
    let lab = Lab::new(2);
    let two = Warren::node(lab.host(2), &node(100));
    explains(&two, &[" has been master of v ", ": no master was heard."]);
    let modest = Node {
        preempt: false,
        more: "track_pools = { p = 20 }",
        ..node(150)
    };
    let one = Warren::node(lab.host(1), &modest);
    explains(
        &one,
        &[
            " has been backup for v ",
            "; leaves a master of priority 100 alone: preempt is off.",
            "said priority 100.",
            "That is less than 150, but preempt is off",
        ],
    );
    order(&one, "set server p/s state maint");
    let lowered =
        "Its priority is lowered by 20 to 130: 150 - 20 = 130: pool p has no usable server.";
    explains(&one, &[lowered, "That is less than 130"]);
}
