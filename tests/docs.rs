//! What the pages of `docs/` for operators say is what the code does.

use std::fs;
use std::path::{Path, PathBuf};

use warren::config;
use warren::config::limits::Surroundings;
use warren::proxy::account::Cause;
use warren::vrrp::receive::Refusal;

const OPERATING: &str = include_str!("../docs/operating.md");
const THREATS: &str = include_str!("../docs/threat-model.md");
const MONITORING: &str = include_str!("../docs/monitoring.md");
const PAGES: [(&str, &str); 5] = [
    ("operating.md", OPERATING),
    ("from-haproxy.md", include_str!("../docs/from-haproxy.md")),
    (
        "from-keepalived.md",
        include_str!("../docs/from-keepalived.md"),
    ),
    ("threat-model.md", THREATS),
    ("monitoring.md", MONITORING),
];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The cells below `title` in all tables of a page that have such a column.
fn column<'a>(page: &'a str, title: &str) -> Vec<&'a str> {
    let mut found: Vec<&'a str> = Vec::new();
    // In a table: which cell has the title, if any.
    let mut table: Option<Option<usize>> = None;
    for line in page.lines() {
        if !line.starts_with('|') {
            table = None;
            continue;
        }
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        match table {
            None => table = Some(cells.iter().position(|cell| *cell == title)),
            Some(Some(place)) if !line.starts_with("|---") => found.extend(cells.get(place)),
            Some(_) => {}
        }
    }
    found
}

/// What stands in backticks.
fn quoted<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let texts = texts.into_iter();
    texts
        .flat_map(|text| text.split('`').skip(1).step_by(2))
        .collect()
}

/// All Rust files below a folder, in one text. Literals that go on in the next line are joined.
fn sources(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry of it").path();
        if path.is_dir() {
            all.push_str(&sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).expect("a Rust file");
            all.extend(text.split("\\\n").map(str::trim_start));
        }
    }
    all
}

#[test]
fn every_configuration_is_good() {
    let mut found = 0;
    for (page, text) in PAGES {
        for block in text.split("```toml\n").skip(1) {
            let toml = block.split("```").next().expect("a block ends");
            // The descriptor limit of the unit, and not the interfaces of this machine.
            let surroundings = Surroundings {
                descriptors: 1 << 20,
                cpus: 2,
                is_daemon: true,
                interfaces: None,
            };
            let parsed = config::parse_within(toml, page, Path::new("."), surroundings);
            let (Ok((_, problems)) | Err(problems)) = parsed;
            assert!(problems.is_empty(), "{problems}\nin\n{toml}");
            found += 1;
        }
    }
    assert!(found >= 3, "the pages show configurations");
}

#[test]
fn every_key_of_the_tables_exists() {
    let reference = include_str!("../conf/reference.toml");
    let mut found = 0;
    for (page, text) in PAGES {
        let cells = [column(text, "warren.toml"), column(text, "key")].concat();
        for code in quoted(cells) {
            if code.starts_with('[') {
                continue;
            }
            let key = code.split(" =").next().unwrap_or(code);
            let known = reference.lines().any(|line| {
                let line = line.trim_start_matches('#').trim_start();
                line.starts_with(&format!("{key} ="))
            });
            assert!(known, "`{code}` in {page}");
            found += 1;
        }
    }
    assert!(found > 60, "the tables of keywords");
}

#[test]
fn every_code_of_check_is_explained() {
    let source = include_str!("../src/config/error.rs");
    let documented = source.lines().filter_map(|line| {
        let code = line.strip_prefix("//! | ")?.split(' ').next()?;
        code.ends_with(|last: char| last.is_ascii_digit())
            .then_some(code)
    });
    let documented: Vec<&str> = documented.collect();
    assert!(documented.len() > 20);
    let explained = column(OPERATING, "code");
    let explained = explained.into_iter();
    let explained: Vec<&str> = explained
        .filter(|code| code.starts_with(['E', 'W']))
        .collect();
    assert_eq!(explained, documented);
}

#[test]
fn every_ending_has_a_row() {
    let mut rows = quoted(column(OPERATING, "endings"));
    rows.sort_unstable();
    let mut endings: Vec<&str> = Cause::ALL.iter().map(|cause| cause.name()).collect();
    endings.sort_unstable();
    assert_eq!(rows, endings);
}

#[test]
fn every_refusal_has_a_row() {
    let rows = quoted(column(OPERATING, "counter"));
    for refusal in Refusal::ALL {
        assert!(rows.contains(&refusal.name()), "{}", refusal.name());
    }
}

