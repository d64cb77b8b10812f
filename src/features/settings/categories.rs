//! Settings under the operations center's names: a category is a section of the configuration, told and set as a dictionary.
//! Some have a second name, by which operators know them from elsewhere; it reads and sets the same.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/ops/config/categories` | `read:settings` |
//! | GET | `/ops/config/{category}` | `read:settings` |
//! | PUT | `/ops/config/{category}` | `write:settings` |
//! | POST | `/ops/config/{category}/reset` | `write:settings` |

use std::collections::BTreeMap;

use actix_web::{get, post, put, web};
use serde::Serialize;
use serde_json::Value;
use steward_actors::domain::setting::{DEFINITIONS, Kind, definition};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{SettingView, Settings, read, save};
use crate::error::ApiError;
use crate::http::check;
use crate::http::extract::Json;
use crate::http::permission::{Can, ReadSettings, WriteSettings};
use crate::http::precondition::{IfMatch, Tagged};
use crate::state::AppState;

/// Category, name, and the key that it stands for.
const SECOND_NAMES: [(&str, &str, &str); 3] = [
    ("logging", "buffer_size", "ledger.queue_capacity"),
    ("logging", "batch_size", "ledger.batch_size"),
    (
        "stats",
        "aggregation_interval",
        "stats.aggregation_interval_s",
    ),
];

/// Every name of every setting: category, name, key.
fn names() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let first = DEFINITIONS.iter().filter_map(|one| {
        let (category, name) = one.key.split_once('.')?;
        Some((category, name, one.key))
    });
    first.chain(SECOND_NAMES)
}

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_categories)
        .service(show_category)
        .service(update_category)
        .service(reset_category);
}

/// A category and the names in it.
#[derive(Debug, Serialize, ToSchema)]
struct SettingCategory {
    category: &'static str,
    names: Vec<&'static str>,
}

/// Every category.
#[derive(Debug, Serialize, ToSchema)]
struct SettingCategories {
    items: Vec<SettingCategory>,
}

/// The settings of a category.
#[derive(Debug, Serialize, ToSchema)]
struct CategorySettings {
    category: String,
    /// Name → what is in force: numbers and booleans as such. Numbers that must be exact are texts in `items`.
    config: BTreeMap<&'static str, Value>,
    /// The same by key, with what may stand in it and who saved it.
    items: Vec<SettingView>,
    /// Of all settings; rises with every change.
    version: i64,
}

/// The categories, each with the names in it.
#[utoipa::path(tag = "settings", responses((status = 200, body = SettingCategories)))]
#[get("/ops/config/categories")]
async fn list_categories(caller: Can<ReadSettings>) -> Result<Json<SettingCategories>, ApiError> {
    check::whole_installation(&caller)?;
    let mut items: Vec<SettingCategory> = Vec::new();
    for (category, name, _) in names() {
        match items.iter_mut().find(|item| item.category == category) {
            Some(item) => item.names.push(name),
            None => items.push(SettingCategory {
                category,
                names: vec![name],
            }),
        }
    }
    Ok(Json(SettingCategories { items }))
}

/// The settings of a category.
#[utoipa::path(tag = "settings", responses((status = 200, body = CategorySettings)))]
#[get("/ops/config/{category}")]
async fn show_category(
    state: web::Data<AppState>,
    caller: Can<ReadSettings>,
    category: web::Path<String>,
) -> Result<Tagged<CategorySettings>, ApiError> {
    check::whole_installation(&caller)?;
    let settings = read(&state, &state.databases.control_read).await?;
    told(&category, settings)
}

/// Saves values of a category by name: texts, numbers or booleans; null goes back to the configuration's, what is not named
/// stays. All of them, or none when one cannot be.
#[utoipa::path(tag = "settings", responses((status = 200, body = CategorySettings)))]
#[put("/ops/config/{category}")]
async fn update_category(
    state: web::Data<AppState>,
    caller: Can<WriteSettings>,
    category: web::Path<String>,
    if_match: IfMatch,
    Json(updates): Json<BTreeMap<String, Value>>,
) -> Result<Tagged<CategorySettings>, ApiError> {
    check::whole_installation(&caller)?;
    known(&category)?;
    let mut values = BTreeMap::new();
    for (name, value) in updates {
        let key = match key_of(&category, &name) {
            Some(key) => key.to_owned(),
            None => format!("{category}.{name}"),
        };
        let text = match value {
            Value::Null => None,
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => {
                return Err(ApiError::invalid(
                    key,
                    "must be a text, a number or a boolean",
                ));
            }
        };
        if values.get(&key).is_some_and(|other| *other != text) {
            return Err(ApiError::invalid(
                format!("{category}.{name}"),
                format!("is another name of {key}, which is to be something else"),
            ));
        }
        values.insert(key, text);
    }
    told(&category, save(&state, &caller, if_match, &values).await?)
}

