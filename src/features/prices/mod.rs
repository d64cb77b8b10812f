//! Prices: what providers charge for models, the list's and operators' own, with their history.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/prices` | `read:prices` |
//! | PUT | `/prices?provider=&model=` | `write:prices` |
//! | DELETE | `/prices?provider=&model=` | `write:prices` |
//! | GET | `/prices/{id}` | `read:prices` |
//! | POST | `/prices/recalculate` | `write:prices` |
//! | GET | `/prices/unpriced` | `read:prices` |
//!
//! Provider and model are query parameters: models' names hold slashes. A price is never changed, only followed by
//! another; calls keep the one that was in force until a job charges them anew.

mod view;

#[cfg(test)]
mod tests;

use actix_web::{HttpResponse, delete, get, post, put, web};
use serde::{Deserialize, Serialize};
use serde_json::json;
use steward_actors::domain::calendar;
use steward_actors::domain::record::TOKENS_MAX;
use steward_actors::ledger_store::reprice::RECALCULATE;
use steward_entities::ledger::unpriced;
use steward_entities::price::{self, Figures, NewPrice, Tier};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::change::{Audit, Change};
use crate::http::check;
use crate::http::extract::{Json, Query};
use crate::http::job::JobAccepted;
use crate::http::money::{self, CurrencyCode};
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadPrices, WritePrices};
use crate::http::precondition::{IfMatch, Tagged};
use crate::http::range::{RangeQuery, TimeRange, parse_time, rfc3339};
use crate::state::AppState;

use view::{Charged, PriceShown, in_force, shown};

const PROVIDER_MAX_BYTES: usize = 64;
/// Per million model tokens, or per call: above it a digit too many was typed.
const AMOUNT_MAX_NANO: i64 = 1_000_000_000_000_000;
/// 2100-01-01: later times are mistakes too.
const VALID_FROM_MAX: i64 = 4_102_444_800_000_000;
const SOURCE_MAX: usize = 500;
const TIERS_MAX: usize = 8;
const UNPRICED_MAX: u64 = 200;
/// What `GET /prices/unpriced` looks at unless told.
const UNPRICED_DAYS_US: i64 = 30 * 24 * 3_600_000_000;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(unpriced_models)
        .service(recalculate)
        .service(list)
        .service(set)
        .service(remove)
        .service(show);
}

/// Which price.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Of {
    /// The `provider` of the account.
    provider: String,
    /// The model as callers name it.
    model: String,
}

impl Of {
    /// Refuses names that no record has.
    fn checked(self) -> Result<Self, ApiError> {
        let provider = check::text("provider", &self.provider, 1, PROVIDER_MAX_BYTES)?;
        if !check::is_model(&self.model) {
            return Err(ApiError::invalid("model", "must be the name of one model"));
        }
        Ok(Self {
            provider,
            model: self.model,
        })
    }

    /// As the audit names it.
    fn target(&self) -> String {
        format!("{}/{}", self.provider, self.model)
    }
}

/// Where a price is from.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Origin {
    /// The list that comes with the program.
    List,
    Operator,
}

/// Which prices.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    provider: Option<String>,
    /// With `provider`: every price this one ever had, the latest to begin first.
    model: Option<String>,
    /// Part of the model's or the provider's name, whatever the case.
    q: Option<String>,
    #[param(inline)]
    origin: Option<Origin>,
}

/// Prices in force, by provider and model; with `provider` and `model` the history of that one.
#[utoipa::path(tag = "prices", params(Which, PageQuery), responses((status = 200, body = Page<PriceShown>)))]
#[get("/prices")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadPrices>,
    which: Query<Which>,
    page: PageRequest,
) -> Result<Json<Page<PriceShown>>, ApiError> {
    check::whole_installation(&caller)?;
    let Query(which) = which;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let (provider, model) = (given(which.provider), given(which.model));
    let read = &state.databases.control_read;
    let now = state.clock.now_micros();
    let mut prices = match (&provider, &model) {
        (Some(provider), Some(model)) => shown(price::history(read, provider, model).await?, now),
        _ => in_force(price::all(read).await?, now),
    };
    let part = given(which.q).map(|text| text.to_lowercase());
    prices.retain(|shown| {
        let has = |name: &str, part: &str| name.to_lowercase().contains(part);
        let found = |part: &String| has(shown.provider(), part) || has(shown.model(), part);
        provider.as_ref().is_none_or(|of| shown.provider() == of)
            && model.as_ref().is_none_or(|of| shown.model() == of)
            && part.as_ref().is_none_or(found)
            && which.origin.is_none_or(|of| shown.origin() == of)
    });
    let total = prices.len() as u64;
    // The list is short and its order is not that of the ids: the cursor is the id of the last row shown.
    if let Some(after) = page.after::<i64>()? {
        let seen = prices.iter().position(|shown| shown.key() == after);
        prices.drain(..seen.map_or(prices.len(), |at| at + 1));
    }
    prices.truncate((page.offset + page.limit + 1) as usize);
    Ok(Json(Page::of(
        prices,
        &page,
        Some(total),
        PriceShown::key,
        |shown| shown,
    )))
}

