//! *pure* `show stat`: HAProxy 2.6's CSV, and the same numbers typed and as JSON. A listener is a
//! FRONTEND, a pool a BACKEND.
//!
//! The columns that HAProxy leaves empty for a kind of row are empty here, those it prints as 0
//! are 0. Where warren has no such thing the value is the 0 of an HAProxy that does not use it.

use std::ops::Range;
use std::rc::Rc;

use super::form::{Form, Style};
use super::snapshot::{AverageTimes, ListenerSnapshot, PoolSnapshot, ServerStatus, Snapshot};
use super::totals::ServerTotals;
use super::words::check_word;
use crate::pool::server::{Admin, State};

pub(super) mod meaning;
mod row;

pub use row::COLUMNS;
use row::{Row, put, zero};

/// Which rows are wanted: `show stat [{iid|name} type sid] [up] [no-maint]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// Number of the proxy; -1: all.
    pub iid: i64,
    /// 1 frontends, 2 backends, 4 servers, 8 sockets, added up; -1: all.
    pub types: i64,
    /// Number of the server; -1: all. Rows of proxies do not care, as with HAProxy.
    pub sid: i64,
    /// Leave out servers that are not up.
    pub up: bool,
    /// Leave out servers in maintenance.
    pub no_maint: bool,
    /// With addresses and algorithms, which are not for everybody.
    pub legends: bool,
}

impl Filter {
    /// Every row.
    pub const ALL: Self = Self {
        iid: -1,
        types: -1,
        sid: -1,
        up: false,
        no_maint: false,
        legends: true,
    };

    fn wants(&self, iid: usize, kind: i64) -> bool {
        matches(self.iid, iid) && self.types & kind != 0
    }

    fn hides(&self, server: &ServerStatus) -> bool {
        let maint = server.state == State::Maint;
        let stopped = matches!(server.state, State::Down | State::Unknown) || maint;
        !matches(self.sid, server.number) || (self.no_maint && maint) || (self.up && stopped)
    }
}

/// Whether a number is the wanted one; -1 wants all.
fn matches(wanted: i64, number: usize) -> bool {
    wanted == -1 || u64::try_from(wanted) == Ok(number as u64)
}

/// The whole answer.
#[cfg(test)]
pub(crate) fn render(snapshot: &Snapshot, filter: &Filter, style: Style) -> String {
    let places = places(snapshot, filter);
    piece(snapshot, (filter, style), &places, 0..places.len())
}

/// The whole answer, piece by piece: the rows of ten thousand servers take a while.
pub struct Pieces {
    snapshot: Rc<Snapshot>,
    filter: Filter,
    style: Style,
    places: Vec<Place>,
    /// How many rows are written; `None` before the first piece.
    done: Option<usize>,
}

impl Pieces {
    /// Rows in one piece.
    const ROWS: usize = 64;

    /// Of what a snapshot knows.
    #[must_use]
    pub fn new(snapshot: Rc<Snapshot>, filter: Filter, style: Style) -> Self {
        Self {
            places: places(&snapshot, &filter),
            snapshot,
            filter,
            style,
            done: None,
        }
    }
}

impl Iterator for Pieces {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let rows = self.places.len();
        let from = match self.done {
            Some(done) if done == rows => return None,
            Some(done) => done,
            None => 0,
        };
        let to = rows.min(from + Self::ROWS);
        self.done = Some(to);
        let how = (&self.filter, self.style);
        Some(piece(&self.snapshot, how, &self.places, from..to))
    }
}

/// What a row is about: the index of a listener or pool, or of a pool and a server there.
#[derive(Debug, Clone, Copy)]
enum Place {
    Listener(usize),
    Server(usize, usize),
    Pool(usize),
}

/// The wanted rows: the listeners, then each pool after its servers.
fn places(snapshot: &Snapshot, filter: &Filter) -> Vec<Place> {
    let mut places = Vec::new();
    for (index, listener) in snapshot.listeners.iter().enumerate() {
        if filter.wants(listener.number, 1) {
            places.push(Place::Listener(index));
        }
    }
    for (index, pool) in snapshot.pools.iter().enumerate() {
        for (position, server) in pool.servers.iter().enumerate() {
            if filter.wants(pool.number, 4) && !filter.hides(server) {
                places.push(Place::Server(index, position));
            }
        }
        if filter.wants(pool.number, 2) {
            places.push(Place::Pool(index));
        }
    }
    places
}

