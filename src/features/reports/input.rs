//! What operators say of a report, checked.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use steward_actors::domain::price::Currency;
use steward_actors::domain::report::column::Column;
use steward_actors::domain::report::range::Range;
use steward_actors::domain::report::schedule::{Every, Schedule, time_of_day};
use steward_actors::domain::report::{self, Definition, Filters, Language, ROWS_MAX};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::http::check::{bounded, text};
use crate::http::money::CurrencyCode;

const FILTER_MAX: usize = 200;
const LIMIT: i64 = 100;

/// What one row is about.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReportGroup {
    Day,
    Model,
    Provider,
    Token,
    Account,
    Tenant,
    App,
    User,
    Mode,
}

/// By what rows are sorted, most first. Days stay in their order.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReportSort {
    Requests,
    Tokens,
    Cost,
    Errors,
    Duration,
}

/// The language of what is sent.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub(super) enum ReportLanguage {
    #[serde(rename = "en")]
    English,
    #[serde(rename = "zh-CN")]
    Chinese,
}

/// How the caller of a call signed in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReportMode {
    Api,
    Web,
}

/// Gives one enumeration its twin in the domain, variant by variant.
macro_rules! twins {
    ($($here:ident = $there:ty: $($variant:ident),+;)*) => {$(
        impl From<$here> for $there {
            fn from(here: $here) -> Self {
                match here { $($here::$variant => Self::$variant,)+ }
            }
        }

        impl From<$there> for $here {
            fn from(there: $there) -> Self {
                match there { $(<$there>::$variant => Self::$variant,)+ }
            }
        }
    )*};
}

twins! {
    ReportGroup = report::Group: Day, Model, Provider, Token, Account, Tenant, App, User, Mode;
    ReportSort = report::Sort: Requests, Tokens, Cost, Errors, Duration;
    ReportLanguage = Language: English, Chinese;
    ReportMode = report::Mode: Api, Web;
}

/// Which calls. What is missing narrows nothing; which filters have statistics together is told at `stats/overview`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportFilters {
    #[schema(max_length = 200)]
    provider: Option<String>,
    /// Model asked for.
    #[schema(max_length = 200)]
    model: Option<String>,
    #[schema(max_length = 200)]
    token_id: Option<String>,
    #[schema(max_length = 200)]
    account_id: Option<String>,
    #[schema(max_length = 200)]
    tenant_id: Option<String>,
    /// Name of the calling application.
    #[schema(max_length = 200)]
    app: Option<String>,
    /// Name of the end user.
    #[schema(max_length = 200)]
    user: Option<String>,
    #[schema(inline)]
    mode: Option<ReportMode>,
}

impl ReportFilters {
    fn checked(self) -> Result<Filters, ApiError> {
        let given = |field: &str, value: Option<String>| match value.as_deref() {
            None | Some("") => Ok(None),
            Some(value) => text(&format!("filters.{field}"), value, 1, FILTER_MAX).map(Some),
        };
        Ok(Filters {
            provider: given("provider", self.provider)?,
            model: given("model", self.model)?,
            token_id: given("token_id", self.token_id)?,
            account_id: given("account_id", self.account_id)?,
            tenant_id: given("tenant_id", self.tenant_id)?,
            app: given("app", self.app)?,
            user: given("user", self.user)?,
            mode: self.mode.map(Into::into),
        })
    }
}

impl From<Filters> for ReportFilters {
    fn from(filters: Filters) -> Self {
        Self {
            provider: filters.provider,
            model: filters.model,
            token_id: filters.token_id,
            account_id: filters.account_id,
            tenant_id: filters.tenant_id,
            app: filters.app,
            user: filters.user,
            mode: filters.mode.map(Into::into),
        }
    }
}

/// How often a report is due.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReportEvery {
    Day,
    Week,
    Month,
}

/// When a report is due, by the clock of its time zone. Over a change of clocks it is due once.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportSchedule {
    #[schema(inline)]
    every: ReportEvery,
    /// Hours and minutes: `07:30`.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    at: String,
    /// Every week: 1 (Monday) to 7.
    #[schema(minimum = 1, maximum = 7)]
    weekday: Option<i64>,
    /// Every month: 1 to 31; a month that is shorter has it on its last day.
    #[schema(minimum = 1, maximum = 31)]
    day: Option<i64>,
}

