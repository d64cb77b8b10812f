//! The one door: production and tests start the process through [`Application`].
//!
//! Opens everything in order (lock, databases, key file, spool, tree, gateway, HTTP) and closes it in the
//! opposite one. Nothing here decides anything about calls; it only introduces the parts to each other.

mod alert_rules;
mod commands;
mod error;
mod prepare;
mod price_list;
mod process;
mod restore;
mod settings;
mod stock;
#[cfg(test)]
mod tests;
mod upgrade;

use std::fmt::Display;
use std::fs::File;
use std::future::Future;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::{HttpServer, web};
use arc_swap::ArcSwap;
use steward_actors::domain::clock::{SharedClock, SystemClock};
use steward_actors::domain::rid::RidAllocator;
use steward_actors::jobs::JobKinds;
use steward_actors::knowledge::News;
use steward_actors::ledger_store;
use steward_actors::spool::Spool;
use steward_actors::supervision::GroupExit;
use steward_actors::tree::foundation::settings_keeper;
use steward_actors::tree::foundation::snapshot_keeper::{Refresh, RefreshError};
use steward_actors::tree::ledger::LedgerSettings;
use steward_actors::tree::{Tree, TreeDeps, TreeHandle};
use steward_actors::vault::Vault;
use steward_entities::database::{Databases, NodeClaim};

pub use commands::{add_operator, migrate, rotate_keys, set_password};
pub use error::StartError;
pub use process::{block_on, demonstrate, serve};
pub use restore::{Done, RestoreError, RestoreFrom, restore};
pub(crate) use settings::{alert_settings, outgoing};

use crate::config::{Config, Fsync};
use crate::demo::guard::{self, Purpose};
use crate::demo::{self, Ground, Stage};
use crate::embedding::Embeddings;
use crate::features::jwt_tests::Bench;
use crate::features::knowledge::import::{self, ImportPairs};
use crate::features::knowledge::{ChangeMany, SyncMany, judge};
use crate::features::reports::CountReport;
use crate::features::templates::Distribute;
use crate::gateway::budget::Budgets;
use crate::gateway::limits::Limits;
use crate::gateway::{self, Gateway};
use crate::http::routes;
use crate::probes;
use crate::push;
use crate::schema;
use crate::state::{AppState, Parts, RefreshSnapshot};
use crate::telemetry;
use error::gave_up;
use prepare::{
    claim_node, first_operator, lock_data_directory, note_exchange_rate, open_contents,
    open_databases, settle_time_zone,
};
use process::say_progress;
use settings::{health_settings, spool_config, vector_store};
use stock::{Spent, take_stock};

/// How long a change may wait for the gateway's new snapshot.
const REFRESH_WITHIN: Duration = Duration::from_secs(5);
/// What the HTTP server is given beyond the drain time-out to write last bytes.
const LAST_BYTES: Duration = Duration::from_secs(5);
/// Calls that were cut get this long to be recorded: estimating the tokens of the first of them reads a model's
/// vocabulary, which takes seconds where the processor is busy. And how often that is looked at.
const LAST_RECORDS: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long the tree may take to drain; what is left then is safe in the spool.
const TREE_DRAIN: Duration = Duration::from_secs(25);
/// How long the databases may take to close: one that says nothing must not keep the process.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
const ACCEPT_BACKLOG: u32 = 4_096;

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
    /// What pretends, in a demonstration.
    stage: Option<Stage>,
    /// Held for the life of the process.
    _lock: File,
    /// Likewise.
    _claim: Option<NodeClaim>,
}

impl Application {
    /// Opens everything and listens. Must run inside an actix `System`.
    ///
    /// # Errors
    /// The first thing that cannot be opened, in a sentence that says what to do about it.
    pub async fn build(config: Config) -> Result<Self, StartError> {
        Box::pin(Self::build_for(config, None)).await
    }

    /// [`Self::build`] with a pretended world around it.
    ///
    /// # Errors
    /// As there; and when data directory or database hold real data.
    pub async fn build_demo(config: Config, options: demo::Options) -> Result<Self, StartError> {
        Box::pin(Self::build_for(config, Some(options))).await
    }

