//! A histogram of milliseconds that can be merged: buckets that widen by 2 %, so that a quantile read from it lies
//! within 1 % of the true one, and merging over hours, nodes or models loses nothing more.
//!
//! Pure. What is stored is sparse: pairs of (distance to the bucket before, count) as varints, about 300 bytes for
//! an hour of calls. Reading bytes that were not written here is an error, never a panic.

/// Growth of the buckets.
const GAMMA: f64 = 1.02;
/// `ln(i64::MAX) / ln(GAMMA)`, rounded up, and the bucket of zero.
const BUCKETS_MAX: u16 = 2_300;

/// Counts of values by bucket. Bucket 0 holds zero; bucket `i` holds values in `(γ^(i-2), γ^(i-1)]`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Histogram {
    /// Sorted by bucket; no count is zero.
    buckets: Vec<(u16, u64)>,
}

/// Bytes that are no histogram.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the bytes are not a histogram")]
pub struct NotAHistogram;

impl Histogram {
    /// The bucket of a value; what is negative counts as zero.
    pub fn bucket_of(value: i64) -> u16 {
        if value <= 0 {
            return 0;
        }
        let exponent = ((value as f64).ln() / GAMMA.ln() - 1e-9).ceil().max(0.0);
        exponent as u16 + 1
    }

    /// Adds values by their buckets, which are sorted on the way.
    pub fn add_buckets(&mut self, mut buckets: Vec<u16>) {
        buckets.sort_unstable();
        let mut other = Self::default();
        for bucket in buckets {
            match other.buckets.last_mut() {
                Some((last, count)) if *last == bucket => *count += 1,
                _ => other.buckets.push((bucket, 1)),
            }
        }
        self.merge(&other);
    }

    /// Adds one value.
    pub fn add(&mut self, value: i64) {
        self.add_buckets(vec![Self::bucket_of(value)]);
    }

    /// Adds everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        if other.buckets.is_empty() {
            return;
        }
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
            return;
        }
        let mut merged = Vec::with_capacity(self.buckets.len() + other.buckets.len());
        let (mut mine, mut theirs) = (self.buckets.iter(), other.buckets.iter());
        let (mut a, mut b) = (mine.next(), theirs.next());
        loop {
            match (a, b) {
                (Some(left), Some(right)) if left.0 == right.0 => {
                    merged.push((left.0, left.1.saturating_add(right.1)));
                    (a, b) = (mine.next(), theirs.next());
                }
                (Some(left), Some(right)) if left.0 > right.0 => {
                    merged.push(*right);
                    b = theirs.next();
                }
                (Some(left), _) => {
                    merged.push(*left);
                    a = mine.next();
                }
                (None, Some(right)) => {
                    merged.push(*right);
                    b = theirs.next();
                }
                (None, None) => break,
            }
        }
        self.buckets = merged;
    }

    /// Values counted.
    pub fn count(&self) -> u64 {
        let counts = self.buckets.iter().map(|(_, count)| *count);
        counts.fold(0, u64::saturating_add)
    }

    /// The value below or at which the share `q` (0 to 1) of all values lies, within 1 %; `None` without values.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = ((q.clamp(0.0, 1.0) * count as f64).ceil() as u64).clamp(1, count);
        let mut seen = 0_u64;
        let (bucket, _) = self.buckets.iter().find(|(_, count)| {
            seen = seen.saturating_add(*count);
            seen >= rank
        })?;
        Some(match bucket {
            0 => 0.0,
            bucket => 2.0 * GAMMA.powi(i32::from(*bucket) - 1) / (GAMMA + 1.0),
        })
    }

    /// As it is stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.buckets.len() * 3);
        let mut before = 0;
        for (bucket, count) in &self.buckets {
            put(&mut bytes, u64::from(bucket - before));
            put(&mut bytes, *count);
            before = *bucket;
        }
        bytes
    }

    /// Reads what [`Histogram::encode`] wrote.
    ///
    /// # Errors
    /// When something else wrote it.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotAHistogram> {
        let mut buckets = Vec::new();
        each(bytes, |bucket, count| buckets.push((bucket, count)))?;
        Ok(Self { buckets })
    }
}

/// Adds up histograms as they are stored, without making one of each.
#[derive(Debug)]
pub struct Summing {
    /// By bucket.
    counts: Vec<u64>,
    /// The buckets that may count something, `[from, to)`.
    touched: (usize, usize),
}

const UNTOUCHED: (usize, usize) = (BUCKETS_MAX as usize, 0);

impl Default for Summing {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS_MAX.into()],
            touched: UNTOUCHED,
        }
    }
}

