//! Who may do what, and who did: operators, sessions, keys, roles, the audit log.

use sea_orm::ActiveValue::Set;
use serde_json::json;
use steward_entities::change::ChangeError;
use steward_entities::column::HiddenText;
use steward_entities::database::{Databases, begin_write};
use steward_entities::operator::{self, NewOperator};
use steward_entities::scope::{Page, Scope};
use steward_entities::session::{self, NewSession, Presented};
use steward_entities::token::KeptSecret;
use steward_entities::{audit, expiry, operator_key, ops_log, role};

use crate::{committed, on_both, refused};

on_both!(
    operators_are_found_and_changed,
    sessions_rotate_and_end,
    operator_keys_open_until_they_are_revoked,
    roles_are_kept_while_somebody_holds_them,
    the_audit_row_shares_the_fate_of_its_change,
);

const FIRST: Page = Page {
    after: None,
    limit: 50,
};

fn new_operator(username: &str) -> NewOperator {
    NewOperator {
        username: username.into(),
        password_hash: HiddenText("$argon2id$secret".into()),
        role: role::OPS_ADMIN.into(),
        display_name: "Ada".into(),
        enabled: true,
        must_change_password: false,
        tenant_id: None,
    }
}

async fn ada(databases: &Databases) -> operator::Model {
    committed(databases, async |txn| {
        operator::insert(txn, new_operator("ada"), 1).await
    })
    .await
}

async fn operators_are_found_and_changed(databases: &Databases) {
    let read = &databases.control_read;
    assert!(!operator::any(read).await.unwrap());
    let made = ada(databases).await;
    assert!(operator::any(read).await.unwrap());
    assert!(!format!("{made:?}").contains("argon2id"));
    assert_eq!(made.scope(), Scope::All);
    let taken = refused(databases, async |txn| {
        operator::insert(txn, new_operator("ada"), 1).await
    })
    .await;
    assert!(matches!(taken, ChangeError::Duplicate), "{taken:?}");
    let no_role = refused(databases, async |txn| {
        let new = NewOperator {
            role: "nobody".into(),
            ..new_operator("bob")
        };
        operator::insert(txn, new, 1).await
    })
    .await;
    assert!(matches!(no_role, ChangeError::InUse), "{no_role:?}");

    committed(databases, async |txn| {
        operator::record_login(txn, made.id, 5).await
    })
    .await;
    let ended = committed(databases, async |txn| {
        let changes = operator::ActiveModel {
            enabled: Set(false),
            epoch: Set(made.epoch + 1),
            ..Default::default()
        };
        operator::update(txn, &made, changes, 6).await
    })
    .await;
    assert_eq!(
        (ended.epoch, ended.version, ended.last_login_at),
        (2, 2, Some(5))
    );
    assert_eq!(
        operator::by_username(read, "ada").await.unwrap().as_ref(),
        Some(&ended)
    );
    assert_eq!(
        operator::by_id(read, made.id).await.unwrap().as_ref(),
        Some(&ended)
    );
    assert_eq!(
        operator::by_public_id(read, Scope::All, &made.public_id)
            .await
            .unwrap()
            .as_ref(),
        Some(&ended)
    );
    let elsewhere = Scope::Tenant(7);
    assert_eq!(
        operator::by_public_id(read, elsewhere, &made.public_id)
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        operator::list(read, Scope::All, FIRST).await.unwrap().len(),
        1
    );
    assert_eq!(operator::count(read, elsewhere).await.unwrap(), 0);
    assert_eq!(
        operator::count_enabled_with_role(read, role::OPS_ADMIN)
            .await
            .unwrap(),
        0
    );
    let stale = refused(databases, async |txn| operator::remove(txn, &made).await).await;
    assert!(matches!(stale, ChangeError::Stale));
    committed(databases, async |txn| operator::remove(txn, &ended).await).await;
    assert!(!operator::any(read).await.unwrap());
}

