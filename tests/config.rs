//! The configuration from outside: every shipped file loads, every wrong file is answered with the
//! words stored beside it, and `warren check` ends with the right exit code.
//!
//! `WARREN_BLESS=1 cargo test --test config` rewrites the stored words; read the difference.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use proptest::prelude::*;
use warren::config::{
    self, Config, Problems, file,
    limits::{Interface, Surroundings},
};

/// The same machine for every test.
const MACHINE: Surroundings = Surroundings {
    descriptors: 10_000,
    cpus: 2,
    is_daemon: true,
    interfaces: None,
};

/// What a host has where that matters.
fn interfaces() -> Vec<Interface> {
    let one = |(name, addresses): (&str, [&str; 2])| Interface {
        name: name.to_owned(),
        addresses: addresses.map(|address| address.parse().unwrap()).to_vec(),
    };
    let all = [
        ("lo", ["127.0.0.1/8", "::1/128"]),
        ("eth0", ["192.0.2.11/24", "fe80::11/64"]),
    ];
    all.map(one).to_vec()
}

fn parse(text: &str) -> Result<(Config, Problems), Problems> {
    config::parse_within(text, "test.toml", &folder("tests/config"), MACHINE)
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The TOML files of a folder, never none.
fn toml_files(name: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension() == Some(OsStr::new("toml")))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no files in {name}");
    files
}

fn shipped(name: &str) -> String {
    fs::read_to_string(folder("conf").join(name)).unwrap()
}

/// The folder that stands for /etc/warren, where rabbitmq.toml expects its password.
fn at_home(text: &str) -> String {
    text.replace("/etc/warren/check-password", "password")
}

#[test]
fn every_shipped_file_loads_without_a_warning() {
    for path in toml_files("conf") {
        let text = at_home(&fs::read_to_string(&path).unwrap());
        match parse(&text) {
            Ok((_, problems)) => assert!(problems.is_empty(), "{}: {problems}", path.display()),
            Err(problems) => panic!("{}: {problems}", path.display()),
        }
    }
}

/// conf/reference.toml tells the default of each key: leaving all of them out changes nothing.
#[test]
fn the_reference_tells_the_defaults() {
    let bare = r#"
        listen.amqp = { bind = "0.0.0.0:5672", pool = "rabbit" }
        [pool.rabbit.servers]
        rabbit-1 = "192.0.2.21:5672"
        rabbit-2 = "192.0.2.22:5672"
        [vrrp.amqp]
        interface = "eth0"
        router_id = 51
        addresses = ["192.0.2.100/24"]
    "#;
    let (bare, _) = parse(bare).unwrap();
    let (reference, _) = parse(&shipped("reference.toml")).unwrap();
    assert_eq!(reference, bare);
}

/// The defaults that only stand in comments, because their type of check is not the default.
#[test]
fn the_reference_tells_the_defaults_of_amqp_and_http() {
    let with = |kind: &str, keys: &[&str]| {
        let mut text = shipped("reference.toml").replace("\"tcp\"\n", &format!("\"{kind}\"\n"));
        for key in keys {
            let comment = format!("\n#{key} = ");
            assert!(text.contains(&comment), "{key}");
            text = text.replace(&comment, &format!("\n{key} = "));
        }
        parse(&text).unwrap().0
    };
    assert_eq!(with("amqp", &["username", "vhost"]), with("amqp", &[]));
    assert_eq!(with("http", &["path"]), with("http", &[]));
}

#[test]
fn the_reference_has_every_key() {
    let text = shipped("reference.toml");
    let has = |key: &str| {
        text.lines()
            .map(|line| line.trim_start_matches('#'))
            .any(|line| line.starts_with(&format!("{key} = ")))
    };
    let tables = [
        file::Global::KEYS,
        file::Log::KEYS,
        file::Admin::KEYS,
        file::Listen::KEYS,
        file::Check::KEYS,
        file::Server::KEYS,
        file::Vrrp::KEYS,
    ];
    for key in tables.into_iter().flatten() {
        assert!(has(key), "conf/reference.toml lacks `{key}`");
    }
    for key in file::Pool::KEYS {
        let table = format!("[pool.rabbit.{key}]");
        assert!(has(key) || text.contains(&table), "lacks `{key}`");
    }
    for key in file::File::KEYS {
        let table = format!("\n[{key}");
        assert!(text.contains(&table), "conf/reference.toml lacks [{key}]");
    }
}

