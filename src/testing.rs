//! What tests of handlers share: an [`AppState`] on a throwaway database, and a client for it.
//!
//! Only in unit tests of this crate. Tests of the whole program start it through `startup` instead.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use actix_http::Request;
use actix_web::body::{BoxBody, to_bytes};
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::test::TestRequest;
use actix_web::{Error, web};
use arc_swap::ArcSwap;
use serde_json::Value;
use steward_actors::contents::intake::Intake;
use steward_actors::contents::store::{ContentStore, Place};
use steward_actors::domain::clock::ManualClock;
use steward_actors::domain::rid::{Rid, RidAllocator};
use steward_actors::domain::snapshot::Snapshot;
use steward_actors::health::HealthSettings;
use steward_actors::jobs::JobKinds;
use steward_actors::snapshot_source::load;
use steward_actors::spool::{Spool, SpoolConfig};
use steward_actors::supervision::State;
use steward_actors::supervision::Supervisor;
use steward_actors::tree::foundation::settings_keeper;
use steward_actors::tree::foundation::snapshot_keeper::Refresh;
use steward_actors::tree::ledger::{LedgerSettings, content_writer};
use steward_actors::tree::{Tree, TreeDeps};
use steward_actors::vault::Vault;
use steward_entities::audit;
use steward_entities::column::HiddenText;
use steward_entities::database::{Databases, begin_write};
use steward_entities::operator::{self, NewOperator};
use steward_entities::scope::Page;
use steward_migration::testing::TestDatabase;

use crate::config::Config;
use crate::gateway::budget::Budgets;
use crate::gateway::{self, Gateway};
use crate::http::passwords;
use crate::state::{AppState, Parts, RefreshSnapshot};

/// Where the tests' clock begins: 2026-03-15T18:30:00Z.
pub(crate) const START: i64 = 1_773_599_400_000_000;

/// A state, the clock that moves it, and the database under it.
pub(crate) struct World {
    pub(crate) state: web::Data<AppState>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) database: TestDatabase,
}

impl World {
    /// On SQLite, unchanged configuration.
    pub(crate) async fn sqlite() -> Self {
        Self::on(TestDatabase::sqlite().await, |_| {})
    }

    /// On PostgreSQL, unchanged configuration.
    pub(crate) async fn postgres() -> Self {
        Self::on(TestDatabase::postgres().await, |_| {})
    }

    /// A demonstration, on SQLite.
    pub(crate) async fn demo() -> Self {
        let database = TestDatabase::sqlite().await;
        let clock = Arc::new(ManualClock::at_micros(START));
        let config = Config::load(None, []).unwrap();
        let (parts, _) = parts(&database, clock.clone(), config);
        let state = AppState::new(Parts {
            demo: true,
            ..parts
        });
        Self {
            state: web::Data::new(state.unwrap()),
            clock,
            database,
        }
    }

    /// Where days are those of `time_zone`, at `at_micros`.
    pub(crate) fn in_zone(
        database: TestDatabase,
        time_zone: chrono_tz::Tz,
        at_micros: i64,
    ) -> Self {
        let clock = Arc::new(ManualClock::at_micros(at_micros));
        let config = Config::load(None, []).unwrap();
        let (parts, _) = parts(&database, clock.clone(), config);
        let state = AppState::new(Parts { time_zone, ..parts });
        Self {
            state: web::Data::new(state.unwrap()),
            clock,
            database,
        }
    }

    /// On SQLite, with a gateway that cannot be told of a change.
    pub(crate) async fn untold() -> Self {
        let database = TestDatabase::sqlite().await;
        let clock = Arc::new(ManualClock::at_micros(START));
        let config = Config::load(None, []).unwrap();
        let (parts, _) = parts(&database, clock.clone(), config);
        let state = AppState::new(Parts {
            refresh_snapshot: Arc::new(|| Box::pin(async { Err("nobody listens".to_owned()) })),
            ..parts
        });
        Self {
            state: web::Data::new(state.unwrap()),
            clock,
            database,
        }
    }

