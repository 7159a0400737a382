//! `gatepost key`.

use std::io::IsTerminal;

use anyhow::bail;
use serde_json::{Value, json};

use super::body::Body;
use super::printer::{Collection, Printer};
use crate::admin_client::AdminError;
use crate::admin_url::reachable_address;
use crate::api_request::ApiRequest;
use crate::cli::{KeyCommand, KeyListOptions, KeyUpdateOptions, NewKeyOptions, Options};
use crate::commands::UsageError;
use crate::output;
use crate::table::Column;

const KEYS: Collection = Collection {
    path: "/api-keys",
    member: None,
    columns: &[
        Column::new("ID", "id"),
        Column::new("NAME", "name"),
        Column::new("KEY", "maskedKey"),
        Column::new("PROJECT", "projectId"),
        Column::new("ACTIVE", "isActive"),
        Column::new("EXPIRES", "expiresAt"),
        Column::new("LAST USED", "lastUsedAt"),
    ],
};
/// Maximum number of projects that a message names.
const MAX_NAMED_PROJECTS: usize = 10;

pub(super) async fn run(options: &Options, printer: &Printer, command: KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::List(list) => printer.print_list(&KEYS, &filter(&list), &list.list).await,
        KeyCommand::Get(one) => printer.print_one(ApiRequest::get(&["api-keys", &one.id])).await,
        KeyCommand::Create(new) => create(options, printer, &new).await,
        KeyCommand::Update(update) => printer.print_one(update_request(&update)?).await,
        KeyCommand::Rotate(rotate) => {
            let body = json!({"overlapSeconds": rotate.overlap.map_or(0, |overlap| overlap.as_secs())});
            let request = ApiRequest::post(&["api-keys", &rotate.id, "rotate"], body);
            let rotated = printer.client().call(request).await?.body;
            print_value(options, printer, &rotated)
        }
        KeyCommand::Revoke(revoked) => printer.print_revocation("api-keys", &revoked, "revoked").await,
    }
}

fn filter(list: &KeyListOptions) -> Vec<(&'static str, String)> {
    let filters = [
        ("projectId", list.project.clone()),
        ("name", list.name.clone()),
        ("customAccountId", list.custom_account_id.clone()),
    ];
    filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn update_request(update: &KeyUpdateOptions) -> anyhow::Result<ApiRequest> {
    let body = Body::default().with("name", update.name.clone()).with_key_members(&update.members);
    if body.is_empty() {
        return Err(UsageError("name what changes, such as --name or --expiry".to_owned()).into());
    }
    Ok(ApiRequest::patch(&["api-keys", &update.id], body.into_value()))
}

async fn create(options: &Options, printer: &Printer, new: &NewKeyOptions) -> anyhow::Result<()> {
    let project = match &new.project {
        Some(project) => project.clone(),
        None => find_only_project(printer).await?,
    };
    let body = Body::default()
        .with("name", Some(new.name.clone()))
        .with("projectId", Some(project))
        .with_key_members(&new.members);
    let created = printer.client().call(ApiRequest::post(&["api-keys"], body.into_value())).await?.body;
    print_value(options, printer, &created)
}

/// Returns the only active project that the access key sees.
async fn find_only_project(printer: &Printer) -> anyhow::Result<String> {
    let query = vec![("limit", (MAX_NAMED_PROJECTS + 1).to_string())];
    let listed = printer.client().call(ApiRequest::get(&["projects"]).with_query(query)).await?;
    let Value::Array(projects) = listed.body else {
        return Err(AdminError::Unexpected("it is not a list".to_owned()).into());
    };
    let active: Vec<&Value> = projects.iter().filter(|project| project["isActive"] == true).collect();
    match active[..] {
        [project] => Ok(project["id"].as_str().unwrap_or_default().to_owned()),
        [] => bail!("there is no project: create one with `gatepost project create --name NAME`"),
        [..] => {
            let named = active.iter().take(MAX_NAMED_PROJECTS).map(|project| {
                format!(
                    "{} ({})",
                    project["id"].as_str().unwrap_or_default(),
                    project["name"].as_str().unwrap_or_default()
                )
            });
            let named = named.collect::<Vec<_>>().join(", ");
            Err(UsageError(format!("there are several projects: name one with --project. They include {named}")).into())
        }
    }
}

/// Prints the value of a key alone to standard output, so that a script can read it. A person also gets a command that
/// uses it.
fn print_value(options: &Options, printer: &Printer, key: &Value) -> anyhow::Result<()> {
    if printer.is_json() {
        return printer.print_resource(key);
    }
    let value = key["key"].as_str().unwrap_or_default();
    output::print_line(value)?;
    if std::io::stdout().is_terminal() {
        let id = key["id"].as_str().unwrap_or_default();
        output::print_error_line(&format!("{id} in project {}", key["projectId"].as_str().unwrap_or_default()));
        output::print_error_line(&format!("try it: curl -H 'Authorization: Bearer {value}' {}", gateway_url(options)));
    }
    Ok(())
}

/// Returns the URL of the gateway that the configuration describes.
fn gateway_url(options: &Options) -> String {
    let config = options.config_source().load().ok();
    let listener = config.as_ref().and_then(|config| config.gateway.listeners.first());
    listener.map_or_else(
        || "https://YOUR-GATEWAY/".to_owned(),
        |listener| {
            let scheme = if listener.options.tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{}/", reachable_address(listener.options.address))
        },
    )
}
