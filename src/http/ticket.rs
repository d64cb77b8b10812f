//! Tickets: what opens one thing, once, within half a minute. In memory, of this process.
//!
//! For what a browser opens by an address alone (a socket, a download): an access token in an address ends up in logs.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

/// How long a ticket lives.
pub const LIVES_S: i64 = 30;
const RANDOM_BYTES: usize = 32;

/// Tickets that are open, and what each is for. Kept by hash: the lookup's timing tells nothing that opens anything.
pub struct Tickets<T> {
    open: Mutex<HashMap<[u8; 32], (T, i64)>>,
    open_max: usize,
}

impl<T> Tickets<T> {
    /// None yet, and never more than `open_max` not used up at the same time.
    pub fn new(open_max: usize) -> Self {
        Self {
            open: Mutex::new(HashMap::new()),
            open_max,
        }
    }

    /// `None` when too many are open.
    pub fn issue(&self, what: T, now_micros: i64) -> Option<String> {
        let ticket = URL_SAFE_NO_PAD.encode(rand::random::<[u8; RANDOM_BYTES]>());
        let mut open = self.open.lock();
        if open.len() >= self.open_max {
            open.retain(|_, (_, until)| *until > now_micros);
        }
        if open.len() >= self.open_max {
            return None;
        }
        open.insert(hash(&ticket), (what, now_micros + LIVES_S * 1_000_000));
        Some(ticket)
    }

    /// What it is for; it opens nothing any more, whatever the answer.
    pub fn redeem(&self, ticket: &str, now_micros: i64) -> Option<T> {
        let (what, until) = self.open.lock().remove(&hash(ticket))?;
        (now_micros < until).then_some(what)
    }
}

fn hash(ticket: &str) -> [u8; 32] {
    Sha256::digest(ticket.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_opens_once_and_not_for_long() {
        let tickets = Tickets::new(2);
        let first = tickets.issue("a", 0).unwrap();
        let second = tickets.issue("b", 0).unwrap();
        assert_eq!(tickets.issue("c", 1), None, "too many are open");
        assert_eq!(tickets.redeem(&first, 1), Some("a"));
        assert_eq!(tickets.redeem(&first, 1), None);
        assert_eq!(tickets.redeem("", 1), None);
        assert_eq!(tickets.redeem(&second, LIVES_S * 1_000_000), None);
        // What nobody used makes room.
        tickets.issue("d", 0).unwrap();
        tickets.issue("e", 0).unwrap();
        assert!(tickets.issue("f", LIVES_S * 1_000_000).is_some());
    }
}
