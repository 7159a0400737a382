//! `gatepost export`: all resources of a kind, one line of JSON each, without secrets.

use serde_json::Value;
use url::Url;

use super::printer::{Collection, Printer};
use crate::cli::{ExportKind, ExportOptions};
use crate::output;

/// Resources in one response: with as many of the largest it still has less than the maximum size.
const PAGE_LIMIT: usize = 10;
/// In place of a secret, as viewers see it.
const MASK: &str = "…";

pub(super) async fn run(printer: &Printer, export: &ExportOptions) -> anyhow::Result<()> {
    let collection = collection(export.kind);
    let mut after = export.after.clone();
    loop {
        let mut query = vec![("limit", PAGE_LIMIT.to_string())];
        query.extend(after.take().map(|cursor| ("after", cursor)));
        let page = printer.read_page(&collection, query).await?;
        for mut row in page.rows {
            if export.kind == ExportKind::Webhooks {
                mask_webhook(&mut row);
            }
            output::print_line(&row.to_string())?;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

fn collection(kind: ExportKind) -> Collection {
    let (path, member) = match kind {
        ExportKind::Keys => ("/api-keys", None),
        ExportKind::Webhooks => ("/webhooks", None),
        ExportKind::Events => ("/events", Some("events")),
    };
    Collection { path, member, columns: &[] }
}

/// Masks what may be a credential for the receiver: the path and the query of the URL, and the values of headers. Lists
/// have no signing secrets.
fn mask_webhook(webhook: &mut Value) {
    let origin =
        webhook["url"].as_str().and_then(|url| Url::parse(url).ok()).map(|url| url.origin().ascii_serialization());
    webhook["url"] = Value::from(format!("{}/{MASK}", origin.unwrap_or_default()));
    for (_, value) in webhook["customHeaders"].as_object_mut().into_iter().flatten() {
        *value = Value::from(MASK);
    }
}
