use std::sync::Arc;

use actix_web::http::StatusCode;
use serde_json::{Value, json};
use steward_actors::domain::record::Record;
use steward_actors::domain::rid::Rid;
use steward_actors::domain::setting::Settings;
use steward_actors::ledger_store::{self, Batch};
use steward_actors::reports::look;
use steward_entities::database::begin_write;
use steward_entities::{report, role, tenant};

use super::REPORTS_MAX;
use super::run::perform;
use crate::testing::{Ask, START, World};

const REPORTS: &str = "/api/v1/reports";
/// Where a run is had as a file.
fn export(report: &str, run: &str, format: &str) -> String {
    let report = report.rsplit('/').next().unwrap();
    format!("{REPORTS}/export?report={report}&run={run}&format={format}")
}

const HOUR: i64 = 3_600_000_000;

/// Two weeks of calls, one every hour.
async fn with_calls(world: &World) {
    let call = |n: i64| {
        let at = START - n * HOUR;
        Record {
            rid: Rid::floor_of_ms(at / 1_000).0,
            id_tail: 9_000 + n.unsigned_abs(),
            token_id: 1 + n % 2,
            token_public_id: format!("tok_{}", 1 + n % 2),
            token_name: format!("token {}", 1 + n % 2),
            tenant_id: n % 2,
            tenant_public_id: if n % 2 == 1 { "ten_1" } else { "" }.into(),
            tenant_name: "Kimono".into(),
            provider: "openai".into(),
            model: ["gpt-5", "gpt-4o", "模型"][(n % 3) as usize].into(),
            request_at: at,
            response_at: at + 1_000,
            duration_ms: 10 * n,
            prompt_tokens: n,
            completion_tokens: 2,
            total_tokens: n + 2,
            status_code: 200,
            success: true,
            priced: true,
            cost_nano: 7_100_000 * n,
            currency: "CNY".into(),
            ..Record::default()
        }
    };
    let records: Vec<(u64, Record)> = (1..=336_u64).map(|n| (n, call(n.cast_signed()))).collect();
    let store = ledger_store::open(&world.database.ledger, world.state.time_zone);
    store.prepare(START / 1_000).await.unwrap();
    for part in records.chunks(50) {
        let batch = Batch {
            node: 0,
            entries: part,
            upto_seq: part.last().unwrap().0,
            now_micros: START,
        };
        store.write(batch).await.unwrap();
    }
}

/// Both databases, by one body.
macro_rules! on_both {
    ($($sqlite:ident $postgres:ident $run:ident;)*) => {$(
        #[actix_web::test]
        async fn $sqlite() {
            $run(World::sqlite().await).await;
        }

        #[actix_web::test]
        async fn $postgres() {
            $run(World::postgres().await).await;
        }
    )*};
}

on_both! {
    a_report_says_what_statistics_say a_report_says_what_statistics_say_postgres agrees;
    reports_are_made_changed_and_removed reports_are_made_changed_and_removed_postgres lives;
    a_tenant_has_reports_of_its_own a_tenant_has_reports_of_its_own_postgres tenants;
}

