//! The numbers of a report: the trend by day, the sum and a ranking, told as one table.
//!
//! The finders are those of `stats/trend` and `stats/top`, so a report of some days says what they say of the same days.
//! Hung on what handlers share, since features do not import each other.

use serde::Serialize;
use serde_json::Value;
use steward_actors::domain::calendar;
use steward_actors::domain::price::Currency;
use steward_actors::domain::report::column::Column;
use steward_actors::domain::report::range::Dates;
use steward_actors::domain::report::table::{self, Day, Row, Table};
use steward_actors::domain::report::{Definition, Filters, Group, Mode, ROWS_MAX, Sort};
use steward_entities::scope::Scope;

use super::leading::{Most, Ranked};
use super::ranking::{TopItem, TopQuery, rank, total};
use super::view::{Numbers, Shown};
use super::which::{ModeName, Which};
use super::{By, CostQuery, Course, course};
use crate::error::ApiError;
use crate::http::range::TimeRange;
use crate::state::AppState;

impl From<&Filters> for Which {
    fn from(filters: &Filters) -> Self {
        let filters = filters.clone();
        Self {
            provider: filters.provider,
            model: filters.model,
            token_id: filters.token_id,
            account_id: filters.account_id,
            tenant_id: filters.tenant_id,
            app: filters.app,
            user: filters.user,
            mode: filters.mode.map(|mode| match mode {
                Mode::Api => ModeName::Api,
                Mode::Web => ModeName::Web,
            }),
        }
    }
}

/// What is ranked; days are not.
const fn ranked(group: Group) -> Option<Ranked> {
    Some(match group {
        Group::Day => return None,
        Group::Model => Ranked::Model,
        Group::Provider => Ranked::Provider,
        Group::Token => Ranked::Token,
        Group::Account => Ranked::Account,
        Group::Tenant => Ranked::Tenant,
        Group::App => Ranked::App,
        Group::User => Ranked::User,
        Group::Mode => Ranked::Mode,
    })
}

const fn most(sort: Sort) -> Most {
    match sort {
        Sort::Requests => Most::Requests,
        Sort::Tokens => Most::Tokens,
        Sort::Cost => Most::Cost,
        Sort::Errors => Most::Errors,
        Sort::Duration => Most::Duration,
    }
}

fn told(numbers: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(numbers).map_err(ApiError::internal)
}

impl AppState {
    /// Counts a report over these days, as whoever has `scope` sees them.
    ///
    /// # Errors
    /// As `stats/trend` and `stats/top`: what is asked for spans tenants, or has no statistics and too many calls.
    pub(crate) async fn report_table(
        &self,
        scope: Scope,
        definition: &Definition,
        dates: Dates,
    ) -> Result<Table, ApiError> {
        let (from, to) = dates.stretch(self.time_zone);
        let range = TimeRange {
            from: Some(from),
            to: Some(to),
        };
        let currency = definition.currency.as_deref().and_then(Currency::parse);
        let shown = CostQuery::default().shown(self);
        let shown = Shown {
            currency: currency.unwrap_or(shown.currency),
            ..shown
        };
        let which = || Which::from(&definition.filters);
        let columns = &definition.columns;
        let course = course(self, scope, which(), By::Day, range).await?;
        let sum = total(self, scope, which(), range, &shown).await?;
        let limit = definition.limit.clamp(1, ROWS_MAX);
        let (rows, is_truncated) = match ranked(definition.group_by) {
            None => (self.rows_of_days(&course, &shown, columns)?, false),
            Some(by) => {
                let query = TopQuery {
                    by: Some(by),
                    sort: Some(most(definition.sort)),
                    limit: Some(limit + 1),
                };
                let top = rank(self, scope, &query, which(), range, &shown, limit + 1).await?;
                let mut rows: Vec<Row> = top
                    .items
                    .iter()
                    .map(|item| row_of(item, columns))
                    .collect::<Result<_, _>>()?;
                let is_truncated = rows.len() as u64 > limit;
                rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
                (rows, is_truncated)
            }
        };
        Ok(Table {
            from: dates.first.to_string(),
            to: dates.last.to_string(),
            time_zone: self.time_zone.name().to_owned(),
            is_complete: to <= self.clock.now_micros(),
            is_backfilling: course.is_backfilling,
            currency: shown.currency.as_str().to_owned(),
            group_by: definition.group_by,
            columns: columns.clone(),
            rows,
            is_truncated,
            totals: table::chosen(&told(&sum)?, columns),
            days: self
                .rows_of_days(&course, &shown, &table::plotted(columns))?
                .into_iter()
                .map(|row| Day {
                    date: row.name,
                    values: row.values,
                })
                .collect(),
        })
    }

    fn rows_of_days(
        &self,
        course: &Course,
        shown: &Shown,
        columns: &[Column],
    ) -> Result<Vec<Row>, ApiError> {
        let days = course.starts.iter().zip(&course.buckets);
        days.map(|(at, counted)| {
            Ok(Row {
                name: calendar::date_of(self.time_zone, *at).to_string(),
                id: None,
                provider: None,
                values: table::chosen(&told(&Numbers::of(counted, shown))?, columns),
            })
        })
        .collect()
    }
}

fn row_of(item: &TopItem, columns: &[Column]) -> Result<Row, ApiError> {
    Ok(Row {
        name: item.name.clone(),
        id: item.id.clone(),
        provider: item.provider.clone(),
        values: table::chosen(&told(&item.numbers)?, columns),
    })
}
