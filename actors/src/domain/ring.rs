//! The last two hours of calls, in pieces of ten seconds: what alert rules and live numbers ask for.
//!
//! Pure: time is passed in. A call counts where it *ended*, so that a window that is over does not change any more.
//! The last quarter of an hour is kept by ten seconds, what is older by the minute, which bounds the memory: a series
//! takes at most 90 + 106 cells. There is a series for everything together and one per model, account, token, tenant
//! and app that was active; beyond [`SERIES_MAX`] new names are left out, counted and said, the total stays right.
//! Longer windows are the rollups' business.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use steward_entities::ledger::histogram::Histogram;
use steward_entities::ledger::rollup::{Fact, Measures, SUMS};

use super::record::Record;

/// Length of a piece.
pub const SLOT_US: i64 = 10_000_000;
/// How far back calls are kept.
pub const KEPT_US: i64 = 2 * 3_600_000_000;
/// How far back they are kept by ten seconds; beyond that by the minute.
pub const FINE_US: i64 = 15 * MINUTE_US;
/// Series at most, over all dimensions.
pub const SERIES_MAX: usize = 5_000;
const MINUTE_US: i64 = 60_000_000;

/// What a series is about.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Dimension {
    /// All calls; its only name is empty.
    Total,
    /// Name of the model asked for.
    Model,
    /// Public id.
    Account,
    /// Public id.
    Token,
    /// Public id.
    Tenant,
    /// Name of the calling application.
    App,
}

impl Dimension {
    const ALL: [Self; 6] = [
        Self::Total,
        Self::Model,
        Self::Account,
        Self::Token,
        Self::Tenant,
        Self::App,
    ];
}

/// A finished call as far as the ring is concerned. Empty names are nobody and have no series.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Call<'a> {
    /// When it ended, microseconds since the Unix epoch.
    pub at: i64,
    pub model: &'a str,
    /// Public id.
    pub account: &'a str,
    /// Public id.
    pub token: &'a str,
    /// Public id.
    pub tenant: &'a str,
    pub app: &'a str,
    pub fact: Fact,
}

impl<'a> Call<'a> {
    /// What a record says of it.
    pub fn of(record: &'a Record) -> Self {
        Self {
            at: record.response_at,
            model: &record.model,
            account: &record.account_public_id,
            token: &record.token_public_id,
            tenant: &record.tenant_public_id,
            app: &record.app,
            fact: fact_of(record),
        }
    }

    fn name(&self, dimension: Dimension) -> &'a str {
        match dimension {
            Dimension::Total => "",
            Dimension::Model => self.model,
            Dimension::Account => self.account,
            Dimension::Token => self.token,
            Dimension::Tenant => self.tenant,
            Dimension::App => self.app,
        }
    }
}

/// What a record adds to statistics.
pub fn fact_of(record: &Record) -> Fact {
    Fact {
        duration_ms: record.duration_ms,
        ttft_ms: record.ttft_ms,
        tokens: [
            record.prompt_tokens,
            record.completion_tokens,
            record.total_tokens,
            record.cached_tokens,
            record.cache_write_tokens,
            record.reasoning_tokens,
        ],
        status_code: record.status_code,
        success: record.success,
        usage_estimated: record.usage_estimated,
        priced: record.priced,
        cost_nano: Fact::charge(record.cost_nano, &record.currency),
    }
}

/// Cells by the start of their slot. A minute's cell has the start of its first slot.
type Series = BTreeMap<i64, Measures>;

