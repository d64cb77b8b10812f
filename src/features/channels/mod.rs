//! Notice channels: where alerts are told. Addresses and secrets are stored sealed; a new secret is shown once.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/ops/alerts/channels` | `read:notifications` |
//! | POST | `/ops/alerts/channels` | `write:notifications` |
//! | GET | `/ops/alerts/channels/{id}` | `read:notifications` |
//! | PATCH, DELETE | `/ops/alerts/channels/{id}` | `write:notifications` |
//! | POST | `/ops/alerts/channels/{id}/rotate` | `write:notifications` |
//! | POST | `/ops/alerts/channels/{id}/test` | `write:notifications` |
//! | GET | `/ops/alerts/channels/{id}/deliveries` | `read:notifications` |
//! | GET | `/ops/alerts/notices/undelivered` | `read:notifications` |
//! | POST | `/ops/alerts/notices/{id}/send` | `write:notifications` |
//! | POST | `/ops/alerts/notices/{id}/discard` | `write:notifications` |
//!
//! Telling is `notifier`'s; here is only where to.

mod undelivered;

use std::collections::BTreeMap;

use actix_web::{HttpResponse, delete, get, patch, post, web};
use sea_orm::ActiveValue::Set;
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use steward_actors::alert_book::address::Address;
use steward_actors::domain::alert::rule::Severity;
use steward_actors::domain::notice::standard_webhooks::Secret;
use steward_actors::domain::notice::{Event, Kind, Notice};
use steward_actors::tree::watch::notifier::{Tells, attempt};
use steward_actors::vault::Sealed;
use steward_entities::column::{HiddenBytes, TextList};
use steward_entities::{alert_rule, channel, delivery, outbox, public_id};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::{ApiError, ErrorCode};
use crate::http::change::{Audit, Change, refused};
use crate::http::check::{self, text};
use crate::http::egress::{self, Reach};
use crate::http::extract::Json;
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadNotifications, WriteNotifications};
use crate::http::precondition::{IfMatch, Tagged};
use crate::http::range::rfc3339;
use crate::state::AppState;

const NAME_MAX: usize = 120;
const SECRET_MAX: usize = 512;
const CHANNELS_MAX: u64 = 100;
const RECIPIENTS_MAX: usize = 50;
/// The kind that is no POST.
const EMAIL: &str = "email";
/// The secret before still signs for so long after a rotation.
const GRACE_US: i64 = 86_400_000_000;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list)
        .service(create)
        .service(show)
        .service(update)
        .service(remove)
        .service(rotate)
        .service(test)
        .service(deliveries)
        .service(undelivered::list_undelivered)
        .service(undelivered::send_undelivered)
        .service(undelivered::discard_undelivered);
}

/// A channel, without its secrets.
#[derive(Debug, Serialize, ToSchema)]
struct ChannelShown {
    id: String,
    name: String,
    /// `webhook`, `slack`, `feishu`, `dingtalk`, `wecom`, `pagerduty`, `alertmanager` or `email`.
    kind: String,
    /// What may be shown of the address: a robot's holds its key.
    address: String,
    /// Of a channel by mail.
    to: Vec<String>,
    /// Whether it is told of rules that name no channel.
    takes_all: bool,
    enabled: bool,
    /// Why Steward itself disabled it.
    disabled_reason: Option<String>,
    /// Since when nothing arrives, and what the last attempt came to.
    failing_since: Option<String>,
    last_error: Option<String>,
    last_delivered_at: Option<String>,
    created_at: String,
    updated_at: String,
    version: i64,
}

impl From<channel::Model> for ChannelShown {
    fn from(row: channel::Model) -> Self {
        Self {
            id: row.public_id,
            name: row.name,
            kind: row.kind,
            address: row.shown,
            to: row.recipients.0,
            takes_all: row.takes_all,
            enabled: row.enabled,
            disabled_reason: row.disabled_reason,
            failing_since: row.failing_since.map(rfc3339),
            last_error: row.last_error,
            last_delivered_at: row.last_delivered_at.map(rfc3339),
            created_at: rfc3339(row.created_at),
            updated_at: rfc3339(row.updated_at),
            version: row.version,
        }
    }
}

/// A new channel, or one with a new secret.
#[derive(Debug, Serialize, ToSchema)]
struct ChannelWithSecret {
    #[serde(flatten)]
    channel: ChannelShown,
    /// What a webhook's receiver checks signatures with; shown in this answer only.
    secret: Option<String>,
}

