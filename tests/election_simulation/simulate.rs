//! The program that the test builds from the pure files: simulates so many years from a seed.
//!
//!     simulate YEARS FIRST-SEED MOST-SEEDS
//!
//! Prints what was simulated, or the seed and what did not hold, and exits with 1.

mod world;

use std::process::ExitCode;

use world::{Totals, World};

const YEAR: u64 = 365 * 24 * 3600 * 1_000_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| arguments[index].parse::<f64>().unwrap();
    let (years, first, most) = (number(0), number(1) as u64, number(2) as u64);
    let wanted = (years * YEAR as f64) as u64;
    let mut totals = Totals::default();
    let mut seed = first;
    while totals.time < wanted && seed < first + most {
        let mut world = World::new(seed);
        let result = world.run(6);
        totals.time += world.totals.time;
        totals.events += world.totals.events;
        totals.faults += world.totals.faults;
        totals.takeovers += world.totals.takeovers;
        totals.checks += world.totals.checks;
        if let Err(problem) = result {
            println!("seed {seed}: {problem}");
            return ExitCode::FAILURE;
        }
        if seed == first {
            let mut again = World::new(seed);
            let _ = again.run(6);
            if again.trace != world.trace {
                println!("seed {seed}: two traces of one seed");
                return ExitCode::FAILURE;
            }
        }
        seed += 1;
    }
    println!(
        "{:.2} years, {} seeds, {} events, {} faults, {} claims, {} times at peace",
        totals.time as f64 / YEAR as f64,
        seed - first,
        totals.events,
        totals.faults,
        totals.takeovers,
        totals.checks
    );
    ExitCode::SUCCESS
}