/// One price, whether or not it still holds: what a record of the log was charged by.
#[utoipa::path(tag = "prices", responses((status = 200, body = PriceShown)))]
#[get("/prices/{id}")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadPrices>,
    id: web::Path<String>,
) -> Result<Tagged<PriceShown>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let row = price::by_public_id(read, &id)
        .await?
        .ok_or_else(|| ApiError::not_found("price"))?;
    let history = price::history(read, &row.provider, &row.model).await?;
    let shown = PriceShown::of(row, &history, state.clock.now_micros());
    Ok(Tagged::ok(shown.version, shown))
}

/// A price: decimal strings in the currency, per million model tokens.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewFigures {
    #[schema(inline)]
    currency: CurrencyCode,
    #[schema(example = "2.50")]
    input: String,
    #[schema(example = "10.00")]
    output: String,
    /// Read from a cache; as input unless given.
    #[schema(example = "1.25")]
    cached: Option<String>,
    /// Written to a cache; as input unless given.
    cache_write: Option<String>,
    /// Kept in the cache for an hour; as `cache_write` unless given.
    cache_write_1h: Option<String>,
    /// Reasoning; as output unless given.
    reasoning: Option<String>,
    /// Per call, beside the tokens; nothing unless given.
    per_call: Option<String>,
    /// Per unit that the provider counts in place of tokens (Pinecone's read units); nothing unless given.
    #[schema(example = "0.000016")]
    per_unit: Option<String>,
    /// What longer prompts cost, by rising `above`; unless given all cost the same.
    #[serde(default)]
    #[schema(max_items = 8)]
    tiers: Vec<NewTier>,
    /// Where the figures were read: an address, a contract.
    #[schema(max_length = 500)]
    source: Option<String>,
    /// From when on it holds, RFC 3339; from now on unless given.
    #[schema(format = DateTime)]
    valid_from: Option<String>,
}

/// What every model token of a call costs whose prompt has more than `above`, those of its answer too: decimal strings
/// in the price's currency, per million model tokens.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTier {
    #[schema(minimum = 1, maximum = 68719476736_i64, example = 200_000)]
    above: i64,
    #[schema(example = "5.00")]
    input: String,
    #[schema(example = "15.00")]
    output: String,
    /// As the tier's input unless given.
    cached: Option<String>,
    /// As the tier's input unless given.
    cache_write: Option<String>,
    /// As the tier's `cache_write` unless given.
    cache_write_1h: Option<String>,
    /// As the tier's output unless given.
    reasoning: Option<String>,
}

impl NewTier {
    fn stored(&self, at: usize) -> Result<Tier, ApiError> {
        let named = |field: &str| format!("tiers[{at}].{field}");
        let whole = |field: &str, text: &str| amount(&named(field), text);
        let part = |field: &str, text: &Option<String>| {
            let text = text.as_deref();
            text.map(|text| whole(field, text)).transpose()
        };
        Ok(Tier {
            above: self.above,
            input_nano: whole("input", &self.input)?,
            output_nano: whole("output", &self.output)?,
            cached_nano: part("cached", &self.cached)?,
            cache_write_nano: part("cache_write", &self.cache_write)?,
            cache_write_1h_nano: part("cache_write_1h", &self.cache_write_1h)?,
            reasoning_nano: part("reasoning", &self.reasoning)?,
        })
    }
}