/// Some of the rows, with what stands before the first and behind the last of all.
fn piece(
    snapshot: &Snapshot,
    (filter, style): (&Filter, Style),
    places: &[Place],
    range: Range<usize>,
) -> String {
    let json = style.form == Form::Json;
    let (first, last) = (range.start == 0, range.end == places.len());
    let mut text = match style.form {
        Form::Plain if first => format!("# {},-,\n", COLUMNS.join(",")),
        Form::Json if first => "[".to_owned(),
        Form::Plain | Form::Typed | Form::Json => String::new(),
    };
    for index in range {
        if json && index > 0 {
            text.push(',');
        }
        let mut row = row(snapshot, places[index], filter);
        if !filter.legends {
            row.hide();
        }
        row.finish(&mut text, style);
    }
    if json && last {
        text.push_str("]\n");
    }
    text
}

fn row(snapshot: &Snapshot, place: Place, filter: &Filter) -> Row {
    match place {
        Place::Listener(index) => frontend(&snapshot.listeners[index], snapshot.stopping),
        Place::Server(index, position) => {
            let pool = &snapshot.pools[index];
            server_row(pool, &pool.servers[position])
        }
        Place::Pool(index) => backend(&snapshot.pools[index], filter),
    }
}

fn frontend(listener: &ListenerSnapshot, stopping: bool) -> Row {
    let totals = &listener.totals;
    let mut row = Row::new('F');
    put!(
        row,
        "pxname" = &listener.name,
        "svname" = "FRONTEND",
        "scur" = listener.open.now,
        "smax" = listener.open.max,
        "slim" = listener.open.limit,
        "stot" = totals.sessions,
        "bin" = totals.bytes_in,
        "bout" = totals.bytes_out,
        "status" = match (stopping, listener.paused) {
            (true, _) => "STOP",
            (false, true) => "PAUSED",
            (false, false) => "OPEN",
        },
        "iid" = listener.number,
        "rate" = listener.session_rate.now,
        "rate_lim" = listener.max_accept_rate,
        "rate_max" = listener.session_rate.max,
        "conn_rate" = listener.accept_rate.now,
        "conn_rate_max" = listener.accept_rate.max,
        "conn_tot" = totals.accepted,
        "dcon" = totals.denied,
        "pid" = 1,
        "mode" = "tcp",
    );
    zero!(
        row,
        "dreq",
        "dresp",
        "ereq",
        "sid",
        "type",
        "req_rate",
        "req_rate_max"
    );
    zero!(
        row, "req_tot", "comp_in", "comp_out", "comp_byp", "comp_rsp", "dses", "wrew", "eint"
    );
    row
}

/// What server and BACKEND rows share.
fn traffic(
    row: &mut Row,
    totals: &ServerTotals,
    times: &AverageTimes,
    last_session_ms: Option<u64>,
) {
    put!(
        row,
        "bin" = totals.bytes_in,
        "bout" = totals.bytes_out,
        "eresp" = totals.server_aborts,
        "wretr" = totals.retries,
        "wredis" = totals.redispatches,
        "lbtot" = totals.sessions,
        "srv_abrt" = totals.server_aborts,
        "connect" = totals.attempts,
        "qtime" = times.queue_ms,
        "ctime" = times.connect_ms,
        "ttime" = times.total_ms,
        "qtime_max" = times.queue_max_ms,
        "ctime_max" = times.connect_max_ms,
        "ttime_max" = times.total_max_ms,
        "pid" = 1,
        "mode" = "tcp",
    );
    match last_session_ms {
        Some(ago) => put!(row, "lastsess" = ago / 1000),
        None => put!(row, "lastsess" = -1),
    }
    zero!(row, "dresp", "rtime", "rtime_max", "wrew", "reuse", "eint");
}

fn server_row(pool: &PoolSnapshot, server: &ServerStatus) -> Row {
    let totals = &server.totals;
    let mut row = Row::new('S');
    traffic(&mut row, totals, &server.averages, server.last_session_ms);
    put!(
        row,
        "pxname" = &pool.name,
        "svname" = &server.name,
        "scur" = server.open.now,
        "smax" = server.open.max,
        "stot" = totals.sessions,
        "econ" = totals.connect_errors,
        "cli_abrt" = totals.client_aborts,
        "status" = status(pool, server),
        "weight" = server.effective_weight,
        "uweight" = server.weight,
        "act" = u8::from(!server.backup),
        "bck" = u8::from(server.backup),
        "lastchg" = server.since_ms / 1000,
        "iid" = pool.number,
        "sid" = server.number,
        "type" = 2,
        "rate" = server.session_rate.now,
        "rate_max" = server.session_rate.max,
    );
    match server.address {
        Some(address) => put!(row, "addr" = address),
        None => put!(row, "addr" = &server.configured),
    }
    if server.open.limit > 0 {
        put!(row, "slim" = server.open.limit);
    }
    if let Some(percent) = server.throttle() {
        put!(row, "throttle" = percent);
    }
    // The queue belongs to the pool; a server has none of its own.
    zero!(
        row,
        "qcur",
        "qmax",
        "srv_icur",
        "idle_conn_cur",
        "safe_conn_cur",
        "used_conn_cur"
    );
    zero!(row, "need_conn_est");
    if pool.checks(server) {
        check(&mut row, pool, server);
    }
    row
}

