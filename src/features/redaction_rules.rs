//! Redaction rules of an operator's own, beside the built-in ones; and a place to try them.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/redaction-rules` | `read:settings` |
//! | POST | `/redaction-rules` | `write:settings` |
//! | GET | `/redaction-rules/{id}` | `read:settings` |
//! | PATCH | `/redaction-rules/{id}` | `write:settings` |
//! | DELETE | `/redaction-rules/{id}` | `write:settings` |
//! | POST | `/redaction-rules/test` | `read:settings` |
//!
//! A change is in force at the gateway when it is answered. What was kept before it stays as it is.

use actix_web::{HttpResponse, delete, get, patch, post, web};
use sea_orm::ActiveValue::Set;
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use steward_actors::domain::redaction::{self, Hits, Redactor};
use steward_entities::redaction_rule;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::change::{Audit, Change, refused};
use crate::http::check::{self, text};
use crate::http::extract::Json;
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadSettings, WriteSettings};
use crate::http::precondition::{IfMatch, Tagged};
use crate::http::range::rfc3339;
use crate::state::AppState;

const NAME_MAX: usize = 64;
const REPLACEMENT_MAX: usize = 64;
const RULES_MAX: u64 = 100;
const TEST_MAX_CHARS: usize = 20_000;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list)
        .service(create)
        .service(test)
        .service(show)
        .service(update)
        .service(remove);
}

/// A rule.
#[derive(Debug, Serialize, ToSchema)]
struct RedactionRuleView {
    id: String,
    name: String,
    /// A regular expression (RE2 syntax: no look-around, no back-references; linear in the text).
    pattern: String,
    /// What stands where it matched, to the letter.
    replacement: String,
    enabled: bool,
    created_by: String,
    created_at: String,
    updated_at: String,
    version: i64,
}

impl From<redaction_rule::Model> for RedactionRuleView {
    fn from(row: redaction_rule::Model) -> Self {
        Self {
            id: row.public_id,
            name: row.name,
            pattern: row.pattern,
            replacement: row.replacement,
            enabled: row.enabled,
            created_by: row.created_by,
            created_at: rfc3339(row.created_at),
            updated_at: rfc3339(row.updated_at),
            version: row.version,
        }
    }
}

/// A rule to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRedactionRule {
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    #[schema(min_length = 1, max_length = 1000)]
    pattern: String,
    /// `[redacted]` unless said otherwise.
    #[schema(min_length = 1, max_length = 64)]
    replacement: Option<String>,
    enabled: Option<bool>,
}

/// What to change of a rule. A field that is missing stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RedactionRuleChanges {
    #[schema(min_length = 1, max_length = 64)]
    name: Option<String>,
    #[schema(min_length = 1, max_length = 1000)]
    pattern: Option<String>,
    #[schema(min_length = 1, max_length = 64)]
    replacement: Option<String>,
    enabled: Option<bool>,
}

/// A text to try the rules on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RedactionTest {
    #[schema(max_length = 20000)]
    text: String,
    /// A pattern to try; without one the rules in force are tried.
    #[schema(max_length = 1000)]
    pattern: Option<String>,
    #[schema(max_length = 64)]
    replacement: Option<String>,
}

/// What the rules make of it. Nothing of it is kept.
#[derive(Debug, Serialize, ToSchema)]
struct RedactionTested {
    text: String,
    hits: Vec<RuleHits>,
}

/// How often a rule found something.
#[derive(Debug, Serialize, ToSchema)]
struct RuleHits {
    /// A rule's name; of the built-in ones `private_key`, `key`, `email`, `id_card`, `bank_card` or `phone`.
    rule: String,
    count: u32,
}

/// Rules, newest first.
#[utoipa::path(tag = "redaction rules", params(PageQuery), responses((status = 200, body = Page<RedactionRuleView>)))]
#[get("/redaction-rules")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadSettings>,
    page: PageRequest,
) -> Result<Json<Page<RedactionRuleView>>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let rows = redaction_rule::list(read, page.rows()?).await?;
    let total = redaction_rule::count(read).await?;
    Ok(Json(Page::of(
        rows,
        &page,
        Some(total),
        |row| row.id,
        RedactionRuleView::from,
    )))
}

