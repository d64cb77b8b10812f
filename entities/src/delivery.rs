//! Attempts to deliver a notice, in the events database: what the receiver really answered. Rows only come and go.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::scope::Page;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "deliveries")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    /// When the attempt ended.
    pub at: i64,
    /// The notice's id.
    pub message_id: String,
    /// Public id of the channel.
    pub channel_id: String,
    /// From 1.
    pub attempt: i64,
    /// `delivered`, `later`, `rejected` or `gone`.
    pub outcome: String,
    /// Status of HTTP, or reply code of SMTP.
    pub status_code: Option<i64>,
    /// First bytes of the answer.
    pub response: Option<String>,
    /// Why there was no answer.
    pub error: Option<String>,
    pub duration_ms: Option<i64>,
    pub node: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// An attempt to write down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub message_id: String,
    pub channel_id: String,
    pub attempt: i64,
    pub outcome: &'static str,
    pub status_code: Option<i64>,
    pub response: Option<String>,
    pub error: Option<String>,
    pub duration_ms: i64,
}

/// Writes an attempt down.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    connection: &impl ConnectionTrait,
    attempt: Attempt,
    at_micros: i64,
    node: u8,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        at: Set(at_micros),
        message_id: Set(attempt.message_id),
        channel_id: Set(attempt.channel_id),
        attempt: Set(attempt.attempt),
        outcome: Set(attempt.outcome.to_owned()),
        status_code: Set(attempt.status_code),
        response: Set(attempt.response),
        error: Set(attempt.error),
        duration_ms: Set(Some(attempt.duration_ms)),
        node: Set(i64::from(node)),
        ..Default::default()
    };
    Entity::insert(row)
        .exec_without_returning(connection)
        .await?;
    Ok(())
}

/// Attempts on a channel, newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn of_channel(
    connection: &impl ConnectionTrait,
    channel_id: &str,
    page: Page,
) -> Result<Vec<Model>, DbErr> {
    let query = Entity::find().filter(Column::ChannelId.eq(channel_id));
    page.of(query, Column::Id).all(connection).await
}
