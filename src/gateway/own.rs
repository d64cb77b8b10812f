//! Calls that Steward makes for itself: texts are embedded. They go to the accounts that callers' calls go to, by the same
//! order, breakers and places, under the budget of the tenant whose texts they are, and exactly one record comes of each,
//! also of one that is dropped half-way. No token is behind them, so no token's limits hold.
//!
//! Beside what is tried for callers, another account is tried also where the first broke off or said nothing: to embed a text
//! twice costs a little and changes nothing.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::json;
use steward_actors::domain::record::{Attempt, Operation, Record, Source};
use steward_actors::domain::snapshot::{AccountView, Budget};

use crate::error::catalog::ErrorCode;
use crate::http::egress::{self, NoAnswer, Reach};

use super::breaker::{self, Outcome};
use super::budget::{Hold, charge_of};
use super::limits::Demand;
use super::refusal::Refusal;
use super::request::PromptSize;
use super::{Gateway, admit, dialect, estimate, headers, redact, route};

/// Under which app they stand in the books.
const APP: &str = "steward";
const ANSWER_MAX_BYTES: usize = 32 << 20;
const PATIENCE: Duration = Duration::from_secs(60);
/// Of an error's text.
const SAID_MAX_CHARS: usize = 300;

/// Who pays for a call.
#[derive(Clone, Debug, Default)]
pub struct Payer {
    /// 0 for the installation itself.
    pub tenant_id: i64,
    pub tenant_public_id: String,
    pub tenant_name: String,
    pub budget: Budget,
}

/// Why there are no vectors.
#[derive(Clone, Debug)]
pub struct Unembedded {
    /// [`ErrorCode::UpstreamError`] with a status below 500 lies in the texts.
    pub code: ErrorCode,
    /// The provider's, or 0.
    pub status: u16,
    /// In words without secrets and without what the provider said, which may be the texts.
    pub sentence: String,
    pub retry_after: Option<Duration>,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
    #[serde(default)]
    model: String,
    #[serde(default)]
    usage: Usage,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    index: usize,
    embedding: Vec<f32>,
}

#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: i64,
    #[serde(default)]
    total_tokens: i64,
}

impl Usage {
    fn told(&self) -> Option<i64> {
        Some(self.prompt_tokens.max(self.total_tokens)).filter(|told| *told > 0)
    }
}

/// Tokens of a call's texts.
enum Used {
    Told(i64),
    Estimated(i64),
}

/// What came of one account.
struct Tried {
    /// 0 when there was no answer.
    status: u16,
    code: Option<ErrorCode>,
    answer: Option<Answer>,
    /// What the provider said of its failure, or why nothing was heard; for the books.
    said: String,
    retry_after_ms: Option<u64>,
}

impl Tried {
    fn without(code: ErrorCode, said: String) -> Self {
        Self {
            status: 0,
            code: Some(code),
            answer: None,
            said,
            retry_after_ms: None,
        }
    }

    fn outcome(&self) -> Outcome {
        match (self.status, self.code) {
            (200..300, None) => Outcome::Success,
            (0 | 200..300, _) => Outcome::Failure {
                retry_after_ms: None,
            },
            (status, _) => breaker::outcome_of(status, self.retry_after_ms),
        }
    }
}

impl Gateway {
    /// A vector for each text, in their order.
    ///
    /// # Errors
    /// See [`Unembedded`]; the call is on the books all the same, where it was one.
    pub async fn embed(
        &self,
        payer: Payer,
        model: &str,
        texts: &[String],
    ) -> Result<Vec<Vec<f32>>, Unembedded> {
        admit::books(self)?;
        let now = self.clock.now_micros();
        let size = PromptSize {
            text_bytes: texts.iter().map(|text| text.len() as u64).sum(),
            ..PromptSize::default()
        };
        let demand = Demand {
            prompt_tokens: size.tokens(),
            completion_tokens: 0,
        };
        let budgets = [Budget::default(), payer.budget];
        let expected = || admit::dearest(self, model, demand, now);
        let hold = self
            .budgets
            .reserve_of((0, payer.tenant_id), budgets, now, expected);
        let hold = hold.map_err(|exhausted| {
            Refusal::new(ErrorCode::BudgetExhausted)
                .detail(exhausted.detail())
                .retry_after_ms(exhausted.retry_after_ms)
        })?;
        let mut booking = Booking::open(self, payer, model, hold);
        let answer = self.embed_somewhere(&mut booking, texts).await;
        let answer = match answer {
            Ok(answer) => {
                let used = match answer.usage.told() {
                    Some(told) => Used::Told(told),
                    None => Used::Estimated(counted(model, texts).await),
                };
                booking.answered(answer, used, texts.len())
            }
            Err(refused) => Err(refused),
        };
        booking.close().await?;
        answer
    }