/// The columns of a server whose pool is checked.
fn check(row: &mut Row, pool: &PoolSnapshot, server: &ServerStatus) {
    put!(
        row,
        "chkfail" = server.checks_failed,
        "chkdown" = server.downs,
        "downtime" = server.downtime_ms / 1000,
    );
    if server.admin == Admin::Maint {
        return;
    }
    let word = check_word(server.check.as_ref().map_or("INI", |check| &check.code));
    put!(
        row,
        "check_status" = word.name,
        "check_desc" = word.description,
        "check_rise" = pool.rise,
        "check_fall" = pool.fall,
        "check_health" = server.check.as_ref().map_or(0, |check| check.score),
    );
    let Some(check) = &server.check else { return };
    put!(
        row,
        "check_duration" = check.took_us / 1000,
        "last_chk" = &check.detail,
    );
    if let (true, Some(code)) = (word.has_code, check.reply_code) {
        put!(row, "check_code" = code);
    }
}

/// HAProxy's word for a server's state. A server whose first check is outstanding is UP to HAProxy,
/// which sends it connections; warren does not, so it is DOWN (with `check_status` INI).
fn status(pool: &PoolSnapshot, server: &ServerStatus) -> String {
    let score = server.check.as_ref().map_or(0, |check| check.score);
    let top = (pool.rise + pool.fall).saturating_sub(1);
    let failing = (pool.checks(server) && server.check.is_some() && score < top)
        .then(|| (score + 1).saturating_sub(pool.rise));
    match (server.admin, server.healthy) {
        (Admin::Maint, _) => "MAINT".to_owned(),
        (_, Some(false) | None) if score > 0 => format!("DOWN {score}/{}", pool.rise),
        (_, Some(false) | None) => "DOWN".to_owned(),
        (Admin::Drain, Some(true)) => going_down("DRAIN", failing, pool.fall),
        (Admin::Ready, Some(true)) if pool.checks(server) => going_down("UP", failing, pool.fall),
        (Admin::Ready, Some(true)) => "no check".to_owned(),
    }
}

fn going_down(word: &str, left: Option<u32>, fall: u32) -> String {
    match left {
        Some(left) => format!("{word} {left}/{fall}"),
        None => word.to_owned(),
    }
}

fn backend(pool: &PoolSnapshot, filter: &Filter) -> Row {
    let sums = pool.sums();
    let (active, spare) = (pool.usable_of(false), pool.usable_of(true));
    let weight = pool.weight();
    let mut row = Row::new('B');
    traffic(&mut row, &sums, &pool.averages, pool.last_session_ms);
    put!(
        row,
        "pxname" = &pool.name,
        "svname" = "BACKEND",
        "qcur" = pool.queue.now,
        "qmax" = pool.queue.max,
        "scur" = pool.open.now,
        "smax" = pool.open.max,
        "slim" = pool.open.limit,
        "stot" = pool.totals.sessions,
        "econ" = sums.connect_errors + pool.refused(),
        "cli_abrt" = sums.client_aborts + pool.totals.client_aborts,
        "status" = backend_status(pool, filter),
        "weight" = weight,
        "uweight" = weight,
        "act" = active,
        "bck" = spare,
        "chkdown" = pool.downs,
        "lastchg" = pool.since_ms / 1000,
        "downtime" = pool.downtime_ms / 1000,
        "iid" = pool.number,
        "type" = 1,
        "rate" = pool.session_rate.now,
        "rate_max" = pool.session_rate.max,
        "algo" = &pool.balance,
    );
    zero!(
        row, "dreq", "sid", "comp_in", "comp_out", "comp_byp", "comp_rsp"
    );
    zero!(
        row,
        "agg_server_status",
        "agg_server_check_status",
        "agg_check_status"
    );
    row
}

/// UP while there is a usable server. With a filter on servers HAProxy adds how many are up.
fn backend_status(pool: &PoolSnapshot, filter: &Filter) -> String {
    let word = if pool.usable() > 0 { "UP" } else { "DOWN" };
    if !filter.up && !filter.no_maint {
        return word.to_owned();
    }
    let up = pool.servers.iter();
    let up = up.filter(|server| server.admin != Admin::Maint && server.healthy == Some(true));
    format!("{word} ({}/{})", up.count(), pool.servers.len())
}
