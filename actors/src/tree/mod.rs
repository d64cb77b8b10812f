//! The list: every group and actor of the process, in start order. Folder = supervisor, file = process.
//!
//! What belongs to the tree's callers (databases, the spool, the clock) comes in through [`TreeDeps`]; what
//! they may use of it goes out through [`TreeHandle`]. The root gives up when a group does, and the process
//! then ends; what was accepted is safe in the spool.

pub mod foundation;
pub mod learning;
pub mod ledger;
pub mod live;
pub mod upkeep;
pub mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono_tz::Tz;
use steward_entities::database::Databases;
use thiserror::Error;
use tokio::sync::{broadcast, watch as latest};

use crate::archive::{self, FindMonths, ImportMonth, WriteMonths};
use crate::backup::{self, Drill, MakeBackup};
use crate::contents::deletion::DeleteConversations;
use crate::contents::store::Migrate;
use crate::courier::Courier;
use crate::domain::clock::SharedClock;
use crate::domain::recent::Recent;
use crate::domain::snapshot::Snapshot;
use crate::health::store::NodeLooks;
use crate::health::{HealthBoard, HealthSettings, LatestRound};
use crate::jobs::JobKinds;
use crate::knowledge;
use crate::knowledge::embed::Embedder;
use crate::knowledge::store::VectorStore;
use crate::ledger_store::rebuild::RebuildDays;
use crate::ledger_store::recount::RecountDay;
use crate::ledger_store::replay::ReplayDeadLetters;
use crate::ledger_store::reprice::{Hears, RecalculatePrices};
use crate::ledger_store::{LedgerStore, WriteError};
use crate::live::Switchboard;
use crate::log_feed::LogFeed;
use crate::outward::Outward;
use crate::retention::{self, RunNow};
use crate::spool::Spool;
use crate::supervision::{
    ActorRef, Group, GroupExit, Intensity, NodeKind, SpecError, Supervisor, SupervisorHandle,
};
use crate::vault::Vault;

use foundation::settings_keeper::{self, SettingsKeeper};
use foundation::snapshot_keeper::{self, SnapshotKeeper};
use learning::feedback_learner::FeedbackLearner;
use learning::knowledge_sync::KnowledgeSync;
use ledger::LedgerSettings;
use ledger::batch_writer::BatchWriter;
use ledger::batch_writer::delivery::{BatchCommitted, Condition, LeftOut};
use ledger::content_writer;
use ledger::request_logger::RequestLogger;
use live::push_hub::PushHub;
use upkeep::job_runner::{self, JobRunner};
use upkeep::{archivist, database_backup, remote_backup, reporter};
use watch::AlertSettings;
use watch::alert_evaluator::measure::Gauges;
use watch::alert_evaluator::outside::Outside;
use watch::alert_evaluator::{self, AlertEvaluator};
use watch::health_prober;
use watch::log_collector;
use watch::notifier;

/// Messages that may wait for an actor that is not overrun in ordinary life.
const QUEUE: usize = 64;
/// Announcements a slow listener may fall behind before it misses some: seconds at full load, and a bound on
/// the memory that their records take meanwhile.
const ANNOUNCEMENTS: usize = 32;
/// Loose: what upkeep talks to lies outside, and must not take the process down.
const UPKEEP: Intensity = Intensity {
    max: 30,
    within: Duration::from_secs(60),
};

