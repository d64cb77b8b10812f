//! What feedback taught: candidates for pairs, of every approved piece of feedback one. Every finder demands whose.
//!
//! A candidate lives as long as its feedback is approved, or for good once somebody has decided on it; what is decided here
//! changes nothing about the feedback.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, OnConflict, Query};
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
    /// Of a taken one: the pair, as long as there is one.
    pub pair_id: Option<i64>,
    /// Name of who decided; `None` for one that was taken by itself.
    pub decided_by: Option<String>,
    pub decided_at: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
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
}

/// Writes one down; `None` when its feedback has one already.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    txn: &DatabaseTransaction,
    new: New,
    at_micros: i64,
) -> Result<Option<Model>, DbErr> {
    let feedback_id = new.feedback_id;
    let status = match new.missing {
        None => Status::Waiting,
        Some(_) => Status::Incomplete,
    };
    let row = ActiveModel {
        public_id: Set(public_id::new("qac")),
        feedback_id: Set(feedback_id),
        tenant_id: Set(new.tenant_id),
        question_key: Set(question_key(&new.question)),
        question: Set(new.question),
        answer: Set(new.answer),
        origin: Set(new.origin),
        status: Set(status),
        missing: Set(new.missing),
        pair_id: Set(None),
        decided_by: Set(None),
        decided_at: Set(None),
        created_at: Set(at_micros),
        updated_at: Set(at_micros),
        version: Set(1),
        ..Default::default()
    };
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
    Entity::find()
        .filter(Column::FeedbackId.eq(feedback_id))
        .one(txn)
        .await
}

/// Approved feedback that has no candidate, oldest first, those after `after`. No scope: whoever learns does so for all.
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

/// How much approved feedback has no candidate yet.
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
    let learnt = Query::select()
        .column(Column::FeedbackId)
        .from(Entity)
        .to_owned();
    feedback::Entity::find()
        .filter(feedback::Column::Status.eq(feedback::Status::Approved))
        .filter(feedback::Column::Id.not_in_subquery(learnt))
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
        .filter(Column::Status.is_in([Status::Waiting, Status::Incomplete]))
        .filter(Column::FeedbackId.not_in_subquery(approved))
        .exec(txn)
        .await?;
    Ok(gone.rows_affected)
}

/// Whether another candidate of the tenant that waits says the same; of one that was taken the pair asks the same.
///
/// # Errors
/// When the database cannot be read.
pub async fn is_said(connection: &impl ConnectionTrait, one: &Model) -> Result<bool, DbErr> {
    let same = Entity::find()
        .filter(Column::Id.ne(one.id))
        .filter(Column::TenantId.eq(one.tenant_id))
        .filter(Column::QuestionKey.eq(&one.question_key))
        .filter(Column::Answer.eq(&one.answer))
        .filter(Column::Status.eq(Status::Waiting))
        .count(connection)
        .await?;
    Ok(same > 0)
}

/// Which candidates a list is about; all that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
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
            .add_option(self.status.map(|status| Column::Status.eq(status)))
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
