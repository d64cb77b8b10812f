//! The rows a demonstration begins with: operators, tenants, keys, accounts, and a past for the audit log and
//! the jobs. Written once, in one transaction, each row with the audit row its handler would have written.
//!
//! The keys' secrets are known to the pretended clients only: they lie in a file of the data directory, as a
//! client would keep its own.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sea_orm::ActiveValue::Set;
use sea_orm::{DatabaseTransaction, DbErr, EntityTrait as _};
use serde_json::{Value, json};
use steward_actors::domain::clock::Clock;
use steward_actors::domain::snapshot::Secret;
use steward_actors::vault::{ACCOUNT_SECRET, Place, Vault, VaultError};
use steward_entities::change::ChangeError;
use steward_entities::database::{Databases, begin_write};
use steward_entities::{account, audit, instance, job, operator, public_id, role, tenant, token};

use super::world::{KEYS, KNOWING_KEY, SITES, SUSPENDED_TENANT, Standing, TENANTS};
use super::{PASSWORD, USERNAME, VIEWER};
use crate::error::ApiError;
use crate::features::operators::offline;
use crate::gateway::token_key::TOKEN;

/// The clients' secrets, by name of the key.
const SECRETS_FILE: &str = "demo-keys.json";
/// Row of `instance`: the rows are there.
const STOCKED: &str = "demo_stock";
const DAY_US: i64 = 86_400_000_000;
const HOUR_US: i64 = 3_600_000_000;

/// Why a demonstration cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum StockError {
    #[error("the demonstration's rows cannot be written: {0}")]
    Database(#[from] DbErr),
    #[error("the demonstration's rows cannot be written: {0}")]
    Change(#[from] ChangeError),
    #[error("the demonstration's operators cannot be made: {0}")]
    Operator(ApiError),
    #[error("the demonstration's accounts cannot be sealed: {0}")]
    Vault(#[from] VaultError),
    #[error(
        "the pretended clients' keys in {path} cannot be used ({cause}); delete this demonstration's data and start anew"
    )]
    Secrets { path: PathBuf, cause: String },
}

/// Keys and accounts as they stand in the tables.
pub struct Stocked {
    /// In the order of [`KEYS`]; those an operator deleted are missing.
    pub keys: Vec<(usize, token::Model)>,
    /// In the order of [`SITES`], likewise.
    pub accounts: Vec<(usize, account::Model)>,
    /// By key.
    pub tenants: BTreeMap<i64, tenant::Model>,
    /// In the order of [`KEYS`].
    pub secrets: Vec<Secret>,
}

/// Makes sure that the rows are there, and that the accounts lead to the provider at `port`. What an operator
/// changed since stays as it is.
///
/// # Errors
/// See [`StockError`].
pub async fn stock(
    dir: &Path,
    databases: &Databases,
    vault: &Vault,
    clock: &dyn Clock,
    history_days: u32,
    port: u16,
) -> Result<Stocked, StockError> {
    operators(databases, clock).await?;
    let stocked = instance::get(&databases.control, STOCKED).await?.is_some();
    let secrets = secrets(&dir.join(SECRETS_FILE), !stocked)?;
    if !stocked {
        let now = clock.now_micros();
        let txn = begin_write(&databases.control).await?;
        let began = now - i64::from(history_days.max(1)) * DAY_US - 2 * DAY_US;
        let mut scribe = Scribe {
            admin: operator::by_username(&txn, USERNAME)
                .await?
                .map_or_else(String::new, |row| row.public_id),
            admin_id: operator::by_username(&txn, USERNAME)
                .await?
                .map(|row| row.id),
            txn,
            at: began,
        };
        scribe.accounts(vault, port).await?;
        scribe.keys(&secrets, now).await?;
        scribe.past(now).await?;
        instance::put(&scribe.txn, STOCKED, "true").await?;
        scribe.txn.commit().await?;
    }
    point_at(databases, port, clock).await?;
    let tokens = token::all_live(&databases.control).await?;
    let accounts = account::all(&databases.control).await?;
    let tenants = tenant::all(&databases.control).await?;
    let keys = KEYS.iter().enumerate().filter_map(|(index, key)| {
        let row = tokens.iter().find(|row| row.name == key.name)?;
        Some((index, row.clone()))
    });
    let sites = SITES.iter().enumerate().filter_map(|(index, site)| {
        let row = accounts.iter().find(|row| row.name == site.name)?;
        Some((index, row.clone()))
    });
    Ok(Stocked {
        keys: keys.collect(),
        accounts: sites.collect(),
        tenants: tenants.into_iter().map(|row| (row.id, row)).collect(),
        secrets,
    })
}