/// Makes a rule.
#[utoipa::path(tag = "redaction rules", responses((status = 201, body = RedactionRuleView)))]
#[post("/redaction-rules")]
async fn create(
    state: web::Data<AppState>,
    caller: Can<WriteSettings>,
    Json(new): Json<NewRedactionRule>,
) -> Result<Tagged<RedactionRuleView>, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    if redaction_rule::count(&*change).await? >= RULES_MAX {
        return Err(ApiError::invalid(
            "name",
            format!("there are {RULES_MAX} rules already"),
        ));
    }
    let new = redaction_rule::NewRule {
        name: text("name", &new.name, 1, NAME_MAX)?,
        pattern: pattern(new.pattern)?,
        replacement: replacement(new.replacement.as_deref().unwrap_or("[redacted]"))?,
        enabled: new.enabled.unwrap_or(true),
        created_by: caller.operator.public_id.clone(),
    };
    let row = redaction_rule::insert(&change, new, change.now)
        .await
        .map_err(refused("name"))?;
    let view = RedactionRuleView::from(row);
    let audit =
        Audit::of("redaction_rules.create", "redaction_rule", &view.id).with("created", &view);
    let made = change.created(audit, view.version, view).await?;
    state.announce_to_gateway().await;
    Ok(made)
}

/// One rule.
#[utoipa::path(tag = "redaction rules", responses((status = 200, body = RedactionRuleView)))]
#[get("/redaction-rules/{id}")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadSettings>,
    id: web::Path<String>,
) -> Result<Tagged<RedactionRuleView>, ApiError> {
    check::whole_installation(&caller)?;
    let view = RedactionRuleView::from(find(&state.databases.control_read, &id).await?);
    Ok(Tagged::ok(view.version, view))
}

/// Changes a rule.
#[utoipa::path(tag = "redaction rules", responses((status = 200, body = RedactionRuleView)))]
#[patch("/redaction-rules/{id}")]
async fn update(
    state: web::Data<AppState>,
    caller: Can<WriteSettings>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(changes): Json<RedactionRuleChanges>,
) -> Result<Tagged<RedactionRuleView>, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &id).await?;
    if_match
        .check(row.version, &*change, "redaction_rule", &row.public_id)
        .await?;
    let mut set = redaction_rule::ActiveModel::default();
    if let Some(name) = changes.name {
        set.name = Set(text("name", &name, 1, NAME_MAX)?);
    }
    if let Some(text) = changes.pattern {
        set.pattern = Set(pattern(text)?);
    }
    if let Some(text) = changes.replacement {
        set.replacement = Set(replacement(&text)?);
    }
    if let Some(enabled) = changes.enabled {
        set.enabled = Set(enabled);
    }
    let changed = redaction_rule::update(&change, &row, set, change.now)
        .await
        .map_err(refused("name"))?;
    let before = RedactionRuleView::from(row);
    let after = RedactionRuleView::from(changed);
    let audit =
        Audit::of("redaction_rules.update", "redaction_rule", &after.id).diff(&before, &after);
    change.commit(audit).await?;
    state.apply_to_gateway().await?;
    Ok(Tagged::ok(after.version, after))
}

/// Removes a rule.
#[utoipa::path(tag = "redaction rules", responses((status = 204)))]
#[delete("/redaction-rules/{id}")]
async fn remove(
    state: web::Data<AppState>,
    caller: Can<WriteSettings>,
    id: web::Path<String>,
    if_match: IfMatch,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &id).await?;
    if_match
        .check(row.version, &*change, "redaction_rule", &row.public_id)
        .await?;
    redaction_rule::remove(&change, &row).await?;
    let audit = Audit::of("redaction_rules.remove", "redaction_rule", &row.public_id)
        .with("name", &row.name);
    change.commit(audit).await?;
    state.apply_to_gateway().await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Tries the built-in rules and those in force, or one pattern beside the built-in ones, on a text.
