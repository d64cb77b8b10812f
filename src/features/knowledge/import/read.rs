//! Reads a file once, whatever it is, into plain rows: one JSON array a line, the row's number before its cells.
//!
//! What follows (preview, dry run, import, going on after a crash) needs no parser, no encoding and no workbook any more:
//! a place in the plain rows is a number of bytes. A text is read as it comes; of a workbook the table of its texts
//! is held in memory, so how much it unpacks to is bounded first.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use calamine::{Data, DataRef, Reader, Xlsx};
use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, GB18030, GBK, UTF_8};
use encoding_rs_io::DecodeReaderBytesBuilder;

/// Rows of a file.
pub(super) const ROWS_MAX: u64 = 1_000_000;
const COLUMNS_MAX: usize = 64;
/// Longer than any field may be: what is cut here is refused as too long afterwards.
const CELL_MAX_CHARS: usize = 32_768;
/// What the texts of a workbook unpack to, and all of it.
const TEXTS_MAX_BYTES: u64 = 96 << 20;
const UNPACKED_MAX_BYTES: u64 = 1 << 30;
const SAMPLE_BYTES: usize = 64 * 1024;
const SAMPLE_ROWS: usize = 50;
const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];

/// What a file turned out to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Found {
    pub(super) format: &'static str,
    pub(super) encoding: Option<String>,
    pub(super) delimiter: Option<char>,
    /// Rows that are not empty.
    pub(super) rows: u64,
}

/// Why a file cannot be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// It is no such file; a sentence for whoever sent it.
    Refused(String),
    Disk(io::Error),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

fn refused(sentence: impl Into<String>) -> Unread {
    Unread::Refused(sentence.into())
}

/// Writes the rows of `from` to `to`. `label` names the encoding of a text where it should not be guessed.
///
/// # Errors
/// When it is neither a workbook nor a text, has too much of anything, or the disk fails.
pub(super) fn plain_rows(from: &Path, to: &Path, label: Option<&str>) -> Result<Found, Unread> {
    let forced = match label {
        None => None,
        Some(label) => Some(
            Encoding::for_label(label.as_bytes())
                .ok_or_else(|| refused(format!("{label} is no known encoding")))?,
        ),
    };
    let mut magic = [0; 4];
    let length = File::open(from)?.read(&mut magic)?;
    let mut rows = Rows {
        out: BufWriter::new(File::create(to)?),
        count: 0,
    };
    let found = match &magic[..length] {
        [] => return Err(refused("the file is empty")),
        b"PK\x03\x04" => workbook(from, &mut rows)?,
        [0xd0, 0xcf, 0x11, 0xe0] => {
            return Err(refused(
                "this is a workbook of the old format or a protected one: save it as .xlsx without a password",
            ));
        }
        _ => text(from, &mut rows, forced)?,
    };
    let out = rows.out.into_inner().map_err(|error| error.into_error())?;
    out.sync_all()?;
    match rows.count {
        0 => Err(refused("the file has no rows")),
        count => Ok(Found {
            rows: count,
            ..found
        }),
    }
}

/// The plain rows as they are written.
struct Rows {
    out: BufWriter<File>,
    count: u64,
}

impl Rows {
    fn put(&mut self, number: u64, cells: &mut Vec<String>) -> Result<(), Unread> {
        while cells.last().is_some_and(String::is_empty) {
            cells.pop();
        }
        if cells.is_empty() {
            return Ok(());
        }
        if cells.len() > COLUMNS_MAX {
            return Err(refused(format!(
                "row {number} has more than {COLUMNS_MAX} columns"
            )));
        }
        if self.count == ROWS_MAX {
            return Err(refused(format!("the file has more than {ROWS_MAX} rows")));
        }
        self.count += 1;
        serde_json::to_writer(&mut self.out, &(number, &*cells)).map_err(io::Error::from)?;
        self.out.write_all(b"\n")?;
        Ok(())
    }
}

fn cell(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(CELL_MAX_CHARS) {
        Some((end, _)) => text[..end].to_owned(),
        None => text.to_owned(),
    }
}

