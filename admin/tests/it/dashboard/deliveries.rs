//! Deliveries in the dashboard: lists, attempts, dead letters and recoveries.

use std::time::Duration;

use gatepost_domain::record::Role;
use gatepost_test_support::{MockServer, Reply};
use gatepost_webhook_client::PrivateNetworks;
use serde_json::{Value, json};

use super::browser::{Browser, Page};
use crate::fixture::{Caller, Fixture, text};
use crate::webhook_payloads::start_deliverer;

/// How long an event may take here, on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(20);

async fn create(caller: &Caller<'_>, project: &str, url: &str, further: Value) -> String {
    let mut hook = json!({
        "name": "w", "url": url, "projectId": project, "topics": ["api-key.created", "api-key.deleted"],
    });
    hook.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    let (status, created) = caller.post("/webhooks", hook).await;
    assert_eq!(status, 201, "{created}");
    format!("/dashboard/webhooks/{}", text(&created, "id"))
}

/// Reloads a page until it contains a text.
async fn page_with(browser: &mut Browser<'_>, path: &str, words: &str) -> Page {
    let reloading = async {
        loop {
            let page = browser.get(path).await;
            if page.body.contains(words) {
                return page;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, reloading).await.unwrap_or_else(|_| panic!("{words} in {path}"))
}

/// Returns the path of the first link that contains a text.
fn link(page: &Page, part: &str) -> String {
    let links = page.body.split(r#"href=""#).skip(1).map(|rest| rest.split('"').next().unwrap());
    links.into_iter().find(|link| link.contains(part)).unwrap_or_else(|| panic!("{part} in {}", page.body)).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_delivery_shows_its_attempts_and_is_resent() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let _deliverer = start_deliverer(&fixture);
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let receiver = MockServer::with_statuses(|number| (if number == 0 { 503 } else { 204 }, Duration::ZERO));
    let further = json!({"customHeaders": {"x-team": "billing-password"}, "retrySchedule": [3600, 60]});
    let hook = create(&admin, &project, &receiver.url(), further).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let key = admin.create_key(&project, json!({"name": "<b>bold</b>"})).await;

    let list =
        page_with(&mut browser, &format!("{hook}/deliveries?status=failed"), "The receiver responded with 503").await;
    let path = link(&list, "/deliveries/evt_");
    let failed = browser.get(&path).await;
    for words in ["503", "due ", "Later attempts are made only if", "Resend", "x-team: …"] {
        assert!(failed.body.contains(words), "{words} in {}", failed.body);
    }
    assert_eq!(failed.body.matches("class=\"upcoming\"").count(), 2, "both attempts that are left");
    assert!(failed.body.contains(&text(&key, "maskedKey")) && failed.body.contains("&lt;b&gt;bold"), "{}", failed.body);
    for secret in [text(&key, "key"), "billing-password".to_owned(), "<b>bold".to_owned()] {
        assert!(!failed.body.contains(&secret), "{secret}");
    }
    assert!(!failed.body.contains("hx-trigger"), "nothing happens for an hour");

    assert_eq!(browser.post(&format!("{path}/resend"), &[]).await.location(), path);
    let delivered = page_with(&mut browser, &path, "The receiver has accepted it.").await;
    assert!(delivered.body.contains("204") && delivered.body.contains("503"), "{}", delivered.body);
    let page = browser.get(&hook).await.body;
    assert!(page.contains("50 % of 2 attempts"), "{page}");

    for (query, is_found) in [
        ("status=delivered", true),
        ("status=dead", false),
        ("topic=api-key.created", true),
        ("topic=api-key.deleted", false),
        ("since=2026-01-01&until=2099-01-01", true),
        ("since=2099-01-01", false),
    ] {
        let page = browser.get(&format!("{hook}/deliveries?{query}")).await;
        assert_eq!((page.status, page.body.contains("/deliveries/evt_")), (200, is_found), "{query}");
    }
    let wrong = browser.get(&format!("{hook}/deliveries?since=yesterday")).await;
    assert!(wrong.body.contains("This is no time.") && wrong.body.contains(r#"value="yesterday""#));
    assert_eq!(browser.get(&format!("{hook}/deliveries/evt_nothing")).await.status, 404);
}

#[tokio::test]
async fn deliveries_have_pages_that_keep_their_filter() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let hook = create(&admin, &project, "https://93.184.215.14/", json!({})).await;
    let id = hook.rsplit('/').next().unwrap();
    for _ in 0..51 {
        admin.create_key(&project, json!({})).await;
        fixture.dropped_delivery(id).await;
    }
    for (limit, has_more) in [(50, true), (51, false)] {
        let (_, page) = admin.get(&format!("/webhooks/{id}/deliveries?limit={limit}")).await;
        assert_eq!((page["deliveries"].as_array().unwrap().len(), &page["hasMore"]), (limit, &json!(has_more)));
    }
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let first = browser.get(&format!("{hook}/deliveries?status=dropped&since=2026-01-01")).await;
    assert_eq!(first.body.matches("/deliveries/evt_").count(), 50);
    let next = link(&first, "after=").replace("&amp;", "&");
    assert!(next.contains("status=dropped&since=2026-01-01&after="), "{next}");
    let second = browser.get(&next).await;
    assert_eq!(second.body.matches("/deliveries/evt_").count(), 1);
    assert!(!second.body.contains(r#"rel="next""#) && second.body.contains(">First</a>"), "{}", second.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_retried_one_by_one_and_recovered_together() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let _deliverer = start_deliverer(&fixture);
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let receiver = MockServer::with_statuses(|number| (if number < 6 { 503 } else { 204 }, Duration::ZERO));
    let hook = create(&admin, &project, &receiver.url(), json!({"retrySchedule": [1]})).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let dead = format!("{hook}/dead-letters");
    assert!(browser.get(&dead).await.body.contains("No dead letter"));
    for _ in 0..3 {
        admin.create_key(&project, json!({})).await;
    }
    page_with(&mut browser, &hook, "3 deliveries were").await;
    let list = browser.get(&dead).await;
    assert_eq!(list.body.matches("/resend\"").count(), 3, "{}", list.body);
    let resend = list.body.split(r#"action=""#).find(|rest| rest.contains("/resend\"")).unwrap();
    let retried = browser.post(resend.split('"').next().unwrap(), &[]).await;
    assert!(retried.location().starts_with(&format!("{dead}?sent=evt_")), "{}", retried.location());
    assert!(browser.get(retried.location()).await.body.contains("It is sent again"));
    page_with(&mut browser, &format!("{hook}/deliveries?status=delivered"), "/deliveries/evt_").await;

    let recover = format!("{hook}/recover");
    assert!(browser.get(&recover).await.body.contains("2 dead letters"));
    let refused = browser.post(&recover, &[("status", "dead"), ("since", "2099-01-01")]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("Is in the future") && refused.body.contains(r#"value="2099-01-01""#));
    let started = browser.post(&recover, &[("status", "dead"), ("since", "2026-01-01")]).await;
    let job = started.location().to_owned();
    assert!(job.starts_with(&format!("{hook}/recoveries/")), "{job}");
    let ended = page_with(&mut browser, &job, "Finished").await.body;
    assert!(ended.contains("2 of 2") && ended.contains("<progress") && !ended.contains("hx-trigger"), "{ended}");
    assert_eq!(receiver.await_count(9, DEADLINE), 9);
    page_with(&mut browser, &dead, "No dead letter").await;
}

#[tokio::test]
async fn a_running_recovery_is_followed_and_cancelled() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let paused = json!({"status": "paused", "whenPaused": "keep"});
    let hook = create(&admin, &project, "https://93.184.215.14/", paused).await;
    let dropped = fixture.dropped_delivery(hook.rsplit('/').next().unwrap()).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let fields = [("status", "all"), ("since", "2026-01-01"), ("topics", "api-key.deleted")];
    let job = browser.post(&format!("{hook}/recover"), &fields[..2]).await.location().to_owned();
    let page = browser.get(&job).await.body;
    for words in ["Running", "waits until it is live", "0 of 1", "hx-sse:connect"] {
        assert!(page.contains(words), "{words} in {page}");
    }
    let second = browser.post(&format!("{hook}/recover"), &fields).await;
    assert_eq!(second.status, 422);
    assert!(second.body.contains("is running") && second.body.contains(r#"value="api-key.deleted" checked"#));
    assert_eq!(browser.post(&format!("{job}/cancel"), &[]).await.location(), job);
    let page = browser.get(&job).await.body;
    assert!(page.contains("Cancelled") && !page.contains("hx-sse:connect"), "{page}");
    assert!(browser.get(&hook).await.body.contains("Recoveries"));
    let page = browser.get(&format!("{hook}/deliveries/{dropped}")).await.body;
    assert!(page.contains("Was not sent, because the webhook was paused."), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_webhook_has_no_button_that_sends() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let _deliverer = start_deliverer(&fixture);
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let receiver = MockServer::with_statuses(|_| (410, Duration::ZERO));
    let hook = create(&admin, &project, &receiver.url(), json!({})).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    admin.create_key(&project, json!({})).await;
    let page = page_with(&mut browser, &hook, "Disabled because of failures").await;
    assert!(!page.body.contains("/recover\""), "{}", page.body);
    let advice = "set its status to live first, and then try again.";
    let letters = page_with(&mut browser, &format!("{hook}/dead-letters"), "/deliveries/evt_").await;
    assert!(letters.body.contains(advice) && !letters.body.contains("/resend\""), "{}", letters.body);
    let path = link(&letters, "/deliveries/evt_");
    let delivery = browser.get(&path).await;
    assert!(delivery.body.contains(advice) && !delivery.body.contains("/resend\""), "{}", delivery.body);
    // Pages that were loaded before still have the buttons.
    let event = path.rsplit('/').next().unwrap();
    let resend = format!("{hook}/dead-letters/{event}/resend");
    for (path, fields) in [
        (format!("{path}/resend"), vec![]),
        (resend, vec![]),
        (format!("{hook}/recover"), vec![("status", "all"), ("since", "2026-01-01")]),
    ] {
        let refused = browser.post(&path, &fields).await;
        assert_eq!(refused.status, 422, "{path}");
        assert!(refused.body.contains("The webhook is disabled and nothing is sent to it"), "{}", refused.body);
    }
    assert!(browser.get(&path).await.body.contains("Was given up"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_of_the_receiver_is_shown_on_the_pages_and_ended() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let _deliverer = start_deliverer(&fixture);
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let receiver = MockServer::with_script(|request| match request {
        0 => Reply { status: 429, headers: vec![("retry-after", "7200".to_owned())], ..Reply::default() },
        _ => Reply { status: 204, ..Reply::default() },
    });
    let hook = create(&admin, &project, &receiver.url(), json!({"retrySchedule": [1, 60]})).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    admin.create_key(&project, json!({})).await;
    let list = page_with(&mut browser, &format!("{hook}/deliveries?status=failed"), "/deliveries/evt_").await;
    let path = link(&list, "/deliveries/evt_");
    for path in [&hook, &format!("{hook}/deliveries"), &path] {
        let page = browser.get(path).await.body;
        for words in ["Paused by the receiver", "429 or 503 and Retry-After", "End the pause"] {
            assert!(page.contains(words), "{words} in {path}: {page}");
        }
    }
    let delivery = browser.get(&path).await.body;
    assert!(delivery.contains("makes an attempt as soon as the pause has ended."), "{delivery}");
    assert!(!delivery.contains("makes the next attempt at once"), "{delivery}");
    let id = hook.rsplit('/').next().unwrap();
    assert_eq!(browser.post(&format!("{hook}/resume"), &[]).await.location(), format!("/dashboard/webhooks/{id}"));
    assert_eq!(receiver.await_count(2, DEADLINE), 2);
    assert!(!browser.get(&hook).await.body.contains("End the pause"));
}
