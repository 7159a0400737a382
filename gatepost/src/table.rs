//! Tables on standard output, or the same as JSON.

use std::io::Write as _;

use serde_json::Value;
use tabwriter::TabWriter;

use crate::cli::ResourceOutput;
use crate::output;

/// A column of a table: its title, and where its value is, with a dot between the names of nested members.
pub(crate) struct Column {
    title: &'static str,
    member: &'static str,
}

impl Column {
    pub(crate) const fn new(title: &'static str, member: &'static str) -> Self {
        Self { title, member }
    }

    fn text(&self, row: &Value) -> String {
        let value = self.member.split('.').try_fold(row, |value, name| value.get(name));
        value.map_or_else(|| "-".to_owned(), as_text)
    }
}

/// Prints the rows of a list.
pub(crate) fn print_rows(columns: &[Column], rows: &[Value], output: ResourceOutput) -> anyhow::Result<()> {
    if output == ResourceOutput::Json {
        return print_json(&Value::from(rows));
    }
    let titles = columns.iter().map(|column| column.title.to_owned());
    let lines = rows.iter().map(|row| columns.iter().map(|column| column.text(row)).collect());
    let lines = std::iter::once(titles.collect::<Vec<_>>()).chain(lines).map(|cells| cells.join("\t"));
    output::print_line(&align(lines)?)
}

/// Says that a list has more rows, and how to get them.
pub(crate) fn print_cursor(cursor: &str) {
    output::print_error_line(&format!("there are more: repeat the command with --after {cursor}"));
}

/// Prints the members of a resource.
pub(crate) fn print_members(resource: &Value, output: ResourceOutput) -> anyhow::Result<()> {
    match (output, resource) {
        (ResourceOutput::Table, Value::Object(members)) => {
            let lines = members.iter().map(|(name, value)| format!("{name}\t{}", as_text(value)));
            output::print_line(&align(lines)?)
        }
        (ResourceOutput::Table | ResourceOutput::Json, _) => print_json(resource),
    }
}

fn print_json(value: &Value) -> anyhow::Result<()> {
    output::print_line(&serde_json::to_string_pretty(value)?)
}

/// Aligns the columns of lines whose cells are separated by tabs.
fn align(lines: impl IntoIterator<Item = String>) -> anyhow::Result<String> {
    let mut writer = TabWriter::new(Vec::new()).padding(2);
    for line in lines {
        writeln!(writer, "{line}")?;
    }
    let bytes = writer.into_inner().map_err(|error| anyhow::anyhow!("aligning a table failed: {error}"))?;
    Ok(String::from_utf8(bytes)?.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
}

/// Returns a value as people read it, on one line.
fn as_text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(is_so) => if *is_so { "yes" } else { "no" }.to_owned(),
        Value::String(text) => {
            text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
        }
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) if values.iter().all(Value::is_string) => {
            values.iter().map(as_text).collect::<Vec<_>>().join(", ")
        }
        Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cell_is_one_line_without_control_characters() {
        for (value, text) in [
            (json!(null), "-"),
            (json!(true), "yes"),
            (json!("a\tb\u{1b}[2J\n"), "a b [2J "),
            (json!(["a", "b"]), "a, b"),
            (json!([]), "-"),
            (json!({"a": 1}), "{\"a\":1}"),
        ] {
            assert_eq!(as_text(&value), text);
        }
    }

    #[test]
    fn columns_are_aligned_and_nested_members_are_found() {
        let column = Column::new("ACTOR", "actor.id");
        assert_eq!(column.text(&json!({"actor": {"id": "x"}})), "x");
        assert_eq!(column.text(&json!({"actor": null})), "-");
        let lines = ["ID\tNAME", "prj_1\tä", "prj_222\tb"].map(str::to_owned);
        assert_eq!(align(lines).unwrap(), "ID       NAME\nprj_1    ä\nprj_222  b");
    }
}
