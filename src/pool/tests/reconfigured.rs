//! Another configuration for a pool that is in use.

use super::*;

fn at(pool: &Pool, name: &str) -> usize {
    let setup = pool.setup();
    let mut servers = setup.servers.iter();
    servers.position(|server| *server.name == *name).unwrap()
}

/// By name: what statistics say of a server.
fn shown(pool: &Pool, name: &str) -> ServerSnapshot {
    pool.snapshot(Instant::now()).remove(at(pool, name))
}

fn reconfigure(pool: &Pool, settings: &config::Pool) {
    pool.reconfigure(settings, 0, Instant::now());
}

#[test]
fn what_stays_keeps_its_connections_and_what_an_operator_has_set() {
    for balance in ALGORITHMS {
        let mut settings = settings(balance, 3);
        let pool = up(settings.clone());
        let leases: Vec<_> = (0..6)
            .map(|client| leased(choose_by(&pool, client, u64::from(client) << 60, &[])))
            .collect();
        let names: Vec<_> = leases
            .iter()
            .map(|lease| lease.seat.server().name.clone())
            .collect();
        pool.set_weight(1, 7, Instant::now());
        pool.set_admin(2, Admin::Drain, "test", Instant::now());
        // In another order, with one more in front.
        settings.servers.reverse();
        let mut new = settings.servers[0].clone();
        "new".clone_into(&mut new.name);
        new.address.port += 100;
        settings.servers.insert(0, new);
        reconfigure(&pool, &settings);
        for name in &settings.servers[1..] {
            let open = names.iter().filter(|one| ***one == *name.name).count();
            assert_eq!(shown(&pool, &name.name).open as usize, open, "{balance:?}");
            assert_eq!(shown(&pool, &name.name).health, Health::Up);
        }
        assert_eq!(shown(&pool, &settings.servers[2].name).weight, 7);
        assert_eq!(shown(&pool, &settings.servers[1].name).admin, Admin::Drain);
        assert_eq!(shown(&pool, "new").health, Health::Unknown);
        assert_eq!(pool.usable(), (2, 0));
        drop(leases);
        assert!(
            pool.snapshot(Instant::now())
                .iter()
                .all(|server| server.open == 0)
        );
    }
}

#[test]
fn what_the_file_says_anew_counts() {
    let mut settings = settings(Balance::Leastconn, 2);
    let pool = up(settings.clone());
    pool.set_weight(0, 7, Instant::now());
    pool.set_limit(1, 3, Instant::now());
    settings.servers[0].weight = 50;
    settings.servers[1].max_connections = 9;
    settings.servers[1].backup = true;
    reconfigure(&pool, &settings);
    let servers = pool.snapshot(Instant::now());
    assert_eq!((servers[0].weight, servers[1].limit), (50, 9));
    assert_eq!(pool.usable(), (1, 1));
    assert_eq!(lease(&pool).index(), 0);
}

#[test]
fn who_is_removed_serves_until_it_is_retired_and_keeps_its_connections() {
    let mut settings = settings(Balance::First, 2);
    let pool = up(settings.clone());
    let old = lease(&pool);
    assert_eq!(old.index(), 0);
    settings.servers.remove(0);
    // The one that stays is out of order: nobody but the removed one can serve.
    pool.set_admin(1, Admin::Maint, "test", Instant::now());
    reconfigure(&pool, &settings);
    assert_eq!(pool.snapshot(Instant::now()).len(), 1);
    let second = lease(&pool);
    assert!(Arc::ptr_eq(second.seat.server(), old.seat.server()));
    pool.retire(Instant::now());
    assert!(matches!(choose(&pool), Choice::NoServer));
    // Another one comes and goes meanwhile; the slots are given back to whom they belong.
    settings.max_queue += 1;
    reconfigure(&pool, &settings);
    drop(old);
    settings.servers[0].weight = 3;
    reconfigure(&pool, &settings);
    drop(second);
    reconfigure(&pool, &settings);
    assert_eq!(
        pool.with(|inside| inside.servers.len()),
        1,
        "it is forgotten"
    );
}

#[test]
fn who_is_not_retired_yet_serves_on_through_another_configuration() {
    let both = settings(Balance::First, 2);
    let mut one = both.clone();
    one.servers.remove(0);
    let mut new = one.clone();
    new.servers[0].address.port += 1;
    let pool = up(both.clone());
    let first = leased(choose(&pool)).seat.server().clone();
    pool.set_weight(0, 7, Instant::now());
    // The next ones come before the new server of the first has been checked: nobody else serves.
    reconfigure(&pool, &new);
    pool.with(|inside| assert_eq!(inside.servers.len(), 3));
    new.max_queue += 1;
    reconfigure(&pool, &new);
    assert!(Arc::ptr_eq(lease(&pool).seat.server(), &first));
    // It is in the file again and has never been away.
    reconfigure(&pool, &both);
    assert_eq!(pool.usable(), (2, 0));
    let back = shown(&pool, &first.name);
    assert_eq!((back.health, back.weight), (Health::Up, 7));
    assert!(Arc::ptr_eq(lease(&pool).seat.server(), &first));
}

