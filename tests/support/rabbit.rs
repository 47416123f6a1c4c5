//! RabbitMQ from Debian's package: nodes that keep everything they write in a scratch folder.

use std::cell::RefCell;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::daemon::{Daemon, mortal};
use crate::ports::free_port;
use crate::wait::until;

/// The package's own scripts, not the wrappers in /usr/sbin: those change to the user rabbitmq.
const SCRIPTS: &str = "/usr/lib/rabbitmq/bin";
const EPMD: &str = "/usr/bin/epmd";
/// A node needs about 8 s alone and 20 s as one of three on two busy CPUs.
const START_LIMIT: Duration = Duration::from_secs(90);

/// Why no broker can be started here, if so.
pub(crate) fn missing() -> Option<&'static str> {
    let present = Path::new(SCRIPTS).join("rabbitmq-server").exists() && Path::new(EPMD).exists();
    (!present).then_some("rabbitmq-server is not installed")
}

/// Nodes that share one cookie and one port mapper of their own.
pub(crate) struct Rabbits {
    /// In the order of their names.
    pub(crate) nodes: Vec<Node>,
    // Dropped after the nodes: first what uses it.
    _epmd: Daemon,
    _home: TempDir,
}

/// Whether nodes form one cluster or know nothing of each other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Together {
    Clustered,
    /// As above, and clients come from other hosts.
    ClusteredForOthers,
    Apart,
}

/// One broker: `name@localhost`, listening on a loopback port.
pub(crate) struct Node {
    /// With its host part.
    pub(crate) name: String,
    /// Port of AMQP.
    pub(crate) port: u16,
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
    daemon: RefCell<Option<Daemon>>,
}

/// A broker that hangs until this is dropped, also by a test that failed.
pub(crate) struct Suspended<'a>(&'a Node);

impl Drop for Suspended<'_> {
    fn drop(&mut self) {
        self.0.signal(Signal::SIGCONT);
    }
}

impl Rabbits {
    /// Starts one node per name and waits until all of them serve clients. `plugins` is a list of
    /// plug-ins, separated by commas.
    pub(crate) async fn start(names: &[&str], together: Together, plugins: &str) -> Self {
        let home = tempfile::tempdir().expect("make a scratch folder");
        let cookie = home.path().join(".erlang.cookie");
        fs::write(&cookie, "WARREN").expect("write the cookie");
        // Erlang refuses a cookie that others may read.
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o400);
        fs::set_permissions(&cookie, private).expect("protect the cookie");

        let epmd_port = free_port();
        let mut epmd = mortal(EPMD);
        epmd.args(["-address", "127.0.0.1", "-port", &epmd_port.to_string()]);
        let epmd = Daemon::start(epmd, &home.path().join("epmd.log"));
        listening("epmd", epmd_port).await;

        let nodes: Vec<Node> = names
            .iter()
            .map(|name| Node::new(name, home.path(), epmd_port))
            .collect();
        for node in &nodes {
            let peers = match together {
                Together::Clustered | Together::ClusteredForOthers => nodes.as_slice(),
                Together::Apart => &[],
            };
            node.configure(peers, plugins, together);
            node.start();
        }
        let rabbits = Self {
            nodes,
            _epmd: epmd,
            _home: home,
        };
        for node in &rabbits.nodes {
            node.serving().await;
        }
        if together != Together::Apart {
            // Each for itself: a quorum queue gets members on the nodes that the one on which it is
            // declared knows to be running, and one with two of them does not survive the third.
            let count = rabbits.nodes.len().to_string();
            for node in &rabbits.nodes {
                node.ctl(&["await_online_nodes", &count]).await;
            }
        }
        rabbits
    }
}

impl Node {
    fn new(name: &str, home: &Path, epmd_port: u16) -> Self {
        let folder = home.join(name);
        let inside = |what: &str| folder.join(what).display().to_string();
        let environment = vec![
            ("HOME", home.display().to_string()),
            ("ERL_EPMD_PORT", epmd_port.to_string()),
            ("RABBITMQ_NODENAME", format!("{name}@localhost")),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
            ("RABBITMQ_CONFIG_FILE", inside("rabbitmq.conf")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", inside("enabled_plugins")),
            ("RABBITMQ_MNESIA_BASE", inside("mnesia")),
            ("RABBITMQ_LOG_BASE", inside("log")),
            ("RABBITMQ_LOGS", "-".to_owned()),
            ("RABBITMQ_PID_FILE", inside("pid")),
            ("RABBITMQ_DIST_PORT", free_port().to_string()),
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
            ),
            // The script then becomes the broker instead of staying its parent.
            ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
        ];
        Self {
            name: format!("{name}@localhost"),
            port: free_port(),
            folder,
            environment,
            daemon: RefCell::new(None),
        }
    }

