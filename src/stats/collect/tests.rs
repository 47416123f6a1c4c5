//! Adding up.

use super::*;
use crate::stats::Budget;

#[test]
fn percentiles_come_from_all_workers() {
    let mut all = Latencies::new();
    for value in 1..=100 {
        all.connect.record(value * 1000).expect("in range");
    }
    let spread = percentiles(&all.connect);
    assert_eq!(spread.count, 100);
    // Two significant digits.
    assert!((49_500..=50_500).contains(&spread.p50), "{}", spread.p50);
    assert!((98_000..=100_000).contains(&spread.p99), "{}", spread.p99);
    assert!(spread.max >= 100_000);
}

#[test]
fn values_are_counted_up_to_each_bound() {
    let mut all = Latencies::new();
    // On a bound, between two, above all, and many at once.
    for value in [100, 300, 300, 700_000, 20_000_000] {
        all.connect.record(value).expect("in range");
    }
    let within = within(&all.connect, &CONNECT_BOUNDS_US);
    let expected = [1, 1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4];
    assert_eq!(within.counts, expected);
    let sum = 100 + 300 + 300 + 700_000 + 20_000_000;
    assert!(within.sum <= sum && within.sum > sum - sum / 100);
    for bounds in [CONNECT_BOUNDS_US, LENGTH_BOUNDS_MS] {
        assert!(bounds.is_sorted());
    }
}

#[test]
fn this_process_is_in_memory() {
    assert!(resident() > 1_000_000);
}

#[test]
fn this_process_has_used_cpu_time_and_has_a_node_name() {
    // Busy until the clock of getrusage has moved.
    let before = process_cpu();
    while process_cpu() == before {
        std::hint::black_box((0..10_000).sum::<u64>());
    }
    assert!(!node_name().is_empty());
}

/// One listener, one server, one worker.
fn registry() -> Registry {
    let text = "listen.amqp = { bind = '127.0.0.1:1', pool = 'p' }\n\
                [pool.p]\ncheck.type = 'none'\nservers.s = '127.0.0.1:3'";
    let (config, _) = config::parse(text, "test", std::path::Path::new(".")).unwrap();
    let budget = Budget {
        descriptors: 0,
        max_connections: 10,
        max_pipes: 0,
    };
    let mut config = config;
    config.global.workers = 1;
    Registry::new(config.into(), budget, Arc::default(), Instant::now())
}

#[test]
fn the_time_of_day_is_asked_for_and_not_added_up() {
    let mut registry = registry();
    // As when the clock was set meanwhile.
    registry.started_at -= Duration::from_secs(3600);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let before = microseconds(now());
    let taken = registry.snapshot(Instant::now()).taken_at_us;
    assert!((before..=microseconds(now())).contains(&taken), "{taken}");
}

#[test]
fn counters_are_cleared_in_part_or_altogether_and_count_on() {
    let registry = registry();
    let scene = registry.scene();
    let start = Instant::now();
    let count = |connections: u64| {
        scene.listeners[0].counters.of(0).sessions.add(connections);
        scene.servers[0]
            .counters
            .of(0)
            .bytes_in
            .add(10 * connections);
        scene.pools[0].counters.of(0).sessions.add(connections);
        registry.workers[0].endings[0].add(connections);
    };
    let second = Duration::from_secs(1);
    registry.sample(start);
    count(7);
    for average in [&scene.pools[0].averages, &scene.servers[0].averages] {
        average.total.add(30);
    }
    scene.listeners[0].open.up();
    scene.listeners[0].open.up();
    scene.listeners[0].open.down();
    registry.sample(start + second);
    let now = start + second;
    let look = || {
        let all = registry.snapshot(now);
        let server = &all.pools[0].servers[0];
        let counted = [
            all.listeners[0].totals.sessions,
            server.totals.bytes_in,
            all.pools[0].totals.sessions,
            all.endings[0].count,
            server.averages.total_ms,
        ];
        let highest = [
            u64::from(all.listeners[0].open.max),
            all.session_rate.max,
            all.pools[0].session_rate.max,
            server.averages.total_max_ms,
        ];
        (counted, highest, all.pools[0].last_session_ms)
    };
    assert_eq!(look(), ([7, 70, 7, 7, 30], [2, 7, 7, 30], Some(0)));
    registry.clear(Clear::Maxima);
    assert_eq!(look(), ([7, 70, 7, 7, 30], [1, 0, 0, 0], Some(0)));
    registry.clear(Clear::All);
    assert_eq!(look(), ([0, 0, 0, 0, 0], [1, 0, 0, 0], None));
    count(2);
    // The rate is that of what was counted, not of what is shown.
    registry.sample(start + 2 * second);
    assert_eq!(look(), ([2, 20, 2, 2, 0], [1, 2, 2, 0], Some(0)));
}

