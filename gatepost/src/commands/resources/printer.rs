//! Prints what the admin API responds.

use serde_json::Value;

use crate::admin_client::{AdminClient, AdminError};
use crate::api_request::ApiRequest;
use crate::cli::{ListOptions, ResourceOutput, RevokeOptions};
use crate::output;
use crate::table::{self, Column};

/// Maximum number of resources in one response.
const PAGE_LIMIT: usize = 100;

/// A list of the admin API.
pub(super) struct Collection {
    pub(super) path: &'static str,
    /// Member of the response that has the list. Without one, the response is the list.
    pub(super) member: Option<&'static str>,
    pub(super) columns: &'static [Column],
}

/// Rows of a list, and the cursor of the rows after them.
pub(super) struct Rows {
    pub(super) rows: Vec<Value>,
    pub(super) next: Option<String>,
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
        table::print_rows(collection.columns, &found.rows, self.output)?;
        if let Some(cursor) = found.next {
            table::print_cursor(&cursor);
        }
        Ok(())
    }

    /// Prints a list that has no pages.
    pub(super) async fn print_all(&self, collection: &Collection) -> anyhow::Result<()> {
        let rows = self.read_page(collection, Vec::new()).await?.rows;
        table::print_rows(collection.columns, &rows, self.output)
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
        let refused = if kind == "projects" { "its keys" } else { "it" };
        let propagated = propagated
            .map(|(applied, known)| format!("; {applied} of {known} gateways refuse {refused}"))
            .unwrap_or_default();
        output::print_line(&format!("{done} {}{propagated}", revoked.id))
    }

    pub(super) fn print_resource(&self, resource: &Value) -> anyhow::Result<()> {
        table::print_members(resource, self.output)
    }

    pub(super) fn is_json(&self) -> bool {
        self.output == ResourceOutput::Json
    }

    /// Reads a part of a list.
    pub(super) async fn read_page(
        &self,
        collection: &Collection,
        query: Vec<(&'static str, String)>,
    ) -> Result<Rows, AdminError> {
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
