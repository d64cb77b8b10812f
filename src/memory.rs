//! Gives freed memory back to the system.
//!
//! Exists because the allocator does so only while much is allocated: in a process that came to rest, what the start, a
//! password's hash or a burst of calls took would stay resident. It frees nothing that is in use, and says nothing
//! of how much that is.

use std::convert::Infallible;
use std::time::Duration;

/// Often enough that a figure read a minute after a burst is that of a process at rest; each time costs a moment.
const EVERY: Duration = Duration::from_secs(5);

/// Gives back what is free at this moment.
#[allow(
    unsafe_code,
    reason = "the allocator's interface is C; the call takes no pointer and may be made at any time"
)]
pub(crate) fn give_back() {
    // SAFETY: nothing is passed but a flag; the function is thread-safe and has no precondition.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

/// Gives back what is free again and again, for as long as it is polled.
pub(crate) async fn keep_giving_back() -> Infallible {
    loop {
        tokio::time::sleep(EVERY).await;
        give_back();
    }
}