async fn agrees(world: World) {
    with_calls(&world).await;
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let get = async |path: &str| {
        let answer = Ask::get(path).bearer(&root).to(&app).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        answer
    };
    let columns = json!([
        "request_count",
        "success_rate",
        "total_tokens",
        "p95_duration_ms",
        "cost",
        "cost_cny"
    ]);
    // It is half past two on the 16th where the report and the statistics are at home.
    let dates = "from=2026-03-09&to=2026-03-15&currency=CNY";
    for group in [
        "model", "day", "token", "tenant", "provider", "account", "user", "app", "mode",
    ] {
        let new = json!({"name": format!("by {group}"), "range": "7d", "group_by": group, "columns": columns,
            "currency": "CNY", "sort": "tokens"});
        let made = Ask::post(REPORTS, new).bearer(&root).to(&app).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        let path = format!("{REPORTS}/{}", made.body["id"].as_str().unwrap());
        let asked = Ask::post(&format!("{path}/run"), json!({}))
            .bearer(&root)
            .to(&app)
            .await;
        assert_eq!(asked.status, StatusCode::ACCEPTED, "{asked:?}");
        assert_eq!(asked.body["job"]["kind"], "reports.run");
        let run = asked.body["run"]["id"].as_str().unwrap();
        // Started twice it counts once.
        perform(&world.state, run).await.unwrap();
        perform(&world.state, run).await.unwrap();
        let told = get(&format!("{path}/runs/{run}")).await.body;
        assert_eq!(told["state"], "done", "{told}");
        let table = &told["table"];
        assert_eq!(
            (&table["from"], &table["to"]),
            (&json!("2026-03-09"), &json!("2026-03-15"))
        );
        assert_eq!(table["is_complete"], true);
        let statistics = match group {
            "day" => {
                get(&format!("/api/v1/stats/trend?by=day&{dates}"))
                    .await
                    .body
            }
            by => {
                let path = format!("/api/v1/stats/top?by={by}&sort=tokens&limit=100&{dates}");
                get(&path).await.body
            }
        };
        let items = statistics["items"].as_array().unwrap();
        let rows = table["rows"].as_array().unwrap();
        assert_eq!(rows.len(), items.len(), "{group}");
        assert!(!rows.is_empty());
        for (row, item) in rows.iter().zip(items) {
            for column in columns.as_array().unwrap() {
                let column = column.as_str().unwrap();
                assert_eq!(
                    row["values"][column], item[column],
                    "{group} {column}: {row}"
                );
            }
            if group != "day" {
                assert_eq!(row["name"], item["name"]);
            }
        }
        let total = get(&format!("/api/v1/stats/cost?{dates}")).await.body["total"].clone();
        for column in columns.as_array().unwrap() {
            let column = column.as_str().unwrap();
            assert_eq!(table["totals"][column], total[column], "{group} {column}");
        }
        assert_eq!(table["totals"]["request_count"], 7 * 24, "{group}");
        assert_eq!(table["days"].as_array().unwrap().len(), 7);
        let file = get(&export(&path, run, "csv")).await;
        let mut lines = csv::Reader::from_reader(file.text.as_bytes());
        let head = lines.headers().unwrap().clone();
        let at = head
            .iter()
            .position(|name| name == "request_count")
            .unwrap();
        let sums = lines
            .records()
            .map(|line| line.unwrap()[at].parse::<i64>().unwrap());
        let of_rows: i64 = rows
            .iter()
            .map(|row| row["values"]["request_count"].as_i64().unwrap())
            .sum();
        assert_eq!(sums.sum::<i64>(), of_rows, "{}", file.text);
    }
    // With a filter, fewer rows than there are, and the page with its pictures.
    let new = json!({"name": "one", "range": "2026-03-10..2026-03-12", "group_by": "model", "limit": 1,
        "filters": {"token_id": "tok_1"}, "language": "zh-CN"});
    let made = Ask::post(REPORTS, new).bearer(&root).to(&app).await.body;
    let path = format!("{REPORTS}/{}", made["id"].as_str().unwrap());
    let asked = Ask::post(&format!("{path}/run"), json!({}))
        .bearer(&root)
        .to(&app)
        .await
        .body;
    let run = asked["run"]["id"].as_str().unwrap();
    let early = Ask::get(&export(&path, run, "csv")).bearer(&root);
    assert_eq!(early.to(&app).await.status, StatusCode::NOT_FOUND);
    perform(&world.state, run).await.unwrap();
    let told = get(&format!("{path}/runs/{run}")).await.body;
    assert_eq!(told["table"]["rows"].as_array().unwrap().len(), 1);
    assert_eq!(told["table"]["is_truncated"], true);
    let same = "from=2026-03-10&to=2026-03-12&token_id=tok_1";
    let total = get(&format!("/api/v1/stats/overview?{same}")).await.body;
    assert_eq!(
        told["table"]["totals"]["request_count"],
        total["request_count"]
    );
    assert_eq!(total["request_count"], 36);
    let page = get(&export(&path, run, "html")).await;
    assert!(
        page.text.contains("data:image/png;base64,iVBOR"),
        "{}",
        page.text
    );
    assert!(page.text.contains("请求数"));
    let shown = get(&path).await.body;
    assert_eq!(shown["last_run"]["row_count"], 1);
    assert_eq!(shown["last_error"], Value::Null);
    // What statistics do not answer is said, not left out: the log no longer has these days.
    let mut settings = Settings::clone(&world.state.settings.load());
    settings.retention.request_logs_days = 30;
    world.state.settings.store(Arc::new(settings));
    let new = json!({"name": "too much", "range": "366d", "group_by": "user", "filters": {"app": "x", "tenant_id": "ten_1"}});
    let made = Ask::post(REPORTS, new).bearer(&root).to(&app).await.body;
    let path = format!("{REPORTS}/{}", made["id"].as_str().unwrap());
    let asked = Ask::post(&format!("{path}/run"), json!({}))
        .bearer(&root)
        .to(&app)
        .await
        .body;
    let why = perform(&world.state, asked["run"]["id"].as_str().unwrap())
        .await
        .unwrap_err();
    assert!(why.contains("retention.request_logs_days"), "{why}");
    assert_eq!(get(&path).await.body["last_error"], json!(why));
}

