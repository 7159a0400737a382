//! The OpenAPI document: a change of it is a change of the API, to be seen in review.

use reqwest::Method;
use serde_json::Value;

use crate::fixture::Fixture;

#[tokio::test]
async fn the_document_is_the_committed_one() {
    let fixture = Fixture::start().await;
    let served = fixture.request(Method::GET, "/openapi.json").send().await.unwrap().text().await.unwrap();
    assert_eq!(served, gatepost_control_plane::openapi_json());
    let document: Value = serde_json::from_str(&served).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    insta::assert_snapshot!(served);
}
