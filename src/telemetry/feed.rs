//! The layer that gives every event of the log to the feed, without secrets.
//!
//! A field whose name says that it holds a secret is not kept at all; every
//! other text loses what looks like one. Long texts are cut: a line is for reading.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use steward_actors::domain::record::cut;
use steward_actors::log_feed::{Line, LogFeed};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::gateway::redact::{MARK, scrub};

const MESSAGE_MAX_BYTES: usize = 4 * 1024;
const VALUE_MAX_BYTES: usize = 1024;
const FIELDS_MAX: usize = 24;
/// Parts of a field's name that say what it holds.
const SECRET_NAMES: [&str; 7] = [
    "password",
    "secret",
    "token",
    "api_key",
    "apikey",
    "authorization",
    "cookie",
];

/// See the module.
pub(super) struct FeedLayer(pub(super) Arc<LogFeed>);

/// Whose request a span is of.
#[derive(Default)]
struct Origin {
    request_id: Option<String>,
    user: Option<String>,
}

impl Visit for Origin {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let slot = match field.name() {
            "request_id" => &mut self.request_id,
            "user" => &mut self.user,
            _ => return,
        };
        *slot = Some(format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

/// What an event says.
#[derive(Default)]
struct Said {
    message: String,
    /// Of the call it tells of: the gateway has no spans.
    request_id: Option<String>,
    fields: Vec<(String, String)>,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let name = field.name();
        if name == "message" {
            self.message = clean(value, MESSAGE_MAX_BYTES);
        } else if name == "request_id" {
            self.request_id = Some(clean(value, VALUE_MAX_BYTES));
        } else if self.fields.len() < FIELDS_MAX {
            let value = match SECRET_NAMES.iter().any(|secret| name.contains(secret)) {
                true => MARK.to_owned(),
                false => clean(value, VALUE_MAX_BYTES),
            };
            self.fields.push((name.to_owned(), value));
        }
    }
}

/// Cut last: a secret that lies across the end must be seen whole.
fn clean(text: &str, max: usize) -> String {
    let mut text = scrub(text).into_owned();
    cut(&mut text, max);
    text
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for FeedLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().fields().field("request_id").is_none() {
            return;
        }
        let mut origin = Origin::default();
        attributes.record(&mut origin);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(origin);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(origin) = span.extensions_mut().get_mut::<Origin>()
        {
            values.record(origin);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let mut origin = Origin::default();
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(known) = span.extensions().get::<Origin>() {
                origin.request_id = origin.request_id.or_else(|| known.request_id.clone());
                origin.user = origin.user.or_else(|| known.user.clone());
            }
        }
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.0.push(Line {
            id: 0,
            node: 0,
            at: i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            level: (*event.metadata().level()).into(),
            target: event.metadata().target().to_owned(),
            message: said.message,
            user: origin.user,
            request_id: said.request_id.or(origin.request_id),
            fields: said.fields,
        });
    }
}

#[cfg(test)]
mod tests {
    use steward_actors::log_feed::{Filter, Level};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn logged(log: impl FnOnce()) -> Vec<Arc<Line>> {
        let feed = Arc::new(LogFeed::default());
        let subscriber = tracing_subscriber::registry().with(FeedLayer(Arc::clone(&feed)));
        tracing::subscriber::with_default(subscriber, log);
        feed.collect(0);
        feed.read(&Filter::default(), None, 100).lines
    }

    #[test]
    fn a_line_knows_its_request_and_who_asked() {
        let lines = logged(|| {
            let span = tracing::info_span!(
                "request",
                request_id = tracing::field::Empty,
                user = tracing::field::Empty
            );
            span.record("request_id", tracing::field::display(7));
            let _inside = span.enter();
            span.record("user", "ada");
            let _deeper = tracing::info_span!("deeper", n = 1).entered();
            tracing::warn!(many = 3, what = "rows", "they stray");
        });
        let line = &lines[0];
        assert_eq!(
            (line.level, line.message.as_str()),
            (Level::Warn, "they stray")
        );
        assert_eq!(
            (line.request_id.as_deref(), line.user.as_deref()),
            (Some("7"), Some("ada"))
        );
        let fields: Vec<_> = line
            .fields
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        assert_eq!(fields, [("many", "3"), ("what", "rows")]);
        assert!(
            line.target.starts_with("steward::telemetry"),
            "{}",
            line.target
        );
    }

    #[test]
    fn a_line_about_a_call_is_found_by_it() {
        let lines = logged(|| tracing::error!(request_id = %7, cause = "full", "not written"));
        assert_eq!(lines[0].request_id.as_deref(), Some("7"));
        assert_eq!(lines[0].fields, [("cause".to_owned(), "full".to_owned())]);
    }

    #[test]
    fn secrets_do_not_leave_the_layer() {
        const KEY: &str = "sk-stw-0123456789abcdefghijklmnopqrstuv";
        let lines = logged(|| {
            tracing::error!(error = %format!("401: bad key {KEY}"), api_key = KEY, password = "short", "upstream said {KEY}");
            tracing::info!("{}{KEY}", "x ".repeat(MESSAGE_MAX_BYTES));
        });
        for line in &lines {
            let all = format!("{line:?}");
            assert!(
                !all.contains("0123456789abcdef") && !all.contains("short"),
                "{all}"
            );
            assert!(line.message.len() <= MESSAGE_MAX_BYTES);
        }
        assert!(lines[1].message.contains(MARK), "{}", lines[1].message);
    }
}
