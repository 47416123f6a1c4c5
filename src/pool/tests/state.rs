//! States, backups, slow start, resets, names, numbers, and the queue one step at a time.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn servers_start_unknown_or_up_by_their_check() {
    let now = Instant::now();
    let pool = Pool::new(settings(Balance::Leastconn, 2), 0, 0, 0, now);
    assert_eq!(pool.usable(), (0, 0));
    assert!(matches!(choose(&pool), Choice::NoServer));
    let mut unchecked = settings(Balance::Leastconn, 2);
    unchecked.check.kind = CheckKind::None;
    unchecked.servers[1].address.host = Host::Name("rabbit.invalid".to_owned());
    let pool = Pool::new(unchecked, 7, 0, 0, now);
    assert_eq!(pool.id(), 7);
    let states: Vec<_> = pool
        .snapshot(now)
        .iter()
        .map(|server| server.state)
        .collect();
    assert_eq!(states, [State::Up, State::Unknown]);
    assert_eq!(pool.usable(), (1, 0));
    assert!(pool.is_undecided());

    let change = pool.set_address(1, None, now).unwrap();
    assert_eq!((change.from, change.to), (State::Unknown, State::Down));
    assert!(!pool.is_undecided());
    let address = "192.0.2.9:5672".parse().unwrap();
    let change = pool.set_address(1, Some(address), now).unwrap();
    assert_eq!((change.from, change.to), (State::Down, State::Up));
    assert_eq!(pool.usable(), (2, 0));
    // The last good answer is kept.
    assert_eq!(pool.set_address(1, None, now), None);
    assert_eq!(pool.address(1), Some(address));
}

#[test]
fn a_lease_keeps_the_address_it_was_given() {
    let pool = up(settings(Balance::Leastconn, 1));
    let before = lease(&pool);
    let new = "198.51.100.7:5673".parse().unwrap();
    assert_eq!(pool.set_address(0, Some(new), Instant::now()), None);
    assert_eq!(before.address, "192.0.2.0:5672".parse().unwrap());
    assert_eq!(lease(&pool).address, new);
}

#[test]
fn states_follow_health_and_operator() {
    use State::{Down, Drain, Maint, Unknown, Up};
    let table = [
        (Health::Unknown, [Unknown, Unknown, Maint]),
        (Health::Up, [Up, Drain, Maint]),
        (Health::Down, [Down, Down, Maint]),
    ];
    for (health, states) in table {
        let admins = [Admin::Ready, Admin::Drain, Admin::Maint];
        assert_eq!(admins.map(|admin| State::of(health, admin)), states);
    }
}

#[test]
fn backups_serve_only_while_nobody_else_is_usable() {
    for balance in ALGORITHMS {
        let mut settings = limited(balance, &[1, 1, 0, 0]);
        settings.servers[2].backup = true;
        settings.servers[3].backup = true;
        let pool = up(settings);
        assert_eq!(pool.usable(), (2, 2));
        let open = [lease(&pool), lease(&pool)];
        assert!(open.iter().all(|lease| lease.index() < 2));
        // Full is not unusable.
        let mut waiting = wait(&pool);
        let bell = Arc::new(Bell::default());
        assert!(poll(&mut waiting, &bell).is_pending());
        let now = Instant::now();
        pool.report(0, report(Some(Health::Down)), now);
        assert!(!bell.has_rung());
        pool.set_admin(1, Admin::Drain, "by hand", now);
        assert!(bell.has_rung(), "{balance:?}: the backups have room");
        let Poll::Ready(Some(handed)) = poll(&mut waiting, &bell) else {
            panic!("{balance:?}");
        };
        assert!(handed.index() >= 2);
        pool.set_admin(1, Admin::Ready, "by hand", now);
        drop(open);
        assert_eq!(lease(&pool).index(), 1, "{balance:?}");
    }
}

/// A backup that still has old connections does not hand their slots to those who wait for the
/// servers.
#[test]
fn a_slot_of_a_backup_is_not_handed_over_while_servers_are_usable() {
    let mut settings = limited(Balance::Leastconn, &[1, 1]);
    settings.servers[1].backup = true;
    let pool = up(settings);
    let now = Instant::now();
    pool.report(0, report(Some(Health::Down)), now);
    let on_backup = lease(&pool);
    pool.report(0, report(Some(Health::Up)), now);
    let on_server = lease(&pool);
    let mut waiting = wait(&pool);
    let bell = Arc::new(Bell::default());
    drop(on_backup);
    assert!(poll(&mut waiting, &bell).is_pending());
    drop(on_server);
    assert!(matches!(poll(&mut waiting, &bell), Poll::Ready(Some(lease)) if lease.index() == 0));
}

