//! The notices that have to go with the program: `packaging/third-party-licences.txt` names each
//! crate that is linked into it, with its licence and every text that came with its source.
//!
//! `WARREN_BLESS=1 cargo test --test licences` writes the file anew; read the difference.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The package of every architecture has the same file.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// How the names of files with such texts begin, in capitals.
const NAMES: [&str; 5] = ["COPYING", "COPYRIGHT", "LICEN", "NOTICE", "UNLICENSE"];

const HEAD: &str = "\
The program contains the crates below. Behind each stand its licence, and the numbers of the texts
that came with its source. Some are macros, whose output is in the program.

It contains the standard library of Rust besides, Copyright (c) The Rust Project Contributors, which
is under the Apache License, version 2.0, or the MIT licence, at your option.

";

/// A crate that is linked into the program.
struct Crate {
    name: String,
    version: String,
    licence: String,
    manifest: PathBuf,
}

fn cargo(arguments: &[&str]) -> Vec<u8> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).arg("--locked");
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    output.stdout
}

/// Names and versions of all that the program depends on, not for its build or tests alone. The
/// metadata does not tell: there a feature that a test wants is on for everybody.
fn linked_names() -> BTreeSet<(String, String)> {
    let tree = cargo(&[
        "tree",
        "--edges=normal",
        "--target",
        TARGET,
        "--prefix=none",
        "--format={p}",
    ]);
    let tree = String::from_utf8(tree).unwrap();
    let names = tree.lines().map(|line| {
        let mut words = line.split(' ');
        let (name, version) = (words.next().unwrap(), words.next().unwrap());
        (name.to_owned(), version.trim_start_matches('v').to_owned())
    });
    names
        .filter(|(name, _)| name != env!("CARGO_PKG_NAME"))
        .collect()
}

/// By name and version.
fn linked() -> Vec<Crate> {
    let metadata = cargo(&[
        "metadata",
        "--format-version=1",
        "--filter-platform",
        TARGET,
    ]);
    let metadata: Value = serde_json::from_slice(&metadata).unwrap();
    let mut known: BTreeMap<(String, String), Crate> = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        let one = Crate {
            name: text("name"),
            version: text("version"),
            licence: text("license"),
            manifest: PathBuf::from(text("manifest_path")),
        };
        known.insert((one.name.clone(), one.version.clone()), one);
    }
    let names = linked_names().into_iter();
    names.map(|name| known.remove(&name).unwrap()).collect()
}

/// The files with licences and notices below a folder: what is embedded has its own.
fn licence_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_str().unwrap().to_uppercase();
        let is_source = path.extension() == Some(OsStr::new("rs"));
        if path.is_dir() {
            files.extend(licence_files(&path));
        } else if NAMES.iter().any(|begin| name.starts_with(begin)) && !is_source {
            files.push(path);
        }
    }
    files
}

/// Without what differs between copies of the same text.
fn read(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

fn notices() -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut notices = HEAD.to_owned();
    for one in linked() {
        let (name, version) = (&one.name, &one.version);
        assert!(!one.licence.is_empty(), "{name} {version} names no licence");
        let mut numbers: BTreeSet<usize> = BTreeSet::new();
        let folder = one.manifest.parent().unwrap();
        for text in licence_files(folder).iter().map(|file| read(file)) {
            let known = texts.iter().position(|known| *known == text);
            let place = known.unwrap_or_else(|| {
                texts.push(text);
                texts.len() - 1
            });
            numbers.insert(place + 1);
        }
        assert!(
            !numbers.is_empty(),
            "{name} {version} has no text of its licence with it: find it, and add it here"
        );
        let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        let numbers = numbers.join(", ");
        writeln!(notices, "{name} {version}: {} [{numbers}]", one.licence).unwrap();
    }
    for (number, text) in (1..).zip(&texts) {
        let line = "-".repeat(80);
        write!(notices, "\n{line}\n[{number}]\n\n{text}\n").unwrap();
    }
    notices
}

#[test]
fn the_notices_are_those_of_the_linked_crates() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/third-party-licences.txt");
    let notices = notices();
    if env::var_os("WARREN_BLESS").is_some() {
        fs::write(&path, &notices).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap();
    let mut lines = notices.lines().zip(stored.lines());
    let different = lines.find(|(now, stored)| now != stored);
    assert_eq!(
        different, None,
        "see how it is made at the top of this file"
    );
    assert!(notices == stored, "one is longer than the other");
}
