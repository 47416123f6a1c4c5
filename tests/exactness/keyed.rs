//! A stream that both ends can make by themselves from a key.
//!
//! The byte at every position of every stream is known, so a receiver tells loss, doubling,
//! reordering and bytes of another connection apart from a good stream without keeping any of it.

/// Makes and checks the stream of one direction of one connection.
pub(crate) struct Keyed {
    key: u64,
    position: u64,
}

impl Keyed {
    pub(crate) fn new(seed: u64, connection: u64, to_server: bool) -> Self {
        let key = mix(seed ^ mix(connection.wrapping_mul(2) + u64::from(to_server)));
        Self { key, position: 0 }
    }

    /// Bytes made or checked so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Fills `out` with the next bytes of the stream.
    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        self.walk(out.len(), |at, word, skip| {
            let chunk = &mut out[at..];
            let count = chunk.len().min(8 - skip);
            chunk[..count].copy_from_slice(&word[skip..skip + count]);
            true
        });
    }

    /// Checks that `bytes` come next; the error says where they do not.
    pub(crate) fn check(&mut self, bytes: &[u8]) -> Result<(), String> {
        let start = self.position;
        let mut wrong = None;
        self.walk(bytes.len(), |at, word, skip| {
            let chunk = &bytes[at..];
            let count = chunk.len().min(8 - skip);
            if chunk[..count] != word[skip..skip + count] {
                wrong = Some(at);
            }
            wrong.is_none()
        });
        match wrong {
            None => Ok(()),
            Some(at) => Err(format!("wrong byte near position {}", start + at as u64)),
        }
    }

    /// Calls `visit(offset, word, bytes of the word to skip)` for each word of the next `length`
    /// bytes, until it returns false.
    fn walk(&mut self, length: usize, mut visit: impl FnMut(usize, [u8; 8], usize) -> bool) {
        let mut at = 0;
        while at < length {
            let skip = usize::try_from(self.position % 8).unwrap();
            let word = mix(self.key.wrapping_add(self.position / 8)).to_le_bytes();
            if !visit(at, word, skip) {
                return;
            }
            let count = (8 - skip).min(length - at);
            at += count;
            self.position += count as u64;
        }
    }
}

/// splitmix64's finaliser: every bit of the input changes half the output.
pub(crate) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Numbers from a seed, for sizes and pauses.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = mix(self.0);
        self.0 % limit
    }
}

#[test]
fn the_checker_sees_loss_doubling_and_mixing() {
    let mut bytes = vec![0; 1000];
    Keyed::new(1, 7, true).fill(&mut bytes);
    let check = |bytes: &[u8]| Keyed::new(1, 7, true).check(bytes);
    assert_eq!(check(&bytes), Ok(()));
    let mut in_two = Keyed::new(1, 7, true);
    assert_eq!(in_two.check(&bytes[..333]), Ok(()));
    assert_eq!(in_two.check(&bytes[333..]), Ok(()));
    let lost = [&bytes[..500], &bytes[501..]].concat();
    assert!(check(&lost).is_err());
    let doubled = [&bytes[..500], &bytes[499..]].concat();
    assert!(check(&doubled).is_err());
    let mut swapped = bytes.clone();
    swapped.swap(400, 408);
    assert!(check(&swapped).is_err());
    assert!(
        Keyed::new(1, 8, true).check(&bytes).is_err(),
        "another connection's bytes"
    );
    assert!(
        Keyed::new(1, 7, false).check(&bytes).is_err(),
        "the other direction's bytes"
    );
}
