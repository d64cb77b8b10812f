//! `snapshot_keeper`: what is committed comes into force, and what is in force outlives the database.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use sea_orm::ConnectionTrait;
use steward_actors::domain::clock::SystemClock;
use steward_actors::domain::snapshot::Snapshot;
use steward_actors::snapshot_source::load;
use steward_actors::supervision::{ActorRef, SupervisorHandle};
use steward_actors::tree::foundation::snapshot_keeper::{
    Condition, Parts, Refresh, RefreshError, SnapshotKeeper, spec,
};
use steward_actors::vault::{ACCOUNT_SECRET, Place, Vault};
use steward_entities::account::NewAccount;
use steward_entities::column::TextMap;
use steward_entities::token::{KeptSecret, NewToken};
use steward_entities::{account, public_id, tenant, token};
use steward_migration::testing::TestDatabase;

use crate::{committed, eventually, on_both, supervised};

on_both!(
    a_refresh_puts_every_committed_change_in_force,
    another_nodes_change_is_seen_without_being_asked,
    an_unreadable_database_leaves_the_snapshot_in_force,
    an_account_that_does_not_open_is_disabled_until_it_does,
    a_restart_keeps_the_snapshot,
    a_load_that_is_cut_short_costs_the_next_one_nothing,
);

struct Kept {
    actor: ActorRef<SnapshotKeeper>,
    tree: SupervisorHandle,
    published: Arc<ArcSwap<Snapshot>>,
    condition: Arc<ArcSwap<Condition>>,
    vault: Arc<Vault>,
}

impl Kept {
    fn start(database: &TestDatabase) -> Self {
        let vault = Arc::new(Vault::open(database.dir()).unwrap());
        let published = Arc::new(ArcSwap::default());
        let condition = Arc::new(ArcSwap::default());
        let actor = ActorRef::new(64);
        let parts = Parts {
            databases: (**database).clone(),
            vault: Arc::clone(&vault),
            published: Arc::clone(&published),
            condition: Arc::clone(&condition),
            clock: Arc::new(SystemClock),
        };
        Self {
            tree: supervised(spec(&actor, parts)),
            actor,
            published,
            condition,
            vault,
        }
    }

    async fn refresh(&self) -> Result<(), RefreshError> {
        self.actor.ask(Refresh).await.unwrap()
    }

    async fn end(self) {
        self.tree.shutdown(Duration::from_secs(5)).await;
    }
}

async fn add_token(database: &TestDatabase, byte: u8) -> token::Model {
    let secret = KeptSecret {
        prefix: "sk-stw-".into(),
        last4: "abcd".into(),
        hash: vec![byte; 32],
    };
    let new = NewToken {
        tenant_id: None,
        app: String::new(),
        name: format!("token {byte}"),
        description: String::new(),
        enabled: true,
        expires_at: None,
        allowed_models: None,
        rpm: None,
        tpm: None,
        concurrency: None,
        token_quota: None,
        daily_budget_nano: None,
        monthly_budget_nano: None,
        budget_currency: "USD".into(),
        enable_conversation_logging: false,
        knowledge: false,
        redaction: String::new(),
        created_by: "opr_x".into(),
    };
    committed(database, async |txn| {
        token::insert(txn, secret, new, 1).await
    })
    .await
}

async fn add_account(database: &TestDatabase, vault: &Vault, secret: &str) -> account::Model {
    let public_id = public_id::new("acc");
    let place = Place::account_secret(&public_id);
    let sealed = vault
        .seal(ACCOUNT_SECRET, place, secret.as_bytes())
        .unwrap();
    let new = NewAccount {
        public_id,
        name: "upstream".into(),
        provider: "openai".into(),
        protocol: "openai".into(),
        base_url: "http://127.0.0.1:1/v1".into(),
        secret_sealed: sealed.bytes,
        secret_key_id: sealed.key_id,
        secret_last4: "wxyz".into(),
        models: vec!["*".into()],
        aliases: TextMap::default(),
        priority: 0,
        weight: 1,
        concurrency: None,
        enabled: true,
    };
    committed(database, async |txn| account::insert(txn, new, 1).await).await
}

async fn a_refresh_puts_every_committed_change_in_force(database: &TestDatabase) {
    let kept = Kept::start(database);
    kept.refresh().await.unwrap();
    assert!(kept.published.load().tokens.is_empty());
    let account = add_account(database, &kept.vault, "sk-upstream").await;
    for byte in 1..=20 {
        let made = add_token(database, byte).await;
        let (first, second) = tokio::join!(kept.refresh(), kept.refresh());
        assert_eq!((first, second), (Ok(()), Ok(())));
        let snapshot = kept.published.load_full();
        assert_eq!(snapshot.tokens[&[byte; 32]].token.public_id, made.public_id);
        if byte % 2 == 0 {
            committed(database, async |txn| token::revoke(txn, &made, 2).await).await;
            kept.refresh().await.unwrap();
            assert!(!kept.published.load().tokens.contains_key(&[byte; 32]));
        }
    }
    let snapshot = kept.published.load_full();
    assert_eq!(snapshot.accounts[0].public_id, account.public_id);
    assert_eq!(snapshot.accounts[0].secret.reveal(), "sk-upstream");
    let unchanged = kept.published.load_full();
    kept.refresh().await.unwrap();
    assert!(
        Arc::ptr_eq(&unchanged, &kept.published.load_full()),
        "nothing changed, nothing is swapped"
    );
    kept.end().await;
}