fn text(from: &Path, rows: &mut Rows, forced: Option<&'static Encoding>) -> Result<Found, Unread> {
    let encoding = match forced {
        Some(encoding) => encoding,
        None => guess(File::open(from)?)?,
    };
    // A byte-order mark says it better than anybody.
    let open = || -> io::Result<_> {
        Ok(DecodeReaderBytesBuilder::new()
            .encoding(Some(encoding))
            .bom_override(true)
            .build(BufReader::new(File::open(from)?)))
    };
    let mut sample = Vec::new();
    open()?.take(SAMPLE_BYTES as u64).read_to_end(&mut sample)?;
    let delimiter = delimiter_of(&sample, sample.len() < SAMPLE_BYTES);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .has_headers(false)
        .from_reader(open()?);
    let mut lines = Lines {
        text: BufReader::new(open()?),
        at: 0,
        line: 1,
    };
    let (mut record, mut cells) = (csv::ByteRecord::new(), Vec::new());
    while reader.read_byte_record(&mut record).map_err(csv_error)? {
        let line = lines.at(record.position().map_or(0, csv::Position::byte))?;
        cells.clear();
        for field in record.iter().take(COLUMNS_MAX + 1) {
            cells.push(cell(unguarded(&String::from_utf8_lossy(field))));
        }
        rows.put(line, &mut cells)?;
    }
    let shown = if encoding == GBK { GB18030 } else { encoding };
    Ok(Found {
        format: "csv",
        encoding: Some(shown.name().to_owned()),
        delimiter: Some(char::from(delimiter)),
        rows: 0,
    })
}

/// Tells the line on which a row begins, as an editor numbers them: the parser counts rows, and knows only where the one
/// before ended.
struct Lines<R> {
    text: R,
    at: u64,
    line: u64,
}

impl<R: BufRead> Lines<R> {
    /// Of the row that is the first thing after a place.
    fn at(&mut self, byte: u64) -> io::Result<u64> {
        loop {
            let ahead = self.text.fill_buf()?;
            let (length, is_there) = match usize::try_from(byte.saturating_sub(self.at)) {
                Ok(0) => {
                    let blank = ahead
                        .iter()
                        .take_while(|byte| matches!(byte, b'\r' | b'\n'));
                    let blank = blank.count();
                    (blank, blank < ahead.len() || ahead.is_empty())
                }
                Ok(left) => (left.min(ahead.len()), ahead.is_empty()),
                Err(_) => (ahead.len(), ahead.is_empty()),
            };
            self.line += memchr::memchr_iter(b'\n', &ahead[..length]).count() as u64;
            self.at += length as u64;
            self.text.consume(length);
            if is_there {
                return Ok(self.line);
            }
        }
    }
}

fn csv_error(error: csv::Error) -> Unread {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => Unread::Disk(error),
        other => refused(format!("the text cannot be read as rows: {other:?}")),
    }
}

/// Exports put an apostrophe before what a spreadsheet would take for a formula; it is no part of the text.
fn unguarded(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(rest) if rest.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) => rest,
        _ => text,
    }
}

/// The encoding that the whole file speaks for.
fn guess(mut file: File) -> Result<&'static Encoding, Unread> {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    let mut chunk = vec![0; SAMPLE_BYTES];
    let (mut first, mut is_ascii) = (true, true);
    loop {
        let length = file.read(&mut chunk)?;
        let bytes = &chunk[..length];
        if first && let Some((encoding, _)) = Encoding::for_bom(bytes) {
            return Ok(encoding);
        }
        first = false;
        if bytes.contains(&0) {
            return Err(refused(
                "this is neither a workbook (.xlsx) nor a text that can be read",
            ));
        }
        is_ascii &= bytes.is_ascii();
        detector.feed(bytes, length == 0);
        if length == 0 {
            break;
        }
    }
    Ok(match is_ascii {
        true => UTF_8,
        false => detector.guess(None, Utf8Detection::Allow),
    })
}

