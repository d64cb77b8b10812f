//! The request log as a file.

use std::collections::BTreeSet;

use http::Method;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::{Value, json};

use crate::support::{App, eventually};

/// More rows than one step reads.
const MANY: usize = 1_203;

async fn book(app: &App) {
    let record = |n: usize| {
        json!({"id": n.to_string(), "provider": "openai", "model": "=HYPERLINK(\"x\")", "user": "李, 雷",
            "request_at": "2026-01-01T00:00:00Z", "prompt_tokens": n})
    };
    for from in (0..MANY).step_by(1_000) {
        let records: Vec<Value> = (from..MANY.min(from + 1_000)).map(record).collect();
        app.api_as(
            &app.key,
            Method::POST,
            "ingest/records",
            Some(json!({"records": records})),
        )
        .await
        .expect_status(200);
    }
    eventually("every record's row", || async {
        let page = app.get("logs/requests?limit=1&sort=request_at").await;
        let newest = app.get("logs/requests?limit=1").await;
        (newest["items"][0]["prompt_tokens"] == MANY - 1 && page["items"][0]["prompt_tokens"] == 0)
            .then_some(())
    })
    .await;
}

fn cell<'a>(row: &'a Row, name: &str) -> &'a Field {
    let mut cells = row.get_column_iter();
    cells.find(|(known, _)| *known == name).unwrap().1
}

#[tokio::test]
async fn every_row_is_in_the_file_once_in_every_format() {
    let app = App::serving().await;
    book(&app).await;
    let file = |query: &str| {
        let path = format!("logs/requests/export?{query}");
        let app = &app;
        async move { app.api(Method::GET, &path, None).await.expect_status(200) }
    };
    let expected: Vec<i64> = (0..MANY as i64).rev().collect();
    let tokens = |items: &[Value]| -> Vec<i64> {
        items
            .iter()
            .map(|item| item["prompt_tokens"].as_i64().unwrap())
            .collect()
    };

    let lines = file("format=jsonl").await;
    assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
    let disposition = lines.header("content-disposition").unwrap();
    assert!(disposition.contains("requests.jsonl"), "{disposition}");
    let text = lines.text();
    let items: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(tokens(&items), expected);

    let whole = file("format=json").await.json();
    assert_eq!(whole.as_array().unwrap(), &items);
    assert_eq!(app.get("logs/requests?limit=1").await["items"][0], items[0]);

    let csv = file("format=csv&bom=true").await.text();
    let csv = csv.strip_prefix('\u{feff}').expect("a byte-order mark");
    let mut lines = csv.split_terminator("\r\n");
    let columns: BTreeSet<&str> = lines.next().unwrap().split(',').collect();
    let fields: BTreeSet<&str> = items[0]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(columns, fields);
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), MANY);
    assert!(lines[0].contains(r#""'=HYPERLINK(""x"")""#), "{}", lines[0]);
    assert!(lines[0].contains("\"李, 雷\""), "{}", lines[0]);

    let table = file("format=parquet").await;
    assert_eq!(
        table.header("content-type"),
        Some("application/vnd.apache.parquet")
    );
    let table = SerializedFileReader::new(table.body.clone()).unwrap();
    let rows: Vec<Row> = table
        .get_row_iter(None)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let names: BTreeSet<&str> = rows[0]
        .get_column_iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, fields);
    let read: Vec<i64> = rows
        .iter()
        .map(|row| match cell(row, "prompt_tokens") {
            Field::Long(tokens) => *tokens,
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(read, expected);
    let first = |name| cell(&rows[0], name).clone();
    assert_eq!(
        first("id"),
        Field::Str(items[0]["id"].as_str().unwrap().into())
    );
    assert_eq!(first("user_name"), Field::Str("李, 雷".into()));
    assert_eq!(
        first("request_at"),
        Field::TimestampMicros(1_767_225_600_000_000)
    );
    assert_eq!(
        (first("cost"), first("priced")),
        (Field::Null, Field::Bool(false))
    );

    // The list's filters, one that nothing passes, and words that nobody knows.
    assert_eq!(file("format=jsonl&model=other").await.text(), "");
    assert_eq!(file("format=json&model=other").await.text(), "[]\n");
    let none = file("format=parquet&model=other").await.body.clone();
    let none = SerializedFileReader::new(none).unwrap();
    assert_eq!(none.metadata().file_metadata().num_rows(), 0);
    for (query, status) in [("format=xml", 400), ("", 400)] {
        let path = format!("logs/requests/export?{query}");
        app.api(Method::GET, &path, None)
            .await
            .expect_status(status);
    }
    app.api_as("", Method::GET, "logs/requests/export?format=csv", None)
        .await
        .expect_status(401);
}
