//! Texts turned into vectors for the tree: by the gateway, to the accounts, on the books. What is asked before the process
//! serves waits until it does.

use std::fmt;
use std::sync::{Arc, Weak};

use actix_web::web;
use async_trait::async_trait;
use steward_actors::domain::snapshot::Budget;
use steward_actors::knowledge::embed::{Ask, Blame, Embedder, Failed};
use steward_entities::scope::Scope;
use steward_entities::tenant;
use tokio::sync::SetOnce;

use crate::error::ErrorCode;
use crate::gateway::{Payer, Unembedded};
use crate::state::AppState;

/// See the module. Clones share everything.
#[derive(Clone, Default)]
pub struct Embeddings(Arc<SetOnce<Weak<AppState>>>);

impl fmt::Debug for Embeddings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Embeddings")
    }
}

impl Embeddings {
    /// From now on calls can be made.
    pub fn open(&self, state: &web::Data<AppState>) {
        // A second time says nothing new.
        let _ = self.0.set(Arc::downgrade(&state.clone().into_inner()));
    }
}

#[async_trait]
impl Embedder for Embeddings {
    async fn embed(&self, ask: Ask) -> Result<Vec<Vec<f32>>, Failed> {
        let state = self.0.wait().await.upgrade();
        let state = state.ok_or_else(|| Failed::of(Blame::Provider, "Steward is stopping"))?;
        let payer = match ask.tenant_id {
            None => Payer::default(),
            Some(id) => payer(&state, id).await?,
        };
        let answer = state.gateway.embed(payer, &ask.model, &ask.texts).await;
        answer.map_err(failed)
    }
}

/// Who pays for what is done with a tenant's pairs.
pub(crate) async fn payer(state: &AppState, tenant_id: i64) -> Result<Payer, Failed> {
    let found = tenant::by_ids(&state.databases.control_read, Scope::All, [tenant_id]).await;
    let unknown = |error: String| {
        tracing::warn!(error, "whose texts are to be embedded cannot be read");
        Failed::of(Blame::Provider, "the database cannot be read")
    };
    let row = found.map_err(|error| unknown(error.to_string()))?.pop();
    let row = row.ok_or_else(|| Failed::of(Blame::Tenant, "the tenant is gone"))?;
    Ok(Payer {
        tenant_id: row.id,
        tenant_public_id: row.public_id,
        tenant_name: row.name,
        budget: Budget::stored(
            row.daily_budget_nano,
            row.monthly_budget_nano,
            &row.budget_currency,
        ),
    })
}

fn failed(cause: Unembedded) -> Failed {
    let blame = match (cause.code, cause.status) {
        (ErrorCode::BudgetExhausted, _) => Blame::Tenant,
        // 403 and 404 are the account's or the model's.
        (ErrorCode::UpstreamError, 400 | 413 | 422) => Blame::Texts,
        _ => Blame::Provider,
    };
    Failed {
        // As part of another sentence.
        sentence: cause.sentence.trim_end_matches('.').to_owned(),
        blame,
        retry_after: cause.retry_after,
    }
}
