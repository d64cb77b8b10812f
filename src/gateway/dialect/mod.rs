//! What differs between the two wire protocols, as facts: paths, terminal events, the shape of model lists.
//!
//! Translation between them will live here too; until then each protocol serves its own accounts.

pub mod anthropic;
pub mod openai;

use steward_actors::domain::record::Operation;
use steward_actors::domain::snapshot::{AccountView, Protocol, TokenView, matches};

/// What a path of `/v1` asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Endpoint<'a> {
    /// A call to a model.
    Call(Operation),
    /// The list of models, in the dialect of the caller.
    Models,
    /// One model.
    Model(&'a str),
}

/// Reads a path (no query). `None` when the gateway serves nothing there.
pub fn endpoint(path: &str) -> Option<Endpoint<'_>> {
    if path == "/v1/models" {
        return Some(Endpoint::Models);
    }
    if let Some(model) = path.strip_prefix("/v1/models/") {
        return (!model.is_empty()).then_some(Endpoint::Model(model));
    }
    openai::operation(path)
        .or_else(|| anthropic::operation(path))
        .map(Endpoint::Call)
}

/// The protocol an operation belongs to.
pub fn protocol_of(operation: Operation) -> Protocol {
    match operation {
        Operation::Messages | Operation::CountTokens => Protocol::Anthropic,
        _ => Protocol::OpenAi,
    }
}

/// Where an operation lives at an account, the client's query kept.
pub fn upstream_url(account: &AccountView, operation: Operation, query: Option<&str>) -> String {
    let base = account.base_url.trim_end_matches('/');
    let path = match protocol_of(operation) {
        Protocol::OpenAi => openai::path(operation),
        Protocol::Anthropic => anthropic::path(operation),
    };
    // Anthropic's SDKs put `/v1` into the path, and people put it into the base URL all the same.
    let base = match account.protocol {
        Protocol::Anthropic => base.strip_suffix("/v1").unwrap_or(base),
        Protocol::OpenAi => base,
    };
    match query.filter(|query| !query.is_empty()) {
        Some(query) => format!("{base}{path}?{query}"),
        None => format!("{base}{path}"),
    }
}

/// Where an account lists its models.
pub fn upstream_models_url(account: &AccountView) -> String {
    let base = account.base_url.trim_end_matches('/');
    match account.protocol {
        Protocol::OpenAi => format!("{base}/models"),
        Protocol::Anthropic => {
            let base = base.strip_suffix("/v1").unwrap_or(base);
            format!("{base}/v1/models")
        }
    }
}

/// The protocol of a call that could be either (`/v1/models`), told by whether it names an Anthropic version.
pub fn caller_protocol(has_anthropic_version: bool) -> Protocol {
    if has_anthropic_version {
        Protocol::Anthropic
    } else {
        Protocol::OpenAi
    }
}

/// A model in a list.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ModelCard {
    pub id: String,
    /// Who runs it.
    pub owned_by: String,
    /// Seconds since the Unix epoch; 0 when nobody told.
    pub created_s: i64,
}

/// Whether a token may use a model.
pub fn may_use(token: &TokenView, model: &str) -> bool {
    token
        .allowed_models
        .as_ref()
        .is_none_or(|allowed| allowed.iter().any(|pattern| matches(pattern, model)))
}