/// Goes back to the configuration's values in a category; what the environment sets is its own default already.
#[utoipa::path(tag = "settings", responses((status = 200, body = CategorySettings)))]
#[post("/ops/config/{category}/reset")]
async fn reset_category(
    state: web::Data<AppState>,
    caller: Can<WriteSettings>,
    category: web::Path<String>,
    if_match: IfMatch,
) -> Result<Tagged<CategorySettings>, ApiError> {
    check::whole_installation(&caller)?;
    known(&category)?;
    let before = read(&state, &state.databases.control_read).await?;
    let mine = before.items.into_iter();
    let mine = mine.filter(|view| !view.locked && is_of(&category, &view.key));
    let values = mine.map(|view| (view.key, None)).collect();
    told(&category, save(&state, &caller, if_match, &values).await?)
}

/// The key that a name of a category stands for.
fn key_of(category: &str, name: &str) -> Option<&'static str> {
    let mut names = names();
    let found = names.find(|(section, one, _)| *section == category && *one == name);
    found.map(|(.., key)| key)
}

fn is_of(category: &str, key: &str) -> bool {
    names().any(|(section, _, one)| section == category && one == key)
}

fn known(category: &str) -> Result<(), ApiError> {
    let is_known = names().any(|(section, ..)| section == category);
    is_known
        .then_some(())
        .ok_or_else(|| ApiError::not_found("category"))
}

fn told(category: &str, settings: Settings) -> Result<Tagged<CategorySettings>, ApiError> {
    known(category)?;
    let version = settings.version;
    let items: Vec<SettingView> = settings
        .items
        .into_iter()
        .filter(|view| is_of(category, &view.key))
        .collect();
    let mine = names().filter(|(section, ..)| *section == category);
    let config = mine.filter_map(|(_, name, key)| {
        let view = items.iter().find(|view| view.key == key)?;
        Some((name, typed(key, &view.value)))
    });
    let config = config.collect();
    Ok(Tagged::ok(
        version,
        CategorySettings {
            category: category.to_owned(),
            config,
            items,
            version,
        },
    ))
}

