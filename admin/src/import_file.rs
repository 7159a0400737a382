//! Files of keys to import: CSV, or JSON as an array or one object after the other.

use std::io::{BufRead, Read};
use std::ops::ControlFlow;

use gatepost_control_plane::NumberedRow;
use gatepost_runtime::error_chain;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::http::json;
use crate::import_rows::parse_import_row;

/// String columns of a CSV file; the others hold JSON.
const TEXT_COLUMNS: [&str; 9] =
    ["key", "sha256", "name", "projectId", "customAccountId", "customUserId", "expiry", "clientIP", "clientUserAgent"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    Csv,
    Json,
}

/// A part of a file.
#[derive(Debug)]
pub enum FileItem {
    /// Columns, as a row without values.
    Columns(Value),
    /// Row with its number.
    Row(u64, Value),
    /// Row that cannot be parsed: number and reason.
    Unreadable(u64, String),
}

/// Why a file cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum ReadImportError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Csv(csv::Error),
    #[error("the first line must name the columns")]
    Columns(#[source] csv::Error),
    #[error("the first line must name the columns, one of them key or sha256")]
    NoKeyColumn,
    #[error("invalid JSON at line {line}, column {column}")]
    Json { line: usize, column: usize },
}

/// Reads a file on the thread of the caller, and passes each part on until `send` breaks.
///
/// # Errors
/// If the file cannot be read any further. What was passed on before is valid.
pub fn read_import_file(
    mut reader: impl BufRead,
    format: FileFormat,
    send: impl FnMut(FileItem) -> ControlFlow<()>,
) -> Result<(), ReadImportError> {
    skip_byte_order_mark(&mut reader)?;
    match format {
        FileFormat::Csv => read_csv(reader, send),
        FileFormat::Json => read_json(reader, send),
    }
}

impl FileItem {
    /// Returns the row for an import; none for the columns.
    pub fn into_row(self) -> Option<NumberedRow> {
        match self {
            FileItem::Columns(_) => None,
            FileItem::Row(number, row) => {
                Some(NumberedRow { number, row: parse_import_row(row).map_err(|failure| failure.to_string()) })
            }
            FileItem::Unreadable(number, why) => Some(NumberedRow { number, row: Err(why) }),
        }
    }
}

fn read_csv(reader: impl Read, mut send: impl FnMut(FileItem) -> ControlFlow<()>) -> Result<(), ReadImportError> {
    let mut reader = csv::Reader::from_reader(reader);
    let names = reader.headers().map_err(ReadImportError::Columns)?.clone();
    if !names.iter().any(|name| matches!(name, "key" | "sha256")) {
        return Err(ReadImportError::NoKeyColumn);
    }
    let columns = FileItem::Columns(names.iter().map(|name| (name.to_owned(), Value::Null)).collect());
    let parts = (1..).zip(reader.records()).map(|(number, record)| match record {
        Ok(record) => Ok(FileItem::Row(number, row_from_record(&names, &record))),
        Err(error) if error.is_io_error() => Err(ReadImportError::Csv(error)),
        // The error of the library may contain parts of the row.
        Err(_) => {
            let why = "the row has a different number of columns than the first line, or is not UTF-8";
            Ok(FileItem::Unreadable(number, why.to_owned()))
        }
    });
    for part in std::iter::once(Ok(columns)).chain(parts) {
        if send(part?).is_break() {
            break;
        }
    }
    Ok(())
}

/// Converts a CSV record to a row. Empty cells become missing members.
fn row_from_record(names: &csv::StringRecord, record: &csv::StringRecord) -> Value {
    let mut row = Map::new();
    for (name, cell) in names.iter().zip(record).filter(|(_, cell)| !cell.is_empty()) {
        let text = || Value::from(cell);
        let value =
            if TEXT_COLUMNS.contains(&name) { text() } else { serde_json::from_str(cell).unwrap_or_else(|_| text()) };
        row.insert(name.to_owned(), value);
    }
    Value::Object(row)
}

fn read_json(
    mut reader: impl BufRead,
    mut send: impl FnMut(FileItem) -> ControlFlow<()>,
) -> Result<(), ReadImportError> {
    let is_array = loop {
        match reader.fill_buf()?.first() {
            Some(byte) if byte.is_ascii_whitespace() => reader.consume(1),
            first => break first == Some(&b'['),
        }
    };
    if is_array {
        let all: Vec<Box<RawValue>> = serde_json::from_reader(reader).map_err(|error| syntax_error(&error))?;
        for (number, row) in (1..).zip(all) {
            if send(row_from_json(number, &row)).is_break() {
                break;
            }
        }
        return Ok(());
    }
    for (number, row) in (1..).zip(serde_json::Deserializer::from_reader(reader).into_iter::<Box<RawValue>>()) {
        let row = row.map_err(|error| syntax_error(&error))?;
        if send(row_from_json(number, &row)).is_break() {
            break;
        }
    }
    Ok(())
}

fn row_from_json(number: u64, row: &RawValue) -> FileItem {
    match json::parse(row.get().as_bytes()) {
        Ok(row) => FileItem::Row(number, row),
        Err(failure) => FileItem::Unreadable(number, error_chain(&failure)),
    }
}

/// Skips a UTF-8 byte order mark, which some programs write before the text.
fn skip_byte_order_mark(reader: &mut impl BufRead) -> std::io::Result<()> {
    if reader.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
        reader.consume(3);
    }
    Ok(())
}

fn syntax_error(error: &serde_json::Error) -> ReadImportError {
    ReadImportError::Json { line: error.line(), column: error.column() }
}
