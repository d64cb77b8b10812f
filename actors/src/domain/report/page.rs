//! A table and its charts as HTML that mail programs show: nothing is loaded from elsewhere, styles stand at the elements, and
//! whatever a picture shows is said in words beside it.

use std::fmt::Write as _;

use super::chart::{self, LINES};
use super::column::{Column, Unit, grouped, number};
use super::table::{Numbers, Row, Table, plotted};
use super::{Group, Language};
use crate::domain::notice::email::escaped;

/// Rows that a page shows; the file has them all.
pub const ROWS_SHOWN: usize = 200;
/// Bars of those that lead.
const LEADING_MAX: usize = 7;

const FONT: &str =
    "font-family:system-ui,-apple-system,'Segoe UI','PingFang SC','Microsoft YaHei',sans-serif";
const CELL: &str = "padding:4px 10px;border-bottom:1px solid #dde0e4";

/// A picture, and what it shows.
pub struct Chart {
    /// For those who do not see it.
    pub title: String,
    /// What its scale is, and who is which colour, as HTML.
    caption: String,
    values: Vec<f64>,
    each_its_own: bool,
}

impl Chart {
    /// Draws it, as PNG.
    ///
    /// # Errors
    /// When the image cannot be encoded.
    pub fn png(&self) -> Result<Vec<u8>, String> {
        chart::bars(&self.values, self.each_its_own)
    }
}

/// What a page says besides its table.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    pub title: &'a str,
    pub language: Language,
    /// Where the console shows it; empty when the console's address is not known.
    pub link: &'a str,
}

fn value(numbers: &Numbers, column: Column) -> f64 {
    numbers.get(column.name()).map_or(0.0, number)
}

/// The number that rows are compared by in a picture.
fn compared(columns: &[Column]) -> Option<Column> {
    let found = columns.iter().find(|column| column.unit() != Unit::Share);
    found.or(columns.first()).copied()
}

/// The charts of a table: each number that is plotted over the days, if there are several, and those that lead.
pub fn charts(table: &Table, language: Language) -> Vec<Chart> {
    let mut charts = Vec::new();
    if table.days.len() > 1 {
        for column in plotted(&table.columns) {
            charts.push(over_days(table, column, language));
        }
    }
    if table.group_by != Group::Day
        && table.rows.len() > 1
        && let Some(column) = compared(&table.columns)
    {
        charts.push(leading(table, column, language));
    }
    charts
}

fn over_days(table: &Table, column: Column, language: Language) -> Chart {
    let values: Vec<f64> = table
        .days
        .iter()
        .map(|day| value(&day.values, column))
        .collect();
    let label = column.label(language);
    let each = match language {
        Language::English => format!("{label} by day, {} to {}", table.from, table.to),
        Language::Chinese => format!("{label}（按日，{} 至 {}）", table.from, table.to),
    };
    Chart {
        caption: scale(&values, column, &table.currency, language),
        title: each,
        values,
        each_its_own: false,
    }
}

fn leading(table: &Table, column: Column, language: Language) -> Chart {
    let rows: Vec<&Row> = table.rows.iter().take(LEADING_MAX).collect();
    let values: Vec<f64> = rows.iter().map(|row| value(&row.values, column)).collect();
    let mut caption = scale(&values, column, &table.currency, language);
    for (at, row) in rows.iter().enumerate() {
        let [red, green, blue] = chart::color(at);
        // Written out, since a String takes whatever is written.
        let _ = write!(
            caption,
            "<br><span style=\"color:rgb({red},{green},{blue})\">&#9632;</span> {}: {}",
            escaped(&named(row, language)),
            escaped(&column.shown(row.values.get(column.name()), &table.currency)),
        );
    }
    let (label, group) = (
        column.label(language),
        group_label(table.group_by, language),
    );
    Chart {
        title: match language {
            Language::English => format!("{label} by {}", group.to_lowercase()),
            Language::Chinese => format!("{label}（按{group}）"),
        },
        caption,
        values,
        each_its_own: true,
    }
}

/// What the lines of a scale stand for.
fn scale(values: &[f64], column: Column, currency: &str, language: Language) -> String {
    let line = chart::top(values) / f64::from(LINES);
    let amount = match column.unit() {
        Unit::Share => format!("{} %", line * 100.0),
        _ if line.fract() == 0.0 => grouped(&format!("{line:.0}")),
        _ => format!("{line}"),
    };
    let unit = match column.unit() {
        Unit::Milliseconds => " ms".to_owned(),
        Unit::Money => format!(" {}", column.currency(currency).unwrap_or_default()),
        Unit::Count | Unit::Share => String::new(),
    };
    match language {
        Language::English => format!("Each line of the scale: {amount}{unit}."),
        Language::Chinese => format!("每格：{amount}{unit}。"),
    }
}

/// What a row is called where people read it.
pub(super) fn named(row: &Row, language: Language) -> String {
    match (row.name.as_str(), &row.provider) {
        ("", _) => language.pick("(none)", "（无）").to_owned(),
        (name, Some(provider)) if !provider.is_empty() => format!("{provider} / {name}"),
        (name, _) => name.to_owned(),
    }
}

