//! `/events` and `/events/stream`.

use std::time::Duration;

use futures::StreamExt;
use gatepost_domain::change::Action;
use gatepost_domain::id::{EventId, ProjectId};
use gatepost_domain::partition::Partition;
use gatepost_domain::record::{Actor, Role};
use gatepost_store::{Change, CommitOutcome, RecordWrite, os_rng};
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, text};

fn event_types(response: &Value) -> Vec<&str> {
    response["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn events_have_actor_action_and_address_and_no_secret() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let project = caller.create_project().await;
    let made = caller.create_key(&project, json!({})).await;
    let value = text(&made, "key");
    caller.patch(&format!("/api-keys/{value}"), json!({"name": "new"})).await;
    caller.send(Method::POST, &format!("/api-keys/auth/{value}"), None).await;
    caller.delete(&format!("/api-keys/{value}")).await;
    let (status, page) = caller.get("/events").await;
    assert_eq!(status, 200);
    let expected = [
        "account.created",
        "project.created",
        "api-key.created",
        "api-key.updated",
        "api-key.firstUsed",
        "api-key.deleted",
    ];
    assert_eq!(event_types(&page), expected);
    assert_eq!((&page["hasMore"], &page["continues"]), (&json!(false), &json!("yes")));
    let text_of_all = page.to_string();
    assert!(!text_of_all.contains(&value) && !text_of_all.contains(&caller.access_key));
    let events = page["events"].as_array().unwrap();
    // It was made with the account, in one change.
    let (_, access_keys) = caller.get("/access-keys").await;
    let access_key = &access_keys[0]["id"];
    assert_eq!(events[0]["actor"], json!({"type": "OPERATOR", "id": null, "address": null}));
    for event in &events[1..4] {
        assert_eq!(event["actor"], json!({"type": "ACCESS_KEY", "id": access_key, "address": "127.0.0.1"}));
    }
    assert_eq!(events[4]["actor"]["type"], "API_KEY");
    let (old, new) = (&events[3]["previous"], &events[3]["data"]);
    assert_eq!((&old["name"], &new["name"], &new["key"]), (&json!("k"), &json!("new"), &made["id"]));
    assert_eq!(events[5]["data"]["isActive"], false);
}

#[tokio::test]
async fn pages_filters_and_tenants() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Viewer).await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let other_account = fixture.caller("b", None, Role::Admin).await;
    let (project, other) = (admin.create_project().await, admin.create_project().await);
    for number in 0..5 {
        admin.create_key(&project, json!({"name": format!("k{number}")})).await;
    }
    admin.create_key(&other, json!({})).await;
    let mut seen = Vec::new();
    let mut after = "0".to_owned();
    loop {
        let (_, page) = caller.get(&format!("/events?after={after}&limit=2&type=api-key.created")).await;
        seen.extend(page["events"].as_array().unwrap().clone());
        after = text(&page, "next");
        if page["hasMore"] == false {
            break;
        }
        assert_eq!(page["continues"], "yes");
    }
    assert_eq!(seen.len(), 6);
    let count = async |caller: &Caller<'_>, query: &str| {
        caller.get(&format!("/events{query}")).await.1["events"].as_array().unwrap().len()
    };
    assert_eq!(count(&caller, &format!("?projectId={project}")).await, 6);
    assert_eq!(count(&other_account, "?type=api-key.created").await, 0);
    let of_project = fixture.caller("a", Some(&other), Role::Viewer).await;
    assert_eq!(
        event_types(&of_project.get("/events").await.1),
        ["project.created", "api-key.created", "access-key.created"]
    );
    assert_eq!(other_account.get(&format!("/events?projectId={project}")).await.0, 404);
    for query in ["type=nothing", "after=x", "limit=x"] {
        let (status, problem) = caller.get(&format!("/events?{query}")).await;
        assert_eq!((status, code(&problem)), (400, "validation"), "{query}");
    }
    let (_, unknown) = caller.get("/events?after=12345").await;
    assert_eq!(unknown["continues"], "unknown");
}

/// Reads all pages of a list of changes, newest first.
async fn read_backwards(caller: &Caller<'_>, query: &str) -> Vec<Value> {
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let (status, page) = caller.get(&format!("/events?order=desc&{query}&after={after}")).await;
        assert_eq!((status, &page["continues"]), (200, &json!("yes")), "{page}");
        seen.extend(page["events"].as_array().unwrap().clone());
        after = text(&page, "next");
        if page["hasMore"] == false {
            return seen;
        }
    }
}