/// Each key with a value that is not its default arrives in its own field.
#[test]
fn every_key_arrives() {
    let text = fs::read_to_string(folder("tests/config/every-key.toml")).unwrap();
    let (config, problems) = parse(&text).unwrap();
    assert!(problems.is_empty(), "{problems}");
    let difference = differs_from_stored(
        &folder("tests/config/every-key.stdout"),
        &format!("{config:#?}\n"),
    );
    assert_eq!(difference, None);
    let config::CheckKind::Http { credentials, .. } = &config.pools[0].check.kind else {
        panic!("not an http check");
    };
    assert_eq!(credentials.as_ref().unwrap().password, "secret");
}

/// `text`, unless it is what the file says. With WARREN_BLESS the file says so from now on.
fn differs_from_stored(stored: &Path, text: &str) -> Option<String> {
    if env::var_os("WARREN_BLESS").is_some() {
        fs::write(stored, text).unwrap();
    }
    let same = fs::read_to_string(stored).is_ok_and(|stored| stored == text);
    (!same).then(|| format!("--- {} ---\n{text}", stored.display()))
}

#[test]
fn every_wrong_file_is_answered_as_stored() {
    let files = toml_files("tests/config/wrong");
    assert!(files.len() >= 30);
    let differences: Vec<String> = files
        .iter()
        .filter_map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            let machine = Surroundings {
                is_daemon: !name.ends_with("-in-a-shell.toml"),
                interfaces: name.ends_with("-host.toml").then(interfaces),
                ..MACHINE
            };
            let answer = config::parse_within(&text, name, &folder("tests/config"), machine);
            let problems = match answer {
                Ok((_, problems)) | Err(problems) => problems,
            };
            assert!(!problems.is_empty(), "{name} is not wrong");
            differs_from_stored(&path.with_extension("stderr"), &problems.render(false))
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Each code of the table in config/error.rs appears in some stored answer, and no other does.
/// E0101 has no text to point into; the tests of the binary see it.
#[test]
fn every_code_has_a_wrong_file() {
    let source = fs::read_to_string(folder("src/config/error.rs")).unwrap();
    let documented = source.lines().filter_map(|line| {
        let code = line.strip_prefix("//! | ")?.split(' ').next()?;
        code.ends_with(|last: char| last.is_ascii_digit())
            .then(|| format!("[{code}]"))
    });
    let mut documented: Vec<String> = documented.filter(|code| code != "[E0101]").collect();
    assert!(documented.len() > 10);
    for path in toml_files("tests/config/wrong") {
        let stored = fs::read_to_string(path.with_extension("stderr")).unwrap();
        documented.retain(|code| !stored.contains(code.as_str()));
    }
    assert_eq!(documented, Vec::<String>::new());
}

fn check(file: &Path, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_warren"))
        .arg("check")
        .arg("-c")
        .arg(file)
        .args(options)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn check_of_a_good_file() {
    let file = folder("conf/minimal.toml");
    let output = check(&file, &[]);
    assert_eq!(output.status.code(), Some(0));
    let expected = format!("{}: good (1 listener, 1 pool, 3 servers)\n", file.display());
    assert_eq!(text(&output.stdout), expected);
    assert_eq!(text(&output.stderr), "");
    let output = check(&file, &["--quiet"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn check_whose_answer_cannot_be_printed() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    let output = Command::new(env!("CARGO_BIN_EXE_warren"))
        .args(["check", "-c"])
        .arg(folder("conf/minimal.toml"))
        .stdout(full.unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("No space left"));
}

#[test]
fn check_of_a_wrong_file() {
    let output = check(&folder("tests/config/wrong/several.toml"), &[]);
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(text(&output.stdout), "");
    let stderr = text(&output.stderr);
    assert!(stderr.contains("error[E0103]"), "{stderr}");
    assert!(stderr.contains("several.toml:"), "{stderr}");
    assert!(stderr.contains(" errors"), "{stderr}");
    assert!(!stderr.contains('\u{1b}'), "colour without a terminal");
}

#[test]
fn check_of_a_file_with_warnings() {
    let file = folder("tests/config/wrong/idle-timeout-short.toml");
    let output = check(&file, &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("good with 1 warning"));
    assert!(text(&output.stderr).contains("warning[W0203]"));
    assert_eq!(check(&file, &["--deny-warnings"]).status.code(), Some(1));
}

#[test]
fn check_of_what_cannot_be_read() {
    let output = check(Path::new("/nowhere/warren.toml"), &[]);
    assert_eq!(output.status.code(), Some(78));
    let expected = "error[E0101]: cannot read /nowhere/warren.toml: No such file or directory";
    assert!(text(&output.stderr).starts_with(expected));
    for file in ["/dev/zero", "/", "/dev/null"] {
        assert_eq!(
            check(Path::new(file), &[]).status.code(),
            Some(78),
            "{file}"
        );
    }
    let binary = tempfile::NamedTempFile::new().unwrap();
    fs::write(binary.path(), b"b = 1\na = \"\xff\xfe\" # \xc3\n").unwrap();
    let output = check(binary.path(), &[]);
    assert_eq!(output.status.code(), Some(78));
    let file = binary.path().display();
    let expected = format!(
        "error[E0101]: cannot read {file}: not UTF-8 at byte 11\n --> {file}:2:6\n  |\n\
         2 | a = \"\u{fffd}\u{fffd}\" # \u{fffd}\n  |      ^ this byte\n  |\n  = help: \
         accepted: TOML, which is text in UTF-8\n"
    );
    let stderr = text(&output.stderr);
    assert!(stderr.starts_with(&expected), "{stderr}");
}

/// A password file stands beside the configuration, wherever the process was started.
#[test]
fn a_password_file_is_found_beside_the_configuration() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("warren.toml");
    fs::write(&file, at_home(&shipped("rabbitmq.toml"))).unwrap();
    assert_eq!(check(&file, &[]).status.code(), Some(78));
    fs::write(home.path().join("password"), "secret\n").unwrap();
    let (config, _) = config::load(&file, true).unwrap();
    let config::CheckKind::Amqp { credentials, .. } = &config.pools[0].check.kind else {
        panic!("not an amqp check");
    };
    assert_eq!(credentials.username, "warren-check");
    assert_eq!(credentials.password, "secret");
    assert!(!format!("{config:?}").contains("secret"));
}

/// Lines that are right alone; a file of some of them, in any order and with some of them damaged,
/// is close enough to a configuration to get far.
fn mangled() -> impl Strategy<Value = String> {
    let shipped: Vec<String> = ["minimal.toml", "rabbitmq.toml", "reference.toml"]
        .iter()
        .flat_map(|name| {
            let text = shipped(name);
            text.lines()
                .filter(|line| !line.starts_with("# ") && !line.is_empty())
                .map(|line| line.trim_start_matches('#').to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    let line = (
        proptest::sample::select(shipped),
        any::<prop::sample::Index>(),
        prop_oneof![
            3 => Just(None),
            1 => "[\\[\\]{}=\"'.,#\\n0-9a-z_é\\-]{0,3}".prop_map(Some),
        ],
    );
    let line = line.prop_map(|(mut line, place, damage)| {
        if let Some(damage) = damage {
            let at = line.floor_char_boundary(place.index(line.len() + 1));
            let end = line.ceil_char_boundary((at + 2).min(line.len()));
            line.replace_range(at..end, &damage);
        }
        line
    });
    prop::collection::vec(line, 0..40).prop_map(|lines| lines.join("\n"))
}

/// Parses and renders; what is accepted holds what its types promise.
fn survives(text: &str) {
    match parse(text) {
        Err(problems) => {
            assert!(problems.has_errors());
            assert!(!problems.render(true).is_empty());
        }
        Ok((config, problems)) => {
            assert!(!problems.has_errors());
            assert!(config.global.workers > 0);
            for listener in &config.listeners {
                assert!(listener.pool < config.pools.len());
                assert!(!listener.bind.is_empty());
            }
            for pool in &config.pools {
                assert!(!pool.servers.is_empty());
            }
        }
    }
}

proptest! {
    #[test]
    fn random_text_never_panics(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn a_mangled_configuration_never_panics(text in mangled()) {
        survives(&text);
    }
}
