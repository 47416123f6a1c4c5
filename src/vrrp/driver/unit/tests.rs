//! What surrounds a router, without a network.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::config::limits::Surroundings;
use crate::vip::interface::added as address;
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

/// On which interfaces the virtual addresses of a unit are removed, and on which they are left.
#[test]
fn an_address_goes_from_where_nobody_has_claimed_it() {
    let one = |priority: u8| {
        let text = format!(
            "{ONE}priority = {priority}\n[vrrp.six]\ninterface = \"eth0\"\nrouter_id = 51\n\
             addresses = [\"fe80::100/64\", \"2001:db8::100/64\"]\n"
        );
        units(&text).0
    };
    let links = [(2, "eth0"), (3, "eth1"), (4, "lo")].map(|(index, name)| Link {
        index,
        name: name.to_owned(),
        hardware: None,
        carrier: true,
    });
    let strays = |unit: &Unit, place: u32, text: &str| {
        let mut own = vec![address(2, "192.0.2.1/24"), address(4, "127.0.0.1/8")];
        own.push(address(2, text));
        own.push(address(place, text));
        let interfaces = Interfaces::new(links.to_vec(), own);
        let present = Present {
            interfaces: &interfaces,
            claimed: &[(2, text.parse().unwrap())],
            borrowed: &unit.addresses().collect::<Vec<_>>(),
        };
        let (left, strays) = unit.members[0].strays(&present);
        let shown = |list: Vec<Address>| list.iter().map(|one| one.interface).collect::<Vec<_>>();
        (shown(left), shown(strays))
    };
    let backup = one(100);
    assert_eq!(strays(&backup[0], 4, "192.0.2.100/32"), (vec![], vec![4]));
    assert_eq!(strays(&backup[0], 3, "192.0.2.100/32"), (vec![], vec![3]));
    let own = strays(&backup[0], 3, "192.0.2.100/24");
    assert_eq!(own, (vec![3], vec![]), "its only one, with a network");
    assert_eq!(strays(&backup[0], 2, "192.0.2.7/32"), (vec![], vec![]));
    assert_eq!(
        strays(&backup[1], 3, "2001:db8::100/128"),
        (vec![], vec![3])
    );
    assert_eq!(strays(&backup[1], 3, "fe80::100/64"), (vec![], vec![]));
    assert_eq!(strays(&one(255)[0], 4, "192.0.2.100/32"), (vec![], vec![]));
    // Claimed by a virtual router of that interface.
    let interfaces = Interfaces::new(links.to_vec(), vec![address(3, "192.0.2.100/24")]);
    let mut present = Present {
        interfaces: &interfaces,
        claimed: &[(3, "192.0.2.100/24".parse().unwrap())],
        borrowed: &[],
    };
    assert_eq!(backup[0].members[0].strays(&present), (vec![], vec![]));
    // Only in the form in which it is claimed.
    let claimed = [(2, "192.0.2.100/24".parse().unwrap())];
    let beside = [address(2, "192.0.2.1/24"), address(2, "192.0.2.100/32")];
    let interfaces = Interfaces::new(links.to_vec(), beside.to_vec());
    (present.interfaces, present.claimed) = (&interfaces, &claimed);
    let (left, strays) = backup[0].members[0].strays(&present);
    assert_eq!((left, strays), (vec![], vec![beside[1]]));
}
