//! What the gateway decides by: tenants, tokens, accounts, and the revision that tells of their changes.

use std::collections::HashMap;

use sea_orm::ActiveValue::Set;
use steward_entities::account::{self, NewAccount};
use steward_entities::change::ChangeError;
use steward_entities::column::{HiddenBytes, TextList, TextMap};
use steward_entities::database::{Databases, begin_write};
use steward_entities::scope::{Page, Scope};
use steward_entities::token::{self, KeptSecret, NewToken};
use steward_entities::{instance, prompt, revision, tenant};
use steward_migration::testing::TestDatabase;

use crate::{committed, on_both, refused};

/// A process that only wants to write waits for another's transaction instead of failing.
#[tokio::test]
async fn a_writer_waits_for_another_process() {
    let database = TestDatabase::sqlite().await;
    let other = Databases::open(database.config()).await.unwrap();
    let theirs = begin_write(&other.control).await.unwrap();
    tenant::insert(&theirs, "Theirs".into(), 1).await.unwrap();
    let (mine, ()) = tokio::join!(begin_write(&database.control), async {
        // Readers are not held up by it, and do not see it yet.
        let seen = tenant::all(&database.control_read).await.unwrap();
        assert_eq!(seen, []);
        theirs.commit().await.unwrap();
    });
    let mine = mine.unwrap();
    assert_eq!(tenant::all(&mine).await.unwrap().len(), 1);
    tenant::insert(&mine, "Mine".into(), 2).await.unwrap();
    mine.commit().await.unwrap();
    other.close().await;
}

on_both!(
    tenants_are_suspended_and_activated,
    tokens_are_listed_within_their_scope,
    tokens_are_rotated_and_revoked,
    accounts_are_changed_removed_and_resealed,
    a_stale_change_is_refused,
    every_change_raises_the_revision,
    facts_are_fixed_once,
);

fn secret(byte: u8) -> KeptSecret {
    KeptSecret {
        prefix: "sk-stw-ab".into(),
        last4: format!("xx{byte:02}"),
        hash: vec![byte; 32],
    }
}

fn new_token(name: &str, tenant_id: Option<i64>) -> NewToken {
    NewToken {
        tenant_id,
        app: "shop".into(),
        name: name.into(),
        description: String::new(),
        enabled: true,
        expires_at: None,
        allowed_models: Some(vec!["gpt-*".into()]),
        rpm: Some(60),
        tpm: None,
        concurrency: None,
        token_quota: Some(i64::MAX),
        daily_budget_nano: None,
        monthly_budget_nano: None,
        budget_currency: "USD".into(),
        enable_conversation_logging: false,
        knowledge: false,
        redaction: String::new(),
        created_by: "opr_x".into(),
    }
}

fn new_account(name: &str) -> NewAccount {
    NewAccount {
        public_id: steward_entities::public_id::new("acc"),
        name: name.into(),
        provider: "openai".into(),
        protocol: "openai".into(),
        base_url: "https://api.openai.com/v1".into(),
        secret_sealed: vec![1, 2, 3],
        secret_key_id: "k1".into(),
        secret_last4: "abcd".into(),
        models: vec!["*".into()],
        aliases: TextMap([("fast".to_owned(), "gpt-4o-mini".to_owned())].into()),
        priority: 0,
        weight: 1,
        concurrency: None,
        enabled: true,
    }
}

const FIRST: Page = Page {
    after: None,
    limit: 50,
};

async fn tenants_are_suspended_and_activated(databases: &Databases) {
    let read = &databases.control_read;
    let made = committed(databases, async |txn| {
        tenant::insert(txn, "Acme".into(), 10).await
    })
    .await;
    assert!(made.public_id.starts_with("ten_"));
    let closed = committed(databases, async |txn| {
        tenant::suspend(txn, &made, "unpaid".into(), 20).await
    })
    .await;
    assert_eq!(closed.status, tenant::Status::Suspended);
    assert_eq!(closed.suspended_at, Some(20));
    assert_eq!((closed.version, closed.updated_at), (2, 20));
    let open = committed(databases, async |txn| {
        tenant::activate(txn, &closed, 30).await
    })
    .await;
    assert_eq!(
        (open.status, open.suspended_at, open.suspended_reason),
        (tenant::Status::Active, None, None)
    );

    let other = committed(databases, async |txn| {
        tenant::insert(txn, "Bolt".into(), 40).await
    })
    .await;
    let mine = Scope::Tenant(made.id);
    assert_eq!(
        tenant::list(read, Scope::All, &tenant::Filter::default(), FIRST)
            .await
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        tenant::list(read, mine, &tenant::Filter::default(), FIRST)
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        tenant::count(read, Scope::All, &tenant::Filter::default())
            .await
            .unwrap(),
        2
    );
    assert_eq!(tenant::all(read).await.unwrap().len(), 2);
    assert_eq!(
        tenant::by_ids(read, Scope::All, [made.id, other.id])
            .await
            .unwrap()
            .len(),
        2
    );
    let foreign = tenant::by_public_id(read, mine, &other.public_id)
        .await
        .unwrap();
    assert_eq!(foreign, None);
}

