use chrono::{DateTime, NaiveDate};
use chrono_tz::Tz;
use serde_json::{Value, json};

use super::chart;
use super::column::{Column, Unit};
use super::letter::{Letter, reaches};
use super::page;
use super::range::{Dates, Range};
use super::schedule::{Every, Schedule, time_of_day};
use super::table::{Day, Row, Table, plotted};
use super::{Group, Language};
use crate::domain::notice::Kind;

const SHANGHAI: Tz = Tz::Asia__Shanghai;
const BERLIN: Tz = Tz::Europe__Berlin;

fn at(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text)
        .unwrap()
        .timestamp_micros()
}

fn dates(range: &str, zone: Tz, now: &str) -> String {
    let Dates { first, last } = Range::parse(range).unwrap().dates(zone, at(now));
    format!("{first} {last}")
}

#[test]
fn which_days_are_meant_follows_from_the_date_where_the_report_is_at_home() {
    // A Sunday in Greenwich, Monday in Shanghai.
    let now = "2026-03-15T18:30:00Z";
    for (range, zone, days) in [
        ("1d", SHANGHAI, "2026-03-15 2026-03-15"),
        ("1d", Tz::UTC, "2026-03-14 2026-03-14"),
        ("7d", SHANGHAI, "2026-03-09 2026-03-15"),
        ("last_week", SHANGHAI, "2026-03-09 2026-03-15"),
        ("last_week", Tz::UTC, "2026-03-02 2026-03-08"),
        ("last_month", SHANGHAI, "2026-02-01 2026-02-28"),
        ("this_month", SHANGHAI, "2026-03-01 2026-03-16"),
        ("2025-12-30..2026-01-02", SHANGHAI, "2025-12-30 2026-01-02"),
    ] {
        assert_eq!(dates(range, zone, now), days, "{range} {zone}");
    }
    // The year turns, and a leap day.
    let new_year = "2028-01-01T00:00:00Z";
    assert_eq!(
        dates("last_month", Tz::UTC, new_year),
        "2027-12-01 2027-12-31"
    );
    let march = "2028-03-31T23:59:59Z";
    assert_eq!(dates("last_month", Tz::UTC, march), "2028-02-01 2028-02-29");
    // In Shanghai it is April by then.
    assert_eq!(
        dates("last_month", SHANGHAI, march),
        "2028-03-01 2028-03-31"
    );
}

#[test]
fn ranges_are_written_as_they_are_read() {
    for text in [
        "1d",
        "366d",
        "last_week",
        "last_month",
        "this_month",
        "2026-01-01..2026-01-31",
    ] {
        assert_eq!(Range::parse(text).unwrap().to_string(), text);
    }
    for text in [
        "",
        "0d",
        "367d",
        "d",
        "+7d",
        "-1d",
        "7",
        "yesterday",
        "2026-01-02..2026-01-01",
        "2026-01-01..2027-01-02",
        "2026-1-1..2026-01-02",
        "2026-02-30..2026-03-01",
        "99999999999d",
    ] {
        assert_eq!(Range::parse(text), None, "{text}");
    }
    assert!(serde_json::from_value::<Range>(json!("tomorrow")).is_err());
}

#[test]
fn days_are_stretches_as_long_as_clocks_make_them() {
    let day = NaiveDate::from_ymd_opt(2026, 3, 29).unwrap();
    let (from, to) = Dates {
        first: day,
        last: day,
    }
    .stretch(BERLIN);
    assert_eq!((to - from) / 3_600_000_000, 23);
    assert_eq!(from, at("2026-03-29T00:00:00+01:00"));
}

fn due(every: Every, time: &str, zone: Tz, now: &str) -> String {
    let schedule = Schedule {
        every,
        at: time_of_day(time).unwrap(),
    };
    let next = schedule.next_after(zone, at(now)).unwrap();
    DateTime::from_timestamp_micros(next)
        .unwrap()
        .with_timezone(&zone)
        .to_rfc3339()
}

#[test]
fn a_schedule_names_the_next_time_after_now() {
    let monday = Every::Week { weekday: 1 };
    let last = Every::Month { day: 31 };
    for (every, time, now, next) in [
        (
            Every::Day,
            "07:30",
            "2026-03-16T07:29:59+08:00",
            "2026-03-16T07:30:00+08:00",
        ),
        // At that time it is over.
        (
            Every::Day,
            "07:30",
            "2026-03-16T07:30:00+08:00",
            "2026-03-17T07:30:00+08:00",
        ),
        (
            monday,
            "08:00",
            "2026-03-16T07:00:00+08:00",
            "2026-03-16T08:00:00+08:00",
        ),
        (
            monday,
            "08:00",
            "2026-03-16T09:00:00+08:00",
            "2026-03-23T08:00:00+08:00",
        ),
        (
            last,
            "00:00",
            "2026-01-31T00:00:00+08:00",
            "2026-02-28T00:00:00+08:00",
        ),
        (
            last,
            "00:00",
            "2026-02-28T12:00:00+08:00",
            "2026-03-31T00:00:00+08:00",
        ),
        (
            Every::Month { day: 1 },
            "06:00",
            "2026-12-01T06:00:00+08:00",
            "2027-01-01T06:00:00+08:00",
        ),
    ] {
        assert_eq!(due(every, time, SHANGHAI, now), next, "{every:?} {now}");
    }
}

