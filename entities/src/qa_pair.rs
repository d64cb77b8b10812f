//! Pairs of a question and its answer: what a tenant's assistant answers from. Every finder demands whose.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue, ActiveValue::Set, Condition, DatabaseTransaction, FromQueryResult, PaginatorTrait,
    QueryOrder, QuerySelect, Select,
};

use crate::change::{self, ChangeError, versioned};
use crate::public_id;
use crate::qa_vector_removal;
use crate::scope::{Page, Scope, contains, counts};

/// Where a pair came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Source {
    /// Somebody typed it.
    #[sea_orm(string_value = "manual")]
    Manual,
    /// A file.
    #[sea_orm(string_value = "import")]
    Import,
    /// A template of the installation.
    #[sea_orm(string_value = "template")]
    Template,
    /// Learned from feedback.
    #[sea_orm(string_value = "feedback")]
    Feedback,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "qa_pairs")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    pub tenant_id: i64,
    pub question: String,
    /// [`question_key`] of it.
    pub question_key: String,
    pub answer: String,
    /// Empty when it has none.
    pub category: String,
    pub source: Source,
    /// The template it came from, as long as there is one.
    pub template_id: Option<i64>,
    /// 0 to 1; `None` while nobody judged it.
    pub quality_score: Option<f64>,
    /// Whether the vector store has it as it is.
    pub is_synced: bool,
    pub synced_at: Option<i64>,
    pub created_by: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
versioned!();

/// A question without what does not matter of it: case, blanks, punctuation, and whether characters are full or half
/// width. Two questions with the same key are the same question.
pub fn question_key(question: &str) -> String {
    let half = |one: char| match one {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(one) - 0xfee0).unwrap_or(one),
        other => other,
    };
    let key: String = question
        .chars()
        .map(half)
        .filter(|one| one.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    match key.is_empty() {
        // Nothing but signs: they are what matters.
        true => question.trim().to_owned(),
        false => key,
    }
}

/// Which pairs a list is about; all that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Part of question or answer.
    pub search: Option<String>,
    pub category: Option<String>,
    pub source: Option<Source>,
    pub is_synced: Option<bool>,
    pub quality_min: Option<f64>,
    pub quality_max: Option<f64>,
    pub template_id: Option<i64>,
    /// One of these public ids.
    pub public_ids: Option<Vec<String>>,
    /// Not newer than this row: what came later is not meant.
    pub upto_id: Option<i64>,
}

impl Filter {
    fn condition(&self, scope: Scope) -> Condition {
        let search = self.search.as_deref().map(|text| {
            Condition::any()
                .add(contains(Column::Question, text))
                .add(contains(Column::Answer, text))
        });
        let category = self.category.as_deref();
        let ids = self.public_ids.as_ref();
        Condition::all()
            .add(scope.on(Column::TenantId))
            .add_option(search)
            .add_option(category.map(|category| Column::Category.eq(category)))
            .add_option(self.source.map(|source| Column::Source.eq(source)))
            .add_option(self.is_synced.map(|is| Column::IsSynced.eq(is)))
            .add_option(
                self.quality_min
                    .map(|least| Column::QualityScore.gte(least)),
            )
            .add_option(self.quality_max.map(|most| Column::QualityScore.lte(most)))
            .add_option(self.template_id.map(|id| Column::TemplateId.eq(id)))
            .add_option(ids.map(|ids| Column::PublicId.is_in(ids)))
            .add_option(self.upto_id.map(|id| Column::Id.lte(id)))
    }

    fn found(&self, scope: Scope) -> Select<Entity> {
        Entity::find().filter(self.condition(scope))
    }
}

/// A pair to add.
#[derive(Clone, Debug)]
pub struct New {
    pub tenant_id: i64,
    pub question: String,
    pub answer: String,
    pub category: String,
    pub source: Source,
    pub template_id: Option<i64>,
    pub quality_score: Option<f64>,
    pub created_by: String,
}

/// Adds a pair that no vector store has yet.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(txn: &DatabaseTransaction, new: New, at_micros: i64) -> Result<Model, DbErr> {
    row_of(new, at_micros).insert(txn).await
}

fn row_of(new: New, at_micros: i64) -> ActiveModel {
    ActiveModel {
        public_id: Set(public_id::new("qa")),
        tenant_id: Set(new.tenant_id),
        question_key: Set(question_key(&new.question)),
        question: Set(new.question),
        answer: Set(new.answer),
        category: Set(new.category),
        source: Set(new.source),
        template_id: Set(new.template_id),
        quality_score: Set(new.quality_score),
        is_synced: Set(false),
        synced_at: Set(None),
        created_by: Set(new.created_by),
        created_at: Set(at_micros),
        updated_at: Set(at_micros),
        version: Set(1),
        ..Default::default()
    }
}