    /// On any database; `adjust` changes the default configuration.
    pub(crate) fn on(database: TestDatabase, adjust: impl FnOnce(&mut Config)) -> Self {
        let clock = Arc::new(ManualClock::at_micros(START));
        let mut config = Config::load(None, []).unwrap();
        adjust(&mut config);
        let (parts, _) = parts(&database, clock.clone(), config);
        let state = AppState::new(parts).unwrap();
        Self {
            state: web::Data::new(state),
            clock,
            database,
        }
    }

    /// On SQLite, configured by the environment of the process.
    pub(crate) async fn with_environment(
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let config = Config::load(None, environment).unwrap();
        Self::on(TestDatabase::sqlite().await, |unchanged| {
            *unchanged = config
        })
    }

    /// On SQLite, with every actor running. End it with [`Self::end`].
    pub(crate) async fn live() -> Self {
        let database = TestDatabase::sqlite().await;
        let clock = Arc::new(ManualClock::at_micros(START));
        let config = Config::load(None, []).unwrap();
        let (mut parts, supervisor) = parts(&database, clock.clone(), config);
        supervisor.start_on_own_thread().unwrap();
        let is_up = || {
            let groups = parts.tree.supervisor.tree_now().children;
            groups.iter().all(|group| group.state == State::Running)
        };
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while !is_up() {
            assert!(tokio::time::Instant::now() < deadline, "the tree is not up");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let keeper = parts.tree.snapshot_keeper.clone();
        parts.refresh_snapshot = Arc::new(move || {
            let keeper = keeper.clone();
            Box::pin(async move {
                let answer = keeper.ask_within(Refresh, Duration::from_secs(10)).await;
                answer
                    .map_err(|error| error.to_string())?
                    .map_err(|error| error.to_string())
            })
        });
        Self {
            state: web::Data::new(AppState::new(parts).unwrap()),
            clock,
            database,
        }
    }

    /// Ends the actors of [`Self::live`].
    pub(crate) async fn end(self) {
        self.state.tree.shutdown(Duration::from_secs(10)).await;
    }

    /// Of every operator made here.
    pub(crate) const PASSWORD: &'static str = "correct horse battery";

    /// An operator with [`Self::PASSWORD`].
    pub(crate) async fn operator(&self, username: &str, role: &str) -> operator::Model {
        self.operator_of(username, role, None).await
    }

    async fn operator_of(
        &self,
        username: &str,
        role: &str,
        tenant_id: Option<i64>,
    ) -> operator::Model {
        // Hashing is slow on purpose; once is enough.
        static HASH: LazyLock<String> = LazyLock::new(|| passwords::hash(World::PASSWORD).unwrap());
        let new = NewOperator {
            username: username.to_owned(),
            password_hash: HiddenText(HASH.clone()),
            role: role.to_owned(),
            display_name: username.to_owned(),
            enabled: true,
            must_change_password: false,
            tenant_id,
        };
        let txn = begin_write(&self.database.control).await.unwrap();
        let row = operator::insert(&txn, new, START).await.unwrap();
        txn.commit().await.unwrap();
        self.state.directory.refresh().await.unwrap();
        row
    }

    /// An operator who has signed in; answers the access token.
    pub(crate) async fn signed_in(&self, username: &str, role: &str) -> String {
        let row = self.operator(username, role).await;
        self.access(&row)
    }

    /// The same for an operator who sees one tenant (its key) only.
    pub(crate) async fn signed_in_of_tenant(
        &self,
        username: &str,
        role: &str,
        tenant_id: i64,
    ) -> String {
        let row = self.operator_of(username, role, Some(tenant_id)).await;
        self.access(&row)
    }

    /// An access token of somebody there is; it lives a quarter of an hour of the world's clock.
    pub(crate) fn access(&self, row: &operator::Model) -> String {
        let now = self.state.clock.now_micros();
        self.state
            .access
            .issue(&row.public_id, row.epoch, &row.role, "ses_test", now)
            .unwrap()
    }

    /// What the audit log holds of an action, newest first.
    pub(crate) async fn audited(&self, action: &str) -> Vec<AuditRow> {
        let filter = audit::Filter {
            action: Some(action.to_owned()),
            ..audit::Filter::default()
        };
        let all = Page {
            after: None,
            limit: 1_000,
        };
        let rows = audit::list(&self.database.control_read, &filter, all)
            .await
            .unwrap();
        rows.into_iter()
            .map(|row| AuditRow {
                operator_name: row.operator_name,
                target_id: row.target_id,
                details: row.details,
                ip: row.ip,
                request_id: row.request_id,
            })
            .collect()
    }

    /// Everything that is served, ready to be called.
    pub(crate) async fn app(
        &self,
    ) -> impl Service<
        Request,
        Response = ServiceResponse<impl actix_web::body::MessageBody + use<>>,
        Error = Error,
    > + use<> {
        actix_web::test::init_service(crate::http::routes::app(self.state.clone())).await
    }
}

/// Files on either database: what PostgreSQL does differently is tested where the store is.
pub(crate) fn contents_store(database: &TestDatabase) -> Arc<ContentStore> {
    ContentStore::new(
        Place::Files(database.dir().join("contents")),
        database.control_read.clone(),
        Arc::new(|connection| {
            Box::pin(async move { steward_migration::migrate_contents(&connection).await })
        }),
    )
}

/// Everything a state is made of, with the actors drawn but not running: the snapshot is built in the place
/// of `snapshot_keeper`.
fn parts(database: &TestDatabase, clock: Arc<ManualClock>, config: Config) -> (Parts, Supervisor) {
    let databases: Databases = (**database).clone();
    let vault = Arc::new(Vault::open(database.dir()).unwrap());
    let snapshot: Arc<ArcSwap<Snapshot>> = Arc::default();
    let mut spool = SpoolConfig::new(database.dir().join("spool"), config.node.id);
    spool.segment_bytes = 64 * 1024;
    spool.min_free_bytes = 0;
    spool.max_bytes = Some(config.spool.max_bytes).filter(|bytes| *bytes > 0);
    let (spool, _) = Spool::open(spool).unwrap();
    let mut contents_spool =
        SpoolConfig::new(database.dir().join("contents-spool"), config.node.id);
    contents_spool.segment_bytes = 64 * 1024;
    contents_spool.min_free_bytes = 0;
    let (contents_spool, _) = Spool::open(contents_spool).unwrap();
    let defaults = config.setting_defaults().unwrap();
    let says = settings_keeper::Says {
        published: Arc::new(ArcSwap::from_pointee(defaults.settings().clone())),
        defaults: Arc::new(defaults),
    };
    let intake = Intake::new(
        contents_spool.clone(),
        vault.clone(),
        says.published.clone(),
        config.conversations.max_memory_bytes,
    );
    let contents = contents_store(database);
    let (supervisor, tree) = Tree::plan(TreeDeps {
        contents: content_writer::Parts {
            spool: contents_spool,
            store: contents.clone(),
            vault: vault.clone(),
            clock: clock.clone(),
            settings: says.published.clone(),
        },
        databases: databases.clone(),
        vault: vault.clone(),
        snapshot: snapshot.clone(),
        settings: says.clone(),
        jobs: JobKinds::new(),
        spool: spool.clone(),
        store: steward_actors::ledger_store::open(&databases.ledger, chrono_tz::Asia::Shanghai),
        node: config.node.id,
        logs: Arc::default(),
        time_zone: chrono_tz::Asia::Shanghai,
        recharged: Arc::new(|_| {}),
        left_out: Arc::new(|_| {}),
        clock: clock.clone(),
        ledger: LedgerSettings::default(),
        health: HealthSettings {
            interval: Duration::from_millis(50),
            ..HealthSettings::default()
        },
        archive_dir: database.dir().join("archive"),
        silence_max: Duration::from_millis(config.supervision.silence_max_ms),
        alerts: crate::startup::alert_settings(&config).unwrap(),
        outward: crate::startup::outgoing(&config).unwrap(),
        embedder: Arc::new(crate::embedding::Embeddings::default()),
        embedding_model: config.rag.embedding_model.clone(),
        vector_store: None,
        judge: crate::features::knowledge::judge,
        knowledge_news: Default::default(),
        backups: crate::schema::ground(database.dir(), 0),
        guest: None,
    })
    .unwrap();
    let refresh_snapshot: RefreshSnapshot = {
        let (databases, vault, snapshot) = (databases.clone(), vault.clone(), snapshot.clone());
        let says = says.clone();
        Arc::new(move || {
            let (databases, vault, snapshot) = (databases.clone(), vault.clone(), snapshot.clone());
            let says = says.clone();
            Box::pin(async move {
                let settings = settings_keeper::read(&databases, &says.defaults).await;
                let (settings, _) = settings.map_err(|error| error.to_string())?;
                says.published.store(Arc::new(settings));
                let loaded = load(&databases, &vault, None).await;
                let loaded = loaded.map_err(|error| error.to_string())?;
                if let Some(loaded) = loaded {
                    snapshot.store(Arc::new(loaded.built.snapshot));
                }
                Ok(())
            })
        })
    };
    let rids = Arc::new(RidAllocator::new(config.node.id, Rid(0), clock.clone()));
    let gateway = Gateway::new(gateway::Parts {
        contents: Some(intake.clone()),
        knowledge: Some(tree.knowledge.clone()),
        snapshot: snapshot.clone(),
        spool: spool.clone(),
        rids: rids.clone(),
        clock: clock.clone(),
        limits: Arc::default(),
        budgets: Arc::new(Budgets::new(
            chrono_tz::Asia::Shanghai,
            says.published.clone(),
        )),
        health: tree.health.clone(),
        config: config.gateway.clone(),
        settings: says.published.clone(),
        wait_durable: false,
    })
    .unwrap();
    let parts = Parts {
        contents,
        intake,
        rids,
        gateway,
        config: Arc::new(config),
        clock,
        demo: false,
        databases,
        vault,
        time_zone: chrono_tz::Asia::Shanghai,
        settings: says,
        snapshot,
        refresh_snapshot,
        spool,
        tree,
    };
    (parts, supervisor)
}

/// A row of the audit log.
#[derive(Debug, serde::Serialize)]
pub(crate) struct AuditRow {
    pub(crate) operator_name: String,
    pub(crate) target_id: String,
    pub(crate) details: Value,
    pub(crate) ip: String,
    pub(crate) request_id: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: header::HeaderMap,
    /// Null when the body is not JSON.
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Answer {
    /// A header's text; empty when it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// A request to make.
pub(crate) struct Ask(TestRequest);

impl Ask {
    pub(crate) fn new(method: Method, path: &str) -> Self {
        let peer = ([127, 0, 0, 1], 40_000).into();
        Self(
            TestRequest::default()
                .method(method)
                .uri(path)
                .peer_addr(peer),
        )
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: &str, body: Value) -> Self {
        Self::new(Method::POST, path).json(body)
    }

    pub(crate) fn put(path: &str, body: Value) -> Self {
        Self::new(Method::PUT, path).json(body)
    }

    pub(crate) fn patch(path: &str, body: Value) -> Self {
        Self::new(Method::PATCH, path).json(body)
    }

    pub(crate) fn delete(path: &str) -> Self {
        Self::new(Method::DELETE, path)
    }

    pub(crate) fn json(self, body: Value) -> Self {
        Self(self.0.set_json(body))
    }

    pub(crate) fn bearer(self, secret: &str) -> Self {
        self.header("authorization", &format!("Bearer {secret}"))
    }

    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.insert_header((name.to_owned(), value.to_owned())))
    }

    /// What is not text.
    pub(crate) fn bytes(self, bytes: Vec<u8>) -> Self {
        Self(self.0.set_payload(bytes))
    }

    pub(crate) fn body(self, bytes: &str) -> Self {
        Self(self.0.set_payload(bytes.to_owned()))
    }

    /// From another address than loopback.
    pub(crate) fn from(self, address: [u8; 4]) -> Self {
        Self(self.0.peer_addr((address, 40_000).into()))
    }

    /// Sends it.
    pub(crate) async fn to<B: actix_web::body::MessageBody + 'static>(
        self,
        app: &impl Service<Request, Response = ServiceResponse<B>, Error = Error>,
    ) -> Answer {
        let response = match app.call(self.0.to_request()).await {
            Ok(response) => response.into_parts().1.map_into_boxed_body(),
            Err(error) => error.error_response().map_into_boxed_body(),
        };
        let (head, body): (_, BoxBody) = response.into_parts();
        let bytes = to_bytes(body).await.unwrap_or_default();
        Answer {
            status: head.status(),
            headers: head.headers().clone(),
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
}
