//! What happens around every request: an id, a span, the headers that protect a browser, and an answer even
//! when a handler panics.
//!
//! Who may do what is not decided here (see `permission`), and no body is touched. Query values and
//! headers never reach the log: they carry other people's data and secrets.

use std::any::Any;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError, web};
use futures_util::FutureExt;
use tracing::Instrument;
use uuid::Uuid;

use super::{caller, request_id};
use crate::error::{ApiError, ErrorCode};
use crate::state::AppState;

/// Prefix of the gateway's face, whose answers belong to the provider: only an id is added there.
const GATEWAY_PREFIX: &str = "/v1/";
/// Prefix of the control face.
pub const CONTROL_PREFIX: &str = "/api/";

/// What no answer does without. The content policy is that of data, which may do nothing at all in a browser;
/// pages say what they need themselves (`console`).
const PROTECTION: [(&str, &str); 7] = [
    (
        "content-security-policy",
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), microphone=(), geolocation=()",
    ),
];

/// The outermost frame of every request.
pub async fn frame<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let gateway = request.path().starts_with(GATEWAY_PREFIX);
    if gateway {
        // The hot path: its calls are told by their records, not by spans, and have their ids from there.
        return match AssertUnwindSafe(next.call(request)).catch_unwind().await {
            Ok(result) => result,
            Err(panic) => {
                let id = Uuid::now_v7();
                let error = ApiError::internal(format_args!("panic: {}", panic_text(&*panic)));
                Err(answer("panic", error.error_response(), id, true, false))
            }
        };
    }
    let id = Uuid::now_v7();
    let control = request.path().starts_with(CONTROL_PREFIX);
    let span = tracing::info_span!(
        "request",
        method = %request.method(),
        path = request.path(),
        request_id = tracing::field::Empty,
        user = tracing::field::Empty,
        status = tracing::field::Empty,
    );
    span.record("request_id", tracing::field::display(id));
    let work = async {
        match AssertUnwindSafe(next.call(request)).catch_unwind().await {
            Ok(Ok(mut response)) => {
                dress(response.headers_mut(), id, gateway, control);
                Ok(response)
            }
            Ok(Err(error)) => Err(answer(
                &error.to_string(),
                error.error_response(),
                id,
                gateway,
                control,
            )),
            Err(panic) => {
                let error = ApiError::internal(format_args!("panic: {}", panic_text(&*panic)));
                Err(answer(
                    "panic",
                    error.error_response(),
                    id,
                    gateway,
                    control,
                ))
            }
        }
    };
    let result = request_id::scope(id, work).instrument(span.clone()).await;
    if let Ok(response) = &result {
        span.record("status", response.status().as_u16());
    }
    result
}

/// Refuses an address that sends too many requests to the control face.
pub async fn limit_address<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    let limited = request.app_data::<web::Data<AppState>>().and_then(|state| {
        let peer = request.peer_addr().map(|peer| peer.ip());
        let client = peer.map(|peer| state.proxies.client(peer, request.headers()));
        let address = client_address(&client);
        let limit = state.settings.load().rate_limit_per_address;
        state.rates.per_address.take(address, limit).err()
    });
    if let Some(seconds) = limited {
        let error = ApiError::new(ErrorCode::TooManyRequests).retry_after_s(seconds);
        let response = request.into_response(error.error_response());
        return Ok(response.map_into_right_body());
    }
    Ok(next.call(request).await?.map_into_left_body())
}

/// Reads who there is before the handler's extractors run. They are polled together and the first to fail answers: while
/// the caller's waited for the database, a stranger would be told what is wrong with his body.
pub async fn know_operators<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    caller::know_operators(request.request()).await;
    next.call(request).await
}

/// Refuses an address that spells a NUL character, which PostgreSQL keeps in no text. Bodies are looked at
/// where they are read.
pub async fn refuse_nul<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    let spelt = |text: Option<&str>| text.is_some_and(|text| text.contains("%00"));
    if spelt(Some(request.uri().path())) || spelt(request.uri().query()) {
        let error = ApiError::new(ErrorCode::RequestInvalid)
            .detail("The address must not contain NUL characters.");
        let response = request.into_response(error.error_response());
        return Ok(response.map_into_right_body());
    }
    Ok(next.call(request).await?.map_into_left_body())
}

/// The peer's address in one form: IPv4 as IPv4, IPv6 by its /64, which one household shares.
pub fn client_address(peer: &Option<IpAddr>) -> IpAddr {
    match peer.map(|ip| ip.to_canonical()) {
        Some(IpAddr::V6(ip)) => {
            let mut octets = ip.octets();
            octets[8..].fill(0);
            IpAddr::from(octets)
        }
        Some(ip) => ip,
        None => IpAddr::from([0, 0, 0, 0]),
    }
}

fn answer(
    cause: &str,
    mut response: actix_web::HttpResponse,
    id: Uuid,
    gateway: bool,
    control: bool,
) -> Error {
    dress(response.headers_mut(), id, gateway, control);
    InternalError::from_response(cause.to_owned(), response).into()
}

fn dress(headers: &mut HeaderMap, id: Uuid, gateway: bool, control: bool) {
    let name = HeaderName::from_static(request_id::HEADER);
    if !headers.contains_key(&name)
        && let Ok(value) = HeaderValue::from_str(&id.to_string())
    {
        headers.insert(name, value);
    }
    if gateway {
        return;
    }
    for (name, value) in PROTECTION {
        let name = HeaderName::from_static(name);
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    if control && !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
