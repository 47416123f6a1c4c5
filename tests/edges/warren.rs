//! The real binary with a configuration made for one test.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::ports::free_port;
use crate::wire::{Server, connect_from, ping};

/// Longest wait for anything that should happen at once; generous, for a loaded machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What may be taken after all connections have ended, in kB: buffers that are made once.
/// The allocator is told to give back at once what it has no use for.
const MORE_MEMORY: u64 = 1024;
const GIVE_BACK: &str = "dirty_decay_ms:0,muzzy_decay_ms:0";

/// What differs from the plainest configuration: lines of TOML.
#[derive(Default)]
pub(crate) struct Setup<'a> {
    pub(crate) global: &'a str,
    pub(crate) log: &'a str,
    pub(crate) listen: &'a str,
    pub(crate) pool: &'a str,
    /// Lines of `[pool.test.check]`; nothing: no checks.
    pub(crate) check: &'a str,
    pub(crate) servers: String,
    /// Parts of the warnings and errors that may be logged; there must be no others.
    pub(crate) complaints: &'a [&'static str],
}

impl Setup<'_> {
    /// Servers named `a`, `b`, `c` and so on.
    pub(crate) fn of(servers: &[&Server]) -> Self {
        let line = |(name, server): (char, &&Server)| format!("{name} = \"{}\"\n", server.address);
        Self {
            servers: ('a'..).zip(servers).map(line).collect(),
            ..Self::default()
        }
    }
}

/// warren with one listener in front of one pool. Dropping it kills it.
pub(crate) struct Warren {
    child: Child,
    /// Where it accepts.
    pub(crate) address: SocketAddr,
    socket: PathBuf,
    log: PathBuf,
    /// Descriptors while no connection is open.
    descriptors: usize,
    complaints: Vec<&'static str>,
    /// Its own memory (`RssAnon`, proc_pid_status(5)) while no connection is open, in kB.
    memory: u64,
    _home: tempfile::TempDir,
}

impl Warren {
    pub(crate) fn start(setup: &Setup<'_>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (socket, log) = (home.path().join("admin.sock"), home.path().join("log"));
        let file = home.path().join("warren.toml");
        let check = match setup.check {
            "" => "type = \"none\"",
            lines => lines,
        };
        let workers = match setup.global.contains("workers") {
            true => "",
            false => "workers = 2\n",
        };
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let text = format!(
            "[global]\n{workers}drain_timeout = \"1s\"\n{}\n[log]\nformat = \"json\"\n{}\n\
             [admin]\nsocket = \"{}\"\nhttp = \"\"\n\
             [listen.test]\nbind = \"{address}\"\npool = \"test\"\n{}\n\
             [pool.test]\n{}\n[pool.test.check]\n{check}\n[pool.test.servers]\n{}",
            setup.global,
            setup.log,
            socket.display(),
            setup.listen,
            setup.pool,
            setup.servers,
        );
        std::fs::write(&file, text).unwrap();
        let output = File::create(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_warren"))
            .args(["run", "-c"])
            .arg(&file)
            .env("_RJEM_MALLOC_CONF", GIVE_BACK)
            .stdin(Stdio::null())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut warren = Self {
            child,
            address,
            socket,
            log,
            descriptors: 0,
            complaints: setup.complaints.to_vec(),
            memory: 0,
            _home: home,
        };
        warren.until("accepting", |warren| {
            let ended = warren.child.try_wait().unwrap();
            let text = || std::fs::read_to_string(&warren.log).unwrap();
            assert!(ended.is_none(), "warren ended: {}", text());
            let accepts = |line: &Value| line["message"] == "accepting";
            warren.lines().iter().any(accepts).then_some(())
        });
        // Its threads open what they need a moment after they were made.
        warren.descriptors = warren.until("a number of descriptors", |warren| {
            let before = warren.descriptors();
            std::thread::sleep(Duration::from_millis(200));
            (warren.descriptors() == before).then_some(before)
        });
        warren.memory = warren.process("RssAnon");
        warren
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).unwrap();
        kill(Pid::from_raw(id), signal).unwrap();
    }

    /// Asks until there is an answer.
    pub(crate) fn until<T>(
        &mut self,
        what: &str,
        mut question: impl FnMut(&mut Self) -> Option<T>,
    ) -> T {
        let start = Instant::now();
        loop {
            if let Some(answer) = question(self) {
                return answer;
            }
            if start.elapsed() > SOON {
                panic!("not within {SOON:?}: {what}; log: {:#?}", self.lines());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Every complete line of the log; each is one JSON object.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap();
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        whole.lines().map(parse).collect()
    }

    /// The accounts so far.
    pub(crate) fn accounts(&self) -> Vec<Value> {
        let mut lines = self.lines();
        lines.retain(|line| line["message"] == "connection ended");
        lines
    }

    /// The account of the connection from `client`, once it has ended.
    pub(crate) fn account(&mut self, client: SocketAddr) -> Value {
        self.until("an account", |warren| {
            let is_its = |account: &Value| account["client"] == client.to_string();
            warren.accounts().into_iter().find(is_its)
        })
    }

    /// The name of the ending of the connection from `client`.
    pub(crate) fn ending(&mut self, client: SocketAddr) -> String {
        self.account(client)["ending"].as_str().unwrap().to_owned()
    }

    pub(crate) fn status(&self) -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_warren"))
            .args(["status", "--json", "--socket"])
            .arg(&self.socket)
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).expect("status prints JSON")
    }

