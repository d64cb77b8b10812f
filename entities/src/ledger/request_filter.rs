//! Which requests somebody asks for, and which index leads to them.
//!
//! One condition drives (an index ends in the key, so its rows come in key order); all others are looked at
//! row by row. The others are spelt `column + 0`, which keeps a planner from preferring their index over the
//! driver's bounded range.

use sea_orm::DbBackend;

use super::sql::Sql;

/// Filters of the request log; all given ones must hold.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RequestFilter {
    pub token_id: Option<i64>,
    pub account_id: Option<i64>,
    /// Also the scope of tenant operators.
    pub tenant_id: Option<i64>,
    /// Name of the application.
    pub app: Option<String>,
    /// Name of the end user.
    pub user: Option<String>,
    /// 0 api, 1 web.
    pub mode: Option<i16>,
    pub provider: Option<String>,
    /// The model asked for.
    pub model: Option<String>,
    /// Made with one of these versions of prompts.
    pub prompt_versions: Option<Vec<i64>>,
    pub success: Option<bool>,
    pub status_code: Option<i32>,
    pub min_duration_ms: Option<i64>,
    /// Part of a user's, app's, model's or token's name, of the error, or a whole conversation id.
    pub q: Option<String>,
    /// Least rid, included (`Rid::floor_of_ms(from)`).
    pub rid_from: Option<i64>,
    /// Greatest rid, excluded (`Rid::floor_of_ms(to)`).
    pub rid_to: Option<i64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Driver {
    Token(i64),
    Account(i64),
    PromptVersion(i64),
    /// A failed status: every status from 400 on is a failure.
    Failed(i32),
    /// Failures of any status.
    Failures,
    /// The key itself.
    Key,
}

impl RequestFilter {
    fn driver(&self) -> Driver {
        let version = match self.prompt_versions.as_deref() {
            Some([version]) => Some(*version),
            _ => None,
        };
        match (self.token_id, self.account_id, version, self.status_code) {
            (Some(token), _, _, _) => Driver::Token(token),
            (_, Some(account), _, _) => Driver::Account(account),
            (_, _, Some(version), _) => Driver::PromptVersion(version),
            (_, _, _, Some(status)) if status >= 400 && self.success != Some(true) => {
                Driver::Failed(status)
            }
            _ if self.success == Some(false) => Driver::Failures,
            _ => Driver::Key,
        }
    }

    /// Whether rows of the driver's range may still have to be left out.
    pub(super) fn is_sparse(&self) -> bool {
        let mut rest = Sql::new(DbBackend::Sqlite, "");
        self.rest(&mut rest) > 0
    }

    /// Appends the driver and the range `[from, to)` of rids.
    pub(super) fn drive(&self, sql: &mut Sql, from: i64, to: i64) {
        sql.push("rid >= ").bind(from).push(" AND rid < ").bind(to);
        match self.driver() {
            Driver::Token(id) => sql.push(" AND token_id = ").bind(id),
            Driver::Account(id) => sql.push(" AND account_id = ").bind(id),
            Driver::PromptVersion(id) => sql.push(" AND prompt_version_id = ").bind(id),
            Driver::Failed(status) => sql
                .push(" AND success = FALSE AND status_code = ")
                .bind(status),
            // Twice: the words of its index's condition, and the equality on its column (see m0002_failures).
            Driver::Failures => sql.push(" AND NOT success AND success = FALSE"),
            Driver::Key => sql,
        };
    }

    /// Appends every other condition; answers how many there are.
    pub(super) fn rest(&self, sql: &mut Sql) -> usize {
        let driver = self.driver();
        let mut many = 0;
        let mut number = |sql: &mut Sql, column: &str, value: Option<i64>| {
            if let Some(value) = value {
                sql.push(" AND (").push(column).push(" + 0) = ").bind(value);
                many += 1;
            }
        };
        if !matches!(driver, Driver::Account(_)) {
            number(sql, "account_id", self.account_id);
        }
        number(sql, "tenant_id", self.tenant_id);
        number(sql, "mode", self.mode.map(i64::from));
        if !matches!(driver, Driver::Failed(_)) {
            number(sql, "status_code", self.status_code.map(i64::from));
        }
        match (driver, self.success) {
            (_, None) | (Driver::Failed(_) | Driver::Failures, Some(false)) => {}
            (_, Some(success)) => {
                sql.push(if success {
                    " AND success"
                } else {
                    " AND NOT success"
                });
                many += 1;
            }
        }
        for (column, table, name) in [
            ("app_id", "apps", &self.app),
            ("end_user_id", "end_users", &self.user),
            ("model_id", "models", &self.model),
        ] {
            if let Some(name) = name {
                // The empty name is nobody, whose id is 0.
                sql.push(" AND ").push(column);
                sql.push(" = coalesce((SELECT id FROM ").push(table);
                sql.push(" WHERE name = ").bind(name.as_str());
                sql.push(if name.is_empty() { "), 0)" } else { "), -1)" });
                many += 1;
            }
        }
        if let Some(versions) = &self.prompt_versions
            && !matches!(driver, Driver::PromptVersion(_))
        {
            sql.push(" AND (prompt_version_id + 0) IN ")
                .bind_list(versions);
            many += 1;
        }
        if let Some(provider) = &self.provider {
            sql.push(" AND provider = ").bind(provider.as_str());
            many += 1;
        }
        if let Some(least) = self.min_duration_ms {
            sql.push(" AND duration_ms >= ").bind(least);
            many += 1;
        }
        if let Some(text) = self.q.as_deref().filter(|text| !text.is_empty()) {
            search(sql, text);
            many += 1;
        }
        many
    }
}

fn search(sql: &mut Sql, text: &str) {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_");
    let pattern = format!("%{escaped}%");
    let like = sql.like();
    sql.push(" AND (conversation_id = ").bind(text);
    for column in ["error_code", "error_message"] {
        sql.push(" OR ").push(column).push(" ").push(like).push(" ");
        sql.bind(pattern.as_str()).push(" ESCAPE '\\'");
    }
    for (column, table) in [
        ("end_user_id", "end_users"),
        ("app_id", "apps"),
        ("model_id", "models"),
        ("(token_id + 0)", "dim_tokens"),
    ] {
        sql.push(" OR ").push(column).push(" IN (SELECT id FROM ");
        sql.push(table).push(" WHERE name ").push(like).push(" ");
        sql.bind(pattern.as_str()).push(" ESCAPE '\\')");
    }
    sql.push(")");
}
