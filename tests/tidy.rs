//! The architect: which files are pure, who may import whom, how long things are, what must not
//! be left lying about. Each failure says what to do.
//!
//! Every rule is a function from sources to complaints. The first test of each pair runs it on the
//! repository, the second on a few lines that break it, so that no rule can fall asleep.

use std::fmt::Write;

#[path = "tidy/source.rs"]
mod source;

use source::{Source, crate_paths, functions, repository};

/// Files without IO, clock, runtime, logging or randomness of their own, relative to `src`. What
/// lies in the folder of the same name is pure too.
const PURE: &[&str] = &[
    "admin/command.rs",
    "admin/framing.rs",
    "admin/http/live.rs",
    "admin/http/page.rs",
    "admin/http/request.rs",
    "admin/http/route.rs",
    "admin/wish.rs",
    "amqp.rs",
    "calendar.rs",
    "cli/demo/ledger.rs",
    "cli/demo/setup.rs",
    "cli/demo/summary.rs",
    "cli/status/maintenance.rs",
    "cli/explain/server.rs",
    "cli/explain/vrrp.rs",
    "cli/names.rs",
    "cli/status/screen.rs",
    "cli/table.rs",
    "cli/units.rs",
    "cli/values.rs",
    "config/diff.rs",
    "config/error.rs",
    "config/file.rs",
    "config/limits.rs",
    "config/resolve.rs",
    "config/units.rs",
    "health/amqp.rs",
    "health/http.rs",
    "health/pace.rs",
    "health/verdict.rs",
    "maintenance/pace.rs",
    "maintenance/share.rs",
    "lifecycle/fd_store/name.rs",
    "pool.rs",
    "proxy/account.rs",
    "proxy/proxy_protocol.rs",
    "proxy/sight.rs",
    "stats/activity.rs",
    "stats/chart.rs",
    "stats/csv.rs",
    "stats/event.rs",
    "stats/form.rs",
    "stats/headline.rs",
    "stats/history.rs",
    "stats/info.rs",
    "stats/schema.rs",
    "stats/metrics.rs",
    "stats/numbers.rs",
    "stats/readiness.rs",
    "stats/routers.rs",
    "stats/servers_conn.rs",
    "stats/servers_state.rs",
    "stats/sessions.rs",
    "stats/snapshot.rs",
    "stats/totals.rs",
    "stats/words.rs",
    "vip/announce.rs",
    "vip/interface.rs",
    "vip/netlink/message.rs",
    "vrrp/difference.rs",
    "vrrp/dispute.rs",
    "vrrp/packet.rs",
    "vrrp/receive.rs",
    "vrrp/router.rs",
    "vrrp/status.rs",
    "vrrp/timing.rs",
];

/// Files whose types pure files may use although something beside the types is not pure.
const PLAIN_TYPES: &[&str] = &["config.rs", "stats.rs"];

/// What a pure file has no use for.
const IMPURE: &[&str] = &[
    ".await",
    "Instant::now",
    "RandomState",
    "SystemTime",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixDatagram",
    "UnixListener",
    "UnixStream",
    "async",
    "config::load",
    "eprintln!",
    "fastrand",
    "getrandom",
    "libc::",
    "nix::",
    "println!",
    "rand::",
    "socket2",
    "std::env",
    "std::fs",
    "std::io",
    "std::os",
    "std::process",
    "std::thread",
    "tokio",
    "tracing",
];

/// Who must not name whom: the first part of a module path, and the paths it must not use.
const FORBIDDEN_IMPORTS: &[(&str, &[&str])] = &[
    ("proxy", &["vrrp", "vip", "admin", "daemon", "cli"]),
    ("vrrp", &["proxy", "admin", "daemon", "cli"]),
    ("vip", &["proxy", "admin", "daemon", "cli"]),
    ("config", DATA_PATH),
    ("health", DATA_PATH),
    ("pool", DATA_PATH),
];

const DATA_PATH: &[&str] = &[
    "proxy::connect",
    "proxy::connection",
    "proxy::listener",
    "proxy::pipe",
    "proxy::relay",
    "proxy::worker",
    "daemon",
    "cli",
];

/// Lines of code in the body of a function.
const LONGEST_FUNCTION: usize = 70;
/// Functions that are longer, as `(file, name, lines)`. A ratchet: numbers only go down.
const LONG_FUNCTIONS: &[(&str, &str, usize)] = &[];

const WIDEST_LINE: usize = 100;

/// What must not stay in code that is checked in.
const LEFTOVERS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("dbg", "!("),
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
];

