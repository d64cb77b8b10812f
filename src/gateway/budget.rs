//! What a token and its tenant may spend: money a day and a month, kept in memory, settled on the real cost.
//!
//! One per process, keyed by id, so that it survives the swap of a snapshot; the budgets themselves are passed with
//! each call. What a call may cost is reserved before it is sent, streams included, as far as there is room: so a
//! budget is overshot by no more than what was in flight when it ran out. Everybody's spending is counted, budget or
//! not, since one may be set in the middle of a month. Days and months are those of `stats.time_zone`, by the time the
//! call was made, as in the rollups that the counters are filled from at start. What has no price counts as nothing,
//! until a job charges it anew. On several nodes budgets hold per node.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{Datelike, Months};
use chrono_tz::Tz;
use parking_lot::Mutex;
use steward_actors::domain::calendar;
use steward_actors::domain::price::{Currency, Rate};
use steward_actors::domain::record::Record;
use steward_actors::domain::setting::InForce;
use steward_actors::domain::snapshot::{Budget, TokenView};
use steward_entities::ledger::rollup::Fact;

const SHARDS: usize = 32;
/// When to retry while calls in flight hold the rest: nobody knows when they end.
const SOON_MS: u64 = 1_000;

/// Billionths of US dollars and of Chinese yuan, as charged.
pub type Charge = [i64; 2];

/// Whose budget.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Whose {
    Token,
    Tenant,
}

/// Of what time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Per {
    Day,
    Month,
}

/// A budget that is used up, or held by calls in flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Exhausted {
    pub whose: Whose,
    pub per: Per,
    /// A retry before this makes no sense.
    pub retry_after_ms: u64,
}

impl Exhausted {
    /// A sentence for the caller; no amount in it.
    pub fn detail(&self) -> &'static str {
        match (self.whose, self.per) {
            (Whose::Token, Per::Day) => "The API key's budget of the day is used up.",
            (Whose::Token, Per::Month) => "The API key's budget of the month is used up.",
            (Whose::Tenant, Per::Day) => "The tenant's budget of the day is used up.",
            (Whose::Tenant, Per::Month) => "The tenant's budget of the month is used up.",
        }
    }
}

/// The day and the month a moment lies in: starts and ends, microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Period {
    pub day: (i64, i64),
    pub month: (i64, i64),
}

impl Period {
    /// The local day and month of `at`.
    pub fn of(zone: Tz, at: i64) -> Self {
        let day = calendar::day_of(zone, at);
        let date = calendar::date_of(zone, at);
        let first = date.with_day(1).unwrap_or(date);
        let next = first.checked_add_months(Months::new(1)).unwrap_or(first);
        Self {
            day: (day, calendar::next_day(zone, day)),
            month: (
                calendar::start_of(zone, first),
                calendar::start_of(zone, next),
            ),
        }
    }

    fn has(&self, at: i64) -> bool {
        (self.day.0..self.day.1).contains(&at)
    }
}

/// What was spent in one day or month.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Window {
    /// Its start, microseconds since the Unix epoch.
    start: i64,
    spent: Charge,
    /// By calls in flight, billionths of a dollar.
    reserved: i64,
}

impl Window {
    /// Turns to a later day or month; reservations made in an earlier one are settled there, that is nowhere.
    fn advance(&mut self, start: i64) {
        if start > self.start {
            *self = Self {
                start,
                ..Self::default()
            };
        }
    }

    /// Dollars.
    fn used(&self, rate: Rate) -> i64 {
        rate.sum(self.spent, Currency::Usd)
    }

    fn correct(&mut self, start: i64, difference: Charge) {
        self.advance(start);
        if self.start == start {
            for (spent, difference) in self.spent.iter_mut().zip(difference) {
                *spent = spent.saturating_add(difference).max(0);
            }
        }
    }

    fn settle(&mut self, start: i64, reserved: i64, charge: Charge) {
        self.advance(start);
        if self.start == start {
            self.reserved = self.reserved.saturating_sub(reserved);
            for (spent, charge) in self.spent.iter_mut().zip(charge) {
                *spent = spent.saturating_add(charge.max(0));
            }
        }
    }
}

