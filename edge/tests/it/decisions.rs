//! What comes of each kind of request.

use gatepost_domain::problem::ErrorCode;
use gatepost_edge::{AuthOutcome, AuthorizedAs, BodyLength, Decision, MessageError, RequestAction, RequestView};
use http::{Method, Version};

use crate::fixture::{Fixture, Request};

/// A decision in short: action, label of the outcome, route.
fn summary(decision: &Decision<String>) -> (String, &'static str, &str) {
    let action = match decision.action {
        RequestAction::Forward(AuthorizedAs::Key(_)) => "forward".to_owned(),
        RequestAction::Forward(AuthorizedAs::Anonymous) => "forward anonymous".to_owned(),
        RequestAction::ServerOptions => "server options".to_owned(),
        RequestAction::Reject(code) => code.code().to_owned(),
    };
    let route = decision.route.as_ref().map_or("", |route| route.backend.as_str());
    (action, decision.key_check.outcome.label(), route)
}

async fn check(fixture: &Fixture, view: RequestView<'_>, action: &str, outcome: &str, route: &str) {
    let decision = fixture.authorizer.authorize(&fixture.policy, &view).await;
    assert_eq!(summary(&decision), (action.to_owned(), outcome, route), "{view:?}");
}

#[tokio::test]
async fn route_and_key_decide() {
    let fixture = Fixture::start().await;
    let bearer = format!("Bearer {}", fixture.key);
    let (host, key, wrong) = (("host", "a"), ("authorization", bearer.as_str()), ("authorization", "Bearer wrong-key"));
    let request = Request::get;
    for (request, action, outcome, route) in [
        (request("/v1", &[host, key]), "forward", "permitted", "/"),
        (request("/v1", &[host]), "missing-key", "denied", "/"),
        (request("/v1", &[host, wrong]), "invalid-key", "denied", "/"),
        (request("/open", &[host, wrong]), "forward anonymous", "anonymous", "/open"),
        (request("/maybe", &[host]), "forward anonymous", "anonymous", "/maybe"),
        (request("/maybe", &[host, key]), "forward", "permitted", "/maybe"),
        (request("/maybe", &[host, wrong]), "invalid-key", "denied", "/maybe"),
        (request("/v1", &[key]), "bad-host", "rejected", ""),
        (Request { method: Method::OPTIONS, ..request("*", &[host]) }, "server options", "anonymous", ""),
    ] {
        check(&fixture, request.view(), action, outcome, route).await;
    }
}

#[tokio::test]
async fn methods_of_the_routes_at_a_path_are_allowed() {
    let fixture = Fixture::start().await;
    let request = Request { method: Method::PUT, ..Request::get("/reports/1", &[("host", "a")]) };
    let decision = fixture.authorizer.authorize(&fixture.policy, &request.view()).await;
    assert_eq!(decision.action, RequestAction::Reject(ErrorCode::MethodNotAllowed));
    assert_eq!(decision.allow.as_deref(), Some("GET, HEAD"));
    assert_eq!(decision.target.unwrap().path(b"/reports/1"), "/reports/1");
}

#[tokio::test]
async fn faults_of_the_message_and_its_body_are_rejected() {
    let fixture = Fixture::start().await;
    let request = Request::get("/open", &[("host", "a")]);
    for (body, action) in [
        (Err(MessageError::MalformedLine), "bad-request"),
        (Err(MessageError::InvalidFraming), "bad-request"),
        (Err(MessageError::UnsupportedTransferEncoding), "unsupported-transfer-encoding"),
        (Ok(BodyLength::Known(1001)), "body-too-large"),
    ] {
        check(&fixture, RequestView { body, ..request.view() }, action, "rejected", "").await;
    }
    for body in [BodyLength::Known(1000), BodyLength::Unknown] {
        let view = RequestView { body: Ok(body), ..request.view() };
        check(&fixture, view, "forward anonymous", "anonymous", "/open").await;
    }
}

#[tokio::test]
async fn http2_names_its_host_by_authority() {
    let fixture = Fixture::start().await;
    let request =
        |authority, headers| Request { version: Version::HTTP_2, authority, ..Request::get("/open", headers) };
    for (request, action) in [
        (request(Some("a"), &[][..]), "forward anonymous"),
        (request(Some("a:80"), &[("host", "A:80")]), "forward anonymous"),
        (request(None, &[("host", "a")]), "forward anonymous"),
        (request(Some("a"), &[("host", "b")]), "bad-host"),
        (request(None, &[]), "bad-host"),
        (request(Some("a b"), &[]), "bad-host"),
    ] {
        let (outcome, route) = if action == "bad-host" { ("rejected", "") } else { ("anonymous", "/open") };
        check(&fixture, request.view(), action, outcome, route).await;
    }
}

#[tokio::test]
async fn client_behind_a_trusted_proxy_has_a_cap_on_its_requests() {
    let fixture = Fixture::start().await;
    let from = |client: &str| Request::get("/open", &[("host", "a"), ("x-forwarded-for", client)]);
    let (one, other) = (from("192.0.2.7"), from("192.0.2.8"));
    let view = |request| RequestView { peer: Some([10, 0, 0, 1].into()), ..Request::view(request) };
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(fixture.authorizer.authorize(&fixture.policy, &view(&one)).await);
    }
    assert!(held.iter().all(|decision| decision.key_check.outcome == AuthOutcome::Anonymous));
    check(&fixture, view(&one), "rate-limited", "rejected", "/open").await;
    check(&fixture, view(&other), "forward anonymous", "anonymous", "/open").await;
    drop(held);
    check(&fixture, view(&one), "forward anonymous", "anonymous", "/open").await;
}