/// What the tree lives on.
pub struct TreeDeps {
    /// Opened and migrated.
    pub databases: Databases,
    /// Opens the accounts' secrets.
    pub vault: Arc<Vault>,
    /// Where the gateway reads its snapshot; filled by the time the tree is up.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// What the configuration says of settings, and where those in force are told.
    pub settings: settings_keeper::Says,
    /// Kinds of jobs this process runs, besides the tree's own.
    pub jobs: JobKinds,
    /// Opened, nothing appended yet.
    pub spool: Arc<Spool>,
    /// The ledger's writer.
    pub store: Arc<dyn LedgerStore>,
    /// This node, 0 to 255.
    pub node: u8,
    /// The process's own log.
    pub logs: Arc<LogFeed>,
    /// Where days begin.
    pub time_zone: Tz,
    /// Told of every call that is charged anew.
    pub recharged: Hears,
    /// Told of every record that is left out because its call is on the books already.
    pub left_out: LeftOut,
    /// Wall-clock time.
    pub clock: SharedClock,
    /// Of the ledger group.
    pub ledger: LedgerSettings,
    /// How components are looked at.
    pub health: HealthSettings,
    /// Kept conversations: their spool, their months, and what opens them.
    pub contents: content_writer::Parts,
    /// Where archived months go.
    pub archive_dir: PathBuf,
    /// An actor that gives no sign of life for so long is replaced, even if its spec gives it longer.
    pub silence_max: Duration,
    /// Alert rules and notices.
    pub alerts: AlertSettings,
    /// Makes calls to the remote and the bucket that operators set.
    pub outward: Arc<dyn Outward>,
    /// Turns texts into vectors.
    pub embedder: Arc<dyn Embedder>,
    /// The model that knowledge is embedded by; empty for none.
    pub embedding_model: String,
    /// Where their vectors are looked for; none: in memory.
    pub vector_store: Option<Arc<dyn VectorStore>>,
    /// What a pair is worth that nobody has judged.
    pub judge: knowledge::learn::Judge,
    /// Told by jobs that write pairs.
    pub knowledge_news: knowledge::News,
    /// What backups are restored with.
    pub backups: BackupGround,
    /// A group that stands beside the tree's own, started last and ended first: a demonstration's.
    pub guest: Option<Group>,
}

/// What backups are restored with: the tables' history, and where there is room to rehearse.
#[derive(Clone)]
pub struct BackupGround {
    pub schema: Arc<dyn backup::Schema>,
    pub migrate_contents: Migrate,
    pub data_dir: PathBuf,
    /// What a rehearsal leaves of the disk.
    pub keep_free_bytes: u64,
}

