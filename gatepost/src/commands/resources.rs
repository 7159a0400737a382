//! `gatepost project`, `key`, `webhook`, `event`, `gateway list` and `export`: resources through the admin API.

mod body;
mod export;
mod key;
mod printer;
mod webhook;

use gatepost_domain::time::Clock as _;
use gatepost_store::clock::SystemClock;
use serde_json::json;

use super::find_admin_url;
use crate::admin_client::AdminClient;
use crate::api_request::ApiRequest;
use crate::cli::{
    ClientOptions, EventCommand, EventListOptions, EventOptions, ExportOptions, GatewayCommand, KeyOptions,
    NewProjectOptions, Options, ProjectCommand, ProjectOptions, ResourceOutput, WebhookOptions,
};
use crate::table::Column;
use printer::{Collection, Printer};

const PROJECTS: Collection = Collection {
    path: "/projects",
    member: None,
    columns: &[
        Column::new("ID", "id"),
        Column::new("NAME", "name"),
        Column::new("ENV", "env"),
        Column::new("ACTIVE", "isActive"),
        Column::new("CREATED", "createdAt"),
    ],
};
const EVENTS: Collection = Collection {
    path: "/events",
    member: Some("events"),
    columns: &[
        Column::new("TIME", "timestamp"),
        Column::new("TYPE", "type"),
        Column::new("SUBJECT", "subject"),
        Column::new("ACTOR", "actor.type"),
        Column::new("ACTOR ID", "actor.id"),
        Column::new("ID", "id"),
    ],
};
const GATEWAYS: Collection = Collection {
    path: "/gateways",
    member: None,
    columns: &[
        Column::new("ID", "id"),
        Column::new("NAME", "name"),
        Column::new("VERSION", "version"),
        Column::new("LAG MS", "lagMs"),
        Column::new("LAST HEARTBEAT", "lastHeartbeatAt"),
    ],
};

pub(crate) async fn project(options: &Options, project: ProjectOptions) -> anyhow::Result<()> {
    let printer = connect(options, &project.client)?;
    match project.command {
        ProjectCommand::List(list) => printer.print_list(&PROJECTS, &[], &list).await,
        ProjectCommand::Get(one) => printer.print_one(ApiRequest::get(&["projects", &one.id])).await,
        ProjectCommand::Create(new) => printer.print_one(create_project(&new)).await,
        ProjectCommand::Update(renamed) => {
            let body = json!({"name": renamed.name});
            printer.print_one(ApiRequest::patch(&["projects", &renamed.id], body)).await
        }
        ProjectCommand::Delete(deleted) => printer.print_revocation("projects", &deleted, "deleted").await,
    }
}

fn create_project(new: &NewProjectOptions) -> ApiRequest {
    ApiRequest::post(&["projects"], json!({"name": new.name, "env": new.env.as_str()}))
}

pub(crate) async fn key(options: &Options, key: KeyOptions) -> anyhow::Result<()> {
    key::run(options, &connect(options, &key.client)?, key.command).await
}

pub(crate) async fn webhook(options: &Options, webhook: WebhookOptions) -> anyhow::Result<()> {
    webhook::run(&connect(options, &webhook.client)?, webhook.command).await
}

pub(crate) async fn event(options: &Options, event: EventOptions) -> anyhow::Result<()> {
    let printer = connect(options, &event.client)?;
    match event.command {
        EventCommand::List(list) => printer.print_list(&EVENTS, &event_filter(&list), &list.list).await,
    }
}

fn event_filter(list: &EventListOptions) -> Vec<(&'static str, String)> {
    let since = list.since.map(|age| SystemClock.now().minus(age).to_string());
    let filters = [
        ("subject", list.subject.clone()),
        ("actor", list.actor.clone()),
        ("projectId", list.project.clone()),
        ("type", list.r#type.clone()),
        ("since", since),
        ("order", Some("desc".to_owned())),
    ];
    filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

pub(crate) async fn gateway(options: &Options, command: GatewayCommand) -> anyhow::Result<()> {
    match command {
        GatewayCommand::List(client) => connect(options, &client)?.print_all(&GATEWAYS).await,
    }
}

pub(crate) async fn export(options: &Options, export: &ExportOptions) -> anyhow::Result<()> {
    let client = ClientOptions { admin: export.admin.clone(), output: ResourceOutput::Json };
    export::run(&connect(options, &client)?, export).await
}

fn connect(options: &Options, client: &ClientOptions) -> anyhow::Result<Printer> {
    let url = find_admin_url(client.admin.admin_url.clone(), options)?;
    Ok(Printer::new(AdminClient::new(url)?, client.output))
}
