//! Feedback: what somebody thought of an answer, and what came of it.
//!
//! Of one call every end user has one row, which the same user may replace until somebody has dealt with it. What is
//! needed of the call stands in the row: the call itself lies in another database.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveValue::Set, Condition, DatabaseTransaction, FromQueryResult, PaginatorTrait, QueryOrder,
    QuerySelect, Select,
};

use crate::change::{self, ChangeError, versioned};
use crate::public_id;
use crate::scope::{Page, Scope, contains, counts};

/// From this rating on an answer was good.
pub const GOOD_FROM: i64 = 4;
/// Up to this rating it was bad.
pub const BAD_TO: i64 = 2;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Status {
    /// Nobody has dealt with it.
    #[sea_orm(string_value = "open")]
    Open,
    /// To be learned from.
    #[sea_orm(string_value = "approved")]
    Approved,
    /// Not to be learned from.
    #[sea_orm(string_value = "rejected")]
    Rejected,
    /// Dealt with otherwise; the resolution says how.
    #[sea_orm(string_value = "resolved")]
    Resolved,
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user_feedback")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    /// With `id_tail` the id of the call.
    pub rid: i64,
    pub id_tail: i64,
    /// The token of the call.
    pub token_id: i64,
    /// The tenant of the call.
    pub tenant_id: Option<i64>,
    pub app: String,
    /// Empty when nobody said who it was.
    pub end_user: String,
    /// Model asked for.
    pub model: String,
    pub conversation_id: String,
    /// Empty when none was named; a name, since the prompt may be removed.
    pub prompt_name: String,
    pub prompt_number: Option<i64>,
    /// 1 to 5.
    pub rating: i64,
    pub category: String,
    pub comment: String,
    /// What the answer should have been.
    pub correction: String,
    pub status: Status,
    /// What the person who dealt with it noted.
    pub resolution: Option<String>,
    /// Name of that person.
    pub handled_by: Option<String>,
    pub handled_at: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
versioned!();

/// Which feedback a list or a figure is about; all that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub status: Option<Status>,
    pub rating_min: Option<i64>,
    pub rating_max: Option<i64>,
    pub category: Option<String>,
    pub model: Option<String>,
    pub app: Option<String>,
    pub end_user: Option<String>,
    pub tenant_id: Option<i64>,
    pub token_id: Option<i64>,
    pub prompt_name: Option<String>,
    pub prompt_number: Option<i64>,
    /// Whether a correction was given.
    pub is_corrected: Option<bool>,
    /// Of this call.
    pub rid: Option<i64>,
    /// Part of comment, correction or resolution.
    pub search: Option<String>,
    /// Given at or after.
    pub from: Option<i64>,
    /// Given before.
    pub to: Option<i64>,
}

impl Filter {
    fn condition(&self, scope: Scope) -> Condition {
        let text = |column: Column, wanted: &Option<String>| {
            wanted.as_deref().map(|wanted| column.eq(wanted))
        };
        let search = self.search.as_deref().map(|text| {
            Condition::any()
                .add(contains(Column::Comment, text))
                .add(contains(Column::Correction, text))
                .add(contains(Column::Resolution, text))
        });
        let corrected = self.is_corrected.map(|is| match is {
            true => Column::Correction.ne(""),
            false => Column::Correction.eq(""),
        });
        Condition::all()
            .add(scope.on(Column::TenantId))
            .add_option(self.status.map(|status| Column::Status.eq(status)))
            .add_option(self.rating_min.map(|rating| Column::Rating.gte(rating)))
            .add_option(self.rating_max.map(|rating| Column::Rating.lte(rating)))
            .add_option(text(Column::Category, &self.category))
            .add_option(text(Column::Model, &self.model))
            .add_option(text(Column::App, &self.app))
            .add_option(text(Column::EndUser, &self.end_user))
            .add_option(self.tenant_id.map(|id| Column::TenantId.eq(id)))
            .add_option(self.token_id.map(|id| Column::TokenId.eq(id)))
            .add_option(text(Column::PromptName, &self.prompt_name))
            .add_option(
                self.prompt_number
                    .map(|number| Column::PromptNumber.eq(number)),
            )
            .add_option(corrected)
            .add_option(self.rid.map(|rid| Column::Rid.eq(rid)))
            .add_option(search)
            .add_option(self.from.map(|from| Column::CreatedAt.gte(from)))
            .add_option(self.to.map(|to| Column::CreatedAt.lt(to)))
    }

