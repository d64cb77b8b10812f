//! Roles: named sets of permissions that operators hold. The built-in ones, two of the installation and two of people of
//! a tenant, cannot be changed.
//!
//! Nobody can make a role that allows more than they may do themselves. Roles belong to the installation: operators of
//! one tenant change none, and see those they may give to a colleague.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/ops/roles` | `read:roles` |
//! | POST | `/ops/roles` | `write:roles` |
//! | PATCH | `/ops/roles/{id}` | `write:roles` |
//! | DELETE | `/ops/roles/{id}` | `write:roles` |

use actix_web::{HttpResponse, delete, get, patch, post, web};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use steward_entities::role;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::{ApiError, ErrorCode};
use crate::http::change::{Audit, Change, refused};
use crate::http::check;
use crate::http::extract::Json;
use crate::http::page::Page;
use crate::http::permission::{self, Can, Permissions, ReadRoles, WriteRoles};
use crate::http::precondition::{IfMatch, Tagged};
use crate::http::range::rfc3339;
use crate::state::AppState;

/// Patterns of one role at most.
const PATTERNS_MAX: usize = 100;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list)
        .service(create)
        .service(update)
        .service(remove);
}

/// A role.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RoleView {
    id: String,
    name: String,
    /// Patterns: `*`, `read:*`, `write:tokens`; with `!` in front one takes away.
    permissions: Vec<String>,
    /// Every single permission that the patterns give.
    effective: Vec<String>,
    built_in: bool,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    version: i64,
}

impl From<role::Model> for RoleView {
    fn from(row: role::Model) -> Self {
        let permissions = Permissions::new(row.permissions.0);
        Self {
            id: row.public_id,
            name: row.name,
            effective: permissions.effective(),
            permissions: permissions.patterns().to_vec(),
            built_in: row.built_in,
            created_at: rfc3339(row.created_at),
            updated_at: rfc3339(row.updated_at),
            version: row.version,
        }
    }
}

/// A role to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRole {
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z][a-z0-9_]*$")]
    name: String,
    #[schema(max_items = 100)]
    permissions: Vec<String>,
}

/// What to change of a role.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RoleChanges {
    #[schema(max_items = 100)]
    permissions: Vec<String>,
}

/// Every role; for operators of one tenant, those that allow no more than they may do themselves.
#[utoipa::path(tag = "roles", responses((status = 200, body = Page<RoleView>)))]
#[get("/ops/roles")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadRoles>,
) -> Result<Json<Page<RoleView>>, ApiError> {
    let mut rows = role::all(&state.databases.control_read).await?;
    if caller.operator.tenant_id.is_some() {
        let own = &caller.operator.permissions;
        rows.retain(|row| own.include(&Permissions::new(row.permissions.0.clone())));
    }
    Ok(Json(Page::whole(
        rows.into_iter().map(RoleView::from).collect(),
    )))
}

/// Makes a role.
#[utoipa::path(tag = "roles", responses((status = 201, body = RoleView)))]
#[post("/ops/roles")]
async fn create(
    state: web::Data<AppState>,
    caller: Can<WriteRoles>,
    Json(new): Json<NewRole>,
) -> Result<Tagged<RoleView>, ApiError> {
    check::whole_installation(&caller)?;
    if !is_name(&new.name) {
        return Err(ApiError::invalid(
            "name",
            "must have 1 to 64 lower-case letters, digits and underscores, a letter first",
        ));
    }
    let permissions = checked(new.permissions, &caller.operator.permissions)?;
    let change = Change::begin(&state, &caller).await?;
    let row = role::insert(&change, new.name, permissions, change.now)
        .await
        .map_err(refused("name"))?;
    let view = RoleView::from(row);
    let audit = Audit::of("roles.create", "role", &view.id)
        .with("name", &view.name)
        .with("permissions", &view.permissions);
    let version = view.version;
    let created = change.created(audit, version, view).await?;
    state.directory.refresh().await?;
    Ok(created)
}

/// Changes what a role allows; acts on the next request of everybody who holds it.
#[utoipa::path(tag = "roles", responses((status = 200, body = RoleView)))]
#[patch("/ops/roles/{id}")]
async fn update(
    state: web::Data<AppState>,
    caller: Can<WriteRoles>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(changes): Json<RoleChanges>,
) -> Result<Tagged<RoleView>, ApiError> {
    check::whole_installation(&caller)?;
    let permissions = checked(changes.permissions, &caller.operator.permissions)?;
    let change = Change::begin(&state, &caller).await?;
    let row = editable(&*change, &id, &caller.operator.permissions).await?;
    if_match
        .check(row.version, &*change, "role", &row.public_id)
        .await?;
    let changed = role::update(&change, &row, permissions, change.now)
        .await
        .map_err(refused("name"))?;
    let (before, after) = (RoleView::from(row), RoleView::from(changed));
    change
        .commit(Audit::of("roles.update", "role", &after.id).diff(&before, &after))
        .await?;
    state.directory.refresh().await?;
    Ok(Tagged::ok(after.version, after))
}