/// Adds many at once, as [`insert`] adds one.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert_all(
    txn: &DatabaseTransaction,
    new: Vec<New>,
    at_micros: i64,
) -> Result<(), DbErr> {
    if new.is_empty() {
        return Ok(());
    }
    let rows = new.into_iter().map(|new| row_of(new, at_micros));
    Entity::insert_many(rows)
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// Writes the set fields of `changes` over `current`; the key follows the question, and what the vector store has is no
/// longer it when question or answer are others. A category is in no vector, and in no payload beside one.
///
/// # Errors
/// [`ChangeError::Stale`] when `current` is no longer what is stored.
pub async fn update(
    txn: &DatabaseTransaction,
    current: &Model,
    mut changes: ActiveModel,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let differs = |value: &ActiveValue<String>, old: &str| matches!(value, Set(new) if new != old);
    if let Set(question) = &changes.question {
        changes.question_key = Set(question_key(question));
    }
    if differs(&changes.question, &current.question) || differs(&changes.answer, &current.answer) {
        changes.is_synced = Set(false);
    }
    change::update::<Entity>(txn, current.id, current.version, changes, at_micros).await
}

/// The vector store has the pair as `current` says it, if it still does; false when it was changed or removed meanwhile.
///
/// # Errors
/// When the database cannot be written.
pub async fn is_synced_now(
    txn: &DatabaseTransaction,
    current: &Model,
    at_micros: i64,
) -> Result<bool, DbErr> {
    let written = Entity::update_many()
        .set(ActiveModel {
            is_synced: Set(true),
            synced_at: Set(Some(at_micros)),
            ..Default::default()
        })
        .filter(Column::Id.eq(current.id))
        .filter(Column::Version.eq(current.version))
        .exec(txn)
        .await?;
    Ok(written.rows_affected > 0)
}

/// Whether the pair still is as `current` says it. Nobody else changes or removes it before the transaction ends.
///
/// # Errors
/// When the database cannot be written.
pub async fn is_still(txn: &DatabaseTransaction, current: &Model) -> Result<bool, DbErr> {
    let found = Entity::update_many()
        .col_expr(Column::Version, Expr::value(current.version))
        .filter(Column::Id.eq(current.id))
        .filter(Column::Version.eq(current.version))
        .exec(txn)
        .await?;
    Ok(found.rows_affected > 0)
}

/// Removes a pair; its vectors go with it, and those in a vector store are told to.
///
/// # Errors
/// When the database cannot be written.
pub async fn remove(txn: &DatabaseTransaction, current: &Model) -> Result<(), DbErr> {
    Entity::delete_by_id(current.id).exec(txn).await?;
    qa_vector_removal::note(txn, current.id).await
}

/// Whether a scope has a pair.
///
/// # Errors
/// When the database cannot be read.
pub async fn has_any(connection: &impl ConnectionTrait, scope: Scope) -> Result<bool, DbErr> {
    let one: Option<i64> = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(scope.on(Column::TenantId))
        .limit(1)
        .into_tuple()
        .one(connection)
        .await?;
    Ok(one.is_some())
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

/// By keys, in no order.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_ids(
    connection: &impl ConnectionTrait,
    scope: Scope,
    ids: Vec<i64>,
) -> Result<Vec<Model>, DbErr> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Entity::find()
        .filter(scope.on(Column::TenantId))
        .filter(Column::Id.is_in(ids))
        .all(connection)
        .await
}

/// Pairs that ask one of these questions, by [`question_key`], oldest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn asking(
    connection: &impl ConnectionTrait,
    scope: Scope,
    keys: Vec<String>,
) -> Result<Vec<Model>, DbErr> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    Entity::find()
        .filter(scope.on(Column::TenantId))
        .filter(Column::QuestionKey.is_in(keys))
        .order_by_asc(Column::Id)
        .all(connection)
        .await
}

/// The keys that a tenant has more than one pair of, those of the most pairs first.
///
/// # Errors
/// When the database cannot be read.
pub async fn repeated(
    connection: &impl ConnectionTrait,
    scope: Scope,
    limit: u64,
) -> Result<Vec<String>, DbErr> {
    repeating(scope)
        .order_by_desc(Expr::cust("COUNT(*)"))
        .order_by_asc(Column::QuestionKey)
        .limit(limit)
        .into_tuple()
        .all(connection)
        .await
}

