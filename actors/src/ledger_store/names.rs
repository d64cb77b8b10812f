//! The small integers behind names, remembered between batches.
//!
//! A batch asks the database only for names it has never met and for tokens, accounts and tenants whose name
//! changed. What a transaction learns is merged in after its commit: a rolled-back id must not be remembered.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::domain::record::Record;

use super::row::clean;

/// A table is forgotten when it holds more than this: a flood of user names must not become a flood of memory.
const REMEMBERED_MAX: usize = 100_000;

/// The tables of plain names.
pub(super) const NAME_TABLES: [&str; 4] = ["apps", "end_users", "models", "providers"];
const APPS: usize = 0;
const END_USERS: usize = 1;
const MODELS: usize = 2;
const PROVIDERS: usize = 3;

/// The tables that mirror names of the control plane.
pub(super) const DIM_TABLES: [&str; 4] = [
    "dim_tokens",
    "dim_accounts",
    "dim_tenants",
    "dim_prompt_versions",
];
const TOKENS: usize = 0;
/// The one of [`DIM_TABLES`] that has a provider.
pub(super) const ACCOUNTS: usize = 1;
const TENANTS: usize = 2;
const PROMPT_VERSIONS: usize = 3;

/// What a control-plane row is called.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Dim {
    pub(super) public_id: String,
    pub(super) name: String,
    /// Accounts only; empty when the record did not tell (a failed attempt).
    pub(super) provider: String,
}

/// What a batch needs from the database before its rows can be built.
#[derive(Default)]
pub(super) struct Wanted {
    /// Sorted, so that two nodes upserting the same names cannot deadlock.
    pub(super) names: [BTreeSet<String>; 4],
    pub(super) dims: [BTreeMap<i64, Dim>; 4],
}

/// What a transaction found out; becomes part of [`Names`] when it commits.
#[derive(Default)]
pub(super) struct Learned {
    pub(super) names: [HashMap<String, i64>; 4],
    pub(super) dims: [BTreeMap<i64, Dim>; 4],
}

/// A record's references. 0 is nobody.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Resolved {
    pub(super) app_id: i64,
    pub(super) end_user_id: i64,
    pub(super) model_id: i64,
    pub(super) upstream_model_id: i64,
    pub(super) provider_id: i64,
}

/// The memory itself.
#[derive(Default)]
pub(super) struct Names {
    names: [HashMap<String, i64>; 4],
    dims: [HashMap<i64, Dim>; 4],
}

impl Names {
    /// What is unknown or changed in `records`; where they disagree the last one wins.
    pub(super) fn wanted<'a>(&self, records: impl Iterator<Item = &'a Record>) -> Wanted {
        let mut wanted = Wanted::default();
        for record in records {
            for (table, name) in [
                (APPS, &record.app),
                (END_USERS, &record.end_user),
                (MODELS, &record.model),
                (MODELS, &record.upstream_model),
                (PROVIDERS, &record.provider),
            ] {
                if !name.is_empty() && !self.names[table].contains_key(clean(name).as_ref()) {
                    wanted.names[table].insert(clean(name).into_owned());
                }
            }
            let (tokens, accounts, tenants) = (
                &record.token_public_id,
                &record.account_public_id,
                &record.tenant_public_id,
            );
            self.want_dim(
                &mut wanted,
                TOKENS,
                record.token_id,
                tokens,
                &record.token_name,
                "",
            );
            self.want_dim(
                &mut wanted,
                TENANTS,
                record.tenant_id,
                tenants,
                &record.tenant_name,
                "",
            );
            self.want_dim(
                &mut wanted,
                PROMPT_VERSIONS,
                record.prompt_version_id,
                &record.prompt_public_id,
                &record.prompt,
                "",
            );
            for attempt in &record.attempts {
                if attempt.account_id != record.account_id {
                    let (id, name) = (&attempt.account_public_id, &attempt.account_name);
                    self.want_dim(&mut wanted, ACCOUNTS, attempt.account_id, id, name, "");
                }
            }
            let (name, provider) = (&record.account_name, record.provider.as_str());
            self.want_dim(
                &mut wanted,
                ACCOUNTS,
                record.account_id,
                accounts,
                name,
                provider,
            );
        }
        wanted
    }

    fn want_dim(
        &self,
        wanted: &mut Wanted,
        table: usize,
        id: i64,
        public_id: &str,
        name: &str,
        provider: &str,
    ) {
        let known = wanted.dims[table]
            .get(&id)
            .or_else(|| self.dims[table].get(&id));
        let same = known.is_some_and(|dim| {
            dim.public_id == public_id
                && dim.name == name
                && (provider.is_empty() || dim.provider == provider)
        });
        if id == 0 || same {
            return;
        }
        let provider = match known {
            Some(dim) if provider.is_empty() => dim.provider.clone(),
            _ => clean(provider).into_owned(),
        };
        let dim = Dim {
            public_id: clean(public_id).into_owned(),
            name: clean(name).into_owned(),
            provider,
        };
        wanted.dims[table].insert(id, dim);
    }

    /// A record's references, `None` when a name is known neither here nor in `learned`.
    pub(super) fn resolve(&self, learned: &Learned, record: &Record) -> Option<Resolved> {
        let id = |table: usize, name: &str| {
            if name.is_empty() {
                return Some(0);
            }
            let name = clean(name);
            self.names[table]
                .get(name.as_ref())
                .or_else(|| learned.names[table].get(name.as_ref()))
                .copied()
        };
        Some(Resolved {
            app_id: id(APPS, &record.app)?,
            end_user_id: id(END_USERS, &record.end_user)?,
            model_id: id(MODELS, &record.model)?,
            upstream_model_id: id(MODELS, &record.upstream_model)?,
            provider_id: id(PROVIDERS, &record.provider)?,
        })
    }

    /// Remembers what a committed transaction learnt.
    pub(super) fn merge(&mut self, learned: Learned) {
        for (table, new) in self.names.iter_mut().zip(learned.names) {
            if table.len() + new.len() > REMEMBERED_MAX {
                table.clear();
            }
            table.extend(new);
        }
        for (table, new) in self.dims.iter_mut().zip(learned.dims) {
            if table.len() + new.len() > REMEMBERED_MAX {
                table.clear();
            }
            table.extend(new);
        }
    }

    /// Forgets everything: the database behind the connection may be another one now.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}
