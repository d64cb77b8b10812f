//! The roles of people who belong to a tenant.
//!
//! They name what they allow one by one: whatever else is added to the installation is not theirs. A role of that name
//! that somebody made before stays as it is.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::dialect;

pub(super) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "control/m0037_people_of_tenants"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, ROLES).await
    }
}

const ROLES: &str = r#"
INSERT INTO roles (public_id, name, permissions, built_in, created_at, updated_at, version) VALUES
    ('rol_tenantadmin00000000000', 'tenant_admin', '["read:tenants", "read:tokens", "write:tokens", "read:logs", "read:stats", "read:conversations", "write:conversations", "read:feedback", "write:feedback", "read:knowledge", "write:knowledge", "read:operators", "write:operators", "read:roles"]', TRUE, $NOW, $NOW, 1),
    ('rol_tenantstaff00000000000', 'tenant_staff', '["read:tenants", "read:logs", "read:stats", "read:feedback", "write:feedback", "read:knowledge", "write:knowledge"]', TRUE, $NOW, $NOW, 1)
    ON CONFLICT (name) DO NOTHING;
CREATE INDEX operators_tenant ON operators (tenant_id);
"#;