    fn found(&self, scope: Scope) -> Select<Entity> {
        Entity::find().filter(self.condition(scope))
    }
}

/// Feedback to keep.
#[derive(Clone, Debug)]
pub struct New {
    pub rid: i64,
    pub id_tail: i64,
    pub token_id: i64,
    pub tenant_id: Option<i64>,
    pub app: String,
    pub end_user: String,
    pub model: String,
    pub conversation_id: String,
    pub prompt: Option<(String, i64)>,
    pub rating: i64,
    pub category: String,
    pub comment: String,
    pub correction: String,
}

/// Adds feedback nobody has dealt with.
///
/// # Errors
/// [`ChangeError::Duplicate`] when this user has given feedback on this call before.
pub async fn insert(
    txn: &DatabaseTransaction,
    new: New,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let (prompt_name, prompt_number) = match new.prompt {
        Some((name, number)) => (name, Some(number)),
        None => (String::new(), None),
    };
    let row = ActiveModel {
        public_id: Set(public_id::new("fbk")),
        rid: Set(new.rid),
        id_tail: Set(new.id_tail),
        token_id: Set(new.token_id),
        tenant_id: Set(new.tenant_id),
        app: Set(new.app),
        end_user: Set(new.end_user),
        model: Set(new.model),
        conversation_id: Set(new.conversation_id),
        prompt_name: Set(prompt_name),
        prompt_number: Set(prompt_number),
        rating: Set(new.rating),
        category: Set(new.category),
        comment: Set(new.comment),
        correction: Set(new.correction),
        status: Set(Status::Open),
        resolution: Set(None),
        handled_by: Set(None),
        handled_at: Set(None),
        created_at: Set(at_micros),
        updated_at: Set(at_micros),
        version: Set(1),
        ..Default::default()
    };
    Ok(row.insert(txn).await?)
}

/// What this user has said of this call. No scope: whoever gives feedback has shown that the call is theirs.
///
/// # Errors
/// When the database cannot be read.
pub async fn of_call(
    connection: &impl ConnectionTrait,
    rid: i64,
    end_user: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::Rid.eq(rid))
        .filter(Column::EndUser.eq(end_user))
        .one(connection)
        .await
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

/// How many wait for somebody.
///
/// # Errors
/// When the database cannot be read.
pub async fn pending(connection: &impl ConnectionTrait, scope: Scope) -> Result<u64, DbErr> {
    let open = Filter {
        status: Some(Status::Open),
        ..Filter::default()
    };
    count(connection, scope, &open).await
}

/// How many wait for somebody with each of these tenants, or each there is; one without any is missing.
///
/// # Errors
/// When the database cannot be read.
pub async fn pending_by_tenant(
    connection: &impl ConnectionTrait,
    scope: Scope,
    tenants: Option<&[i64]>,
) -> Result<HashMap<i64, u64>, DbErr> {
    let open = Entity::find().filter(Column::Status.eq(Status::Open));
    counts(connection, open, Column::TenantId, (scope, tenants)).await
}

/// Writes the set fields of `changes` over `current`.
///
/// # Errors
/// [`ChangeError::Stale`] when `current` is no longer what is stored.
pub async fn update(
    txn: &DatabaseTransaction,
    current: &Model,
    changes: ActiveModel,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    change::update::<Entity>(txn, current.id, current.version, changes, at_micros).await
}

/// What some feedback comes to.
#[derive(Clone, Copy, Debug, Default, FromQueryResult, PartialEq, Eq)]
pub struct Sums {
    pub total: i64,
    pub rating_sum: i64,
    /// Rated [`GOOD_FROM`] or better.
    pub good: i64,
    /// Rated [`BAD_TO`] or worse.
    pub bad: i64,
    pub corrected: i64,
    pub pending: i64,
    pub approved: i64,
    pub rejected: i64,
    pub resolved: i64,
}