async fn tokens_are_listed_within_their_scope(databases: &Databases) {
    let read = &databases.control_read;
    let acme = committed(databases, async |txn| {
        tenant::insert(txn, "Acme".into(), 1).await
    })
    .await;
    for index in 0..5 {
        let owner = (index % 2 == 0).then_some(acme.id);
        let name = format!("Täglich Ömer token {index}");
        committed(databases, async |txn| {
            token::insert(txn, secret(index), new_token(&name, owner), 1).await
        })
        .await;
    }
    let all = token::Filter::default();
    let owned = HashMap::from([(acme.id, 3)]);
    let by_tenant =
        async |scope, of: Option<&[i64]>| token::by_tenant(read, scope, of).await.unwrap();
    assert_eq!(by_tenant(Scope::All, None).await, owned);
    assert_eq!(by_tenant(Scope::All, Some(&[acme.id])).await, owned);
    for (scope, of) in [
        (Scope::Tenant(acme.id + 1), None),
        (Scope::All, Some(&[][..])),
        (Scope::All, Some(&[acme.id + 1][..])),
    ] {
        assert_eq!(by_tenant(scope, of).await, HashMap::new());
    }
    let mut seen = Vec::new();
    let mut page = Page {
        after: None,
        limit: 2,
    };
    loop {
        let rows = token::list(read, Scope::All, &all, page).await.unwrap();
        let Some(last) = rows.last() else { break };
        page.after = Some(last.id);
        seen.extend(rows.into_iter().map(|row| row.name));
    }
    assert_eq!(
        seen,
        [4, 3, 2, 1, 0].map(|n| format!("Täglich Ömer token {n}"))
    );

    let mine = Scope::Tenant(acme.id);
    let own = token::list(read, mine, &all, FIRST).await.unwrap();
    assert_eq!(own.len(), 3);
    assert_eq!(own[0].allowed_models, Some(TextList(vec!["gpt-*".into()])));
    assert_eq!(own[0].token_quota, Some(i64::MAX));
    assert_eq!(token::count(read, mine, &all).await.unwrap(), 3);
    let foreign = token::list(read, Scope::All, &all, FIRST).await.unwrap()[1].clone();
    assert_eq!(foreign.tenant_id, None);
    assert_eq!(
        token::by_public_id(read, mine, &foreign.public_id)
            .await
            .unwrap(),
        None
    );

    let found = token::Filter {
        search: Some("Ömer TOKEN 3".into()),
        app: Some("shop".into()),
        enabled: Some(true),
        ..Default::default()
    };
    assert_eq!(token::count(read, Scope::All, &found).await.unwrap(), 1);
    let wildcard = token::Filter {
        search: Some("%".into()),
        ..Default::default()
    };
    assert_eq!(token::count(read, Scope::All, &wildcard).await.unwrap(), 0);
    let of_tenant = token::Filter {
        tenant_id: Some(acme.id),
        ..Default::default()
    };
    assert_eq!(token::count(read, Scope::All, &of_tenant).await.unwrap(), 3);

    let orphan = refused(databases, async |txn| {
        token::insert(txn, secret(9), new_token("orphan", Some(404)), 1)
            .await
            .map_err(ChangeError::from)
    })
    .await;
    assert!(matches!(orphan, ChangeError::InUse), "{orphan:?}");
}

async fn tokens_are_rotated_and_revoked(databases: &Databases) {
    let read = &databases.control_read;
    let made = committed(databases, async |txn| {
        token::insert(txn, secret(1), new_token("t", None), 1).await
    })
    .await;
    let turned = committed(databases, async |txn| {
        token::rotate(txn, &made, secret(2), 99, 5).await
    })
    .await;
    assert_eq!(turned.hash, vec![2; 32]);
    assert_eq!(turned.previous_hash, Some(vec![1; 32]));
    assert_eq!(turned.previous_expires_at, Some(99));
    assert_eq!(turned.last4, "xx02");
    assert_eq!(
        token::all_live(read).await.unwrap(),
        std::slice::from_ref(&turned)
    );

    let closed = committed(databases, async |txn| token::revoke(txn, &turned, 7).await).await;
    assert_eq!((closed.enabled, closed.revoked_at), (false, Some(7)));
    assert!(token::all_live(read).await.unwrap().is_empty());
    let filter = token::Filter::default();
    assert_eq!(token::count(read, Scope::All, &filter).await.unwrap(), 0);
    let filter = token::Filter {
        with_revoked: true,
        ..filter
    };
    assert_eq!(
        token::list(read, Scope::All, &filter, FIRST).await.unwrap(),
        [closed]
    );
}

