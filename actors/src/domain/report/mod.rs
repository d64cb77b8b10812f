//! Reports as values: what is to be told, of which days, when, and what it looks like as a table, a file, a page, a mail.
//!
//! - [`range`]: which days, by the date in the report's time zone;
//! - [`schedule`]: when the next one is due;
//! - [`column`]: the numbers there are, and how people read them;
//! - [`table`]: what was counted, as rows, and the same as CSV;
//! - [`chart`]: bars as an image; [`page`]: table and charts as HTML;
//! - [`letter`]: what a channel is told.
//!
//! Nothing is counted here: whoever keeps the statistics fills the [`table`]. The clock is the caller's.

pub mod chart;
pub mod column;
pub mod letter;
pub mod page;
pub mod range;
pub mod schedule;
pub mod table;
#[cfg(test)]
mod tests;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use column::Column;
use range::Range;

/// Rows of a report at most.
pub const ROWS_MAX: u64 = 1_000;

/// What one row is about.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
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
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    Requests,
    Tokens,
    Cost,
    Errors,
    Duration,
}

/// The language of what is sent.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Language {
    #[serde(rename = "en")]
    English,
    #[serde(rename = "zh-CN")]
    Chinese,
}

impl Language {
    /// The one of two texts.
    pub const fn pick(self, english: &'static str, chinese: &'static str) -> &'static str {
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }

    /// As HTML names it.
    pub const fn code(self) -> &'static str {
        self.pick("en", "zh-CN")
    }
}

/// How the caller of a call signed in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Api,
    Web,
}

/// Which calls. What is missing narrows nothing.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Filters {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Public ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

/// What a report tells.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Definition {
    pub range: Range,
    /// Whose date decides which days those are, and whose clock when it is due. Days themselves are the statistics'.
    pub time_zone: String,
    pub filters: Filters,
    pub group_by: Group,
    pub sort: Sort,
    pub limit: u64,
    pub columns: Vec<Column>,
    /// What costs are told in; none: what the installation is set to.
    pub currency: Option<String>,
    pub language: Language,
}

impl Definition {
    /// Its time zone; UTC where the name means nothing any more.
    pub fn zone(&self) -> Tz {
        self.time_zone.parse().unwrap_or(Tz::UTC)
    }
}
