//! What a token may use: requests and model tokens a minute, calls at the same time, tokens in its life.
//!
//! In memory, one per process, keyed by token id, so that it survives the swap of a snapshot; the limits
//! themselves are passed with each call, so that a change acts on the next one. A minute is any 60 seconds,
//! kept as one-second buckets and rounded against the caller, never in its favour. Model tokens are reserved
//! by an estimate and settled on the real count. Time is passed in as milliseconds of a clock that never
//! jumps. Nothing is persisted: the quota's past is seeded at start.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use steward_actors::domain::snapshot::{Protocol, TokenView};

use crate::error::catalog::ErrorCode;

const SHARDS: usize = 32;
/// One second beyond the minute: a bucket counts until the whole of it has left the window.
const BUCKETS: usize = 61;
const BUCKET_MS: u64 = 1_000;
/// When to retry after a refusal whose end nobody can know.
const SOON_MS: u64 = 1_000;
/// When to retry after a used-up quota: an operator has to act.
const QUOTA_RETRY_MS: u64 = 3_600_000;

/// What a call is expected to use.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Demand {
    /// It certainly needs about this many.
    pub prompt_tokens: u64,
    /// It may need up to about this many more.
    pub completion_tokens: u64,
}

/// Which limit refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LimitKind {
    Requests,
    Tokens,
    Concurrency,
    Quota,
}

/// A refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refusal {
    pub kind: LimitKind,
    /// A retry before this makes no sense.
    pub retry_after_ms: u64,
    pub limit: u64,
    pub remaining: u64,
}

impl Refusal {
    /// Its entry in the catalog.
    pub fn code(&self) -> ErrorCode {
        match self.kind {
            LimitKind::Requests => ErrorCode::RateLimited,
            LimitKind::Tokens => ErrorCode::TokensLimited,
            LimitKind::Concurrency => ErrorCode::ConcurrencyLimited,
            LimitKind::Quota => ErrorCode::QuotaExhausted,
        }
    }

    /// The rate-limit headers the caller's SDK knows, beside those of the error itself.
    pub fn headers(&self, protocol: Protocol) -> Vec<(&'static str, String)> {
        let names = match (protocol, self.kind) {
            (Protocol::OpenAi, LimitKind::Requests) => [
                "x-ratelimit-limit-requests",
                "x-ratelimit-remaining-requests",
                "x-ratelimit-reset-requests",
            ],
            (Protocol::OpenAi, LimitKind::Tokens) => [
                "x-ratelimit-limit-tokens",
                "x-ratelimit-remaining-tokens",
                "x-ratelimit-reset-tokens",
            ],
            (Protocol::Anthropic, LimitKind::Requests) => [
                "anthropic-ratelimit-requests-limit",
                "anthropic-ratelimit-requests-remaining",
                "",
            ],
            (Protocol::Anthropic, LimitKind::Tokens) => [
                "anthropic-ratelimit-tokens-limit",
                "anthropic-ratelimit-tokens-remaining",
                "",
            ],
            _ => return Vec::new(),
        };
        let [limit, remaining, reset] = names;
        let mut headers = vec![
            (limit, self.limit.to_string()),
            (remaining, self.remaining.to_string()),
        ];
        if !reset.is_empty() {
            headers.push((reset, format!("{}ms", self.retry_after_ms)));
        }
        headers
    }
}

/// Sums over the last minute, by the second.
#[derive(Debug)]
struct Window {
    sums: [u64; BUCKETS],
    /// The second of the newest bucket.
    newest: u64,
    total: u64,
}

impl Window {
    fn new() -> Self {
        Self {
            sums: [0; BUCKETS],
            newest: 0,
            total: 0,
        }
    }

    /// Empties the buckets that have left the window. A time before the newest bucket counts as the newest.
    fn advance(&mut self, now_ms: u64) {
        let second = now_ms / BUCKET_MS;
        if second <= self.newest {
            return;
        }
        let steps = (second - self.newest).min(BUCKETS as u64);
        for step in 1..=steps {
            let at = index(self.newest + step);
            // When everything has left, the loop clears each bucket once whatever the distance.
            self.total -= std::mem::take(&mut self.sums[at]);
        }
        if second - self.newest > steps {
            self.sums = [0; BUCKETS];
            self.total = 0;
        }
        self.newest = second;
    }

