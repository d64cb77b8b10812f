//! The request each kind of receiver gets: address and body. Headers of Standard Webhooks are the sender's.
//!
//! What people read in a chat may tell several notices at once; programs get each by itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::standard_webhooks::hmac_sha256;
use super::{Event, Kind, Notice};
use crate::domain::alert::labels_text;
use crate::domain::alert::rule::Severity;
use crate::domain::report::letter::{Letter, reaches};

/// Longest text of a chat message, in characters.
const TEXT_MAX: usize = 2_000;
/// Rules that the title of several notices names.
const RULES_NAMED: usize = 3;

/// What is posted, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Post {
    pub url: String,
    pub body: Value,
}

/// Writes `notice` for a receiver of `kind` at `url`. `secret` signs for Feishu and DingTalk and is PagerDuty's routing
/// key; `now` is the attempt's time in microseconds since the Unix epoch.
pub fn write(kind: Kind, url: &str, secret: Option<&str>, notice: &Notice, now: i64) -> Post {
    let body = match kind {
        Kind::Webhook => payload(notice),
        Kind::Pagerduty => pagerduty(notice, secret.unwrap_or_default()),
        Kind::Alertmanager => alertmanager(notice),
        Kind::Slack | Kind::Feishu | Kind::Dingtalk | Kind::Wecom => {
            return chat(kind, url, secret, &text(notice), now);
        }
    };
    Post {
        url: url.to_owned(),
        body,
    }
}

/// Writes several notices as one message for people; whatever is no chat gets the first.
pub fn write_several(
    kind: Kind,
    url: &str,
    secret: Option<&str>,
    notices: &[Notice],
    now: i64,
) -> Option<Post> {
    match notices {
        [] => None,
        [one] => Some(write(kind, url, secret, one, now)),
        several if kind.is_for_people() => {
            let text = text_of_several(several, TEXT_MAX);
            Some(chat(kind, url, secret, &text, now))
        }
        [first, ..] => Some(write(kind, url, secret, first, now)),
    }
}

/// Writes a report: for programs its numbers, for people a few lines. Nothing for those that take alerts only.
pub fn write_report(
    kind: Kind,
    url: &str,
    secret: Option<&str>,
    letter: &Letter,
    now: i64,
) -> Option<Post> {
    match kind {
        _ if !reaches(Some(kind)) => None,
        Kind::Webhook => Some(Post {
            url: url.to_owned(),
            body: letter.payload(),
        }),
        _ => Some(chat(kind, url, secret, &letter.said(), now)),
    }
}

fn chat(kind: Kind, url: &str, secret: Option<&str>, text: &str, now: i64) -> Post {
    let mut url = url.to_owned();
    // Names of users and models are in it: none of them shall be read as a mention or a link.
    let body = match kind {
        Kind::Slack => {
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            json!({ "text": text.replace('>', "&gt;") })
        }
        Kind::Feishu => feishu(&text.replace('<', "\u{ff1c}"), secret, now / 1_000_000),
        Kind::Dingtalk => {
            if let Some(secret) = secret {
                sign_dingtalk(&mut url, secret, now / 1_000);
            }
            json!({"msgtype": "text", "text": {"content": text}})
        }
        _ => json!({"msgtype": "text", "text": {"content": text}}),
    };
    Post { url, body }
}

/// `[FIRING:critical] rule – labels`: the subject of a mail and the first line of a chat message.
pub fn title(notice: &Notice) -> String {
    let state = state(notice.event);
    let mut title = format!("[{state}:{}] {}", notice.severity.as_str(), notice.rule);
    if !notice.labels.is_empty() {
        title.push_str(" – ");
        title.push_str(&labels_text(&notice.labels));
    }
    title
}

/// The notice as lines of text.
pub fn text(notice: &Notice) -> String {
    let mut text = title(notice);
    text.push_str(&format!(
        "\n{} (measured: {})\nsince {}",
        notice.condition,
        notice.value,
        rfc3339(notice.since)
    ));
    if !notice.link.is_empty() {
        text.push('\n');
        text.push_str(&notice.link);
    }
    text.chars().take(TEXT_MAX).collect()
}

fn state(event: Event) -> &'static str {
    match event {
        Event::Fired | Event::Repeated => "FIRING",
        Event::Resolved => "RESOLVED",
        Event::Acknowledged => "ACKNOWLEDGED",
        Event::Flapping => "FLAPPING",
        Event::Test => "TEST",
    }
}

