//! What stores that speak JSON over HTTP have in common: a call, and what its answer says.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Place, StoreFailed, WITHIN};
use crate::outward::{Call, Outward};
use crate::remote::kept;

/// A few hundred candidates are a few tens of kilobytes.
const ANSWER_MAX_BYTES: usize = 4 << 20;
/// A store that asks for more patience is looked at again all the same.
const PATIENCE_MAX: Duration = Duration::from_secs(3_600);

/// Why there can be no such store at an address.
pub(super) fn refuse(url: &str) -> Option<(&'static str, String)> {
    let host = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))
        .unwrap_or_default();
    let is_plain = host.bytes().all(|byte| byte.is_ascii_graphic());
    if host.is_empty() || !is_plain || host.contains(['?', '#', '@']) {
        let problem =
            "must be an address such as http://127.0.0.1:6333, without a user name or query";
        return Some(("vector_store.url", problem.to_owned()));
    }
    None
}

pub(super) struct Rest {
    pub(super) place: Place,
    outward: Arc<dyn Outward>,
    /// The header that its key stands in.
    key_header: &'static str,
    /// What else every call says.
    headers: &'static [(&'static str, &'static str)],
}

impl Rest {
    /// At an address that is not refused.
    pub(super) fn new(
        mut place: Place,
        outward: Arc<dyn Outward>,
        key_header: &'static str,
        headers: &'static [(&'static str, &'static str)],
    ) -> Self {
        place.url.truncate(place.url.trim_end_matches('/').len());
        Self {
            place,
            outward,
            key_header,
            headers,
        }
    }

    /// The answer to a call that went well.
    pub(super) async fn call(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<bytes::Bytes, StoreFailed> {
        let Place { url, api_key, .. } = &self.place;
        let mut headers = vec![("accept", "application/json".to_owned())];
        headers.extend(
            self.headers
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        if !api_key.is_empty() {
            headers.push((self.key_header, api_key.clone()));
        }
        let mut sent = Vec::new();
        if let Some(body) = body {
            headers.push(("content-type", "application/json".to_owned()));
            sent = serde_json::to_vec(body).map_err(|error| StoreFailed::of(error.to_string()))?;
        }
        let call = Call {
            method,
            url: format!("{url}{path}"),
            headers,
            body: sent.into(),
            within: WITHIN,
            answer_max_bytes: ANSWER_MAX_BYTES,
        };
        let reply = self.outward.call(call).await;
        let reply = reply.map_err(|why| StoreFailed::of(kept(&why, &[api_key])))?;
        if (200..300).contains(&reply.status) {
            return Ok(reply.body);
        }
        let seconds = reply
            .retry_after
            .as_deref()
            .and_then(|text| text.trim().parse().ok());
        let said = String::from_utf8_lossy(&reply.body);
        Err(StoreFailed {
            sentence: kept(
                &format!("the vector store answered {}: {said}", reply.status),
                &[api_key],
            ),
            status: reply.status,
            retry_after: seconds.map(|seconds| Duration::from_secs(seconds).min(PATIENCE_MAX)),
            is_gone: reply.status == 404,
        })
    }

    /// The same, read.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, StoreFailed> {
        let answer = self.call(method, path, body).await?;
        serde_json::from_slice(&answer).map_err(|error| {
            let place = error.to_string();
            StoreFailed::of(format!(
                "the vector store answered what it does not promise: {place}"
            ))
        })
    }
}
