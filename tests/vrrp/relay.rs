//! What only a network with cables can do to a connection: peers that vanish.

use std::time::{Duration, Instant};

use crate::lab::{Lab, Process, connected, until};
use crate::peer::Warren;

const LONG: Duration = Duration::from_secs(10);
/// How long a peer may owe an answer, and a sweep and a bit.
const VANISHED: Duration = Duration::from_secs(70 + 10);

/// How long a window stays closed: longer than data may be on its way, and what was asked for.
fn closed_for() -> Duration {
    let asked = std::env::var("WARREN_CLOSED_WINDOW").ok();
    let seconds = asked.map_or(95, |text| text.parse().expect("seconds"));
    Duration::from_secs(seconds).max(VANISHED)
}

const CONFIG: &str = "\
[listen.amqp]
bind = \"10.9.0.1:5672\"
pool = \"p\"
[pool.p]
check = { type = \"none\" }
servers = { s = \"10.9.0.2:7000\" }
";

/// Accepts two connections. The first client is sent something after its cable was pulled out, the
/// second nothing. Prints how they end, by which second.
const SERVER: &str = "\
import socket, threading, time
s = socket.create_server(('', 7000))
print('listening', flush=True)
def serve(c):
    kind = c.recv(1)
    if kind == b'S':
        print('stalls', flush=True)
        time.sleep(3600)
    if kind == b'F':
        time.sleep(3)
        c.sendall(b'on its way')
        print('sent', flush=True)
    try: end = c.recv(1)
    except OSError as e: end = e
    print(kind, 'ended:', end, flush=True)
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
";

fn client(kind: &str, then: &str) -> String {
    format!(
        "import socket, time\nc = socket.create_connection(('10.9.0.1', 5672))\n\
         c.sendall(b'{kind}')\nprint('connected', flush=True)\n{then}\ntime.sleep(3600)\n"
    )
}

/// A server on host 2, once it listens on so many ports, and warren in front of it on host 1, once
/// it accepts.
fn served_by(lab: &Lab, server: &str, ports: usize, config: &str) -> (Process, Warren) {
    let server = lab.host(2).python(server);
    until("the server listens", LONG, || {
        server.log().matches("listening").count() == ports
    });
    let warren = Warren::start(lab.host(1), config, "");
    until("it listens", LONG, || {
        warren.process.log().contains("accepting")
    });
    (server, warren)
}

/// A line is written when its client has been told already.
fn two_ended(warren: &Warren, how: &str) {
    until(how, LONG, || warren.process.log().matches(how).count() == 2);
}

/// One client is owed data when its cable is pulled out, one is idle; both are found out. One that
/// keeps its cable floods a server that does not read, so that all windows are closed: it is kept.
pub(crate) fn peers_that_vanish_are_found_and_closed_windows_are_kept() {
    let lab = Lab::new(4);
    let (server, warren) = served_by(&lab, SERVER, 1, CONFIG);
    let start =
        |number: usize, kind: &str, then: &str| connected(lab.host(number), &client(kind, then));
    let _in_flight = start(3, "F", "");
    let _idle = start(3, "I", "");
    let flood = "c.settimeout(2)\ntry:\n while True: c.sendall(bytes(65536))\n\
                 except TimeoutError: print('closed window', flush=True)";
    let stalled = start(4, "S", flood);
    lab.link(3, "down");
    let pulled = Instant::now();
    until("the window is closed", LONG, || {
        stalled.log().contains("closed window")
    });
    let ended = |kind: &str| server.log().contains(&format!("b'{kind}' ended:"));
    until("both ends are noticed", VANISHED, || {
        ended("F") && ended("I")
    });
    println!("  noticed after {:?}", pulled.elapsed());
    assert!(pulled.elapsed() > Duration::from_secs(60), "not too early");
    two_ended(&warren, "ending=client-vanished by=client");
    std::thread::sleep(closed_for().saturating_sub(pulled.elapsed()));
    let open = warren.status()["connections"]["now"].as_u64();
    assert_eq!(open, Some(1), "the closed window is kept");
    drop(stalled);
}

/// Tells whatever arrives to the end of the stream by its SHA-256.
const DIGESTS: &str = "\
import hashlib, socket, threading
s = socket.create_server(('', 7000))
print('listening', flush=True)
def serve(c):
    digest, length = hashlib.sha256(), 0
    try:
        while data := c.recv(1 << 18):
            digest.update(data)
            length += len(data)
        print('arrived', length, digest.hexdigest(), flush=True)
    except OSError as e: print('failed:', e, flush=True)
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
";

/// Writes a stream of random bytes, and another one slowly, for 14 seconds.
const WRITERS: &str = "\
import hashlib, os, socket, threading, time
def write(size, pause):
    c = socket.create_connection(('10.9.0.1', 5672))
    digest, length, end = hashlib.sha256(), 0, time.monotonic() + 14
    while time.monotonic() < end:
        data = os.urandom(size)
        c.sendall(data)
        digest.update(data)
        length += size
        time.sleep(pause)
    c.shutdown(socket.SHUT_WR)
    print('arrived', length, digest.hexdigest(), flush=True)
    c.recv(1)
both = [threading.Thread(target=write, args=a) for a in ((65536, 0.005), (8, 0.3))]
for one in both: one.start()
print('connected', flush=True)
for one in both: one.join()
";

/// A server's cable is out for eight seconds, long enough for its neighbours to find that they
/// cannot reach it. TCP goes on after that, and so does every connection through warren.
pub(crate) fn an_outage_of_seconds_ends_nothing() {
    let lab = Lab::new(3);
    let (server, warren) = served_by(&lab, DIGESTS, 1, CONFIG);
    let client = connected(lab.host(3), WRITERS);
    std::thread::sleep(Duration::from_secs(3));
    let spliced = warren.status()["spliced"].as_u64();
    assert!(spliced > Some(1 << 20), "{spliced:?} bytes were spliced");
    lab.link(2, "down");
    // As it would after some seconds more, it looks for its neighbour and does not find it.
    lab.host(1).ip("neigh flush dev eth0");
    std::thread::sleep(Duration::from_secs(8));
    lab.link(2, "up");
    let arrived = |log: &str| {
        let lines = log.lines().filter(|line| line.starts_with("arrived"));
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.sort();
        lines
    };
    until("all has arrived", 3 * LONG, || {
        arrived(&server.log()).len() == 2 || warren.process.log().contains("vanished")
    });
    let log = warren.process.log();
    assert!(!log.contains("vanished"), "{log}");
    let (sent, came) = (arrived(&client.log()), arrived(&server.log()));
    assert_eq!(came.len(), 2, "{log}\n{}", server.log());
    assert_eq!(came, sent);
}

/// A server vanishes with data on its way to it, and with none. Both clients are told.
pub(crate) fn a_server_that_vanishes_is_found() {
    let lab = Lab::new(3);
    let (_server, warren) = served_by(&lab, SERVER, 1, CONFIG);
    let start = |then: &str| {
        let tell = "try: print('end:', c.recv(1), flush=True)\n\
                    except OSError as e: print('end:', e.errno, flush=True)";
        connected(lab.host(3), &client("I", &format!("{then}\n{tell}")))
    };
    let idle = start("");
    let in_flight = start("time.sleep(3)\nc.sendall(b'on its way')");
    std::thread::sleep(Duration::from_secs(1));
    lab.link(2, "down");
    let pulled = Instant::now();
    let told = |client: &Process| client.log().contains("end: 104");
    until("both clients are reset", VANISHED, || {
        told(&idle) && told(&in_flight)
    });
    println!("  noticed after {:?}", pulled.elapsed());
    assert!(pulled.elapsed() > Duration::from_secs(60), "not too early");
    two_ended(&warren, "ending=server-vanished by=server");
}

/// All but a few source ports are taken away from the host; each server has a whole set of them, so
/// that a client for whom there is no port to the one goes to the other.
pub(crate) fn without_a_source_port_the_client_goes_elsewhere() {
    let lab = Lab::new(3);
    let echo = "import socket, threading\n\
                def serve(port):\n s = socket.create_server(('', port))\n kept = []\n \
                print('listening', flush=True)\n \
                while True:\n  c = s.accept()[0]\n  c.sendall(b'%d' % port)\n  kept.append(c)\n\
                for port in (7000, 7001):\n threading.Thread(target=serve, args=(port,)).start()";
    let mut shell = lab.host(1).inside("sh");
    let ports = "echo 50000 50009 > /proc/sys/net/ipv4/ip_local_port_range";
    assert!(shell.args(["-c", ports]).status().unwrap().success());
    let config = CONFIG.replace(
        "servers = { s = \"10.9.0.2:7000\" }",
        "balance = \"first\"\nretries = 1\n\
         servers = { a = \"10.9.0.2:7000\", b = \"10.9.0.2:7001\" }",
    );
    let (server, warren) = served_by(&lab, echo, 2, &config);
    let clients = "import socket, time\nkept, heard = [], []\n\
                   for _ in range(22):\n c = socket.create_connection(('10.9.0.1', 5672))\n \
                   kept.append(c)\n try: heard.append(c.recv(9).decode())\n \
                   except OSError: heard.append('reset')\n\
                   print(*[heard.count(x) for x in ('7000', '7001', 'reset')], flush=True)\n";
    let mut clients = lab.host(3).python(clients);
    clients.wait(Duration::from_secs(60));
    assert_eq!(clients.log().trim(), "10 10 2", "{}", warren.process.log());
    two_ended(&warren, "ending=connect-failed by=us");
    drop(server);
    until("nothing is left", LONG, || {
        warren.status()["connections"]["now"] == 0
    });
}