#[test]
fn clocks_that_change_make_it_due_once_a_day() {
    let mut now = at("2026-03-27T12:00:00Z");
    let schedule = Schedule {
        every: Every::Day,
        at: time_of_day("02:30").unwrap(),
    };
    let mut seen = Vec::new();
    for _ in 0..4 {
        now = schedule.next_after(BERLIN, now).unwrap();
        let shown = DateTime::from_timestamp_micros(now).unwrap();
        seen.push(shown.with_timezone(&BERLIN).to_rfc3339());
    }
    assert_eq!(
        seen,
        [
            "2026-03-28T02:30:00+01:00",
            // Skipped: as soon as clocks go on.
            "2026-03-29T03:00:00+02:00",
            "2026-03-30T02:30:00+02:00",
            "2026-03-31T02:30:00+02:00",
        ]
    );
    // It comes twice: the first counts, and the second is the same day's.
    let first = due(Every::Day, "02:30", BERLIN, "2026-10-25T01:00:00+02:00");
    assert_eq!(first, "2026-10-25T02:30:00+02:00");
    let next = due(Every::Day, "02:30", BERLIN, "2026-10-25T02:30:00+02:00");
    assert_eq!(next, "2026-10-26T02:30:00+01:00");
}

#[test]
fn times_and_schedules_are_read_as_written() {
    for bad in ["", "7:30", "24:00", "07:60", "07:30:00", " 7:30"] {
        assert_eq!(time_of_day(bad), None, "{bad}");
    }
    let stored = json!({"every": "month", "day": 31, "at": "07:05"});
    let schedule: Schedule = serde_json::from_value(stored.clone()).unwrap();
    assert_eq!(serde_json::to_value(schedule).unwrap(), stored);
}

fn numbers(requests: i64, cost: &str) -> super::table::Numbers {
    let told = json!({"request_count": requests, "success_rate": 0.5, "cost": cost, "p95_duration_ms": null});
    super::table::chosen(&told, &COLUMNS)
}

const COLUMNS: [Column; 4] = [
    Column::RequestCount,
    Column::SuccessRate,
    Column::P95Duration,
    Column::Cost,
];

fn table() -> Table {
    let row = |name: &str, provider: &str, requests| Row {
        name: name.to_owned(),
        id: None,
        provider: Some(provider.to_owned()),
        values: numbers(requests, "1.5"),
    };
    let day = |day: u32| Day {
        date: format!("2026-03-{day:02}"),
        values: numbers(i64::from(day), "1"),
    };
    Table {
        from: "2026-03-09".to_owned(),
        to: "2026-03-15".to_owned(),
        time_zone: "Asia/Shanghai".to_owned(),
        is_complete: true,
        is_backfilling: false,
        currency: "CNY".to_owned(),
        group_by: Group::Model,
        columns: COLUMNS.to_vec(),
        rows: vec![
            row("=cmd|' /C calc'!A0", "openai", 1_234_567),
            row("<script>alert(1)</script>", "a,b", 2),
        ],
        is_truncated: false,
        totals: numbers(1_234_569, "3"),
        days: (9..=15).map(day).collect(),
    }
}

fn letter(language: Language) -> Letter {
    Letter {
        report: "rep_1".to_owned(),
        run: "rrn_1".to_owned(),
        title: "每周 <b>\r\nBcc: eve@example.com".to_owned(),
        language,
        link: "https://ops.example.com/ops/reports?report=rep_1".to_owned(),
        at: at("2026-03-16T00:00:00Z"),
        table: table(),
    }
}

#[test]
fn a_table_as_csv_has_a_line_a_row_and_no_formula() {
    let csv = table().csv(true);
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!(
        lines[0],
        "\u{feff}name,provider,request_count,success_rate,p95_duration_ms,cost,currency"
    );
    assert_eq!(
        lines[1],
        "\"'=cmd|' /C calc'!A0\",openai,1234567,0.5,,1.5,CNY"
    );
    assert_eq!(lines[2], "<script>alert(1)</script>,\"a,b\",2,0.5,,1.5,CNY");
    assert_eq!(lines.len(), 4);
    let days = Table {
        group_by: Group::Day,
        ..table()
    };
    assert!(days.csv(false).starts_with("date,request_count"));
}

