//! What an answer of a remote means for the rows that were sent. Pure.
//!
//! PostgREST tells PostgreSQL's states (`23505`) and its own (`PGRST…`) in a JSON body; a PostgreSQL server tells the
//! former alone. In doubt an answer is about the remote, not about the rows: waiting loses nothing, a row that is put aside
//! is not pushed.

use std::time::Duration;

use serde::Deserialize;

use super::{Failure, kept};

/// A remote that asks for patience gets at most this much.
const PATIENCE_MAX: Duration = Duration::from_secs(6 * 3_600);

/// What an answer that is no success means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Nothing about the rows; it may work later, not before so long if it said so.
    Later(Option<Duration>),
    /// Whoever set the remote has to change something: its key, its table, its address.
    Misset,
    /// Some of these rows will never be taken.
    Rows,
    /// It broke over this request. Perhaps over some row of it; alone, each tells.
    Broke,
}

#[derive(Default, Deserialize)]
struct Body {
    code: Option<String>,
    message: Option<String>,
    details: Option<String>,
    hint: Option<String>,
    /// Supabase's own gate in front of PostgREST.
    error: Option<String>,
}

/// What PostgREST's answer means; `None` when it is a success.
pub fn judge(
    status: u16,
    retry_after: Option<&str>,
    body: &[u8],
    secrets: &[&str],
) -> Option<Failure> {
    if (200..300).contains(&status) {
        return None;
    }
    let parsed: Body = serde_json::from_slice(body).unwrap_or_default();
    let code = parsed.code.as_deref().unwrap_or_default();
    let waits = retry_after
        .and_then(|seconds| seconds.trim().parse().ok())
        .map(|seconds| Duration::from_secs(seconds).min(PATIENCE_MAX));
    let verdict = match (status, judge_state(code)) {
        // More than it takes at once.
        (413, _) => Verdict::Rows,
        (408 | 425 | 429 | 502..=504, _) => Verdict::Later(waits),
        (500, Verdict::Rows) => Verdict::Rows,
        (500.., _) => Verdict::Broke,
        (400 | 409 | 422, Verdict::Rows) => Verdict::Rows,
        // A credential, a table, a column, a redirect: not the rows' fault.
        _ => Verdict::Misset,
    };
    Some(Failure {
        verdict,
        why: told(status, parsed, body, secrets),
    })
}

/// What a state of PostgreSQL means.
pub fn judge_state(state: &str) -> Verdict {
    // 22 data exception, 23 integrity constraint, P0001 raised by a trigger; 54000: too much of something.
    if state.len() == 5
        && (state.starts_with("22")
            || state.starts_with("23")
            || matches!(state, "P0001" | "54000"))
    {
        return Verdict::Rows;
    }
    // 28 authorisation, 3D and 3F no such database or schema, 42 no such table or column, or no right to it.
    let misset = ["28", "3D", "3F", "42"];
    if state.len() == 5 && misset.iter().any(|class| state.starts_with(class)) {
        return Verdict::Misset;
    }
    Verdict::Later(None)
}

fn told(status: u16, parsed: Body, body: &[u8], secrets: &[&str]) -> String {
    let Some(message) = parsed.message.or(parsed.error) else {
        let body = String::from_utf8_lossy(body);
        return kept(&format!("answered {status} {body}"), secrets);
    };
    let code = parsed
        .code
        .map_or_else(String::new, |code| format!(" ({code})"));
    let more = [parsed.details, parsed.hint];
    let more: String = more
        .into_iter()
        .flatten()
        .filter(|text| !text.is_empty())
        .map(|text| format!("; {text}"))
        .collect();
    kept(
        &format!("answered {status}{code}: {message}{more}"),
        secrets,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRETS: [&str; 1] = ["sb_secret_canary"];

    fn verdict(status: u16, body: &str) -> Option<Verdict> {
        judge(status, None, body.as_bytes(), &SECRETS).map(|failure| failure.verdict)
    }

    #[test]
    fn answers_mean_what_postgrest_says_they_mean() {
        for (status, body, expected) in [
            (201, "", None),
            (200, "[]", None),
            (
                401,
                r#"{"code":"PGRST301","details":null,"hint":null,"message":"JWT expired"}"#,
                Some(Verdict::Misset),
            ),
            (
                401,
                r#"{"message":"Invalid API key","hint":"Double check your Supabase API key."}"#,
                Some(Verdict::Misset),
            ),
            (
                403,
                r#"{"code":"42501","message":"permission denied for table dashboard_stats"}"#,
                Some(Verdict::Misset),
            ),
            (
                404,
                r#"{"code":"PGRST205","details":null,"hint":"Perhaps you meant the table 'public.stats'","message":"Could not find the table 'public.dashboard_stats' in the schema cache"}"#,
                Some(Verdict::Misset),
            ),
            (
                400,
                r#"{"code":"PGRST204","message":"Could not find the 'cost' column of 'dashboard_stats' in the schema cache"}"#,
                Some(Verdict::Misset),
            ),
            (
                400,
                r#"{"code":"42P10","message":"there is no unique or exclusion constraint matching the ON CONFLICT specification"}"#,
                Some(Verdict::Misset),
            ),
            (
                400,
                r#"{"code":"22008","message":"date/time field value out of range"}"#,
                Some(Verdict::Rows),
            ),
            (
                400,
                r#"{"code":"23514","message":"new row violates check constraint"}"#,
                Some(Verdict::Rows),
            ),
            (
                409,
                r#"{"code":"23505","message":"duplicate key value violates unique constraint"}"#,
                Some(Verdict::Rows),
            ),
            (413, "", Some(Verdict::Rows)),
            (
                500,
                r#"{"code":"21000","message":"ON CONFLICT DO UPDATE command cannot affect row a second time"}"#,
                Some(Verdict::Broke),
            ),
            (500, "<html>oops</html>", Some(Verdict::Broke)),
            (
                503,
                r#"{"code":"PGRST002","message":"Could not query the database for the schema cache. Retrying."}"#,
                Some(Verdict::Later(None)),
            ),
            (
                504,
                r#"{"code":"PGRST003","message":"Timed out acquiring connection from connection pool."}"#,
                Some(Verdict::Later(None)),
            ),
            (302, "", Some(Verdict::Misset)),
        ] {
            assert_eq!(verdict(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn patience_is_given_within_reason() {
        let asked = |text| judge(429, Some(text), b"", &[]).unwrap().verdict;
        assert_eq!(asked("30"), Verdict::Later(Some(Duration::from_secs(30))));
        assert_eq!(asked("999999999"), Verdict::Later(Some(PATIENCE_MAX)));
        assert_eq!(asked("Fri, 31 Dec 1999 23:59:59 GMT"), Verdict::Later(None));
    }

    #[test]
    fn the_answer_is_told_with_its_hint_and_without_our_key() {
        let body = br#"{"code":"PGRST205","hint":"Perhaps you meant the table 'public.stats'","message":"Could not find the table for sb_secret_canary"}"#;
        let why = judge(404, None, body, &SECRETS).unwrap().why;
        assert_eq!(
            why,
            "answered 404 (PGRST205): Could not find the table for ***; Perhaps you meant the table 'public.stats'"
        );
        let why = judge(502, None, b"<h1>Bad gateway</h1>", &SECRETS)
            .unwrap()
            .why;
        assert_eq!(why, "answered 502 <h1>Bad gateway</h1>");
    }
}
