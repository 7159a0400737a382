//! What the texts of errors say: the member, what it must be, and what to do.

use gatepost_domain::record::Role;
use gatepost_webhook_client::PrivateNetworks;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, execute, text};

const URL: &str = "https://93.184.215.14/";

async fn send(caller: &Caller<'_>, method: Method, path: &str, body: &str) -> (u16, Value) {
    let response = caller.request(method, path).body(body.to_owned()).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn an_error_of_a_body_names_the_member_and_what_it_must_be() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let hook = json!({"name": "w", "url": URL, "topics": ["api-key.created"]});
    let (_, webhook) = admin.post("/webhooks", hook).await;
    let webhook = format!("/webhooks/{}", text(&webhook, "id"));
    let project = format!("/projects/{}", admin.create_project().await);
    let large_header = format!("{{\"customHeaders\": {{\"h\": \"{}\"}}}}", "x".repeat(1100));
    for (path, body, detail) in [
        (&webhook, "{\"retrySchedule\": \"5s\"}", "retrySchedule: must be a list of whole numbers, or null"),
        (&webhook, "{\"retrySchedule\": [5, \"5s\"]}", "retrySchedule[1]: must be a whole number, 0 or more"),
        (&webhook, "{\"maxInFlight\": -1}", "maxInFlight: must be a whole number from 1 to 16, or null"),
        (&webhook, "{\"maxInFlight\": \"4\"}", "maxInFlight: must be a whole number from 1 to 16, or null"),
        (&webhook, "{\"maxInFlight\": 1.5}", "maxInFlight: must be a whole number from 1 to 16, or null"),
        (
            &webhook,
            "{\"ratePerSecond\": 99999999999999999999999}",
            "ratePerSecond: must be a whole number from 1 to 1000, or null",
        ),
        (&webhook, "{\"omitSecrets\": \"yes\"}", "omitSecrets: must be true or false, or null"),
        (&webhook, "{\"customHeaders\": {\"a\": 1}}", "customHeaders.a: must be a string"),
        (&webhook, &large_header, "customHeaders: the value of h has more than 1024 bytes"),
        (
            &webhook,
            "{\"customHeaders\": {\"h\": \"a\\nb\"}}",
            "customHeaders: the value of h has characters that no header value may have",
        ),
        (
            &webhook,
            "{\"url\": \"127.0.0.1:18301\"}",
            "url: must be a whole URL with its scheme, such as https://example.com/hook",
        ),
        (
            &webhook,
            "{\"url\": \"https://93.184.215.14/#a\"}",
            "url: must not have a fragment (#…), which no request contains",
        ),
        (&project, "{\"name\": [1]}", "name: must be a string"),
        (&project, "\"name\"", "the body: must be an object"),
    ] {
        let (status, problem) = send(&admin, Method::PATCH, path, body).await;
        assert_eq!((status, code(&problem), text(&problem, "detail").as_str()), (400, "validation", detail), "{body}");
    }
    let (status, problem) = send(&admin, Method::POST, &format!("{webhook}/recover"), "").await;
    assert_eq!((status, code(&problem)), (400, "invalid-json"));
    assert_eq!(text(&problem, "detail"), "the body is missing: send a JSON object");
}

#[tokio::test]
async fn a_number_that_cannot_be_stored_is_named_with_its_place() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let body = format!(
        "{{\"name\": \"k\", \"projectId\": \"{project}\", \"customMetaData\": {{\"a\": [18446744073709551616]}}}}"
    );
    let (status, problem) = send(&admin, Method::POST, "/api-keys", &body).await;
    let detail = "customMetaData.a[0]: 18446744073709551616 is too large to be stored exactly; send it as a string";
    assert_eq!((status, text(&problem, "detail").as_str()), (400, detail));
}

#[tokio::test]
async fn refusals_say_how_to_be_let_in_and_keep_the_hosted_message() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (status, problem) = execute(fixture.request(Method::GET, "/projects")).await;
    assert_eq!((status, text(&problem, "message").as_str()), (401, "Missing access key"));
    assert_eq!(text(&problem, "detail"), "the access key is missing: send it in the header x-api-key");

    let ping = json!({"url": "http://127.0.0.1:9/", "httpMethod": "POST"});
    let throttled = loop {
        let response = admin.request(Method::POST, "/webhooks/ping").body(ping.to_string()).send().await.unwrap();
        if response.status() == 429 {
            break response;
        }
    };
    let wait = throttled.headers()["retry-after"].to_str().unwrap().to_owned();
    let problem: Value = throttled.json().await.unwrap();
    assert_eq!(text(&problem, "message"), "Too many requests");
    assert_eq!(text(&problem, "detail"), format!("too many requests: try again in {wait} s"));
}
