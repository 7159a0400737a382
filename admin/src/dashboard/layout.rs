//! The frame of all pages: head, navigation, and the mark of test data.

use gatepost_domain::key::Env;
use gatepost_domain::record::{Project, Role, Status};
use maud::{DOCTYPE, Markup, html};

use super::frame::{head, mark};
use super::parts::search;
use super::root::ROOT;
use super::visitor::Visitor;

/// An entry of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Projects,
    Search,
    AccessKeys,
    Changes,
    Explain,
    Gateways,
    Import,
    Account,
    System,
    Shortcuts,
}

impl Section {
    /// The sections of the product, without help.
    const ALL: [Section; 9] = [
        Section::Projects,
        Section::Search,
        Section::AccessKeys,
        Section::Changes,
        Section::Explain,
        Section::Gateways,
        Section::Import,
        Section::Account,
        Section::System,
    ];

    fn title(self) -> &'static str {
        match self {
            Section::Projects => "Projects",
            Section::Search => "Search",
            Section::AccessKeys => "Access keys",
            Section::Changes => "Changes",
            Section::Explain => "Explain a refusal",
            Section::Gateways => "Gateways",
            Section::Import => "Import",
            Section::Account => "Account",
            Section::System => "System",
            Section::Shortcuts => "Keyboard shortcuts",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Section::Projects => "/projects",
            Section::Search => "/search",
            Section::AccessKeys => "/access-keys",
            Section::Changes => "/changes",
            Section::Explain => "/explain",
            Section::Gateways => "/gateways",
            Section::Import => "/import",
            Section::Account => "/account",
            Section::System => "/system",
            Section::Shortcuts => "/shortcuts",
        }
    }

    /// Returns whether a visitor may see the pages of the section.
    fn is_open_to(self, visitor: &Visitor) -> bool {
        match self {
            Section::Projects
            | Section::Search
            | Section::AccessKeys
            | Section::Changes
            | Section::Explain
            | Section::Account
            | Section::Shortcuts => true,
            Section::Import => visitor.may_administer(),
            Section::Gateways => visitor.sees_account(),
            Section::System => visitor.is_operator(),
        }
    }
}

/// A page without its frame.
pub(crate) struct Page<'a> {
    pub(crate) title: &'a str,
    pub(crate) section: Section,
    /// The pages above this one: path below the dashboard, and name.
    pub(crate) trail: Vec<(String, String)>,
    /// The project that the page is about.
    pub(crate) project: Option<&'a Project>,
    pub(crate) content: Markup,
}

/// Returns a page for a signed-in person.
pub(crate) fn page(visitor: &Visitor, page: Page<'_>) -> Markup {
    let is_test = page.project.is_some_and(|project| project.env == Env::Test);
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(page.title))
            body.with-navigation.test-data[is_test] {
                a.skip href="#main" { "Skip to content" }
                @if is_test { div.test-data-rule { span { "TEST DATA" } } }
                header.top { (top_bar(visitor, page.section)) }
                nav.side aria-label="Sections" { (navigation(visitor, page.section)) }
                main #main tabindex="-1" {
                    (trail(&page.trail))
                    (deletion_notice(page.project))
                    (page.content)
                }
            }
        }
    }
}

fn top_bar(visitor: &Visitor, current: Section) -> Markup {
    let session = &visitor.session;
    html! {
        a.brand href=(ROOT) { (mark()) span { "Gatepost" } }
        span.account title="Account" { (session.account.name) }
        // The page of the search has the field with its text.
        @if current != Section::Search { (search::at_top()) }
        details.menu {
            summary { span { (session.access_key.name) } span.badge { (role_name(session.access_key.role)) } }
            div.menu-items {
                p.hint { "Signed in with the access key " code { (session.access_key.mask) } }
                form method="post" action={ (ROOT) "/sign-out" } { button.plain { "Sign out" } }
                form method="post" action={ (ROOT) "/sign-out-everywhere" } {
                    button.plain { "Sign out everywhere" }
                }
            }
        }
    }
}

fn navigation(visitor: &Visitor, current: Section) -> Markup {
    html! {
        ul {
            @for section in Section::ALL.into_iter().filter(|section| section.is_open_to(visitor)) {
                li { (section_link(section, current, None)) }
            }
            li.apart { a href="/docs" { "API docs" } }
            li.help { (section_link(Section::Shortcuts, current, Some("?"))) }
        }
    }
}

/// Links to a section, which a key of the keyboard may open.
fn section_link(section: Section, current: Section, shortcut: Option<&str>) -> Markup {
    html! {
        a href={ (ROOT) (section.path()) } aria-current=[(section == current).then_some("page")] data-shortcut=[shortcut] {
            (section.title())
        }
    }
}

fn trail(above: &[(String, String)]) -> Markup {
    html! {
        @if !above.is_empty() {
            nav.trail aria-label="Pages above" {
                ol {
                    @for (path, name) in above { li { a href={ (ROOT) (path) } { (name) } } }
                }
            }
        }
    }
}

/// Says on every page of a deleted project that it was deleted.
fn deletion_notice(project: Option<&Project>) -> Markup {
    html! {
        @if let Some(project) = project.filter(|project| project.status == Status::Inactive) {
            p.fault-summary role="note" {
                strong { "The project " a href={ (ROOT) "/projects/" (project.id) } { (project.name) } " was deleted." }
                " Gateways refuse its keys, for good. What was in it can be read, and its keys and access keys revoked."
            }
        }
    }
}

/// Shows a page about something in a project.
pub(crate) fn project_page(visitor: &Visitor, project: &Project, title: &str, content: Markup) -> Markup {
    let trail = project_trail(visitor, project);
    page(visitor, Page { title, section: Section::Projects, trail, project: Some(project), content })
}

/// Returns the pages above one that is about something in a project.
pub(crate) fn project_trail(visitor: &Visitor, project: &Project) -> Vec<(String, String)> {
    let own = (format!("/projects/{}", project.id), project.name.clone());
    match visitor.sees_account() {
        true => vec![("/projects".to_owned(), "Projects".to_owned()), own],
        false => vec![own],
    }
}

pub(crate) fn role_name(role: Role) -> &'static str {
    role.as_str()
}
