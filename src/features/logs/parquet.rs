//! The request log as a Parquet file, in the order of the list, newest first.
//!
//! Rows are gathered into groups and written down a column after the other on a blocking thread, so what is held is one
//! group, whatever the file comes to; only each group's index, some kilobytes, is kept for the file's end. Columns and
//! their order are those of the other formats; times are timestamps, and money is an exact decimal.

use std::io::{self, Write};
use std::sync::Arc;

use actix_web::web::{self, Bytes};
use futures_util::{Stream, stream};
use parking_lot::Mutex;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use sea_orm::DatabaseConnection;
use steward_entities::ledger::request_filter::RequestFilter;
use steward_entities::ledger::request_log::RequestRow;
use steward_entities::ledger::request_page::{self, RequestCursor, RequestSort};

use super::{RequestFacts, RequestItem};
use crate::error::ApiError;

/// Rows of a group: some ten megabytes while they are gathered.
const GROUP_ROWS: usize = 20_000;
/// Rows of one read.
const READ_ROWS: u64 = 2_000;
const ZSTD_LEVEL: i32 = 3;

/// A row of the file: an item of the list, and what that tells as text.
struct Line {
    item: RequestItem,
    /// Microseconds since the Unix epoch; so is the next.
    request_at: i64,
    response_at: i64,
    /// Billionths of the currency.
    cost_nano: i64,
}

impl From<RequestRow> for Line {
    fn from(row: RequestRow) -> Self {
        Self {
            request_at: row.request_at,
            response_at: row.response_at,
            cost_nano: row.cost_nano,
            item: row.into(),
        }
    }
}

/// What a column holds, and where it is found.
enum Cells {
    Text(fn(&RequestFacts) -> Option<&str>),
    Number(fn(&Line) -> Option<i64>),
    Flag(fn(&RequestFacts) -> bool),
}

struct Column {
    name: &'static str,
    /// The logical type, in Parquet's words; empty for none.
    logical: &'static str,
    cells: Cells,
}

const fn text(name: &'static str, of: fn(&RequestFacts) -> Option<&str>) -> Column {
    Column {
        name,
        logical: "(STRING)",
        cells: Cells::Text(of),
    }
}

const fn number(name: &'static str, of: fn(&Line) -> Option<i64>) -> Column {
    Column {
        name,
        logical: "",
        cells: Cells::Number(of),
    }
}

const fn time(name: &'static str, of: fn(&Line) -> Option<i64>) -> Column {
    Column {
        name,
        logical: "(TIMESTAMP(MICROS,true))",
        cells: Cells::Number(of),
    }
}

const fn flag(name: &'static str, of: fn(&RequestFacts) -> bool) -> Column {
    Column {
        name,
        logical: "",
        cells: Cells::Flag(of),
    }
}

static COLUMNS: [Column; 38] = [
    text("id", |of| Some(&of.id)),
    text("token_id", |of| of.token_id.as_deref()),
    text("token_name", |of| of.token_name.as_deref()),
    text("account_id", |of| of.account_id.as_deref()),
    text("account_name", |of| of.account_name.as_deref()),
    text("tenant_id", |of| of.tenant_id.as_deref()),
    text("app", |of| of.app.as_deref()),
    text("user_name", |of| of.user_name.as_deref()),
    text("mode", |of| Some(of.mode)),
    text("provider", |of| Some(&of.provider)),
    text("model", |of| of.model.as_deref()),
    text("upstream_model", |of| of.upstream_model.as_deref()),
    text("operation", |of| Some(of.operation)),
    flag("stream", |of| of.stream),
    time("request_at", |line| Some(line.request_at)),
    time("response_at", |line| Some(line.response_at)),
    number("duration_ms", |line| Some(line.item.facts.duration_ms)),
    number("ttft_ms", |line| line.item.facts.ttft_ms),
    number("prompt_tokens", |line| Some(line.item.facts.prompt_tokens)),
    number("completion_tokens", |line| {
        Some(line.item.facts.completion_tokens)
    }),
    number("total_tokens", |line| Some(line.item.facts.total_tokens)),
    number("cached_tokens", |line| Some(line.item.facts.cached_tokens)),
    number("cache_write_tokens", |line| {
        Some(line.item.facts.cache_write_tokens)
    }),
    number("cache_write_1h_tokens", |line| {
        Some(line.item.facts.cache_write_1h_tokens)
    }),
    number("reasoning_tokens", |line| {
        Some(line.item.facts.reasoning_tokens)
    }),
    number("units", |line| Some(line.item.facts.units)),
    flag("usage_estimated", |of| of.usage_estimated),
    Column {
        name: "cost",
        logical: "(DECIMAL(18,9))",
        cells: Cells::Number(|line| line.item.facts.priced.then_some(line.cost_nano)),
    },
    text("currency", |of| of.currency.as_deref()),
    flag("priced", |of| of.priced),
    number("status_code", |line| {
        Some(i64::from(line.item.facts.status_code))
    }),
    flag("success", |of| of.success),
    text("error_code", |of| of.error_code.as_deref()),
    text("error_message", |of| of.error_message.as_deref()),
    text("conversation_id", |of| of.conversation_id.as_deref()),
    text("prompt", |of| of.prompt.as_deref()),
    text("source", |of| Some(of.source)),
    number("attempts", |line| Some(i64::from(line.item.attempts))),
];