/// What stands between the fields: whatever cuts the most rows into the same number of them.
fn delimiter_of(sample: &[u8], is_whole: bool) -> u8 {
    let score = |delimiter: u8| {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .has_headers(false)
            .from_reader(sample);
        let mut widths: Vec<usize> = reader
            .byte_records()
            .take(SAMPLE_ROWS)
            .map_while(Result::ok)
            .map(|record| record.len())
            .collect();
        if !is_whole && widths.len() > 1 && widths.len() < SAMPLE_ROWS {
            // The last one was cut.
            widths.pop();
        }
        let same = |width: &usize| widths.iter().filter(|other| *other == width).count();
        let best = widths
            .iter()
            .filter(|width| **width > 1)
            .map(|width| (same(width), *width));
        best.max().unwrap_or_default()
    };
    let mut best = (DELIMITERS[0], score(DELIMITERS[0]));
    for delimiter in DELIMITERS.into_iter().skip(1) {
        let score = score(delimiter);
        if score > best.1 {
            best = (delimiter, score);
        }
    }
    best.0
}

fn workbook(from: &Path, rows: &mut Rows) -> Result<Found, Unread> {
    bounded(from)?;
    let unreadable = |error: calamine::XlsxError| match error {
        calamine::XlsxError::Io(error) => Unread::Disk(error),
        other => refused(format!("the workbook cannot be read: {other}")),
    };
    let mut book = Xlsx::new(BufReader::new(File::open(from)?)).map_err(unreadable)?;
    let names = book.sheet_names();
    let name = names
        .first()
        .ok_or_else(|| refused("the workbook has no sheet"))?;
    let mut sheet = book.worksheet_cells_reader(name).map_err(unreadable)?;
    let (mut at, mut cells) = (0, Vec::new());
    while let Some(found) = sheet.next_cell().map_err(unreadable)? {
        let (row, column) = found.get_position();
        if row != at {
            rows.put(u64::from(at) + 1, &mut cells)?;
            cells.clear();
            at = row;
        }
        let column = column as usize;
        if column > COLUMNS_MAX {
            continue;
        }
        if cells.len() <= column {
            cells.resize(column + 1, String::new());
        }
        cells[column] = shown(found.get_value());
    }
    rows.put(u64::from(at) + 1, &mut cells)?;
    Ok(Found {
        format: "xlsx",
        encoding: None,
        delimiter: None,
        rows: 0,
    })
}

/// A cell as its text.
fn shown(value: &DataRef<'_>) -> String {
    match value {
        DataRef::Empty => String::new(),
        DataRef::String(text) => cell(text),
        DataRef::SharedString(text) => cell(text),
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number.to_string(),
        DataRef::Bool(is) => is.to_string(),
        other => cell(&Data::from(other.clone()).to_string()),
    }
}

