//! `remote_backup` against PostgREST as its documentation describes it, through outages in virtual time, and against a
//! real PostgreSQL server.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Map, Value, json};
use steward_actors::domain::clock::{Clock, ManualClock};
use steward_actors::outward::{Call, Outward, Reply};
use steward_actors::remote::{Address, Kind, table_sql};
use steward_actors::supervision::ActorRef;
use steward_actors::tree::upkeep::remote_backup::{Parts, Round, opened, round, spec};
use steward_actors::vault::Vault;
use steward_entities::database::DatabaseConfig;
use steward_entities::{dashboard_stats, remote_backup};
use steward_migration::testing::TestDatabase;

use crate::{committed, eventually, on_both, supervised};

on_both!(
    three_days_of_outage_lose_and_double_nothing,
    a_day_that_is_never_taken_holds_up_no_other,
    a_remote_that_is_broken_or_misset_costs_no_day,
    old_days_go_there_counted_back_from_the_newest,
    nodes_take_turns,
    it_pushes_by_itself,
);

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;
/// 2026-03-01T00:00:00Z.
const START: i64 = 1_772_323_200_000_000;
const KEY: &str = "sb_secret_canary";

/// What the server does with the next call.
#[derive(Debug)]
enum Does {
    Answers(u16, Option<&'static str>, Value),
    /// Stores, and the answer is lost.
    TakesAndHangs,
}

/// PostgREST in front of the one table, and Supabase's gate in front of that.
#[derive(Debug, Default)]
struct Postgrest {
    rows: Mutex<BTreeMap<String, Map<String, Value>>>,
    orders: Mutex<VecDeque<Does>>,
    down: Mutex<bool>,
    /// Every write breaks the server.
    breaks: Mutex<bool>,
    missing: Mutex<bool>,
    calls: Mutex<Vec<Call>>,
}

/// Rows of one answer at most, whatever is asked for (`db-max-rows`).
const MAX_ROWS: usize = 2;

fn answer(status: u16, body: &Value) -> Reply {
    Reply {
        status,
        retry_after: None,
        body: match body {
            Value::Null => Default::default(),
            body => body.to_string().into(),
        },
    }
}

fn refusal(status: u16, code: &str, message: &str) -> Reply {
    let body = json!({"code": code, "details": null, "hint": null, "message": message});
    answer(status, &body)
}

impl Postgrest {
    fn dates(&self) -> Vec<String> {
        self.rows.lock().keys().cloned().collect()
    }

    fn writes(&self) -> usize {
        let calls = self.calls.lock();
        calls.iter().filter(|call| call.method == "POST").count()
    }

    fn answer(&self, call: &Call) -> Reply {
        let header = |name: &str| {
            let found = call.headers.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.as_str())
        };
        match header("apikey") {
            None => {
                let body = json!({"message": "No API key found in request", "hint": "No `apikey` request header or url param was found."});
                return answer(401, &body);
            }
            Some(KEY) => {}
            Some(_) => {
                let body = json!({"message": "Invalid API key", "hint": "Double check your Supabase `anon` or `service_role` API key."});
                return answer(401, &body);
            }
        }
        // A new key as a bearer is no JWT.
        if header("authorization").is_some() {
            return refusal(401, "PGRST301", "Expected 3 parts in JWT; got 1");
        }
        let (path, query) = call.url.split_once('?').unwrap_or((&call.url, ""));
        if path != "https://project.supabase.co/rest/v1/dashboard_stats" || *self.missing.lock() {
            let mut body = json!({"code": "PGRST205", "details": null});
            body["message"] =
                json!("Could not find the table 'public.dashboard_stats' in the schema cache");
            body["hint"] = json!("Perhaps you meant the table 'public.stats'");
            return answer(404, &body);
        }
        let query: BTreeMap<&str, &str> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .collect();
        match call.method {
            "POST" => self.write(call, &query, header("prefer").unwrap_or_default()),
            "GET" => self.read(&query),
            "DELETE" => {
                let before = query["stat_date"].strip_prefix("lt.").unwrap();
                self.rows.lock().retain(|date, _| date.as_str() >= before);
                answer(204, &Value::Null)
            }
            _ => refusal(405, "PGRST117", "Unsupported HTTP method"),
        }
    }

