//! What an account's provider says about itself: whether it answers, and which models it lists. Costs no
//! model tokens.
//!
//! Asked on an operator's order only. What the gateway thinks of an account (its breaker) is not touched.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use steward_actors::domain::record::cut;
use steward_actors::domain::snapshot::{AccountView, Protocol};
use steward_actors::snapshot_source::view_of_account;
use steward_entities::account;
use utoipa::ToSchema;

use crate::error::ErrorCode;
use crate::gateway::dialect::{self, ModelCard, anthropic, openai};
use crate::gateway::{headers, redact};
use crate::http::egress::{self, NoAnswer, Reach};
use crate::http::range::rfc3339;
use crate::state::AppState;

/// How long a provider may take.
const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_MAX_BYTES: usize = 8 << 20;
const MESSAGE_MAX_BYTES: usize = 512;
/// How long a list is told again without asking.
const REMEMBERED: Duration = Duration::from_secs(60);

/// How an account's provider answered.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AccountTest {
    /// The provider took the credential and listed its models.
    pub(super) ok: bool,
    /// The provider's HTTP status; null when there was no answer.
    status: Option<u16>,
    /// Until the answer's end.
    latency_ms: u64,
    /// What the provider said, or why there was no answer; secrets taken out.
    message: Option<String>,
    /// Stable name of what went wrong.
    error_code: Option<&'static str>,
    /// How many models the provider lists.
    models: Option<usize>,
}

/// A model that a provider lists.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ProviderModel {
    id: String,
    owned_by: String,
    /// Null when the provider does not say.
    created_at: Option<String>,
}

/// What an account's provider lists.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ProviderModels {
    items: Vec<ProviderModel>,
    total: usize,
    /// When the provider was asked; lists are told again for a minute.
    fetched_at: String,
    /// How the provider answered: when it refused, the list is empty and this says why.
    answer: AccountTest,
}

impl From<ModelCard> for ProviderModel {
    fn from(card: ModelCard) -> Self {
        Self {
            id: card.id,
            owned_by: card.owned_by,
            created_at: (card.created_s > 0)
                .then(|| rfc3339(card.created_s.saturating_mul(1_000_000))),
        }
    }
}

/// Lists that were fetched lately, by account.
#[derive(Default)]
pub struct ProviderLists(Mutex<HashMap<i64, Remembered>>);

impl ProviderLists {
    /// Forgets them: providers are asked again.
    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}

struct Remembered {
    /// Of the account when it was asked.
    version: i64,
    until: Instant,
    list: Arc<ProviderModels>,
}

/// Asks the provider, and says how it went.
pub(super) async fn test(state: &AppState, row: &account::Model) -> AccountTest {
    ask(state, row).await.0
}

/// What the provider lists; asked at most once a minute unless the account changes or the answer was bad.
pub(super) async fn models(state: &AppState, row: &account::Model) -> Arc<ProviderModels> {
    if let Some(known) = state.provider_lists.0.lock().get(&row.id)
        && known.version == row.version
        && known.until > Instant::now()
    {
        return Arc::clone(&known.list);
    }
    let (answer, cards) = ask(state, row).await;
    let ok = answer.ok;
    let mut items: Vec<ProviderModel> = cards.into_iter().map(ProviderModel::from).collect();
    items.sort_by(|left, right| left.id.cmp(&right.id));
    let list = Arc::new(ProviderModels {
        total: items.len(),
        items,
        fetched_at: rfc3339(state.clock.now_micros()),
        answer,
    });
    if ok {
        let mut lists = state.provider_lists.0.lock();
        let now = Instant::now();
        lists.retain(|_, known| known.until > now);
        let remembered = Remembered {
            version: row.version,
            until: now + REMEMBERED,
            list: Arc::clone(&list),
        };
        lists.insert(row.id, remembered);
    }
    list
}

async fn ask(state: &AppState, row: &account::Model) -> (AccountTest, Vec<ModelCard>) {
    let begun = Instant::now();
    let failed = |status, code: ErrorCode, message: String| {
        let test = AccountTest {
            ok: false,
            status,
            latency_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            message: Some(message).filter(|text| !text.is_empty()),
            error_code: Some(code.slug()),
            models: None,
        };
        (test, Vec::new())
    };
    let account = match view_of_account(row, &state.vault) {
        Ok(account) => account,
        Err(reason) => return failed(None, ErrorCode::UpstreamCredential, reason),
    };
    let Ok(headers) =
        headers::to_upstream(std::iter::empty(), account.protocol, &account.secret, true)
    else {
        let message = "The secret cannot be sent in a header.".to_owned();
        return failed(None, ErrorCode::UpstreamCredential, message);
    };
    let mut url = dialect::upstream_models_url(&account);
    if account.protocol == Protocol::Anthropic {
        url.push_str("?limit=1000");
    }
    let tls = state.gateway.tls().clone();
    let bounds = (PATIENCE, ANSWER_MAX_BYTES);
    let fetched = egress::get(tls, &url, headers, bounds, Reach::Private).await;
    let fetched = match fetched {
        Ok(fetched) => fetched,
        Err(cause) => {
            let code = match cause {
                NoAnswer::Refused => ErrorCode::EgressRefused,
                NoAnswer::TimedOut(_) => ErrorCode::UpstreamTimeout,
                NoAnswer::Failed(_) => ErrorCode::UpstreamUnreachable,
            };
            return failed(None, code, shown(&cause.to_string(), &account));
        }
    };
    let status = Some(fetched.status);
    let body: Option<Value> = serde_json::from_slice(&fetched.body).ok();
    match fetched.status {
        200..=299 => {}
        401 | 403 => {
            let message = said(body.as_ref(), &fetched.body, &account);
            return failed(status, ErrorCode::UpstreamCredential, message);
        }
        _ => {
            let message = said(body.as_ref(), &fetched.body, &account);
            return failed(status, ErrorCode::UpstreamError, message);
        }
    }
    if !body.is_some_and(|body| body.get("data").is_some_and(Value::is_array)) {
        let message = "The answer is no list of models; is the base URL right?".to_owned();
        return failed(status, ErrorCode::UpstreamError, message);
    }
    let cards = match account.protocol {
        Protocol::OpenAi => openai::read_models(&fetched.body, &account.provider),
        Protocol::Anthropic => anthropic::read_models(&fetched.body, &account.provider),
    };
    let test = AccountTest {
        ok: true,
        status,
        latency_ms: fetched.latency_ms,
        message: None,
        error_code: None,
        models: Some(cards.len()),
    };
    (test, cards)
}

/// What a provider said about a failure.
fn said(body: Option<&Value>, bytes: &[u8], account: &AccountView) -> String {
    let error = body.and_then(|body| body.get("error"));
    let message = error
        .and_then(|error| error.get("message"))
        .or(error)
        .or_else(|| body.and_then(|body| body.get("message")))
        .or_else(|| body.and_then(|body| body.get("detail")))
        .and_then(Value::as_str);
    match message {
        Some(message) => shown(message, account),
        None => shown(&String::from_utf8_lossy(bytes), account),
    }
}

/// `text` without secrets and control characters, cut.
fn shown(text: &str, account: &AccountView) -> String {
    let text = text.replace(account.secret.reveal(), redact::MARK);
    let text: String = redact::scrub(&text)
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect();
    let mut text = text.trim().to_owned();
    cut(&mut text, MESSAGE_MAX_BYTES);
    text
}