async fn sessions_rotate_and_end(databases: &Databases) {
    let read = &databases.control_read;
    let ada = ada(databases).await;
    let begin = async |byte: u8| {
        let new = NewSession {
            operator_id: ada.id,
            refresh_hash: vec![byte; 32],
            ip: "127.0.0.1".into(),
            user_agent: "curl".into(),
            expires_at: 100,
        };
        committed(databases, async |txn| session::insert(txn, new, 1).await).await
    };
    let first = begin(1).await;
    committed(databases, async |txn| {
        session::rotate(txn, &first, vec![2; 32], 200, 5).await
    })
    .await;
    let stale = refused(databases, async |txn| {
        session::rotate(txn, &first, vec![3; 32], 200, 6).await
    })
    .await;
    assert!(
        matches!(stale, ChangeError::Stale),
        "a secret is exchanged once"
    );
    let current = session::by_refresh_hash(read, &[2; 32]).await.unwrap();
    let Some(Presented::Current(current)) = current else {
        panic!("{current:?}")
    };
    assert_eq!((current.rotated_at, current.expires_at), (5, 200));
    let old = session::by_refresh_hash(read, &[1; 32]).await.unwrap();
    assert_eq!(old, Some(Presented::Previous(current.clone())));
    assert_eq!(
        session::by_refresh_hash(read, &[9; 32]).await.unwrap(),
        None
    );
    let found = session::by_public_id(read, ada.id, &first.public_id)
        .await
        .unwrap();
    assert_eq!(found, Some(current));
    assert_eq!(
        session::by_public_id(read, ada.id + 1, &first.public_id)
            .await
            .unwrap(),
        None
    );

    let second = begin(4).await;
    let active = async |now| session::list_active(read, ada.id, now).await.unwrap().len();
    assert_eq!(active(50).await, 2);
    assert_eq!(active(150).await, 1);
    let ended = committed(databases, async |txn| {
        session::revoke_family(txn, &first.family, 8).await
    })
    .await;
    assert_eq!((ended, active(50).await), (1, 1));
    committed(databases, async |txn| {
        session::revoke(txn, second.id, 8).await
    })
    .await;
    let again = committed(databases, async |txn| {
        session::revoke_all(txn, ada.id, 9).await
    })
    .await;
    assert_eq!((again, active(50).await), (0, 0));
    let forgotten = committed(databases, async |txn| {
        expiry::SESSIONS.remove_some(txn, (0, 150), 9).await
    })
    .await;
    assert_eq!(forgotten, 1);
}

async fn operator_keys_open_until_they_are_revoked(databases: &Databases) {
    let read = &databases.control_read;
    let ada = ada(databases).await;
    let secret = KeptSecret {
        prefix: "opk-ab".into(),
        last4: "wxyz".into(),
        hash: vec![7; 32],
    };
    let key = committed(databases, async |txn| {
        operator_key::insert(txn, ada.id, "ci".into(), secret, Some(100), 1).await
    })
    .await;
    let open = async |now| {
        operator_key::by_hash(read, &[7; 32], now)
            .await
            .unwrap()
            .is_some()
    };
    assert!(open(99).await);
    assert!(!open(100).await);
    committed(databases, async |txn| {
        operator_key::touch(txn, key.id, 42).await
    })
    .await;
    let listed = operator_key::list(read, ada.id, FIRST).await.unwrap();
    assert_eq!(listed[0].last_used_at, Some(42));
    assert_eq!(operator_key::count(read, ada.id).await.unwrap(), 1);
    assert!(
        operator_key::list(read, ada.id + 1, FIRST)
            .await
            .unwrap()
            .is_empty()
    );
    let close = async |operator_id| {
        committed(databases, async |txn| {
            operator_key::revoke(txn, operator_id, key.id, 50).await
        })
        .await
    };
    assert!(!close(ada.id + 1).await, "somebody else's");
    assert!(close(ada.id).await);
    assert!(!close(ada.id).await, "already closed");
    assert!(!open(60).await);
    let kept = operator_key::by_public_id(read, ada.id, &key.public_id)
        .await
        .unwrap();
    assert_eq!(kept.unwrap().revoked_at, Some(50));
}

