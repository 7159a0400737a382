//! The browsable documentation, opened in a real browser.

use std::process::Command;

use serde_json::Value;

use crate::fixture::Fixture;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_shows_every_operation() {
    let fixture = Fixture::start().await;
    let url = fixture.url("/docs/");
    let profile = tempfile::tempdir().unwrap();
    let directory = format!("--user-data-dir={}", profile.path().display());
    let browsing = tokio::task::spawn_blocking(move || {
        Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"])
            .args(["--enable-logging=stderr", "--virtual-time-budget=30000", "--dump-dom", &directory, &url])
            .output()
            .unwrap()
    });
    let output = browsing.await.unwrap();
    let (page, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!log.contains("Content Security Policy"), "{log}");
    let document: Value = serde_json::from_str(&gatepost_control_plane::openapi_json()).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            assert!(page.contains(&format!("data-path=\"{path}\"")), "{method} {path} is not shown: {page} {log}");
        }
    }
    assert_eq!(page.matches("opblock-summary-method").count(), operations(&document), "{log}");
}

fn operations(document: &Value) -> usize {
    document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum()
}

#[tokio::test]
async fn nothing_of_the_docs_comes_from_elsewhere() {
    let fixture = Fixture::start().await;
    for file in ["/docs", "/docs/", "/docs/start.js", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js"] {
        let answer = fixture.request(reqwest::Method::GET, file).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{file}");
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    }
    let answer = fixture.request(reqwest::Method::GET, "/docs/nothing.js").send().await.unwrap();
    assert_eq!(answer.status(), 404);
}
