//! Where months lie: the directory of the configuration, or a folder or bucket that operators set. A month stays where it
//! was written when they choose another; the place's keys are sealed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use steward_entities::database::begin_write;
use steward_entities::{archive, archive_place, instance, public_id};
use zeroize::Zeroizing;

use super::manifest::{self, Manifest};
use super::{ArchiveError, KINDS, Parts, blocking};
use crate::contents::store::Month;
use crate::depot::{self, Depot, DepotError, Place};
use crate::retention::Kind;
use crate::vault::{self, ARCHIVE_PLACE, Sealed, Vault, VaultError};

/// How long a place may take to say what lies there.
const ASKED_WITHIN: Duration = Duration::from_secs(5);
/// Whose months these are, among the facts of the installation.
const OWNER: &str = "archive.owner";
/// Where months that are fetched wait to be read, below the directory.
const COMING: &str = "coming";

/// Seals a place for the row of that public id.
///
/// # Errors
/// When the system gives no random numbers.
pub fn seal_place(vault: &Vault, public_id: &str, place: &Place) -> Result<Sealed, VaultError> {
    let text = serde_json::to_vec(place).map_err(|_| VaultError::DoesNotOpen)?;
    let text = Zeroizing::new(text);
    vault.seal(ARCHIVE_PLACE, vault::Place::archive_place(public_id), &text)
}

/// Opens that of `row`.
///
/// # Errors
/// When the key is gone, or the value was changed.
pub fn open_place(vault: &Vault, row: &archive_place::Model) -> Result<Place, VaultError> {
    let place = vault::Place::archive_place(&row.public_id);
    let text = vault.unseal(ARCHIVE_PLACE, place, &row.sealed_key_id, &row.sealed.0)?;
    serde_json::from_slice(&text).map_err(|_| VaultError::DoesNotOpen)
}

/// Where months are written before they go to their place, below the directory.
const MAKING: &str = "making";

/// A place, open.
pub(super) struct There {
    /// None: the directory.
    pub(super) id: Option<i64>,
    pub(super) depot: Box<dyn Depot>,
}

impl Parts {
    fn open(&self, place: &Place) -> Box<dyn Depot> {
        let (outward, clock) = (Arc::clone(&self.outward), Arc::clone(&self.clock));
        depot::open(place, outward, clock)
    }

    /// Where new months go.
    pub(super) async fn current(&self) -> Result<There, ArchiveError> {
        let row = archive_place::current(&self.databases.control_read).await?;
        let place = match &row {
            Some(row) => open_place(&self.vault, row)?,
            None => Place::Folder {
                path: self.dir.clone(),
            },
        };
        Ok(There {
            id: row.map(|row| row.id),
            depot: self.open(&place),
        })
    }

    /// Where a month is written before it goes to its place.
    pub(super) fn making(&self, kind: Kind, month: Month) -> PathBuf {
        self.dir.join(MAKING).join(kind.name()).join(month.name())
    }

    /// Where an archived month lies; none: in the directory.
    pub(super) async fn of(&self, row: &archive::Model) -> Result<Option<There>, ArchiveError> {
        let Some(id) = row.place_id else {
            return Ok(None);
        };
        let place = archive_place::by_id(&self.databases.control_read, id).await?;
        let place = place.ok_or_else(|| {
            ArchiveError::Refused("nobody knows any more where this month lies".to_owned())
        })?;
        Ok(Some(There {
            id: Some(id),
            depot: self.open(&open_place(&self.vault, &place)?),
        }))
    }

    /// Where an archived month lies, open.
    pub(super) async fn there(&self, row: &archive::Model) -> Result<There, ArchiveError> {
        Ok(match self.of(row).await? {
            Some(there) => there,
            None => There {
                id: None,
                depot: self.open(&Place::Folder {
                    path: self.dir.clone(),
                }),
            },
        })
    }

    /// Whose months this installation writes: several may share a bucket by mistake, and none shall take another's.
    pub(super) async fn owner(&self) -> Result<String, ArchiveError> {
        if let Some(owner) = instance::get(&self.databases.control_read, OWNER).await? {
            return Ok(owner);
        }
        let txn = begin_write(&self.databases.control).await?;
        let owner = instance::insert_if_absent(&txn, OWNER, &public_id::new("ins")).await?;
        txn.commit().await?;
        Ok(owner)
    }
}