/// A channel to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewChannel {
    #[schema(min_length = 1, max_length = 120)]
    name: String,
    /// `webhook`, `slack`, `feishu`, `dingtalk`, `wecom`, `pagerduty`, `alertmanager` or `email`.
    kind: String,
    /// Of every kind but email.
    #[schema(max_length = 500)]
    url: Option<String>,
    /// Recipients of a channel by mail.
    #[serde(default)]
    #[schema(max_items = 50)]
    to: Vec<String>,
    /// `whsec_…` of a webhook (made when missing), a robot's signing secret, PagerDuty's routing key.
    #[schema(max_length = 512)]
    secret: Option<String>,
    /// Whether it is told of rules that name no channel; true unless said otherwise.
    takes_all: Option<bool>,
    enabled: Option<bool>,
}

/// What to change of a channel. A field that is missing stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChannelChanges {
    #[schema(min_length = 1, max_length = 120)]
    name: Option<String>,
    #[schema(max_length = 500)]
    url: Option<String>,
    #[schema(max_items = 50)]
    to: Option<Vec<String>>,
    /// A robot's signing secret, PagerDuty's routing key: wanted again with a `url` of another server. A webhook's is
    /// changed by `rotate`.
    #[schema(max_length = 512)]
    secret: Option<String>,
    takes_all: Option<bool>,
    enabled: Option<bool>,
}

/// What the receiver really answered.
#[derive(Debug, Serialize, ToSchema)]
struct ChannelTest {
    /// `delivered`, `later`, `rejected` or `gone`: what Steward makes of it.
    outcome: &'static str,
    /// Status of HTTP, or reply code of SMTP.
    status_code: Option<u16>,
    /// First bytes of the answer.
    response: Option<String>,
    /// Why there was none.
    error: Option<String>,
    duration_ms: i64,
}

/// An attempt to deliver a notice.
#[derive(Debug, Serialize, ToSchema)]
struct DeliveryShown {
    /// The notice's id: the same on every attempt.
    message_id: String,
    at: String,
    attempt: i64,
    outcome: String,
    status_code: Option<i64>,
    response: Option<String>,
    error: Option<String>,
    duration_ms: Option<i64>,
}

/// Channels, newest first.
#[utoipa::path(tag = "channels", params(PageQuery), responses((status = 200, body = Page<ChannelShown>)))]
#[get("/ops/alerts/channels")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadNotifications>,
    page: PageRequest,
) -> Result<Json<Page<ChannelShown>>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let rows = channel::list(read, page.rows()?).await?;
    let total = channel::count(read).await?;
    let key = |row: &channel::Model| row.id;
    Ok(Json(Page::of(
        rows,
        &page,
        Some(total),
        key,
        ChannelShown::from,
    )))
}

/// Adds a channel.
#[utoipa::path(tag = "channels", responses((status = 201, body = ChannelWithSecret)))]
#[post("/ops/alerts/channels")]
async fn create(
    state: web::Data<AppState>,
    caller: Can<WriteNotifications>,
    Json(new): Json<NewChannel>,
) -> Result<Tagged<ChannelWithSecret>, ApiError> {
    check::whole_installation(&caller)?;
    let kind = Kind::parse(&new.kind);
    if kind.is_none() && new.kind != EMAIL {
        let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        let why = format!("must be one of {}, {EMAIL}", kinds.join(", "));
        return Err(ApiError::invalid("kind", why));
    }
    let url = address(&state, kind, new.url).await?;
    let recipients = recipients(kind, new.to)?;
    let secret = match (kind, new.secret) {
        (Some(Kind::Webhook), None) => {
            let made = Secret::generate().ok_or_else(|| ApiError::internal("no random bytes"))?;
            Some(made.reveal().to_string())
        }
        (kind, given) => secret(kind, given)?,
    };
    let shown_secret = secret.clone().filter(|_| kind == Some(Kind::Webhook));
    let public_id = public_id::new("chn");
    let shown = masked(&url);
    let sealed = seal(
        &state,
        &public_id,
        &Address {
            url,
            secret,
            ..Address::default()
        },
    )?;
    let new = channel::NewChannel {
        name: text("name", &new.name, 1, NAME_MAX)?,
        public_id,
        kind: new.kind,
        shown,
        recipients,
        sealed: sealed.bytes,
        sealed_key_id: sealed.key_id,
        takes_all: new.takes_all.unwrap_or(true),
        enabled: new.enabled.unwrap_or(true),
        created_by: caller.operator.public_id.clone(),
    };
    let change = Change::begin(&state, &caller).await?;
    if channel::count(&*change).await? >= CHANNELS_MAX {
        let why = format!("there are {CHANNELS_MAX} channels already");
        return Err(ApiError::invalid("name", why));
    }
    let row = channel::insert(&change, new, change.now)
        .await
        .map_err(refused("name"))?;
    let view = ChannelShown::from(row);
    let audit = Audit::of("channels.create", "channel", &view.id).with("created", &view);
    let version = view.version;
    let body = ChannelWithSecret {
        channel: view,
        secret: shown_secret,
    };
    change.created(audit, version, body).await
}

