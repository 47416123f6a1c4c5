//! `[pool.NAME.check]`: each type of check has keys of its own.

use std::time::Duration;

use super::{HOUR, Outside, length, number, or};
use crate::config::error::{Problem, Problems};
use crate::config::file::read::{Given, Key};
use crate::config::file::{self, CheckType};
use crate::config::units::duration_text;
use crate::config::{Check, CheckKind, Credentials};

/// RabbitMQ's own user, who has a well-known password and may only come from its loopback.
const GUEST: &str = "guest";
/// 200 while every virtual host of the node runs. It does not fail during a memory or disk alarm:
/// then publishers wait, and would wait on every other node too.
const HTTP_PATH: &str = "/api/health/checks/virtual-hosts";
/// A short string of AMQP 0-9-1 has at most 255 bytes (section 4.2.5.3).
const LONGEST_SHORT_STRING: usize = 255;
const LONGEST_PATH: usize = 1024;
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
const MOST_IN_A_ROW: i64 = 1000;
/// A dead server should be noticed within this.
const LATE: Duration = Duration::from_secs(60);

/// Resolves the check of a pool.
pub(super) fn resolve(pool: &file::Pool, outside: &Outside<'_>, problems: &mut Problems) -> Check {
    let nothing = file::Check::default();
    let file = pool.check.value().unwrap_or(&nothing);
    let kind = or(&file.kind, CheckType::Tcp);
    if !matches!(file.kind, Key::Wrong) {
        refuse_keys_of_other_types(file, kind, problems);
    }
    let two = Duration::from_secs(2);
    let tick = Duration::from_millis(1);
    let check = Check {
        kind: match kind {
            CheckType::None => CheckKind::None,
            CheckType::Tcp => CheckKind::Tcp,
            CheckType::Http => http(file, outside, problems),
            CheckType::Amqp => amqp(file, outside, problems),
        },
        interval: length(&file.interval, two, SHORTEST_INTERVAL..=HOUR, problems),
        timeout: length(&file.timeout, two, tick..=HOUR, problems),
        rise: number(&file.rise, 2, 1..=MOST_IN_A_ROW, problems),
        fall: number(&file.fall, 3, 1..=MOST_IN_A_ROW, problems),
    };
    warn_of_late(pool, &check, problems);
    check
}

fn warn_of_late(pool: &file::Pool, check: &Check, problems: &mut Problems) {
    let noticed = (check.interval + check.timeout) * check.fall;
    if let Some(given) = pool.check.given()
        && noticed > LATE
    {
        let noticed = duration_text(noticed);
        problems.push(
            Problem::warning(
                "W0207",
                "a dead server keeps getting connections for a long time",
            )
            .at(given.key.clone(), format!("noticed after up to {noticed}"))
            .help("that is `fall` x (`interval` + `timeout`); make one of them smaller"),
        );
    }
}

fn refuse_keys_of_other_types(file: &file::Check, kind: CheckType, problems: &mut Problems) {
    use CheckType::{Amqp, Http, Tcp};
    const PROBING: &[CheckType] = &[Tcp, Amqp, Http];
    const LOGGING_IN: &[CheckType] = &[Amqp, Http];
    belongs(&file.interval, PROBING, kind, problems);
    belongs(&file.timeout, PROBING, kind, problems);
    belongs(&file.rise, PROBING, kind, problems);
    belongs(&file.fall, PROBING, kind, problems);
    belongs(&file.username, LOGGING_IN, kind, problems);
    belongs(&file.password_file, LOGGING_IN, kind, problems);
    belongs(&file.vhost, &[Amqp], kind, problems);
    belongs(&file.port, &[Http], kind, problems);
    belongs(&file.path, &[Http], kind, problems);
}

fn belongs<T>(key: &Key<T>, types: &[CheckType], kind: CheckType, problems: &mut Problems) {
    let Some(given) = key.given().filter(|_| !types.contains(&kind)) else {
        return;
    };
    let owners: Vec<String> = types.iter().map(|kind| word(*kind)).collect();
    let owners = owners.join(", ");
    problems.push(
        Problem::error(
            "E0110",
            format!("`{}` means nothing to this type of check", given.path),
        )
        .at(given.key.clone(), format!("the type is {}", word(kind)))
        .help(format!("it belongs to type = {owners}")),
    );
}

fn word(kind: CheckType) -> String {
    let word = match kind {
        CheckType::Tcp => "tcp",
        CheckType::Amqp => "amqp",
        CheckType::Http => "http",
        CheckType::None => "none",
    };
    format!("\"{word}\"")
}

