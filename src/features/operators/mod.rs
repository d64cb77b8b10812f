//! Operators: the people who sign in, as those who may manage them see them.
//!
//! Nobody can give, take or reset more than they may do themselves, and at least one enabled `ops_admin`
//! always remains. Changing one's own password is `auth`'s.
//!
//! Who belongs to a tenant sees that tenant only, and stays with it: nobody is moved. The built-in roles of the
//! installation are not theirs, those of a tenant (`tenant_admin`, `tenant_staff`) are nobody else's, and a role of one's
//! own fits both.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/ops/users` | `read:operators` |
//! | POST | `/ops/users` | `write:operators` |
//! | GET | `/ops/users/{id}` | `read:operators` |
//! | PATCH | `/ops/users/{id}` | `write:operators` |
//! | DELETE | `/ops/users/{id}` | `write:operators` |
//! | POST | `/ops/users/{id}/password` | `write:operators` |

pub mod offline;
#[cfg(test)]
mod tests;
mod view;

use actix_web::{HttpResponse, delete, get, patch, post, web};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect,
};
use serde::Deserialize;
use steward_entities::column::HiddenText;
use steward_entities::operator::{self, NewOperator};
use steward_entities::scope::Scope;
use steward_entities::{role, session, tenant};
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::{ApiError, ErrorCode};
use crate::http::caller::Caller;
use crate::http::change::{Audit, Change, refused};
use crate::http::extract::{Json, Query};
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::passwords;
use crate::http::permission::{Can, Permissions, ReadOperators, WriteOperators};
use crate::http::precondition::{IfMatch, Tagged};
use crate::state::AppState;

use view::{
    OperatorChanges, OperatorCreated, OperatorNew, OperatorShown, PasswordReset, PasswordWasReset,
    tenants_of,
};

const NAME_MAX_CHARS: usize = 64;
const DISPLAY_NAME_MAX_CHARS: usize = 128;
/// No row belongs to it.
const NOBODYS: Scope = Scope::Tenant(-1);

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list)
        .service(create)
        .service(show)
        .service(update)
        .service(remove)
        .service(reset_password);
}

/// Which operators.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// People of this tenant.
    tenant_id: Option<String>,
}

/// Every operator, newest first.
#[utoipa::path(tag = "operators", params(Which, PageQuery), responses((status = 200, body = Page<OperatorShown>)))]
#[get("/ops/users")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadOperators>,
    which: Query<Which>,
    page: PageRequest,
) -> Result<Json<Page<OperatorShown>>, ApiError> {
    let connection = &state.databases.control_read;
    let scope = match which.0.tenant_id.filter(|id| !id.is_empty()) {
        None => caller.operator.scope(),
        // One that is not there, or not theirs to see, has no people: the list is empty rather than unfiltered.
        Some(id) => tenant::by_public_id(connection, caller.operator.scope(), &id)
            .await?
            .map_or(NOBODYS, |row| Scope::Tenant(row.id)),
    };
    let rows = operator::list(connection, scope, page.rows()?).await?;
    let total = operator::count(connection, scope).await?;
    let tenants = tenants_of(connection, &rows).await?;
    Ok(Json(Page::of(
        rows,
        &page,
        Some(total),
        |row| row.id,
        |row| OperatorShown::of(row, &tenants),
    )))
}

/// One operator.
#[utoipa::path(tag = "operators", responses((status = 200, body = OperatorShown)))]
#[get("/ops/users/{id}")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadOperators>,
    id: web::Path<String>,
) -> Result<Tagged<OperatorShown>, ApiError> {
    let connection = &state.databases.control_read;
    let row = find(connection, &caller, &id).await?;
    let tenants = tenants_of(connection, std::slice::from_ref(&row)).await?;
    Ok(Tagged::ok(row.version, OperatorShown::of(row, &tenants)))
}

/// Makes an operator.
#[utoipa::path(tag = "operators", responses((status = 201, body = OperatorCreated)))]
#[post("/ops/users")]
async fn create(
    state: web::Data<AppState>,
    caller: Can<WriteOperators>,
    Json(new): Json<OperatorNew>,
) -> Result<Tagged<OperatorCreated>, ApiError> {
    check_username(&new.username)?;
    let display_name = new.display_name.unwrap_or_else(|| new.username.clone());
    check_display_name(&display_name)?;
    let generated = match new.password {
        Some(_) => None,
        None => Some(passwords::generate()),
    };
    let password = new
        .password
        .as_deref()
        .or(generated.as_deref())
        .unwrap_or_default();
    passwords::check_choice(password, &new.username, "password")?;
    let password_hash = state.passwords.hash(password).await?;

    let change = Change::begin(&state, &caller).await?;
    let tenant_id = match (&new.tenant_id, caller.operator.scope()) {
        (None, Scope::Tenant(own)) => Some(own),
        (None, Scope::All) => None,
        (Some(id), scope) => Some(
            tenant::by_public_id(&*change, scope, id)
                .await?
                .ok_or_else(|| ApiError::invalid("tenant_id", "names no tenant"))?
                .id,
        ),
    };
    grantable(&change, &caller, &new.role).await?;
    fitting(&new.role, tenant_id)?;
    let row = NewOperator {
        username: new.username,
        password_hash: HiddenText(password_hash),
        role: new.role,
        display_name,
        enabled: new.enabled.unwrap_or(true),
        must_change_password: new.must_change_password.unwrap_or(generated.is_some()),
        tenant_id,
    };
    let row = operator::insert(&change, row, change.now)
        .await
        .map_err(refused("username"))?;
    let tenants = tenants_of(&*change, std::slice::from_ref(&row)).await?;
    let view = OperatorShown::of(row, &tenants);
    let audit = Audit::of("operators.create", "operator", &view.id)
        .with("username", &view.username)
        .with("role", &view.role)
        .with("tenant_id", &view.tenant_id)
        .with("enabled", view.enabled);
    let version = view.version;
    let body = OperatorCreated {
        operator: view,
        password: generated,
    };
    let created = change.created(audit, version, body).await?;
    state.directory.refresh().await?;
    Ok(created)
}

