//! A worker between scripted clients and servers, against a simple model. The input says who
//! writes, reads, ends or resets next and how much, when the worker may run and when its clock
//! moves. The model: what a side reads is what the other side wrote, from its beginning, and all of
//! it before its FIN; a reset appears only where the other side has reset. In the end nothing is
//! left over.
#![no_main]

#[path = "relay/scene.rs"]
mod scene;
#[path = "relay/side.rs"]
mod side;

use libfuzzer_sys::fuzz_target;

use scene::{PAIRS, Pair, Scene};

thread_local! {
    static SCENE: Scene = Scene::new();
}

/// One step of the script: two bytes of the input.
enum Step {
    Write { length: usize },
    Read { length: usize },
    End,
    Reset,
    Run { turns: usize },
    Sweep,
}

impl Step {
    /// The step, and the number of the side that takes it.
    fn from(bytes: [u8; 2]) -> (Self, usize) {
        let [what, amount] = bytes;
        let length = (usize::from(amount & 15) + 1) << (amount >> 4);
        let step = match what & 15 {
            0..=3 => Self::Write { length },
            4..=7 => Self::Read { length },
            8..=12 => Self::Run {
                turns: usize::from(amount & 63),
            },
            13 => Self::Sweep,
            14 => Self::End,
            _ => Self::Reset,
        };
        (step, usize::from(what >> 4) % (2 * PAIRS))
    }
}

fuzz_target!(|input: &[u8]| SCENE.with(|scene| scene.play(|pairs| play(scene, pairs, input))));

async fn play(scene: &Scene, mut pairs: Vec<Pair>, input: &[u8]) -> Vec<Pair> {
    for bytes in input.as_chunks().0 {
        let (step, number) = Step::from(*bytes);
        let pair = &mut pairs[number / 2];
        match step {
            Step::Run { turns } => scene.run(turns).await,
            Step::Sweep => scene.sweep().await,
            Step::Write { length } => pair.side(number % 2).write(length),
            Step::Read { length } => pair.read(number % 2, length),
            Step::End => pair.side(number % 2).end(),
            Step::Reset => pair.side(number % 2).reset(),
        }
    }
    pairs
}
