//! What a handler takes out of a request, and how a refusal names the field that caused it.
//!
//! The names are those of actix-web on purpose: the OpenAPI document infers bodies and parameters from
//! them. Who is asking is extracted elsewhere (`permission`).

use std::net::IpAddr;
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, HttpResponse, Responder, web};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, ErrorCode};
use crate::state::AppState;

/// Largest body of the control face.
pub const BODY_MAX_BYTES: usize = 1024 * 1024;
/// Largest file that comes as a JSON body.
pub const FILE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// A JSON body, in and out.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = says_json(request);
        let payload = payload.take();
        Box::pin(async move {
            if !is_json {
                return Err(ApiError::new(ErrorCode::MediaTypeUnsupported));
            }
            let body = read(payload).await?;
            parse(&body).map(Self)
        })
    }
}

impl<T: Serialize> Responder for Json<T> {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        HttpResponse::Ok().json(&self.0)
    }
}

/// A file as a JSON body: up to [`FILE_MAX_BYTES`].
#[derive(Debug)]
pub struct LargeJson<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for LargeJson<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = says_json(request);
        let payload = payload.take();
        Box::pin(async move {
            if !is_json {
                return Err(ApiError::new(ErrorCode::MediaTypeUnsupported));
            }
            let body = read_within(payload, FILE_MAX_BYTES).await?;
            parse(&body).map(Self)
        })
    }
}

/// Reads a body up to [`BODY_MAX_BYTES`].
///
/// # Errors
/// When it is longer or breaks off.
pub async fn read(payload: Payload) -> Result<web::Bytes, ApiError> {
    read_within(payload, BODY_MAX_BYTES).await
}

async fn read_within(mut payload: Payload, most: usize) -> Result<web::Bytes, ApiError> {
    let mut body = web::BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk =
            chunk.map_err(|cause| ApiError::new(ErrorCode::RequestInvalid).because(cause))?;
        if body.len() + chunk.len() > most {
            return Err(
                ApiError::new(ErrorCode::BodyTooLarge).detail(format!("At most {most} bytes."))
            );
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // PostgreSQL keeps no NUL in a text; JSON can only spell it as an escape.
    if memchr::memmem::find(body, br"\u0000").is_some()
        && let Ok(value) = serde_json::from_slice(body)
        && let Some(field) = nul_in(&value)
    {
        return Err(ApiError::invalid(field, "must not contain NUL characters"));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        match inner.classify() {
            serde_json::error::Category::Data => {
                let field = if path == "." { "body".to_owned() } else { path };
                ApiError::invalid(field, without_position(&inner))
            }
            _ => ApiError::new(ErrorCode::BodyInvalid).detail(inner.to_string()),
        }
    })?;
    reader
        .end()
        .map_err(|error| ApiError::new(ErrorCode::BodyInvalid).detail(error.to_string()))?;
    Ok(value)
}

/// The path of a text or a name that holds a NUL character.
fn nul_in(value: &serde_json::Value) -> Option<String> {
    let nul = |text: &str| text.contains('\0');
    let below = |name: String, value| {
        nul_in(value).map(|path| match path.as_str() {
            "body" => name,
            path if path.starts_with('[') => format!("{name}{path}"),
            path => format!("{name}.{path}"),
        })
    };
    match value {
        serde_json::Value::String(text) => nul(text).then(|| "body".to_owned()),
        serde_json::Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| below(format!("[{index}]"), item)),
        serde_json::Value::Object(fields) => fields.iter().find_map(|(name, field)| {
            if nul(name) {
                return Some("body".to_owned());
            }
            below(name.clone(), field)
        }),
        _ => None,
    }
}

fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

fn says_json(request: &HttpRequest) -> bool {
    match request.headers().get(header::CONTENT_TYPE) {
        None => true,
        Some(value) => value.to_str().is_ok_and(|text| {
            let essence = text.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/json") || essence.ends_with("+json")
        }),
    }
}

/// Query parameters. Several of them may look at the same query, each at its own part; parameters that
/// nobody knows are ignored.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T> Deref for Query<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(query(request).map(Self))
    }
}

/// Reads `T` out of the query string.
///
/// # Errors
/// `invalid_request`, naming the parameter where that is known.
pub fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, ApiError> {
    let pairs = form_urlencoded::parse(request.query_string().as_bytes());
    let reader = serde_urlencoded::Deserializer::new(pairs);
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." {
            "query".to_owned()
        } else {
            path
        };
        ApiError::new(ErrorCode::RequestInvalid).field(field, error.into_inner().to_string())
    })
}

/// Where the request came from: the connection's other end, or whom a trusted proxy there says it serves.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

impl FromRequest for ClientAddress {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(Ok(Self(client_ip(request))))
    }
}

/// The caller's address, see [`TrustedProxies`](super::proxies::TrustedProxies); `0.0.0.0` when the transport has none.
pub fn client_ip(request: &HttpRequest) -> IpAddr {
    let peer = peer_ip(request);
    match request.app_data::<web::Data<AppState>>() {
        Some(state) => state.proxies.client(peer, request.headers()),
        None => peer,
    }
}

/// The connection's other end; `0.0.0.0` when the transport has none.
pub fn peer_ip(request: &HttpRequest) -> IpAddr {
    request
        .peer_addr()
        .map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{nul_in, parse};

    #[test]
    fn nul_is_refused_wherever_it_stands_and_only_there() {
        for (value, field) in [
            (json!({"a": "\0"}), Some("a")),
            (json!({"a": {"b": ["x", "y\0"]}}), Some("a.b[1]")),
            (json!(["\0"]), Some("[0]")),
            (json!({"a\0": 1}), Some("body")),
            (json!({"a": "\\u0000"}), None),
        ] {
            assert_eq!(nul_in(&value).as_deref(), field, "{value}");
            assert_eq!(
                parse::<Value>(value.to_string().as_bytes()).is_err(),
                field.is_some()
            );
        }
    }
}