async fn roles_are_kept_while_somebody_holds_them(databases: &Databases) {
    let read = &databases.control_read;
    let names: Vec<String> = role::all(read)
        .await
        .unwrap()
        .into_iter()
        .map(|r| r.name)
        .collect();
    assert_eq!(
        names,
        ["ops_admin", "ops_viewer", "tenant_admin", "tenant_staff"]
    );
    let viewer = role::by_name(read, role::OPS_VIEWER)
        .await
        .unwrap()
        .unwrap();
    assert!(viewer.built_in && viewer.allows("read:tokens"));
    assert!(!viewer.allows("read:conversations") && !viewer.allows("write:tokens"));
    let stale = refused(databases, async |txn| role::remove(txn, &viewer).await).await;
    assert!(matches!(stale, ChangeError::Stale), "built in");

    let made = committed(databases, async |txn| {
        role::insert(txn, "auditor".into(), vec!["read:audit".into()], 1).await
    })
    .await;
    let taken = refused(databases, async |txn| {
        role::insert(txn, "auditor".into(), vec![], 1).await
    })
    .await;
    assert!(matches!(taken, ChangeError::Duplicate));
    let wider = committed(databases, async |txn| {
        role::update(txn, &made, vec!["read:*".into()], 2).await
    })
    .await;
    assert!(wider.allows("read:tokens"));
    assert_eq!(
        role::by_public_id(read, &made.public_id).await.unwrap(),
        Some(wider.clone())
    );

    committed(databases, async |txn| {
        let new = NewOperator {
            role: "auditor".into(),
            ..new_operator("bob")
        };
        operator::insert(txn, new, 1).await
    })
    .await;
    let held = refused(databases, async |txn| role::remove(txn, &wider).await).await;
    assert!(matches!(held, ChangeError::InUse), "{held:?}");
}

async fn the_audit_row_shares_the_fate_of_its_change(databases: &Databases) {
    let read = &databases.control_read;
    let entry = |action: &str| audit::Entry {
        operator_id: Some(1),
        operator_name: "ada".into(),
        action: action.into(),
        target_type: "token".into(),
        target_id: "tok_x".into(),
        details: json!({"name": ["old", "new"]}),
        ip: "127.0.0.1".into(),
        request_id: "r".into(),
    };
    let txn = begin_write(&databases.control).await.unwrap();
    audit::insert(&txn, entry("tokens.create"), 1)
        .await
        .unwrap();
    txn.rollback().await.unwrap();
    let all = ops_log::Filter::default();
    assert_eq!(ops_log::count(read, &all).await.unwrap(), 0);

    for (action, at) in [
        ("tokens.create", 10),
        ("tokens.update", 20),
        ("accounts.create", 30),
    ] {
        committed(databases, async |txn| {
            audit::insert(txn, entry(action), at).await
        })
        .await;
    }
    let rows = ops_log::list(read, &all, FIRST).await.unwrap();
    let actions: Vec<&str> = rows.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(
        actions,
        ["accounts.create", "tokens.update", "tokens.create"]
    );
    assert_eq!(rows[0].details, json!({"name": ["old", "new"]}));
    assert_eq!(
        ops_log::by_public_id(read, &rows[0].public_id)
            .await
            .unwrap()
            .as_ref(),
        Some(&rows[0])
    );
    for (filter, expected) in [
        (
            ops_log::Filter {
                action: Some("tokens.".into()),
                ..Default::default()
            },
            2,
        ),
        (
            ops_log::Filter {
                action: Some("tokens.create".into()),
                ..Default::default()
            },
            1,
        ),
        (
            ops_log::Filter {
                operator_id: Some(2),
                ..Default::default()
            },
            0,
        ),
        (
            ops_log::Filter {
                from: Some(20),
                to: Some(30),
                ..Default::default()
            },
            1,
        ),
        (
            ops_log::Filter {
                target_type: Some("token".into()),
                target_id: Some("tok_x".into()),
                ..Default::default()
            },
            3,
        ),
    ] {
        assert_eq!(
            ops_log::count(read, &filter).await.unwrap(),
            expected,
            "{filter:?}"
        );
    }
}