#[test]
fn a_weight_of_zero_takes_no_connection() {
    for balance in ALGORITHMS {
        let pool = up(weighted(balance, &[0, 100]));
        assert_eq!(pool.usable(), (1, 0));
        for client in 0..50 {
            let Choice::Leased(lease) = choose_by(&pool, client, u64::from(client) << 60, &[])
            else {
                panic!("{balance:?}");
            };
            assert_eq!(lease.index(), 1);
        }
    }
}

#[test]
fn going_down_revokes_leases_once() {
    let pool = up(settings(Balance::Leastconn, 1));
    let before = lease(&pool);
    let now = Instant::now();
    pool.set_admin(0, Admin::Maint, "by hand", now);
    assert!(!before.seat.is_revoked(), "the operator resets nothing");
    pool.set_admin(0, Admin::Drain, "by hand", now);
    let change = pool.report(0, report(Some(Health::Down)), now).unwrap();
    assert_eq!((change.from, change.to), (State::Drain, State::Down));
    assert_eq!(change.reason, "connection refused");
    assert!(
        before.seat.is_revoked(),
        "draining servers can fail as well"
    );
    pool.set_admin(0, Admin::Ready, "by hand", now);
    pool.report(0, report(Some(Health::Up)), now);
    assert!(before.seat.is_revoked());
    assert!(!lease(&pool).seat.is_revoked());

    let mut keep = settings(Balance::Leastconn, 1);
    keep.on_down = OnDown::Keep;
    let pool = up(keep);
    let before = lease(&pool);
    pool.report(0, report(Some(Health::Down)), now);
    assert!(!before.seat.is_revoked());

    let pool = up(settings(Balance::Leastconn, 1));
    let before = lease(&pool);
    let goodbye = Report {
        leaving: true,
        ..report(Some(Health::Down))
    };
    let change = pool.report(0, goodbye, now).unwrap();
    assert_eq!(change.to, State::Down);
    assert!(
        !before.seat.is_revoked(),
        "a server that leaves closes its connections itself"
    );
}

#[test]
fn slow_start_ramps_weight_and_limit_after_down() {
    let mut settings = limited(Balance::Roundrobin, &[20, 0]);
    settings.slow_start = 10 * SECOND;
    let pool = up(settings);
    let start = Instant::now();
    let weight = |at| pool.snapshot(at)[0].effective_weight;
    assert_eq!(weight(start), 100, "not at process start");
    pool.report(0, report(Some(Health::Down)), start);
    pool.report(0, report(Some(Health::Up)), start);
    assert_eq!(weight(start), 1);

    let mut open = Vec::new();
    let mut fill = |at: Duration| {
        pool.tick(start + at);
        open.extend((0..100).map(|_| lease(&pool)));
        (weight(start + at), pool.snapshot(start + at)[0].open)
    };
    assert_eq!(fill(Duration::ZERO).1, 1);
    assert_eq!(fill(5 * SECOND), (50, 10));
    assert_eq!(fill(10 * SECOND), (100, 20));
    assert_eq!(fill(60 * SECOND), (100, 20));
}

