//! Results of the JWT test bench, one for each token that was tried. Rows only come and go.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, DatabaseTransaction, QueryOrder};

/// Rows of one statement: the databases bound its parameters.
const AT_ONCE: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "jwt_test_results")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub test_id: i64,
    /// Which of the run's tokens, from 1.
    pub number: i64,
    /// When it began.
    pub at: i64,
    /// How long each step took, in microseconds; absent when it was not come to.
    pub issue_us: Option<i64>,
    pub verify_us: Option<i64>,
    pub call_us: Option<i64>,
    /// Status of the call.
    pub status: Option<i64>,
    pub request_id: Option<String>,
    /// `issue`, `verify` or `call`, when one of them failed.
    pub failed_at: Option<String>,
    /// Stable name of what failed.
    pub code: Option<String>,
    /// The same for people.
    pub message: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A result to keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewResult {
    pub number: i64,
    pub at: i64,
    pub issue_us: Option<i64>,
    pub verify_us: Option<i64>,
    pub call_us: Option<i64>,
    pub status: Option<i64>,
    pub request_id: Option<String>,
    pub failed_at: Option<&'static str>,
    pub code: Option<String>,
    pub message: Option<String>,
}

/// Keeps results of a run.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    txn: &DatabaseTransaction,
    test_id: i64,
    results: &[NewResult],
) -> Result<(), DbErr> {
    for some in results.chunks(AT_ONCE) {
        let rows = some.iter().cloned().map(|one| ActiveModel {
            test_id: Set(test_id),
            number: Set(one.number),
            at: Set(one.at),
            issue_us: Set(one.issue_us),
            verify_us: Set(one.verify_us),
            call_us: Set(one.call_us),
            status: Set(one.status),
            request_id: Set(one.request_id),
            failed_at: Set(one.failed_at.map(str::to_owned)),
            code: Set(one.code),
            message: Set(one.message),
            ..Default::default()
        });
        Entity::insert_many(rows)
            .exec_without_returning(txn)
            .await?;
    }
    Ok(())
}

/// Results of a run, in the order of their numbers.
///
/// # Errors
/// When the database cannot be read.
pub async fn of(connection: &impl ConnectionTrait, test_id: i64) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::TestId.eq(test_id))
        .order_by_asc(Column::Number)
        .all(connection)
        .await
}

/// Removes the results of runs.
///
/// # Errors
/// When the database cannot be written.
pub async fn remove_of(txn: &DatabaseTransaction, test_ids: &[i64]) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::TestId.is_in(test_ids.iter().copied()))
        .exec(txn)
        .await?;
    Ok(())
}
