//! Rows of the control tables → the snapshot. Pure: opening a secret is passed in.

use std::collections::HashMap;
use std::sync::Arc;

use steward_entities::{
    account, jwt_issuer, price, prompt, prompt_label, prompt_version, redaction_rule, tenant, token,
};

use crate::domain::issuer::{IssuerKey, IssuerView};
use crate::domain::price::{Currency, Price, PriceBook, PriceRow, Tier};
use crate::domain::prompt::{PromptBook, PromptVersion, PromptView};
use crate::domain::redaction::{RedactionMode, Redactor};
use crate::domain::snapshot::{
    AccountView, Budget, Protocol, Secret, Snapshot, TokenKey, TokenView,
};

/// Rows of one moment.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Those not revoked.
    pub tokens: Vec<token::Model>,
    /// All of them.
    pub tenants: Vec<tenant::Model>,
    /// Those not deleted.
    pub accounts: Vec<account::Model>,
    /// Those in force.
    pub redaction_rules: Vec<redaction_rule::Model>,
    /// All of them, those of the past too.
    pub prices: Vec<price::Model>,
    /// Those enabled, with what proves their tokens.
    pub issuers: Vec<(jwt_issuer::Model, Vec<IssuerKey>)>,
    /// All of them, and so the next two.
    pub prompts: Vec<prompt::Model>,
    pub prompt_labels: Vec<prompt_label::Model>,
    pub prompt_versions: Vec<prompt_version::Stub>,
}

/// An account that is in the snapshot as disabled, because it cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Public id of the account.
    pub public_id: String,
    /// Its name.
    pub name: String,
    /// A sentence for the operator; no secret in it.
    pub reason: String,
}

/// The snapshot, and what of the rows could not be used.
#[derive(Clone, Debug, Default)]
pub struct Built {
    /// What the gateway decides by.
    pub snapshot: Snapshot,
    /// Accounts that are disabled because of their row or their secret.
    pub unusable: Vec<Unusable>,
}

/// Builds the snapshot. `unseal` opens the secret of an account, or says why it does not open.
pub fn build(rows: Rows, unseal: impl Fn(&account::Model) -> Result<Secret, String>) -> Built {
    let tenants: HashMap<i64, tenant::Model> =
        rows.tenants.into_iter().map(|row| (row.id, row)).collect();
    let mut built = Built::default();
    let mut views = HashMap::new();
    for row in rows.tokens {
        let view = add_token(&mut built.snapshot, row, &tenants);
        views.insert(view.id, view);
    }
    for (row, keys) in rows.issuers {
        // Without its token an issuer has no limits to hold its callers to: it opens nothing.
        if let Some(token) = views.get(&row.token_id) {
            let issuer = IssuerView {
                public_id: row.public_id,
                name: row.name,
                is_own: row.kind == jwt_issuer::OWN,
                issuer: row.issuer.clone(),
                audience: row.audience,
                token: Arc::clone(token),
                jwks_url: row.jwks_url,
                keys,
            };
            built.snapshot.issuers.insert(row.issuer, Arc::new(issuer));
        }
    }
    built.snapshot.redactor = Arc::new(redactor(rows.redaction_rules));
    for row in rows.accounts {
        let (view, unusable) = account_view(row, &unseal);
        built.snapshot.accounts.push(Arc::new(view));
        built.unusable.extend(unusable);
    }
    let prices = rows.prices.into_iter().filter_map(price_row);
    built.snapshot.prices = Arc::new(PriceBook::new(prices));
    let book = prompt_book(rows.prompts, rows.prompt_labels, rows.prompt_versions);
    built.snapshot.prompts = Arc::new(book);
    built
}

fn prompt_book(
    prompts: Vec<prompt::Model>,
    labels: Vec<prompt_label::Model>,
    versions: Vec<prompt_version::Stub>,
) -> PromptBook {
    let named = prompts.into_iter().map(|row| {
        let view = PromptView {
            public_id: row.public_id,
            head: row.head,
            ..PromptView::default()
        };
        (row.id, (row.name, view))
    });
    let mut named: HashMap<i64, (String, PromptView)> = named.collect();
    for row in labels {
        if let Some((_, view)) = named.get_mut(&row.prompt_id) {
            view.labels.insert(row.label, row.number);
        }
    }
    for row in versions {
        if let Some((name, view)) = named.get_mut(&row.prompt_id) {
            let version = PromptVersion {
                id: row.id,
                prompt_public_id: view.public_id.clone(),
                name: format!("{name}@{}", row.number),
                number: row.number,
                hash: row.hash,
            };
            view.versions.insert(row.number, Arc::new(version));
        }
    }
    PromptBook::new(named.into_values())
}

