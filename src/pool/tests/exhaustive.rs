//! Every algorithm over every pool of up to five servers, each up, full, or down, as a backup or
//! not, and of up to eight that are up, full, or down: the answer is right, and there is one.
//! (HAProxy looped forever when all servers were full; commit 6be02d1c6.)

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Situation {
    Room,
    Full,
    Down,
}

const SITUATIONS: [Situation; 3] = [Situation::Room, Situation::Full, Situation::Down];

/// The digits of `number` in base `base`, `count` of them.
fn digits(mut number: usize, base: usize, count: usize) -> Vec<usize> {
    (0..count)
        .map(|_| {
            let digit = number % base;
            number /= base;
            digit
        })
        .collect()
}

/// Pools are used again and again: all servers are down and empty before and after.
fn all_down(balance: Balance, backups: &[bool]) -> Arc<Pool> {
    let mut settings = limited(balance, &vec![1; backups.len()]);
    for (settings, &backup) in settings.servers.iter_mut().zip(backups) {
        settings.backup = backup;
    }
    Pool::new(settings, 0, 0, 0, Instant::now())
}

fn check(pool: &Arc<Pool>, servers: &[(Situation, bool)]) {
    let now = Instant::now();
    let balance = pool.setup().config.balance;
    // Fill them one by one, while each is the only one that is up.
    let mut open = Vec::new();
    for (server, &(situation, _)) in servers.iter().enumerate() {
        if situation == Situation::Full {
            pool.report(server, report(Some(Health::Up)), now);
            open.push(lease(pool));
            pool.report(server, report(Some(Health::Down)), now);
        }
    }
    for (server, &(situation, _)) in servers.iter().enumerate() {
        if situation != Situation::Down {
            pool.report(server, report(Some(Health::Up)), now);
        }
    }
    let serves_backup = servers
        .iter()
        .all(|&(situation, backup)| backup || situation == Situation::Down);
    let mut with_room: Vec<usize> = (0..servers.len())
        .filter(|&server| servers[server] == (Situation::Room, serves_backup))
        .collect();
    let is_hopeless = !servers
        .iter()
        .any(|&(situation, backup)| situation != Situation::Down && backup == serves_backup);

    // Every server with room is found, each once; then the answer is final.
    for client in 0..with_room.len() {
        let client = u32::try_from(client).unwrap();
        let Choice::Leased(lease) = choose_by(pool, client, u64::from(client) << 31, &[]) else {
            panic!("{balance:?} {servers:?}");
        };
        let at = with_room.iter().position(|&server| server == lease.index());
        with_room.remove(at.unwrap_or_else(|| panic!("{balance:?} {servers:?}")));
        open.push(lease);
    }
    let last = choose(pool);
    let expected = if is_hopeless { "no server" } else { "wait" };
    assert_eq!(name(&last), expected, "{balance:?} {servers:?}");
    drop((last, open));
    for server in 0..servers.len() {
        pool.report(server, report(Some(Health::Down)), now);
    }
}

#[test]
fn every_subset_of_up_to_eight_servers() {
    for balance in ALGORITHMS {
        for count in 1..=8 {
            let pool = all_down(balance, &vec![false; count]);
            for number in 0..3_usize.pow(u32::try_from(count).unwrap()) {
                let servers: Vec<_> = digits(number, 3, count)
                    .into_iter()
                    .map(|digit| (SITUATIONS[digit], false))
                    .collect();
                check(&pool, &servers);
            }
        }
    }
}

#[test]
fn every_subset_of_up_to_five_servers_and_backups() {
    for balance in ALGORITHMS {
        for count in 1..=5 {
            for backups in 0..1 << count {
                let backups: Vec<_> = digits(backups, 2, count).iter().map(|&d| d == 1).collect();
                let pool = all_down(balance, &backups);
                for number in 0..3_usize.pow(u32::try_from(count).unwrap()) {
                    let situations = digits(number, 3, count).into_iter();
                    let servers: Vec<_> = situations
                        .map(|digit| SITUATIONS[digit])
                        .zip(backups.iter().copied())
                        .collect();
                    check(&pool, &servers);
                }
            }
        }
    }
}