async fn lives(world: World) {
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let viewer = world.signed_in("eve", "ops_viewer").await;
    let post = |body| Ask::post(REPORTS, body).bearer(&root);
    let schedule = json!({"every": "week", "at": "08:00", "weekday": 1});
    let new = json!({"name": " weekly ", "group_by": "model", "range": "last_week", "schedule": schedule});
    let made = post(new.clone()).to(&app).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.body["name"], "weekly");
    assert_eq!(made.body["time_zone"], "Asia/Shanghai");
    assert_eq!(
        made.body["schedule"],
        json!({"every": "week", "at": "08:00", "weekday": 1, "day": null})
    );
    // Half past two on Monday.
    assert_eq!(made.body["next_run_at"], "2026-03-16T00:00:00.000Z");
    let barred = Ask::post(REPORTS, new).bearer(&viewer).to(&app).await;
    assert_eq!(barred.status, StatusCode::FORBIDDEN);
    for (field, bad) in [
        ("range", json!({"range": "yesterday"})),
        ("time_zone", json!({"time_zone": "Mars/Olympus"})),
        ("columns[1]", json!({"columns": ["cost", "costs"]})),
        ("columns[1]", json!({"columns": ["cost", "cost"]})),
        ("columns", json!({"columns": []})),
        ("limit", json!({"limit": 0})),
        (
            "schedule.at",
            json!({"schedule": {"every": "day", "at": "25:00"}}),
        ),
        (
            "schedule.weekday",
            json!({"schedule": {"every": "week", "at": "08:00"}}),
        ),
        (
            "schedule.day",
            json!({"schedule": {"every": "month", "at": "08:00", "day": 32}}),
        ),
        ("channel_id", json!({"channel_id": "chn_nobody"})),
        ("name", json!({"name": " "})),
    ] {
        let mut body = json!({"name": "x", "group_by": "day"});
        body.as_object_mut()
            .unwrap()
            .extend(bad.as_object().unwrap().clone());
        let refused = post(body).to(&app).await;
        assert_eq!(
            refused.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{refused:?}"
        );
        assert_eq!(refused.body["errors"][0]["field"], field, "{refused:?}");
    }
    let path = format!("{REPORTS}/{}", made.body["id"].as_str().unwrap());
    // Whoever may not see the figures has no report made or changed that tells them.
    let txn = begin_write(&world.state.databases.control).await.unwrap();
    let blind = ["read:reports", "write:reports"]
        .map(str::to_owned)
        .to_vec();
    role::insert(&txn, "blind".to_owned(), blind, START)
        .await
        .unwrap();
    txn.commit().await.unwrap();
    let blind = world.signed_in("joe", "blind").await;
    let changed = Ask::patch(&path, json!({"name": "y"}))
        .bearer(&blind)
        .to(&app)
        .await;
    assert_eq!(changed.status, StatusCode::FORBIDDEN);
    let made = Ask::post(REPORTS, json!({"name": "x", "group_by": "day"})).bearer(&blind);
    assert_eq!(made.to(&app).await.status, StatusCode::FORBIDDEN);
    let patch = |body| {
        Ask::patch(&path, body)
            .bearer(&root)
            .header("if-match", "\"1\"")
    };
    let daily =
        json!({"schedule": {"every": "day", "at": "18:35"}, "currency": "USD", "time_zone": "UTC"});
    let changed = patch(daily.clone()).to(&app).await;
    let due = "2026-03-15T18:35:00.000Z";
    assert_eq!(changed.body["next_run_at"], due, "{changed:?}");
    assert_eq!(
        (&changed.body["currency"], &changed.body["version"]),
        (&json!("USD"), &json!(2))
    );
    let stale = patch(json!({"name": "late"})).to(&app).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    // A turn that has come and is not taken yet is not lost by saying the same again.
    world.clock.advance_micros(6 * 60_000_000);
    let mut same = daily;
    same["enabled"] = json!(true);
    let same = Ask::patch(&path, same).bearer(&root).to(&app).await;
    assert_eq!(same.body["next_run_at"], due, "{same:?}");
    let later = json!({"schedule": {"every": "day", "at": "18:34"}});
    let later = Ask::patch(&path, later).bearer(&root).to(&app).await;
    assert_eq!(later.body["next_run_at"], "2026-03-16T18:34:00.000Z");
    let off = Ask::patch(&path, json!({"enabled": false, "currency": null})).bearer(&root);
    let off = off.to(&app).await.body;
    assert_eq!(
        (&off["next_run_at"], &off["currency"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(off["schedule"]["every"], "day");
    // Of what is disabled nothing is due; on demand it runs, and nobody can be told without a channel.
    assert_eq!(
        look(&world.state.databases, START + 90 * 24 * HOUR)
            .await
            .unwrap(),
        0
    );
    let run = |body| Ask::post(&format!("{path}/run"), body);
    assert_eq!(
        run(json!({})).bearer(&viewer).to(&app).await.status,
        StatusCode::FORBIDDEN
    );
    let refused = run(json!({"deliver": true})).bearer(&root).to(&app).await;
    assert_eq!(refused.body["errors"][0]["field"], "deliver", "{refused:?}");
    let asked = run(json!({})).bearer(&root).to(&app).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED);
    let twice = run(json!({})).bearer(&root).to(&app).await;
    assert_eq!(twice.status, StatusCode::CONFLICT);
    perform(&world.state, asked.body["run"]["id"].as_str().unwrap())
        .await
        .unwrap();
    let runs = Ask::get(&format!("{path}/runs"))
        .bearer(&viewer)
        .to(&app)
        .await;
    assert_eq!(
        (&runs.body["total"], &runs.body["items"][0]["state"]),
        (&json!(1), &json!("done"))
    );
    let list = Ask::get(REPORTS).bearer(&viewer).to(&app).await;
    assert_eq!(
        list.body["items"][0]["last_run"]["state"], "done",
        "{list:?}"
    );
    let gone = Ask::delete(&path).bearer(&root).to(&app).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(
        Ask::get(&path).bearer(&root).to(&app).await.status,
        StatusCode::NOT_FOUND
    );
    for (action, times) in [("create", 1), ("update", 4), ("run", 1), ("remove", 1)] {
        let rows = world.audited(&format!("reports.{action}")).await;
        assert_eq!(rows.len(), times, "{action}");
    }
}

async fn tenants(world: World) {
    with_calls(&world).await;
    let txn = begin_write(&world.database.control).await.unwrap();
    let kimono = tenant::insert(&txn, "Kimono".to_owned(), START)
        .await
        .unwrap();
    let other = tenant::insert(&txn, "Obi".to_owned(), START).await.unwrap();
    let reads = ["read:reports", "write:reports", "read:stats"]
        .map(str::to_owned)
        .to_vec();
    role::insert(&txn, "reader".to_owned(), reads, START)
        .await
        .unwrap();
    txn.commit().await.unwrap();
    let app = world.app().await;
    let root = world.signed_in("root", "ops_admin").await;
    let ada = world.signed_in_of_tenant("ada", "reader", kimono.id).await;
    let bob = world.signed_in_of_tenant("bob", "reader", other.id).await;
    let post = |body| Ask::post(REPORTS, body).bearer(&ada);
    for (refused, status) in [
        (
            json!({"name": "x", "group_by": "token"}),
            StatusCode::FORBIDDEN,
        ),
        (
            json!({"name": "x", "group_by": "day", "channel_id": "chn_1"}),
            StatusCode::FORBIDDEN,
        ),
    ] {
        assert_eq!(post(refused).to(&app).await.status, status);
    }
    // However many others have, a tenant has room for its own.
    let txn = begin_write(&world.database.control).await.unwrap();
    for n in 0..REPORTS_MAX {
        let new = report::NewReport {
            tenant_id: Some(other.id),
            name: format!("report {n}"),
            definition: json!({
                "range": "7d", "time_zone": "UTC", "filters": {}, "group_by": "day", "sort": "requests",
                "limit": 10, "columns": ["cost"], "currency": null, "language": "en",
            }),
            schedule: None,
            channel: None,
            enabled: false,
            next_at: None,
            created_by: "opr_1".to_owned(),
        };
        report::insert(&txn, new, START).await.unwrap();
    }
    txn.commit().await.unwrap();
    let new = json!({"name": "mine", "group_by": "day"});
    let full = Ask::post(REPORTS, new.clone()).bearer(&bob).to(&app).await;
    assert_eq!(full.body["errors"][0]["field"], "name", "{full:?}");
    let made = post(new).to(&app).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let path = format!("{REPORTS}/{}", made.body["id"].as_str().unwrap());
    let asked = Ask::post(&format!("{path}/run"), json!({}))
        .bearer(&ada)
        .to(&app)
        .await
        .body;
    let run = asked["run"]["id"].as_str().unwrap();
    perform(&world.state, run).await.unwrap();
    let told = Ask::get(&format!("{path}/runs/{run}"))
        .bearer(&ada)
        .to(&app)
        .await
        .body;
    // Every second call is the tenant's.
    assert_eq!(told["table"]["totals"]["request_count"], 7 * 12, "{told}");
    for path in [
        path.clone(),
        format!("{path}/runs"),
        format!("{path}/runs/{run}"),
    ] {
        let seen = Ask::get(&path).bearer(&bob).to(&app).await;
        assert_eq!(seen.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(
            Ask::get(&path).bearer(&root).to(&app).await.status,
            StatusCode::OK
        );
    }
    let listed = Ask::get(REPORTS).bearer(&bob).to(&app).await;
    assert_eq!(listed.body["total"], REPORTS_MAX);
    let gone = Ask::delete(&path).bearer(&bob).to(&app).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}
