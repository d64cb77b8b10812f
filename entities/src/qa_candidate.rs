//! What feedback taught: candidates for pairs, of every approved piece of feedback one. Every finder demands whose.
//!
//! A candidate lives as long as its feedback is approved, or for good once somebody has decided on it; what is decided here
//! changes nothing about the feedback. Where the feedback says something else later and is approved again, so does the
//! candidate, for somebody to decide anew. One that says what a pair or another waiting candidate says is merged: it only
//! counts who asks for the same.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query};
use sea_orm::{
    ActiveValue::Set, Condition, DatabaseTransaction, FromQueryResult, PaginatorTrait, QueryOrder,
    QuerySelect, Select,
};

use crate::change::{self, ChangeError, versioned};
use crate::qa_pair::question_key;
use crate::scope::{Page, Scope, contains};
use crate::{feedback, public_id};

/// What has become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Status {
    /// For somebody to decide.
    #[sea_orm(string_value = "waiting")]
    Waiting,
    /// It lacks something; somebody may supply it.
    #[sea_orm(string_value = "incomplete")]
    Incomplete,
    /// A pair says it.
    #[sea_orm(string_value = "taken")]
    Taken,
    /// No pair is to say it.
    #[sea_orm(string_value = "discarded")]
    Discarded,
    /// A pair, or another candidate, says the same.
    #[sea_orm(string_value = "merged")]
    Merged,
}

/// Where its question is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Origin {
    /// The call's kept conversation.
    #[sea_orm(string_value = "conversation")]
    Conversation,
    /// The feedback's comment.
    #[sea_orm(string_value = "comment")]
    Comment,
    /// Nowhere: there is none.
    #[sea_orm(string_value = "none")]
    None,
}

/// What an incomplete one lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Missing {
    /// The call was nobody's.
    #[sea_orm(string_value = "tenant")]
    Tenant,
    /// The conversation was not kept, and nobody commented; or it was too long.
    #[sea_orm(string_value = "question")]
    Question,
    /// Nobody corrected it, and it was not called good; or it was too long.
    #[sea_orm(string_value = "answer")]
    Answer,
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "qa_candidates")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    pub feedback_id: i64,
    pub tenant_id: Option<i64>,
    /// Empty when it is missing.
    pub question: String,
    /// [`question_key`] of it.
    pub question_key: String,
    /// Empty when it is missing.
    pub answer: String,
    pub origin: Origin,
    pub status: Status,
    pub missing: Option<Missing>,
    /// Of a taken one: the pair, as long as there is one. Of a merged one: the pair that says the same, if it is a pair.
    pub pair_id: Option<i64>,
    /// Name of who decided; `None` for one that was taken by itself.
    pub decided_by: Option<String>,
    pub decided_at: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
    /// The version of the feedback that it was learnt from.
    pub feedback_version: i64,
    /// Of a merged one: the candidate that says the same, if it is a candidate.
    pub merged_into: Option<i64>,
    /// A pair that asks nearly the same, as long as there is one.
    pub alike_pair_id: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
versioned!();

/// A candidate to write down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct New {
    pub feedback_id: i64,
    pub tenant_id: Option<i64>,
    pub question: String,
    pub answer: String,
    pub origin: Origin,
    pub missing: Option<Missing>,
    pub feedback_version: i64,
    pub alike_pair_id: Option<i64>,
}

/// Writes one down, or has the one of an earlier version of its feedback say it; `None` when its feedback has one already
/// that says so: what somebody decided about these words stays decided.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    txn: &DatabaseTransaction,
    new: New,
    at_micros: i64,
) -> Result<Option<Model>, DbErr> {
    let feedback_id = new.feedback_id;
    let of_feedback = || Entity::find().filter(Column::FeedbackId.eq(feedback_id));
    if let Some(earlier) = of_feedback().one(txn).await? {
        return follow(txn, earlier, new, at_micros).await;
    }
    let mut row = said(new);
    row.public_id = Set(public_id::new("qac"));
    row.feedback_id = Set(feedback_id);
    row.created_at = Set(at_micros);
    row.updated_at = Set(at_micros);
    row.version = Set(1);
    let written = Entity::insert(row)
        .on_conflict(
            OnConflict::column(Column::FeedbackId)
                .do_nothing()
                .to_owned(),
        )
        .exec_without_returning(txn)
        .await?;
    if written == 0 {
        return Ok(None);
    }
    of_feedback().one(txn).await
}

/// What a candidate says, with nothing decided.
fn said(new: New) -> ActiveModel {
    ActiveModel {
        tenant_id: Set(new.tenant_id),
        question_key: Set(question_key(&new.question)),
        question: Set(new.question),
        answer: Set(new.answer),
        origin: Set(new.origin),
        status: Set(match new.missing {
            None => Status::Waiting,
            Some(_) => Status::Incomplete,
        }),
        missing: Set(new.missing),
        pair_id: Set(None),
        decided_by: Set(None),
        decided_at: Set(None),
        feedback_version: Set(new.feedback_version),
        merged_into: Set(None),
        alike_pair_id: Set(new.alike_pair_id),
        ..Default::default()
    }
}

