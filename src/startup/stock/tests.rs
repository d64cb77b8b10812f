//! A node that has run on another disk meanwhile starts on the first again: what that one had accepted comes onto the
//! books once, and counts once for quotas and budgets, whatever its numbers.

use std::future::ready;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, Statement};
use steward_actors::domain::clock::SystemClock;
use steward_actors::domain::record::{Operation, RECORD_KIND, Source};
use steward_actors::domain::seen;
use steward_actors::spool::LossLedger;
use steward_entities::database::DatabaseConfig;
use steward_migration::testing::TestDatabase;

use super::*;
use crate::startup::{Application, spool_config};

const TOKEN: i64 = 41;
const TENANT: i64 = 7;
const TOKENS: i64 = 10;
const COST_NANO: i64 = 5;

fn config_of(database: &TestDatabase) -> Config {
    let mut config = Config::load(None, []).unwrap();
    config.data.dir = database.dir().to_owned();
    if let DatabaseConfig::Postgres { url } = database.config() {
        config.database.url.clone_from(url);
    }
    config.server.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.server.workers = 1;
    config.server.drain_timeout_ms = 200;
    config.stats.time_zone = "UTC".into();
    config.spool.min_free_bytes = 0;
    config.spool.segment_bytes = 1 << 20;
    config
}

/// The `n`th call of the story, made about now.
fn record(n: i64, at: i64) -> Record {
    Record {
        rid: (at / 1_000 + n) << 20,
        id_tail: n.unsigned_abs(),
        token_id: TOKEN,
        token_public_id: "tok_41".into(),
        token_name: "forty-one".into(),
        tenant_id: TENANT,
        tenant_public_id: "ten_7".into(),
        tenant_name: "seven".into(),
        provider: "openai".into(),
        model: "gpt-4o".into(),
        operation: Operation::Chat.into(),
        request_at: at,
        response_at: at + 1_000,
        duration_ms: 1,
        prompt_tokens: TOKENS,
        total_tokens: TOKENS,
        currency: "USD".into(),
        cost_nano: COST_NANO,
        priced: true,
        status_code: 200,
        success: true,
        ..Record::default()
    }
}

/// As a process leaves its spool that is killed before its writer takes anything.
fn accepted(config: &Config, numbers: std::ops::Range<i64>, at: i64) {
    let (spool, _) = Spool::open(spool_config(config)).unwrap();
    for n in numbers {
        let bytes = record(n, at).encode_to_vec();
        spool.append(RECORD_KIND, &bytes).unwrap();
    }
}

/// What a start counted as used, and what stood in the loss ledger when everything was written.
struct Life {
    tokens: u64,
    token_spent: i64,
    tenant_spent: i64,
    loss: LossLedger,
}

async fn live(config: &Config, at: i64) -> Life {
    let application = Application::build(config.clone()).await.unwrap();
    let spent = |whose, id| {
        let [_, month] = application.gateway.budgets().spent(whose, id, at);
        month[0]
    };
    let (token_spent, tenant_spent) = (spent(Whose::Token, TOKEN), spent(Whose::Tenant, TENANT));
    let tokens = application.gateway.limits().used(TOKEN);
    let begun = Instant::now();
    while application.spool.ledger().spooled > 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "it is never written"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let loss = application.spool.ledger();
    assert!(loss.balances(), "{loss:?}");
    application.run_until_stopped(ready(())).await.unwrap();
    Life {
        tokens,
        token_spent,
        tenant_spent,
        loss,
    }
}

