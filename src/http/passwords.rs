//! Passwords: made into what is stored, checked, and refused when they are too weak.
//!
//! argon2id takes memory and time on purpose, so few run at once and never on a worker of the HTTP front.
//! How often somebody may try is not decided here.

use actix_web::web;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use crate::error::{ApiError, ErrorCode};
use crate::memory;

/// Passwords worked on at the same time: each takes 19 MiB.
const AT_ONCE: usize = 2;
/// Shortest password an operator may choose, in characters.
pub const MIN_CHARS: usize = 8;
/// Longest, in bytes: the hash would take more, a request should not.
pub const MAX_BYTES: usize = 1_024;

const ALPHABET: &[u8; 54] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ234567";
const GENERATED_CHARS: usize = 20;

/// One per process.
pub struct Passwords {
    running: Semaphore,
    /// Checked instead of a hash that is not there, so that an unknown name takes as long as a wrong password.
    decoy: tokio::sync::OnceCell<String>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            running: Semaphore::new(AT_ONCE),
            decoy: tokio::sync::OnceCell::new(),
        }
    }
}

impl Passwords {
    /// Whether `password` is the one that `hash` was made of; without a hash it takes as long and is false.
    ///
    /// # Errors
    /// When the check itself fails.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, ApiError> {
        let known = hash.is_some();
        let hash = match hash {
            Some(hash) => hash.to_owned(),
            None => {
                let decoy = self
                    .decoy
                    .get_or_try_init(|| async { self.hash(&generate()).await });
                decoy.await?.clone()
            }
        };
        let password = password.to_owned();
        let matches = self.off_worker(move || verify(&password, &hash)).await?;
        Ok(matches && known)
    }

    /// The PHC string to store for `password`.
    ///
    /// # Errors
    /// When hashing fails.
    pub async fn hash(&self, password: &str) -> Result<String, ApiError> {
        let password = password.to_owned();
        self.off_worker(move || hash(&password))
            .await?
            .ok_or_else(|| ApiError::internal("a password could not be hashed"))
    }

    async fn off_worker<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let _permit = self.running.acquire().await.map_err(ApiError::internal)?;
        web::block(work).await.map_err(ApiError::internal)
    }
}

/// The PHC string (argon2id) to store for `password`. Blocks for tens of milliseconds; `None` when hashing
/// fails.
pub fn hash(password: &str) -> Option<String> {
    let hash = Argon2::default()
        .hash_password(password.as_bytes())
        .ok()
        .map(|hash| hash.to_string());
    memory::return_freed();
    hash
}

fn verify(password: &str, hash: &str) -> bool {
    let matches = PasswordHash::new(hash).is_ok_and(|parsed| {
        Argon2::default()
            .verify_password(password.as_bytes(), &parsed)
            .is_ok()
    });
    memory::return_freed();
    matches
}

/// A password for somebody who will change it: 115 random bits, no characters that look alike.
pub fn generate() -> String {
    (0..GENERATED_CHARS)
        .map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())]))
        .collect()
}

/// Refuses a password that must not be chosen for `username`.
///
/// # Errors
/// `password_weak`, naming `field`.
pub fn check_choice(password: &str, username: &str, field: &str) -> Result<(), ApiError> {
    let weak = |message: String| Err(ApiError::new(ErrorCode::PasswordWeak).field(field, message));
    if password.chars().count() < MIN_CHARS {
        return weak(format!("must have at least {MIN_CHARS} characters"));
    }
    if password.len() > MAX_BYTES {
        return weak(format!("must have at most {MAX_BYTES} bytes"));
    }
    if password.eq_ignore_ascii_case(username) {
        return weak("must differ from the user name".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn a_password_is_known_by_its_hash_and_an_unknown_name_by_nothing() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse").await.unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(
            passwords
                .verify("correct horse", Some(&hash))
                .await
                .unwrap()
        );
        assert!(!passwords.verify("wrong", Some(&hash)).await.unwrap());
        assert!(!passwords.verify("wrong", Some("garbage")).await.unwrap());
        assert!(!passwords.verify("anything", None).await.unwrap());
    }

    #[test]
    fn weak_choices_are_refused() {
        assert!(check_choice("long enough", "ada", "password").is_ok());
        for bad in ["", "short", "administrator", &"x".repeat(1_025)] {
            assert!(
                check_choice(bad, "Administrator", "password").is_err(),
                "{bad}"
            );
        }
    }
}