#[test]
fn an_address_that_an_operator_has_set_stays() {
    let mut settings = settings(Balance::First, 1);
    settings.servers[0].address.host = Host::Name("rabbit.invalid".to_owned());
    let pool = up(settings.clone());
    let [resolved, set]: [SocketAddr; 2] =
        ["192.0.2.1:5672", "10.0.0.9:5672"].map(|text| text.parse().unwrap());
    let now = Instant::now();
    pool.set_address(0, Some(resolved), now);
    assert!(!shown(&pool, "rabbit-0").overridden);
    pool.override_address(0, set, now);
    settings.check.fall += 1;
    reconfigure(&pool, &settings);
    // Whoever checks it begins anew, and looks its name up.
    pool.set_address(0, None, now);
    pool.set_address(0, Some(resolved), now);
    assert_eq!(pool.address(0), Some(set));
    assert!(shown(&pool, "rabbit-0").overridden);
    // Another one in the file counts.
    settings.servers[0].address.port += 1;
    reconfigure(&pool, &settings);
    assert_eq!(pool.address(0), None);
    pool.set_address(0, Some(resolved), now);
    assert_eq!(pool.address(0), Some(resolved));
}

#[test]
fn suspicions_are_told_to_the_last_watcher() {
    let pool = up(settings(Balance::First, 1));
    let server = Arc::clone(&pool.setup().servers[0]);
    let bells = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    for bell in bells.clone() {
        server.set_watcher(move || bell.store(true, Ordering::Relaxed));
    }
    server.suspect();
    assert_eq!(
        bells.map(|bell| bell.load(Ordering::Relaxed)),
        [false, true]
    );
}

#[test]
fn who_comes_back_is_checked_first() {
    let both = settings(Balance::Leastconn, 2);
    let mut one = both.clone();
    one.servers.remove(0);
    let pool = up(both.clone());
    let open = (0..2)
        .map(|_| lease(&pool))
        .find(|lease| lease.index() == 0);
    let open = open.unwrap();
    let address = pool.address(0);
    pool.set_address(0, Some("192.0.2.99:1".parse().unwrap()), Instant::now());
    pool.set_checked(0, false);
    reconfigure(&pool, &one);
    pool.retire(Instant::now());
    reconfigure(&pool, &both);
    // What was set at run time is forgotten.
    assert_eq!(pool.address(0), address);
    assert!(pool.is_checked(0));
    let back = pool.snapshot(Instant::now()).remove(0);
    assert_eq!(
        (back.health, back.open, back.weight),
        (Health::Unknown, 1, 100)
    );
    pool.report(0, report(Some(Health::Up)), Instant::now());
    assert_eq!(pool.usable(), (2, 0));
    drop(open);
    assert_eq!(pool.snapshot(Instant::now())[0].open, 0);
}

#[test]
fn another_address_is_another_server() {
    let mut settings = settings(Balance::Leastconn, 1);
    let pool = up(settings.clone());
    let open = lease(&pool);
    settings.servers[0].address.port += 1;
    reconfigure(&pool, &settings);
    let new = pool.snapshot(Instant::now()).remove(0);
    assert_eq!((new.open, new.health), (0, Health::Unknown));
    assert_eq!(new.address.unwrap().port(), open.address.port() + 1);
    // The old one goes on until the new one has been checked.
    assert_eq!(lease(&pool).address, open.address);
    pool.report(0, report(Some(Health::Up)), Instant::now());
    pool.retire(Instant::now());
    assert_ne!(lease(&pool).address, open.address);
}

