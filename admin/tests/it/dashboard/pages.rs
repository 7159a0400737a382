//! Every page with every kind of visitor.

use gatepost_domain::record::Role;
use serde_json::json;

use super::browser::Browser;
use crate::fixture::{Caller, Fixture, text};

/// What a visitor gets: the status of a GET, or that of a POST with an empty form.
struct Row {
    method: &'static str,
    path: &'static str,
    /// For each of [`KINDS`].
    statuses: [u16; 6],
}

const KINDS: [&str; 6] =
    ["admin", "user", "viewer", "admin of the project", "admin of another project", "other account"];

const fn row(method: &'static str, path: &'static str, statuses: [u16; 6]) -> Row {
    Row { method, path, statuses }
}

const ROWS: &[Row] = &[
    row("GET", "", [303, 303, 303, 303, 303, 303]),
    row("GET", "/projects", [200, 200, 200, 200, 200, 200]),
    row("POST", "/projects", [303, 303, 303, 303, 303, 303]),
    row("GET", "/projects/new", [200, 200, 403, 403, 403, 200]),
    row("POST", "/projects/new", [422, 422, 403, 403, 403, 422]),
    row("GET", "/projects/PROJECT", [200, 200, 200, 200, 404, 404]),
    row("POST", "/projects/PROJECT", [422, 422, 403, 422, 404, 404]),
    row("GET", "/projects/PROJECT/delete", [200, 200, 403, 403, 403, 404]),
    row("POST", "/projects/PROJECT/delete", [422, 422, 403, 403, 403, 404]),
    row("GET", "/projects/PROJECT/keys", [200, 200, 200, 200, 404, 404]),
    row("POST", "/projects/PROJECT/keys", [303, 303, 303, 303, 404, 404]),
    row("GET", "/projects/PROJECT/keys/new", [200, 200, 403, 200, 404, 404]),
    row("POST", "/projects/PROJECT/keys/new", [422, 422, 403, 422, 404, 404]),
    row("GET", "/projects/PROJECT/keys?customer=c", [200, 200, 200, 200, 404, 404]),
    row("GET", "/projects/PROJECT/keys/revoke?customer=c", [200, 200, 403, 200, 404, 404]),
    row("POST", "/projects/PROJECT/keys/revoke?customer=c", [422, 422, 403, 422, 404, 404]),
    row("GET", "/keys/KEY", [200, 200, 200, 200, 404, 404]),
    row("GET", "/keys/KEY/edit", [200, 200, 403, 200, 404, 404]),
    row("POST", "/keys/KEY/edit", [422, 422, 403, 422, 404, 404]),
    row("GET", "/keys/KEY/rotate", [200, 200, 403, 200, 404, 404]),
    row("POST", "/keys/KEY/rotate", [422, 422, 403, 422, 404, 404]),
    row("GET", "/keys/KEY/revoke", [200, 200, 403, 200, 404, 404]),
    row("POST", "/keys/KEY/revoke", [422, 422, 403, 422, 404, 404]),
    row("POST", "/keys/KEY/reactivate", [303, 303, 403, 303, 404, 404]),
    row("GET", "/projects/PROJECT/changes", [200, 200, 200, 200, 404, 404]),
    row("GET", "/changes", [200, 200, 200, 200, 200, 200]),
    row("GET", "/projects/PROJECT/changes.csv", [200, 200, 200, 200, 404, 404]),
    row("GET", "/changes.csv", [200, 200, 200, 200, 200, 200]),
    row("GET", "/changes/CHANGE", [200, 200, 200, 200, 404, 404]),
    row("GET", "/access-keys", [200, 200, 200, 200, 200, 200]),
    row("GET", "/access-keys/new", [200, 403, 403, 200, 200, 200]),
    row("POST", "/access-keys/new", [422, 403, 403, 422, 422, 422]),
    row("GET", "/access-keys/ACCESS/revoke", [200, 403, 403, 200, 404, 404]),
    row("POST", "/access-keys/ACCESS/revoke", [422, 403, 403, 422, 404, 404]),
    row("POST", "/access-keys/ACCESS/reactivate", [303, 403, 403, 303, 404, 404]),
    row("GET", "/gateways", [200, 200, 200, 403, 403, 200]),
    row("GET", "/explain", [200, 200, 200, 200, 200, 200]),
    row("POST", "/explain", [200, 200, 200, 200, 200, 200]),
    row("GET", "/system", [200, 403, 403, 403, 403, 403]),
    row("GET", "/system/quarantine", [200, 403, 403, 403, 403, 403]),
    row("GET", "/system/quarantine/CHANGE", [404, 403, 403, 403, 403, 403]),
    row("GET", "/account", [200, 200, 200, 200, 200, 200]),
    row("POST", "/account", [422, 403, 403, 403, 403, 422]),
    row("GET", "/search", [200, 200, 200, 200, 200, 200]),
    row("POST", "/search", [303, 303, 303, 303, 303, 303]),
    row("GET", "/shortcuts", [200, 200, 200, 200, 200, 200]),
    row("GET", "/import", [200, 403, 403, 200, 200, 200]),
    row("POST", "/import", [422, 403, 403, 422, 422, 422]),
    row("GET", "/import/FILE", [404, 403, 403, 404, 404, 404]),
    row("GET", "/import/FILE/refused.csv", [404, 403, 403, 404, 404, 404]),
    row("POST", "/import/FILE", [404, 403, 403, 404, 404, 404]),
    row("GET", "/projects/PROJECT/webhooks", [200, 200, 200, 200, 404, 404]),
    row("GET", "/projects/PROJECT/webhooks/new", [200, 200, 403, 200, 404, 404]),
    row("POST", "/projects/PROJECT/webhooks/new", [422, 422, 403, 422, 404, 404]),
    row("GET", "/webhooks/HOOK", [200, 200, 200, 200, 404, 404]),
    row("POST", "/webhooks/HOOK/pause", [303, 303, 403, 303, 404, 404]),
    row("POST", "/webhooks/HOOK/resume", [303, 303, 403, 303, 404, 404]),
    row("GET", "/webhooks/HOOK/edit", [200, 200, 403, 200, 404, 404]),
    row("POST", "/webhooks/HOOK/edit", [422, 422, 403, 422, 404, 404]),
    row("GET", "/webhooks/HOOK/rotate-secret", [200, 200, 403, 200, 404, 404]),
    row("POST", "/webhooks/HOOK/rotate-secret", [422, 422, 403, 422, 404, 404]),
    row("GET", "/webhooks/HOOK/test", [200, 200, 403, 200, 404, 404]),
    row("POST", "/webhooks/HOOK/test", [422, 422, 403, 422, 404, 404]),
    row("GET", "/webhooks/HOOK/delete", [200, 200, 403, 200, 404, 404]),
    row("POST", "/webhooks/HOOK/delete", [422, 422, 403, 422, 404, 404]),
    row("GET", "/webhooks/HOOK/deliveries", [200, 200, 200, 200, 404, 404]),
    row("GET", "/webhooks/HOOK/deliveries/EVENT", [200, 200, 200, 200, 404, 404]),
    row("POST", "/webhooks/HOOK/deliveries/EVENT/resend", [303, 303, 403, 303, 404, 404]),
    row("GET", "/webhooks/HOOK/dead-letters", [200, 200, 200, 200, 404, 404]),
    row("POST", "/webhooks/HOOK/dead-letters/EVENT/resend", [303, 303, 403, 303, 404, 404]),
    row("GET", "/webhooks/HOOK/recover", [200, 200, 403, 200, 404, 404]),
    row("POST", "/webhooks/HOOK/recover", [422, 422, 403, 422, 404, 404]),
    row("GET", "/webhooks/HOOK/recoveries/RECOVERY", [200, 200, 200, 200, 404, 404]),
    row("POST", "/webhooks/HOOK/recoveries/RECOVERY/cancel", [303, 303, 403, 303, 404, 404]),
    row("GET", "/live/keys/KEY", [200, 200, 200, 200, 404, 404]),
    row("GET", "/live/projects/PROJECT/changes?after=0", [200, 200, 200, 200, 404, 404]),
    row("GET", "/live/changes?after=0", [200, 200, 200, 200, 200, 200]),
    row("GET", "/live/changes/CHANGE", [200, 200, 200, 200, 404, 404]),
    row("GET", "/live/gateways", [200, 200, 200, 403, 403, 200]),
    row("GET", "/live/import/FILE", [404, 403, 403, 404, 404, 404]),
    row("GET", "/live/system", [200, 403, 403, 403, 403, 403]),
    row("GET", "/live/webhooks/HOOK", [200, 200, 200, 200, 404, 404]),
    row("GET", "/live/webhooks/HOOK/deliveries", [200, 200, 200, 200, 404, 404]),
    row("GET", "/live/webhooks/HOOK/deliveries/EVENT", [200, 200, 200, 200, 404, 404]),
    row("GET", "/live/webhooks/HOOK/recoveries/RECOVERY", [200, 200, 200, 200, 404, 404]),
    row("GET", "/more/projects/PROJECT/keys", [200, 200, 200, 200, 404, 404]),
    row("GET", "/more/search", [200, 200, 200, 200, 200, 200]),
    row("GET", "/more/projects/PROJECT/changes", [200, 200, 200, 200, 404, 404]),
    row("GET", "/more/changes", [200, 200, 200, 200, 200, 200]),
    row("GET", "/more/webhooks/HOOK/deliveries", [200, 200, 200, 200, 404, 404]),
    row("GET", "/more/webhooks/HOOK/dead-letters", [200, 200, 200, 200, 404, 404]),
    row("GET", "/webhooks/nothing", [404, 404, 404, 404, 404, 404]),
    row("GET", "/nothing", [404, 404, 404, 404, 404, 404]),
];

