//! What lies in the archive of a month, and how to know that it is still what was written.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ArchiveError;
use crate::depot;

const NAME: &str = "manifest";
const SUFFIX: &str = ".json";
/// Of this version's archives; a greater one is not read.
pub(super) const FORMAT: u32 = 1;

/// A file of the archive.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Part {
    pub(super) table: String,
    pub(super) file: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// Hexadecimal.
    pub(super) sha256: String,
}

/// See the module.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) kind: String,
    pub(super) month: String,
    /// Record ids: from the first up to the second.
    pub(super) rids: (i64, i64),
    /// Microseconds since the Unix epoch.
    pub(super) written_at: i64,
    /// The version of Steward that wrote it.
    pub(super) written_by: String,
    /// The installation that wrote it; empty before that was written down.
    #[serde(default)]
    pub(super) owner: String,
    /// Of calls or conversations.
    pub(super) rows: u64,
    pub(super) files: Vec<Part>,
}

/// Name of the manifest of a month with so many parts, beside its files: `manifest.json`, then `manifest-0002.json`. Each
/// names the files of all parts up to its own.
pub(super) fn name(parts: i64) -> String {
    match parts {
        1 => format!("{NAME}{SUFFIX}"),
        _ => format!("{NAME}-{parts:04}{SUFFIX}"),
    }
}

/// How many parts a month has whose manifest has that name; nothing for other names.
pub(super) fn parts_of(file: &str) -> Option<i64> {
    let rest = file.strip_prefix(NAME)?.strip_suffix(SUFFIX)?;
    let parts = match rest.strip_prefix('-') {
        None if rest.is_empty() => 1,
        None => return None,
        Some(number) => number.parse().ok().filter(|parts| *parts > 1)?,
    };
    (name(parts) == file).then_some(parts)
}

/// What the names of a month's files begin with, its manifest's as it is in the table.
pub(super) fn before(manifest: &str) -> &str {
    let end = manifest.rfind('/').map_or(0, |at| at + 1);
    &manifest[..end]
}

/// The manifest of that name is another than the table knows.
pub(super) fn changed(name: &str) -> ArchiveError {
    ArchiveError::Refused(format!(
        "the manifest {name} is not the one that was written"
    ))
}

/// What a file hashes to, hexadecimal, and its length. Blocking.
pub(super) fn digest(path: &Path) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        match file.read(&mut piece)? {
            0 => break,
            many => {
                hash.update(&piece[..many]);
                bytes += many as u64;
            }
        }
    }
    Ok((hexadecimal(&hash.finalize()), bytes))
}

/// What a manifest's text hashes to, hexadecimal.
pub(super) fn hash(text: &[u8]) -> String {
    hexadecimal(&Sha256::digest(text))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Manifest {
    /// Of its files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|part| part.bytes).sum()
    }

    /// As it is written, and what that hashes to.
    pub(super) fn text(&self) -> io::Result<(Vec<u8>, String)> {
        let text = serde_json::to_vec_pretty(self)?;
        let sha256 = hash(&text);
        Ok((text, sha256))
    }

    /// Reads one. Files that it names lie beside it and nowhere else.
    ///
    /// # Errors
    /// A sentence that says why it is none.
    pub(super) fn read(text: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(text)
            .map_err(|error| format!("the manifest cannot be read: {error}"))?;
        if manifest.format > FORMAT {
            let newer = manifest.format;
            return Err(format!(
                "the archive has format {newer}, this version reads up to {FORMAT}"
            ));
        }
        let is_beside = |part: &Part| depot::is_name(&part.file) && !part.file.contains('/');
        match manifest.files.iter().all(is_beside) {
            true => Ok(manifest),
            false => Err("the manifest names a file elsewhere".to_owned()),
        }
    }

    /// Reads the manifest at `path` and sees that it and every file it names are what was written. Blocking.
    ///
    /// # Errors
    /// A sentence that says what is missing or was changed.
    pub(super) fn verified(path: &Path, sha256: &str) -> Result<Self, String> {
        let text = std::fs::read(path)
            .map_err(|error| format!("the manifest {} cannot be read: {error}", path.display()))?;
        if hash(&text) != sha256 {
            return Err(format!(
                "the manifest {} is not the one that was written",
                path.display()
            ));
        }
        let manifest = Self::read(&text)?;
        let dir = path.parent().unwrap_or(Path::new("."));
        for part in &manifest.files {
            let path = dir.join(&part.file);
            let found = digest(&path)
                .map_err(|error| format!("the file {} cannot be read: {error}", path.display()))?;
            if found.0 != part.sha256 {
                return Err(format!(
                    "the file {} is not the one that was written",
                    path.display()
                ));
            }
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_known_by_their_names() {
        for parts in [1, 2, 17, 10_000] {
            assert_eq!(parts_of(&name(parts)), Some(parts));
        }
        assert_eq!(name(1), "manifest.json");
        assert_eq!(name(2), "manifest-0002.json");
        for other in [
            "manifest-1.json",
            "manifest-2.json",
            "manifest-0001.json",
            "manifest2.json",
            "manifest-.json",
            "manifest.json.bak",
            "request_logs.parquet",
        ] {
            assert_eq!(parts_of(other), None, "{other}");
        }
        assert_eq!(
            before("contents/2026-02/manifest-0002.json"),
            "contents/2026-02/"
        );
    }
}
