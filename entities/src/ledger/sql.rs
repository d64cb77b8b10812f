//! A statement under construction: text with the backend's placeholders, and its values.

use sea_orm::{DbBackend, Statement, Value};

use crate::database::push_place;

pub(super) struct Sql {
    backend: DbBackend,
    text: String,
    values: Vec<Value>,
}

impl Sql {
    pub(super) fn new(backend: DbBackend, text: &str) -> Self {
        Self {
            backend,
            text: text.to_owned(),
            values: Vec::new(),
        }
    }

    /// Appends text as it stands.
    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Appends a placeholder for `value`.
    pub(super) fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        push_place(&mut self.text, self.backend, self.values.len());
        self
    }

    /// Appends placeholders for `values` in parentheses; an empty list matches nothing.
    pub(super) fn bind_list(&mut self, values: &[i64]) -> &mut Self {
        self.push("(");
        for (index, value) in values.iter().enumerate() {
            self.push(if index == 0 { "" } else { ", " });
            self.bind(*value);
        }
        self.push(if values.is_empty() { "NULL)" } else { ")" })
    }

    /// The operator that matches patterns regardless of (ASCII) case.
    pub(super) fn like(&self) -> &'static str {
        match self.backend {
            DbBackend::Postgres => "ILIKE",
            _ => "LIKE",
        }
    }

    pub(super) fn done(self) -> Statement {
        Statement::from_sql_and_values(self.backend, self.text, self.values)
    }
}
