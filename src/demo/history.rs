//! The days before the demonstration began, as records: a pure function of seed, end and hour.
//!
//! Every hour can be made on its own, so that writing them can stop anywhere and go on later. What makes it
//! believable: people's hours and weekdays, each application's models and sizes, two incidents, and growth from
//! day to day up to what the live traffic is about to send.

use steward_actors::domain::record::{Attempt, Mode, Operation, Record, Source};
use steward_actors::domain::rid::Rid;

use super::chance::Chance;
use super::stock::Stocked;
use super::traffic::STEADY;
use super::weather::{self, Weather};
use super::world::{self, KEYS, Key, Model, SITES, Standing};
use crate::error::ErrorCode;

const HOUR_MS: i64 = 3_600_000;
const TAIL_BITS: u32 = 54;
/// Calls of an average hour in the middle of the history.
const CALLS_AN_HOUR: f64 = 275.0;
/// How fast it grew into the live traffic: each day back has two thirds of the day after it, so that a month is about a
/// million calls.
const GROWTH_PER_DAY: f64 = 0.4;
/// Errors of applications themselves: too long, filtered, malformed.
const REFUSED_BY_PROVIDER: f64 = 0.005;
const LEFT_EARLY: f64 = 0.006;

/// Which history it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Past {
    pub seed: u64,
    /// When it ends, milliseconds since the Unix epoch.
    pub end_ms: i64,
    pub days: u32,
    /// Live calls per 1,000 seconds, which it rises to.
    pub live_per_1000s: u32,
    /// Whose node bits the records carry: not the process's own.
    pub node: u8,
}

impl Past {
    /// How many hours it has.
    pub fn hours(&self) -> u64 {
        u64::from(self.days) * 24
    }

    /// Its first moment, milliseconds since the Unix epoch.
    pub fn begin_ms(&self) -> i64 {
        self.end_ms - i64::from(self.days) * 24 * HOUR_MS
    }

    /// The records of one hour, in the order of their ids. `hour` counts from the beginning.
    pub fn hour(&self, hour: u64, stocked: &Stocked) -> Vec<Record> {
        let mut chance = Chance::of(self.seed, &[0x0c10c4, hour]);
        let begin_ms = self.begin_ms() + hour.cast_signed() * HOUR_MS;
        let shares: f64 = KEYS.iter().map(|key| key.share).sum();
        let grown = 0.45 + 1.1 * hour as f64 / self.hours().max(1) as f64;
        let days_before_end = (self.hours() - 1).saturating_sub(hour) as f64 / 24.0;
        let risen = (-GROWTH_PER_DAY * days_before_end).exp()
            * f64::from(self.live_per_1000s)
            * HOUR_MS as f64
            / 1e6;
        let mut calls: Vec<(i64, usize)> = Vec::new();
        for (index, _) in &stocked.keys {
            let key = &KEYS[*index];
            let busy = world::rhythm(begin_ms + HOUR_MS / 2, key.utc_offset_h);
            // The live traffic's days are flatter.
            let live = risen * (STEADY + (1.0 - STEADY) * busy);
            let due = (CALLS_AN_HOUR * grown * busy + live) * key.share / shares;
            let count = chance.count(due);
            calls.extend((0..count).map(|_| (begin_ms + chance.below(3_600_000) as i64, *index)));
        }
        calls.sort_unstable();
        let mut last = 0;
        calls
            .into_iter()
            .filter_map(|(at_ms, index)| {
                let row = stocked.keys.iter().find(|(it, _)| *it == index);
                let floor = Rid::floor_of_ms(at_ms).0 | (i64::from(self.node) << 12);
                // Never into the next node's bits: no millisecond has 4,096 calls.
                let rid = floor.max(last + 1);
                last = rid;
                let mut record = Record {
                    rid,
                    id_tail: chance.bits() >> (64 - TAIL_BITS),
                    request_at: at_ms * 1_000 + chance.below(1_000) as i64,
                    mode: Mode::Api as i32,
                    source: Source::Gateway as i32,
                    ..Record::default()
                };
                let (_, token) = row?;
                record.token_id = token.id;
                record.token_public_id = token.public_id.clone();
                record.token_name = token.name.clone();
                record.app = token.app.clone();
                if let Some(tenant) = token.tenant_id.and_then(|id| stocked.tenants.get(&id)) {
                    record.tenant_id = tenant.id;
                    record.tenant_public_id = tenant.public_id.clone();
                    record.tenant_name = tenant.name.clone();
                }
                self.call(&mut record, &KEYS[index], stocked, &mut chance);
                Some(record)
            })
            .collect()
    }

