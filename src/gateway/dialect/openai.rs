//! OpenAI's side: paths, terminal events, the model list.

use serde_json::{Value, json};
use steward_actors::domain::record::Operation;

use super::ModelCard;

/// The operation at a path of `/v1`.
pub fn operation(path: &str) -> Option<Operation> {
    match path {
        "/v1/chat/completions" => Some(Operation::Chat),
        "/v1/completions" => Some(Operation::Completion),
        "/v1/responses" => Some(Operation::Responses),
        "/v1/embeddings" => Some(Operation::Embedding),
        _ => None,
    }
}

/// An operation's path behind the base URL (which ends in `/v1`). Empty for what OpenAI does not serve.
pub fn path(operation: Operation) -> &'static str {
    match operation {
        Operation::Chat => "/chat/completions",
        Operation::Completion => "/completions",
        Operation::Responses => "/responses",
        Operation::Embedding => "/embeddings",
        _ => "",
    }
}

/// Whether a stream of this operation tells its usage only when asked.
pub fn needs_usage_injected(operation: Operation) -> bool {
    matches!(operation, Operation::Chat | Operation::Completion)
}

/// Whether an event ends a stream of chat completions or completions.
pub fn is_done(data: &[u8]) -> bool {
    data.trim_ascii().starts_with(b"[DONE]")
}

/// Whether an event of this name ends a stream of the Responses API.
pub fn ends_response(name: &[u8]) -> bool {
    matches!(
        name,
        b"response.completed" | b"response.failed" | b"response.incomplete" | b"response.cancelled"
    )
}

/// One model.
pub fn model(card: &ModelCard) -> Value {
    json!({
        "id": card.id,
        "object": "model",
        "created": card.created_s,
        "owned_by": card.owned_by,
    })
}

/// The model list.
pub fn models(cards: &[ModelCard]) -> Value {
    json!({
        "object": "list",
        "data": cards.iter().map(model).collect::<Vec<_>>(),
    })
}

/// Reads a provider's model list; what is not one reads as empty.
pub fn read_models(body: &[u8], owner: &str) -> Vec<ModelCard> {
    let Ok(list) = serde_json::from_slice::<Value>(body) else {
        return Vec::new();
    };
    let items = list["data"].as_array().or_else(|| list.as_array());
    items
        .into_iter()
        .flatten()
        .filter_map(|item| {
            Some(ModelCard {
                id: item["id"].as_str()?.to_owned(),
                owned_by: item["owned_by"].as_str().unwrap_or(owner).to_owned(),
                created_s: item["created"].as_i64().unwrap_or(0),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_reads_back() {
        let cards = vec![ModelCard {
            id: "gpt-4o".into(),
            owned_by: "system".into(),
            created_s: 1_715_367_049,
        }];
        let body = models(&cards);
        assert_eq!(body["object"], "list");
        assert_eq!(body["data"][0]["object"], "model");
        assert_eq!(read_models(body.to_string().as_bytes(), "x"), cards);
        assert!(read_models(b"<html>", "x").is_empty());
        assert!(read_models(b"{\"data\":[{\"name\":1}]}", "x").is_empty());
    }

    #[test]
    fn ends_are_told_from_what_only_looks_like_one() {
        assert!(is_done(b"[DONE]"));
        assert!(is_done(b" [DONE] "));
        assert!(!is_done(b"{\"content\":\"[DONE]\"}"));
        assert!(ends_response(b"response.incomplete"));
        assert!(!ends_response(b"response.output_item.done"));
    }
}