/// Unpacks everything once into nothing: what a workbook says of its sizes is no promise.
fn bounded(from: &Path) -> Result<(), Unread> {
    let unreadable = |error: zip::result::ZipError| match error {
        zip::result::ZipError::Io(error) => Unread::Disk(error),
        other => refused(format!("the workbook cannot be read: {other}")),
    };
    let mut archive =
        zip::ZipArchive::new(BufReader::new(File::open(from)?)).map_err(unreadable)?;
    let mut total = 0;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(unreadable)?;
        let is_texts = entry.name().to_lowercase().ends_with("sharedstrings.xml");
        let most = match is_texts {
            true => TEXTS_MAX_BYTES,
            false => UNPACKED_MAX_BYTES,
        };
        let size = io::copy(&mut entry.take(most + 1), &mut io::sink())
            .map_err(|error| refused(format!("the workbook cannot be unpacked: {error}")))?;
        total += size;
        if size > most || total > UNPACKED_MAX_BYTES {
            return Err(refused(
                "the workbook unpacks to too much: save it as several, or as csv",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A row's number and its cells.
    type Row = (u64, Vec<String>);

    fn read(bytes: &[u8]) -> Result<(Found, Vec<Row>), String> {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, bytes).unwrap();
        let found = plain_rows(&from, &to, None).map_err(|error| match error {
            Unread::Refused(sentence) => sentence,
            Unread::Disk(error) => panic!("{error}"),
        })?;
        let rows = fs::read_to_string(&to).unwrap();
        let rows = rows.lines().map(|line| serde_json::from_str(line).unwrap());
        Ok((found, rows.collect()))
    }

    const CHINESE: &str = "问题,答案,分类\r\n租借价格是多少？,\"三千円起，\n含税。\",价格\r\n\r\n如何预约？,请致电。,预约\r\n";

    #[test]
    fn a_text_is_read_in_whatever_encoding_it_has() {
        let (gb18030, _, _) = GB18030.encode(CHINESE);
        let utf16: Vec<u8> = [0xff, 0xfe]
            .into_iter()
            .chain(CHINESE.encode_utf16().flat_map(u16::to_le_bytes))
            .collect();
        let marked = format!("\u{feff}{CHINESE}");
        for (bytes, encoding) in [
            (CHINESE.as_bytes(), "UTF-8"),
            (marked.as_bytes(), "UTF-8"),
            (gb18030.as_ref(), "gb18030"),
            (utf16.as_slice(), "UTF-16LE"),
        ] {
            let (found, rows) = read(bytes).unwrap();
            assert_eq!(found.encoding.as_deref(), Some(encoding));
            assert_eq!((found.delimiter, found.rows), (Some(','), 3), "{encoding}");
            assert_eq!(
                rows[0],
                (1, vec!["问题".into(), "答案".into(), "分类".into()])
            );
            assert_eq!(rows[1].1[1], "三千円起，\n含税。");
            assert_eq!(rows[2].0, 5, "as an editor numbers the lines");
        }
    }

    #[test]
    fn the_delimiter_is_what_cuts_rows_alike() {
        for (text, delimiter) in [
            ("a;b\n1,5;2\n3,5;4\n", ';'),
            ("a\tb\nx, y\tz\n", '\t'),
            ("a|b|c\n1|2|3\n", '|'),
            ("one\ntwo\n", ','),
            ("q,a\n\"1;2;3\",x\n\"4;5;6\",y\n", ','),
        ] {
            assert_eq!(
                read(text.as_bytes()).unwrap().0.delimiter,
                Some(delimiter),
                "{text}"
            );
        }
    }

    #[test]
    fn a_workbook_is_read_by_its_first_sheet() {
        let mut book = rust_xlsxwriter::Workbook::new();
        let sheet = book.add_worksheet();
        sheet.write_string(0, 0, "问题").unwrap();
        sheet.write_string(0, 1, "答案").unwrap();
        sheet.write_string(2, 0, "多少钱？").unwrap();
        sheet.write_number(2, 1, 3000).unwrap();
        sheet.write_number(2, 2, 0.5).unwrap();
        book.add_worksheet().write_string(0, 0, "other").unwrap();
        let (found, rows) = read(&book.save_to_buffer().unwrap()).unwrap();
        assert_eq!((found.format, found.rows), ("xlsx", 2));
        assert_eq!(rows[0], (1, vec!["问题".into(), "答案".into()]));
        assert_eq!(
            rows[1],
            (3, vec!["多少钱？".into(), "3000".into(), "0.5".into()])
        );
    }

    #[test]
    fn what_is_no_file_of_rows_is_refused_with_a_reason() {
        let wide = "x,".repeat(70) + "x";
        for (bytes, reason) in [
            (&b""[..], "empty"),
            (b"\r\n \r\n", "no rows"),
            (b"PK\x03\x04 and then nothing", "workbook"),
            (&[0xd0, 0xcf, 0x11, 0xe0, 1], "old format"),
            (b"\x7fELF\0\0\0", "neither"),
            (wide.as_bytes(), "64 columns"),
        ] {
            let refused = read(bytes).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
    }

    #[test]
    fn an_apostrophe_before_a_formula_is_no_part_of_the_text() {
        let (_, rows) = read("\"'=1+1\",'tis\n".as_bytes()).unwrap();
        assert_eq!(rows[0].1, ["=1+1", "'tis"]);
    }
}
