//! State machines, timings and checks that are broken in one place each.

/// One of them.
pub(crate) struct Broken {
    /// What is wrong with it.
    pub(crate) what: &'static str,
    /// The file below `src/vrrp`.
    pub(crate) file: &'static str,
    /// Text that is there once.
    pub(crate) from: &'static str,
    /// What stands there instead.
    pub(crate) to: &'static str,
    /// Part of what the rule says that must catch it.
    pub(crate) caught_by: &'static str,
}

macro_rules! broken {
    ($($what:literal in $file:literal: caught by $by:literal: $from:expr => $to:expr,)*) => {
        &[$(Broken { what: $what, file: $file, from: $from, to: $to, caught_by: $by },)*]
    };
}

/// All of them.
pub(crate) const BROKEN: &[Broken] = broken! {
    "the skew is dropped" in "timing.rs": caught by "transitions in peace":
        "let steps = 256 - u64::from(priority);" => "let steps = u64::from(priority) * 0;",
    "the skew is the wrong way round" in "timing.rs": caught by " followed after ":
        "let steps = 256 - u64::from(priority);" => "let steps = u64::from(priority);",
    "two lost advertisements are a dead master" in "timing.rs":
        caught by "replaced a master that is as good, and was heard":
        "pub const LOST: u32 = 3;" => "pub const LOST: u32 = 2;",
    "TTL is not checked" in "packet.rs": caught by "a forged packet was believed":
        "if envelope.ttl != TTL {" => "if false {",
    "the checksum is not checked" in "packet.rs": caught by " packet was believed":
        "checksum(pseudo, message) == 0" => "true",
    "other addresses are accepted" in "receive.rs": caught by "a forged packet was believed":
        "if common == 0 {" => "if false {",
    "our own address is accepted" in "receive.rs": caught by "our own packet was believed":
        "if self.own == Some(envelope.source) {" => "if false {",
    "another version is accepted" in "receive.rs": caught by "a forged packet was believed":
        "if advertisement.version != self.version {" => "if false {",
    "the router id is not looked at" in "receive.rs": caught by "a forged packet was believed":
        "Some(r.router_id) == id" => "r.router_id > 0 && id.is_some()",
    "the tie is decided the wrong way" in "router/master.rs":
        caught by "hear each other, and are masters":
        "let higher = heard.from > member.own;" => "let higher = heard.from < member.own;",
    "a tie is never decided" in "router/master.rs": caught by "hear each other, and are masters":
        "let tie = priority == self.priority" => "let tie = false",
    "a master does not give way" in "router/master.rs":
        caught by "hear each other, and are masters":
        "if priority > self.priority || tie {" => "if false && tie {",
    "a master does not assert itself" in "router/master.rs": caught by "a rival was not answered":
        "if now >= sent + interval / 100 {" => "if false && now >= sent {",
    "the advertisement is not sent again" in "router/master.rs":
        caught by "a rival was not answered":
        "member.due = now + member.interval.duration();"
        => "member.due = now + member.interval.duration() * 3;",
    "clients are not reset when it gives way" in "router/master.rs":
        caught by "clients were not reset before the release":
        concat!(
            "self.advertise_all(self.priority, now, actions);\n",
            "            actions.push(Action::ResetClients);"
        )
        => "self.advertise_all(self.priority, now, actions);",
    "the addresses are removed before clients are reset" in "router/master.rs":
        caught by "clients were not reset before the release":
        concat!(
            "self.advertise_all(LEAVING, now, actions);\n",
            "        actions.push(Action::ResetClients);\n",
            "        actions.push(Action::Release);"
        )
        => concat!(
            "self.advertise_all(LEAVING, now, actions);\n",
            "        actions.push(Action::Release);\n",
            "        actions.push(Action::ResetClients);"
        ),
    "it gives up without a word" in "router/master.rs": caught by "left without a word":
        concat!(
            "self.advertise_all(LEAVING, now, actions);\n",
            "        actions.push(Action::ResetClients);"
        )
        => "actions.push(Action::ResetClients);",
    "it leaves without a word" in "router/master.rs": caught by "left without a word":
        "self.advertise_all(LEAVING, now, actions);\n        let mut longest"
        => "let mut longest",
    "the loser does not tell that it was there" in "router/master.rs":
        caught by "gave way without a word":
        concat!(
            "self.advertise_all(self.priority, now, actions);\n",
            "            actions.push(Action::ResetClients);"
        )
        => "actions.push(Action::ResetClients);",
    "the neighbours are not told again" in "router/master.rs":
        caught by "nobody was told after a rival":
        "&& announce.restart(now)" => "&& false && announce.restart(now)",
    "the lease is not renewed" in "router/master.rs": caught by "after its lease":
        concat!(
            "            *renew_at = now + RENEW;\n",
            "            actions.push(Action::Renew);"
        )
        => concat!(
            "            *renew_at = now + RENEW * 1000;\n",
            "            actions.push(Action::Renew);"
        ),
    "a lost address is put back without limit" in "router.rs":
        caught by "an address was put back without limit":
        "pub const PUT_BACK: usize = 3;" => "pub const PUT_BACK: usize = 3000;",
    "who slept goes on as if nothing had been" in "router.rs":
        caught by "after its lease":
        "if event == Event::Away || self.slept_too_long(now) {" => "if false {",
    "a lease that has ended is not noticed" in "router.rs": caught by "after its lease":
        "let expired = |renew_at| now >= renew_at - RENEW + LEASE;"
        => "let expired = |renew_at| now >= renew_at - RENEW + LEASE * 1000;",
    "it claims without an announcement" in "router/backup.rs":
        caught by "nobody was told of a claim":
        "actions.push(Action::Announce);" => "",
    "it advertises before it claims" in "router/backup.rs":
        caught by "advertised without the addresses":
        concat!(
            "actions.push(Action::Claim);\n",
            "        self.advertise_all(self.priority, now, actions);"
        )
        => concat!(
            "self.advertise_all(self.priority, now, actions);\n",
            "        actions.push(Action::Claim);"
        ),
    "it forgets to claim" in "router/backup.rs": caught by "advertised without the addresses":
        "actions.push(Action::Claim);" => "",
    "it takes over before the time" in "router/backup.rs": caught by "acted before its deadline":
        "if self.last_due().max(claim_from) <= now {" => "if true {",
    "the deadline is not moved by an advertisement" in "router/backup.rs":
        caught by "replaced a master that is as good, and was heard":
        "member.due = now + master_down(member.version, priority, member.learned);"
        => "",
    "a lower master is never replaced" in "router/backup.rs": caught by ", the highest is ":
        "let lower = priority < self.priority;" => "let lower = false;",
    "a master of the same priority is replaced" in "router/backup.rs":
        caught by "replaced a master that is as good, and was heard":
        "let lower = priority < self.priority;" => "let lower = priority <= self.priority;",
    "preempt = false is not looked at" in "router/backup.rs":
        caught by "replaced a master without preempt":
        "if !self.settings.preempt && !fell {" => "if false {",
    "no proof is asked for" in "router/backup.rs": caught by "transitions in peace":
        "} else if !self.proof.is_newer_than(lower_since) {" => "} else if false {",
    "old proof is good enough" in "router/backup.rs": caught by "transitions in peace":
        ".filter(|_| !fell_further)" => "",
    "nobody waits for the other to see the pool" in "router/backup.rs":
        caught by "transitions in peace":
        "} else if !settled {" => "} else if false {",
    "priority 0 does not hurry the backups" in "router/backup.rs": caught by " followed after ":
        "self.hurry(now);" => "",
    "preempt_delay is not waited for" in "router/backup.rs":
        caught by "before the preempt_delay had passed":
        "now < lower_since + self.settings.preempt_delay" => "false",
    "startup_delay is not waited for" in "router.rs":
        caught by "before the startup_delay had passed":
        "let claim_from = now + delay;" => "let claim_from = now;",
    "an absence ends the startup_delay" in "router.rs":
        caught by "before the startup_delay had passed":
        "let delay = claim_from.saturating_duration_since(now);" => "let delay = Duration::ZERO;",
    "every member of a group breaks ties" in "router/master.rs": caught by "masters of router":
        "let turn = self.members[..heard.member].iter().map(patience).sum();"
        => "let turn = Duration::ZERO;",
    "the neighbours are not told of who lost without a word" in "router/state.rs":
        caught by "the neighbours look for it at":
        "const EVERY: Duration = Duration::from_secs(5);"
        => "const EVERY: Duration = Duration::from_secs(60);",
    "a longer interval is told once" in "router/reconfigure.rs":
        caught by "transitions at another pace":
        "member.due = member.due.min(now + before.duration());" => "",
    "the interval of the master is not learned" in "router/backup.rs":
        caught by "replaced a master that is as good, and was heard":
        "VrrpVersion::V3 => believed(interval, member.interval),"
        => "VrrpVersion::V3 => Centiseconds(1),",
};