#[test]
fn numbers_are_shown_as_people_read_them() {
    for (column, value, shown) in [
        (Column::RequestCount, json!(1_234_567), "1,234,567"),
        (Column::SuccessRate, json!(0.98765), "98.77 %"),
        (Column::P95Duration, json!(1234.5), "1,234 ms"),
        (Column::P95Duration, Value::Null, "–"),
        (Column::Cost, json!("1234.5"), "1,234.5 CNY"),
        (Column::CostUsd, json!("-1200"), "-1,200 USD"),
    ] {
        assert_eq!(column.shown(Some(&value), "CNY"), shown, "{column:?}");
    }
    for column in Column::ALL {
        assert_eq!(Column::parse(column.name()), Some(*column));
        assert_eq!(
            serde_json::to_value(column).unwrap(),
            Value::from(column.name())
        );
    }
    assert_eq!(
        plotted(&COLUMNS),
        [Column::RequestCount, Column::P95Duration]
    );
    assert_eq!(plotted(&[Column::SuccessRate]), [Column::RequestCount]);
    assert_eq!(Column::SuccessRate.unit(), Unit::Share);
}

#[test]
fn bars_are_as_high_as_their_values() {
    for (values, top) in [
        (&[0.0][..], 1.0),
        (&[3.0, 1.0][..], 4.0),
        (&[8.1][..], 10.0),
        (&[100.0][..], 100.0),
        (&[101.0][..], 200.0),
        (&[0.03, f64::NAN][..], 0.04),
    ] {
        assert!((chart::top(values) - top).abs() < 1e-9, "{values:?}");
    }
    let png = chart::bars(&[4.0, 2.0, 0.0, 1.0], true).unwrap();
    let image = tiny_skia::Pixmap::decode_png(&png).unwrap();
    let high = |place: u32| {
        let x = image.width() / 4 * place + image.width() / 8;
        let colored = |y: &u32| {
            let pixel = image.pixel(x, *y).unwrap();
            let [r, g, b] = chart::color(place as usize);
            (pixel.red(), pixel.green(), pixel.blue()) == (r, g, b)
        };
        (0..image.height()).filter(colored).count()
    };
    let full = high(0) as f64;
    assert!(full > 200.0, "{full}");
    assert!((high(1) as f64 - full / 2.0).abs() <= 3.0);
    assert_eq!(high(2), 0);
    assert!((high(3) as f64 - full / 4.0).abs() <= 3.0);
    // A year of days still has room for each.
    assert!(chart::bars(&[1.0; 366], false).is_ok());
}

#[test]
fn a_mail_has_the_page_its_pictures_and_the_file() {
    for (language, word) in [
        (Language::English, "Requests"),
        (Language::Chinese, "请求数"),
    ] {
        let mail = letter(language).mail("msg_1", "example.com").unwrap();
        // Two units over the days, and those that lead.
        assert_eq!(mail.images.len(), 3);
        for image in &mail.images {
            assert!(mail.html.contains(&format!("\"cid:{}\"", image.name)));
            assert!(tiny_skia::Pixmap::decode_png(&image.bytes).is_ok());
        }
        assert_eq!(mail.files[0].name, "report-2026-03-09-2026-03-15.csv");
        assert_eq!(mail.files[0].bytes, table().csv(true).into_bytes());
        assert!(mail.html.contains(word) && mail.text.contains(word));
        assert!(!mail.html.contains("<script>") && !mail.html.contains("<b>"));
        assert!(!mail.subject.contains(['\r', '\n']), "{}", mail.subject);
        assert_eq!(mail.message_id, "<msg_1@example.com>");
        // The same on every attempt.
        assert_eq!(letter(language).mail("msg_1", "example.com").unwrap(), mail);
    }
}

#[test]
fn programs_get_numbers_up_to_a_bound_and_chats_a_few_lines() {
    let mut letter = letter(Language::English);
    let payload = letter.payload();
    assert_eq!(payload["type"], "report.ready");
    assert_eq!(payload["data"]["totals"]["request_count"], 1_234_569);
    assert_eq!(payload["data"]["rows"].as_array().unwrap().len(), 2);
    assert_eq!(payload["data"]["is_truncated"], false);
    let row = letter.table.rows[0].clone();
    letter.table.rows = vec![row; 1_000];
    let payload = letter.payload();
    assert_eq!(payload["data"]["rows"].as_array().unwrap().len(), 500);
    assert_eq!(payload["data"]["row_count"], 1_000);
    assert_eq!(payload["data"]["is_truncated"], true);
    assert!(letter.said().chars().count() <= 2_000);
    assert!(reaches(None) && reaches(Some(Kind::Webhook)));
    assert!(!reaches(Some(Kind::Pagerduty)));
    // A page shows so many rows, and says so.
    let html = page::html(&letter.table, letter.head(), |_| String::new());
    assert!(html.contains("The first 200 of 1000 rows"));
}
