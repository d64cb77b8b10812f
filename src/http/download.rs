//! Downloads by a link: who is asking, when the request has a ticket instead of a bearer.
//!
//! A browser that fetches a file straight to its disk can send no header. So the page first asks for a ticket
//! (`features::downloads`), which fetches one of [`FILES`] once, on behalf of whoever asked, as they stand when it is used.
//! Everywhere else a ticket means nothing.

use std::sync::Arc;

use actix_web::{HttpMessage, HttpRequest, http::Method};
use serde_json::Value;
use utoipa::IntoParams;

use super::caller::{Caller, Via};
use super::directory::{OperatorView, Table};
use crate::error::{ApiError, ErrorCode};
use crate::state::AppState;

/// Tickets not yet used up at the same time: each may hold what is asked for.
pub const OPEN_MAX: usize = 500;

/// A file that can be fetched by a link.
#[derive(Debug)]
pub struct FileRoute {
    pub path: &'static str,
    /// What it takes to read it; the handler demands it again.
    pub permission: &'static str,
    /// What is asked for may be too long for an address: the ticket keeps it.
    pub takes_body: bool,
}

const fn file(path: &'static str, permission: &'static str) -> FileRoute {
    FileRoute {
        path,
        permission,
        takes_body: false,
    }
}

/// All of them.
pub static FILES: [FileRoute; 7] = [
    file("/api/v1/logs/requests/export", "read:logs"),
    file("/api/v1/stats/export", "read:stats"),
    file("/api/v1/ops/logs/export", "read:logs"),
    file("/api/v1/prompts/export", "read:prompts"),
    file("/api/v1/reports/export", "read:reports"),
    file("/api/v1/ops/knowledge/export", "read:knowledge"),
    FileRoute {
        takes_body: true,
        ..file("/api/v1/conversations/export", "read:conversations")
    },
];

/// What one ticket fetches, and for whom.
#[derive(Debug)]
pub struct Download {
    file: &'static FileRoute,
    asked: Option<Value>,
    operator: Arc<OperatorView>,
    via: Via,
}

impl Download {
    /// Of `file`, for whoever asks now.
    pub fn new(file: &'static FileRoute, asked: Option<Value>, caller: &Caller) -> Self {
        Self {
            file,
            asked,
            operator: Arc::clone(&caller.operator),
            via: caller.via.clone(),
        }
    }
}

/// What the ticket of this request kept.
#[derive(Clone, Debug)]
pub struct Asked(pub Value);

/// For the documents of [`FILES`].
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "read from the address before any handler runs")]
pub struct TicketParam {
    /// From `POST /api/v1/auth/download-ticket`, instead of a bearer: for browsers that fetch the file by a link.
    ticket: Option<String>,
}

/// The ticket in the address, where one counts.
pub fn ticket(request: &HttpRequest) -> Option<&str> {
    let counts =
        request.method() == Method::GET && FILES.iter().any(|file| file.path == request.path());
    // Tickets need no escapes: they are in the address as they are.
    let mut pairs = request.query_string().split('&').filter(|_| counts);
    pairs.find_map(|pair| pair.strip_prefix("ticket="))
}

/// Whose ticket it is. What it kept is left with the request as [`Asked`].
///
/// # Errors
/// `ticket_invalid`, or `session_ended` when whoever asked for it does not stand as they did.
pub fn holder(
    ticket: &str,
    request: &HttpRequest,
    state: &AppState,
    table: &Table,
    now_micros: i64,
) -> Result<(Arc<OperatorView>, Via), ApiError> {
    let download = state
        .downloads
        .redeem(ticket, now_micros)
        .filter(|download| download.file.path == request.path())
        .ok_or_else(|| ApiError::new(ErrorCode::TicketInvalid))?;
    let stands = match &download.via {
        Via::Session(_) => true,
        Via::Key(id) => table.is_open(id, now_micros),
    };
    let operator = table
        .by_public_id(&download.operator.public_id)
        .filter(|now| stands && now.epoch == download.operator.epoch)
        .ok_or_else(|| ApiError::new(ErrorCode::SessionEnded))?;
    if let Some(asked) = download.asked {
        request.extensions_mut().insert(Asked(asked));
    }
    Ok((operator, download.via))
}