#[tokio::test]
async fn newest_first_is_the_same_trail_reversed() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let project = caller.create_project().await;
    for _ in 0..4 {
        caller.create_key(&project, json!({})).await;
    }
    let mut all = caller.get("/events").await.1["events"].as_array().unwrap().clone();
    all.reverse();
    for limit in [1, 2, 3, all.len(), 1000] {
        assert_eq!(read_backwards(&caller, &format!("limit={limit}")).await, all, "{limit}");
    }
    let (status, problem) = caller.get("/events?order=desc&limit=0").await;
    assert_eq!((status, &problem["detail"]), (400, &json!("limit: must be a whole number from 1 to 1000")));
    let (_, unknown) = caller.get("/events?order=desc&after=12345").await;
    assert_eq!(unknown, json!({"events": [], "next": "12345", "hasMore": false, "continues": "unknown"}));
}

#[tokio::test]
async fn trail_is_filtered_by_actor_subject_and_time() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let second = fixture.caller("a", None, Role::User).await;
    let stranger = fixture.caller("b", None, Role::Admin).await;
    let project = caller.create_project().await;
    let key = caller.create_key(&project, json!({})).await;
    let (id, value) = (text(&key, "id"), text(&key, "key"));
    fixture.advance(Duration::from_secs(60));
    let since = fixture.now();
    second.patch(&format!("/api-keys/{id}"), json!({"name": "new"})).await;
    caller.send(Method::POST, &format!("/api-keys/auth/{value}"), None).await;
    let (_, access_keys) = caller.get("/access-keys").await;
    let second_id = text(&access_keys[1], "id");
    let types = async |caller: &Caller<'_>, query: &str| {
        let mut newest_first = read_backwards(caller, query).await;
        newest_first.reverse();
        let (_, page) = caller.get(&format!("/events?{query}")).await;
        assert_eq!(page["events"], Value::from(newest_first.clone()), "{query}");
        newest_first.iter().map(|event| text(event, "type")).collect::<Vec<_>>().join(" ")
    };
    for (query, expected) in [
        (format!("subject={id}"), "api-key.created api-key.updated api-key.firstUsed"),
        (format!("subject={project}"), "project.created"),
        ("subject=nothing".to_owned(), ""),
        (format!("actor={second_id}"), "api-key.updated"),
        (format!("actor={id}"), "api-key.firstUsed"),
        ("actor=API_KEY".to_owned(), "api-key.firstUsed"),
        ("actor=ACCESS_KEY".to_owned(), "project.created api-key.created api-key.updated"),
        ("actor=OPERATOR".to_owned(), "account.created access-key.created"),
        ("actor=DELIVERER".to_owned(), ""),
        (format!("since={since}"), "api-key.updated api-key.firstUsed"),
        (format!("since={since}&actor={second_id}&subject={id}"), "api-key.updated"),
        (format!("since={since}&type=api-key.firstUsed"), "api-key.firstUsed"),
        ("since=2999-01-01".to_owned(), ""),
    ] {
        assert_eq!(types(&caller, &query).await, expected, "{query}");
    }
    assert_eq!(types(&stranger, &format!("subject={id}")).await, "");
    for query in ["order=up", "actor=somebody", "since=yesterday", "order=desc&after=x"] {
        let (status, problem) = caller.get(&format!("/events?{query}")).await;
        assert_eq!((status, code(&problem)), (400, "validation"), "{query}");
    }
}

#[tokio::test]
async fn one_change_is_read_by_its_cursor() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Viewer).await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    admin.create_key(&admin.create_project().await, json!({})).await;
    let (_, page) = caller.get("/events").await;
    for event in page["events"].as_array().unwrap() {
        assert_eq!(caller.get(&format!("/events/{}", text(event, "cursor"))).await, (200, event.clone()));
    }
    for cursor in ["0", "1", "12345", "18446744073709551615", "x", "-1"] {
        let (status, problem) = caller.get(&format!("/events/{cursor}")).await;
        assert_eq!((status, code(&problem)), (404, "not-found"), "{cursor}");
    }
}

#[tokio::test]
async fn a_search_of_the_trail_ends_its_page_and_continues() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let stranger = fixture.caller("b", None, Role::Admin).await;
    let project = caller.create_project().await;
    let others = ProjectId::parse(&stranger.create_project().await).unwrap();
    let cell = fixture.store.single_cell();
    for _ in 0..10_001 {
        let others = cell.project(&others).await.unwrap().unwrap();
        let change = Change {
            event: EventId::generate_in(Partition::default(), &mut os_rng()),
            action: Action::ProjectUpdated,
            actor: Actor::Operator,
            writes: vec![RecordWrite::replace(others.clone(), others.record)],
            secret: None,
            stored_response: None,
        };
        assert!(matches!(cell.commit(&change).await.unwrap(), CommitOutcome::Committed(_)));
    }
    let (_, page) = caller.get("/events?order=desc&limit=1").await;
    assert_eq!((&page["events"], &page["hasMore"]), (&json!([]), &json!(true)));
    let (_, found) = caller.get(&format!("/events?order=desc&limit=1&after={}", text(&page, "next"))).await;
    assert_eq!(found["events"][0]["subject"], Value::from(project));
}

