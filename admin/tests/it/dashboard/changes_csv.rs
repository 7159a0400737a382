//! The audit trail as a file.

use gatepost_domain::record::Role;
use serde_json::json;

use super::browser::Browser;
use crate::fixture::{Caller, Fixture, create_many_keys, text};

/// Rows of a file, with the head first.
fn rows(file: &str) -> Vec<Vec<String>> {
    let file = file.strip_prefix('\u{feff}').expect("spreadsheets recognise UTF-8 by it");
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(file.as_bytes());
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// The columns of the name in all rows but the head.
fn names(file: &str) -> Vec<String> {
    rows(file)[1..].iter().map(|row| row[3].clone()).collect()
}

async fn signed_in<'a>(fixture: &'a Fixture, caller: &Caller<'_>) -> Browser<'a> {
    let mut browser = Browser::new(fixture);
    browser.sign_in(&caller.access_key).await;
    browser
}

#[tokio::test]
async fn file_has_what_the_list_shows_and_no_formula() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let (project, other) = (admin.create_project().await, admin.create_project().await);
    let key = admin.create_key(&project, json!({"name": "=HYPERLINK(\"http://evil.example\", \"Müller\")"})).await;
    admin.create_key(&other, json!({"name": "of the other project"})).await;
    let mut browser = signed_in(&fixture, &admin).await;
    let page = browser.get("/dashboard/changes?type=api-key.created").await.body;
    assert!(page.contains("/dashboard/changes.csv?type=api-key.created"), "the filter is in the link: {page}");
    let file = browser.get("/dashboard/changes.csv?type=api-key.created").await;
    assert_eq!(file.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"changes.csv\"");
    let [head, newest, oldest] = &rows(&file.body)[..] else { panic!("{}", file.body) };
    assert_eq!(
        head.join(","),
        "time,type,subject,name,projectId,actor,actorName,address,cursor,eventId,changedMembers"
    );
    assert_eq!(newest[3], "of the other project");
    let (_, event) = admin.get(&format!("/events/{}", oldest[8])).await;
    let id = |member: &str| text(&event, member);
    let [time, kind, subject, name, of, actor, actor_name, address, _, event_id, _] = &oldest[..] else { panic!() };
    assert_eq!((time, kind, subject, of), (&id("timestamp"), &id("type"), &text(&key, "id"), &project));
    assert_eq!((actor, event_id), (&text(&event["actor"], "id"), &id("id")));
    assert_eq!((actor_name.as_str(), address.as_str()), ("test", "127.0.0.1"));
    assert_eq!(name, "'=HYPERLINK(\"http://evil.example\", \"Müller\")");

    let file = browser.get(&format!("/dashboard/projects/{project}/changes.csv?type=api-key.created")).await.body;
    assert_eq!(rows(&file).len(), 2, "{file}");
    assert_eq!(browser.get("/dashboard/changes.csv?since=soon").await.status, 400);
    let of_other = fixture.caller("acme", Some(&other), Role::Viewer).await;
    let file = signed_in(&fixture, &of_other).await.get("/dashboard/changes.csv?type=api-key.created").await.body;
    assert_eq!(names(&file), ["of the other project"]);
}

#[tokio::test]
async fn file_of_many_changes_misses_none_and_has_none_twice() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    create_many_keys(&admin, &project, 1001, |number| json!({"name": format!("number {number:04}")})).await;
    let file = signed_in(&fixture, &admin).await.get("/dashboard/changes.csv?type=api-key.created").await.body;
    let mut names = names(&file);
    names.sort();
    assert_eq!(names, (0..1001).map(|number| format!("number {number:04}")).collect::<Vec<_>>());
}