    /// What was asked and how it went.
    fn call(&self, record: &mut Record, key: &Key, stocked: &Stocked, chance: &mut Chance) {
        let weights = key.models.iter().map(|(_, share)| *share);
        let (name, _) = key.models[chance.weighted(weights)];
        let model = world::model_named(name);
        record.operation = key.operation as i32;
        record.model = name.to_owned();
        record.stream = chance.happens(key.streams);
        if key.users > 0 {
            // Few people ask much, many ask little.
            let number = (chance.unit() * chance.unit() * key.users as f64) as usize;
            record.end_user = world::user(key, number);
            let talk = record.request_at / (HOUR_MS * 1_000 / 2) + number as i64 % 7;
            record.conversation_id = format!("conv-{}-{number}-{}", key.app, talk % 100_000);
        }
        let old = self.end_ms * 1_000 - record.request_at;
        let refused = match (key.standing, key.tenant) {
            (Standing::Disabled, _) if old < 20 * 24 * HOUR_MS * 1_000 => {
                Some(ErrorCode::TokenDisabled)
            }
            (Standing::Expired, _) if old < 24 * HOUR_MS * 1_000 => Some(ErrorCode::TokenExpired),
            (_, Some(world::SUSPENDED_TENANT)) if old < 4 * 24 * HOUR_MS * 1_000 => {
                Some(ErrorCode::TenantSuspended)
            }
            _ if key.rpm.is_some_and(|rpm| rpm < 10) && chance.happens(0.09) => {
                Some(ErrorCode::RateLimited)
            }
            _ if chance.happens(0.0008) => Some(ErrorCode::ModelNotAllowed),
            _ => None,
        };
        if let Some(code) = refused {
            fail(record, code, code.title());
            record.duration_ms = 1;
            record.response_at = record.request_at + 400;
            return;
        }
        self.upstream(record, model, stocked, chance);
    }

    /// The attempts: another account when one fails.
    fn upstream(&self, record: &mut Record, model: &Model, stocked: &Stocked, chance: &mut Chance) {
        let mut left: Vec<_> = stocked
            .accounts
            .iter()
            .filter(|(site, _)| SITES[*site].enabled && SITES[*site].models.contains(&model.name))
            .collect();
        let mut at = record.request_at;
        while !left.is_empty() {
            let first = left.iter().map(|(site, _)| SITES[*site].priority).min();
            let weights = left.iter().map(|(site, _)| {
                let site = &SITES[*site];
                if Some(site.priority) == first {
                    site.weight as f64
                } else {
                    0.0
                }
            });
            let (site, account) = left.remove(chance.weighted(weights));
            let weather = weather::in_history(self.seed, *site, at / 1_000, self.end_ms);
            record.account_id = account.id;
            record.account_public_id = account.public_id.clone();
            record.account_name = account.name.clone();
            record.provider = account.provider.clone();
            let mut attempt = Attempt {
                account_id: account.id,
                account_public_id: account.public_id.clone(),
                account_name: account.name.clone(),
                started_at: at,
                ..Attempt::default()
            };
            if chance.happens(weather.failing) {
                let (status, message) = failure(&weather, chance);
                let took = chance.log_normal(380.0, 0.6) as i64;
                at += took * 1_000;
                attempt.duration_ms = took;
                attempt.status_code = status;
                attempt.error_code = ErrorCode::UpstreamError.slug().to_owned();
                record.attempts.push(attempt);
                record.status_code = status;
                record.error_code = ErrorCode::UpstreamError.slug().to_owned();
                record.error_message = message.to_owned();
                record.response_at = at;
                record.duration_ms = (at - record.request_at) / 1_000;
                continue;
            }
            answer(record, &mut attempt, model, &weather, at, chance);
            record.attempts.push(attempt);
            return;
        }
    }
}