    fn add(&mut self, amount: u64) -> u64 {
        self.sums[index(self.newest)] += amount;
        self.total += amount;
        self.newest
    }

    /// Puts what was reserved in `second` right. What has left the window is forgotten; a surplus over the
    /// reservation counts in the second it was reserved in, or now when that has left.
    fn correct(&mut self, second: u64, reserved: u64, actual: u64) {
        let in_window = self.newest < second + BUCKETS as u64;
        if in_window {
            let bucket = &mut self.sums[index(second)];
            let before = *bucket;
            *bucket = bucket.saturating_sub(reserved) + actual;
            self.total = self.total - before + *bucket;
        } else if actual > reserved {
            self.add(actual - reserved);
        }
    }

    /// How long until the sum has fallen to `at_most`.
    fn until_ms(&self, at_most: u64, now_ms: u64) -> u64 {
        let mut sum = self.total;
        let oldest = (self.newest + 1).saturating_sub(BUCKETS as u64);
        for second in oldest..=self.newest {
            if sum <= at_most {
                break;
            }
            sum -= self.sums[index(second)];
            if sum <= at_most {
                return ((second + BUCKETS as u64) * BUCKET_MS)
                    .saturating_sub(now_ms)
                    .max(1);
            }
        }
        SOON_MS
    }
}

fn index(second: u64) -> usize {
    (second % BUCKETS as u64) as usize
}

#[derive(Debug)]
struct Usage {
    requests: Window,
    tokens: Window,
    /// Settled model tokens of its life.
    used: u64,
    /// Reserved against the quota by calls in flight.
    reserved: u64,
    in_flight: u32,
}

#[derive(Debug)]
struct TokenState(Mutex<Usage>);

/// The limits of all tokens.
#[derive(Debug)]
pub struct Limits {
    shards: Vec<Mutex<HashMap<i64, Arc<TokenState>>>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

impl Limits {
    /// Nobody has used anything yet.
    pub fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    fn shard(&self, id: i64) -> &Mutex<HashMap<i64, Arc<TokenState>>> {
        &self.shards[(id.unsigned_abs() % SHARDS as u64) as usize]
    }

    fn state(&self, token_id: i64) -> Arc<TokenState> {
        Arc::clone(
            self.shard(token_id)
                .lock()
                .entry(token_id)
                .or_insert_with(|| {
                    Arc::new(TokenState(Mutex::new(Usage {
                        requests: Window::new(),
                        tokens: Window::new(),
                        used: 0,
                        reserved: 0,
                        in_flight: 0,
                    })))
                }),
        )
    }

    /// Sets what a token has used in its life, as the ledger and the spool say at start.
    pub fn seed_used(&self, token_id: i64, total_tokens: u64) {
        self.state(token_id).0.lock().used = total_tokens;
    }

    /// Model tokens a token has used in its life, calls in flight not counted.
    pub fn used(&self, token_id: i64) -> u64 {
        self.state(token_id).0.lock().used
    }

    /// Calls of a token that are under way.
    pub fn in_flight(&self, token_id: i64) -> u32 {
        self.state(token_id).0.lock().in_flight
    }

    /// Forgets tokens that are gone; calls in flight keep their own hold.
    pub fn retain(&self, mut keep: impl FnMut(i64) -> bool) {
        for shard in &self.shards {
            shard.lock().retain(|token, _| keep(*token));
        }
    }

