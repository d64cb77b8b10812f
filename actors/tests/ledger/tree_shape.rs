//! The tree's shape, in the open: a change here is a reviewable diff. Folder = supervisor, file = process.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use sea_orm::DbErr;
use steward_actors::backup::{Applied, Schema};
use steward_actors::courier::{Answered, Courier, Parcel};
use steward_actors::domain::clock::SystemClock;
use steward_actors::domain::notice::email::Mail;
use steward_actors::domain::setting::{Defaults, Definition, Kind, Written, definition};
use steward_actors::jobs::JobKinds;
use steward_actors::knowledge::embed::{Ask, Blame, Embedder, Failed};
use steward_actors::ledger_store::open;
use steward_actors::outward::{Call, Outward, Reply};
use steward_actors::spool::{Spool, SpoolConfig};
use steward_actors::supervision::{Node, NodeKind};
use steward_actors::tree::foundation::settings_keeper;
use steward_actors::tree::ledger::{LedgerSettings, content_writer};
use steward_actors::tree::watch::AlertSettings;
use steward_actors::tree::{BackupGround, Tree, TreeDeps};
use steward_actors::vault::Vault;
use steward_entities::database::Databases;
use steward_migration::testing::TestDatabase;

/// Nothing leaves from here.
#[derive(Debug)]
struct Nowhere;

#[async_trait::async_trait]
impl Courier for Nowhere {
    async fn post(&self, _: Parcel) -> Result<Answered, String> {
        Err("nowhere".to_owned())
    }

    async fn mail(&self, _: &Mail, _: &[String]) -> Result<Answered, String> {
        Err("nowhere".to_owned())
    }

    fn mail_domain(&self) -> &str {
        "example.com"
    }
}

#[async_trait::async_trait]
impl Outward for Nowhere {
    async fn call(&self, _: Call) -> Result<Reply, String> {
        Err("nowhere".to_owned())
    }

    async fn addresses(&self, _: &str, _: u16) -> Result<Vec<SocketAddr>, String> {
        Err("nowhere".to_owned())
    }
}

#[async_trait::async_trait]
impl Embedder for Nowhere {
    async fn embed(&self, _: Ask) -> Result<Vec<Vec<f32>>, Failed> {
        Err(Failed::of(Blame::Provider, "nowhere"))
    }
}

/// No tables are made here.
struct Nothing;

#[async_trait::async_trait]
impl Schema for Nothing {
    async fn applied(&self, _: &Databases) -> Result<Applied, DbErr> {
        Ok(Applied::default())
    }

    async fn make(&self, _: &Databases, _: &Applied) -> Result<(), String> {
        Ok(())
    }

    async fn finish(&self, _: &Databases) -> Result<(), DbErr> {
        Ok(())
    }
}

async fn planned(database: &TestDatabase) -> Node {
    let (spool, _) = Spool::open(SpoolConfig::new(database.dir().join("spool"), 1)).unwrap();
    let (contents_spool, _) =
        Spool::open(SpoolConfig::new(database.dir().join("contents-spool"), 1)).unwrap();
    let vault = Arc::new(Vault::open(database.dir()).unwrap());
    let contents = content_writer::Parts {
        spool: contents_spool,
        store: crate::contents::store(database),
        vault: Arc::clone(&vault),
        clock: Arc::new(SystemClock),
        settings: Arc::default(),
    };
    let (_, handle) = Tree::plan(TreeDeps {
        contents,
        databases: (**database).clone(),
        vault,
        snapshot: Arc::default(),
        settings: settings_keeper::Says {
            defaults: Arc::new(least()),
            published: Arc::default(),
        },
        jobs: JobKinds::new(),
        spool,
        store: open(&database.ledger, chrono_tz::Tz::UTC),
        node: 1,
        logs: Arc::default(),
        time_zone: chrono_tz::Tz::UTC,
        recharged: Arc::new(|_| {}),
        left_out: Arc::new(|_| {}),
        clock: Arc::new(SystemClock),
        ledger: LedgerSettings::default(),
        health: Default::default(),
        archive_dir: database.dir().join("archive"),
        silence_max: std::time::Duration::from_secs(30),
        alerts: AlertSettings {
            console_url: String::new(),
            heartbeat_url: String::new(),
            courier: Arc::new(Nowhere),
        },
        outward: Arc::new(Nowhere),
        embedder: Arc::new(Nowhere),
        embedding_model: String::new(),
        vector_store: None,
        judge: |_, _| 0.5,
        knowledge_news: Default::default(),
        backups: BackupGround {
            schema: Arc::new(Nothing),
            migrate_contents: Arc::new(|_| Box::pin(async { Ok(()) })),
            data_dir: database.dir().to_path_buf(),
            keep_free_bytes: 0,
        },
        guest: None,
    })
    .unwrap();
    assert!(handle.jobs.knows("dead_letters.replay"));
    assert!(handle.jobs.knows("stats.recount"));
    assert!(handle.jobs.knows("conversations.delete"));
    assert!(handle.jobs.knows("backup.database"));
    assert!(handle.jobs.knows("backup.drill"));
    assert!(handle.jobs.knows("retention.run"));
    assert!(handle.jobs.knows("archives.write") && handle.jobs.knows("archives.import"));
    handle.supervisor.tree_now()
}

