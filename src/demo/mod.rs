//! Steward with a pretended world around it: what `steward demo` is.
//!
//! The product itself is the real one. Pretended are the providers its accounts lead to ([`provider`]), the
//! clients that call it ([`traffic`], [`caller`]), the operator who wrote what they know ([`desk`], [`library`]) and the days before ([`history`], [`talks`]). [`guard`] keeps all of that
//! away from real data. A [`Stage`] is set up between opening the ledger and starting the tree, to which it adds
//! a group of its own.

pub mod backfill;
pub mod caller;
pub mod chance;
pub mod corpus;
pub mod desk;
pub mod guard;
pub mod history;
pub mod library;
pub mod provider;
pub mod stock;
pub mod stumbler;
pub mod talks;
pub mod traffic;
pub mod weather;
pub mod world;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use sea_orm::DbErr;
use steward_actors::contents::store::ContentStore;
use steward_actors::domain::clock::SharedClock;
use steward_actors::domain::snapshot::Secret;
use steward_actors::ledger_store::LedgerStore;
use steward_actors::supervision::{ActorRef, Group};
use steward_actors::vault::Vault;
use steward_entities::database::Databases;
use tokio::sync::watch;

use backfill::{BackfillError, Filled, Progress};
use history::Past;
use stock::StockError;

/// Who may sign in to a demonstration with [`PASSWORD`].
pub const USERNAME: &str = "admin";
/// Somebody who may only look, with the same password.
pub const VIEWER: &str = "viewer";
/// Public on purpose: it opens demonstrations only.
pub const PASSWORD: &str = "demo-steward";

/// Any number; another one is another demonstration.
const SEED: u64 = 20_260_315;
/// Between the history's end and the first live call.
const PAUSE_MS: i64 = 1_000;

/// What a demonstration is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Days of history written at the first start.
    pub history_days: u32,
    /// On average over a day; 0 sends none.
    pub calls_per_second: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            history_days: 30,
            calls_per_second: 5.0,
        }
    }
}

/// Why a demonstration does not begin.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Guard(#[from] guard::GuardError),
    #[error(transparent)]
    Stock(#[from] StockError),
    #[error(transparent)]
    Backfill(#[from] BackfillError),
    #[error("the demonstration's database cannot be read: {0}")]
    Database(#[from] DbErr),
    #[error("the pretended provider finds no free port on loopback: {0}")]
    Port(std::io::Error),
}

/// What a stage is set up on.
pub struct Ground<'a> {
    pub dir: &'a Path,
    pub databases: &'a Databases,
    pub vault: &'a Vault,
    pub store: &'a dyn LedgerStore,
    pub contents: &'a ContentStore,
    pub clock: &'a SharedClock,
    /// The process's own number.
    pub node: u8,
}

/// A demonstration that is ready to run.
pub struct Stage {
    listener: Arc<TcpListener>,
    secrets: Arc<[Secret]>,
    options: Options,
    clock: SharedClock,
    databases: Databases,
    gateway: watch::Sender<Option<SocketAddr>>,
}

impl Stage {
    /// Rows and history; the group of actors is made from what it answers. `tell` hears how the history gets on.
    ///
    /// # Errors
    /// See [`DemoError`].
    pub async fn set(
        ground: Ground<'_>,
        options: Options,
        tell: impl FnMut(Progress),
    ) -> Result<(Self, Filled), DemoError> {
        let Ground {
            dir,
            databases,
            vault,
            store,
            contents,
            clock,
            node,
        } = ground;
        let listener = listen(stock::last_port(databases).await?).map_err(DemoError::Port)?;
        let port = listener.local_addr().map_err(DemoError::Port)?.port();
        let days = options.history_days;
        let stocked = stock::stock(dir, databases, vault, clock.as_ref(), days, port).await?;
        let wanted = Past {
            seed: SEED,
            end_ms: clock.now_ms() - PAUSE_MS,
            days,
            live_per_1000s: (options.calls_per_second * 1_000.0) as u32,
            node: if node == u8::MAX {
                u8::MAX - 1
            } else {
                u8::MAX
            },
        };
        let filled = backfill::fill(databases, store, contents, &stocked, wanted, tell).await?;
        let (gateway, _) = watch::channel(None);
        let stage = Self {
            listener: Arc::new(listener),
            secrets: stocked.secrets.into(),
            options,
            clock: Arc::clone(clock),
            databases: databases.clone(),
            gateway,
        };
        Ok((stage, filled))
    }

    /// The group `root/demo`.
    pub fn group(&self) -> Group {
        let provider = provider::Parts {
            listener: Arc::clone(&self.listener),
            clock: Arc::clone(&self.clock),
            seed: SEED,
        };
        let caller = caller::Parts {
            gateway: self.gateway.subscribe(),
            secrets: Arc::clone(&self.secrets),
            clock: Arc::clone(&self.clock),
            seed: SEED,
            calls_per_second: self.options.calls_per_second,
        };
        let desk = desk::Parts {
            gateway: self.gateway.subscribe(),
            databases: self.databases.clone(),
        };
        Group::new("demo")
            .child(provider::spec(&ActorRef::new(1), provider))
            .child(caller::spec(&ActorRef::new(1), caller))
            .child(desk::spec(&ActorRef::new(1), desk))
            .child(stumbler::spec(&ActorRef::new(1), SEED))
    }

    /// The gateway listens: the clients may call.
    pub fn open(&self, address: SocketAddr) {
        if !address.ip().is_loopback() {
            tracing::warn!(
                %address,
                "whoever reaches this address can sign in to the demonstration: its password is public"
            );
        }
        let mut address = address;
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        self.gateway.send_replace(Some(address));
    }

    /// The gateway is about to stop: no further calls.
    pub fn close(&self) {
        self.gateway.send_replace(None);
    }
}

/// A listener on loopback, where it was last time if that port is still free.
fn listen(last: Option<u16>) -> std::io::Result<TcpListener> {
    let on = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    last.map_or_else(|| on(0), |port| on(port).or_else(|_| on(0)))
}
