//! Operators, their roles and keys as they stand, in memory: asked on every request of the control face.
//!
//! A change made here is in force when [`Directory::refresh`] returns; one made by another process within a
//! second, because a table older than that is read again before it is believed. When the database does not
//! answer, the last table read stays in force: whoever could revoke cannot reach it either.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter};
use steward_entities::database::{Databases, begin_write};
use steward_entities::scope::Scope;
use steward_entities::{operator, operator_key, role};

use super::permission::Permissions;
use crate::gateway::token_key::{KeyHash, OPERATOR_KEY};

/// How long a table is believed without looking again.
const BELIEVED: Duration = Duration::from_secs(1);
/// Uses of a key are noted at most this often.
const USE_NOTED_EVERY_US: i64 = 60_000_000;

/// An operator as handlers see them.
#[derive(Clone, Debug)]
pub struct OperatorView {
    pub id: i64,
    pub public_id: String,
    pub username: String,
    pub display_name: String,
    pub role: String,
    pub permissions: Permissions,
    pub enabled: bool,
    pub epoch: i64,
    pub must_change_password: bool,
    /// Set: sees this tenant only.
    pub tenant_id: Option<i64>,
}

impl OperatorView {
    /// The operator of a row, who may do what `permissions` say.
    pub fn of(row: &operator::Model, permissions: Permissions) -> Self {
        Self {
            id: row.id,
            public_id: row.public_id.clone(),
            username: row.username.clone(),
            display_name: row.display_name.clone(),
            role: row.role.clone(),
            permissions,
            enabled: row.enabled,
            epoch: row.epoch,
            must_change_password: row.must_change_password,
            tenant_id: row.tenant_id,
        }
    }

    /// Whose rows this operator may see.
    pub fn scope(&self) -> Scope {
        self.tenant_id.map_or(Scope::All, Scope::Tenant)
    }
}

/// An operator key as the lookup needs it.
#[derive(Clone, Debug)]
pub struct KeyView {
    pub id: i64,
    pub public_id: String,
    operator: String,
    expires_at: Option<i64>,
}

/// All operators at one moment.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub struct Table {
    operators: HashMap<String, Arc<OperatorView>>,
    /// By SHA-256 of the secret. The lookup's timing tells about the hash, which opens nothing.
    keys: HashMap<KeyHash, KeyView>,
    read_at: Instant,
}

impl Table {
    /// Enabled or not.
    pub fn by_public_id(&self, public_id: &str) -> Option<Arc<OperatorView>> {
        self.operators.get(public_id).cloned()
    }

    /// Whether the operator key with this public id still opens something.
    pub fn is_open(&self, key: &str, now_micros: i64) -> bool {
        self.keys.values().any(|known| {
            known.public_id == key && known.expires_at.is_none_or(|until| until > now_micros)
        })
    }

    /// The operator behind an operator key that still opens something.
    pub fn by_key(&self, secret: &str, now_micros: i64) -> Option<(Arc<OperatorView>, &KeyView)> {
        let hash = OPERATOR_KEY.parse(secret).ok()?;
        let key = self.keys.get(&hash)?;
        if key.expires_at.is_some_and(|until| until <= now_micros) {
            return None;
        }
        Some((self.by_public_id(&key.operator)?, key))
    }
}

type OnRead = Box<dyn Fn(&Table) + Send + Sync>;

/// Keeps the [`Table`] current.
pub struct Directory {
    databases: Databases,
    table: ArcSwapOption<Table>,
    reading: tokio::sync::Mutex<()>,
    on_read: OnceLock<OnRead>,
    /// Key → (last use seen, last use noted).
    uses: Mutex<HashMap<i64, (i64, i64)>>,
}

impl Directory {
    /// Empty until first asked.
    pub fn new(databases: Databases) -> Self {
        Self {
            databases,
            table: ArcSwapOption::empty(),
            reading: tokio::sync::Mutex::new(()),
            on_read: OnceLock::new(),
            uses: Mutex::new(HashMap::new()),
        }
    }

    /// Has `look` called with every table that is read from now on, before anybody believes it. Once; must not block.
    pub fn on_read(&self, look: impl Fn(&Table) + Send + Sync + 'static) {
        // A second one would replace a watch that others rely on.
        let _ = self.on_read.set(Box::new(look));
    }

