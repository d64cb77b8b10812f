//! The audit log: who changed what, written in the transaction of the change. Rows are only ever added.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, Condition, DatabaseTransaction, PaginatorTrait};

use crate::public_id;
use crate::scope::{Page, contains};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ops_logs")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    pub at: i64,
    /// `None`: Steward itself, or somebody who did not sign in.
    pub operator_id: Option<i64>,
    /// The name at that time.
    pub operator_name: String,
    /// Such as `tokens.create`.
    pub action: String,
    /// Such as `token`.
    pub target_type: String,
    /// Public id of what was changed; empty when there is none.
    pub target_id: String,
    /// What changed, secrets masked.
    pub details: Json,
    pub ip: String,
    pub request_id: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What to write down. The caller has masked the secrets in `details`.
#[derive(Clone, Debug)]
pub struct Entry {
    pub operator_id: Option<i64>,
    pub operator_name: String,
    pub action: String,
    pub target_type: String,
    pub target_id: String,
    pub details: Json,
    pub ip: String,
    pub request_id: String,
}

/// Which rows a list is about.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub operator_id: Option<i64>,
    /// The whole action or, ending in `.`, all of a resource (`tokens.`).
    pub action: Option<String>,
    pub target_type: Option<String>,
    pub target_id: Option<String>,
    /// Stands somewhere in who, what, on what, from where or in which request, in whatever case.
    pub keyword: Option<String>,
    /// From this time on.
    pub from: Option<i64>,
    /// Before this time.
    pub to: Option<i64>,
}

impl Filter {
    fn condition(&self) -> Condition {
        let action = self.action.as_deref().map(|action| {
            if action.ends_with('.') {
                Column::Action.starts_with(action)
            } else {
                Column::Action.eq(action)
            }
        });
        let keyword = self.keyword.as_deref().map(|word| {
            let columns = [
                Column::OperatorName,
                Column::Action,
                Column::TargetType,
                Column::TargetId,
                Column::Ip,
                Column::RequestId,
            ];
            let each = columns.into_iter();
            each.fold(Condition::any(), |any, column| {
                any.add(contains(column, word))
            })
        });
        Condition::all()
            .add_option(keyword)
            .add_option(self.operator_id.map(|id| Column::OperatorId.eq(id)))
            .add_option(action)
            .add_option(
                self.target_type
                    .as_deref()
                    .map(|it| Column::TargetType.eq(it)),
            )
            .add_option(self.target_id.as_deref().map(|it| Column::TargetId.eq(it)))
            .add_option(self.from.map(|from| Column::At.gte(from)))
            .add_option(self.to.map(|to| Column::At.lt(to)))
    }
}

/// Writes a row in the transaction of the change it tells about.
///
/// # Errors
/// When the database cannot be written; the change must not be committed then.
pub async fn insert(
    txn: &DatabaseTransaction,
    entry: Entry,
    at_micros: i64,
) -> Result<Model, DbErr> {
    let row = ActiveModel {
        public_id: Set(public_id::new("opl")),
        at: Set(at_micros),
        operator_id: Set(entry.operator_id),
        operator_name: Set(entry.operator_name),
        action: Set(entry.action),
        target_type: Set(entry.target_type),
        target_id: Set(entry.target_id),
        details: Set(entry.details),
        ip: Set(entry.ip),
        request_id: Set(entry.request_id),
        ..Default::default()
    };
    row.insert(txn).await
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
