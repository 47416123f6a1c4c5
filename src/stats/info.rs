//! *pure* `show info`: the keys of HAProxy 2.6 in its order, then two of ours. Jobs, Listeners and
//! Tasks count what is closest to HAProxy's idea of them; Idle_pct is measured from the CPU time of
//! the whole process against that of its workers.
//!
//! What warren does not have (TLS, compression, peers, a memory pool) is 0, as in an HAProxy that
//! does not use it. One of the texts must not hold a second colon, because tools split there.

use std::fmt::{Display, Write as _};

use super::form::{Form, Meaning, Style, one_line};
use super::snapshot::{Identity, Snapshot};

mod fields;

use fields::FIELDS;

/// Release date of this version, as HAProxy writes it.
const RELEASE_DATE: &str = "2026/11/25";

/// Values that have fractions when somebody wants them.
const FLOATS: [&str; 10] = [
    "Uptime_sec",
    "ConnRate",
    "SessRate",
    "SslRate",
    "SslFrontendKeyRate",
    "SslFrontendSessionReuse_pct",
    "SslBackendKeyRate",
    "CompressBpsIn",
    "CompressBpsOut",
    "Start_time_sec",
];

/// The whole answer, each line ended, no empty line.
#[must_use]
pub fn render(snapshot: &Snapshot, style: Style) -> String {
    lines(snapshot, style.float).written(style)
}

/// The value of each key, as it is written without a style.
#[must_use]
pub(super) fn values(snapshot: &Snapshot) -> Vec<(&'static str, String)> {
    lines(snapshot, false).values
}

/// What a key means, in words.
pub(super) fn about(key: &str) -> &'static str {
    field(key, false).map_or("", |(_, meaning)| meaning.about)
}

fn lines(snapshot: &Snapshot, float: bool) -> Lines {
    let mut lines = Lines {
        float,
        values: Vec::new(),
    };
    product(&mut lines, snapshot);
    connections(&mut lines, snapshot);
    lines.zeros(UNUSED);
    rest(&mut lines, snapshot);
    lines
}

/// What the page of an HAProxy says of it, in one line, for programs that read that page.
#[must_use]
pub fn headline(snapshot: &Snapshot) -> String {
    format!(
        "HAProxy version {}, released {RELEASE_DATE}, pid = {}, uptime = {}, idle = {} %",
        version(snapshot),
        snapshot.pid,
        uptime(snapshot.uptime_ms / 1000),
        snapshot.idle_percent
    )
}

/// `Name` and `Version` of an answer, also used by `show version`.
#[must_use]
pub fn version(snapshot: &Snapshot) -> String {
    match snapshot.identity {
        Identity::Haproxy => format!("2.6.0-warren-{}", snapshot.version),
        Identity::Warren => snapshot.version.clone(),
    }
}

/// TLS, compression: not here.
const UNUSED: &[&str] = &[
    "SslRate",
    "SslRateLimit",
    "MaxSslRate",
    "SslFrontendKeyRate",
    "SslFrontendMaxKeyRate",
    "SslFrontendSessionReuse_pct",
    "SslBackendKeyRate",
    "SslBackendMaxKeyRate",
    "SslCacheLookups",
    "SslCacheMisses",
    "CompressBpsIn",
    "CompressBpsOut",
    "CompressBpsRateLim",
];

struct Lines {
    float: bool,
    values: Vec<(&'static str, String)>,
}

impl Lines {
    fn put(&mut self, key: &'static str, value: impl Display) {
        self.values.push((key, value.to_string()));
    }

    /// A time, with its fraction only if that is wanted.
    fn put_seconds(&mut self, key: &'static str, milliseconds: u64) {
        let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
        if self.float && rest > 0 {
            let digits = format!("{seconds}.{rest:03}");
            self.put(key, digits.trim_end_matches('0'));
        } else {
            self.put(key, seconds);
        }
    }

