//! Jobs: long work that outlives the request that asked for it.
//!
//! A job is claimed by one node, beats while it runs, and goes back to the queue when its node died; after
//! [`ATTEMPTS_MAX`] starts it is not tried again. Running it is not done here.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, Condition, DatabaseTransaction, PaginatorTrait, QueryOrder};

use crate::public_id;
use crate::scope::Page;

/// A job that was started this often and never came to an end is the reason itself.
pub const ATTEMPTS_MAX: i64 = 3;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum State {
    #[sea_orm(string_value = "queued")]
    Queued,
    #[sea_orm(string_value = "running")]
    Running,
    #[sea_orm(string_value = "succeeded")]
    Succeeded,
    #[sea_orm(string_value = "failed")]
    Failed,
    #[sea_orm(string_value = "cancelled")]
    Cancelled,
}

impl State {
    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen to it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "jobs")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    pub kind: String,
    pub state: State,
    /// Per cent.
    pub progress: i64,
    pub params: Json,
    pub result: Option<Json>,
    /// A sentence for the operator.
    pub error: Option<String>,
    pub cancel_requested: bool,
    /// How often it was started.
    pub attempts: i64,
    /// The node that runs or last ran it.
    pub node: Option<i64>,
    /// The only node that may run it, when what it needs lies there.
    pub only_node: Option<i64>,
    /// Public id of the operator who asked for it.
    pub created_by: String,
    pub created_at: i64,
    pub started_at: Option<i64>,
    pub finished_at: Option<i64>,
    pub heartbeat_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// How a job ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// It did what was asked.
    Succeeded(Json),
    /// It did not, and says why.
    Failed(String),
    /// It stopped because it was told to.
    Cancelled,
}

/// Which jobs a list is about.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub kind: Option<String>,
    pub state: Option<State>,
    /// Public id of the operator who asked for them.
    pub created_by: Option<String>,
}

impl Filter {
    fn condition(&self) -> Condition {
        Condition::all()
            .add_option(self.kind.as_deref().map(|kind| Column::Kind.eq(kind)))
            .add_option(self.state.map(|state| Column::State.eq(state)))
            .add_option(
                self.created_by
                    .as_deref()
                    .map(|by| Column::CreatedBy.eq(by)),
            )
    }
}

/// Queues a job, in the transaction of the audit row that tells about it.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    txn: &DatabaseTransaction,
    kind: &str,
    params: Json,
    created_by: String,
    at_micros: i64,
) -> Result<Model, DbErr> {
    queued(kind, params, created_by, at_micros)
        .insert(txn)
        .await
}

/// As [`insert`], for `node` alone: what the job needs lies there.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert_on(
    txn: &DatabaseTransaction,
    node: i64,
    kind: &str,
    params: Json,
    created_by: String,
    at_micros: i64,
) -> Result<Model, DbErr> {
    let mut row = queued(kind, params, created_by, at_micros);
    row.only_node = Set(Some(node));
    row.insert(txn).await
}

fn queued(kind: &str, params: Json, created_by: String, at_micros: i64) -> ActiveModel {
    ActiveModel {
        public_id: Set(public_id::new("job")),
        kind: Set(kind.to_owned()),
        state: Set(State::Queued),
        progress: Set(0),
        params: Set(params),
        result: Set(None),
        error: Set(None),
        cancel_requested: Set(false),
        attempts: Set(0),
        node: Set(None),
        only_node: Set(None),
        created_by: Set(created_by),
        created_at: Set(at_micros),
        started_at: Set(None),
        finished_at: Set(None),
        heartbeat_at: Set(None),
        ..Default::default()
    }
}

/// Jobs that this node may run.
fn open_to(node: i64) -> Condition {
    Condition::any()
        .add(Column::OnlyNode.is_null())
        .add(Column::OnlyNode.eq(node))
}

/// By public id.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_public_id(
    connection: &impl ConnectionTrait,
    public_id: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::PublicId.eq(public_id))
        .one(connection)
        .await
}

