//! `POST /v1/traces`: OTLP over HTTP, protobuf or JSON, gzip or not.
//!
//! Answers as the protocol says: 200 with what was rejected, 4xx for what must not be sent again, 503 with
//! `retry-after` for what may.

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};

use super::body;
use crate::error::ErrorCode;
use crate::otlp::{self, Encoding, Taken, answer};
use crate::state::AppState;

/// Largest body, packed or not. Exporters send 512 spans at a time.
const BODY_MAX_BYTES: usize = 16 << 20;
/// A larger body is read off the workers' threads.
const INLINE_MAX_BYTES: usize = 64 * 1024;

pub(super) async fn take(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> HttpResponse {
    let encoding = encoding(&request);
    match attempt(&request, payload, &state, encoding).await {
        Ok(response) => response,
        Err(code) => refuse(encoding.unwrap_or(Encoding::Json), code, code.title()),
    }
}

/// Any method but POST.
pub(super) async fn wrong_method(request: HttpRequest) -> HttpResponse {
    let code = ErrorCode::MethodNotAllowed;
    let encoding = encoding(&request).unwrap_or(Encoding::Json);
    let mut response = refuse(encoding, code, code.title());
    let allowed = header::HeaderValue::from_static("POST");
    response.headers_mut().insert(header::ALLOW, allowed);
    if request.method() == Method::HEAD {
        return response.drop_body().map_into_boxed_body();
    }
    response
}

async fn attempt(
    request: &HttpRequest,
    payload: web::Payload,
    state: &AppState,
    encoding: Option<Encoding>,
) -> Result<HttpResponse, ErrorCode> {
    let token = state.gateway.sign_in(request.headers())?;
    let encoding = encoding.ok_or(ErrorCode::MediaTypeUnsupported)?;
    let body = body::read(request, payload, BODY_MAX_BYTES).await?;
    let now = state.clock.now_micros();
    let read = move || otlp::take(encoding, &body, &token, now);
    // The closure owns the body: its length decides first.
    let taken = if is_large(request) {
        tokio::task::spawn_blocking(read)
            .await
            .map_err(|_| ErrorCode::Internal)?
    } else {
        read()
    };
    let Taken {
        records,
        rejected,
        reason,
    } = match taken {
        Ok(taken) => taken,
        Err(malformed) => {
            let code = ErrorCode::RequestInvalid;
            return Ok(refuse(encoding, code, &format!("{malformed}.")));
        }
    };
    state.gateway.book(records).await?;
    let why = reason.map_or_else(String::new, |reason| format!("{reason}."));
    Ok(HttpResponse::Ok()
        .content_type(encoding.media_type())
        .body(answer::taken(encoding, rejected, &why)))
}

/// A packed body counts as large: nobody knows before.
fn is_large(request: &HttpRequest) -> bool {
    let headers = request.headers();
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    headers.contains_key(header::CONTENT_ENCODING)
        || length.is_none_or(|length| length > INLINE_MAX_BYTES)
}

fn encoding(request: &HttpRequest) -> Option<Encoding> {
    let value = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next()?.trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/x-protobuf" | "application/protobuf" => Some(Encoding::Protobuf),
        "application/json" => Some(Encoding::Json),
        _ => None,
    }
}

fn refuse(encoding: Encoding, code: ErrorCode, message: &str) -> HttpResponse {
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response.content_type(encoding.media_type());
    if matches!(code, ErrorCode::LedgerFull) {
        response.insert_header((header::RETRY_AFTER, "5"));
    }
    if matches!(code, ErrorCode::BodyTooLarge) {
        // The rest of the body is not read: the connection cannot serve another request.
        response.force_close();
    }
    response.body(answer::refused(encoding, code.status(), message))
}