/// Why the tree did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The ledger could not be asked where it stands.
    #[error("the ledger cannot be read at start: {0}")]
    Ledger(#[from] WriteError),
    /// The tree is drawn wrongly.
    #[error("the supervision tree cannot be built: {0}")]
    Spec(#[from] SpecError),
    /// No thread for the supervisor.
    #[error("the supervisor has no thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// The tree from outside. Clones share everything.
#[derive(Clone, Debug)]
pub struct TreeHandle {
    /// Look at it, restart parts of it, end it.
    pub supervisor: SupervisorHandle,
    /// `root/foundation/settings_keeper`.
    pub settings_keeper: ActorRef<SettingsKeeper>,
    /// `root/foundation/snapshot_keeper`.
    pub snapshot_keeper: ActorRef<SnapshotKeeper>,
    /// `root/ledger/request_logger`.
    pub request_logger: ActorRef<RequestLogger>,
    /// `root/ledger/batch_writer`.
    pub batch_writer: ActorRef<BatchWriter>,
    /// `root/live/push_hub`.
    pub push_hub: ActorRef<PushHub>,
    /// The last two hours of calls; `root/ledger/aggregator` fills it.
    pub recent: Arc<Recent>,
    /// What subscribers hear.
    pub live: Arc<Switchboard>,
    /// The process's own log.
    pub logs: Arc<LogFeed>,
    /// How every component is; `root/watch/health_prober` fills it.
    pub health: Arc<HealthBoard>,
    /// `root/watch/alert_evaluator`.
    pub alert_evaluator: ActorRef<AlertEvaluator>,
    /// Carries notices out of the house.
    pub courier: Arc<dyn Courier>,
    /// What metrics are read from.
    pub gauges: Gauges,
    /// What evaluator, notifier and handlers share.
    pub alerts: alert_evaluator::Shared,
    /// `root/upkeep/job_runner`.
    pub job_runner: ActorRef<JobRunner>,
    /// `root/learning/feedback_learner`.
    pub feedback_learner: ActorRef<FeedbackLearner>,
    /// How its latest pass went.
    pub learning: LatestRound,
    /// `root/learning/knowledge_sync`.
    pub knowledge_sync: ActorRef<KnowledgeSync>,
    /// What it works with, and what questions are answered by.
    pub knowledge: knowledge::Parts,
    /// What `root/upkeep/remote_backup` works with, for whoever asks for a push.
    pub remote: remote_backup::Parts,
    /// What backups are made and restored with.
    pub backups: backup::Parts,
    /// How the snapshot in force came about.
    pub snapshot_condition: Arc<ArcSwap<snapshot_keeper::Condition>>,
    /// Kinds of jobs this process runs.
    pub jobs: JobKinds,
    /// What grows old, and how far forgetting it is.
    pub retention: retention::Parts,
    /// Months that stay.
    pub archive: archive::Parts,
    committed: broadcast::Sender<BatchCommitted>,
    condition: latest::Receiver<Condition>,
}

impl TreeHandle {
    /// Hears of every commit from now on.
    pub fn committed(&self) -> broadcast::Receiver<BatchCommitted> {
        self.committed.subscribe()
    }

    /// How the batch writer stands to its database.
    pub fn ledger_condition(&self) -> latest::Receiver<Condition> {
        self.condition.clone()
    }

    /// Ends the tree in order, the ledger last; it writes what it can until `deadline` has passed.
    pub async fn shutdown(&self, deadline: Duration) -> GroupExit {
        self.supervisor.shutdown(deadline).await
    }
}

/// The tree.
pub struct Tree;

impl Tree {
    /// Numbers on from where the ledger stands, then starts every actor. Must run inside an
    /// actix `System`, before the first append; the supervisor gets a thread of its own.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(deps: TreeDeps) -> Result<TreeHandle, StartError> {
        let settled_through = deps.store.cursor(deps.node).await?;
        let elsewhere = deps.spool.reconcile(settled_through);
        if elsewhere > 0 {
            tracing::info!(
                elsewhere,
                "the ledger has settled records of this node that this spool never held, or has lost"
            );
        }
        let (supervisor, handle) = Self::plan(deps)?;
        supervisor.start_on_own_thread()?;
        Ok(handle)
    }

    /// The tree as it will run, not started. For tests of its shape, and in virtual time.
    ///
    /// # Errors
    /// The tree is drawn wrongly.
    pub fn plan(deps: TreeDeps) -> Result<(Supervisor, TreeHandle), SpecError> {
        let (committed, _) = broadcast::channel(ANNOUNCEMENTS);
        let (condition, watched) = latest::channel(Condition::default());
        let request_logger = ActorRef::new(QUEUE);
        let batch_writer = ActorRef::new(QUEUE);

        let settings_keeper = ActorRef::new(QUEUE);
        let in_force = Arc::clone(&deps.settings.published);
        let snapshot_keeper = ActorRef::new(QUEUE);
        let push_hub = ActorRef::new(QUEUE);
        let board = Switchboard::new(Arc::clone(&deps.clock));
        let job_runner = ActorRef::new(QUEUE);
        let snapshot_condition = Arc::new(ArcSwap::default());
        let recent = Recent::new(Arc::clone(&deps.clock));
        let health = HealthBoard::new(deps.health);
        let prober_parts = health_prober::Parts {
            board: Arc::clone(&health),
            store: Arc::new(NodeLooks {
                databases: deps.databases.clone(),
                node: deps.node,
            }),
            clock: Arc::clone(&deps.clock),
            zone: deps.time_zone,
        };
        let backups = backup::Parts {
            source: backup::Source {
                databases: deps.databases.clone(),
                contents: Arc::clone(&deps.contents.store),
                schema: deps.backups.schema,
                vault: Arc::clone(&deps.vault),
            },
            outward: Arc::clone(&deps.outward),
            clock: Arc::clone(&deps.clock),
            zone: deps.time_zone,
            data_dir: deps.backups.data_dir,
            keep_free_bytes: deps.backups.keep_free_bytes,
            migrate_contents: deps.backups.migrate_contents,
        };
        let retention_parts = retention::Parts {
            databases: deps.databases.clone(),
            contents: Arc::clone(&deps.contents.store),
            settings: Arc::clone(&in_force),
            board: Arc::default(),
            clock: Arc::clone(&deps.clock),
        };
        let archive_parts = archive::Parts {
            databases: deps.databases.clone(),
            contents: Arc::clone(&deps.contents.store),
            settings: Arc::clone(&in_force),
            dir: deps.archive_dir,
            vault: Arc::clone(&deps.vault),
            outward: Arc::clone(&deps.outward),
            busy: Arc::default(),
            node: deps.node,
            clock: Arc::clone(&deps.clock),
        };
        let jobs = deps
            .jobs
            .with(MakeBackup(backups.clone()))
            .with(Drill(backups.clone()))
            .with(ReplayDeadLetters {
                store: Arc::clone(&deps.store),
                clock: Arc::clone(&deps.clock),
            })
            .with(RecountDay {
                databases: deps.databases.clone(),
                zone: deps.time_zone,
                clock: Arc::clone(&deps.clock),
            })
            .with(RebuildDays {
                databases: deps.databases.clone(),
                zone: deps.time_zone,
                clock: Arc::clone(&deps.clock),
            })
            .with(RecalculatePrices {
                databases: deps.databases.clone(),
                store: Arc::clone(&deps.store),
                spool: Arc::clone(&deps.spool),
                zone: deps.time_zone,
                clock: Arc::clone(&deps.clock),
                hears: deps.recharged,
            })
            .with(DeleteConversations {
                store: Arc::clone(&deps.contents.store),
            })
            .with(RunNow {
                parts: retention_parts.clone(),
            })
            .with(WriteMonths {
                parts: archive_parts.clone(),
            })
            .with(ImportMonth {
                parts: archive_parts.clone(),
            })
            .with(FindMonths {
                parts: archive_parts.clone(),
            });

        let knowledge_sync = ActorRef::new(QUEUE);
        let knowledge = knowledge::Parts {
            databases: deps.databases.clone(),
            embedder: deps.embedder,
            store: deps.vector_store,
            settings: Arc::clone(&in_force),
            model: deps.embedding_model.into(),
            clock: Arc::clone(&deps.clock),
            node: deps.node,
            loaded: Arc::default(),
            news: deps.knowledge_news,
        };
        let feedback_learner = ActorRef::new(QUEUE);
        let learns = knowledge::learn::Parts {
            databases: deps.databases.clone(),
            contents: Arc::clone(&deps.contents.store),
            settings: Arc::clone(&in_force),
            clock: Arc::clone(&deps.clock),
            latest: LatestRound::default(),
            nearby: knowledge.clone(),
            judge: deps.judge,
        };
        let learning = learns.latest.clone();
        let settings_parts = settings_keeper::Parts {
            databases: deps.databases.clone(),
            says: deps.settings,
        };
        let keeper_parts = snapshot_keeper::Parts {
            databases: deps.databases.clone(),
            vault: Arc::clone(&deps.vault),
            published: deps.snapshot,
            condition: Arc::clone(&snapshot_condition),
            clock: Arc::clone(&deps.clock),
        };
        let logger_parts = ledger::request_logger::Parts {
            spool: Arc::clone(&deps.spool),
            settings: deps.ledger.clone(),
        };
        let aggregator_parts = ledger::aggregator::Parts {
            databases: deps.databases.clone(),
            committed: committed.clone(),
            recent: Arc::clone(&recent),
            spool: Arc::clone(&deps.spool),
            node: deps.node,
            zone: deps.time_zone,
            settings: Arc::clone(&in_force),
            clock: Arc::clone(&deps.clock),
        };
        let gauges = Gauges {
            databases: deps.databases.clone(),
            recent: Arc::clone(&recent),
            spool: Arc::clone(&deps.spool),
            zone: deps.time_zone,
            settings: Arc::clone(&in_force),
            outside: Arc::new(Outside::default()),
            writer: watched.clone(),
            embeds: !knowledge.model.is_empty(),
            node: deps.node,
        };
        let alert_evaluator = ActorRef::new(QUEUE);
        let alerts = alert_evaluator::Shared::default();
        let evaluator_parts = alert_evaluator::Parts {
            gauges: gauges.clone(),
            console_url: deps.alerts.console_url,
            board: Arc::clone(&board),
            shared: alerts.clone(),
            clock: Arc::clone(&deps.clock),
        };
        let notifier_parts = notifier::Parts {
            databases: deps.databases.clone(),
            vault: Arc::clone(&deps.vault),
            courier: Arc::clone(&deps.alerts.courier),
            shared: alerts.clone(),
            node: deps.node,
            heartbeat_url: deps.alerts.heartbeat_url,
            sending: notifier::Sending::default(),
            settings: Arc::clone(&in_force),
            clock: Arc::clone(&deps.clock),
        };
        let collector_parts = log_collector::Parts {
            feed: Arc::clone(&deps.logs),
            board: Arc::clone(&board),
            databases: deps.databases.clone(),
            settings: Arc::clone(&in_force),
            node: deps.node,
        };
        let writer_parts = Arc::new(ledger::batch_writer::delivery::Parts {
            spool: deps.spool,
            store: deps.store,
            node: deps.node,
            clock: Arc::clone(&deps.clock),
            settings: deps.ledger,
            in_force: Arc::clone(&in_force),
            committed: committed.clone(),
            condition,
            left_out: deps.left_out,
        });
        let remote = remote_backup::Parts {
            databases: deps.databases.clone(),
            vault: Arc::clone(&deps.vault),
            outward: deps.outward,
            clock: Arc::clone(&deps.clock),
            standing: Arc::default(),
        };
        let backup_parts = database_backup::Parts {
            databases: deps.databases.clone(),
            job_runner: job_runner.clone(),
            clock: Arc::clone(&deps.clock),
        };
        let reporter_parts = reporter::Parts {
            databases: deps.databases.clone(),
            job_runner: job_runner.clone(),
            clock: Arc::clone(&deps.clock),
        };
        let runner_parts = job_runner::Parts {
            databases: deps.databases,
            kinds: jobs.clone(),
            node: deps.node,
            clock: Arc::clone(&deps.clock),
        };

        let mut root = Group::new("root")
            .child(
                Group::new("foundation")
                    .child(settings_keeper::spec(&settings_keeper, settings_parts))
                    .child(snapshot_keeper::spec(&snapshot_keeper, keeper_parts)),
            )
            .child(ledger::with_contents(
                ledger::group(&request_logger, &batch_writer, logger_parts, writer_parts).child(
                    ledger::aggregator::spec(&ActorRef::new(QUEUE), aggregator_parts),
                ),
                deps.contents,
            ))
            .child(live::group(&push_hub, Arc::clone(&board)))
            .child(watch::group(
                (evaluator_parts, alert_evaluator.clone()),
                notifier_parts,
                collector_parts,
                prober_parts,
                QUEUE,
            ))
            .child(learning::group(
                &feedback_learner,
                learns,
                &knowledge_sync,
                knowledge.clone(),
                UPKEEP,
            ))
            .child(
                Group::new("upkeep")
                    .intensity(UPKEEP)
                    .child(job_runner::spec(&job_runner, runner_parts))
                    .child(remote_backup::spec(&ActorRef::new(QUEUE), remote.clone()))
                    .child(database_backup::spec(&ActorRef::new(QUEUE), backup_parts))
                    .child(upkeep::retention::spec(
                        &ActorRef::new(QUEUE),
                        retention_parts.clone(),
                    ))
                    .child(archivist::spec(
                        &ActorRef::new(QUEUE),
                        archive_parts.clone(),
                    ))
                    .child(reporter::spec(&ActorRef::new(QUEUE), reporter_parts)),
            );
        if let Some(guest) = deps.guest {
            root = root.child(guest);
        }
        let supervisor = Supervisor::new(root)?
            .clock(Arc::clone(&deps.clock))
            .silence_max(deps.silence_max);
        let (components, clock) = (Arc::clone(&health), Arc::clone(&deps.clock));
        gauges.outside.components(move || {
            let reports = components.reports(clock.now_micros()).into_iter();
            let each = reports.map(|report| (report.component.id, report.status.as_str()));
            each.collect()
        });
        let components = Arc::clone(&health);
        gauges.outside.knows(move || components.known());
        let components = Arc::clone(&health);
        gauges.outside.stands_on(move || components.parents());
        let (components, clock) = (Arc::clone(&health), Arc::clone(&deps.clock));
        gauges.outside.certificates(move || {
            let reports = components.reports(clock.now_micros()).into_iter();
            let each = reports
                .filter_map(|report| Some((report.component.id, report.certificate_expires_at?)));
            each.collect()
        });
        let tree = supervisor.handle();
        gauges.outside.restarts(move || {
            let nodes = tree.tree_now();
            let actors = nodes.walk();
            let each = actors.iter().filter(|node| node.kind == NodeKind::Actor);
            each.map(|node| node.restarts).sum()
        });
        let handle = TreeHandle {
            supervisor: supervisor.handle(),
            settings_keeper,
            alert_evaluator,
            courier: deps.alerts.courier,
            gauges,
            alerts,
            snapshot_keeper,
            request_logger,
            batch_writer,
            push_hub,
            recent,
            live: board,
            logs: deps.logs,
            health,
            job_runner,
            feedback_learner,
            learning,
            knowledge_sync,
            knowledge,
            remote,
            backups,
            snapshot_condition,
            jobs,
            retention: retention_parts,
            archive: archive_parts,
            committed,
            condition: watched,
        };
        Ok((supervisor, handle))
    }
}