/// How often a tenant has more than one pair of a key.
///
/// # Errors
/// When the database cannot be read.
pub async fn repeated_count(connection: &impl ConnectionTrait, scope: Scope) -> Result<u64, DbErr> {
    repeating(scope).count(connection).await
}

fn repeating(scope: Scope) -> Select<Entity> {
    Entity::find()
        .select_only()
        .column(Column::QuestionKey)
        .filter(scope.on(Column::TenantId))
        .group_by(Column::TenantId)
        .group_by(Column::QuestionKey)
        .having(Expr::cust("COUNT(*) > 1"))
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

/// The newest row there is; what comes later has a greater key.
///
/// # Errors
/// When the database cannot be read.
pub async fn newest(connection: &impl ConnectionTrait) -> Result<i64, DbErr> {
    let newest = Entity::find()
        .select_only()
        .column(Column::Id)
        .order_by_desc(Column::Id)
        .into_tuple::<i64>()
        .one(connection)
        .await?;
    Ok(newest.unwrap_or(0))
}

/// What some pairs come to.
#[derive(Clone, Copy, Debug, Default, FromQueryResult, PartialEq)]
pub struct Sums {
    pub total: i64,
    pub synced: i64,
    /// Of those that were judged; `None` while none was.
    pub avg_quality: Option<f64>,
}

/// What the filter's pairs come to.
///
/// # Errors
/// When the database cannot be read.
pub async fn sums(
    connection: &impl ConnectionTrait,
    scope: Scope,
    filter: &Filter,
) -> Result<Sums, DbErr> {
    let found = filter
        .found(scope)
        .select_only()
        .column_as(Expr::cust("COUNT(*)"), "total")
        .column_as(
            Expr::cust("CAST(COALESCE(SUM(CASE WHEN is_synced THEN 1 ELSE 0 END), 0) AS BIGINT)"),
            "synced",
        )
        .column_as(Expr::cust("AVG(quality_score)"), "avg_quality")
        .into_model::<Sums>()
        .one(connection)
        .await?;
    Ok(found.unwrap_or_default())
}

/// How many pairs each tenant has, by its key.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_tenant(
    connection: &impl ConnectionTrait,
    scope: Scope,
) -> Result<Vec<(i64, i64)>, DbErr> {
    counted(Filter::default().found(scope), Column::TenantId)
        .into_tuple()
        .all(connection)
        .await
}

/// How many pairs each of these tenants has, or each there is; one that has none is missing.
///
/// # Errors
/// When the database cannot be read.
pub async fn of_tenants(
    connection: &impl ConnectionTrait,
    scope: Scope,
    tenants: Option<&[i64]>,
) -> Result<HashMap<i64, u64>, DbErr> {
    counts(
        connection,
        Entity::find(),
        Column::TenantId,
        (scope, tenants),
    )
    .await
}

/// How many pairs each category has; the empty one is none.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_category(
    connection: &impl ConnectionTrait,
    scope: Scope,
    limit: u64,
) -> Result<Vec<(String, i64)>, DbErr> {
    counted(Filter::default().found(scope), Column::Category)
        .limit(limit)
        .into_tuple()
        .all(connection)
        .await
}

/// How many pairs came from where.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_source(
    connection: &impl ConnectionTrait,
    scope: Scope,
) -> Result<Vec<(String, i64)>, DbErr> {
    counted(Filter::default().found(scope), Column::Source)
        .into_tuple()
        .all(connection)
        .await
}

fn counted(query: Select<Entity>, by: Column) -> Select<Entity> {
    query
        .select_only()
        .column(by)
        .column_as(Expr::cust("COUNT(*)"), "pairs")
        .group_by(by)
        .order_by_desc(Expr::cust("COUNT(*)"))
        .order_by_asc(by)
}

#[cfg(test)]
mod tests {
    use super::question_key;

    #[test]
    fn the_same_question_has_one_key_however_it_was_typed() {
        let key = question_key("租借价格是多少?");
        for same in [
            "租借价格是多少？",
            " 租借价格 是多少 ",
            "租借价格，是多少！",
        ] {
            assert_eq!(question_key(same), key, "{same}");
        }
        assert_eq!(
            question_key("How do I  BOOK？"),
            question_key("how do i book")
        );
        assert_eq!(question_key("ＡＢＣ１"), "abc1");
        assert_ne!(
            question_key("退款政策是什么"),
            question_key("退货政策是什么")
        );
        assert_eq!(question_key(" ?! "), "?!");
    }
}