impl ReportSchedule {
    fn checked(&self) -> Result<Schedule, ApiError> {
        let at = time_of_day(&self.at)
            .ok_or_else(|| ApiError::invalid("schedule.at", "must be a time such as 07:30"))?;
        let number = |field: &str, value: Option<i64>, max: i64| {
            let value = bounded(field, value, 1, max)?;
            let value = value.and_then(|value| u32::try_from(value).ok());
            value.ok_or_else(|| ApiError::invalid(field, format!("must lie between 1 and {max}")))
        };
        let every = match self.every {
            ReportEvery::Day => Every::Day,
            ReportEvery::Week => Every::Week {
                weekday: number("schedule.weekday", self.weekday, 7)?,
            },
            ReportEvery::Month => Every::Month {
                day: number("schedule.day", self.day, 31)?,
            },
        };
        Ok(Schedule { every, at })
    }
}

impl From<Schedule> for ReportSchedule {
    fn from(schedule: Schedule) -> Self {
        let (every, weekday, day) = match schedule.every {
            Every::Day => (ReportEvery::Day, None, None),
            Every::Week { weekday } => (ReportEvery::Week, Some(weekday), None),
            Every::Month { day } => (ReportEvery::Month, None, Some(day)),
        };
        Self {
            every,
            at: schedule.at.format("%H:%M").to_string(),
            weekday: weekday.map(i64::from),
            day: day.map(i64::from),
        }
    }
}

/// As it is stored, for a row.
pub(super) fn schedule(given: Option<ReportSchedule>) -> Result<Option<Value>, ApiError> {
    let schedule = given.map(|given| given.checked()).transpose()?;
    let stored = schedule.map(serde_json::to_value).transpose();
    stored.map_err(ApiError::internal)
}

/// What a report tells, as far as it is said.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) range: Option<String>,
    pub(super) time_zone: Option<String>,
    pub(super) filters: Option<ReportFilters>,
    pub(super) group_by: Option<ReportGroup>,
    pub(super) sort: Option<ReportSort>,
    pub(super) limit: Option<i64>,
    pub(super) columns: Option<Vec<String>>,
    pub(super) currency: Option<Option<CurrencyCode>>,
    pub(super) language: Option<ReportLanguage>,
}

impl Said {
    /// A definition of its own, where the days are those of `time_zone` unless said otherwise.
    pub(super) fn new_definition(self, time_zone: &str) -> Result<Definition, ApiError> {
        let usual = Definition {
            range: Range::LastDays(7),
            time_zone: time_zone.to_owned(),
            filters: Filters::default(),
            group_by: report::Group::Day,
            sort: report::Sort::Requests,
            limit: LIMIT.unsigned_abs(),
            columns: vec![Column::RequestCount, Column::TotalTokens, Column::Cost],
            currency: None,
            language: Language::English,
        };
        self.over(usual)
    }

    /// `current`, with what is said.
    pub(super) fn over(self, current: Definition) -> Result<Definition, ApiError> {
        let range = self.range.map(|text| {
            Range::parse(&text).ok_or_else(|| {
                ApiError::invalid(
                    "range",
                    "must be 1d to 366d, last_week, last_month, this_month, or two dates such as 2026-01-01..2026-01-31",
                )
            })
        });
        if let Some(zone) = &self.time_zone
            && zone.parse::<chrono_tz::Tz>().is_err()
        {
            return Err(ApiError::invalid(
                "time_zone",
                "must be the name of a time zone such as Asia/Shanghai",
            ));
        }
        let limit = bounded("limit", self.limit, 1, ROWS_MAX.cast_signed())?;
        let currency = |code: CurrencyCode| Currency::from(code).as_str().to_owned();
        Ok(Definition {
            range: range.transpose()?.unwrap_or(current.range),
            time_zone: self.time_zone.unwrap_or(current.time_zone),
            filters: match self.filters {
                Some(filters) => filters.checked()?,
                None => current.filters,
            },
            group_by: self.group_by.map_or(current.group_by, Into::into),
            sort: self.sort.map_or(current.sort, Into::into),
            limit: limit.map_or(current.limit, i64::unsigned_abs),
            columns: match self.columns {
                Some(names) => columns(&names)?,
                None => current.columns,
            },
            currency: match self.currency {
                Some(code) => code.map(currency),
                None => current.currency,
            },
            language: self.language.map_or(current.language, Into::into),
        })
    }
}

fn columns(names: &[String]) -> Result<Vec<Column>, ApiError> {
    let mut columns: Vec<Column> = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let refused = |why: &str| ApiError::invalid(format!("columns[{at}]"), why.to_owned());
        let column =
            Column::parse(name).ok_or_else(|| refused("is no number of the statistics"))?;
        if columns.contains(&column) {
            return Err(refused("is named twice"));
        }
        columns.push(column);
    }
    if columns.is_empty() {
        return Err(ApiError::invalid("columns", "must name at least one"));
    }
    Ok(columns)
}