/// `None` for a currency or tiers that only a later version knows: unpriced is better than wrong.
pub fn price_row(row: price::Model) -> Option<PriceRow> {
    let tiers = row.tiers()?.into_iter().map(|tier| Tier {
        above: tier.above,
        input_nano: tier.input_nano,
        output_nano: tier.output_nano,
        cached_nano: tier.cached_nano,
        cache_write_nano: tier.cache_write_nano,
        cache_write_1h_nano: tier.cache_write_1h_nano,
        reasoning_nano: tier.reasoning_nano,
    });
    Some(PriceRow {
        valid_from: row.valid_from,
        from_list: row.from_list,
        removed: row.removed,
        price: Price {
            id: row.id,
            currency: Currency::parse(&row.currency)?,
            input_nano: row.input_nano,
            output_nano: row.output_nano,
            cached_nano: row.cached_nano,
            cache_write_nano: row.cache_write_nano,
            cache_write_1h_nano: row.cache_write_1h_nano,
            reasoning_nano: row.reasoning_nano,
            per_call_nano: row.per_call_nano,
            per_unit_nano: row.per_unit_nano,
            tiers: tiers.collect(),
        },
        provider: row.provider,
        model: row.model,
    })
}

fn add_token(
    snapshot: &mut Snapshot,
    row: token::Model,
    tenants: &HashMap<i64, tenant::Model>,
) -> Arc<TokenView> {
    let present = <[u8; 32]>::try_from(row.hash.as_slice());
    let previous = row
        .previous_hash
        .as_deref()
        .map(<[u8; 32]>::try_from)
        .zip(row.previous_expires_at);
    let tenant = row.tenant_id.and_then(|id| tenants.get(&id));
    let view = Arc::new(TokenView {
        id: row.id,
        public_id: row.public_id,
        name: row.name,
        tenant_id: row.tenant_id.unwrap_or(0),
        tenant_public_id: tenant.map_or_else(String::new, |tenant| tenant.public_id.clone()),
        tenant_name: tenant.map_or_else(String::new, |tenant| tenant.name.clone()),
        // A token of a tenant that is not there opens nothing rather than everything.
        tenant_suspended: row.tenant_id.is_some()
            && tenant.is_none_or(|tenant| tenant.status == tenant::Status::Suspended),
        tenant_budget: tenant.map_or_else(Budget::default, |tenant| {
            Budget::stored(
                tenant.daily_budget_nano,
                tenant.monthly_budget_nano,
                &tenant.budget_currency,
            )
        }),
        app: row.app,
        enabled: row.enabled,
        expires_at: row.expires_at,
        allowed_models: row.allowed_models.map(|list| list.0),
        rpm: row.rpm.map(bounded),
        tpm: row.tpm.map(unsigned),
        concurrency: row.concurrency.map(bounded),
        token_quota: row.token_quota.map(unsigned),
        budget: Budget::stored(
            row.daily_budget_nano,
            row.monthly_budget_nano,
            &row.budget_currency,
        ),
        enable_conversation_logging: row.enable_conversation_logging,
        knowledge: row.knowledge,
        redaction: RedactionMode::parse(&row.redaction),
    });
    // The previous secret first: were the two ever the same, the one in force would win.
    if let Some((Ok(hash), until)) = previous {
        let key = TokenKey {
            token: Arc::clone(&view),
            valid_until: Some(until),
        };
        snapshot.tokens.insert(hash, key);
    }
    if let Ok(hash) = present {
        let key = TokenKey {
            token: Arc::clone(&view),
            valid_until: None,
        };
        snapshot.tokens.insert(hash, key);
    }
    view
}

/// The rules; one that no longer compiles (it was checked when it was saved) is told and left out.
fn redactor(rules: Vec<redaction_rule::Model>) -> Redactor {
    rules.into_iter().fold(Redactor::built_in(), |all, rule| {
        let known = all.clone();
        all.with(&rule.name, &rule.pattern, &rule.replacement)
            .unwrap_or_else(|reason| {
                tracing::error!(rule = %rule.name, reason, "a redaction rule cannot be used");
                known
            })
    })
}