async fn operators(databases: &Databases, clock: &dyn Clock) -> Result<(), StockError> {
    offline::ensure_first_operator(databases, Some(PASSWORD), clock)
        .await
        .map_err(StockError::Operator)?;
    if operator::by_username(&databases.control, VIEWER)
        .await?
        .is_none()
    {
        offline::add_operator(databases, VIEWER, PASSWORD, role::OPS_VIEWER, clock)
            .await
            .map_err(StockError::Operator)?;
    }
    Ok(())
}

/// The secrets, in the order of [`KEYS`]; written before the rows that are made from them.
fn secrets(path: &Path, fresh: bool) -> Result<Vec<Secret>, StockError> {
    let failed = |cause: String| StockError::Secrets {
        path: path.to_owned(),
        cause,
    };
    if fresh {
        let made: BTreeMap<&str, String> = KEYS
            .iter()
            .map(|key| (key.name, TOKEN.generate().secret.reveal().to_owned()))
            .collect();
        let text =
            serde_json::to_string_pretty(&made).map_err(|cause| failed(cause.to_string()))?;
        let written = std::fs::File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            });
        written.map_err(|cause| failed(cause.to_string()))?;
    }
    let text = std::fs::read_to_string(path).map_err(|cause| failed(cause.to_string()))?;
    let kept: BTreeMap<String, String> =
        serde_json::from_str(&text).map_err(|_| failed("not JSON".into()))?;
    KEYS.iter()
        .map(|key| {
            let secret = kept.get(key.name);
            secret
                .map(|secret| Secret::new(secret.clone()))
                .ok_or_else(|| failed(format!("{} is missing", key.name)))
        })
        .collect()
}

/// The accounts' base URL: the pretended provider may listen elsewhere than last time. An account that an
/// operator led somewhere else is left alone.
async fn point_at(databases: &Databases, port: u16, clock: &dyn Clock) -> Result<(), StockError> {
    let txn = begin_write(&databases.control).await?;
    for row in account::all(&txn).await? {
        let Some(site) = SITES.iter().find(|site| site.name == row.name) else {
            continue;
        };
        let wanted = base_url(port, site.path);
        let ours = row.base_url.starts_with("http://127.0.0.1:")
            && row.base_url.ends_with(&format!("/{}/v1", site.path));
        if ours && row.base_url != wanted {
            let now = clock.now_micros();
            let entry = audit::Entry {
                operator_id: None,
                operator_name: "steward".to_owned(),
                action: "accounts.update".to_owned(),
                target_type: "account".to_owned(),
                target_id: row.public_id.clone(),
                details: json!({"base_url": [row.base_url, wanted]}),
                ip: String::new(),
                request_id: String::new(),
            };
            let changes = account::ActiveModel {
                base_url: Set(wanted),
                ..Default::default()
            };
            account::update(&txn, &row, changes, now).await?;
            audit::insert(&txn, entry, now).await?;
        }
    }
    Ok(txn.commit().await?)
}

/// The port the accounts were led to last time.
///
/// # Errors
/// When the database cannot be read.
pub async fn last_port(databases: &Databases) -> Result<Option<u16>, DbErr> {
    let rows = account::all(&databases.control).await?;
    let port = |url: &str| {
        let rest = url.strip_prefix("http://127.0.0.1:")?;
        rest.split('/').next()?.parse().ok()
    };
    Ok(rows
        .iter()
        .filter(|row| SITES.iter().any(|site| site.name == row.name))
        .find_map(|row| port(&row.base_url)))
}

fn base_url(port: u16, path: &str) -> String {
    format!("http://127.0.0.1:{port}/{path}/v1")
}

/// Writes rows as the administrator would have, one after the other in the past.
struct Scribe {
    txn: DatabaseTransaction,
    admin: String,
    admin_id: Option<i64>,
    at: i64,
}

impl Scribe {
    async fn tell(
        &mut self,
        action: &str,
        target_type: &str,
        target_id: &str,
        details: Value,
    ) -> Result<(), StockError> {
        self.tell_at(self.at, action, target_type, target_id, details)
            .await?;
        self.at += 7 * 60_000_000;
        Ok(())
    }