    fn write(&self, call: &Call, query: &BTreeMap<&str, &str>, prefer: &str) -> Reply {
        if *self.breaks.lock() {
            return Reply {
                status: 500,
                body: "<html>Internal Server Error</html>".into(),
                ..Reply::default()
            };
        }
        let rows: Vec<Map<String, Value>> = serde_json::from_slice(&call.body).unwrap();
        let shapes: BTreeSet<Vec<&String>> = rows.iter().map(|row| row.keys().collect()).collect();
        if shapes.len() > 1 {
            return refusal(400, "PGRST102", "All object keys must match");
        }
        let date = |row: &Map<String, Value>| row["stat_date"].as_str().unwrap().to_owned();
        let dates: BTreeSet<String> = rows.iter().map(date).collect();
        let merges = prefer.contains("resolution=merge-duplicates")
            && query.get("on_conflict") == Some(&"stat_date");
        if dates.len() < rows.len() {
            let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
            return refusal(500, "21000", message);
        }
        if !merges && self.rows.lock().keys().any(|known| dates.contains(known)) {
            return refusal(
                409,
                "23505",
                "duplicate key value violates unique constraint",
            );
        }
        for row in &rows {
            match row["ai_requests"].as_i64().unwrap() {
                13 => return refusal(400, "23514", "new row violates check constraint"),
                666 => return refusal(500, "XX000", "cache lookup failed"),
                _ => {}
            }
        }
        self.rows
            .lock()
            .extend(rows.into_iter().map(|row| (date(&row), row)));
        answer(201, &Value::Null)
    }

    fn read(&self, query: &BTreeMap<&str, &str>) -> Reply {
        let filter = query.get("stat_date").copied().unwrap_or("gte.");
        let (with, from) = filter.split_once('.').unwrap();
        let rows = self.rows.lock();
        let found = rows
            .iter()
            .filter(|(date, _)| match with {
                "gt" => date.as_str() > from,
                _ => date.as_str() >= from,
            })
            .map(|(_, row)| row.clone())
            .take(MAX_ROWS);
        answer(200, &json!(found.collect::<Vec<_>>()))
    }
}

#[async_trait::async_trait]
impl Outward for Postgrest {
    async fn call(&self, call: Call) -> Result<Reply, String> {
        self.calls.lock().push(call.clone());
        if *self.down.lock() {
            return Err("Connection refused (os error 111)".to_owned());
        }
        let order = self.orders.lock().pop_front();
        match order {
            None => Ok(self.answer(&call)),
            Some(Does::Answers(status, retry_after, body)) => Ok(Reply {
                retry_after: retry_after.map(str::to_owned),
                ..answer(status, &body)
            }),
            Some(Does::TakesAndHangs) => {
                self.answer(&call);
                Err(format!("no answer within {} s", call.within.as_secs()))
            }
        }
    }

    async fn addresses(&self, _: &str, _: u16) -> Result<Vec<SocketAddr>, String> {
        Err("not asked for here".to_owned())
    }
}

struct World {
    parts: Parts,
    clock: Arc<ManualClock>,
    there: Arc<Postgrest>,
}

impl World {
    async fn on(database: &TestDatabase) -> Self {
        let there = Arc::new(Postgrest::default());
        let clock = Arc::new(ManualClock::at_micros(START));
        let parts = Parts {
            databases: (**database).clone(),
            vault: Arc::new(Vault::open(database.dir()).unwrap()),
            outward: there.clone(),
            clock: clock.clone(),
            standing: Arc::default(),
        };
        let address = Address {
            url: "https://project.supabase.co".into(),
            key: Some(KEY.into()),
        };
        set(&parts, Kind::Postgrest, &address).await;
        Self {
            parts,
            clock,
            there,
        }
    }

    /// A day's calls, as the aggregator writes them.
    async fn day(&self, date: &str, requests: i64) {
        write_day(&self.parts, date, requests).await;
    }

    async fn round(&self) -> Round {
        round(&self.parts, false).await.unwrap()
    }

