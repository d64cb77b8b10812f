//! The only place that refuses a call, from memory alone: who calls, may they, is the request readable, is
//! there room in the limits, and can the books take the record.
//!
//! It asks no database and waits for nothing but the request's own body.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use steward_actors::domain::price::{Currency, Used};
use steward_actors::domain::snapshot::{Protocol, TokenKey, TokenView};
use steward_actors::spool;

use crate::error::catalog::ErrorCode;

use super::budget::Hold;
use super::json::JsonFault;
use super::limits::{self, Admission, Demand, Entered};
use super::pulse::{Expired, Pulse};
use super::refusal::Refusal;
use super::request::{Reading, RequestHead};
use super::token_key::{self, KeyFault};
use super::user_token::{self, Fault};
use super::{Gateway, dialect, headers};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// A body is given this much room at first, whatever length it declares.
const FIRST_ROOM_BYTES: usize = 1 << 20;
/// Of a body that is here faster than it can be read, so much is read before others get their turn: half a
/// millisecond of work when it is dense.
const TURN_BYTES: usize = 128 * 1024;
/// The body of a call that is refused already is read for the books, and for the connection's sake, up to this size.
const SMALL_BODY_BYTES: usize = 64 * 1024;

/// Whose call it is: a token, or a user of an issuer, who has what the issuer's token has. Fails for those nobody knows:
/// they are counted, not recorded.
///
/// # Errors
/// No credential, more than one of a kind, or one that opens nothing.
pub(super) fn identify(
    gateway: &Gateway,
    headers: &HeaderMap,
) -> Result<(TokenKey, Option<Arc<str>>), Refusal> {
    let found = credential(headers)
        .map_err(Refusal::from)
        .and_then(|presented| match user_token::looks_like_one(presented) {
            true => user(gateway, presented).map(|(key, user)| (key, Some(user))),
            false => token(gateway, presented).map(|key| (key, None)),
        });
    found.inspect_err(|_| gateway.counters.unknown_credential())
}

fn token(gateway: &Gateway, presented: &str) -> Result<TokenKey, Refusal> {
    let hash = token_key::TOKEN
        .parse(presented)
        .map_err(|_| ErrorCode::TokenInvalid)?;
    let snapshot = gateway.snapshot.load();
    let key = token_key::find(&snapshot, &hash).cloned();
    key.ok_or_else(|| ErrorCode::TokenInvalid.into())
}

fn user(gateway: &Gateway, presented: &str) -> Result<(TokenKey, Arc<str>), Refusal> {
    let snapshot = gateway.snapshot.load();
    let now = gateway.clock.now_micros();
    let verified = user_token::verify(&snapshot, presented, now).map_err(|fault| {
        if fault == Fault::KeyUnknown
            && let Some(issuer) = user_token::stranger(&snapshot, presented)
        {
            gateway.missing_keys.miss(&issuer.public_id, now);
        }
        Refusal::new(fault.code()).detail(format!("The user token is not accepted. {fault}"))
    })?;
    let key = TokenKey {
        token: Arc::clone(&verified.issuer.token),
        valid_until: None,
    };
    Ok((key, verified.user))
}

fn credential(headers: &HeaderMap) -> Result<&str, ErrorCode> {
    let one = |name: HeaderName| {
        let mut values = headers.get_all(name);
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => Ok(Some(value.to_str().map_err(|_| ErrorCode::TokenInvalid)?)),
            (Some(_), Some(_)) => Err(ErrorCode::HeadersInvalid),
        }
    };
    token_key::presented(one(header::AUTHORIZATION)?, one(X_API_KEY)?).map_err(
        |fault| match fault {
            KeyFault::Missing => ErrorCode::TokenMissing,
            KeyFault::Malformed => ErrorCode::TokenInvalid,
        },
    )
}

/// Whether this token may call at all now.
///
/// # Errors
/// Disabled, expired (or the old secret of a rotation whose grace is over), tenant suspended.
pub(super) fn standing(key: &TokenKey, now_micros: i64) -> Result<(), Refusal> {
    let token = &key.token;
    let over = |until: Option<i64>| until.is_some_and(|until| until <= now_micros);
    if !token.enabled {
        Err(ErrorCode::TokenDisabled.into())
    } else if over(token.expires_at) || over(key.valid_until) {
        Err(ErrorCode::TokenExpired.into())
    } else if token.tenant_suspended {
        Err(ErrorCode::TenantSuspended.into())
    } else {
        Ok(())
    }
}

