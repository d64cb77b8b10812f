//! The one door: production and tests start the process through [`Application`].
//!
//! Opens everything in order (lock, databases, key file, spool, tree, gateway, HTTP) and closes it in the
//! opposite one. Nothing here decides anything about calls; it only introduces the parts to each other.

use std::fs::{DirBuilder, File, TryLockError};
use std::future::Future;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::{HttpServer, web};
use arc_swap::ArcSwap;
use chrono_tz::Tz;
use prost::Message as _;
use sea_orm::DbErr;
use steward_actors::domain::clock::{Clock, SharedClock, SystemClock};
use steward_actors::domain::record::Record;
use steward_actors::domain::rid::{Rid, RidAllocator};
use steward_actors::jobs::JobKinds;
use steward_actors::ledger_store::{self, LedgerStore, WriteError};
use steward_actors::spool::{self, FsyncPolicy, Spool, SpoolConfig};
use steward_actors::supervision::GroupExit;
use steward_actors::tree::foundation::snapshot_keeper::Refresh;
use steward_actors::tree::ledger::LedgerSettings;
use steward_actors::tree::{self, Tree, TreeDeps, TreeHandle};
use steward_actors::vault::{self, Vault, VaultError};
use steward_entities::database::{DatabaseConfig, Databases, begin_write};
use steward_entities::instance;
use steward_entities::ledger::total;

use crate::config::{Config, ConfigError, Fsync, Overflow};
use crate::error::ApiError;
use crate::features::operators::offline;
use crate::gateway::limits::Limits;
use crate::gateway::{self, Gateway};
use crate::http::routes;
use crate::state::{AppState, Parts, RefreshSnapshot};
use crate::telemetry::TelemetryError;

const LOCK_FILE: &str = "steward.lock";
const SPOOL_DIR: &str = "spool";
/// How long a change may wait for the gateway's new snapshot.
const REFRESH_WITHIN: Duration = Duration::from_secs(5);
/// What the HTTP server is given beyond the drain time-out to write last bytes.
const LAST_BYTES: Duration = Duration::from_secs(5);
/// How long the tree may take to drain; what is left then is safe in the spool.
const TREE_DRAIN: Duration = Duration::from_secs(25);
const ACCEPT_BACKLOG: u32 = 4_096;