/// A value as what it is.
fn typed(key: &str, text: &str) -> Value {
    let is_text = match definition(key).map(|one| one.kind) {
        Some(Kind::Choice(words)) => !words.contains(&"true"),
        Some(_) => false,
        None => true,
    };
    let parsed = (!is_text).then(|| serde_json::from_str(text).ok());
    parsed.flatten().unwrap_or_else(|| text.into())
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use serde_json::json;

    use crate::testing::{Ask, World};

    const CONFIG: &str = "/api/v1/ops/config";

    #[actix_web::test]
    async fn a_category_is_told_set_and_reset() {
        set_and_reset(World::sqlite().await).await;
    }

    #[actix_web::test]
    async fn a_category_is_told_set_and_reset_postgres() {
        set_and_reset(World::postgres().await).await;
    }

    async fn set_and_reset(world: World) {
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let get = |path: &str| Ask::get(&format!("{CONFIG}/{path}")).bearer(&root);
        let listed = get("categories").to(&app).await.body;
        let categories = listed["items"].as_array().unwrap().iter();
        let categories: Vec<&str> = categories
            .map(|item| item["category"].as_str().unwrap())
            .collect();
        assert_eq!(
            categories,
            [
                "prices",
                "gateway",
                "ledger",
                "stats",
                "conversations",
                "api",
                "alerts",
                "push",
                "feedback",
                "log",
                "retention",
                "archive",
                "scheduler",
                "rag",
                "logging"
            ]
        );
        assert_eq!(
            listed["items"][1]["names"],
            json!([
                "connect_timeout_ms",
                "first_byte_timeout_ms",
                "idle_timeout_ms",
                "max_attempts"
            ])
        );
        // Every category there is answers, and so does every name in it.
        for item in listed["items"].as_array().unwrap() {
            let shown = get(item["category"].as_str().unwrap()).to(&app).await.body;
            for name in item["names"].as_array().unwrap() {
                let value = &shown["config"][name.as_str().unwrap()];
                assert!(!value.is_null(), "{name} in {shown}");
            }
        }
        let gateway = format!("{CONFIG}/gateway");
        let updates = json!({"max_attempts": 2, "idle_timeout_ms": "9000"});
        let saved = Ask::put(&gateway, updates).bearer(&root).to(&app).await;
        assert_eq!(saved.status, StatusCode::OK, "{saved:?}");
        assert_eq!(
            saved.body["config"],
            json!({"connect_timeout_ms": 10_000, "first_byte_timeout_ms": 120_000, "idle_timeout_ms": 9_000, "max_attempts": 2})
        );
        assert_eq!(world.state.settings.load().max_attempts, 2);
        let off = json!({"enabled": false});
        let off = Ask::put(&format!("{CONFIG}/conversations"), off).bearer(&root);
        assert_eq!(off.to(&app).await.status, StatusCode::OK);
        assert!(!world.state.intake.keeps());
        for (bad, field) in [
            (json!({"max_attempts": 99}), "gateway.max_attempts"),
            (json!({"workers": 4}), "gateway.workers"),
            (json!({"max_attempts": [1]}), "gateway.max_attempts"),
        ] {
            let refused = Ask::put(&gateway, bad).bearer(&root).to(&app).await;
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert_eq!(refused.body["errors"][0]["field"], field);
        }
        let stale = Ask::put(&gateway, json!({"max_attempts": 1}))
            .bearer(&root)
            .header("if-match", "\"0\"");
        assert_eq!(stale.to(&app).await.status, StatusCode::PRECONDITION_FAILED);
        let path = format!("{gateway}/reset");
        let back = Ask::post(&path, json!({})).bearer(&root).to(&app).await;
        assert_eq!(back.body["config"]["max_attempts"], 3, "{back:?}");
        assert!(!world.state.intake.keeps(), "another category stays");
        assert_eq!(world.audited("settings.update").await.len(), 3);

        let viewer = world.signed_in("eve", "ops_viewer").await;
        let barred = Ask::put(&gateway, json!({})).bearer(&viewer).to(&app).await;
        assert_eq!(barred.status, StatusCode::FORBIDDEN);
        let nearer = json!({"min_score": 0.55, "top_k": 7});
        let nearer = Ask::put(&format!("{CONFIG}/rag"), nearer).bearer(&root);
        assert_eq!(nearer.to(&app).await.body["config"]["min_score"], 0.55);
        let in_force = world.state.settings.load();
        assert_eq!((in_force.top_k, in_force.min_score_nano), (7, 550_000_000));
        // Texts, numbers and booleans are what they are.
        let kinds = [
            ("prices", "currency", json!("USD")),
            ("conversations", "enabled", json!(false)),
        ];
        for (category, name, value) in kinds {
            assert_eq!(get(category).to(&app).await.body["config"][name], value);
        }
        // By its second name a setting is the same.
        let logging = format!("{CONFIG}/logging");
        let fewer = json!({"buffer_size": 5_000});
        let fewer = Ask::put(&logging, fewer).bearer(&root).to(&app).await;
        assert_eq!(
            fewer.body["config"],
            json!({"buffer_size": 5_000, "batch_size": 1_000})
        );
        assert_eq!(world.state.settings.load().queue_records, 5_000);
        let two = json!({"aggregation_interval": 20, "aggregation_interval_s": 30});
        let two = Ask::put(&format!("{CONFIG}/stats"), two)
            .bearer(&root)
            .to(&app)
            .await;
        assert_eq!(two.status, StatusCode::UNPROCESSABLE_ENTITY, "{two:?}");
        let reset = Ask::post(&format!("{logging}/reset"), json!({})).bearer(&root);
        assert_eq!(reset.to(&app).await.body["config"]["buffer_size"], 10_000);
        let nowhere = get("nothing").to(&app).await;
        assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
    }
}
