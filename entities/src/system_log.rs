//! Lines of the process's own log that are kept, in the events database. Rows only come and go.
//!
//! A line is known by its number and its node: numbers rise with time, also from one life of a process to the next, so
//! the order of lines is that of [`Key`]s.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{Condition, QueryOrder, QuerySelect};

use crate::column::TextMap;
use crate::scope::{begins, contains, contains_in};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "system_logs")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Its number on its node.
    pub line: i64,
    /// Microseconds since the Unix epoch.
    pub at: i64,
    /// `INFO`, `WARN` or `ERROR`.
    pub level: String,
    /// The module that wrote it.
    pub target: String,
    pub message: String,
    /// User name of the operator in whose request it was written.
    pub user_id: Option<String>,
    pub request_id: Option<String>,
    pub fields: TextMap,
    /// The node that wrote it.
    pub node: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What a line is known by: its number, then its node.
pub type Key = (i64, i64);

impl Model {
    /// What it is known by.
    pub fn key(&self) -> Key {
        (self.line, self.node)
    }
}

/// A line to keep, secrets taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLine {
    pub line: i64,
    pub at: i64,
    pub level: &'static str,
    pub target: String,
    pub message: String,
    pub user_id: Option<String>,
    pub request_id: Option<String>,
    pub fields: TextMap,
}

/// Which lines; all of them when nothing is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// These levels.
    pub levels: Option<Vec<&'static str>>,
    /// A module, with everything below it.
    pub target: Option<String>,
    /// Lower case; somewhere in the line.
    pub keyword: Option<String>,
    /// User name of an operator.
    pub user: Option<String>,
    pub request_id: Option<String>,
    /// Microseconds since the Unix epoch, inclusive.
    pub from: Option<i64>,
    /// Microseconds since the Unix epoch, exclusive.
    pub to: Option<i64>,
    /// Lines of this node from this number on are left out: whoever asks has them in memory.
    pub beside: Option<Key>,
}

impl Filter {
    fn condition(&self) -> Condition {
        let target = self.target.as_deref().map(|target| {
            Condition::any()
                .add(Column::Target.eq(target))
                .add(begins(Column::Target, &format!("{target}::")))
        });
        let keyword = self.keyword.as_deref().map(|word| {
            let fields = Expr::col(Column::Fields).cast_as("TEXT");
            [
                Column::Message,
                Column::Target,
                Column::UserId,
                Column::RequestId,
            ]
            .into_iter()
            .fold(Condition::any(), |any, column| {
                any.add(contains(column, word))
            })
            .add(contains_in(fields, word))
        });
        Condition::all()
            .add_option(self.levels.clone().map(|it| Column::Level.is_in(it)))
            .add_option(target)
            .add_option(keyword)
            .add_option(self.user.as_deref().map(|user| Column::UserId.eq(user)))
            .add_option(
                self.request_id
                    .as_deref()
                    .map(|id| Column::RequestId.eq(id)),
            )
            .add_option(self.from.map(|from| Column::At.gte(from)))
            // A number is never less than its time: the list's own index ends there.
            .add_option(self.from.map(|from| Column::Line.gte(from)))
            .add_option(self.to.map(|to| Column::At.lt(to)))
            .add_option(self.beside.map(|(line, node)| {
                Condition::any()
                    .add(Column::Node.ne(node))
                    .add(Column::Line.lt(line))
            }))
    }
}

/// Keeps lines of one node; those that are there already stay as they are.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    connection: &impl ConnectionTrait,
    lines: Vec<NewLine>,
    node: u8,
) -> Result<(), DbErr> {
    if lines.is_empty() {
        return Ok(());
    }
    let rows = lines.into_iter().map(|line| ActiveModel {
        line: Set(line.line),
        at: Set(line.at),
        level: Set(line.level.to_owned()),
        target: Set(line.target),
        message: Set(line.message),
        user_id: Set(line.user_id),
        request_id: Set(line.request_id),
        fields: Set(line.fields),
        node: Set(i64::from(node)),
        ..Default::default()
    });
    Entity::insert_many(rows)
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(connection)
        .await?;
    Ok(())
}

/// Lines that pass, newest first, older than `after`; at most so many.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(
    connection: &impl ConnectionTrait,
    filter: &Filter,
    after: Option<Key>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let older = after.map(|(line, node)| {
        let same = Condition::all()
            .add(Column::Line.eq(line))
            .add(Column::Node.lt(node));
        Condition::all()
            // Implied, and what the index is entered by.
            .add(Column::Line.lte(line))
            .add(Condition::any().add(Column::Line.lt(line)).add(same))
    });
    Entity::find()
        .filter(filter.condition().add_option(older))
        .order_by_desc(Column::Line)
        .order_by_desc(Column::Node)
        .limit(limit)
        .all(connection)
        .await
}

/// The line that is known by `key`.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_key(
    connection: &impl ConnectionTrait,
    (line, node): Key,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::Line.eq(line))
        .filter(Column::Node.eq(node))
        .one(connection)
        .await
}

/// How many pass; at most so many are counted.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(
    connection: &impl ConnectionTrait,
    filter: &Filter,
    most: u64,
) -> Result<u64, DbErr> {
    let counted: Vec<i64> = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(filter.condition())
        .limit(most)
        .into_tuple()
        .all(connection)
        .await?;
    Ok(counted.len() as u64)
}

/// How many of each level and module pass.
///
/// # Errors
/// When the database cannot be read.
pub async fn sums(
    connection: &impl ConnectionTrait,
    filter: &Filter,
) -> Result<Vec<(String, String, i64)>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Level)
        .column(Column::Target)
        .column_as(Column::Id.count(), "many")
        .filter(filter.condition())
        .group_by(Column::Level)
        .group_by(Column::Target)
        .into_tuple()
        .all(connection)
        .await
}

/// When the oldest kept line was written.
///
/// # Errors
/// When the database cannot be read.
pub async fn oldest(connection: &impl ConnectionTrait) -> Result<Option<i64>, DbErr> {
    let found: Option<Option<i64>> = Entity::find()
        .select_only()
        .column_as(Column::At.min(), "at")
        .into_tuple()
        .one(connection)
        .await?;
    Ok(found.flatten())
}