    async fn embed_somewhere(
        &self,
        booking: &mut Booking<'_>,
        texts: &[String],
    ) -> Result<Answer, Unembedded> {
        let model = booking.record.model.clone();
        let now_ms = self.accounts.now_ms();
        let choice = {
            let down = self.health.down_accounts();
            route::candidates(
                &self.snapshot.load().accounts,
                &model,
                dialect::protocol_of(Operation::Embedding),
                |account| {
                    let is_down = down.contains(&account.id);
                    self.accounts.availability(account, is_down, now_ms)
                },
                self.rids.next().tail,
            )
        };
        let choice = choice.map_err(|reason| {
            let refusal = Refusal::no_route(reason, &model);
            booking.refused(&refusal);
            refusal
        })?;
        let most = self.settings.load().max_attempts;
        let mut failed = None;
        let mut tried = 0;
        for account in &choice.accounts {
            if tried == most {
                break;
            }
            let now_ms = self.accounts.now_ms();
            let Some((_place, pass)) = self.accounts.enter(account, choice.last_resort, now_ms)
            else {
                continue;
            };
            tried += 1;
            booking.tries(account);
            let one = self.embed_on(account, &model, texts).await;
            pass.settle(one.outcome(), self.accounts.now_ms());
            booking.tried(account, &one);
            let worth_another =
                one.status == 0 || one.status >= 500 || matches!(one.status, 401 | 408 | 429);
            if let Some(answer) = one.answer {
                return Ok(answer);
            }
            failed = Some(Unembedded {
                code: one.code.unwrap_or(ErrorCode::UpstreamError),
                status: one.status,
                sentence: match (one.status, one.code) {
                    (0 | 200..300, Some(code)) => code.title().to_owned(),
                    (status, _) => format!("the provider answered {status}"),
                },
                retry_after: one.retry_after_ms.map(Duration::from_millis),
            });
            if !worth_another {
                break;
            }
        }
        Err(failed.unwrap_or_else(|| {
            let refusal = Refusal::new(ErrorCode::AccountsBusy).retry_after_ms(1_000);
            booking.refused(&refusal);
            refusal.into()
        }))
    }

    async fn embed_on(&self, account: &AccountView, model: &str, texts: &[String]) -> Tried {
        let sent =
            headers::to_upstream(std::iter::empty(), account.protocol, &account.secret, true);
        let Ok(mut sent) = sent else {
            let said = "the account's secret cannot be sent in a header".to_owned();
            return Tried::without(ErrorCode::UpstreamUnreachable, said);
        };
        sent.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = json!({
            "model": account.upstream_model(model), "input": texts, "encoding_format": "float",
        });
        let mut request = http::Request::new(Full::new(Bytes::from(body.to_string())));
        *request.method_mut() = http::Method::POST;
        *request.headers_mut() = sent;
        let url = dialect::upstream_url(account, Operation::Embedding, None);
        let bounds = (PATIENCE, ANSWER_MAX_BYTES);
        let answer = egress::send(self.tls.clone(), &url, request, bounds, Reach::Private).await;
        let fetched = match answer {
            Ok(fetched) => fetched,
            Err(cause) => {
                let code = match cause {
                    NoAnswer::TimedOut(_) => ErrorCode::UpstreamTimeout,
                    _ => ErrorCode::UpstreamUnreachable,
                };
                return Tried::without(code, without_secret(&cause.to_string(), account));
            }
        };
        let mut tried = Tried {
            status: fetched.status,
            code: None,
            answer: None,
            said: String::new(),
            retry_after_ms: fetched.retry_after.as_deref().and_then(seconds),
        };
        if !(200..300).contains(&fetched.status) {
            let said = String::from_utf8_lossy(&fetched.body);
            let said: String = said.chars().take(SAID_MAX_CHARS).collect();
            tried.said = without_secret(&said, account);
            tried.code = Some(ErrorCode::UpstreamError);
            return tried;
        }
        match serde_json::from_slice(&fetched.body) {
            Ok(answer) => tried.answer = Some(answer),
            Err(_) => {
                tried.code = Some(ErrorCode::UpstreamBroken);
                tried.said = "the answer holds no vectors".to_owned();
            }
        }
        tried
    }
}

/// By the model's tokenizer, whose tables take tens of megabytes: only for providers that do not tell.
async fn counted(model: &str, texts: &[String]) -> i64 {
    let (model, texts) = (model.to_owned(), texts.to_vec());
    let count = move || texts.iter().map(|text| estimate::count(text, &model)).sum();
    let tokens: u64 = tokio::task::spawn_blocking(count).await.unwrap_or_default();
    i64::try_from(tokens).unwrap_or(i64::MAX)
}

fn seconds(retry_after: &str) -> Option<u64> {
    let seconds: u64 = retry_after.trim().parse().ok()?;
    seconds.checked_mul(1_000)
}

/// What looks like a secret goes, and the one that was certainly sent.
fn without_secret(text: &str, account: &AccountView) -> String {
    let text = redact::scrub(text).into_owned();
    match account.secret.reveal() {
        "" => text,
        secret => text.replace(secret, redact::MARK),
    }
}

