//! The form of a key: creating one, and changing its settings.

use axum::extract::{Path, State};
use gatepost_control_plane::{
    Failure, KeyChange, KeyFields, NewApiKey, Patch, QuotaFields, RateLimitFields, both, or_default,
};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{ApiKey, Project};
use gatepost_domain::time::Timestamp;
use gatepost_domain::window::Period;
use gatepost_store::Versioned;
use maud::{Markup, html};

use super::key::{self, KeyAndProject};
use super::{key_state, overtaken_form, value_once};
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFaults, NO_FAULTS};
use crate::dashboard::layout;
use crate::dashboard::one_time::{self, Shown};
use crate::dashboard::parts::field::{Entries, Field, Input};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;
use crate::http::json;

const NAME: Field = Field::text("name", "Name", "For you and your colleagues.").required();
const CUSTOMER: Field = Field::text("customAccountId", "Customer ID", "Your own id of the customer.");
const USER: Field = Field::text("customUserId", "User ID", "Your own id of the customer's user.");
const EXPIRY: Field =
    Field::text("expiry", "Expires", "In UTC, such as 2027-01-31 or 2027-01-31T12:00:00Z. Empty for never.")
        .with_aliases(&["expiresAt"]);
const LIMIT: Field = Field::text("rateLimit", "Rate limit, requests", "Empty for no limit.")
    .with_input(Input::Number)
    .with_aliases(&["rateLimitConfigs"]);
const WINDOW: Field = Field::text("rateLimitTtl", "Per window, seconds", "").with_input(Input::Number);
const QUOTA: Field = Field::text("quota", "Quota, requests", "Empty for no quota.")
    .with_input(Input::Number)
    .with_aliases(&["quota.limit"]);
const PERMISSIONS: Field = Field::text("permissions", "Permissions", "One on each line.").with_input(Input::Lines);
const DOMAINS: Field =
    Field::text("allowedDomains", "Allowed domains", "One on each line, such as *.example.com. Empty for all.")
        .with_input(Input::Lines);
const ADDRESSES: Field = Field::text(
    "allowedIps",
    "Allowed addresses",
    "One address or network on each line, such as 192.0.2.0/24. Empty for all.",
)
.with_input(Input::Lines);
const METADATA: Field = Field::text("customMetaData", "Metadata", "JSON of yours, such as {\"plan\": \"pro\"}.")
    .with_input(Input::Lines)
    .with_aliases(&["metadata"]);
const VALUE: Field =
    Field::text("key", "Own value", "Empty to have one generated. A value of your own must be hard to guess.");
const ALL: [Field; 12] =
    [NAME, CUSTOMER, USER, EXPIRY, LIMIT, WINDOW, QUOTA, PERMISSIONS, DOMAINS, ADDRESSES, METADATA, VALUE];

pub(crate) async fn new(State(state): State<DashboardState>, visitor: Visitor, Path(id): Path<String>) -> PageResult {
    visitor.caller().require_write()?;
    let project = state.control_plane.active_project(&visitor.context(), Some(&id)).await?;
    Ok(answer::html_page(new_page(&visitor, &project, &Form::default(), &NO_FAULTS)))
}

/// Creates a key, and shows its value once.
pub(crate) async fn create(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    form: Form,
) -> PageResult {
    visitor.caller().require_write()?;
    let control_plane = &state.control_plane;
    let (fields, read) = parse_fields(&form, None, control_plane.now());
    let fields = KeyFields { key: form.filled("key").into(), ..fields };
    let new = NewApiKey { project: Some(id.clone()), fields, ..NewApiKey::default() };
    let made = one_time::make_once(&state, visitor.context(), &form, |context| async move {
        if read.is_err() {
            both(read, control_plane.check_new_key(&context, new.clone()).await)?;
        }
        let created = control_plane.create_api_key(&context, new).await?;
        Ok(Shown { id: created.record.record.id.to_string(), secret: created.secret })
    });
    match made.await {
        Ok(shown) => {
            let found = key::read(&state, &visitor, &shown.id).await?;
            let content = value_once::created(&found.key.record, &shown);
            Ok(answer::html_page(key::key_page(&visitor, &found, "Key created", content)))
        }
        Err(failure) => create_again(&state, &visitor, &id, form, failure).await,
    }
}

/// Shows the form again with what is wrong.
async fn create_again(state: &DashboardState, visitor: &Visitor, id: &str, form: Form, failure: Failure) -> PageResult {
    let faults = FormFaults::of(failure)?;
    let project = state.control_plane.active_project(&visitor.context(), Some(id)).await?;
    Ok(answer::faulty_form(new_page(visitor, &project, &form, &faults)))
}

