//! What an operator may do, and how a handler demands it: `caller: Can<WriteTokens>` in its signature.
//!
//! A permission is `read:<resource>` or `write:<resource>`. A role holds a list of patterns; one
//! with a leading `!` takes away, whatever the others give. Tenants narrow what is seen,
//! not what may be done; that is the query's business.

use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use steward_entities::role;

use super::caller::{Caller, authenticate};
use crate::error::{ApiError, ErrorCode};

/// Something a handler demands of whoever calls it.
pub trait Permission: 'static {
    /// The permission's name; `None` when being signed in suffices.
    const NAME: Option<&'static str>;
    /// Whether somebody may call who has yet to choose a password of their own.
    const WITH_A_GIVEN_PASSWORD: bool = false;
}

/// Being signed in with a password of one's own is enough.
#[derive(Debug)]
pub struct Settled;

impl Permission for Settled {
    const NAME: Option<&'static str> = None;
}

/// Being signed in is enough, also with a password that somebody else chose: what it takes to change it.
#[derive(Debug)]
pub struct SignedIn;

impl Permission for SignedIn {
    const NAME: Option<&'static str> = None;
    const WITH_A_GIVEN_PASSWORD: bool = true;
}

macro_rules! permissions {
    ($($read:ident, $write:ident = $resource:literal;)*) => {
        /// Every resource that permissions are given on.
        pub const RESOURCES: &[&str] = &[$($resource),*];
        $(
            #[doc = concat!("`read:", $resource, "`")]
            #[derive(Debug)]
            pub struct $read;
            impl Permission for $read {
                const NAME: Option<&'static str> = Some(concat!("read:", $resource));
            }
            #[doc = concat!("`write:", $resource, "`")]
            #[derive(Debug)]
            pub struct $write;
            impl Permission for $write {
                const NAME: Option<&'static str> = Some(concat!("write:", $resource));
            }
        )*
    };
}

permissions! {
    ReadTokens, WriteTokens = "tokens";
    ReadAccounts, WriteAccounts = "accounts";
    ReadTenants, WriteTenants = "tenants";
    ReadPrices, WritePrices = "prices";
    ReadLogs, WriteLogs = "logs";
    ReadStats, WriteStats = "stats";
    ReadConversations, WriteConversations = "conversations";
    ReadFeedback, WriteFeedback = "feedback";
    ReadPrompts, WritePrompts = "prompts";
    ReadKnowledge, WriteKnowledge = "knowledge";
    ReadTemplates, WriteTemplates = "templates";
    ReadAlerts, WriteAlerts = "alerts";
    ReadNotifications, WriteNotifications = "notifications";
    ReadReports, WriteReports = "reports";
    ReadBackups, WriteBackups = "backups";
    ReadSettings, WriteSettings = "settings";
    ReadSupervision, WriteSupervision = "supervision";
    ReadJobs, WriteJobs = "jobs";
    ReadOperators, WriteOperators = "operators";
    ReadRoles, WriteRoles = "roles";
    ReadAudit, WriteAudit = "audit";
}

/// Whoever calls, with the permission `P` proven. Dereferences to the [`Caller`].
#[derive(Debug)]
pub struct Can<P> {
    caller: Caller,
    permission: PhantomData<P>,
}

impl<P> Deref for Can<P> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl<P: Permission> FromRequest for Can<P> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let caller = authenticate(&request).await?;
            if caller.operator.must_change_password && !P::WITH_A_GIVEN_PASSWORD {
                return Err(ApiError::new(ErrorCode::PasswordChangeRequired));
            }
            permitted::<P>(&caller)?;
            Ok(Self {
                caller,
                permission: PhantomData,
            })
        })
    }
}

/// Refuses whoever has not this permission. For handlers that demand it in some cases only.
///
/// # Errors
/// `forbidden`.
pub fn permitted<P: Permission>(caller: &Caller) -> Result<(), ApiError> {
    match P::NAME {
        Some(name) if !caller.operator.permissions.allow(name) => {
            let detail = format!("It takes the permission {name}.");
            Err(ApiError::new(ErrorCode::Forbidden).detail(detail))
        }
        _ => Ok(()),
    }
}

/// A role's patterns, in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Permissions(Vec<String>);

impl Permissions {
    /// The patterns as stored.
    pub fn new(patterns: Vec<String>) -> Self {
        Self(patterns)
    }

    /// The patterns as stored.
    pub fn patterns(&self) -> &[String] {
        &self.0
    }

    /// Whether `permission` (`read:tokens`) is given.
    pub fn allow(&self, permission: &str) -> bool {
        role::allows(&self.0, permission)
    }

    /// Whether everything that `other` gives is given here too.
    pub fn include(&self, other: &Self) -> bool {
        every().all(|permission| !other.allow(&permission) || self.allow(&permission))
    }

    /// Every single permission that is given.
    pub fn effective(&self) -> Vec<String> {
        every()
            .filter(|permission| self.allow(permission))
            .collect()
    }
}

/// Whether `pattern` could stand in a role.
pub fn is_pattern(pattern: &str) -> bool {
    let pattern = pattern.strip_prefix('!').unwrap_or(pattern);
    match pattern.split_once(':') {
        None => pattern == "*",
        Some((verb, resource)) => {
            matches!(verb, "read" | "write") && (resource == "*" || RESOURCES.contains(&resource))
        }
    }
}

fn every() -> impl Iterator<Item = String> {
    RESOURCES
        .iter()
        .flat_map(|resource| [format!("read:{resource}"), format!("write:{resource}")])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(patterns: &[&str]) -> Permissions {
        Permissions::new(patterns.iter().map(|&text| text.to_owned()).collect())
    }

    #[test]
    fn the_built_in_roles() {
        let admin = role(&["*"]);
        let viewer = role(&["read:*", "!read:conversations"]);
        assert!(admin.allow("write:tokens") && admin.allow("read:conversations"));
        assert!(viewer.allow("read:tokens"));
        assert!(!viewer.allow("write:tokens") && !viewer.allow("read:conversations"));
        assert!(admin.include(&viewer) && !viewer.include(&admin));
        assert!(!role(&[]).allow("read:tokens"));
    }

    #[test]
    fn patterns_name_known_resources() {
        for good in ["*", "read:*", "write:tokens", "!read:conversations"] {
            assert!(is_pattern(good), "{good}");
        }
        for bad in [
            "",
            "!",
            "read",
            "read:",
            "delete:tokens",
            "read:tokenz",
            "re*",
            "!!read:*",
        ] {
            assert!(!is_pattern(bad), "{bad}");
        }
    }
}
