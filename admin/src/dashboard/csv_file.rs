//! Files for spreadsheets.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};

/// Spreadsheets recognise UTF-8 by it.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Returns a response that browsers save as a file.
pub(crate) fn respond(file_name: &str, body: Body) -> Response {
    let disposition = format!("attachment; filename=\"{file_name}\"");
    ([(CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (CONTENT_DISPOSITION, disposition)], body).into_response()
}

/// Returns the beginning of a file, with the names of its columns.
pub(crate) fn head(columns: &[&str]) -> String {
    BYTE_ORDER_MARK.to_owned() + &encode([columns])
}

/// Encodes rows as CSV (RFC 4180).
pub(crate) fn encode<R, T>(rows: impl IntoIterator<Item = R>) -> String
where
    R: IntoIterator<Item = T>,
    T: AsRef<str>,
{
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).flexible(true).from_writer(Vec::new());
    for row in rows {
        let cells = row.into_iter().map(|cell| neutralized(cell.as_ref()));
        writer.write_record(cells).expect("rows may differ in length, and memory takes all of them");
    }
    let bytes = writer.into_inner().expect("memory takes all of them");
    String::from_utf8(bytes).expect("it is made of texts")
}

/// Returns a cell that no spreadsheet takes for a formula (CWE-1236).
fn neutralized(cell: &str) -> String {
    match cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        true => format!("'{cell}"),
        false => cell.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_never_formulas() {
        for (cell, encoded) in [
            ("plain", "plain"),
            ("=HYPERLINK(\"http://evil.example\",1)", "\"'=HYPERLINK(\"\"http://evil.example\"\",1)\""),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("a,b", "\"a,b\""),
            ("two\nlines", "\"two\nlines\""),
            ("a=1", "a=1"),
        ] {
            assert_eq!(encode([["first", cell]]), format!("first,{encoded}\r\n"));
        }
    }
}
