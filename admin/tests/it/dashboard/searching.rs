//! Searches that take longer than a page may: here each part of one has no time, and so reads as little as it can.

use std::time::Duration;

use gatepost_domain::id::WebhookId;
use gatepost_domain::record::Role;
use gatepost_store::{DroppedDelivery, FanOutOutcome, FanOutStep};
use gatepost_webhook_client::PrivateNetworks;
use reqwest::Method;
use serde_json::json;

use super::browser::{Browser, link_after};
use crate::fixture::{Caller, Fixture, text};

/// Keys of the project: some more than a few reads have.
const KEYS: usize = 330;
/// Every so many keys have the name that is searched.
const STEP: usize = 30;
const FAR_KEY: &str = "the first of all";

/// A site whose pages have no time to search.
async fn hurried() -> Fixture {
    let without_time =
        |control_plane: gatepost_control_plane::ControlPlane| control_plane.with_page_scan_time(Duration::ZERO);
    Fixture::with_control_plane(PrivateNetworks::Refused, without_time).await
}

/// Creates keys, of which the oldest has its own name. Returns the id of that one.
async fn create_keys(admin: &Caller<'_>, project: &str) -> String {
    let first = admin.create_key(project, json!({"name": FAR_KEY})).await;
    for number in 1..KEYS {
        let name = if number % STEP == 0 { format!("needle {number}.") } else { format!("straw {number}.") };
        admin.create_key(project, json!({"name": name})).await;
    }
    text(&first, "id")
}

/// Returns the texts that begin with a word, up to a full stop.
fn names<'a>(page: &'a str, word: &'a str) -> Vec<&'a str> {
    page.split(word).skip(1).map(|rest| rest.split('.').next().unwrap()).collect()
}

/// Returns the value of an attribute, or none.
fn attribute(page: &str, start: &str) -> Option<String> {
    Some(page.split(start).nth(1)?.split('"').next()?.replace("&amp;", "&"))
}

/// What a browser with a script shows of a page once it goes on no more: all rows, and the last part.
struct Searched {
    all: String,
    last: String,
    parts: usize,
}

async fn search(browser: &mut Browser<'_>, path: &str) -> Searched {
    let page = browser.get(path).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let mut searched = Searched { all: page.body.clone(), last: page.body, parts: 1 };
    while let Some(next) = attribute(&searched.last, "hx-get=\"") {
        let part = browser.get(&next).await;
        assert_eq!(part.status, 200, "{}", part.body);
        searched.all.push_str(&part.body);
        searched.last = part.body;
        searched.parts += 1;
        assert!(searched.parts < KEYS, "it does not end");
    }
    searched
}

/// Follows what a page loads by itself without a script.
async fn reload(browser: &mut Browser<'_>, path: &str) -> (String, usize) {
    let (mut page, mut pages) = (browser.get(path).await, 1);
    while let Some(next) = attribute(&page.body, "content=\"0;url=") {
        page = browser.get(&next).await;
        pages += 1;
    }
    (page.body, pages)
}

#[tokio::test]
async fn a_search_goes_on_to_the_end_and_shows_each_key_once() {
    let fixture = hurried().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    create_keys(&admin, &project).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let keys = format!("/dashboard/projects/{project}/keys");
    let expected: Vec<String> = (1..KEYS).rev().filter(|n| n % STEP == 0).map(|n| n.to_string()).collect();
    for path in [format!("{keys}?q=NEEDLE"), "/dashboard/search?q=needle".to_owned()] {
        let searched = search(&mut browser, &path).await;
        assert_eq!(names(&searched.all, ">needle "), expected, "{path}");
        assert!(searched.parts > 2 && searched.all.contains("Searched 100 keys so far"), "{path}: {}", searched.all);
        assert!(searched.last.contains("The search has ended. Found: 10."), "{}", searched.last);
        assert!(
            !searched.last.contains("No key matches") && !searched.last.contains("rel=\"next\""),
            "{}",
            searched.last
        );
    }
    let far = search(&mut browser, &format!("{keys}?q=the+first+of+all")).await;
    assert!(far.last.contains(FAR_KEY), "{}", far.last);
    for (path, words) in [
        (format!("{keys}?q=nothing+like+this"), "No key matches"),
        (format!("{keys}?status=revoked"), "No key matches"),
        ("/dashboard/search?q=nothing+like+this".to_owned(), "Nothing found"),
    ] {
        let searched = search(&mut browser, &path).await;
        assert!(searched.last.contains(words) && searched.all.matches(words).count() == 1, "{}", searched.all);
    }
}

