//! Where a channel leads to, and what signs for it. Kept sealed: the address of a chat robot is a secret by itself.

use std::fmt;

use serde::{Deserialize, Serialize};
use steward_entities::channel;
use zeroize::Zeroizing;

use crate::courier::Parcel;
use crate::domain::notice::body::Post;
use crate::domain::notice::standard_webhooks::{Secret, signature};
use crate::domain::notice::{Kind, Notice, body};
use crate::domain::report::letter::Letter;
use crate::vault::{CHANNEL_ADDRESS, Place, Sealed, Vault, VaultError};

/// A shorter one says nothing, and would be found in any text.
const SECRET_MIN: usize = 6;
/// Words such as `services` or `robot` are no secrets.
const PART_MIN: usize = 16;

/// See the module. `Debug` shows nothing of it.
#[derive(Clone, Default, Deserialize, Serialize)]
pub struct Address {
    /// Empty for a channel by mail.
    pub url: String,
    /// A signing secret, a robot's, or a routing key.
    pub secret: Option<String>,
    /// The signing secret before, while receivers change over.
    pub previous: Option<String>,
    /// Until when it signs as well, microseconds since the Unix epoch.
    pub previous_until: Option<i64>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Why a channel's address cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error("the sealed address is none")]
    Damaged,
}

impl Address {
    /// Seals it for the channel of that public id.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn seal(&self, vault: &Vault, public_id: &str) -> Result<Sealed, AddressError> {
        let text = serde_json::to_vec(self).map_err(|_| AddressError::Damaged)?;
        let text = Zeroizing::new(text);
        Ok(vault.seal(CHANNEL_ADDRESS, Place::channel_address(public_id), &text)?)
    }

    /// Opens a channel's.
    ///
    /// # Errors
    /// When the key is gone, or the value was changed.
    pub fn open(vault: &Vault, row: &channel::Model) -> Result<Self, AddressError> {
        let place = Place::channel_address(&row.public_id);
        let text = vault.unseal(CHANNEL_ADDRESS, place, &row.sealed_key_id, &row.sealed.0)?;
        serde_json::from_slice(&text).map_err(|_| AddressError::Damaged)
    }

    /// `text` without what is secret here: receivers say back what they were sent. Of the address that is all but the host,
    /// and its longer parts by themselves.
    pub fn hide(&self, text: &str) -> String {
        let tail = self.url.split_once("://").map_or("", |(_, rest)| rest);
        let tail = tail.split_once(['/', '?']).map_or("", |(_, tail)| tail);
        let parts = tail.split(['/', '?', '&', '=', '#']);
        let parts = parts.filter(|part| part.len() >= PART_MIN);
        let secrets = [self.secret.as_deref(), self.previous.as_deref(), Some(tail)];
        let secrets = secrets.into_iter().flatten().chain(parts);
        let mut secrets: Vec<&str> = secrets
            .filter(|secret| secret.len() >= SECRET_MIN)
            .collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }

    /// What is posted to tell `notices` there at `now`; nothing when there are none.
    pub fn parcel(&self, kind: Kind, notices: &[Notice], now: i64) -> Option<Parcel> {
        let first = notices.first()?;
        let post = body::write_several(kind, &self.url, self.secret.as_deref(), notices, now)?;
        Some(self.sealed(kind, post, &first.id, now))
    }

    /// What is posted to tell a report there at `now`, as the message `id`; nothing where reports are not taken.
    pub fn report(&self, kind: Kind, id: &str, letter: &Letter, now: i64) -> Option<Parcel> {
        let post = body::write_report(kind, &self.url, self.secret.as_deref(), letter, now)?;
        Some(self.sealed(kind, post, id, now))
    }

    /// With the headers that its kind of receiver wants.
    fn sealed(&self, kind: Kind, post: Post, id: &str, now: i64) -> Parcel {
        let body = post.body.to_string();
        let mut headers = vec![("content-type", "application/json".to_owned())];
        if kind == Kind::Webhook {
            let seconds = now / 1_000_000;
            let previous = self
                .previous
                .as_ref()
                .filter(|_| self.previous_until.is_some_and(|until| now < until));
            let secrets: Vec<Secret> = self
                .secret
                .iter()
                .chain(previous)
                .filter_map(|text| Secret::parse(text))
                .collect();
            let signed = signature(&secrets, id, seconds, body.as_bytes());
            headers.push(("webhook-id", id.to_owned()));
            headers.push(("webhook-timestamp", seconds.to_string()));
            headers.push(("webhook-signature", signed));
        }
        Parcel {
            url: post.url,
            headers,
            body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_receivers_say_back_is_hidden() {
        let address = Address {
            url: "https://hooks.example.com/services/T01/B02/kPq8Zr2LmW9xTb4V?token=abcdefghijklmnopqrst".into(),
            secret: Some("whsec_c2VjcmV0".into()),
            previous: Some("whsec_YmVmb3Jl".into()),
            previous_until: None,
        };
        for (said, kept) in [
            (
                "404: https://hooks.example.com/services/T01/B02/kPq8Zr2LmW9xTb4V?token=abcdefghijklmnopqrst",
                "404: https://hooks.example.com/***",
            ),
            ("no hook kPq8Zr2LmW9xTb4V", "no hook ***"),
            ("bad token abcdefghijklmnopqrst", "bad token ***"),
            (
                "expected whsec_c2VjcmV0, had whsec_YmVmb3Jl",
                "expected ***, had ***",
            ),
            (
                "services are down at hooks.example.com",
                "services are down at hooks.example.com",
            ),
        ] {
            assert_eq!(address.hide(said), kept);
        }
        // By mail there is no address, and a short path is no secret.
        assert_eq!(Address::default().hide("as it is"), "as it is");
    }
}