#[test]
fn what_stays_keeps_its_history_wherever_it_is_in_the_file() {
    let registry = registry();
    let start = Instant::now();
    registry.sample(start);
    let scene = registry.scene();
    scene.listeners[0].counters.of(0).sessions.add(5);
    scene.servers[0].counters.of(0).sessions.add(5);
    scene.pools[0].counters.of(0).sessions.add(5);
    registry.clear(Clear::All);
    scene.servers[0].counters.of(0).sessions.add(2);
    registry.sample(start + Duration::from_secs(1));

    // Something new before each.
    let text = "listen.new = { bind = '127.0.0.1:2', pool = 'new' }\n\
                listen.amqp = { bind = '127.0.0.1:1', pool = 'p' }\n\
                [pool.new]\nservers.n = '127.0.0.1:4'\n\
                [pool.p]\ncheck.type = 'none'\nservers.r = '127.0.0.1:5'\n\
                servers.s = '127.0.0.1:3'";
    let (config, _) = config::parse(text, "test", std::path::Path::new(".")).unwrap();
    let config = Arc::new(config);
    registry.set_scene(scene.followed_by(config, 1, start));

    let look = || registry.snapshot(start + Duration::from_secs(2));
    let all = look();
    assert_eq!(all.listeners[1].session_rate.max, 5);
    assert_eq!(all.pools[1].session_rate.max, 5);
    let [fresh, known] = &all.pools[1].servers[..] else {
        panic!("two servers");
    };
    assert_eq!((known.name.as_str(), known.totals.sessions), ("s", 2));
    assert_eq!((known.session_rate.max, fresh.session_rate.max), (7, 0));
    assert_eq!(
        fresh.totals.sessions + all.pools[0].servers[0].totals.sessions,
        0
    );
    registry.sample(start + Duration::from_secs(3));
    assert_eq!(look().pools[1].servers[1].session_rate.max, 7);
}

/// Takes something out of the configuration in which 30 sessions were counted, and puts it back;
/// then two more are counted. What is seen while it is gone, and at the end.
fn goes_and_comes_back(
    registry: &Registry,
    remove: impl FnOnce(&mut config::Config),
    count: impl Fn(u64),
) -> [Snapshot; 2] {
    let start = Instant::now();
    let second = Duration::from_secs(1);
    let there = registry.scene();
    let config = Arc::clone(&there.config);
    let mut without = config::Config::clone(&config);
    remove(&mut without);
    count(30);
    registry.sample(start);
    registry.set_scene(there.followed_by(without.into(), 1, start));
    registry.sample(start + second);
    let gone = registry.snapshot(start);
    let scene = registry.scene();
    registry.set_scene(scene.followed_by(config, 1, start));
    count(2);
    registry.sample(start + 2 * second);
    [gone, registry.snapshot(start)]
}

#[test]
fn a_server_that_comes_back_has_no_rate_of_its_past() {
    let registry = registry();
    let there = registry.scene();
    let [mut gone, mut back] = goes_and_comes_back(
        &registry,
        |config| config.pools[0].servers.clear(),
        |by| there.servers[0].counters.of(0).sessions.add(by),
    );
    assert_eq!(gone.pools[0].servers.pop(), None);
    let server = back.pools[0].servers.pop().expect("it is there again");
    assert_eq!(server.totals.sessions, 32, "it counts on");
    assert_eq!((server.session_rate.now, server.session_rate.max), (2, 2));
}

#[test]
fn a_listener_and_a_pool_that_come_back_have_no_rate_of_their_past() {
    let registry = registry();
    let there = registry.scene();
    let remove = |config: &mut config::Config| {
        config.listeners.clear();
        config.pools.clear();
    };
    let count = |by| {
        there.pools[0].counters.of(0).sessions.add(by);
        let counters = there.listeners[0].counters.of(0);
        for counter in [&counters.accepted, &counters.sessions, &counters.bytes_out] {
            counter.add(by);
        }
    };
    let [_, all] = goes_and_comes_back(&registry, remove, count);
    let (listener, pool) = (&all.listeners[0], &all.pools[0]);
    let totals = [listener.totals.sessions, pool.totals.sessions];
    assert_eq!(totals, [32, 32], "they count on");
    let rates = [
        all.accept_rate,
        all.session_rate,
        all.bytes_out_rate,
        listener.accept_rate,
        listener.session_rate,
        pool.session_rate,
    ];
    assert_eq!(rates.map(|rate| (rate.now, rate.max)), [(2, 2); 6]);
}

#[test]
fn an_address_is_set_when_it_is_not_that_of_the_file() {
    let registry = registry();
    let now = Instant::now();
    let pool = &registry.scene().pools[0];
    for (address, set) in [("10.0.0.9:3", true), ("127.0.0.1:3", false)] {
        let _ = pool.override_address(0, address.parse().unwrap(), now);
        let snapshot = registry.snapshot(now);
        let server = &snapshot.pools[0].servers[0];
        assert_eq!(server.address, address.parse().ok());
        assert_eq!(server.overridden, set);
    }
}
