//! Which tenant was given which template, in which revision, and the pair it became there.
//!
//! A tenant that removed the pair still has the row: it is not given again unless somebody says so.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query, SelectStatement};
use sea_orm::{ActiveValue::Set, DatabaseTransaction, FromQueryResult, QuerySelect};

use crate::{template, tenant};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "template_distributions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub template_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: i64,
    /// `None`: the tenant removed it.
    pub pair_id: Option<i64>,
    /// The template's revision that the tenant was last given, or last decided on.
    pub revision: i64,
    /// Of the text as it was handed out.
    pub hash: String,
    /// What was done last: `created`, `updated`, `replaced` or `kept`.
    pub outcome: String,
    /// The job that did it.
    pub job_id: String,
    pub distributed_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Ids of templates of which a tenant has an older revision.
pub(crate) fn outdated() -> SelectStatement {
    Query::select()
        .column((Entity, Column::TemplateId))
        .from(Entity)
        .inner_join(
            template::Entity,
            Expr::col((template::Entity, template::Column::Id))
                .equals((Entity, Column::TemplateId)),
        )
        .and_where(Expr::col((Entity, Column::PairId)).is_not_null())
        .and_where(
            Expr::col((Entity, Column::Revision))
                .lt(Expr::col((template::Entity, template::Column::Revision))),
        )
        .to_owned()
}

/// To how many tenants a template went.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reach {
    /// Tenants that have it, in whatever revision.
    pub distributed: i64,
    /// Those that have an older revision.
    pub outdated: i64,
}

/// To how many tenants each of these templates went.
///
/// # Errors
/// When the database cannot be read.
pub async fn reach(
    connection: &impl ConnectionTrait,
    templates: &[template::Model],
) -> Result<HashMap<i64, Reach>, DbErr> {
    #[derive(FromQueryResult)]
    struct Found {
        template_id: i64,
        revision: i64,
        tenants: i64,
    }
    if templates.is_empty() {
        return Ok(HashMap::new());
    }
    let found = Entity::find()
        .select_only()
        .column(Column::TemplateId)
        .column(Column::Revision)
        .column_as(Expr::cust("COUNT(*)"), "tenants")
        .filter(Column::TemplateId.is_in(templates.iter().map(|row| row.id)))
        .filter(Column::PairId.is_not_null())
        .group_by(Column::TemplateId)
        .group_by(Column::Revision)
        .into_model::<Found>()
        .all(connection)
        .await?;
    let now: HashMap<i64, i64> = templates.iter().map(|row| (row.id, row.revision)).collect();
    let mut reach: HashMap<i64, Reach> = HashMap::new();
    for row in found {
        let of = reach.entry(row.template_id).or_default();
        of.distributed += row.tenants;
        if now
            .get(&row.template_id)
            .is_some_and(|now| row.revision < *now)
        {
            of.outdated += row.tenants;
        }
    }
    Ok(reach)
}

/// What these tenants were given of these templates.
///
/// # Errors
/// When the database cannot be read.
pub async fn of(
    connection: &impl ConnectionTrait,
    templates: &[i64],
    tenants: &[i64],
) -> Result<Vec<Model>, DbErr> {
    if templates.is_empty() || tenants.is_empty() {
        return Ok(Vec::new());
    }
    Entity::find()
        .filter(Column::TemplateId.is_in(templates.iter().copied()))
        .filter(Column::TenantId.is_in(tenants.iter().copied()))
        .all(connection)
        .await
}

/// How many tenants there are to give something to.
///
/// # Errors
/// When the database cannot be read.
pub async fn tenants(connection: &impl ConnectionTrait) -> Result<u64, DbErr> {
    use sea_orm::PaginatorTrait;
    tenant::Entity::find().count(connection).await
}

/// Writes down what was done, in place of what was done before.
///
/// # Errors
/// When the database cannot be written.
pub async fn put(txn: &DatabaseTransaction, row: Model) -> Result<(), DbErr> {
    let row = ActiveModel {
        template_id: Set(row.template_id),
        tenant_id: Set(row.tenant_id),
        pair_id: Set(row.pair_id),
        revision: Set(row.revision),
        hash: Set(row.hash),
        outcome: Set(row.outcome),
        job_id: Set(row.job_id),
        distributed_at: Set(row.distributed_at),
    };
    let replace = OnConflict::columns([Column::TemplateId, Column::TenantId])
        .update_columns([
            Column::PairId,
            Column::Revision,
            Column::Hash,
            Column::Outcome,
            Column::JobId,
            Column::DistributedAt,
        ])
        .to_owned();
    Entity::insert(row)
        .on_conflict(replace)
        .exec_without_returning(txn)
        .await?;
    Ok(())
}
