//! Leaves out records told from outside of calls that are on the books already.
//!
//! Keys ([`crate::domain::seen`]) are kept in buckets of six hours for at least 48 hours, looked up and written
//! in the transaction that stores the rows, so that a crash can neither lose one nor remember one without its
//! row. A bucket comes first in the primary key: new keys go to the end of the table, and what is too old lies
//! at its beginning. The gateway's own calls write their keys and are never left out.
//!
//! A key among others costs a page of its own, far more than the row it belongs to. So the gateway's calls of a tenant
//! that tells nothing leave theirs in one piece a batch, for an hour; when the tenant tells of its first call, what it
//! left so is put in order, in that transaction, and from then on (until it has told nothing for thirty days)
//! its keys go where they are looked up.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::domain::record::Record;
use crate::domain::seen::is_told;

use super::WriteError;
use super::write::Transaction;

const BUCKET_MICROS: i64 = 6 * 3_600 * 1_000_000;
/// Buckets before the present one that are looked at.
const BUCKETS_KEPT: i64 = 8;
/// Keys taken away by one transaction: more than it can add, so that old ones do not pile up.
pub(super) const FORGOTTEN_AT_ONCE: i64 = 8_000;
/// Buckets after which a tenant that told nothing more is none that tells.
const TELLING_BUCKETS: i64 = 4 * 30;
/// How long the keys of tenants that tell nothing are kept.
const RECENT_MICROS: i64 = 3_600 * 1_000_000;
/// Batches' pieces taken away by one transaction, which adds one.
pub(super) const RECENT_FORGOTTEN_AT_ONCE: i64 = 16;
/// Pieces read at a time when a tenant begins to tell.
const PIECES: i64 = 256;
/// Most keys put in order for tenants that begin to tell: what a transaction can do in about a second.
const ORDERED_AT_ONCE: usize = 200_000;

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
    let tellers = tellers(transaction, entries, now, now_micros).await?;
    keep_recent(transaction, entries, &tellers, now_micros).await?;
    // The rest of this is about those that tell.
    let keys = |of: fn(&Record) -> bool| -> Vec<i64> {
        let mut keys: Vec<i64> = entries
            .iter()
            .filter(|(_, record)| tellers.contains(&record.tenant_id) && of(record))
            .flat_map(|(_, record)| record.seen_keys.iter().copied())
            .collect();
        // Sorted, so that two nodes that see the same keys cannot deadlock.
        keys.sort_unstable();
        keys.dedup();
        keys
    };
    let all = keys(|_| true);
    let told = keys(is_told);
    if all.is_empty() {
        return Ok(Vec::new());
    }
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

/// The tenants whose keys are looked up, those of this batch that begin to tell among them.
async fn tellers<T: Transaction>(
    transaction: &mut T,
    entries: &[&(u64, Record)],
    now: i64,
    now_micros: i64,
) -> Result<HashSet<i64>, WriteError> {
    let telling: BTreeSet<i64> = entries
        .iter()
        .filter(|(_, record)| is_told(record))
        .map(|(_, record)| record.tenant_id)
        .collect();
    let since = now - TELLING_BUCKETS;
    let begins = |known: &HashMap<i64, i64>| telling.iter().any(|id| !known.contains_key(id));
    // Which lock it takes is asked without one; what counts is what is known under it.
    let exclusive = !telling.is_empty() && begins(&transaction.tellers(since).await?);
    transaction.lock_tellers(exclusive).await?;
    let mut known = transaction.tellers(since).await?;
    let new: HashSet<i64> = telling
        .iter()
        .copied()
        .filter(|id| !known.contains_key(id))
        .collect();
    if !new.is_empty() {
        put_in_order(transaction, &new, now, now_micros).await?;
    }
    for tenant_id in telling {
        if known.insert(tenant_id, now).is_none_or(|last| last < now) {
            transaction.set_teller(tenant_id, now).await?;
        }
    }
    Ok(known.into_keys().collect())
}

/// What the tenants' calls of the last hour left in pieces goes where keys are looked up.
async fn put_in_order<T: Transaction>(
    transaction: &mut T,
    tenants: &HashSet<i64>,
    now: i64,
    now_micros: i64,
) -> Result<(), WriteError> {
    let mut keys = Vec::new();
    let mut before_id = i64::MAX;
    while keys.len() < ORDERED_AT_ONCE {
        let pieces = transaction
            .recent(now_micros - RECENT_MICROS, before_id, PIECES)
            .await?;
        let Some((last, _)) = pieces.last() else {
            break;
        };
        before_id = *last;
        let pairs = pieces.iter().flat_map(|(_, piece)| pairs(piece));
        keys.extend(pairs.filter_map(|(tenant, key)| tenants.contains(&tenant).then_some(key)));
    }
    keys.truncate(ORDERED_AT_ONCE);
    keys.sort_unstable();
    keys.dedup();
    transaction.see(now, &keys).await?;
    Ok(())
}

/// Keeps the keys of the gateway's calls of all other tenants, in one piece.
async fn keep_recent<T: Transaction>(
    transaction: &mut T,
    entries: &[&(u64, Record)],
    tellers: &HashSet<i64>,
    now_micros: i64,
) -> Result<(), WriteError> {
    let mut piece = Vec::new();
    for (_, record) in entries {
        if !tellers.contains(&record.tenant_id) {
            for key in &record.seen_keys {
                piece.extend_from_slice(&record.tenant_id.to_le_bytes());
                piece.extend_from_slice(&key.to_le_bytes());
            }
        }
    }
    if !piece.is_empty() {
        transaction.keep_recent(&piece, now_micros).await?;
        transaction
            .forget_recent(now_micros - RECENT_MICROS)
            .await?;
    }
    Ok(())
}

/// The tenants and keys of a piece.
fn pairs(piece: &[u8]) -> impl Iterator<Item = (i64, i64)> {
    let (words, _) = piece.as_chunks::<8>();
    words
        .chunks_exact(2)
        .map(|pair| (i64::from_le_bytes(pair[0]), i64::from_le_bytes(pair[1])))
}