    /// Gives a line to the stats socket.
    pub(crate) fn tell(&self, line: &str) {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
    }

    /// A number of one server: `field` is a JSON pointer.
    pub(crate) fn of_server(&self, name: &str, field: &str) -> u64 {
        let status = self.status();
        let servers = status["pools"][0]["servers"].as_array().unwrap();
        let server = servers.iter().find(|server| server["name"] == name);
        server.unwrap().pointer(field).unwrap().as_u64().unwrap()
    }

    /// Connections that wait for a server.
    pub(crate) fn queued(&self) -> u64 {
        self.status()["pools"][0]["queue"]["now"].as_u64().unwrap()
    }

    fn descriptors(&self) -> usize {
        let directory = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(directory).unwrap().count()
    }

    /// The number that its next descriptor will get.
    pub(crate) fn lowest_free_descriptor(&self) -> u64 {
        let is_open = |number: &u64| {
            std::fs::symlink_metadata(format!("/proc/{}/fd/{number}", self.child.id())).is_ok()
        };
        (0..).find(|number| !is_open(number)).unwrap()
    }

    /// A number of `/proc/PID/status`, in kB where it is memory.
    pub(crate) fn process(&self, field: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with(field)).unwrap();
        let digits = line.split_whitespace().nth(1).unwrap();
        digits.parse().unwrap()
    }

    /// CPU time used so far.
    pub(crate) fn cpu(&self) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The fields behind the name, of which utime and stime are the 12th and 13th (proc(5)).
        let fields: Vec<&str> = text[text.rfind(')').unwrap() + 2..].split(' ').collect();
        let ticks: u64 = fields[11..13]
            .iter()
            .map(|f| f.parse::<u64>().unwrap())
            .sum();
        Duration::from_millis(ticks * 10)
    }

    /// The end of every test: a good client is served, by one of `servers`; then nothing is left
    /// of any connection, and the log, the status and the counters tell the same story.
    pub(crate) fn finish(mut self, servers: &[&Server]) {
        let mut client = connect_from(self.address, [127, 0, 0, 1]);
        self.served(&mut client, servers);
        drop(client);
        self.settle();
    }

    /// A round trip on `client`, which one of `servers` gets; the other end.
    pub(crate) fn served(&mut self, client: &mut TcpStream, servers: &[&Server]) -> TcpStream {
        client.write_all(b"hello").unwrap();
        let mut server = self.until("a server for a good client", |_| {
            let mut server = servers.iter().find_map(|server| server.accept_now())?;
            // A health check connects and says nothing.
            server.read_exact(&mut [0; 5]).is_ok().then_some(server)
        });
        ping(client, &mut server, b"still there?");
        server
    }

    /// Waits until nothing is left of any connection: the pipes are closed by a sweep.
    pub(crate) fn settle(&mut self) {
        self.until("no open connections", |warren| {
            let status = warren.status();
            let servers = status["pools"][0]["servers"].as_array().unwrap();
            let idle = |level: &Value| level["now"] == 0;
            (idle(&status["connections"])
                && idle(&status["pools"][0]["open"])
                && idle(&status["pools"][0]["queue"])
                && idle(&status["listeners"][0]["open"])
                && status["pipes"]["used"] == 0
                && servers.iter().all(|server| idle(&server["open"])))
            .then_some(())
        });
        let before = self.descriptors;
        self.until("as few descriptors as at the beginning", |warren| {
            (warren.descriptors() <= before).then_some(())
        });
        let (memory, before) = (self.process("RssAnon"), self.memory);
        println!("  {memory} kB of memory, {before} before");
        assert!(
            memory <= before + MORE_MEMORY,
            "{memory} kB of memory, {before} before"
        );
        self.has_not_complained();
        self.until("one account per connection, as the status says", |warren| {
            let (status, accounts) = (warren.status(), warren.accounts());
            let mut logged = BTreeMap::new();
            for account in &accounts {
                *logged
                    .entry(account["ending"].as_str().unwrap().to_owned())
                    .or_default() += 1;
            }
            let counted: BTreeMap<String, u64> = status["endings"]
                .as_array()
                .unwrap()
                .iter()
                .map(|e| {
                    (
                        e["cause"].as_str().unwrap().to_owned(),
                        e["count"].as_u64().unwrap(),
                    )
                })
                .filter(|(_, count)| *count > 0)
                .collect();
            let listeners = status["listeners"].as_array().unwrap().iter();
            let accepted: u64 = listeners.map(|l| l["accepted"].as_u64().unwrap()).sum();
            (accepted == accounts.len() as u64 && logged == counted).then_some(())
        });
    }
}

impl Warren {
    /// Nothing is in the log but what is expected.
    fn has_not_complained(&self) {
        let mut lines = self.lines();
        lines.retain(|line| {
            let message = line["message"].as_str().unwrap();
            let expected = self.complaints.iter().any(|part| message.contains(part));
            (line["level"] == "WARN" || line["level"] == "ERROR") && !expected
        });
        assert!(lines.is_empty(), "{lines:#?}");
    }
}

impl Drop for Warren {
    fn drop(&mut self) {
        // Both fail only when the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