    fn zeros(&mut self, keys: &[&'static str]) {
        for key in keys {
            self.put(key, 0);
        }
    }

    fn written(self, style: Style) -> String {
        let mut text = String::new();
        let mut separator = '[';
        for (key, value) in &self.values {
            let Some((position, meaning)) = field(key, style.float) else {
                continue;
            };
            match style.form {
                // Writing to a String cannot fail.
                Form::Plain => _ = write!(text, "{key}: {}", one_line(value)),
                Form::Typed => meaning.typed(&mut text, position, value),
                Form::Json => {
                    text.push(separator);
                    text.push('{');
                    meaning.json(&mut text, position, value);
                    text.push('}');
                    separator = ',';
                    continue;
                }
            }
            if style.described {
                meaning.describe(&mut text);
            }
            text.push('\n');
        }
        if style.form == Form::Json {
            text.push_str("]\n");
        }
        text
    }
}

/// The position of a field, and its meaning.
fn field(key: &str, float: bool) -> Option<(usize, Meaning)> {
    let position = FIELDS.iter().position(|meaning| meaning.name == key)?;
    let mut meaning = FIELDS[position];
    if float && FLOATS.contains(&key) {
        meaning.kind = "flt";
        // HAProxy has a rate for what else is a gauge.
        if meaning.tags == "MGP" {
            meaning.tags = "MRP";
        }
    }
    Some((position, meaning))
}

fn product(lines: &mut Lines, snapshot: &Snapshot) {
    lines.put(
        "Name",
        match snapshot.identity {
            Identity::Haproxy => "HAProxy",
            Identity::Warren => "warren",
        },
    );
    lines.put("Version", version(snapshot));
    lines.put("Release_date", RELEASE_DATE);
    lines.put("Nbthread", snapshot.workers);
    lines.put("Nbproc", 1);
    lines.put("Process_num", 1);
    lines.put("Pid", snapshot.pid);
    let seconds = snapshot.uptime_ms / 1000;
    lines.put("Uptime", uptime(seconds));
    lines.put_seconds("Uptime_sec", snapshot.uptime_ms);
    lines.zeros(&["Memmax_MB", "PoolAlloc_MB", "PoolUsed_MB", "PoolFailed"]);
}

fn connections(lines: &mut Lines, snapshot: &Snapshot) {
    let accepted: u64 = snapshot.listeners.iter().map(|l| l.totals.accepted).sum();
    let sessions: u64 = snapshot.listeners.iter().map(|l| l.totals.sessions).sum();
    lines.put("Ulimit-n", snapshot.descriptors);
    lines.put("Maxsock", snapshot.descriptors);
    lines.put("Maxconn", snapshot.connections.limit);
    lines.put("Hard_maxconn", snapshot.hard_limit);
    lines.put("CurrConns", snapshot.connections.now);
    lines.put("CumConns", accepted);
    lines.put("CumReq", sessions);
    lines.zeros(&["MaxSslConns", "CurrSslConns", "CumSslConns"]);
    // The workers have a limit each; HAProxy prints 0 as well when it was not set by hand.
    lines.put("Maxpipes", snapshot.pipes.limit);
    lines.put("PipesUsed", snapshot.pipes.used);
    lines.put("PipesFree", snapshot.pipes.free);
    lines.put("ConnRate", snapshot.accept_rate.now);
    lines.put("ConnRateLimit", snapshot.max_accept_rate);
    lines.put("MaxConnRate", snapshot.accept_rate.max);
    lines.put("SessRate", snapshot.session_rate.now);
    lines.put("SessRateLimit", snapshot.max_accept_rate);
    lines.put("MaxSessRate", snapshot.session_rate.max);
}

fn rest(lines: &mut Lines, snapshot: &Snapshot) {
    let sockets: usize = snapshot.listeners.iter().map(|l| l.addresses.len()).sum();
    let bytes_out: u64 = snapshot.listeners.iter().map(|l| l.totals.bytes_out).sum();
    // A connection is one task from accept to end.
    lines.put("Tasks", snapshot.connections.now);
    lines.put("Run_queue", 0);
    lines.put("Idle_pct", snapshot.idle_percent);
    lines.put("node", without_colon(&snapshot.node));
    // HAProxy has this line only with a description in its configuration; agents want it always.
    lines.put("description", "");
    lines.put("Stopping", u8::from(snapshot.stopping));
    lines.put("Jobs", sockets as u64 + u64::from(snapshot.connections.now));
    lines.put("Unstoppable Jobs", 0);
    lines.put("Listeners", sockets);
    lines.zeros(&["ActivePeers", "ConnectedPeers"]);
    lines.put("DroppedLogs", snapshot.logs_dropped);
    lines.zeros(&["BusyPolling", "FailedResolutions"]);
    lines.put("TotalBytesOut", bytes_out);
    // The spelling is HAProxy 2.6's.
    lines.put("TotalSplicdedBytesOut", snapshot.spliced);
    lines.put("BytesOutRate", snapshot.bytes_out_rate.now);
    lines.zeros(&["DebugCommandsIssued", "CumRecvLogs"]);
    lines.put("Build info", version(snapshot));
    lines.zeros(&["Memmax_bytes", "PoolAlloc_bytes", "PoolUsed_bytes"]);
    lines.put("Start_time_sec", snapshot.started_at);
    lines.put("Tainted", 0);
    lines.put("Product", "warren");
    lines.put("Product_version", &snapshot.version);
}

/// `0d 0h00m04s`
fn uptime(seconds: u64) -> String {
    format!(
        "{}d {}h{:02}m{:02}s",
        seconds / 86_400,
        seconds % 86_400 / 3600,
        seconds % 3600 / 60,
        seconds % 60
    )
}

fn without_colon(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_graphic() && c != ':' {
                c
            } else {
                '_'
            }
        })
        .collect()
}
