//! A warren with one listener in front of the pool `p`, and clients of it.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::ports::free_port;
use crate::process::{Daemon, mortal};
use crate::wait::until;

/// How long things may take that happen at once. The machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// What a daemon is started with: a folder with a configuration.
pub(crate) struct Setup {
    pub(crate) home: TempDir,
    /// Of the listener `entrance`.
    pub(crate) port: u16,
    pub(crate) socket: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Setup {
    /// `global` is the inside of `[global]`, `pool` the text of `[pool.p]` and its tables.
    pub(crate) fn new(global: &str, pool: &str) -> Self {
        let home = tempfile::tempdir().expect("make a scratch folder");
        let socket = home.path().join("admin.sock");
        let setup = Self {
            port: free_port(),
            socket,
            home,
            environment: Vec::new(),
        };
        setup.write(global, pool);
        setup
    }

    /// The same with another port or socket.
    pub(crate) fn at(port: u16, socket: &Path, pool: &str) -> Self {
        let setup = Self {
            port,
            socket: socket.to_owned(),
            home: tempfile::tempdir().expect("make a scratch folder"),
            environment: Vec::new(),
        };
        setup.write("", pool);
        setup
    }

    /// The same with a variable in its environment.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    pub(crate) fn write(&self, global: &str, pool: &str) {
        let text = format!(
            "[global]\nworkers = 2\n{global}\n\
             [log]\nformat = \"text\"\n\
             [admin]\nsocket = \"{}\"\nhttp = \"\"\n\
             [listen.entrance]\nbind = \"127.0.0.1:{}\"\npool = \"p\"\n\
             {pool}\n",
            self.socket.display(),
            self.port,
        );
        std::fs::write(self.file(), text).expect("write the configuration");
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.home.path().join("warren.toml")
    }

    /// `warren run` with this configuration.
    pub(crate) fn command(&self) -> Command {
        let mut command = mortal(env!("CARGO_BIN_EXE_warren"));
        command.args(["run", "-c"]).arg(self.file());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the daemon and does not wait for anything.
    pub(crate) fn launch(self) -> Warren {
        let command = self.command();
        self.launch_as(command)
    }

    /// The same with a command of its own.
    pub(crate) fn launch_as(self, command: Command) -> Warren {
        Warren {
            daemon: Daemon::start(command, &self.home.path().join("log")),
            setup: self,
        }
    }

    /// Starts the daemon and waits until it accepts.
    pub(crate) async fn start(self) -> Warren {
        let mut warren = self.launch();
        warren.logs("accepting listener=entrance").await;
        warren
    }
}

/// A pool `p` without checks in front of one server.
pub(crate) fn unchecked(server: impl std::fmt::Display) -> String {
    format!("[pool.p.check]\ntype = \"none\"\n[pool.p.servers]\none = \"{server}\"")
}

/// A daemon that was started.
pub(crate) struct Warren {
    pub(crate) setup: Setup,
    pub(crate) daemon: Daemon,
}

impl Warren {
    /// Waits until the log has `words`, and returns the line.
    pub(crate) async fn logs(&mut self, words: &str) -> String {
        let daemon = &mut self.daemon;
        let what = format!("{words:?} in the log");
        let found = until(&what, SOON, async || {
            let log = daemon.log();
            let line = log.lines().find(|line| line.contains(words));
            let ended = daemon.ended();
            assert!(line.is_some() || ended.is_none(), "{ended:?}:\n{log}");
            line.map(str::to_owned)
        });
        found.await.0
    }

    pub(crate) fn log(&self) -> String {
        self.daemon.log()
    }

    /// Waits for it to end by itself, at most `limit`.
    pub(crate) async fn ends(&mut self, limit: Duration) -> i32 {
        let status = self.daemon.wait(limit).await;
        let status = status.unwrap_or_else(|| panic!("still runs:\n{}", self.log()));
        let code = status.code();
        code.unwrap_or_else(|| panic!("ended by {status}:\n{}", self.log()))
    }

    /// SIGTERM, and an orderly end within `limit`. Returns the log.
    pub(crate) async fn stop(mut self, limit: Duration) -> String {
        self.daemon.signal(Signal::SIGTERM);
        assert_eq!(self.ends(limit).await, 0, "{}", self.log());
        assert!(!self.setup.socket.exists(), "the admin socket is left");
        self.log()
    }

    /// The answer of the admin socket.
    pub(crate) fn ask(&self, command: &str) -> io::Result<String> {
        ask_at(&self.setup.socket, command)
    }

