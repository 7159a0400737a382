//! `gatepost webhook`.

use super::body::Body;
use super::printer::{Collection, Printer};
use crate::api_request::ApiRequest;
use crate::cli::WebhookCommand;
use crate::commands::UsageError;
use crate::output;
use crate::table::Column;

const WEBHOOKS: Collection = Collection {
    path: "/webhooks",
    member: None,
    columns: &[
        Column::new("ID", "id"),
        Column::new("NAME", "name"),
        Column::new("STATE", "state"),
        Column::new("PROJECT", "projectId"),
        Column::new("URL", "url"),
        Column::new("TOPICS", "topics"),
    ],
};

pub(super) async fn run(printer: &Printer, command: WebhookCommand) -> anyhow::Result<()> {
    match command {
        WebhookCommand::List(list) => printer.print_list(&WEBHOOKS, &[], &list).await,
        WebhookCommand::Get(one) => printer.print_one(ApiRequest::get(&["webhooks", &one.id])).await,
        WebhookCommand::Create(new) => {
            let body = Body::default()
                .with("name", Some(new.name))
                .with("url", Some(new.url))
                .with("topics", Some(new.topics))
                .with("projectId", new.project);
            printer.print_one(ApiRequest::post(&["webhooks"], body.into_value())).await
        }
        WebhookCommand::Update(update) => {
            let body = Body::default()
                .with("name", update.name)
                .with("url", update.url)
                .with("topics", update.topics)
                .with("status", update.status.map(|status| status.as_str()));
            if body.is_empty() {
                return Err(UsageError("name what changes: --name, --url, --topics or --status".to_owned()).into());
            }
            printer.print_one(ApiRequest::patch(&["webhooks", &update.id], body.into_value())).await
        }
        WebhookCommand::Delete(deleted) => {
            printer.client().call(ApiRequest::delete(&["webhooks", &deleted.id])).await?;
            output::print_line(&format!("deleted {}", deleted.id))
        }
    }
}
