//! *pure* One row of `show stat`: columns by name, quoting.

use std::fmt::{Display, Write as _};

use super::meaning::meaning;
use crate::stats::form::{Form, Meaning, Style, one_line};

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
pub(super) struct Row {
    /// `F`, `B` or `S`.
    letter: char,
    values: [Option<String>; COLUMNS.len()],
}

impl Row {
    pub(super) fn new(letter: char) -> Self {
        Self {
            letter,
            values: std::array::from_fn(|_| None),
        }
    }

    pub(super) fn set(&mut self, column: usize, value: impl Display) {
        self.values[column] = Some(value.to_string());
    }

    /// Leaves out what only operators may see.
    pub(super) fn hide(&mut self) {
        for name in ["addr", "algo"] {
            self.values[column(name)] = None;
        }
    }

    /// Writes the row in the wanted form.
    pub(super) fn finish(self, text: &mut String, style: Style) {
        match style.form {
            Form::Plain => self.csv(text),
            Form::Typed => self.typed(text, style.described),
            Form::Json => self.json(text),
        }
    }

    fn csv(&self, text: &mut String) {
        for value in &self.values {
            text.push_str(&quoted(value.as_deref().unwrap_or_default()));
            text.push(',');
        }
        text.push_str("-,\n");
    }

    /// The columns that were set: position, meaning, value.
    fn filled(&self) -> impl Iterator<Item = (usize, Meaning, &str)> {
        let names = COLUMNS.iter().zip(&self.values).enumerate();
        names.filter_map(|(position, (name, value))| {
            let meaning = meaning(name, self.letter == 'B')?;
            Some((position, meaning, value.as_deref()?))
        })
    }

    fn number(&self, column: usize) -> &str {
        self.values[column].as_deref().unwrap_or("0")
    }

    fn typed(&self, text: &mut String, described: bool) {
        let (iid, sid) = (self.number(column("iid")), self.number(column("sid")));
        for (position, meaning, value) in self.filled() {
            // Writing to a String cannot fail.
            let _ = write!(text, "{}.{iid}.{sid}.", self.letter);
            meaning.typed(text, position, value);
            if described {
                meaning.describe(text);
            }
            text.push('\n');
        }
    }

    fn json(&self, text: &mut String) {
        let kind = match self.letter {
            'F' => "Frontend",
            'B' => "Backend",
            _ => "Server",
        };
        let (iid, sid) = (self.number(column("iid")), self.number(column("sid")));
        let mut separator = '[';
        for (position, meaning, value) in self.filled() {
            text.push(separator);
            separator = ',';
            let _ = write!(
                text,
                "{{\"objType\":\"{kind}\",\"proxyId\":{iid},\"id\":{sid},"
            );
            meaning.json(text, position, value);
            text.push('}');
        }
        text.push(']');
    }
}

/// A value as HAProxy writes it: in quotes only when it holds a comma or a quote, which is doubled.
fn quoted(value: &str) -> String {
    let value = one_line(value);
    if value.contains([',', '"']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value
    }
}
