//! Settings: what operators change while the process runs. A setting's default is the configuration key of the same
//! name; the saved value wins, unless the environment sets the key: then the setting is locked.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/settings` | `read:settings` |
//! | PATCH | `/settings` | `write:settings` |
//! | GET | `/settings/{key}/versions` | `read:settings` |
//!
//! The operations center's names for the same are in [`categories`].
//!
//! A change is in force on this node when it is answered, and on others within a second. Which settings there are is
//! said once, in `domain::setting`.

mod categories;

use std::collections::BTreeMap;

use actix_web::{get, patch, web};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use steward_actors::domain::setting::{DEFINITIONS, Definition, Kind, USD_CNY, definition};
use steward_entities::exchange_rate;
use steward_entities::setting::{self, change};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::http::change::{Audit, Change};
use crate::http::check;
use crate::http::extract::Json;
use crate::http::money::{decimal, nano};
use crate::http::permission::{Can, ReadSettings, WriteSettings};
use crate::http::precondition::{IfMatch, Tagged};
use crate::http::range::rfc3339;
use crate::state::AppState;

/// Changes of a setting that are told.
const VERSIONS_MAX: u64 = 200;
const TARGET: &str = "settings";

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(show)
        .service(update)
        .service(versions)
        .configure(categories::routes);
}

/// What may stand in a setting.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SettingKind {
    Whole,
    /// A number of days; 0, which lies outside the bounds, is for ever.
    Days,
    Decimal,
    Choice,
}

/// A setting. Values are texts, as in the configuration.
#[derive(Debug, Serialize, ToSchema)]
struct SettingView {
    /// Section and name, as in the configuration.
    key: String,
    kind: SettingKind,
    /// What is in force.
    value: String,
    /// The configuration's.
    default: String,
    /// Smallest value; null for a choice.
    min: Option<String>,
    /// Largest value; null for a choice.
    max: Option<String>,
    /// The words of a choice; otherwise empty.
    options: Vec<&'static str>,
    /// The environment sets it: it cannot be changed here.
    locked: bool,
    /// Saved here, whether or not it is in force; null when nothing is.
    saved: Option<String>,
    /// When it was saved; null when nothing is.
    #[schema(format = DateTime)]
    updated_at: Option<String>,
    /// Public id of the operator who saved it; null when nothing is.
    updated_by: Option<String>,
}

/// Every setting.
#[derive(Debug, Serialize, ToSchema)]
struct Settings {
    items: Vec<SettingView>,
    /// Rises with every change.
    version: i64,
}

/// Values to save.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SettingChanges {
    /// Key → value; null goes back to the configuration's. What is not named stays.
    values: BTreeMap<String, Option<String>>,
}

/// A change of a setting.
#[derive(Debug, Serialize, ToSchema)]
struct SettingVersion {
    /// Null: back to the configuration's.
    value: Option<String>,
    #[schema(format = DateTime)]
    changed_at: String,
    /// Public id of the operator.
    changed_by: String,
}

/// The changes of one setting.
#[derive(Debug, Serialize, ToSchema)]
struct SettingVersions {
    items: Vec<SettingVersion>,
}

/// Every setting: its value, its default, and what may stand in it.
#[utoipa::path(tag = "settings", responses((status = 200, body = Settings)))]
#[get("/settings")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadSettings>,
) -> Result<Tagged<Settings>, ApiError> {
    check::whole_installation(&caller)?;
    let shown = read(&state, &state.databases.control_read).await?;
    Ok(Tagged::ok(shown.version, shown))
}

/// Saves values, or goes back to the configuration's. All of them, or none when one cannot be.
#[utoipa::path(tag = "settings", responses((status = 200, body = Settings)))]
#[patch("/settings")]
async fn update(
    state: web::Data<AppState>,
    caller: Can<WriteSettings>,
    if_match: IfMatch,
    Json(changes): Json<SettingChanges>,
) -> Result<Tagged<Settings>, ApiError> {
    check::whole_installation(&caller)?;
    let saved = save(&state, &caller, if_match, &changes.values).await?;
    Ok(Tagged::ok(saved.version, saved))
}

