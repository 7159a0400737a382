//! Prints what the admin API responds, as a table or as JSON.

use std::io::Write as _;

use serde_json::Value;
use tabwriter::TabWriter;

use crate::admin_client::{AdminClient, AdminError};
use crate::api_request::ApiRequest;
use crate::cli::{ListOptions, ResourceOutput, RevokeOptions};
use crate::output;

/// Maximum number of resources in one response.
const PAGE_LIMIT: usize = 100;

/// A list of the admin API.
pub(super) struct Collection {
    pub(super) path: &'static str,
    /// Member of the response that has the list. Without one, the response is the list.
    pub(super) member: Option<&'static str>,
    pub(super) columns: &'static [Column],
}

/// A column of a table: its title, and where its value is, with a dot between the names of nested members.
pub(super) struct Column {
    title: &'static str,
    member: &'static str,
}

impl Column {
    pub(super) const fn new(title: &'static str, member: &'static str) -> Self {
        Self { title, member }
    }

    fn text(&self, row: &Value) -> String {
        let value = self.member.split('.').try_fold(row, |value, name| value.get(name));
        value.map_or_else(|| "-".to_owned(), as_text)
    }
}

/// Rows of a list, and the cursor of the rows after them.
struct Rows {
    rows: Vec<Value>,
    next: Option<String>,
}

pub(super) struct Printer {
    client: AdminClient,
    output: ResourceOutput,
}

impl Printer {
    pub(super) fn new(client: AdminClient, output: ResourceOutput) -> Self {
        Self { client, output }
    }

    pub(super) fn client(&self) -> &AdminClient {
        &self.client
    }

    /// Prints the first rows of a list.
    pub(super) async fn print_list(
        &self,
        collection: &Collection,
        filter: &[(&'static str, String)],
        list: &ListOptions,
    ) -> anyhow::Result<()> {
        let limit = usize::try_from(list.limit).unwrap_or(usize::MAX);
        let mut found = Rows { rows: Vec::new(), next: list.after.clone() };
        loop {
            let missing = limit - found.rows.len();
            let mut query = filter.to_vec();
            query.push(("limit", missing.min(PAGE_LIMIT).to_string()));
            query.extend(found.next.take().map(|cursor| ("after", cursor)));
            let page = self.read_page(collection, query).await?;
            found.rows.extend(page.rows);
            found.next = page.next;
            if found.next.is_none() || found.rows.len() >= limit {
                break;
            }
        }
        self.print_rows(collection, &found.rows)?;
        if let Some(cursor) = found.next {
            output::print_error_line(&format!("there are more: repeat the command with --after {cursor}"));
        }
        Ok(())
    }

    /// Prints a list that has no pages.
    pub(super) async fn print_all(&self, collection: &Collection) -> anyhow::Result<()> {
        let rows = self.read_page(collection, Vec::new()).await?.rows;
        self.print_rows(collection, &rows)
    }

    /// Sends a request and prints the resource of its response.
    pub(super) async fn print_one(&self, request: ApiRequest) -> anyhow::Result<()> {
        self.print_resource(&self.client.call(request).await?.body)
    }

    /// Revokes or deletes a resource, and prints how many gateways refuse its keys.
    pub(super) async fn print_revocation(&self, kind: &str, revoked: &RevokeOptions, done: &str) -> anyhow::Result<()> {
        let request = ApiRequest::delete(&[kind, &revoked.id]).waiting(revoked.wait);
        let response = self.client.call(request).await?;
        let counts = response.header("gatepost-propagated").filter(|_| revoked.wait.is_some());
        let propagated = counts.and_then(|counts| counts.split_once('/'));
        let propagated = propagated
            .map(|(applied, known)| format!("; {applied} of {known} gateways refuse its keys"))
            .unwrap_or_default();
        output::print_line(&format!("{done} {}{propagated}", revoked.id))
    }

    pub(super) fn print_resource(&self, resource: &Value) -> anyhow::Result<()> {
        match (self.output, resource) {
            (ResourceOutput::Table, Value::Object(members)) => {
                let lines = members.iter().map(|(name, value)| format!("{name}\t{}", as_text(value)));
                output::print_line(&align(lines)?)
            }
            (ResourceOutput::Table | ResourceOutput::Json, _) => print_json(resource),
        }
    }

    pub(super) fn is_json(&self) -> bool {
        self.output == ResourceOutput::Json
    }

    fn print_rows(&self, collection: &Collection, rows: &[Value]) -> anyhow::Result<()> {
        if self.is_json() {
            return print_json(&Value::from(rows));
        }
        let titles = collection.columns.iter().map(|column| column.title.to_owned());
        let lines = rows.iter().map(|row| collection.columns.iter().map(|column| column.text(row)).collect());
        let lines = std::iter::once(titles.collect::<Vec<_>>()).chain(lines).map(|cells| cells.join("\t"));
        output::print_line(&align(lines)?)
    }

    async fn read_page(&self, collection: &Collection, query: Vec<(&'static str, String)>) -> Result<Rows, AdminError> {
        let request = ApiRequest::get(&[collection.path.trim_start_matches('/')]).with_query(query);
        let mut response = self.client.call(request).await?;
        let unexpected = || AdminError::Unexpected("it is not a list".to_owned());
        match collection.member {
            None => {
                let next = response.header("gatepost-next").map(str::to_owned);
                let Value::Array(rows) = response.body else { return Err(unexpected()) };
                Ok(Rows { rows, next })
            }
            Some(member) => {
                let has_more = response.body["hasMore"] == true;
                let next = response.body["next"].as_str().filter(|_| has_more).map(str::to_owned);
                let Value::Array(rows) = response.body[member].take() else { return Err(unexpected()) };
                Ok(Rows { rows, next })
            }
        }
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
