//! Commands that need the databases but no server: they open, do one thing, and close.

use std::sync::Arc;

use steward_actors::domain::clock::{Clock, SharedClock, SystemClock};
use steward_actors::vault::{self, Vault};
use steward_entities::database::Databases;

use super::StartError;
use super::prepare::{lock_data_directory, make_directory, open_databases};
use super::upgrade;
use crate::config::Config;
use crate::features::operators::offline;

/// `steward migrate`.
///
/// # Errors
/// The data directory is in use, or a migration failed.
pub async fn migrate(config: &Config) -> Result<(), StartError> {
    let _lock = lock_data_directory(&config.data.dir)?;
    let databases = open_databases(config).await?;
    upgrade::bring_up_to_date(config, &databases, &clock()).await?;
    databases.close().await;
    Ok(())
}

/// `steward user add`. Works beside a running server, which notices within a second.
///
/// # Errors
/// The name is taken, the role unknown, the password weak, or the database fails.
pub async fn add_operator(
    config: &Config,
    username: &str,
    role: &str,
    password: &str,
) -> Result<(), StartError> {
    let databases = offline_databases(config).await?;
    offline::add_operator(&databases, username, password, role, &SystemClock).await?;
    databases.close().await;
    Ok(())
}

/// `steward user passwd`.
///
/// # Errors
/// There is no such operator, the password is weak, or the database fails.
pub async fn set_password(
    config: &Config,
    username: &str,
    password: &str,
) -> Result<(), StartError> {
    let databases = offline_databases(config).await?;
    offline::set_operator_password(&databases, username, password, &SystemClock).await?;
    databases.close().await;
    Ok(())
}

/// `steward keys rotate`: a new key becomes current and every sealed secret is sealed with it; answers how
/// many were. Interrupted, it can simply be run again.
///
/// # Errors
/// The key file cannot be written, or a secret cannot be opened.
pub async fn rotate_keys(config: &Config) -> Result<usize, StartError> {
    let databases = offline_databases(config).await?;
    let vault = Vault::open(&config.data.dir)?;
    vault.rotate()?;
    let resealed = vault::reseal_all(&vault, &databases, SystemClock.now_micros())
        .await
        .map_err(|cause| StartError::Reseal(cause.to_string()))?;
    databases.close().await;
    if !resealed.unopened.is_empty() {
        tracing::warn!(accounts = ?resealed.unopened, "these accounts' secrets do not open; set them again");
    }
    Ok(resealed.moved)
}

/// Works beside a running server, unless the schema would change under it.
async fn offline_databases(config: &Config) -> Result<Databases, StartError> {
    make_directory(&config.data.dir)?;
    let databases = open_databases(config).await?;
    if !upgrade::pending(&databases).await?.is_empty() {
        let _lock = lock_data_directory(&config.data.dir)?;
        upgrade::bring_up_to_date(config, &databases, &clock()).await?;
    }
    Ok(databases)
}

fn clock() -> SharedClock {
    Arc::new(SystemClock)
}
