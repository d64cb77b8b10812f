use std::fs;
use std::os::unix::fs::PermissionsExt;

use steward_entities::column::TextMap;
use steward_entities::database::begin_write;
use steward_entities::{account, public_id};
use steward_migration::testing::TestDatabase;

use super::*;

const PLACE: Place<'static> = Place::account_secret("acc_1");

fn sealed_in(vault: &Vault, text: &str) -> Sealed {
    vault.seal(ACCOUNT_SECRET, PLACE, text.as_bytes()).unwrap()
}

fn opened(vault: &Vault, sealed: &Sealed) -> Result<String, VaultError> {
    vault
        .unseal(ACCOUNT_SECRET, PLACE, &sealed.key_id, &sealed.bytes)
        .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

#[test]
fn what_was_sealed_opens_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    assert!(vault.made_now());
    let sealed = sealed_in(&vault, "sk-upstream");
    assert!(!String::from_utf8_lossy(&sealed.bytes).contains("upstream"));
    assert_ne!(
        sealed,
        sealed_in(&vault, "sk-upstream"),
        "never the same nonce"
    );

    let again = Vault::open(dir.path()).unwrap();
    assert!(!again.made_now());
    assert_eq!(opened(&again, &sealed).unwrap(), "sk-upstream");
    let mode = fs::metadata(dir.path().join(KEY_FILE))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_value_opens_only_where_it_belongs_and_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let sealed = sealed_in(&vault, "secret");
    let refused = |purpose: &str, place: Place<'_>, bytes: &[u8]| {
        matches!(
            vault.unseal(purpose, place, &sealed.key_id, bytes),
            Err(VaultError::DoesNotOpen)
        )
    };
    assert!(refused("channel-secret", PLACE, &sealed.bytes));
    assert!(refused(
        ACCOUNT_SECRET,
        Place::account_secret("acc_2"),
        &sealed.bytes
    ));
    let shifted = Place {
        table: "accountss",
        column: "ecret",
        row: "acc_1",
    };
    assert!(refused(ACCOUNT_SECRET, shifted, &sealed.bytes));
    for at in 0..sealed.bytes.len() {
        let mut changed = sealed.bytes.clone();
        changed[at] ^= 1;
        assert!(refused(ACCOUNT_SECRET, PLACE, &changed), "byte {at}");
        assert!(
            refused(ACCOUNT_SECRET, PLACE, &sealed.bytes[..at]),
            "cut at {at}"
        );
    }
    let unknown = vault.unseal(ACCOUNT_SECRET, PLACE, "key_gone", &sealed.bytes);
    assert!(matches!(unknown, Err(VaultError::UnknownKey(_))));
}

#[test]
fn rotation_keeps_old_values_open_and_another_process_finds_the_new_key() {
    let dir = tempfile::tempdir().unwrap();
    let serving = Vault::open(dir.path()).unwrap();
    let old = sealed_in(&serving, "old");
    let before = serving.subkey(OPERATOR_JWT).unwrap();

    let command = Vault::open(dir.path()).unwrap();
    let key_id = command.rotate().unwrap();
    assert_eq!(command.current_key_id(), key_id);
    let new = sealed_in(&command, "new");
    assert_eq!(new.key_id, key_id);
    assert_eq!(opened(&command, &old).unwrap(), "old");

    assert_eq!(
        opened(&serving, &new).unwrap(),
        "new",
        "read again from the file"
    );
    assert_eq!(serving.current_key_id(), key_id);
    let after = serving.subkey(OPERATOR_JWT).unwrap();
    assert_ne!(after.bytes, before.bytes);
    let still = serving.subkey_of(&before.key_id, OPERATOR_JWT).unwrap();
    assert_eq!(still.bytes, before.bytes);
    assert_ne!(
        before.bytes,
        serving.subkey_of(&before.key_id, "other").unwrap().bytes
    );
}

