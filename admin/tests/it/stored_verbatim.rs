//! What callers send is kept as it was sent, or refused.

use gatepost_domain::record::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, execute, text};

/// Posts a text.
async fn post(caller: &Caller<'_>, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
    execute(caller.request(Method::POST, path).body(body)).await
}

#[tokio::test]
async fn a_byte_order_mark_is_no_part_of_a_body() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let body = [b"\xef\xbb\xbf".as_slice(), br#"{"name": "p", "env": "live"}"#].concat();
    let (status, project) = post(&admin, "/projects", body).await;
    assert_eq!(status, 201, "{project}");
    let key = text(&admin.create_key(&text(&project, "id"), json!({})).await, "id");
    for body in [b"\xef\xbb\xbf".as_slice(), b"\xef\xbb\xbf{\"overlapSeconds\": 60}"] {
        let (status, rotated) = post(&admin, &format!("/api-keys/{key}/rotate"), body).await;
        assert_eq!(status, 201, "{rotated}");
    }
}

#[tokio::test]
async fn metadata_that_would_change_is_refused() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let body = |metadata: &str| format!(r#"{{"name": "k", "projectId": "{project}", "customMetaData": {metadata}}}"#);
    for metadata in [
        r#"{"id": 123456789012345678901234567890}"#,
        r#"{"$serde_json::private::RawValue": "{}"}"#,
        r#"{"a": [{"\u0024serde_json::private::Number": "1"}]}"#,
    ] {
        let (status, problem) = post(&admin, "/api-keys", body(metadata)).await;
        assert_eq!((status, code(&problem)), (400, "validation"), "{metadata}: {problem}");
    }
    let metadata = json!({"largest": u64::MAX, "rate": 0.1, "serde": "$serde_json::private::Number"});
    let (status, key) = post(&admin, "/api-keys", body(&metadata.to_string())).await;
    assert_eq!((status, &key["customMetaData"]), (201, &metadata), "{key}");
}

#[tokio::test]
async fn a_key_may_expire_at_the_end_of_all_years() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    for (never, expected) in
        [("9999-12-31", "9999-12-31T00:00:00.000Z"), ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z")]
    {
        let key = admin.create_key(&project, json!({"expiry": never})).await;
        assert_eq!(text(&key, "expiry"), expected);
        let path = format!("/api-keys/{}", text(&key, "id"));
        let (_, copy) = admin.get(&path).await;
        let (status, patched) = admin.patch(&path, copy.clone()).await;
        assert_eq!((status, &patched["expiry"]), (200, &copy["expiry"]), "a copy changes nothing");
    }
}

#[tokio::test]
async fn domains_are_accepted_in_any_script_and_stored_as_browsers_send_them() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let domains = json!(["exämple.com", "*.Bücher.example", "https://例え.jp:8443/path"]);
    let key = admin.create_key(&project, json!({"allowedDomains": domains})).await;
    assert_eq!(key["allowedDomains"], json!(["*.xn--bcher-kva.example", "xn--exmple-cua.com", "xn--r8jz45g.jp"]));
    let (status, problem) =
        admin.post("/api-keys", json!({"name": "k", "projectId": project, "allowedDomains": ["exämple com"]})).await;
    assert_eq!((status, code(&problem)), (400, "validation"), "{problem}");
}

#[tokio::test]
async fn nothing_in_a_deleted_project_is_changed_but_it_can_be_revoked() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let (live, off) = (admin.create_key(&project, json!({})).await, admin.create_key(&project, json!({})).await);
    let (live, off) = (format!("/api-keys/{}", text(&live, "id")), format!("/api-keys/{}", text(&off, "id")));
    let (_, access_key) = admin.post("/access-keys", json!({"name": "a", "projectId": project})).await;
    let access_key = format!("/access-keys/{}", text(&access_key, "id"));
    assert_eq!(admin.delete(&off).await.0, 200);
    assert_eq!(admin.delete(&format!("/projects/{project}")).await.0, 200);
    for (method, path, body) in [
        (Method::PATCH, live.clone(), json!({"name": "new"})),
        (Method::POST, format!("{live}/rotate"), json!({})),
        (Method::PATCH, format!("{off}/reactivate"), json!({})),
        (Method::PATCH, access_key.clone(), json!({"name": "new"})),
        (Method::PATCH, format!("/projects/{project}"), json!({"name": "new"})),
    ] {
        let (status, problem) = admin.send(method, &path, Some(body)).await;
        assert_eq!((status, code(&problem)), (409, "conflict"), "{path}: {problem}");
    }
    assert_eq!(admin.get(&live).await.0, 200);
    assert_eq!(admin.delete(&live).await.0, 200);
    assert_eq!(admin.patch(&access_key, json!({"isActive": false})).await.0, 200);
}

#[tokio::test]
async fn if_match_may_list_several_versions() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let path = format!("/projects/{}", admin.create_project().await);
    let found = admin.request(Method::GET, &path).send().await.unwrap();
    let tag = found.headers()["etag"].to_str().unwrap().to_owned();
    let rename = |tags: String| {
        admin.request(Method::PATCH, &path).header("if-match", tags).body(json!({"name": "new"}).to_string())
    };
    assert_eq!(execute(rename("\"1\", \"2\"".to_owned())).await.0, 412);
    assert_eq!(execute(rename(format!("\"1\",{tag} , \"2\""))).await.0, 200);
}
