//! The vectors of one model in memory, a byte a dimension, scanned whole.
//!
//! A scan over bytes is exact enough to name candidates, of which there are several times as many as are wanted; those are
//! compared again by their 32-bit vectors, which lie in the database. At a hundred thousand pairs of 384 dimensions that
//! is 40 MB and some milliseconds, which no graph would repay. What was removed from the database may still be
//! named for a while: whoever looks the candidates up leaves it out.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use parking_lot::RwLock;

/// A vector of length 1.
#[derive(Clone, Debug)]
pub struct Entry {
    pub pair_id: i64,
    pub tenant_id: i64,
    pub vector: Vec<f32>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Index(RwLock<Shelves>);

#[derive(Debug, Default)]
struct Shelves {
    /// Of every vector; unknown while there is none.
    dimensions: Option<usize>,
    by_tenant: HashMap<i64, Shelf>,
}

/// Those of one tenant, one after the other.
#[derive(Debug, Default)]
struct Shelf {
    pairs: Vec<i64>,
    /// What a step of each is worth.
    scales: Vec<f32>,
    bytes: Vec<i8>,
    at: HashMap<i64, usize>,
}

impl Index {
    /// Keeps these, in place of older ones of the same pairs. A vector of other dimensions than the first is left out: no
    /// question could be compared with it.
    pub fn put(&self, entries: impl IntoIterator<Item = Entry>) {
        let mut shelves = self.0.write();
        for entry in entries {
            if entry.vector.is_empty() {
                continue;
            }
            let dimensions = *shelves.dimensions.get_or_insert(entry.vector.len());
            if dimensions == entry.vector.len() {
                let shelf = shelves.by_tenant.entry(entry.tenant_id).or_default();
                shelf.put(&entry);
            }
        }
    }

    /// Of the pairs above `after`, up to `last` where it is given, keeps those of `kept`, which ascend.
    pub fn retain(&self, after: i64, last: Option<i64>, kept: &[i64]) {
        let mut shelves = self.0.write();
        for shelf in shelves.by_tenant.values_mut() {
            let gone: Vec<i64> = shelf
                .pairs
                .iter()
                .copied()
                .filter(|id| *id > after && last.is_none_or(|last| *id <= last))
                .filter(|id| kept.binary_search(id).is_err())
                .collect();
            gone.into_iter().for_each(|id| shelf.remove(id));
        }
        shelves.by_tenant.retain(|_, shelf| !shelf.pairs.is_empty());
        if shelves.by_tenant.is_empty() {
            shelves.dimensions = None;
        }
    }

    /// Names at most `count` that are near, the nearest first; of one tenant or of all. Roughly scored.
    pub fn near(&self, query: &[f32], tenant_id: Option<i64>, count: usize) -> Vec<(i64, f32)> {
        let shelves = self.0.read();
        if shelves.dimensions != Some(query.len()) {
            return Vec::new();
        }
        let (scale, steps) = to_steps(query);
        let steps: Vec<i8> = steps.collect();
        let mut best = BinaryHeap::with_capacity(count + 1);
        let mut scan = |shelf: &Shelf| shelf.scan(scale, &steps, count, &mut best);
        match tenant_id {
            Some(id) => shelves.by_tenant.get(&id).into_iter().for_each(&mut scan),
            None => shelves.by_tenant.values().for_each(&mut scan),
        }
        let best = best.into_sorted_vec().into_iter();
        best.map(|Reverse(Scored(score, pair))| (pair, score))
            .collect()
    }

    /// How many dimensions the vectors have; unknown while there was none.
    pub fn dimensions(&self) -> Option<usize> {
        self.0.read().dimensions
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        let shelves = self.0.read();
        shelves
            .by_tenant
            .values()
            .map(|shelf| shelf.pairs.len())
            .sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        !self.has_any(None)
    }

    /// Whether there is one, of a tenant or of all.
    pub fn has_any(&self, tenant_id: Option<i64>) -> bool {
        let shelves = self.0.read();
        match tenant_id {
            Some(id) => shelves.by_tenant.contains_key(&id),
            None => !shelves.by_tenant.is_empty(),
        }
    }
}

fn to_steps(vector: &[f32]) -> (f32, impl Iterator<Item = i8> + '_) {
    let most = vector
        .iter()
        .fold(0.0_f32, |most, value| most.max(value.abs()));
    let scale = if most > 0.0 { most / 127.0 } else { 1.0 };
    let steps = vector
        .iter()
        .map(move |value| (value / scale).round() as i8);
    (scale, steps)
}

impl Shelf {
    fn put(&mut self, entry: &Entry) {
        let dimensions = entry.vector.len();
        let (scale, steps) = to_steps(&entry.vector);
        match self.at.get(&entry.pair_id) {
            Some(&at) => {
                self.scales[at] = scale;
                let place = &mut self.bytes[at * dimensions..(at + 1) * dimensions];
                place
                    .iter_mut()
                    .zip(steps)
                    .for_each(|(old, new)| *old = new);
            }
            None => {
                self.at.insert(entry.pair_id, self.pairs.len());
                self.pairs.push(entry.pair_id);
                self.scales.push(scale);
                self.bytes.extend(steps);
            }
        }
    }