/// Reads a stream until it has had so many events, or ends.
async fn read(response: reqwest::Response, count: usize) -> Vec<(String, Value)> {
    let mut text = String::new();
    let mut body = response.bytes_stream();
    let reading = async {
        while text.matches("data:").count() < count || !text.ends_with("\n\n") {
            let Some(chunk) = body.next().await else { break };
            text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the stream sent too little");
    let field = |event: &str, name: &str| {
        event.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    let events = text.split("\n\n").filter_map(|event| Some((field(event, "id:")?, field(event, "data:")?)));
    events.map(|(id, data)| (id, serde_json::from_str(&data).unwrap())).collect()
}

#[tokio::test]
async fn a_stream_sends_events_and_resumes_where_it_was_cut_off() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let project = caller.create_project().await;
    let live = caller.request(Method::GET, "/events/stream").send().await.unwrap();
    assert_eq!(live.headers()["content-type"], "text/event-stream");
    for _ in 0..2 {
        caller.create_key(&project, json!({})).await;
    }
    let events = read(live, 2).await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[0].0, text(&events[0].1, "cursor"));
    caller.create_key(&project, json!({})).await;
    let resumed = caller.request(Method::GET, "/events/stream").header("last-event-id", &events[0].0);
    let resumed = read(resumed.send().await.unwrap(), 2).await;
    assert_eq!(resumed.len(), 2);
    assert_eq!(resumed[0], events[1]);
    let refused = fixture.request(Method::GET, "/events/stream").send().await.unwrap();
    assert_eq!(refused.status(), 401);
}

/// Reads a stream until it has sent a text.
async fn read_until(response: reqwest::Response, text: &str) -> String {
    let mut received = String::new();
    let mut body = response.bytes_stream();
    let reading = async {
        while !received.contains(text) {
            received.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the stream never sent it");
    received
}

#[tokio::test]
async fn a_stream_that_is_cut_off_before_its_first_event_resumes_where_it_began() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let project = caller.create_project().await;
    let opened = caller.request(Method::GET, "/events/stream?type=api-key.created").send().await.unwrap();
    let start = read_until(opened, "\n\n").await;
    let start = start.trim().strip_prefix("id: ").unwrap().to_owned();
    let key = caller.create_key(&project, json!({})).await;
    let resumed = caller.request(Method::GET, "/events/stream").header("last-event-id", &start);
    let resumed = read(resumed.send().await.unwrap(), 1).await;
    assert_eq!(resumed[0].1["subject"], key["id"]);

    let renamed = caller.patch(&format!("/api-keys/{}", text(&key, "id")), json!({"name": "new"})).await;
    assert_eq!(renamed.0, 200);
    let (_, page) = caller.get("/events").await;
    let filtered = caller.request(Method::GET, "/events/stream?type=api-key.deleted").header("last-event-id", &start);
    let moved = read_until(filtered.send().await.unwrap(), &text(&page, "next")).await;
    assert!(!moved.contains("data:"), "the cursor moves past changes of other types: {moved}");
}

#[tokio::test]
async fn a_stream_since_a_time_has_the_changes_from_then_on_and_no_gap() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let project = caller.create_project().await;
    fixture.advance(Duration::from_secs(3600));
    let since = fixture.now();
    let key = caller.create_key(&project, json!({})).await;
    let open =
        async |since: &str| caller.request(Method::GET, &format!("/events/stream?since={since}")).send().await.unwrap();
    let received = read_until(open(&since.to_string()).await, "api-key.created").await;
    assert!(received.contains(&text(&key, "id")) && !received.contains("project.created"), "{received}");
    assert!(!received.contains("gap"), "{received}");
    let received = read_until(open("1999-01-01").await, "api-key.created").await;
    assert!(received.contains("project.created") && !received.contains("gap"), "{received}");
    let (status, problem) = caller.get("/events/stream?since=yesterday").await;
    assert_eq!((status, code(&problem)), (400, "validation"));
    let later = fixture.now().plus(Duration::from_secs(60)).to_string();
    let waiting = open(&later).await;
    caller.create_key(&project, json!({})).await;
    let received = read_until(waiting, "api-key.created").await;
    assert!(!received.contains("gap"), "{received}");
}

#[tokio::test]
async fn streams_are_bounded_and_end_at_a_stop() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let mut open = Vec::new();
    for _ in 0..64 {
        let response = caller.request(Method::GET, "/events/stream").send().await.unwrap();
        assert_eq!(response.status(), 200);
        open.push(response);
    }
    let (status, problem) = caller.get("/events/stream").await;
    assert_eq!((status, code(&problem)), (503, "overloaded"));
    let address = fixture.request(Method::GET, "/").send().await.unwrap();
    assert_eq!(address.status(), 200);
    fixture.stop(Duration::from_secs(60)).await;
    for response in open {
        assert_eq!(read(response, 1).await, []);
    }
}
