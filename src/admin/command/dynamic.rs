//! *pure* `add server` and `del server`: from their words to what is wanted, or to the words of
//! HAProxy that refuse it.

use super::{Look, Reply, change};
use crate::admin::wish::Wish;
use crate::config::{Balance, Config, Pool, SendProxy, Server, units};

/// As the weight of a server in the file; HAProxy's is 1.
const WEIGHT: u16 = 100;

/// `add server POOL/SERVER HOST:PORT [weight N] [maxconn N] [backup] [send-proxy|send-proxy-v2]
/// [check] [disabled]`. The pool's check is the server's, so that `check` says nothing new.
pub(super) fn add(words: &[&str], config: &Config, snapshot: Look<'_>) -> Result<Reply, Reply> {
    let (pool, name) = names(words.first(), config, snapshot)?;
    if pool.balance == Balance::Source {
        return refuse("Backend must use a dynamic load balancing to support dynamic servers.");
    }
    let [_, address, options @ ..] = words else {
        return Err(Reply::line(
            "'server' expects <name> and <addr>[:<port>] as arguments.",
        ));
    };
    if pool.servers.iter().any(|server| server.name == name) {
        return Err(Reply::line(
            "Already exists a server with the same name in backend.",
        ));
    }
    if units::TAKEN_NAMES.contains(&name) {
        let words = format!("'{name}' has a meaning in the statistics, and cannot be a server");
        return Err(Reply::line(&words));
    }
    if units::check_name(name).is_err() {
        let words = "a name has letters, digits, `_`, `-` and `.`, at most 64 of them";
        return Err(Reply::line(words));
    }
    let Ok(address) = units::address(address) else {
        return Err(Reply::line(&format!(
            "invalid address or port in '{address}'"
        )));
    };
    let mut server = Server {
        name: name.to_owned(),
        address,
        weight: WEIGHT,
        max_connections: 0,
        backup: false,
        send_proxy: SendProxy::Off,
    };
    set(&mut server, options)?;
    Ok(Reply::Reload(Wish::Add(
        pool.name.clone(),
        Box::new(server),
    )))
}

/// Sets what the options say.
fn set(server: &mut Server, mut options: &[&str]) -> Result<(), Reply> {
    loop {
        options = match options {
            [] => return Ok(()),
            ["check" | "disabled", rest @ ..] => rest,
            ["backup", rest @ ..] => {
                server.backup = true;
                rest
            }
            ["send-proxy", rest @ ..] => {
                server.send_proxy = SendProxy::V1;
                rest
            }
            ["send-proxy-v2", rest @ ..] => {
                server.send_proxy = SendProxy::V2;
                rest
            }
            ["weight", weight, rest @ ..] => {
                let number: Option<u16> = weight.parse().ok();
                let Some(number) = number.filter(|weight| *weight <= 256) else {
                    let name = &server.name;
                    return Err(Reply::line(&format!(
                        "weight of server {name} is not within 0 and 256 ({weight}).."
                    )));
                };
                server.weight = number;
                rest
            }
            ["maxconn", limit, rest @ ..] => {
                let Ok(limit) = limit.parse() else {
                    return Err(Reply::line(&format!("invalid maxconn '{limit}'")));
                };
                server.max_connections = limit;
                rest
            }
            [word, ..] => return Err(Reply::line(&format!("unknown keyword '{word}'."))),
        };
    }
}

/// `del server POOL/SERVER`
pub(super) fn delete(words: &[&str], config: &Config, snapshot: Look<'_>) -> Result<Reply, Reply> {
    let (pool, name) = names(words.first(), config, snapshot)?;
    // Whether it is there is found out when its turn has come.
    let server = match change::place(words.first(), config, snapshot) {
        Ok(place) => place.server_name,
        Err(_) => name.to_owned(),
    };
    Ok(Reply::Reload(Wish::Delete(pool.name.clone(), server)))
}

fn names<'a>(
    word: Option<&&'a str>,
    config: &'a Config,
    snapshot: Look<'_>,
) -> Result<(&'a Pool, &'a str), Reply> {
    let Ok((pool, server)) = change::pool_and_server(word) else {
        return refuse("Require 'backend/server'.");
    };
    match change::pool(pool, config, snapshot) {
        Some(pool) => Ok((&config.pools[pool], server)),
        None => refuse("No such backend."),
    }
}

/// HAProxy ends these without a line feed of their own.
fn refuse<T>(words: &str) -> Result<T, Reply> {
    Err(Reply::Text(words.to_owned()))
}