async fn another_nodes_change_is_seen_without_being_asked(database: &TestDatabase) {
    let kept = Kept::start(database);
    kept.refresh().await.unwrap();
    let made = committed(database, async |txn| {
        tenant::insert(txn, "Acme".into(), 1).await
    })
    .await;
    let before = kept.condition.load().revision.unwrap();
    eventually("the new revision", async || {
        (kept.condition.load().revision > Some(before)).then_some(())
    })
    .await;
    add_token(database, 7).await;
    eventually("the token", async || {
        kept.published
            .load()
            .tokens
            .contains_key(&[7; 32])
            .then_some(())
    })
    .await;
    assert_eq!(made.version, 1);
    kept.end().await;
}

async fn an_unreadable_database_leaves_the_snapshot_in_force(database: &TestDatabase) {
    let kept = Kept::start(database);
    add_token(database, 1).await;
    kept.refresh().await.unwrap();
    let rename = async |from: &str, to: &str| {
        let sql = format!("ALTER TABLE {from} RENAME TO {to}");
        database.control.execute_unprepared(&sql).await.unwrap();
    };
    rename("instance", "gone").await;
    assert_eq!(kept.refresh().await, Err(RefreshError::Unreadable));
    assert!(kept.condition.load().unreadable_since.is_some());
    assert_eq!(kept.published.load().tokens.len(), 1);
    rename("gone", "instance").await;
    eventually("it can be read again", async || {
        kept.condition
            .load()
            .unreadable_since
            .is_none()
            .then_some(())
    })
    .await;
    assert_eq!(kept.actor.snapshot().restarts, 0);
    kept.end().await;
}

async fn an_account_that_does_not_open_is_disabled_until_it_does(database: &TestDatabase) {
    let kept = Kept::start(database);
    // Sealed under a key file that is not here: restored from elsewhere.
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Vault::open(elsewhere.path()).unwrap();
    let lost = add_account(database, &other, "sk-lost").await;
    add_account(database, &kept.vault, "sk-here").await;
    kept.refresh().await.unwrap();
    let enabled = || -> Vec<bool> {
        let snapshot = kept.published.load();
        snapshot
            .accounts
            .iter()
            .map(|account| account.enabled)
            .collect()
    };
    assert_eq!(enabled(), [false, true]);
    let told = kept.condition.load().unusable_accounts.clone();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, lost.public_id);
    assert!(told[0].1.contains("holds no key"), "{}", told[0].1);

    // The operator enters the secret again.
    let place = Place::account_secret(&lost.public_id);
    let sealed = kept.vault.seal(ACCOUNT_SECRET, place, b"sk-new").unwrap();
    committed(database, async |txn| {
        account::reseal(txn, &lost, sealed.bytes, &sealed.key_id).await
    })
    .await;
    kept.refresh().await.unwrap();
    assert_eq!(
        enabled(),
        [true, true],
        "looked at again although the revision is the same"
    );
    assert_eq!(kept.condition.load().unusable_accounts, []);
    kept.end().await;
}

async fn a_restart_keeps_the_snapshot(database: &TestDatabase) {
    let kept = Kept::start(database);
    add_token(database, 1).await;
    kept.refresh().await.unwrap();
    kept.tree.restart("root/snapshot_keeper").await.unwrap();
    assert_eq!(kept.published.load().tokens.len(), 1);
    add_token(database, 2).await;
    kept.refresh().await.unwrap();
    assert_eq!(kept.published.load().tokens.len(), 2);
    kept.end().await;
}

/// Whoever loads may be restarted at any point of it. What it leaves behind must not fail the next load.
async fn a_load_that_is_cut_short_costs_the_next_one_nothing(database: &TestDatabase) {
    let vault = Vault::open(database.dir()).unwrap();
    add_token(database, 1).await;
    for polls in 0..60 {
        {
            let mut cut = std::pin::pin!(load(database, &vault, None));
            let mut left = polls;
            std::future::poll_fn(|cx| {
                if left == 0 || cut.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                left -= 1;
                Poll::Pending
            })
            .await;
        }
        let loaded = load(database, &vault, None).await;
        let loaded = loaded.unwrap_or_else(|error| panic!("after {polls} polls: {error}"));
        assert_eq!(loaded.unwrap().built.snapshot.tokens.len(), 1);
    }
}