/// Words that are about the machine of one developer.
const LOCAL_WORDS: &[&str] = &[
    concat!("/wor", "k/"),
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("deb.debian", ".org"),
    concat!("security.debian", ".org"),
    concat!("proxy.golang", ".org"),
];

fn is_pure(file: &str) -> bool {
    PURE.iter().any(|pure| {
        let folder = pure.trim_end_matches(".rs");
        file == *pure
            || file
                .strip_prefix(folder)
                .is_some_and(|rest| rest.starts_with('/'))
    })
}

fn pure_files(sources: &[Source]) -> impl Iterator<Item = (&str, &Source)> {
    sources
        .iter()
        .filter(|source| !source.is_test())
        .filter_map(|source| Some((source.in_src()?, source)))
        .filter(|(file, _)| is_pure(file))
}

fn missing_pure_files(sources: &[Source]) -> Vec<String> {
    let exists = |file: &str| sources.iter().any(|source| source.in_src() == Some(file));
    PURE.iter()
        .filter(|file| !exists(file))
        .map(|file| format!("src/{file} is gone; if it moved, correct PURE in tests/tidy.rs"))
        .collect()
}

/// Whether `code` contains `word`, and not as a part of another word.
fn names(code: &str, word: &str) -> bool {
    let joins = |a: Option<char>, b: Option<char>| {
        let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        in_word(a) && in_word(b)
    };
    code.match_indices(word).any(|(at, _)| {
        !joins(code[..at].chars().next_back(), word.chars().next())
            && !joins(
                word.chars().next_back(),
                code[at + word.len()..].chars().next(),
            )
    })
}

fn impurities(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (file, source) in pure_files(sources) {
        for word in IMPURE
            .iter()
            .filter(|word| names(source.production(), word))
        {
            complaints.push(format!(
                "src/{file} is pure but uses `{}`; take the time, the bytes or the random number \
                 as an argument, or return what shall be done",
                word
            ));
        }
    }
    complaints
}

/// The file that a path of modules and items leads to.
fn file_of(path: &[String], sources: &[Source]) -> Option<String> {
    (1..=path.len()).rev().find_map(|length| {
        let file = format!("{}.rs", path[..length].join("/"));
        let exists = sources
            .iter()
            .any(|source| source.in_src() == Some(file.as_str()));
        exists.then_some(file)
    })
}

fn impure_imports(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (file, source) in pure_files(sources) {
        for path in crate_paths(file, source.production()) {
            let Some(target) = file_of(&path, sources) else {
                continue;
            };
            if !is_pure(&target) && !PLAIN_TYPES.contains(&target.as_str()) {
                complaints.push(format!(
                    "src/{file} is pure but imports {} from src/{target}, which is not; move what \
                     it needs to a pure file",
                    path.join("::")
                ));
            }
        }
    }
    complaints
}

fn wrong_directions(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        let Some(file) = source.in_src() else {
            continue;
        };
        let own = file.split(['/', '.']).next().unwrap_or_default();
        let rules = FORBIDDEN_IMPORTS.iter().filter(|(part, _)| *part == own);
        for forbidden in rules.flat_map(|(_, forbidden)| *forbidden) {
            let paths = crate_paths(file, source.production());
            let starts = |path: &Vec<String>| {
                format!("{}::", path.join("::")).starts_with(&format!("{forbidden}::"))
            };
            if paths.iter().any(starts) {
                complaints.push(format!(
                    "src/{file} imports {forbidden}; {own} must not know it: let daemon.rs bring \
                     the two together"
                ));
            }
        }
    }
    complaints
}

fn long_functions(sources: &[Source], known: &[(&str, &str, usize)]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut seen = vec![false; known.len()];
    for source in sources {
        for (name, lines) in functions(&source.code) {
            let entry = known
                .iter()
                .position(|(file, function, _)| *file == source.path && *function == name);
            let limit = entry.map_or(LONGEST_FUNCTION, |at| known[at].2);
            if let Some(at) = entry {
                seen[at] = true;
            }
            if lines > limit {
                complaints.push(format!(
                    "{}: `{name}` has {lines} lines, {limit} are allowed; give a part of it a name",
                    source.path
                ));
            } else if entry.is_some() && lines < limit {
                complaints.push(format!(
                    "{}: `{name}` has become shorter: write {lines} in LONG_FUNCTIONS, or remove \
                     it there if that is {LONGEST_FUNCTION} or less",
                    source.path
                ));
            }
        }
    }
    for ((file, name, _), _) in known.iter().zip(seen).filter(|(_, seen)| !seen) {
        complaints.push(format!(
            "{file}: `{name}` is gone; remove it from LONG_FUNCTIONS"
        ));
    }
    complaints
}