/// Which months are where they were written, by the row's id. One of a place that does not answer in time is not told of.
pub async fn are_there(parts: &Parts, rows: &[archive::Model]) -> BTreeMap<i64, bool> {
    let mut answers = BTreeMap::new();
    let places: BTreeSet<Option<i64>> = rows.iter().map(|row| row.place_id).collect();
    for place in places {
        let mine: Vec<&archive::Model> = rows.iter().filter(|row| row.place_id == place).collect();
        let Some(first) = mine.first() else {
            continue;
        };
        let names = match parts.of(first).await {
            Ok(None) => {
                let there =
                    |row: &&archive::Model| (row.id, parts.dir.join(&row.manifest).exists());
                answers.extend(mine.iter().map(there));
                continue;
            }
            Ok(Some(there)) => {
                let listing = manifests(there.depot.as_ref());
                tokio::time::timeout(ASKED_WITHIN, listing).await
            }
            Err(_) => continue,
        };
        if let Ok(Ok(names)) = names {
            answers.extend(
                mine.iter()
                    .map(|row| (row.id, names.contains(&row.manifest))),
            );
        }
    }
    answers
}

/// Names of the manifests that lie there.
pub(super) async fn manifests(depot: &dyn Depot) -> Result<BTreeSet<String>, DepotError> {
    let mut names = BTreeSet::new();
    for kind in KINDS {
        let listed = depot.list(&format!("{}/", kind.name())).await?;
        let listed = listed.into_iter().map(|file| file.name);
        names.extend(listed.filter(|name| month_of(name).is_some()));
    }
    Ok(names)
}

/// Which month a manifest of that name is of; nothing for other names.
pub(super) fn month_of(name: &str) -> Option<(Kind, Month)> {
    let mut parts = name.split('/');
    let kind = parts.next()?;
    let kind = KINDS.into_iter().find(|known| known.name() == kind)?;
    let month = Month::parse(parts.next()?)?;
    manifest::parts_of(parts.next()?)?;
    parts.next().is_none().then_some((kind, month))
}

/// The beginning of the names of a month's files.
pub(super) fn before(kind: Kind, month: Month) -> String {
    format!("{}/{}/", kind.name(), month.name())
}

/// A month that lies in its place.
pub(super) struct Lying {
    /// Of its manifest, below the place.
    pub(super) name: String,
    pub(super) parts: i64,
    pub(super) manifest: Manifest,
    pub(super) sha256: String,
}

/// What became of a month that was written.
pub(super) enum Delivered {
    /// It lies where it stays.
    Put(Lying),
    /// One that was written before lies there, and is kept.
    Kept(Lying),
}

/// Puts a written month (`dir` holds its files) where it stays, its manifest last: without one it is no month. What this
/// installation wrote there before is kept when nothing is missing of it; what another wrote is not touched.
pub(super) async fn deliver(
    depot: &dyn Depot,
    dir: &Path,
    (kind, month): (Kind, Month),
    written: Manifest,
) -> Result<Delivered, ArchiveError> {
    let before = before(kind, month);
    if let Some(lying) = newest(depot, &before).await? {
        let known = &lying.manifest;
        if !known.owner.is_empty() && known.owner != written.owner {
            return Err(ArchiveError::Refused(format!(
                "{} {} of another installation lies there; choose a prefix of your own",
                kind.name(),
                month.name()
            )));
        }
        if known.rows >= written.rows && is_whole(depot, &before, known).await? {
            return Ok(Delivered::Kept(lying));
        }
        for name in manifests_of(depot, &before).await?.into_values() {
            depot.remove(&name).await?;
        }
    }
    put_files(depot, dir, &before, &written.files).await?;
    let name = format!("{before}{}", manifest::name(1));
    let (text, sha256) = written.text()?;
    depot.put(&name, text.into()).await?;
    // Parts of an earlier try that had more of them.
    for file in depot.list(&before).await? {
        let is_part = |part: &manifest::Part| file.name == format!("{before}{}", part.file);
        if file.name != name && !written.files.iter().any(is_part) {
            depot.remove(&file.name).await?;
        }
    }
    Ok(Delivered::Put(Lying {
        name,
        parts: 1,
        manifest: written,
        sha256,
    }))
}

