//! The envelope that one of the older documents puts around every answer: `{"code": 0, "data": …}`, and errors as
//! `{"code": <status>, "message": …}`. Handlers inside know nothing of it.

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody, to_bytes_limited};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use actix_web::middleware::Next;
use serde_json::{Value, json};
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ContentBuilder, ObjectBuilder, RefOr};

use crate::error::ApiError;

/// Bytes of an answer; those inside are far smaller.
const ANSWER_MAX: usize = 32 * 1024 * 1024;

/// Puts answers into the envelope. An answer without a body becomes one with `data` null.
pub(super) async fn wrap<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    // What handlers refuse is an answer already.
    let response = next.call(request).await?.map_into_boxed_body();
    let status = response.status();
    let (request, response) = response.into_parts();
    let (mut response, body) = response.into_parts();
    let bytes = match to_bytes_limited(body, ANSWER_MAX).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => return Err(ApiError::internal(error).into()),
        Err(_) => return Err(ApiError::internal("an answer is too long for its envelope").into()),
    };
    let text = enveloped(status, &bytes);
    if status == StatusCode::NO_CONTENT {
        *response.status_mut() = StatusCode::OK;
    }
    response.headers_mut().remove(CONTENT_LENGTH);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(ServiceResponse::new(
        request,
        response.set_body(BoxBody::new(text)),
    ))
}

/// Tells the envelope in an operation's document.
pub(super) fn describe(operation: &mut Operation) {
    let said = std::mem::take(&mut operation.responses.responses);
    for (status, response) in said {
        let RefOr::T(mut response) = response else {
            continue;
        };
        let is_success = status.starts_with('2');
        let inside = response.content.get("application/json");
        let inside = inside.and_then(|content| match content {
            RefOr::T(content) => content.schema.clone(),
            RefOr::Ref(_) => None,
        });
        let code = ObjectBuilder::new().schema_type(Type::Integer);
        let schema = ObjectBuilder::new().property("code", code).required("code");
        let schema = if is_success {
            let nothing = || ObjectBuilder::new().schema_type(Type::Null).into();
            schema
                .property("data", inside.unwrap_or_else(nothing))
                .required("data")
        } else {
            let text = ObjectBuilder::new().schema_type(Type::String);
            schema.property("message", text).required("message")
        };
        let content = ContentBuilder::new().schema(Some(schema.build())).build();
        if is_success {
            response.content.clear();
        }
        // What is refused before it comes to the envelope (a malformed header, too many requests) stays a problem.
        let json = "application/json".to_owned();
        response.content.insert(json, RefOr::T(content));
        let status = if status == "204" {
            "200".to_owned()
        } else {
            status
        };
        operation
            .responses
            .responses
            .insert(status, RefOr::T(response));
    }
}

fn enveloped(status: StatusCode, body: &[u8]) -> String {
    if status.is_success() {
        let data = if body.is_empty() { b"null" } else { body };
        return format!("{{\"code\":0,\"data\":{}}}", String::from_utf8_lossy(data));
    }
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let said = ["detail", "title"]
        .into_iter()
        .find_map(|name| problem[name].as_str());
    let message = said
        .or_else(|| status.canonical_reason())
        .unwrap_or_default();
    json!({"code": status.as_u16(), "message": message}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_errors_have_their_envelopes() {
        assert_eq!(
            enveloped(StatusCode::OK, b"[1]"),
            r#"{"code":0,"data":[1]}"#
        );
        assert_eq!(
            enveloped(StatusCode::NO_CONTENT, b""),
            r#"{"code":0,"data":null}"#
        );
        let told = enveloped(
            StatusCode::NOT_FOUND,
            br#"{"title":"Gone","detail":"No such token."}"#,
        );
        assert_eq!(told, r#"{"code":404,"message":"No such token."}"#);
        assert_eq!(
            enveloped(StatusCode::BAD_GATEWAY, b"<html>"),
            r#"{"code":502,"message":"Bad Gateway"}"#
        );
    }
}
