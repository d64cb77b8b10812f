//! What a token may use: requests and model tokens a minute, calls at the same time, tokens in its life.
//!
//! A call is let in before its body is read ([`Limits::enter`]), so that no more bodies are in memory than calls may be
//! under way, and admitted when it is known what it needs ([`Entered::admit`]). One that is not admitted counts for nothing:
//! neither a body that was cut or cannot be read nor a refusal uses up a request.
//!
//! In memory, one per process, keyed by token id, so that it survives the swap of a snapshot; the limits
//! themselves are passed with each call, so that a change acts on the next one. A minute is any 60 seconds,
//! kept as one-second buckets and rounded against the caller, never in its favour. Model tokens are reserved
//! by an estimate and settled on the real count. Time is passed in as milliseconds of a clock that never
//! jumps. Nothing is persisted: the quota's past is seeded at start.

mod places;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use steward_actors::domain::snapshot::{Protocol, TokenView};

use crate::error::catalog::ErrorCode;

pub use places::{Place, Places};

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

    /// Counts what a token used elsewhere; a negative number takes back what was counted.
    pub fn used_elsewhere(&self, token_id: i64, tokens: i64) {
        let state = self.state(token_id);
        let mut usage = state.0.lock();
        usage.used = usage.used.saturating_add_signed(tokens);
    }

    /// Model tokens a token has used in its life, calls in flight not counted.
    pub fn used(&self, token_id: i64) -> u64 {
        self.state(token_id).0.lock().used
    }

    /// Calls of a token that are under way.
    pub fn in_flight(&self, token_id: i64) -> u32 {
        self.state(token_id).0.lock().in_flight
    }

    /// Forgets a token that is gone; calls in flight keep their own hold.
    pub fn forget(&self, token_id: i64) {
        self.shard(token_id).lock().remove(&token_id);
    }

    /// Lets a call in: it takes one of its token's places and counts as one of its requests from now on, until it is dropped
    /// without having been admitted.
    ///
    /// # Errors
    /// [`Refusal`]: too many calls under way, a quota that is used up, too many requests a minute.
    pub fn enter(&self, token: &TokenView, now_ms: u64) -> Result<Entered, Refusal> {
        let state = self.state(token.id);
        let mut usage = state.0.lock();
        usage.requests.advance(now_ms);
        if let Some(limit) = token.concurrency
            && usage.in_flight >= limit
        {
            return Err(Refusal {
                kind: LimitKind::Concurrency,
                retry_after_ms: SOON_MS,
                limit: u64::from(limit),
                remaining: 0,
            });
        }
        usage.quota_left(token)?;
        if let Some(rpm) = token.rpm {
            let rpm = u64::from(rpm);
            if usage.requests.total >= rpm {
                let retry = match rpm.checked_sub(1) {
                    Some(at_most) => usage.requests.until_ms(at_most, now_ms),
                    None => QUOTA_RETRY_MS,
                };
                return Err(Refusal {
                    kind: LimitKind::Requests,
                    retry_after_ms: retry,
                    limit: rpm,
                    remaining: 0,
                });
            }
        }
        let second = usage.requests.add(1);
        usage.in_flight += 1;
        drop(usage);
        Ok(Entered {
            state,
            second,
            admitted: false,
        })
    }
}

impl Usage {
    /// Model tokens left of the quota, if there is one.
    fn quota_left(&self, token: &TokenView) -> Result<Option<u64>, Refusal> {
        let Some(quota) = token.token_quota else {
            return Ok(None);
        };
        let left = quota.saturating_sub(self.used.saturating_add(self.reserved));
        if left > 0 {
            return Ok(Some(left));
        }
        let retry_after_ms = if self.used >= quota {
            QUOTA_RETRY_MS
        } else {
            SOON_MS
        };
        Err(Refusal {
            kind: LimitKind::Quota,
            retry_after_ms,
            limit: quota,
            remaining: 0,
        })
    }
}

/// A call that was let in: one of its token's places. Dropping it frees the place and, when the call was never admitted,
/// takes back the request.
#[derive(Debug)]
pub struct Entered {
    state: Arc<TokenState>,
    second: u64,
    admitted: bool,
}

impl Entered {
    /// Admits the call and reserves what it needs, or says which limit refuses it. A call is admitted while its prompt
    /// fits; what it may use beyond is reserved as far as there is room, so that one generous `max_tokens` does not lock
    /// a small limit.
    ///
    /// # Errors
    /// [`Refusal`]: the quota is used up, or too many model tokens a minute.
    pub fn admit(
        mut self,
        token: &TokenView,
        demand: Demand,
        now_ms: u64,
    ) -> Result<Admission, Refusal> {
        let mut usage = self.state.0.lock();
        usage.tokens.advance(now_ms);
        let wanted = demand
            .prompt_tokens
            .saturating_add(demand.completion_tokens)
            .max(1);
        let quota_reserved = wanted.min(usage.quota_left(token)?.unwrap_or(wanted));
        let mut minute_reserved = wanted;
        if let Some(tpm) = token.tpm {
            let left = tpm.saturating_sub(usage.tokens.total);
            let needed = demand.prompt_tokens.clamp(1, tpm.max(1));
            if left < needed {
                let retry = match tpm.checked_sub(needed) {
                    Some(at_most) => usage.tokens.until_ms(at_most, now_ms),
                    None => QUOTA_RETRY_MS,
                };
                return Err(Refusal {
                    kind: LimitKind::Tokens,
                    retry_after_ms: retry,
                    limit: tpm,
                    remaining: left,
                });
            }
            minute_reserved = wanted.min(left);
        }
        let second = usage.tokens.add(minute_reserved);
        usage.reserved = usage.reserved.saturating_add(quota_reserved);
        drop(usage);
        self.admitted = true;
        Ok(Admission {
            entered: self,
            second,
            minute_reserved,
            quota_reserved,
            settled: false,
        })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut usage = self.state.0.lock();
        usage.in_flight = usage.in_flight.saturating_sub(1);
        if !self.admitted {
            usage.requests.correct(self.second, 1, 0);
        }
    }
}

/// An admitted call: its place, and its reservation. Dropping it frees the place and, when it was never settled, returns
/// the whole reservation.
#[derive(Debug)]
pub struct Admission {
    entered: Entered,
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
        let mut usage = self.entered.state.0.lock();
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
        if !self.settled {
            let mut usage = self.entered.state.0.lock();
            usage.tokens.correct(self.second, self.minute_reserved, 0);
            usage.reserved = usage.reserved.saturating_sub(self.quota_reserved);
        }
    }
}

#[cfg(test)]
mod tests;
