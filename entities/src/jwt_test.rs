//! Runs of the JWT test bench: what was asked, and what came of it as a whole. How a run stands is its job's to say.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, Condition, DatabaseTransaction, PaginatorTrait, QueryOrder};
use sea_orm::{QuerySelect, Select};

use crate::column::HiddenBytes;
use crate::jwt_test_result;
use crate::public_id;
use crate::scope::Page;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "jwt_tests")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    /// Public id of the issuer, which may be gone.
    pub issuer_id: String,
    pub issuer_name: String,
    /// Public id of the job that runs it.
    pub job_id: String,
    /// Tokens to try.
    pub count: i64,
    /// At the same time.
    pub concurrency: i64,
    /// What is called with each, such as `none` or `chat`.
    pub call: String,
    pub model: Option<String>,
    /// A token that was given to be tried, until the run has ended.
    pub token_sealed: Option<HiddenBytes>,
    /// Which key of the key file sealed it.
    pub token_key_id: Option<String>,
    /// What came of it; absent until it has ended.
    pub summary: Option<Json>,
    /// Public id of the operator who asked for it.
    pub created_by: String,
    pub created_at: i64,
    pub started_at: Option<i64>,
    pub finished_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A run to keep. Its public id is made first (`public_id::new("jwt")`): its job and a seal name it.
#[derive(Clone, Debug)]
pub struct NewTest {
    pub public_id: String,
    pub issuer_id: String,
    pub issuer_name: String,
    pub job_id: String,
    pub count: i64,
    pub concurrency: i64,
    pub call: &'static str,
    pub model: Option<String>,
    /// The sealed token and the key that sealed it.
    pub token: Option<(Vec<u8>, String)>,
    pub created_by: String,
}

/// A new public id.
pub fn new_id() -> String {
    public_id::new("jwt")
}

/// Keeps a run.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    txn: &DatabaseTransaction,
    new: NewTest,
    at_micros: i64,
) -> Result<Model, DbErr> {
    let (token, key) = new.token.unzip();
    let row = ActiveModel {
        public_id: Set(new.public_id),
        issuer_id: Set(new.issuer_id),
        issuer_name: Set(new.issuer_name),
        job_id: Set(new.job_id),
        count: Set(new.count),
        concurrency: Set(new.concurrency),
        call: Set(new.call.to_owned()),
        model: Set(new.model),
        token_sealed: Set(token.map(HiddenBytes)),
        token_key_id: Set(key),
        summary: Set(None),
        created_by: Set(new.created_by),
        created_at: Set(at_micros),
        started_at: Set(None),
        finished_at: Set(None),
        ..Default::default()
    };
    row.insert(txn).await
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

fn of_issuer(issuer_id: Option<&str>) -> Select<Entity> {
    let of_issuer = issuer_id.map(|id| Column::IssuerId.eq(id));
    Entity::find().filter(Condition::all().add_option(of_issuer))
}

/// A page of runs, newest first, of one issuer or of all.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(
    connection: &impl ConnectionTrait,
    issuer_id: Option<&str>,
    page: Page,
) -> Result<Vec<Model>, DbErr> {
    page.of(of_issuer(issuer_id), Column::Id)
        .all(connection)
        .await
}

/// How many there are.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(
    connection: &impl ConnectionTrait,
    issuer_id: Option<&str>,
) -> Result<u64, DbErr> {
    of_issuer(issuer_id).count(connection).await
}

/// It begins, maybe for the second time: what an earlier start left behind goes.
///
/// # Errors
/// When the database cannot be written.
pub async fn begin(txn: &DatabaseTransaction, id: i64, at_micros: i64) -> Result<(), DbErr> {
    jwt_test_result::remove_of(txn, &[id]).await?;
    let begun = ActiveModel {
        started_at: Set(Some(at_micros)),
        ..Default::default()
    };
    change(txn, id, begun).await
}

/// It has ended, early or not; a token that was given is forgotten.
///
/// # Errors
/// When the database cannot be written.
pub async fn finish(
    txn: &DatabaseTransaction,
    id: i64,
    summary: Json,
    at_micros: i64,
) -> Result<(), DbErr> {
    let ended = ActiveModel {
        summary: Set(Some(summary)),
        token_sealed: Set(None),
        token_key_id: Set(None),
        finished_at: Set(Some(at_micros)),
        ..Default::default()
    };
    change(txn, id, ended).await
}

async fn change(txn: &DatabaseTransaction, id: i64, set: ActiveModel) -> Result<(), DbErr> {
    Entity::update_many()
        .set(set)
        .filter(Column::Id.eq(id))
        .exec(txn)
        .await?;
    Ok(())
}

/// Removes all runs but the newest `kept`, with their results.
///
/// # Errors
/// When the database cannot be written.
pub async fn keep_newest(txn: &DatabaseTransaction, kept: u64) -> Result<(), DbErr> {
    let old: Vec<i64> = Entity::find()
        .select_only()
        .column(Column::Id)
        .order_by_desc(Column::Id)
        .offset(kept)
        .limit(1_000)
        .into_tuple()
        .all(txn)
        .await?;
    if old.is_empty() {
        return Ok(());
    }
    jwt_test_result::remove_of(txn, &old).await?;
    Entity::delete_many()
        .filter(Column::Id.is_in(old))
        .exec(txn)
        .await?;
    Ok(())
}
