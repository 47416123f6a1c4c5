//! Shares by tables, and a whole rebalance against a pool that chooses as warren's pools do.

use proptest::prelude::*;

use super::*;
use crate::stats::example;

/// A pool of usable servers with so many open connections each.
fn pool(open: &[u32]) -> PoolSnapshot {
    let example = example::snapshot().pools.swap_remove(0);
    let server = example.servers[0].clone();
    let servers = (1..).zip(open).map(|(number, open)| {
        let mut server = server.clone();
        server.name = format!("s{number}");
        (server.open.now, server.chosen) = (*open, 0);
        server
    });
    PoolSnapshot {
        servers: servers.collect(),
        ..example
    }
}

fn state(mut pool: PoolSnapshot, server: usize, state: State) -> PoolSnapshot {
    pool.servers[server].state = state;
    pool
}

fn weights(mut pool: PoolSnapshot, weights: &[u16]) -> PoolSnapshot {
    for (server, weight) in pool.servers.iter_mut().zip(weights) {
        (server.weight, server.effective_weight) = (*weight, *weight);
    }
    pool
}

fn rounded(pool: &PoolSnapshot) -> Vec<Option<u32>> {
    let shares = shares_of(pool).into_iter();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small"
    )]
    shares
        .map(|share| share.map(|share| share.round() as u32))
        .collect()
}

#[test]
fn shares_follow_the_weights_of_those_that_are_usable() {
    assert_eq!(rounded(&pool(&[60, 30, 0])), [Some(30); 3]);
    let unequal = weights(pool(&[60, 30, 0]), &[100, 50, 150]);
    assert_eq!(rounded(&unequal), [Some(30), Some(15), Some(45)]);
    // What is in maintenance, or has no weight, keeps what it has.
    let maint = state(pool(&[60, 30, 9]), 2, State::Maint);
    assert_eq!(rounded(&maint), [Some(45), Some(45), None]);
    let without = weights(pool(&[60, 30, 9]), &[100, 100, 0]);
    assert_eq!(rounded(&without), [Some(45), Some(45), None]);
}

#[test]
fn what_a_limit_keeps_out_goes_to_the_others() {
    let mut limited = pool(&[50, 40, 0]);
    limited.servers[2].open.limit = 10;
    assert_eq!(rounded(&limited), [Some(40), Some(40), Some(10)]);
    limited.servers[1].open.limit = 20;
    assert_eq!(rounded(&limited), [Some(60), Some(20), Some(10)]);
}

#[test]
fn backups_have_a_share_only_while_they_serve() {
    let mut pool = pool(&[10, 10, 20]);
    pool.servers[2].backup = true;
    assert_eq!(rounded(&pool), [Some(20), Some(20), Some(0)]);
    assert_eq!(step(&pool, 0, 10), Step::From(2));
    pool.servers[0].state = State::Maint;
    pool.servers[1].state = State::Maint;
    assert_eq!(rounded(&pool), [None, None, Some(20)]);
    assert_eq!(step(&pool, 0, 10), Step::Balanced);
}

#[test]
fn ten_per_cent_are_near_enough_and_so_is_less_than_one() {
    for (open, balanced) in [
        (&[33, 33, 34][..], true),
        (&[90, 100, 110], true),
        (&[89, 100, 111], false),
        (&[1, 0, 0], true),
        (&[2, 0, 1], false),
        (&[2, 1, 1], true),
        (&[0, 0, 0], true),
        // Nobody has too many, but one has too few.
        (&[11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 0], false),
    ] {
        let step = step(&pool(open), 0, 10);
        assert_eq!(step == Step::Balanced, balanced, "{open:?}: {step:?}");
        assert!(
            balanced || matches!(step, Step::From(_)),
            "{open:?}: {step:?}"
        );
    }
}

#[test]
fn who_is_on_his_way_is_waited_for() {
    let open = pool(&[50, 50, 0]);
    assert_eq!(step(&pool(&[34, 34, 0]), 32, 100), Step::Await);
    assert_eq!(step(&pool(&[40, 34, 0]), 26, 100), Step::From(0));
    // Ten seconds of closes may be on their way.
    assert_eq!(step(&open, 19, 2), Step::From(1));
    assert_eq!(step(&open, 20, 2), Step::Await);
}

#[test]
fn nothing_moves_while_a_server_is_out() {
    for (out, words) in [
        (State::Down, "server s2 is down"),
        (State::Unknown, "server s2 has not been checked yet"),
        (State::Drain, "server s2 is draining"),
    ] {
        let pool = state(pool(&[50, 0, 0]), 1, out);
        assert_eq!(step(&pool, 0, 10), Step::Pause(words.to_owned()));
        // A spare that is down does not matter while others serve.
        let mut spare = pool;
        spare.servers[1].backup = true;
        assert_eq!(step(&spare, 0, 10), Step::From(0));
    }
    let none = weights(pool(&[50, 0]), &[0, 0]);
    assert_eq!(
        step(&none, 0, 10),
        Step::Pause("no server is usable".to_owned())
    );
    let maint = state(pool(&[50, 0, 0]), 1, State::Maint);
    assert_eq!(step(&maint, 0, 10), Step::From(0));
}

