//! Sums of the rows that are new, per token and per tenant.

use std::collections::BTreeMap;

use crate::domain::record::Record;

/// What a batch adds to one row of `token_totals` or `tenant_totals`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Total {
    pub(super) requests: i64,
    pub(super) tokens: i64,
    /// Greatest end of an answer, microseconds since the Unix epoch.
    pub(super) last_at: i64,
}

/// Per id, sorted so that upserts lock in one order.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) tokens: BTreeMap<i64, Total>,
    /// Without tenant 0, which is nobody.
    pub(super) tenants: BTreeMap<i64, Total>,
}

impl Totals {
    pub(super) fn of<'a>(records: impl Iterator<Item = &'a Record>) -> Self {
        let mut totals = Self::default();
        for record in records {
            add(totals.tokens.entry(record.token_id).or_default(), record);
            if record.tenant_id != 0 {
                add(totals.tenants.entry(record.tenant_id).or_default(), record);
            }
        }
        totals
    }
}

fn add(total: &mut Total, record: &Record) {
    total.requests += 1;
    total.tokens = total.tokens.saturating_add(record.total_tokens);
    total.last_at = total.last_at.max(record.response_at);
}
