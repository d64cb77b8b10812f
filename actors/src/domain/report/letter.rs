//! A run of a report as channels are told of it: a mail with pictures and a file, JSON for programs, a few lines for a chat.
//!
//! Made of what the run kept, so that every attempt says the same. PagerDuty and Alertmanager take alerts only.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::Language;
use super::column::Column;
use super::page::{self, Head};
use super::table::Table;
use crate::domain::notice::Kind;
use crate::domain::notice::email::{Mail, Part, one_line};

/// Rows that programs are sent.
const ROWS_TOLD: usize = 500;
/// Rows of a chat message, and its characters.
const ROWS_SAID: usize = 5;
const TEXT_MAX: usize = 2_000;
/// Rows of a mail's plain text.
const ROWS_PLAIN: usize = 50;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    /// Public ids.
    pub report: String,
    pub run: String,
    pub title: String,
    pub language: Language,
    /// Where the console shows it; empty when the console's address is not known.
    pub link: String,
    /// When it was counted, microseconds since the Unix epoch.
    pub at: i64,
    pub table: Table,
}

/// Whether a channel of this kind can be told of reports; `None` is mail.
pub fn reaches(kind: Option<Kind>) -> bool {
    !matches!(kind, Some(Kind::Pagerduty | Kind::Alertmanager))
}

impl Letter {
    /// As a mail called `id`; all mails of a report are a thread. `domain` is the right half of ids.
    ///
    /// # Errors
    /// When a picture cannot be drawn.
    pub fn mail(&self, id: &str, domain: &str) -> Result<Mail, String> {
        let Self {
            table, language, ..
        } = self;
        let mut images = Vec::new();
        for (at, chart) in page::charts(table, *language).iter().enumerate() {
            images.push(Part {
                name: content_id(at, id, domain),
                media_type: "image/png",
                bytes: chart.png()?,
            });
        }
        let thread = format!("<{}@{domain}>", self.report);
        Ok(Mail {
            subject: one_line(&format!("{}: {} – {}", self.title, table.from, table.to)),
            text: self.text(ROWS_PLAIN),
            html: page::html(table, self.head(), |at| {
                format!("cid:{}", content_id(at, id, domain))
            }),
            message_id: format!("<{id}@{domain}>"),
            references: thread.clone(),
            thread,
            images,
            files: vec![Part {
                name: self.file_name("csv"),
                media_type: "text/csv; charset=utf-8",
                bytes: table.csv(true).into_bytes(),
            }],
        })
    }

    /// What a page is headed with.
    pub fn head(&self) -> Head<'_> {
        Head {
            title: &self.title,
            language: self.language,
            link: &self.link,
        }
    }

    /// What a file of it is called.
    pub fn file_name(&self, ending: &str) -> String {
        format!("report-{}-{}.{ending}", self.table.from, self.table.to)
    }

    /// A few lines for a chat.
    pub fn said(&self) -> String {
        self.text(ROWS_SAID).chars().take(TEXT_MAX).collect()
    }

    /// For programs.
    pub fn payload(&self) -> Value {
        let Table {
            rows, is_truncated, ..
        } = &self.table;
        let told = &rows[..rows.len().min(ROWS_TOLD)];
        let at = DateTime::<Utc>::from_timestamp_micros(self.at).unwrap_or_default();
        json!({
            "type": "report.ready",
            "timestamp": at.to_rfc3339_opts(SecondsFormat::Millis, true),
            "data": {
                "report_id": self.report,
                "run_id": self.run,
                "report": self.title,
                "from": self.table.from,
                "to": self.table.to,
                "time_zone": self.table.time_zone,
                "is_complete": self.table.is_complete,
                "currency": self.table.currency,
                "group_by": self.table.group_by,
                "columns": self.table.columns,
                "totals": self.table.totals,
                "rows": told,
                "row_count": rows.len(),
                "is_truncated": *is_truncated || told.len() < rows.len(),
                "link": self.link,
            },
        })
    }

    fn text(&self, most: usize) -> String {
        let Self {
            table, language, ..
        } = self;
        let mut lines = vec![
            self.title.clone(),
            page::period(table, *language),
            String::new(),
        ];
        for column in &table.columns {
            let value = column.shown(table.totals.get(column.name()), &table.currency);
            lines.push(format!("{}: {value}", column.label(*language)));
        }
        lines.push(String::new());
        for row in table.rows.iter().take(most) {
            let each = table.columns.iter().take(3).map(|column: &Column| {
                let value = column.shown(row.values.get(column.name()), &table.currency);
                format!("{} {value}", column.label(*language))
            });
            let each: Vec<String> = each.collect();
            lines.push(format!(
                "{}: {}",
                page::named(row, *language),
                each.join(", ")
            ));
        }
        if table.rows.len() > most || table.is_truncated {
            lines.push("…".to_owned());
        }
        if !self.link.is_empty() {
            lines.push(self.link.clone());
        }
        lines.join("\n")
    }
}

fn content_id(at: usize, id: &str, domain: &str) -> String {
    format!("chart{at}.{id}@{domain}")
}