    async fn state(&self) -> remote_backup::Model {
        remote_backup::get(&self.parts.databases.control)
            .await
            .unwrap()
            .unwrap()
    }

    async fn waiting(&self) -> u64 {
        dashboard_stats::backlog(&self.parts.databases.control)
            .await
            .unwrap()
            .rows
    }

    /// Date and calls of every day here.
    async fn here(&self) -> Vec<(String, i64)> {
        let rows = dashboard_stats::list(&self.parts.databases.control, "", "9999");
        let rows = rows.await.unwrap().into_iter();
        rows.map(|row| (row.stat_date, row.ai_requests)).collect()
    }

    /// The same there.
    fn there(&self) -> Vec<(String, i64)> {
        let rows = self.there.rows.lock();
        let each = rows
            .iter()
            .map(|(date, row)| (date.clone(), row["ai_requests"].as_i64().unwrap()));
        each.collect()
    }
}

async fn set(parts: &Parts, kind: Kind, address: &Address) {
    let sealed = address.seal(&parts.vault).unwrap();
    let said = remote_backup::Said {
        kind: kind.as_str().into(),
        shown: String::new(),
        table_name: "dashboard_stats".into(),
        sealed: sealed.bytes,
        sealed_key_id: sealed.key_id,
        enabled: true,
        interval_s: 3_600,
        keep_days: 0,
        by: String::new(),
    };
    committed(&parts.databases, async |txn| {
        remote_backup::insert(txn, said, parts.clock.now_micros()).await
    })
    .await;
}

async fn write_day(parts: &Parts, date: &str, requests: i64) {
    let day = dashboard_stats::Day {
        stat_date: date.to_owned(),
        daily_active_users: 3,
        jwt_active_users: 1,
        ai_requests: requests,
        success_rate: (requests > 0).then_some(0.1 + 0.2),
        total_tokens: requests * 100,
        cost: Some((requests * 1_234_567, "USD".to_owned())),
        p95_duration_ms: None,
    };
    committed(&parts.databases, async |txn| {
        dashboard_stats::put(txn, day, parts.clock.now_micros()).await
    })
    .await;
}