impl From<Refusal> for Unembedded {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: refusal.code,
            status: 0,
            sentence: match refusal.detail.is_empty() {
                true => refusal.code.title().to_owned(),
                false => refusal.detail.into_owned(),
            },
            retry_after: refusal.retry_after_ms.map(Duration::from_millis),
        }
    }
}

impl From<ErrorCode> for Unembedded {
    fn from(code: ErrorCode) -> Self {
        Refusal::from(code).into()
    }
}

/// The one owner of a call's record: written when it is closed, or when it is dropped, which is what its end was then.
pub(super) struct Booking<'a> {
    gateway: &'a Gateway,
    pub(super) record: Record,
    hold: Option<Hold>,
    /// When the attempt that is under way began.
    trying_since: i64,
}

impl<'a> Booking<'a> {
    pub(super) fn open(gateway: &'a Gateway, payer: Payer, model: &str, hold: Hold) -> Self {
        let now = gateway.clock.now_micros();
        Self {
            gateway,
            record: Record {
                tenant_id: payer.tenant_id,
                tenant_public_id: payer.tenant_public_id,
                tenant_name: payer.tenant_name,
                app: APP.to_owned(),
                model: model.to_owned(),
                operation: Operation::Embedding.into(),
                source: Source::Gateway.into(),
                request_at: now,
                // Until it is known otherwise.
                status_code: ErrorCode::ShuttingDown.status().into(),
                error_code: ErrorCode::ShuttingDown.slug().to_owned(),
                ..Record::default()
            },
            hold: Some(hold),
            trying_since: now,
        }
    }

    fn refused(&mut self, refusal: &Refusal) {
        self.record.status_code = refusal.code.status().into();
        self.record.error_code = refusal.code.slug().to_owned();
    }

    fn tries(&mut self, account: &AccountView) {
        let record = &mut self.record;
        record.account_id = account.id;
        record.account_public_id.clone_from(&account.public_id);
        record.account_name.clone_from(&account.name);
        record.provider.clone_from(&account.provider);
        self.trying_since = self.gateway.clock.now_micros();
    }

    fn tried(&mut self, account: &AccountView, tried: &Tried) {
        let record = &mut self.record;
        let error_code = tried.code.map_or("", ErrorCode::slug).to_owned();
        record.attempts.push(Attempt {
            account_id: account.id,
            account_public_id: account.public_id.clone(),
            account_name: account.name.clone(),
            started_at: self.trying_since,
            duration_ms: (self.gateway.clock.now_micros() - self.trying_since) / 1_000,
            status_code: tried.status.into(),
            error_code: error_code.clone(),
        });
        record.upstream_model = account.upstream_model(&record.model).to_owned();
        record.success = tried.code.is_none();
        record.status_code = match (tried.status, tried.code) {
            (0 | 200..300, Some(code)) => code.status().into(),
            (status, _) => status.into(),
        };
        record.error_code = error_code;
        record.error_message.clone_from(&tried.said);
    }

    /// The vectors in the order of their texts.
    fn answered(
        &mut self,
        answer: Answer,
        used: Used,
        texts: usize,
    ) -> Result<Vec<Vec<f32>>, Unembedded> {
        let record = &mut self.record;
        record.usage_estimated = matches!(used, Used::Estimated(_));
        let (Used::Told(tokens) | Used::Estimated(tokens)) = used;
        record.prompt_tokens = tokens;
        record.total_tokens = record.prompt_tokens;
        if !answer.model.is_empty() {
            record.upstream_model = answer.model;
        }
        let mut items = answer.data;
        items.sort_by_key(|item| item.index);
        if items.len() == texts {
            return Ok(items.into_iter().map(|item| item.embedding).collect());
        }
        // The provider has worked, and is paid for it.
        let code = ErrorCode::UpstreamBroken;
        record.success = false;
        record.status_code = code.status().into();
        record.error_code = code.slug().to_owned();
        record.error_message = "another number of vectors than texts".to_owned();
        Err(code.into())
    }

    pub(super) async fn close(mut self) -> Result<(), ErrorCode> {
        let gateway = self.gateway;
        let written = self.write()?;
        gateway.durable(written).await
    }

    /// Once; later calls do nothing.
    fn write(&mut self) -> Result<Option<u64>, ErrorCode> {
        let Some(mut hold) = self.hold.take() else {
            return Ok(None);
        };
        let now = self.gateway.clock.now_micros();
        self.record.response_at = now;
        self.record.duration_ms = (now - self.record.request_at) / 1_000;
        let (_, seq) = self.gateway.append(&mut self.record)?;
        hold.settle(charge_of(&self.record));
        Ok(seq)
    }
}

impl Drop for Booking<'_> {
    fn drop(&mut self) {
        // Nobody waits for it any more; a failure has been counted and logged.
        let _ = self.write();
    }
}