/// Saves values and puts them into force; tells every setting as it is then.
async fn save(
    state: &AppState,
    caller: &Caller,
    if_match: IfMatch,
    values: &BTreeMap<String, Option<String>>,
) -> Result<Settings, ApiError> {
    for (key, value) in values {
        checked(state, key, value.as_deref())?;
    }
    let change = Change::begin(state, caller).await?;
    let before = read(state, &*change).await?;
    if_match
        .check(before.version, &*change, TARGET, TARGET)
        .await?;
    for view in &before.items {
        let Some(value) = values.get(&view.key) else {
            continue;
        };
        if view.saved != *value {
            let (value, by) = (value.as_deref(), &caller.operator.public_id);
            setting::put(&change, &view.key, value, by, change.now).await?;
        }
    }
    let after = read(state, &*change).await?;
    if after.version == before.version {
        // Nothing was another value: there is nothing to tell of.
        return Ok(before);
    }
    note_rates(&change, [&before, &after]).await?;
    let audit =
        Audit::of("settings.update", TARGET, TARGET).diff(&in_force(&before), &in_force(&after));
    change.commit(audit).await?;
    state.apply_to_gateway().await?;
    Ok(after)
}

/// Keeps the exchange rate's history, from before this change on: what was spent until now is told by what held until now.
async fn note_rates(change: &Change<'_>, states: [&Settings; 2]) -> Result<(), ApiError> {
    for settings in states {
        let view = settings.items.iter().find(|view| view.key == USD_CNY);
        if let Some(rate) = view.and_then(|view| nano(&view.value)) {
            exchange_rate::note(change, rate, change.now).await?;
        }
    }
    Ok(())
}

/// Who saved what when, newest first; the latest 200.
#[utoipa::path(tag = "settings", responses((status = 200, body = SettingVersions)))]
#[get("/settings/{key}/versions")]
async fn versions(
    state: web::Data<AppState>,
    caller: Can<ReadSettings>,
    key: web::Path<String>,
) -> Result<Json<SettingVersions>, ApiError> {
    check::whole_installation(&caller)?;
    let known = definition(&key).ok_or_else(|| ApiError::not_found("setting"))?;
    let read = &state.databases.control_read;
    let rows = setting::changes(read, known.key, VERSIONS_MAX).await?;
    let items = rows.into_iter().map(|row: change::Model| SettingVersion {
        value: row.value,
        changed_at: rfc3339(row.changed_at),
        changed_by: row.changed_by,
    });
    Ok(Json(SettingVersions {
        items: items.collect(),
    }))
}

/// Refuses what is no setting, locked, or no value of it.
fn checked(state: &AppState, key: &str, value: Option<&str>) -> Result<(), ApiError> {
    let Some(definition) = definition(key) else {
        return Err(ApiError::invalid(
            key,
            "is no setting; GET /api/v1/settings lists them",
        ));
    };
    if state.defaults.of(definition).is_some_and(|of| of.is_locked) {
        return Err(ApiError::invalid(
            key,
            "is set by the environment of the process and cannot be changed here",
        ));
    }
    match value.map(|value| definition.check(value)) {
        Some(Err(problem)) => Err(ApiError::invalid(key, problem)),
        _ => Ok(()),
    }
}

async fn read(state: &AppState, connection: &impl ConnectionTrait) -> Result<Settings, ApiError> {
    let version = setting::version(connection).await?;
    let mut saved: BTreeMap<String, setting::Model> = setting::all(connection)
        .await?
        .into_iter()
        .map(|row| (row.key.clone(), row))
        .collect();
    let each = DEFINITIONS.iter();
    let items = each.map(|definition| view(state, definition, saved.remove(definition.key)));
    Ok(Settings {
        items: items.collect(),
        version,
    })
}