impl Summing {
    /// Adds what [`Histogram::encode`] wrote.
    ///
    /// # Errors
    /// When something else wrote it; part of it may have been added.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), NotAHistogram> {
        let Self { counts, touched } = self;
        each(bytes, |bucket, count| {
            let bucket = usize::from(bucket);
            if let Some(sum) = counts.get_mut(bucket) {
                *sum = sum.saturating_add(count);
            }
            *touched = (touched.0.min(bucket), touched.1.max(bucket + 1));
        })
    }

    /// The sum; begins anew.
    pub fn take(&mut self) -> Histogram {
        let (from, to) = std::mem::replace(&mut self.touched, UNTOUCHED);
        let touched = self.counts.get_mut(from..to).unwrap_or_default();
        let counted = touched.iter_mut().zip(from..).filter(|(sum, _)| **sum > 0);
        let buckets = counted.map(|(sum, bucket)| {
            let bucket = u16::try_from(bucket).unwrap_or(BUCKETS_MAX - 1);
            (bucket, std::mem::take(sum))
        });
        Histogram {
            buckets: buckets.collect(),
        }
    }
}

/// Shows every bucket and its count, rising.
fn each(mut bytes: &[u8], mut see: impl FnMut(u16, u64)) -> Result<(), NotAHistogram> {
    let mut before: Option<u16> = None;
    while !bytes.is_empty() {
        let distance = take(&mut bytes)?;
        let count = take(&mut bytes)?;
        let bucket = match before {
            Some(before) if distance > 0 => u64::from(before).checked_add(distance),
            Some(_) => None,
            None => Some(distance),
        };
        let bucket = bucket
            .and_then(|bucket| u16::try_from(bucket).ok())
            .filter(|bucket| *bucket < BUCKETS_MAX && count > 0)
            .ok_or(NotAHistogram)?;
        see(bucket, count);
        before = Some(bucket);
    }
    Ok(())
}

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn take(bytes: &mut &[u8]) -> Result<u64, NotAHistogram> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(NotAHistogram)?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(NotAHistogram);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(NotAHistogram)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Histogram, Summing};

    fn of(values: &[i64]) -> Histogram {
        let mut histogram = Histogram::default();
        histogram.add_buckets(values.iter().map(|v| Histogram::bucket_of(*v)).collect());
        histogram
    }

    fn values() -> impl Strategy<Value = Vec<i64>> {
        prop::collection::vec(prop_oneof![0_i64..10, 0_i64..100_000, any::<i64>()], 0..200)
    }

    proptest! {
        #[test]
        fn stored_ones_add_up_to_what_they_merge_to(groups in prop::collection::vec(prop::collection::vec(values(), 0..4), 0..4)) {
            // One sum after the other in the same memory.
            let mut summing = Summing::default();
            for group in groups {
                let mut merged = Histogram::default();
                for values in group {
                    merged.merge(&of(&values));
                    summing.add(&of(&values).encode()).unwrap();
                }
                prop_assert_eq!(summing.take(), merged);
            }
        }

        #[test]
        fn merging_is_commutative_and_associative(a in values(), b in values(), c in values()) {
            let (a, b, c) = (of(&a), of(&b), of(&c));
            let merged = |x: &Histogram, y: &Histogram| { let mut x = x.clone(); x.merge(y); x };
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        }

        #[test]
        fn a_quantile_is_within_one_percent(mut values in prop::collection::vec(0_i64..100_000_000_000, 1..200), q in 0.0..=1.0) {
            let read = of(&values).quantile(q).unwrap();
            values.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let exact = values[rank - 1] as f64;
            prop_assert!((read - exact).abs() <= exact * 0.01 + 1e-6, "{} for {}", read, exact);
        }

        #[test]
        fn what_is_encoded_is_read_again(values in values()) {
            let histogram = of(&values);
            prop_assert_eq!(histogram.count(), values.len() as u64);
            prop_assert_eq!(Histogram::decode(&histogram.encode()), Ok(histogram));
        }

        #[test]
        fn strange_bytes_are_refused_or_harmless(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(mut histogram) = Histogram::decode(&bytes) {
                histogram.merge(&histogram.clone());
                let _ = (histogram.count(), histogram.quantile(0.99), histogram.encode());
            }
        }
    }

    #[test]
    fn bytes_cut_short_or_out_of_order_are_errors() {
        for bytes in [
            &[1_u8][..],
            &[0x80],
            &[1, 0],
            &[1, 1, 0, 1],
            &[0xff; 12],
            &[0xff, 0x7f, 1],
        ] {
            assert!(Histogram::decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
