//! What one connection does, known to both ends from the seed and its number.

use std::time::Duration;

use crate::keyed::Dice;

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Both sides send all they have, then FIN, and read to the end.
    InOrder,
    /// The client sends RST after its part; the server must see a reset, not an end.
    ClientResets,
    /// The server sends RST after its part; the client must see a reset, not an end.
    ServerResets,
}

/// The traffic of one kind of test.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traffic {
    /// Most bytes that a side sends.
    pub(crate) length: u64,
    /// Largest single write.
    pub(crate) write: u64,
    /// One write in so many is followed by a pause; 0: none is.
    pub(crate) pause_every: u64,
    /// Whether some connections end by a reset.
    pub(crate) resets: bool,
    /// Receive buffers of both ends in bytes; `None`: the kernel's choice. Small ones make warren's
    /// writes fall short again and again.
    pub(crate) receive_buffer: Option<u32>,
}

/// One connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) number: u64,
    pub(crate) to_server: u64,
    pub(crate) to_client: u64,
    pub(crate) ending: Ending,
    traffic: Traffic,
    seed: u64,
}

impl Plan {
    pub(crate) fn new(seed: u64, number: u64, traffic: Traffic) -> Self {
        let mut dice = Dice::new(seed ^ number.wrapping_mul(0x51_7C_C1_B7));
        // Some connections send nothing in one direction, or in both.
        let mut length = || match dice.below(8) {
            0 => 0,
            1 => dice.below(100),
            _ => dice.below(traffic.length) + 1,
        };
        let (to_server, to_client) = (length(), length());
        let ending = match dice.below(6) {
            0 if traffic.resets => Ending::ClientResets,
            1 if traffic.resets => Ending::ServerResets,
            _ => Ending::InOrder,
        };
        Self {
            number,
            to_server,
            to_client,
            ending,
            traffic,
            seed,
        }
    }

    /// Sizes of writes and pauses of one side.
    pub(crate) fn pace(&self, to_server: bool) -> Pace {
        let dice = Dice::new(self.seed ^ (self.number * 2 + u64::from(to_server) + 77));
        Pace {
            dice,
            traffic: self.traffic,
        }
    }
}

/// Sizes of writes and pauses of one side.
pub(crate) struct Pace {
    dice: Dice,
    traffic: Traffic,
}

impl Pace {
    /// Bytes of the next write.
    pub(crate) fn write(&mut self) -> usize {
        // Small ones are as common as large ones.
        let limit = 1 + self.dice.below(self.traffic.write);
        usize::try_from(1 + self.dice.below(limit)).unwrap()
    }

    /// How long to wait after it.
    pub(crate) fn pause(&mut self) -> Option<Duration> {
        let every = self.traffic.pause_every;
        (every > 0 && self.dice.below(every) == 0)
            .then(|| Duration::from_micros(self.dice.below(5_000)))
    }
}