fn view(state: &AppState, definition: &Definition, saved: Option<setting::Model>) -> SettingView {
    let (default, locked) = match state.defaults.of(definition) {
        Some(default) => (default.text.clone(), default.is_locked),
        None => (String::new(), false),
    };
    let (kind, min, max, options) = match definition.kind {
        Kind::Whole { min, max } => (
            SettingKind::Whole,
            Some(min.to_string()),
            Some(max.to_string()),
            &[][..],
        ),
        Kind::Days { min, max } => (
            SettingKind::Days,
            Some(min.to_string()),
            Some(max.to_string()),
            &[][..],
        ),
        Kind::Decimal { min_nano, max_nano } => (
            SettingKind::Decimal,
            Some(decimal(min_nano)),
            Some(decimal(max_nano)),
            &[][..],
        ),
        Kind::Choice(words) => (SettingKind::Choice, None, None, words),
    };
    let holds = saved
        .as_ref()
        .filter(|row| !locked && definition.check(&row.value).is_ok());
    SettingView {
        key: definition.key.to_owned(),
        kind,
        value: holds.map_or_else(|| default.clone(), |row| row.value.clone()),
        default,
        min,
        max,
        options: options.to_vec(),
        locked,
        updated_at: saved.as_ref().map(|row| rfc3339(row.updated_at)),
        updated_by: saved.as_ref().map(|row| row.updated_by.clone()),
        saved: saved.map(|row| row.value),
    }
}

