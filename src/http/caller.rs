//! Who is asking: the operator behind a bearer token, looked up as things stand now.
//!
//! Either an access token (a person who signed in) or an operator key (a script); where a browser fetches a file by a
//! link, a ticket that one of them asked for. Nothing is decided here about what they may do. Applications' tokens belong
//! to the gateway and open nothing on this face.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpMessage, HttpRequest, web};
use uuid::Uuid;

use super::access_token::TokenError;
use super::directory::{OperatorView, Table};
use super::idempotency::Pending;
use super::{download, extract, request_id};
use crate::error::{ApiError, ErrorCode};
use crate::gateway::token_key::OPERATOR_KEY;
use crate::state::AppState;

/// How the caller proved who they are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Via {
    /// Signed in with a password; the session's public id.
    Session(String),
    /// An operator key; its public id.
    Key(String),
}

/// What a request came with.
enum Presented<'a> {
    Secret(&'a str),
    /// For one download.
    Ticket(&'a str),
}

/// Who is asking, and from where.
#[derive(Clone, Debug)]
pub struct Caller {
    /// As they stand now.
    pub operator: Arc<OperatorView>,
    /// How they proved it.
    pub via: Via,
    /// Where the connection comes from.
    pub address: IpAddr,
    /// The request's id.
    pub request_id: Uuid,
    /// Set when the answer is to be kept for a repetition of the request.
    pub idempotency: Option<Arc<Pending>>,
}

impl Caller {
    /// The session of a person who signed in.
    ///
    /// # Errors
    /// `forbidden` for a key: whoever finds one must not be able to make it last.
    pub fn session(&self) -> Result<&str, ApiError> {
        match &self.via {
            Via::Session(id) => Ok(id),
            Via::Key(_) => Err(ApiError::new(ErrorCode::Forbidden)
                .detail("An operator key does not suffice; sign in with a password.")),
        }
    }
}

/// Who there was when the request came.
#[derive(Clone)]
struct Known(Arc<Table>);

/// Has [`authenticate`] wait for nothing, where the request shows who sends it.
pub(super) async fn know_operators(request: &HttpRequest) {
    let Some(state) = request.app_data::<web::Data<AppState>>() else {
        return;
    };
    if presented(request).is_some()
        // Whoever has to know them asks again, and is told why not.
        && let Ok(directory) = state.directory.current().await
    {
        request.extensions_mut().insert(Known(directory));
    }
}

fn presented(request: &HttpRequest) -> Option<Presented<'_>> {
    bearer(request)
        .map(Presented::Secret)
        .or_else(|| download::ticket(request).map(Presented::Ticket))
}

/// Finds out who is asking; once per request, however many ask.
///
/// # Errors
/// `unauthenticated`, `session_ended`, `too_many_requests`, or why the lookup failed.
pub async fn authenticate(request: &HttpRequest) -> Result<Caller, ApiError> {
    if let Some(caller) = request.extensions().get::<Caller>() {
        return Ok(caller.clone());
    }
    let state = request
        .app_data::<web::Data<AppState>>()
        .ok_or_else(|| ApiError::internal("no state"))?;
    let presented = presented(request).ok_or_else(|| ApiError::new(ErrorCode::Unauthenticated))?;
    let known = request.extensions().get::<Known>().cloned();
    let directory = match known {
        Some(Known(directory)) => directory,
        None => state.directory.current().await?,
    };
    let now = state.clock.now_micros();
    let (operator, via) = match presented {
        Presented::Secret(secret) => behind(secret, state, &directory, now)?,
        Presented::Ticket(ticket) => download::holder(ticket, request, state, &directory, now)?,
    };
    if !operator.enabled {
        return Err(ApiError::new(ErrorCode::Unauthenticated));
    }
    let limit = state.settings.load().rate_limit_per_operator;
    if let Err(seconds) = state.rates.per_operator.take(operator.id, limit) {
        return Err(ApiError::new(ErrorCode::TooManyRequests).retry_after_s(seconds));
    }
    tracing::Span::current().record("user", operator.username.as_str());
    let caller = Caller {
        operator,
        via,
        address: extract::client_ip(request),
        request_id: request_id::current().unwrap_or_default(),
        idempotency: None,
    };
    request.extensions_mut().insert(caller.clone());
    Ok(caller)
}

/// The operator behind an access token or an operator key.
fn behind(
    secret: &str,
    state: &AppState,
    directory: &Table,
    now: i64,
) -> Result<(Arc<OperatorView>, Via), ApiError> {
    if secret.starts_with(OPERATOR_KEY.prefix()) {
        let (operator, key) = directory
            .by_key(secret, now)
            .ok_or_else(|| ApiError::new(ErrorCode::Unauthenticated))?;
        state.directory.used(key.id, now);
        return Ok((operator, Via::Key(key.public_id.clone())));
    }
    let claims = state.access.read(secret, now).map_err(|error| {
        ApiError::new(match error {
            TokenError::Invalid => ErrorCode::Unauthenticated,
            TokenError::Expired => ErrorCode::SessionEnded,
        })
    })?;
    let operator = directory
        .by_public_id(&claims.sub)
        .filter(|operator| operator.epoch == claims.epoch)
        .ok_or_else(|| ApiError::new(ErrorCode::SessionEnded))?;
    Ok((operator, Via::Session(claims.sid)))
}

fn bearer(request: &HttpRequest) -> Option<&str> {
    let value = request
        .headers()
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    let secret = secret.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty()).then_some(secret)
}
