//! Does each algorithm give every server its share, smoothly, and avoid what was tried?

use super::*;

/// Counts which servers `connections` requests get; each lease is kept if `keep` says so.
fn count(pool: &Arc<Pool>, connections: u32, keep: bool) -> Vec<u32> {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut counts = vec![0; pool.setup().servers.len()];
    let mut open = Vec::new();
    for client in 0..connections {
        let lease = leased(choose_by(pool, client, numbers.next(), &[]));
        counts[lease.index()] += 1;
        if keep {
            open.push(lease);
        }
    }
    counts
}

#[test]
fn weights_give_shares_within_one_percent() {
    let weights = [1, 50, 100, 149, 200];
    let total: u32 = weights.iter().map(|&weight| u32::from(weight)).sum();
    let connections = 200_000;
    for (balance, keep) in [
        (Balance::Leastconn, true),
        (Balance::Roundrobin, true),
        (Balance::Roundrobin, false),
        (Balance::Random, true),
        (Balance::Random, false),
        (Balance::Source, false),
    ] {
        let counts = count(&up(weighted(balance, &weights)), connections, keep);
        for (&weight, &got) in weights.iter().zip(&counts) {
            let expected = f64::from(connections) * f64::from(weight) / f64::from(total);
            let off = (f64::from(got) - expected).abs() / f64::from(connections);
            assert!(
                off < 0.01,
                "{balance:?} weight {weight}: {got} of {expected}"
            );
        }
    }
}

#[test]
fn equals_take_turns() {
    for balance in [Balance::Leastconn, Balance::Roundrobin] {
        let pool = up(settings(balance, 4));
        let turns: Vec<_> = (0..12).map(|_| lease(&pool).index()).collect();
        assert_eq!(turns, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3], "{balance:?}");
        let open: Vec<_> = (0..8).map(|_| lease(&pool)).collect();
        let turns: Vec<_> = open.iter().map(Lease::index).collect();
        assert_eq!(turns, [0, 1, 2, 3, 0, 1, 2, 3], "{balance:?}, kept open");
    }
}

#[test]
fn roundrobin_puts_light_servers_between_the_turns_of_heavy_ones() {
    let pool = up(weighted(Balance::Roundrobin, &[5, 1, 1]));
    let turns: Vec<_> = (0..14).map(|_| lease(&pool).index()).collect();
    assert_eq!(turns, [0, 0, 0, 1, 2, 0, 0].repeat(2));
}

#[test]
fn leastconn_fills_the_emptiest() {
    let pool = up(settings(Balance::Leastconn, 3));
    let mut open: Vec<_> = (0..9).map(|_| lease(&pool)).collect();
    open.retain(|lease| lease.index() != 1);
    let refill: Vec<_> = (0..3).map(|_| lease(&pool)).collect();
    assert!(refill.iter().all(|lease| lease.index() == 1));
}

#[test]
fn first_fills_one_server_after_the_other() {
    let pool = up(limited(Balance::First, &[2, 1, 0]));
    let mut open: Vec<_> = (0..5).map(|_| lease(&pool)).collect();
    let order: Vec<_> = open.iter().map(Lease::index).collect();
    assert_eq!(order, [0, 0, 1, 2, 2]);
    open.remove(1);
    assert_eq!(lease(&pool).index(), 0);
}

/// The larger of two random loads stays close to the average: with one random choice the fullest
/// of 100 servers would have some 130 of 100 on average.
#[test]
fn two_choices_keep_the_fullest_server_close_to_the_average() {
    let counts = count(&up(settings(Balance::Random, 100)), 10_000, true);
    assert!(
        counts.iter().all(|&got| (95..=105).contains(&got)),
        "{counts:?}"
    );
}

#[test]
fn random_uses_what_has_room() {
    let pool = up(limited(Balance::Random, &[1, 1, 1, 1000]));
    let counts = count(&pool, 1003, true);
    assert_eq!(counts, [1, 1, 1, 1000]);
}

fn homes(pool: &Arc<Pool>) -> Vec<usize> {
    (0..20_000)
        .map(|client| leased(choose_by(pool, client, 0, &[])).index())
        .collect()
}

#[test]
fn source_moves_only_the_clients_of_a_server_that_leaves() {
    let pool = up(settings(Balance::Source, 10));
    let before = homes(&pool);
    pool.report(3, report(Some(Health::Down)), Instant::now());
    let without = homes(&pool);
    for (&before, &without) in before.iter().zip(&without) {
        assert!(without != 3);
        assert!(
            before == without || before == 3,
            "a client moved from {before}"
        );
    }
    let moved = before.iter().filter(|&&server| server == 3).count();
    assert!(
        (1_800..2_200).contains(&moved),
        "{moved} of 20,000 clients moved"
    );
    pool.report(3, report(Some(Health::Up)), Instant::now());
    assert_eq!(before, homes(&pool), "everybody returns");
}

#[test]
fn source_moves_few_clients_when_the_file_gains_a_server() {
    let before = homes(&up(settings(Balance::Source, 10)));
    let after = homes(&up(settings(Balance::Source, 11)));
    let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
    // One eleventh has to move; a few more lose the race for a slot.
    assert!(
        (1_700..3_400).contains(&moved),
        "{moved} of 20,000 clients moved"
    );
}

#[test]
fn source_finds_the_last_server_of_a_large_pool() {
    let pool = up(settings(Balance::Source, 500));
    for server in 0..499 {
        pool.report(server, report(Some(Health::Down)), Instant::now());
    }
    assert!(homes(&pool).iter().all(|&server| server == 499));
}

#[test]
fn source_treats_a_mapped_address_as_ipv4() {
    let pool = up(settings(Balance::Source, 50));
    for client in 0..200 {
        let v4 = Ipv4Addr::from_bits(client);
        let [plain, mapped] = [v4.into(), v4.to_ipv6_mapped().into()].map(|client| {
            let request = Request {
                client,
                draw: 0,
                tried: &[],
            };
            leased(pool.choose(&request)).index()
        });
        assert_eq!(plain, mapped);
    }
}

#[test]
fn tried_servers_are_avoided() {
    for balance in ALGORITHMS {
        let pool = up(settings(balance, 4));
        for client in 0..100 {
            let Choice::Leased(lease) =
                choose_by(&pool, client, u64::from(client) << 26, &[2, 0, 2, 77, 1])
            else {
                panic!("{balance:?}");
            };
            assert_eq!(lease.index(), 3, "{balance:?}");
        }
        let all = choose_by(&pool, 1, 1, &[3, 2, 1, 0]);
        assert!(matches!(all, Choice::NoServer), "{balance:?}");
    }
}

/// Whoever was away does not get a burst of all the turns it missed.
#[test]
fn roundrobin_does_not_catch_up_on_missed_turns() {
    let mut settings = settings(Balance::Roundrobin, 3);
    settings.servers[0].max_connections = 1;
    let pool = up(settings);
    pool.report(0, report(Some(Health::Down)), Instant::now());
    count(&pool, 1000, false);
    pool.report(0, report(Some(Health::Up)), Instant::now());
    assert_eq!(
        count(&pool, 300, false),
        [100, 100, 100],
        "after being down"
    );

    let full = std::iter::repeat_with(|| lease(&pool)).find(|lease| lease.index() == 0);
    count(&pool, 1000, false);
    drop(full);
    assert_eq!(
        count(&pool, 300, false),
        [100, 100, 100],
        "after being full"
    );
}
