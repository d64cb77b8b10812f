//! Record ids: the 64-bit key of a call and the public UUID that stands for it.
//!
//! A rid is `milliseconds << 20 | node << 12 | sequence`: ordered by acceptance, unique per node without
//! coordination. The public id is a UUIDv7 of the same instant that also carries the rid's low 20 bits, so
//! either can be computed from the other plus the stored random tail, and a stranger cannot guess it.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::clock::SharedClock;

const TIME_SHIFT: u32 = 20;
const NODE_SHIFT: u32 = 12;
const LOW_BITS: i64 = (1 << TIME_SHIFT) - 1;
const TAIL_BITS: u32 = 54;
const TAIL_MASK: u64 = (1 << TAIL_BITS) - 1;

/// Primary key of a record.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
pub struct Rid(pub i64);

impl Rid {
    /// The first rid any node could allocate in the millisecond `ms`; range queries by time use it.
    pub const fn floor_of_ms(ms: i64) -> Self {
        Self(ms << TIME_SHIFT)
    }

    /// Milliseconds since the Unix epoch at which the call was accepted.
    pub const fn ms(self) -> i64 {
        self.0 >> TIME_SHIFT
    }

    /// The node that allocated it.
    pub const fn node(self) -> u8 {
        ((self.0 >> NODE_SHIFT) & 0xff) as u8
    }
}

/// A record's identity: its key and the random tail that makes its public id unguessable.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct RecordId {
    /// Primary key.
    pub rid: Rid,
    /// 54 random bits.
    pub tail: u64,
}

impl RecordId {
    /// The public id: a valid UUIDv7, also the `x-request-id` of the answer.
    pub fn to_uuid(self) -> Uuid {
        let ms = (self.rid.ms() as u128) & 0xffff_ffff_ffff;
        let random =
            (((self.rid.0 & LOW_BITS) as u128) << TAIL_BITS) | u128::from(self.tail & TAIL_MASK);
        let rand_a = (random >> 62) & 0xfff;
        let rand_b = random & ((1 << 62) - 1);
        Uuid::from_u128((ms << 80) | (0x7 << 76) | (rand_a << 64) | (0b10 << 62) | rand_b)
    }

    /// Reads a public id back. `None` when the UUID is not of version 7.
    pub fn from_uuid(uuid: Uuid) -> Option<Self> {
        if uuid.get_version_num() != 7 {
            return None;
        }
        let bits = uuid.as_u128();
        let ms = (bits >> 80) as i64;
        let random = (((bits >> 64) & 0xfff) << 62) | (bits & ((1 << 62) - 1));
        let low = (random >> TAIL_BITS) as i64 & LOW_BITS;
        Some(Self {
            rid: Rid((ms << TIME_SHIFT) | low),
            tail: (random as u64) & TAIL_MASK,
        })
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_uuid().hyphenated().fmt(f)
    }
}

/// Hands out record ids for one node. Lock-free; one per process.
pub struct RidAllocator {
    last: AtomicI64,
    node: u8,
    clock: SharedClock,
}

impl RidAllocator {
    /// `seed` is the greatest rid this node has used so far, in the table or in the spool (0 when none):
    /// without it a clock that was set back across a restart would hand out a used id again.
    pub fn new(node: u8, seed: Rid, clock: SharedClock) -> Self {
        Self {
            last: AtomicI64::new(seed.0),
            node,
            clock,
        }
    }

    /// The next id: never lower than the last, never with another node's bits.
    pub fn next(&self) -> RecordId {
        let node_bits = i64::from(self.node) << NODE_SHIFT;
        let floor = (self.clock.now_ms() << TIME_SHIFT) | node_bits;
        let step = |last: i64| {
            let mut successor = last + 1;
            if Rid(successor).node() != self.node {
                // 4,096 ids of this millisecond are used up (or the seed is a bare time): borrow from
                // the next millisecond, never from the node bits.
                let ms = if (last & LOW_BITS) < node_bits {
                    last >> TIME_SHIFT
                } else {
                    (last >> TIME_SHIFT) + 1
                };
                successor = (ms << TIME_SHIFT) | node_bits;
            }
            Some(successor.max(floor))
        };
        let previous = self
            .last
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, step)
            .unwrap_or_else(|last| last);
        let rid = Rid(step(previous).unwrap_or(floor));
        RecordId {
            rid,
            tail: rand::random::<u64>() & TAIL_MASK,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::clock::ManualClock;
    use super::*;

    proptest! {
        #[test]
        fn a_public_id_is_a_uuid_v7_and_reads_back(ms in 0i64..(1 << 43), low in 0i64..(1 << 20), tail in 0u64..(1 << 54)) {
            let id = RecordId { rid: Rid((ms << 20) | low), tail };
            let uuid = id.to_uuid();
            prop_assert_eq!(uuid.get_version_num(), 7);
            prop_assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
            prop_assert_eq!(RecordId::from_uuid(uuid), Some(id));
        }

        #[test]
        fn ids_rise_and_keep_their_node_whatever_the_clock_does(node: u8, jumps in prop::collection::vec(-5_000i64..5_000, 1..50)) {
            let clock = Arc::new(ManualClock::at_micros(1_700_000_000_000_000));
            let ids = RidAllocator::new(node, Rid(0), clock.clone());
            let mut last = Rid(0);
            for jump in jumps {
                clock.advance_micros(jump);
                for _ in 0..200 {
                    let id = ids.next();
                    prop_assert!(id.rid > last);
                    prop_assert_eq!(id.rid.node(), node);
                    last = id.rid;
                }
            }
        }
    }

    #[test]
    fn more_than_4096_ids_in_one_millisecond_borrow_from_the_next_not_from_the_node() {
        let clock = Arc::new(ManualClock::at_micros(1_700_000_000_000_000));
        let ids = RidAllocator::new(7, Rid(0), clock);
        let all: Vec<Rid> = (0..10_000).map(|_| ids.next().rid).collect();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(all.iter().all(|rid| rid.node() == 7));
        assert_eq!(all[9_999].ms(), 1_700_000_000_002);
    }
}
