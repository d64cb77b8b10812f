//! Header names, made once: the server speaks `http` 0.2, the client `http` 1, and between them every name of
//! every call would be parsed and copied anew, and looked up in the lists of what crosses the gateway.
//!
//! Each thread remembers the names it has met, with what the lists say of them. The memory is small and of
//! fixed size; whoever sends names nobody has met pays for making them, as without it. It knows no policy:
//! the lists are [`headers`](super::headers)'.

use std::cell::RefCell;

use actix_web::http::header::HeaderName as ServerName;
use http::header::HeaderName;

use super::headers;

/// Names remembered by a thread; a power of two.
const SLOTS: usize = 256;
/// Longer names are made each time.
const LONGEST: usize = 64;

/// A name in both libraries' terms and what becomes of its header.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) name: HeaderName,
    pub(super) server: ServerName,
    /// Whether a client's header of this name goes to the provider.
    pub(super) goes_up: bool,
    /// Whether a provider's header of this name goes to the client.
    pub(super) goes_down: bool,
}

impl Known {
    /// `None` when it is no name by HTTP's rules.
    fn make(name: &str) -> Option<Self> {
        let known = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some(Self {
            server: ServerName::from_bytes(known.as_str().as_bytes()).ok()?,
            goes_up: headers::goes_up(known.as_str()),
            goes_down: headers::goes_down(known.as_str()),
            name: known,
        })
    }
}

/// Shows `then` what is known of a name, whatever its case; `None` when it is no name by HTTP's rules.
pub(super) fn with<R>(name: &str, then: impl FnOnce(&Known) -> R) -> Option<R> {
    thread_local! {
        static MET: RefCell<Vec<Option<Known>>> = const { RefCell::new(Vec::new()) };
    }
    if name.len() > LONGEST {
        return Known::make(name).as_ref().map(then);
    }
    MET.with_borrow_mut(|met| {
        if met.is_empty() {
            met.resize_with(SLOTS, || None);
        }
        let slot = &mut met[slot_of(name.as_bytes())];
        let fits = |known: &Known| known.name.as_str() == name;
        if !slot.as_ref().is_some_and(fits) {
            *slot = Some(Known::make(name)?);
        }
        slot.as_ref().map(then)
    })
}

/// Length, beginning and end tell the names of HTTP apart well enough.
fn slot_of(name: &[u8]) -> usize {
    let word = |bytes: &[u8]| {
        let mut word = [0; 8];
        let len = bytes.len().min(8);
        word[..len].copy_from_slice(&bytes[..len]);
        u64::from_le_bytes(word)
    };
    let ends = word(name) ^ word(&name[name.len().saturating_sub(8)..]).rotate_left(29);
    let mixed = (ends ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 48) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_remembered_is_what_would_be_made(names in prop::collection::vec("[a-zA-Z0-9!#$_-]{1,12}|[ -~]{0,5}|x-stainless-[a-z]{1,60}|authorization|Host|te|set-cookie|x-steward-a", 1..400)) {
            for name in &names {
                let made = Known::make(name);
                let seen = with(name, Known::clone);
                prop_assert_eq!(made.is_some(), seen.is_some());
                if let (Some(made), Some(seen)) = (made, seen) {
                    prop_assert_eq!(&made.name, &seen.name);
                    prop_assert_eq!(made.server.as_str(), seen.server.as_str());
                    prop_assert_eq!((made.goes_up, made.goes_down), (seen.goes_up, seen.goes_down));
                    prop_assert_eq!(seen.name.as_str(), name.to_ascii_lowercase());
                }
            }
        }
    }
}
