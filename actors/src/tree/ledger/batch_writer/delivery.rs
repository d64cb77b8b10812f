//! One delivery: what a lease holds, onto the books, whatever is in it.
//!
//! Everything here may run twice for the same entries (a crash between commit and ack): the ledger's cursor
//! and keys make that harmless. An entry that cannot be read or that no table takes becomes a dead letter, in
//! the database and in the spool's `dead/` segments, before its lease is acked.

use std::collections::HashSet;
use std::sync::Arc;

use prost::Message;
use serde::Serialize;
use tokio::sync::{broadcast, watch};

use crate::domain::clock::SharedClock;
use crate::domain::record::{RECORD_KIND, Record};
use crate::domain::setting::InForce;
use crate::ledger_store::bisect::{Settlement, settle};
use crate::ledger_store::{Batch, DeadLetter, LedgerStore, Outcome, RID_CONFLICT, WriteError};
use crate::spool::{Entry, Lease, Settled, Spool};

use crate::tree::ledger::LedgerSettings;

/// Fact: everything one lease held is on the books.
///
/// Announced at least once for each record the ledger took. A crash between commit and ack delivers the same
/// lease again, and so does a commit that was interrupted half-way: then `records` holds rows that an earlier
/// announcement may have held (`count` is less than their number, 0 when all were there). Whoever counts keys
/// by `rid`; whoever only shows the newest needs to do nothing. A listener that falls far behind misses whole
/// announcements (`RecvError::Lagged`) and reads the log instead.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BatchCommitted {
    /// In the order of the spool, dead letters and records told twice left out; never empty. Shared by all listeners.
    pub records: Arc<[Record]>,
    /// Least and greatest rid of `records`; other rows may lie between.
    pub rids: (i64, i64),
    /// Rows that are new.
    pub count: u64,
}

/// How the writer stands to its database.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Condition {
    /// Since when the database takes nothing, microseconds since the Unix epoch.
    pub unavailable_since: Option<i64>,
    /// What it last answered, while it takes nothing.
    pub reason: Option<String>,
    /// Failed tries in a row.
    pub tries: u32,
    /// Rows no month's partition claimed (PostgreSQL). Worth an alert.
    pub stray_rows: u64,
}

/// Hears of each record that is left out because its call is on the books already: whoever counted it takes it back.
pub type LeftOut = Arc<dyn Fn(&Record) + Send + Sync>;

/// What the batch writer works with.
pub struct Parts {
    /// Where entries come from.
    pub spool: Arc<Spool>,
    /// Where records go.
    pub store: Arc<dyn LedgerStore>,
    /// Whose spool it is.
    pub node: u8,
    /// Stamps dead letters, tells the month.
    pub clock: SharedClock,
    /// How it waits and gives up.
    pub settings: LedgerSettings,
    /// What makes a batch.
    pub in_force: InForce,
    /// Where commits are announced.
    pub committed: broadcast::Sender<BatchCommitted>,
    /// Where its condition is published.
    pub condition: watch::Sender<Condition>,
    /// Told of what was told twice.
    pub left_out: LeftOut,
}

/// Entries of a lease, read.
struct Readable {
    records: Vec<(u64, Record)>,
    unreadable: Vec<DeadLetter>,
}

/// Puts everything in `lease` on the books; the caller acks with the answer.
///
/// # Errors
/// The database or the disk takes nothing at present; the same lease can be delivered again.
pub async fn deliver(parts: &Parts, lease: &Lease) -> Result<Settled, WriteError> {
    let Readable {
        records,
        unreadable,
    } = read(&lease.entries);
    let now_micros = parts.clock.now_micros();
    if !unreadable.is_empty() {
        tracing::error!(
            many = unreadable.len(),
            "spool entries cannot be read as records; they become dead letters"
        );
        // The cursor stays: only the batch below settles what lies between.
        parts
            .store
            .dead_letter(parts.node, &unreadable, 0, now_micros)
            .await?;
    }
    let upto_seq = lease.entries.last().map_or(0, |entry| entry.seq);
    let batch = Batch {
        node: parts.node,
        entries: &records,
        upto_seq,
        now_micros,
    };
    let Settlement { outcome, refused } = settle(&*parts.store, batch).await?;
    let mut dead: Vec<(u64, String)> = refused;
    dead.extend(
        unreadable
            .into_iter()
            .map(|letter| (letter.seq, letter.reason)),
    );
    let known = outcome.dead_lettered.iter();
    dead.extend(known.map(|seq| (*seq, RID_CONFLICT.to_owned())));
    keep_in_spool(parts, lease, &dead).await?;
    announce(parts, records, &dead, &outcome);
    Ok(Settled {
        stored: outcome.inserted + outcome.skipped + outcome.duplicates.len() as u64,
        dead_lettered: dead.len() as u64,
    })
}

/// Tells who listens; nobody listening is no failure.
fn announce(parts: &Parts, records: Vec<(u64, Record)>, dead: &[(u64, String)], outcome: &Outcome) {
    let dead = dead.iter().map(|(seq, _)| seq);
    let duplicates: HashSet<u64> = outcome.duplicates.iter().copied().collect();
    for (_, record) in records.iter().filter(|(seq, _)| duplicates.contains(seq)) {
        (parts.left_out)(record);
    }
    let left_out: HashSet<u64> = dead.chain(&outcome.duplicates).copied().collect();
    let records: Arc<[Record]> = records
        .into_iter()
        .filter(|(seq, _)| !left_out.contains(seq))
        .map(|(_, record)| record)
        .collect();
    let least = records.iter().map(|record| record.rid).min();
    let greatest = records.iter().map(|record| record.rid).max();
    if let (Some(least), Some(greatest)) = (least, greatest) {
        let _ = parts.committed.send(BatchCommitted {
            records,
            rids: (least, greatest),
            count: outcome.inserted,
        });
    }
}

fn read(entries: &[Entry]) -> Readable {
    let mut readable = Readable {
        records: Vec::with_capacity(entries.len()),
        unreadable: Vec::new(),
    };
    for entry in entries {
        let record = match entry.kind {
            RECORD_KIND => Record::decode(entry.payload.clone()).map_err(|error| error.to_string()),
            kind => Err(format!("unknown kind {kind}")),
        };
        match record {
            Ok(record) => readable.records.push((entry.seq, record)),
            Err(reason) => readable.unreadable.push(DeadLetter {
                seq: entry.seq,
                rid: None,
                reason,
                payload: entry.payload.to_vec(),
            }),
        }
    }
    readable
}

/// Blocking (it syncs), and rare.
async fn keep_in_spool(
    parts: &Parts,
    lease: &Lease,
    dead: &[(u64, String)],
) -> Result<(), WriteError> {
    if dead.is_empty() {
        return Ok(());
    }
    let letters: Vec<(Entry, String)> = dead
        .iter()
        .filter_map(|(seq, reason)| {
            let entry = lease.entries.iter().find(|entry| entry.seq == *seq)?;
            Some((entry.clone(), reason.clone()))
        })
        .collect();
    let spool = Arc::clone(&parts.spool);
    let kept = tokio::task::spawn_blocking(move || {
        letters
            .iter()
            .try_for_each(|(entry, reason)| spool.dead_letter(entry, reason))
    });
    match kept.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(WriteError::Unavailable(error.to_string())),
        Err(stopped) => Err(WriteError::Unavailable(stopped.to_string())),
    }
}