/// Changes an operator. A new role or a closed account acts on their next request.
#[utoipa::path(tag = "operators", responses((status = 200, body = OperatorShown)))]
#[patch("/ops/users/{id}")]
async fn update(
    state: web::Data<AppState>,
    caller: Can<WriteOperators>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(wanted): Json<OperatorChanges>,
) -> Result<Tagged<OperatorShown>, ApiError> {
    if let Some(name) = &wanted.display_name {
        check_display_name(name)?;
    }
    let change = Change::begin(&state, &caller).await?;
    let row = manageable(&change, &caller, &id).await?;
    if_match
        .check(row.version, &*change, "operator", &row.public_id)
        .await?;
    let role = wanted.role.unwrap_or_else(|| row.role.clone());
    if role != row.role {
        grantable(&change, &caller, &role).await?;
        fitting(&role, row.tenant_id)?;
    }
    let enabled = wanted.enabled.unwrap_or(row.enabled);
    if row.enabled && (!enabled || role != row.role) {
        keep_an_administrator(&change, &row, enabled && role == role::OPS_ADMIN).await?;
    }
    let ends_tokens = enabled != row.enabled || role != row.role;
    let changes = operator::ActiveModel {
        display_name: Set(wanted
            .display_name
            .unwrap_or_else(|| row.display_name.clone())),
        role: Set(role),
        enabled: Set(enabled),
        epoch: Set(row.epoch + i64::from(ends_tokens)),
        ..Default::default()
    };
    let changed = operator::update(&change, &row, changes, change.now)
        .await
        .map_err(refused("username"))?;
    if !enabled {
        session::revoke_all(&change, row.id, change.now).await?;
    }
    let tenants = tenants_of(&*change, std::slice::from_ref(&row)).await?;
    let shown = |row| OperatorShown::of(row, &tenants);
    let (before, after) = (shown(row), shown(changed));
    change
        .commit(Audit::of("operators.update", "operator", &after.id).diff(&before, &after))
        .await?;
    state.directory.refresh().await?;
    Ok(Tagged::ok(after.version, after))
}