/// Of one token or tenant.
#[derive(Debug, Default)]
struct Purse(Mutex<[Window; 2]>);

type Purses = Vec<Mutex<HashMap<i64, Arc<Purse>>>>;

fn purses() -> Purses {
    (0..SHARDS).map(|_| Mutex::default()).collect()
}

fn purse(purses: &Purses, id: i64) -> Arc<Purse> {
    let shard = &purses[(id.unsigned_abs() % SHARDS as u64) as usize];
    Arc::clone(shard.lock().entry(id).or_default())
}

/// What everybody spends.
#[derive(Debug)]
pub struct Budgets {
    zone: Tz,
    /// Say by what rate two currencies are one.
    settings: InForce,
    /// The period of late calls: found once a day.
    period: ArcSwap<Period>,
    tokens: Purses,
    tenants: Purses,
}

impl Budgets {
    /// Nobody has spent anything yet.
    pub fn new(zone: Tz, settings: InForce) -> Self {
        Self {
            zone,
            settings,
            period: ArcSwap::default(),
            tokens: purses(),
            tenants: purses(),
        }
    }

    /// The day and month of `at`.
    pub fn period(&self, at: i64) -> Period {
        let known = **self.period.load();
        if known.has(at) {
            return known;
        }
        let period = Period::of(self.zone, at);
        if period.day.0 > known.day.0 {
            self.period.store(Arc::new(period));
        }
        period
    }

    /// The rate by which two currencies are one.
    pub fn rate(&self) -> Rate {
        self.settings.load().rate
    }

    fn of(&self, token: i64, tenant: i64) -> [Option<Arc<Purse>>; 2] {
        [
            Some(purse(&self.tokens, token)),
            (tenant != 0).then(|| purse(&self.tenants, tenant)),
        ]
    }

    /// Counts what was spent at `at` without asking: at start, and for calls that were made elsewhere.
    pub fn spend(&self, token: i64, tenant: i64, at: i64, charge: Charge) {
        if charge == [0, 0] {
            return;
        }
        let starts = self.period(at).starts();
        for purse in self.of(token, tenant).into_iter().flatten() {
            let mut windows = purse.0.lock();
            for (window, start) in windows.iter_mut().zip(starts) {
                window.settle(start, 0, charge);
            }
        }
    }

    /// A call that was made at `at` and counted is charged `difference` more than before, or less. One of a day or
    /// month gone by moves nothing.
    pub fn correct(&self, token: i64, tenant: i64, at: i64, difference: Charge) {
        let starts = self.period(at).starts();
        for purse in self.of(token, tenant).into_iter().flatten() {
            let mut windows = purse.0.lock();
            for (window, start) in windows.iter_mut().zip(starts) {
                window.correct(start, difference);
            }
        }
    }

    /// What a rollup says was spent by a token (or a tenant) in the day and the month of `period` until now: at start.
    pub fn seed(&self, whose: Whose, id: i64, period: Period, day: Charge, month: Charge) {
        let purse = match whose {
            Whose::Token => purse(&self.tokens, id),
            Whose::Tenant => purse(&self.tenants, id),
        };
        let mut windows = purse.0.lock();
        for ((window, start), spent) in windows.iter_mut().zip(period.starts()).zip([day, month]) {
            window.settle(start, 0, spent);
        }
    }

    /// Reserves what a call of `token`, made at `at`, may cost, or says which budget is used up. `expected` (billionths
    /// of a dollar) is asked for only where there is a budget to hold it against.
    ///
    /// # Errors
    /// [`Exhausted`]; nothing is reserved then.
    pub fn reserve(
        &self,
        token: &TokenView,
        at: i64,
        expected: impl FnOnce() -> i64,
    ) -> Result<Hold, Exhausted> {
        let budgets = [token.budget, token.tenant_budget];
        self.reserve_of((token.id, token.tenant_id), budgets, at, expected)
    }

