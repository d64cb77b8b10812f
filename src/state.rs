//! What handlers share: databases, handles and snapshots, nothing else. One per process, never per worker.
//!
//! Built by `startup` once everything it holds is open. Nothing here has a life of its own.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono_tz::Tz;
use futures_util::future::BoxFuture;
use steward_actors::contents::intake::Intake;
use steward_actors::contents::store::ContentStore;
use steward_actors::domain::clock::SharedClock;
use steward_actors::domain::price::Rate;
use steward_actors::domain::rid::RidAllocator;
use steward_actors::domain::setting::{Defaults, InForce};
use steward_actors::domain::snapshot::Snapshot;
use steward_actors::spool::Spool;
use steward_actors::tree::TreeHandle;
use steward_actors::tree::foundation::settings_keeper;
use steward_actors::vault::{OPERATOR_JWT, Vault, VaultError};
use steward_entities::database::Databases;

use crate::config::Config;
use crate::error::{ApiError, ErrorCode};
use crate::features::accounts::ProviderLists;
use crate::features::auth::{CookieKey, Doorman};
use crate::features::feedback::Author;
use crate::features::prompts::Texts;
use crate::features::stats::conversations::Remembered;
use crate::gateway::Gateway;
use crate::http::access_token::AccessTokens;
use crate::http::directory::Directory;
use crate::http::download::{self, Download};
use crate::http::passwords::Passwords;
use crate::http::proxies::TrustedProxies;
use crate::http::rate::RateLimiter;
use crate::http::sealer::Sealer;
use crate::http::ticket::Tickets;
use crate::push::Desk;

/// Has the gateway's snapshot built again; resolves when the new one is in force. The text of a failure is
/// for the log.
pub type RefreshSnapshot = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Purpose of the subkey that marks sessions' cookies.
const SESSION_COOKIES: &str = "session-cookies";
/// Purpose of the subkey that seals kept answers.
const KEPT_ANSWERS: &str = "kept-answers";

/// What [`AppState`] is made of; every part is opened by `startup`.
pub struct Parts {
    pub config: Arc<Config>,
    pub clock: SharedClock,
    /// Everything is simulated.
    pub demo: bool,
    pub databases: Databases,
    pub vault: Arc<Vault>,
    /// Where days begin; fixed at first start.
    pub time_zone: Tz,
    pub settings: settings_keeper::Says,
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Asks the tree's `snapshot_keeper`; a part of its own so that tests need no running tree.
    pub refresh_snapshot: RefreshSnapshot,
    pub spool: Arc<Spool>,
    pub rids: Arc<RidAllocator>,
    pub tree: TreeHandle,
    pub gateway: Arc<Gateway>,
    /// Conversations that are kept.
    pub contents: Arc<ContentStore>,
    pub intake: Arc<Intake>,
}

/// Limits of the control face.
pub struct Rates {
    pub per_operator: RateLimiter<i64>,
    pub per_address: RateLimiter<IpAddr>,
    pub feedback: RateLimiter<Author>,
}

/// What handlers share. Extract it as `web::Data<AppState>`.
pub struct AppState {
    pub config: Arc<Config>,
    pub clock: SharedClock,
    /// Everything is simulated: a demonstration.
    pub demo: bool,
    /// Microseconds since the Unix epoch.
    pub started_at: i64,
    pub databases: Databases,
    /// Seals and opens secrets of accounts.
    pub vault: Arc<Vault>,
    /// Where days begin.
    pub time_zone: Tz,
    /// What operators set while the process runs, as it is in force.
    pub settings: InForce,
    /// What the configuration says of it.
    pub defaults: Arc<Defaults>,
    /// What the gateway decides by.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Operators, roles and keys as they stand.
    pub directory: Directory,
    /// Issues and reads access tokens.
    pub access: AccessTokens,
    /// Tells sessions' cookies that were made here from made-up ones.
    pub session_cookies: CookieKey,
    /// Seals kept answers.
    pub answers: Sealer,
    pub rates: Rates,
    /// Whose word about a caller's address is taken.
    pub proxies: TrustedProxies,
    /// Counts failures to sign in.
    pub doorman: Doorman,
    /// Makes and checks password hashes.
    pub passwords: Passwords,
    /// The journal on disk.
    pub spool: Arc<Spool>,
    /// Ids of records.
    pub rids: Arc<RidAllocator>,
    /// The actors.
    pub tree: TreeHandle,
    /// Conversations that are kept.
    pub contents: Arc<ContentStore>,
    /// Where they come in.
    pub intake: Arc<Intake>,
    /// The data plane; handlers only look at it.
    pub gateway: Arc<Gateway>,
    /// What accounts' providers listed lately.
    pub provider_lists: ProviderLists,
    /// Versions of prompts that applications asked for lately.
    pub prompt_texts: Texts,
    /// How many conversations there were lately.
    pub(crate) conversations_lately: Remembered,
    /// Who holds a WebSocket.
    pub push: Arc<Desk>,
    /// What may be fetched by a link.
    pub downloads: Tickets<Download>,
    refresh_snapshot: RefreshSnapshot,
    draining: AtomicBool,
}