#[utoipa::path(tag = "redaction rules", responses((status = 200, body = RedactionTested)))]
#[post("/redaction-rules/test")]
async fn test(
    state: web::Data<AppState>,
    caller: Can<ReadSettings>,
    Json(asked): Json<RedactionTest>,
) -> Result<Json<RedactionTested>, ApiError> {
    check::whole_installation(&caller)?;
    if asked.text.chars().count() > TEST_MAX_CHARS {
        return Err(ApiError::invalid(
            "text",
            format!("must have at most {TEST_MAX_CHARS} characters"),
        ));
    }
    let mut rules = Redactor::built_in();
    let invalid = |reason| ApiError::invalid("pattern", reason);
    match &asked.pattern {
        Some(pattern) => {
            let with = replacement(asked.replacement.as_deref().unwrap_or("[redacted]"))?;
            rules = rules.with("pattern", pattern, &with).map_err(invalid)?;
        }
        None => {
            for row in redaction_rule::enabled(&state.databases.control_read).await? {
                rules = rules
                    .with(&row.name, &row.pattern, &row.replacement)
                    .map_err(invalid)?;
            }
        }
    }
    let mut hits = Hits::new();
    let text = rules.text(&asked.text, &mut hits).into_owned();
    Ok(Json(RedactionTested {
        text,
        hits: hits
            .into_iter()
            .map(|(rule, count)| RuleHits { rule, count })
            .collect(),
    }))
}

async fn find(
    connection: &impl ConnectionTrait,
    id: &str,
) -> Result<redaction_rule::Model, ApiError> {
    redaction_rule::by_public_id(connection, id)
        .await?
        .ok_or_else(|| ApiError::not_found("redaction rule"))
}

fn pattern(text: String) -> Result<String, ApiError> {
    redaction::compile(&text).map_err(|reason| ApiError::invalid("pattern", reason))?;
    Ok(text)
}

/// Neither quotes nor backslashes: what it stands in may be JSON.
fn replacement(text: &str) -> Result<String, ApiError> {
    let text = check::text("replacement", text, 1, REPLACEMENT_MAX)?;
    if text.contains(['"', '\\']) {
        return Err(ApiError::invalid(
            "replacement",
            "must not contain quotation marks or backslashes",
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use serde_json::json;

    use crate::testing::{Ask, World};

    const RULES: &str = "/api/v1/redaction-rules";

    #[actix_web::test]
    async fn rules_are_made_tried_changed_and_removed() {
        lives(World::sqlite().await).await;
    }

    #[actix_web::test]
    async fn rules_are_made_tried_changed_and_removed_postgres() {
        lives(World::postgres().await).await;
    }

    async fn lives(world: World) {
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let viewer = world.signed_in("eve", "ops_viewer").await;
        let new =
            json!({"name": "project", "pattern": "(?i)project \\w+", "replacement": "[project]"});
        let post = |body| Ask::post(RULES, body).bearer(&root);
        let made = post(new.clone()).to(&app).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        assert_eq!(
            post(new.clone()).to(&app).await.status,
            StatusCode::CONFLICT
        );
        let barred = Ask::post(RULES, new).bearer(&viewer).to(&app).await;
        assert_eq!(barred.status, StatusCode::FORBIDDEN);
        for bad in [
            json!({"name": "x", "pattern": "("}),
            json!({"name": "x", "pattern": "a*"}),
            json!({"name": "x", "pattern": "a", "replacement": "\""}),
        ] {
            let refused = post(bad).to(&app).await;
            assert_eq!(
                refused.status,
                StatusCode::UNPROCESSABLE_ENTITY,
                "{refused:?}"
            );
        }
        let test = |body| Ask::post(&format!("{RULES}/test"), body).bearer(&viewer);
        let text = "Project Falcon, 13812345678";
        let tried = test(json!({"text": text})).to(&app).await;
        assert_eq!(tried.body["text"], "[project], [phone]", "{tried:?}");
        let path = format!("{RULES}/{}", made.body["id"].as_str().unwrap());
        let off = Ask::patch(&path, json!({"enabled": false})).bearer(&root);
        assert_eq!(off.to(&app).await.body["enabled"], false);
        let tried = test(json!({"text": text})).to(&app).await;
        assert_eq!(tried.body["text"], "Project Falcon, [phone]");
        let tried = test(json!({"text": text, "pattern": "Fal\\w+"}))
            .to(&app)
            .await;
        assert_eq!(
            tried.body["hits"][0],
            json!({"rule": "pattern", "count": 1})
        );
        let stale = Ask::delete(&path).bearer(&root).header("if-match", "\"1\"");
        assert_eq!(stale.to(&app).await.status, StatusCode::PRECONDITION_FAILED);
        let gone = Ask::delete(&path).bearer(&root).to(&app).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT);
        assert_eq!(world.audited("redaction_rules.remove").await.len(), 1);
    }
}