    /// The same of a command whose answer may come later.
    pub(crate) fn asked(&self, command: &str) -> JoinHandle<io::Result<String>> {
        let (socket, command) = (self.setup.socket.clone(), command.to_owned());
        tokio::task::spawn_blocking(move || ask_at(&socket, &command))
    }

    /// A column of `show stat` in the row of `server`; nothing while the daemon starts.
    pub(crate) fn stat(&self, server: &str, column: &str) -> Option<String> {
        let answer = self.ask("show stat").ok()?;
        let mut lines = answer.lines();
        let names = lines.next()?.trim_start_matches("# ");
        let index = names.split(',').position(|name| name == column)?;
        let row = lines.find(|line| line.split(',').nth(1) == Some(server))?;
        values(row).nth(index)
    }

    /// Waits until that column has `value`.
    pub(crate) async fn shows(&self, server: &str, column: &str, value: &str) {
        let mut last = None;
        let waiting = until("", SOON, async || {
            last = self.stat(server, column);
            (last.as_deref() == Some(value)).then_some(())
        });
        if timeout(SOON - Duration::from_secs(1), waiting)
            .await
            .is_err()
        {
            panic!(
                "{server} {column} is {last:?}, not {value}:\n{}",
                self.log()
            );
        }
    }

    /// How many descriptors it has open, once that stays the same for a moment: a thread that has
    /// just begun makes some of its own, and a check has one while it asks.
    pub(crate) async fn descriptors(&self) -> usize {
        let mut last = self.descriptors_now();
        let at_rest = async || {
            let before = std::mem::replace(&mut last, self.descriptors_now());
            tokio::time::sleep(Duration::from_millis(30)).await;
            let now = self.descriptors_now();
            (before == last && last == now).then_some(now)
        };
        until("descriptors stay the same", SOON, at_rest).await.0
    }

    fn descriptors_now(&self) -> usize {
        let info = self.ask("show info").expect("the admin socket answers");
        let id = info.lines().find_map(|line| line.strip_prefix("Pid: "));
        let folder = format!("/proc/{}/fd", id.expect("a process id"));
        std::fs::read_dir(folder)
            .expect("a running process")
            .count()
    }

    /// Waits until no more than `descriptors` are open.
    pub(crate) async fn settles_to(&self, descriptors: usize) {
        let open = async || (self.descriptors_now() <= descriptors).then_some(());
        until(&format!("{descriptors} descriptors"), SOON, open).await;
    }

    /// A client that is connected, perhaps only to the backlog.
    pub(crate) async fn client(&self) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.setup.port)).await;
        Client(stream.expect("connect to the listener"))
    }

    /// A client is let in and then reset; the reset may be faster than its connect returns.
    pub(crate) async fn turns_away(&self) {
        match TcpStream::connect(("127.0.0.1", self.setup.port)).await {
            Ok(stream) => Client(stream).is_reset().await,
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }

    /// Waits until new clients are refused.
    pub(crate) async fn refuses(&self) {
        until("clients are refused", SOON, async || {
            let stream = TcpStream::connect(("127.0.0.1", self.setup.port)).await;
            matches!(stream, Err(error) if error.kind() == ErrorKind::ConnectionRefused)
                .then_some(())
        })
        .await;
    }
}

fn ask_at(socket: &Path, command: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(format!("{command}\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The values of a line of CSV. Quotes around a value with a comma are taken away.
fn values(line: &str) -> impl Iterator<Item = String> {
    let mut quoted = false;
    line.split(move |letter| {
        quoted ^= letter == '"';
        letter == ',' && !quoted
    })
    .map(|value| value.trim_matches('"').to_owned())
}

/// A client's end of a connection to a server that echoes.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    /// Whether what it says comes back.
    pub(crate) async fn echo(&mut self) -> io::Result<()> {
        let said = *b"say it again, Sam";
        self.0.write_all(&said).await?;
        let mut heard = [0; 17];
        timeout(SOON, self.0.read_exact(&mut heard)).await??;
        assert_eq!(heard, said);
        Ok(())
    }

    /// How the connection ends for somebody who only reads.
    pub(crate) async fn end(&mut self) -> io::Result<usize> {
        let ended = timeout(SOON, self.0.read(&mut [0; 64])).await;
        ended.expect("the connection does not end")
    }

    pub(crate) async fn is_reset(&mut self) {
        let ended = self.end().await;
        let kind = ended.map_err(|error| error.kind());
        assert_eq!(kind, Err(ErrorKind::ConnectionReset));
    }
}
