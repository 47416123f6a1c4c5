//! *pure* What a path means.

use crate::stats::csv::Filter;
use crate::stats::form::{Form, Style};
use crate::stats::metrics::{SCOPES, Wanted};

/// What there is to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// The status page.
    Page,
    /// What the page shows, as JSON.
    Live,
    /// For Prometheus.
    Metrics(Wanted),
    /// Whether the process makes progress.
    Health,
    /// Whether this node would serve.
    Ready,
    /// HAProxy's `show stat`.
    Stat(Filter, Style),
}

/// Where people have HAProxy's page of statistics: `stats uri` of its manual, of tutorials and of
/// its packages, each also with `?stats`.
const STATS: [&str; 7] = [
    "/",
    "/stats",
    "/haproxy",
    "/haproxy/stats",
    "/haproxy_stats",
    "/haproxy-stats",
    "/admin",
];

/// Words for whoever asks for something else.
pub const PATHS: &str =
    "There is: / /status.json /metrics /healthz /readyz /;csv /;json /stats;csv\n";

/// What a target asks for; `Err`: nothing that there is.
///
/// # Errors
///
/// What is wrong, if the path is good but its parameters are not; else `None`.
pub fn route(target: &str) -> Result<Route, Option<&'static str>> {
    // HAProxy's parameters begin at the first semicolon.
    let (place, options) = target.split_once(';').unwrap_or((target, ""));
    let (path, query) = place.split_once('?').unwrap_or((place, ""));
    match path {
        "/metrics" => return metrics(query).map(Route::Metrics).ok_or(Some(SCOPES_WRONG)),
        "/healthz" => return Ok(Route::Health),
        "/readyz" => return Ok(Route::Ready),
        "/status.json" => return Ok(Route::Live),
        _ => {}
    }
    let path = match path.len() {
        1 => path,
        _ => path.trim_end_matches('/'),
    };
    if !STATS.contains(&path) {
        return Err(None);
    }
    let has = |word: &str| options.split(';').any(|option| option == word);
    let form = [
        ("csv", Form::Plain),
        ("typed", Form::Typed),
        ("json", Form::Json),
    ];
    let Some((_, form)) = form.into_iter().find(|(word, _)| has(word)) else {
        return Ok(Route::Page);
    };
    let filter = Filter {
        up: has("up"),
        no_maint: has("no-maint"),
        ..Filter::ALL
    };
    let style = Style {
        form,
        ..Style::default()
    };
    Ok(Route::Stat(filter, style))
}

const SCOPES_WRONG: &str =
    "accepted: scope=global, frontend, backend, server, warren or *, several times; no-maint\n";

/// The parameters of HAProxy's exporter; others are ignored, as it does. `None`: an unknown scope.
fn metrics(query: &str) -> Option<Wanted> {
    let mut wanted = Wanted::default();
    for parameter in query.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match (name, value) {
            ("scope", "*") => wanted.scopes = SCOPES.to_vec(),
            ("scope", value) => {
                let scope = *SCOPES.iter().find(|scope| **scope == value)?;
                if !wanted.scopes.contains(&scope) {
                    wanted.scopes.push(scope);
                }
            }
            ("no-maint", _) => wanted.no_maint = true,
            _ => {}
        }
    }
    Some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(form: Form, up: bool) -> Result<Route, Option<&'static str>> {
        let filter = Filter { up, ..Filter::ALL };
        let style = Style {
            form,
            ..Style::default()
        };
        Ok(Route::Stat(filter, style))
    }

    #[test]
    fn haproxys_places_work() {
        for place in [
            "/",
            "/stats",
            "/stats/",
            "/haproxy?stats",
            "/?stats",
            "/admin?stats",
        ] {
            assert_eq!(route(place), Ok(Route::Page), "{place}");
            let ask = |options: &str| route(&format!("{place};{options}"));
            assert_eq!(ask("norefresh"), Ok(Route::Page));
            for options in ["csv", "csv;norefresh", "norefresh;csv"] {
                assert_eq!(ask(options), stat(Form::Plain, false), "{place};{options}");
            }
            assert_eq!(ask("csv;up"), stat(Form::Plain, true));
            assert_eq!(ask("json"), stat(Form::Json, false));
        }
        assert_eq!(route("/nosuch;csv"), Err(None));
        assert_eq!(route("//"), Err(None));
        assert_eq!(route("/metricsx"), Err(None));
    }

    #[test]
    fn metrics_take_scopes() {
        let wanted = |scopes: &[&'static str], no_maint| {
            Ok(Route::Metrics(Wanted {
                scopes: scopes.to_vec(),
                no_maint,
            }))
        };
        assert_eq!(route("/metrics"), wanted(&[], false));
        assert_eq!(route("/metrics?no-maint&x=y"), wanted(&[], true));
        let asked = route("/metrics?scope=server&scope=frontend&scope=server");
        assert_eq!(asked, wanted(&["server", "frontend"], false));
        assert_eq!(route("/metrics?scope=*"), wanted(&SCOPES, false));
        assert_eq!(route("/metrics?scope=nosuch"), Err(Some(SCOPES_WRONG)));
    }
}
