//! The search for keys.

use gatepost_domain::record::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, execute, text};

async fn run_search(caller: &Caller<'_>, search: Value) -> Value {
    let (status, found) = caller.post("/api-keys/search", search.clone()).await;
    assert_eq!(status, 200, "{search}: {found}");
    found
}

fn names(found: &Value) -> Vec<String> {
    found["apiKeys"].as_array().unwrap().iter().map(|key| text(key, "name")).collect()
}

async fn search_names(caller: &Caller<'_>, query: &str) -> Vec<String> {
    let found = run_search(caller, json!({"query": query})).await;
    assert_eq!(found["hasMore"], false, "{found}");
    names(&found)
}

/// What is found from a search on, page by page.
async fn search_all(caller: &Caller<'_>, mut search: Value, mut between: impl AsyncFnMut(usize)) -> Vec<String> {
    let mut all = Vec::new();
    for page in 0.. {
        let found = run_search(caller, search.clone()).await;
        all.extend(names(&found));
        if found["hasMore"] == false {
            break;
        }
        search["after"] = found["next"].clone();
        between(page).await;
    }
    all
}

#[tokio::test]
async fn a_key_is_found_by_value_id_mask_name_and_customer_ids() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let viewer = fixture.caller("a", None, Role::Viewer).await;
    let project = admin.create_project().await;
    let further = json!({"name": "Zoë's Straße", "customAccountId": "ACME-17", "customUserId": "jane@example.com"});
    let key = admin.create_key(&project, further).await;
    let chosen = admin.create_key(&project, json!({"name": "chosen", "key": "my-own-value-of-it"})).await;
    admin.create_key(&project, json!({"name": "none of them"})).await;
    let (value, mask, id) = (text(&key, "key"), text(&key, "maskedKey"), text(&key, "id"));
    for query in [
        "Zoë's Straße",
        "ZOË",
        "strasse",
        "  's str\n",
        "acme",
        "ACME-17",
        "jane@",
        "EXAMPLE.com",
        &id,
        &value,
        &mask,
        &mask.replace('…', "..."),
        &mask[mask.len() - 4..],
    ] {
        assert_eq!(search_names(&viewer, query).await, ["Zoë's Straße"], "{query}");
    }
    for query in ["zoe", &id[..20], &value[..40], &value[20..], &mask[..6], &format!("{value}x"), "key_00none", "null"]
    {
        assert_eq!(search_names(&viewer, query).await, Vec::<String>::new(), "{query}");
    }
    assert_eq!(search_names(&viewer, mask.split('…').next().unwrap()).await.last().unwrap(), "Zoë's Straße");
    assert_eq!(search_names(&viewer, "my-own-value-of-it").await, ["chosen"]);

    let by_value = run_search(&viewer, json!({"query": text(&chosen, "key")})).await;
    let (_, by_id) = viewer.get(&format!("/api-keys/{}", text(&chosen, "id"))).await;
    assert_eq!(by_value["apiKeys"], json!([by_id]), "masked as in lists");
    assert!(!by_value.to_string().contains("my-own-value"), "{by_value}");
    let (_, by_id) = viewer.get(&format!("/api-keys/{id}")).await;
    assert_eq!(by_id["firstUsedAt"], Value::Null, "it was not used");
}

#[tokio::test]
async fn values_that_were_revoked_or_still_work_find_their_key_and_others_do_not() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let revoked = admin.create_key(&project, json!({"name": "revoked"})).await;
    admin.delete(&format!("/api-keys/{}", text(&revoked, "id"))).await;
    assert_eq!(search_names(&admin, &text(&revoked, "key")).await, ["revoked"]);

    let rotated = admin.create_key(&project, json!({"name": "rotated"})).await;
    let path = format!("/api-keys/{}/rotate", text(&rotated, "id"));
    let (_, new) = admin.post(&path, json!({"overlapSeconds": 60})).await;
    for value in [&rotated, &new] {
        assert_eq!(search_names(&admin, &text(value, "key")).await, ["rotated"]);
    }
    fixture.advance(std::time::Duration::from_secs(61));
    assert_eq!(search_names(&admin, &text(&rotated, "key")).await, Vec::<String>::new());
    assert_eq!(search_names(&admin, &text(&new, "key")).await, ["rotated"]);
    assert_eq!(search_names(&admin, &admin.access_key).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_search_sees_what_the_list_shows() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (project, other) = (admin.create_project().await, admin.create_project().await);
    let key = admin.create_key(&project, json!({"name": "one"})).await;
    admin.create_key(&other, json!({"name": "one other"})).await;
    let own = fixture.caller("a", Some(&project), Role::Viewer).await;
    let other_project = fixture.caller("a", Some(&other), Role::Admin).await;
    let other_account = fixture.caller("b", None, Role::Admin).await;
    assert_eq!(search_names(&admin, "one").await, ["one other", "one"], "of the newer project first");
    assert_eq!(search_names(&own, "one").await, ["one"]);
    assert_eq!(search_names(&other_project, "one").await, ["one other"]);
    assert_eq!(search_names(&other_account, "one").await, Vec::<String>::new());
    for query in [text(&key, "id"), text(&key, "key"), text(&key, "maskedKey")] {
        assert_eq!(search_names(&own, &query).await, ["one"]);
        assert_eq!(search_names(&other_project, &query).await, Vec::<String>::new());
        assert_eq!(search_names(&other_account, &query).await, Vec::<String>::new());
        let in_other = run_search(&admin, json!({"query": query, "projectId": other})).await;
        assert_eq!(in_other["apiKeys"], json!([]));
        let (status, _) = other_project.post("/api-keys/search", json!({"query": query, "projectId": project})).await;
        assert_eq!(status, 404);
    }
    admin.delete(&format!("/projects/{project}")).await;
    assert_eq!(search_names(&admin, "one").await, ["one other"]);
    assert_eq!(search_names(&admin, &text(&key, "key")).await, Vec::<String>::new());
    let in_it = run_search(&admin, json!({"query": text(&key, "key"), "projectId": project})).await;
    assert_eq!(names(&in_it), ["one"]);
}

