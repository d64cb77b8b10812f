//! What a Steward needs before it can be measured: an account that leads to the provider, a token with every
//! limit set (far above what is sent), and for the lists a ledger with millions of rows.

use std::net::SocketAddr;
use std::path::Path;

use sea_orm::{ConnectionTrait, DatabaseConnection};
use sha2::{Digest, Sha256};
use steward_actors::vault::{ACCOUNT_SECRET, Place, Vault};
use steward_entities::account::NewAccount;
use steward_entities::database::{DatabaseConfig, Databases, begin_write};
use steward_entities::token::{KeptSecret, NewToken};
use steward_entities::{account, public_id, token};

/// A token as the gateway knows it: prefix, 32 characters, checksum.
fn secret() -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let body = format!("sk-stw-{}", "b".repeat(32));
    let mut rest = crc32fast::hash(body.as_bytes()) as usize;
    let mut sum = [b'0'; 6];
    for digit in sum.iter_mut().rev() {
        *digit = ALPHABET[rest % 62];
        rest /= 62;
    }
    body + std::str::from_utf8(&sum).unwrap()
}

async fn open(dir: &Path) -> Databases {
    let config = DatabaseConfig::Sqlite {
        dir: dir.to_owned(),
    };
    Databases::open(&config).await.unwrap()
}

/// Adds account and token to a migrated data directory; answers the token's secret.
pub(crate) async fn gateway(dir: &Path, provider: SocketAddr) -> String {
    let databases = open(dir).await;
    let vault = Vault::open(dir).unwrap();
    let public_id = public_id::new("acc");
    let sealed = vault
        .seal(
            ACCOUNT_SECRET,
            Place::account_secret(&public_id),
            b"sk-upstream-0123456789",
        )
        .unwrap();
    let secret = secret();
    let transaction = begin_write(&databases.control).await.unwrap();
    let account = NewAccount {
        public_id,
        name: "provider".into(),
        provider: "openai".into(),
        protocol: "openai".into(),
        base_url: format!("http://{provider}/v1"),
        secret_sealed: sealed.bytes,
        secret_key_id: sealed.key_id,
        secret_last4: "6789".into(),
        models: vec!["*".into()],
        aliases: Default::default(),
        priority: 0,
        weight: 1,
        concurrency: Some(100_000),
        enabled: true,
    };
    account::insert(&transaction, account, 1).await.unwrap();
    let kept = KeptSecret {
        prefix: secret[..11].into(),
        last4: secret[secret.len() - 4..].into(),
        hash: Sha256::digest(secret.as_bytes()).to_vec(),
    };
    let token = NewToken {
        tenant_id: None,
        app: "bench".into(),
        name: "bench".into(),
        description: String::new(),
        enabled: true,
        expires_at: Some(i64::MAX / 2),
        allowed_models: Some(vec!["fast".into(), "slow".into(), "paced".into()]),
        rpm: Some(4_000_000_000),
        tpm: Some(1 << 50),
        concurrency: Some(100_000),
        token_quota: Some(1 << 50),
        daily_budget_nano: None,
        monthly_budget_nano: None,
        budget_currency: "USD".into(),
        enable_conversation_logging: false,
        knowledge: false,
        redaction: "none".into(),
        created_by: "bench".into(),
    };
    token::insert(&transaction, kept, token, 1).await.unwrap();
    transaction.commit().await.unwrap();
    databases.close().await;
    secret
}

async fn run(connection: &DatabaseConnection, sql: &str) {
    connection.execute_unprepared(sql).await.unwrap();
}

/// Fills the request log of a migrated data directory: 90 days that end now, 200 tokens (few of them busy),
/// 50 accounts, 12 models, 2,000 users, 3 % failures. Attempts are left out: lists do not read them. The
/// indexes are built afterwards, which gives the same tree faster.
pub(crate) async fn ledger(dir: &Path, rows: u64) {
    let databases = open(dir).await;
    let ledger = &databases.ledger;
    let now_ms = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64;
    let span_ms = 90 * 86_400_000_u64;
    for (table, prefix, count) in [
        ("apps", "app", 20),
        ("end_users", "user", 2_000),
        ("models", "model", 12),
    ] {
        run(
            ledger,
            &format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
             INSERT INTO {table} (id, name) SELECT i, '{prefix}-' || i FROM n"
            ),
        )
        .await;
    }
    for (table, prefix, count) in [("dim_tokens", "tok", 200), ("dim_accounts", "acc", 50)] {
        run(
            ledger,
            &format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
             INSERT INTO {table} (id, public_id, name)
             SELECT i, '{prefix}_' || printf('%020d', i), '{prefix}-' || i FROM n"
            ),
        )
        .await;
    }
    let indexes = [
        "CREATE INDEX request_logs_token ON request_logs (token_id)",
        "CREATE INDEX request_logs_account ON request_logs (account_id)",
        "CREATE INDEX request_logs_failed ON request_logs (status_code) WHERE success = FALSE",
    ];
    for name in ["token", "account", "failed"] {
        run(ledger, &format!("DROP INDEX IF EXISTS request_logs_{name}")).await;
    }
    run(ledger, "PRAGMA synchronous = OFF").await;
    // A multiplicative hash of the row's number stands in for chance.
    const PART: u64 = 1_000_000;
    for from in (0..rows).step_by(PART as usize) {
        let to = (from + PART).min(rows);
        run(ledger, &format!(
            "WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {to} - 1),
             r AS (SELECT i, {start} + i * {span_ms} / {rows} AS ms, (i * 2654435761) & 4294967295 AS h FROM n)
             INSERT INTO request_logs (rid, id_tail, request_at, response_at, token_id, account_id, app_id, end_user_id,
               model_id, upstream_model_id, duration_ms, ttft_ms, prompt_tokens, completion_tokens, total_tokens,
               status_code, operation, node, attempts, stream, success, provider, error_code)
             SELECT (ms << 20) | (i & 15), h, ms * 1000, ms * 1000 + 900000,
               1 + ((h >> 8) % 200) * ((h >> 16) % 200) / 200, 1 + (h >> 4) % 50, 1 + (h >> 6) % 20, 1 + (h >> 5) % 2000,
               1 + (h >> 7) % 12, 1 + (h >> 7) % 12, 100 + (h >> 3) % 5000, 80, (h >> 2) % 4000, (h >> 9) % 900,
               (h >> 2) % 4000 + (h >> 9) % 900, CASE WHEN h % 100 < 97 THEN 200 WHEN h % 100 = 97 THEN 429 ELSE 502 END,
               1, 0, 1, (h >> 10) & 1, h % 100 < 97, 'openai', CASE WHEN h % 100 < 97 THEN NULL ELSE 'upstream_error' END
             FROM r",
            start = now_ms - span_ms,
        )).await;
    }
    for index in indexes {
        run(ledger, index).await;
    }
    run(
        ledger,
        "INSERT INTO token_totals SELECT token_id, 0, count(*), sum(total_tokens), max(response_at)
         FROM request_logs GROUP BY 1",
    )
    .await;
    databases.close().await;
}