/// `[FIRING:2, RESOLVED:1] rules`: the title of several notices.
pub fn title_of_several(notices: &[Notice]) -> String {
    let mut states: Vec<(&str, usize)> = Vec::new();
    let mut rules: Vec<&str> = Vec::new();
    for notice in notices {
        let state = state(notice.event);
        match states.iter_mut().find(|(known, _)| *known == state) {
            Some((_, many)) => *many += 1,
            None => states.push((state, 1)),
        }
        if !rules.contains(&notice.rule.as_str()) {
            rules.push(&notice.rule);
        }
    }
    let states: Vec<String> = states
        .iter()
        .map(|(state, many)| format!("{state}:{many}"))
        .collect();
    let named = rules.len().min(RULES_NAMED);
    let mut title = format!("[{}] {}", states.join(", "), rules[..named].join(", "));
    if rules.len() > named {
        title.push_str(&format!(" and {} more", rules.len() - named));
    }
    title
}

/// Several notices as lines of text, a line each, of at most so many characters: what does not fit is counted.
pub fn text_of_several(notices: &[Notice], max_chars: usize) -> String {
    let mut text = title_of_several(notices);
    let link = notices
        .iter()
        .map(|notice| notice.link.split('?').next().unwrap_or_default())
        .find(|link| !link.is_empty())
        .unwrap_or_default();
    // Room for the last two lines.
    let room = max_chars.saturating_sub(link.chars().count() + 40);
    let mut chars = text.chars().count();
    for (told, notice) in notices.iter().enumerate() {
        let line = format!(
            "\n{}: {} (measured: {}), since {}",
            title(notice),
            notice.condition,
            notice.value,
            rfc3339(notice.since)
        );
        chars += line.chars().count();
        if chars > room {
            text.push_str(&format!("\n… and {} more", notices.len() - told));
            break;
        }
        text.push_str(&line);
    }
    if !link.is_empty() {
        text.push('\n');
        text.push_str(link);
    }
    text
}

fn payload(notice: &Notice) -> Value {
    json!({
        "type": notice.event.webhook_type(),
        "timestamp": rfc3339(notice.at),
        "data": {
            "event": notice.event.as_str(),
            "incident_id": notice.incident,
            "rule": notice.rule,
            "severity": notice.severity.as_str(),
            "labels": notice.labels,
            "value": notice.value,
            "condition": notice.condition,
            "since": rfc3339(notice.since),
            "link": notice.link,
        },
    })
}

fn feishu(text: &str, secret: Option<&str>, seconds: i64) -> Value {
    let mut body = json!({"msg_type": "text", "content": {"text": text}});
    if let Some(secret) = secret {
        // The text to sign is the key here, and the message is empty.
        let key = format!("{seconds}\n{secret}");
        body["timestamp"] = seconds.to_string().into();
        body["sign"] = STANDARD.encode(hmac_sha256(key.as_bytes(), &[])).into();
    }
    body
}

fn sign_dingtalk(url: &mut String, secret: &str, ms: i64) {
    let message = format!("{ms}\n{secret}");
    let sign = STANDARD.encode(hmac_sha256(secret.as_bytes(), &[message.as_bytes()]));
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("timestamp", &ms.to_string())
        .append_pair("sign", &sign)
        .finish();
    url.push(if url.contains('?') { '&' } else { '?' });
    url.push_str(&query);
}

fn pagerduty(notice: &Notice, routing_key: &str) -> Value {
    let action = match notice.event {
        Event::Resolved => "resolve",
        Event::Acknowledged => "acknowledge",
        Event::Fired | Event::Repeated | Event::Flapping | Event::Test => "trigger",
    };
    json!({
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": notice.incident,
        "payload": {
            "summary": title(notice),
            "source": "steward",
            "severity": match notice.severity {
                Severity::Info => "info",
                Severity::Warning => "warning",
                Severity::Error => "error",
                Severity::Critical => "critical",
            },
            "timestamp": rfc3339(notice.at),
            "custom_details": {
                "condition": notice.condition,
                "value": notice.value,
                "labels": notice.labels,
                "link": notice.link,
            },
        },
    })
}

fn alertmanager(notice: &Notice) -> Value {
    let status = if notice.event == Event::Resolved {
        "resolved"
    } else {
        "firing"
    };
    let mut labels = notice.labels.clone();
    labels.insert("alertname".into(), notice.rule.clone());
    labels.insert("severity".into(), notice.severity.as_str().into());
    let annotations =
        json!({"summary": title(notice), "value": notice.value, "condition": notice.condition});
    let ends_at = if notice.event == Event::Resolved {
        rfc3339(notice.at)
    } else {
        "0001-01-01T00:00:00Z".to_owned()
    };
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{{alertname=\"{}\"}}", notice.rule),
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "steward",
        "groupLabels": {"alertname": notice.rule},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": notice.link,
        "alerts": [{
            "status": status,
            "labels": labels,
            "annotations": annotations,
            "startsAt": rfc3339(notice.since),
            "endsAt": ends_at,
            "generatorURL": notice.link,
            "fingerprint": notice.incident,
        }],
    })
}

fn rfc3339(micros: i64) -> String {
    DateTime::<Utc>::from_timestamp_micros(micros)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}
