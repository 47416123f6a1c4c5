//! What two warrens do, and one alone.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::lab::{Lab, connected, until};
use crate::peer::{Node, PROXY, Warren};

const LONG: Duration = Duration::from_secs(10);
const VIP: &str = "10.9.0.100";
/// How long the kernel keeps the address of a dead warren.
const LEASE: Duration = Duration::from_millis(2_500);

fn node(priority: u8) -> Node {
    Node {
        priority,
        ..Node::default()
    }
}

/// Two nodes, the first of which is master.
fn pair(lab: &Lab) -> (Warren, Warren) {
    let one = Warren::node(lab.host(1), &node(150));
    let two = Warren::node(lab.host(2), &node(100));
    until("the first is master", LONG, || {
        lab.host(1).has(VIP) && !lab.host(2).has(VIP) && two.router("received").as_u64() > Some(1)
    });
    (one, two)
}

pub(crate) fn who_wins_and_who_follows() {
    let lab = Lab::new(2);
    let (mut one, two) = pair(&lab);
    let shown = Command::new(env!("CARGO_BIN_EXE_warren"))
        .args(["vrrp", "--socket"])
        .arg(&two.socket)
        .output()
        .unwrap();
    assert_eq!(shown.status.code(), Some(0));
    let text = String::from_utf8(shown.stdout).unwrap();
    for words in ["VIRTUAL ROUTER v", "backup", "10.9.0.1 with priority 150"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    one.stop();
    assert!(
        lab.host(2).has(VIP),
        "the second has it before the first lets go"
    );
    let log = two.process.log();
    assert!(
        log.contains("from=backup to=master reason=\"the master left"),
        "{log}"
    );
    let mut one = Warren::node(lab.host(1), &node(150));
    until("given back", LONG, || {
        lab.host(1).has(VIP) && !lab.host(2).has(VIP)
    });
    let log = two.process.log();
    let words = "from=master to=backup reason=\"10.9.0.1 has the higher priority 150\"";
    assert!(log.contains(words), "{log}");
    one.stop();
    assert!(lab.judge(1) > 1 && lab.judge(2) > 1);
}

pub(crate) fn a_killed_node_loses_the_address() {
    let lab = Lab::new(2);
    let (one, _two) = pair(&lab);
    one.process.signal(Signal::SIGKILL);
    let took = until("taken over", Duration::from_millis(400 + 300), || {
        lab.host(2).has(VIP)
    });
    let gone = until("gone", LEASE - took, || !lab.host(1).has(VIP));
    println!("  taken over after {took:?}, gone after {:?}", took + gone);
}

pub(crate) fn a_hung_node_loses_the_address_and_starts_again_as_backup() {
    let lab = Lab::new(2);
    let (one, two) = pair(&lab);
    one.process.signal(Signal::SIGSTOP);
    until("taken over", Duration::from_secs(1), || {
        lab.host(2).has(VIP)
    });
    until("gone", LEASE, || !lab.host(1).has(VIP));
    let before = two.router("transitions").as_u64();
    std::thread::sleep(Duration::from_secs(1));
    one.process.signal(Signal::SIGCONT);
    until("back, by election", LONG, || {
        lab.host(1).has(VIP) && !lab.host(2).has(VIP)
    });
    let log = one.process.log();
    let words = "from=master to=backup reason=\"was away longer than peers wait\"";
    assert!(log.contains(words), "{log}");
    assert_eq!(two.router("transitions").as_u64(), before.map(|n| n + 1));
}

/// Removes 10.9.0.100/24 from eth0 and prints after how many microseconds the kernel says that it
/// is there again. It talks to the kernel itself: to start a program takes longer than what is
/// measured.
const REMOVE: &str = "\
import socket, struct, time
kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
kernel.bind((0, 0x10)) # RTMGRP_IPV4_IFADDR
kernel.settimeout(5)
virtual = socket.inet_aton('10.9.0.100')
addresses = b''.join(struct.pack('HH4s', 8, kind, virtual) for kind in (1, 2))
body = struct.pack('BBBBi', socket.AF_INET, 24, 0, 0, socket.if_nametoindex('eth0')) + addresses
RTM_NEWADDR, RTM_DELADDR, NLM_F_REQUEST = 20, 21, 1
begin = time.monotonic()
kernel.send(struct.pack('IHHII', 16 + len(body), RTM_DELADDR, NLM_F_REQUEST, 1, 0) + body)
removed = False
while True:
    news = kernel.recv(65536)
    kind = struct.unpack_from('H', news, 4)[0]
    if virtual in news and kind == RTM_DELADDR: removed = True
    if virtual in news and kind == RTM_NEWADDR and removed: break
print(round((time.monotonic() - begin) * 1e6))
";

pub(crate) fn a_removed_address_is_put_back() {
    let lab = Lab::new(2);
    let (one, two) = pair(&lab);
    // The second may have been the first to claim it, when they started.
    let before = two.router("transitions");
    let mut took = [0; 3];
    for (times, took) in (1..).zip(&mut took) {
        let mut python = lab.host(1).inside("/usr/bin/python3");
        let output = python.args(["-c", REMOVE]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        *took = text.trim().parse().unwrap();
        println!("  put back after {took} us");
        until("counted", LONG, || one.router("put_back") == times);
    }
    // Once a busy machine may have had other things to do.
    took.sort_unstable();
    assert!(took[1] < 10_000, "{took:?} us");
    assert_eq!(one.router("state"), "master");
    assert_eq!(
        two.router("transitions"),
        before,
        "the other one noticed nothing"
    );
    lab.host(1).ip(&format!("address delete {VIP}/24 dev eth0"));
    until("the other one has it", LONG, || lab.host(2).has(VIP));
    assert!(!lab.host(1).has(VIP));
    until("it says so", LONG, || one.router("state") == "init");
    let log = one.process.log();
    assert!(log.contains("somebody keeps removing an address"), "{log}");
    let shown = Command::new(env!("CARGO_BIN_EXE_warren"))
        .args(["vrrp", "--quiet", "--socket"])
        .arg(&one.socket)
        .output()
        .unwrap();
    assert_eq!(shown.status.code(), Some(2));
}

pub(crate) fn a_lost_link_releases_at_once() {
    let lab = Lab::new(2);
    let (one, _two) = pair(&lab);
    lab.link(1, "down");
    let took = until("released", Duration::from_millis(300), || {
        !lab.host(1).has(VIP)
    });
    println!("  released after {took:?}");
    until("taken over", Duration::from_secs(1), || {
        lab.host(2).has(VIP)
    });
    let waits = one.router("waiting_for");
    assert_eq!(waits, "interface eth0, which has no carrier");
    lab.link(1, "up");
    until("given back", LONG, || {
        lab.host(1).has(VIP) && !lab.host(2).has(VIP)
    });
}

pub(crate) fn an_interface_that_appears_later() {
    let mut lab = Lab::new(1);
    let routers = "[vrrp.v]\ninterface = \"later\"\nrouter_id = 5\n\
                   advert_interval = \"100ms\"\naddresses = [\"10.9.0.100/24\"]\n";
    let warren = Warren::start(lab.host(1), PROXY, routers);
    until("it waits", LONG, || {
        warren.router("waiting_for") == "interface later, which does not exist"
    });
    lab.plug_in(1, "later");
    until("it has the address", LONG, || lab.host(1).has(VIP));
    lab.host(1).ip("link delete later");
    until("it waits again", LONG, || warren.router("state") == "init");
    let reason = "waits for interface later, which does not exist";
    assert_eq!(warren.router("why"), reason, "as the log says it");
    let log = warren.process.log();
    let words = format!("from=master to=init reason=\"{reason}\"");
    assert!(log.contains(&words), "{log}");
    assert!(!log.contains("ERROR"), "it took the address along: {log}");
    lab.plug_in(1, "later");
    until("it has the address again", LONG, || lab.host(1).has(VIP));
}

/// A pool with one server on host 3, checked often.
const POOL: &str = "\
[listen.amqp]
bind = \"0.0.0.0:5672\"
pool = \"p\"
[pool.p]
check = { type = \"tcp\", interval = \"200ms\", timeout = \"200ms\", rise = 1, fall = 1 }
servers = { s = \"10.9.0.3:7000\" }
";

fn tracking(lab: &Lab, number: usize, priority: u8, proxy: &str) -> Warren {
    let routers = format!(
        "[vrrp.v]\ninterface = \"eth0\"\nrouter_id = 5\npriority = {priority}\n\
         advert_interval = \"100ms\"\naddresses = [\"{VIP}/24\"]\ntrack_pools = {{ p = 60 }}\n"
    );
    Warren::start(lab.host(number), proxy, &routers)
}

/// A server on host 3 that accepts and closes.
fn server(lab: &Lab) -> crate::lab::Process {
    let script = "import socket\ns = socket.create_server(('', 7000), backlog=64)\n\
                  while True: s.accept()[0].close()";
    lab.host(3).python(script)
}

pub(crate) fn a_pool_without_servers_moves_the_address_once() {
    let lab = Lab::new(3);
    let _server = server(&lab);
    let one = tracking(&lab, 1, 150, POOL);
    let two = tracking(&lab, 2, 100, POOL);
    until("the first is master", LONG, || {
        lab.host(1).has(VIP) && two.router("state") == "backup"
    });
    let before = two.router("transitions").as_u64();
    // Only the first loses the broker.
    let block = "route add blackhole 10.9.0.3/32";
    lab.host(1).ip(block);
    until("taken over", LONG, || {
        lab.host(2).has(VIP) && !lab.host(1).has(VIP)
    });
    assert_eq!(
        one.router("arithmetic"),
        "150 - 60 = 90: pool p has no usable server"
    );
    until("the reason", LONG, || {
        two.router("why") == "master 10.9.0.1 has the lower priority 90"
    });
    lab.host(1).ip("route delete blackhole 10.9.0.3/32");
    until("given back", LONG, || {
        lab.host(1).has(VIP) && !lab.host(2).has(VIP)
    });
    std::thread::sleep(Duration::from_secs(2));
    let after = two.router("transitions").as_u64();
    assert_eq!(after, before.map(|n| n + 2), "{}", two.process.log());
}

pub(crate) fn brokers_that_are_down_for_both_move_nothing() {
    let lab = Lab::new(3);
    let slow = POOL.replace("interval = \"200ms\"", "interval = \"1500ms\"");
    let running = server(&lab);
    // The master notices seconds before the backup does.
    let one = tracking(&lab, 1, 150, POOL);
    let two = tracking(&lab, 2, 120, &slow);
    until("the first is master", LONG, || {
        lab.host(1).has(VIP) && two.router("state") == "backup"
    });
    let transitions = || (one.router("transitions"), two.router("transitions"));
    let before = transitions();
    drop(running);
    until("both notice", LONG, || {
        one.router("priority") == 90 && two.router("priority") == 60
    });
    std::thread::sleep(Duration::from_secs(1));
    assert!(lab.host(1).has(VIP));
    let _again = server(&lab);
    until("both notice", LONG, || {
        one.router("priority") == 150 && two.router("priority") == 120
    });
    std::thread::sleep(Duration::from_secs(1));
    assert!(lab.host(1).has(VIP));
    assert_eq!(
        transitions(),
        before,
        "{}\n{}",
        one.process.log(),
        two.process.log()
    );
}

pub(crate) fn a_pool_that_is_down_for_both_does_not_hold_back_the_others() {
    let lab = Lab::new(3);
    let start = |number: usize, p: &str| {
        let check = "check = { type = \"tcp\", interval = \"200ms\", timeout = \"200ms\", \
                     rise = 1, fall = 1 }";
        let proxy = format!(
            "[listen.amqp]\nbind = \"0.0.0.0:5672\"\npool = \"p\"\n\
             [pool.p]\n{check}\nservers = {{ s = \"{p}\" }}\n\
             [listen.x]\nbind = \"0.0.0.0:5673\"\npool = \"x\"\n\
             [pool.x]\n{check}\nservers = {{ s = \"10.9.0.3:7001\" }}\n"
        );
        let priority = if number == 1 { 150 } else { 120 };
        let routers = format!(
            "[vrrp.v]\ninterface = \"eth0\"\nrouter_id = 5\npriority = {priority}\n\
             advert_interval = \"100ms\"\naddresses = [\"{VIP}/24\"]\n\
             track_pools = {{ p = 60, x = 10 }}\n"
        );
        Warren::start(lab.host(number), &proxy, &routers)
    };
    // Each has a p of its own; nobody has an x.
    let serve = |port: u16| {
        let script = format!(
            "import socket\ns = socket.create_server(('', {port}), backlog=64)\n\
             while True: s.accept()[0].close()"
        );
        lab.host(3).python(&script)
    };
    let (first, _second) = (serve(7000), serve(7002));
    let one = start(1, "10.9.0.3:7000");
    let two = start(2, "10.9.0.3:7002");
    until("the first is master", LONG, || {
        lab.host(1).has(VIP)
            && one.router("priority") == 140
            && two.router("priority") == 110
            && two.router("state") == "backup"
    });
    drop(first);
    until("the second takes over", LONG, || {
        lab.host(2).has(VIP) && !lab.host(1).has(VIP)
    });
    assert_eq!(one.router("priority"), 80);
}

/// A client on host 3 that says how its connection ended, and when.
const CLIENT: &str = "\
import socket, time
s = socket.create_connection(('10.9.0.100', 5672))
s.sendall(b'hello')
assert s.recv(5) == b'hello'
print('connected', flush=True)
s.settimeout(10)
try:
    print('ended', s.recv(1), flush=True)
except OSError as error:
    print(error.strerror, flush=True)
";

pub(crate) fn clients_are_reset_before_the_address_goes() {
    let lab = Lab::new(3);
    let echo = "import socket, threading\ns = socket.create_server(('', 7000))\n\
                def serve(c):\n while (d := c.recv(100)): c.sendall(d)\n\
                while True: threading.Thread(target=serve, args=(s.accept()[0],), \
                daemon=True).start()";
    let _server = lab.host(3).python(echo);
    let one = tracking(&lab, 1, 150, POOL);
    let _two = tracking(&lab, 2, 100, POOL);
    until("the first is master", LONG, || lab.host(1).has(VIP));
    let connect = || connected(lab.host(3), CLIENT);
    let mut stopped = connect();
    one.process.signal(Signal::SIGTERM);
    let begun = Instant::now();
    stopped.wait(LONG);
    assert!(
        stopped.log().contains("Connection reset by peer"),
        "{}",
        stopped.log()
    );
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    until("one account", LONG, || {
        one.process.log().contains("ending=address-released by=us")
    });
    // At once: the other one has it already.
    let again = connect();
    drop(again);
}

/// A server that says nothing, and many clients of the address that neither say anything: they
/// only notice that it moved if they are told. Prints how many are reset once the first is.
const CROWD: &str = "\
import resource, select, socket, threading, time
resource.setrlimit(resource.RLIMIT_NOFILE, (16000, 16000))
server = socket.create_server(('', 7000), backlog=4096)
taken = []
def serve():
    while True: taken.append(server.accept()[0])
threading.Thread(target=serve, daemon=True).start()
clients = {}
poll = select.epoll()
for _ in range(4000):
    client = socket.create_connection(('10.9.0.100', 5672), 5)
    clients[client.fileno()] = client
    poll.register(client.fileno(), select.EPOLLIN)
while len(taken) < 4000: time.sleep(0.01)
print('connected', flush=True)
reset, limit = 0, 10
while reset < 4000 and (ready := poll.poll(limit)):
    limit = 2
    for descriptor, _ in ready:
        try: clients[descriptor].recv(1)
        except ConnectionResetError: reset += 1
        poll.unregister(descriptor)
print(reset, 'reset', flush=True)
";

pub(crate) fn thousands_of_silent_clients_are_reset() {
    let lab = Lab::new(3);
    let checked = "\"tcp\", interval = \"200ms\", timeout = \"200ms\", rise = 1, fall = 1";
    let pool = POOL.replace(checked, "\"none\"");
    let mut one = tracking(&lab, 1, 150, &pool);
    let _two = tracking(&lab, 2, 100, &pool);
    until("the first is master", LONG, || lab.host(1).has(VIP));
    let crowd = connected(lab.host(3), CROWD);
    one.stop();
    until("judged", LONG, || crowd.log().contains(" reset"));
    assert!(crowd.log().contains("4000 reset"), "{}", crowd.log());
}

/// Two listeners that serve one client at a time between them. Among those who wait for the first
/// are twenty who came to the node's own address.
const QUEUE: &str = "\
import select, socket, struct, threading
server = socket.create_server(('', 7000), backlog=1024)
taken = []
def serve():
    while True:
        taken.append(server.accept()[0])
        taken[-1].sendall(b'served')
threading.Thread(target=serve, daemon=True).start()
def connect(address, port):
    client = socket.create_connection((address, port), 5)
    client.settimeout(20)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    return client
own, virtual = [connect('10.9.0.1', 5672)], []
assert own[0].recv(6) == b'served'
for _ in range(5):
    virtual += [connect('10.9.0.100', port) for _ in range(60) for port in (5672, 5673)]
    own += [connect('10.9.0.1', 5672) for _ in range(4)]
print('connected', flush=True)
def is_reset(client):
    try:
        while client.recv(6): pass
    except ConnectionResetError: return True
    except TimeoutError: pass
    return False
print(sum(map(is_reset, virtual)), 'reset', flush=True)
print(sum(map(is_reset, own[17:])), 'of the others as well', flush=True)
client, waiting = own[0], own[1:17]
for _ in range(2):
    assert not select.select(waiting, [], [], 0)[0]
    client.close()
    client = waiting.pop(0)
    assert client.recv(6) == b'served'
print('the next are served', flush=True)
for last in waiting: assert last.recv(6) == b'served'
print('so are the last', flush=True)
";

pub(crate) fn clients_that_wait_for_a_slot_are_reset_too() {
    let lab = Lab::new(3);
    let proxy = "[global]\nworkers = 1\nmax_connections = 1\n\
                 [listen.one]\nbind = \"0.0.0.0:5672\"\npool = \"p\"\n\
                 [listen.other]\nbind = \"0.0.0.0:5673\"\npool = \"p\"\nmax_accept_rate = 20\n\
                 [pool.p]\ncheck = { type = \"none\" }\nservers = { s = \"10.9.0.3:7000\" }\n";
    let mut one = tracking(&lab, 1, 150, proxy);
    let _two = tracking(&lab, 2, 100, proxy);
    until("the first is master", LONG, || lab.host(1).has(VIP));
    let queue = connected(lab.host(3), QUEUE);
    assert_eq!(one.ask("vrrp release"), "\n");
    until("judged", 3 * LONG, || queue.log().contains(" reset"));
    assert!(queue.log().contains("600 reset"), "{}", queue.log());
    until("the queue goes on", LONG, || {
        queue.log().contains("the next are served")
    });
    assert!(queue.log().contains("4 of the others"), "{}", queue.log());
    // Nothing goes on with who has left the backlog.
    one.stop();
    assert!(queue.log().contains("so are the last"), "{}", queue.log());
    let ended = one.process.log().matches("ending=address-released").count();
    assert_eq!(ended, 604, "each has its line");
}

pub(crate) fn a_group_moves_together() {
    let lab = Lab::new(2);
    let routers = |priority| {
        format!(
            "[vrrp.four]\ninterface = \"eth0\"\nrouter_id = 5\npriority = {priority}\n\
             advert_interval = \"100ms\"\naddresses = [\"{VIP}/24\"]\ngroup = \"both\"\n\
             [vrrp.six]\ninterface = \"eth0\"\nrouter_id = 5\npriority = {priority}\n\
             advert_interval = \"100ms\"\ngroup = \"both\"\n\
             addresses = [\"fe80::100/64\", \"2001:db8::100/64\"]\n"
        )
    };
    let holds = |number: usize| {
        let host = lab.host(number);
        (host.has(VIP), host.has("2001:db8::100"))
    };
    let mut one = Warren::start(lab.host(1), PROXY, &routers(150));
    let two = Warren::start(lab.host(2), PROXY, &routers(100));
    until("the first has both", LONG, || {
        holds(1) == (true, true) && holds(2) == (false, false) && two.router("state") == "backup"
    });
    one.stop();
    assert_eq!((holds(1), holds(2)), ((false, false), (true, true)));
    let one = Warren::start(lab.host(1), PROXY, &routers(150));
    until("given back", LONG, || {
        holds(1) == (true, true) && holds(2) == (false, false)
    });
    // IPv6 alone is lost: IPv4 goes with it.
    lab.host(1).ip("address delete fe80::1/64 dev eth0");
    until("both move", LONG, || {
        holds(1) == (false, false) && holds(2) == (true, true)
    });
    let waits = one.router("waiting_for");
    assert_eq!(
        waits,
        "a link-local IPv6 address of interface eth0 to send from"
    );
    lab.judge(1);
    lab.judge(2);
}

pub(crate) fn a_tie_of_groups_does_not_depend_on_the_order_in_the_files() {
    let lab = Lab::new(2);
    let four = format!("addresses = [\"{VIP}/24\"]");
    let six = "addresses = [\"fe80::100/64\", \"2001:db8::100/64\"]";
    let router = |name, addresses: &str| {
        format!(
            "[vrrp.{name}]\ninterface = \"eth0\"\nrouter_id = 5\npriority = 100\n\
             advert_interval = \"100ms\"\ngroup = \"both\"\n{addresses}\n"
        )
    };
    // The second has the higher IPv4 address, the first the higher IPv6 address.
    lab.host(1).ip("address add fe80::9/64 dev eth0 nodad");
    lab.host(1).ip("address delete fe80::1/64 dev eth0");
    let (four, six) = (router("four", &four), router("six", six));
    let _one = Warren::start(lab.host(1), PROXY, &format!("{six}{four}"));
    let _two = Warren::start(lab.host(2), PROXY, &format!("{four}{six}"));
    let holds = |number: usize| lab.host(number).has(VIP);
    until("one is master", LONG, || holds(1) || holds(2));
    lab.cut(1, true);
    until("both are", LONG, || holds(1) && holds(2));
    lab.cut(1, false);
    until("IPv4 decides", LONG, || !holds(1) && holds(2));
    std::thread::sleep(Duration::from_secs(1));
    assert!(!holds(1) && holds(2));
    lab.judge(2);
}

pub(crate) fn without_preempt_the_address_stays() {
    let lab = Lab::new(2);
    let with = |priority| Node {
        preempt: false,
        ..node(priority)
    };
    let two = Warren::node(lab.host(2), &with(100));
    until("alone", LONG, || lab.host(2).has(VIP));
    let one = Warren::node(lab.host(1), &with(150));
    until("it follows", LONG, || {
        one.router("received").as_u64() > Some(10)
    });
    assert!(lab.host(2).has(VIP) && !lab.host(1).has(VIP));
    two.process.signal(Signal::SIGKILL);
    until("taken over", LONG, || lab.host(1).has(VIP));
}

pub(crate) fn an_operator_moves_the_address() {
    let lab = Lab::new(2);
    let (one, mut two) = pair(&lab);
    let refused = "Virtual router v is not master but backup.\n\n";
    assert_eq!(two.ask("vrrp release v"), refused);
    assert_eq!(one.ask("vrrp release"), "\n");
    until("moved", LONG, || {
        lab.host(2).has(VIP) && !lab.host(1).has(VIP)
    });
    let before = one.router("received").as_u64().unwrap();
    until("it follows", LONG, || {
        one.router("received").as_u64() > Some(before + 10)
    });
    assert!(lab.host(2).has(VIP) && !lab.host(1).has(VIP));
    let shown = one.ask("vrrp show");
    assert!(shown.starts_with("name=v state=backup "), "{shown}");
    assert!(shown.contains(" released=yes "), "{shown}");
    let why = "leaves a master of priority 100 alone: an operator has released the addresses";
    assert!(shown.contains(why), "{shown}");
    assert_eq!(two.ask("vrrp release v"), "\n");
    until("moved back", LONG, || {
        lab.host(1).has(VIP) && !lab.host(2).has(VIP)
    });
    assert!(one.process.log().contains("reason=\"the master left"));
    // Nobody is there to take it.
    two.stop();
    let before = one.router("transitions").as_u64().unwrap();
    assert_eq!(one.ask("vrrp release v"), "\n");
    let counted = format!("v.transitions: {}\n", before + 2);
    until("it stays", LONG, || {
        one.ask("vrrp stats").contains(&counted)
    });
    assert!(lab.host(1).has(VIP));
    let why = one.router("why");
    assert_eq!(why, "released by an operator, but nobody took over");
    assert!(lab.judge(1) > 1 && lab.judge(2) > 1);
}

pub(crate) fn equal_priorities_are_decided_by_the_address() {
    let lab = Lab::new(2);
    let one = Warren::node(lab.host(1), &node(100));
    until("alone", LONG, || lab.host(1).has(VIP));
    let two = Warren::node(lab.host(2), &node(100));
    until("it follows", LONG, || {
        two.router("received").as_u64() > Some(10)
    });
    assert!(lab.host(1).has(VIP), "an equal master stays");
    // Two masters, each alone on its side of the cut.
    lab.host(2).ip("link set eth0 arp off");
    lab.link(1, "down");
    until("the second is master", LONG, || lab.host(2).has(VIP));
    lab.link(1, "up");
    std::thread::sleep(Duration::from_secs(1));
    assert!(lab.host(2).has(VIP) && !lab.host(1).has(VIP));
    drop((one, two));
}

/// Whoever starts it learns what it may not do, and exit code 77.
pub(crate) fn a_missing_capability_is_named() {
    let lab = Lab::new(1);
    let host = lab.host(1);
    for (kept, missing) in [("-net_raw", "CAP_NET_RAW"), ("-net_admin", "CAP_NET_ADMIN")] {
        let file = host.file("warren.toml");
        let text = format!(
            "[admin]\nsocket = \"\"\nhttp = \"\"\n\
             {PROXY}[vrrp.v]\ninterface = \"eth0\"\nrouter_id = 5\n\
             addresses = [\"{VIP}/24\"]\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut command = host.inside("setpriv");
        command.arg(format!("--bounding-set={kept}"));
        command.arg(format!("--inh-caps={kept}"));
        command.args(["--", env!("CARGO_BIN_EXE_warren"), "run", "-c"]);
        command.arg(file);
        let mut process = host.start(command);
        let code = process.wait(LONG);
        assert_eq!(code, Some(77), "{}", process.log());
        assert!(
            process.log().contains(missing),
            "{missing}: {}",
            process.log()
        );
    }
}

/// Both forms of gratuitous ARP and the neighbour advertisements, when they are due.
pub(crate) fn neighbours_are_told() {
    let lab = Lab::new(2);
    let mut four = Warren::node(lab.host(1), &node(150));
    let mut six = Warren::node(
        lab.host(2),
        &Node {
            addresses: &["fe80::100/64", "2001:db8::100/64"],
            ..node(150)
        },
    );
    until("both are masters", LONG, || {
        lab.host(1).has(VIP) && lab.host(2).has("2001:db8::100")
    });
    std::thread::sleep(Duration::from_millis(5_500));
    let times = |filter: &str| -> Vec<f64> {
        let lines = lab.captured(filter, &["frame.time_relative"]);
        let times = lines.iter().map(|line| line.parse::<f64>().unwrap());
        times.map(|time| time * 1000.0).collect()
    };
    let due = [0.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_000.0, 5_000.0];
    for filter in [
        "arp.isgratuitous == 1 and arp.opcode == 1 and arp.src.proto_ipv4 == 10.9.0.100",
        "arp.isgratuitous == 1 and arp.opcode == 2 and arp.src.proto_ipv4 == 10.9.0.100",
        "icmpv6.type == 136 and icmpv6.nd.na.target_address == 2001:db8::100 and \
         icmpv6.nd.na.flag.o == 1 and icmpv6.nd.na.flag.s == 0 and ipv6.dst == ff02::1",
    ] {
        // dumpcap writes what it has now and then.
        until("captured", LONG, || times(filter).len() >= due.len());
        // The next ones follow every 5 s.
        let told = times(filter);
        // None comes before its time, but any may be late, also the first.
        let late = || told.iter().zip(due).map(|(told, due)| told - due);
        let begun = late().fold(f64::INFINITY, f64::min);
        for late in late() {
            assert!(late - begun < 100.0, "{told:?}");
        }
    }
    four.stop();
    six.stop();
    lab.judge(1);
    lab.judge(2);
}

pub(crate) fn an_address_with_a_label_counts() {
    let lab = Lab::new(1);
    let host = lab.host(1);
    host.ip("address add 10.10.0.1/24 dev eth0 label eth0:1");
    let file = host.file("warren.toml");
    let routers = "[vrrp.v]\ninterface = \"eth0\"\nrouter_id = 5\naddresses = [";
    let mut problems = Vec::new();
    for address in ["10.10.0.100", "10.11.0.100"] {
        std::fs::write(&file, format!("{PROXY}\n{routers}\"{address}/24\"]\n")).unwrap();
        let mut command = host.inside(env!("CARGO_BIN_EXE_warren"));
        let output = command.args(["check", "-c"]).arg(&file).output().unwrap();
        let output = [output.stdout, output.stderr].concat();
        problems.push(String::from_utf8(output).unwrap().contains("W0210"));
    }
    assert_eq!(problems, [false, true], "only the second is in no network");
}