    /// Admits a call and reserves what it needs, or says which limit refuses it; a refused call counts for
    /// nothing. A call is admitted while its prompt fits; what it may use beyond is reserved as far as
    /// there is room, so that one generous `max_tokens` does not lock a small limit.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn admit(
        &self,
        token: &TokenView,
        demand: Demand,
        now_ms: u64,
    ) -> Result<Admission, Refusal> {
        let state = self.state(token.id);
        let mut usage = state.0.lock();
        usage.requests.advance(now_ms);
        usage.tokens.advance(now_ms);
        let refuse = |kind, retry_after_ms, limit, remaining| Refusal {
            kind,
            retry_after_ms,
            limit,
            remaining,
        };

        if let Some(limit) = token.concurrency
            && usage.in_flight >= limit
        {
            return Err(refuse(LimitKind::Concurrency, SOON_MS, u64::from(limit), 0));
        }
        let wanted = demand
            .prompt_tokens
            .saturating_add(demand.completion_tokens)
            .max(1);
        let mut quota_reserved = wanted;
        if let Some(quota) = token.token_quota {
            let left = quota.saturating_sub(usage.used.saturating_add(usage.reserved));
            if left == 0 {
                let retry = if usage.used >= quota {
                    QUOTA_RETRY_MS
                } else {
                    SOON_MS
                };
                return Err(refuse(LimitKind::Quota, retry, quota, 0));
            }
            quota_reserved = wanted.min(left);
        }
        if let Some(rpm) = token.rpm {
            let rpm = u64::from(rpm);
            if usage.requests.total >= rpm {
                let retry = match rpm.checked_sub(1) {
                    Some(at_most) => usage.requests.until_ms(at_most, now_ms),
                    None => QUOTA_RETRY_MS,
                };
                return Err(refuse(LimitKind::Requests, retry, rpm, 0));
            }
        }
        let mut minute_reserved = wanted;
        if let Some(tpm) = token.tpm {
            let left = tpm.saturating_sub(usage.tokens.total);
            let needed = demand.prompt_tokens.clamp(1, tpm.max(1));
            if left < needed {
                let retry = match tpm.checked_sub(needed) {
                    Some(at_most) => usage.tokens.until_ms(at_most, now_ms),
                    None => QUOTA_RETRY_MS,
                };
                return Err(refuse(LimitKind::Tokens, retry, tpm, left));
            }
            minute_reserved = wanted.min(left);
        }

        usage.requests.add(1);
        let second = usage.tokens.add(minute_reserved);
        usage.reserved = usage.reserved.saturating_add(quota_reserved);
        usage.in_flight += 1;
        drop(usage);
        Ok(Admission {
            state,
            second,
            minute_reserved,
            quota_reserved,
            settled: false,
        })
    }
}

/// An admitted call: one of its token's places, and its reservation. Dropping it frees the place and, when
/// it was never settled, returns the whole reservation.
#[derive(Debug)]
pub struct Admission {
    state: Arc<TokenState>,
    second: u64,
    minute_reserved: u64,
    quota_reserved: u64,
    settled: bool,
}

impl Admission {
    /// Replaces the reservation by what was really used. Once; later calls do nothing.
    pub fn settle(&mut self, total_tokens: u64, now_ms: u64) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let mut usage = self.state.0.lock();
        usage.tokens.advance(now_ms);
        usage
            .tokens
            .correct(self.second, self.minute_reserved, total_tokens);
        usage.reserved = usage.reserved.saturating_sub(self.quota_reserved);
        usage.used = usage.used.saturating_add(total_tokens);
    }

    /// Model tokens reserved against the minute.
    pub fn reserved_tokens(&self) -> u64 {
        self.minute_reserved
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut usage = self.state.0.lock();
        usage.in_flight = usage.in_flight.saturating_sub(1);
        if !self.settled {
            usage.tokens.correct(self.second, self.minute_reserved, 0);
            usage.reserved = usage.reserved.saturating_sub(self.quota_reserved);
        }
    }
}

/// Calls under way per account.
#[derive(Debug)]
pub struct Places {
    shards: Vec<Mutex<HashMap<i64, Arc<AtomicU32>>>>,
}

impl Default for Places {
    fn default() -> Self {
        Self::new()
    }
}

/// One call's place on an account; dropping it frees the place.
#[derive(Debug)]
pub struct Place(Arc<AtomicU32>);

impl Places {
    /// All free.
    pub fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    fn counter(&self, id: i64) -> Arc<AtomicU32> {
        Arc::clone(
            self.shards[(id.unsigned_abs() % SHARDS as u64) as usize]
                .lock()
                .entry(id)
                .or_default(),
        )
    }

    /// Calls under way on an account.
    pub fn taken(&self, account_id: i64) -> u32 {
        self.counter(account_id).load(Ordering::Acquire)
    }

    /// Whether the next call would find no place.
    pub fn is_full(&self, account_id: i64, limit: Option<u32>) -> bool {
        limit.is_some_and(|limit| self.taken(account_id) >= limit)
    }