/// As in HAProxy 2.6, where a server that drains goes on with its slow start.
#[test]
fn slow_start_follows_maintenance_and_not_draining() {
    let mut settings = settings(Balance::Leastconn, 2);
    settings.slow_start = 10 * SECOND;
    let pool = up(settings);
    let start = Instant::now();
    let weight_after = |admins: &[Admin], at| {
        pool.tick(at);
        for admin in admins {
            pool.set_admin(0, *admin, "by hand", at);
        }
        pool.snapshot(at)[0].effective_weight
    };
    assert_eq!(weight_after(&[Admin::Drain], start), 100);
    assert_eq!(weight_after(&[Admin::Ready], start), 100);
    assert_eq!(weight_after(&[Admin::Maint], start), 100);
    assert_eq!(weight_after(&[Admin::Ready], start), 1);
    let open: Vec<_> = (0..20).map(|_| lease(&pool)).collect();
    let of_0 = open.iter().filter(|lease| lease.index() == 0).count();
    assert_eq!(of_0, 1, "leastconn gives it one, and then by weight");
    assert_eq!(weight_after(&[], start + 5 * SECOND), 50);
    let drained = [Admin::Drain, Admin::Ready];
    assert_eq!(weight_after(&drained, start + 5 * SECOND), 50);
    assert_eq!(weight_after(&[], start + 10 * SECOND), 100);
    let again = [Admin::Maint, Admin::Maint, Admin::Drain];
    assert_eq!(weight_after(&again, start + 10 * SECOND), 1);
    assert_eq!(weight_after(&[Admin::Ready], start + 20 * SECOND), 100);

    // One that is down begins when it is up.
    let late = start + 30 * SECOND;
    pool.report(0, report(Some(Health::Down)), late);
    let there_and_back = [Admin::Maint, Admin::Ready];
    assert_eq!(weight_after(&there_and_back, late), 100);
    pool.begin_slow_start(0, late);
    pool.report(0, report(Some(Health::Up)), late + 10 * SECOND);
    assert_eq!(weight_after(&[], late + 15 * SECOND), 50);
}

#[test]
fn slow_start_gives_a_rising_share() {
    for balance in [Balance::Roundrobin, Balance::Random, Balance::Source] {
        let mut settings = settings(balance, 2);
        settings.slow_start = 100 * SECOND;
        let pool = up(settings);
        let start = Instant::now();
        pool.report(0, report(Some(Health::Down)), start);
        pool.report(0, report(Some(Health::Up)), start);
        let mut numbers = Numbers(7);
        // A weight of w beside 100 gets w / (100 + w); source gives it w / 100 of its own half.
        for (at, low, high) in [(0, 0, 30), (25, 95, 250), (50, 210, 385), (100, 450, 550)] {
            pool.tick(start + at * SECOND);
            let share = (0..1000)
                .filter(|&client| {
                    let choice = choose_by(&pool, client, numbers.next(), &[]);
                    leased(choice).index() == 0
                })
                .count();
            assert!(
                (low..=high).contains(&share),
                "{balance:?} after {at} s: {share}"
            );
        }
    }
}

/// A turn that was far away because of a small weight comes nearer as the weight rises.
#[test]
fn roundrobin_forgets_the_small_weight_of_a_slow_start() {
    let mut settings = settings(Balance::Roundrobin, 2);
    settings.slow_start = SECOND;
    let pool = up(settings);
    let start = Instant::now();
    pool.report(0, report(Some(Health::Down)), start);
    pool.report(0, report(Some(Health::Up)), start);
    pool.tick(start + SECOND);
    let turns: Vec<_> = (0..20).map(|_| lease(&pool).index()).collect();
    let of_0 = turns.iter().filter(|&&server| server == 0).count();
    assert_eq!(of_0, 10, "{turns:?}");
}

#[test]
fn a_rising_limit_serves_the_queue() {
    let mut settings = limited(Balance::Leastconn, &[10]);
    settings.slow_start = 10 * SECOND;
    let pool = up(settings);
    let start = Instant::now();
    pool.report(0, report(Some(Health::Down)), start);
    pool.report(0, report(Some(Health::Up)), start);
    let _open = lease(&pool);
    let mut waiting = wait(&pool);
    let bell = Arc::new(Bell::default());
    assert!(poll(&mut waiting, &bell).is_pending());
    pool.tick(start + SECOND);
    assert!(!bell.has_rung());
    pool.tick(start + 2 * SECOND);
    assert!(bell.has_rung());
    assert!(matches!(poll(&mut waiting, &bell), Poll::Ready(Some(_))));
}

#[test]
fn the_queue_is_bounded_and_first_come_first_served() {
    let pool = up(limited(Balance::Leastconn, &[1]));
    let mut holder = Some(lease(&pool));
    let mut queue: Vec<_> = (0..4).map(|_| wait(&pool)).collect();
    assert!(matches!(choose(&pool), Choice::QueueFull));
    assert_eq!(pool.queued(), (4, 4));
    let bells: Vec<_> = (0..4).map(|_| Arc::new(Bell::default())).collect();
    for (waiting, bell) in queue.iter_mut().zip(&bells) {
        assert!(poll(waiting, bell).is_pending());
    }
    for (at, waiting) in queue.iter_mut().enumerate() {
        drop(holder.take());
        let rung: Vec<_> = bells.iter().map(|bell| bell.has_rung()).collect();
        assert_eq!(rung, (0..4).map(|other| other <= at).collect::<Vec<_>>());
        let Poll::Ready(handed) = poll(waiting, &bells[at]) else {
            panic!("rung, but not ready");
        };
        holder = handed;
    }
    assert_eq!(pool.queued(), (0, 4));
    assert_eq!(pool.snapshot(Instant::now())[0].open, 1);
}

