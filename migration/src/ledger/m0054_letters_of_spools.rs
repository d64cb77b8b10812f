//! A letter is told apart by its record too: the number alone may have been given out by another spool of the same node
//! (another data directory), and neither record is to hide the other.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::dialect;

pub(super) struct LettersOfSpools;

impl MigrationName for LettersOfSpools {
    fn name(&self) -> &str {
        "m0054_letters_of_spools"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for LettersOfSpools {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let without_the_old = match manager.get_database_backend() {
            DbBackend::Postgres => {
                "ALTER TABLE dead_letters DROP CONSTRAINT dead_letters_node_seq_key"
            }
            // SQLite takes no constraint out of a table.
            _ => {
                "CREATE TABLE dead_letters_anew (\
                 id INTEGER PRIMARY KEY, node INTEGER NOT NULL, seq INTEGER NOT NULL, rid INTEGER, \
                 reason TEXT NOT NULL, payload BLOB NOT NULL, created_at INTEGER NOT NULL, replayed_at INTEGER); \
                 INSERT INTO dead_letters_anew SELECT id, node, seq, rid, reason, payload, created_at, replayed_at \
                 FROM dead_letters; \
                 DROP TABLE dead_letters; \
                 ALTER TABLE dead_letters_anew RENAME TO dead_letters"
            }
        };
        // A record that could not be read has no rid.
        let anew =
            "CREATE UNIQUE INDEX dead_letters_once ON dead_letters (node, seq, COALESCE(rid, 0))";
        dialect::run(manager, &format!("{without_the_old}; {anew}")).await
    }
}