fn schema() -> String {
    let each = COLUMNS.iter().map(|column| {
        let physical = match column.cells {
            Cells::Text(_) => "OPTIONAL BYTE_ARRAY",
            Cells::Number(_) => "OPTIONAL INT64",
            Cells::Flag(_) => "OPTIONAL BOOLEAN",
        };
        format!("{physical} {} {};", column.name, column.logical)
    });
    format!("message request {{ {} }}", each.collect::<String>())
}

/// Where the file's bytes wait until they leave.
#[derive(Clone, Debug, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock())
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that is being written.
struct File {
    writer: SerializedFileWriter<Written>,
    written: Written,
}

impl File {
    fn begin() -> Result<Self, ParquetError> {
        let schema = Arc::new(parse_message_type(&schema())?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
            .build();
        let written = Written::default();
        let writer = SerializedFileWriter::new(written.clone(), schema, Arc::new(properties))?;
        Ok(Self { writer, written })
    }

    fn group(&mut self, lines: &[Line]) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        for column in &COLUMNS {
            match column.cells {
                Cells::Text(of) => put::<ByteArrayType>(
                    &mut group,
                    lines
                        .iter()
                        .map(|line| of(&line.item.facts).map(ByteArray::from)),
                ),
                Cells::Number(of) => put::<Int64Type>(&mut group, lines.iter().map(of)),
                Cells::Flag(of) => put::<BoolType>(
                    &mut group,
                    lines.iter().map(|line| Some(of(&line.item.facts))),
                ),
            }?;
        }
        group.close()?;
        Ok(())
    }
}

/// The next column of a group: its values, and for each line whether it has one.
fn put<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Written>,
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

/// Where the writing stands.
struct Writing {
    read: DatabaseConnection,
    filter: RequestFilter,
    after: Option<RequestCursor>,
    /// Every row has been read.
    is_over: bool,
    /// None: its end has left.
    file: Option<File>,
}

/// The file's bytes. A step that fails breaks them off, and what has no end is no Parquet file.
pub(super) fn stream(
    read: DatabaseConnection,
    filter: RequestFilter,
) -> Result<impl Stream<Item = Result<Bytes, ApiError>> + 'static, ApiError> {
    let begun = Writing {
        read,
        filter,
        after: None,
        is_over: false,
        file: Some(File::begin().map_err(ApiError::internal)?),
    };
    Ok(stream::try_unfold(begun, Writing::step))
}

impl Writing {
    async fn step(mut self) -> Result<Option<(Bytes, Self)>, ApiError> {
        let Some(mut file) = self.file.take() else {
            return Ok(None);
        };
        let lines = self.lines().await?;
        let is_over = self.is_over;
        let wrote = web::block(move || {
            if !lines.is_empty() {
                file.group(&lines)?;
            }
            if is_over {
                file.writer.finish()?;
            }
            let bytes = file.written.take();
            Ok::<_, ParquetError>((bytes, (!is_over).then_some(file)))
        });
        let (bytes, file) = wrote
            .await
            .map_err(ApiError::internal)?
            .map_err(ApiError::internal)?;
        self.file = file;
        Ok(Some((Bytes::from(bytes), self)))
    }

    /// A group of rows, fewer only at the end.
    async fn lines(&mut self) -> Result<Vec<Line>, ApiError> {
        let mut lines = Vec::new();
        while lines.len() < GROUP_ROWS && !self.is_over {
            let sort = RequestSort::Newest;
            let after = self.after.take();
            let page = request_page::list(&self.read, &self.filter, sort, after, READ_ROWS).await?;
            self.is_over = page.next.is_none();
            self.after = page.next;
            lines.extend(page.rows.into_iter().map(Line::from));
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, File};

    #[test]
    fn columns_are_those_of_the_other_formats() {
        let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
        assert_eq!(names, super::super::export::COLUMNS);
        File::begin().unwrap();
    }
}
