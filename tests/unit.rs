//! The systemd unit agrees with the program that it starts. What systemd itself thinks of it,
//! `tests/run` asks `systemd-analyze`.

use std::path::Path;

use warren::cli::{DEFAULT_CONFIG, DEFAULT_SOCKET, exit};

const UNIT: &str = include_str!("../systemd/warren.service");
const SYSUSERS: &str = include_str!("../systemd/warren.sysusers");
const TMPFILES: &str = include_str!("../systemd/warren.tmpfiles");
const CHANGELOG: &str = include_str!("../packaging/changelog");

/// All values of a setting, in the order of the file.
fn settings(name: &str) -> Vec<&'static str> {
    UNIT.lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .collect()
}

#[test]
fn errors_that_stay_do_not_restart_the_daemon() {
    let expected = format!("{} {}", exit::USAGE, exit::CONFIG);
    assert_eq!(settings("RestartPreventExitStatus"), [expected]);
}

#[test]
fn folders_are_where_the_program_looks() {
    let folder = |file| {
        Path::new(file)
            .parent()
            .expect("it lies in a folder")
            .to_owned()
    };
    let runtime = Path::new("/run").join(settings("RuntimeDirectory")[0]);
    assert_eq!(folder(DEFAULT_SOCKET), runtime);
    let configuration = Path::new("/etc").join(settings("ConfigurationDirectory")[0]);
    assert_eq!(folder(DEFAULT_CONFIG), configuration);
}

/// What a drop-in changes in one place.
#[test]
fn start_and_reload_have_the_same_file() {
    let file = format!("WARREN_CONFIG={DEFAULT_CONFIG}");
    assert_eq!(settings("Environment"), [file]);
    let start = ["/usr/sbin/warren run -c ${WARREN_CONFIG}"];
    assert_eq!(settings("ExecStart"), start);
    let check = "/usr/sbin/warren check -c ${WARREN_CONFIG}";
    assert_eq!(settings("ExecReload")[0], check);
}

#[test]
fn the_user_is_created() {
    let user = settings("User")[0];
    assert_eq!(settings("Group"), [user]);
    assert!(
        SYSUSERS
            .lines()
            .any(|line| line.starts_with(&format!("u {user} ")))
    );
}

#[test]
fn the_folder_of_the_configuration_is_created() {
    let folder = Path::new(DEFAULT_CONFIG).parent();
    let folder = folder.expect("it lies in a folder").display();
    let line = format!("d {folder} 0755 root root -");
    assert!(TMPFILES.lines().any(|found| found == line), "{line}");
}

#[test]
fn a_reload_checks_the_file_first() {
    let steps = settings("ExecReload");
    assert_eq!(steps.len(), 2);
    assert!(steps[0].starts_with("/usr/sbin/warren check "), "{steps:?}");
    assert_eq!(steps[1], "/bin/kill -HUP $MAINPID");
}

#[test]
fn the_package_has_the_version_of_the_program() {
    let latest = format!("warren ({}-1) ", env!("CARGO_PKG_VERSION"));
    assert!(CHANGELOG.starts_with(&latest), "{latest}");
    let readme = include_str!("../README.md");
    let named = format!("warren_{}-1_amd64.deb", env!("CARGO_PKG_VERSION"));
    assert!(readme.contains(&named), "{named}");
}

#[test]
fn the_daemon_may_use_what_it_needs_and_no_more() {
    assert_eq!(settings("Type"), ["notify"]);
    for capabilities in ["AmbientCapabilities", "CapabilityBoundingSet"] {
        assert_eq!(
            settings(capabilities),
            ["CAP_NET_BIND_SERVICE CAP_NET_ADMIN CAP_NET_RAW"],
            "{capabilities}"
        );
    }
    assert_eq!(
        settings("RestrictAddressFamilies"),
        ["AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET"]
    );
}

/// No setting has a comment behind it: systemd would take it for a part of the value.
#[test]
fn comments_have_lines_of_their_own() {
    for line in UNIT.lines().filter(|line| !line.starts_with('#')) {
        assert!(!line.contains('#'), "{line}");
    }
}
