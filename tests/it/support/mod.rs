//! What every test stands on: the application under test, clients for it, its database, waiting.

pub mod app;
pub mod calls;
pub mod client;
pub mod control;
pub mod database;
pub mod raw;
pub mod stores;

use std::time::{Duration, Instant};

pub use app::{App, Setup};
pub use client::Answer;

/// Far longer than anything here takes on an idle machine; only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again until the answer is there; panics with `what` when it does not come in [`PATIENCE`].
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain: {what}"
        );
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}
