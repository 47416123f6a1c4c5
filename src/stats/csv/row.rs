//! *pure* One row of `show stat`: columns by name, quoting.

use std::fmt::{Display, Write as _};

/// The static columns, in the order that has not changed since HAProxy 2.6.
pub const COLUMNS: [&str; 103] = [
    "pxname",
    "svname",
    "qcur",
    "qmax",
    "scur",
    "smax",
    "slim",
    "stot",
    "bin",
    "bout",
    "dreq",
    "dresp",
    "ereq",
    "econ",
    "eresp",
    "wretr",
    "wredis",
    "status",
    "weight",
    "act",
    "bck",
    "chkfail",
    "chkdown",
    "lastchg",
    "downtime",
    "qlimit",
    "pid",
    "iid",
    "sid",
    "throttle",
    "lbtot",
    "tracked",
    "type",
    "rate",
    "rate_lim",
    "rate_max",
    "check_status",
    "check_code",
    "check_duration",
    "hrsp_1xx",
    "hrsp_2xx",
    "hrsp_3xx",
    "hrsp_4xx",
    "hrsp_5xx",
    "hrsp_other",
    "hanafail",
    "req_rate",
    "req_rate_max",
    "req_tot",
    "cli_abrt",
    "srv_abrt",
    "comp_in",
    "comp_out",
    "comp_byp",
    "comp_rsp",
    "lastsess",
    "last_chk",
    "last_agt",
    "qtime",
    "ctime",
    "rtime",
    "ttime",
    "agent_status",
    "agent_code",
    "agent_duration",
    "check_desc",
    "agent_desc",
    "check_rise",
    "check_fall",
    "check_health",
    "agent_rise",
    "agent_fall",
    "agent_health",
    "addr",
    "cookie",
    "mode",
    "algo",
    "conn_rate",
    "conn_rate_max",
    "conn_tot",
    "intercepted",
    "dcon",
    "dses",
    "wrew",
    "connect",
    "reuse",
    "cache_lookups",
    "cache_hits",
    "srv_icur",
    "src_ilim",
    "qtime_max",
    "ctime_max",
    "rtime_max",
    "ttime_max",
    "eint",
    "idle_conn_cur",
    "safe_conn_cur",
    "used_conn_cur",
    "need_conn_est",
    "uweight",
    "agg_server_status",
    "agg_server_check_status",
    "agg_check_status",
];

/// The position of a column; a misspelt name does not compile.
pub(super) const fn column(name: &str) -> usize {
    let mut index = 0;
    while index < COLUMNS.len() {
        if same_text(COLUMNS[index].as_bytes(), name.as_bytes()) {
            return index;
        }
        index += 1;
    }
    panic!("there is no such column")
}

const fn same_text(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut index = 0;
    while index < a.len() {
        if a[index] != b[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// Sets columns: `put!(row, "scur" = 1, "smax" = 2)`.
macro_rules! put {
    ($row:expr, $($name:literal = $value:expr),+ $(,)?) => {{
        $($row.set(const { $crate::stats::csv::row::column($name) }, $value);)+
    }};
}
pub(super) use put;

/// Sets columns to 0: `zero!(row, "dreq", "dresp")`.
macro_rules! zero {
    ($row:expr, $($name:literal),+ $(,)?) => {{
        $($row.set(const { $crate::stats::csv::row::column($name) }, 0);)+
    }};
}
pub(super) use zero;

/// One row, empty but for the columns that were set.
pub(super) struct Row([String; COLUMNS.len()]);

impl Row {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| String::new()))
    }

    pub(super) fn set(&mut self, column: usize, value: impl Display) {
        // Writing to a String cannot fail.
        let _ = write!(self.0[column], "{value}");
    }

    pub(super) fn finish(self, text: &mut String) {
        for value in &self.0 {
            text.push_str(&quoted(value));
            text.push(',');
        }
        text.push_str("-,\n");
    }
}

/// A value as HAProxy writes it: in quotes only when it holds a comma or a quote, which is doubled.
/// A line break would end the row; it becomes a space.
fn quoted(value: &str) -> String {
    let value = value.replace(['\n', '\r'], " ");
    if value.contains([',', '"']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value
    }
}