impl Sums {
    /// Adds what other feedback comes to.
    pub fn merge(&mut self, other: &Self) {
        self.total += other.total;
        self.rating_sum += other.rating_sum;
        self.good += other.good;
        self.bad += other.bad;
        self.corrected += other.corrected;
        self.pending += other.pending;
        self.approved += other.approved;
        self.rejected += other.rejected;
        self.resolved += other.resolved;
    }
}

fn summed(query: Select<Entity>) -> Select<Entity> {
    let many = |condition: String| {
        let sum =
            format!("CAST(COALESCE(SUM(CASE WHEN {condition} THEN 1 ELSE 0 END), 0) AS BIGINT)");
        Expr::cust(sum)
    };
    query
        .column_as(Expr::cust("COUNT(*)"), "total")
        .column_as(
            Expr::cust("CAST(COALESCE(SUM(rating), 0) AS BIGINT)"),
            "rating_sum",
        )
        .column_as(many(format!("rating >= {GOOD_FROM}")), "good")
        .column_as(many(format!("rating <= {BAD_TO}")), "bad")
        .column_as(many("correction <> ''".to_owned()), "corrected")
        .column_as(many("status = 'open'".to_owned()), "pending")
        .column_as(many("status = 'approved'".to_owned()), "approved")
        .column_as(many("status = 'rejected'".to_owned()), "rejected")
        .column_as(many("status = 'resolved'".to_owned()), "resolved")
}

/// What the filter's feedback comes to.
///
/// # Errors
/// When the database cannot be read.
pub async fn sums(
    connection: &impl ConnectionTrait,
    scope: Scope,
    filter: &Filter,
) -> Result<Sums, DbErr> {
    let found = summed(filter.found(scope).select_only())
        .into_model::<Sums>()
        .one(connection)
        .await?;
    Ok(found.unwrap_or_default())
}

/// Feedback of a quarter of an hour: no time zone's days begin elsewhere.
#[derive(Clone, Copy, Debug, FromQueryResult, PartialEq, Eq)]
pub struct Quarter {
    /// Its number since the Unix epoch.
    pub quarter: i64,
    pub total: i64,
    pub rating_sum: i64,
    pub good: i64,
    pub bad: i64,
}

/// Microseconds of a [`Quarter`].
pub const QUARTER_US: i64 = 900_000_000;

/// The filter's feedback by quarters of an hour, rising; those without are left out.
///
/// # Errors
/// When the database cannot be read.
pub async fn quarters(
    connection: &impl ConnectionTrait,
    scope: Scope,
    filter: &Filter,
) -> Result<Vec<Quarter>, DbErr> {
    let quarter = Expr::cust(format!("created_at / {QUARTER_US}"));
    summed(
        filter
            .found(scope)
            .select_only()
            .column_as(quarter.clone(), "quarter"),
    )
    .group_by(quarter.clone())
    .order_by_asc(quarter)
    .into_model::<Quarter>()
    .all(connection)
    .await
}

/// What feedback is told apart by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum By {
    Model,
    App,
    Category,
    /// Name and number of a version.
    Prompt,
}

/// Feedback of one model, application, category or version.
#[derive(Clone, Debug, FromQueryResult, PartialEq, Eq)]
pub struct Part {
    /// Empty where nothing was said.
    pub name: String,
    /// Of a version.
    pub number: Option<i64>,
    pub total: i64,
    pub rating_sum: i64,
    pub good: i64,
    pub bad: i64,
    pub pending: i64,
}