/// One channel.
#[utoipa::path(tag = "channels", responses((status = 200, body = ChannelShown)))]
#[get("/ops/alerts/channels/{id}")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadNotifications>,
    id: web::Path<String>,
) -> Result<Tagged<ChannelShown>, ApiError> {
    check::whole_installation(&caller)?;
    let row = find(&state.databases.control_read, &id).await?;
    Ok(Tagged::ok(row.version, row.into()))
}

/// Changes a channel. What waits for it goes out at once.
#[utoipa::path(tag = "channels", responses((status = 200, body = ChannelShown)))]
#[patch("/ops/alerts/channels/{id}")]
async fn update(
    state: web::Data<AppState>,
    caller: Can<WriteNotifications>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(changes): Json<ChannelChanges>,
) -> Result<Tagged<ChannelShown>, ApiError> {
    check::whole_installation(&caller)?;
    let kind = Kind::parse(&find(&state.databases.control_read, &id).await?.kind);
    let mut set = channel::ActiveModel::default();
    if let Some(name) = &changes.name {
        set.name = Set(text("name", name, 1, NAME_MAX)?);
    }
    if let Some(to) = changes.to {
        set.recipients = Set(TextList(recipients(kind, to)?));
    }
    if let Some(takes_all) = changes.takes_all {
        set.takes_all = Set(takes_all);
    }
    if let Some(enabled) = changes.enabled {
        set.enabled = Set(enabled);
        if enabled {
            set.disabled_reason = Set(None);
            set.failing_since = Set(None);
        }
    }
    if kind == Some(Kind::Webhook) && changes.secret.is_some() {
        let why = "is changed by POST …/rotate";
        return Err(ApiError::invalid("secret", why));
    }
    let replaced = changes.secret.is_some();
    // Missing, it stays: PagerDuty's too.
    let new_secret = match changes.secret {
        Some(given) => secret(kind, Some(given))?,
        None => None,
    };
    let url = match changes.url {
        Some(url) => Some(address(&state, kind, Some(url)).await?),
        None => None,
    };
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &id).await?;
    if_match
        .check(row.version, &*change, "channel", &row.public_id)
        .await?;
    if url.is_some() || replaced {
        let mut kept = Address::open(&state.vault, &row).map_err(ApiError::internal)?;
        if let Some(url) = url {
            // A webhook's secret signs and is never sent; another's would go to whoever the address now leads to.
            let keeps = kept.secret.is_some() && !replaced && kind != Some(Kind::Webhook);
            if keeps && egress::leads_elsewhere(&kept.url, &url) {
                return Err(ApiError::invalid(
                    "secret",
                    "must be given anew: the address leads to another server, which is not sent the one that was kept",
                ));
            }
            set.shown = Set(masked(&url));
            kept.url = url;
        }
        if replaced {
            kept.secret = new_secret;
        }
        let sealed = seal(&state, &row.public_id, &kept)?;
        set.sealed = Set(HiddenBytes(sealed.bytes));
        set.sealed_key_id = Set(sealed.key_id);
    }
    let changed = channel::update(&change, &row, set, change.now)
        .await
        .map_err(refused("name"))?;
    outbox::hurry(&change, row.id, change.now).await?;
    let before = ChannelShown::from(row);
    let after = ChannelShown::from(changed);
    let mut audit = Audit::of("channels.update", "channel", &after.id).diff(&before, &after);
    if replaced {
        audit = audit.with("secret", "replaced");
    }
    change.commit(audit).await?;
    state.tree.alerts.filled.notify_one();
    Ok(Tagged::ok(after.version, after))
}

/// Removes a channel that no rule names, and what still waits for it.
#[utoipa::path(tag = "channels", responses((status = 204)))]
#[delete("/ops/alerts/channels/{id}")]
async fn remove(
    state: web::Data<AppState>,
    caller: Can<WriteNotifications>,
    id: web::Path<String>,
    if_match: IfMatch,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &id).await?;
    if_match
        .check(row.version, &*change, "channel", &row.public_id)
        .await?;
    refuse_named(&*change, &row).await?;
    channel::remove(&change, &row).await?;
    let audit = Audit::of("channels.remove", "channel", &row.public_id).with("name", &row.name);
    change.commit(audit).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Gives a webhook a new signing secret. For a day the old one signs as well, so that receivers can change over.
