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

/// Places in a thread's memory; a power of two.
const PLACES: usize = 128;
/// Names in one place, so that those of one client do not drive each other out.
const ROOM: usize = 4;
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
        #[cfg(test)]
        tests::MADE.set(tests::MADE.get() + 1);
        let known = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some(Self {
            server: ServerName::from_bytes(known.as_str().as_bytes()).ok()?,
            goes_up: headers::goes_up(known.as_str()),
            goes_down: headers::goes_down(known.as_str()),
            name: known,
        })
    }
}

/// The names of one place, the one that was made last before the others.
type Place = [Option<Known>; ROOM];

/// Shows `then` what is known of a name, whatever its case; `None` when it is no name by HTTP's rules.
pub(super) fn with<R>(name: &str, then: impl FnOnce(&Known) -> R) -> Option<R> {
    thread_local! {
        static MET: RefCell<Vec<Place>> = const { RefCell::new(Vec::new()) };
    }
    if name.len() > LONGEST {
        return Known::make(name).as_ref().map(then);
    }
    MET.with_borrow_mut(|met| {
        if met.is_empty() {
            met.resize_with(PLACES, Place::default);
        }
        let place = &mut met[place_of(name.as_bytes())];
        let fits = |known: &Option<Known>| known.as_ref().is_some_and(|k| k.name.as_str() == name);
        let at = match place.iter().position(fits) {
            Some(at) => at,
            None => {
                let made = Known::make(name)?;
                place.rotate_right(1);
                place[0] = Some(made);
                0
            }
        };
        place[at].as_ref().map(then)
    })
}

/// Of all of the name: those that one client sends often differ only in the middle (`x-stainless-package-version`,
/// `x-stainless-runtime-version`).
fn place_of(name: &[u8]) -> usize {
    let mixed = name.chunks(8).fold(name.len() as u64, |mixed, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        (mixed.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    (mixed >> 48) as usize % PLACES
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

    /// What SDKs send and providers answer, all of it in one memory.
    const USUAL: &str = "x-stainless-lang x-stainless-package-version x-stainless-os x-stainless-arch x-stainless-runtime \
        x-stainless-runtime-version x-stainless-async x-stainless-retry-count x-stainless-read-timeout x-stainless-timeout \
        x-stainless-raw-response x-stainless-helper-method anthropic-version anthropic-beta x-api-key openai-organization \
        openai-project idempotency-key x-request-id openai-processing-ms openai-version x-ratelimit-limit-requests \
        x-ratelimit-limit-tokens x-ratelimit-remaining-requests x-ratelimit-remaining-tokens x-ratelimit-reset-requests \
        x-ratelimit-reset-tokens cf-cache-status cf-ray anthropic-ratelimit-requests-limit anthropic-ratelimit-tokens-limit \
        anthropic-ratelimit-requests-remaining anthropic-ratelimit-tokens-remaining anthropic-ratelimit-requests-reset \
        anthropic-ratelimit-tokens-reset anthropic-organization-id request-id x-envoy-upstream-service-time";

    thread_local! {
        pub(super) static MADE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    #[test]
    fn names_of_one_call_do_not_drive_each_other_out() {
        let meet = || {
            USUAL
                .split_whitespace()
                .for_each(|name| assert!(with(name, |_| ()).is_some()))
        };
        meet();
        let made = MADE.get();
        meet();
        assert_eq!(MADE.get(), made);
        assert!(with("x-never-met-before", |_| ()).is_some());
        assert_eq!(MADE.get(), made + 1);
    }
}