/// Why the process does not start, or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error("the data directory {path} cannot be used: {cause}")]
    DataDirectory {
        path: PathBuf,
        cause: std::io::Error,
    },
    #[error(
        "the data directory {0} is in use by another Steward; stop that one, or choose another `data.dir`"
    )]
    Locked(PathBuf),
    #[error("the database cannot be used: {0}")]
    Database(#[from] DbErr),
    #[error("the ledger cannot be used: {0}")]
    Ledger(#[from] WriteError),
    #[error("the key file cannot be used: {0}")]
    Vault(#[from] VaultError),
    #[error("the sealed secrets cannot be sealed anew: {0}")]
    Reseal(String),
    #[error("the spool cannot be opened: {0}")]
    Spool(#[from] spool::OpenError),
    #[error("what the spool holds cannot be read: {0}")]
    Replay(#[from] spool::ReadError),
    #[error(transparent)]
    Tree(#[from] tree::StartError),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        address: SocketAddr,
        cause: std::io::Error,
    },
    #[error("the HTTP server failed: {0}")]
    Server(std::io::Error),
    #[error("{0}")]
    Refused(ApiError),
    #[error("standard input cannot be read: {0}")]
    Input(std::io::Error),
    #[error("no password was given on standard input")]
    EmptyPassword,
    #[error("the supervision tree gave up: {0}")]
    TreeGaveUp(String),
}

impl From<ApiError> for StartError {
    fn from(cause: ApiError) -> Self {
        Self::Refused(cause)
    }
}

/// A started process: listening, its tree running.
pub struct Application {
    server: Server,
    address: SocketAddr,
    state: web::Data<AppState>,
    gateway: Arc<Gateway>,
    tree: TreeHandle,
    spool: Arc<Spool>,
    databases: Databases,
    drain: Duration,
    /// Held for the life of the process.
    _lock: File,
}

impl Application {
    /// Opens everything and listens. Must run inside an actix `System`.
    ///
    /// # Errors
    /// The first thing that cannot be opened, in a sentence that says what to do about it.
    pub async fn build(config: Config) -> Result<Self, StartError> {
        let clock: SharedClock = Arc::new(SystemClock);
        let lock = lock_data_directory(&config.data.dir)?;
        let databases = open_databases(&config).await?;
        migrate_all(&databases).await?;
        let vault = Arc::new(Vault::open(&config.data.dir)?);
        if vault.made_now() {
            tracing::info!(
                "made the key file; keep a copy of it apart from the database's backups"
            );
        }
        let time_zone = settle_time_zone(&databases, &config.stats.time_zone).await?;
        first_operator(&databases, clock.as_ref()).await?;

        let (spool, recovery) = Spool::open(spool_config(&config))?;
        if recovery.unacked > 0 || recovery.lost > 0 {
            tracing::info!(
                unacked = recovery.unacked,
                lost = recovery.lost,
                "the spool was not empty"
            );
        }
        let store = ledger_store::open(&databases.ledger);
        let limits = Arc::new(Limits::new());
        let seed = take_stock(
            &config,
            store.as_ref(),
            &spool,
            &databases,
            &limits,
            clock.as_ref(),
        )
        .await?;

        let snapshot = Arc::new(ArcSwap::default());
        let tree = Tree::start(TreeDeps {
            databases: databases.clone(),
            vault: Arc::clone(&vault),
            snapshot: Arc::clone(&snapshot),
            jobs: JobKinds::new(),
            spool: Arc::clone(&spool),
            store,
            node: config.node.id,
            clock: Arc::clone(&clock),
            ledger: ledger_settings(&config),
        })
        .await?;
        let rids = Arc::new(RidAllocator::new(config.node.id, seed, Arc::clone(&clock)));
        let gateway = Gateway::new(gateway::Parts {
            snapshot: Arc::clone(&snapshot),
            spool: Arc::clone(&spool),
            rids: Arc::clone(&rids),
            clock: Arc::clone(&clock),
            limits,
            config: config.gateway.clone(),
            wait_durable: config.spool.fsync == Fsync::Always,
        })?;
        let config = Arc::new(config);
        let refresh_snapshot = refresher(&tree);
        refresh_snapshot().await.map_err(|cause| {
            StartError::TreeGaveUp(format!("the tokens and accounts cannot be read: {cause}"))
        })?;
        let state = web::Data::new(AppState::new(Parts {
            config: Arc::clone(&config),
            clock,
            databases: databases.clone(),
            vault,
            time_zone,
            snapshot,
            refresh_snapshot,
            tree: tree.clone(),
            spool: Arc::clone(&spool),
            rids,
            gateway: Arc::clone(&gateway),
        })?);
        let (server, address) = listen(&config, &state)?;
        Ok(Self {
            server,
            address,
            state,
            gateway,
            tree,
            spool,
            databases,
            drain: Duration::from_millis(config.server.drain_timeout_ms),
            _lock: lock,
        })
    }

    /// Where it listens; the port is the real one when the configuration said 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` resolves or the tree gives up, then drains: readiness false, no new
    /// connections, streams get the drain time-out and are then cut and recorded, then the tree, the
    /// ledger last.
    ///
    /// # Errors
    /// The server failed, or the tree gave up.
    pub async fn run_until_stopped(
        self,
        stop: impl Future<Output = ()>,
    ) -> Result<ExitCode, StartError> {
        let handle = self.server.handle();
        let failed = {
            let mut server = std::pin::pin!(self.server);
            let reason = tokio::select! {
                outcome = &mut server => Some(outcome.map_err(StartError::Server)),
                () = stop => None,
                exit = self.tree.supervisor.exited() => Some(Err(gave_up(&exit))),
            };
            self.state.begin_drain();
            tracing::info!("draining");
            let drained = drain_http(&handle, &self.gateway, self.drain);
            // The server's own future moves the workers' shutdown forward: poll both.
            let (_, _) = tokio::join!(drained, async {
                if reason.is_none() {
                    let _ = (&mut server).await;
                }
            });
            reason.and_then(Result::err)
        };
        let exit = self.tree.shutdown(TREE_DRAIN).await;
        if let Err(cause) = self.spool.flush() {
            tracing::error!(%cause, "the spool could not be flushed; its records are delivered again at the next start");
        }
        let books = self.spool.ledger();
        self.databases.close().await;
        tracing::info!(
            accepted = books.accepted,
            stored = books.stored,
            spooled = books.spooled,
            dead_lettered = books.dead_lettered,
            dropped = books.dropped,
            "stopped"
        );
        if let Some(cause) = failed {
            return Err(cause);
        }
        if let GroupExit::Shutdown { unclean } = &exit
            && !unclean.is_empty()
        {
            tracing::warn!(?unclean, "some processes did not end cleanly");
        }
        match exit {
            GroupExit::Shutdown { .. } => Ok(ExitCode::from(exit.exit_code())),
            GroupExit::Escalated(_) => Err(gave_up(&exit)),
        }
    }
}

/// `steward serve`: build, say where, run until SIGTERM or SIGINT.
///
/// # Errors
/// As [`Application::build`] and [`Application::run_until_stopped`].
pub fn serve(config: Config) -> Result<ExitCode, StartError> {
    actix_rt::System::new().block_on(async {
        let application = Application::build(config).await?;
        tracing::info!(address = %application.address(), "listening");
        application.run_until_stopped(told_to_stop()).await
    })
}

/// Runs a command that needs the databases but no server.
pub fn block_on<F: Future>(future: F) -> F::Output {
    actix_rt::System::new().block_on(future)
}

/// `steward migrate`.
///
/// # Errors
/// The data directory is in use, or a migration failed.
pub async fn migrate(config: &Config) -> Result<(), StartError> {
    let _lock = lock_data_directory(&config.data.dir)?;
    let databases = open_databases(config).await?;
    migrate_all(&databases).await?;
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
    let resealed = vault::reseal_accounts(&vault, &databases, SystemClock.now_micros())
        .await
        .map_err(|cause| StartError::Reseal(cause.to_string()))?;
    databases.close().await;
    if !resealed.unopened.is_empty() {
        tracing::warn!(accounts = ?resealed.unopened, "these accounts' secrets do not open; set them again");
    }
    Ok(resealed.moved)
}

async fn offline_databases(config: &Config) -> Result<Databases, StartError> {
    make_directory(&config.data.dir)?;
    let databases = open_databases(config).await?;
    migrate_all(&databases).await?;
    Ok(databases)
}

fn make_directory(dir: &Path) -> Result<(), StartError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|cause| StartError::DataDirectory {
            path: dir.to_owned(),
            cause,
        })
}

fn lock_data_directory(dir: &Path) -> Result<File, StartError> {
    make_directory(dir)?;
    let unusable = |cause| StartError::DataDirectory {
        path: dir.to_owned(),
        cause,
    };
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join(LOCK_FILE))
        .map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StartError::Locked(dir.to_owned())),
        Err(TryLockError::Error(cause)) => Err(unusable(cause)),
    }
}

