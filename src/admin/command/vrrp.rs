//! *pure* `vrrp show`, `vrrp stats` and `vrrp release`.

use super::Reply;
use crate::config::OWNER;
use crate::stats::routers;
use crate::stats::snapshot::{Snapshot, VirtualRouterSnapshot};

/// Answers one of the three.
pub(super) fn answer(words: &[&str], snapshot: &Snapshot) -> Reply {
    match words {
        ["show", ..] => Reply::Text(routers::show(snapshot)),
        ["stats", ..] => Reply::Text(routers::stats(snapshot)),
        [_, rest @ ..] => {
            release(rest, snapshot).map_or_else(|words| Reply::line(&words), Reply::Release)
        }
        [] => Reply::line("'vrrp' expects 'show', 'stats' or 'release'."),
    }
}

/// `vrrp release [NAME]`: the names of those that are to be given to another node.
fn release(words: &[&str], snapshot: &Snapshot) -> Result<Vec<String>, String> {
    let routers = &snapshot.virtual_routers;
    let [name] = words else {
        if !words.is_empty() {
            return Err("'vrrp release' expects one name, or none.".to_owned());
        }
        let released = routers.iter().filter(|router| obstacle(router).is_none());
        let names: Vec<String> = released.map(|router| router.name.clone()).collect();
        return match names.is_empty() {
            true => Err(nothing_to_release(routers)),
            false => Ok(names),
        };
    };
    let Some(router) = routers.iter().find(|router| router.name == *name) else {
        let names: Vec<&str> = routers.iter().map(|router| router.name.as_str()).collect();
        let known = match names.is_empty() {
            true => "none".to_owned(),
            false => names.join(", "),
        };
        return Err(format!("No such virtual router; there are: {known}."));
    };
    match obstacle(router) {
        None => Ok(vec![router.name.clone()]),
        Some(why) => Err(refusal(router, &why)),
    }
}

/// Why none of these can be released.
fn nothing_to_release(routers: &[VirtualRouterSnapshot]) -> String {
    let masters = routers.iter().filter(|router| router.state == "master");
    let refusals = masters.filter_map(|router| Some(refusal(router, &obstacle(router)?)));
    let refusals: Vec<String> = refusals.collect();
    match refusals.is_empty() {
        true => "No virtual router is master here.".to_owned(),
        false => refusals.join(" "),
    }
}

fn refusal(router: &VirtualRouterSnapshot, why: &str) -> String {
    format!("Virtual router {} {why}.", router.name)
}

/// Why it cannot be released, to be read after its name.
fn obstacle(router: &VirtualRouterSnapshot) -> Option<String> {
    if router.state != "master" {
        return Some(format!("is not master but {}", router.state));
    }
    // Its host would go on answering beside the other node.
    (router.base_priority == OWNER)
        .then(|| "owns its addresses (priority 255): this host has them always".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::example;

    fn released(words: &[&str], change: impl FnOnce(&mut Snapshot)) -> Result<Vec<String>, String> {
        let mut snapshot = example::snapshot();
        let mut backup = snapshot.virtual_routers[0].clone();
        (backup.name, backup.state) = ("other".to_owned(), "backup".to_owned());
        snapshot.virtual_routers.push(backup);
        change(&mut snapshot);
        release(words, &snapshot)
    }

    #[test]
    fn a_master_can_be_released_and_nothing_else() {
        let amqp = || Ok(vec!["amqp".to_owned()]);
        assert_eq!(released(&["amqp"], |_| {}), amqp());
        assert_eq!(released(&[], |_| {}), amqp());
        let owner = |snapshot: &mut Snapshot| snapshot.virtual_routers[0].base_priority = 255;
        for (words, refusal) in [
            (
                &["amqp", "x"][..],
                "'vrrp release' expects one name, or none.",
            ),
            (&["x"], "No such virtual router; there are: amqp, other."),
            (&["other"], "Virtual router other is not master but backup."),
        ] {
            assert_eq!(
                released(words, |_| {}),
                Err(refusal.to_owned()),
                "{words:?}"
            );
        }
        let refusal = "Virtual router amqp owns its addresses (priority 255): this host has them \
                       always.";
        assert_eq!(released(&["amqp"], owner), Err(refusal.to_owned()));
        assert_eq!(released(&[], owner), Err(refusal.to_owned()));
        let nobody = Err("No virtual router is master here.".to_owned());
        let init = |snapshot: &mut Snapshot| snapshot.virtual_routers[0].state = "init".to_owned();
        assert_eq!(released(&[], init), nobody);
        let none = |snapshot: &mut Snapshot| snapshot.virtual_routers.clear();
        let nothing = Err("No such virtual router; there are: none.".to_owned());
        assert_eq!(released(&["amqp"], none), nothing);
    }
}
