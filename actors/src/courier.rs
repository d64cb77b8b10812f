//! Whoever carries a notice out of the house: an HTTP client that refuses addresses it must not call, a mail relay.
//!
//! The front is one, since it owns what leaves the machine; tests are another. No retries here, and no judgement: an
//! answer is brought back as it was given.

use std::fmt;

use async_trait::async_trait;

use crate::domain::notice::email::Mail;

/// A POST of JSON.
#[derive(Clone)]
pub struct Parcel {
    /// May hold a robot's key: never for logs.
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parcel").finish_non_exhaustive()
    }
}

/// What the other side answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Status of HTTP, or reply code of SMTP.
    pub status: u16,
    pub retry_after: Option<String>,
    /// Its beginning.
    pub body: Vec<u8>,
}

/// See the module.
#[async_trait]
pub trait Courier: fmt::Debug + Send + Sync + 'static {
    /// Posts; takes at most fifteen seconds.
    ///
    /// # Errors
    /// Why there is no answer, in words that hold no secret.
    async fn post(&self, parcel: Parcel) -> Result<Answered, String>;

    /// Sends a mail to its recipients, all or none; takes at most thirty seconds.
    ///
    /// # Errors
    /// Why there is no answer, in words that hold no secret.
    async fn mail(&self, mail: &Mail, to: &[String]) -> Result<Answered, String>;

    /// Where the mail relay is, `host:port`; none where no mail is sent.
    fn relay(&self) -> Option<&str> {
        None
    }

    /// Whether the relay answers and lets us in; no mail is sent.
    ///
    /// # Errors
    /// Why not, in words that hold no secret.
    async fn greet_relay(&self) -> Result<(), String> {
        Ok(())
    }

    /// The right half of mails' ids.
    fn mail_domain(&self) -> &str;
}