async fn three_days_of_outage_lose_and_double_nothing(database: &TestDatabase) {
    let world = World::on(database).await;
    let date_at = |micros: i64| {
        let at = chrono::DateTime::from_timestamp_micros(micros).unwrap();
        at.format("%Y-%m-%d").to_string()
    };
    world.day("2026-02-28", 7).await;
    world.day("2026-03-01", 1).await;
    assert_eq!(
        world.round().await,
        Round::Pushed {
            rows: 2,
            refused: 0
        }
    );
    // Nothing is due before the interval is over.
    world.clock.advance_micros(59 * MINUTE);
    world.day("2026-03-01", 2).await;
    assert_eq!(world.round().await, Round::NotDue);

    // Dead for three days, minute by minute; calls go on, and every ten minutes the day's figures are others.
    *world.there.down.lock() = true;
    let mut requests = 2;
    let mut attempts = 0;
    for minute in 1..=3 * 24 * 60 {
        world.clock.advance_micros(MINUTE);
        if minute % 10 == 0 {
            requests += 1;
            let today = date_at(world.clock.now_micros());
            world.day(&today, requests).await;
        }
        match world.round().await {
            Round::NotDue => {}
            Round::Failed { rows, why } => {
                assert_eq!(
                    (rows, why.as_str()),
                    (0, "Connection refused (os error 111)")
                );
                attempts += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    // Soon at first, then every quarter of an hour.
    assert!((280..=300).contains(&attempts), "{attempts}");
    let state = world.state().await;
    assert_eq!(state.failing_since, Some(START + 60 * MINUTE));
    assert_eq!(state.attempts, attempts);
    let lag = dashboard_stats::backlog(&world.parts.databases.control).await;
    let lag = lag.unwrap();
    assert_eq!(lag.rows, 4);
    assert!(world.clock.now_micros() - lag.since.unwrap() > 2 * DAY);

    // It is back, but the first answer is lost on its way: what was stored is sent once more.
    *world.there.down.lock() = false;
    world.there.orders.lock().push_back(Does::TakesAndHangs);
    world.clock.advance_micros(15 * MINUTE);
    assert!(matches!(world.round().await, Round::Failed { rows: 0, .. }));
    assert_eq!(world.waiting().await, 4);
    world.clock.advance_micros(15 * MINUTE);
    assert_eq!(
        world.round().await,
        Round::Pushed {
            rows: 4,
            refused: 0
        }
    );
    assert_eq!(world.there(), world.here().await);
    assert_eq!(world.there().len(), 5);
    let state = world.state().await;
    assert_eq!((state.attempts, state.last_error), (0, None));
    assert_eq!(state.last_push_at, Some(world.clock.now_micros()));
    assert_eq!(world.waiting().await, 0);
    // Every value arrived as it was, and comparing says so.
    let remote = opened(&world.parts, &world.state().await).unwrap();
    let theirs = remote.rows_since("2026-02-28").await.unwrap();
    let mine = dashboard_stats::list(&world.parts.databases.control, "", "9999");
    let mine: Vec<_> = mine.await.unwrap();
    let mine: Vec<_> = mine
        .iter()
        .map(|row| steward_actors::remote::RemoteRow::of(row, 0))
        .collect();
    let found = steward_actors::remote::compare(&mine, &theirs);
    assert_eq!((found.equal, found.different.len()), (5, 0), "{found:?}");
}

async fn a_day_that_is_never_taken_holds_up_no_other(database: &TestDatabase) {
    let world = World::on(database).await;
    for day in 1..=9 {
        let requests = match day {
            4 => 13,
            6 => 666,
            day => day,
        };
        world.day(&format!("2026-03-0{day}"), requests).await;
    }
    assert_eq!(
        world.round().await,
        Round::Pushed {
            rows: 7,
            refused: 2
        }
    );
    let refused = dashboard_stats::refusals(&world.parts.databases.control).await;
    let refused = refused.unwrap();
    let days: Vec<&str> = refused.iter().map(|(day, _)| day.as_str()).collect();
    assert_eq!(days, ["2026-03-04", "2026-03-06"]);
    assert!(refused[0].1.contains("violates check constraint"));
    assert_eq!(world.there().len(), 7);
    // It is not offered again before it changes or somebody asks.
    world.clock.advance_micros(2 * 60 * MINUTE);
    let writes = world.there.writes();
    assert!(matches!(world.round().await, Round::Pushed { rows: 0, .. }));
    assert_eq!(world.there.writes(), writes);
    world.day("2026-03-04", 4).await;
    world.clock.advance_micros(2 * 60 * MINUTE);
    assert!(matches!(world.round().await, Round::Pushed { rows: 1, .. }));
    let asked = round(&world.parts, true).await.unwrap();
    assert!(matches!(asked, Round::Failed { rows: 0, .. }), "{asked:?}");
    assert_eq!(world.there().len(), 8);
}

async fn a_remote_that_is_broken_or_misset_costs_no_day(database: &TestDatabase) {
    let world = World::on(database).await;
    for day in 10..=29 {
        world.day(&format!("2026-02-{day}"), 100 + day).await;
    }
    let wait = 3_600 * 1_000_000;
    // 500 to everything that is written: twenty days are bisected once, and none is put aside.
    *world.there.breaks.lock() = true;
    let broken = world.round().await;
    assert!(
        matches!(broken, Round::Failed { rows: 0, .. }),
        "{broken:?}"
    );
    assert!(world.there.writes() < 45, "{}", world.there.writes());
    assert_eq!(world.waiting().await, 20);
    *world.there.breaks.lock() = false;
    // The table is not there.
    *world.there.missing.lock() = true;
    world.clock.advance_micros(wait);
    match world.round().await {
        Round::Failed { why, .. } => assert_eq!(
            why,
            "answered 404 (PGRST205): Could not find the table 'public.dashboard_stats' in the schema cache; Perhaps you meant the table 'public.stats'"
        ),
        other => panic!("{other:?}"),
    }
    *world.there.missing.lock() = false;
    // It asks for patience, and gets it.
    let body = json!({"code": "PGRST002", "message": "Could not query the database for the schema cache. Retrying."});
    let order = Does::Answers(503, Some("7200"), body);
    world.there.orders.lock().push_back(order);
    world.clock.advance_micros(wait);
    assert!(matches!(world.round().await, Round::Failed { .. }));
    world.clock.advance_micros(7_199 * 1_000_000);
    assert_eq!(world.round().await, Round::NotDue);
    // The key is none any more.
    let body = json!({"message": "Invalid API key", "hint": "Double check your Supabase API key."});
    world
        .there
        .orders
        .lock()
        .push_back(Does::Answers(401, None, body));
    world.clock.advance_micros(1_000_000);
    assert!(matches!(world.round().await, Round::Failed { .. }));
    let error = world.state().await.last_error.unwrap();
    assert!(error.contains("Invalid API key"), "{error}");
    world.clock.advance_micros(wait);
    assert!(matches!(
        world.round().await,
        Round::Pushed { rows: 20, .. }
    ));
    assert_eq!(world.there(), world.here().await);
    let told = format!("{:?}", world.there.calls.lock());
    assert!(!told.contains(KEY), "{told}");
}

async fn old_days_go_there_counted_back_from_the_newest(database: &TestDatabase) {
    let world = World::on(database).await;
    let sql = "UPDATE remote_backups SET keep_days = 3";
    database.control.execute_unprepared(sql).await.unwrap();
    for day in 1..=6 {
        world.day(&format!("2026-03-0{day}"), day).await;
    }
    world.round().await;
    let kept = ["2026-03-04", "2026-03-05", "2026-03-06"];
    assert_eq!(world.there.dates(), kept);
    // Nothing comes any more: nothing goes either.
    world.clock.advance_micros(90 * DAY);
    assert!(matches!(world.round().await, Round::Pushed { rows: 0, .. }));
    assert_eq!(world.there.dates(), kept);
}

async fn nodes_take_turns(database: &TestDatabase) {
    let world = World::on(database).await;
    world.day("2026-03-01", 1).await;
    // Another node has begun, and died.
    let now = world.clock.now_micros();
    let claimed = committed(database, async |txn| {
        remote_backup::claim(txn, false, now, now + 120_000_000).await
    })
    .await;
    assert!(claimed);
    assert_eq!(world.round().await, Round::Taken);
    world.clock.advance_micros(120_000_000);
    assert!(matches!(world.round().await, Round::Pushed { rows: 1, .. }));
}

async fn it_pushes_by_itself(database: &TestDatabase) {
    let world = World::on(database).await;
    world.day("2026-03-01", 1).await;
    let tree = supervised(spec(&ActorRef::new(4), world.parts.clone()));
    eventually("the day to arrive", async || {
        (world.there.dates() == ["2026-03-01"]).then_some(())
    })
    .await;
    tree.shutdown(std::time::Duration::from_secs(5)).await;
}

/// Names resolve as the machine resolves them.
#[derive(Debug)]
struct Plain;

#[async_trait::async_trait]
impl Outward for Plain {
    async fn call(&self, _: Call) -> Result<Reply, String> {
        Err("not asked for here".to_owned())
    }

    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let found = tokio::net::lookup_host((host, port)).await;
        Ok(found.map_err(|error| error.to_string())?.collect())
    }
}

#[actix::test]
async fn a_postgres_server_takes_what_postgrest_takes() {
    let there = TestDatabase::postgres().await;
    let DatabaseConfig::Postgres { url } = there.config() else {
        panic!("a PostgreSQL database has a URL");
    };
    // Only a server that is there: the product's own table would be found in the schema named like its user.
    let own = "DROP SCHEMA steward CASCADE";
    there.control.execute_unprepared(own).await.unwrap();
    let here = TestDatabase::sqlite().await;
    let clock = Arc::new(ManualClock::at_micros(START));
    let parts = Parts {
        databases: (*here).clone(),
        vault: Arc::new(Vault::open(here.dir()).unwrap()),
        outward: Arc::new(Plain),
        clock: clock.clone(),
        standing: Arc::default(),
    };
    let plain = url.split('?').next().unwrap();
    let address = |url: String| Address { url, key: None };
    set(
        &parts,
        Kind::Postgres,
        &address(format!("{plain}?sslmode=disable")),
    )
    .await;
    for day in 1..=9 {
        write_day(&parts, &format!("2026-03-0{day}"), day).await;
    }
    // The table is not there yet: it says so, and nothing is put aside.
    match round(&parts, false).await.unwrap() {
        Round::Failed { rows: 0, why } => assert!(why.contains("42P01"), "{why}"),
        other => panic!("{other:?}"),
    }
    let on_server = async |sql: String| {
        let connection = sea_orm::Database::connect(url).await.unwrap();
        connection.execute_unprepared(&sql).await.unwrap();
        let counted = Statement::from_string(
            DbBackend::Postgres,
            "SELECT count(*) AS many, count(DISTINCT stat_date) AS days, coalesce(sum(ai_requests), 0)::bigint AS requests, \
             coalesce(sum(cost), 0)::text AS cost FROM dashboard_stats",
        );
        let row = connection.query_one_raw(counted).await.unwrap().unwrap();
        let number = |name: &str| row.try_get::<i64>("", name).unwrap();
        let cost: String = row.try_get("", "cost").unwrap();
        connection.close().await.unwrap();
        (number("many"), number("days"), number("requests"), cost)
    };
    // Made by the statement that is shown; a constraint of its owner's refuses one day.
    let made = format!(
        "{} ALTER TABLE dashboard_stats ADD CHECK (ai_requests <> 4)",
        table_sql("dashboard_stats")
    );
    on_server(made).await;
    clock.advance_micros(MINUTE);
    assert_eq!(
        round(&parts, false).await.unwrap(),
        Round::Pushed {
            rows: 8,
            refused: 1
        }
    );
    let sums = (8, 8, 41, "0.050617247".to_owned());
    assert_eq!(on_server(String::new()).await, sums);
    // The same once more is the same, and comparing finds only what was refused.
    committed(&parts.databases, async |txn| {
        dashboard_stats::offer_again(txn, true).await
    })
    .await;
    round(&parts, true).await.unwrap();
    assert_eq!(on_server(String::new()).await, sums);
    let row = remote_backup::get(&here.control).await.unwrap().unwrap();
    let remote = opened(&parts, &row).unwrap();
    let theirs = remote.rows_since("2026-03-01").await.unwrap();
    let mine = dashboard_stats::list(&here.control, "", "9999")
        .await
        .unwrap();
    let mine: Vec<_> = mine
        .iter()
        .map(|row| steward_actors::remote::RemoteRow::of(row, 0))
        .collect();
    let found = steward_actors::remote::compare(&mine, &theirs);
    assert_eq!(found.only_local, ["2026-03-04"]);
    assert_eq!((found.equal, found.different), (8, vec![]));
    remote.forget_before("2026-03-09").await.unwrap();
    assert_eq!(on_server(String::new()).await.0, 1);
    let told = remote.test().await.unwrap().response;
    assert!(told.ends_with("2026-03-09"), "{told}");

    // A wrong password, and a server that is gone, are told as what they are; the password is in neither.
    let authority = plain.split_once("://").unwrap().1;
    let place = authority.split_once('@').unwrap().1;
    let gone = format!("postgres://nobody:canary-word@{place}?sslmode=disable");
    let remote = steward_actors::remote::open(
        Kind::Postgres,
        &address(gone),
        "dashboard_stats",
        Arc::new(Plain),
    );
    let why = remote.unwrap().test().await.unwrap_err().why;
    assert!(why.contains("28") && !why.contains("canary-word"), "{why}");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let gone = format!("postgres://u:canary-word@127.0.0.1:{port}/d");
    let remote = steward_actors::remote::open(
        Kind::Postgres,
        &address(gone),
        "dashboard_stats",
        Arc::new(Plain),
    );
    let why = remote.unwrap().test().await.unwrap_err().why;
    assert!(
        why.contains("refused") && !why.contains("canary-word"),
        "{why}"
    );
}
