//! Months that lie in the place and that the table knows nothing of: after a restore of an older backup, or on a new
//! machine. They are taken up, so that they are listed and can be brought back.
//!
//! A month that is taken up counts as archived: retention may let go what the database has of it, once that was compared
//! with its files ([`super::late`]). One that has fewer rows
//! than the database, or that another installation wrote while there are rows of ours, is left out, with the reason.

use std::collections::BTreeMap;

use sea_orm::DbErr;
use serde_json::{Value, json};
use steward_entities::archive::{self, NewArchive};
use steward_entities::database::begin_write;

use super::manifest::{self, Manifest};
use super::place::{Lying, There, is_whole, manifests, month_of, newest};
use super::{ArchiveError, Parts};
use crate::contents::store::Month;
use crate::jobs::{JobContext, JobKind};
use crate::retention::Kind;

/// The kind of the job.
pub const FIND: &str = "archives.find";

/// What was found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Found {
    /// Months that were taken up.
    pub found: Vec<String>,
    /// Months that were not, each with the reason.
    pub left_out: Vec<(String, String)>,
}

/// Takes up what lies in the place where new months go.
///
/// # Errors
/// When the place or a database does not answer; what was taken up before stays.
pub async fn find(
    parts: &Parts,
    progress: &(dyn Fn(u8) + Sync),
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Found, ArchiveError> {
    let There {
        depot,
        id: place_id,
    } = parts.current().await?;
    let archived = archive::all(&parts.databases.control_read).await?;
    // A month has a manifest for each of its parts.
    let names = manifests(depot.as_ref()).await?;
    let months: BTreeMap<String, (Kind, Month)> = names
        .iter()
        .filter_map(|name| Some((manifest::before(name).to_owned(), month_of(name)?)))
        .collect();
    let owner = parts.owner().await?;
    let mut all = Found::default();
    for (done, (before, (kind, month))) in months.iter().enumerate() {
        progress(
            u8::try_from(done * 100 / months.len())
                .unwrap_or(99)
                .min(99),
        );
        let (kind, month) = (*kind, *month);
        let is_known = |row: &archive::Model| row.kind == kind.name() && row.month == month.name();
        if archived.iter().any(is_known) {
            continue;
        }
        if is_cancelled() {
            break;
        }
        let called = format!("{} {}", kind.name(), month.name());
        let Some(lying) = newest(depot.as_ref(), before).await? else {
            let why = "its manifest cannot be read".to_owned();
            all.left_out.push((called, why));
            continue;
        };
        let refused = match is_whole(depot.as_ref(), before, &lying.manifest).await? {
            false => Some("files of it are missing".to_owned()),
            true => refused(parts, (kind, month), &lying.manifest, &owner).await?,
        };
        if let Some(why) = refused {
            all.left_out.push((called, why));
            continue;
        }
        let new = new_archive((kind, month), lying, place_id);
        let now = parts.clock.now_micros();
        let txn = begin_write(&parts.databases.control).await?;
        archive::insert(&txn, new, now).await?;
        txn.commit().await?;
        all.found.push(called);
    }
    tracing::info!(found = all.found.len(), "archived months were looked for");
    Ok(all)
}

/// Why a month is not taken up.
async fn refused(
    parts: &Parts,
    (kind, month): (Kind, Month),
    manifest: &Manifest,
    owner: &str,
) -> Result<Option<String>, ArchiveError> {
    if manifest.kind != kind.name() || manifest.month != month.name() {
        return Ok(Some("its manifest tells of another month".to_owned()));
    }
    let rids = (month.from(), month.to());
    let most = manifest.rows.saturating_add(1);
    let here = match kind.table() {
        Some(table) => {
            let read = &parts.databases.ledger_read;
            table.census(read, rids, most).await?.rows
        }
        None => parts.contents.census(rids, most).await?.rows,
    };
    Ok(match here {
        0 => None,
        here if here > manifest.rows => Some("the database has more of it".to_owned()),
        _ if !manifest.owner.is_empty() && manifest.owner != owner => {
            Some("another installation wrote it, and there are rows of this month here".to_owned())
        }
        _ => None,
    })
}

/// A month as the table has it.
pub(super) fn new_archive(
    (kind, month): (Kind, Month),
    lying: Lying,
    place_id: Option<i64>,
) -> NewArchive {
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    NewArchive {
        kind: kind.name(),
        month: month.name(),
        rows: whole(lying.manifest.rows),
        bytes: whole(lying.manifest.bytes()),
        manifest: lying.name,
        sha256: lying.sha256,
        place_id,
        parts: lying.parts,
    }
}

/// The job [`FIND`].
pub struct FindMonths {
    pub parts: Parts,
}

#[async_trait::async_trait]
impl JobKind for FindMonths {
    fn kind(&self) -> &str {
        FIND
    }

    async fn run(&self, context: JobContext) -> Result<Value, String> {
        let (parts, home) = (self.parts.clone(), self.parts.databases.clone());
        let found = home.at_home(async move {
            let progress = |per_cent| context.progress(per_cent);
            find(&parts, &progress, &|| context.is_cancelled())
                .await
                .map_err(|error| DbErr::Custom(error.to_string()))
        });
        let Found { found, left_out } = found.await.map_err(|error| error.to_string())?;
        let left_out: Vec<Value> = left_out
            .into_iter()
            .map(|(month, why)| json!({ "month": month, "why": why }))
            .collect();
        Ok(json!({ "found": found, "left_out": left_out }))
    }
}