    /// Takes a place; `None` when `limit` are taken.
    pub fn take(&self, account_id: i64, limit: Option<u32>) -> Option<Place> {
        let counter = self.counter(account_id);
        let room = |taken: u32| match limit {
            Some(limit) if taken >= limit => None,
            _ => taken.checked_add(1),
        };
        counter
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, room)
            .ok()?;
        Some(Place(counter))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> TokenView {
        TokenView {
            id: 7,
            public_id: "tok_7".into(),
            name: "t".into(),
            tenant_id: 0,
            tenant_public_id: String::new(),
            tenant_name: String::new(),
            tenant_suspended: false,
            app: String::new(),
            enabled: true,
            expires_at: None,
            allowed_models: None,
            rpm: None,
            tpm: None,
            concurrency: None,
            token_quota: None,
            budget: Default::default(),
            tenant_budget: Default::default(),
            enable_conversation_logging: false,
            redaction: steward_actors::domain::redaction::RedactionMode::Redact,
        }
    }

    fn demand(prompt_tokens: u64, completion_tokens: u64) -> Demand {
        Demand {
            prompt_tokens,
            completion_tokens,
        }
    }

    #[test]
    fn requests_a_minute_are_refused_until_the_oldest_has_left() {
        let limits = Limits::new();
        let token = TokenView {
            rpm: Some(2),
            ..token()
        };
        for now in [1_000, 30_000] {
            drop(limits.admit(&token, demand(1, 1), now).unwrap());
        }
        let refusal = limits.admit(&token, demand(1, 1), 31_000).unwrap_err();
        assert_eq!(refusal.kind, LimitKind::Requests);
        assert_eq!(refusal.retry_after_ms, 31_000);
        assert!(limits.admit(&token, demand(1, 1), 61_999).is_err());
        assert!(limits.admit(&token, demand(1, 1), 62_000).is_ok());
        assert_eq!(
            refusal.headers(Protocol::OpenAi)[0],
            ("x-ratelimit-limit-requests", "2".into())
        );
        assert_eq!(refusal.code(), ErrorCode::RateLimited);
    }

    #[test]
    fn tokens_are_reserved_by_estimate_and_settled_on_the_count() {
        let limits = Limits::new();
        let token = TokenView {
            tpm: Some(100),
            ..token()
        };
        let mut first = limits.admit(&token, demand(10, 1_000), 0).unwrap();
        assert_eq!(first.reserved_tokens(), 100);
        assert_eq!(
            limits.admit(&token, demand(10, 1), 0).unwrap_err().kind,
            LimitKind::Tokens
        );
        first.settle(30, 2_000);
        drop(first);
        let mut second = limits.admit(&token, demand(10, 1_000), 2_000).unwrap();
        assert_eq!(second.reserved_tokens(), 70);
        second.settle(90, 2_500);
        let refusal = limits.admit(&token, demand(10, 1), 3_000).unwrap_err();
        assert_eq!(refusal.retry_after_ms, 58_000);
        // The first second's 30 have left; the other 90 have not.
        assert!(limits.admit(&token, demand(10, 1), 61_000).is_ok());
    }

    #[test]
    fn a_call_larger_than_the_limit_goes_when_the_minute_is_empty() {
        let limits = Limits::new();
        let token = TokenView {
            tpm: Some(100),
            ..token()
        };
        assert!(limits.admit(&token, demand(5_000, 10), 0).is_ok());
        let mut other = limits.admit(&token, demand(1, 0), 0).unwrap();
        other.settle(1, 0);
        assert!(limits.admit(&token, demand(5_000, 10), 0).is_err());
    }

    #[test]
    fn a_quota_is_used_up_for_good_and_can_be_seeded() {
        let limits = Limits::new();
        let token = TokenView {
            token_quota: Some(50),
            ..token()
        };
        limits.seed_used(7, 40);
        limits
            .admit(&token, demand(5, 500), 0)
            .unwrap()
            .settle(15, 0);
        assert_eq!(limits.used(7), 55);
        let refusal = limits.admit(&token, demand(1, 1), 900_000).unwrap_err();
        assert_eq!(refusal.kind, LimitKind::Quota);
        let raised = TokenView {
            token_quota: Some(100),
            ..token
        };
        assert!(limits.admit(&raised, demand(1, 1), 900_000).is_ok());
    }

