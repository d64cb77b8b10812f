//! Providers: whether they are reached, take the credential, and how fast, by asking for the list of models.
//!
//! That costs no model tokens. A refused credential is an account that is reached and needs care, not one that is down;
//! a provider that has no such list is reached all the same.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Weak;

use async_trait::async_trait;
use http::Uri;
use steward_actors::domain::health::{Component, Finding, Kind, Seen, Traffic};
use steward_actors::domain::snapshot::{AccountView, Protocol};
use steward_actors::health::Probe;
use steward_actors::health::UPLINK;

use super::dial::{self, Unseen};
use crate::gateway::{dialect, headers};
use crate::state::AppState;

pub(super) struct Accounts(pub(super) Weak<AppState>);

#[async_trait]
impl Probe for Accounts {
    fn components(&self) -> Vec<Component> {
        let Some(state) = self.0.upgrade() else {
            return Vec::new();
        };
        let snapshot = state.snapshot.load();
        let enabled = snapshot.accounts.iter().filter(|account| account.enabled);
        enabled.map(|account| component(account)).collect()
    }

    async fn look(&self, component: &Component) -> Finding {
        let Some(state) = self.0.upgrade() else {
            return Finding::of(Seen::Nothing);
        };
        let account = {
            let snapshot = state.snapshot.load();
            let of_id =
                |account: &&std::sync::Arc<AccountView>| Some(account.id) == component.account_id;
            snapshot.accounts.iter().find(of_id).cloned()
        };
        match account {
            Some(account) => look(&state, &account).await,
            None => Finding::of(Seen::Nothing),
        }
    }

    fn traffic(&self, component: &Component) -> Traffic {
        match (self.0.upgrade(), component.account_id) {
            (Some(state), Some(id)) => state.gateway.accounts().traffic(id),
            _ => Traffic::default(),
        }
    }
}

fn component(account: &AccountView) -> Component {
    let mut hasher = DefaultHasher::new();
    (&account.base_url, account.secret.reveal(), account.protocol).hash(&mut hasher);
    let outside = outside(&account.base_url);
    let component = Component {
        name: account.name.clone(),
        account_id: Some(account.id),
        version: hasher.finish().cast_signed(),
        ..Component::own(format!("account:{}", account.public_id), Kind::Account)
    };
    match outside {
        Some(_) => Component {
            outside,
            ..component.below(UPLINK)
        },
        None => component,
    }
}

/// `host:port` of an address that is reached over our line to the outside; `None` for neighbours and this machine.
pub(super) fn outside(base_url: &str) -> Option<String> {
    let uri: Uri = base_url.parse().ok()?;
    let host = uri.host()?.to_ascii_lowercase();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_near = match bare.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => {
            address.is_private() || address.is_loopback() || address.is_link_local()
        }
        Ok(IpAddr::V6(address)) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
        Err(_) => {
            !bare.contains('.')
                || [".local", ".internal", ".lan", ".localhost"]
                    .iter()
                    .any(|ending| bare.ends_with(ending))
        }
    };
    let default = if uri.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    (!is_near).then(|| format!("{host}:{}", uri.port_u16().unwrap_or(default)))
}

async fn look(state: &AppState, account: &AccountView) -> Finding {
    let sent = headers::to_upstream(std::iter::empty(), account.protocol, &account.secret, true);
    let Ok(sent) = sent else {
        return Finding::of(Seen::Impaired).because(
            "upstream_credential",
            "The secret cannot be sent in a header.",
        );
    };
    let mut url = dialect::upstream_models_url(account);
    if account.protocol == Protocol::Anthropic {
        url.push_str("?limit=1");
    }
    let down = |code, cause: &Unseen| Finding::of(Seen::Down).because(code, cause.to_string());
    match dial::get(state.gateway.tls(), &url, sent).await {
        Ok(seen) => Finding {
            latency_ms: Some(seen.latency_ms),
            certificate_expires_at: seen.certificate_expires_at,
            ..judged(seen.status)
        },
        Err(cause @ Unseen::Unreachable(_)) => Finding {
            is_unreachable: true,
            ..down("upstream_unreachable", &cause)
        },
        Err(cause @ Unseen::Tls(_)) => down("tls_failed", &cause),
        Err(cause @ Unseen::Broken(_)) => down("upstream_broken", &cause),
        Err(cause @ Unseen::Refused) => down("egress_refused", &cause),
        Err(cause @ Unseen::BadAddress) => down("bad_address", &cause),
    }
}

/// What a provider's status says of the account.
fn judged(status: u16) -> Finding {
    let said = format!("The provider answered {status}.");
    match status {
        401 | 403 => Finding::of(Seen::Impaired).because(
            "upstream_credential",
            format!("The provider is reached and refuses the credential ({status})."),
        ),
        429 => Finding::of(Seen::Impaired).because("upstream_limited", said),
        300..=399 => Finding::of(Seen::Impaired).because("upstream_redirects", said),
        500.. => Finding::of(Seen::Down).because("upstream_error", said),
        // It was understood, or there is no such list: somebody is there and answers.
        _ => Finding::up(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_credential_is_not_down_and_a_missing_list_is_well() {
        for (status, seen) in [
            (200, Seen::Up),
            (404, Seen::Up),
            (405, Seen::Up),
            (401, Seen::Impaired),
            (403, Seen::Impaired),
            (429, Seen::Impaired),
            (302, Seen::Impaired),
            (500, Seen::Down),
            (529, Seen::Down),
        ] {
            assert_eq!(judged(status).seen, seen, "{status}");
        }
    }

    #[test]
    fn neighbours_are_no_evidence_about_the_line() {
        for (url, expected) in [
            ("https://api.openai.com/v1", Some("api.openai.com:443")),
            ("http://8.8.8.8/v1", Some("8.8.8.8:80")),
            ("http://[2001:db8::1]:9/v1", Some("[2001:db8::1]:9")),
            ("http://127.0.0.1:11434", None),
            ("http://10.1.2.3/v1", None),
            ("http://[::1]:1", None),
            ("http://[fd00::1]", None),
            ("http://localhost:11434/v1", None),
            ("http://ollama:11434/v1", None),
            ("https://models.internal/v1", None),
        ] {
            assert_eq!(outside(url).as_deref(), expected, "{url}");
        }
    }
}
