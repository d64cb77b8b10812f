//! Issuers of user tokens. Keys are sealed under the key `keys_key_id` of the key file; key sets of others are public.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0020_jwt_issuers"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await
    }
}

const TABLES: &str = r#"
CREATE TABLE jwt_issuers (
    id $PK,
    public_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    issuer TEXT NOT NULL UNIQUE,
    audience TEXT NOT NULL,
    kind TEXT NOT NULL,
    token_id BIGINT NOT NULL REFERENCES tokens (id),
    jwks_url TEXT,
    jwks $JSON,
    jwks_fetched_at BIGINT,
    keys_sealed $BYTES NOT NULL,
    keys_key_id TEXT NOT NULL,
    ttl_s BIGINT NOT NULL,
    enabled BOOLEAN NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
"#;
