//! What surrounds a router, without a network.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::config::limits::Surroundings;
use crate::vip::netlink::Link;
use crate::vrrp::driver::wanted::wanted;
use crate::vrrp::inputs::PoolInput;

/// The units of a configuration of virtual routers, and its pool.
fn units(routers: &str) -> (Vec<Unit>, Arc<PoolInput>) {
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
    let rabbit = PoolInput::new("rabbit");
    let wanted = wanted(&config, &[Arc::clone(&rabbit)].into()).into_iter();
    let units = wanted.map(|wanted| Unit::new(wanted, Instant::now()));
    (units.collect(), rabbit)
}

const ONE: &str = "[vrrp.one]\ninterface = \"eth0\"\nrouter_id = 51\n\
                   addresses = [\"192.0.2.100/24\"]\n";

/// After its penalty it is master again, and as mute as before.
#[test]
fn a_master_that_cannot_advertise_steps_down_each_time() {
    let mut unit = units(ONE).0.remove(0);
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

/// They move together, and what two of them track is lost once.
#[test]
fn a_group_is_lowered_once_by_what_is_tracked_twice() {
    let member = |name: &str, id: u8, weight: u8| {
        format!(
            "[vrrp.{name}]\ninterface = \"eth0\"\nrouter_id = {id}\npriority = 150\n\
             addresses = [\"192.0.2.{id}/24\"]\ngroup = \"both\"\n\
             track_interfaces = {{ dum0 = {weight} }}\ntrack_pools = {{ rabbit = 20 }}\n"
        )
    };
    let (mut units, rabbit) = units(&(member("one", 51, 60) + &member("two", 52, 50)));
    let dum0 = |carrier| {
        let link = Link {
            index: 2,
            name: "dum0".to_owned(),
            hardware: None,
            carrier,
        };
        Interfaces::new(vec![link], Vec::new())
    };
    let unit = &mut units[0];
    let mut arithmetic = |interfaces: &Interfaces| {
        let _ = unit.weigh(interfaces);
        unit.priority.to_string()
    };
    assert_eq!(
        arithmetic(&Interfaces::default()),
        "150 - 20 - 60 = 70: pool rabbit has no usable server, interface dum0 does not exist"
    );
    assert_eq!(
        arithmetic(&dum0(false)),
        "150 - 20 - 60 = 70: pool rabbit has no usable server, interface dum0 has no carrier"
    );
    rabbit.tell(true, None);
    assert_eq!(arithmetic(&dum0(true)), "150");
}
