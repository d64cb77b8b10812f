//! SQLite's write-ahead log after somebody read for long: it cannot be moved into the file meanwhile and grows, and
//! is cut back afterwards.

use sea_orm::{ConnectionTrait, TransactionTrait};
use steward_entities::database::{CONTROL_FILE, DatabaseConfig, Databases, SQLITE_WAL_KEPT_BYTES};

#[tokio::test]
async fn a_log_that_grew_under_a_long_reader_is_cut_back() {
    let directory = tempfile::tempdir().unwrap();
    let config = DatabaseConfig::Sqlite {
        dir: directory.path().to_owned(),
    };
    let databases = Databases::open(&config).await.unwrap();
    let log = directory.path().join(format!("{CONTROL_FILE}-wal"));
    let bytes = || std::fs::metadata(&log).unwrap().len();
    let kept = u64::from(SQLITE_WAL_KEPT_BYTES);
    let writer = &databases.control;
    let write = async || {
        let row = "INSERT INTO filler VALUES (zeroblob(4000000))";
        writer.execute_unprepared(row).await.unwrap();
    };
    writer
        .execute_unprepared("CREATE TABLE filler (bytes BLOB)")
        .await
        .unwrap();

    let reader = databases.control_read.begin().await.unwrap();
    reader
        .query_one_raw(sea_orm::Statement::from_string(
            sea_orm::DbBackend::Sqlite,
            "SELECT count(*) FROM filler",
        ))
        .await
        .unwrap();
    while bytes() <= kept + (8 << 20) {
        write().await;
    }
    reader.commit().await.unwrap();
    // The first write moves the log into the file, the second begins it anew.
    write().await;
    assert!(bytes() > kept, "{}", bytes());
    write().await;
    assert!(bytes() <= kept, "{}", bytes());
    databases.close().await;
}
