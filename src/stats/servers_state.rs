//! *pure* `show servers state`: version 1 of HAProxy's state file.

use std::fmt::Write as _;

use super::snapshot::{PoolSnapshot, ServerStatus, Snapshot};
use super::words::check_word;
use crate::pool::server::Admin;

const HEADER: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state \
    srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result \
    srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn \
    srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n";

/// The whole answer for all pools, or for the one of that index.
#[must_use]
pub fn render(snapshot: &Snapshot, only: Option<usize>) -> String {
    let mut text = HEADER.to_owned();
    for (pool, server) in snapshot.servers(only) {
        line(&mut text, pool, server);
    }
    text
}

fn line(text: &mut String, pool: &PoolSnapshot, server: &ServerStatus) {
    let (address, port) = server.ip_and_port();
    let (status, result) = last_check(server);
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{} {} {} {} {address} {} {} {} {} {} {status} {result} {} {} 0 0 0 {} {port} - 0 0 - - 0",
        pool.number,
        pool.name,
        server.number,
        server.name,
        op_state(server),
        admin_mask(server),
        server.weight,
        server.configured_weight,
        server.since_ms / 1000,
        check_health(pool, server),
        check_state(pool, server),
        server.host_name.as_deref().unwrap_or("-"),
    );
}

/// 0 stopped, 1 starting (slowly), 2 running.
fn op_state(server: &ServerStatus) -> u8 {
    if server.admin == Admin::Maint || server.healthy != Some(true) {
        0
    } else if server.effective_weight < server.weight {
        1
    } else {
        2
    }
}

/// 1 forced maintenance, 8 forced drain.
fn admin_mask(server: &ServerStatus) -> u8 {
    match server.admin {
        Admin::Ready => 0,
        Admin::Drain => 8,
        Admin::Maint => 1,
    }
}

/// Number of the check's status (1: none yet) and its result: 0 unknown, 2 failed, 3 passed.
fn last_check(server: &ServerStatus) -> (u8, u8) {
    match &server.check {
        None => (1, 0),
        Some(check) if check.passed => (check_word(&check.code).number, 3),
        Some(check) => (check_word(&check.code).number, 2),
    }
}

fn check_health(pool: &PoolSnapshot, server: &ServerStatus) -> u32 {
    if server.admin == Admin::Maint {
        0
    } else if !pool.checked {
        // HAProxy leaves its default rise here.
        2
    } else {
        server.check.as_ref().map_or(0, |check| check.score)
    }
}

/// 2 configured, 4 enabled, 8 paused by maintenance.
fn check_state(pool: &PoolSnapshot, server: &ServerStatus) -> u8 {
    if !pool.checked {
        return 0;
    }
    let enabled = if server.checks_stopped { 0 } else { 4 };
    match server.admin {
        Admin::Maint => 2 | enabled | 8,
        Admin::Ready | Admin::Drain => 2 | enabled,
    }
}
