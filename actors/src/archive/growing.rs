//! A month's files while they are written: groups of rows that fit into memory, files of a length that a depot takes.

use std::path::{Path, PathBuf};

use super::manifest::{self, Part};
use super::sheet::{Cell, Columns, Row, Writing};
use super::{ArchiveError, blocking};

/// How large groups and files become.
#[derive(Clone, Copy)]
struct Bounds {
    group_rows: usize,
    /// A group is in memory as a whole, when it is written and when it is read: so much of it or little more, whatever is
    /// said in a conversation.
    group_bytes: usize,
    /// A file that is as long as this is followed by another: with one more group it is still what a depot takes.
    file_bytes: usize,
}

const BOUNDS: Bounds = Bounds {
    group_rows: 20_000,
    group_bytes: 16 << 20,
    file_bytes: 24 << 20,
};

/// A table's files, which grow by groups of rows.
pub(super) struct Growing {
    dir: PathBuf,
    table: &'static str,
    columns: Columns,
    bounds: Bounds,
    /// None: none is begun, or a group is being written.
    file: Option<Writing>,
    waiting: Vec<Row>,
    waiting_bytes: usize,
    /// Of the file that grows.
    rows: u64,
    done: Vec<Part>,
    /// What their names begin with.
    stem: String,
}

impl Growing {
    /// `part` of the month; the first is 1.
    pub(super) fn begin(dir: &Path, table: &'static str, columns: Columns, part: i64) -> Self {
        let stem = match part {
            1 => table.to_owned(),
            _ => format!("{table}-part-{part:04}"),
        };
        Self {
            stem,
            dir: dir.to_owned(),
            table,
            columns,
            bounds: BOUNDS,
            file: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
            rows: 0,
            done: Vec::new(),
        }
    }

    /// The name of the file that grows: `calls.parquet`, and then `calls-0002.parquet`; of a further part of the month
    /// `calls-part-0002.parquet`, and then `calls-part-0002-0002.parquet`.
    fn name(&self) -> String {
        match self.done.len() {
            0 => format!("{}.parquet", self.stem),
            many => format!("{}-{:04}.parquet", self.stem, many + 1),
        }
    }

    pub(super) async fn add(&mut self, rows: Vec<Row>) -> Result<(), ArchiveError> {
        for row in rows {
            self.waiting_bytes += row.iter().map(weight).sum::<usize>();
            self.waiting.push(row);
            if self.waiting.len() >= self.bounds.group_rows
                || self.waiting_bytes >= self.bounds.group_bytes
            {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ArchiveError> {
        let rows = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.rows += rows.len() as u64;
        let (path, table, columns) = (self.dir.join(self.name()), self.table, self.columns);
        let file = self.file.take();
        let grown = blocking(move || {
            let mut file = match file {
                Some(file) => file,
                None => Writing::begin(&path, table, columns)?,
            };
            file.group(&rows)?;
            Ok(file)
        })
        .await?;
        let is_full = grown.bytes() >= self.bounds.file_bytes;
        self.file = Some(grown);
        match is_full {
            true => self.close().await,
            false => Ok(()),
        }
    }

    async fn close(&mut self) -> Result<(), ArchiveError> {
        let (name, file) = (self.name(), self.file.take());
        let path = self.dir.join(&name);
        let (sha256, bytes) = blocking(move || {
            if let Some(file) = file {
                file.finish()?;
            }
            Ok(manifest::digest(&path)?)
        })
        .await?;
        self.done.push(Part {
            table: self.table.to_owned(),
            file: name,
            rows: std::mem::take(&mut self.rows),
            bytes,
            sha256,
        });
        Ok(())
    }

    /// There is a file, if nothing is in it.
    pub(super) async fn finish(mut self) -> Result<Vec<Part>, ArchiveError> {
        if !self.waiting.is_empty() || self.done.is_empty() {
            self.flush().await?;
        }
        if self.file.is_some() {
            self.close().await?;
        }
        Ok(self.done)
    }
}

/// What a value takes in memory, or so.
fn weight(cell: &Cell) -> usize {
    16 + cell.text().map_or(0, str::len)
}

#[cfg(test)]
mod tests {
    use super::super::sheet::{Kind, Reading};
    use super::*;

    static COLUMNS: Columns = &[("rid", Kind::Number), ("said", Kind::Text)];

    #[tokio::test]
    async fn long_tables_are_several_files_and_groups_fit_into_memory() {
        let dir = tempfile::tempdir().unwrap();
        let row = |n: i64| vec![Cell::Number(Some(n)), Cell::Text(Some("said ".repeat(20)))];
        let bounds = Bounds {
            group_rows: 1_000,
            group_bytes: 1_000,
            file_bytes: 800,
        };
        let mut growing = Growing {
            bounds,
            ..Growing::begin(dir.path(), "said", COLUMNS, 1)
        };
        growing.add((0..100).map(row).collect()).await.unwrap();
        let parts = growing.finish().await.unwrap();
        let names: Vec<&str> = parts.iter().map(|part| part.file.as_str()).collect();
        assert_eq!(names[..2], ["said.parquet", "said-0002.parquet"]);
        assert_eq!(parts.iter().map(|part| part.rows).sum::<u64>(), 100);
        let mut read = Vec::new();
        for part in &parts {
            let path = dir.path().join(&part.file);
            assert_eq!(std::fs::metadata(&path).unwrap().len(), part.bytes);
            let mut file = Reading::open(&path, COLUMNS).unwrap();
            while let Some(group) = file.group().unwrap() {
                // Eight rows weigh more than a thousand bytes.
                assert!(group.len() <= 8, "{} rows in a group", group.len());
                read.extend(group);
            }
        }
        assert_eq!(read, (0..100).map(row).collect::<Vec<_>>());

        // A further part lies beside the first.
        let mut further = Growing {
            bounds,
            ..Growing::begin(dir.path(), "said", COLUMNS, 3)
        };
        further.add((0..100).map(row).collect()).await.unwrap();
        let names: Vec<String> = further
            .finish()
            .await
            .unwrap()
            .into_iter()
            .map(|part| part.file)
            .collect();
        assert_eq!(
            names[..2],
            ["said-part-0003.parquet", "said-part-0003-0002.parquet"]
        );

        // There is a file, if nothing is in it.
        let empty = Growing::begin(dir.path(), "nothing", COLUMNS, 1);
        let parts = empty.finish().await.unwrap();
        assert_eq!((parts.len(), parts[0].rows), (1, 0));
        let mut file = Reading::open(&dir.path().join("nothing.parquet"), COLUMNS).unwrap();
        assert_eq!(file.group().unwrap(), None);
    }
}