    /// The name without its host part.
    pub(crate) fn short_name(&self) -> &str {
        self.name.split('@').next().unwrap_or_default()
    }

    fn configure(&self, peers: &[Self], plugins: &str, together: Together) {
        let (address, more) = match together {
            // Guest is for the loopback address only unless that is switched off.
            Together::ClusteredForOthers => ("0.0.0.0", "loopback_users = none\n"),
            Together::Clustered | Together::Apart => ("127.0.0.1", ""),
        };
        let mut text = format!("listeners.tcp.1 = {address}:{}\n{more}", self.port);
        if !peers.is_empty() {
            text += "cluster_formation.peer_discovery_backend = classic_config\n";
        }
        for (index, peer) in peers.iter().enumerate() {
            let name = &peer.name;
            let number = index + 1;
            text += &format!("cluster_formation.classic_config.nodes.{number} = {name}\n");
        }
        fs::create_dir_all(&self.folder).expect("make the node's folder");
        fs::write(self.folder.join("rabbitmq.conf"), text).expect("write rabbitmq.conf");
        let plugins = format!("[{plugins}].\n");
        fs::write(self.folder.join("enabled_plugins"), plugins).expect("write enabled_plugins");
    }

    /// Starts the broker, for the first time or again; [`Node::serving`] waits for it.
    pub(crate) fn start(&self) {
        let mut command = mortal(Path::new(SCRIPTS).join("rabbitmq-server"));
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        let daemon = Daemon::start(command, &self.folder.join("broker.log"));
        *self.daemon.borrow_mut() = Some(daemon);
    }

    /// Waits until the broker accepts clients.
    pub(crate) async fn serving(&self) {
        until("broker accepts connections", START_LIMIT, async || {
            let ended = self.daemon.borrow_mut().as_mut().and_then(Daemon::ended);
            if let Some(status) = ended {
                panic!("{} ended with {status}:\n{}", self.name, self.log());
            }
            is_listening(self.port).then_some(())
        })
        .await;
        // The port opens a little before the start is complete.
        self.ctl(&["await_startup"]).await;
    }

    /// Kills the broker as a power failure does (SIGKILL).
    pub(crate) fn kill(&self) {
        *self.daemon.borrow_mut() = None;
    }

    /// Stops the broker in order (SIGTERM).
    pub(crate) async fn stop(&self) {
        let mut daemon = self.daemon.take().expect("a running broker");
        daemon.signal(Signal::SIGTERM);
        let status = daemon.wait(Duration::from_secs(30)).await;
        assert!(
            status.is_some(),
            "{} does not stop:\n{}",
            self.name,
            daemon.log()
        );
    }

    /// Suspends (SIGSTOP) the broker: its port stays open and nothing answers.
    pub(crate) fn suspend(&self) -> Suspended<'_> {
        self.signal(Signal::SIGSTOP);
        Suspended(self)
    }

    /// Whether the broker was killed or stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        self.daemon.borrow().is_none()
    }

    fn signal(&self, signal: Signal) {
        let daemon = self.daemon.borrow();
        daemon.as_ref().expect("a running broker").signal(signal);
    }

    /// What the broker has logged, over all its starts.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("broker.log")).unwrap_or_default()
    }

    /// Runs `rabbitmqctl` on this node and returns what it printed.
    pub(crate) async fn ctl(&self, arguments: &[&str]) -> String {
        self.tool("rabbitmqctl", arguments).await
    }

    /// Runs one of the command-line tools on this node and returns what it printed.
    pub(crate) async fn tool(&self, tool: &str, arguments: &[&str]) -> String {
        let result = self.try_tool(tool, arguments).await;
        result.unwrap_or_else(|problem| panic!("{tool} {arguments:?}: {problem}"))
    }

    /// As [`Node::tool`], with what it printed on failure as the error.
    pub(crate) async fn try_tool(&self, tool: &str, arguments: &[&str]) -> Result<String, String> {
        let output = tokio::process::Command::new(Path::new(SCRIPTS).join(tool))
            .args(["-q", "-n", &self.name])
            .args(arguments)
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .kill_on_drop(true)
            .output()
            .await
            .unwrap_or_else(|error| panic!("cannot run {tool}: {error}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }
}

fn is_listening(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

async fn listening(what: &str, port: u16) {
    until(what, Duration::from_secs(10), async || {
        is_listening(port).then_some(())
    })
    .await;
}
