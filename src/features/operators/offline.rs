//! Operators without anybody signed in: the first one at first start, and those made on the command line.
//!
//! Each of these writes its audit row, in the name of the process. A running process notices within a
//! second.

use serde_json::json;
use steward_actors::domain::clock::Clock;
use steward_actors::domain::snapshot::Secret;
use steward_entities::column::HiddenText;
use steward_entities::database::{Databases, begin_write};
use steward_entities::operator::{self, NewOperator};
use steward_entities::{audit, role};

use super::{check_username, set_password};
use crate::error::ApiError;
use crate::http::change::refused;
use crate::http::passwords;

/// User name of the first operator.
pub const FIRST_USERNAME: &str = "admin";
/// Names the process in the audit log.
const PROCESS: &str = "steward";

/// A password nobody has chosen, to be printed once.
#[derive(Debug)]
pub struct GeneratedPassword {
    pub username: String,
    pub password: Secret,
}

/// Makes the operator `admin` when there is none at all. With `password` that one is theirs as it is (empty
/// counts as absent); otherwise one is generated and answered, to be printed once.
///
/// # Errors
/// When the database cannot be written.
pub async fn ensure_first_operator(
    databases: &Databases,
    password: Option<&str>,
    clock: &dyn Clock,
) -> Result<Option<GeneratedPassword>, ApiError> {
    if operator::any(&databases.control).await? {
        return Ok(None);
    }
    let given = password.filter(|password| !password.is_empty());
    let generated = match given {
        Some(_) => None,
        None => Some(passwords::generate()),
    };
    let password = given.or(generated.as_deref()).unwrap_or_default();
    let must_change = generated.is_some();
    let made = insert(
        databases,
        FIRST_USERNAME,
        password,
        role::OPS_ADMIN,
        must_change,
        true,
        clock,
    );
    if !made.await? {
        return Ok(None);
    }
    Ok(generated.map(|password| GeneratedPassword {
        username: FIRST_USERNAME.to_owned(),
        password: Secret::new(password),
    }))
}

/// Adds an operator: `steward user add`.
///
/// # Errors
/// When the name or the role cannot be, the name is taken, the password is weak, or the database fails.
pub async fn add_operator(
    databases: &Databases,
    username: &str,
    password: &str,
    role: &str,
    clock: &dyn Clock,
) -> Result<(), ApiError> {
    check_username(username)?;
    passwords::check_choice(password, username, "password")?;
    insert(databases, username, password, role, false, false, clock).await?;
    Ok(())
}

/// Sets an operator's password, enables them and ends their sessions: `steward user passwd`, the way back
/// in for whoever is locked out.
///
/// # Errors
/// When there is no such operator, the password is weak, or the database fails.
pub async fn set_operator_password(
    databases: &Databases,
    username: &str,
    password: &str,
    clock: &dyn Clock,
) -> Result<(), ApiError> {
    passwords::check_choice(password, username, "password")?;
    let hash = hashed(password).await?;
    let txn = begin_write(&databases.control).await?;
    let now = clock.now_micros();
    let row = operator::by_username(&txn, username)
        .await?
        .ok_or_else(|| ApiError::not_found("operator"))?;
    let was_enabled = row.enabled;
    let row = if was_enabled {
        row
    } else {
        let enable = operator::ActiveModel {
            enabled: sea_orm::ActiveValue::Set(true),
            ..Default::default()
        };
        operator::update(&txn, &row, enable, now)
            .await
            .map_err(refused("username"))?
    };
    set_password(&txn, &row, hash, false, now).await?;
    let details = json!({"enabled": [was_enabled, true]});
    audit::insert(
        &txn,
        entry("operators.reset_password", &row.public_id, details),
        now,
    )
    .await?;
    Ok(txn.commit().await?)
}

/// False when `only_first` and somebody exists already.
async fn insert(
    databases: &Databases,
    username: &str,
    password: &str,
    role: &str,
    must_change_password: bool,
    only_first: bool,
    clock: &dyn Clock,
) -> Result<bool, ApiError> {
    let hash = hashed(password).await?;
    let txn = begin_write(&databases.control).await?;
    // Another process may start on the same database at this moment.
    if only_first && operator::any(&txn).await? {
        return Ok(false);
    }
    if role::by_name(&txn, role).await?.is_none() {
        return Err(ApiError::invalid("role", "there is no such role"));
    }
    super::fitting(role, None)?;
    let now = clock.now_micros();
    let new = NewOperator {
        username: username.to_owned(),
        password_hash: HiddenText(hash),
        role: role.to_owned(),
        display_name: username.to_owned(),
        enabled: true,
        must_change_password,
        tenant_id: None,
    };
    let row = match operator::insert(&txn, new, now).await {
        Err(steward_entities::change::ChangeError::Duplicate) if only_first => return Ok(false),
        other => other.map_err(refused("username"))?,
    };
    let details = json!({"username": username, "role": role});
    audit::insert(
        &txn,
        entry("operators.create", &row.public_id, details),
        now,
    )
    .await?;
    txn.commit().await?;
    Ok(true)
}

async fn hashed(password: &str) -> Result<String, ApiError> {
    let password = password.to_owned();
    tokio::task::spawn_blocking(move || passwords::hash(&password))
        .await
        .map_err(ApiError::internal)?
        .ok_or_else(|| ApiError::internal("a password could not be hashed"))
}

fn entry(action: &str, target_id: &str, details: serde_json::Value) -> audit::Entry {
    audit::Entry {
        operator_id: None,
        operator_name: PROCESS.to_owned(),
        action: action.to_owned(),
        target_type: "operator".to_owned(),
        target_id: target_id.to_owned(),
        details,
        ip: String::new(),
        request_id: String::new(),
    }
}