pub(crate) async fn edit(State(state): State<DashboardState>, visitor: Visitor, Path(id): Path<String>) -> PageResult {
    visitor.caller().require_write()?;
    let found = key::read(&state, &visitor, &id).await?;
    key_state::require_changeable(&found.project)?;
    let form = form_of(&found.key);
    Ok(answer::html_page(edit_page(&visitor, &found, &form, &NO_FAULTS, None)))
}

/// Saves the settings of a key, unless someone else has changed it since the form was drawn.
pub(crate) async fn update(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    form: Form,
) -> PageResult {
    visitor.caller().require_write()?;
    match save(&state, &visitor, &id, &form).await {
        Ok(()) => Ok(answer::see_other(&format!("/keys/{id}"))),
        Err(Failure::Refused(problem)) if problem.code == ErrorCode::PreconditionFailed => {
            let found = key::read(&state, &visitor, &id).await?;
            let conflict = changed_meanwhile(&state, &visitor, &found, &form).await?;
            Ok(answer::faulty_form(edit_page(&visitor, &found, &form, &NO_FAULTS, Some(conflict))))
        }
        Err(failure) => {
            let faults = FormFaults::of(failure)?;
            let found = key::read(&state, &visitor, &id).await?;
            Ok(answer::faulty_form(edit_page(&visitor, &found, &form, &faults, None)))
        }
    }
}

async fn save(state: &DashboardState, visitor: &Visitor, id: &str, form: &Form) -> Result<(), Failure> {
    let key_ref = key::key_ref(id)?;
    let saved = state.control_plane.api_key(&visitor.context(), &key_ref).await?.record;
    let (fields, read) = parse_fields(form, saved.expires_at, state.control_plane.now());
    let change = KeyChange { fields, ..KeyChange::default() };
    both(read, state.control_plane.check_key_change(&saved, &key_ref, &change))?;
    state.control_plane.update_api_key(&visitor.context_at(form.version()), &key_ref, &change).await?;
    Ok(())
}

/// Refuses a new expiry in the past: the key would never be accepted, or end without the page that follows a revocation.
/// One that was saved before stays.
fn parse_expiry(form: &Form, saved: Option<Timestamp>, now: Timestamp) -> Result<Patch<String>, Failure> {
    // A text that is no time has a refusal of its own.
    match Timestamp::parse(form.text("expiry")) {
        Ok(at) if at <= now && Some(at) != saved => Err(Failure::invalid("expiry: is in the past")),
        Ok(_) | Err(_) => Ok(form.patch("expiry")),
    }
}

/// Reads the fields as far as they can be read, and returns all that is wrong with the others.
fn parse_fields(form: &Form, saved: Option<Timestamp>, now: Timestamp) -> (KeyFields, Result<(), Failure>) {
    let (metadata, metadata_read) = or_default(parse_metadata(form));
    let (expiry, expiry_read) = or_default(parse_expiry(form, saved, now));
    // A text that is no number becomes one that no window has.
    let window_s = form.filled("rateLimitTtl").map(|text| text.parse().unwrap_or(0.0));
    let rate_limit = match (form.ranged_number("rateLimit"), window_s) {
        (None, None) => Patch::Null,
        (limit, window_s) => Patch::Value(RateLimitFields { limit, window_s }),
    };
    let quota = match form.ranged_number("quota") {
        None => Patch::Null,
        limit => Patch::Value(QuotaFields { limit, period: form.filled("period") }),
    };
    let fields = KeyFields {
        name: Patch::Value(form.text("name").to_owned()),
        metadata,
        custom_account_id: form.patch("customAccountId"),
        custom_user_id: form.patch("customUserId"),
        expiry,
        rate_limit,
        quota,
        permissions: Patch::Value(form.lines("permissions")),
        allowed_domains: Patch::Value(form.lines("allowedDomains")),
        allowed_ips: Patch::Value(form.lines("allowedIps")),
        ..KeyFields::default()
    };
    (fields, both(metadata_read, expiry_read).map(|_| ()))
}

/// Returns the metadata on one line, as it is stored.
fn parse_metadata(form: &Form) -> Result<Patch<String>, Failure> {
    let Some(text) = form.filled("customMetaData") else { return Ok(Patch::Null) };
    let parsed = json::parse(text.as_bytes());
    let parsed = parsed.map_err(|error| Failure::invalid(format!("customMetaData: is not JSON: {error}")))?;
    Ok(Patch::Value(parsed.to_string()))
}

