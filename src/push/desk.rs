//! Who holds a socket, and who may go on holding it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use steward_actors::domain::clock::SharedClock;
use steward_actors::live::{Subscription, Switchboard};

use super::ticket::OPEN_MAX;
use crate::error::{ApiError, ErrorCode};
use crate::http::caller::{Caller, Via};
use crate::http::directory::{OperatorView, Table};
use crate::http::ticket::Tickets;

/// Why the server ends a session: the code of the WebSocket's close frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u16)]
pub(super) enum Closing {
    /// The process is going down: come back in a moment.
    GoingAway = 1001,
    /// The client sent something too large.
    TooLarge = 1009,
    /// Signed out, disabled, or given another role: a new ticket tells what still holds.
    StandingChanged = 4401,
    /// No sign of life.
    Silent = 4408,
    /// It asks and does not read the answers.
    Unread = 4429,
}

impl Closing {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::GoingAway => "the server is going down",
            Self::TooLarge => "the message is too large",
            Self::StandingChanged => "the session or the role has changed",
            Self::Silent => "no sign of life",
            Self::Unread => "the answers are not read",
        }
    }
}

/// Somebody with a ticket or a socket, as they stood when they asked for the ticket.
#[derive(Clone)]
pub(super) struct Guest {
    pub(super) operator: Arc<OperatorView>,
    via: Via,
}

impl Guest {
    pub(super) fn of(caller: &Caller) -> Self {
        Self {
            operator: Arc::clone(&caller.operator),
            via: caller.via.clone(),
        }
    }

    fn still_stands(&self, table: &Table, now_micros: i64) -> bool {
        let Some(now) = table.by_public_id(&self.operator.public_id) else {
            return false;
        };
        let same = now.enabled
            && now.epoch == self.operator.epoch
            && now.role == self.operator.role
            && now.permissions == self.operator.permissions
            && now.tenant_id == self.operator.tenant_id;
        same && match &self.via {
            Via::Session(_) => true,
            Via::Key(id) => table.is_open(id, now_micros),
        }
    }
}

struct Place {
    guest: Guest,
    /// Code of the close frame; 0 while all is well.
    closing: AtomicU16,
}

/// A place at the desk: one socket. Dropped, it is free again.
pub(super) struct Seat {
    desk: Arc<Desk>,
    number: u64,
    place: Arc<Place>,
}

impl Seat {
    pub(super) fn operator(&self) -> &OperatorView {
        &self.place.guest.operator
    }

    pub(super) fn still_stands(&self, table: &Table, now_micros: i64) -> bool {
        self.place.guest.still_stands(table, now_micros)
    }

    /// Set when the server wants the session to end.
    pub(super) fn closing(&self) -> Option<Closing> {
        let code = self.place.closing.load(Ordering::Acquire);
        [Closing::GoingAway, Closing::StandingChanged]
            .into_iter()
            .find(|closing| *closing as u16 == code)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.desk.places.lock().remove(&self.number);
    }
}

/// See the module. One per process.
pub struct Desk {
    board: Arc<Switchboard>,
    clock: SharedClock,
    heartbeat: Duration,
    pub(super) tickets: Tickets<Guest>,
    places: Mutex<HashMap<u64, Arc<Place>>>,
    next: AtomicU64,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk")
            .field("sessions", &self.sessions())
            .finish_non_exhaustive()
    }
}

impl Desk {
    /// Nobody is there yet. Sessions are asked for a sign of life every `heartbeat`.
    pub fn new(board: Arc<Switchboard>, clock: SharedClock, heartbeat: Duration) -> Arc<Self> {
        Arc::new(Self {
            board,
            clock,
            heartbeat,
            tickets: Tickets::new(OPEN_MAX),
            places: Mutex::new(HashMap::new()),
            next: AtomicU64::new(1),
        })
    }

    /// Open sockets.
    pub fn sessions(&self) -> usize {
        self.places.lock().len()
    }

    pub(super) fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    pub(super) fn subscribe(&self) -> Subscription {
        self.board.subscribe()
    }

    /// Uses up a ticket.
    ///
    /// # Errors
    /// `ticket_invalid`.
    pub(super) fn admit(self: &Arc<Self>, ticket: &str) -> Result<Seat, ApiError> {
        let guest = self
            .tickets
            .redeem(ticket, self.clock.now_micros())
            .ok_or_else(|| ApiError::new(ErrorCode::TicketInvalid))?;
        let place = Arc::new(Place {
            guest,
            closing: AtomicU16::new(0),
        });
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.places.lock().insert(number, Arc::clone(&place));
        Ok(Seat {
            desk: Arc::clone(self),
            number,
            place,
        })
    }

    /// Ends the sessions of everybody who does not stand in `table` as they stood when they came.
    pub fn review(&self, table: &Table) {
        let now = self.clock.now_micros();
        self.close(Closing::StandingChanged, |guest| {
            !guest.still_stands(table, now)
        });
    }

    /// Ends every session: the process is going down.
    pub fn close_all(&self) {
        self.close(Closing::GoingAway, |_| true);
    }

    fn close(&self, closing: Closing, whom: impl Fn(&Guest) -> bool) {
        let mut any = false;
        for place in self.places.lock().values() {
            if whom(&place.guest) {
                place.closing.store(closing as u16, Ordering::Release);
                any = true;
            }
        }
        if any {
            self.board.ring();
        }
    }
}