impl NewFigures {
    fn figures(&self) -> Result<Figures, ApiError> {
        let part = |field: &str, text: &Option<String>| {
            let text = text.as_deref();
            text.map(|text| amount(field, text)).transpose()
        };
        if self.tiers.len() > TIERS_MAX {
            return Err(ApiError::invalid("tiers", "must be at most 8"));
        }
        let tiers = self.tiers.iter().enumerate();
        let tiers: Vec<Tier> = tiers
            .map(|(at, tier)| tier.stored(at))
            .collect::<Result<_, _>>()?;
        if !price::are_tiers(&tiers) || tiers.iter().any(|tier| tier.above > TOKENS_MAX) {
            return Err(ApiError::invalid(
                "tiers",
                "must begin above rising numbers of tokens, from 1 to 68719476736",
            ));
        }
        Ok(Figures {
            currency: self.currency.stored(),
            input_nano: amount("input", &self.input)?,
            output_nano: amount("output", &self.output)?,
            cached_nano: part("cached", &self.cached)?,
            cache_write_nano: part("cache_write", &self.cache_write)?,
            cache_write_1h_nano: part("cache_write_1h", &self.cache_write_1h)?,
            reasoning_nano: part("reasoning", &self.reasoning)?,
            per_call_nano: part("per_call", &self.per_call)?.unwrap_or(0),
            per_unit_nano: part("per_unit", &self.per_unit)?.unwrap_or(0),
            tiers,
        })
    }
}

fn amount(field: &str, text: &str) -> Result<i64, ApiError> {
    money::nano(text.trim())
        .filter(|nano| *nano <= AMOUNT_MAX_NANO)
        .ok_or_else(|| {
            ApiError::invalid(
                field,
                "must be a decimal number such as 2.50, from 0 to 1000000 with at most nine decimals",
            )
        })
}

/// Sets an operator's price: it beats the list's from `valid_from` on. What is set already changes nothing.
#[utoipa::path(tag = "prices", params(Of), responses((status = 200, body = PriceShown)))]
#[put("/prices")]
async fn set(
    state: web::Data<AppState>,
    caller: Can<WritePrices>,
    of: Query<Of>,
    if_match: IfMatch,
    Json(new): Json<NewFigures>,
) -> Result<Tagged<PriceShown>, ApiError> {
    check::whole_installation(&caller)?;
    let of = of.0.checked()?;
    let figures = new.figures()?;
    let source = check::text(
        "source",
        new.source.as_deref().unwrap_or_default(),
        0,
        SOURCE_MAX,
    )?;
    let asked = new.valid_from.as_deref();
    let asked = asked
        .map(|text| parse_time(text, "valid_from"))
        .transpose()?;
    if asked.is_some_and(|at| !(0..=VALID_FROM_MAX).contains(&at)) {
        return Err(ApiError::invalid(
            "valid_from",
            "must lie between 1970 and 2100",
        ));
    }
    let change = Change::begin(&state, &caller).await?;
    let valid_from = asked.unwrap_or(change.now);
    let history = price::history(&*change, &of.provider, &of.model).await?;
    if_match
        .check(view::version(&history), &*change, "price", &of.target())
        .await?;
    let ruling = history
        .iter()
        .find(|row| !row.from_list && row.valid_from <= valid_from)
        .filter(|row| !row.removed);
    if let Some(row) = ruling.filter(|row| row.figures() == figures) {
        let shown = PriceShown::of(row.clone(), &history, change.now);
        return Ok(Tagged::ok(shown.version, shown));
    }
    let before = in_force(history.clone(), valid_from).pop();
    let row = NewPrice {
        provider: of.provider.clone(),
        model: of.model.clone(),
        figures,
        source,
        valid_from,
        removed: false,
    };
    let row = price::insert(&change, row, &caller.operator.username, change.now).await?;
    let now = change.now;
    let history = price::history(&*change, &of.provider, &of.model).await?;
    let audit = Audit::of("prices.set", "price", &of.target())
        .with("before", before.map(|shown| shown.charged))
        .with("after", Charged::of(&row))
        .with("valid_from", rfc3339(valid_from));
    change.commit(audit).await?;
    state.apply_to_gateway().await?;
    let shown = PriceShown::of(row, &history, now);
    Ok(Tagged::ok(shown.version, shown))
}

