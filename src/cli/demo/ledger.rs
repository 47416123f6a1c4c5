//! Who owes whom which message: the books of the demo. Pure.
//!
//! The measure is that of publisher confirms: a message that was confirmed and never consumed is
//! lost. One that was cut off before its confirm is published again and may arrive twice, which is
//! allowed and counted. One that arrives and was never published is an error.

use std::collections::VecDeque;

/// Messages of one publisher whose fate is open; it publishes no new ones beyond.
const MAX_OPEN: usize = 20_000;

/// The number of a message. It travels as the first eight bytes of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MessageId {
    pub publisher: u16,
    /// Below 2^48, which 500 per second reach after 17,000 years.
    pub sequence: u64,
}

impl MessageId {
    pub(super) fn to_bytes(self) -> [u8; 8] {
        (u64::from(self.publisher) << 48 | self.sequence).to_be_bytes()
    }

    /// `None`: too short, not ours.
    pub(super) fn from_body(body: &[u8]) -> Option<Self> {
        let [high, low, ..] = *body.first_chunk::<8>()?;
        let number = u64::from_be_bytes(*body.first_chunk()?);
        Some(Self {
            publisher: u16::from_be_bytes([high, low]),
            sequence: number & ((1 << 48) - 1),
        })
    }
}

#[derive(Clone, Copy, Default)]
struct Fate {
    confirmed: bool,
    consumed: bool,
}

/// One publisher's messages from the oldest whose fate is open.
#[derive(Default)]
struct Track {
    oldest: u64,
    open: VecDeque<Fate>,
}

impl Track {
    fn fate(&mut self, sequence: u64) -> Option<&mut Fate> {
        let position = usize::try_from(sequence.checked_sub(self.oldest)?).ok()?;
        self.open.get_mut(position)
    }

    fn settle(&mut self) {
        while self
            .open
            .front()
            .is_some_and(|fate| fate.confirmed && fate.consumed)
        {
            self.open.pop_front();
            self.oldest += 1;
        }
    }
}

/// Totals so far, in messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub published: u64,
    pub confirmed: u64,
    /// Each message once.
    pub consumed: u64,
    /// Arrivals of a message that had arrived before.
    pub duplicates: u64,
    /// Arrivals that the broker has marked as another attempt.
    pub redelivered: u64,
    /// Arrivals of a message that was never published.
    pub unexpected: u64,
}

/// The books.
pub(super) struct Ledger {
    tracks: Vec<Track>,
    totals: Totals,
}

impl Ledger {
    pub(super) fn new(publishers: u16) -> Self {
        Self {
            tracks: (0..publishers).map(|_| Track::default()).collect(),
            totals: Totals::default(),
        }
    }

    /// The number of a new message, or `None` while too many are open.
    pub(super) fn publish(&mut self, publisher: u16) -> Option<MessageId> {
        let track = self.tracks.get_mut(usize::from(publisher))?;
        if track.open.len() >= MAX_OPEN {
            return None;
        }
        let sequence = track.oldest + u64::try_from(track.open.len()).ok()?;
        track.open.push_back(Fate::default());
        self.totals.published += 1;
        Some(MessageId {
            publisher,
            sequence,
        })
    }

    /// A broker has taken the message over.
    pub(super) fn confirm(&mut self, id: MessageId) {
        let Some(track) = self.tracks.get_mut(usize::from(id.publisher)) else {
            return;
        };
        if let Some(fate) = track.fate(id.sequence)
            && !std::mem::replace(&mut fate.confirmed, true)
        {
            self.totals.confirmed += 1;
            track.settle();
        }
    }

    /// The message has arrived. `None`: it has no number.
    pub(super) fn consume(&mut self, id: Option<MessageId>, redelivered: bool) {
        self.totals.redelivered += u64::from(redelivered);
        let track = id.and_then(|id| {
            let track = self.tracks.get_mut(usize::from(id.publisher))?;
            Some((id.sequence, track))
        });
        let Some((sequence, track)) = track else {
            self.totals.unexpected += 1;
            return;
        };
        if sequence < track.oldest {
            self.totals.duplicates += 1;
            return;
        }
        match track.fate(sequence) {
            None => self.totals.unexpected += 1,
            Some(fate) if fate.consumed => self.totals.duplicates += 1,
            Some(fate) => {
                fate.consumed = true;
                self.totals.consumed += 1;
                track.settle();
            }
        }
    }

    pub(super) const fn totals(&self) -> Totals {
        self.totals
    }

    /// Messages that were confirmed and have not arrived. While messages are on their way they
    /// count too; at the end it is what was lost.
    pub(super) fn missing(&self) -> u64 {
        self.count(|fate| fate.confirmed && !fate.consumed)
    }

    /// Messages that were published and not confirmed.
    pub(super) fn unconfirmed(&self) -> u64 {
        self.count(|fate| !fate.confirmed)
    }

    fn count(&self, wanted: impl Fn(&Fate) -> bool) -> u64 {
        let open = self.tracks.iter().flat_map(|track| &track.open);
        u64::try_from(open.filter(|fate| wanted(fate)).count()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::{Ledger, MAX_OPEN, MessageId, Totals};

    #[test]
    fn a_confirmed_message_that_never_arrives_is_lost() {
        let mut ledger = Ledger::new(2);
        let ids: Vec<MessageId> = (0..10)
            .map(|turn| ledger.publish(turn % 2).unwrap())
            .collect();
        for &id in &ids {
            ledger.confirm(id);
        }
        for &id in ids.iter().filter(|&&id| id != ids[4]) {
            ledger.consume(Some(id), false);
        }
        assert_eq!((ledger.missing(), ledger.unconfirmed()), (1, 0));
        ledger.consume(Some(ids[4]), false);
        assert_eq!(ledger.missing(), 0);
    }

    #[test]
    fn counts_what_comes_twice_or_from_nowhere() {
        let mut ledger = Ledger::new(1);
        let id = ledger.publish(0).unwrap();
        ledger.consume(Some(id), false);
        ledger.consume(Some(id), false);
        assert_eq!((ledger.missing(), ledger.unconfirmed()), (0, 1));
        ledger.confirm(id);
        ledger.confirm(id);
        ledger.consume(Some(id), false);
        ledger.consume(None, true);
        for (publisher, sequence) in [(0, 1), (1, 0)] {
            let id = MessageId {
                publisher,
                sequence,
            };
            ledger.consume(Some(id), false);
        }
        let totals = Totals {
            published: 1,
            confirmed: 1,
            consumed: 1,
            duplicates: 2,
            redelivered: 1,
            unexpected: 3,
        };
        assert_eq!(ledger.totals(), totals);
    }

    #[test]
    fn stops_publishing_while_too_much_is_open() {
        let mut ledger = Ledger::new(1);
        let first = ledger.publish(0).unwrap();
        for _ in 1..MAX_OPEN {
            ledger.publish(0).unwrap();
        }
        assert_eq!(ledger.publish(0), None);
        ledger.confirm(first);
        ledger.consume(Some(first), false);
        let next = ledger.publish(0).unwrap();
        assert_eq!(MessageId::from_body(&next.to_bytes()), Some(next));
        assert_eq!(next.sequence, u64::try_from(MAX_OPEN).unwrap());
    }
}