async fn open_databases(config: &Config) -> Result<Databases, StartError> {
    let database = if config.database.url.is_empty() {
        DatabaseConfig::Sqlite {
            dir: config.data.dir.clone(),
        }
    } else {
        DatabaseConfig::Postgres {
            url: config.database.url.clone(),
        }
    };
    Ok(Databases::open(&database).await?)
}

async fn migrate_all(databases: &Databases) -> Result<(), StartError> {
    steward_migration::migrate_control(&databases.control).await?;
    steward_migration::migrate_ledger(&databases.ledger).await?;
    Ok(())
}

/// The zone in which days begin: fixed at first start, since every daily figure depends on it.
async fn settle_time_zone(databases: &Databases, configured: &str) -> Result<Tz, StartError> {
    let wanted = if configured.is_empty() {
        iana_time_zone::get_timezone().unwrap_or_default()
    } else {
        configured.to_owned()
    };
    let wanted = wanted.parse().unwrap_or(Tz::UTC);
    let txn = begin_write(&databases.control).await?;
    let fixed = instance::insert_if_absent(&txn, "time_zone", wanted.name()).await?;
    txn.commit().await?;
    if !configured.is_empty() && fixed != configured {
        tracing::warn!(
            in_force = fixed,
            configured,
            "stats.time_zone was fixed at the first start and is not changed by configuration"
        );
    }
    Ok(fixed.parse().unwrap_or(Tz::UTC))
}

#[allow(
    clippy::print_stdout,
    reason = "the one time the generated password is shown"
)]
async fn first_operator(databases: &Databases, clock: &dyn Clock) -> Result<(), StartError> {
    let chosen = std::env::var("STEWARD_ADMIN_PASSWORD").ok();
    let made = offline::ensure_first_operator(databases, chosen.as_deref(), clock).await?;
    if let Some(first) = made {
        println!(
            "\nFirst start: sign in as {} with the password {}",
            first.username,
            first.password.reveal()
        );
        println!(
            "It is shown this once. `steward user passwd {}` sets another.\n",
            first.username
        );
    }
    Ok(())
}