/// Ends of addresses that change something, and words of buttons.
const CONTROLS: [&str; 15] = [
    "/new\"",
    "/edit\"",
    "/rotate\"",
    "/revoke\"",
    "/revoke?",
    "/delete\"",
    "/reactivate\"",
    "Rename",
    "/pause\"",
    "/resume\"",
    "/test\"",
    "/rotate-secret\"",
    "/resend\"",
    "/recover\"",
    "/cancel\"",
];

/// Ends of the addresses of forms that change nothing but the visitor's own sessions.
const READING_FORMS: [&str; 5] = ["/projects", "/keys", "/explain", "/search", "/sign-out-everywhere"];

#[tokio::test]
async fn every_page_is_open_to_those_who_may_see_it() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let (project, other) = (admin.create_project().await, admin.create_project().await);
    let names = Names::create(&fixture, &admin, &project).await;
    let callers: [Caller<'_>; 6] = [
        fixture.caller("acme", None, Role::Admin).await,
        fixture.caller("acme", None, Role::User).await,
        fixture.caller("acme", None, Role::Viewer).await,
        fixture.caller("acme", Some(&project), Role::Admin).await,
        fixture.caller("acme", Some(&other), Role::Admin).await,
        fixture.caller("other", None, Role::Admin).await,
    ];
    let mut wrong = Vec::new();
    for (index, (kind, caller)) in KINDS.iter().zip(&callers).enumerate() {
        let mut browser = Browser::new(&fixture);
        browser.sign_in(&caller.access_key).await;
        for Row { method, path, statuses } in ROWS {
            let path = names.path(path);
            let page = match *method {
                "GET" => browser.get(&path).await,
                _ => browser.post(&path, &[]).await,
            };
            if page.status != statuses[index] {
                wrong.push(format!("{kind}: {method} {path} is {}, not {}", page.status, statuses[index]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut stranger = Browser::new(&fixture);
    for Row { method, path, .. } in &ROWS[..ROWS.len() - 1] {
        let path = names.path(path);
        let page = match *method {
            "GET" => stranger.get(&path).await,
            _ => stranger.post(&path, &[]).await,
        };
        assert!(page.location().starts_with("/dashboard/sign-in"), "{method} {path}: {}", page.status);
    }
}

/// Pages that are open to everybody, and have tests of their own.
const OPEN: [&str; 4] = ["/sign-in", "/sign-out", "/sign-out-everywhere", "/assets/*/*"];

/// Returns a path with a star in place of each name.
fn pattern(path: &str) -> String {
    let is_name = |part: &str| part.starts_with('{') || part.chars().all(|letter| letter.is_ascii_uppercase());
    let parts = path.split('/').map(|part| if !part.is_empty() && is_name(part) { "*" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn the_table_has_every_page_and_form_of_the_router() {
    let router = include_str!("../../../src/dashboard.rs");
    let mut missing = Vec::new();
    for route in router.split(".route(").skip(1) {
        let path = pattern(route.split('"').nth(1).unwrap()).trim_end_matches('/').to_owned();
        let handlers = route.split("\n        .").next().unwrap();
        for (call, method) in [("get(", "GET"), ("post(", "POST")] {
            let has_row =
                ROWS.iter().any(|row| row.method == method && pattern(row.path.split('?').next().unwrap()) == path);
            if handlers.contains(call) && !has_row && !OPEN.contains(&path.as_str()) {
                missing.push(format!("{method} {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

/// What stands in place of the names in capitals.
struct Names([(&'static str, String); 7]);

impl Names {
    async fn create(fixture: &Fixture, admin: &Caller<'_>, project: &str) -> Self {
        let key = text(&admin.create_key(project, json!({})).await, "id");
        let (_, changes) = admin.get("/events?order=desc&limit=1").await;
        let change = text(&changes["events"][0], "cursor");
        let (_, access_key) = admin.post("/access-keys", json!({"name": "of the project", "projectId": project})).await;
        let access_key = text(&access_key, "id");
        let hook = json!({
            "name": "w", "url": "https://93.184.215.14/", "topics": ["api-key.created"], "projectId": project,
        });
        let hook = text(&admin.post("/webhooks", hook).await.1, "id");
        let event = fixture.dropped_delivery(&hook).await;
        let recovery = json!({"since": "2026-01-01T00:00:00Z", "status": "dead"});
        let (_, recovery) = admin.post(&format!("/webhooks/{hook}/recover"), recovery).await;
        let recovery = text(&recovery, "recoveryId");
        let project = project.to_owned();
        Self([
            ("PROJECT", project),
            ("KEY", key),
            ("HOOK", hook),
            ("EVENT", event),
            ("RECOVERY", recovery),
            ("CHANGE", change),
            ("ACCESS", access_key),
        ])
    }

    fn path(&self, path: &str) -> String {
        let path = format!("/dashboard{path}");
        self.0.iter().fold(path, |path, (name, value)| path.replace(name, value))
    }
}

/// Returns the text of the first element that a tag starts, without what other elements in it show.
fn own_text(page: &str, start: &str) -> String {
    let element = page.split(start).nth(1).unwrap_or_else(|| panic!("{start} in {page}"));
    let end = format!("</{}>", start.trim_matches(['<', '>']));
    let own = element.split(&end).next().unwrap_or_default().split('<').next().unwrap_or_default();
    own.trim().to_owned()
}

#[tokio::test]
async fn title_of_every_page_is_its_heading() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let names = Names::create(&fixture, &admin, &project).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    for Row { path, .. } in ROWS.iter().filter(|row| row.method == "GET") {
        let page = browser.get(&names.path(path)).await.body;
        // Streams and files have no head.
        if page.contains("<head>") {
            assert_eq!(own_text(&page, "<title>"), format!("{} · Gatepost", own_text(&page, "<h1>")), "{path}");
        }
    }
}

#[tokio::test]
async fn viewer_sees_no_control_that_changes_anything() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let names = Names::create(&fixture, &admin, &project).await;
    let viewer = fixture.caller("acme", None, Role::Viewer).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&viewer.access_key).await;
    for Row { path, .. } in ROWS.iter().filter(|row| row.method == "GET" && row.statuses[2] == 200) {
        let page = browser.get(&names.path(path)).await.body;
        // The part that a stream sends has no frame.
        let main = page.split("<main").nth(1).unwrap_or(&page);
        for form in main.split(r#"method="post" action=""#).skip(1) {
            let action = form.split('"').next().unwrap();
            assert!(READING_FORMS.iter().any(|end| action.ends_with(end)), "{action} in {path}");
        }
        for control in CONTROLS {
            assert!(!main.contains(control), "{control} in {path}");
        }
    }
}