/// The models that the accounts name and the token may use, by name, each once. Patterns name no model: what
/// an account with `*` serves only its provider can list (`offered`, by account id).
pub fn visible<'a>(
    accounts: impl Iterator<Item = &'a AccountView>,
    token: &TokenView,
    protocol: Protocol,
    offered: impl Fn(i64) -> Vec<ModelCard>,
) -> Vec<ModelCard> {
    let mut cards: Vec<ModelCard> = Vec::new();
    for account in accounts.filter(|account| account.enabled && account.protocol == protocol) {
        let named = account
            .models
            .iter()
            .filter(|model| !model.ends_with('*'))
            .chain(account.aliases.keys())
            .map(|model| ModelCard {
                id: model.clone(),
                owned_by: account.provider.clone(),
                created_s: 0,
            });
        cards.extend(named);
        if account.models.iter().any(|model| model.ends_with('*')) {
            cards.extend(
                offered(account.id)
                    .into_iter()
                    .filter(|card| account.serves(&card.id)),
            );
        }
    }
    cards.retain(|card| may_use(token, &card.id));
    // Of two cards of a model the one that knows its age is kept.
    cards.sort_by(|a, b| (&a.id, -a.created_s).cmp(&(&b.id, -b.created_s)));
    cards.dedup_by(|later, first| later.id == first.id);
    cards
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use steward_actors::domain::snapshot::Secret;

    use super::*;

    fn account(protocol: Protocol, base_url: &str, models: &[&str]) -> AccountView {
        AccountView {
            id: 1,
            public_id: "acc_1".into(),
            name: "a".into(),
            provider: "openai".into(),
            protocol,
            base_url: base_url.into(),
            secret: Secret::new("s".into()),
            models: models.iter().map(ToString::to_string).collect(),
            aliases: HashMap::from([("fast".to_owned(), "gpt-4o-mini".to_owned())]),
            priority: 0,
            weight: 1,
            concurrency: None,
            enabled: true,
        }
    }

    fn token(allowed: Option<&[&str]>) -> TokenView {
        TokenView {
            id: 1,
            public_id: "tok_1".into(),
            name: "t".into(),
            tenant_id: 0,
            tenant_public_id: String::new(),
            tenant_name: String::new(),
            tenant_suspended: false,
            app: String::new(),
            enabled: true,
            expires_at: None,
            allowed_models: allowed.map(|all| all.iter().map(ToString::to_string).collect()),
            rpm: None,
            tpm: None,
            concurrency: None,
            token_quota: None,
            budget: Default::default(),
            tenant_budget: Default::default(),
            enable_conversation_logging: false,
            knowledge: false,
            redaction: steward_actors::domain::redaction::RedactionMode::Redact,
        }
    }

    #[test]
    fn every_path_of_the_contract_is_known_and_no_other() {
        for (path, operation) in [
            ("/v1/chat/completions", Operation::Chat),
            ("/v1/completions", Operation::Completion),
            ("/v1/responses", Operation::Responses),
            ("/v1/embeddings", Operation::Embedding),
            ("/v1/messages", Operation::Messages),
            ("/v1/messages/count_tokens", Operation::CountTokens),
        ] {
            assert_eq!(endpoint(path), Some(Endpoint::Call(operation)));
        }
        assert_eq!(endpoint("/v1/models"), Some(Endpoint::Models));
        assert_eq!(
            endpoint("/v1/models/org/model:7b"),
            Some(Endpoint::Model("org/model:7b"))
        );
        for path in [
            "/v1",
            "/v1/models/",
            "/v1/chat",
            "/v1/files",
            "/v1/messages/",
        ] {
            assert_eq!(endpoint(path), None, "{path}");
        }
    }

    #[test]
    fn base_urls_are_what_the_sdks_call_base_urls() {
        let open = account(Protocol::OpenAi, "https://api.openai.com/v1", &[]);
        assert_eq!(
            upstream_url(&open, Operation::Chat, None),
            "https://api.openai.com/v1/chat/completions"
        );
        assert_eq!(
            upstream_models_url(&open),
            "https://api.openai.com/v1/models"
        );
        for base in ["https://api.anthropic.com", "https://api.anthropic.com/v1"] {
            let anthropic = account(Protocol::Anthropic, base, &[]);
            assert_eq!(
                upstream_url(&anthropic, Operation::Messages, Some("beta=true")),
                "https://api.anthropic.com/v1/messages?beta=true"
            );
            assert_eq!(
                upstream_models_url(&anthropic),
                "https://api.anthropic.com/v1/models"
            );
        }
    }

    #[test]
    fn a_token_sees_only_what_it_may_use() {
        let card = |id: &str, created_s| ModelCard {
            id: id.into(),
            owned_by: "openai".into(),
            created_s,
        };
        let accounts = [
            account(Protocol::OpenAi, "http://a", &["gpt-4o", "o*"]),
            account(Protocol::Anthropic, "http://b", &["claude-x"]),
        ];
        let offered = |_| vec![card("o3", 5), card("gpt-4o", 9), card("zeta", 1)];
        let all = visible(accounts.iter(), &token(None), Protocol::OpenAi, offered);
        let ids: Vec<&str> = all.iter().map(|card| card.id.as_str()).collect();
        assert_eq!(ids, ["fast", "gpt-4o", "o3"]);
        assert_eq!(all[1].created_s, 9);
        let some = visible(
            accounts.iter(),
            &token(Some(&["o*", "fast"])),
            Protocol::OpenAi,
            offered,
        );
        assert_eq!(some.len(), 2);
        let anthropic = visible(accounts.iter(), &token(None), Protocol::Anthropic, |_| {
            Vec::new()
        });
        assert_eq!(anthropic[0].id, "claude-x");
    }
}