/// Those of these public ids that there are.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_public_ids(
    connection: &impl ConnectionTrait,
    public_ids: Vec<String>,
) -> Result<Vec<Model>, DbErr> {
    if public_ids.is_empty() {
        return Ok(Vec::new());
    }
    Entity::find()
        .filter(Column::PublicId.is_in(public_ids))
        .all(connection)
        .await
}

/// A page, newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(
    connection: &impl ConnectionTrait,
    filter: &Filter,
    page: Page,
) -> Result<Vec<Model>, DbErr> {
    let query = Entity::find().filter(filter.condition());
    page.of(query, Column::Id).all(connection).await
}

/// How many the filter finds.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(connection: &impl ConnectionTrait, filter: &Filter) -> Result<u64, DbErr> {
    Entity::find()
        .filter(filter.condition())
        .count(connection)
        .await
}

/// Whether a job of the given kinds is queued that `node` may run, or one that runs has not beaten since `beaten_before`.
///
/// # Errors
/// When the database cannot be read.
pub async fn any_waiting(
    connection: &impl ConnectionTrait,
    kinds: &[String],
    node: i64,
    beaten_before: i64,
) -> Result<bool, DbErr> {
    let queued = Condition::all()
        .add(Column::State.eq(State::Queued))
        .add(open_to(node))
        .add(Column::Kind.is_in(kinds));
    let silent = Condition::all()
        .add(Column::State.eq(State::Running))
        .add(Column::HeartbeatAt.lt(beaten_before));
    let found = Entity::find()
        .filter(Condition::any().add(queued).add(silent))
        .count(connection)
        .await?;
    Ok(found > 0)
}

/// Takes the oldest queued job of the given kinds that `node` may run; `None` when nothing waits. Two nodes never get
/// the same one.
///
/// # Errors
/// When the database cannot be written.
pub async fn claim(
    txn: &DatabaseTransaction,
    kinds: &[String],
    node: i64,
    at_micros: i64,
) -> Result<Option<Model>, DbErr> {
    let waiting = Entity::find()
        .filter(Column::State.eq(State::Queued))
        .filter(Column::Kind.is_in(kinds))
        .filter(open_to(node))
        .order_by_asc(Column::Id)
        .one(txn)
        .await?;
    let Some(job) = waiting else {
        return Ok(None);
    };
    let claimed = Entity::update_many()
        .set(ActiveModel {
            state: Set(State::Running),
            progress: Set(0),
            attempts: Set(job.attempts + 1),
            node: Set(Some(node)),
            started_at: Set(Some(at_micros)),
            heartbeat_at: Set(Some(at_micros)),
            ..Default::default()
        })
        .filter(Column::Id.eq(job.id))
        .filter(Column::State.eq(State::Queued))
        .exec(txn)
        .await?;
    if claimed.rows_affected == 0 {
        // Another node was faster; the next tick looks again.
        return Ok(None);
    }
    Entity::find_by_id(job.id).one(txn).await
}

/// Notes that the job lives and how far it is; answers whether it should go on (false: somebody wants it
/// cancelled, or it is no longer this node's).
///
/// # Errors
/// When the database cannot be written.
pub async fn beat(
    txn: &DatabaseTransaction,
    id: i64,
    node: i64,
    progress: i64,
    at_micros: i64,
) -> Result<bool, DbErr> {
    let written = Entity::update_many()
        .set(ActiveModel {
            progress: Set(progress.clamp(0, 100)),
            heartbeat_at: Set(Some(at_micros)),
            ..Default::default()
        })
        .filter(Column::Id.eq(id))
        .filter(Column::State.eq(State::Running))
        .filter(Column::Node.eq(node))
        .exec(txn)
        .await?;
    if written.rows_affected == 0 {
        return Ok(false);
    }
    let row = Entity::find_by_id(id).one(txn).await?;
    Ok(row.is_some_and(|job| !job.cancel_requested))
}

