//! A part of a month, from the database into files: all that was there when its archive was begun, or what came later.

use std::collections::HashSet;
use std::path::Path;

use super::growing::Growing;
use super::late::Marks;
use super::manifest::Part;
use super::sheet::Row;
use super::{ArchiveError, Parts, calls, said};
use crate::contents::store::{ContentFilter, Month};
use crate::retention::Kind;

/// Rows of one read of calls, of conversations, and of either when they are looked up.
const CALLS_READ: u64 = 5_000;
const SAID_READ: u64 = 100;
const LISTED_READ: u64 = 200;

/// Writes part `number` of a month into `dir`: 1 is what is not marked, a greater one what is marked for it. Its main table
/// comes first.
pub(super) async fn write(
    parts: &Parts,
    (kind, month): (Kind, Month),
    dir: &Path,
    marks: &Marks,
    number: i64,
) -> Result<Vec<Part>, ArchiveError> {
    let writing = Writing {
        parts,
        month,
        marks,
        number,
    };
    match kind {
        Kind::Contents => writing.said(dir).await,
        _ => writing.calls(dir).await,
    }
}

/// Rows of the main table of a part.
pub(super) fn rows(files: &[Part]) -> u64 {
    let main = files.first().map(|part| &part.table);
    let of_main = files.iter().filter(|part| Some(&part.table) == main);
    of_main.map(|part| part.rows).sum()
}

struct Writing<'a> {
    parts: &'a Parts,
    month: Month,
    marks: &'a Marks,
    number: i64,
}

impl Writing<'_> {
    /// Those of `rows` that are not marked. A row that came late was committed with its mark, so what was read before its
    /// mark is asked for has it.
    async fn unmarked(&self, rows: &mut Vec<Row>) -> Result<(), ArchiveError> {
        let rids = || rows.iter().map(|row| calls::rid(row));
        let Some((least, greatest)) = rids().min().zip(rids().max()) else {
            return Ok(());
        };
        let marked = self.marks.marked((least, greatest + 1)).await?;
        if !marked.is_empty() {
            let marked: HashSet<i64> = marked.into_iter().collect();
            rows.retain(|row| !marked.contains(&calls::rid(row)));
        }
        Ok(())
    }

    async fn calls(&self, dir: &Path) -> Result<Vec<Part>, ArchiveError> {
        let read = &self.parts.databases.ledger_read;
        let mut log = Growing::begin(dir, "request_logs", calls::CALLS, self.number);
        let mut tries = Growing::begin(dir, "request_attempts", calls::ATTEMPTS, self.number);
        let mut after = self.month.from() - 1;
        loop {
            let range = (after, self.month.to());
            if self.number > 1 {
                let rids = self.marks.of_part(range, self.number, LISTED_READ).await?;
                let Some(last) = rids.last() else {
                    break;
                };
                tries.add(calls::attempts_of(read, &rids).await?).await?;
                log.add(calls::calls_of(read, &rids).await?).await?;
                after = *last;
                continue;
            }
            let mut rows = calls::calls(read, range, CALLS_READ).await?;
            let Some(last) = rows.last().map(|row| calls::rid(row)) else {
                break;
            };
            let mut attempts = calls::attempts(read, (after + 1, last)).await?;
            self.unmarked(&mut attempts).await?;
            self.unmarked(&mut rows).await?;
            tries.add(attempts).await?;
            log.add(rows).await?;
            after = last;
        }
        let mut files = log.finish().await?;
        files.extend(tries.finish().await?);
        Ok(files)
    }

    async fn said(&self, dir: &Path) -> Result<Vec<Part>, ArchiveError> {
        let contents = &self.parts.contents;
        let mut file = Growing::begin(dir, "conversation_contents", said::CONTENTS, self.number);
        if self.number > 1 {
            let mut after = self.month.from() - 1;
            loop {
                let range = (after, self.month.to());
                let rids = self.marks.of_part(range, self.number, LISTED_READ).await?;
                let Some(last) = rids.last() else {
                    return file.finish().await;
                };
                let hits = contents.listed(self.month, &rids).await?;
                file.add(hits.into_iter().map(said::row).collect()).await?;
                after = *last;
            }
        }
        let filter = ContentFilter {
            rid_from: Some(self.month.from()),
            rid_to: Some(self.month.to()),
            ..ContentFilter::default()
        };
        let mut before = None;
        loop {
            let (hits, next) = contents.list(&filter, before, SAID_READ).await?;
            let mut rows = hits.into_iter().map(said::row).collect();
            self.unmarked(&mut rows).await?;
            file.add(rows).await?;
            match next {
                Some(next) => before = Some(next),
                None => return file.finish().await,
            }
        }
    }
}
