//! The balancers that are compared: their settings, how they start, when they listen.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::network::Scene;
use crate::process::{Guarded, Side};

/// A balancer with one set of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    Warren,
    Haproxy,
    /// HAProxy told to splice from the first byte on. With `option splice-auto`, which leaves it
    /// the choice, strace saw it copy every byte of these streams.
    HaproxySplice,
    Nginx,
    /// No balancer: what the client and the server are capable of, and what the network takes.
    Direct,
}

/// Where the balancers are.
#[derive(Debug)]
pub(crate) struct Programs {
    warren: PathBuf,
    haproxy: PathBuf,
    nginx: Option<PathBuf>,
    /// Of each balancer.
    pub(crate) threads: usize,
    /// What each says about its version, or why it is not measured.
    pub(crate) versions: Vec<String>,
}

/// A running balancer with one listener and one server.
#[derive(Debug)]
pub(crate) struct Balancer {
    /// None: no balancer.
    process: Option<Guarded>,
    /// Where clients reach it, or the server if there is no balancer.
    pub(crate) address: SocketAddr,
}

const START_LIMIT: Duration = Duration::from_secs(5);
const START_STEP: Duration = Duration::from_millis(10);
/// Where Debian's libnginx-mod-stream puts it.
const NGINX_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

impl Contender {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Warren => "warren",
            Self::Haproxy => "haproxy",
            Self::HaproxySplice => "haproxy splice",
            Self::Nginx => "nginx",
            Self::Direct => "direct",
        }
    }

    /// The configuration file. All: as many threads, no line per connection, no health check, no
    /// admin socket. HAProxy is not asked for TCP keepalive, which warren always sets: the
    /// difference is in HAProxy's favour.
    fn configuration(
        self,
        bind: SocketAddr,
        server: SocketAddr,
        connections_max: u32,
        threads: usize,
    ) -> String {
        let splice = match self {
            Self::Warren => return warren(bind, server, threads),
            Self::Nginx => return nginx(bind, server, connections_max),
            Self::Haproxy | Self::Direct => "",
            Self::HaproxySplice => "    option splice-request\n    option splice-response\n",
        };
        format!(
            "global
    nbthread {threads}
    maxconn {connections_max}
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
{splice}listen compare
    bind {bind}
    server one {server}
"
        )
    }
}

fn warren(bind: SocketAddr, server: SocketAddr, threads: usize) -> String {
    format!(
        "[global]
workers = {threads}
[log]
connections = false
[admin]
socket = \"\"
http = \"\"
[listen.compare]
bind = \"{bind}\"
pool = \"one\"
[pool.one.check]
type = \"none\"
[pool.one.servers]
one = \"{server}\"
"
    )
}

/// One process, which is the worker: the master would only be in the way of the probes.
fn nginx(bind: SocketAddr, server: SocketAddr, connections_max: u32) -> String {
    let connections = 2 * connections_max;
    format!(
        "load_module {NGINX_STREAM};
daemon off;
master_process off;
pid /dev/null;
error_log stderr crit;
worker_rlimit_nofile {connections};
events {{ worker_connections {connections}; }}
stream {{
    server {{
        listen {bind} backlog=4096;
        proxy_pass {server};
        proxy_timeout 1h;
        proxy_half_close on;
    }}
}}
"
    )
}

