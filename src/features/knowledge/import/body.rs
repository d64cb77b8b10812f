//! How a file comes: as the body itself, or as the one file of a form, which is what browsers and `curl -F` send.
//!
//! Either way it is written as it comes and is never in memory as a whole. Anything else that calls itself something is
//! refused: a form taken for the file would become pairs.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use actix_multipart::Multipart;
use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::{self, Bytes};
use futures_util::{Stream, StreamExt};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorCode};

/// Largest file.
const FILE_MAX_BYTES: u64 = 64 << 20;
/// Longest silence while it comes.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// What a body that is the file may call itself: bytes, or what programs call the formats that are read.
const TYPES: [&str; 8] = [
    "application/octet-stream",
    "application/csv",
    "application/vnd.ms-excel",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "text/csv",
    "text/comma-separated-values",
    "text/plain",
    "text/tab-separated-values",
];

/// A form that brings a file; nothing else is taken from it.
#[derive(ToSchema)]
#[schema(as = KnowledgeImportForm)]
#[allow(
    dead_code,
    reason = "says what the form is like; it is read as it comes"
)]
pub(super) struct ImportForm {
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// A body that brings a file.
pub(super) enum Body {
    File(web::Payload),
    Form(Multipart),
}

impl Body {
    /// By what it calls itself; one that calls itself nothing is the file.
    ///
    /// # Errors
    /// `unsupported_media_type` for what is neither.
    pub(super) fn of(request: &HttpRequest, payload: web::Payload) -> Result<Self, ApiError> {
        let Some(told) = request.headers().get(header::CONTENT_TYPE) else {
            return Ok(Self::File(payload));
        };
        let told = told.to_str().unwrap_or_default();
        let essence = told.split(';').next().unwrap_or_default().trim();
        let essence = essence.to_ascii_lowercase();
        match essence.as_str() {
            "multipart/form-data" => Ok(Self::Form(Multipart::new(request.headers(), payload))),
            essence if TYPES.contains(&essence) => Ok(Self::File(payload)),
            _ => Err(ApiError::new(ErrorCode::MediaTypeUnsupported).detail(
                "Send the file as the body, with the content-type application/octet-stream, or as the one file of a \
                 multipart/form-data form.",
            )),
        }
    }

    /// Writes the file to `path`; how many bytes it had, and what a form calls it.
    ///
    /// # Errors
    /// When it is too long, breaks off or is silent for too long, and when a form holds anything but one file.
    pub(super) async fn receive(self, path: &Path) -> Result<(u64, Option<String>), ApiError> {
        let mut form = match self {
            Self::File(payload) => return Ok((write(payload, path).await?, None)),
            Self::Form(form) => form,
        };
        let mut received = None;
        while let Some(field) = next(&mut form).await? {
            let disposition = field.content_disposition();
            let file_name = disposition.and_then(|it| it.get_filename());
            let Some(file_name) = file_name.map(str::to_owned) else {
                let name = field.name().unwrap_or("form").to_owned();
                return Err(ApiError::invalid(
                    name,
                    "is no file: all else belongs into the query",
                ));
            };
            if received.is_some() {
                return Err(ApiError::invalid("file", "must be one file"));
            }
            received = Some((write(field, path).await?, file_name));
        }
        match received {
            Some((bytes, name)) => Ok((bytes, Some(name).filter(|name| !name.is_empty()))),
            None => Err(ApiError::invalid("file", "is missing")),
        }
    }
}

async fn next<T, E: Display>(
    stream: &mut (impl Stream<Item = Result<T, E>> + Unpin),
) -> Result<Option<T>, ApiError> {
    let next = tokio::time::timeout(SILENCE_MAX, stream.next()).await;
    let next = next.map_err(|_| ApiError::new(ErrorCode::RequestTimeout))?;
    next.transpose()
        .map_err(|cause| ApiError::new(ErrorCode::RequestInvalid).because(cause))
}

async fn write<E: Display>(
    mut stream: impl Stream<Item = Result<Bytes, E>> + Unpin,
    path: &Path,
) -> Result<u64, ApiError> {
    let mut file = File::create(path).await.map_err(ApiError::internal)?;
    let mut length = 0;
    while let Some(chunk) = next(&mut stream).await? {
        length += chunk.len() as u64;
        if length > FILE_MAX_BYTES {
            return Err(ApiError::new(ErrorCode::BodyTooLarge).detail(format!(
                "At most {FILE_MAX_BYTES} bytes: send it as several files."
            )));
        }
        file.write_all(&chunk).await.map_err(ApiError::internal)?;
    }
    file.flush().await.map_err(ApiError::internal)?;
    Ok(length)
}
