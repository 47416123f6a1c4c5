//! *pure* `vrrp show` and `vrrp stats`: the virtual routers, for programs that read lines.

use std::fmt::Write as _;

use super::snapshot::{Snapshot, VirtualRouterSnapshot};
use crate::vrrp::receive::Refusal;

// Writing to a String cannot fail, hence the ignored results.

/// A line for each, of `key=value`, the same keys in the same order. What there is not is `-`; what
/// is in words stands last, in quotation marks.
#[must_use]
pub fn show(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for router in &snapshot.virtual_routers {
        let fields = facts(router).into_iter().chain(words(router));
        let fields: Vec<String> = fields
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let _ = writeln!(text, "{}", fields.join(" "));
    }
    text
}

fn facts(router: &VirtualRouterSnapshot) -> [(&'static str, String); 19] {
    let yes = |is_so: bool| if is_so { "yes" } else { "no" }.to_owned();
    let heard = router.heard.as_ref();
    let other = router.other_master.as_ref();
    let refused = other.and_then(|other| other.refused.clone());
    [
        ("name", router.name.clone()),
        ("state", router.state.clone()),
        ("since_ms", router.since_ms.to_string()),
        ("interface", router.interface.clone()),
        ("router_id", router.router_id.to_string()),
        ("version", router.version.to_string()),
        ("advert_interval_ms", router.advert_interval_ms.to_string()),
        ("addresses", router.addresses.join(",")),
        ("group", or_none(router.group.as_ref())),
        ("priority", router.priority.to_string()),
        ("base_priority", router.base_priority.to_string()),
        ("preempt", yes(router.preempt)),
        ("preempt_delay_ms", router.preempt_delay_ms.to_string()),
        ("released", yes(router.released)),
        ("heard", or_none(heard.map(|heard| &heard.from))),
        ("heard_priority", or_none(heard.map(|heard| heard.priority))),
        ("heard_ago_ms", or_none(heard.map(|heard| heard.ago_ms))),
        ("other_master", or_none(other.map(|other| &other.from))),
        ("other_master_refused", or_none(refused)),
    ]
}

fn words(router: &VirtualRouterSnapshot) -> [(&'static str, String); 3] {
    [
        ("arithmetic", format!("{:?}", router.arithmetic)),
        ("why", format!("{:?}", router.why)),
        (
            "waiting_for",
            or_none(router.waiting_for.as_ref().map(|what| format!("{what:?}"))),
        ),
    ]
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// What is counted: a line of `router.counter: number` for each, also where nothing happened.
#[must_use]
pub fn stats(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for router in &snapshot.virtual_routers {
        let name = &router.name;
        for (counter, number) in [
            ("sent", router.sent),
            ("unsent", router.unsent),
            ("received", router.received),
            ("addresses_differ", router.addresses_differ),
            ("transitions", router.transitions),
            ("became_master", router.became_master),
            ("put_back", router.put_back),
            ("cleared", router.cleared),
        ] {
            let _ = writeln!(text, "{name}.{counter}: {number}");
        }
        for why in Refusal::ALL.iter().map(|why| why.name()) {
            let number = router.refused.get(why).copied().unwrap_or(0);
            let _ = writeln!(text, "{name}.refused.{why}: {number}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::example::snapshot;
    use crate::stats::snapshot::OtherMasterSnapshot;

    #[test]
    fn each_router_is_a_line_with_the_same_keys() {
        let mut snapshot = snapshot();
        let mut other = snapshot.virtual_routers[0].clone();
        other.heard = None;
        other.waiting_for = Some("interface \"eth0\",\nwhich is down".to_owned());
        other.group = Some("both".to_owned());
        other.addresses.push("192.0.2.101/24".to_owned());
        other.other_master = Some(OtherMasterSnapshot {
            from: "192.0.2.12".to_owned(),
            for_ms: 1,
            refused: Some("ttl".to_owned()),
        });
        snapshot.virtual_routers.push(other);
        let text = show(&snapshot);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "name=amqp state=master since_ms=7380000 interface=eth0 router_id=51 version=3 \
             advert_interval_ms=1000 addresses=192.0.2.100/24 group=- priority=90 \
             base_priority=150 preempt=yes preempt_delay_ms=0 released=no heard=192.0.2.12 \
             heard_priority=100 heard_ago_ms=7384000 other_master=- other_master_refused=- \
             arithmetic=\"150 - 60 = 90: pool plain has no usable server\" \
             why=\"master 192.0.2.12 fell silent\" waiting_for=-"
        );
        let keys = |line: &str| -> Vec<String> {
            let words = line.split(' ').filter_map(|word| word.split_once('='));
            words
                .map(|(key, _)| key.to_owned())
                .filter(|key| !key.is_empty())
                .collect()
        };
        assert_eq!(keys(lines[0]), keys(lines[1]));
        let end = r#" waiting_for="interface \"eth0\",\nwhich is down""#;
        assert!(lines[1].ends_with(end), "{text}");
        assert_eq!(lines.len(), 2, "{text}");
    }

    #[test]
    fn every_counter_is_told_also_where_nothing_happened() {
        let text = stats(&snapshot());
        for line in [
            "amqp.sent: 7381",
            "amqp.unsent: 0",
            "amqp.refused.checksum: 2",
            "amqp.refused.collision: 0",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in {text}");
        }
        assert_eq!(text.lines().count(), 8 + Refusal::COUNT);
    }
}