async fn follow(
    txn: &DatabaseTransaction,
    earlier: Model,
    new: New,
    at_micros: i64,
) -> Result<Option<Model>, DbErr> {
    if earlier.feedback_version >= new.feedback_version {
        return Ok(None);
    }
    let new = with_what_was_kept(&earlier, new);
    let is_said = earlier.tenant_id == new.tenant_id
        && earlier.question == new.question
        && earlier.answer == new.answer
        && earlier.missing == new.missing;
    let changes = match is_said {
        true => ActiveModel {
            feedback_version: Set(new.feedback_version),
            ..Default::default()
        },
        false => {
            // They said what this one said, and are learnt anew.
            Entity::delete_many()
                .filter(Column::MergedInto.eq(earlier.id))
                .exec(txn)
                .await?;
            said(new)
        }
    };
    let (id, version) = (earlier.id, earlier.version);
    match change::update::<Entity>(txn, id, version, changes, at_micros).await {
        Ok(row) => Ok((!is_said).then_some(row)),
        // Somebody decides on it at this moment: the next pass looks again.
        Err(ChangeError::Stale) => Ok(None),
        Err(ChangeError::Database(error)) => Err(error),
        Err(other) => Err(DbErr::Custom(other.to_string())),
    }
}

/// Conversations are kept for a while. What was learned from one that is gone stands, but for what was corrected since.
fn with_what_was_kept(earlier: &Model, mut new: New) -> New {
    if earlier.origin != Origin::Conversation || new.origin == Origin::Conversation {
        return new;
    }
    new.question.clone_from(&earlier.question);
    new.origin = Origin::Conversation;
    if new.answer.is_empty() {
        new.answer.clone_from(&earlier.answer);
    }
    new.missing = match (
        new.tenant_id,
        new.question.is_empty(),
        new.answer.is_empty(),
    ) {
        (None, _, _) => Some(Missing::Tenant),
        (_, true, _) => Some(Missing::Question),
        (_, _, true) => Some(Missing::Answer),
        _ => None,
    };
    new
}

/// What says the same as a candidate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Same {
    /// The key of a pair.
    Pair(i64),
    /// The key of another candidate.
    Candidate(i64),
}

/// Notes that something else says what a candidate says.
///
/// # Errors
/// [`ChangeError::Stale`] when `current` is no longer what is stored.
pub async fn merge(
    txn: &DatabaseTransaction,
    current: &Model,
    same: Same,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let mut changes = ActiveModel {
        status: Set(Status::Merged),
        ..Default::default()
    };
    match same {
        Same::Pair(id) => changes.pair_id = Set(Some(id)),
        Same::Candidate(id) => changes.merged_into = Set(Some(id)),
    }
    change::update::<Entity>(txn, current.id, current.version, changes, at_micros).await
}

/// Those that were merged into one of these candidates, or into one of these pairs.
///
/// # Errors
/// When the database cannot be read.
pub async fn merged(
    connection: &impl ConnectionTrait,
    candidates: Vec<i64>,
    pairs: Vec<i64>,
) -> Result<Vec<Model>, DbErr> {
    let into = Condition::any()
        .add(Column::MergedInto.is_in(candidates))
        .add(Column::PairId.is_in(pairs));
    Entity::find()
        .filter(Column::Status.eq(Status::Merged))
        .filter(into)
        .all(connection)
        .await
}

/// Approved feedback that has no candidate of what it says now, oldest first, those after `after`. No scope: whoever learns does so for all.
///
/// # Errors
/// When the database cannot be read.
pub async fn due(
    connection: &impl ConnectionTrait,
    after: i64,
    limit: u64,
) -> Result<Vec<feedback::Model>, DbErr> {
    unlearnt()
        .filter(feedback::Column::Id.gt(after))
        .order_by_asc(feedback::Column::Id)
        .limit(limit)
        .all(connection)
        .await
}

/// How much approved feedback has no candidate of what it says now.
///
/// # Errors
/// When the database cannot be read.
pub async fn due_count(connection: &impl ConnectionTrait, scope: Scope) -> Result<u64, DbErr> {
    unlearnt()
        .filter(scope.on(feedback::Column::TenantId))
        .count(connection)
        .await
}

fn unlearnt() -> Select<feedback::Entity> {
    let of_feedback = |column| Expr::col((feedback::Entity, column));
    let learnt = Query::select()
        .expr(Expr::val(1))
        .from(Entity)
        .and_where(
            Expr::col((Entity, Column::FeedbackId))
                .equals((feedback::Entity, feedback::Column::Id)),
        )
        .and_where(
            Expr::col((Entity, Column::FeedbackVersion))
                .gte(of_feedback(feedback::Column::Version)),
        )
        .to_owned();
    feedback::Entity::find()
        .filter(feedback::Column::Status.eq(feedback::Status::Approved))
        .filter(Expr::exists(learnt).not())
}

