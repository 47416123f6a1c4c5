//! Random operations on a pool, beside a model that is too simple to be wrong: lists, walked from
//! end to end. After every operation:
//!
//! 1. A choice is legal: usable, of the tier that serves, not full, not tried; leastconn and first
//!    take the very best. Wait, queue full and no server are answered exactly when they have to be.
//! 2. Open connections are counted exactly and no grant exceeds a limit.
//! 3. For everybody in the queue there is hope and no free slot (no lost wake-up), and everybody
//!    else has been woken.
//! 4. Nobody is overtaken by someone who could have been served no earlier.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Operation {
    Choose {
        client: u32,
        draw: u64,
        tried: Vec<usize>,
    },
    Release(usize),
    Fetch(usize),
    Leave(usize),
    Report(usize, Health),
    Operator(usize, Admin),
    Resolve(bool),
    Reload,
    Pass(u64),
}

const SERVERS: usize = 4;

fn operation() -> impl Strategy<Value = Operation> {
    let server = 0..SERVERS;
    let health = prop_oneof![3 => Just(Health::Up), 2 => Just(Health::Down)];
    let admin =
        prop_oneof![3 => Just(Admin::Ready), 1 => Just(Admin::Drain), 1 => Just(Admin::Maint)];
    let tried = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec(0..SERVERS + 1, 1..4),
    ];
    prop_oneof![
        8 => (any::<u32>(), any::<u64>(), tried)
            .prop_map(|(client, draw, tried)| Operation::Choose { client, draw, tried }),
        4 => any::<usize>().prop_map(Operation::Release),
        2 => any::<usize>().prop_map(Operation::Fetch),
        2 => any::<usize>().prop_map(Operation::Leave),
        4 => (server.clone(), health).prop_map(|(at, health)| Operation::Report(at, health)),
        2 => (server, admin).prop_map(|(server, admin)| Operation::Operator(server, admin)),
        1 => any::<bool>().prop_map(Operation::Resolve),
        1 => Just(Operation::Reload),
        2 => (1_u64..4_000).prop_map(Operation::Pass),
    ]
}

fn pool_settings() -> impl Strategy<Value = config::Pool> {
    let server = (
        prop_oneof![Just(0_u16), Just(1), Just(100), Just(256)],
        0_u32..4,
        any::<bool>(),
    );
    (
        prop::sample::select(&ALGORITHMS[..]),
        prop::collection::vec(server, SERVERS),
        prop_oneof![Just(Duration::ZERO), Just(Duration::from_secs(5))],
        0_u32..6,
    )
        .prop_map(|(balance, servers, slow_start, max_queue)| {
            let mut settings = settings(balance, SERVERS);
            for (server, (weight, limit, backup)) in settings.servers.iter_mut().zip(servers) {
                server.weight = weight;
                server.max_connections = limit;
                server.backup = backup;
            }
            // The last server has a name, which may not resolve.
            settings.servers[SERVERS - 1].address.host = Host::Name("rabbit.invalid".to_owned());
            settings.slow_start = slow_start;
            settings.max_queue = max_queue;
            settings
        })
}

struct Server {
    settings: config::Server,
    health: Health,
    admin: Admin,
    resolved: bool,
    /// When a slow start began.
    starting: Option<Instant>,
    limit: u32,
}

struct Waiter {
    waiting: Waiting,
    bell: Arc<Bell>,
    tried: Vec<usize>,
    /// Who waited before, when the bell rang: what they had tried.
    overtaken: Option<Vec<Vec<usize>>>,
}

struct Model {
    pool: Arc<Pool>,
    now: Instant,
    servers: Vec<Server>,
    held: Vec<Lease>,
    /// In the order of the queue, until they have fetched their answer.
    waiters: Vec<Waiter>,
    /// Open connections before the operation.
    before: Vec<u32>,
    /// Connections opened before the operation.
    opened: Vec<u64>,
}

impl Model {
    fn new(settings: config::Pool) -> Self {
        let now = Instant::now();
        let servers = settings
            .servers
            .iter()
            .map(|server| Server {
                settings: server.clone(),
                health: Health::Unknown,
                admin: Admin::Ready,
                resolved: matches!(server.address.host, Host::Ip(_)),
                starting: None,
                limit: full_limit(server),
            })
            .collect();
        Self {
            pool: Pool::new(settings, 0, 0, 0, now),
            now,
            servers,
            held: Vec::new(),
            waiters: Vec::new(),
            before: vec![0; SERVERS],
            opened: vec![0; SERVERS],
        }
    }

    fn is_usable(&self, server: usize) -> bool {
        let server = &self.servers[server];
        server.health == Health::Up
            && server.admin == Admin::Ready
            && server.resolved
            && server.settings.weight > 0
    }