/// Removes a role that nobody holds.
#[utoipa::path(tag = "roles", responses((status = 204)))]
#[delete("/ops/roles/{id}")]
async fn remove(
    state: web::Data<AppState>,
    caller: Can<WriteRoles>,
    id: web::Path<String>,
    if_match: IfMatch,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let row = editable(&*change, &id, &caller.operator.permissions).await?;
    if_match
        .check(row.version, &*change, "role", &row.public_id)
        .await?;
    role::remove(&change, &row).await.map_err(refused("name"))?;
    change
        .commit(Audit::of("roles.remove", "role", &row.public_id).with("name", &row.name))
        .await?;
    state.directory.refresh().await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The role, if it may be changed by somebody who may do `own`.
async fn editable(
    connection: &impl ConnectionTrait,
    id: &str,
    own: &Permissions,
) -> Result<role::Model, ApiError> {
    let row = role::by_public_id(connection, id)
        .await?
        .ok_or_else(|| ApiError::not_found("role"))?;
    if row.built_in {
        return Err(ApiError::new(ErrorCode::Conflict).detail("A built-in role cannot be changed."));
    }
    if !own.include(&Permissions::new(row.permissions.0.clone())) {
        return Err(ApiError::new(ErrorCode::Forbidden)
            .detail("The role allows more than you may do yourself."));
    }
    Ok(row)
}

fn checked(patterns: Vec<String>, own: &Permissions) -> Result<Vec<String>, ApiError> {
    if patterns.len() > PATTERNS_MAX {
        return Err(ApiError::invalid(
            "permissions",
            format!("must be at most {PATTERNS_MAX}"),
        ));
    }
    for (index, pattern) in patterns.iter().enumerate() {
        if !permission::is_pattern(pattern) {
            return Err(ApiError::invalid(
                format!("permissions[{index}]"),
                "must be *, read:* or write:*, or name a resource like read:tokens",
            ));
        }
    }
    let wanted = Permissions::new(patterns);
    if !own.include(&wanted) {
        return Err(ApiError::new(ErrorCode::Forbidden)
            .detail("A role cannot allow more than you may do yourself."));
    }
    Ok(wanted.patterns().to_vec())
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use serde_json::json;

    use crate::testing::{Ask, World};

    const ROLES: &str = "/api/v1/ops/roles";

    #[actix_web::test]
    async fn a_life_of_a_role() {
        life_on(World::sqlite().await).await;
    }

    #[actix_web::test]
    async fn a_life_of_a_role_postgres() {
        life_on(World::postgres().await).await;
    }

    async fn life_on(world: World) {
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let body = json!({"name": "auditor", "permissions": ["read:audit"]});
        let made = Ask::post(ROLES, body.clone()).bearer(&root).to(&app).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        assert_eq!(made.body["effective"], json!(["read:audit"]));
        let again = Ask::post(ROLES, body).bearer(&root).to(&app).await;
        assert_eq!(again.status, StatusCode::CONFLICT);
        let path = format!("{ROLES}/{}", made.body["id"].as_str().unwrap());

        // What the role allows acts at once, without a new sign-in.
        let ann = world.signed_in("ann", "auditor").await;
        let look = || Ask::get(ROLES).bearer(&ann);
        assert_eq!(look().to(&app).await.status, StatusCode::FORBIDDEN);
        let wider = json!({"permissions": ["read:audit", "read:roles"]});
        let changed = Ask::patch(&path, wider)
            .bearer(&root)
            .header("if-match", "\"1\"");
        assert_eq!(changed.to(&app).await.header("etag"), "\"2\"");
        assert_eq!(look().to(&app).await.status, StatusCode::OK);

        let held = Ask::delete(&path).bearer(&root).to(&app).await;
        assert_eq!(held.body["code"], "in_use", "{held:?}");
        let bad = json!({"name": "x", "permissions": ["read:*", "delete:all"]});
        let bad = Ask::post(ROLES, bad).bearer(&root).to(&app).await;
        assert_eq!(bad.body["errors"][0]["field"], "permissions[1]");
        assert_eq!(
            world.audited("roles.update").await[0].details["permissions"][0],
            json!(["read:audit"])
        );
    }

    #[actix_web::test]
    async fn roles_belong_to_the_installation() {
        let world = World::sqlite().await;
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let tenant = json!({"name": "T"});
        let tenant = Ask::post("/api/v1/ops/tenants", tenant).bearer(&root);
        assert_eq!(tenant.to(&app).await.status, StatusCode::CREATED);
        let mut narrow = None;
        for (name, permissions) in [
            ("shop_admin", json!(["*", "!read:audit"])),
            ("shop_staff", json!(["read:logs"])),
        ] {
            let role = json!({"name": name, "permissions": permissions});
            let made = Ask::post(ROLES, role).bearer(&root).to(&app).await;
            assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
            narrow = Some(format!("{ROLES}/{}", made.body["id"].as_str().unwrap()));
        }
        let narrow = narrow.unwrap();
        let ann = world.signed_in_of_tenant("ann", "shop_admin", 1).await;
        let listed = Ask::get(ROLES).bearer(&ann).to(&app).await;
        let names: Vec<_> = listed.body["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|role| role["name"].as_str().unwrap())
            .collect();
        let own = ["shop_admin", "shop_staff", "tenant_admin", "tenant_staff"];
        assert_eq!(names, own, "{listed:?}");
        let body = json!({"name": "mine", "permissions": ["read:logs"]});
        for refused in [
            Ask::post(ROLES, body),
            Ask::patch(&narrow, json!({"permissions": []})),
            Ask::delete(&narrow),
        ] {
            let answer = refused.bearer(&ann).to(&app).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
        }
        assert_eq!(world.audited("roles.update").await.len(), 0);
    }

    #[actix_web::test]
    async fn what_is_built_in_stays() {
        let world = World::sqlite().await;
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let listed = Ask::get(ROLES).bearer(&root).to(&app).await;
        assert_eq!(listed.body["total"], 4);
        for role in listed.body["items"].as_array().unwrap() {
            let path = format!("{ROLES}/{}", role["id"].as_str().unwrap());
            let answer = Ask::delete(&path).bearer(&root).to(&app).await;
            assert_eq!(answer.status, StatusCode::CONFLICT);
            let answer = Ask::patch(&path, json!({"permissions": []}))
                .bearer(&root)
                .to(&app)
                .await;
            assert_eq!(answer.status, StatusCode::CONFLICT);
        }
    }
}