fn http(file: &file::Check, outside: &Outside<'_>, problems: &mut Problems) -> CheckKind {
    let port = file
        .port
        .given()
        .map(|_| number(&file.port, 0, 1..=i64::from(u16::MAX), problems));
    let path = text(&file.path, HTTP_PATH, problems, |path| {
        let visible = path.bytes().all(|byte| byte.is_ascii_graphic());
        if !path.starts_with('/') {
            Err("does not start with `/`".to_owned())
        } else if !visible {
            Err("has spaces or other characters that need percent-encoding".to_owned())
        } else {
            no_longer_than(path, LONGEST_PATH)
        }
    });
    let path = path.unwrap_or_default();
    let asked = !file.username.is_absent() || !file.password_file.is_absent();
    let credentials = if asked {
        credentials(file, ':', outside, problems)
    } else {
        None
    };
    CheckKind::Http {
        port,
        path,
        credentials,
    }
}

fn amqp(file: &file::Check, outside: &Outside<'_>, problems: &mut Problems) -> CheckKind {
    let vhost = text(&file.vhost, "/", problems, |vhost| {
        no_longer_than(vhost, LONGEST_SHORT_STRING)
    });
    match (credentials(file, '\0', outside, problems), vhost) {
        (Some(credentials), Some(vhost)) => CheckKind::Amqp { credentials, vhost },
        // A problem was noted; the configuration will not be used.
        (None, _) | (_, None) => CheckKind::None,
    }
}

/// User and password; `separator` is what stands between them on the wire.
fn credentials(
    file: &file::Check,
    separator: char,
    outside: &Outside<'_>,
    problems: &mut Problems,
) -> Option<Credentials> {
    let username = text(&file.username, GUEST, problems, |name| {
        if name.is_empty() {
            Err("is empty".to_owned())
        } else if name.contains(separator) || name.contains(char::is_control) {
            Err("has a character that cannot be sent".to_owned())
        } else {
            no_longer_than(name, LONGEST_SHORT_STRING)
        }
    });
    let password = match &file.password_file {
        Key::Given(given) => read_password(given, outside, problems),
        Key::Absent => well_known_password(file, username.as_deref(), problems),
        Key::Wrong => None,
    };
    Some(Credentials {
        username: username?,
        password: password?,
    })
}

/// The password of a user without a password file, which only one user can be.
fn well_known_password(
    file: &file::Check,
    username: Option<&str>,
    problems: &mut Problems,
) -> Option<String> {
    let username = username?;
    if username == GUEST {
        return Some(GUEST.to_owned());
    }
    if let Some(given) = file.username.given() {
        problems.push(
            Problem::error("E0106", format!("`{}` needs `password_file`", given.path))
                .at(
                    given.at.clone(),
                    "only \"guest\" has a password everybody knows",
                )
                .help("for example: password_file = \"/etc/warren/check-password\""),
        );
    }
    None
}

fn read_password(
    file: &Given<std::path::PathBuf>,
    outside: &Outside<'_>,
    problems: &mut Problems,
) -> Option<String> {
    let read = (outside.read_password)(&file.value).and_then(|text| {
        let password = text.strip_suffix('\n').unwrap_or(&text);
        let password = password.strip_suffix('\r').unwrap_or(password);
        if password.is_empty() {
            Err("it is empty".to_owned())
        } else if password.contains(char::is_control) {
            Err("it has more than one line, or control characters".to_owned())
        } else {
            Ok(password.to_owned())
        }
    });
    match read {
        Ok(password) => Some(password),
        Err(reason) => {
            problems.push(
                Problem::error("E0111", format!("`{}` cannot be used", file.path))
                    .at(file.at.clone(), reason)
                    .help("accepted: a readable file with the password on its only line"),
            );
            None
        }
    }
}

/// The text, or the default; `None` and a problem when `rule` says why it cannot be.
fn text(
    key: &Key<String>,
    default: &str,
    problems: &mut Problems,
    rule: impl Fn(&str) -> Result<(), String>,
) -> Option<String> {
    let Some(given) = key.given() else {
        return Some(default.to_owned());
    };
    if let Err(reason) = rule(&given.value) {
        problems.push(
            Problem::error("E0105", format!("`{}` cannot be used", given.path))
                .at(given.at.clone(), reason),
        );
        return None;
    }
    Some(given.value.clone())
}

fn no_longer_than(text: &str, most: usize) -> Result<(), String> {
    if text.len() > most {
        return Err(format!("longer than {most} bytes"));
    }
    Ok(())
}
