//! What the package does to a machine: installation, upgrade, removal, purge.

use std::process::Command;

use crate::deb::{NEWER, Packages, version};
use crate::machine::Machine;

pub(crate) fn lintian_finds_nothing(packages: &Packages) {
    let mut command = Command::new("lintian");
    command.args(["--allow-root", "--fail-on", "error,warning"]);
    let output = command.arg(packages.folder.join("warren.deb")).output();
    let output = output.expect("lintian is installed");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

pub(crate) fn from_installation_to_purge(packages: &Packages) {
    let machine = Machine::boot("lb-1", &packages.folder);
    let before = files(&machine);
    installs(&machine);
    upgrades(&machine);
    removes_and_comes_back(&machine);
    purges(&machine, &before);
}

/// Everything of its name where packages and services leave things.
fn files(machine: &Machine) -> String {
    machine.ok("find /etc /run /usr /var -xdev -name '*warren*' | sort")
}

fn state(machine: &Machine, verb: &str) -> String {
    let output = machine.run(&format!("systemctl {verb} warren"));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn installs(machine: &Machine) {
    let said =
        machine.ok("exec 2>&1; apt-get install -q -y --no-install-recommends /srv/warren.deb");
    assert!(said.contains(&version()), "{said}");
    // It has not started: there is nothing that it could do.
    assert_eq!(state(machine, "is-active"), "inactive");
    assert_eq!(state(machine, "is-enabled"), "disabled");
    let user = machine.ok("getent passwd warren");
    assert!(
        user.ends_with(":warren load balancer:/run/warren:/usr/sbin/nologin"),
        "{user}"
    );
    machine.ok("getent group warren");
    let modes = "stat --format '%A %U %G %n' /etc/warren /usr/sbin/warren \
                 /usr/lib/systemd/system/warren.service";
    assert_eq!(
        machine.ok(modes),
        "drwxr-xr-x root root /etc/warren\n\
         -rwxr-xr-x root root /usr/sbin/warren\n\
         -rw-r--r-- root root /usr/lib/systemd/system/warren.service"
    );
    assert_eq!(machine.ok("ls -A /etc/warren"), "");
    // Nothing but root's, and nothing that others may write.
    let odd = "dpkg -L warren | while read -r f; do [ -d \"$f\" ] || find \"$f\" \
               ! -uid 0 -o ! -gid 0 -o -perm /022 -o -perm /6000; done";
    assert_eq!(machine.ok(odd), "");
    for example in ["master", "backup", "rabbitmq", "minimal", "reference"] {
        machine.ok(&format!(
            "test -s /usr/share/doc/warren/examples/{example}.toml"
        ));
    }
    machine.ok("test -s /usr/share/doc/warren/conf/alerts.yml");
    machine.ok("zgrep -q '^warren (' /usr/share/doc/warren/changelog.Debian.gz");
    machine.ok("zgrep -q '^# Changelog' /usr/share/doc/warren/changelog.gz");
    machine.ok("grep -q '^tokio .*: MIT ' /usr/share/doc/warren/third-party-licences.txt");
    // A start without a configuration fails with its reason, and is not tried again and again.
    machine.fails("systemctl start warren");
    machine.until("it has failed", || {
        (state(machine, "is-active") == "failed").then_some(())
    });
    let journal = machine.journal();
    assert!(journal.contains("/etc/warren/warren.toml"), "{journal}");
}

fn configure(machine: &Machine) {
    machine.ok("cat >/etc/warren/warren.toml <<'END'
[listen.amqp]
bind = \"127.0.0.1:5672\"
pool = \"rabbit\"
[pool.rabbit.check]
type = \"none\"
[pool.rabbit.servers]
one = \"127.0.0.1:5673\"
END
install -m 0640 -g warren /dev/null /etc/warren/check-password");
}

fn upgrades(machine: &Machine) {
    configure(machine);
    machine.ok("systemctl enable --now warren");
    let process = machine.property("MainPID");
    let said = machine.ok("exec 2>&1; dpkg -i /srv/newer.deb");
    assert!(said.contains("systemctl restart warren"), "{said}");
    assert_eq!(machine.ok("dpkg-query -W -f '${Version}' warren"), NEWER);
    // Its connections are not cut, and it comes up at the next boot.
    assert_eq!(machine.property("MainPID"), process);
    assert_eq!(state(machine, "is-active"), "active");
    assert_eq!(state(machine, "is-enabled"), "enabled");
    machine.ok("grep -q 127.0.0.1:5673 /etc/warren/warren.toml");
    // The way back.
    machine.ok("dpkg -i /srv/warren.deb");
    assert_eq!(machine.property("MainPID"), process);
}

fn removes_and_comes_back(machine: &Machine) {
    machine.ok("dpkg -r warren");
    assert!(machine.daemon().is_none());
    machine.fails("test -e /usr/sbin/warren");
    machine.fails("ls /run/warren");
    machine.ok("grep -q 127.0.0.1:5673 /etc/warren/warren.toml");
    machine.ok("test -e /etc/warren/check-password");
    machine.ok("dpkg -i /srv/warren.deb");
    assert_eq!(state(machine, "is-enabled"), "enabled");
    machine.ok("systemctl start warren");
}

fn purges(machine: &Machine, before: &str) {
    machine.ok("touch /etc/warren/mine");
    machine.ok("dpkg -P warren");
    assert!(machine.daemon().is_none());
    // What somebody else has put there is not ours.
    assert_eq!(machine.ok("ls -A /etc/warren"), "mine");
    machine.ok("dpkg -i /srv/warren.deb && rm /etc/warren/mine");
    configure(machine);
    machine.ok("dpkg -P warren");
    machine.fails("test -e /etc/warren");
    assert_eq!(files(machine), before);
    // Files of its may be anywhere, and another user must not get its number.
    machine.ok("getent passwd warren");
    let failed = machine.ok("systemctl list-units --all --no-legend 'warren*'");
    assert_eq!(failed, "");
}
