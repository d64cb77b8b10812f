//! A set of sequence numbers kept as inclusive ranges.
//!
//! The index of unacked entries: a spool holding millions of them costs a handful of ranges. It knows
//! nothing of files, leases or totals.

use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    /// first → last, disjoint and never adjacent.
    by_first: BTreeMap<u64, u64>,
    /// How many numbers are in, counted as they come and go.
    count: u64,
}

impl Ranges {
    pub(super) fn len(&self) -> u64 {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.by_first.keys().next().copied()
    }

    pub(super) fn last(&self) -> Option<u64> {
        self.by_first.values().next_back().copied()
    }

    pub(super) fn contains(&self, seq: u64) -> bool {
        self.by_first
            .range(..=seq)
            .next_back()
            .is_some_and(|(_, last)| *last >= seq)
    }

    pub(super) fn intersects(&self, first: u64, last: u64) -> bool {
        first <= last
            && self
                .by_first
                .range(..=last)
                .next_back()
                .is_some_and(|(_, end)| *end >= first)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.by_first.iter().map(|(first, last)| (*first, *last))
    }

    /// The part of the set inside `first..=last`.
    pub(super) fn within(&self, first: u64, last: u64) -> Ranges {
        let mut part = Ranges::default();
        if first > last {
            return part;
        }
        let start = self
            .by_first
            .range(..=first)
            .next_back()
            .map_or(first, |(start, _)| *start);
        for (start, end) in self.by_first.range(start..=last) {
            let (from, to) = ((*start).max(first), (*end).min(last));
            if from <= to {
                part.insert(from, to);
            }
        }
        part
    }

    /// Puts `first..=last` in; answers how many were not there before.
    pub(super) fn insert(&mut self, first: u64, last: u64) -> u64 {
        if first > last {
            return 0;
        }
        // The common case, an append, only lengthens the last range.
        if let Some(mut tail) = self.by_first.last_entry()
            && *tail.get() < first
        {
            if tail.get().checked_add(1) == Some(first) {
                *tail.get_mut() = last;
            } else {
                self.by_first.insert(first, last);
            }
            let added = last - first + 1;
            self.count += added;
            return added;
        }
        let removed = self.remove(first, last);
        let (mut from, mut to) = (first, last);
        if let Some((&start, &end)) = self.by_first.range(..first).next_back()
            && end.checked_add(1) == Some(first)
        {
            self.by_first.remove(&start);
            from = start;
        }
        if let Some(next) = last.checked_add(1)
            && let Some(end) = self.by_first.remove(&next)
        {
            to = end;
        }
        self.by_first.insert(from, to);
        let width = last - first + 1;
        self.count += width;
        width - removed
    }

    /// Takes `first..=last` out; answers how many were there.
    pub(super) fn remove(&mut self, first: u64, last: u64) -> u64 {
        if first > last {
            return 0;
        }
        let mut removed = 0;
        if let Some((&start, &end)) = self.by_first.range(..first).next_back()
            && end >= first
        {
            self.by_first.insert(start, first - 1);
            removed += end.min(last) - first + 1;
            if end > last {
                self.by_first.insert(last + 1, end);
            }
        }
        while let Some((&start, &end)) = self.by_first.range(first..=last).next() {
            self.by_first.remove(&start);
            removed += end.min(last) - start + 1;
            if end > last {
                self.by_first.insert(last + 1, end);
            }
        }
        self.count -= removed;
        removed
    }

    pub(super) fn remove_all(&mut self, other: &Ranges) -> u64 {
        other
            .iter()
            .map(|(first, last)| self.remove(first, last))
            .sum()
    }

    pub(super) fn insert_all(&mut self, other: &Ranges) -> u64 {
        other
            .iter()
            .map(|(first, last)| self.insert(first, last))
            .sum()
    }
}

impl FromIterator<(u64, u64)> for Ranges {
    fn from_iter<I: IntoIterator<Item = (u64, u64)>>(ranges: I) -> Self {
        let mut set = Ranges::default();
        for (first, last) in ranges {
            set.insert(first, last);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::Ranges;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn behaves_like_a_set_of_numbers(ops in prop::collection::vec((any::<bool>(), 0u64..60, 0u64..12), 1..60)) {
            let mut ranges = Ranges::default();
            let mut model = BTreeSet::new();
            for (put, first, width) in ops {
                let last = first + width;
                let changed = if put {
                    (first..=last).filter(|seq| model.insert(*seq)).count()
                } else {
                    (first..=last).filter(|seq| model.remove(seq)).count()
                } as u64;
                let said = if put { ranges.insert(first, last) } else { ranges.remove(first, last) };
                prop_assert_eq!(said, changed);
                prop_assert_eq!(ranges.len(), model.len() as u64);
                prop_assert_eq!(ranges.first(), model.first().copied());
                prop_assert_eq!(ranges.last(), model.last().copied());
                let listed: BTreeSet<u64> = ranges.iter().flat_map(|(a, b)| a..=b).collect();
                prop_assert_eq!(&listed, &model);
                for seq in 0..75 {
                    prop_assert_eq!(ranges.contains(seq), model.contains(&seq));
                    prop_assert_eq!(ranges.intersects(seq, seq + 3), model.range(seq..=seq + 3).next().is_some());
                }
                let part: BTreeSet<u64> = ranges.within(10, 30).iter().flat_map(|(a, b)| a..=b).collect();
                prop_assert_eq!(part, model.range(10..=30).copied().collect::<BTreeSet<_>>());
                let again: Ranges = ranges.iter().collect();
                prop_assert_eq!(&again, &ranges);
            }
        }
    }
}
