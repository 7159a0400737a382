//! `/gateways`, and which gateways have applied a change.

use std::time::Duration;

use gatepost_domain::id::GatewayId;
use gatepost_domain::record::Role;
use gatepost_domain::time::Version;
use gatepost_store::{FeedCursor, GatewayLabel, Heartbeat, os_rng};
use serde_json::{Value, json};

use crate::fixture::{Fixture, text};

pub(crate) async fn send_heartbeat(fixture: &Fixture, gateway: &GatewayId, name: &str, cursor: Version) {
    let heartbeat = Heartbeat {
        gateway: gateway.clone(),
        cursor: FeedCursor::in_changes(cursor, None),
        valid_for: Duration::from_secs(62),
        label: GatewayLabel { name: name.to_owned(), version: "0.2.0".to_owned() },
    };
    fixture.store.single_cell().heartbeat(heartbeat).await.unwrap();
}

/// Sends heartbeats of a gateway that applies each change at once, until `action` has ended.
pub(crate) async fn with_gateway<T>(fixture: &Fixture, name: &str, action: impl Future<Output = T>) -> T {
    let gateway = GatewayId::generate(&mut os_rng());
    let applying = async {
        loop {
            let last = fixture.store.single_cell().last_position().await.unwrap();
            send_heartbeat(fixture, &gateway, name, last).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        result = action => result,
        () = applying => unreachable!("heartbeats do not end"),
    }
}

/// The gateways by name, each with a member.
fn by_name<'a>(gateways: &'a Value, member: &str) -> Vec<(&'a str, &'a Value)> {
    let list = gateways.as_array().unwrap();
    let mut named: Vec<_> = list.iter().map(|one| (one["name"].as_str().unwrap(), &one[member])).collect();
    named.sort_by_key(|(name, _)| *name);
    named
}

#[tokio::test]
async fn propagation_is_reported_gateway_by_gateway() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let key = admin.create_key(&project, json!({})).await;
    let (fast, slow) = (GatewayId::generate(&mut os_rng()), GatewayId::generate(&mut os_rng()));
    admin.delete(&format!("/api-keys/{}", text(&key, "id"))).await;
    let last = fixture.store.single_cell().last_position().await.unwrap();
    send_heartbeat(&fixture, &fast, "edge-1:8080", last).await;
    send_heartbeat(&fixture, &slow, "edge-2:8080", Version::ZERO).await;

    let (_, gateways) = admin.get("/gateways").await;
    assert_eq!(by_name(&gateways, "version"), [("edge-1:8080", &json!("0.2.0")), ("edge-2:8080", &json!("0.2.0"))]);
    assert!(gateways.as_array().unwrap().iter().all(|one| one["lastHeartbeatAt"].is_string()), "{gateways}");

    let path = format!("/events/{last}/propagation");
    let (status, report) = admin.get(&path).await;
    assert_eq!((status, &report["applied"], &report["known"]), (200, &json!(1), &json!(2)), "{report}");
    let applied = by_name(&report["gateways"], "applied");
    assert_eq!(applied, [("edge-1:8080", &json!(true)), ("edge-2:8080", &json!(false))]);
    assert!(by_name(&report["gateways"], "refusesAt").iter().all(|(_, at)| at.is_string()));

    let waiting = admin.request(reqwest::Method::GET, &path).header("prefer", "wait=30").send();
    let (response, ()) = tokio::join!(waiting, async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        send_heartbeat(&fixture, &slow, "edge-2:8080", last).await;
    });
    let report: Value = serde_json::from_str(&response.unwrap().text().await.unwrap()).unwrap();
    assert_eq!((&report["applied"], &report["known"]), (&json!(2), &json!(2)), "{report}");
    let after = by_name(&report["gateways"], "appliedAfterMs");
    assert!(
        after[0].1.as_u64() <= after[1].1.as_u64() && after[1].1.as_u64() <= report["waitedMs"].as_u64(),
        "{report}"
    );
}