async fn rows(database: &TestDatabase) -> i64 {
    let reader = &database.ledger_read;
    let sql = "SELECT count(DISTINCT rid) FROM request_logs";
    let statement = Statement::from_string(reader.get_database_backend(), sql);
    let row = reader.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

fn expect(life: &Life, calls: i64, accepted: u64) {
    let counted = (life.tokens as i64, life.token_spent, life.tenant_spent);
    let expected = (calls * TOKENS, calls * COST_NANO, calls * COST_NANO);
    assert_eq!(counted, expected);
    let loss = life.loss;
    assert_eq!(
        (loss.accepted, loss.stored),
        (accepted, accepted),
        "{loss:?}"
    );
}

fn swap(dir: &Path, from: &str, to: &str) {
    std::fs::rename(dir.join(from), dir.join(to)).unwrap();
}

async fn comes_back(database: TestDatabase) {
    let (config, dir) = (config_of(&database), database.dir());
    let at = SystemClock.now_micros();
    accepted(&config, 1..7, at);
    swap(dir, "spool", "first");
    // On another disk the numbers begin where the ledger stands: at 1.
    accepted(&config, 101..111, at);
    expect(&live(&config, at).await, 10, 10);
    swap(dir, "spool", "second");

    swap(dir, "first", "spool");
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir.join("spool")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    expect(&live(&config, at).await, 16, 10);
    assert_eq!(rows(&database).await, 16);

    // As after a crash between commit and ack: they wait in the spool and stand in the ledger too.
    swap(dir, "spool", "third");
    std::fs::rename(copy.path(), dir.join("spool")).unwrap();
    expect(&live(&config, at).await, 16, 10);
    assert_eq!(rows(&database).await, 16);
}

#[actix_web::test]
async fn a_spool_that_comes_back_is_written_and_counted_once() {
    comes_back(TestDatabase::sqlite().await).await;
}

#[actix_web::test]
async fn a_spool_that_comes_back_is_written_and_counted_once_postgres() {
    comes_back(TestDatabase::postgres().await).await;
}

/// The same call told of once and again, and once with a clock ahead of ours.
async fn told(database: TestDatabase) {
    let config = config_of(&database);
    let at = SystemClock.now_micros();
    let said = |n: i64, id: &str, ahead: i64| Record {
        source: Source::Otlp.into(),
        seen_keys: seen::response(TENANT, id).into_iter().collect(),
        ..record(n, at + ahead)
    };
    let application = Application::build(config.clone()).await.unwrap();
    let used = |application: &Application| {
        let [day, month] = application
            .gateway
            .budgets()
            .spent(Whose::Tenant, TENANT, at);
        let tokens = application.gateway.limits().used(TOKEN) as i64;
        (tokens, day[0], month[0])
    };
    let written = async || {
        let begun = Instant::now();
        while application.spool.ledger().spooled > 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "not written");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let once = vec![said(1, "resp_one", 0), said(2, "resp_two", 0)];
    application.gateway.book(once.clone()).await.unwrap();
    let (tokens, day, month) = used(&application);
    assert_eq!(tokens, 2 * TOKENS, "before they are written");
    assert!(day > 0 && day == month);
    let charge = day / 2;
    written().await;
    // Sent again, as after an answer that was lost, beside one that is new.
    let mut again = once;
    again.push(said(3, "resp_three", 0));
    application.gateway.book(again).await.unwrap();
    written().await;
    let three = (3 * TOKENS, 3 * charge, 3 * charge);
    assert_eq!(used(&application), three);
    // A minute ahead can be tomorrow; today's budget still holds.
    let tomorrow = 86_400_000_000;
    let ahead = vec![said(4, "resp_four", tomorrow)];
    application.gateway.book(ahead).await.unwrap();
    let four = (4 * TOKENS, 4 * charge, 4 * charge);
    assert_eq!(used(&application), four);
    written().await;
    application.run_until_stopped(ready(())).await.unwrap();
    let application = Application::build(config).await.unwrap();
    assert_eq!(used(&application).0, 4 * TOKENS, "as before the restart");
    application.run_until_stopped(ready(())).await.unwrap();
}

#[actix_web::test]
async fn a_call_that_is_told_twice_is_used_and_charged_once() {
    told(TestDatabase::sqlite().await).await;
}

#[actix_web::test]
async fn a_call_that_is_told_twice_is_used_and_charged_once_postgres() {
    told(TestDatabase::postgres().await).await;
}
