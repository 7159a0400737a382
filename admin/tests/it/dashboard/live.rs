//! Pages that follow what they show: streams of their parts, and the tail of changes.

use std::time::Duration;

use gatepost_domain::record::Role;
use gatepost_store::{FanOutOutcome, FanOutStep, RetentionPolicy};
use gatepost_test_support::MockServer;
use gatepost_webhook_client::PrivateNetworks;
use reqwest::Method;
use serde_json::json;

use super::browser::{Browser, LiveEvent, LiveEvents};
use crate::fixture::{Fixture, text};
use crate::webhook_payloads::start_deliverer;

/// Streams of all accounts in a process.
const MAX_STREAMS: usize = 64;

/// Returns a browser that is signed in.
async fn signed_in<'a>(fixture: &'a Fixture, access_key: &str) -> Browser<'a> {
    let mut browser = Browser::new(fixture);
    browser.sign_in(access_key).await;
    browser
}

/// Returns the cursors of the changes in rows, in their order.
fn cursors(rows: &str) -> Vec<&str> {
    rows.split("/dashboard/changes/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

/// Returns the path of the stream that a page names.
fn stream_path(page: &str) -> String {
    let path = page.split("hx-sse:connect=\"").nth(1).unwrap_or_else(|| panic!("no stream in {page}"));
    path.split('"').next().unwrap().replace("&amp;", "&")
}

#[tokio::test]
async fn a_part_is_what_its_page_shows_and_is_sent_again_when_it_differs() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let key = text(&admin.create_key(&project, json!({})).await, "id");
    let browser = &mut signed_in(&fixture, &admin.access_key).await;
    let page = browser.get(&format!("/dashboard/keys/{key}?usage=7d")).await.body;
    let path = stream_path(&page);
    assert_eq!(path, format!("/dashboard/live/keys/{key}?usage=7d"));
    let mut stream = browser.stream(&path, None).await;
    assert_eq!(stream.header("content-type"), "text/event-stream");
    assert_eq!(stream.header("cache-control"), "no-store");
    let first = stream.next().await.unwrap();
    assert!(page.contains(first.data.split("<time").next().unwrap()), "{} in {page}", first.data);
    let name = "<img src=x onerror=alert(1)>";
    admin.patch(&format!("/api-keys/{key}"), json!({"name": name})).await;
    let renamed = stream.next_with("onerror").await;
    assert!(renamed.data.contains("&lt;img src=x onerror=alert(1)&gt;") && !renamed.data.contains(name));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_and_the_end_of_a_recovery_are_sent() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let deliverer = start_deliverer(&fixture);
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let receiver = MockServer::with_statuses(|number| (if number == 0 { 503 } else { 204 }, Duration::ZERO));
    let hook = json!({
        "name": "w", "url": receiver.url(), "projectId": project, "topics": ["api-key.created"],
        "retrySchedule": [3600],
    });
    let hook = text(&admin.post("/webhooks", hook).await.1, "id");
    let browser = &mut signed_in(&fixture, &admin.access_key).await;
    let mut list = browser.stream(&format!("/dashboard/live/webhooks/{hook}/deliveries"), None).await;
    list.next_with("No delivery yet").await;
    admin.create_key(&project, json!({})).await;
    let failed = list.next_with("The receiver responded with 503").await;
    let path = failed.data.split("href=\"").find(|rest| rest.contains("/deliveries/evt_")).unwrap();
    let path = path.split('"').next().unwrap().to_owned();
    let mut delivery = browser.stream(&path.replace("/dashboard/", "/dashboard/live/"), None).await;
    delivery.next_with("Waits for its next attempt").await;
    assert_eq!(browser.post(&format!("{path}/resend"), &[]).await.status, 303);
    delivery.next_with("The receiver has accepted it").await;
    list.next_with("Delivered").await;

    let recovery = json!({"since": "2026-01-01T00:00:00Z", "status": "dead"});
    let recovery = text(&admin.post(&format!("/webhooks/{hook}/recover"), recovery).await.1, "recoveryId");
    let path = format!("/dashboard/live/webhooks/{hook}/recoveries/{recovery}");
    let events = browser.stream(&path, None).await.read_to_end().await;
    let last = events.len() - 1;
    assert_eq!(events[last].name, "end");
    assert!(events[last - 1].data.contains("Finished"), "{}", events[last - 1].data);
    deliverer.stop().await;
}

fn last_names(events: &[LiveEvent]) -> Vec<&str> {
    events[events.len() - 2..].iter().map(|event| event.name.as_str()).collect()
}

#[tokio::test]
async fn streams_end_with_their_session_and_load_the_page_again() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let (_, made) = admin.post("/access-keys", json!({"name": "other", "role": "admin"})).await;
    let other = text(&made, "key");
    let path = "/dashboard/live/gateways";
    let ends = async |mut stream: LiveEvents| {
        let all = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end()).await.expect("within 5 s");
        assert_eq!(last_names(&all), ["reload", "end"], "after which it does not connect again");
    };
    let mut first = signed_in(&fixture, &admin.access_key).await;
    let stream = first.stream(path, None).await;
    first.post("/dashboard/sign-out", &[]).await;
    ends(stream).await;
    assert_eq!(first.stream(path, None).await.status, 303);

    let (mut first, second) =
        (signed_in(&fixture, &admin.access_key).await, signed_in(&fixture, &admin.access_key).await);
    let streams = [second.stream(path, None).await, second.stream("/dashboard/live/changes", None).await];
    first.post("/dashboard/sign-out-everywhere", &[]).await;
    for stream in streams {
        ends(stream).await;
    }

    let third = signed_in(&fixture, &other).await;
    let stream = third.stream(path, None).await;
    admin.delete(&format!("/access-keys/{}", text(&made, "id"))).await;
    ends(stream).await;
}

