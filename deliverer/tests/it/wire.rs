//! Requests as a receiver gets them.

use gatepost_domain::change::Action;
use gatepost_domain::record::{ApiKey, Role, Status, UserSecret, Webhook};
use gatepost_store::RecordWrite;
use gatepost_test_support::MockServer;

use crate::fixture::{DEADLINE, Fixture, only_body};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_admin_webhooks_receive_key_values() {
    let test = Fixture::start().await;
    let mut receivers = Vec::new();
    for role in [Role::Admin, Role::User, Role::Viewer] {
        for project in [None, Some(test.project.id.clone())] {
            let receiver = MockServer::start();
            test.create_webhook(&receiver, |webhook| Webhook { url_set_by: role, project, ..webhook }).await;
            receivers.push((role, receiver));
        }
    }
    let (key, secret) = test.create_key(&test.project).await;
    for (role, receiver) in receivers {
        let body = only_body(&receiver);
        let seen = if role == Role::Admin { secret.expose() } else { key.id.as_str() };
        assert_eq!(body["data"]["key"], seen, "{role:?}");
        assert_eq!(body["data"]["maskedKey"], key.mask.as_str());
    }
    test.wait_until_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhook_of_another_project_receives_nothing() {
    let test = Fixture::start().await;
    let (of_other, of_account) = (MockServer::start(), MockServer::start());
    let other = test.create_project().await;
    test.create_webhook(&of_other, |webhook| Webhook { project: Some(other.id.clone()), ..webhook }).await;
    test.create_webhook(&of_account, |webhook| webhook).await;
    test.create_key(&test.project).await;
    assert_eq!(of_account.await_count(1, DEADLINE), 1);
    test.wait_until_idle().await;
    assert_eq!(of_other.request_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_headers_and_method_of_a_webhook_are_sent() {
    let test = Fixture::start().await;
    let receiver = MockServer::start();
    let custom_headers = [("X-Tenant", "acme"), ("Authorization", "t")];
    let custom_headers = custom_headers.map(|(name, value)| (name.to_owned(), UserSecret::new(value))).to_vec();
    test.create_webhook(&receiver, |webhook| Webhook { method: "PUT".to_owned(), custom_headers, ..webhook }).await;
    test.create_key(&test.project).await;
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    let request = &receiver.take_requests()[0];
    assert_eq!(request.request_line(), "PUT / HTTP/1.1");
    for (name, value) in [
        ("x-tenant", "acme"),
        ("authorization", "t"),
        ("content-type", "application/json"),
        ("user-agent", concat!("Gatepost/", env!("CARGO_PKG_VERSION"))),
    ] {
        assert_eq!(request.header(name), [value], "{name}");
    }
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(request.header("webhook-id"), [body["id"].as_str().unwrap()]);
    assert_eq!(request.header("webhook-signature").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_header_equivalent_to_a_reserved_name_is_not_sent() {
    let test = Fixture::start().await;
    let receiver = MockServer::start();
    let names = ["webhook_id", "Webhook.Signature", "webhook~timestamp", "theauthapi_signature", "Content_Length"];
    let forged = names.iter().map(|name| ((*name).to_owned(), UserSecret::new("forged")));
    let custom_headers = forged.chain([("X_Mine".to_owned(), UserSecret::new("1"))]).collect();
    test.create_webhook(&receiver, |webhook| Webhook { custom_headers, ..webhook }).await;
    test.create_key(&test.project).await;
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    let request = &receiver.take_requests()[0];
    assert_eq!(request.header("x_mine"), ["1"]);
    assert!(!request.head.contains("forged"), "{}", request.head);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_used_at_is_sent_only_where_it_is_known() {
    let test = Fixture::start().await;
    let receiver = MockServer::start();
    test.create_webhook(&receiver, |webhook| webhook).await;
    let (key, _) = test.create_key(&test.project).await;
    let created = only_body(&receiver);
    assert_eq!(created["data"]["firstUsedAt"], serde_json::Value::Null);
    assert!(created["data"].as_object().unwrap().contains_key("firstUsedAt"), "a new key is known to be unused");
    let found = test.store.api_key(&key.id).await.unwrap().unwrap();
    let revoked = ApiKey { status: Status::Inactive, ..key };
    test.commit(Action::ApiKeyDeleted, vec![RecordWrite::replace(found, revoked)], None).await;
    assert_eq!(receiver.await_count(2, DEADLINE), 2);
    let deleted: serde_json::Value = serde_json::from_slice(&receiver.take_requests()[0].body).unwrap();
    assert!(!deleted["data"].as_object().unwrap().contains_key("firstUsedAt"), "{deleted}");
}
