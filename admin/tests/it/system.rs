//! `/system` and the quarantine.

use std::time::Duration;

use gatepost_domain::record::Role;
use gatepost_domain::time::Version;
use gatepost_store::{FanOutOutcome, FanOutStep};
use serde_json::{Value, json};

use crate::fixture::{Fixture, code, text};

/// Puts the last change into quarantine, as a deliverer does with one that it cannot decode.
pub(crate) async fn quarantine_last(fixture: &Fixture, bytes: &[u8]) -> Version {
    let cell = fixture.store.single_cell();
    let cursor = cell.fan_out_cursor().await.unwrap();
    let entries = cell.audit_feed().read(cursor, 1000, Duration::ZERO).await.unwrap().entries;
    let last = entries.last().unwrap().version;
    let step = FanOutStep {
        expected_cursor: cursor,
        new_cursor: last,
        entry_count: entries.len() as u64,
        events: vec![],
        dropped: vec![],
        quarantined: vec![(last, bytes.to_vec(), "its action is unknown".to_owned())],
        max_pending: 10,
        max_dead_letters: 10,
    };
    assert!(matches!(cell.fan_out(step).await.unwrap(), FanOutOutcome::Applied { .. }));
    last
}

#[tokio::test]
async fn the_operator_sees_store_queues_and_quarantine() {
    let fixture = Fixture::start().await;
    let operator = fixture.caller("first", None, Role::Admin).await;
    let other = fixture.caller("second", None, Role::Admin).await;
    let (status, system) = operator.get("/system").await;
    assert_eq!(status, 200, "{system}");
    assert_eq!(system["version"], env!("CARGO_PKG_VERSION"));
    let store = &system["store"];
    assert_eq!((&store["kind"], &store["writable"]), (&json!("embedded"), &json!(true)), "{system}");
    assert_eq!((&store["recovering"], &store["warnings"]), (&json!(false), &json!([])), "{system}");
    assert_eq!((&system["queue"]["pending"], &system["queue"]["quarantined"]), (&json!(0), &json!(0)), "{system}");

    let mut quarantined = Vec::new();
    for number in 0..3_u8 {
        other.create_project().await;
        quarantined.push(quarantine_last(&fixture, &[number, 0, 255]).await.to_string());
    }
    assert_eq!(operator.get("/system").await.1["queue"]["quarantined"], 3);
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let (_, page) = operator.get(&format!("/system/quarantine?limit=2&after={after}")).await;
        seen.extend(page["entries"].as_array().unwrap().clone());
        if page["hasMore"] == false {
            assert_eq!(page["next"], Value::Null);
            break;
        }
        after = text(&page, "next");
    }
    assert_eq!(seen.iter().map(|entry| text(entry, "cursor")).rev().collect::<Vec<_>>(), quarantined);
    assert!(seen.iter().all(|entry| entry["reason"] == "its action is unknown" && entry["bytes"] == 3));
    for (number, cursor) in quarantined.iter().enumerate() {
        let request = operator.request(reqwest::Method::GET, &format!("/system/quarantine/{cursor}"));
        let response = request.send().await.unwrap();
        assert_eq!(
            response.headers()["content-disposition"],
            format!("attachment; filename=\"quarantine-{cursor}.bin\"")
        );
        assert_eq!(response.bytes().await.unwrap().to_vec(), [u8::try_from(number).unwrap(), 0, 255]);
    }
    let (status, problem): (u16, Value) = operator.get("/system/quarantine/12345").await;
    assert_eq!((status, code(&problem)), (404, "not-found"));
    for path in ["/system", "/system/quarantine", "/system/quarantine/12345"] {
        assert_eq!(other.get(path).await.0, 403, "{path}");
    }
}