/// Removes an operator with sessions and keys. The audit log keeps the name.
#[utoipa::path(tag = "operators", responses((status = 204)))]
#[delete("/ops/users/{id}")]
async fn remove(
    state: web::Data<AppState>,
    caller: Can<WriteOperators>,
    id: web::Path<String>,
    if_match: IfMatch,
) -> Result<HttpResponse, ApiError> {
    let change = Change::begin(&state, &caller).await?;
    let row = manageable(&change, &caller, &id).await?;
    if_match
        .check(row.version, &*change, "operator", &row.public_id)
        .await?;
    if row.enabled {
        keep_an_administrator(&change, &row, false).await?;
    }
    if row.id == caller.operator.id {
        return Err(ApiError::new(ErrorCode::Conflict).detail("You cannot remove yourself."));
    }
    operator::remove(&change, &row)
        .await
        .map_err(refused("username"))?;
    let audit = Audit::of("operators.remove", "operator", &row.public_id)
        .with("username", &row.username)
        .with("role", &row.role);
    change.commit(audit).await?;
    state.directory.refresh().await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Gives an operator a new password and ends their sessions.
#[utoipa::path(tag = "operators", responses((status = 200, body = PasswordWasReset)))]
#[post("/ops/users/{id}/password")]
async fn reset_password(
    state: web::Data<AppState>,
    caller: Can<WriteOperators>,
    id: web::Path<String>,
    Json(wanted): Json<PasswordReset>,
) -> Result<Json<PasswordWasReset>, ApiError> {
    let row = find(&state.databases.control_read, &caller, &id).await?;
    let generated = match wanted.password {
        Some(_) => None,
        None => Some(passwords::generate()),
    };
    let password = wanted
        .password
        .as_deref()
        .or(generated.as_deref())
        .unwrap_or_default();
    passwords::check_choice(password, &row.username, "password")?;
    let hash = state.passwords.hash(password).await?;

    let change = Change::begin(&state, &caller).await?;
    let row = manageable(&change, &caller, &id).await?;
    let must_change = wanted.must_change_password.unwrap_or(generated.is_some());
    set_password(&change, &row, hash, must_change, change.now).await?;
    change
        .commit(Audit::of(
            "operators.reset_password",
            "operator",
            &row.public_id,
        ))
        .await?;
    state.directory.refresh().await?;
    Ok(Json(PasswordWasReset {
        password: generated,
    }))
}

/// Stores a password's hash and ends whatever the old one had opened.
async fn set_password(
    txn: &DatabaseTransaction,
    row: &operator::Model,
    hash: String,
    must_change: bool,
    now: i64,
) -> Result<(), ApiError> {
    let changes = operator::ActiveModel {
        password_hash: Set(HiddenText(hash)),
        must_change_password: Set(must_change),
        epoch: Set(row.epoch + 1),
        ..Default::default()
    };
    operator::update(txn, row, changes, now)
        .await
        .map_err(refused("username"))?;
    session::revoke_all(txn, row.id, now).await?;
    Ok(())
}

async fn find(
    connection: &impl ConnectionTrait,
    caller: &Caller,
    id: &str,
) -> Result<operator::Model, ApiError> {
    operator::by_public_id(connection, caller.operator.scope(), id)
        .await?
        .ok_or_else(|| ApiError::not_found("operator"))
}

/// The operator, if the caller may do everything that they may.
async fn manageable(
    txn: &DatabaseTransaction,
    caller: &Caller,
    id: &str,
) -> Result<operator::Model, ApiError> {
    let row = find(txn, caller, id).await?;
    let theirs = role::by_name(txn, &row.role).await?;
    let theirs = Permissions::new(theirs.map(|role| role.permissions.0).unwrap_or_default());
    if caller.operator.permissions.include(&theirs) {
        Ok(row)
    } else {
        Err(ApiError::new(ErrorCode::Forbidden)
            .detail("This operator may do more than you may yourself."))
    }
}

/// Refuses a role that does not exist or allows more than the caller may do.
async fn grantable(txn: &DatabaseTransaction, caller: &Caller, name: &str) -> Result<(), ApiError> {
    let role = role::by_name(txn, name)
        .await?
        .ok_or_else(|| ApiError::invalid("role", "there is no such role"))?;
    if caller
        .operator
        .permissions
        .include(&Permissions::new(role.permissions.0))
    {
        Ok(())
    } else {
        Err(ApiError::new(ErrorCode::Forbidden)
            .detail("You cannot give a role that allows more than you may do yourself."))
    }
}

/// Refuses a built-in role of the installation for somebody of a tenant, and the other way round.
fn fitting(role: &str, tenant_id: Option<i64>) -> Result<(), ApiError> {
    match (role, tenant_id) {
        (role::OPS_ADMIN | role::OPS_VIEWER, Some(_)) => Err(ApiError::invalid(
            "role",
            "is one of the whole installation; people of a tenant are tenant_admin, tenant_staff or hold a role of your own",
        )),
        (role::TENANT_ADMIN | role::TENANT_STAFF, None) => Err(ApiError::invalid(
            "role",
            "is one of people of a tenant; say which in tenant_id",
        )),
        _ => Ok(()),
    }
}

/// Refuses a change that would leave nobody to administer. `stays` says that `row` remains one who can.
async fn keep_an_administrator(
    txn: &DatabaseTransaction,
    row: &operator::Model,
    stays: bool,
) -> Result<(), ApiError> {
    if stays || row.role != role::OPS_ADMIN || row.tenant_id.is_some() {
        return Ok(());
    }
    // Locked, so that two administrators cannot remove each other at the same moment.
    let administrators = operator::Entity::find()
        .filter(operator::Column::Role.eq(role::OPS_ADMIN))
        .filter(operator::Column::Enabled.eq(true))
        .filter(operator::Column::TenantId.is_null())
        .lock_exclusive()
        .all(txn)
        .await?;
    if administrators.iter().any(|other| other.id != row.id) {
        Ok(())
    } else {
        Err(ApiError::new(ErrorCode::LastAdministrator))
    }
}

fn check_username(username: &str) -> Result<(), ApiError> {
    let fits = (1..=NAME_MAX_CHARS).contains(&username.len())
        && username
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte));
    if fits {
        Ok(())
    } else {
        Err(ApiError::invalid(
            "username",
            "must have 1 to 64 letters, digits, or . _ @ -",
        ))
    }
}

fn check_display_name(name: &str) -> Result<(), ApiError> {
    if name.chars().count() > DISPLAY_NAME_MAX_CHARS || name.chars().any(char::is_control) {
        return Err(ApiError::invalid(
            "display_name",
            format!(
                "must have at most {DISPLAY_NAME_MAX_CHARS} characters, none of them control characters"
            ),
        ));
    }
    Ok(())
}