    /// The last one takes its place.
    fn remove(&mut self, pair_id: i64) {
        let Some(at) = self.at.remove(&pair_id) else {
            return;
        };
        let dimensions = self.bytes.len() / self.pairs.len();
        let last = self.pairs.len() - 1;
        self.pairs.swap_remove(at);
        self.scales.swap_remove(at);
        self.bytes
            .copy_within(last * dimensions..(last + 1) * dimensions, at * dimensions);
        self.bytes.truncate(last * dimensions);
        if let Some(moved) = self.pairs.get(at) {
            self.at.insert(*moved, at);
        }
    }

    fn scan(&self, scale: f32, query: &[i8], count: usize, best: &mut BinaryHeap<Reverse<Scored>>) {
        for (at, bytes) in self.bytes.chunks_exact(query.len()).enumerate() {
            let dot: i32 = bytes
                .iter()
                .zip(query)
                .map(|(a, b)| i32::from(*a) * i32::from(*b))
                .sum();
            let score = dot as f32 * scale * self.scales[at];
            if best.len() < count {
                best.push(Reverse(Scored(score, self.pairs[at])));
            } else if best.peek().is_some_and(|worst| score > worst.0.0) {
                best.pop();
                best.push(Reverse(Scored(score, self.pairs[at])));
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Scored(f32, i64);

impl Eq for Scored {}

impl Ord for Scored {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0
            .total_cmp(&other.0)
            .then_with(|| self.1.cmp(&other.1))
    }
}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::knowledge::embed::of_length_one;

    fn entry(pair_id: i64, tenant_id: i64, vector: &[f32]) -> Entry {
        Entry {
            pair_id,
            tenant_id,
            vector: of_length_one(vector.to_vec()).unwrap(),
        }
    }

    #[test]
    fn the_nearest_of_the_tenant_come_first_and_the_last_word_counts() {
        let index = Index::default();
        assert!(index.is_empty() && index.dimensions().is_none());
        index.put([
            entry(1, 7, &[1.0, 0.0, 0.0]),
            entry(2, 7, &[0.8, 0.6, 0.0]),
            entry(3, 8, &[1.0, 0.1, 0.0]),
            entry(4, 7, &[1.0, 0.0]),
        ]);
        let ids = |tenant, count| {
            let found = index.near(&[1.0, 0.0, 0.0], tenant, count);
            found.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
        };
        assert_eq!(ids(Some(7), 5), [1, 2], "of other dimensions is left out");
        assert_eq!(ids(None, 2), [1, 3]);
        assert_eq!(ids(Some(9), 5), Vec::<i64>::new());
        assert!(index.near(&[1.0, 0.0], Some(7), 5).is_empty());
        index.put([entry(1, 7, &[0.0, 0.0, 1.0])]);
        assert_eq!((ids(Some(7), 1), index.len()), (vec![2], 3));
    }

    #[test]
    fn what_is_not_kept_is_forgotten_page_by_page() {
        let index = Index::default();
        index.put((1..=9).map(|id| entry(id, id % 2, &[1.0, id as f32])));
        // The pages of a table that has 2, 3 and 6.
        index.retain(0, Some(3), &[2, 3]);
        assert_eq!(index.len(), 8, "what comes after is not looked at yet");
        index.retain(3, Some(6), &[6]);
        index.retain(6, None, &[]);
        let mut left: Vec<i64> = index
            .near(&[1.0, 0.0], None, 9)
            .iter()
            .map(|one| one.0)
            .collect();
        left.sort_unstable();
        assert_eq!(left, [2, 3, 6]);
        index.retain(0, None, &[]);
        assert!(index.is_empty() && !index.has_any(Some(0)));
    }

    proptest! {
        #[test]
        fn bytes_score_nearly_as_floats_do(
            a in prop::collection::vec(-1.0_f32..1.0, 32),
            b in prop::collection::vec(-1.0_f32..1.0, 32),
        ) {
            let (Some(a), Some(b)) = (of_length_one(a), of_length_one(b)) else { return Ok(()) };
            let exact: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            let index = Index::default();
            index.put([Entry { pair_id: 1, tenant_id: 1, vector: a }]);
            let rough = index.near(&b, None, 1)[0].1;
            prop_assert!((rough - exact).abs() < 0.02, "{rough} {exact}");
        }

        /// Whatever comes and goes: each that is kept has its own vector.
        #[test]
        fn who_goes_takes_nobody_else_along(steps in prop::collection::vec((0_i64..12, any::<bool>()), 1..40)) {
            let (index, mut model) = (Index::default(), BTreeMap::new());
            for (turn, (id, comes)) in steps.into_iter().enumerate() {
                if comes {
                    let vector = of_length_one(vec![1.0, turn as f32, id as f32]).unwrap();
                    index.put([Entry { pair_id: id, tenant_id: 1, vector: vector.clone() }]);
                    model.insert(id, vector);
                } else {
                    index.retain(id - 1, Some(id), &[]);
                    model.remove(&id);
                }
            }
            prop_assert_eq!(index.len(), model.len());
            for (id, vector) in &model {
                let found = index.near(vector, Some(1), 12);
                let own = found.iter().find(|one| one.0 == *id).unwrap();
                prop_assert!(own.1 > 0.97, "{id} {found:?}");
            }
        }
    }
}
