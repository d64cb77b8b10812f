//! Which tenant was given which template, in which revision, and the pair it became there.
//!
//! A tenant that removed the pair still has the row: it is not given again unless somebody says so.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query, SelectStatement};
use sea_orm::{ActiveValue::Set, Condition, DatabaseTransaction, FromQueryResult};

use crate::{qa_pair, template, tenant};

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

/// Of a row joined with its template and its pair: the template is newer than what the tenant was given or decided on, and
/// the tenant's pair does not say by itself what the template says now. How a single case stands is told by the same rule
/// where templates are handed out.
fn is_outdated() -> Condition {
    let template = |column| Expr::col((template::Entity, column));
    let differs =
        |pair, column| Expr::col((qa_pair::Entity, pair)).ne(Expr::col((template::Entity, column)));
    Condition::all()
        .add(Expr::col((Entity, Column::Revision)).lt(template(template::Column::Revision)))
        .add(
            Condition::any()
                .add(differs(
                    qa_pair::Column::Question,
                    template::Column::Question,
                ))
                .add(differs(qa_pair::Column::Answer, template::Column::Answer))
                .add(differs(
                    qa_pair::Column::Category,
                    template::Column::Category,
                )),
        )
}

/// Rows of tenants that have the pair still, each with its template and its pair.
fn held() -> SelectStatement {
    Query::select()
        .from(Entity)
        .inner_join(
            template::Entity,
            Expr::col((template::Entity, template::Column::Id))
                .equals((Entity, Column::TemplateId)),
        )
        .inner_join(
            qa_pair::Entity,
            Expr::col((qa_pair::Entity, qa_pair::Column::Id)).equals((Entity, Column::PairId)),
        )
        .to_owned()
}

/// Ids of templates of which a tenant has what is no longer said.
pub(crate) fn outdated() -> SelectStatement {
    held()
        .column((Entity, Column::TemplateId))
        .cond_where(is_outdated())
        .to_owned()
}

/// To how many tenants a template went.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reach {
    /// Tenants that have it, in whatever revision.
    pub distributed: i64,
    /// Those that have what is no longer said.
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
        tenants: i64,
    }
    if templates.is_empty() {
        return Ok(HashMap::new());
    }
    let backend = connection.get_database_backend();
    let mut reach: HashMap<i64, Reach> = HashMap::new();
    for only_outdated in [false, true] {
        let mut counting = held();
        counting
            .column((Entity, Column::TemplateId))
            .expr_as(Expr::cust("COUNT(*)"), "tenants")
            .and_where(
                Expr::col((Entity, Column::TemplateId)).is_in(templates.iter().map(|row| row.id)),
            )
            .group_by_col((Entity, Column::TemplateId));
        if only_outdated {
            counting.cond_where(is_outdated());
        }
        let found = Found::find_by_statement(backend.build(&counting))
            .all(connection)
            .await?;
        for row in found {
            let of = reach.entry(row.template_id).or_default();
            *match only_outdated {
                false => &mut of.distributed,
                true => &mut of.outdated,
            } = row.tenants;
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