fn wide_lines(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        for (number, line) in source.text.lines().enumerate() {
            let width = line.chars().count();
            if width > WIDEST_LINE {
                complaints.push(format!(
                    "{}:{}: {width} columns, {WIDEST_LINE} are allowed; break the line (rustfmt \
                     leaves long literals and comments to you)",
                    source.path,
                    number + 1
                ));
            }
        }
    }
    complaints
}

fn words<'a>(
    sources: impl Iterator<Item = &'a Source>,
    words: &[&str],
    advice: &str,
) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        for (number, line) in source.text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(*word)) {
                complaints.push(format!(
                    "{}:{}: `{word}`; {advice}",
                    source.path,
                    number + 1
                ));
            }
        }
    }
    complaints
}

fn leftovers(sources: &[Source]) -> Vec<String> {
    let rust = sources.iter().filter(|source| source.is_rust());
    words(
        rust,
        LEFTOVERS,
        "finish it, or open an issue and say in a comment what is so",
    )
}

fn local_words(sources: &[Source]) -> Vec<String> {
    let advice = "this is about one machine or registry; nothing here may depend on it";
    words(sources.iter(), LOCAL_WORDS, advice)
}

fn unsafe_code(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let lines: Vec<_> = source.text.lines().collect();
        for (number, code) in source.code.lines().enumerate() {
            let is_unsafe = code
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .any(|word| word == "unsafe");
            if !is_unsafe {
                continue;
            }
            let place = format!("{}:{}", source.path, number + 1);
            if source.path != "src/sys.rs" {
                complaints.push(format!(
                    "{place}: `unsafe`; give the call a safe name in src/sys.rs"
                ));
            } else if !is_justified(&lines[..number]) {
                complaints.push(format!(
                    "{place}: say above it, after `// SAFETY:`, why it is sound"
                ));
            }
        }
    }
    complaints
}

/// Whether the comment right above says why the code below is sound.
fn is_justified(above: &[&str]) -> bool {
    above
        .iter()
        .rev()
        .map(|line| line.trim_start())
        .take_while(|line| line.starts_with("//"))
        .any(|line| line.starts_with("// SAFETY:"))
}

fn shapeless_files(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        if source.path.ends_with("/mod.rs") {
            complaints.push(format!(
                "{}: name it like its folder, beside it",
                source.path
            ));
        }
        if !source.text.starts_with("//!") {
            complaints.push(format!(
                "{}: begin with `//!` and say what the file is about",
                source.path
            ));
        }
    }
    complaints
}

fn missing_configurations(sources: &[Source]) -> Vec<String> {
    [
        "conf/minimal.toml",
        "conf/rabbitmq.toml",
        "conf/reference.toml",
    ]
    .iter()
    .filter(|path| !sources.iter().any(|source| source.path == **path))
    .map(|path| format!("{path} is missing; people start from it"))
    .collect()
}

fn report(complaints: &[String]) {
    let mut text = String::new();
    for complaint in complaints {
        let _ = writeln!(text, "  {complaint}");
    }
    assert!(complaints.is_empty(), "\n{text}");
}

/// Breaks a rule on purpose: `files` are paths and texts.
fn bites(rule: impl Fn(&[Source]) -> Vec<String>, files: &[(&str, &str)], complaints: usize) {
    let sources: Vec<_> = files
        .iter()
        .map(|(path, text)| Source::new(path, text))
        .collect();
    let found = rule(&sources);
    assert_eq!(found.len(), complaints, "{found:#?}");
}

#[test]
fn pure_files_exist() {
    report(&missing_pure_files(&repository()));
    bites(missing_pure_files, &[("src/pool.rs", "")], PURE.len() - 1);
}

#[test]
fn pure_files_do_nothing_but_compute() {
    report(&impurities(&repository()));
    let clock = "use std::time::Instant;\nfn a() { let now = Instant::now(); }";
    bites(impurities, &[("src/pool/choose.rs", clock)], 1);
    bites(
        impurities,
        &[("src/pool.rs", "use std::{fmt};\nuse tokio::net::TcpStream;")],
        2,
    );
    bites(impurities, &[("src/daemon.rs", clock)], 0);
    let similar = "fn a() { self.awaited(); operand::b(); unix::c(); async_d(); }";
    bites(impurities, &[("src/pool.rs", similar)], 0);
    let only_tests = "// std::fs\n/// tokio\nconst A: &str = \"tracing\";\n\
                      #[cfg(test)]\nmod tests { use std::fs; }";
    bites(
        impurities,
        &[("src/pool.rs", only_tests), ("src/pool/tests.rs", clock)],
        0,
    );
}

