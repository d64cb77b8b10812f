//! A table as a Parquet file, and back: columns of numbers, texts and flags, in groups of rows.
//!
//! Blocking: whoever awaits has it done on a thread for that. Which columns there are, and what they mean, is `tables`'s.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::Field;
use parquet::schema::parser::parse_message_type;

const ZSTD_LEVEL: i32 = 6;

/// What a column holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Number,
    /// Microseconds since the Unix epoch.
    Time,
    Text,
    Flag,
}

/// A value, or that there is none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Cell {
    Number(Option<i64>),
    Text(Option<String>),
    Flag(Option<bool>),
}

impl Cell {
    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => *number,
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => text.as_deref(),
            _ => None,
        }
    }

    pub(super) fn flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => *flag,
            _ => None,
        }
    }
}

/// A row, in the order of the columns.
pub(super) type Row = Vec<Cell>;

/// Name and kind of each column.
pub(super) type Columns = &'static [(&'static str, Kind)];

fn schema(name: &str, columns: Columns) -> String {
    let each = columns.iter().map(|(name, kind)| {
        let (physical, logical) = match kind {
            Kind::Number => ("INT64", ""),
            Kind::Time => ("INT64", "(TIMESTAMP(MICROS,true))"),
            Kind::Text => ("BYTE_ARRAY", "(STRING)"),
            Kind::Flag => ("BOOLEAN", ""),
        };
        format!("OPTIONAL {physical} {name} {logical};")
    });
    format!("message {name} {{ {} }}", each.collect::<String>())
}

/// A file that is being written.
pub(super) struct Writing {
    writer: SerializedFileWriter<File>,
    columns: Columns,
}

impl Writing {
    pub(super) fn begin(path: &Path, name: &str, columns: Columns) -> Result<Self, ParquetError> {
        let schema = Arc::new(parse_message_type(&schema(name, columns))?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
            .build();
        let file = File::create(path)?;
        let writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
        Ok(Self { writer, columns })
    }

    /// Adds a group of rows.
    pub(super) fn group(&mut self, rows: &[Row]) -> Result<(), ParquetError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for (at, (_, kind)) in self.columns.iter().enumerate() {
            let cells = rows.iter().filter_map(|row| row.get(at));
            match kind {
                Kind::Number | Kind::Time => put::<Int64Type>(&mut group, cells.map(Cell::number)),
                Kind::Text => put::<ByteArrayType>(
                    &mut group,
                    cells.map(|cell| cell.text().map(ByteArray::from)),
                ),
                Kind::Flag => put::<BoolType>(&mut group, cells.map(Cell::flag)),
            }?;
        }
        group.close()?;
        Ok(())
    }

    /// Written so far.
    pub(super) fn bytes(&self) -> usize {
        self.writer.bytes_written()
    }

    /// Writes the end; on the disk when it answers.
    pub(super) fn finish(mut self) -> Result<(), ParquetError> {
        self.writer.finish()?;
        self.writer.inner().sync_all()?;
        Ok(())
    }
}

fn put<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    cells: impl Iterator<Item = Option<T::T>>,
) -> Result<(), ParquetError> {
    let (mut values, mut has_value) = (Vec::new(), Vec::new());
    for cell in cells {
        has_value.push(i16::from(cell.is_some()));
        values.extend(cell);
    }
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("there is one column less".to_owned()));
    };
    column
        .typed::<T>()
        .write_batch(&values, Some(&has_value), None)?;
    column.close()
}

/// A file that is read, a group of rows at a time.
pub(super) struct Reading {
    reader: SerializedFileReader<File>,
    columns: Columns,
    next: usize,
}

impl Reading {
    /// Opens a file; columns it has not are empty, columns nobody knows are left out.
    pub(super) fn open(path: &Path, columns: Columns) -> Result<Self, ParquetError> {
        Ok(Self {
            reader: SerializedFileReader::new(File::open(path)?)?,
            columns,
            next: 0,
        })
    }

    /// The next group; `None` at the end.
    pub(super) fn group(&mut self) -> Result<Option<Vec<Row>>, ParquetError> {
        if self.next >= self.reader.num_row_groups() {
            return Ok(None);
        }
        let group = self.reader.get_row_group(self.next)?;
        self.next += 1;
        let mut rows = Vec::new();
        for record in group.get_row_iter(None)? {
            let record = record?;
            let mut row: Row = self
                .columns
                .iter()
                .map(|(_, kind)| nothing(*kind))
                .collect();
            for (name, field) in record.get_column_iter() {
                let at = self.columns.iter().position(|(known, _)| known == name);
                if let Some(at) = at {
                    row[at] = cell(self.columns[at].1, field);
                }
            }
            rows.push(row);
        }
        Ok(Some(rows))
    }
}

const fn nothing(kind: Kind) -> Cell {
    match kind {
        Kind::Number | Kind::Time => Cell::Number(None),
        Kind::Text => Cell::Text(None),
        Kind::Flag => Cell::Flag(None),
    }
}

fn cell(kind: Kind, field: &Field) -> Cell {
    match field {
        Field::Long(number) | Field::TimestampMicros(number) => Cell::Number(Some(*number)),
        Field::Str(text) => Cell::Text(Some(text.clone())),
        Field::Bool(flag) => Cell::Flag(Some(*flag)),
        _ => nothing(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static COLUMNS: &[(&str, Kind)] = &[
        ("rid", Kind::Number),
        ("at", Kind::Time),
        ("name", Kind::Text),
        ("success", Kind::Flag),
    ];
    static LATER: &[(&str, Kind)] = &[("name", Kind::Text), ("newer", Kind::Number)];

    #[test]
    fn what_is_written_is_read_group_by_group_also_by_another_version() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        let row = |n: i64| {
            vec![
                Cell::Number(Some(n)),
                Cell::Number((n > 1).then_some(1_773_599_400_000_000)),
                Cell::Text((n != 2).then(|| format!("姓名 {n}"))),
                Cell::Flag(Some(n % 2 == 0)),
            ]
        };
        let mut writing = Writing::begin(&path, "x", COLUMNS).unwrap();
        writing.group(&[row(1), row(2)]).unwrap();
        writing.group(&[]).unwrap();
        writing.group(&[row(3)]).unwrap();
        writing.finish().unwrap();
        let mut reading = Reading::open(&path, COLUMNS).unwrap();
        assert_eq!(reading.group().unwrap().unwrap(), [row(1), row(2)]);
        assert_eq!(reading.group().unwrap().unwrap(), [row(3)]);
        assert_eq!(reading.group().unwrap(), None);
        let mut reading = Reading::open(&path, LATER).unwrap();
        let first = reading.group().unwrap().unwrap();
        assert_eq!(
            first[0],
            [Cell::Text(Some("姓名 1".into())), Cell::Number(None)]
        );
    }
}