    /// As [`Self::reserve`], of a token and a tenant by their keys, 0 for none, and their budgets.
    ///
    /// # Errors
    /// [`Exhausted`]; nothing is reserved then.
    pub fn reserve_of(
        &self,
        (token, tenant): (i64, i64),
        [of_token, of_tenant]: [Budget; 2],
        at: i64,
        expected: impl FnOnce() -> i64,
    ) -> Result<Hold, Exhausted> {
        let period = self.period(at);
        let starts = period.starts();
        let ends = [period.day.1, period.month.1];
        let budgets = [(Whose::Token, of_token), (Whose::Tenant, of_tenant)];
        let limited = budgets.iter().any(|(_, budget)| budget.is_limited());
        let wanted = if limited { expected().max(0) } else { 0 };
        let mut hold = Hold {
            starts,
            held: Vec::with_capacity(2),
        };
        let purses = self.of(token, tenant);
        for ((whose, budget), purse) in budgets.into_iter().zip(purses) {
            let Some(purse) = purse else { continue };
            let mut windows = purse.0.lock();
            let mut reserved = [0; 2];
            for (index, per) in [Per::Day, Per::Month].into_iter().enumerate() {
                let window = &mut windows[index];
                window.advance(starts[index]);
                let Some(limit) = self.limit(budget, per) else {
                    continue;
                };
                if window.start != starts[index] {
                    // A later call has opened the next day already; this one belongs to the one that is over.
                    continue;
                }
                let used = window.used(self.rate());
                let left = limit.saturating_sub(used.saturating_add(window.reserved));
                if left <= 0 {
                    let until = u64::try_from((ends[index] - at) / 1_000).unwrap_or(0);
                    let retry_after_ms = if used >= limit { until.max(1) } else { SOON_MS };
                    // `hold` gives back what the token's own budget reserved.
                    return Err(Exhausted {
                        whose,
                        per,
                        retry_after_ms,
                    });
                }
                reserved[index] = wanted.min(left);
            }
            for (window, reserved) in windows.iter_mut().zip(reserved) {
                window.reserved = window.reserved.saturating_add(reserved);
            }
            drop(windows);
            hold.held.push((purse, reserved));
        }
        Ok(hold)
    }

    /// In billionths of a dollar.
    fn limit(&self, budget: Budget, per: Per) -> Option<i64> {
        let nano = match per {
            Per::Day => budget.daily_nano,
            Per::Month => budget.monthly_nano,
        }?;
        let charge = budget.currency.charge(nano);
        Some(self.rate().sum(charge, Currency::Usd))
    }

    /// What a token has spent in the day and the month of `at`, as charged.
    pub fn spent(&self, whose: Whose, id: i64, at: i64) -> [Charge; 2] {
        let purses = match whose {
            Whose::Token => &self.tokens,
            Whose::Tenant => &self.tenants,
        };
        let shard = &purses[(id.unsigned_abs() % SHARDS as u64) as usize];
        let found = shard.lock().get(&id).cloned();
        let starts = self.period(at).starts();
        found.map_or([[0; 2]; 2], |purse| {
            let windows = purse.0.lock();
            [0, 1].map(|index: usize| match windows[index] {
                window if window.start == starts[index] => window.spent,
                _ => [0; 2],
            })
        })
    }
}

impl Period {
    fn starts(&self) -> [i64; 2] {
        [self.day.0, self.month.0]
    }
}

/// What a record was charged; other currencies are not held against budgets.
pub fn charge_of(record: &Record) -> Charge {
    Fact::charge(record.cost_nano, &record.currency)
}

/// What a call has reserved. Dropped unsettled it gives everything back.
#[derive(Debug)]
pub struct Hold {
    starts: [i64; 2],
    held: Vec<(Arc<Purse>, [i64; 2])>,
}

impl Hold {
    /// Replaces the reservation by what the call was charged. Once; later calls do nothing.
    pub fn settle(&mut self, charge: Charge) {
        for (purse, reserved) in self.held.drain(..) {
            let mut windows = purse.0.lock();
            for ((window, start), reserved) in windows.iter_mut().zip(self.starts).zip(reserved) {
                window.settle(start, reserved, charge);
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.settle([0, 0]);
    }
}

#[cfg(test)]
mod tests;