fn account_view(
    row: account::Model,
    unseal: impl Fn(&account::Model) -> Result<Secret, String>,
) -> (AccountView, Option<Unusable>) {
    let protocol = Protocol::parse(&row.protocol);
    let opened = match protocol {
        Some(_) => unseal(&row),
        None => Err(format!("the protocol {:?} is not known", row.protocol)),
    };
    let unusable = opened.as_ref().err().map(|reason| Unusable {
        public_id: row.public_id.clone(),
        name: row.name.clone(),
        reason: reason.clone(),
    });
    let view = AccountView {
        id: row.id,
        public_id: row.public_id,
        name: row.name,
        provider: row.provider,
        protocol: protocol.unwrap_or(Protocol::OpenAi),
        base_url: row.base_url.trim_end_matches('/').to_owned(),
        enabled: row.enabled && opened.is_ok(),
        secret: opened.unwrap_or_else(|_| Secret::new(String::new())),
        models: row.models.0,
        aliases: row.aliases.0.into_iter().collect(),
        priority: i32::try_from(row.priority).unwrap_or(i32::MAX),
        weight: bounded(row.weight),
        concurrency: row.concurrency.map(bounded),
    };
    (view, unusable)
}

/// Negative counts as none allowed, too large as the largest.
fn bounded(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use steward_entities::column::{HiddenBytes, TextList, TextMap};

    use super::*;

    fn tenant(id: i64, status: tenant::Status) -> tenant::Model {
        tenant::Model {
            id,
            public_id: format!("ten_{id}"),
            name: format!("tenant {id}"),
            status,
            suspended_at: None,
            suspended_reason: None,
            daily_budget_nano: None,
            monthly_budget_nano: Some(5),
            budget_currency: "CNY".into(),
            created_at: 0,
            updated_at: 0,
            version: 1,
        }
    }

    fn token(id: i64, tenant_id: Option<i64>) -> token::Model {
        token::Model {
            id,
            public_id: format!("tok_{id}"),
            tenant_id,
            app: "shop".into(),
            name: format!("token {id}"),
            description: String::new(),
            prefix: String::new(),
            last4: String::new(),
            hash: vec![id as u8; 32],
            previous_hash: None,
            previous_expires_at: None,
            enabled: true,
            expires_at: Some(9),
            allowed_models: Some(TextList(vec!["gpt-*".into()])),
            rpm: Some(60),
            tpm: Some(i64::MAX),
            concurrency: Some(-1),
            token_quota: None,
            daily_budget_nano: None,
            monthly_budget_nano: None,
            budget_currency: "USD".into(),
            enable_conversation_logging: true,
            knowledge: false,
            redaction: String::new(),
            created_by: String::new(),
            created_at: 0,
            updated_at: 0,
            version: 1,
            revoked_at: None,
        }
    }

    fn account(id: i64, protocol: &str) -> account::Model {
        account::Model {
            id,
            public_id: format!("acc_{id}"),
            name: format!("account {id}"),
            provider: "x".into(),
            protocol: protocol.into(),
            base_url: "https://api.example.com/v1//".into(),
            secret_sealed: HiddenBytes(vec![]),
            secret_key_id: "k".into(),
            secret_last4: String::new(),
            models: TextList(vec!["*".into()]),
            aliases: TextMap([("a".to_owned(), "b".to_owned())].into()),
            priority: 2,
            weight: i64::MAX,
            concurrency: None,
            enabled: true,
            created_at: 0,
            updated_at: 0,
            version: 1,
            deleted_at: None,
        }
    }

    #[test]
    fn prices_are_found_and_those_of_a_later_version_left_out() {
        let row = |id, model: &str, currency: &str| price::Model {
            id,
            public_id: format!("prc_{id}"),
            source: String::new(),
            provider: "x".into(),
            model: model.into(),
            currency: currency.into(),
            input_nano: 7,
            output_nano: 8,
            cached_nano: Some(1),
            cache_write_nano: None,
            cache_write_1h_nano: Some(3),
            reasoning_nano: None,
            per_call_nano: 0,
            per_unit_nano: 0,
            tiers: match id {
                1 => Some(r#"[{"above":10,"input_nano":9,"output_nano":8}]"#.into()),
                3 => Some(r#"{"a later":"form"}"#.into()),
                _ => None,
            },
            valid_from: 5,
            from_list: true,
            removed: false,
            created_by: String::new(),
            created_at: 0,
        };
        let rows = Rows {
            prices: vec![row(1, "a", "CNY"), row(2, "b", "XXX"), row(3, "c", "USD")],
            ..Rows::default()
        };
        let prices = build(rows, opens).snapshot.prices;
        let found = prices.find("x", "a", 5).unwrap();
        assert_eq!((found.id, found.currency), (1, Currency::Cny));
        assert_eq!(
            (found.input_nano, found.output_nano, found.cached_nano),
            (7, 8, Some(1))
        );
        let long = found.tier(11);
        assert_eq!((long.input_nano, long.cached_nano), (9, None));
        let short = found.tier(10);
        assert_eq!((short.input_nano, short.cache_write_1h_nano), (7, Some(3)));
        for unknown in ["b", "c"] {
            assert_eq!(prices.find("x", unknown, 5), None);
        }
    }

    fn opens(_: &account::Model) -> Result<Secret, String> {
        Ok(Secret::new("sk".into()))
    }

    #[test]
    fn a_token_is_found_by_its_secret_with_its_tenant_and_limits() {
        let rows = Rows {
            tokens: vec![
                token(1, Some(5)),
                token(2, Some(6)),
                token(3, Some(404)),
                token(4, None),
            ],
            tenants: vec![
                tenant(5, tenant::Status::Active),
                tenant(6, tenant::Status::Suspended),
            ],
            ..Rows::default()
        };
        let snapshot = build(rows, opens).snapshot;
        let one = &snapshot.tokens[&[1; 32]];
        assert_eq!(one.valid_until, None);
        let view = &one.token;
        assert_eq!(
            (view.tenant_public_id.as_str(), view.tenant_name.as_str()),
            ("ten_5", "tenant 5")
        );
        assert_eq!((view.rpm, view.tpm), (Some(60), Some(i64::MAX as u64)));
        assert_eq!((view.concurrency, view.token_quota), (Some(0), None));
        assert_eq!(view.budget, Budget::default());
        let theirs = Budget {
            monthly_nano: Some(5),
            currency: Currency::Cny,
            ..Budget::default()
        };
        assert_eq!(view.tenant_budget, theirs);
        assert_eq!(
            view.allowed_models.as_deref(),
            Some(&["gpt-*".to_owned()][..])
        );
        let suspended: Vec<bool> = (1..=4)
            .map(|id| snapshot.tokens[&[id; 32]].token.tenant_suspended)
            .collect();
        assert_eq!(suspended, [false, true, true, false]);
    }

    #[test]
    fn the_previous_secret_opens_the_same_token_until_its_time() {
        let mut row = token(1, None);
        row.previous_hash = Some(vec![9; 32]);
        row.previous_expires_at = Some(77);
        let mut broken = token(2, None);
        broken.hash = vec![1, 2, 3];
        let rows = Rows {
            tokens: vec![row, broken],
            ..Rows::default()
        };
        let snapshot = build(rows, opens).snapshot;
        assert_eq!(snapshot.tokens.len(), 2);
        let previous = &snapshot.tokens[&[9; 32]];
        assert_eq!(previous.valid_until, Some(77));
        assert!(Arc::ptr_eq(
            &previous.token,
            &snapshot.tokens[&[1; 32]].token
        ));
    }

    #[test]
    fn an_account_that_does_not_open_is_there_but_disabled() {
        let rows = Rows {
            accounts: vec![
                account(1, "openai"),
                account(2, "anthropic"),
                account(3, "telnet"),
            ],
            ..Rows::default()
        };
        let built = build(rows, |row| match row.id {
            2 => Err("the key is gone".into()),
            _ => opens(row),
        });
        let accounts = &built.snapshot.accounts;
        let enabled: Vec<bool> = accounts.iter().map(|account| account.enabled).collect();
        assert_eq!(enabled, [true, false, false]);
        assert_eq!(accounts[0].secret.reveal(), "sk");
        assert_eq!(accounts[0].base_url, "https://api.example.com/v1");
        assert_eq!(accounts[0].aliases["a"], "b");
        assert_eq!((accounts[0].priority, accounts[0].weight), (2, u32::MAX));
        assert_eq!(accounts[1].secret.reveal(), "");
        let told: Vec<&str> = built
            .unusable
            .iter()
            .map(|it| it.public_id.as_str())
            .collect();
        assert_eq!(told, ["acc_2", "acc_3"]);
    }
}