    async fn build_for(config: Config, demo: Option<demo::Options>) -> Result<Self, StartError> {
        let purpose = match demo {
            None => Purpose::Real,
            Some(_) => Purpose::Demonstration,
        };
        let clock: SharedClock = Arc::new(SystemClock);
        let lock = lock_data_directory(&config.data.dir)?;
        guard::directory(&config.data.dir, purpose)?;
        let claim = claim_node(&config).await?;
        restore::refuse_unfinished_directory(&config.data.dir)?;
        let databases = open_databases(&config).await?;
        restore::refuse_unfinished(&databases).await?;
        guard::unmigrated_database(&databases, purpose).await?;
        upgrade::bring_up_to_date(&config, &databases, &clock).await?;
        guard::database(&databases, purpose).await??;
        let vault = Arc::new(Vault::open(&config.data.dir)?);
        if vault.made_now() {
            tracing::info!(
                "made the key file; keep a copy of it apart from the database's backups"
            );
        }
        price_list::take_over(&databases, clock.as_ref()).await?;
        alert_rules::take_over(&databases, clock.as_ref()).await?;
        let time_zone = settle_time_zone(
            &databases,
            &config.stats.time_zone,
            claim.as_ref(),
            clock.as_ref(),
        )
        .await?;
        if demo.is_none() {
            first_operator(&databases, clock.as_ref()).await?;
        }

        let (spool, recovery) = Spool::open(spool_config(&config))?;
        if recovery.unacked > 0 || recovery.lost > 0 {
            tracing::info!(
                unacked = recovery.unacked,
                lost = recovery.lost,
                "the spool was not empty"
            );
        }
        let store = ledger_store::open(&databases.ledger, time_zone);
        let defaults = config.setting_defaults()?;
        note_exchange_rate(&databases, &defaults, clock.as_ref()).await?;
        let settings = settings_keeper::Says {
            published: Arc::new(ArcSwap::from_pointee(defaults.settings().clone())),
            defaults: Arc::new(defaults),
        };
        let in_force = &settings.published;
        let (contents, intake) =
            open_contents(&config, &databases, &vault, &clock, in_force).await?;
        let store_of_contents = Arc::clone(&contents.store);
        let stage = match demo {
            None => None,
            Some(options) => {
                let ground = Ground {
                    dir: &config.data.dir,
                    databases: &databases,
                    vault: &vault,
                    store: store.as_ref(),
                    contents: &store_of_contents,
                    clock: &clock,
                    node: config.node.id,
                };
                let (stage, filled) = Stage::set(ground, options, say_progress).await?;
                if filled.written > 0 {
                    tracing::info!(
                        records = filled.written,
                        seconds = filled.seconds,
                        "wrote the demonstration's history"
                    );
                }
                Some(stage)
            }
        };
        let limits = Arc::new(Limits::new());
        let budgets = Arc::new(Budgets::new(time_zone, Arc::clone(in_force)));
        let seed = take_stock(
            &config,
            store.as_ref(),
            &spool,
            &databases,
            &Spent {
                limits: &limits,
                budgets: &budgets,
            },
            clock.as_ref(),
        )
        .await?;

        let snapshot = Arc::new(ArcSwap::default());
        let bench = Bench::default();
        let reports = CountReport::default();
        let embeddings = Embeddings::default();
        let vector_store = vector_store(&config)?;
        let knowledge_news = News::default();
        let changes = ChangeMany {
            databases: databases.clone(),
            clock: Arc::clone(&clock),
            model: config.rag.embedding_model.as_str().into(),
        };
        let tree = Tree::start(TreeDeps {
            contents,
            databases: databases.clone(),
            vault: Arc::clone(&vault),
            snapshot: Arc::clone(&snapshot),
            settings: settings.clone(),
            jobs: JobKinds::new()
                .with(bench.clone())
                .with(reports.clone())
                .with(Distribute {
                    databases: databases.clone(),
                    clock: Arc::clone(&clock),
                    news: knowledge_news.clone(),
                })
                .with(changes.clone())
                .with(SyncMany(changes))
                .with(ImportPairs {
                    databases: databases.clone(),
                    clock: Arc::clone(&clock),
                    dir: import::dir(&config.data.dir),
                    news: knowledge_news.clone(),
                }),
            spool: Arc::clone(&spool),
            store,
            node: config.node.id,
            recharged: {
                let budgets = Arc::clone(&budgets);
                Arc::new(move |call| {
                    budgets.correct(
                        call.token_id,
                        call.tenant_id,
                        call.request_at,
                        call.difference,
                    );
                })
            },
            left_out: {
                let (limits, budgets) = (Arc::clone(&limits), Arc::clone(&budgets));
                let clock = Arc::clone(&clock);
                Arc::new(move |record| {
                    gateway::take_back(&limits, &budgets, record, clock.now_micros());
                })
            },
            logs: telemetry::feed(),
            time_zone,
            clock: Arc::clone(&clock),
            ledger: LedgerSettings::default(),
            health: health_settings(&config),
            archive_dir: config.archive_dir(),
            silence_max: Duration::from_millis(config.supervision.silence_max_ms),
            alerts: alert_settings(&config)?,
            outward: outgoing(&config)?,
            embedder: Arc::new(embeddings.clone()),
            embedding_model: config.rag.embedding_model.clone(),
            vector_store: vector_store.clone().map(|store| store as _),
            judge,
            knowledge_news,
            backups: schema::ground(
                &config.data.dir,
                // Kept conversations stop at twice the floor of the gateway's records.
                config.spool.min_free_bytes.saturating_mul(2),
            ),
            guest: stage.as_ref().map(Stage::group),
        })
        .await?;
        let rids = Arc::new(RidAllocator::new(config.node.id, seed, Arc::clone(&clock)));
        let gateway = Gateway::new(gateway::Parts {
            contents: Some(Arc::clone(&intake)),
            knowledge: Some(tree.knowledge.clone()),
            snapshot: Arc::clone(&snapshot),
            spool: Arc::clone(&spool),
            rids: Arc::clone(&rids),
            clock: Arc::clone(&clock),
            limits,
            budgets,
            health: Arc::clone(&tree.health),
            config: config.gateway.clone(),
            settings: Arc::clone(&settings.published),
            wait_durable: config.spool.fsync == Fsync::Always,
        })?;
        let config = Arc::new(config);
        let refresh_snapshot = refresher(&tree);
        refresh_snapshot().await.map_err(|cause| {
            StartError::TreeGaveUp(format!("the tokens and accounts cannot be read: {cause}"))
        })?;
        let state = web::Data::new(AppState::new(Parts {
            contents: store_of_contents,
            intake,
            config: Arc::clone(&config),
            clock,
            demo: stage.is_some(),
            databases: databases.clone(),
            vault,
            time_zone,
            settings,
            snapshot,
            refresh_snapshot,
            tree: tree.clone(),
            spool: Arc::clone(&spool),
            rids,
            gateway: Arc::clone(&gateway),
        })?);
        push::attach(&state);
        probes::attach(&state);
        let (server, address) = listen(&config, &state)?;
        bench.open(&state, address);
        reports.open(&state);
        embeddings.open(&state);
        if let Some(store) = &vector_store {
            store.open(&state);
        }
        if let Some(stage) = &stage {
            stage.open(address);
        }
        Ok(Self {
            server,
            address,
            state,
            gateway,
            tree,
            spool,
            databases,
            drain: Duration::from_millis(config.server.drain_timeout_ms),
            stage,
            _lock: lock,
            _claim: claim,
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
            let (server_over, failed) = tokio::select! {
                outcome = &mut server => (true, outcome.map_err(StartError::Server).err()),
                () = stop => (false, None),
                exit = self.tree.supervisor.exited() => (false, Some(gave_up(&exit))),
            };
            self.state.begin_drain();
            if let Some(stage) = &self.stage {
                stage.close();
            }
            tracing::info!("draining");
            let drained = drain_http(&handle, &self.gateway, self.drain);
            // The server's own future moves the workers' shutdown forward: poll both.
            let (_, _) = tokio::join!(drained, async {
                if !server_over {
                    let _ = (&mut server).await;
                }
            });
            failed
        };
        let kept = async {
            while self.state.intake.pending_count() > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let _ = tokio::time::timeout(LAST_RECORDS, kept).await;
        let exit = self.tree.shutdown(TREE_DRAIN).await;
        if let Err(cause) = self.spool.flush() {
            tracing::error!(%cause, "the spool could not be flushed; its records are delivered again at the next start");
        }
        let books = self.spool.ledger();
        let _ = tokio::time::timeout(CLOSE_WITHIN, self.state.contents.close()).await;
        let closed = tokio::time::timeout(CLOSE_WITHIN, self.databases.close());
        if closed.await.is_err() {
            tracing::warn!("the databases did not close in time; what was committed is safe");
        }
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

fn refresher(tree: &TreeHandle) -> RefreshSnapshot {
    let (settings, snapshot) = (tree.settings_keeper.clone(), tree.snapshot_keeper.clone());
    Arc::new(move || {
        let (settings, snapshot) = (settings.clone(), snapshot.clone());
        Box::pin(async move {
            let (settings, snapshot) = tokio::join!(
                settings.ask_within(Refresh, REFRESH_WITHIN),
                snapshot.ask_within(Refresh, REFRESH_WITHIN)
            );
            in_force(settings)?;
            in_force(snapshot)
        })
    })
}

fn in_force<E: Display>(answer: Result<Result<(), RefreshError>, E>) -> Result<(), String> {
    match answer {
        Ok(Ok(())) => Ok(()),
        Ok(Err(cause)) => Err(cause.to_string()),
        Err(cause) => Err(cause.to_string()),
    }
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
    // A worker that was stopped drops its calls a moment later, and each is recorded as it goes.
    let recorded = async {
        while gateway.counters().read().in_flight > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if tokio::time::timeout(LAST_RECORDS, recorded).await.is_err() {
        let calls = gateway.counters().read().in_flight;
        tracing::error!(
            calls,
            "the process ends before these calls that were cut are on the books"
        );
    }
}