async fn accounts_are_changed_removed_and_resealed(databases: &Databases) {
    let read = &databases.control_read;
    let made = committed(databases, async |txn| {
        account::insert(txn, new_account("a"), 1).await
    })
    .await;
    assert_eq!(made.aliases.0["fast"], "gpt-4o-mini");
    assert!(!format!("{made:?}").contains("[1, 2, 3]"));
    let moved = committed(databases, async |txn| {
        let changes = account::ActiveModel {
            priority: Set(3),
            models: Set(TextList(vec!["gpt-4o".into()])),
            ..Default::default()
        };
        account::update(txn, &made, changes, 2).await
    })
    .await;
    assert_eq!((moved.priority, moved.version), (3, 2));

    committed(databases, async |txn| {
        account::reseal(txn, &made, vec![8], "k2").await
    })
    .await;
    let untouched = account::by_public_id(read, &made.public_id).await.unwrap();
    assert_eq!(
        untouched,
        Some(moved.clone()),
        "read before a change, so it reseals nothing"
    );
    committed(databases, async |txn| {
        account::reseal(txn, &moved, vec![9], "k2").await
    })
    .await;
    let resealed = account::by_public_id(read, &made.public_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(resealed.secret_sealed, HiddenBytes(vec![9]));
    assert_eq!(
        (resealed.secret_key_id.as_str(), resealed.version),
        ("k2", 2)
    );

    let gone = committed(databases, async |txn| {
        account::remove(txn, &resealed, 3).await
    })
    .await;
    assert_eq!(gone.secret_sealed, HiddenBytes(vec![]));
    assert_eq!(
        account::by_public_id(read, &made.public_id).await.unwrap(),
        None
    );
    assert_eq!(account::all(read).await.unwrap(), []);
    assert_eq!(account::list(read, FIRST).await.unwrap(), []);
    assert_eq!(account::count(read).await.unwrap(), 0);
}

async fn a_stale_change_is_refused(databases: &Databases) {
    let made = committed(databases, async |txn| {
        tenant::insert(txn, "Acme".into(), 1).await
    })
    .await;
    let rename = |name: &str| tenant::ActiveModel {
        name: Set(name.to_owned()),
        ..Default::default()
    };
    committed(databases, async |txn| {
        tenant::update(txn, &made, rename("First"), 2).await
    })
    .await;
    let error = refused(databases, async |txn| {
        tenant::update(txn, &made, rename("Second"), 3).await
    })
    .await;
    assert!(matches!(error, ChangeError::Stale));
    assert_eq!(
        tenant::all(&databases.control_read).await.unwrap()[0].name,
        "First"
    );
}

async fn every_change_raises_the_revision(databases: &Databases) {
    let read = &databases.control_read;
    let mut last = revision::read(read).await.unwrap();
    assert_eq!(last, 0);
    let acme = committed(databases, async |txn| {
        tenant::insert(txn, "Acme".into(), 1).await
    })
    .await;
    let mut risen = async |what: &str| {
        let now = revision::read(read).await.unwrap();
        assert!(now > last, "{what}");
        last = now;
    };
    risen("a tenant made").await;
    committed(databases, async |txn| {
        tenant::suspend(txn, &acme, "x".into(), 2).await
    })
    .await;
    risen("a tenant suspended").await;
    let made = committed(databases, async |txn| {
        token::insert(txn, secret(1), new_token("t", None), 1).await
    })
    .await;
    risen("a token made").await;
    committed(databases, async |txn| token::revoke(txn, &made, 2).await).await;
    risen("a token revoked").await;
    let made = committed(databases, async |txn| {
        account::insert(txn, new_account("a"), 1).await
    })
    .await;
    risen("an account made").await;
    committed(databases, async |txn| account::remove(txn, &made, 2).await).await;
    risen("an account removed").await;
    let made = committed(databases, async |txn| {
        prompt::insert(txn, "p".into(), String::new(), "ann".into(), 1).await
    })
    .await;
    risen("a prompt made").await;
    committed(databases, async |txn| {
        prompt::take(txn, &made.public_id, 2).await
    })
    .await;
    risen("a prompt taken for a change").await;
    committed(databases, async |txn| prompt::remove(txn, &made).await).await;
    risen("a prompt removed").await;
}

async fn facts_are_fixed_once(databases: &Databases) {
    let zone = async |value: &'static str| {
        committed(databases, async |txn| {
            instance::insert_if_absent(txn, "time_zone", value).await
        })
        .await
    };
    assert_eq!(zone("Europe/Berlin").await, "Europe/Berlin");
    assert_eq!(zone("Asia/Shanghai").await, "Europe/Berlin");
    committed(databases, async |txn| {
        instance::put(txn, "time_zone", "UTC").await
    })
    .await;
    committed(databases, async |txn| instance::put(txn, "new", "1").await).await;
    let read = &databases.control_read;
    assert_eq!(
        instance::get(read, "time_zone").await.unwrap().as_deref(),
        Some("UTC")
    );
    assert_eq!(
        instance::get(read, "new").await.unwrap().as_deref(),
        Some("1")
    );
    assert_eq!(instance::get(read, "absent").await.unwrap(), None);
}
