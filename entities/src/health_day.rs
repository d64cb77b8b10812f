//! What each node saw of a day's health, in the control database. What all of them saw together stands in
//! `dashboard_stats`; rows here are kept only as long as it can still change.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, DatabaseTransaction};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "health_days")]
pub struct Model {
    /// `YYYY-MM-DD`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub stat_date: String,
    /// The node that looked.
    #[sea_orm(primary_key, auto_increment = false)]
    pub node: i16,
    /// Over all accounts, in microseconds; so are the others.
    pub api_up_us: i64,
    pub api_known_us: i64,
    pub jwt_up_us: i64,
    pub jwt_known_us: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// How long something could be used, of the time in which that was known. Microseconds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Share {
    pub up_us: i64,
    pub known_us: i64,
}

impl Share {
    fn add(&mut self, up_us: i64, known_us: i64) {
        self.up_us = self.up_us.saturating_add(up_us);
        self.known_us = self.known_us.saturating_add(known_us);
    }

    /// Between 0 and 1, to a hundredth of a per cent (what changes less is no news for the remote that days are pushed to);
    /// `None` when nothing is known.
    #[must_use]
    pub fn ratio(self) -> Option<f64> {
        const DIGITS: f64 = 1e4;
        let ratio = self.up_us as f64 / self.known_us as f64;
        (self.known_us > 0).then(|| (ratio * DIGITS).round() / DIGITS)
    }
}

/// A day's health.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Day {
    /// `YYYY-MM-DD`.
    pub stat_date: String,
    /// Over all accounts.
    pub accounts: Share,
    /// The issuing of user tokens.
    pub tokens: Share,
}

/// Writes what a node has seen of a day by now, and answers what all nodes have.
///
/// # Errors
/// When the database cannot be written.
pub async fn put(txn: &DatabaseTransaction, node: u8, day: &Day) -> Result<Day, DbErr> {
    let row = ActiveModel {
        stat_date: Set(day.stat_date.clone()),
        node: Set(i16::from(node)),
        api_up_us: Set(day.accounts.up_us),
        api_known_us: Set(day.accounts.known_us),
        jwt_up_us: Set(day.tokens.up_us),
        jwt_known_us: Set(day.tokens.known_us),
    };
    let update = OnConflict::columns([Column::StatDate, Column::Node])
        .update_columns([
            Column::ApiUpUs,
            Column::ApiKnownUs,
            Column::JwtUpUs,
            Column::JwtKnownUs,
        ])
        .to_owned();
    Entity::insert(row)
        .on_conflict(update)
        .exec_without_returning(txn)
        .await?;
    let mut all = Day {
        stat_date: day.stat_date.clone(),
        ..Day::default()
    };
    let rows = Entity::find().filter(Column::StatDate.eq(&day.stat_date));
    for row in rows.all(txn).await? {
        all.accounts.add(row.api_up_us, row.api_known_us);
        all.tokens.add(row.jwt_up_us, row.jwt_known_us);
    }
    Ok(all)
}

/// Forgets what a node saw of days before `stat_date`.
///
/// # Errors
/// When the database cannot be written.
pub async fn forget_before(
    txn: &DatabaseTransaction,
    node: u8,
    stat_date: &str,
) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::Node.eq(i16::from(node)))
        .filter(Column::StatDate.lt(stat_date))
        .exec(txn)
        .await?;
    Ok(())
}
