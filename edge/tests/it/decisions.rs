//! What comes of each kind of request.

use std::time::Duration;

use gatepost_domain::problem::ErrorCode;
use gatepost_edge::{AuthOutcome, AuthorizedAs, BodyLength, Decision, MessageError, RequestAction, RequestView};
use http::{Method, Version};

use crate::fixture::{Fixture, Request};

/// Maximum time until a change takes effect, on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// A decision in short: action, label of the outcome, route.
fn summary(decision: &Decision<String>) -> (String, &'static str, &str) {
    let action = match decision.action {
        RequestAction::Forward(AuthorizedAs::Key(_)) => "forward".to_owned(),
        RequestAction::Forward(AuthorizedAs::Anonymous) => "forward anonymous".to_owned(),
        RequestAction::ServerOptions => "server options".to_owned(),
        RequestAction::Redirect => "redirect".to_owned(),
        RequestAction::Respond(status) => format!("respond {}", status.as_u16()),
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
async fn the_detail_of_a_403_is_for_holders_of_a_valid_key() {
    let fixture = Fixture::start().await;
    let bearer = format!("Bearer {}", fixture.key);
    let detail = async |path: &'static str, key: &str| {
        let request = Request::get(path, &[("host", "a"), ("authorization", key)]);
        let decision = fixture.authorizer.authorize(&fixture.policy, &request.view()).await;
        (decision.action, decision.forbidden_detail())
    };
    let forbidden = RequestAction::Reject(ErrorCode::Forbidden);
    for (path, expected) in [
        ("/foreign", "This route accepts only keys of other projects"),
        ("/test", "This route accepts only test keys"),
        ("/admin", "The key lacks a permission that this route requires"),
    ] {
        assert_eq!(detail(path, &bearer).await, (forbidden, Some(expected)), "{path}");
        assert_eq!(detail(path, "Bearer wrong-key").await, (RequestAction::Reject(ErrorCode::InvalidKey), None));
    }
    assert_eq!(detail("/", &bearer).await.1, None);
    fixture.add_account().await;
    let waiting = async { while detail("/", &bearer).await.0 != forbidden {} };
    tokio::time::timeout(DEADLINE, waiting).await.expect("the store has two accounts");
    let expected = "This route accepts no key: the store has several accounts, so the route's configuration must list \
                    its projects";
    assert_eq!(detail("/", &bearer).await, (forbidden, Some(expected)));
    assert_eq!(detail("/", "Bearer wrong-key").await.1, None);
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
    ] {
        check(&fixture, RequestView { body, ..request.view() }, action, "rejected", "").await;
    }
    let too_large = RequestView { body: Ok(BodyLength::Known(1001)), ..request.view() };
    check(&fixture, too_large, "body-too-large", "rejected", "/open").await;
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