/// Forgets candidates that nobody has decided on and whose feedback is no longer approved; how many.
///
/// # Errors
/// When the database cannot be written.
pub async fn withdraw(txn: &DatabaseTransaction) -> Result<u64, DbErr> {
    let approved = Query::select()
        .column(feedback::Column::Id)
        .from(feedback::Entity)
        .and_where(feedback::Column::Status.eq(feedback::Status::Approved))
        .to_owned();
    let gone = Entity::delete_many()
        .filter(Column::Status.is_in([Status::Waiting, Status::Incomplete, Status::Merged]))
        .filter(
            Condition::any()
                .add(Column::FeedbackId.not_in_subquery(approved))
                // What it was merged into is gone: it is learned anew.
                .add(
                    Condition::all()
                        .add(Column::Status.eq(Status::Merged))
                        .add(Column::PairId.is_null())
                        .add(Column::MergedInto.is_null()),
                ),
        )
        .exec(txn)
        .await?;
    Ok(gone.rows_affected)
}

/// The oldest other candidate of the tenant that waits and says the same, word for word but for case, blanks and signs.
///
/// # Errors
/// When the database cannot be read.
pub async fn saying(
    connection: &impl ConnectionTrait,
    one: &Model,
) -> Result<Option<Model>, DbErr> {
    let answer = question_key(&one.answer);
    let asking = Entity::find()
        .filter(Column::Id.ne(one.id))
        .filter(Column::TenantId.eq(one.tenant_id))
        .filter(Column::QuestionKey.eq(&one.question_key))
        .filter(Column::Status.eq(Status::Waiting))
        .order_by_asc(Column::Id)
        .all(connection)
        .await?;
    let mut asking = asking.into_iter();
    Ok(asking.find(|other| question_key(&other.answer) == answer))
}

/// Which candidates a list is about; all that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// None: all but those that were merged.
    pub status: Option<Status>,
    /// Part of question or answer.
    pub search: Option<String>,
}

impl Filter {
    fn found(&self, scope: Scope) -> Select<Entity> {
        let search = self.search.as_deref().map(|text| {
            Condition::any()
                .add(contains(Column::Question, text))
                .add(contains(Column::Answer, text))
        });
        let condition = Condition::all()
            .add(scope.on(Column::TenantId))
            .add(match self.status {
                Some(status) => Column::Status.eq(status),
                None => Column::Status.ne(Status::Merged),
            })
            .add_option(search);
        Entity::find().filter(condition)
    }
}

/// A page, newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(
    connection: &impl ConnectionTrait,
    scope: Scope,
    filter: &Filter,
    page: Page,
) -> Result<Vec<Model>, DbErr> {
    page.of(filter.found(scope), Column::Id)
        .all(connection)
        .await
}

/// How many the filter finds.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(
    connection: &impl ConnectionTrait,
    scope: Scope,
    filter: &Filter,
) -> Result<u64, DbErr> {
    filter.found(scope).count(connection).await
}

/// How many there are of each status.
#[derive(Clone, Copy, Debug, Default, Eq, FromQueryResult, PartialEq)]
pub struct Sums {
    pub waiting: i64,
    pub incomplete: i64,
    pub taken: i64,
    pub discarded: i64,
}

/// How many there are of each status.
///
/// # Errors
/// When the database cannot be read.
pub async fn sums(connection: &impl ConnectionTrait, scope: Scope) -> Result<Sums, DbErr> {
    let many = |status: &str| {
        let sum = format!(
            "CAST(COALESCE(SUM(CASE WHEN status = '{status}' THEN 1 ELSE 0 END), 0) AS BIGINT)"
        );
        Expr::cust(sum)
    };
    let found = Filter::default()
        .found(scope)
        .select_only()
        .column_as(many("waiting"), "waiting")
        .column_as(many("incomplete"), "incomplete")
        .column_as(many("taken"), "taken")
        .column_as(many("discarded"), "discarded")
        .into_model::<Sums>()
        .one(connection)
        .await?;
    Ok(found.unwrap_or_default())
}

/// By public id.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_public_id(
    connection: &impl ConnectionTrait,
    scope: Scope,
    public_id: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(scope.on(Column::TenantId))
        .filter(Column::PublicId.eq(public_id))
        .one(connection)
        .await
}

/// Decides on one: what it came to, and the pair that says it.
///
/// # Errors
/// [`ChangeError::Stale`] when `current` is no longer what is stored.
pub async fn decide(
    txn: &DatabaseTransaction,
    current: &Model,
    status: Status,
    pair_id: Option<i64>,
    decided_by: Option<String>,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let changes = ActiveModel {
        status: Set(status),
        pair_id: Set(pair_id),
        decided_by: Set(decided_by),
        decided_at: Set(Some(at_micros)),
        ..Default::default()
    };
    change::update::<Entity>(txn, current.id, current.version, changes, at_micros).await
}
