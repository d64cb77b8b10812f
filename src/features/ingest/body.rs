//! A body that may be compressed, bounded before and after.

use std::io::Read;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Payload};
use flate2::read::MultiGzDecoder;
use futures_util::StreamExt;

use crate::error::ErrorCode;

/// Longest silence while a body comes.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Reads the body and unpacks it; at most `max` bytes either way.
///
/// # Errors
/// Too large, too slow, cut, in an encoding other than gzip, or not gzip though it says so.
pub(super) async fn read(
    request: &HttpRequest,
    mut payload: Payload,
    max: usize,
) -> Result<Bytes, ErrorCode> {
    let encoding = request.headers().get(header::CONTENT_ENCODING);
    let is_gzip = match encoding.map(|encoding| encoding.as_bytes().to_ascii_lowercase()) {
        None => false,
        Some(encoding) if encoding == b"identity" => false,
        Some(encoding) if encoding == b"gzip" || encoding == b"x-gzip" => true,
        Some(_) => return Err(ErrorCode::MediaTypeUnsupported),
    };
    let mut body = BytesMut::new();
    loop {
        let next = tokio::time::timeout(SILENCE_MAX, payload.next()).await;
        let chunk = match next.map_err(|_| ErrorCode::RequestTimeout)? {
            None => break,
            Some(chunk) => chunk.map_err(|_| ErrorCode::RequestInvalid)?,
        };
        if body.len() + chunk.len() > max {
            return Err(ErrorCode::BodyTooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    if is_gzip && !body.is_empty() {
        return unpack(body.freeze(), max).await;
    }
    Ok(body.freeze())
}

/// Off this thread: a small body may unpack to a large one.
async fn unpack(packed: Bytes, max: usize) -> Result<Bytes, ErrorCode> {
    let unpacked = tokio::task::spawn_blocking(move || {
        let mut body = Vec::new();
        let mut bounded = MultiGzDecoder::new(packed.as_ref()).take(max as u64 + 1);
        bounded
            .read_to_end(&mut body)
            .map_err(|_| ErrorCode::RequestInvalid)?;
        if body.len() > max {
            return Err(ErrorCode::BodyTooLarge);
        }
        Ok(Bytes::from(body))
    });
    unpacked.await.map_err(|_| ErrorCode::Internal)?
}
