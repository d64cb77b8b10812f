//! Templates: questions with their answers that operators keep for all tenants. Who has which:
//! [`crate::template_distribution`].
//!
//! They belong to the installation as a whole, so their finders take no scope.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, Condition, DatabaseTransaction, PaginatorTrait, QueryOrder, QuerySelect,
};

use crate::change::{self, ChangeError, versioned};
use crate::qa_pair::question_key;
use crate::scope::{Page, contains};
use crate::{public_id, template_distribution};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "templates")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    pub question: String,
    /// [`question_key`] of it: no two templates ask the same.
    pub question_key: String,
    pub answer: String,
    /// Empty when it has none.
    pub category: String,
    /// Rises when question, answer or category change: what was handed out before is outdated then.
    pub revision: i64,
    pub created_by: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
versioned!();

/// Which templates a list is about.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub category: Option<String>,
    /// Part of question or answer.
    pub search: Option<String>,
    /// Whether a tenant has an older revision of it.
    pub is_outdated: Option<bool>,
}

impl Filter {
    fn condition(&self) -> Condition {
        let search = self.search.as_deref().map(|text| {
            Condition::any()
                .add(contains(Column::Question, text))
                .add(contains(Column::Answer, text))
        });
        let category = self.category.as_deref();
        let outdated = self.is_outdated.map(|is| {
            let somewhere = template_distribution::outdated();
            match is {
                true => Column::Id.in_subquery(somewhere),
                false => Column::Id.not_in_subquery(somewhere),
            }
        });
        Condition::all()
            .add_option(category.map(|category| Column::Category.eq(category)))
            .add_option(search)
            .add_option(outdated)
    }
}

/// What a template says.
#[derive(Clone, Debug)]
pub struct Text {
    pub question: String,
    pub answer: String,
    pub category: String,
}

/// Adds a template.
///
/// # Errors
/// [`ChangeError::Duplicate`] when another asks the same.
pub async fn insert(
    txn: &DatabaseTransaction,
    text: Text,
    created_by: String,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let row = ActiveModel {
        public_id: Set(public_id::new("tpl")),
        question_key: Set(question_key(&text.question)),
        question: Set(text.question),
        answer: Set(text.answer),
        category: Set(text.category),
        revision: Set(1),
        created_by: Set(created_by),
        created_at: Set(at_micros),
        updated_at: Set(at_micros),
        version: Set(1),
        ..Default::default()
    };
    Ok(row.insert(txn).await?)
}

/// Has `current` say something else, which is a new revision; saying the same changes nothing.
///
/// # Errors
/// [`ChangeError::Stale`] when `current` is no longer what is stored, [`ChangeError::Duplicate`] when another asks the
/// same.
pub async fn update(
    txn: &DatabaseTransaction,
    current: &Model,
    text: Text,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let same = current.question == text.question
        && current.answer == text.answer
        && current.category == text.category;
    if same {
        return Ok(current.clone());
    }
    let changes = ActiveModel {
        question_key: Set(question_key(&text.question)),
        question: Set(text.question),
        answer: Set(text.answer),
        category: Set(text.category),
        revision: Set(current.revision + 1),
        ..Default::default()
    };
    change::update::<Entity>(txn, current.id, current.version, changes, at_micros).await
}

/// Removes a template. What tenants got of it stays theirs.
///
/// # Errors
/// When the database cannot be written.
pub async fn remove(txn: &DatabaseTransaction, current: &Model) -> Result<(), DbErr> {
    Entity::delete_by_id(current.id).exec(txn).await?;
    Ok(())
}

/// By public id.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_public_id(
    connection: &impl ConnectionTrait,
    public_id: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::PublicId.eq(public_id))
        .one(connection)
        .await
}

/// Those of these public ids that there are, oldest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_public_ids(
    connection: &impl ConnectionTrait,
    public_ids: &[String],
) -> Result<Vec<Model>, DbErr> {
    if public_ids.is_empty() {
        return Ok(Vec::new());
    }
    Entity::find()
        .filter(Column::PublicId.is_in(public_ids))
        .order_by_asc(Column::Id)
        .all(connection)
        .await
}

/// A page, newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(
    connection: &impl ConnectionTrait,
    filter: &Filter,
    page: Page,
) -> Result<Vec<Model>, DbErr> {
    let query = Entity::find().filter(filter.condition());
    page.of(query, Column::Id).all(connection).await
}

/// How many the filter finds.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(connection: &impl ConnectionTrait, filter: &Filter) -> Result<u64, DbErr> {
    Entity::find()
        .filter(filter.condition())
        .count(connection)
        .await
}

/// Categories and how many templates each has, by name.
///
/// # Errors
/// When the database cannot be read.
pub async fn categories(connection: &impl ConnectionTrait) -> Result<Vec<(String, i64)>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Category)
        .column_as(Expr::cust("COUNT(*)"), "count")
        .group_by(Column::Category)
        .order_by_asc(Column::Category)
        .into_tuple()
        .all(connection)
        .await
}
