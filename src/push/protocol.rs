//! What clients may say, and what they are told besides the news themselves.

use std::collections::HashMap;

use bytestring::ByteString;
use serde::Deserialize;
use serde_json::{Value, json};
use steward_actors::live::{Since, Topic};

use crate::error::ApiError;

/// Most names in one list: more than there are topics is no list of topics.
pub(super) const NAMES_MAX: usize = 64;

/// What a client wants.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(super) enum Op {
    Subscribe {
        topics: Vec<String>,
        /// Last number seen, by topic; `epoch` may stand among them.
        #[serde(default)]
        since: HashMap<String, i64>,
        /// Whose numbers these are; this process's when it is missing.
        epoch: Option<i64>,
    },
    Unsubscribe {
        topics: Vec<String>,
    },
    Ping,
}

/// From where on a client wants `topic`.
pub(super) fn since(
    topic: Topic,
    since: &HashMap<String, i64>,
    epoch: Option<i64>,
    own_epoch: i64,
) -> Since {
    let Some(seq) = since.get(topic.name()) else {
        return Since::Now;
    };
    let epoch = epoch.or_else(|| since.get("epoch").copied());
    match u64::try_from(*seq) {
        Ok(seq) if epoch.is_none_or(|epoch| epoch == own_epoch) => Since::Seq(seq),
        _ => Since::OtherEpoch,
    }
}

pub(super) fn hello(epoch: i64, heartbeat_ms: u64) -> ByteString {
    text(&json!({"op": "hello", "epoch": epoch, "heartbeat_ms": heartbeat_ms}))
}

pub(super) fn subscribed(epoch: i64, topics: &[Topic]) -> ByteString {
    let names: Vec<&str> = topics.iter().map(|topic| topic.name()).collect();
    text(&json!({"op": "subscribed", "epoch": epoch, "topics": names}))
}

pub(super) fn gap(epoch: i64, topic: Topic) -> ByteString {
    text(&json!({"topic": topic.name(), "epoch": epoch, "gap": true}))
}

pub(super) fn pong() -> ByteString {
    text(&json!({"op": "pong"}))
}

/// A refusal; the connection lives on.
pub(super) fn refused(error: &ApiError, topic: Option<&str>) -> ByteString {
    let code = error.code().slug();
    let mut told = json!({"op": "error", "code": code, "detail": error.shown_detail()});
    if let Some(topic) = topic {
        told["topic"] = json!(topic);
    }
    text(&told)
}

fn text(value: &Value) -> ByteString {
    value.to_string().into()
}
