//! Lists of projects and keys: their columns, and what selects their rows.

use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_domain::record::Role;
use serde_json::json;

use super::browser::Browser;
use crate::fixture::{Caller, Fixture, text};

/// Returns the row of a table that has a text.
fn row<'a>(page: &'a str, part: &str) -> &'a str {
    page.split("<tr>").find(|row| row.contains(part)).unwrap_or_else(|| panic!("{part} in {page}"))
}

/// Returns the cells of a row without their markup.
fn cells(row: &str) -> Vec<String> {
    let texts = |cell: &str| cell.split('<').map(|part| part.rsplit('>').next().unwrap()).collect::<Vec<_>>().join("|");
    let cells = row.split("<td>").skip(1).map(|cell| texts(cell.split("</td>").next().unwrap()));
    cells.map(|cell| cell.trim_matches('|').replace("||", "|")).collect()
}

#[tokio::test]
async fn a_key_is_listed_with_its_user_limits_and_expiry() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let limited = json!({
        "name": "limited", "customAccountId": "customer-1", "customUserId": "<i>user</i>", "rateLimit": 1000,
        "rateLimitTtl": 60, "quota": {"limit": 50_000, "period": "month"}, "expiry": "2099-01-01T00:00:00Z",
    });
    admin.create_key(&project, limited).await;
    admin.create_key(&project, json!({"name": "plain"})).await;
    admin.create_key(&project, json!({"name": "of a user", "customUserId": "user-7"})).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    for path in [format!("/projects/{project}/keys"), format!("/projects/{project}")] {
        let page = browser.get(&format!("/dashboard{path}")).await.body;
        let columns = ["Name", "Key", "State", "Customer and user", "Limits", "Last used", "Expires", "Created"];
        let heads = columns.map(|column| format!("<th scope=\"col\">{column}</th>")).concat();
        assert!(page.contains(&heads), "{page}");
        let limited = row(&page, "limited</a>");
        assert!(limited.contains("datetime=\"2099-01-01T00:00:00.000Z\""), "{limited}");
        let limited = cells(limited);
        assert_eq!(limited[2], "customer-1|&lt;i&gt;user&lt;/i&gt;", "{limited:?}");
        assert_eq!(limited[3], "1\u{202f}000 in 1 min|50\u{202f}000 a month", "{limited:?}");
        assert!(limited[5].starts_with("in "), "{limited:?}");
        assert_eq!(cells(row(&page, "plain</a>"))[1..6], ["Active", "–", "–", "–", "–"]);
        assert_eq!(cells(row(&page, "of a user</a>"))[2], "–|user-7");
    }
}

#[tokio::test]
async fn a_project_shows_its_newest_keys_and_how_many_there_are() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let path = format!("/dashboard/projects/{project}");
    for name in 1..=12 {
        let key = admin.create_key(&project, json!({"name": format!("key {name}")})).await;
        if name == 9 {
            assert!(!browser.get(&path).await.body.contains(">All keys</a>"), "all are listed");
            admin.delete(&format!("/api-keys/{}", text(&key, "id"))).await;
        }
    }
    let page = browser.get(&path).await.body;
    assert!(page.contains("key 3</a>") && !page.contains("key 2</a>"), "{page}");
    assert!(page.contains("All keys</a><span class=\"hint\"> 12, with those that are revoked</span>"), "{page}");
}

async fn create_project(admin: &Caller<'_>, name: &str, env: &str) -> String {
    let (status, created) = admin.post("/projects", json!({"name": name, "env": env})).await;
    assert!(matches!(status, 200 | 201), "{created}");
    text(&created, "id")
}

/// Returns the names of the projects that a page lists.
fn names(page: &str) -> Vec<&str> {
    let rows = page.split("<th scope=\"row\"><a href=\"").skip(1);
    rows.map(|row| row.split('>').nth(1).unwrap().split('<').next().unwrap()).collect()
}

#[tokio::test]
async fn projects_are_selected_by_environment_name_and_id() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let shop = create_project(&admin, "Web shop", "live").await;
    create_project(&admin, "Shop of tests", "test").await;
    create_project(&admin, "an-internal-gateway-name", "live").await;
    let gone = create_project(&admin, "Old shop", "live").await;
    admin.delete(&format!("/projects/{gone}")).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let all = ["Web shop", "Shop of tests", "an-internal-gateway-name"];
    for (fields, path, expected) in [
        (json!({}), "", &all[..]),
        (json!({"env": "test"}), "?env=test", &all[1..2]),
        (json!({"env": "live"}), "?env=live", &[all[0], all[2]]),
        (json!({"q": " SHOP"}), "?q=SHOP", &all[..2]),
        (json!({"q": "shop", "env": "live"}), "?env=live&q=shop", &all[..1]),
        (json!({"q": "shop", "status": "deleted"}), "?status=deleted&q=shop", &["Old shop"]),
        (json!({"q": &shop}), &format!("?q={shop}"), &all[..1]),
        // It may be the value of a key by its length, but is the name of a project.
        (json!({"q": all[2]}), "?q=an-internal-gateway-name", &all[2..]),
        (json!({"q": "nothing"}), "?q=nothing", &[]),
    ] {
        let fields: Vec<(&str, &str)> =
            fields.as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        let sent = browser.post("/dashboard/projects", &fields).await;
        assert_eq!((sent.status, sent.location()), (303, format!("/dashboard/projects{path}").as_str()));
        let page = browser.get(sent.location()).await.body;
        assert_eq!(names(&page), expected, "{path}");
        assert_eq!(page.contains("No project matches"), expected.is_empty(), "{path}");
    }
    for query in ["env=staging", "env=LIVE"] {
        assert_eq!(browser.get(&format!("/dashboard/projects?{query}")).await.status, 400, "{query}");
    }
    for value in [text(&admin.create_key(&shop, json!({})).await, "key"), "some-imported-value-of-a-key".to_owned()] {
        let sent = browser.post("/dashboard/projects", &[("q", &value)]).await;
        assert_eq!((sent.status, sent.location()), (200, ""));
        assert!(sent.body.contains("No project matches") && !sent.body.contains(&value), "{}", sent.body);
    }
}

#[tokio::test]
async fn projects_are_listed_with_their_requests_of_a_day() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let (used, unused) = (admin.create_project().await, create_project(&admin, "unused", "live").await);
    let key = KeyId::parse(&text(&admin.create_key(&used, json!({})).await, "id")).unwrap();
    let project = ProjectId::parse(&used).unwrap();
    fixture.store.single_cell().add_usage(&project, &[(key, 1234)]).await.unwrap();
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let page = browser.get("/dashboard/projects").await.body;
    let used = row(&page, &used);
    assert!(used.contains("aria-label=\"Requests in 24 hours: 1234 requests\""), "{used}");
    assert!(used.contains("<path d=\"M230 80v-80h8v80z\">") && used.contains("1\u{202f}234"), "{used}");
    assert_eq!(cells(row(&page, &unused))[1], "–");
}
