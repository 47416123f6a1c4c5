//! `warren events`: what has happened lately, and what happens.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::ask::{self, AskError};
use super::output::{complain, print};
use super::table::one_line;
use super::{exit, values};
use crate::calendar;
use crate::stats::event::{Event, Recent};

/// How often the daemon is asked for more.
const PERIOD: Duration = Duration::from_secs(1);

/// Options of `warren events`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The daemon remembers the last 256 changes of servers and virtual routers and of what operators
changed; the log has all of them. Times are UTC.

Exit code: 0 they were printed, 1 the daemon cannot be reached, 64 the time is none. With --follow a
daemon that goes away later is waited for.")]
pub struct Options {
    /// The daemon's admin socket
    #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// Go on with what happens, until interrupted
    #[arg(short, long)]
    pub follow: bool,
    /// Only those of the last so many seconds, minutes, hours, such as 10m
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub since: Option<Duration>,
    /// Print JSON for programs, one object per line
    #[arg(long)]
    pub json: bool,
}

/// Runs the subcommand and returns the exit code.
#[must_use]
pub fn main(options: &Options) -> u8 {
    let recent = match ask::recent(&options.socket, 0) {
        Ok(recent) => recent,
        Err(error) => return complain(error.explain(&options.socket)),
    };
    let not_before = options.since.map_or(0, ago);
    let wanted = recent.events.iter();
    let wanted = wanted.filter(|event| event.at_ms >= not_before);
    let text: String = wanted.map(|event| line(event, options.json)).collect();
    if !options.follow {
        return print(&text, exit::GOOD);
    }
    let mut last = recent.events.last().map_or(0, |event| event.number);
    let mut gone = false;
    let mut news = text;
    loop {
        if put(&news).is_err() {
            // Whoever reads has seen enough.
            return exit::GOOD;
        }
        std::thread::sleep(PERIOD);
        news = match ask::recent(&options.socket, last) {
            Ok(recent) => {
                gone = false;
                let news = told(&recent, last, options.json);
                last = recent.events.last().map_or(last, |event| event.number);
                news
            }
            Err(error) => {
                wait_for_return(&error, &options.socket, &mut gone);
                String::new()
            }
        };
    }
}

/// Says once that the daemon is gone.
fn wait_for_return(error: &AskError, socket: &Path, gone: &mut bool) {
    if !*gone {
        complain(format_args!("{}; waiting for it", error.explain(socket)));
    }
    *gone = true;
}

fn put(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The lines of what came after the event of number `last`. More than the daemon remembers may
/// have happened since; that is said too, on standard error, where it is no event.
fn told(recent: &Recent, last: u64, json: bool) -> String {
    if let Some(words) = recent.gap_after(last) {
        complain(format_args!("{words}"));
    }
    recent
        .events
        .iter()
        .map(|event| line(event, json))
        .collect()
}

fn line(event: &Event, json: bool) -> String {
    if json {
        let json = serde_json::to_string(event);
        return json.map_or_else(|error| format!("{error}\n"), |json| format!("{json}\n"));
    }
    format!("{}\n", in_words(event))
}

/// When and what, in one line.
pub(super) fn in_words(event: &Event) -> String {
    let mut text = String::new();
    calendar::push_rfc3339(&mut text, Duration::from_millis(event.at_ms));
    text.push_str("  ");
    text.push_str(&one_line(&event.what.to_string()));
    text
}

/// The moment so long ago, in milliseconds since 1970.
fn ago(time: Duration) -> u64 {
    let moment = SystemTime::now().checked_sub(time);
    let since_1970 = moment.and_then(|moment| moment.duration_since(UNIX_EPOCH).ok());
    since_1970.map_or(0, |time| {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::event::What;

    #[test]
    fn an_event_is_one_line_in_either_form() {
        let event = &Event {
            number: 1,
            at_ms: 1_795_985_343_845,
            what: What::Command {
                command: "set weight p/s\n1".to_owned(),
                uid: 0,
            },
        };
        let words = "2026-11-29T20:49:03.845Z  user 0: set weight p/s 1\n";
        assert_eq!(line(event, false), words);
        let json = line(event, true);
        assert_eq!(json.matches('\n').count(), 1, "{json}");
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), *event);
    }
}
