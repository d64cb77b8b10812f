//! What a report counted: rows of chosen numbers, their total, and the days for its charts. It is kept as JSON, so that
//! what was sent, shown and downloaded is one and the same.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Group;
use super::column::{Column, Unit};
use crate::domain::csv;

/// Charts over time of one report.
const PLOTTED_MAX: usize = 2;

/// Numbers by the names of their columns.
pub type Numbers = Map<String, Value>;

/// See the module.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Table {
    /// The first day and the last, `2026-01-31`.
    pub from: String,
    pub to: String,
    /// Whose days they are: the statistics'.
    pub time_zone: String,
    /// The last day was over when it was counted.
    pub is_complete: bool,
    /// Earlier calls were still being counted: what lies behind is told too low.
    pub is_backfilling: bool,
    pub currency: String,
    pub group_by: Group,
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
    /// There are more that lead less.
    pub is_truncated: bool,
    /// Of all calls, not only of the rows'.
    pub totals: Numbers,
    /// Every day, with what is plotted.
    pub days: Vec<Day>,
}

/// One of those that a report tells apart.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Row {
    /// A date, or a name; empty for calls that had none.
    pub name: String,
    /// In the API, where it has one.
    pub id: Option<String>,
    /// Of a model.
    pub provider: Option<String>,
    pub values: Numbers,
}

/// A day of the charts.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Day {
    pub date: String,
    pub values: Numbers,
}

/// What is drawn over time of a report with these columns: one of each unit, the first that there are.
pub fn plotted(columns: &[Column]) -> Vec<Column> {
    let mut found: Vec<Column> = Vec::new();
    for column in columns {
        let is_new = found.iter().all(|known| known.unit() != column.unit());
        if is_new && column.unit() != Unit::Share && found.len() < PLOTTED_MAX {
            found.push(*column);
        }
    }
    if found.is_empty() {
        found.push(Column::RequestCount);
    }
    found
}

/// The numbers of these columns in what statistics told.
pub fn chosen(told: &Value, columns: &[Column]) -> Numbers {
    let value = |column: &Column| told.get(column.name()).cloned().unwrap_or_default();
    columns
        .iter()
        .map(|column| (column.name().to_owned(), value(column)))
        .collect()
}

impl Table {
    /// As CSV: a line a row, under the names of the API. `bom` begins with the mark by which spreadsheets know UTF-8.
    pub fn csv(&self, bom: bool) -> String {
        let mut names: Vec<&str> = match self.group_by {
            Group::Day => vec!["date"],
            Group::Model => vec!["name", "provider"],
            Group::Token | Group::Account | Group::Tenant => vec!["name", "id"],
            _ => vec!["name"],
        };
        names.extend(self.columns.iter().map(|column| column.name()));
        if self.columns.contains(&Column::Cost) {
            names.push("currency");
        }
        let mark = if bom { "\u{feff}" } else { "" };
        let mut text = format!("{mark}{}\r\n", names.join(","));
        for row in &self.rows {
            let mut item = row.values.clone();
            let field = |text: &Option<String>| text.clone().map_or(Value::Null, Value::from);
            item.insert("date".to_owned(), row.name.clone().into());
            item.insert("name".to_owned(), row.name.clone().into());
            item.insert("id".to_owned(), field(&row.id));
            item.insert("provider".to_owned(), field(&row.provider));
            item.insert("currency".to_owned(), self.currency.clone().into());
            csv::line(&mut text, &names, &Value::Object(item));
        }
        text
    }
}
