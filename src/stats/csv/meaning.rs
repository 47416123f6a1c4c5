//! *pure* The columns of `show stat` that are ever filled here. Names, tags and types are HAProxy
//! 2.6's, the words are ours.

use crate::stats::form::{Meaning, m};

#[rustfmt::skip]
const MEANINGS: [Meaning; 81] = [
    m("pxname", "KNS", "str", "name of the listener or pool"),
    m("svname", "KNS", "str", "name of the server, or FRONTEND, or BACKEND"),
    m("qcur", "MGP", "u32", "connections that wait for a slot"),
    m("qmax", "MMP", "u32", "most connections that waited at once"),
    m("scur", "MGP", "u32", "open connections"),
    m("smax", "MMP", "u32", "most open connections"),
    m("slim", "CLP", "u32", "limit on open connections"),
    m("stot", "MCP", "u64", "connections since the start"),
    m("bin", "MCP", "u64", "bytes from clients"),
    m("bout", "MCP", "u64", "bytes to clients"),
    m("dreq", "MCP", "u64", "requests denied; there are none in TCP mode"),
    m("dresp", "MCP", "u64", "responses denied; there are none in TCP mode"),
    m("ereq", "MCP", "u64", "invalid requests; there are none in TCP mode"),
    m("econ", "MCP", "u64", "connections that could not be made to a server"),
    m("eresp", "MCP", "u64", "connections that the server reset or vanished from"),
    m("wretr", "MCP", "u64", "connection attempts repeated on the same server"),
    m("wredis", "MCP", "u64", "connection attempts moved to another server"),
    m("status", "SGP", "str", "state"),
    m("weight", "MaP", "u32", "weight now, slow start included; of a pool, the sum"),
    m("act", "SGP", "u32", "1 for a server that is no backup; of a pool, how many are usable"),
    m("bck", "SGP", "u32", "1 for a backup server; of a pool, how many are usable"),
    m("chkfail", "MCP", "u64", "failed checks while up"),
    m("chkdown", "MCP", "u64", "times it went down"),
    m("lastchg", "MAP", "u32", "seconds since the state last changed"),
    m("downtime", "MCP", "u32", "seconds down in all"),
    m("pid", "KGP", "u32", "number of the process, always 1"),
    m("iid", "KGS", "u32", "number of the listener or pool"),
    m("sid", "KGS", "u32", "number of the server, 0 for listeners and pools"),
    m("throttle", "MaP", "u32", "percent of its weight during slow start"),
    m("lbtot", "MCP", "u64", "times it was chosen"),
    m("type", "CGS", "u32", "0 listener, 1 pool, 2 server"),
    m("rate", "MRP", "u32", "connections during the last second"),
    m("rate_lim", "CLP", "u32", "limit on accepted connections per second"),
    m("rate_max", "MMP", "u32", "highest rate since the start"),
    m("check_status", "MOP", "str", "result of the last check"),
    m("check_code", "MOP", "u32", "status or reply code of the last check"),
    m("check_duration", "MDP", "u64", "milliseconds that the last check took"),
    m("req_rate", "MRP", "u32", "requests per second; there are none in TCP mode"),
    m("req_rate_max", "MMP", "u32", "highest req_rate; there are none in TCP mode"),
    m("req_tot", "MCP", "u64", "requests; there are none in TCP mode"),
    m("cli_abrt", "MCP", "u64", "connections that the client reset or vanished from"),
    m("srv_abrt", "MCP", "u64", "connections that the server reset or vanished from"),
    m("comp_in", "MCP", "u64", "bytes to be compressed; no compression here"),
    m("comp_out", "MCP", "u64", "compressed bytes; no compression here"),
    m("comp_byp", "MCP", "u64", "bytes not compressed; no compression here"),
    m("comp_rsp", "MCP", "u64", "responses compressed; no compression here"),
    m("lastsess", "MAP", "s32", "seconds since the last connection; -1, never"),
    m("last_chk", "MOP", "str", "the last check in its own words"),
    m("qtime", "MaP", "u32", "average milliseconds that a connection waited for a slot"),
    m("ctime", "MaP", "u32", "average milliseconds to connect to a server"),
    m("rtime", "MaP", "u32", "average response time; there is none in TCP mode"),
    m("ttime", "MaP", "u32", "average milliseconds from accept to end"),
    m("check_desc", "MOP", "str", "result of the last check in words"),
    m("check_rise", "CGS", "u32", "good checks in a row until up"),
    m("check_fall", "CGS", "u32", "bad checks in a row until down"),
    m("check_health", "CGS", "u32", "0 to rise - 1 while down, rise to rise + fall - 1 while up"),
    m("addr", "CGS", "str", "address"),
    m("mode", "CGS", "str", "always tcp"),
    m("algo", "CGS", "str", "how servers are chosen"),
    m("conn_rate", "MRP", "u32", "connections accepted during the last second"),
    m("conn_rate_max", "MMP", "u32", "highest conn_rate since the start"),
    m("conn_tot", "MCP", "u64", "connections accepted since the start"),
    m("dcon", "MCP", "u64", "connections that the lists or the PROXY rules turned away"),
    m("dses", "MCP", "u64", "sessions denied; they count as dcon here"),
    m("wrew", "MCP", "u64", "headers that could not be rewritten; there are none in TCP mode"),
    m("connect", "MCP", "u64", "connection attempts"),
    m("reuse", "MCP", "u64", "connections used again; there are none in TCP mode"),
    m("srv_icur", "MGP", "u32", "idle connections; there are none in TCP mode"),
    m("qtime_max", "MMP", "u32", "highest qtime of one connection"),
    m("ctime_max", "MMP", "u32", "highest ctime of one connection"),
    m("rtime_max", "MMP", "u32", "highest rtime; there is none in TCP mode"),
    m("ttime_max", "MMP", "u32", "highest ttime of one connection"),
    m("eint", "MCP", "u64", "internal errors"),
    m("idle_conn_cur", "MGP", "u32", "idle connections; there are none in TCP mode"),
    m("safe_conn_cur", "MGP", "u32", "safe idle connections; there are none in TCP mode"),
    m("used_conn_cur", "MGP", "u32", "connections to be used again; none in TCP mode"),
    m("need_conn_est", "MGP", "u32", "estimate of connections needed; none is made here"),
    m("uweight", "MaP", "u32", "weight as set; of a pool, the sum"),
    m("agg_server_status", "MGP", "u32", "not used here"),
    m("agg_server_check_status", "MGP", "u32", "not used here"),
    m("agg_check_status", "MGP", "u32", "not used here"),
];

/// What HAProxy tags differently in the row of a pool.
const OF_POOLS: [(&str, &str); 4] = [
    ("act", "MGP"),
    ("bck", "MGP"),
    ("rate", "MGP"),
    ("rate_max", "MGP"),
];

/// What a column means in the row of a pool, or in others.
pub(in crate::stats) fn meaning(name: &str, of_pool: bool) -> Option<Meaning> {
    let mut meaning = *MEANINGS.iter().find(|meaning| meaning.name == name)?;
    let other = OF_POOLS
        .iter()
        .find(|(column, _)| of_pool && *column == name);
    if let Some((_, tags)) = other {
        meaning.tags = tags;
    }
    Some(meaning)
}
