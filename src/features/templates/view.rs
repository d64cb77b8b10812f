//! Templates, and how tenants stand to them, as the API shows them.

use sea_orm::ConnectionTrait;
use serde::Serialize;
use steward_entities::template_distribution::{self, Reach};
use steward_entities::{template, tenant};
use utoipa::ToSchema;

use super::distribute::{Case, Counts};
use super::plan::{self, OnConflict, Standing};
use crate::error::ApiError;
use crate::http::range::rfc3339;

/// Cases that a preview spells out; there may be more.
const TOLD_MAX: usize = 200;

/// A question with its answer, for all tenants.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Template)]
pub(super) struct TemplateView {
    pub(super) id: String,
    pub(super) question: String,
    answer: String,
    category: String,
    /// Rises with every change of what it says.
    revision: i64,
    /// Tenants that have it, in whatever revision.
    distributed_count: i64,
    /// Those that have what an older revision said, or changed that, and do not say by themselves what it says now.
    outdated_count: i64,
    /// Tenants there are.
    tenant_count: u64,
    created_by: String,
    created_at: String,
    updated_at: String,
    pub(super) version: i64,
}

/// Rows, and how far each has gone.
pub(super) async fn of(
    connection: &impl ConnectionTrait,
    rows: Vec<template::Model>,
) -> Result<Vec<TemplateView>, ApiError> {
    let reach = template_distribution::reach(connection, &rows).await?;
    let tenant_count = template_distribution::tenants(connection).await?;
    let views = rows.into_iter().map(|row| {
        let Reach {
            distributed,
            outdated,
        } = reach.get(&row.id).copied().unwrap_or_default();
        TemplateView {
            id: row.public_id,
            question: row.question,
            answer: row.answer,
            category: row.category,
            revision: row.revision,
            distributed_count: distributed,
            outdated_count: outdated,
            tenant_count,
            created_by: row.created_by,
            created_at: rfc3339(row.created_at),
            updated_at: rfc3339(row.updated_at),
            version: row.version,
        }
    });
    Ok(views.collect())
}

/// One row.
pub(super) async fn one(
    connection: &impl ConnectionTrait,
    row: template::Model,
) -> Result<TemplateView, ApiError> {
    let view = of(connection, vec![row]).await?.pop();
    view.ok_or_else(|| ApiError::not_found("template"))
}

/// What a tenant has.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TemplatePair)]
struct PairText {
    /// Id of the pair.
    id: String,
    question: String,
    answer: String,
    category: String,
    updated_at: String,
}

/// How a tenant stands to a template.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TemplateTenant {
    tenant_id: String,
    tenant_name: String,
    #[schema(inline)]
    state: Standing,
    /// The revision it was given last, or last decided on.
    revision: Option<i64>,
    /// `created`, `updated`, `replaced` or `kept`: what was done last.
    outcome: Option<String>,
    distributed_at: Option<String>,
    /// What it has: of the template, or a pair of its own that asks the same.
    pair: Option<PairText>,
    /// To be sent with a decision on these words.
    pair_version: Option<i64>,
}

impl TemplateTenant {
    pub(super) fn of(tenant: &tenant::Model, case: Case<'_>) -> Self {
        let given = case.given;
        Self {
            tenant_id: tenant.public_id.clone(),
            tenant_name: tenant.name.clone(),
            state: case.standing,
            revision: given.as_ref().map(|given| given.revision),
            distributed_at: given.as_ref().map(|given| rfc3339(given.distributed_at)),
            outcome: given.map(|given| given.outcome),
            pair_version: case.pair.as_ref().map(|pair| pair.version),
            pair: case.pair.map(|pair| PairText {
                id: pair.public_id,
                question: pair.question,
                answer: pair.answer,
                category: pair.category,
                updated_at: rfc3339(pair.updated_at),
            }),
        }
    }
}

/// Somebody has to say what becomes of a tenant's own words.
#[derive(Debug, Serialize, ToSchema)]
struct TemplateConflict {
    template_id: String,
    /// What the template asks.
    question: String,
    /// What the template answers.
    answer: String,
    category: String,
    #[serde(flatten)]
    tenant: TemplateTenant,
}

/// What handing out would do.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = DistributionPreview)]
pub(super) struct Preview {
    /// Pairs that would be made.
    creates: u64,
    /// Pairs that nobody edited and that would be brought up to date.
    updates: u64,
    /// Pairs that say what the template says.
    unchanged: u64,
    /// Where somebody has to say what becomes of a tenant's own words.
    conflict_count: usize,
    /// The first 200 of them.
    conflicts: Vec<TemplateConflict>,
}

impl Preview {
    pub(super) fn note(&mut self, tenant: &tenant::Model, cases: Vec<Case<'_>>) {
        let mut counts = Counts::default();
        for case in cases {
            if !case.standing.is_conflict() {
                counts.note(plan::act(case.standing, OnConflict::Skip));
                continue;
            }
            self.conflict_count += 1;
            if self.conflicts.len() < TOLD_MAX {
                let template = case.template;
                self.conflicts.push(TemplateConflict {
                    template_id: template.public_id.clone(),
                    question: template.question.clone(),
                    answer: template.answer.clone(),
                    category: template.category.clone(),
                    tenant: TemplateTenant::of(tenant, case),
                });
            }
        }
        self.creates += counts.created;
        self.updates += counts.updated;
        self.unchanged += counts.unchanged;
    }
}