#[test]
fn every_metric_of_ours_has_a_row() {
    let source = include_str!("../src/stats/metrics/own.rs");
    let names = source.split('"').skip(1).step_by(2);
    let names: Vec<&str> = names.filter(|name| name.starts_with("warren_")).collect();
    assert!(names.len() > 30, "{names:?}");
    assert_eq!(quoted(column(MONITORING, "metric")), names);
}

#[test]
fn every_alert_has_a_row() {
    let rules = include_str!("../conf/alerts.yml");
    let alerts = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    assert_eq!(
        quoted(column(MONITORING, "alert")),
        alerts.collect::<Vec<_>>()
    );
}

#[test]
fn every_message_is_in_the_code() {
    let source = sources(&repository().join("src"));
    let cells = [column(OPERATING, "message"), column(OPERATING, "reason")].concat();
    let messages = quoted(cells);
    assert!(messages.len() > 50, "{messages:?}");
    for message in messages {
        // Dots stand for what differs.
        for part in message.split("...").filter(|part| !part.trim().is_empty()) {
            assert!(source.contains(part), "`{part}` of `{message}`");
        }
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let tests = ["tests", "src"].map(|folder| sources(&repository().join(folder)));
    let tests = tests.concat();
    let named = quoted(column(THREATS, "test"));
    // The others are files.
    let named: Vec<_> = named.iter().filter(|name| !name.contains('/')).collect();
    assert!(named.len() > 10, "{named:?}");
    for name in named {
        assert!(tests.contains(&format!("fn {name}(")), "{name}");
    }
}

#[test]
fn every_file_that_is_named_exists() {
    let folders = ["conf/", "fuzz/", "src/", "systemd/", "tests/"];
    for (page, text) in PAGES {
        let words = text.split(|c: char| c.is_whitespace() || "()[]`,;:".contains(c));
        let files = words.map(|word| word.trim_end_matches('.'));
        for file in files.filter(|word| folders.iter().any(|folder| word.starts_with(folder))) {
            assert!(repository().join(file).exists(), "{file} in {page}");
        }
    }
}

/// The README and the pages below a folder that has them as the repository has.
fn pages(root: &Path) -> Vec<PathBuf> {
    let docs = fs::read_dir(root.join("docs")).expect("the pages");
    let docs = docs.map(|entry| entry.expect("one of them").path());
    let mut pages: Vec<_> = docs
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect();
    pages.push(root.join("README.md"));
    pages
}

/// Puts what the package has as documents below `root`, as `[package.metadata.deb]` says.
fn install_documents(root: &Path) {
    let manifest: toml::Table = include_str!("../Cargo.toml").parse().expect("TOML");
    let assets = &manifest["package"]["metadata"]["deb"]["assets"];
    for asset in assets.as_array().expect("a list") {
        let [from, to] = [0, 1].map(|index| asset[index].as_str().expect("a path"));
        let Some(to) = to.strip_prefix("usr/share/doc/warren/") else {
            continue;
        };
        let (folder, pattern) = from.rsplit_once('/').unwrap_or((".", from));
        let (begin, end) = pattern.split_once('*').unwrap_or((pattern, pattern));
        for entry in fs::read_dir(repository().join(folder)).expect("a folder") {
            let entry = entry.expect("an entry of it");
            let name = entry.file_name().into_string().expect("UTF-8");
            if !name.starts_with(begin) || !name.ends_with(end) {
                continue;
            }
            let place = match to.is_empty() || to.ends_with('/') {
                true => root.join(to).join(&name),
                false => root.join(to),
            };
            fs::create_dir_all(place.parent().expect("a folder")).expect("a new folder");
            match fs::read_link(entry.path()) {
                Ok(leads) => std::os::unix::fs::symlink(leads, place).expect("a new link"),
                Err(_) => drop(fs::copy(entry.path(), place).expect("a copy")),
            }
        }
    }
}

#[test]
fn every_link_leads_somewhere_also_in_the_package() {
    let package = tempfile::tempdir().expect("a folder");
    install_documents(package.path());
    for root in [repository(), package.path()] {
        let pages = pages(root);
        assert!(pages.len() > 5, "{pages:?}");
        for page in pages {
            let text = fs::read_to_string(&page).expect("a page");
            let links = text.split("](").skip(1);
            let links = links.filter_map(|rest| rest.split([')', '#']).next());
            let files = links.filter(|link| !link.is_empty() && !link.contains("://"));
            for file in files {
                let leads = page.with_file_name(file).exists();
                assert!(leads, "{file} in {}", page.display());
            }
        }
    }
}