impl Programs {
    /// Asks each program for its version, which also proves that it can be run.
    pub(crate) fn find(
        warren: PathBuf,
        haproxy: Option<PathBuf>,
        threads: usize,
    ) -> Result<Self, Failure> {
        // Debian keeps it in a folder that is not on everybody's path.
        let debian = || {
            ["/usr/sbin/haproxy", "/usr/bin/haproxy"]
                .map(PathBuf::from)
                .into_iter()
                .find(|path| path.exists())
                .unwrap_or_else(|| PathBuf::from("haproxy"))
        };
        let haproxy = haproxy.unwrap_or_else(debian);
        let nginx = [PathBuf::from("/usr/sbin/nginx"), NGINX_STREAM.into()];
        // With more than one it has a process for each, and what is measured is one process.
        let nginx =
            (threads == 1 && nginx.iter().all(|path| path.exists())).then(|| nginx[0].clone());
        let versions = vec![
            version(
                &warren,
                "--version",
                "build it, or give its path with --warren",
            )?,
            version(
                &haproxy,
                "-v",
                "apt-get install haproxy, or give its path with --haproxy",
            )?,
            match &nginx {
                Some(nginx) => version(nginx, "-v", "apt-get install nginx")?,
                None if threads > 1 => "nginx is left out: it has no threads".to_owned(),
                None => "nginx is left out: apt-get install nginx libnginx-mod-stream".to_owned(),
            },
        ];
        Ok(Self {
            warren,
            haproxy,
            nginx,
            threads,
            versions,
        })
    }

    /// Whether this one can be measured here.
    pub(crate) fn has(&self, contender: Contender) -> bool {
        contender != Contender::Nginx || self.nginx.is_some()
    }
}

fn version(program: &PathBuf, flag: &str, hint: &'static str) -> Result<String, Failure> {
    let output = Command::new(program)
        .arg(flag)
        .output()
        .map_err(|source| Failure::Missing {
            program: program.clone(),
            hint,
            source,
        })?;
    // nginx says it on stderr.
    let said = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&said);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

impl Balancer {
    /// Starts a balancer in front of `server` and waits until it listens. Both ports are new each
    /// time, so that connections in TIME_WAIT from earlier measurements are in nobody's way.
    pub(crate) fn start(
        contender: Contender,
        programs: &Programs,
        scene: &Scene,
        server: u16,
        connections_max: u32,
    ) -> Result<Self, Failure> {
        if contender == Contender::Direct {
            return Ok(Self {
                process: None,
                address: SocketAddr::new(scene.server_seen_by_client, server),
            });
        }
        let server = SocketAddr::new(scene.server_seen_by_balancer, server);
        let doing = || format!("prepare {}", contender.name());
        let port = free_port().map_err(Failure::io(doing()))?;
        let address = SocketAddr::new(scene.balancer, port);
        // Goes when this function returns: once it listens, the balancer has read its file.
        let folder = tempfile::tempdir().map_err(Failure::io(doing()))?;
        let file = folder.path().join("configuration");
        fs::write(
            &file,
            contender.configuration(address, server, connections_max, programs.threads),
        )
        .map_err(Failure::io(doing()))?;
        let said = folder.path().join("output");
        let output = File::create(&said).map_err(Failure::io(doing()))?;

        let (program, mut arguments): (_, Vec<OsString>) = match contender {
            Contender::Warren => (&programs.warren, vec!["run".into(), "-c".into()]),
            Contender::Haproxy | Contender::HaproxySplice | Contender::Direct => {
                (&programs.haproxy, vec!["-db".into(), "-f".into()])
            }
            Contender::Nginx => (
                programs.nginx.as_ref().unwrap_or(&programs.haproxy),
                ["-e", "stderr", "-c"].map(Into::into).to_vec(),
            ),
        };
        arguments.push(file.into());
        let mut process = Guarded::start(
            program.as_os_str(),
            &arguments,
            &output,
            Side::Balancer,
            scene.balancer_namespace(),
        )?;
        if listens(&mut process, address) {
            let process = Some(process);
            return Ok(Self { process, address });
        }
        Err(Failure::NotListening {
            name: contender.name(),
            output: fs::read_to_string(&said).map_err(Failure::io(doing()))?,
        })
    }

    /// Its process, if there is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Guarded::pid)
    }
}

pub(crate) fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

fn listens(process: &mut Guarded, address: SocketAddr) -> bool {
    let deadline = Instant::now() + START_LIMIT;
    while Instant::now() < deadline && !process.has_ended() {
        if TcpStream::connect(address).is_ok() {
            return true;
        }
        sleep(START_STEP);
    }
    false
}
