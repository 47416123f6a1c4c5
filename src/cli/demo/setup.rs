//! Warren's configurations for the demo. Pure.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::{
    Address, Admin, Balance, Check, CheckKind, Config, Credentials, Global, Host, Identity, Level,
    Listener, Log, LogFormat, LogLevel, OnDown, Pool, SendProxy, Server,
};

/// Everything as a configuration file would have it for three brokers, but for the addresses, the
/// admin socket (none) and the interval of the checks (1 s instead of 2 s).
pub(super) fn config(servers: impl Iterator<Item = (&'static str, SocketAddr)>) -> Config {
    let listener = Listener {
        name: "amqp".to_owned(),
        bind: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        pool: 0,
        max_connections: 0,
        max_accept_rate: 0,
        allow: Vec::new(),
        deny: Vec::new(),
        proxy_protocol: false,
        trusted: Vec::new(),
    };
    let credentials = Credentials {
        username: "guest".to_owned(),
        password: "guest".to_owned(),
    };
    let check = Check {
        kind: CheckKind::Amqp {
            credentials,
            vhost: "/".to_owned(),
        },
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        rise: 2,
        fall: 3,
    };
    let server = |(name, address): (&str, SocketAddr)| Server {
        name: name.to_owned(),
        address: Address {
            host: Host::Ip(address.ip()),
            port: address.port(),
        },
        weight: 100,
        max_connections: 0,
        backup: false,
        send_proxy: SendProxy::Off,
    };
    let pool = Pool {
        name: "rabbit".to_owned(),
        balance: Balance::Leastconn,
        retries: 3,
        on_down: OnDown::Reset,
        slow_start: Duration::ZERO,
        connect_timeout: Duration::from_secs(5),
        idle_timeout: None,
        queue_timeout: Duration::from_secs(5),
        max_queue: 1000,
        check,
        servers: servers.map(server).collect(),
    };
    Config {
        global: Global {
            workers: 2,
            max_connections: 0,
            drain_timeout: Duration::from_secs(1),
        },
        log: Log {
            format: LogFormat::Auto,
            level: LogLevel::Error,
            connections: false,
        },
        admin: nowhere(),
        listeners: vec![listener],
        pools: vec![pool],
        virtual_routers: Vec::new(),
    }
}

/// Nobody asks the balancer of the demo but the demo.
fn nowhere() -> Admin {
    Admin {
        socket: None,
        socket_mode: 0o660,
        socket_level: Level::Admin,
        http: None,
        identity: Identity::Haproxy,
    }
}

/// The configuration file of a node of the pair, as on a real node but for the intervals, which are
/// shorter, and the log, which says only what is wrong.
pub(super) fn node(
    socket: &Path,
    priority: u8,
    address: (IpNet, u16),
    servers: &[(&'static str, SocketAddr)],
) -> String {
    let (network, port) = address;
    let ip = network.addr();
    let server = |(name, address): &(&str, SocketAddr)| format!("{name} = \"{address}\"\n");
    let servers: String = servers.iter().map(server).collect();
    format!(
        "[log]\nlevel = \"error\"\nconnections = false\n\n\
         [admin]\nsocket = {socket:?}\nhttp = \"\"\n\n\
         [listen.amqp]\nbind = \"{ip}:{port}\"\npool = \"rabbit\"\n\n\
         [pool.rabbit]\ncheck = {{ interval = \"500ms\" }}\n\n\
         [pool.rabbit.servers]\n{servers}\n\
         [vrrp.amqp]\ninterface = \"eth0\"\nrouter_id = 51\npriority = {priority}\n\
         advert_interval = \"100ms\"\naddresses = [\"{network}\"]\n"
    )
}