#[test]
fn a_slot_that_was_handed_to_one_who_leaves_goes_to_the_next() {
    let pool = up(limited(Balance::Leastconn, &[1]));
    let holder = lease(&pool);
    let (first, second, mut third) = (wait(&pool), wait(&pool), wait(&pool));
    let bell = Arc::new(Bell::default());
    assert!(poll(&mut third, &bell).is_pending());
    drop(second);
    drop(holder);
    assert!(!bell.has_rung());
    drop(first);
    assert!(bell.has_rung());
    drop(third);
    assert_eq!(pool.snapshot(Instant::now())[0].open, 0);
}

#[test]
fn waiters_learn_that_there_is_no_hope() {
    let pool = up(limited(Balance::Leastconn, &[1, 1]));
    let open = [lease(&pool), lease(&pool)];
    let Choice::Wait(mut picky) = choose_by(&pool, 0, 0, &[0]) else {
        panic!("server 1 is full");
    };
    let mut plain = wait(&pool);
    let bells = [(); 2].map(|()| Arc::new(Bell::default()));
    assert!(poll(&mut picky, &bells[0]).is_pending());
    assert!(poll(&mut plain, &bells[1]).is_pending());
    pool.report(1, report(Some(Health::Down)), Instant::now());
    assert!(bells[0].has_rung() && !bells[1].has_rung());
    assert!(matches!(poll(&mut picky, &bells[0]), Poll::Ready(None)));
    pool.set_admin(0, Admin::Maint, "by hand", Instant::now());
    assert!(matches!(poll(&mut plain, &bells[1]), Poll::Ready(None)));
    drop(open);
}

#[test]
fn a_slot_passes_over_who_tried_its_server() {
    let pool = up(limited(Balance::Leastconn, &[1, 1]));
    let [on_0, on_1] = [lease(&pool), lease(&pool)];
    let Choice::Wait(mut picky) = choose_by(&pool, 0, 0, &[0]) else {
        panic!("server 1 is full");
    };
    let mut plain = wait(&pool);
    let bell = Arc::new(Bell::default());
    drop(on_0);
    assert!(poll(&mut picky, &bell).is_pending());
    assert!(matches!(poll(&mut plain, &bell), Poll::Ready(Some(lease)) if lease.index() == 0));
    drop(on_1);
    assert!(matches!(poll(&mut picky, &bell), Poll::Ready(Some(lease)) if lease.index() == 1));
}

#[test]
fn snapshots_count() {
    let start = Instant::now();
    let pool = Pool::new(settings(Balance::Leastconn, 1), 0, 0, 0, start);
    pool.report(0, report(Some(Health::Up)), start + SECOND);
    drop([lease(&pool), lease(&pool)]);
    let failed = || report(Some(Health::Down));
    let failing = Report {
        health: None,
        ..failed()
    };
    assert_eq!(pool.report(0, failing, start + 2 * SECOND), None);
    pool.report(0, failed(), start + 3 * SECOND);
    pool.report(
        0,
        Report {
            health: None,
            ..failed()
        },
        start + 4 * SECOND,
    );
    let [down] = &pool.snapshot(start + 5 * SECOND)[..] else {
        panic!("one server");
    };
    assert_eq!((down.open, down.open_max, down.leased_total), (0, 2, 2));
    assert_eq!((down.checks_failed, down.downs), (2, 1));
    assert_eq!(
        (down.downtime, down.since),
        (2 * SECOND, start + 3 * SECOND)
    );
    assert_eq!(down.check.as_ref().unwrap().at, start + 4 * SECOND);
    pool.report(0, report(Some(Health::Up)), start + 6 * SECOND);
    let [up] = &pool.snapshot(start + 60 * SECOND)[..] else {
        panic!("one server");
    };
    assert_eq!(
        (up.downtime, up.since, up.state),
        (3 * SECOND, start + 6 * SECOND, State::Up)
    );
}

#[test]
#[should_panic(expected = "given back twice")]
fn a_slot_that_is_given_back_twice_is_noticed() {
    let pool = up(settings(Balance::Leastconn, 1));
    pool.with(|inside| inside.table.release(0));
}

