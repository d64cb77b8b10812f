//! Pairs of one tenant that ask the same: found, and made one.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/ops/knowledge/duplicates` | `read:knowledge` |
//! | POST | `/ops/knowledge/qa-pairs/{id}/merge` | `write:knowledge` |
//! | GET | `/ops/knowledge/qa-pairs/{id}/quality` | `read:knowledge` |
//!
//! The same is what has the same key ([`qa_pair::question_key`]): the text without case, blanks, punctuation and width.

use std::collections::BTreeMap;

use actix_web::{get, post, web};
use serde::{Deserialize, Serialize};
use steward_entities::qa_pair;
use steward_entities::scope::Scope;
use utoipa::{IntoParams, ToSchema};

use super::quality::{self, QualityFactor};
use super::view::{self, PairView};
use super::{find, in_scope, saying};
use crate::error::ApiError;
use crate::http::change::{Audit, Change, refused};
use crate::http::extract::{Json, Query};
use crate::http::patch::nullable;
use crate::http::permission::{Can, ReadKnowledge, WriteKnowledge};
use crate::http::precondition::{IfMatch, Tagged};
use crate::state::AppState;

/// Groups that one answer tells.
const GROUPS_MAX: u64 = 50;
/// Pairs that are made one at a time.
const MERGED_MAX: usize = 50;

/// Which duplicates.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    tenant_id: Option<String>,
    /// Those that ask the same as this, even when it is only one.
    #[param(max_length = 1000)]
    question: Option<String>,
}

/// Pairs of one tenant that ask the same, oldest first.
#[derive(Debug, Serialize, ToSchema)]
struct DuplicateGroup {
    tenant_id: String,
    pairs: Vec<PairView>,
}

/// Pairs that ask the same.
#[derive(Debug, Serialize, ToSchema)]
struct Duplicates {
    /// The 50 largest groups.
    items: Vec<DuplicateGroup>,
    /// How many groups there are in all.
    total: u64,
}

/// What one pair says in place of several.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Merge {
    #[schema(min_length = 1, max_length = 1000)]
    question: String,
    #[schema(min_length = 1, max_length = 20000)]
    answer: String,
    #[serde(default)]
    #[schema(max_length = 64)]
    category: String,
    /// 0 to 1; null takes it away, left out it stays.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1)]
    quality_score: Option<Option<f64>>,
    /// Pairs of the same tenant that go; at most 50.
    #[schema(max_items = 50)]
    merged: Vec<String>,
}

/// Why a pair is worth what.
#[derive(Debug, Serialize, ToSchema)]
struct Quality {
    /// What somebody judged; null while nobody did.
    quality_score: Option<f64>,
    /// What the factors come to, 0 to 1.
    suggested_score: f64,
    factors: Vec<QualityFactor>,
}

/// Pairs of one tenant that ask the same, whatever they answer.
#[utoipa::path(tag = "knowledge", params(Which), responses((status = 200, body = Duplicates)))]
#[get("/ops/knowledge/duplicates")]
pub(super) async fn duplicates(
    state: web::Data<AppState>,
    caller: Can<ReadKnowledge>,
    which: Query<Which>,
) -> Result<Json<Duplicates>, ApiError> {
    let read = &state.databases.control_read;
    let Query(which) = which;
    let scope = in_scope(read, caller.operator.scope(), which.tenant_id.as_deref()).await?;
    let (keys, total) = match which
        .question
        .as_deref()
        .filter(|text| !text.trim().is_empty())
    {
        Some(question) => (vec![qa_pair::question_key(question)], None),
        None => {
            let groups = qa_pair::repeated(read, scope, GROUPS_MAX).await?;
            let total = qa_pair::repeated_count(read, scope).await?;
            (groups, Some(total))
        }
    };
    let mut groups: BTreeMap<(i64, String), Vec<qa_pair::Model>> = BTreeMap::new();
    for row in qa_pair::asking(read, scope, keys).await? {
        let of = (row.tenant_id, row.question_key.clone());
        groups.entry(of).or_default().push(row);
    }
    let mut items = Vec::new();
    for rows in groups.into_values() {
        // A key that one tenant repeats may stand once with another.
        if total.is_some() && rows.len() < 2 {
            continue;
        }
        let pairs = view::of(read, scope, rows).await?;
        let tenant_id = pairs.first().map(|pair| pair.tenant_id.clone());
        items.push(DuplicateGroup {
            tenant_id: tenant_id.unwrap_or_default(),
            pairs,
        });
    }
    items.sort_by_key(|group| std::cmp::Reverse(group.pairs.len()));
    items.truncate(GROUPS_MAX as usize);
    Ok(Json(Duplicates {
        total: total.unwrap_or(items.len() as u64),
        items,
    }))
}

/// Has a pair say this, and removes those it is said instead of, at once.
#[utoipa::path(tag = "knowledge", responses((status = 200, body = PairView)))]
#[post("/ops/knowledge/qa-pairs/{id}/merge")]
pub(super) async fn merge(
    state: web::Data<AppState>,
    caller: Can<WriteKnowledge>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(new): Json<Merge>,
) -> Result<Tagged<PairView>, ApiError> {
    let scope = caller.operator.scope();
    if new.merged.len() > MERGED_MAX {
        return Err(ApiError::invalid(
            "merged",
            format!("must be at most {MERGED_MAX}"),
        ));
    }
    let changes = saying(
        [&new.question, &new.answer, &new.category],
        new.quality_score,
    )?;
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, scope, &id).await?;
    if_match
        .check(row.version, &*change, "qa_pair", &row.public_id)
        .await?;
    for (at, merged) in new.merged.iter().enumerate() {
        let other = qa_pair::by_public_id(&*change, Scope::Tenant(row.tenant_id), merged).await?;
        let other = other.filter(|other| other.id != row.id).ok_or_else(|| {
            ApiError::invalid(format!("merged[{at}]"), "is no other pair of this tenant")
        })?;
        qa_pair::remove(&change, &other).await?;
    }
    let changed = qa_pair::update(&change, &row, changes, change.now)
        .await
        .map_err(refused("question"))?;
    let before = view::one(&*change, scope, row).await?;
    let after = view::one(&*change, scope, changed).await?;
    let audit = Audit::of("knowledge.merge", "qa_pair", &after.id)
        .diff(&before, &after)
        .with("merged", &new.merged);
    let version = after.version;
    let answer = change.answered(audit, version, after).await?;
    state.tree.knowledge.news.tell();
    Ok(answer)
}

/// Why a pair is worth what: what somebody judged, and beside it what can be checked without asking anybody.
#[utoipa::path(tag = "knowledge", responses((status = 200, body = Quality)))]
#[get("/ops/knowledge/qa-pairs/{id}/quality")]
pub(super) async fn explain(
    state: web::Data<AppState>,
    caller: Can<ReadKnowledge>,
    id: web::Path<String>,
) -> Result<Json<Quality>, ApiError> {
    let read = &state.databases.control_read;
    let row = find(read, caller.operator.scope(), &id).await?;
    let keys = vec![row.question_key.clone()];
    let same = qa_pair::asking(read, Scope::Tenant(row.tenant_id), keys).await?;
    let factors = quality::factors(&quality::Pair {
        question: &row.question,
        answer: &row.answer,
        category: &row.category,
        others: same.iter().filter(|other| other.id != row.id).count(),
        age_micros: state.clock.now_micros() - row.updated_at,
    });
    Ok(Json(Quality {
        quality_score: row.quality_score,
        suggested_score: quality::suggested(&factors),
        factors: factors.to_vec(),
    }))
}