#[tokio::test]
async fn results_are_paged_through_from_the_newest_on() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (first, second) = (admin.create_project().await, admin.create_project().await);
    let mut made = Vec::new();
    for number in 0..4 {
        made.push(admin.create_key(&first, json!({"name": format!("Key {number}")})).await);
        admin.create_key(&first, json!({"name": "other"})).await;
    }
    for number in 4..6 {
        admin.create_key(&second, json!({"name": format!("Key {number}")})).await;
    }
    let all = ["Key 5", "Key 4", "Key 3", "Key 2", "Key 1", "Key 0"];
    let names = search_all(&admin, json!({"query": "key ", "limit": 2}), async |page| match page {
        0 => drop(admin.create_key(&first, json!({"name": "other"})).await),
        1 => assert_eq!(admin.delete(&format!("/api-keys/{}", text(&made[1], "id"))).await.0, 200),
        _ => {}
    });
    assert_eq!(names.await, all, "revoked keys are found as well");

    // The key that is named comes first, and once, also if its value is another's meanwhile.
    let rename = admin.create_key(&first, json!({"name": "named by Key 1", "key": "Key-1-as-value"})).await;
    admin.create_key(&first, json!({"name": "of Key-1-as-value"})).await;
    let names = search_all(&admin, json!({"query": "Key-1-as-value", "limit": 1}), async |_| {
        let change = json!({"name": "of Key-1-as-value too", "key": "another-value-now"});
        assert_eq!(admin.patch(&format!("/api-keys/{}", text(&rename, "id")), change).await.0, 200);
    });
    assert_eq!(names.await, ["named by Key 1", "of Key-1-as-value"]);
    let one = run_search(&admin, json!({"query": "key", "limit": 1})).await;
    for (search, detail) in [
        (json!({"query": "other", "after": one["next"]}), "after: is no cursor of this list"),
        (json!({"query": "key", "projectId": first, "after": one["next"]}), "after: is no cursor of this list"),
        (json!({"query": "key", "after": "18600"}), "after: is no cursor of this list"),
    ] {
        let (status, problem) = admin.post("/api-keys/search", search.clone()).await;
        assert_eq!((status, code(&problem)), (400, "validation"), "{search}");
        assert!(text(&problem, "detail").starts_with(detail), "{problem}");
    }
}

#[tokio::test]
async fn a_search_ends_after_so_many_keys_and_goes_on_from_there() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    // A project without keys costs a read as well.
    for _ in 0..401 {
        admin.create_project().await;
    }
    let first = run_search(&admin, json!({"query": "k"})).await;
    assert_eq!((&first["apiKeys"], &first["hasMore"]), (&json!([]), &json!(true)));
    let second = run_search(&admin, json!({"query": "k", "after": first["next"]})).await;
    assert_eq!((&second["apiKeys"], &second["hasMore"]), (&json!([]), &json!(false)));
}

#[tokio::test]
async fn an_invalid_search_is_refused_and_never_replayed() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    for (search, detail) in [
        (json!({}), "query: is missing"),
        (json!({"query": " "}), "query: must not be empty"),
        (json!({"query": "é".repeat(513)}), "query: has more than 512 characters"),
        (json!({"query": "k", "limit": 0}), "limit: must be a number from 1 to 1000"),
        (json!({"query": "k", "limit": 1001}), "limit: must be a number from 1 to 1000"),
        (json!({"query": "k", "limits": 5}), "limits: unknown member; a similar known one is limit"),
        (json!({"q": "my-secret-value"}), "q: unknown member"),
        (json!({"query": ["my-secret-value"]}), "query: must be a string"),
    ] {
        let (status, problem) = admin.post("/api-keys/search", search.clone()).await;
        assert_eq!((status, code(&problem)), (400, "validation"), "{search}");
        assert!(text(&problem, "detail").starts_with(detail), "{detail}: {problem}");
        assert!(!problem.to_string().contains("my-secret-value"), "{problem}");
    }
    assert_eq!(run_search(&admin, json!({"query": "é".repeat(512)})).await["apiKeys"], json!([]));
    assert_eq!(admin.get("/api-keys/search").await.0, 405);
    let count_found = async || {
        let search = json!({"query": "k", "limit": null, "after": null, "projectId": null}).to_string();
        let request = admin.request(Method::POST, "/api-keys/search").body(search);
        let (status, found) = execute(request.header("idempotency-key", "same")).await;
        assert_eq!(status, 200, "{found}");
        names(&found).len()
    };
    assert_eq!(count_found().await, 0);
    admin.create_key(&project, json!({})).await;
    assert_eq!(count_found().await, 1, "a search is made again each time");
}
