//! Adding up.

use super::*;

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
    let now = Instant::now();
    Registry {
        pools: vec![Pool::new(config.pools[0].clone(), 0, 0, now)],
        config: config.into(),
        workers: vec![WorkerCounters::new(1, 1, 1).into()],
        listeners: Box::new([Gauge::default()]),
        connections: Gauge::limited(10),
        max_connections: 10,
        max_pipes: 0,
        descriptors: 0,
        started: now,
        started_at: std::time::SystemTime::now(),
        stopping: false.into(),
        logs_dropped: Default::default(),
        history: Mutex::default(),
        virtual_routers: None,
    }
}

#[test]
fn counters_are_cleared_in_part_or_altogether_and_count_on() {
    let registry = registry();
    let start = Instant::now();
    let count = |connections: u64| {
        let worker = &registry.workers[0];
        worker.listeners[0].sessions.add(connections);
        worker.servers[0].bytes_in.add(10 * connections);
        worker.pools[0].sessions.add(connections);
        worker.endings[0].add(connections);
    };
    let second = Duration::from_secs(1);
    registry.sample(start);
    count(7);
    for average in [
        &registry.pools[0].averages,
        &registry.pools[0].servers[0].averages,
    ] {
        average.total.add(30);
    }
    assert!(registry.listeners[0].up() && registry.listeners[0].up());
    registry.listeners[0].mark();
    registry.listeners[0].down();
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