    /// The table, at most a second old.
    ///
    /// # Errors
    /// When it was never read and the database does not answer.
    pub async fn current(&self) -> Result<Arc<Table>, DbErr> {
        let known = self.table.load_full();
        if let Some(table) = &known
            && table.read_at.elapsed() < BELIEVED
        {
            return Ok(Arc::clone(table));
        }
        let Some(stale) = known else {
            let _one_at_a_time = self.reading.lock().await;
            return match self.table.load_full() {
                Some(table) => Ok(table),
                None => self.read().await,
            };
        };
        // Somebody else is reading: their result is moments away, what is known will do until then.
        let Ok(_one_at_a_time) = self.reading.try_lock() else {
            return Ok(stale);
        };
        self.note_uses().await;
        match self.read().await {
            Ok(table) => Ok(table),
            Err(error) => {
                tracing::warn!(%error, "operators could not be read again; the last known ones stay in force");
                Ok(stale)
            }
        }
    }

    /// What is known is old: whoever comes next reads the table again.
    #[cfg(test)]
    pub(crate) fn outdate(&self) {
        if let Some(table) = self.table.load_full() {
            let old = Table {
                read_at: table.read_at.checked_sub(BELIEVED).unwrap_or(table.read_at),
                ..(*table).clone()
            };
            self.table.store(Some(Arc::new(old)));
        }
    }

    /// Reads the table again; what was committed before the call is in force when it returns.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn refresh(&self) -> Result<(), DbErr> {
        let _one_at_a_time = self.reading.lock().await;
        self.read().await.map(drop)
    }

    /// Remembers that a key was used, to be noted later.
    pub fn used(&self, key_id: i64, now_micros: i64) {
        let mut uses = self.uses.lock();
        uses.entry(key_id).or_insert((0, 0)).0 = now_micros;
    }

    async fn read(&self) -> Result<Arc<Table>, DbErr> {
        let connection = &self.databases.control_read;
        let read_at = Instant::now();
        let roles: HashMap<String, Permissions> = role::all(connection)
            .await?
            .into_iter()
            .map(|row| (row.name, Permissions::new(row.permissions.0)))
            .collect();
        let mut operators = HashMap::new();
        let mut public_ids = HashMap::new();
        for row in operator::Entity::find().all(connection).await? {
            public_ids.insert(row.id, row.public_id.clone());
            let permissions = roles.get(&row.role).cloned().unwrap_or_default();
            let view = OperatorView::of(&row, permissions);
            operators.insert(row.public_id, Arc::new(view));
        }
        let mut keys = HashMap::new();
        let open = operator_key::Entity::find()
            .filter(operator_key::Column::RevokedAt.is_null())
            .all(connection)
            .await?;
        for row in open {
            let (Ok(hash), Some(operator)) =
                (row.hash.try_into(), public_ids.get(&row.operator_id))
            else {
                continue;
            };
            let view = KeyView {
                id: row.id,
                public_id: row.public_id,
                operator: operator.clone(),
                expires_at: row.expires_at,
            };
            keys.insert(hash, view);
        }
        let table = Arc::new(Table {
            operators,
            keys,
            read_at,
        });
        self.table.store(Some(Arc::clone(&table)));
        if let Some(on_read) = self.on_read.get() {
            on_read(&table);
        }
        Ok(table)
    }

    /// Writes down uses of keys, seldom. That it fails is no reason to refuse anybody.
    async fn note_uses(&self) {
        let due: Vec<(i64, i64)> = {
            let mut uses = self.uses.lock();
            uses.iter_mut()
                .filter(|(_, (seen, noted))| seen - *noted >= USE_NOTED_EVERY_US)
                .map(|(id, (seen, noted))| {
                    *noted = *seen;
                    (*id, *seen)
                })
                .collect()
        };
        if due.is_empty() {
            return;
        }
        let noted = async {
            let txn = begin_write(&self.databases.control).await?;
            for (id, seen) in due {
                operator_key::touch(&txn, id, seen).await?;
            }
            txn.commit().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, "the last use of operator keys could not be noted");
        }
    }
}