/// As the smallest values there are: nothing of it runs.
fn least() -> Defaults {
    let least = |definition: &Definition| match definition.kind {
        Kind::Whole { min, .. } | Kind::Days { min, .. } => min.to_string(),
        Kind::Decimal { .. } => "1".to_owned(),
        Kind::Choice(words) => words[0].to_owned(),
    };
    Defaults::new(|key| Written {
        text: definition(key).map(least).unwrap(),
        is_locked: false,
    })
    .unwrap()
}

fn draw(node: &Node, depth: usize, drawing: &mut String) {
    let name = node.id.rsplit('/').next().unwrap_or_default();
    drawing.push_str(&"  ".repeat(depth));
    drawing.push_str(name);
    if let Some(strategy) = node.strategy {
        drawing.push_str(&format!(" {strategy:?}"));
    }
    drawing.push('\n');
    for child in &node.children {
        draw(child, depth + 1, drawing);
    }
}

#[tokio::test]
async fn the_tree_is_drawn_as_it_runs() {
    let database = TestDatabase::sqlite().await;
    let mut drawing = String::new();
    draw(&planned(&database).await, 0, &mut drawing);
    insta::assert_snapshot!(drawing, @r"
    root OneForOne
      foundation OneForOne
        settings_keeper
        snapshot_keeper
      ledger OneForOne
        request_logger
        batch_writer
        aggregator
        content_writer
        compressor
      live OneForOne
        push_hub
      watch OneForOne
        alert_evaluator
        notifier
        log_collector
        health_prober
      learning OneForOne
        knowledge_sync
        feedback_learner
      upkeep OneForOne
        job_runner
        remote_backup
        database_backup
        retention
        archivist
        reporter
    ");
}

#[tokio::test]
async fn the_architecture_page_draws_the_same_tree() {
    let database = TestDatabase::sqlite().await;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ARCHITECTURE.md");
    let page = std::fs::read_to_string(page).unwrap();
    let name = |node: &Node| node.id.rsplit('/').next().unwrap_or_default().to_owned();
    for group in &planned(&database).await.children {
        let processes: Vec<String> = group.children.iter().map(name).collect();
        let told = page.lines().find_map(|line| {
            let (drawn, processes) = line
                .trim_start_matches(['├', '└', '─', ' '])
                .split_once("  ")?;
            (drawn.trim() == name(group)).then(|| processes.trim().to_owned())
        });
        assert_eq!(told, Some(processes.join(" · ")), "{}", group.id);
    }
}

#[tokio::test]
async fn folders_are_supervisors_and_files_are_processes() {
    let database = TestDatabase::sqlite().await;
    let tree = planned(&database).await;
    let drawn: BTreeSet<String> = tree
        .walk()
        .iter()
        .filter(|node| node.kind == NodeKind::Actor)
        .map(|node| node.id.clone())
        .collect();
    let mut laid_out = BTreeSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tree");
    for group in std::fs::read_dir(root).unwrap().map(Result::unwrap) {
        if !group.path().is_dir() {
            continue;
        }
        for file in std::fs::read_dir(group.path()).unwrap().map(Result::unwrap) {
            let file = file.file_name().into_string().unwrap();
            // A folder beside a process's file holds that process's parts.
            if let Some(process) = file.strip_suffix(".rs").filter(|name| *name != "mod") {
                let group = group.file_name().into_string().unwrap();
                laid_out.insert(format!("root/{group}/{process}"));
            }
        }
    }
    assert_eq!(drawn, laid_out);
}