    async fn tell_at(
        &self,
        at: i64,
        action: &str,
        target_type: &str,
        target_id: &str,
        details: Value,
    ) -> Result<(), StockError> {
        let entry = audit::Entry {
            operator_id: self.admin_id,
            operator_name: USERNAME.to_owned(),
            action: action.to_owned(),
            target_type: target_type.to_owned(),
            target_id: target_id.to_owned(),
            details,
            ip: "127.0.0.1".to_owned(),
            request_id: String::new(),
        };
        audit::insert(&self.txn, entry, at).await?;
        Ok(())
    }

    async fn accounts(&mut self, vault: &Vault, port: u16) -> Result<(), StockError> {
        for site in SITES {
            let public_id = public_id::new("acc");
            // Nothing checks it; it looks like what providers hand out.
            let secret = format!("sk-demo-{}-{}", site.path, TOKEN.generate().last4);
            let place = Place::account_secret(&public_id);
            let sealed = vault.seal(ACCOUNT_SECRET, place, secret.as_bytes())?;
            let new = account::NewAccount {
                public_id,
                name: site.name.to_owned(),
                provider: site.provider.to_owned(),
                protocol: site.protocol.to_owned(),
                base_url: base_url(port, site.path),
                secret_sealed: sealed.bytes,
                secret_key_id: sealed.key_id,
                secret_last4: secret[secret.len() - 4..].to_owned(),
                models: site.models.iter().map(|name| (*name).to_owned()).collect(),
                aliases: Default::default(),
                priority: site.priority,
                weight: site.weight,
                concurrency: None,
                enabled: site.enabled,
            };
            let row = account::insert(&self.txn, new, self.at).await?;
            let details = json!({"created": {
                "name": row.name, "provider": row.provider, "protocol": row.protocol,
                "base_url": row.base_url, "models": row.models.0, "enabled": row.enabled,
            }});
            self.tell("accounts.create", "account", &row.public_id, details)
                .await?;
        }
        Ok(())
    }

    async fn keys(&mut self, secrets: &[Secret], now: i64) -> Result<(), StockError> {
        let mut tenants = Vec::new();
        for name in TENANTS {
            let row = tenant::insert(&self.txn, (*name).to_owned(), self.at).await?;
            let details = json!({"created": {"name": row.name}});
            self.tell("tenants.create", "tenant", &row.public_id, details)
                .await?;
            tenants.push(row);
        }
        for (key, secret) in KEYS.iter().zip(secrets) {
            let text = secret.reveal();
            let kept = token::KeptSecret {
                prefix: text[..TOKEN.prefix().len() + 4].to_owned(),
                last4: text[text.len() - 4..].to_owned(),
                hash: crate::gateway::token_key::hash(text).to_vec(),
            };
            let names = key.models.iter().map(|(name, _)| (*name).to_owned());
            let new = token::NewToken {
                tenant_id: key
                    .tenant
                    .and_then(|index| tenants.get(index))
                    .map(|row| row.id),
                app: key.app.to_owned(),
                name: key.name.to_owned(),
                description: key.description.to_owned(),
                enabled: key.standing != Standing::Disabled,
                expires_at: (key.standing == Standing::Expired).then_some(now - DAY_US),
                allowed_models: Some(names.collect()),
                rpm: key.rpm,
                tpm: key.tpm,
                concurrency: key.concurrency,
                token_quota: key.quota,
                daily_budget_nano: None,
                monthly_budget_nano: None,
                budget_currency: "USD".into(),
                enable_conversation_logging: key.keeps.is_some(),
                knowledge: key.name == KNOWING_KEY,
                redaction: key.keeps.unwrap_or_default().as_str().to_owned(),
                created_by: self.admin.clone(),
            };
            let row = token::insert(&self.txn, kept, new, self.at).await?;
            let details = json!({"created": {
                "name": row.name, "app": row.app, "rpm": row.rpm, "tpm": row.tpm, "prefix": row.prefix,
            }});
            self.tell("tokens.create", "token", &row.public_id, details)
                .await?;
        }
        if let Some(row) = tenants.get(SUSPENDED_TENANT) {
            let at = now - 4 * DAY_US;
            let reason = "invoice of last month is open";
            let changes = tenant::ActiveModel {
                status: Set(tenant::Status::Suspended),
                suspended_at: Set(Some(at)),
                suspended_reason: Set(Some(reason.to_owned())),
                ..Default::default()
            };
            tenant::update(&self.txn, row, changes, at).await?;
            let details =
                json!({"status": ["active", "suspended"], "suspended_reason": [null, reason]});
            self.tell_at(at, "tenants.suspend", "tenant", &row.public_id, details)
                .await?;
        }
        Ok(())
    }