#[tokio::test]
async fn a_stream_ends_when_what_it_shows_is_gone() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let hook = json!({"name": "w", "url": "https://93.184.215.14/", "topics": ["api-key.created"]});
    let hook = text(&admin.post("/webhooks", hook).await.1, "id");
    let browser = signed_in(&fixture, &admin.access_key).await;
    let mut stream = browser.stream(&format!("/dashboard/live/webhooks/{hook}"), None).await;
    admin.delete(&format!("/webhooks/{hook}")).await;
    assert_eq!(last_names(&stream.read_to_end().await), ["reload", "end"]);
}

#[tokio::test]
async fn the_tail_goes_on_where_it_was_cut_off() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let stranger = fixture.caller("other", None, Role::Admin).await;
    let project = admin.create_project().await;
    let browser = &mut signed_in(&fixture, &admin.access_key).await;
    let page = browser.get("/dashboard/changes?type=api-key.created").await.body;
    assert!(page.contains("No change matches"), "{page}");
    let path = stream_path(&page);
    let names = async |count: u32| {
        for number in 0..count {
            admin.create_key(&project, json!({"name": format!("key {number}")})).await;
        }
    };
    names(2).await;
    stranger.create_project().await;
    let mut stream = browser.stream(&path, None).await;
    let mut seen = Vec::new();
    let mut last = String::new();
    while seen.len() < 2 {
        let event = stream.next().await.unwrap();
        seen.extend(cursors(&event.data).into_iter().rev().map(str::to_owned));
        last = event.id;
    }
    drop(stream);
    names(3).await;
    let mut stream = browser.stream(&path, Some(&last)).await;
    while seen.len() < 5 {
        let event = stream.next().await.unwrap();
        assert!(!event.data.contains("no longer kept"), "{}", event.data);
        seen.extend(cursors(&event.data).into_iter().rev().map(str::to_owned));
    }
    let (_, all) = admin.get("/events?type=api-key.created").await;
    let all: Vec<String> = all["events"].as_array().unwrap().iter().map(|event| text(event, "cursor")).collect();
    assert_eq!(seen, all, "none is missing or doubled");
    let page = browser.get("/dashboard/changes?type=api-key.created").await.body;
    let mut listed = cursors(&page);
    listed.reverse();
    assert_eq!(listed, all);
}

#[tokio::test]
async fn a_trimmed_gap_in_the_tail_is_shown_as_a_gap() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let browser = &mut signed_in(&fixture, &admin.access_key).await;
    let path = stream_path(&browser.get("/dashboard/changes").await.body);
    for _ in 0..4 {
        admin.create_key(&project, json!({})).await;
    }
    trim(&fixture, 2).await;
    let rows = browser.stream(&path, None).await.next_with("<tr").await.data;
    assert_eq!(cursors(&rows).len(), 2);
    let gap = rows.find("Some changes in between are no longer kept.").unwrap();
    assert!(gap > rows.rfind("/dashboard/changes/").unwrap(), "the gap is below the newer changes: {rows}");
}

/// Trims the stream to its newest entries, as a deliverer does once it has read them.
async fn trim(fixture: &Fixture, max_entries: u64) {
    let cell = fixture.store.single_cell();
    let expected_cursor = cell.fan_out_cursor().await.unwrap();
    let entries = cell.audit_feed().read(expected_cursor, 1000, Duration::ZERO).await.unwrap().entries;
    let step = FanOutStep {
        expected_cursor,
        new_cursor: entries.last().unwrap().version,
        entry_count: entries.len() as u64,
        events: vec![],
        dropped: vec![],
        quarantined: vec![],
        max_pending: 1000,
        max_dead_letters: 1000,
    };
    assert_eq!(cell.fan_out(step).await.unwrap(), FanOutOutcome::Applied { overflowed: 0 });
    let day = Duration::from_secs(24 * 3600);
    let rule = RetentionPolicy {
        max_age: day,
        max_entries,
        max_sealed_secret_age: day,
        max_dead_letter_age: day,
        max_log_age: day,
        oldest_attempt: fixture.now().minus(day),
        batch: 1000,
    };
    assert!(cell.trim(rule).await.unwrap().entries > 0);
}

#[tokio::test]
async fn streams_of_pages_are_bounded_apart_from_the_api_and_shared_between_accounts() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let other = fixture.caller("other", None, Role::Admin).await;
    let (browser, second) =
        (signed_in(&fixture, &admin.access_key).await, signed_in(&fixture, &other.access_key).await);
    let path = "/dashboard/live/gateways";
    let mut open = Vec::new();
    for _ in 0..MAX_STREAMS {
        let stream = browser.stream(path, None).await;
        assert_eq!(stream.status, 200);
        open.push(stream);
    }
    assert_eq!(browser.stream(path, None).await.status, 503);
    let api = admin.request(Method::GET, "/events/stream").send().await.unwrap();
    assert_eq!(api.status(), 200, "the API has permits of its own");
    let of_second = second.stream(path, None).await;
    assert_eq!(of_second.status, 200, "another account gets its share");
    let mut newest = open.pop().unwrap();
    assert!(newest.read_to_end().await.iter().all(|event| event.name.is_empty()), "it may be opened again");
    open.push(of_second);
    fixture.stop(Duration::from_secs(60)).await;
    for mut stream in open {
        assert!(stream.read_to_end().await.iter().all(|event| event.name.is_empty()));
    }
}
