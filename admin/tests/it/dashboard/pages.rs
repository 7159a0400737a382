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
    row("GET", "/keys/KEY", [200, 200, 200, 200, 404, 404]),
    row("GET", "/keys/KEY/edit", [200, 200, 403, 200, 404, 404]),
    row("POST", "/keys/KEY/edit", [422, 422, 403, 422, 404, 404]),
    row("GET", "/keys/KEY/rotate", [200, 200, 403, 200, 404, 404]),
    row("POST", "/keys/KEY/rotate", [422, 422, 403, 422, 404, 404]),
    row("GET", "/keys/KEY/revoke", [200, 200, 403, 200, 404, 404]),
    row("POST", "/keys/KEY/revoke", [422, 422, 403, 422, 404, 404]),
    row("GET", "/projects/PROJECT/changes", [200, 200, 200, 200, 404, 404]),
    row("GET", "/changes", [200, 200, 200, 200, 200, 200]),
    row("GET", "/changes/CHANGE", [200, 200, 200, 200, 404, 404]),
    row("GET", "/nothing", [404, 404, 404, 404, 404, 404]),
];

#[tokio::test]
async fn every_page_is_open_to_those_who_may_see_it() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let (project, other) = (admin.create_project().await, admin.create_project().await);
    let ids = Ids::create(&admin, &project).await;
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
            let path = ids.path_of(path);
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
        let path = ids.path_of(path);
        let page = match *method {
            "GET" => stranger.get(&path).await,
            _ => stranger.post(&path, &[]).await,
        };
        assert!(page.location().starts_with("/dashboard/sign-in"), "{method} {path}: {}", page.status);
    }
}

/// What stands for the names in the rows.
struct Ids(Vec<(&'static str, String)>);

impl Ids {
    /// Makes something of every kind in a project.
    async fn create(admin: &Caller<'_>, project: &str) -> Self {
        let key = admin.create_key(project, json!({})).await;
        let (_, changes) = admin.get("/events?order=desc&limit=1").await;
        Self(vec![
            ("PROJECT", project.to_owned()),
            ("KEY", text(&key, "id")),
            ("CHANGE", text(&changes["events"][0], "cursor")),
        ])
    }

    fn path_of(&self, path: &str) -> String {
        self.0.iter().fold(format!("/dashboard{path}"), |path, (name, id)| path.replace(name, id))
    }
}

#[tokio::test]
async fn viewer_sees_no_control_that_changes_anything() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let ids = Ids::create(&admin, &project).await;
    let viewer = fixture.caller("acme", None, Role::Viewer).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&viewer.access_key).await;
    for path in ["/projects", "/projects/PROJECT", "/projects/PROJECT/keys", "/keys/KEY"] {
        let page = browser.get(&ids.path_of(path)).await.body;
        for control in ["/new\"", "/edit\"", "/rotate\"", "/revoke\"", "/delete\"", "/reactivate\"", "Rename"] {
            assert!(!page.contains(control), "{control} in {path}");
        }
    }
}