#[derive(Default)]
struct Gathered {
    sums: [i64; SUMS.len()],
    durations: Vec<u16>,
    ttfts: Vec<u16>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Ring {
    series: HashMap<Dimension, HashMap<Arc<str>, Series>>,
    count: usize,
    /// Calls that had no place in a series of their own.
    left_out: u64,
}

impl Ring {
    /// Counts calls that ended up to `now`; older ones than it keeps are left out, later ones count as now.
    pub fn add<'a>(&mut self, now: i64, calls: impl IntoIterator<Item = Call<'a>>) {
        let (kept_from, fine_from) = (kept_from(now), fine_from(now));
        let mut cells: BTreeMap<(Dimension, &'a str, i64), Gathered> = BTreeMap::new();
        for call in calls {
            let at = call.at.min(now);
            if at < kept_from {
                continue;
            }
            let slot = if at < fine_from {
                minute(at)
            } else {
                floor(at, SLOT_US)
            };
            let sums = call.fact.sums();
            let duration = Histogram::bucket_of(call.fact.duration_ms);
            let ttft = call.fact.ttft_ms.map(Histogram::bucket_of);
            for dimension in Dimension::ALL {
                let name = call.name(dimension);
                if name.is_empty() && dimension != Dimension::Total {
                    continue;
                }
                let cell = cells.entry((dimension, name, slot)).or_default();
                for (sum, add) in cell.sums.iter_mut().zip(&sums) {
                    *sum = sum.saturating_add(*add);
                }
                cell.durations.push(duration);
                cell.ttfts.extend(ttft);
            }
        }
        for ((dimension, name, slot), gathered) in cells {
            let calls = gathered.durations.len() as u64;
            match self.series(dimension, name) {
                Some(series) => {
                    let cell = series.entry(slot).or_default();
                    cell.add_sums(&gathered.sums);
                    cell.duration.add_buckets(gathered.durations);
                    cell.ttft.add_buckets(gathered.ttfts);
                }
                None => self.left_out = self.left_out.saturating_add(calls),
            }
        }
    }

    fn series(&mut self, dimension: Dimension, name: &str) -> Option<&mut Series> {
        let of_dimension = self.series.entry(dimension).or_default();
        if !of_dimension.contains_key(name) {
            if self.count >= SERIES_MAX && dimension != Dimension::Total {
                return None;
            }
            self.count += 1;
            of_dimension.insert(name.into(), Series::new());
        }
        of_dimension.get_mut(name)
    }

    /// Forgets what is too old at `now`, and joins what is old enough into minutes.
    pub fn advance(&mut self, now: i64) {
        let (kept_from, fine_from) = (kept_from(now), fine_from(now));
        for of_dimension in self.series.values_mut() {
            for series in of_dimension.values_mut() {
                *series = series.split_off(&kept_from);
                let due: Vec<i64> = series
                    .range(..fine_from)
                    .map(|(slot, _)| *slot)
                    .filter(|slot| minute(*slot) != *slot)
                    .collect();
                for slot in due {
                    if let Some(cell) = series.remove(&slot) {
                        series.entry(minute(slot)).or_default().merge(&cell);
                    }
                }
            }
            of_dimension.retain(|_, series| !series.is_empty());
        }
        self.count = self.series.values().map(HashMap::len).sum();
    }

    /// What calls came to that ended in `[from, to)`; both are taken down to ten seconds, and to the minute where only
    /// minutes are kept (older than a quarter of an hour at `now`).
    pub fn between(
        &self,
        now: i64,
        dimension: Dimension,
        name: &str,
        from: i64,
        to: i64,
    ) -> Measures {
        let align = |at: i64| {
            if at < fine_from(now) {
                minute(at)
            } else {
                floor(at, SLOT_US)
            }
        };
        let (from, to) = (align(from), align(to));
        let mut all = Measures::default();
        let series = self.series.get(&dimension).and_then(|all| all.get(name));
        if let Some(series) = series.filter(|_| from < to) {
            for cell in series.range(from..to).map(|(_, cell)| cell) {
                all.merge(cell);
            }
        }
        all
    }

    /// What calls came to in the last `length_us` before `now`, the slot under way included.
    pub fn last(&self, now: i64, dimension: Dimension, name: &str, length_us: i64) -> Measures {
        self.between(now, dimension, name, now - length_us, now + SLOT_US)
    }

    /// The names of a dimension that had calls in what is kept, sorted.
    pub fn names(&self, dimension: Dimension) -> Vec<Arc<str>> {
        let of_dimension = self.series.get(&dimension);
        let mut names: Vec<Arc<str>> = of_dimension
            .map(|all| all.keys().cloned().collect())
            .unwrap_or_default();
        names.sort();
        names
    }

    /// Calls that are in the total but had no place in a series of their own.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

fn floor(at: i64, step: i64) -> i64 {
    at - at.rem_euclid(step)
}

fn minute(at: i64) -> i64 {
    floor(at, MINUTE_US)
}

fn kept_from(now: i64) -> i64 {
    minute(now - KEPT_US)
}

fn fine_from(now: i64) -> i64 {
    minute(now - FINE_US)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: i64 = 1_773_599_400_000_000;
    const MODELS: [&str; 3] = ["a", "b", "c"];

    fn call(at: i64, model: usize, duration_ms: i64) -> Call<'static> {
        Call {
            at,
            model: MODELS[model],
            fact: Fact {
                duration_ms,
                success: duration_ms % 7 != 0,
                status_code: 200,
                tokens: [1, 2, 3, 0, 0, 0],
                ..Fact::default()
            },
            ..Call::default()
        }
    }

    fn naive(calls: &[Call<'_>], model: &str, from: i64, to: i64) -> Measures {
        let mut all = Measures::default();
        for call in calls {
            if (from..to).contains(&call.at) && (model.is_empty() || call.model == model) {
                all.add(&call.fact);
            }
        }
        all
    }

    proptest! {
        /// However calls arrive and the clock moves, a window tells what ended in it.
        #[test]
        fn a_window_tells_what_ended_in_it(
            steps in prop::collection::vec(
                (0_i64..600, prop::collection::vec((0_i64..9_000, 0_usize..3, 0_i64..5_000), 0..6)),
                1..40,
            ),
            length_s in 1_i64..7_200,
        ) {
            let mut ring = Ring::default();
            let (mut now, mut all) = (START, Vec::new());
            for (pause_s, calls) in steps {
                now += pause_s * 1_000_000;
                let calls: Vec<Call<'_>> = calls
                    .into_iter()
                    .map(|(ago_s, model, ms)| call(now - ago_s * 1_000_000, model, ms))
                    .collect();
                ring.add(now, calls.iter().cloned());
                ring.advance(now);
                // What was too old when it came is not told of, whatever the window.
                all.extend(calls.into_iter().filter(|call| call.at >= kept_from(now)));
            }
            let length = length_s * 1_000_000;
            let start = now - length;
            let from = if start < fine_from(now) { minute(start) } else { floor(start, SLOT_US) };
            for (dimension, name) in [(Dimension::Total, ""), (Dimension::Model, "a"), (Dimension::Model, "b")] {
                prop_assert_eq!(ring.last(now, dimension, name, length), naive(&all, name, from.max(kept_from(now)), i64::MAX));
            }
            // Two windows side by side are the long one: nothing is told twice or lost between them.
            let middle = now - length / 2;
            let mut joined = ring.between(now, Dimension::Total, "", start, middle);
            joined.merge(&ring.between(now, Dimension::Total, "", middle, now + SLOT_US));
            prop_assert_eq!(joined, ring.last(now, Dimension::Total, "", length));
        }
    }

    #[test]
    fn what_is_old_is_joined_and_then_forgotten() {
        let mut ring = Ring::default();
        let every_second = (0..3_600).map(|second| call(START + second * 1_000_000, 0, 5));
        let now = START + 3_600_000_000;
        ring.add(now, every_second);
        ring.advance(now);
        let cells = ring.series[&Dimension::Model]["a"].len();
        assert_eq!(cells, 90 + 45);
        let requests = |ring: &Ring, now| {
            ring.last(now, Dimension::Model, "a", KEPT_US)
                .sum("request_count")
        };
        assert_eq!(requests(&ring, now), 3_600);
        let later = now + KEPT_US;
        ring.advance(later - 60_000_000);
        assert_eq!(requests(&ring, later - 60_000_000), 60);
        ring.advance(later + 60_000_000);
        assert!(ring.names(Dimension::Model).is_empty());
    }

    #[test]
    fn too_many_names_are_said_and_the_total_stays_right() {
        let names: Vec<String> = (0..SERIES_MAX + 10).map(|n| format!("app {n}")).collect();
        let mut ring = Ring::default();
        ring.add(
            START,
            names.iter().map(|name| Call {
                app: name,
                at: START,
                ..Call::default()
            }),
        );
        assert_eq!(ring.names(Dimension::App).len(), SERIES_MAX - 1);
        assert_eq!(ring.left_out(), 11);
        let all = ring.last(START, Dimension::Total, "", SLOT_US);
        assert_eq!(all.sum("request_count"), SERIES_MAX as i64 + 10);
    }
}