/// Writes down how it ended; false when it is no longer this node's to end.
///
/// # Errors
/// When the database cannot be written.
pub async fn finish(
    txn: &DatabaseTransaction,
    id: i64,
    node: i64,
    ending: Ending,
    at_micros: i64,
) -> Result<bool, DbErr> {
    let mut row = ActiveModel {
        finished_at: Set(Some(at_micros)),
        ..Default::default()
    };
    match ending {
        Ending::Succeeded(result) => {
            row.state = Set(State::Succeeded);
            row.progress = Set(100);
            row.result = Set(Some(result));
        }
        Ending::Failed(reason) => {
            row.state = Set(State::Failed);
            row.error = Set(Some(reason));
        }
        Ending::Cancelled => row.state = Set(State::Cancelled),
    }
    let written = Entity::update_many()
        .set(row)
        .filter(Column::Id.eq(id))
        .filter(Column::State.eq(State::Running))
        .filter(Column::Node.eq(node))
        .exec(txn)
        .await?;
    Ok(written.rows_affected > 0)
}

/// Asks a job to stop: a queued one is cancelled at once, a running one at its next step. Answers the row as
/// it is now; a finished one stays as it is.
///
/// # Errors
/// When the database cannot be written.
pub async fn request_cancel(
    txn: &DatabaseTransaction,
    id: i64,
    at_micros: i64,
) -> Result<Option<Model>, DbErr> {
    let cancelled = Entity::update_many()
        .set(ActiveModel {
            state: Set(State::Cancelled),
            finished_at: Set(Some(at_micros)),
            ..Default::default()
        })
        .filter(Column::Id.eq(id))
        .filter(Column::State.eq(State::Queued))
        .exec(txn)
        .await?;
    if cancelled.rows_affected == 0 {
        Entity::update_many()
            .col_expr(Column::CancelRequested, Expr::value(true))
            .filter(Column::Id.eq(id))
            .filter(Column::State.eq(State::Running))
            .exec(txn)
            .await?;
    }
    Entity::find_by_id(id).one(txn).await
}

/// Ends every job that waits or runs, with `reason`; how many.
///
/// # Errors
/// When the database cannot be written.
pub async fn end_all(
    txn: &DatabaseTransaction,
    reason: &str,
    at_micros: i64,
) -> Result<u64, DbErr> {
    let ended = Entity::update_many()
        .set(ActiveModel {
            state: Set(State::Failed),
            error: Set(Some(reason.to_owned())),
            finished_at: Set(Some(at_micros)),
            ..Default::default()
        })
        .filter(Column::State.is_in([State::Queued, State::Running]))
        .exec(txn)
        .await?;
    Ok(ended.rows_affected)
}

/// Takes back what was running and cannot be any more: on `own` node whatever is running of the kinds (who runs them has
/// just started), elsewhere what has not beaten since `beaten_before`. Such jobs are queued again; those asked to stop are
/// cancelled, those started [`ATTEMPTS_MAX`] times fail. Answers the rows taken back.
///
/// # Errors
/// When the database cannot be written.
pub async fn recover(
    txn: &DatabaseTransaction,
    own: Option<(i64, &[String])>,
    beaten_before: i64,
    at_micros: i64,
) -> Result<Vec<Model>, DbErr> {
    let own = own.map(|(node, kinds)| {
        Condition::all()
            .add(Column::Node.eq(node))
            .add(Column::Kind.is_in(kinds))
    });
    let lost = Entity::find()
        .filter(Column::State.eq(State::Running))
        .filter(
            Condition::any()
                .add_option(own)
                .add(Column::HeartbeatAt.is_null())
                .add(Column::HeartbeatAt.lt(beaten_before)),
        )
        .all(txn)
        .await?;
    for job in &lost {
        let mut row: ActiveModel = Default::default();
        if job.cancel_requested {
            row.state = Set(State::Cancelled);
            row.finished_at = Set(Some(at_micros));
        } else if job.attempts >= ATTEMPTS_MAX {
            row.state = Set(State::Failed);
            row.error = Set(Some(format!(
                "interrupted {ATTEMPTS_MAX} times without an end"
            )));
            row.finished_at = Set(Some(at_micros));
        } else {
            row.state = Set(State::Queued);
        }
        Entity::update_many()
            .set(row)
            .filter(Column::Id.eq(job.id))
            .filter(Column::State.eq(State::Running))
            .filter(Column::Attempts.eq(job.attempts))
            .exec(txn)
            .await?;
    }
    Ok(lost)
}
