//! Pairs that a job asked for: synchronised whether or not anything else is, and told of one by one.
//!
//! What is asked for stands in `qa_sync_requests`, and is the pair as it reads when its turn comes: one that is edited
//! meanwhile is embedded as it was edited, one that is removed is no longer meant, and one that is edited afterwards waits
//! like any other. Every node's `knowledge_sync` looks there ([`pass`]), so that it does not matter which one runs the job. Each
//! pair is tried once: what fails, the model or the vector store being away included, is told and not waited for. With
//! a vector store, what was embedded before and waits to be pushed goes with it, since a store is filled in order.

use sea_orm::DbErr;
use steward_entities::database::{Databases, begin_write};
use steward_entities::qa_sync_request::{self, Counts, State};
use steward_entities::qa_vector::{self, Which};

use super::Parts;
use super::outage;
use super::sync::{Passed, pass_over};

/// Pairs told of in one transaction.
const SETTLED_ROWS: u64 = 500;

/// Makes a pass over what is asked for; none when nothing is that may be tried now.
///
/// # Errors
/// When a database cannot be read or written; what was embedded stays.
pub async fn pass(parts: &Parts) -> Result<Option<Passed>, DbErr> {
    match is_due(parts).await? {
        true => pass_over(parts, Which::Asked).await.map(Some),
        false => Ok(None),
    }
}

async fn is_due(parts: &Parts) -> Result<bool, DbErr> {
    let (read, model) = (&parts.databases.control_read, &*parts.model);
    if model.is_empty() || !qa_sync_request::any_waiting(read).await? {
        return Ok(false);
    }
    let now = parts.clock.now_micros();
    let outages = outage::all(read).await?;
    let is_away = |of: &str| outages.get(of).is_some_and(|outage| outage.next_at > now);
    if is_away(model) || (parts.store.is_some() && is_away(outage::STORE)) {
        return Ok(false);
    }
    let due = qa_vector::due(read, (model, Which::Asked), now, 0, 1).await?;
    Ok(!due.is_empty())
}

/// Writes down what has come of the pairs that a job asked for, and tells how they stand.
///
/// # Errors
/// When a database cannot be read or written.
pub async fn settle(
    databases: &Databases,
    model: &str,
    job_id: i64,
    asked_at: i64,
) -> Result<Counts, DbErr> {
    let read = &databases.control_read;
    // Looked at first: what was done before the model went away is done.
    let outages = outage::all(read).await?;
    loop {
        let well = qa_sync_request::well(read, job_id, model, SETTLED_ROWS).await?;
        let is_last = (well.len() as u64) < SETTLED_ROWS;
        if !well.is_empty() {
            let txn = begin_write(&databases.control).await?;
            qa_sync_request::settle(&txn, job_id, Some(well), State::Done, "").await?;
            txn.commit().await?;
        }
        if is_last {
            break;
        }
    }
    loop {
        let failed = qa_sync_request::tried_in_vain(read, job_id, model, SETTLED_ROWS).await?;
        let is_last = (failed.len() as u64) < SETTLED_ROWS;
        if !failed.is_empty() {
            let txn = begin_write(&databases.control).await?;
            for same in failed.chunk_by(|one, other| one.1 == other.1) {
                let ids = same.iter().map(|(id, _)| *id).collect();
                let error = same.first().map_or("", |(_, error)| error.as_str());
                qa_sync_request::settle(&txn, job_id, Some(ids), State::Failed, error).await?;
            }
            txn.commit().await?;
        }
        if is_last {
            break;
        }
    }
    let away = [model, outage::STORE]
        .into_iter()
        .filter_map(|of| Some((of, outages.get(of)?)))
        .find(|(_, outage)| outage.failed_at >= asked_at);
    if let Some((of, outage)) = away {
        let error = format!("{of} cannot be asked: {}", outage.error);
        give_up(databases, job_id, &error).await?;
    }
    qa_sync_request::counts(read, job_id).await
}

/// What still waits has failed.
///
/// # Errors
/// When the database cannot be written.
pub async fn give_up(databases: &Databases, job_id: i64, error: &str) -> Result<(), DbErr> {
    let txn = begin_write(&databases.control).await?;
    qa_sync_request::settle(&txn, job_id, None, State::Failed, error).await?;
    txn.commit().await
}

/// Forgets what a job asked for.
///
/// # Errors
/// When the database cannot be written.
pub async fn forget(databases: &Databases, job_id: i64) -> Result<(), DbErr> {
    loop {
        let txn = begin_write(&databases.control).await?;
        let gone = qa_sync_request::clear(&txn, job_id, SETTLED_ROWS).await?;
        txn.commit().await?;
        if gone == 0 {
            return Ok(());
        }
    }
}