fn form_of(found: &Versioned<ApiKey>) -> Form {
    let key = &found.record;
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    let networks: Vec<String> = key.allowed_ips.iter().map(ToString::to_string).collect();
    let metadata = if key.metadata.0 == "{}" { String::new() } else { key.metadata.0.clone() };
    Form::with([
        ("version", found.position.version.as_u64().to_string()),
        ("name", key.name.clone()),
        ("customAccountId", optional(&key.custom_account_id)),
        ("customUserId", optional(&key.custom_user_id)),
        ("expiry", key.expires_at.map(|at| at.to_string()).unwrap_or_default()),
        ("rateLimit", key.rate_limit.map(|limit| limit.limit.to_string()).unwrap_or_default()),
        ("rateLimitTtl", key.rate_limit.map(|limit| limit.window.as_secs_f64().to_string()).unwrap_or_default()),
        ("quota", key.quota.map(|quota| quota.limit.to_string()).unwrap_or_default()),
        ("period", key.quota.map_or("day", |quota| period_name(quota.period)).to_owned()),
        ("permissions", key.permissions.join("\n")),
        ("allowedDomains", key.allowed_domains.join("\n")),
        ("allowedIps", networks.join("\n")),
        ("customMetaData", metadata),
    ])
}

fn period_name(period: Period) -> &'static str {
    match period {
        Period::Day => "day",
        Period::Month => "month",
    }
}

fn new_page(visitor: &Visitor, project: &Project, form: &Form, faults: &FormFaults) -> Markup {
    let entries = Entries { form, faults };
    let path = format!("{ROOT}/projects/{}", project.id);
    let content = html! {
        h1 { "Create a key" }
        form.stack.card method="post" action={ (path) "/keys/new" } {
            (entries.summary(&ALL))
            (fields(entries))
            fieldset {
                legend { "Value" }
                (entries.field(&VALUE))
            }
            (one_time::field(form))
            div.actions {
                button.primary { "Create Key" }
                a.button href={ (path) "#keys" } { "Cancel" }
            }
        }
    };
    layout::project_page(visitor, project, "Create a key", content)
}

fn edit_page(
    visitor: &Visitor,
    found: &KeyAndProject,
    form: &Form,
    faults: &FormFaults,
    conflict: Option<Markup>,
) -> Markup {
    let key = &found.key.record;
    let entries = Entries { form, faults };
    // After a conflict the form saves over the version that it has just shown.
    let version = if conflict.is_some() { found.key.position.version } else { form.version().unwrap_or_default() };
    let title = format!("Edit {}", key.name);
    let content = html! {
        h1 { (title) }
        @if let Some(conflict) = conflict { (conflict) }
        form.stack.card method="post" action={ (ROOT) "/keys/" (key.id) "/edit" } {
            (entries.summary(&ALL))
            (fields(entries))
            input type="hidden" name="version" value=(version.as_u64());
            div.actions {
                button.primary { "Save" }
                a.button href={ (ROOT) "/keys/" (key.id) } { "Cancel" }
            }
        }
    };
    key::key_page(visitor, found, &title, content)
}

fn fields(entries: Entries<'_>) -> Markup {
    html! {
        fieldset {
            legend { "Who uses it" }
            (entries.field(&NAME))
            div.columns { (entries.field(&CUSTOMER)) (entries.field(&USER)) }
        }
        fieldset {
            legend { "How much and how long" }
            div.columns { (entries.field(&LIMIT)) (entries.field(&WINDOW)) }
            div.columns {
                (entries.field(&QUOTA))
                (entries.choice("period", "Quota period", &[("day", "Day"), ("month", "Month")]))
            }
            (entries.field(&EXPIRY))
        }
        fieldset {
            legend { "What and from where" }
            (entries.field(&PERMISSIONS))
            div.columns { (entries.field(&DOMAINS)) (entries.field(&ADDRESSES)) }
        }
        fieldset {
            legend { "More" }
            (entries.field(&METADATA))
        }
    }
}

/// Says who has changed a key since a form was drawn, and which entries differ from what is saved now.
async fn changed_meanwhile(
    state: &DashboardState,
    visitor: &Visitor,
    found: &KeyAndProject,
    form: &Form,
) -> Result<Markup, Failure> {
    let saved = form_of(&found.key);
    let different =
        ALL.iter().filter(|field| field.name != VALUE.name && saved.text(field.name) != form.text(field.name));
    let different: Vec<_> = different.map(|field| (field.label, saved.text(field.name).to_owned())).collect();
    overtaken_form::notice(state, visitor, "key", &found.key.record.stamps, &different).await
}