    /// A past for the pages of audit and jobs: somebody signs in every few days; dead letters were replayed.
    async fn past(&mut self, now: i64) -> Result<(), StockError> {
        for days_ago in [3, 2, 1] {
            let at = now - days_ago * DAY_US + 2 * HOUR_US;
            self.tell_at(at, "auth.login", "session", "", json!({}))
                .await?;
        }
        let jobs = [
            (9, None, json!({"stored": 3, "refused": 0})),
            (
                6,
                Some("the ledger did not answer in time; run it again"),
                Value::Null,
            ),
            (6, None, json!({"stored": 1, "refused": 0})),
        ];
        for (index, (days_ago, error, result)) in (0..).zip(jobs) {
            let at = now - days_ago * DAY_US + index * HOUR_US / 4;
            let row = job::insert(
                &self.txn,
                "dead_letters.replay",
                json!({}),
                self.admin.clone(),
                at,
            )
            .await?;
            let ended = job::ActiveModel {
                id: Set(row.id),
                state: Set(if error.is_some() {
                    job::State::Failed
                } else {
                    job::State::Succeeded
                }),
                progress: Set(if error.is_some() { 40 } else { 100 }),
                result: Set(Some(result).filter(|result| !result.is_null())),
                error: Set(error.map(str::to_owned)),
                attempts: Set(1),
                node: Set(Some(0)),
                started_at: Set(Some(at + 300_000)),
                finished_at: Set(Some(at + 4_200_000)),
                heartbeat_at: Set(Some(at + 4_000_000)),
                ..Default::default()
            };
            job::Entity::update(ended).exec(&self.txn).await?;
            self.tell_at(at, "dead_letters.replay", "job", &row.public_id, json!({}))
                .await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use steward_actors::domain::clock::SystemClock;
    use steward_migration::testing::TestDatabase;

    use super::*;

    async fn rows_are_made_once_and_follow_the_port(database: TestDatabase) {
        let vault = Vault::open(database.dir()).unwrap();
        let at = async |port| {
            stock(database.dir(), &database, &vault, &SystemClock, 30, port)
                .await
                .unwrap()
        };
        let first = at(4_000).await;
        assert_eq!(first.keys.len(), KEYS.len());
        assert_eq!(first.accounts.len(), SITES.len());
        assert_eq!(first.tenants.len(), TENANTS.len());
        assert_eq!(last_port(&database).await.unwrap(), Some(4_000));
        for ((_, row), secret) in first.keys.iter().zip(&first.secrets) {
            assert_eq!(TOKEN.parse(secret.reveal()).unwrap().to_vec(), row.hash);
        }

        // An operator leads one account to a real provider and deletes another.
        let txn = begin_write(&database.control).await.unwrap();
        let elsewhere = account::ActiveModel {
            base_url: Set("https://api.example.com/v1".to_owned()),
            ..Default::default()
        };
        account::update(&txn, &first.accounts[2].1, elsewhere, 1)
            .await
            .unwrap();
        account::remove(&txn, &first.accounts[3].1, 1)
            .await
            .unwrap();
        txn.commit().await.unwrap();

        let second = at(5_000).await;
        assert_eq!(last_port(&database).await.unwrap(), Some(5_000));
        assert_eq!(second.accounts.len(), SITES.len() - 1);
        for (site, row) in &second.accounts {
            let expected = match site {
                2 => "https://api.example.com/v1".to_owned(),
                _ => base_url(5_000, SITES[*site].path),
            };
            assert_eq!(row.base_url, expected);
        }
        assert_eq!(second.keys, first.keys);
        let updates = audit::Filter {
            action: Some("accounts.update".to_owned()),
            ..audit::Filter::default()
        };
        let told = audit::count(&database.control, &updates).await.unwrap();
        assert_eq!(told as usize, SITES.len() - 2);

        std::fs::remove_file(database.dir().join(SECRETS_FILE)).unwrap();
        let lost = stock(database.dir(), &database, &vault, &SystemClock, 30, 5_000).await;
        assert!(matches!(lost, Err(StockError::Secrets { .. })));
    }

    #[actix_web::test]
    async fn rows_are_made_once() {
        rows_are_made_once_and_follow_the_port(TestDatabase::sqlite().await).await;
    }

    #[actix_web::test]
    async fn rows_are_made_once_postgres() {
        rows_are_made_once_and_follow_the_port(TestDatabase::postgres().await).await;
    }
}
