//! Settles a batch whatever is in it: a record no table takes is found by halving and becomes a dead letter.
//!
//! Only the data's fault is bisected. When the database is not available the batch stays as it is; parts
//! already committed are skipped next time by the cursor.

use prost::Message;

use crate::domain::record::Record;

use super::{Batch, DeadLetter, LedgerStore, Outcome, WriteError};

/// What became of every entry of a batch.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Settlement {
    /// Of what the ledger took or knew.
    pub outcome: Outcome,
    /// Sequence number and reason of what it refused (also in `dead_letters`), conflicts of rid not included.
    pub refused: Vec<(u64, String)>,
}

/// Writes `batch`; on a data error writes its halves in order, down to the record that is refused.
///
/// # Errors
/// [`WriteError::Unavailable`] only; calling it again with the same batch continues.
pub async fn settle(store: &dyn LedgerStore, batch: Batch<'_>) -> Result<Settlement, WriteError> {
    let mut settlement = Settlement::default();
    let mut parts = vec![(batch.entries, batch.upto_seq)];
    while let Some((entries, upto_seq)) = parts.pop() {
        let part = Batch {
            entries,
            upto_seq,
            ..batch
        };
        let reason = match store.write(part).await {
            Ok(outcome) => {
                settlement.outcome.absorb(outcome);
                continue;
            }
            Err(WriteError::Data(reason)) => reason,
            Err(unavailable) => return Err(unavailable),
        };
        match entries {
            // An empty batch holds no data that could be at fault.
            [] => return Err(WriteError::Unavailable(reason)),
            [(seq, record)] => {
                refuse(store, batch, *seq, record, upto_seq, &reason).await?;
                settlement.refused.push((*seq, reason));
            }
            many => {
                let (first, second) = many.split_at(many.len() / 2);
                let first_upto = first.last().map_or(upto_seq, |(seq, _)| *seq);
                parts.push((second, upto_seq));
                parts.push((first, first_upto));
            }
        }
    }
    Ok(settlement)
}

async fn refuse(
    store: &dyn LedgerStore,
    batch: Batch<'_>,
    seq: u64,
    record: &Record,
    upto_seq: u64,
    reason: &str,
) -> Result<(), WriteError> {
    let letter = DeadLetter {
        seq,
        rid: Some(record.rid),
        reason: reason.to_owned(),
        payload: record.encode_to_vec(),
    };
    tracing::error!(
        seq,
        rid = record.rid,
        reason,
        "the ledger refuses a record; it becomes a dead letter"
    );
    match store
        .dead_letter(batch.node, &[letter], upto_seq, batch.now_micros)
        .await
    {
        // Not even the letter is taken: then waiting is all that loses nothing.
        Err(WriteError::Data(reason)) => Err(WriteError::Unavailable(reason)),
        other => other,
    }
}