    /// Usable servers that connections go to now.
    fn candidates(&self) -> Vec<usize> {
        let usable = |backup| {
            let of_tier = |&server: &usize| self.servers[server].settings.backup == backup;
            let servers = (0..SERVERS).filter(|&server| self.is_usable(server));
            servers.filter(of_tier).collect::<Vec<_>>()
        };
        let active = usable(false);
        if active.is_empty() {
            usable(true)
        } else {
            active
        }
    }

    fn open(&self) -> Vec<u32> {
        let snapshot = self.pool.snapshot(self.now);
        snapshot.iter().map(|server| server.open).collect()
    }

    fn opened(&self) -> Vec<u64> {
        let snapshot = self.pool.snapshot(self.now);
        snapshot.iter().map(|server| server.leased_total).collect()
    }

    fn untried(&self, tried: &[usize]) -> Vec<usize> {
        let mut candidates = self.candidates();
        candidates.retain(|server| !tried.contains(server));
        candidates
    }

    fn with_room(&self, tried: &[usize], open: &[u32]) -> Vec<usize> {
        let mut untried = self.untried(tried);
        untried.retain(|&server| open[server] < self.servers[server].limit);
        untried
    }

    fn choose(&mut self, client: u32, draw: u64, tried: Vec<usize>) {
        let with_room = self.with_room(&tried, &self.before);
        let waiting = self.waiters.iter().filter(|waiter| !waiter.bell.has_rung());
        let is_full = waiting.count() >= self.pool.setup().config.max_queue as usize;
        match choose_by(&self.pool, client, draw, &tried) {
            Choice::Leased(lease) => {
                self.check_choice(lease.index(), &with_room);
                self.held.push(lease);
            }
            Choice::Wait(mut waiting) => {
                assert!(with_room.is_empty() && !is_full);
                assert!(!self.untried(&tried).is_empty());
                let bell = Arc::new(Bell::default());
                assert!(poll(&mut waiting, &bell).is_pending());
                let overtaken = None;
                self.waiters.push(Waiter {
                    waiting,
                    bell,
                    tried,
                    overtaken,
                });
            }
            Choice::QueueFull => {
                assert!(with_room.is_empty() && is_full);
                assert!(!self.untried(&tried).is_empty());
            }
            Choice::NoServer => assert!(self.untried(&tried).is_empty()),
        }
    }

    fn check_choice(&self, chosen: usize, with_room: &[usize]) {
        assert!(with_room.contains(&chosen), "{chosen} of {with_room:?}");
        let load = |server: usize| match u64::from(self.before[server]) {
            0 => 0,
            open => ((open + 1) << 20) / (u64::from(self.servers[server].settings.weight) * 16),
        };
        let is_starting = self.servers.iter().any(|server| server.starting.is_some());
        match self.pool.setup().config.balance {
            Balance::First => assert_eq!(Some(&chosen), with_room.iter().min()),
            Balance::Leastconn if !is_starting => {
                let least = with_room.iter().map(|&server| load(server)).min();
                assert_eq!(Some(load(chosen)), least);
            }
            Balance::Leastconn | Balance::Roundrobin | Balance::Random | Balance::Source => {}
        }
    }

    /// Polls a waiter. It must be ready if its bell rang, and only then.
    fn fetch(&mut self, at: usize) {
        let waiter = &mut self.waiters[at];
        let rang = waiter.bell.has_rung();
        match poll(&mut waiter.waiting, &waiter.bell) {
            Poll::Pending => assert!(!rang, "woken for nothing"),
            Poll::Ready(answer) => {
                assert!(rang, "answered, but not woken");
                let waiter = self.waiters.remove(at);
                let Some(lease) = answer else { return };
                assert!(!waiter.tried.contains(&lease.index()));
                for tried in waiter.overtaken.unwrap_or_default() {
                    assert!(tried.contains(&lease.index()), "somebody was overtaken");
                }
                self.held.push(lease);
            }
        }
    }

    fn report(&mut self, at: usize, health: Health) {
        let slow_start = self.pool.setup().config.slow_start;
        let server = &mut self.servers[at];
        if (server.health, health) == (Health::Down, Health::Up) && !slow_start.is_zero() {
            server.starting = Some(self.now);
        } else if health == Health::Down {
            server.starting = None;
        }
        server.health = health;
        let only = Some(at);
        self.pass_time(only);
        self.pool.report(at, report(Some(health)), self.now);
    }

    fn operate(&mut self, at: usize, admin: Admin) {
        let slow_start = self.pool.setup().config.slow_start;
        let server = &mut self.servers[at];
        let before = std::mem::replace(&mut server.admin, admin);
        if (before == Admin::Maint) != (admin == Admin::Maint) {
            let begins =
                before == Admin::Maint && server.health != Health::Down && !slow_start.is_zero();
            server.starting = begins.then_some(self.now);
            self.pass_time(Some(at));
        }
        self.pool.set_admin(at, admin, "by hand", self.now);
    }