/// Takes an operator's price away, those that were to begin later too: the list's rules again, and without one the
/// model is unpriced. Calls on the books keep what they were charged.
#[utoipa::path(tag = "prices", params(Of), responses((status = 204)))]
#[delete("/prices")]
async fn remove(
    state: web::Data<AppState>,
    caller: Can<WritePrices>,
    of: Query<Of>,
    if_match: IfMatch,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let of = of.0.checked()?;
    let change = Change::begin(&state, &caller).await?;
    let history = price::history(&*change, &of.provider, &of.model).await?;
    if_match
        .check(view::version(&history), &*change, "price", &of.target())
        .await?;
    let ends = view::ends(&history, change.now);
    if ends.is_empty() {
        return Err(ApiError::not_found("price").detail(
            "This model has no operator's price. The list's own cannot be taken away; set another to replace it.",
        ));
    }
    for (valid_from, figures) in ends {
        let row = NewPrice {
            provider: of.provider.clone(),
            model: of.model.clone(),
            figures,
            source: String::new(),
            valid_from,
            removed: true,
        };
        price::insert(&change, row, &caller.operator.username, change.now).await?;
    }
    change
        .commit(Audit::of("prices.remove", "price", &of.target()))
        .await?;
    state.apply_to_gateway().await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Which calls to charge anew.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Recalculation {
    /// Calls made from then on, RFC 3339 or a date; all unless given.
    from: Option<String>,
    /// Calls made before; up to now unless given. A date counts whole.
    to: Option<String>,
    /// Only this provider's.
    #[schema(max_length = 64)]
    provider: Option<String>,
    /// Only those that asked for this model, or that it answered.
    #[schema(max_length = 160)]
    model: Option<String>,
}

/// Charges calls of the past anew by the prices as they are now (each by the one in force at its time), as a job. Calls
/// that brought their own cost keep it.
#[utoipa::path(tag = "prices", responses((status = 202, body = JobAccepted)))]
#[post("/prices/recalculate")]
async fn recalculate(
    state: web::Data<AppState>,
    caller: Can<WritePrices>,
    Json(asked): Json<Recalculation>,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let asked_range = RangeQuery::between(asked.from.clone(), asked.to.clone());
    let range = TimeRange::parse(&asked_range, change.now, state.time_zone)?;
    let to = range.to.unwrap_or(change.now).clamp(0, VALID_FROM_MAX);
    let from = range.from.unwrap_or(0).clamp(0, to);
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let params = json!({
        "from": rfc3339(from),
        "to": rfc3339(to),
        "provider": given(&asked.provider),
        "model": given(&asked.model),
    });
    let row = change.queue(RECALCULATE, params).await?;
    let audit = Audit::of("prices.recalculate", "job", &row.public_id).with("asked", &asked);
    change.queued(audit, row).await
}

/// Models that were called without a price.
#[derive(Debug, Serialize, ToSchema)]
struct UnpricedModels {
    /// Start of the first day looked at.
    #[schema(format = DateTime)]
    from: String,
    /// End of the last day looked at (exclusive).
    #[schema(format = DateTime)]
    to: String,
    /// Most calls first, at most 200.
    items: Vec<UnpricedModel>,
}

/// One of them.
#[derive(Debug, Serialize, ToSchema)]
struct UnpricedModel {
    provider: String,
    model: String,
    /// Calls that used tokens and had no price.
    unpriced_count: i64,
    /// Model tokens of the days that had such calls.
    total_tokens: i64,
    /// The last day that had such a call, its start.
    #[schema(format = DateTime)]
    last_seen: String,
    /// It has a price by now; its calls of the past can be priced anew.
    is_priced_now: bool,
}

/// Models with tokens and no price, over every day that the stretch touches: the last 30 days unless told.
#[utoipa::path(tag = "prices", params(RangeQuery), responses((status = 200, body = UnpricedModels)))]
#[get("/prices/unpriced")]
async fn unpriced_models(
    state: web::Data<AppState>,
    caller: Can<ReadPrices>,
    range: TimeRange,
) -> Result<Json<UnpricedModels>, ApiError> {
    check::whole_installation(&caller)?;
    let now = state.clock.now_micros();
    let to = range.to.unwrap_or(now).clamp(1, VALID_FROM_MAX);
    let from = range.from.unwrap_or(to - UNPRICED_DAYS_US).clamp(0, to - 1);
    let from = calendar::day_of(state.time_zone, from);
    let to = calendar::next_day(state.time_zone, to - 1);
    let read = &state.databases.ledger_read;
    let prices = state.snapshot.load().prices.clone();
    let models = unpriced::models(read, (from, to), UNPRICED_MAX).await?;
    let items = models.into_iter().map(|row| UnpricedModel {
        is_priced_now: prices.find(&row.provider, &row.model, now).is_some(),
        provider: row.provider,
        model: row.model,
        unpriced_count: row.unpriced_count,
        total_tokens: row.total_tokens,
        last_seen: rfc3339(row.last_day),
    });
    Ok(Json(UnpricedModels {
        from: rfc3339(from),
        to: rfc3339(to),
        items: items.collect(),
    }))
}
