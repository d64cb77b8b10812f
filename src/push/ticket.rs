//! Tickets: what opens one socket, once, within half a minute. In memory, of this process, as the socket will be.

use std::collections::HashMap;

use actix_web::{post, web};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::desk::Guest;
use crate::error::{ApiError, ErrorCode};
use crate::http::extract::Json;
use crate::http::permission::{Can, Settled};
use crate::state::AppState;

const LIVES_S: i64 = 30;
const RANDOM_BYTES: usize = 32;
/// Tickets not yet used up at the same time.
const OPEN_MAX: usize = 20_000;

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

/// Tickets that are open. Kept by hash: the lookup's timing tells nothing that opens anything.
#[derive(Default)]
pub(super) struct Tickets(Mutex<HashMap<[u8; 32], (Guest, i64)>>);

impl Tickets {
    /// `None` when too many are open.
    pub(super) fn issue(&self, guest: Guest, now_micros: i64) -> Option<String> {
        let ticket = URL_SAFE_NO_PAD.encode(rand::random::<[u8; RANDOM_BYTES]>());
        let mut open = self.0.lock();
        if open.len() >= OPEN_MAX {
            open.retain(|_, (_, until)| *until > now_micros);
        }
        if open.len() >= OPEN_MAX {
            return None;
        }
        open.insert(hash(&ticket), (guest, now_micros + LIVES_S * 1_000_000));
        Some(ticket)
    }

    /// Whose it is; it opens nothing any more, whatever the answer.
    pub(super) fn redeem(&self, ticket: &str, now_micros: i64) -> Option<Guest> {
        let (guest, until) = self.0.lock().remove(&hash(ticket))?;
        (now_micros < until).then_some(guest)
    }
}

fn hash(ticket: &str) -> [u8; 32] {
    Sha256::digest(ticket.as_bytes()).into()
}
