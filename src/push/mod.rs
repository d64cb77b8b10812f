//! Live push: WebSocket sessions on the [`Switchboard`](steward_actors::live::Switchboard).
//!
//! | method | path | permission |
//! |---|---|---|
//! | POST | `/auth/ws-ticket` | signed in |
//! | GET | `/ws?ticket=` | the ticket |
//!
//! A browser cannot send a header with a WebSocket, and an access token in an address ends up in logs: so it first asks
//! for a ticket that opens one socket, once, within half a minute. What can be subscribed to by whom is [`topics`];
//! [`session`] is one socket, [`window`] how much may be on its way to it; [`sources`] is where news come from. Whoever
//! signs out, is disabled or gets another role loses their sockets at that moment ([`Desk::review`]); the console's
//! reconnect and then find out what they still may.

mod desk;
mod origin;
mod protocol;
mod session;
mod sources;
mod ticket;
mod topics;
mod window;

#[cfg(test)]
mod tests;

use actix_web::{HttpRequest, HttpResponse, get, web};
use actix_web_actors::ws::{self, WsResponseBuilder};
use serde::Deserialize;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::problem::Problem;
use crate::error::{ApiError, ErrorCode};
use crate::http::extract::Query;
use crate::state::AppState;

pub use desk::Desk;
pub use sources::attach;

use session::Session;

/// Largest frame, and largest message put together of several, that a client may send.
const MESSAGE_MAX_BYTES: usize = 16 * 1024;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(ticket::issue).service(connect);
}

#[derive(Deserialize)]
struct Presented {
    ticket: String,
}

/// Opens a WebSocket.
///
/// Client → server: `{"op":"subscribe","topics":["stats","requests"],"since":{"requests":17},"epoch":…}`,
/// `{"op":"unsubscribe","topics":[…]}`, `{"op":"ping"}`. Server → client: `{"op":"hello","epoch",…}`, then
/// `{"topic","epoch","seq","at","data"}`; `{"topic","epoch","gap":true}` when what happened since is not known any more
/// (fetch it); `{"topic","epoch","lagged":n}` when a slow reader missed n messages; `{"op":"error","code","detail"}` with
/// a code of the error catalog. Topics: `stats`, `health`, `supervision` (states: the newest message tells all),
/// `alerts`, `jobs`, `requests`, `logs:ERROR` to `logs:TRACE` (that level and worse). The epoch is the process's start:
/// numbers of another one mean nothing. Pings must be answered, as any WebSocket library does.
#[utoipa::path(tag = "push", security(()), params(
    ("ticket" = String, Query, description = "From `POST /api/v1/auth/ws-ticket`."),
), responses(
    (status = 101, description = "The connection is a WebSocket now."),
    (status = 401, description = "The ticket is used up, too old or unknown.", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The page that asks is of another site.", body = Problem, content_type = "application/problem+json"),
))]
#[get("/ws")]
async fn connect(
    state: web::Data<AppState>,
    request: HttpRequest,
    payload: web::Payload,
    presented: Query<Presented>,
) -> Result<HttpResponse, ApiError> {
    if state.is_draining() {
        return Err(ApiError::new(ErrorCode::ShuttingDown).retry_after_s(5));
    }
    origin::check(&request, &state.config.server.allowed_origins)?;
    // Before the ticket is used up.
    ws::handshake(&request).map_err(|cause| {
        ApiError::new(ErrorCode::RequestInvalid)
            .detail("It takes a WebSocket: version 13, with the upgrade headers.")
            .because(cause)
    })?;
    let seat = state.push.admit(&presented.ticket)?;
    // Standing may have changed since the ticket; from the seat on, `review` watches over it.
    let table = state.directory.current().await?;
    if !seat.still_stands(&table, state.clock.now_micros()) {
        return Err(ApiError::new(ErrorCode::SessionEnded));
    }
    let session = Session::new(seat, state.push.subscribe(), state.push.heartbeat());
    WsResponseBuilder::new(session, &request, payload)
        .frame_size(MESSAGE_MAX_BYTES)
        .start()
        .map_err(ApiError::internal)
}
