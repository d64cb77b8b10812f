//! What providers charge, with its history. Rows are added and never changed: records carry the id of the one they
//! were charged by.
//!
//! Which of them is in force at a moment is the business of `steward-actors`' price book.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, DatabaseTransaction, QueryOrder};
use serde::{Deserialize, Serialize};

use serde_json::json;

use crate::{public_id, revision};

/// Who made the rows of the list.
const LIST: &str = "list";
/// Rows of one statement: well below what either database binds at most.
const ROWS_PER_STATEMENT: usize = 500;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "prices")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    pub provider: String,
    pub model: String,
    /// ISO 4217.
    pub currency: String,
    /// Billionths of the currency per million model tokens; so are those below.
    pub input_nano: i64,
    pub output_nano: i64,
    /// `None`: as input.
    pub cached_nano: Option<i64>,
    /// `None`: as input.
    pub cache_write_nano: Option<i64>,
    /// Written to a cache that keeps it for an hour; `None`: as `cache_write_nano`.
    pub cache_write_1h_nano: Option<i64>,
    /// `None`: as output.
    pub reasoning_nano: Option<i64>,
    /// Billionths of the currency per call.
    pub per_call_nano: i64,
    /// Billionths of the currency per unit that the provider counts in place of tokens.
    pub per_unit_nano: i64,
    /// JSON of [`Tier`]s, rising; `None`: every prompt costs the same.
    pub tiers: Option<String>,
    /// Microseconds since the Unix epoch.
    pub valid_from: i64,
    /// From the list that comes with the program, not from an operator.
    pub from_list: bool,
    /// Where the figures were read; empty when nobody said.
    pub source: String,
    /// Ends the prices before it; its own figures mean nothing.
    pub removed: bool,
    /// Name of the operator; `list` for the list's.
    pub created_by: String,
    pub created_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What longer prompts are charged: every model token of a call whose prompt has more than `above`, in place of the
/// figures of the price itself. Billionths of the currency per million model tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    pub above: i64,
    pub input_nano: i64,
    pub output_nano: i64,
    /// `None`: as input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_nano: Option<i64>,
    /// `None`: as input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_nano: Option<i64>,
    /// `None`: as `cache_write_nano`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h_nano: Option<i64>,
    /// `None`: as output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_nano: Option<i64>,
}

/// Whether these are tiers as they are stored: each begins above the one before, the first above nothing.
pub fn are_tiers(tiers: &[Tier]) -> bool {
    let mut before = 0;
    tiers.iter().all(|tier| {
        let rises = tier.above > before;
        before = tier.above;
        rises
    })
}

/// What is charged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub currency: String,
    pub input_nano: i64,
    pub output_nano: i64,
    pub cached_nano: Option<i64>,
    pub cache_write_nano: Option<i64>,
    pub cache_write_1h_nano: Option<i64>,
    pub reasoning_nano: Option<i64>,
    pub per_call_nano: i64,
    pub per_unit_nano: i64,
    /// By rising `above`.
    pub tiers: Vec<Tier>,
}

impl Model {
    /// What longer prompts cost, by rising `above`; `None` when the stored text is not one this version reads.
    pub fn tiers(&self) -> Option<Vec<Tier>> {
        match &self.tiers {
            None => Some(Vec::new()),
            Some(text) => serde_json::from_str(text).ok(),
        }
    }

    /// What it charges.
    pub fn figures(&self) -> Figures {
        Figures {
            currency: self.currency.clone(),
            input_nano: self.input_nano,
            output_nano: self.output_nano,
            cached_nano: self.cached_nano,
            cache_write_nano: self.cache_write_nano,
            cache_write_1h_nano: self.cache_write_1h_nano,
            reasoning_nano: self.reasoning_nano,
            per_call_nano: self.per_call_nano,
            per_unit_nano: self.per_unit_nano,
            tiers: self.tiers().unwrap_or_default(),
        }
    }
}

/// A price to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPrice {
    pub provider: String,
    pub model: String,
    pub figures: Figures,
    /// Where the figures were read; empty when nobody said.
    pub source: String,
    /// Microseconds since the Unix epoch.
    pub valid_from: i64,
    pub removed: bool,
}

