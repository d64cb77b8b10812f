//! What a receiver's answer means. Chat robots answer 200 whatever happened and say the truth in the body.

use std::time::Duration;

use chrono::DateTime;
use serde_json::Value;

use super::Kind;

/// Bytes of an answer that are kept.
pub const KEPT_BYTES: usize = 512;

/// An answer's meaning.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It has it.
    Delivered,
    /// Try again, not before that long if it said so.
    Later(Option<Duration>),
    /// It will never take this one: another attempt says the same.
    Rejected,
    /// The receiver is no more.
    Gone,
}

/// Judges an answer that came at `now` (microseconds since the Unix epoch). `retry_after` is the header's value, if there
/// was one.
pub fn judge(kind: Kind, status: u16, retry_after: Option<&str>, body: &[u8], now: i64) -> Outcome {
    let wait = retry_after.and_then(|asked| patience(asked, now));
    match (kind, status) {
        (_, 200..=299) => match robot_code(kind, body) {
            Some(0) | None => Outcome::Delivered,
            Some(_) => Outcome::Later(wait),
        },
        (_, 410) => Outcome::Gone,
        // PagerDuty: "the event does not fit the schema; do not send it again".
        (Kind::Pagerduty, 400) => Outcome::Rejected,
        _ => Outcome::Later(wait),
    }
}

/// What a `Retry-After` asks for: seconds, or a date that lies so far ahead.
fn patience(asked: &str, now: i64) -> Option<Duration> {
    let asked = asked.trim();
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(asked).ok()?.timestamp_micros();
    u64::try_from(at - now).ok().map(Duration::from_micros)
}

/// Judges a mail server's reply code; `None` when there was none: no connection, no answer in time, a bad certificate.
/// Only a permanent refusal of the mail is final; that the relay does not let us in (RFC 4954) is mended by an operator, and
/// no mail shall be lost for it.
pub fn judge_smtp(code: Option<u16>) -> Outcome {
    match code {
        Some(200..=399) => Outcome::Delivered,
        Some(530 | 534 | 535 | 538) => Outcome::Later(None),
        Some(500..=599) => Outcome::Rejected,
        _ => Outcome::Later(None),
    }
}

/// The code in a chat robot's answer; nothing for those that speak by status.
fn robot_code(kind: Kind, body: &[u8]) -> Option<i64> {
    let names: &[&str] = match kind {
        Kind::Feishu => &["code", "StatusCode"],
        Kind::Dingtalk | Kind::Wecom => &["errcode"],
        Kind::Webhook | Kind::Slack | Kind::Pagerduty | Kind::Alertmanager => return None,
    };
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = names.iter().find_map(|name| answer.get(name)?.as_i64());
    // An answer that is none of the robot's says that something else stands in between.
    Some(code.unwrap_or(-1))
}

/// What is kept of an answer: its first bytes, as text.
pub fn kept(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(KEPT_BYTES)]).into_owned()
}
