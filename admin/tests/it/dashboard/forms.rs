//! Forms with faults: all of them at once, each at its field, and what was typed stays.

use gatepost_domain::record::Role;
use serde_json::json;

use super::browser::{Browser, hidden_field};
use crate::fixture::{Fixture, text};

/// Checks that a page has these words at these fields, and shows these entries.
fn check(page: &str, faults: &[(&str, &str)], entries: &[&str]) {
    for (field, words) in faults {
        let label = format!("id=\"{field}\"");
        let at_field = page.split(&label).nth(1).unwrap_or_else(|| panic!("{field} in {page}"));
        let at_field = at_field.split("<label").next().unwrap();
        assert!(at_field.contains(words), "{field}: {words} in {at_field}");
    }
    for entry in entries {
        assert!(page.contains(entry), "{entry} in {page}");
    }
}

#[tokio::test]
async fn all_faults_of_a_key_are_shown_at_once() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let key = text(&admin.create_key(&project, json!({})).await, "id");
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let faults = [
        ("name", "Must not be empty"),
        ("expiry", "Is in the past"),
        ("rateLimit", "Must be a whole number from 1"),
        ("rateLimitTtl", "Must be a number of seconds from 1"),
        ("quota", "Must be a whole number from 1"),
        ("allowedDomains", "&quot;no domain&quot; is no domain"),
        ("allowedIps", "&quot;300.1.1.1&quot; is no address"),
        ("allowedIps", "&quot;x&quot; is no address"),
        ("customMetaData", "Is not JSON"),
    ];
    for path in [format!("/dashboard/projects/{project}/keys/new"), format!("/dashboard/keys/{key}/edit")] {
        let form = browser.get(&path).await.body;
        let hidden = if path.ends_with("new") { "once" } else { "version" };
        let hidden_value = hidden_field(&form, hidden);
        let fields = [
            ("name", " "),
            ("expiry", "2001-01-01"),
            ("rateLimit", "many"),
            ("rateLimitTtl", "soon"),
            ("quota", "-1"),
            ("period", "day"),
            ("allowedDomains", "no domain"),
            ("allowedIps", "300.1.1.1\nx"),
            ("customMetaData", "{plan"),
            (hidden, &hidden_value),
        ];
        let page = browser.post(&path, &fields).await;
        assert_eq!(page.status, 422, "{path}");
        assert!(page.body.contains("Please correct the 8 marked fields."), "{}", page.body);
        let entries =
            [r#"value="2001-01-01""#, r#"value="many""#, r#"value="soon""#, r#"value="-1""#, "300.1.1.1\nx", "{plan"];
        check(&page.body, &faults, &entries);
    }
    let path = format!("/dashboard/projects/{project}/keys/new");
    let once = hidden_field(&browser.get(&path).await.body, "once");
    let page = browser.post(&path, &[("name", ""), ("key", "short"), ("once", &once)]).await.body;
    check(&page, &[("name", "Must not be empty"), ("key", "class=\"fault\"")], &[r#"value="short""#]);
    assert_eq!(admin.get(&format!("/api-keys?projectId={project}")).await.1.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn all_faults_of_a_webhook_are_shown_at_once() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let hook = json!({"name": "hook", "url": "https://93.184.215.14/", "topics": ["api-key.created"]});
    let hook = text(&admin.post("/webhooks", hook).await.1, "id");
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    for path in [format!("/dashboard/projects/{project}/webhooks/new"), format!("/dashboard/webhooks/{hook}/edit")] {
        let form = browser.get(&path).await.body;
        let hidden = if path.ends_with("new") { "once" } else { "version" };
        let hidden_value = hidden_field(&form, hidden);
        let fields = [
            ("name", ""),
            ("httpMethod", "POST"),
            ("url", "ftp:"),
            ("headerName", "host"),
            ("headerValue", "a"),
            ("headerName", "x y"),
            ("headerValue", "b"),
            ("theauthapiSignature", "on"),
            ("theauthapiToken", "short"),
            ("retrySchedule", "5, later"),
            ("maxInFlight", "17"),
            ("ratePerSecond", "x"),
            (hidden, &hidden_value),
        ];
        let page = browser.post(&path, &fields).await;
        assert_eq!(page.status, 422, "{path}");
        let faults = [
            ("name", "Must not be empty"),
            ("url", "class=\"fault\""),
            ("theauthapiToken", "Must be 16 to 256"),
            ("retrySchedule", "Must be whole numbers with commas"),
            ("maxInFlight", "Must be 1 to 16"),
            ("ratePerSecond", "Must be 1 to 1000"),
        ];
        check(&page.body, &faults, &[r#"value="5, later""#, r#"value="17""#, r#"value="x y""#]);
        for words in ["At least one is needed", "host is reserved", "is not a header name"] {
            assert!(page.body.to_lowercase().contains(&words.to_lowercase()), "{words} in {}", page.body);
        }
        let test = [("do", "test"), ("url", ""), ("httpMethod", "POST"), ("headerName", ""), ("headerValue", "b")];
        let page = browser.post(&path, &test).await.body;
        assert!(page.contains("A value has no name"), "{page}");
        check(&page, &[("url", "Must not be empty")], &[]);
    }
    let (_, all) = admin.get("/webhooks").await;
    assert_eq!(all.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn own_schedules_are_written_in_units() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let hook = json!({"name": "hook", "url": "https://93.184.215.14/", "topics": ["api-key.created"]});
    let hook = text(&admin.post("/webhooks", hook).await.1, "id");
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let path = format!("/dashboard/webhooks/{hook}/edit");
    let twenty = "5s, 5m, 1h, 1d".to_owned() + &", 60".repeat(15);
    for (schedule, status) in [
        (twenty.clone(), 303),
        (twenty.clone() + ", 60", 422),
        ("6d, 23h".to_owned(), 303),
        ("6d, 1d, 1".to_owned(), 422),
        ("5 minutes".to_owned(), 422),
        (String::new(), 303),
    ] {
        let version = hidden_field(&browser.get(&path).await.body, "version");
        let fields = [
            ("name", "hook"),
            ("url", "https://93.184.215.14/"),
            ("httpMethod", "POST"),
            ("topics", "api-key.created"),
            ("retrySchedule", &schedule),
            ("version", &version),
        ];
        let page = browser.post(&path, &fields).await;
        assert_eq!(page.status, status, "{schedule}: {}", page.body);
        if schedule == twenty && status == 303 {
            let page = browser.get(&format!("/dashboard/webhooks/{hook}")).await.body;
            assert!(page.contains("5 s, 5 min, 1 h, 1 d, 1 min"), "{page}");
            let (_, stored) = admin.get(&format!("/webhooks/{hook}")).await;
            assert_eq!(stored["retrySchedule"].as_array().unwrap().len(), 19);
        }
    }
}

#[tokio::test]
async fn all_faults_of_other_forms_are_shown_at_once() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let hook = json!({"name": "hook", "url": "https://93.184.215.14/", "topics": ["api-key.created"]});
    let hook = text(&admin.post("/webhooks", hook).await.1, "id");
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let new = "/dashboard/access-keys/new";
    let once = hidden_field(&browser.get(new).await.body, "once");
    let fields =
        [("name", ""), ("role", "user"), ("projectId", "prj_none"), ("expiry", "2001-01-01"), ("once", once.as_str())];
    let page = browser.post(new, &fields).await.body;
    check(&page, &[("name", "Must not be empty"), ("expiry", "Is in the past")], &[r#"value="2001-01-01""#]);
    assert!(page.contains("There is no such project"), "{page}");

    let fields = [("ip", "nowhere"), ("projectId", "prj_none"), ("path", "/kept")];
    let page = browser.post("/dashboard/explain", &fields).await.body;
    check(&page, &[("ip", "Is not an IP address"), ("projectId", "There is no such project")], &[r#"value="/kept""#]);

    let page = browser.get(&format!("/dashboard/projects/{project}/changes?since=soon&actor=nobody")).await.body;
    check(&page, &[("since", "Not a time"), ("actor", "Must be the name or the ID")], &[r#"value="soon""#]);

    let recover = format!("/dashboard/webhooks/{hook}/recover");
    let page = browser.post(&recover, &[("since", "soon"), ("until", "later"), ("status", "all")]).await.body;
    check(&page, &[("since", "Not a time"), ("until", "Not a time")], &[r#"value="later""#]);

    for list in ["deliveries", "dead-letters"] {
        let page = browser.get(&format!("/dashboard/webhooks/{hook}/{list}?since=soon&until=later")).await.body;
        check(&page, &[("since", "This is no time"), ("until", "This is no time")], &[r#"value="later""#]);
    }
}

#[tokio::test]
async fn the_api_reports_all_faults_of_a_request() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let wrong = json!({"projectId": project, "name": "", "expiry": "soon", "quota": {"limit": 0, "period": "week"}});
    let (status, problem) = admin.post("/api-keys", wrong).await;
    assert_eq!(status, 400);
    let detail = text(&problem, "detail");
    for part in ["name: must not be empty", "; expiry: not a time", "; quota.limit: must", "; quota.period: must"] {
        assert!(detail.contains(part), "{part} in {detail}");
    }
}