fn fail(record: &mut Record, code: ErrorCode, message: &str) {
    record.status_code = i32::from(code.status());
    record.error_code = code.slug().to_owned();
    record.error_message = message.to_owned();
}

/// What a failing provider answers.
fn failure(weather: &Weather, chance: &mut Chance) -> (i32, &'static str) {
    if weather.throttled || chance.happens(0.2) {
        (
            429,
            "Rate limit reached for requests. Please try again in 4s.",
        )
    } else if chance.happens(0.6) {
        (503, "The server is overloaded or not ready yet.")
    } else {
        (
            500,
            "The server had an error while processing your request.",
        )
    }
}

/// The answer of an account that serves.
fn answer(
    record: &mut Record,
    attempt: &mut Attempt,
    model: &Model,
    weather: &Weather,
    at: i64,
    chance: &mut Chance,
) {
    let embeds = record.operation == Operation::Embedding as i32;
    record.prompt_tokens = if embeds {
        chance.log_normal(30.0, 0.3) as i64 + 4
    } else {
        chance.log_normal(400.0, 0.6) as i64 + 40
    };
    let first_ms = chance.log_normal(model.first_ms, 0.35) * weather.slower;
    let mut length = if embeds {
        0.0
    } else {
        chance.log_normal(model.length, 0.55).min(1_600.0) + 4.0
    };
    record.error_code.clear();
    record.error_message.clear();
    record.status_code = 200;
    record.success = true;
    record.upstream_model = model.answers_as.to_owned();
    record.upstream_request_id = format!("req_{:016x}", chance.bits());
    if chance.happens(REFUSED_BY_PROVIDER) {
        record.status_code = 400;
        record.success = false;
        record.error_code = ErrorCode::UpstreamError.slug().to_owned();
        record.error_message = if chance.happens(0.5) {
            "This model's maximum context length was exceeded.".to_owned()
        } else {
            "The request was rejected by the content filter.".to_owned()
        };
        record.upstream_model.clear();
        record.prompt_tokens = 0;
        length = 0.0;
    } else if record.stream && chance.happens(LEFT_EARLY) {
        length *= 0.4;
        record.success = false;
        fail(record, ErrorCode::ClientClosed, "");
        record.usage_estimated = true;
    }
    let speed = chance.log_normal(model.token_ms, 0.2) * weather.slower;
    let thought = if model.reasons && length > 0.0 {
        length * chance.unit() * 0.8
    } else {
        0.0
    };
    let first_ms = first_ms + thought * model.token_ms * 0.4;
    let took = (first_ms + length * speed) as i64;
    if length > 0.0 && record.stream {
        record.ttft_ms = Some(first_ms as i64);
    }
    record.reasoning_tokens = thought as i64;
    record.completion_tokens = length as i64 + record.reasoning_tokens;
    if record.prompt_tokens > 256 && chance.happens(0.5) {
        record.cached_tokens = record.prompt_tokens / 64 * 48;
    }
    record.total_tokens = record.prompt_tokens + record.completion_tokens;
    record.response_at = at + took * 1_000;
    record.duration_ms = (record.response_at - record.request_at) / 1_000;
    attempt.duration_ms = took;
    attempt.status_code = record.status_code;
    if !record.success {
        attempt.error_code = record.error_code.clone();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::{HashMap, HashSet};

    use steward_actors::domain::clock::SystemClock;
    use steward_actors::vault::Vault;
    use steward_migration::testing::TestDatabase;

    use super::*;
    use crate::demo::stock::stock;

    pub(crate) async fn stocked(database: &TestDatabase) -> Stocked {
        let vault = Vault::open(database.dir()).unwrap();
        stock(database.dir(), database, &vault, &SystemClock, 30, 4_000)
            .await
            .unwrap()
    }

    pub(crate) const PAST: Past = Past {
        seed: 7,
        end_ms: 1_773_599_400_000,
        days: 30,
        live_per_1000s: 500,
        node: 255,
    };

    #[actix_web::test]
    async fn a_month_looks_like_one() {
        let stocked = stocked(&TestDatabase::sqlite().await).await;
        let records: Vec<Record> = (0..PAST.hours())
            .flat_map(|hour| PAST.hour(hour, &stocked))
            .collect();
        let all = records.len();
        assert!((250_000..400_000).contains(&all), "{all}");
        let failed = records.iter().filter(|record| !record.success).count() as f64 / all as f64;
        assert!((0.015..0.04).contains(&failed), "{failed}");

        let mut last = 0;
        for record in &records {
            assert!(record.rid > last);
            last = record.rid;
            assert_eq!(Rid(record.rid).node(), 255);
            assert_eq!(Rid(record.rid).ms(), record.request_at / 1_000);
            assert!(record.request_at < PAST.end_ms * 1_000);
            assert!(record.response_at > record.request_at);
            assert!(record.id_tail < 1 << TAIL_BITS);
            assert_eq!(record.success, record.error_code.is_empty(), "{record:?}");
            assert_eq!(record.success, record.status_code == 200);
            assert_ne!(record.status_code, 0);
            assert_eq!(
                record.total_tokens,
                record.prompt_tokens + record.completion_tokens
            );
            assert!(
                record
                    .ttft_ms
                    .is_none_or(|first| first <= record.duration_ms)
            );
        }

        let per = |of: fn(&Record) -> &str| {
            records.iter().fold(HashMap::new(), |mut counts, record| {
                *counts.entry(of(record).to_owned()).or_insert(0_usize) += 1;
                counts
            })
        };
        let models = per(|record| &record.model);
        assert_eq!(models.len(), world::MODELS.len());
        assert!(models.values().all(|count| *count > all / 200));
        assert_eq!(per(|record| &record.token_name).len(), KEYS.len());
        for code in [
            "rate_limit_exceeded",
            "upstream_error",
            "client_closed_request",
            "tenant_suspended",
            "token_disabled",
            "model_not_allowed",
        ] {
            assert!(
                per(|record| &record.error_code).contains_key(code),
                "{code}"
            );
        }
        let users: HashSet<_> = records.iter().map(|record| &record.end_user).collect();
        assert!(users.len() > 500, "{}", users.len());
        let retried = records.iter().filter(|record| record.attempts.len() > 1);
        assert!(retried.clone().any(|record| record.success));
        assert!(retried.clone().any(|record| !record.success));
    }

    #[actix_web::test]
    async fn days_grow_have_a_rhythm_and_end_in_the_live_traffic() {
        let stocked = stocked(&TestDatabase::sqlite().await).await;
        let hours: Vec<usize> = (0..PAST.hours())
            .map(|hour| PAST.hour(hour, &stocked).len())
            .collect();
        let week = |index: usize| hours[index * 168..(index + 1) * 168].iter().sum::<usize>();
        assert!(week(3) as f64 > 1.5 * week(0) as f64);
        let (busiest, quietest) = (
            hours[168..192].iter().max().unwrap(),
            hours[168..192].iter().min().unwrap(),
        );
        assert!(*busiest > 2 * quietest);
        // Half a call a second, at that hour's pace, and what it grew from.
        let live = 1_800.0 * crate::demo::traffic::pace(PAST.end_ms - HOUR_MS / 2);
        let last = hours[hours.len() - 1] as f64;
        assert!(
            (live * 0.95..live + 700.0).contains(&last),
            "{last}, {live}"
        );
        let day = |back: usize| {
            hours[720 - 24 * (back + 1)..720 - 24 * back]
                .iter()
                .sum::<usize>()
        };
        assert!((1.1..1.7).contains(&(day(0) as f64 / day(1) as f64)));
    }

    #[actix_web::test]
    async fn seed_and_hour_determine_the_records() {
        let stocked = stocked(&TestDatabase::sqlite().await).await;
        assert_eq!(PAST.hour(100, &stocked), PAST.hour(100, &stocked));
        let other = Past { seed: 8, ..PAST };
        assert_ne!(PAST.hour(100, &stocked), other.hour(100, &stocked));
    }
}