#[test]
fn what_an_operator_has_set_stays_when_the_file_moves_a_server() {
    let first = settings(Balance::Leastconn, 2);
    let pool = up(first.clone());
    let now = Instant::now();
    let open = [lease(&pool), lease(&pool)];
    pool.set_admin(0, Admin::Maint, "test", now);
    pool.set_admin(1, Admin::Drain, "test", now);
    pool.set_weight(0, 7, now);
    pool.set_limit(0, 3, now);
    let admins = || {
        let servers = pool.snapshot(now).into_iter();
        servers.map(|server| server.admin).collect::<Vec<_>>()
    };
    let mut moved = first.clone();
    for server in &mut moved.servers {
        server.address.port += 100;
    }
    moved.servers[1].weight = 9;
    moved.servers.reverse();
    // Forth, and back again to where connections are left.
    for (settings, maint, weight) in [(&moved, 1, 9), (&first, 0, 100)] {
        reconfigure(&pool, settings);
        pool.retire(now);
        for place in 0..2 {
            pool.report(place, report(Some(Health::Up)), now);
        }
        assert_eq!(admins()[maint], Admin::Maint);
        assert_eq!(admins()[1 - maint], Admin::Drain);
        assert_eq!(pool.usable(), (0, 0));
        let servers = pool.snapshot(now);
        assert_eq!((servers[maint].weight, servers[maint].limit), (7, 3));
        assert_eq!(servers[1 - maint].weight, weight, "the file says so");
    }
    assert_eq!(pool.snapshot(now)[0].open, 1);
    drop(open);
}

#[test]
fn who_waits_goes_on_waiting_and_gets_what_a_reload_frees() {
    let mut settings = limited(Balance::Leastconn, &[1, 1]);
    let pool = up(settings.clone());
    let open = [lease(&pool), lease(&pool)];
    let bell = Arc::new(Bell::default());
    let mut waiting = wait(&pool);
    assert!(poll(&mut waiting, &bell).is_pending());
    settings.servers.reverse();
    reconfigure(&pool, &settings);
    assert!(!bell.has_rung() && poll(&mut waiting, &bell).is_pending());
    settings.servers[0].max_connections = 2;
    reconfigure(&pool, &settings);
    assert!(bell.has_rung());
    // The grant is fetched after the places have changed once more.
    settings.servers.reverse();
    reconfigure(&pool, &settings);
    let Poll::Ready(Some(lease)) = poll(&mut waiting, &bell) else {
        panic!("a lease");
    };
    assert_eq!(lease.index(), 1);
    drop((open, lease));
    assert!(
        pool.snapshot(Instant::now())
            .iter()
            .all(|server| server.open == 0)
    );
}

#[test]
fn who_is_held_serves_nobody_before_an_operator_says_so() {
    let mut settings = limited(Balance::Leastconn, &[1]);
    settings.check.kind = CheckKind::None;
    let pool = up(settings.clone());
    let open = lease(&pool);
    let bell = Arc::new(Bell::default());
    let mut waiting = wait(&pool);
    assert!(poll(&mut waiting, &bell).is_pending());
    settings.servers.push(server_settings(1));
    pool.hold_newcomers();
    reconfigure(&pool, &settings);
    assert!(!bell.has_rung() && poll(&mut waiting, &bell).is_pending());
    assert_eq!(pool.snapshot(Instant::now())[1].state, State::Maint);
    pool.set_admin(1, Admin::Ready, "test", Instant::now());
    assert!(bell.has_rung());
    // Only those of one configuration are held.
    settings.servers.push(server_settings(2));
    reconfigure(&pool, &settings);
    assert_eq!(pool.snapshot(Instant::now())[2].state, State::Up);
    drop((open, waiting));
}

#[test]
fn checks_come_and_go() {
    let mut settings = settings(Balance::Leastconn, 1);
    let pool = up(settings.clone());
    pool.report(0, report(Some(Health::Down)), Instant::now());
    settings.check.kind = CheckKind::None;
    reconfigure(&pool, &settings);
    assert_eq!(pool.usable(), (1, 0), "nothing can be said against it");
    settings.check.kind = CheckKind::Tcp;
    reconfigure(&pool, &settings);
    assert_eq!(pool.usable(), (1, 0), "until a check says otherwise");
}

#[test]
fn turns_go_on_through_a_reload() {
    let mut settings = settings(Balance::Roundrobin, 3);
    let pool = up(settings.clone());
    let mut counts = [0; 3];
    for round in 0..30 {
        counts[lease(&pool).index()] += 1;
        settings.max_queue = round;
        reconfigure(&pool, &settings);
    }
    assert_eq!(counts, [10, 10, 10]);
}

/// Names and numbers of the servers, in the order of the file.
fn numbered(pool: &Pool) -> Vec<(String, usize)> {
    let setup = pool.setup();
    let servers = setup.servers.iter();
    servers
        .map(|server| (server.name.to_string(), server.number))
        .collect()
}

/// The same with these names, each at an address of its own unless it is changed.
fn named(names: &[&str]) -> config::Pool {
    let mut settings = settings(Balance::Leastconn, 0);
    settings.servers = names
        .iter()
        .map(|name| {
            let letter = name.bytes().map(usize::from).next().unwrap();
            let mut server = server_settings(letter);
            (*name).clone_into(&mut server.name);
            server
        })
        .collect();
    settings
}

