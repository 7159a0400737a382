//! The account: its name, its limits, and signing out everywhere.

use axum::extract::State;
use gatepost_control_plane::{AccountChange, Failure, Patch};
use gatepost_domain::record::Account;
use gatepost_store::{AccountResource, ResourceUsage, Versioned};
use maud::{Markup, html};

use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFaults, NO_FAULTS};
use crate::dashboard::layout::{self, Page, Section};
use crate::dashboard::parts::field::{Entries, Field};
use crate::dashboard::parts::table::Column::{Number, Text};
use crate::dashboard::parts::{copy, facts, number, table, time};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

const NAME: Field = Field::text("name", "Name", "").required();

pub(crate) async fn show(State(state): State<DashboardState>, visitor: Visitor) -> PageResult {
    let account = read(&state, &visitor).await?;
    let form = form_of(&account);
    let content = content(&state, &visitor, &account, Entries { form: &form, faults: &NO_FAULTS }).await?;
    Ok(answer::html_page(account_page(&visitor, &account.record.name, content)))
}

/// Renames the account.
pub(crate) async fn rename(State(state): State<DashboardState>, visitor: Visitor, form: Form) -> PageResult {
    visitor.caller().require_admin()?;
    visitor.caller().require_account_scope()?;
    let change = AccountChange { name: Patch::Value(form.text("name").to_owned()), ..AccountChange::default() };
    let id = visitor.caller().account.to_string();
    match state.control_plane.update_account(&visitor.context_at(form.version()), &id, &change).await {
        Ok(_) => Ok(answer::see_other("/account")),
        Err(failure) => {
            let faults = FormFaults::of(failure)?;
            let account = read(&state, &visitor).await?;
            let content = content(&state, &visitor, &account, Entries { form: &form, faults: &faults }).await?;
            Ok(answer::faulty_form(account_page(&visitor, &account.record.name, content)))
        }
    }
}

async fn read(state: &DashboardState, visitor: &Visitor) -> Result<Versioned<Account>, Failure> {
    state.control_plane.account(&visitor.context(), visitor.caller().account.as_str()).await
}

fn form_of(account: &Versioned<Account>) -> Form {
    Form::with([("name", account.record.name.clone()), ("version", account.position.version.as_u64().to_string())])
}

async fn content(
    state: &DashboardState,
    visitor: &Visitor,
    account: &Versioned<Account>,
    entries: Entries<'_>,
) -> Result<Markup, Failure> {
    let record = &account.record;
    let may_rename = visitor.may_administer() && visitor.sees_account();
    Ok(html! {
        h1 { (record.name) }
        section.card aria-label="Facts" {
            (facts::list(vec![
                ("Account ID", copy::id(record.id.as_str())),
                ("Created", time::relative(record.stamps.created_at, state.control_plane.now())),
                ("Signed in with", html! { (visitor.session.access_key.name) " " code { (visitor.session.access_key.mask) } }),
                ("Role", html! { (layout::role_name(visitor.caller().role)) }),
            ]))
        }
        @if visitor.sees_account() {
            section aria-labelledby="limits-heading" {
                h2 #limits-heading { "Limits" }
                (limits(state.control_plane.account_usage(&visitor.context(), record.id.as_str()).await?))
            }
        }
        @if may_rename {
            section aria-labelledby="name-heading" {
                h2 #name-heading { "Name" }
                form.inline method="post" action={ (ROOT) "/account" } {
                    (entries.summary(&[NAME]))
                    (entries.field(&NAME))
                    input type="hidden" name="version" value=(account.position.version.as_u64());
                    button { "Rename" }
                }
            }
        }
        section aria-labelledby="sessions-heading" {
            h2 #sessions-heading { "Sessions" }
            p { "Signing out everywhere ends all sessions that were started with your access key, this one too. The access key itself stays valid." }
            form method="post" action={ (ROOT) "/sign-out-everywhere" } { button { "Sign out everywhere" } }
        }
    })
}

fn limits(usage: Option<Vec<ResourceUsage>>) -> Markup {
    let Some(usage) = usage else {
        return html! { p.notice { "The store does not count yet. The operator upgrades it with " code { "gatepost store upgrade" } "." } };
    };
    table::of(
        "Limits",
        &[Text("What"), Number("Used"), Number("Limit"), Text("Part")],
        html! { @for one in &usage { (limit_row(one)) } },
    )
}

fn limit_row(usage: &ResourceUsage) -> Markup {
    html! {
        tr {
            th scope="row" { (resource_name(usage.resource)) }
            td.number { (number::grouped(usage.used)) }
            @match usage.limit {
                Some(limit) => {
                    td.number { (number::grouped(limit)) }
                    td {
                        meter min="0" max=(limit) value=(usage.used.min(limit)) aria-label={ "Part of the limit of " (resource_name(usage.resource)) } {}
                        " " (percent(usage.used, limit)) " %"
                    }
                },
                None => { td.number { "none" } td { (facts::or_dash(None)) } },
            }
        }
    }
}

/// Returns a part in whole percent, rounded down.
fn percent(used: u64, limit: u64) -> u64 {
    u64::try_from(u128::from(used) * 100 / u128::from(limit.max(1))).unwrap_or(u64::MAX)
}

fn resource_name(resource: AccountResource) -> &'static str {
    match resource {
        AccountResource::ApiKeys => "API keys, revoked ones too",
        AccountResource::Projects => "Projects",
        AccountResource::AccessKeys => "Access keys",
        AccountResource::Bytes => "Bytes of all records",
    }
}

fn account_page(visitor: &Visitor, title: &str, content: Markup) -> Markup {
    layout::page(visitor, Page { title, section: Section::Account, trail: Vec::new(), project: None, content })
}