impl NewPrice {
    fn row(self, from_list: bool, created_by: &str, at_micros: i64) -> ActiveModel {
        ActiveModel {
            public_id: Set(public_id::new("prc")),
            source: Set(self.source),
            provider: Set(self.provider),
            model: Set(self.model),
            currency: Set(self.figures.currency),
            input_nano: Set(self.figures.input_nano),
            output_nano: Set(self.figures.output_nano),
            cached_nano: Set(self.figures.cached_nano),
            cache_write_nano: Set(self.figures.cache_write_nano),
            cache_write_1h_nano: Set(self.figures.cache_write_1h_nano),
            reasoning_nano: Set(self.figures.reasoning_nano),
            per_call_nano: Set(self.figures.per_call_nano),
            per_unit_nano: Set(self.figures.per_unit_nano),
            tiers: Set(
                (!self.figures.tiers.is_empty()).then(|| json!(self.figures.tiers).to_string())
            ),
            valid_from: Set(self.valid_from),
            from_list: Set(from_list),
            removed: Set(self.removed),
            created_by: Set(created_by.to_owned()),
            created_at: Set(at_micros),
            ..Default::default()
        }
    }
}

/// Adds an operator's price.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    txn: &DatabaseTransaction,
    new: NewPrice,
    created_by: &str,
    at_micros: i64,
) -> Result<Model, DbErr> {
    let row = new.row(false, created_by, at_micros).insert(txn).await?;
    revision::bump(txn).await?;
    Ok(row)
}

/// A price of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub provider: String,
    pub model: String,
    pub figures: Figures,
    /// Where the provider publishes it.
    pub source: String,
}

/// Takes over the list of `list_date` (microseconds since the Unix epoch); answers how many rows that made. A model
/// that was not listed before is priced for all times; one that changed, from the list's date on. An older list than
/// the one taken over changes nothing, and what is listed no more keeps its last price.
///
/// # Errors
/// When the database cannot be read or written.
pub async fn take_list(
    txn: &DatabaseTransaction,
    list: impl IntoIterator<Item = Listed>,
    list_date: i64,
    at_micros: i64,
) -> Result<usize, DbErr> {
    let listed = Entity::find()
        .filter(Column::FromList.eq(true))
        .order_by_asc(Column::ValidFrom)
        .all(txn)
        .await?;
    // The newest of each stays.
    let newest: HashMap<(String, String), (i64, Figures)> = listed
        .into_iter()
        .map(|row| {
            let figures = row.figures();
            ((row.provider, row.model), (row.valid_from, figures))
        })
        .collect();
    let mut rows = Vec::new();
    for listed in list {
        let Listed {
            provider,
            model,
            figures,
            source,
        } = listed;
        let key = (provider, model);
        let valid_from = match newest.get(&key) {
            None => 0,
            Some((since, known)) if *since >= list_date || *known == figures => continue,
            Some(_) => list_date,
        };
        let new = NewPrice {
            provider: key.0,
            model: key.1,
            figures,
            source,
            valid_from,
            removed: false,
        };
        rows.push(new.row(true, LIST, at_micros));
    }
    let count = rows.len();
    if count == 0 {
        return Ok(0);
    }
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        Entity::insert_many(rows.by_ref().take(ROWS_PER_STATEMENT))
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .exec_without_returning(txn)
            .await?;
    }
    revision::bump(txn).await?;
    Ok(count)
}

/// Every price there ever was: for the gateway's snapshot.
///
/// # Errors
/// When the database cannot be read.
pub async fn all(connection: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find().all(connection).await
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

/// Every price one model ever had, the latest to begin first.
///
/// # Errors
/// When the database cannot be read.
pub async fn history(
    connection: &impl ConnectionTrait,
    provider: &str,
    model: &str,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Provider.eq(provider))
        .filter(Column::Model.eq(model))
        .order_by_desc(Column::ValidFrom)
        .order_by_desc(Column::Id)
        .all(connection)
        .await
}