fn expect_numbers(pool: &Pool, expected: &[(&str, usize)]) {
    let expected = expected
        .iter()
        .map(|(name, number)| ((*name).to_owned(), *number));
    assert_eq!(numbered(pool), expected.collect::<Vec<_>>());
}

#[test]
fn a_server_keeps_its_number_wherever_it_is_in_the_file() {
    let pool = up(named(&["a", "b", "c"]));
    expect_numbers(&pool, &[("a", 1), ("b", 2), ("c", 3)]);
    reconfigure(&pool, &named(&["c", "x", "b"]));
    // `a` serves until it is retired: its number is not free before the next reload.
    expect_numbers(&pool, &[("c", 3), ("x", 4), ("b", 2)]);
    pool.retire(Instant::now());
    reconfigure(&pool, &named(&["y", "c", "x", "z", "b"]));
    expect_numbers(&pool, &[("y", 1), ("c", 3), ("x", 4), ("z", 5), ("b", 2)]);
}

#[test]
fn another_address_has_the_number_of_the_name() {
    let mut settings = named(&["a", "b"]);
    let pool = up(settings.clone());
    for _ in 0..3 {
        settings.servers[1].address.port += 1;
        reconfigure(&pool, &settings);
        pool.retire(Instant::now());
        expect_numbers(&pool, &[("a", 1), ("b", 2)]);
    }
}

#[test]
fn a_number_is_not_free_while_a_connection_has_it() {
    let pool = up(named(&["a"]));
    let open = lease(&pool);
    for names in [&["b"][..], &["b", "c"]] {
        reconfigure(&pool, &named(names));
        pool.retire(Instant::now());
    }
    expect_numbers(&pool, &[("b", 2), ("c", 3)]);
    assert_eq!(open.seat.server().number, 1);
    // Back again, elsewhere: the same name, the same number.
    let mut again = named(&["b", "a", "c"]);
    again.servers[1].address.port += 1;
    reconfigure(&pool, &again);
    expect_numbers(&pool, &[("b", 2), ("a", 1), ("c", 3)]);
    assert!(!Arc::ptr_eq(&pool.setup().servers[1], open.seat.server()));
    drop(open);
    reconfigure(&pool, &named(&["b", "c"]));
    pool.retire(Instant::now());
    reconfigure(&pool, &named(&["b", "c", "d"]));
    expect_numbers(&pool, &[("b", 2), ("c", 3), ("d", 1)]);
}

#[test]
fn a_pool_that_comes_back_goes_on_with_what_is_left_of_it() {
    let now = Instant::now();
    let mut settings = named(&["a", "b"]);
    settings.servers[0].max_connections = 1;
    let pool = up(settings.clone());
    let open = lease(&pool);
    assert_eq!(open.index(), 0);
    // The name of what has a connection is no other's, and neither is its number.
    let mut again = named(&["b", "c"]);
    again.servers.push(settings.servers[0].clone());
    reconfigure(&pool, &again);
    expect_numbers(&pool, &[("b", 2), ("c", 3), ("a", 1)]);
    assert_eq!(shown(&pool, "a").open, 1);
    assert_eq!(pool.usable(), (2, 0), "the new one is checked first");
    for place in 0..3 {
        pool.report(place, report(Some(Health::Up)), now);
    }
    let more: Vec<_> = (0..4).map(|_| lease(&pool).index()).collect();
    assert!(!more.contains(&2), "it is full: {more:?}");
    drop(open);
    assert_eq!(shown(&pool, "a").open, 0);
}

#[test]
fn who_is_removed_is_listed_while_it_has_connections_and_they_can_be_ended() {
    let pool = up(named(&["a"]));
    let open = [lease(&pool), lease(&pool)];
    let mut elsewhere = named(&["b", "a"]);
    elsewhere.servers[1].address.port += 1;
    reconfigure(&pool, &elsewhere);
    pool.retire(Instant::now());
    let removed = || {
        let connected = pool.connected(pool.setup().servers.len()).into_iter();
        let connected = connected.map(|(server, _, open)| (server.name.to_string(), open));
        connected.collect::<Vec<_>>()
    };
    assert_eq!(removed(), [("a".to_owned(), 2)]);
    pool.report(0, report(Some(Health::Up)), Instant::now());
    let other = lease(&pool);
    pool.end_connections("a");
    assert!(open.iter().all(|lease| lease.seat.is_ended()));
    assert!(!other.seat.is_ended());
    assert_eq!(pool.connected(0).len(), 2);
    drop(open);
    assert_eq!(removed(), []);
}