#[utoipa::path(tag = "channels", responses((status = 200, body = ChannelWithSecret)))]
#[post("/ops/alerts/channels/{id}/rotate")]
async fn rotate(
    state: web::Data<AppState>,
    caller: Can<WriteNotifications>,
    id: web::Path<String>,
    if_match: IfMatch,
) -> Result<Tagged<ChannelWithSecret>, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &id).await?;
    if_match
        .check(row.version, &*change, "channel", &row.public_id)
        .await?;
    if Kind::parse(&row.kind) != Some(Kind::Webhook) {
        let why = "only a webhook has a secret that Steward makes";
        return Err(ApiError::invalid("kind", why));
    }
    let kept = Address::open(&state.vault, &row).map_err(ApiError::internal)?;
    let made = Secret::generate().ok_or_else(|| ApiError::internal("no random bytes"))?;
    let secret = made.reveal().to_string();
    let sealed = seal(
        &state,
        &row.public_id,
        &Address {
            url: kept.url,
            secret: Some(secret.clone()),
            previous: kept.secret,
            previous_until: Some(change.now + GRACE_US),
        },
    )?;
    let set = channel::ActiveModel {
        sealed: Set(HiddenBytes(sealed.bytes)),
        sealed_key_id: Set(sealed.key_id),
        ..Default::default()
    };
    let changed = channel::update(&change, &row, set, change.now)
        .await
        .map_err(refused("name"))?;
    change
        .commit(Audit::of("channels.rotate", "channel", &row.public_id).with("name", &row.name))
        .await?;
    let version = changed.version;
    let body = ChannelWithSecret {
        channel: changed.into(),
        secret: Some(secret),
    };
    Ok(Tagged::ok(version, body))
}

/// Sends a test notice now, once, and shows the receiver's own answer.
#[utoipa::path(tag = "channels", responses((status = 200, body = ChannelTest)))]
#[post("/ops/alerts/channels/{id}/test")]
async fn test(
    state: web::Data<AppState>,
    caller: Can<WriteNotifications>,
    id: web::Path<String>,
) -> Result<Json<ChannelTest>, ApiError> {
    check::whole_installation(&caller)?;
    let row = find(&state.databases.control_read, &id).await?;
    let now = state.clock.now_micros();
    let link = state.config.alerts.console_url.trim_end_matches('/');
    let notice = Notice {
        id: public_id::new("msg"),
        event: Event::Test,
        at: now,
        incident: public_id::new("alt"),
        rule: "test".to_owned(),
        severity: Severity::Info,
        labels: BTreeMap::new(),
        value: format!("sent by {}", caller.operator.username),
        condition: "test".to_owned(),
        since: now,
        link: match link {
            "" => String::new(),
            link => format!("{link}/channels"),
        },
    };
    let courier = state.tree.courier.as_ref();
    let told = Tells::Notices(std::slice::from_ref(&notice));
    let tried = attempt(&state.vault, courier, &row, (&notice.id, told), now).await;
    let kept = delivery::Attempt {
        message_id: notice.id,
        channel_id: row.public_id.clone(),
        attempt: 1,
        outcome: tried.word(),
        status_code: tried.status.map(i64::from),
        response: tried.response.clone(),
        error: tried.error.clone(),
        duration_ms: tried.duration_ms,
    };
    let node = state.config.node.id;
    delivery::insert(
        &state.databases.events,
        kept,
        state.clock.now_micros(),
        node,
    )
    .await?;
    let change = Change::begin(&state, &caller).await?;
    let audit = Audit::of("channels.test", "channel", &row.public_id)
        .with("outcome", tried.word())
        .with("status_code", tried.status);
    change.commit(audit).await?;
    Ok(Json(ChannelTest {
        outcome: tried.word(),
        status_code: tried.status,
        response: tried.response,
        error: tried.error,
        duration_ms: tried.duration_ms,
    }))
}

