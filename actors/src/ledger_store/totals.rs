//! Sums of the rows that are new, per token and per tenant.

use std::collections::BTreeMap;

use crate::domain::record::{Record, Source};

/// What a batch adds to one row of `token_totals` or `tenant_totals`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Total {
    pub(super) requests: i64,
    pub(super) tokens: i64,
    /// Greatest end of an answer, microseconds since the Unix epoch; 0 for none. Of a tenant those of its callers only.
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
            add(
                totals.tokens.entry(record.token_id).or_default(),
                record,
                true,
            );
            if record.tenant_id != 0 {
                let total = totals.tenants.entry(record.tenant_id).or_default();
                add(total, record, is_activity(record));
            }
        }
        totals
    }
}

/// Whether it shows that somebody of the tenant is there: a caller's call that was let in. What Steward does by itself
/// (no token is behind it) and what was refused at the door show nothing of the kind; of what is told from elsewhere
/// nothing was refused here.
fn is_activity(record: &Record) -> bool {
    let is_told = record.source != Source::Gateway as i32;
    is_told || (record.token_id != 0 && (record.success || !record.attempts.is_empty()))
}

fn add(total: &mut Total, record: &Record, is_activity: bool) {
    total.requests += 1;
    total.tokens = total.tokens.saturating_add(record.total_tokens);
    if is_activity {
        total.last_at = total.last_at.max(record.response_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::record::{Attempt, Operation};

    #[test]
    fn a_tenant_is_active_when_a_caller_of_its_own_was_let_in() {
        let call = |token_id, at| Record {
            token_id,
            tenant_id: 5,
            operation: Operation::Chat as i32,
            response_at: at,
            success: true,
            attempts: vec![Attempt::default()],
            ..Record::default()
        };
        let last = |records: &[Record]| Totals::of(records.iter()).tenants[&5].last_at;
        assert_eq!(last(&[call(1, 10)]), 10);
        // What Steward embeds by night, with no token behind it.
        let own = Record {
            operation: Operation::Embedding as i32,
            ..call(0, 20)
        };
        let refused = Record {
            success: false,
            attempts: Vec::new(),
            error_code: "tenant_suspended".into(),
            ..call(1, 30)
        };
        let records = [call(1, 10), own.clone(), refused.clone()];
        assert_eq!(last(&records), 10);
        assert_eq!(last(&[own, refused.clone()]), 0);
        assert_eq!(Totals::of(records.iter()).tenants[&5].requests, 3);
        // A call that failed on an account was let in; what is told from elsewhere was never at this door.
        let failed = Record {
            attempts: vec![Attempt::default()],
            ..refused.clone()
        };
        assert_eq!(last(&[failed]), 30);
        let told = Record {
            source: Source::Otlp as i32,
            token_id: 0,
            ..refused.clone()
        };
        assert_eq!(last(&[told]), 30);
        // A token's last use is any: who looks for one that leaked wants to know of refused calls too.
        assert_eq!(Totals::of([refused].iter()).tokens[&1].last_at, 30);
    }
}