/// Whether the books can take one more record; asked before the call is made.
///
/// # Errors
/// The spool is full and `ledger.overflow` is `refuse`.
pub(super) fn books(gateway: &Gateway) -> Result<(), Refusal> {
    match gateway.spool.admits() {
        spool::Admission::Open => Ok(()),
        spool::Admission::Refuse(_) => {
            Err(Refusal::new(ErrorCode::LedgerFull).retry_after_ms(5_000))
        }
    }
}

/// Whether the headers can be understood in one way only.
///
/// # Errors
/// Something sent twice, or contradicting framing.
pub(super) fn headers(sent: &[(&str, &[u8])]) -> Result<(), Refusal> {
    headers::check(sent.iter().copied()).map_err(|fault| {
        Refusal::new(ErrorCode::HeadersInvalid).detail(format!("The request is refused: {fault}."))
    })
}

/// A body on its way.
pub(super) trait Chunks: Stream<Item = Result<Bytes, PayloadError>> + Unpin {}

impl<S: Stream<Item = Result<Bytes, PayloadError>> + Unpin> Chunks for S {}

/// A body that has arrived.
pub(super) struct Received {
    pub(super) bytes: Bytes,
    pub(super) head: RequestHead,
    /// The timer it was waited for with, for the call to go on with.
    pub(super) pulse: Option<Pulse>,
    /// Bytes that had come and were read only when all were there.
    #[cfg(test)]
    pub(super) unread: usize,
}

/// The whole body and what it says, or why it is not read. It is read as it comes, and nobody else on this thread
/// waits long for that, however large and dense it is.
///
/// # Errors
/// Too large (said before the rest is read), encoded (nothing could be looked at or edited), too slow, cut, no JSON
/// object.
pub(super) async fn body(
    gateway: &Gateway,
    sent: &HeaderMap,
    mut payload: impl Chunks,
) -> Result<Received, Refusal> {
    if let Some(encoding) = sent.get(header::CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(ErrorCode::MediaTypeUnsupported.into());
    }
    let most = gateway.max_body_bytes;
    let too_large = || {
        Refusal::new(ErrorCode::BodyTooLarge)
            .detail(format!("The request body is larger than {most} bytes."))
    };
    let declared = declared_bytes(sent);
    if declared.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    // Most bodies come in one piece: no copy.
    let mut pulse: Option<Pulse> = None;
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut reading = Reading::new();
    let mut read_in_a_row = 0;
    loop {
        let next = poll_fn(|cx| match Pin::new(&mut payload).poll_next(cx) {
            Poll::Ready(next) => Poll::Ready(Ok(next)),
            Poll::Pending => pulse
                .get_or_insert_with(|| Pulse::new(gateway.settings.load().idle_timeout))
                .poll(cx, &gateway.cut)
                .map(Err),
        });
        let chunk = match next.await {
            Ok(None) => break,
            Ok(Some(Ok(chunk))) => chunk,
            Ok(Some(Err(PayloadError::Incomplete(_) | PayloadError::Io(_)))) => {
                return Err(ErrorCode::ClientClosed.into());
            }
            Ok(Some(Err(_))) => {
                return Err(Refusal::new(ErrorCode::RequestInvalid)
                    .detail("The request body could not be read."));
            }
            Err(Expired::Silence) => return Err(ErrorCode::RequestTimeout.into()),
            Err(Expired::Cut) => return Err(ErrorCode::ShuttingDown.into()),
        };
        if let Some(pulse) = &mut pulse {
            pulse.touch();
        }
        let chunk_len = chunk.len();
        if first.len() + rest.len() + chunk_len > most {
            return Err(too_large());
        }
        if first.is_empty() && rest.is_empty() {
            first = chunk;
            reading.advance(&first);
        } else {
            let here = first.len() + rest.len();
            if rest.is_empty() {
                rest.reserve(first_room(declared, here));
                rest.extend_from_slice(&std::mem::take(&mut first));
            } else if rest.capacity() - here < chunk.len() && here >= FIRST_ROOM_BYTES {
                // So much has come that the rest of what was declared is believed.
                rest.reserve(declared.unwrap_or(0).clamp(here + chunk.len(), most) - here);
            }
            rest.extend_from_slice(&chunk);
            reading.advance(&rest);
        }
        read_in_a_row += chunk_len;
        if read_in_a_row >= TURN_BYTES {
            read_in_a_row = 0;
            tokio::task::yield_now().await;
        }
    }
    let bytes = if rest.is_empty() {
        first
    } else {
        rest.freeze()
    };
    #[cfg(test)]
    let unread = bytes.len() - reading.reached();
    Ok(Received {
        head: reading.finish(&bytes).map_err(unreadable)?,
        bytes,
        pulse,
        #[cfg(test)]
        unread,
    })
}