/// Puts files of a month from `dir` into its place.
pub(super) async fn put_files(
    depot: &dyn Depot,
    dir: &Path,
    before: &str,
    files: &[manifest::Part],
) -> Result<(), ArchiveError> {
    for part in files {
        let path = dir.join(&part.file);
        let content = blocking(move || Ok(Bytes::from(std::fs::read(&path)?))).await?;
        depot
            .put(&format!("{before}{}", part.file), content)
            .await?;
    }
    Ok(())
}

/// Names of a month's manifests, by how many parts they have.
async fn manifests_of(
    depot: &dyn Depot,
    before: &str,
) -> Result<BTreeMap<i64, String>, ArchiveError> {
    let files = depot.list(before).await?.into_iter();
    let manifests = files.filter_map(|file| {
        let parts = manifest::parts_of(file.name.strip_prefix(before)?)?;
        Some((parts, file.name))
    });
    Ok(manifests.collect())
}

/// A month as its newest manifest has it that can be read.
pub(super) async fn newest(depot: &dyn Depot, before: &str) -> Result<Option<Lying>, ArchiveError> {
    for (parts, name) in manifests_of(depot, before).await?.into_iter().rev() {
        if let Some((manifest, sha256)) = known(depot, &name).await? {
            return Ok(Some(Lying {
                name,
                parts,
                manifest,
                sha256,
            }));
        }
    }
    Ok(None)
}

/// A manifest that lies there, and what it hashes to; one that cannot be read is none.
async fn known(depot: &dyn Depot, name: &str) -> Result<Option<(Manifest, String)>, ArchiveError> {
    match depot.get(name).await {
        Ok(text) => Ok(Manifest::read(&text)
            .ok()
            .map(|manifest| (manifest, manifest::hash(&text)))),
        Err(DepotError::Missing(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether every file the manifest names lies there, as long as it should be.
pub(super) async fn is_whole(
    depot: &dyn Depot,
    before: &str,
    manifest: &Manifest,
) -> Result<bool, ArchiveError> {
    let listed = depot.list(before).await?;
    Ok(manifest.files.iter().all(|part| {
        let name = format!("{before}{}", part.file);
        let found = listed.iter().find(|file| file.name == name);
        found.is_some_and(|file| file.bytes == part.bytes)
    }))
}

/// An empty directory that only its owner reads, without what a process that was killed left of it. Blocking.
pub(super) fn make_anew(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => DirBuilder::new().recursive(true).mode(0o700).create(dir),
    }
}

/// A month that was fetched to be read; gone when it is dropped.
pub(super) struct Fetched(PathBuf);

impl Drop for Fetched {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Fetched {
    pub(super) fn manifest(&self) -> PathBuf {
        self.0.join(manifest::name(1))
    }
}

/// Fetches an archived month below the directory, to be `brought` back or `compared`. Whether it is what was written is
/// seen afterwards.
pub(super) async fn fetch(
    parts: &Parts,
    there: &There,
    row: &archive::Model,
    what: &str,
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Fetched, ArchiveError> {
    let dir = parts
        .dir
        .join(COMING)
        .join(format!("{}-{what}", row.public_id));
    let coming = Fetched(dir.clone());
    let made = dir.clone();
    blocking(move || Ok(make_anew(&made)?)).await?;
    let text = there.depot.get(&row.manifest).await?;
    if manifest::hash(&text) != row.sha256 {
        return Err(manifest::changed(&row.manifest));
    }
    let manifest = Manifest::read(&text).map_err(ArchiveError::Refused)?;
    let before = manifest::before(&row.manifest);
    for part in &manifest.files {
        if is_cancelled() {
            return Err(ArchiveError::Refused("it was told to stop".to_owned()));
        }
        let content = there.depot.get(&format!("{before}{}", part.file)).await?;
        let path = dir.join(&part.file);
        blocking(move || Ok(std::fs::write(path, content)?)).await?;
    }
    let path = coming.manifest();
    blocking(move || Ok(std::fs::write(path, text)?)).await?;
    Ok(coming)
}
