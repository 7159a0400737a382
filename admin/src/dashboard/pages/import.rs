//! Importing keys from a file: the upload, the trial, and the import with its progress.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::IntoResponse;
use gatepost_control_plane::{ACTIVE_PROJECTS, Failure, ImportProgress, MAX_IMPORT_FAULTS, PageRequest, RunMode};
use gatepost_domain::record::Project;
use http::StatusCode;
use maud::{Markup, html};

use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::csv_file;
use crate::dashboard::form::{Form, FormFaults, NO_FAULTS};
use crate::dashboard::imports::{Import, Run, RunState};
use crate::dashboard::layout::{self, Page, Section};
use crate::dashboard::live::{self, Outlook, Part, WithoutScript};
use crate::dashboard::parts::facts::Fact;
use crate::dashboard::parts::field::Entries;
use crate::dashboard::parts::table::Column::Text;
use crate::dashboard::parts::{facts, number, table};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::upload;
use crate::dashboard::visitor::Visitor;

/// Refused rows on the page. The file has more.
const MAX_SHOWN_FAULTS: usize = 100;
/// Projects to choose from. Rows may name any other.
const MAX_CHOICES: usize = 200;
const SAMPLE: &str = "key,name,customAccountId,rateLimitConfigs\n\
                      abc-123-of-mine,Jane,customer-7,\"{\"\"rateLimit\"\": 100, \"\"rateLimitTtl\"\": 60}\"";

pub(crate) async fn form(State(state): State<DashboardState>, visitor: Visitor) -> PageResult {
    visitor.caller().require_admin()?;
    Ok(answer::html_page(form_page(&state, &visitor, &NO_FAULTS).await?))
}

/// Receives a file, and tries it without writing anything.
pub(crate) async fn upload(State(state): State<DashboardState>, visitor: Visitor, request: Request) -> PageResult {
    let context = visitor.context();
    context.caller.require_admin()?;
    let place = state.imports.take_place(&context.caller.account)?;
    let received = upload::receive(request, &state).await;
    let spooled = match received {
        Ok(spooled) => match state.control_plane.importer_for(&context, spooled.options.clone()).await {
            Ok(_) => Ok(spooled),
            Err(failure) => Err(failure),
        },
        Err(failure) => Err(failure),
    };
    match spooled {
        Ok(spooled) => {
            let id = Import::start(&state.control_plane, &context, spooled, place);
            Ok(answer::see_other(&format!("/import/{id}")))
        }
        Err(failure) => {
            let status = answer::status_of(&failure);
            let faults = FormFaults::of(failure)?;
            let status = if status == StatusCode::BAD_REQUEST { StatusCode::UNPROCESSABLE_ENTITY } else { status };
            Ok((status, answer::html_page(form_page(&state, &visitor, &faults).await?)).into_response())
        }
    }
}

pub(crate) async fn show(State(state): State<DashboardState>, visitor: Visitor, Path(id): Path<String>) -> PageResult {
    visitor.caller().require_admin()?;
    let import = state.imports.find(&visitor.context(), &id)?;
    Ok(answer::html_page(run_page(&visitor, &import, &import.run())))
}

pub(crate) async fn live(State(state): State<DashboardState>, visitor: Visitor, Path(id): Path<String>) -> PageResult {
    live::follow(state, visitor, id, live_run).await
}

async fn live_run(state: DashboardState, visitor: Visitor, id: String) -> Result<Part, Failure> {
    visitor.caller().require_admin()?;
    let import = state.imports.find(&visitor.context(), &id)?;
    Ok(run_part(&import, &import.run()))
}

/// Sends the refused rows as a file: those of the last run so far, without what else stands in them.
pub(crate) async fn refused_rows(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> PageResult {
    visitor.caller().require_admin()?;
    let progress = state.imports.find(&visitor.context(), &id)?.run().progress;
    let rows = progress.faults.iter().map(|fault| [fault.row.to_string(), fault.reason.clone()]);
    let mut file = csv_file::head(&["row", "reason"]) + &csv_file::encode(rows);
    if progress.refused > progress.faults.len() as u64 {
        let rest = format!("Not complete: these are the first of {} refused rows.", progress.refused);
        file.push_str(&csv_file::encode([[rest]]));
    }
    Ok(csv_file::respond("refused-rows.csv", Body::from(file)))
}

/// Imports a file that was tried.
pub(crate) async fn apply(State(state): State<DashboardState>, visitor: Visitor, Path(id): Path<String>) -> PageResult {
    let context = visitor.context();
    context.caller.require_admin()?;
    state.imports.find(&context, &id)?.apply(&state.control_plane, &context);
    Ok(answer::see_other(&format!("/import/{id}")))
}

async fn form_page(state: &DashboardState, visitor: &Visitor, faults: &FormFaults) -> Result<Markup, Failure> {
    let request = PageRequest { limit: Some(MAX_CHOICES), ..PageRequest::default() };
    let projects = state.control_plane.projects(&visitor.context(), &ACTIVE_PROJECTS, &request).await?.items;
    let entries = Entries { form: &Form::default(), faults };
    let content = html! {
        h1 { "Import keys" }
        p { "Keys that exist elsewhere keep working: import their values, or the SHA-256 of each. The file is tried first, and nothing is written before you have seen what would happen. Keys that exist are left as they are, so a file can be sent again." }
        form.stack.card method="post" action={ (ROOT) "/import" } enctype="multipart/form-data" {
            (entries.summary(&[]))
            @if visitor.sees_account() { (project_choice(entries, &projects)) }
            div.check {
                input id="notify" name="notify" type="checkbox" value="webhooks";
                label for="notify" { "Tell webhooks of each key" span.hint { "They get api-key.created." } }
            }
            div.field {
                label for="file" { "File" span.required { " required" } }
                input id="file" name="file" type="file" required accept=".csv,.json,.jsonl,.ndjson,text/csv,application/json"
                    aria-describedby="file-hint";
                p.hint #file-hint { "CSV whose first line names the columns, or JSON: an array, or one object after the other. At most " (upload::MAX_UPLOAD_BYTES / (1024 * 1024)) " MiB." }
            }
            div.actions { button.primary { "Upload and try" } }
        }
        section aria-labelledby="example-heading" {
            h2 #example-heading { "Example" }
            pre tabindex="0" { code { (SAMPLE) } }
            p.hint { "The columns are the members of " code { "POST /api-keys" } ", and " code { "sha256" } " in place of " code { "key" } "." }
        }
    };
    let page = Page { title: "Import keys", section: Section::Import, trail: Vec::new(), project: None, content };
    Ok(layout::page(visitor, page))
}

fn project_choice(entries: Entries<'_>, projects: &[Project]) -> Markup {
    let mut choices = vec![("", "Every row names its own")];
    choices.extend(projects.iter().map(|project| (project.id.as_str(), project.name.as_str())));
    entries.choice("projectId", "Project of rows that name none", &choices)
}

fn run_page(visitor: &Visitor, import: &Import, run: &Run) -> Markup {
    let title = run_title(run);
    let path = format!("/import/{}", import.id);
    let content = live::region(&path, &run_part(import, run), WithoutScript::Reload);
    let trail = vec![("/import".to_owned(), "Import keys".to_owned())];
    layout::page(visitor, Page { title, section: Section::Import, trail, project: None, content })
}

fn run_title(run: &Run) -> &'static str {
    match (run.mode, &run.state) {
        (RunMode::DryRun, RunState::Running) => "Trying the file",
        (RunMode::DryRun, RunState::Complete | RunState::Failed(_)) => "What the import would do",
        (RunMode::Apply, RunState::Running) => "Importing",
        (RunMode::Apply, RunState::Complete | RunState::Failed(_)) => "Import ended",
    }
}

