//! Catching a panic with its message and place.
//!
//! One process-wide hook notes both in a thread-local while supervised code runs, and stays silent: whoever handles
//! the failure logs it, once. Outside supervised code the previous hook speaks as before. No backtrace is taken:
//! resolving symbols stalls a worker for seconds.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

/// What a panic said and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanicReport {
    /// The panic's message.
    pub message: String,
    /// `file:line` of the panic, empty when unknown.
    pub location: String,
}

thread_local! {
    static SUPERVISED: Cell<u32> = const { Cell::new(0) };
    static LAST: RefCell<Option<PanicReport>> = const { RefCell::new(None) };
}

static INSTALLED: Once = Once::new();

/// Installs the hook; further calls do nothing.
pub(crate) fn install() {
    INSTALLED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if SUPERVISED.try_with(Cell::get).unwrap_or(0) == 0 {
                return previous(info);
            }
            let report = describe(info);
            let _ = LAST.try_with(|last| last.replace(Some(report)));
        }));
    });
}

/// Runs `f`; a panic in it comes back as a report.
pub(crate) fn contain<T>(f: impl FnOnce() -> T) -> Result<T, PanicReport> {
    let depth = SUPERVISED.get();
    SUPERVISED.set(depth + 1);
    let outcome = catch_unwind(AssertUnwindSafe(f));
    SUPERVISED.set(depth);
    outcome.map_err(|payload| {
        let noted = LAST.with_borrow_mut(Option::take);
        let report = noted.unwrap_or_else(|| PanicReport {
            message: text(payload.as_ref()),
            location: String::new(),
        });
        // A payload may itself panic when dropped.
        let _ = catch_unwind(AssertUnwindSafe(move || drop(payload)));
        report
    })
}

fn describe(info: &PanicHookInfo<'_>) -> PanicReport {
    PanicReport {
        message: text(info.payload()),
        location: info
            .location()
            .map(|place| format!("{}:{}", place.file(), place.line()))
            .unwrap_or_default(),
    }
}

fn text(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "panic without a message".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_and_place_are_kept() {
        install();
        let report = contain(|| panic!("broken {}", 7)).unwrap_err();
        assert_eq!(report.message, "broken 7");
        assert!(report.location.contains("panics.rs:"), "{report:?}");
        assert_eq!(contain(|| 5), Ok(5));
    }

    #[test]
    fn a_payload_without_text_is_still_a_report() {
        install();
        let report = contain(|| std::panic::panic_any(17u8)).unwrap_err();
        assert_eq!(report.message, "panic without a message");
    }
}
