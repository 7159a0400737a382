//! Changes as a table: what happened, to what, by whom and from where.

use gatepost_control_plane::VisibleChange;
use gatepost_domain::record::Record;
use gatepost_domain::time::Timestamp;
use maud::{Markup, html};

use super::table::Column;
use super::table::Column::Text;
use super::{changed_members, facts, table, time};
use crate::dashboard::action_words;
use crate::dashboard::actors::ActorNames;
use crate::dashboard::root::ROOT;

const COLUMNS: [Column<'_>; 5] = [Text("What"), Text("Of"), Text("By"), Text("From"), Text("When")];

/// Shows changes in their order, each with a link to its page.
pub(crate) fn table(changes: &[VisibleChange], actors: &ActorNames, now: Timestamp) -> Markup {
    table::of("Changes", &COLUMNS, rows(changes, actors, now))
}

/// Returns the rows of the table.
pub(crate) fn rows(changes: &[VisibleChange], actors: &ActorNames, now: Timestamp) -> Markup {
    html! { @for change in changes { (row(change, actors, now)) } }
}

/// Returns a row in place of changes that are lost.
pub(crate) fn gap() -> Markup {
    html! { tr.differs { td.wrap colspan=(COLUMNS.len()) { "Some changes in between are no longer kept." } } }
}

fn row(change: &VisibleChange, actors: &ActorNames, now: Timestamp) -> Markup {
    let (content, metadata) = (&change.content, &change.content.metadata);
    html! {
        tr {
            @let members = changed_members::list(change);
            th scope="row" {
                a href={ (ROOT) "/changes/" (change.cursor()) } { (action_words::title(content.action)) }
                @if !members.0.is_empty() { div.hint.wrap { (members) } }
            }
            td.wrap { (subject(change)) }
            td { (actors.label(&metadata.actor)) }
            td { (facts::or_dash(metadata.address.map(|address| html! { (address) }))) }
            td { (time::relative(change.version.timestamp(), now)) }
        }
    }
}

/// Shows the name of what a change was made to, with a link to its page if it has one.
pub(crate) fn subject(change: &VisibleChange) -> Markup {
    let content = &change.content;
    let Some(record) = content.new.as_ref().or(content.old.as_ref()) else {
        return html! { code { (content.metadata.subject) } };
    };
    let name = name_of(record);
    let path = content.new.as_ref().and_then(path_of);
    html! { @match path { Some(path) => a href={ (ROOT) (path) } { (name) }, None => (name) } }
}

pub(crate) fn name_of(record: &Record) -> &str {
    match record {
        Record::Account(account) => &account.name,
        Record::Project(project) => &project.name,
        Record::ApiKey(key) => &key.name,
        Record::AccessKey(key) => &key.name,
        Record::Webhook(webhook) => &webhook.name,
    }
}

/// Returns the path of the page of a record.
fn path_of(record: &Record) -> Option<String> {
    match record {
        Record::Project(project) => Some(format!("/projects/{}", project.id)),
        Record::ApiKey(key) => Some(format!("/keys/{}", key.id)),
        Record::Webhook(webhook) => Some(format!("/webhooks/{}", webhook.id)),
        Record::Account(_) | Record::AccessKey(_) => None,
    }
}