    #[test]
    fn an_unsettled_call_returns_everything() {
        let limits = Limits::new();
        let token = TokenView {
            tpm: Some(100),
            token_quota: Some(100),
            concurrency: Some(1),
            ..token()
        };
        let call = limits.admit(&token, demand(100, 0), 0).unwrap();
        let refusal = limits.admit(&token, demand(1, 0), 0).unwrap_err();
        assert_eq!(refusal.kind, LimitKind::Concurrency);
        drop(call);
        assert_eq!(limits.in_flight(7), 0);
        assert!(limits.admit(&token, demand(100, 0), 0).is_ok());
    }

    #[test]
    fn places_are_counted_across_threads() {
        let places = Places::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        if let Some(place) = places.take(1, Some(2)) {
                            assert!(places.taken(1) <= 2);
                            drop(place);
                        }
                    }
                });
            }
        });
        assert_eq!(places.taken(1), 0);
        let _one = places.take(1, Some(1)).unwrap();
        assert!(places.is_full(1, Some(1)));
        assert!(places.take(1, Some(1)).is_none());
        assert!(!places.is_full(1, None));
    }

    proptest! {
        #[test]
        fn no_limit_is_ever_exceeded(
            rpm in 1u32..8, tpm in 1u64..200, concurrency in 1u32..4, quota in 1u64..2_000,
            steps in prop::collection::vec((0u64..20_000, 0u64..150, 0u64..150, 0u64..1_200, 0u8..3), 1..120)) {
            let limits = Limits::new();
            let token = TokenView { rpm: Some(rpm), tpm: Some(tpm), concurrency: Some(concurrency), token_quota: Some(quota), ..token() };
            let mut now = 0;
            let mut admitted: Vec<u64> = Vec::new();
            let mut flying: Vec<(Admission, u64)> = Vec::new();
            let mut settled = 0;
            for (wait, prompt, completion, share, what) in steps {
                now += wait;
                match limits.admit(&token, demand(prompt, completion), now) {
                    Ok(call) => {
                        admitted.push(now);
                        // Real use never above the reservation: then reservations are the bound.
                        let actual = call.reserved_tokens().min(call.quota_reserved) * share / 1_200;
                        flying.push((call, actual));
                    }
                    Err(refusal) => prop_assert!(refusal.retry_after_ms >= 1),
                }
                prop_assert!(flying.len() <= concurrency as usize);
                prop_assert_eq!(limits.in_flight(7) as usize, flying.len());
                prop_assert!(admitted.iter().filter(|at| now - **at < 60_000).count() <= rpm as usize);
                let usage = limits.state(7);
                let usage = usage.0.lock();
                prop_assert!(usage.tokens.total <= tpm);
                prop_assert!(usage.used + usage.reserved <= quota);
                prop_assert_eq!(usage.tokens.total, usage.tokens.sums.iter().sum::<u64>());
                drop(usage);
                if what > 0 && !flying.is_empty() {
                    let (mut call, actual) = flying.remove(0);
                    if what == 1 {
                        call.settle(actual, now);
                        settled += actual;
                    }
                }
            }
            prop_assert_eq!(limits.used(7), settled);
            flying.clear();
            let usage = limits.state(7);
            prop_assert_eq!(usage.0.lock().reserved, 0);
        }

        #[test]
        fn a_refusal_tells_the_earliest_time_that_works(rpm in 1u32..5, waits in prop::collection::vec(0u64..30_000, 1..40)) {
            let limits = Limits::new();
            let token = TokenView { rpm: Some(rpm), ..token() };
            let mut now = 0;
            for wait in waits {
                now += wait;
                if let Err(refusal) = limits.admit(&token, demand(1, 1), now) {
                    prop_assert!(limits.admit(&token, demand(1, 1), now + refusal.retry_after_ms - 1).is_err());
                    now += refusal.retry_after_ms;
                    prop_assert!(limits.admit(&token, demand(1, 1), now).is_ok());
                }
            }
        }

        #[test]
        fn a_clock_that_stands_or_jumps_ahead_breaks_nothing(jumps in prop::collection::vec(0u64..u64::MAX / 256, 1..60)) {
            let limits = Limits::new();
            let token = TokenView { rpm: Some(1_000), tpm: Some(1_000_000), ..token() };
            let mut now = 0u64;
            for jump in jumps {
                now += jump % (1 << (jump % 50));
                if let Ok(mut call) = limits.admit(&token, demand(10, 10), now) {
                    call.settle(500, now.saturating_add(jump % 70_000));
                }
            }
        }
    }
}
