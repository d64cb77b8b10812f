//! OTLP's JSON: protobuf's mapping with hexadecimal ids. Parsed level by level over borrowed text, so that one
//! span at a time is in memory; names are taken in both spellings, 64-bit numbers quoted or not.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Malformed;
use super::span::{Attributes, Context, Span, Value};

const MALFORMED: Malformed = Malformed("JSON");

type Raw<'a> = Option<&'a RawValue>;
type Raws<'a> = Option<Vec<&'a RawValue>>;

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, default, rename = "resourceSpans", alias = "resource_spans")]
    resource_spans: Raws<'a>,
}

#[derive(Deserialize)]
struct ResourceSpans<'a> {
    #[serde(borrow, default)]
    resource: Option<Attributed<'a>>,
    #[serde(borrow, default, rename = "scopeSpans", alias = "scope_spans")]
    scope_spans: Raws<'a>,
}

#[derive(Deserialize)]
struct Attributed<'a> {
    #[serde(borrow, default)]
    attributes: Raws<'a>,
}

#[derive(Deserialize)]
struct ScopeSpans<'a> {
    #[serde(borrow, default)]
    scope: Option<Scope<'a>>,
    #[serde(borrow, default)]
    spans: Raws<'a>,
}

#[derive(Deserialize)]
struct Scope<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct SpanText<'a> {
    #[serde(borrow, default, rename = "traceId", alias = "trace_id")]
    trace_id: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "spanId", alias = "span_id")]
    span_id: Option<Cow<'a, str>>,
    #[serde(
        borrow,
        default,
        rename = "startTimeUnixNano",
        alias = "start_time_unix_nano"
    )]
    start: Raw<'a>,
    #[serde(
        borrow,
        default,
        rename = "endTimeUnixNano",
        alias = "end_time_unix_nano"
    )]
    end: Raw<'a>,
    #[serde(borrow, default)]
    attributes: Raws<'a>,
    #[serde(borrow, default)]
    events: Raws<'a>,
    #[serde(borrow, default)]
    status: Option<Status<'a>>,
}

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(borrow, default)]
    message: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    code: Raw<'a>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default, rename = "timeUnixNano", alias = "time_unix_nano")]
    time: Raw<'a>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    attributes: Raws<'a>,
}

#[derive(Deserialize)]
struct Pair<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow, default)]
    value: Raw<'a>,
}

#[derive(Deserialize)]
struct AnyValue<'a> {
    #[serde(borrow, default, rename = "stringValue", alias = "string_value")]
    string: Option<Cow<'a, str>>,
    #[serde(default, rename = "boolValue", alias = "bool_value")]
    bool: Option<bool>,
    #[serde(borrow, default, rename = "intValue", alias = "int_value")]
    int: Raw<'a>,
    #[serde(borrow, default, rename = "doubleValue", alias = "double_value")]
    double: Raw<'a>,
}

/// Shows every span of a request; `None` for one that cannot be read as one.
///
/// # Errors
/// The body is not JSON, or not of a trace request's shape down to its scopes.
pub fn read(body: &[u8], each: &mut impl FnMut(&Context, Option<Span>)) -> Result<(), Malformed> {
    let request: Request<'_> = serde_json::from_slice(body).map_err(|_| MALFORMED)?;
    for resource_spans in request.resource_spans.unwrap_or_default() {
        let ResourceSpans {
            resource,
            scope_spans,
        } = serde_json::from_str(resource_spans.get()).map_err(|_| MALFORMED)?;
        let resource = attributes(resource.and_then(|resource| resource.attributes));
        let service = resource.text("service.name").unwrap_or_default();
        for scope_spans in scope_spans.unwrap_or_default() {
            let ScopeSpans { scope, spans } =
                serde_json::from_str(scope_spans.get()).map_err(|_| MALFORMED)?;
            let scope = scope.and_then(|scope| scope.name).unwrap_or_default();
            let context = Context {
                service: service.to_owned(),
                scope: scope.into_owned(),
            };
            for span in spans.unwrap_or_default() {
                each(&context, self::span(span));
            }
        }
    }
    Ok(())
}

fn span(raw: &RawValue) -> Option<Span> {
    let told: SpanText<'_> = serde_json::from_str(raw.get()).ok()?;
    let status = told.status.as_ref();
    let code = status.and_then(|status| status.code).map(RawValue::get);
    let mut span = Span {
        trace_id: id(told.trace_id.as_deref()),
        span_id: id(told.span_id.as_deref()),
        start_ns: nanos(told.start),
        end_ns: nanos(told.end),
        failed: matches!(code, Some("2" | "\"STATUS_CODE_ERROR\"")),
        status_message: status
            .and_then(|status| status.message.as_deref())
            .unwrap_or_default()
            .to_owned(),
        attributes: attributes(told.attributes),
        first_token_ns: None,
    };
    for event in told.events.unwrap_or_default() {
        let Ok(event) = serde_json::from_str::<Event<'_>>(event.get()) else {
            continue;
        };
        let name = event.name.unwrap_or_default();
        span.event(&name, nanos(event.time), &attributes(event.attributes));
    }
    Some(span)
}

/// One that cannot be read costs itself only.
fn attributes(pairs: Raws<'_>) -> Attributes {
    let mut attributes = Attributes::default();
    for pair in pairs.unwrap_or_default() {
        if let Ok(Pair {
            key,
            value: Some(value),
        }) = serde_json::from_str(pair.get())
            && Attributes::wants(&key)
            && let Some(value) = any(value)
        {
            attributes.put(&key, value);
        }
    }
    attributes
}

fn any(raw: &RawValue) -> Option<Value> {
    let told: AnyValue<'_> = serde_json::from_str(raw.get()).ok()?;
    let bare = |raw: &RawValue| raw.get().trim_matches('"').to_owned();
    told.string
        .map(|text| Value::text(text.into_owned()))
        .or(told.bool.map(Value::Bool))
        .or(told
            .int
            .and_then(|int| Some(Value::Int(bare(int).parse().ok()?))))
        .or(told
            .double
            .and_then(|double| Some(Value::Double(bare(double).parse().ok()?))))
}

fn nanos(raw: Raw<'_>) -> u64 {
    raw.and_then(|raw| raw.get().trim_matches('"').parse().ok())
        .unwrap_or_default()
}

fn id(text: Option<&str>) -> Vec<u8> {
    text.and_then(|text| hex::decode(text).ok())
        .filter(|id| id.len() <= 16)
        .unwrap_or_default()
}