/// What is in force, for the audit log.
fn in_force(settings: &Settings) -> Value {
    let each = settings.items.iter();
    let values: Map<String, Value> = each
        .map(|view| (view.key.clone(), json!(view.value)))
        .collect();
    Value::Object(values)
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use serde_json::{Value, json};

    use crate::testing::{Answer, Ask, World};

    const SETTINGS: &str = "/api/v1/settings";

    fn of<'a>(answer: &'a Answer, key: &str) -> &'a Value {
        let items = answer.body["items"].as_array().unwrap();
        items.iter().find(|item| item["key"] == key).unwrap()
    }

    #[actix_web::test]
    async fn a_saved_value_holds_until_it_is_taken_back() {
        saved_and_taken_back(World::sqlite().await).await;
    }

    #[actix_web::test]
    async fn a_saved_value_holds_until_it_is_taken_back_postgres() {
        saved_and_taken_back(World::postgres().await).await;
    }

    async fn saved_and_taken_back(world: World) {
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let save = |values: Value| Ask::patch(SETTINGS, json!({"values": values})).bearer(&root);
        let instance = || Ask::get("/api/v1/instance").bearer(&root);
        let shown = Ask::get(SETTINGS).bearer(&root).to(&app).await;
        let rate = of(&shown, "prices.usd_cny");
        assert_eq!(
            (&rate["value"], &rate["default"], &rate["saved"]),
            (&json!("7.10"), &json!("7.10"), &Value::Null)
        );
        assert_eq!(
            (&rate["min"], &rate["max"]),
            (&json!("0.01"), &json!("1000"))
        );
        assert_eq!(
            of(&shown, "prices.currency")["options"],
            json!(["USD", "CNY"])
        );

        let values = json!({"prices.usd_cny": "6.95", "prices.currency": "CNY"});
        let saved = save(values.clone()).to(&app).await;
        assert_eq!(saved.status, StatusCode::OK, "{saved:?}");
        assert_eq!(of(&saved, "prices.usd_cny")["value"], "6.95");
        assert!(of(&saved, "prices.usd_cny")["updated_by"].is_string());
        // In force when it is answered: costs are told by it.
        assert_eq!(instance().to(&app).await.body["usd_cny"], "6.95");
        let overview = Ask::get("/api/v1/stats/overview").bearer(&root);
        assert_eq!(overview.to(&app).await.body["currency"], "CNY");
        let asked = Ask::get("/api/v1/stats/overview?currency=USD").bearer(&root);
        assert_eq!(asked.to(&app).await.body["currency"], "USD");
        let audited = world.audited("settings.update").await;
        assert_eq!(
            audited[0].details["prices.usd_cny"],
            json!(["7.10", "6.95"])
        );

        // The same again changes nothing; who saw an older state is told.
        let again = save(values).to(&app).await;
        assert_eq!(again.body["version"], saved.body["version"]);
        assert_eq!(world.audited("settings.update").await.len(), 1);
        let stale = save(json!({"prices.usd_cny": "7"})).header("if-match", "\"0\"");
        assert_eq!(stale.to(&app).await.status, StatusCode::PRECONDITION_FAILED);

        let back = save(json!({"prices.usd_cny": null})).to(&app).await;
        assert_eq!(of(&back, "prices.usd_cny")["value"], "7.10");
        assert_eq!(of(&back, "prices.currency")["value"], "CNY");
        assert_eq!(instance().to(&app).await.body["usd_cny"], "7.1");
        let path = format!("{SETTINGS}/prices.usd_cny/versions");
        let versions = Ask::get(&path).bearer(&root).to(&app).await;
        let values: Vec<&Value> = versions.body["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| &item["value"])
            .collect();
        assert_eq!(values, [&Value::Null, &json!("6.95")]);
    }

    #[actix_web::test]
    async fn all_or_nothing_is_saved_and_by_whom_may_only() {
        let world = World::sqlite().await;
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let viewer = world.signed_in("eve", "ops_viewer").await;
        let tenants = world.signed_in_of_tenant("tess", "ops_viewer", 1).await;
        let ask = |values: Value| Ask::patch(SETTINGS, json!({"values": values}));
        for (values, field) in [
            (json!({"prices.usd_cny": "0"}), "prices.usd_cny"),
            (
                json!({"prices.currency": "EUR", "prices.usd_cny": "7"}),
                "prices.currency",
            ),
            (json!({"server.listen": "0.0.0.0:80"}), "server.listen"),
            (
                json!({"api.rate_limit_per_address": "0"}),
                "api.rate_limit_per_address",
            ),
        ] {
            let refused = ask(values).bearer(&root).to(&app).await;
            assert_eq!(
                refused.status,
                StatusCode::UNPROCESSABLE_ENTITY,
                "{refused:?}"
            );
            assert_eq!(refused.body["errors"][0]["field"], field);
        }
        let good = json!({"prices.usd_cny": "7"});
        for bearer in [&viewer, &tenants] {
            let barred = ask(good.clone()).bearer(bearer).to(&app).await;
            assert_eq!(barred.status, StatusCode::FORBIDDEN);
        }
        let seen = Ask::get(SETTINGS).bearer(&tenants).to(&app).await;
        assert_eq!(seen.status, StatusCode::FORBIDDEN);
        let unknown = Ask::get(&format!("{SETTINGS}/server.listen/versions")).bearer(&root);
        assert_eq!(unknown.to(&app).await.status, StatusCode::NOT_FOUND);
        let shown = Ask::get(SETTINGS).bearer(&viewer).to(&app).await;
        assert_eq!(shown.body["version"], 0);
    }

    #[actix_web::test]
    async fn what_the_environment_sets_is_locked() {
        let name = "STEWARD__PRICES__USD_CNY".to_owned();
        let world = World::with_environment([(name, "8.5".to_owned())]).await;
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let shown = Ask::get(SETTINGS).bearer(&root).to(&app).await;
        let rate = of(&shown, "prices.usd_cny");
        assert_eq!(
            (&rate["value"], &rate["locked"]),
            (&json!("8.5"), &json!(true))
        );
        assert_eq!(of(&shown, "prices.currency")["locked"], false);
        let values = json!({"values": {"prices.usd_cny": "7"}});
        let refused = Ask::patch(SETTINGS, values).bearer(&root).to(&app).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    }

    #[actix_web::test]
    async fn a_limit_holds_from_the_next_request_on() {
        let world = World::sqlite().await;
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let values = json!({"values": {"api.rate_limit_per_operator": "1"}});
        let saved = Ask::patch(SETTINGS, values).bearer(&root).to(&app).await;
        assert_eq!(saved.status, StatusCode::OK);
        let refused = Ask::get(SETTINGS).bearer(&root).to(&app).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    }
}
