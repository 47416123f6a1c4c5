//! The Debian package, made of the program that cargo has built for the tests: only the optimiser
//! makes a difference to the one that `cargo deb` would build, which takes minutes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The packages of two versions, in a folder that machines can see.
pub(crate) struct Packages {
    /// It has `warren.deb`, and `newer.deb` of a higher version.
    pub(crate) folder: PathBuf,
    _home: tempfile::TempDir,
}

/// The version of `newer.deb`.
pub(crate) const NEWER: &str = "9.9.9-1";

/// The version of `warren.deb`.
pub(crate) fn version() -> String {
    format!("{}-1", env!("CARGO_PKG_VERSION"))
}

impl Packages {
    /// Both packages; `Err` says why they cannot be made here.
    pub(crate) fn build() -> Result<Self, String> {
        wait_for_cargo_deb();
        let installed = Command::new("cargo").args(["deb", "--version"]).output();
        if !installed.is_ok_and(|output| output.status.success()) {
            return Err("cargo-deb is not installed".to_owned());
        }
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("packages");
        std::fs::create_dir(&folder).unwrap();
        let target = home.path().join("target");
        let release = target.join("release");
        std::fs::create_dir_all(&release).unwrap();
        std::fs::copy(env!("CARGO_BIN_EXE_warren"), release.join("warren")).unwrap();
        for (name, version) in [("warren", version()), ("newer", NEWER.to_owned())] {
            let out = target.join(name);
            make(&target, &out, &version);
            let made = out.join(format!("warren_{version}_{}.deb", architecture()));
            std::fs::copy(&made, folder.join(format!("{name}.deb"))).unwrap();
        }
        Ok(Self {
            folder,
            _home: home,
        })
    }
}

/// `tests/run` installs it beside the tests; this file is there when that is over.
fn wait_for_cargo_deb() {
    let Some(sign) = std::env::var_os("WARREN_CARGO_DEB") else {
        return;
    };
    let begun = Instant::now();
    while !Path::new(&sign).exists() && begun.elapsed() < Duration::from_secs(600) {
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn make(target: &Path, out: &Path, version: &str) {
    let mut command = Command::new("cargo");
    command.args([
        "deb",
        "--no-build",
        "--locked",
        "--offline",
        "--fast",
        "--output",
    ]);
    command.arg(out).args(["--deb-version", version]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env("CARGO_TARGET_DIR", target);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // Its warnings are about what Debian expects of a package.
    assert!(!said.contains("warning"), "{said}");
}

fn architecture() -> String {
    let output = Command::new("dpkg").arg("--print-architecture").output();
    String::from_utf8(output.unwrap().stdout)
        .unwrap()
        .trim()
        .to_owned()
}