/// The parts with the most feedback, most first.
///
/// # Errors
/// When the database cannot be read.
pub async fn parts(
    connection: &impl ConnectionTrait,
    scope: Scope,
    filter: &Filter,
    by: By,
    limit: u64,
) -> Result<Vec<Part>, DbErr> {
    let column = match by {
        By::Model => Column::Model,
        By::App => Column::App,
        By::Category => Column::Category,
        By::Prompt => Column::PromptName,
    };
    let query = filter
        .found(scope)
        .select_only()
        .column_as(column, "name")
        .group_by(column);
    let query = match by {
        By::Prompt => query
            .filter(Column::PromptNumber.is_not_null())
            .column_as(Column::PromptNumber, "number")
            .group_by(Column::PromptNumber),
        _ => query.column_as(Expr::cust("CAST(NULL AS BIGINT)"), "number"),
    };
    summed(query)
        .order_by_desc(Expr::cust("COUNT(*)"))
        .order_by_asc(column)
        .limit(limit)
        .into_model::<Part>()
        .all(connection)
        .await
}

/// What was thought of each of these versions of a prompt since `since`: one of the same name may have been removed
/// before.
///
/// # Errors
/// When the database cannot be read.
pub async fn of_versions(
    connection: &impl ConnectionTrait,
    scope: Scope,
    prompt_name: &str,
    since: i64,
    numbers: &[i64],
) -> Result<Vec<Part>, DbErr> {
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let query = Entity::find()
        .filter(scope.on(Column::TenantId))
        .filter(Column::PromptName.eq(prompt_name))
        .filter(Column::CreatedAt.gte(since))
        .filter(Column::PromptNumber.is_in(numbers.iter().copied()))
        .select_only()
        .column_as(Column::PromptName, "name")
        .column_as(Column::PromptNumber, "number")
        .group_by(Column::PromptName)
        .group_by(Column::PromptNumber);
    summed(query).into_model::<Part>().all(connection).await
}

/// How long it took until somebody had dealt with it, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handling {
    /// So many have been dealt with.
    pub count: i64,
    pub mean: i64,
    /// Half of them took at most this.
    pub p50: i64,
    /// 95 of 100 took at most this.
    pub p95: i64,
}

/// How long it took until somebody had dealt with the filter's feedback; `None` while nobody has with any.
///
/// # Errors
/// When the database cannot be read.
pub async fn handling(
    connection: &impl ConnectionTrait,
    scope: Scope,
    filter: &Filter,
) -> Result<Option<Handling>, DbErr> {
    #[derive(FromQueryResult)]
    struct Found {
        count: i64,
        mean: i64,
    }
    let took = || Expr::col(Column::HandledAt).sub(Expr::col(Column::CreatedAt));
    let handled = || {
        filter
            .found(scope)
            .filter(Column::HandledAt.is_not_null())
            .select_only()
    };
    let found = handled()
        .column_as(Expr::cust("COUNT(*)"), "count")
        .column_as(
            Expr::cust("CAST(COALESCE(AVG(handled_at - created_at), 0) AS BIGINT)"),
            "mean",
        )
        .into_model::<Found>()
        .one(connection)
        .await?;
    let Some(found) = found.filter(|found| found.count > 0) else {
        return Ok(None);
    };
    // The smallest that so many of a hundred do not exceed, by counting to it: neither database has a percentile that
    // the other has too.
    let nth = async |per_cent: i64| -> Result<i64, DbErr> {
        // There is at least one.
        let offset = ((found.count * per_cent + 99) / 100 - 1).unsigned_abs();
        let value = handled()
            .column_as(took(), "took")
            .order_by_asc(took())
            .offset(offset)
            .limit(1)
            .into_tuple::<i64>()
            .one(connection)
            .await?;
        Ok(value.unwrap_or_default())
    };
    Ok(Some(Handling {
        count: found.count,
        mean: found.mean,
        p50: nth(50).await?,
        p95: nth(95).await?,
    }))
}

/// Categories that were used, the most used first.
///
/// # Errors
/// When the database cannot be read.
pub async fn categories(
    connection: &impl ConnectionTrait,
    scope: Scope,
    limit: u64,
) -> Result<Vec<String>, DbErr> {
    Entity::find()
        .filter(scope.on(Column::TenantId))
        .filter(Column::Category.ne(""))
        .select_only()
        .column(Column::Category)
        .group_by(Column::Category)
        .order_by_desc(Expr::cust("COUNT(*)"))
        .limit(limit)
        .into_tuple::<String>()
        .all(connection)
        .await
}
