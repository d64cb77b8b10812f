//! A folder of this machine, readable by its owner only. A file is written beside its name, synced and renamed.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Depot, DepotError, FILE_MAX_BYTES, Stored, checked};

/// Of a file that is being written; no name of a file ends so.
const DRAFT: &str = ".draft~";

pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Does `work` where blocking is allowed.
    async fn away<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(PathBuf) -> io::Result<T> + Send + 'static,
    ) -> Result<T, DepotError> {
        let path = self.root.join(name);
        let done = tokio::task::spawn_blocking({
            let path = path.clone();
            move || work(path)
        });
        match done.await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                Err(DepotError::Missing(path.display().to_string()))
            }
            Ok(Err(error)) => Err(DepotError::Failed(format!("{}: {error}", path.display()))),
            Err(_) => Err(DepotError::Failed("Steward is shutting down".to_owned())),
        }
    }
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(path);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(DRAFT);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    std::fs::File::open(dir)?.sync_all()
}

fn read(path: &Path) -> io::Result<Bytes> {
    if std::fs::metadata(path)?.len() > FILE_MAX_BYTES as u64 {
        return Err(io::Error::other("the file is too large"));
    }
    Ok(std::fs::read(path)?.into())
}

/// Everything below `dir`, with names as seen from `root`.
fn gather(root: &Path, dir: &Path, found: &mut Vec<Stored>) -> io::Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            gather(root, &entry.path(), found)?;
        } else if kind.is_file()
            && let Ok(name) = entry.path().strip_prefix(root)
            && let Some(name) = name.to_str()
            && super::is_name(name)
        {
            found.push(Stored {
                name: name.to_owned(),
                bytes: entry.metadata()?.len(),
            });
        }
    }
    Ok(())
}

#[async_trait]
impl Depot for Folder {
    async fn put(&self, name: &str, content: Bytes) -> Result<(), DepotError> {
        checked(name)?;
        self.away(name, move |path| write(&path, &content)).await
    }

    async fn get(&self, name: &str) -> Result<Bytes, DepotError> {
        checked(name)?;
        self.away(name, |path| read(&path)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Stored>, DepotError> {
        let root = self.root.clone();
        let mut found = self
            .away("", move |_| {
                let mut found = Vec::new();
                gather(&root, &root, &mut found)?;
                Ok(found)
            })
            .await?;
        found.retain(|file| file.name.starts_with(prefix));
        found.sort_unstable();
        Ok(found)
    }

    async fn remove(&self, name: &str) -> Result<(), DepotError> {
        checked(name)?;
        let root = self.root.clone();
        let removed = self.away(name, move |path| {
            std::fs::remove_file(&path)?;
            // Folders that are empty now go too; one that is not refuses.
            let mut dir = path.parent();
            while let Some(empty) = dir.filter(|dir| *dir != root && dir.starts_with(&root)) {
                if std::fs::remove_dir(empty).is_err() {
                    break;
                }
                dir = empty.parent();
            }
            Ok(())
        });
        match removed.await {
            Err(DepotError::Missing(_)) => Ok(()),
            done => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_come_back_whole_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let depot = Folder::new(dir.path().join("depot"));
        assert_eq!(depot.list("").await.unwrap(), []);
        let missing = depot.get("a/1").await;
        assert!(
            matches!(missing, Err(DepotError::Missing(_))),
            "{missing:?}"
        );
        for (name, content) in [
            ("a/1", "one"),
            ("a/2", "two"),
            ("b/1", "three"),
            ("a/1", "uno"),
        ] {
            depot.put(name, content.into()).await.unwrap();
        }
        // A draft that a crash left is no file.
        std::fs::write(dir.path().join("depot/a/3.draft~"), "half").unwrap();
        let listed = depot.list("a/").await.unwrap();
        let listed: Vec<_> = listed
            .iter()
            .map(|file| (file.name.as_str(), file.bytes))
            .collect();
        assert_eq!(listed, [("a/1", 3), ("a/2", 3)]);
        assert_eq!(depot.get("a/1").await.unwrap(), "uno");
        depot.remove("b/1").await.unwrap();
        depot.remove("b/1").await.unwrap();
        assert!(!dir.path().join("depot/b").exists());
        assert!(depot.get("../secret").await.is_err());
        assert!(depot.put("../secret", Bytes::new()).await.is_err());
    }
}