    fn resolve(&mut self, answered: bool) {
        let at = SERVERS - 1;
        let address = answered.then(|| "192.0.2.99:5672".parse().unwrap());
        if answered {
            self.servers[at].resolved = true;
        } else if !self.servers[at].resolved {
            self.servers[at].health = Health::Down;
            self.servers[at].starting = None;
        }
        self.pass_time(Some(at));
        self.pool.set_address(at, address, self.now);
    }

    /// What the limits are now, of all servers or of one.
    fn pass_time(&mut self, only: Option<usize>) {
        let slow_start = self.pool.setup().config.slow_start;
        for (at, server) in self.servers.iter_mut().enumerate() {
            if only.is_some_and(|only| only != at) {
                continue;
            }
            let full = full_limit(&server.settings);
            let elapsed = server.starting.map(|since| self.now - since);
            server.limit = match elapsed {
                Some(elapsed) if elapsed < slow_start && full != u32::MAX => {
                    let part = u128::from(full) * elapsed.as_millis() / slow_start.as_millis();
                    u32::try_from(part).unwrap().max(1)
                }
                _ => full,
            };
            if elapsed.is_some_and(|elapsed| elapsed >= slow_start) {
                server.starting = None;
            }
        }
    }

    fn apply(&mut self, operation: Operation) {
        self.before = self.open();
        self.opened = self.opened();
        match operation {
            Operation::Choose {
                client,
                draw,
                tried,
            } => self.choose(client, draw, tried),
            Operation::Release(at) if !self.held.is_empty() => {
                let at = at % self.held.len();
                drop(self.held.swap_remove(at));
            }
            Operation::Fetch(at) if !self.waiters.is_empty() => self.fetch(at % self.waiters.len()),
            Operation::Leave(at) if !self.waiters.is_empty() => {
                let at = at % self.waiters.len();
                drop(self.waiters.remove(at));
            }
            Operation::Release(_) | Operation::Fetch(_) | Operation::Leave(_) => {}
            Operation::Report(server, health) => self.report(server, health),
            Operation::Operator(server, admin) => self.operate(server, admin),
            Operation::Resolve(answered) => self.resolve(answered),
            // The same again: nothing may change, whatever state it is in.
            Operation::Reload => {
                let settings = self.pool.setup().config.clone();
                self.pool.reconfigure(&settings, 0, self.now);
            }
            Operation::Pass(milliseconds) => {
                self.now += Duration::from_millis(milliseconds);
                self.pass_time(None);
                self.pool.tick(self.now);
            }
        }
        self.check();
    }

    fn check(&mut self) {
        let open = self.open();
        for (server, &open) in open.iter().enumerate() {
            let held = self
                .held
                .iter()
                .filter(|lease| lease.index() == server)
                .count();
            assert!(open as usize >= held);
            if self.opened()[server] > self.opened[server] {
                assert!(self.candidates().contains(&server), "not usable");
                assert!(open <= self.servers[server].limit, "above the limit");
            }
        }
        let rung = self
            .waiters
            .iter()
            .filter(|waiter| waiter.bell.has_rung())
            .count();
        let total: usize = open.iter().map(|&open| open as usize).sum();
        assert!((self.held.len()..=self.held.len() + rung).contains(&total));
        assert_eq!(self.pool.queued().0 as usize, self.waiters.len() - rung);

        let mut earlier = Vec::new();
        for at in 0..self.waiters.len() {
            if self.waiters[at].bell.has_rung() {
                let overtaken = || earlier.clone();
                self.waiters[at].overtaken.get_or_insert_with(overtaken);
            } else {
                let tried = self.waiters[at].tried.clone();
                assert!(!self.untried(&tried).is_empty(), "waits without hope");
                assert!(
                    self.with_room(&tried, &open).is_empty(),
                    "waits beside a free slot"
                );
                earlier.push(tried);
            }
        }
    }

    /// Everybody goes home; nothing may be left.
    fn close(mut self) {
        while let Some(at) = self
            .waiters
            .iter()
            .position(|waiter| waiter.bell.has_rung())
        {
            self.fetch(at);
        }
        let held = u32::try_from(self.held.len()).unwrap();
        assert_eq!(self.open().iter().sum::<u32>(), held, "the count is exact");
        self.waiters.clear();
        self.held.clear();
        assert_eq!(self.open(), [0; SERVERS]);
        assert_eq!(self.pool.queued().0, 0);
    }
}

fn full_limit(server: &config::Server) -> u32 {
    match server.max_connections {
        0 => u32::MAX,
        limit => limit,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn a_pool_does_what_the_model_does(
        settings in pool_settings(),
        operations in prop::collection::vec(operation(), 1..120),
    ) {
        let mut model = Model::new(settings);
        for server in 0..SERVERS {
            model.apply(Operation::Report(server, Health::Up));
        }
        for operation in operations {
            model.apply(operation);
        }
        model.close();
    }
}
