//! The browsable documentation, opened in a real browser.

use gatepost_test_support::{Page, browse};
use serde_json::Value;

use crate::fixture::Fixture;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_shows_every_operation() {
    let fixture = Fixture::start().await;
    let url = fixture.url("/docs/");
    let Page { dom, log } = tokio::task::spawn_blocking(move || browse(&url, &[])).await.unwrap();
    assert!(!log.contains("Content Security Policy"), "{log}");
    let document: Value = serde_json::from_str(&gatepost_admin::openapi_json()).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            assert!(dom.contains(&format!("data-path=\"{path}\"")), "{method} {path} is not shown: {dom} {log}");
        }
    }
    assert_eq!(dom.matches("opblock-summary-method").count(), operations(&document), "{log}");
}

fn operations(document: &Value) -> usize {
    document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum()
}

#[tokio::test]
async fn nothing_of_the_docs_comes_from_elsewhere() {
    let fixture = Fixture::start().await;
    for file in ["/docs", "/docs/", "/docs/start.js", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js"] {
        let response = fixture.request(reqwest::Method::GET, file).send().await.unwrap();
        assert_eq!(response.status(), 200, "{file}");
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    }
    let response = fixture.request(reqwest::Method::GET, "/docs/nothing.js").send().await.unwrap();
    assert_eq!(response.status(), 404);
}