#[tokio::test]
async fn a_full_page_waits_for_its_reader() {
    let fixture = hurried().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    for number in 0..130 {
        let name = if number % 2 == 0 { format!("even {number}.") } else { "odd".to_owned() };
        admin.create_key(&project, json!({"name": name})).await;
    }
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let (mut path, mut pages, mut seen) = (format!("/dashboard/projects/{project}/keys?q=even"), 0, Vec::new());
    loop {
        let searched = search(&mut browser, &path).await;
        let found = names(&searched.all, ">even ");
        assert!(found.len() <= 50, "{found:?}");
        seen.extend(found.iter().map(ToString::to_string));
        pages += 1;
        let Some(next) = link_after(&searched.last, r#"<nav class="pager""#, r#"rel="next""#) else { break };
        path = next;
    }
    let expected: Vec<String> = (0..130).rev().filter(|n| n % 2 == 0).map(|n| n.to_string()).collect();
    assert_eq!((pages, seen), (2, expected));
}

#[tokio::test]
async fn without_a_script_a_search_loads_its_parts_until_there_is_something_to_see() {
    let fixture = hurried().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    create_keys(&admin, &project).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let keys = format!("/dashboard/projects/{project}/keys");
    let (page, pages) = reload(&mut browser, &format!("{keys}?q=the+first+of+all")).await;
    assert!(page.contains(FAR_KEY) && pages > 2, "{pages}: {page}");
    let (page, _) = reload(&mut browser, &format!("{keys}?q=nothing+like+this")).await;
    assert!(page.contains("No key matches"), "{page}");
    let page = browser.get(&format!("{keys}?q=needle")).await.body;
    let go_on = link_after(&page, "<noscript>", r#"rel="next""#).unwrap();
    assert!(!page.contains("http-equiv=\"refresh\""), "what was found stays to be read: {page}");
    let (next, _) = reload(&mut browser, &go_on).await;
    assert!(next.contains("needle 2") && !next.contains("needle 3"), "{next}");
}

#[tokio::test]
async fn changes_of_one_resource_are_found_without_reading_those_of_others() {
    let fixture = hurried().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let [old, changed, used] = ["old", "changed", "used"].map(|name| json!({"name": name}));
    let old = text(&admin.create_key(&project, old).await, "id");
    let changed = text(&admin.create_key(&project, changed).await, "id");
    let used = admin.create_key(&project, used).await;
    for number in 0..120 {
        admin.create_key(&project, json!({"name": format!("straw {number}.")})).await;
    }
    admin.patch(&format!("/api-keys/{changed}"), json!({"name": "renamed"})).await;
    let (status, _) = admin.send(Method::POST, &format!("/api-keys/auth/{}", text(&used, "key")), None).await;
    assert_eq!(status, 200);
    for number in 0..120 {
        admin.create_key(&project, json!({"name": format!("more straw {number}.")})).await;
    }
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let of_subject = |id: &str| format!("/dashboard/changes?subject={id}");
    let page = browser.get(&of_subject(&old)).await.body;
    assert!(page.contains("Key created</a>") && !page.contains("so far"), "{page}");
    for (id, newest) in [(changed, "Key changed</a>"), (text(&used, "id"), "Key first used</a>")] {
        let page = browser.get(&of_subject(&id)).await.body;
        assert!(page.contains(newest) && page.contains("so far"), "{newest}: {page}");
        let searched = search(&mut browser, &of_subject(&id)).await;
        assert!(searched.parts > 2 && searched.last.contains("Key created</a>"), "{}", searched.last);
        assert!(searched.last.contains("Found: 2."), "nothing before its creation is read: {}", searched.last);
        let page = browser.get(&format!("/dashboard/keys/{id}")).await.body;
        assert!(page.contains(newest) && page.contains("Key created</a>"), "{page}");
    }
    let by_kind = format!("/dashboard/projects/{project}/changes?type=project.created");
    let searched = search(&mut browser, &by_kind).await;
    assert!(searched.parts > 3 && searched.last.contains("Project created</a>"), "{}", searched.last);
    let none = search(&mut browser, "/dashboard/changes?type=webhook.created").await;
    assert!(none.last.contains("No change matches"), "{}", none.last);
}

/// Drops a delivery of each event so far, as for a webhook that is paused.
async fn drop_deliveries(fixture: &Fixture, webhook: &str) {
    let cell = fixture.store.single_cell();
    let expected_cursor = cell.fan_out_cursor().await.unwrap();
    let entries = cell.audit_feed().read(expected_cursor, 1000, Duration::ZERO).await.unwrap().entries;
    let dropped = entries.iter().map(|entry| DroppedDelivery {
        webhook: WebhookId::parse(webhook).unwrap(),
        event: entry.event.clone().unwrap(),
        action: entry.content.as_ref().unwrap().action,
        version: entry.version,
    });
    let step = FanOutStep {
        expected_cursor,
        new_cursor: entries.last().unwrap().version,
        entry_count: entries.len() as u64,
        events: vec![],
        dropped: dropped.collect(),
        quarantined: vec![],
        max_pending: 1000,
        max_dead_letters: 1000,
    };
    assert_eq!(cell.fan_out(step).await.unwrap(), FanOutOutcome::Applied { overflowed: 0 });
}

#[tokio::test]
async fn a_filter_of_deliveries_finds_the_oldest_one() {
    let fixture = hurried().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let hook = json!({
        "name": "w", "url": "https://93.184.215.14/", "topics": ["api-key.created", "api-key.updated"],
        "projectId": project,
    });
    let hook = text(&admin.post("/webhooks", hook).await.1, "id");
    let key = text(&admin.create_key(&project, json!({})).await, "id");
    admin.patch(&format!("/api-keys/{key}"), json!({"name": "renamed"})).await;
    for _ in 0..250 {
        admin.create_key(&project, json!({})).await;
    }
    drop_deliveries(&fixture, &hook).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let list = format!("/dashboard/webhooks/{hook}/deliveries");
    let searched = search(&mut browser, &format!("{list}?topic=api-key.updated")).await;
    assert!(searched.parts > 2 && searched.last.contains("Found: 1."), "{}: {}", searched.parts, searched.last);
    assert_eq!(searched.all.matches("<tr id=").count(), 1, "{}", searched.all);
    assert!(!searched.all.contains("/dashboard/live/webhooks"), "what is not whole is not followed");
    let none = search(&mut browser, &format!("{list}?topic=api-key.deleted")).await;
    assert!(none.last.contains("No delivery matches"), "{}", none.last);
    let all = browser.get(&list).await.body;
    assert!(all.contains("/dashboard/live/webhooks") && all.matches("<tr id=").count() == 50, "{all}");
}

#[tokio::test]
async fn a_text_that_may_be_a_value_is_in_no_address_of_a_search() {
    let fixture = hurried().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    for _ in 0..120 {
        admin.create_key(&project, json!({})).await;
    }
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let secret = "a-value-of-some-other-service";
    let page = browser.post("/dashboard/search", &[("q", secret)]).await;
    assert_eq!(page.status, 200);
    assert!(!page.body.contains(secret) && !page.body.contains("hx-get"), "{}", page.body);
    assert!(page.body.contains("Not all keys have been searched or shown"), "{}", page.body);
}

#[tokio::test]
async fn signing_in_again_leads_to_the_page_and_not_to_a_part_of_it() {
    let fixture = Fixture::start().await;
    let mut stranger = Browser::new(&fixture);
    let page = stranger.get("/dashboard/more/search?q=k&after=x").await;
    assert_eq!(page.location(), "/dashboard/sign-in?next=%2Fdashboard%2Fsearch%3Fq%3Dk%26after%3Dx");
}

#[tokio::test]
async fn the_api_searches_as_far_as_ever() {
    let fixture = hurried().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let first = create_keys(&admin, &project).await;
    let (_, found) = admin.post("/api-keys/search", json!({"query": FAR_KEY, "projectId": project})).await;
    assert_eq!((text(&found["apiKeys"][0], "id"), &found["hasMore"]), (first, &json!(false)));
    let (_, changes) = admin.get("/events?order=desc&type=project.created").await;
    assert_eq!(changes["events"].as_array().unwrap().len(), 1, "{changes}");
}
