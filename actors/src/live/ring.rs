//! The latest messages of one topic, ready to send: bounded by number and by bytes, shared by all subscribers.
//!
//! A subscriber holds no messages of its own, only the number of the last one it took. So memory does not grow with
//! slow readers, and a reader that was away is served the same way as one that is merely slow.

use std::collections::VecDeque;

use bytestring::ByteString;

use super::topic::Kind;

/// Messages of an event topic that are kept.
const EVENTS_MAX: usize = 512;
/// Bytes of an event topic that are kept, whatever their number.
const BYTES_MAX: usize = 1024 * 1024;

/// One topic's messages. Sequence numbers begin with 1.
#[derive(Debug)]
pub(super) struct Ring {
    events_max: usize,
    last_seq: u64,
    /// Of consecutive numbers, ending with `last_seq`.
    frames: VecDeque<ByteString>,
    bytes: usize,
    /// What the newest message said, to notice a state that has not changed.
    last_data: String,
}

/// What a reader gets.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Taken {
    /// In order, oldest first.
    pub(super) frames: Vec<ByteString>,
    /// Number of the last one taken.
    pub(super) cursor: u64,
    /// Messages that were gone before they could be taken.
    pub(super) missed: u64,
}

impl Ring {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            events_max: match kind {
                Kind::State => 1,
                Kind::Events => EVENTS_MAX,
            },
            last_seq: 0,
            frames: VecDeque::new(),
            bytes: 0,
            last_data: String::new(),
        }
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Whether the newest message of a state says just this.
    pub(super) fn says(&self, data: &str) -> bool {
        self.events_max == 1 && self.last_seq > 0 && self.last_data == data
    }

    /// Adds a message; `frame` makes it of its number.
    pub(super) fn push(&mut self, data: String, frame: impl FnOnce(u64, &str) -> ByteString) {
        self.last_seq += 1;
        let frame = frame(self.last_seq, &data);
        self.bytes += frame.len();
        self.frames.push_back(frame);
        while self.frames.len() > self.events_max
            || (self.bytes > BYTES_MAX && self.frames.len() > 1)
        {
            if let Some(oldest) = self.frames.pop_front() {
                self.bytes -= oldest.len();
            }
        }
        if self.events_max == 1 {
            self.last_data = data;
        }
    }

    /// Number of the oldest message kept; one above the last when there is none.
    fn oldest(&self) -> u64 {
        self.last_seq + 1 - self.frames.len() as u64
    }

    /// Whether everything after number `seq` is still here.
    pub(super) fn reaches(&self, seq: u64) -> bool {
        seq <= self.last_seq && seq + 1 >= self.oldest()
    }

    /// The messages after number `cursor`: as many as fit in `budget` bytes, at least one.
    pub(super) fn take(&self, cursor: u64, budget: usize) -> Taken {
        let first = (cursor + 1).max(self.oldest());
        let mut taken = Taken {
            missed: first - (cursor + 1).min(first),
            cursor: first - 1,
            ..Taken::default()
        };
        let skip = usize::try_from(first - self.oldest()).unwrap_or(usize::MAX);
        let mut bytes = 0;
        for frame in self.frames.iter().skip(skip) {
            if bytes > 0 && bytes + frame.len() > budget {
                break;
            }
            bytes += frame.len();
            taken.cursor += 1;
            taken.frames.push(frame.clone());
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring(kind: Kind, pushes: u64) -> Ring {
        let mut ring = Ring::new(kind);
        for n in 1..=pushes {
            ring.push(n.to_string(), |seq, _| seq.to_string().into());
        }
        ring
    }

    fn numbers(taken: &Taken) -> Vec<u64> {
        taken
            .frames
            .iter()
            .map(|frame| frame.parse().unwrap())
            .collect()
    }

    #[test]
    fn a_state_is_its_newest_message_and_knows_when_nothing_changed() {
        let ring = ring(Kind::State, 9);
        assert_eq!(numbers(&ring.take(3, 1_000)), [9]);
        assert!(ring.take(9, 1_000).frames.is_empty());
        assert!(ring.says("9") && !ring.says("8"));
        assert!(!Ring::new(Kind::State).says(""));
    }

    #[test]
    fn bytes_are_bounded_whatever_their_number() {
        let mut ring = Ring::new(Kind::Events);
        for _ in 0..40 {
            ring.push(String::new(), |_, _| "x".repeat(100_000).into());
        }
        assert!(
            ring.bytes <= BYTES_MAX && ring.frames.len() == 10,
            "{}",
            ring.frames.len()
        );
        ring.push(String::new(), |_, _| "y".repeat(2 * BYTES_MAX).into());
        assert_eq!(ring.frames.len(), 1);
        assert_eq!(
            ring.take(40, 1).frames.len(),
            1,
            "one that fits nowhere is sent all the same"
        );
    }

    proptest! {
        /// However a reader dawdles, it gets every number once and in order, or is told how many it missed.
        #[test]
        fn what_is_taken_and_missed_is_everything(steps in prop::collection::vec((0u64..700, 1usize..40), 1..40)) {
            let mut ring = Ring::new(Kind::Events);
            let (mut cursor, mut expected) = (0, 1);
            for (pushes, budget) in steps {
                for _ in 0..pushes {
                    ring.push(String::new(), |seq, _| seq.to_string().into());
                }
                let reaches = ring.reaches(cursor);
                let taken = ring.take(cursor, budget);
                prop_assert_eq!(reaches, taken.missed == 0);
                expected += taken.missed;
                for number in numbers(&taken) {
                    prop_assert_eq!(number, expected);
                    expected += 1;
                }
                prop_assert_eq!(taken.cursor + 1, expected);
                cursor = taken.cursor;
            }
        }
    }
}
