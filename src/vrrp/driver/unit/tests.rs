//! What surrounds a router, without a network.

use std::path::Path;

use super::*;
use crate::config::limits::Surroundings;

/// The units of a configuration of virtual routers.
fn units(routers: &str) -> Vec<Unit> {
    let proxy = "[listen.amqp]\nbind = \"0.0.0.0:5672\"\npool = \"rabbit\"\n\
                 [pool.rabbit.servers]\nrabbit-1 = \"192.0.2.21:5672\"\n";
    let text = format!("{proxy}{routers}");
    let machine = Surroundings {
        descriptors: 10_000,
        cpus: 2,
        is_daemon: true,
        interfaces: None,
    };
    let (config, _) = config::parse_within(&text, "test.toml", Path::new("."), machine).unwrap();
    group(&config, Instant::now())
}

const ONE: &str = "[vrrp.one]\ninterface = \"eth0\"\nrouter_id = 51\n\
                   addresses = [\"192.0.2.100/24\"]\n";

/// After its penalty it is master again, and as mute as before.
#[test]
fn a_master_that_cannot_advertise_steps_down_each_time() {
    let mut unit = units(ONE).remove(0);
    for _ in 0..3 {
        for _ in 1..LOST {
            assert!(!unit.advertise(0, 100, None));
        }
        assert!(unit.advertise(0, 100, None), "as long as peers wait");
        assert!(!unit.advertise(0, 100, None), "told once");
        assert!(!unit.advertise(0, 0, None), "it steps down");
        unit.leave();
    }
}
