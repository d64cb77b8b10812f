//! Anthropic's side: paths, terminal event, the model list.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};
use steward_actors::domain::record::Operation;

use super::ModelCard;

/// The operation at a path of `/v1`.
pub fn operation(path: &str) -> Option<Operation> {
    match path {
        "/v1/messages" => Some(Operation::Messages),
        "/v1/messages/count_tokens" => Some(Operation::CountTokens),
        _ => None,
    }
}

/// An operation's path behind the base URL (which has no `/v1`). Empty for what Anthropic does not serve.
pub fn path(operation: Operation) -> &'static str {
    match operation {
        Operation::Messages => "/v1/messages",
        Operation::CountTokens => "/v1/messages/count_tokens",
        _ => "",
    }
}

/// One model. Its age is the epoch when nobody told it, as Anthropic itself does.
pub fn model(card: &ModelCard) -> Value {
    let created = DateTime::from_timestamp(card.created_s, 0).unwrap_or_default();
    json!({
        "type": "model",
        "id": card.id,
        "display_name": card.id,
        "created_at": created.to_rfc3339_opts(SecondsFormat::Secs, true),
        "lifecycle": "active",
        "deprecated_at": null,
    })
}

/// A page of the model list: what follows `after_id` or precedes `before_id`, at most `limit`.
pub fn models(
    cards: &[ModelCard],
    after_id: Option<&str>,
    before_id: Option<&str>,
    limit: usize,
) -> Value {
    let limit = limit.clamp(1, 1_000);
    let at = |id: &str| cards.iter().position(|card| card.id == id);
    let (page, has_more) = if let Some(end) = before_id.and_then(at) {
        let start = end.saturating_sub(limit);
        (&cards[start..end], start > 0)
    } else {
        let start = after_id.and_then(at).map_or(0, |at| at + 1);
        let end = (start + limit).min(cards.len());
        (&cards[start..end], end < cards.len())
    };
    json!({
        "data": page.iter().map(model).collect::<Vec<_>>(),
        "has_more": has_more,
        "first_id": page.first().map(|card| &card.id),
        "last_id": page.last().map(|card| &card.id),
    })
}

/// Reads a provider's model list; what is not one reads as empty.
pub fn read_models(body: &[u8], owner: &str) -> Vec<ModelCard> {
    let Ok(list) = serde_json::from_slice::<Value>(body) else {
        return Vec::new();
    };
    list["data"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| {
            let created = item["created_at"]
                .as_str()
                .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
            Some(ModelCard {
                id: item["id"].as_str()?.to_owned(),
                owned_by: owner.to_owned(),
                created_s: created.map_or(0, |time| time.timestamp()),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cards() -> Vec<ModelCard> {
        ["a", "b", "c", "d"]
            .iter()
            .map(|id| ModelCard {
                id: (*id).to_owned(),
                owned_by: "anthropic".into(),
                created_s: 1_740_000_000,
            })
            .collect()
    }

    #[test]
    fn a_list_has_the_fields_the_sdk_demands_and_reads_back() {
        let body = models(&cards(), None, None, 20);
        for field in ["type", "id", "display_name", "created_at", "lifecycle"] {
            assert!(body["data"][0][field].is_string(), "{field}");
        }
        assert_eq!(body["data"][0]["created_at"], "2025-02-19T21:20:00Z");
        assert_eq!(
            read_models(body.to_string().as_bytes(), "anthropic"),
            cards()
        );
    }

    #[test]
    fn pages_follow_one_another_both_ways() {
        let ids = |page: &Value| -> Vec<String> {
            page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["id"].as_str().unwrap().to_owned())
                .collect()
        };
        let page = models(&cards(), None, None, 3);
        assert_eq!(
            (ids(&page), &page["has_more"]),
            (vec!["a".into(), "b".into(), "c".into()], &json!(true))
        );
        let page = models(&cards(), Some("c"), None, 3);
        assert_eq!(
            (ids(&page), &page["has_more"]),
            (vec!["d".to_owned()], &json!(false))
        );
        let page = models(&cards(), None, Some("c"), 1);
        assert_eq!(
            (ids(&page), &page["has_more"]),
            (vec!["b".to_owned()], &json!(true))
        );
        let none = models(&[], None, None, 0);
        assert_eq!(none["first_id"], Value::Null);
    }
}
