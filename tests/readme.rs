//! What the README says is what the code does.

use std::path::Path;
use std::process::Command;

use warren::cli::{exit, status};
use warren::proxy::account::{By, Cause, During, Ending};

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    std::fs::read_to_string(path).expect("the README is there")
}

/// The row of a table whose first cell is `name` in backticks.
fn row(text: &str, name: &str) -> Vec<String> {
    let start = format!("| `{name}` |");
    let line = text.lines().find(|line| line.starts_with(&start));
    let line = line.unwrap_or_else(|| panic!("no row for `{name}`"));
    line.trim_matches('|')
        .split('|')
        .map(|cell| cell.trim().to_owned())
        .collect()
}

#[test]
fn every_ending_is_explained() {
    let text = readme();
    for cause in Cause::ALL {
        let cells = row(&text, cause.name());
        let by = match cause.by() {
            By::Client => "client",
            By::Server => "server",
            By::Us => "us",
        };
        assert_eq!(cells[1], by, "who ends with {}", cause.name());
        let code = Ending {
            cause,
            during: During::Relaying,
        }
        .haproxy_code();
        assert!(
            cells[2].contains(&format!("`{code}`")),
            "{code} of {}",
            cause.name()
        );
        assert!(
            !cells[3].is_empty() && !cells[4].is_empty(),
            "{}",
            cause.name()
        );
    }
    // A client may also leave before it is relayed.
    for cause in [Cause::ClientReset, Cause::ClientVanished] {
        let cells = row(&text, cause.name());
        for during in [During::Admitting, During::Choosing, During::Connecting] {
            let code = Ending { cause, during }.haproxy_code();
            assert!(
                cells[2].contains(&format!("`{code}`")),
                "{code} of {}",
                cause.name()
            );
        }
    }
}

#[test]
fn every_phase_is_named() {
    let text = readme();
    let phases = [
        During::Admitting,
        During::Choosing,
        During::Connecting,
        During::Relaying,
        During::Draining,
    ];
    for during in phases {
        assert!(
            text.contains(&format!("`{}`", during.name())),
            "{}",
            during.name()
        );
    }
}

#[test]
fn every_exit_code_is_explained() {
    let text = readme();
    // From the source, so that a new one cannot be forgotten here.
    let codes: Vec<_> = include_str!("../src/exit.rs")
        .lines()
        .filter(|line| line.trim_start().starts_with("pub const ") && line.contains(": u8 = "))
        .filter_map(|line| line.trim_end_matches(';').rsplit(' ').next())
        .collect();
    assert!(codes.len() >= 6, "{codes:?}");
    for code in codes {
        assert!(
            text.lines()
                .any(|line| line.starts_with(&format!("| {code} |"))),
            "{code}"
        );
    }
    let (good, degraded, failed) = (exit::GOOD, status::DEGRADED, exit::FAILED);
    let of_status = format!(
        "It exits with {good} when all is well, {degraded} when something is wrong, {failed} when"
    );
    assert!(text.contains(&of_status), "{of_status}");
}

#[test]
fn every_subcommand_is_mentioned() {
    let output = Command::new(env!("CARGO_BIN_EXE_warren"))
        .arg("--help")
        .output();
    let help = String::from_utf8(output.expect("run --help").stdout).expect("text");
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    // What is indented more goes on with the line above.
    let commands = commands.take_while(|line| !line.is_empty());
    let commands: Vec<_> = commands
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|command| !command.is_empty())
        .collect();
    assert!(commands.len() >= 4, "{help}");
    let text = readme();
    for command in commands {
        let named = format!("warren {command}");
        assert!(text.contains(&named), "{named}");
    }
}

#[test]
fn every_configuration_in_it_is_good() {
    let text = readme();
    let blocks: Vec<_> = text.split("```toml\n").skip(1).collect();
    assert!(blocks.len() >= 2, "the README shows configurations");
    for block in blocks {
        let toml = block.split("```").next().expect("a block ends");
        if let Err(problems) = warren::config::parse(toml, "README.md", Path::new(".")) {
            panic!("{problems}\nin\n{toml}");
        }
    }
}

#[test]
fn every_file_it_names_is_there() {
    let text = readme();
    let words = text.split(|c: char| c.is_whitespace() || "()[]`,;:".contains(c));
    let files: Vec<_> = words
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| {
            ["conf/", "systemd/", "tests/", "src/"]
                .iter()
                .any(|f| word.starts_with(f))
        })
        .collect();
    assert!(files.len() > 5, "{files:?}");
    for file in files {
        assert!(
            Path::new(env!("CARGO_MANIFEST_DIR")).join(file).exists(),
            "{file}"
        );
    }
}

#[test]
fn every_key_of_the_translation_exists() {
    let text = readme();
    let reference = include_str!("../conf/reference.toml");
    let table = text
        .lines()
        .skip_while(|line| !line.starts_with("| haproxy.cfg"));
    let rows: Vec<_> = table
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert!(rows.len() > 10, "the translation table");
    for line in rows {
        let ours = line
            .trim_matches('|')
            .rsplit('|')
            .next()
            .expect("two cells");
        for key in ours
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|key| !key.starts_with('['))
        {
            let known = reference.lines().any(|line| {
                line.trim_start_matches('#')
                    .trim_start()
                    .starts_with(&format!("{key} ="))
            });
            assert!(known, "`{key}` in {line}");
        }
    }
}