/// Attempts on a channel and what its receiver really answered, newest first.
#[utoipa::path(tag = "channels", params(PageQuery), responses((status = 200, body = Page<DeliveryShown>)))]
#[get("/ops/alerts/channels/{id}/deliveries")]
async fn deliveries(
    state: web::Data<AppState>,
    caller: Can<ReadNotifications>,
    id: web::Path<String>,
    page: PageRequest,
) -> Result<Json<Page<DeliveryShown>>, ApiError> {
    check::whole_installation(&caller)?;
    let row = find(&state.databases.control_read, &id).await?;
    let read = &state.databases.events_read;
    let rows = delivery::of_channel(read, &row.public_id, page.rows()?).await?;
    let shown = |row: delivery::Model| DeliveryShown {
        message_id: row.message_id,
        at: rfc3339(row.at),
        attempt: row.attempt,
        outcome: row.outcome,
        status_code: row.status_code,
        response: row.response,
        error: row.error,
        duration_ms: row.duration_ms,
    };
    Ok(Json(Page::of(rows, &page, None, |row| row.id, shown)))
}

/// A rule that names channels is told to no other: without this one it could fire and nobody would hear of it.
async fn refuse_named(
    connection: &impl ConnectionTrait,
    row: &channel::Model,
) -> Result<(), ApiError> {
    let rules = alert_rule::all(connection).await?;
    let names = |rule: &&alert_rule::Model| rule.channels.0.contains(&row.public_id);
    let named: Vec<String> = rules
        .iter()
        .filter(names)
        .map(|rule| rule.name.clone())
        .collect();
    if named.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "Rules tell this channel by name ({}): give them another, or none, and remove it then.",
        named.join(", ")
    );
    Err(ApiError::new(ErrorCode::InUse).detail(detail))
}

async fn find(connection: &impl ConnectionTrait, id: &str) -> Result<channel::Model, ApiError> {
    channel::by_public_id(connection, id)
        .await?
        .ok_or_else(|| ApiError::not_found("channel"))
}

fn seal(state: &AppState, public_id: &str, address: &Address) -> Result<Sealed, ApiError> {
    address
        .seal(&state.vault, public_id)
        .map_err(ApiError::internal)
}

async fn address(
    state: &AppState,
    kind: Option<Kind>,
    url: Option<String>,
) -> Result<String, ApiError> {
    match (kind, url) {
        (None, None) => Ok(String::new()),
        (None, Some(_)) => Err(ApiError::invalid("url", "a channel by mail has none")),
        (Some(_), None) => Err(ApiError::invalid("url", "is missing")),
        (Some(_), Some(url)) => {
            let url = egress::whole_url("url", &url)?;
            let reach = Reach::of(state.config.egress.allow_private);
            egress::check("url", &url, reach).await?;
            Ok(url)
        }
    }
}

fn recipients(kind: Option<Kind>, to: Vec<String>) -> Result<Vec<String>, ApiError> {
    if kind.is_some() {
        return match to.is_empty() {
            true => Ok(to),
            false => Err(ApiError::invalid(
                "to",
                "only a channel by mail has recipients",
            )),
        };
    }
    if !(1..=RECIPIENTS_MAX).contains(&to.len()) {
        return Err(ApiError::invalid(
            "to",
            format!("must be 1 to {RECIPIENTS_MAX}"),
        ));
    }
    let mut checked = Vec::with_capacity(to.len());
    for (index, recipient) in to.into_iter().enumerate() {
        let recipient = recipient.trim().to_owned();
        if recipient.parse::<lettre::Address>().is_err() {
            return Err(ApiError::invalid(
                format!("to[{index}]"),
                "must be an address like ada@example.com",
            ));
        }
        checked.push(recipient);
    }
    Ok(checked)
}

fn secret(kind: Option<Kind>, given: Option<String>) -> Result<Option<String>, ApiError> {
    let Some(given) = given.map(|given| given.trim().to_owned()) else {
        return match kind {
            Some(Kind::Pagerduty) => Err(ApiError::invalid("secret", "must be the routing key")),
            _ => Ok(None),
        };
    };
    let readable = (1..=SECRET_MAX).contains(&given.len())
        && given.bytes().all(|byte| byte.is_ascii_graphic());
    match kind {
        None => Err(ApiError::invalid("secret", "a channel by mail has none")),
        Some(Kind::Webhook) if Secret::parse(&given).is_none() => Err(ApiError::invalid(
            "secret",
            "must be whsec_ and the base64 of 24 to 64 bytes",
        )),
        _ if !readable => Err(ApiError::invalid(
            "secret",
            format!("must have 1 to {SECRET_MAX} visible ASCII characters"),
        )),
        _ => Ok(Some(given)),
    }
}

/// Scheme and host: whatever follows may be a robot's key.
fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return String::new();
    };
    let host_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(host_end);
    match path {
        "" | "/" => format!("{scheme}://{host}"),
        _ => format!("{scheme}://{host}/…"),
    }
}

#[cfg(test)]
mod tests;