fn spool_config(config: &Config) -> SpoolConfig {
    let interval = Duration::from_millis(config.spool.fsync_interval_ms);
    SpoolConfig {
        segment_bytes: config.spool.segment_bytes,
        fsync: match config.spool.fsync {
            Fsync::Interval => FsyncPolicy::Interval(interval),
            Fsync::Always => FsyncPolicy::Always,
            Fsync::Never => FsyncPolicy::Never,
        },
        overflow: match config.ledger.overflow {
            Overflow::Refuse => spool::Overflow::Refuse,
            Overflow::DropOldest => spool::Overflow::DropOldest,
            Overflow::ServeUnrecorded => spool::Overflow::ServeUnrecorded,
        },
        min_free_bytes: config.spool.min_free_bytes,
        max_bytes: Some(config.spool.max_bytes).filter(|bytes| *bytes > 0),
        cache_capacity: config.ledger.queue_capacity,
        ..SpoolConfig::new(config.data.dir.join(SPOOL_DIR), config.node.id)
    }
}

fn ledger_settings(config: &Config) -> LedgerSettings {
    LedgerSettings {
        batch_records: config.ledger.batch_size,
        flush_after: Duration::from_millis(config.ledger.flush_interval_ms),
        batch_max: config.ledger.batch_size.saturating_mul(5),
        sync_every: Duration::from_millis(config.spool.fsync_interval_ms.div_ceil(2)),
        ..LedgerSettings::default()
    }
}

/// Settles the spool with the ledger, then reads what was used so far: the greatest rid (answered, to
/// allocate above it) and every token's use (into `limits`), from the ledger plus what is not in it yet.
async fn take_stock(
    config: &Config,
    store: &dyn LedgerStore,
    spool: &Spool,
    databases: &Databases,
    limits: &Limits,
    clock: &dyn Clock,
) -> Result<Rid, StartError> {
    store.prepare(clock.now_ms()).await?;
    spool.reconcile(store.cursor(config.node.id).await?);
    let mut greatest = store.greatest_rid().await?;
    let mut used: std::collections::HashMap<i64, i64> = total::of_all_tokens(&databases.ledger)
        .await?
        .into_iter()
        .map(|(token_id, total)| (token_id, total.total_tokens))
        .collect();
    spool.replay_unacked(|entry| {
        // What does not decode is the writer's to put aside; here it only carries no figures.
        if let Ok(record) = Record::decode(entry.payload.as_ref()) {
            greatest = greatest.max(record.rid);
            *used.entry(record.token_id).or_default() += record.total_tokens;
        }
    })?;
    for (token_id, tokens) in used {
        limits.seed_used(token_id, u64::try_from(tokens).unwrap_or_default());
    }
    Ok(Rid(greatest))
}

fn refresher(tree: &TreeHandle) -> RefreshSnapshot {
    let keeper = tree.snapshot_keeper.clone();
    Arc::new(move || {
        let keeper = keeper.clone();
        Box::pin(async move {
            match keeper.ask_within(Refresh, REFRESH_WITHIN).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(cause)) => Err(cause.to_string()),
                Err(cause) => Err(cause.to_string()),
            }
        })
    })
}

fn listen(
    config: &Config,
    state: &web::Data<AppState>,
) -> Result<(Server, SocketAddr), StartError> {
    let failed = |cause| StartError::Listen {
        address: config.server.listen,
        cause,
    };
    let state = state.clone();
    let mut server = HttpServer::new(move || routes::app(state.clone()))
        .on_connect(gateway::on_connect)
        .tcp_nodelay(true)
        .h1_allow_half_closed(false)
        .keep_alive(gateway::KEEP_ALIVE)
        .client_request_timeout(Duration::from_millis(config.server.request_head_timeout_ms))
        .client_disconnect_timeout(gateway::LINGER)
        .shutdown_timeout(config.server.drain_timeout_ms.div_ceil(1_000) + LAST_BYTES.as_secs())
        .max_connections(config.server.max_connections)
        .backlog(ACCEPT_BACKLOG)
        .disable_signals();
    if config.server.workers > 0 {
        server = server.workers(config.server.workers);
    }
    let server = server.bind(config.server.listen).map_err(failed)?;
    let address = server
        .addrs()
        .first()
        .copied()
        .unwrap_or(config.server.listen);
    Ok((server.run(), address))
}

async fn drain_http(handle: &ServerHandle, gateway: &Gateway, drain: Duration) {
    let stopped = handle.stop(true);
    let mut stopped = std::pin::pin!(stopped);
    if tokio::time::timeout(drain, &mut stopped).await.is_err() {
        gateway.cut_streams();
        // The server's own shutdown time-out ends this.
        stopped.await;
    }
}

fn gave_up(exit: &GroupExit) -> StartError {
    StartError::TreeGaveUp(match exit {
        GroupExit::Escalated(chain) => chain.to_string(),
        GroupExit::Shutdown { .. } => "it was ended from inside".into(),
    })
}

async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("signals cannot be heard; only SIGKILL ends this process");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
