//! `/v1/models`: what this token may use, in the caller's dialect.
//!
//! Names and aliases are known from the accounts. An account that takes a pattern (`*`, `gpt-*`) is asked for
//! its own list, with a short time-out; the answer is remembered for five minutes, a failure for a few
//! seconds, and then what is known is told. These requests are no calls: they are not on the books.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Limited};
use parking_lot::Mutex;
use serde_json::Value;
use steward_actors::domain::snapshot::{AccountView, Protocol, TokenView};

use crate::error::catalog::ErrorCode;

use super::client::{UpstreamClient, WholeBody};
use super::dialect::{self, ModelCard, anthropic, openai};
use super::refusal::Refusal;
use super::{Asked, Gateway, admit, headers};

const REMEMBERED: Duration = Duration::from_secs(300);
const FAILURE_REMEMBERED: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_MAX_BYTES: usize = 4 << 20;
/// Length of a page of Anthropic's list when the caller names none.
const PAGE: usize = 20;

struct Remembered {
    until: Instant,
    url: String,
    cards: Arc<Vec<ModelCard>>,
}

/// What accounts said about their models.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<i64, Remembered>>);

/// `GET /v1/models`.
pub(super) async fn list(asked: &Asked<'_>) -> HttpResponse {
    let token = match caller(asked) {
        Ok(token) => token,
        Err(refusal) => return asked.refuse(&refusal),
    };
    let cards = usable(asked, &token).await;
    let body = match asked.protocol {
        Protocol::OpenAi => openai::models(&cards),
        Protocol::Anthropic => {
            let query = asked.query.unwrap_or("");
            let parameter = |name: &str| {
                let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                pairs
                    .filter(|(key, _)| *key == name)
                    .map(|(_, value)| decoded(value))
                    .next()
            };
            let limit = parameter("limit").and_then(|limit| limit.parse().ok());
            anthropic::models(
                &cards,
                parameter("after_id").as_deref(),
                parameter("before_id").as_deref(),
                limit.unwrap_or(PAGE),
            )
        }
    };
    answer(asked, &body)
}

/// `GET /v1/models/{model}`; `model` is as it stood in the path, percent-encoded.
pub(super) async fn show(asked: &Asked<'_>, model: &str) -> HttpResponse {
    let token = match caller(asked) {
        Ok(token) => token,
        Err(refusal) => return asked.refuse(&refusal),
    };
    let model = decoded(model);
    let listed = usable(asked, &token).await;
    let card = listed
        .into_iter()
        .find(|card| card.id == model)
        .or_else(|| {
            // Served by a pattern though nobody lists it.
            let account = accounts(asked)
                .into_iter()
                .find(|account| account.serves(&model) && dialect::may_use(&token, &model))?;
            Some(ModelCard {
                id: model.clone(),
                owned_by: account.provider.clone(),
                created_s: 0,
            })
        });
    match (card, asked.protocol) {
        (Some(card), Protocol::OpenAi) => answer(asked, &openai::model(&card)),
        (Some(card), Protocol::Anthropic) => answer(asked, &anthropic::model(&card)),
        (None, _) => asked.refuse(
            &Refusal::new(ErrorCode::ModelUnknown)
                .detail(format!(
                    "The model `{model}` does not exist or may not be used with this API key."
                ))
                .param("model"),
        ),
    }
}

fn caller(asked: &Asked<'_>) -> Result<Arc<TokenView>, Refusal> {
    let (key, _) = admit::identify(asked.gateway, asked.headers)?;
    admit::standing(&key, asked.gateway.clock.now_micros())?;
    Ok(key.token)
}

/// The enabled accounts that speak the caller's protocol.
fn accounts(asked: &Asked<'_>) -> Vec<Arc<AccountView>> {
    let snapshot = asked.gateway.snapshot.load();
    let speaks =
        |account: &&Arc<AccountView>| account.enabled && account.protocol == asked.protocol;
    snapshot.accounts.iter().filter(speaks).cloned().collect()
}

/// The models this token may use.
async fn usable(asked: &Asked<'_>, token: &TokenView) -> Vec<ModelCard> {
    let accounts = accounts(asked);
    let lists = accounts.iter().map(|account| async {
        let cards = listed(asked.gateway, asked.client, account).await;
        (account.id, cards)
    });
    let offered: HashMap<i64, Arc<Vec<ModelCard>>> = join_all(lists).await.into_iter().collect();
    dialect::visible(
        accounts.iter().map(AsRef::as_ref),
        token,
        asked.protocol,
        |account| {
            offered
                .get(&account)
                .map(|cards| cards.to_vec())
                .unwrap_or_default()
        },
    )
}

/// What the account itself lists; nothing for an account whose models are all named.
async fn listed(
    gateway: &Gateway,
    client: &UpstreamClient,
    account: &AccountView,
) -> Arc<Vec<ModelCard>> {
    if !account.models.iter().any(|pattern| pattern.ends_with('*')) {
        return Arc::default();
    }
    let url = dialect::upstream_models_url(account);
    let mut known = None;
    if let Some(remembered) = gateway.models.0.lock().get(&account.id)
        && remembered.url == url
    {
        if remembered.until > Instant::now() {
            return Arc::clone(&remembered.cards);
        }
        known = Some(Arc::clone(&remembered.cards));
    }
    let fetched = tokio::time::timeout(PATIENCE, fetch(client, account, &url)).await;
    let (cards, lasts) = match fetched {
        Ok(Some(cards)) => (Arc::new(cards), REMEMBERED),
        _ => (known.unwrap_or_default(), FAILURE_REMEMBERED),
    };
    gateway.models.0.lock().insert(
        account.id,
        Remembered {
            until: Instant::now() + lasts,
            url,
            cards: Arc::clone(&cards),
        },
    );
    cards
}

async fn fetch(
    client: &UpstreamClient,
    account: &AccountView,
    url: &str,
) -> Option<Vec<ModelCard>> {
    let mut request = http::Request::new(WholeBody::new(Vec::new()));
    *request.uri_mut() = http::Uri::try_from(url).ok()?;
    *request.headers_mut() =
        headers::to_upstream(std::iter::empty(), account.protocol, &account.secret, false).ok()?;
    let answer = client.request(request).await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    let body = Limited::new(answer.into_body(), ANSWER_MAX_BYTES);
    let body = body.collect().await.ok()?.to_bytes();
    Some(match account.protocol {
        Protocol::OpenAi => openai::read_models(&body, &account.provider),
        Protocol::Anthropic => anthropic::read_models(&body, &account.provider),
    })
}

fn answer(asked: &Asked<'_>, body: &Value) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("x-request-id", asked.id.to_string()))
        .json(body)
}

/// Resolves `%2F` and the like; what is no escape stays.
fn decoded(text: &str) -> String {
    let hex = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = match bytes[at..] {
            [b'%', high, low, ..] => hex(high).zip(hex(low)),
            _ => None,
        };
        match escape {
            Some((high, low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_in_model_ids_are_resolved() {
        assert_eq!(decoded("meta%2Fllama-3%3afree"), "meta/llama-3:free");
        assert_eq!(decoded("50%"), "50%");
        assert_eq!(decoded("a%zzb%4"), "a%zzb%4");
    }
}
