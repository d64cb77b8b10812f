//! What opens one socket, once, within half a minute. Of this process, as the socket will be.

use actix_web::{post, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::desk::Guest;
use crate::error::{ApiError, ErrorCode};
use crate::http::extract::Json;
use crate::http::permission::{Can, Settled};
use crate::http::ticket::LIVES_S;
use crate::state::AppState;

/// Tickets not yet used up at the same time.
pub(super) const OPEN_MAX: usize = 20_000;

/// A ticket.
#[derive(Serialize, ToSchema)]
pub(super) struct Issued {
    /// For `GET /api/v1/ws?ticket=`, once.
    ticket: String,
    /// Seconds.
    expires_in: i64,
}

/// A ticket for one WebSocket.
#[utoipa::path(tag = "push", responses((status = 200, body = Issued)))]
#[post("/auth/ws-ticket")]
pub(super) async fn issue(
    state: web::Data<AppState>,
    caller: Can<Settled>,
) -> Result<Json<Issued>, ApiError> {
    let now = state.clock.now_micros();
    let ticket = state
        .push
        .tickets
        .issue(Guest::of(&caller), now)
        .ok_or_else(|| ApiError::new(ErrorCode::Overloaded).retry_after_s(5))?;
    Ok(Json(Issued {
        ticket,
        expires_in: LIVES_S,
    }))
}
