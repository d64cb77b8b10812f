//! What was said in the history's calls: whole conversations, a few of all there were, so that there is something to
//! read and to search as soon as the demonstration runs.
//!
//! A pure function of an hour's records. A conversation grows as one with a chat application does: each request brings
//! along what was said before it. Of each, that is kept which the gateway would keep for its key; [`super::backfill`]
//! stores it with the rows.

use std::collections::HashMap;

use steward_actors::contents::Content;
use steward_actors::domain::record::Record;
use steward_actors::domain::redaction::Redactor;

use super::chance::{self, Chance};
use super::stock::Stocked;
use super::world::KEYS;
use super::{corpus, traffic};
use crate::gateway::capture_kept;

/// One conversation of so many.
const ONE_OF: u64 = 100;
/// Exchanges that a request brings along, at most.
const EARLIER_MAX: usize = 4;

/// The contents of one hour's `records`, in their order.
pub fn of_hour(seed: u64, records: &[Record], stocked: &Stocked) -> Vec<Content> {
    let redactor = Redactor::built_in();
    let mut talks: HashMap<&str, Vec<(String, String)>> = HashMap::new();
    let content = |record: &'_ Record, before: &mut Vec<(String, String)>| {
        let (index, _) = stocked
            .keys
            .iter()
            .find(|(_, token)| token.id == record.token_id)?;
        let key = &KEYS[*index];
        let mode = key.keeps?;
        let mut chance = Chance::of(seed, &[0x7a1c, record.rid.cast_unsigned()]);
        let asked = corpus::question(key.topic, key.language, &mut chance);
        let tokens = record.completion_tokens - record.reasoning_tokens;
        let said = match usize::try_from(tokens) {
            Ok(tokens) if tokens > 0 => corpus::answer(&asked, tokens, &mut chance).concat(),
            _ => String::new(),
        };
        let brought = &before[before.len().saturating_sub(EARLIER_MAX)..];
        let stream = record.stream;
        let body = traffic::body(key, &record.model, stream, brought, &asked, &mut chance);
        let kept = capture_kept(record, mode, body.to_string().as_bytes(), &said, &redactor);
        if record.success {
            before.push((asked, said));
        }
        Some(kept)
    };
    records
        .iter()
        // What was refused at the door was not heard.
        .filter(|record| record.account_id != 0 && !record.conversation_id.is_empty())
        .filter(|record| chance::of_text(seed, &record.conversation_id).is_multiple_of(ONE_OF))
        .filter_map(|record| content(record, talks.entry(&record.conversation_id).or_default()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;
    use steward_actors::domain::record::Operation;
    use steward_migration::testing::TestDatabase;

    use super::*;
    use crate::demo::history::tests::{PAST, stocked};
    use crate::error::ErrorCode;

    #[actix_web::test]
    async fn conversations_grow_are_kept_as_their_keys_ask_and_are_a_few_of_all() {
        let stocked = stocked(&TestDatabase::sqlite().await).await;
        let mut all = 0;
        let mut modes: BTreeMap<String, usize> = BTreeMap::new();
        let mut several = 0;
        for hour in 600..720 {
            let records = PAST.hour(hour, &stocked);
            all += records.len();
            let contents = of_hour(PAST.seed, &records, &stocked);
            let mut before: BTreeMap<&str, usize> = BTreeMap::new();
            for content in &contents {
                let record = records.iter().find(|it| it.rid == content.rid).unwrap();
                assert_eq!(content.id(), record.id());
                assert_eq!(content.token_public_id, record.token_public_id);
                assert_eq!(content.created_at, record.request_at);
                *modes.entry(content.redaction.clone()).or_default() += 1;
                let Some(said) = &content.said else {
                    assert_eq!(content.redaction, "metadata_only");
                    continue;
                };
                assert!(!said.prompt.is_empty() && !said.system_prompt.is_empty());
                assert!(!content.truncated);
                let messages: Vec<Value> = serde_json::from_str(&said.messages_json).unwrap();
                let turns = messages
                    .iter()
                    .filter(|it| it["role"] == "user" || it["role"] == "assistant");
                let exchanges = before.entry(&content.conversation_id).or_default();
                // Who uses the Responses API sends the question alone here.
                if record.operation != Operation::Responses as i32 {
                    assert_eq!(turns.count(), 2 * (*exchanges).min(EARLIER_MAX) + 1);
                    several += usize::from(*exchanges > 0);
                }
                // Who left early heard a part.
                let left = record.error_code == ErrorCode::ClientClosed.slug();
                assert!(
                    left || record.success != said.completion.is_empty(),
                    "{record:?}"
                );
                *exchanges += usize::from(record.success);
            }
            assert_eq!(contents, of_hour(PAST.seed, &records, &stocked));
        }
        let kept: usize = modes.values().sum();
        assert!((all / 800..all / 80).contains(&kept), "{kept} of {all}");
        for mode in ["none", "redact", "metadata_only"] {
            assert!(modes.contains_key(mode), "{mode}: {modes:?}");
        }
        assert!(several > kept / 20, "{several} of {kept}");
    }
}