#[test]
fn keys_added_at_the_same_time_are_all_kept() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| Vault::open(dir.path()).unwrap().rotate().unwrap());
        }
    });
    let keys = key_file::read(dir.path()).unwrap();
    assert_eq!(keys.by_id.len(), 9);
    assert!(keys.by_id.contains_key(&vault.current_key_id()));
}

#[test]
fn a_key_file_others_may_read_is_refused_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    Vault::open(dir.path()).unwrap();
    let path = dir.path().join(KEY_FILE);
    for mode in [0o640, 0o604, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = Vault::open(dir.path()).unwrap_err();
        assert!(matches!(error, VaultError::Exposed { .. }));
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}

#[test]
fn a_damaged_key_file_is_refused_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    Vault::open(dir.path()).unwrap();
    let path = dir.path().join(KEY_FILE);
    let good = fs::read_to_string(&path).unwrap();
    let encoded = good
        .lines()
        .find(|line| line.contains("\"key_") && line.contains("="))
        .unwrap();
    let at = good.find(encoded).unwrap() + encoded.find(": \"").unwrap() + 5;
    let mut flipped = good.clone().into_bytes();
    flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    for bad in [
        "",
        "{}",
        &good[..good.len() / 2],
        &flipped,
        &good.replace("\"version\": 1", "\"version\": 2"),
    ] {
        fs::write(&path, bad).unwrap();
        let error = Vault::open(dir.path()).unwrap_err();
        assert!(matches!(error, VaultError::Damaged { .. }), "{error}");
        assert!(Vault::open(dir.path()).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), bad);
    }
}

#[test]
fn nothing_secret_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let subkey = vault.subkey(OPERATOR_JWT).unwrap();
    let printed = format!("{vault:?} {subkey:?}");
    assert!(
        !printed.contains(&format!("{:?}", subkey.bytes)),
        "{printed}"
    );
    assert!(printed.contains("Subkey(key_"));
}

async fn resealing(database: &TestDatabase) {
    let vault = Vault::open(database.dir()).unwrap();
    let txn = begin_write(&database.control).await.unwrap();
    for index in 0..3 {
        let public_id = public_id::new("acc");
        let place = Place::account_secret(&public_id);
        let sealed = vault.seal(ACCOUNT_SECRET, place, b"sk").unwrap();
        let new = account::NewAccount {
            public_id,
            name: format!("account {index}"),
            provider: "openai".into(),
            protocol: "openai".into(),
            base_url: "http://x".into(),
            // The last one was damaged on disk.
            secret_sealed: if index == 2 { vec![1, 2] } else { sealed.bytes },
            secret_key_id: sealed.key_id,
            secret_last4: String::new(),
            models: vec![],
            aliases: TextMap::default(),
            priority: 0,
            weight: 1,
            concurrency: None,
            enabled: true,
        };
        account::insert(&txn, new, 1).await.unwrap();
    }
    txn.commit().await.unwrap();

    let none = reseal_all(&vault, database, 2).await.unwrap();
    assert_eq!((none.moved, none.unchanged), (0, 3));
    let key_id = vault.rotate().unwrap();
    let done = reseal_all(&vault, database, 3).await.unwrap();
    assert_eq!((done.moved, done.unchanged, done.unopened.len()), (2, 0, 1));
    let again = reseal_all(&vault, database, 4).await.unwrap();
    assert_eq!((again.moved, again.unchanged), (0, 2));
    for row in account::all(&database.control_read).await.unwrap() {
        if done.unopened.contains(&row.public_id) {
            continue;
        }
        assert_eq!(row.secret_key_id, key_id);
        let place = Place::account_secret(&row.public_id);
        let secret = vault.unseal(ACCOUNT_SECRET, place, &key_id, &row.secret_sealed.0);
        assert_eq!(secret.unwrap().as_slice(), b"sk");
    }
}

#[tokio::test]
async fn resealing_moves_each_secret_once() {
    resealing(&TestDatabase::sqlite().await).await;
}

#[tokio::test]
async fn resealing_moves_each_secret_once_on_postgres() {
    resealing(&TestDatabase::postgres().await).await;
}
