//! `ETag` and `If-Match`: a change says which version it was made from, and is refused when that is gone.
//!
//! The header is honoured when sent; without it the last writer wins. The version is the row's own column.

use actix_web::body::BoxBody;
use actix_web::dev::Payload;
use actix_web::http::{StatusCode, header};
use actix_web::{FromRequest, HttpRequest, HttpResponse, Responder};
use sea_orm::ConnectionTrait;
use serde::Serialize;
use steward_entities::audit;
use steward_entities::scope::Page;

use super::range::rfc3339;
use crate::error::{ApiError, ErrorCode};

/// The version a change was made from, when the caller says so.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct IfMatch(Option<i64>);

impl IfMatch {
    /// Refuses when the row is no longer at the version the caller saw; tells who came first. Call it
    /// inside the transaction that will change the row.
    ///
    /// # Errors
    /// `precondition_failed`, or why the audit log could not be read.
    pub async fn check(
        self,
        version: i64,
        connection: &impl ConnectionTrait,
        target_type: &str,
        target_id: &str,
    ) -> Result<(), ApiError> {
        match self.0 {
            Some(seen) if seen != version => {
                Err(overtaken(connection, target_type, target_id).await?)
            }
            _ => Ok(()),
        }
    }
}

/// The refusal for a row that somebody else changed first.
///
/// # Errors
/// When the audit log cannot be read.
pub async fn overtaken(
    connection: &impl ConnectionTrait,
    target_type: &str,
    target_id: &str,
) -> Result<ApiError, ApiError> {
    let last = audit::list(
        connection,
        &audit::Filter {
            target_type: Some(target_type.to_owned()),
            target_id: Some(target_id.to_owned()),
            ..audit::Filter::default()
        },
        Page {
            after: None,
            limit: 1,
        },
    )
    .await?
    .pop();
    let error = ApiError::new(ErrorCode::PreconditionFailed);
    Ok(match last {
        Some(row) => error.detail(format!(
            "{} changed it first, at {}.",
            row.operator_name,
            rfc3339(row.at)
        )),
        None => error,
    })
}

impl FromRequest for IfMatch {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let seen = match request.headers().get(header::IF_MATCH) {
            None => Ok(None),
            Some(value) => parse(value.to_str().unwrap_or_default()),
        };
        std::future::ready(seen.map(Self))
    }
}

fn parse(text: &str) -> Result<Option<i64>, ApiError> {
    let text = text.trim();
    if text == "*" {
        return Ok(None);
    }
    let tag = text.strip_prefix("W/").unwrap_or(text);
    tag.strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(tag)
        .parse()
        .map(Some)
        .map_err(|_| {
            ApiError::new(ErrorCode::PreconditionFailed)
                .detail("The If-Match header is not an ETag of this resource.")
        })
}

/// An answer that carries its row's version as `ETag`.
#[derive(Debug)]
pub struct Tagged<T> {
    status: StatusCode,
    version: i64,
    body: T,
}

impl<T: Serialize> Tagged<T> {
    /// 200 with the row at `version`.
    pub fn ok(version: i64, body: T) -> Self {
        Self {
            status: StatusCode::OK,
            version,
            body,
        }
    }

    /// 201 with the new row.
    pub fn created(version: i64, body: T) -> Self {
        Self {
            status: StatusCode::CREATED,
            version,
            body,
        }
    }
}

impl<T: Serialize> Responder for Tagged<T> {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        HttpResponse::build(self.status)
            .insert_header((header::ETAG, format!("\"{}\"", self.version)))
            .json(&self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn tags_are_read_in_every_usual_form() {
        for text in ["\"3\"", "W/\"3\"", "3", " \"3\" "] {
            assert_eq!(parse(text).unwrap(), Some(3), "{text}");
        }
        assert_eq!(parse("*").unwrap(), None);
        assert!(parse("\"abc\"").is_err() && parse("").is_err());
    }
}
