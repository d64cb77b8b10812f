//! Whoever makes calls out of the house to addresses that operators set: an HTTP client and a resolver, neither of which
//! reaches an address that must not be called.
//!
//! The front is one, since it owns what leaves the machine; tests are another. No retries here, and no judgement: an
//! answer is brought back as it was given. Notices leave by [`crate::courier`].

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

/// A call.
#[derive(Clone)]
pub struct Call {
    /// In capitals.
    pub method: &'static str,
    pub url: String,
    /// Names in small letters. They hold secrets: never for logs.
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    /// For all of it, the answer's last byte included.
    pub within: Duration,
    /// Of the answer, so much is read; longer ones are cut.
    pub answer_max_bytes: usize,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// What the other side answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: Bytes,
}

/// See the module.
#[async_trait]
pub trait Outward: fmt::Debug + Send + Sync + 'static {
    /// Makes a call. Redirects are not followed.
    ///
    /// # Errors
    /// Why there is no answer, in words that hold no secret.
    async fn call(&self, call: Call) -> Result<Reply, String>;

    /// Addresses of a host to which a connection of another kind may be opened now.
    ///
    /// # Errors
    /// That it does not resolve, or leads to an address that is never called.
    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String>;
}
