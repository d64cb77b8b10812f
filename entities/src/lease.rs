//! Leases: which of several nodes on one database does what only one may do at a time.
//!
//! A lease ends by itself, so that whoever dies holds up the others no longer than that. It is as good as the nodes'
//! clocks agree: whoever holds one stops well before its end.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{Condition, DatabaseTransaction};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "leases")]
pub struct Model {
    /// What it is for.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    pub node: i64,
    /// The first moment at which another may have it, microseconds since the Unix epoch.
    pub until_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Takes a lease for `node`, or prolongs its own; false while another has it.
///
/// # Errors
/// When the database cannot be written.
pub async fn take(
    txn: &DatabaseTransaction,
    name: &str,
    node: u8,
    now: i64,
    until: i64,
) -> Result<bool, DbErr> {
    let free = Condition::any()
        .add(Column::Node.eq(i64::from(node)))
        .add(Column::UntilAt.lte(now));
    let taken = Entity::update_many()
        .col_expr(Column::Node, Expr::value(i64::from(node)))
        .col_expr(Column::UntilAt, Expr::value(until))
        .filter(Column::Name.eq(name))
        .filter(free)
        .exec(txn)
        .await?;
    if taken.rows_affected > 0 {
        return Ok(true);
    }
    let row = ActiveModel {
        name: Set(name.to_owned()),
        node: Set(i64::from(node)),
        until_at: Set(until),
    };
    let made = Entity::insert(row)
        .on_conflict(OnConflict::column(Column::Name).do_nothing().to_owned())
        .exec_without_returning(txn)
        .await?;
    Ok(made > 0)
}

/// Gives a lease back, if `node` has it.
///
/// # Errors
/// When the database cannot be written.
pub async fn give_back(txn: &DatabaseTransaction, name: &str, node: u8) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::Name.eq(name))
        .filter(Column::Node.eq(i64::from(node)))
        .exec(txn)
        .await?;
    Ok(())
}

/// Who has it, and until when.
///
/// # Errors
/// When the database cannot be read.
pub async fn holder(connection: &impl ConnectionTrait, name: &str) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(name.to_owned()).one(connection).await
}
