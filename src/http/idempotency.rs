//! `Idempotency-Key`: a POST that is sent twice has its effect once and gets the same answer again.
//!
//! Creations keep their answer in the transaction of the change, so a crash cannot part the two; the
//! answers of other POSTs are kept right afterwards. What is kept is sealed, because an answer may show a
//! secret that is shown only once. Keys of two operators are different keys; sign-in takes none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::body::{self, BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, web};
use sea_orm::DatabaseTransaction;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use steward_entities::change::ChangeError;
use steward_entities::database::begin_write;
use steward_entities::idempotency_key::{self, Model};

use super::caller::{self, Caller};
use super::extract;
use crate::error::{ApiError, ErrorCode};
use crate::state::AppState;

/// The header that carries it.
pub const HEADER: &str = "idempotency-key";
/// Set on an answer that is given again.
pub const REPLAYED: &str = "idempotency-replayed";
const KEY_MAX_BYTES: usize = 255;

/// A request whose answer is to be kept.
#[derive(Debug)]
pub struct Pending {
    key: String,
    method_path: String,
    body_hash: Vec<u8>,
    kept: AtomicBool,
}

/// An answer as it is kept.
#[derive(Debug, Deserialize, Serialize)]
pub struct Answer {
    pub status: u16,
    pub etag: Option<String>,
    pub body: Value,
}

/// Around every request of the control face: answers a repeated POST from memory.
pub async fn replay<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let header = request.headers().get(HEADER).cloned();
    let (Some(header), &Method::POST) = (header, request.method()) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let Some(state) = request.app_data::<web::Data<AppState>>().cloned() else {
        return Err(ApiError::internal("no state").into());
    };
    let Ok(caller) = caller::authenticate(request.parts().0).await else {
        // Not signed in: the handler knows whether it minds.
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let begun = begin(&state, &mut request, &caller, header.as_bytes()).await;
    let pending = match begun {
        Ok(Begun::First(pending)) => pending,
        Ok(Begun::Again(answer)) => return Ok(request.into_response(answer.into_response())),
        Err(error) => {
            return Err(error.into());
        }
    };
    request.extensions_mut().insert(Caller {
        idempotency: Some(Arc::clone(&pending)),
        ..caller.clone()
    });
    let response = next.call(request).await?.map_into_boxed_body();
    if pending.kept.load(Ordering::Acquire) || !response.status().is_success() || is_file(&response)
    {
        return Ok(response);
    }
    keep_afterwards(&state, &caller, &pending, response).await
}

/// Whether an answer is a file, made as it is sent: it changes nothing, so that it is made again when it is asked for
/// again, and may be larger than any memory.
fn is_file(response: &ServiceResponse<BoxBody>) -> bool {
    let media_type = response.headers().get(header::CONTENT_TYPE);
    let is_json = media_type.is_none_or(|value| value.as_bytes().starts_with(b"application/json"));
    !is_json || response.response().body().size() == BodySize::Stream
}

enum Begun {
    First(Arc<Pending>),
    Again(Answer),
}

async fn begin(
    state: &AppState,
    request: &mut ServiceRequest,
    caller: &Caller,
    key: &[u8],
) -> Result<Begun, ApiError> {
    let key = std::str::from_utf8(key)
        .ok()
        .filter(|key| (1..=KEY_MAX_BYTES).contains(&key.len()))
        .ok_or_else(|| {
            ApiError::new(ErrorCode::RequestInvalid).detail(format!(
                "Idempotency-Key must have 1 to {KEY_MAX_BYTES} characters."
            ))
        })?;
    let bytes = extract::read(request.take_payload()).await?;
    let pending = Pending {
        key: key.to_owned(),
        method_path: format!("{} {}", request.method(), request.path()),
        body_hash: Sha256::digest(&bytes).to_vec(),
        kept: AtomicBool::new(false),
    };
    request.set_payload(Payload::from(bytes));
    let operator = caller.operator.id;
    let known = idempotency_key::find(&state.databases.control_read, operator, key).await?;
    let Some(row) = known else {
        return Ok(Begun::First(Arc::new(pending)));
    };
    if row.body_hash != pending.body_hash || row.method_path != pending.method_path {
        return Err(ApiError::new(ErrorCode::IdempotencyMismatch));
    }
    let answer = row
        .response
        .as_str()
        .and_then(|sealed| state.answers.open(sealed, &associated(operator, key)))
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| {
            ApiError::new(ErrorCode::IdempotencyInProgress)
                .detail("This request was carried out, but its answer can no longer be read.")
        })?;
    Ok(Begun::Again(answer))
}

/// Keeps an answer in the transaction of its effect.
///
/// # Errors
/// `idempotency_in_progress` when the same request is being carried out twice at this moment.
pub(super) async fn keep(
    state: &AppState,
    txn: &DatabaseTransaction,
    caller: &Caller,
    pending: &Pending,
    answer: Answer,
) -> Result<(), ApiError> {
    let operator = caller.operator.id;
    let bytes = serde_json::to_vec(&answer).map_err(ApiError::internal)?;
    let sealed = state
        .answers
        .seal(&bytes, &associated(operator, &pending.key))
        .ok_or_else(|| ApiError::internal("an answer could not be sealed"))?;
    let row = Model {
        key: pending.key.clone(),
        operator_id: operator,
        method_path: pending.method_path.clone(),
        body_hash: pending.body_hash.clone(),
        status: i64::from(answer.status),
        response: Value::from(sealed),
        created_at: state.clock.now_micros(),
    };
    idempotency_key::insert(txn, row)
        .await
        .map_err(|error| match error {
            ChangeError::Database(error) => error.into(),
            _ => ApiError::new(ErrorCode::IdempotencyInProgress).retry_after_s(1),
        })?;
    pending.kept.store(true, Ordering::Release);
    Ok(())
}

/// Keeps the answer of a POST that made no row of its own. Failing to is no reason to hide the answer.
async fn keep_afterwards(
    state: &AppState,
    caller: &Caller,
    pending: &Pending,
    response: ServiceResponse<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let (request, response) = response.into_parts();
    let (head, content) = response.into_parts();
    let bytes = body::to_bytes(content)
        .await
        .map_err(|error| ApiError::internal(error.to_string()))?;
    let answer = Answer {
        status: head.status().as_u16(),
        etag: None,
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    };
    let kept = async {
        let txn = begin_write(&state.databases.control).await?;
        keep(state, &txn, caller, pending, answer).await?;
        Ok::<(), ApiError>(txn.commit().await?)
    };
    if let Err(error) = kept.await {
        tracing::warn!(%error, "the answer to a request with an idempotency key was not kept");
    }
    Ok(ServiceResponse::new(
        request,
        head.set_body(bytes).map_into_boxed_body(),
    ))
}

impl Answer {
    fn into_response(self) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut response = HttpResponse::build(status);
        response.insert_header((REPLAYED, "true"));
        if let Some(etag) = self.etag {
            response.insert_header((header::ETAG, etag));
        }
        if self.body.is_null() {
            response.finish()
        } else {
            response.json(self.body)
        }
    }
}

/// Binds a kept answer to its owner and key.
fn associated(operator_id: i64, key: &str) -> Vec<u8> {
    format!("{operator_id}\n{key}").into_bytes()
}