#[test]
fn a_slow_start_has_its_share_of_then_and_is_waited_for() {
    let mut pool = pool(&[50, 50, 5]);
    pool.servers[2].effective_weight = 10;
    assert_eq!(rounded(&pool), [Some(50), Some(50), Some(5)]);
    let words = "server s3 is in its slow start".to_owned();
    assert_eq!(step(&pool, 0, 10), Step::Pause(words));
    pool.servers[2].effective_weight = 50;
    assert!(matches!(step(&pool, 0, 10), Step::From(_)));
}

#[test]
fn only_some_algorithms_have_shares() {
    let mut pool = pool(&[1, 2]);
    for (balance, has) in [
        ("leastconn", true),
        ("roundrobin", true),
        ("random", true),
        ("source", false),
        ("first", false),
    ] {
        pool.balance = balance.to_owned();
        assert_eq!(shareless(&pool).is_none(), has, "{balance}");
    }
}

/// A client comes to the server that has the fewest for its weight.
fn arrive(pool: &mut PoolSnapshot) {
    let load =
        |server: &ServerStatus| f64::from(server.open.now + 1) / f64::from(server.effective_weight);
    let servers = pool.servers.iter_mut();
    let least = servers.min_by(|a, b| load(a).total_cmp(&load(b))).unwrap();
    (least.open.now, least.chosen) = (least.open.now + 1, least.chosen + 1);
}

/// Rebalances a pool whose clients come back after `delay` closes, or do not. Returns the pool
/// and how many were moved.
fn rebalance(
    mut pool: PoolSnapshot,
    rate: u32,
    delay: usize,
    come_back: bool,
) -> (PoolSnapshot, u64) {
    let start = Instant::now();
    let mut returns = Returns::default();
    let mut on_their_way = VecDeque::new();
    let interval = Duration::from_secs(1) / rate;
    let mut moved = 0;
    for round in 0..20_000_u32 {
        let now = start + interval * round;
        returns.look(&pool, now);
        if returns.lost().is_some() {
            break;
        }
        match step(&pool, returns.away(), rate) {
            Step::Balanced => break,
            Step::From(server) => {
                pool.servers[server].open.now -= 1;
                returns.closed(now);
                on_their_way.push_back(round as usize + delay);
                moved += 1;
            }
            Step::Await | Step::Pause(_) => {}
        }
        while come_back
            && on_their_way
                .front()
                .is_some_and(|due| *due <= round as usize)
        {
            on_their_way.pop_front();
            arrive(&mut pool);
        }
    }
    if come_back {
        on_their_way.iter().for_each(|_| arrive(&mut pool));
    }
    (pool, moved)
}

proptest! {
    #[test]
    fn it_ends_with_the_shares_and_moves_few(
        open in prop::collection::vec(0_u32..300, 2..6),
        rate in 1_u32..50,
        delay in 0_usize..20,
        seed in prop::collection::vec(1_u16..256, 6),
    ) {
        let before = weights(pool(&open), &seed);
        let (after, moved) = rebalance(before.clone(), rate, delay.min(rate as usize * 5), true);
        prop_assert_eq!(step(&after, 0, rate), Step::Balanced, "{:?}", open);
        let total = |pool: &PoolSnapshot| pool.servers.iter().map(|one| one.open.now).sum::<u32>();
        prop_assert_eq!(total(&after), total(&before));
        // No more than were too many at the beginning, but for rounding.
        let shares = shares_of(&before).into_iter().flatten();
        let too_many: f64 = shares
            .zip(&before.servers)
            .map(|(share, server)| (f64::from(server.open.now) - share).max(0.0).ceil())
            .sum();
        prop_assert!(moved as f64 <= too_many, "{moved} of {too_many}");
    }
}

#[test]
fn who_does_not_come_back_ends_it() {
    let (after, moved) = rebalance(pool(&[200, 200, 0]), 5, 0, false);
    // What may be on its way at once, and those for whom others made room.
    assert!((50..=60).contains(&moved), "{moved}");
    assert!(after.servers[0].open.now > 150);
}

#[test]
fn counts_that_were_cleared_begin_anew() {
    let (start, mut returns) = (Instant::now(), Returns::default());
    let mut pool = pool(&[10, 10]);
    pool.servers[0].chosen = 1000;
    returns.look(&pool, start);
    for _ in 0..8 {
        returns.closed(start);
    }
    pool.servers[0].chosen = 1002;
    returns.look(&pool, start);
    assert_eq!((returns.moved(), returns.away()), (8, 6));
    pool.servers[0].chosen = 3;
    returns.look(&pool, start);
    assert_eq!((returns.away(), returns.lost()), (3, None));
    returns.look(&pool, start + RETURN);
    assert_eq!((returns.away(), returns.lost()), (0, None));
}