fn unreadable(fault: JsonFault) -> Refusal {
    Refusal::new(ErrorCode::BodyInvalid)
        .detail(format!("The request body cannot be read: {fault}."))
}

/// Room for a body of which `here` bytes have come.
fn first_room(declared: Option<usize>, here: usize) -> usize {
    declared.unwrap_or(0).min(FIRST_ROOM_BYTES).max(here * 2)
}

/// Whether the token may use the model.
///
/// # Errors
/// The request names none, or one that is not among the token's.
pub(super) fn model<'a>(token: &TokenView, head: &'a RequestHead) -> Result<&'a str, Refusal> {
    let Some(model) = &head.model else {
        return Err(Refusal::new(ErrorCode::ModelMissing).param("model"));
    };
    if dialect::may_use(token, model) {
        return Ok(model);
    }
    Err(Refusal::new(ErrorCode::ModelNotAllowed)
        .detail(format!("The API key may not use the model `{model}`."))
        .param("model"))
}

/// Reserves what the call may cost.
///
/// # Errors
/// A budget of the token or its tenant is used up.
pub(super) fn budgets(
    gateway: &Gateway,
    token: &TokenView,
    model: &str,
    demand: Demand,
    at_micros: i64,
) -> Result<Hold, Refusal> {
    let expected = || dearest(gateway, model, demand, at_micros);
    gateway
        .budgets
        .reserve(token, at_micros, expected)
        .map_err(|exhausted| {
            Refusal::new(ErrorCode::BudgetExhausted)
                .detail(exhausted.detail())
                .retry_after_ms(exhausted.retry_after_ms)
        })
}

/// What the call would cost on the dearest of the accounts that may get it, in billionths of a dollar; 0 when none of
/// them has a price.
pub(super) fn dearest(gateway: &Gateway, model: &str, demand: Demand, at_micros: i64) -> i64 {
    let snapshot = gateway.snapshot.load();
    let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    let used = Used {
        prompt: count(demand.prompt_tokens),
        completion: count(demand.completion_tokens),
        ..Used::default()
    };
    let serving = snapshot
        .accounts
        .iter()
        .filter(|account| account.enabled && account.serves(model));
    let costs = serving.filter_map(|account| {
        let sent = account.upstream_model(model);
        let price = snapshot
            .prices
            .of_call(&account.provider, sent, model, at_micros)?;
        let charge = price.currency.charge(price.cost_nano(used));
        Some(gateway.budgets.rate().sum(charge, Currency::Usd))
    });
    costs.max().unwrap_or(0)
}

/// Takes the call's place among its token's, and counts it as a request: before its body is read, which may be large and
/// take its time.
///
/// # Errors
/// A limit refuses, or the quota is used up.
pub(super) fn enter(
    gateway: &Gateway,
    token: &TokenView,
    protocol: Protocol,
) -> Result<Entered, Refusal> {
    let entered = gateway.limits.enter(token, gateway.accounts.now_ms());
    entered.map_err(|refused| limited(refused, protocol))
}

/// Reserves what the call may use.
///
/// # Errors
/// A limit or the quota refuses.
pub(super) fn limits(
    gateway: &Gateway,
    entered: Entered,
    token: &TokenView,
    demand: Demand,
    protocol: Protocol,
) -> Result<Admission, Refusal> {
    let admitted = entered.admit(token, demand, gateway.accounts.now_ms());
    admitted.map_err(|refused| limited(refused, protocol))
}

fn limited(refused: limits::Refusal, protocol: Protocol) -> Refusal {
    let headers = refused.headers(protocol);
    Refusal {
        headers,
        ..Refusal::from(refused)
    }
}

/// Whether a body that nobody wants is so small that reading it costs less than the connection, which it would take with it.
pub(super) fn is_small(sent: &HeaderMap) -> bool {
    declared_bytes(sent).is_some_and(|length| length <= SMALL_BODY_BYTES)
}

fn declared_bytes(sent: &HeaderMap) -> Option<usize> {
    let length = sent.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}