fn run_part(import: &Import, run: &Run) -> Part {
    let outlook = if run.state == RunState::Running { Outlook::Open } else { Outlook::Final };
    Part { markup: run_content(import, run, run_title(run)), outlook }
}

fn run_content(import: &Import, run: &Run, title: &str) -> Markup {
    html! {
        h1 { (title) }
        p.hint { (import.file_name) }
        @match &run.state {
            RunState::Running => p role="status" { "The page follows the progress. It may be closed: the work goes on." },
            RunState::Complete => {},
            RunState::Failed(why) => p.fault-summary role="alert" {
                strong { "It ended early: " } (why) ". "
                @if run.mode == RunMode::Apply { "Keys so far stay imported; the file can be sent again." }
            },
        }
        div.card { (facts::list(counts(run))) }
        (next_step(import, run))
        (unknown_members(&run.unknown))
        (faults(import, &run.progress))
    }
}

fn counts(run: &Run) -> Vec<Fact> {
    let ImportProgress { created, already_exist, refused, .. } = run.progress;
    let count = |number: u64| html! { strong { (number::grouped(number)) } };
    vec![
        ("Rows read", count(run.rows())),
        (if run.mode == RunMode::DryRun { "Would be created" } else { "Created" }, count(created)),
        ("Exist already", count(already_exist)),
        ("Refused", count(refused)),
    ]
}

/// Offers what can be done after a run.
fn next_step(import: &Import, run: &Run) -> Markup {
    let created = number::count(run.progress.created, "key", "keys");
    let again = html! { a.button href={ (ROOT) "/import" } { "Another file" } };
    let apply = |label: &str| {
        html! { form method="post" action={ (ROOT) "/import/" (import.id) } { button.primary { (label) } } }
    };
    html! {
        div.actions {
            @match (run.mode, &run.state) {
                (_, RunState::Running) => {},
                (RunMode::DryRun, RunState::Complete) if run.progress.created > 0 => {
                    (apply(&format!("Import {created}"))) (again)
                },
                (RunMode::Apply, RunState::Failed(_)) => { (apply("Go on")) (again) },
                (RunMode::DryRun | RunMode::Apply, RunState::Complete | RunState::Failed(_)) => (again),
            }
        }
    }
}

fn unknown_members(lines: &[String]) -> Markup {
    html! {
        @if !lines.is_empty() {
            section aria-labelledby="unknown-heading" {
                h2 #unknown-heading { "Not imported" }
                p { "No key has these columns or members:" }
                ul { @for line in lines { li { (line) } } }
            }
        }
    }
}

fn faults(import: &Import, progress: &ImportProgress) -> Markup {
    html! {
        @if !progress.faults.is_empty() {
            section aria-labelledby="faults-heading" {
                div.heading {
                    h2 #faults-heading { "Refused rows" }
                    a.button href={ (ROOT) "/import/" (import.id) "/refused.csv" } title="A file for spreadsheets" { "CSV" }
                }
                (table::of("Refused rows", &[Text("Row"), Text("Why")], html! {
                    @for fault in progress.faults.iter().take(MAX_SHOWN_FAULTS) {
                        tr { td { (fault.row) } td.wrap { (fault.reason) } }
                    }
                }))
                p.hint {
                    @if progress.refused > MAX_IMPORT_FAULTS as u64 {
                        "These are the first " (MAX_SHOWN_FAULTS) ", and the file has the first " (number::grouped(MAX_IMPORT_FAULTS as u64)) ". "
                    } @else if progress.refused > MAX_SHOWN_FAULTS as u64 {
                        "These are the first " (MAX_SHOWN_FAULTS) ", and the file has all. "
                    }
                    "Rows are counted from 1, without the line of the columns."
                }
            }
        }
    }
}