/// What rows are.
pub(super) const fn group_label(group: Group, language: Language) -> &'static str {
    match group {
        Group::Day => language.pick("Day", "日期"),
        Group::Model => language.pick("Model", "模型"),
        Group::Provider => language.pick("Provider", "供应商"),
        Group::Token => language.pick("Token", "令牌"),
        Group::Account => language.pick("Account", "账号"),
        Group::Tenant => language.pick("Tenant", "租户"),
        Group::App => language.pick("App", "应用"),
        Group::User => language.pick("User", "用户"),
        Group::Mode => language.pick("Sign-in", "登录方式"),
    }
}

/// Which days, and what is to be known about them.
pub(super) fn period(table: &Table, language: Language) -> String {
    let mut text = match language {
        Language::English => format!(
            "{} to {} (days of {})",
            table.from, table.to, table.time_zone
        ),
        Language::Chinese => format!(
            "{} 至 {}（{} 的自然日）",
            table.from, table.to, table.time_zone
        ),
    };
    if !table.is_complete {
        text.push_str(language.pick(
            ". The last day was not over when it was counted.",
            "。统计时最后一天尚未结束。",
        ));
    }
    if table.is_backfilling {
        text.push_str(language.pick(
            ". Earlier calls are still being counted: some numbers are too low.",
            "。较早的请求仍在统计中，部分数字偏低。",
        ));
    }
    text
}

/// The page. `source` says where the picture at a place is: `cid:…`, or the picture itself.
pub fn html(table: &Table, head: Head<'_>, source: impl Fn(usize) -> String) -> String {
    let Head {
        title,
        language,
        link,
    } = head;
    let mut page = format!(
        "<!doctype html><html lang=\"{}\"><head><meta charset=\"utf-8\"><title>{}</title></head>\
         <body style=\"{FONT};color:#1f2328;background:#ffffff\"><h1 style=\"font-size:20px\">{}</h1><p>{}</p>",
        language.code(),
        escaped(title),
        escaped(title),
        escaped(&period(table, language)),
    );
    page.push_str(&totals(table, language));
    for (at, chart) in charts(table, language).iter().enumerate() {
        let title = escaped(&chart.title);
        page.push_str(&format!(
            "<h2 style=\"font-size:15px;margin-bottom:4px\">{title}</h2>\
             <img src=\"{}\" alt=\"{title}\" width=\"600\" height=\"160\" style=\"display:block;max-width:100%;height:auto\">\
             <p style=\"font-size:13px;color:#57606a;margin-top:4px\">{}</p>",
            escaped(&source(at)),
            chart.caption,
        ));
    }
    page.push_str(&rows(table, language));
    if !link.is_empty() {
        let link = escaped(link);
        let open = language.pick("Open in the console", "在控制台中打开");
        page.push_str(&format!("<p><a href=\"{link}\">{open}</a></p>"));
    }
    page.push_str("</body></html>");
    page
}

fn totals(table: &Table, language: Language) -> String {
    let mut text = format!(
        "<table style=\"border-collapse:collapse\"><caption style=\"text-align:left;font-weight:600\">{}</caption>",
        language.pick("All calls", "全部请求")
    );
    for column in &table.columns {
        text.push_str(&format!(
            "<tr><th scope=\"row\" style=\"{CELL};text-align:left;font-weight:400\">{}</th><td style=\"{CELL};text-align:right\">{}</td></tr>",
            column.label(language),
            escaped(&column.shown(table.totals.get(column.name()), &table.currency)),
        ));
    }
    text.push_str("</table>");
    text
}

fn rows(table: &Table, language: Language) -> String {
    if table.rows.is_empty() {
        let none = language.pick("There were no calls.", "没有请求。");
        return format!("<p>{none}</p>");
    }
    let mut text = format!(
        "<table style=\"border-collapse:collapse;margin-top:16px\"><tr><th scope=\"col\" style=\"{CELL};text-align:left\">{}</th>",
        group_label(table.group_by, language),
    );
    for column in &table.columns {
        text.push_str(&format!(
            "<th scope=\"col\" style=\"{CELL};text-align:right\">{}</th>",
            column.label(language)
        ));
    }
    text.push_str("</tr>");
    for row in table.rows.iter().take(ROWS_SHOWN) {
        text.push_str(&format!(
            "<tr><th scope=\"row\" style=\"{CELL};text-align:left;font-weight:400\">{}</th>",
            escaped(&named(row, language))
        ));
        for column in &table.columns {
            text.push_str(&format!(
                "<td style=\"{CELL};text-align:right\">{}</td>",
                escaped(&column.shown(row.values.get(column.name()), &table.currency))
            ));
        }
        text.push_str("</tr>");
    }
    text.push_str("</table>");
    if table.rows.len() > ROWS_SHOWN {
        text.push_str(&match language {
            Language::English => format!(
                "<p>The first {ROWS_SHOWN} of {} rows; the file has them all.</p>",
                table.rows.len()
            ),
            Language::Chinese => format!(
                "<p>此处显示 {} 行中的前 {ROWS_SHOWN} 行，完整内容见文件。</p>",
                table.rows.len()
            ),
        });
    }
    if table.is_truncated {
        let more = language.pick(
            "There are more; the report is limited to these.",
            "还有更多，报表只包含以上部分。",
        );
        text.push_str(&format!("<p>{more}</p>"));
    }
    text
}