#[test]
fn pure_files_import_only_pure_files() {
    report(&impure_imports(&repository()));
    let files = |text| {
        [
            ("src/pool/choose.rs", text),
            ("src/pool.rs", ""),
            ("src/daemon.rs", ""),
            ("src/config.rs", ""),
            ("src/health/probe.rs", ""),
            ("src/health/verdict.rs", ""),
        ]
    };
    bites(impure_imports, &files("use crate::daemon;"), 1);
    bites(
        impure_imports,
        &files("use super::super::daemon::Daemon;"),
        1,
    );
    bites(
        impure_imports,
        &files("use crate::{config::{self, Balance},\n    health::{probe::tcp, verdict::Change}};"),
        1,
    );
    bites(
        impure_imports,
        &files("use super::Lease; use crate::config; use crate::health::verdict::{A, B};"),
        0,
    );
}

#[test]
fn imports_go_one_way() {
    report(&wrong_directions(&repository()));
    bites(
        wrong_directions,
        &[("src/proxy/worker.rs", "use crate::vrrp::router;")],
        1,
    );
    bites(
        wrong_directions,
        &[("src/vrrp.rs", "fn a() { crate::proxy::b(); }")],
        1,
    );
    bites(
        wrong_directions,
        &[(
            "src/health/probe.rs",
            "use crate::{config, proxy::relay::both_ways};",
        )],
        1,
    );
    bites(
        wrong_directions,
        &[("src/health/probe.rs", "use crate::proxy::proxy_protocol;")],
        0,
    );
    bites(
        wrong_directions,
        &[("src/daemon.rs", "use crate::{proxy, vrrp};")],
        0,
    );
}

#[test]
fn functions_are_short() {
    report(&long_functions(&repository(), LONG_FUNCTIONS));
    let text = format!(
        "fn long() {{\n{}}}\nfn short() {{}}\n",
        "    a();\n".repeat(71)
    );
    let files = [("src/a.rs", text.as_str())];
    bites(|s| long_functions(s, &[]), &files, 1);
    bites(
        |s| long_functions(s, &[("src/a.rs", "long", 71)]),
        &files,
        0,
    );
    bites(
        |s| long_functions(s, &[("src/a.rs", "long", 72)]),
        &files,
        1,
    );
    bites(
        |s| long_functions(s, &[("src/a.rs", "long", 71), ("src/a.rs", "gone", 80)]),
        &files,
        1,
    );
}

#[test]
fn lines_fit() {
    report(&wide_lines(&repository()));
    bites(
        wide_lines,
        &[
            ("src/a.rs", &"x".repeat(101)),
            ("README.md", &"x".repeat(101)),
        ],
        1,
    );
    bites(wide_lines, &[("src/a.rs", &"é".repeat(100))], 0);
}

#[test]
fn nothing_is_left_unfinished() {
    report(&leftovers(&repository()));
    let text = LEFTOVERS.join("\n");
    bites(
        leftovers,
        &[("src/a.rs", &text), ("README.md", &text)],
        LEFTOVERS.len(),
    );
}

#[test]
fn nothing_names_the_machine() {
    report(&local_words(&repository()));
    let text = LOCAL_WORDS.join("\n");
    bites(local_words, &[("README.md", &text)], LOCAL_WORDS.len());
}

#[test]
fn unsafe_code_is_in_one_file_and_justified() {
    report(&unsafe_code(&repository()));
    let bare = "fn a() { unsafe { b() } }";
    let justified = "// SAFETY: b has no preconditions, see there.\n// Two lines.\nunsafe { b() }";
    bites(
        unsafe_code,
        &[("src/a.rs", justified), ("src/sys.rs", bare)],
        2,
    );
    bites(
        unsafe_code,
        &[
            ("src/sys.rs", justified),
            ("src/a.rs", "#![deny(unsafe_code)] // unsafe"),
        ],
        0,
    );
}

#[test]
fn files_say_what_they_are_about() {
    report(&shapeless_files(&repository()));
    bites(
        shapeless_files,
        &[("src/a/mod.rs", "//! A."), ("src/b.rs", "use a;")],
        2,
    );
}

#[test]
fn configurations_to_start_from_exist() {
    report(&missing_configurations(&repository()));
    bites(missing_configurations, &[], 3);
}

#[test]
fn literals_and_comments_are_no_code() {
    let text =
        r##"a("un\"safe"); /* x /* y */ z */ b('"', '\'', r#"u"v"#, br"w"); fn c<'a>() {} // d"##;
    let code = Source::new("a.rs", text).code;
    let words: Vec<_> = code
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .collect();
    assert_eq!(words, ["a", "b", "r", "b", "fn", "c", "a"]);
    assert_eq!(code.len(), text.len());
}
