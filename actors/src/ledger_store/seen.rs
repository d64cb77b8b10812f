//! Leaves out records told from outside of calls that are on the books already.
//!
//! Keys ([`crate::domain::seen`]) are kept in buckets of six hours for at least 48 hours, looked up and written
//! in the transaction that stores the rows, so that a crash can neither lose one nor remember one without its
//! row. A bucket comes first in the primary key: new keys go to the end of the table, and what is too old lies
//! at its beginning. The gateway's own calls write their keys and are never left out.

use std::collections::{HashMap, HashSet};

use crate::domain::record::Record;
use crate::domain::seen::is_told;

use super::WriteError;
use super::write::Transaction;

const BUCKET_MICROS: i64 = 6 * 3_600 * 1_000_000;
/// Buckets before the present one that are looked at.
const BUCKETS_KEPT: i64 = 8;
/// Keys taken away by one transaction: more than it can add, so that old ones do not pile up.
pub(super) const FORGOTTEN_AT_ONCE: i64 = 8_000;

/// Takes the records that are told twice out of `entries`; answers their sequence numbers. Every other record's
/// keys are kept.
pub(super) async fn leave_out<T: Transaction>(
    transaction: &mut T,
    entries: &mut Vec<&(u64, Record)>,
    now_micros: i64,
) -> Result<Vec<u64>, WriteError> {
    if entries
        .iter()
        .all(|(_, record)| record.seen_keys.is_empty())
    {
        return Ok(Vec::new());
    }
    let now = now_micros.div_euclid(BUCKET_MICROS);
    let keys = |of: fn(&Record) -> bool| -> Vec<i64> {
        let mut keys: Vec<i64> = entries
            .iter()
            .filter(|(_, record)| of(record))
            .flat_map(|(_, record)| record.seen_keys.iter().copied())
            .collect();
        // Sorted, so that two nodes that see the same keys cannot deadlock.
        keys.sort_unstable();
        keys.dedup();
        keys
    };
    let all = keys(|_| true);
    let told = keys(is_told);
    // A clock that was set back finds its keys in the bucket after the present one.
    let buckets: Vec<i64> = (now - BUCKETS_KEPT..=now + 1).collect();
    let mut known = if told.is_empty() {
        HashSet::new()
    } else {
        transaction.seen(&buckets, &told).await?
    };
    // Before anything is looked at here: another node may be writing the same at this moment, and has it when
    // this returns.
    let new = transaction.see(now, &all).await?;
    known.extend(told.iter().filter(|key| !new.contains(key)));
    transaction.forget_seen(now - BUCKETS_KEPT).await?;
    let mut duplicates = Vec::new();
    // Of what is told twice within the batch the gateway's own goes first, then the order of the spool.
    let mut first: HashMap<i64, u64> = HashMap::new();
    for (seq, record) in entries.iter().filter(|(_, record)| !is_told(record)) {
        first.extend(record.seen_keys.iter().map(|key| (*key, *seq)));
    }
    entries.retain(|(seq, record)| {
        if !is_told(record) {
            return true;
        }
        let again = record
            .seen_keys
            .iter()
            .any(|key| known.contains(key) || first.get(key).is_some_and(|earlier| earlier != seq));
        if again {
            duplicates.push(*seq);
        }
        // One that is left out speaks for its other keys too: the call has several names.
        for key in &record.seen_keys {
            first.entry(*key).or_insert(*seq);
        }
        !again
    });
    Ok(duplicates)
}