#[test]
fn leases_and_waits_can_cross_threads() {
    fn is_send<T: Send>() {}
    is_send::<Lease>();
    is_send::<Waiting>();
}

#[test]
fn a_weight_can_be_set_and_zero_takes_nothing_new() {
    let now = Instant::now();
    for balance in [Balance::Leastconn, Balance::Roundrobin, Balance::Random] {
        let pool = up(settings(balance, 2));
        pool.set_weight(0, 0, now);
        assert_eq!(pool.usable(), (1, 0));
        assert!((0..20).all(|_| lease(&pool).index() == 1));
        pool.set_weight(1, 0, now);
        assert!(matches!(choose(&pool), Choice::NoServer));
        pool.set_weight(0, 256, now);
        assert_eq!(lease(&pool).index(), 0);
        let weights = pool.snapshot(now);
        let weights: Vec<_> = weights
            .iter()
            .map(|server| (server.weight, server.effective_weight))
            .collect();
        assert_eq!(weights, [(256, 256), (0, 0)]);
    }
}

#[test]
fn a_lower_weight_sends_a_part_of_the_clients_of_source_elsewhere() {
    let pool = up(settings(Balance::Source, 2));
    let share = || {
        let homes = (0..10_000).map(|client| leased(choose_by(&pool, client, 0, &[])).index());
        homes.filter(|&home| home == 0).count()
    };
    assert!((4_500..5_500).contains(&share()));
    pool.set_weight(0, 50, Instant::now());
    // A half of its half, and it wins back some of those that the coin sent on.
    assert!((2_800..3_800).contains(&share()), "{}", share());
    pool.set_weight(0, 100, Instant::now());
    assert!((4_500..5_500).contains(&share()));
}

#[test]
fn a_weight_or_limit_that_is_set_during_a_slow_start_goes_on_with_it() {
    let start = Instant::now();
    let mut settings = limited(Balance::Leastconn, &[100]);
    settings.slow_start = 10 * SECOND;
    let pool = up(settings);
    pool.report(0, report(Some(Health::Down)), start);
    pool.report(0, report(Some(Health::Up)), start);
    let middle = start + 5 * SECOND;
    pool.set_weight(0, 200, middle);
    pool.set_limit(0, 50, middle);
    let server = &pool.snapshot(middle)[0];
    assert_eq!((server.weight, server.effective_weight), (200, 100));
    assert_eq!(server.limit, 50);
    let open: Vec<_> = (0..25).map(|_| lease(&pool)).collect();
    let mut waiting = wait(&pool);
    let bell = Arc::new(Bell::default());
    assert!(poll(&mut waiting, &bell).is_pending());
    drop(open);
    assert!(bell.has_rung());
}

#[test]
fn a_limit_that_is_raised_lets_in_who_waits() {
    let now = Instant::now();
    let pool = up(limited(Balance::Leastconn, &[1]));
    let _open = lease(&pool);
    let bell = Arc::new(Bell::default());
    let mut waiting: Vec<_> = (0..3).map(|_| wait(&pool)).collect();
    for waiting in &mut waiting {
        assert!(poll(waiting, &bell).is_pending());
    }
    pool.set_limit(0, 2, now);
    assert!(bell.has_rung());
    let first = poll(&mut waiting[0], &bell);
    assert!(matches!(first, Poll::Ready(Some(_))));
    assert!(poll(&mut waiting[1], &bell).is_pending());
    pool.set_limit(0, 0, now);
    assert!(matches!(poll(&mut waiting[2], &bell), Poll::Ready(Some(_))));
    // A lower one cuts nobody off.
    let open = lease(&pool);
    pool.set_limit(0, 1, now);
    assert!(matches!(choose(&pool), Choice::Wait(_)));
    assert!(!open.seat.is_revoked() && !open.seat.is_ended());
}

#[test]
fn an_operator_ends_the_connections_that_are_open_and_no_later_ones() {
    let pool = up(settings(Balance::Roundrobin, 2));
    let before = [lease(&pool), lease(&pool)];
    pool.end_connections(&before[0].seat.server().name);
    assert!(before[0].seat.is_ended() && !before[1].seat.is_ended());
    assert!(!before[0].seat.is_revoked());
    let after = [lease(&pool), lease(&pool)];
    assert!(after.iter().all(|lease| !lease.seat.is_ended()));
}
