//! A real broker behind the balancer: Debian's RabbitMQ, with everything that it writes in a
//! scratch folder.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::balancer::free_port;
use crate::failure::Failure;
use crate::load::amqp::log_in;
use crate::network::Scene;
use crate::process::{Guarded, Side};

/// The package's own script, not the wrapper in /usr/sbin: that one changes to the user rabbitmq.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const EPMD: &str = "/usr/bin/epmd";
/// A broker needs about 8 s.
const START_LIMIT: Duration = Duration::from_secs(90);
const START_STEP: Duration = Duration::from_millis(200);

/// A running broker.
#[derive(Debug)]
pub(crate) struct Rabbit {
    pub(crate) port: u16,
    _broker: Guarded,
    _epmd: Guarded,
    _home: tempfile::TempDir,
}

impl Rabbit {
    /// Why there can be none here, if so.
    pub(crate) fn missing() -> Option<&'static str> {
        let there = [SERVER, EPMD].iter().all(|path| Path::new(path).exists());
        (!there).then_some("apt-get install rabbitmq-server")
    }

    /// Starts a broker beside the servers, and waits until it lets us in.
    pub(crate) fn start(scene: &Scene) -> Result<Self, Failure> {
        let doing = || Failure::io("prepare RabbitMQ");
        let home = tempfile::tempdir().map_err(doing())?;
        let inside = |what: &str| home.path().join(what).display().to_string();
        let ports = [(); 3].map(|()| free_port());
        let [Ok(port), Ok(dist), Ok(epmd_port)] = ports else {
            return Err(Failure::NotListening {
                name: "RabbitMQ",
                output: "no free port".to_owned(),
            });
        };
        // Guest is for the loopback address only unless that is switched off.
        let text = format!(
            "listeners.tcp.1 = {}:{port}\nloopback_users = none\n",
            scene.server
        );
        fs::write(home.path().join("rabbitmq.conf"), text).map_err(doing())?;
        fs::write(home.path().join("enabled_plugins"), "[].\n").map_err(doing())?;
        let said = home.path().join("said");
        let output = File::create(&said).map_err(doing())?;
        let start = |words: Vec<String>| {
            let words: Vec<_> = words.into_iter().map(Into::into).collect();
            Guarded::start(
                "env".as_ref(),
                &words,
                &output,
                Side::Load,
                scene.server_namespace(),
            )
        };
        let words = format!("{EPMD} -address 127.0.0.1 -port {epmd_port}");
        let epmd = start(words.split(' ').map(str::to_owned).collect())?;
        let words = vec![
            format!("HOME={}", home.path().display()),
            format!("ERL_EPMD_PORT={epmd_port}"),
            "RABBITMQ_NODENAME=compare@localhost".to_owned(),
            "RABBITMQ_CONF_ENV_FILE=/dev/null".to_owned(),
            format!("RABBITMQ_CONFIG_FILE={}", inside("rabbitmq.conf")),
            format!(
                "RABBITMQ_ENABLED_PLUGINS_FILE={}",
                inside("enabled_plugins")
            ),
            format!("RABBITMQ_MNESIA_BASE={}", inside("mnesia")),
            format!("RABBITMQ_LOG_BASE={}", inside("log")),
            "RABBITMQ_LOGS=-".to_owned(),
            format!("RABBITMQ_PID_FILE={}", inside("pid")),
            format!("RABBITMQ_DIST_PORT={dist}"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-start_epmd false \
             -kernel inet_dist_use_interface {127,0,0,1}"
                .to_owned(),
            // The script then becomes the broker instead of staying its parent.
            "RUNNING_UNDER_SYSTEMD=true".to_owned(),
            SERVER.to_owned(),
        ];
        let mut broker = start(words)?;
        let address = SocketAddr::new(scene.server_seen_by_client, port);
        let begun = Instant::now();
        while let Err(error) = log_in(address, None) {
            if begun.elapsed() > START_LIMIT || broker.has_ended() {
                let said = fs::read_to_string(&said).map_err(doing())?;
                return Err(Failure::NotListening {
                    name: "RabbitMQ",
                    output: format!("{said}\n{error}"),
                });
            }
            sleep(START_STEP);
        }
        Ok(Self {
            port,
            _broker: broker,
            _epmd: epmd,
            _home: home,
        })
    }
}
