//! Vector stores as their documentation describes them, in memory: what they take, what they refuse, what they answer.
//!
//! Strict where the real ones are: a body that has another shape than documented is refused. No sockets here; hosts are the
//! tests of the actors, which call it directly, and the test binary `it`, which serves it.
#![allow(dead_code)] // each of the two hosts uses a part
#![allow(unreachable_pub)] // public within its host

pub mod pinecone;
pub mod qdrant;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// A request, as far as a store looks at it.
pub struct Asked<'a> {
    pub method: &'a str,
    /// With the query.
    pub target: &'a str,
    /// Of the header that its key stands in.
    pub key: Option<&'a str>,
    pub body: &'a [u8],
}

/// A store that answers.
pub trait FakeStore: Send + Sync + 'static {
    /// The header that its key stands in.
    const KEY_HEADER: &'static str;

    fn answer(&self, asked: &Asked<'_>) -> (u16, Value);
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How near two vectors are.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
