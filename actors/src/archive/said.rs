//! Conversations, between their months and files: unpacked, so that a file is read without the dictionaries of its time.

use super::sheet::{Cell, Columns, Kind, Row};
use crate::contents::store::Hit;
use crate::contents::{Content, Said};
use Kind::{Flag, Number, Text, Time};

/// Columns of a file of conversations.
pub(super) static CONTENTS: Columns = &[
    ("rid", Number),
    ("id_tail", Number),
    ("token_id", Number),
    ("token_public_id", Text),
    ("token_name", Text),
    ("tenant_id", Number),
    ("tenant_public_id", Text),
    ("end_user", Text),
    ("app", Text),
    ("model", Text),
    ("provider", Text),
    ("conversation_id", Text),
    ("operation", Number),
    ("stream", Flag),
    ("status_code", Number),
    ("success", Flag),
    ("created_at", Time),
    ("duration_ms", Number),
    ("prompt_tokens", Number),
    ("completion_tokens", Number),
    ("redaction", Text),
    ("redactions", Number),
    ("truncated", Flag),
    ("system_prompt", Text),
    ("messages_json", Text),
    ("prompt", Text),
    ("completion", Text),
    ("tool_calls_json", Text),
    ("tools_json", Text),
];

/// A conversation as a row of the file.
pub(super) fn row(hit: Hit) -> Row {
    let Hit { row, said, .. } = hit;
    let number = |number: i64| Cell::Number(Some(number));
    let text = |text: String| Cell::Text(Some(text));
    let flag = |flag: bool| Cell::Flag(Some(flag));
    vec![
        number(row.rid),
        number(row.id_tail),
        number(row.token_id),
        text(row.token_public_id),
        text(row.token_name),
        number(row.tenant_id),
        text(row.tenant_public_id),
        text(row.end_user),
        text(row.app),
        text(row.model),
        text(row.provider),
        text(row.conversation_id),
        number(row.operation),
        flag(row.stream),
        number(row.status_code),
        flag(row.success),
        number(row.created_at),
        number(row.duration_ms),
        number(row.prompt_tokens),
        number(row.completion_tokens),
        text(row.redaction),
        number(row.redactions),
        flag(row.truncated),
        text(said.system_prompt),
        text(said.messages_json),
        text(said.prompt),
        text(said.completion),
        text(said.tool_calls_json),
        text(said.tools_json),
    ]
}

/// A row of the file as the conversation it was.
pub(super) fn content(row: &[Cell]) -> Content {
    let at = |name: &str| {
        let found = CONTENTS.iter().position(|(known, _)| *known == name);
        found.and_then(|at| row.get(at))
    };
    let number = |name: &str| at(name).and_then(Cell::number).unwrap_or(0);
    let small = |name: &str| i32::try_from(number(name)).unwrap_or(0);
    let text = |name: &str| at(name).and_then(Cell::text).unwrap_or_default().to_owned();
    let flag = |name: &str| at(name).and_then(Cell::flag).unwrap_or(false);
    Content {
        rid: number("rid"),
        id_tail: number("id_tail").cast_unsigned(),
        token_id: number("token_id"),
        token_public_id: text("token_public_id"),
        token_name: text("token_name"),
        tenant_id: number("tenant_id"),
        tenant_public_id: text("tenant_public_id"),
        end_user: text("end_user"),
        app: text("app"),
        model: text("model"),
        provider: text("provider"),
        conversation_id: text("conversation_id"),
        operation: small("operation"),
        stream: flag("stream"),
        status_code: small("status_code"),
        success: flag("success"),
        created_at: number("created_at"),
        duration_ms: number("duration_ms"),
        prompt_tokens: number("prompt_tokens"),
        completion_tokens: number("completion_tokens"),
        redaction: text("redaction"),
        redactions: number("redactions"),
        truncated: flag("truncated"),
        said: Some(Said {
            system_prompt: text("system_prompt"),
            messages_json: text("messages_json"),
            prompt: text("prompt"),
            completion: text("completion"),
            tool_calls_json: text("tool_calls_json"),
            tools_json: text("tools_json"),
        }),
    }
}