impl AppState {
    /// Puts the parts together; reads nothing yet. Keys of the control face are derived from the vault's
    /// current key: after a rotation and a restart operators' access tokens are renewed by their sessions.
    ///
    /// # Errors
    /// When the vault gives no key.
    pub fn new(parts: Parts) -> Result<Self, VaultError> {
        let Parts {
            config,
            clock,
            demo,
            databases,
            vault,
            time_zone,
            settings,
            snapshot,
            refresh_snapshot,
            spool,
            rids,
            tree,
            gateway,
            contents,
            intake,
        } = parts;
        let access = vault.subkey(OPERATOR_JWT)?;
        let cookies = vault.subkey(SESSION_COOKIES)?;
        let answers = vault.subkey(KEPT_ANSWERS)?;
        let heartbeat = Duration::from_millis(config.server.heartbeat_ms);
        let push = Desk::new(Arc::clone(&tree.live), Arc::clone(&clock), heartbeat);
        let directory = Directory::new(databases.clone());
        let desk = Arc::clone(&push);
        directory.on_read(move |table| desk.review(table));
        Ok(Self {
            vault,
            spool,
            rids,
            tree,
            time_zone,
            snapshot,
            directory,
            push,
            access: AccessTokens::new(&access.bytes, config.auth.access_token_ttl_s),
            session_cookies: CookieKey::new(&cookies.bytes),
            answers: Sealer::new(&answers.bytes),
            rates: Rates {
                per_operator: RateLimiter::new(clock.clone()),
                per_address: RateLimiter::new(clock.clone()),
                feedback: RateLimiter::new(clock.clone()),
            },
            settings: settings.published,
            defaults: settings.defaults,
            // `Config` checked it.
            proxies: config.server.trusted_proxies.parse().unwrap_or_default(),
            doorman: Doorman::new(&config.auth, clock.clone()),
            passwords: Passwords::default(),
            refresh_snapshot,
            provider_lists: ProviderLists::default(),
            prompt_texts: Texts::default(),
            conversations_lately: Remembered::default(),
            downloads: Tickets::new(download::OPEN_MAX),
            draining: AtomicBool::new(false),
            gateway,
            contents,
            intake,
            databases,
            demo,
            started_at: clock.now_micros(),
            clock,
            config,
        })
    }

    /// From now on this process tells orchestrators to send nothing more; WebSockets close.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.push.close_all();
    }

    /// Whether the process is on its way out.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// By which two currencies are shown as one.
    pub fn rate(&self) -> Rate {
        self.settings.load().rate
    }

    /// Brings a committed change of tokens, accounts, tenants or settings into force on this node. Call it after the
    /// commit, before answering.
    ///
    /// # Errors
    /// `unavailable` when the gateway could not be told in time; the change itself stands and will be
    /// noticed within a second.
    pub async fn apply_to_gateway(&self) -> Result<(), ApiError> {
        (self.refresh_snapshot)().await.map_err(|cause| {
            ApiError::new(ErrorCode::Unavailable)
                .detail("The change is stored and will be in force in a moment.")
                .retry_after_s(1)
                .because(cause)
        })
    }

    /// [`Self::apply_to_gateway`] after something was made, or given a secret that is shown once: the answer must not be lost
    /// to a gateway that cannot be told in time. It sees the change by itself within a second.
    pub async fn announce_to_gateway(&self) {
        if let Err(cause) = (self.refresh_snapshot)().await {
            tracing::warn!(%cause, "the gateway could not be told of a change at once; it looks for itself every second");
        }
    }
}
