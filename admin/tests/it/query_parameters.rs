//! Query parameters of the lists that the hosted product does not have: unknown, repeated and empty ones are refused.

use gatepost_domain::record::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, text};

/// Lists that clients of the hosted product call, with whatever parameters.
const HOSTED: [&str; 7] = [
    "/accounts",
    "/access-keys",
    "/analytics/api-key-totals",
    "/analytics/project-totals",
    "/api-keys",
    "/projects",
    "/webhooks",
];

/// Returns the paths of the document that have query parameters, each with the names of these.
fn lists() -> Vec<(String, Vec<String>)> {
    let document: Value = serde_json::from_str(&gatepost_admin::openapi_json()).unwrap();
    let names = |operation: &Value| {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let of_query = parameters.filter(|parameter| parameter["in"] == "query");
        of_query.map(|parameter| text(parameter, "name")).collect::<Vec<_>>()
    };
    let paths = document["paths"].as_object().unwrap().iter();
    let lists = paths.map(|(path, operations)| (path.clone(), names(&operations["get"])));
    lists.filter(|(_, names)| !names.is_empty()).collect()
}

async fn refusal(caller: &Caller<'_>, path: &str) -> String {
    let (status, problem) = caller.get(path).await;
    assert_eq!((status, code(&problem)), (400, "validation"), "{path}: {problem}");
    text(&problem, "detail")
}

#[tokio::test]
async fn every_list_of_ours_refuses_parameters_that_it_would_ignore() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let key = text(&admin.create_key(&project, json!({})).await, "id");
    let hook = json!({"name": "w", "url": "https://93.184.215.14/", "topics": ["api-key.created"]});
    let webhook = text(&admin.post("/webhooks", hook).await.1, "id");
    let lists = lists();
    let ours: Vec<_> = lists.iter().filter(|(path, _)| !HOSTED.contains(&path.as_str())).collect();
    assert!(ours.len() >= 6, "{ours:?}");
    for (path, names) in ours {
        let path = path.replace("{id}", &webhook).replace("{key}", &key);
        for name in names {
            let misspelt = format!("{name}s");
            let detail = refusal(&admin, &format!("{path}?{misspelt}=x")).await;
            assert!(detail.starts_with(&format!("{misspelt}: unknown query parameter; ")), "{path}: {detail}");
            assert!(detail.contains(name), "{path}: {detail}");
            let detail = refusal(&admin, &format!("{path}?{name}=a&{name}=b")).await;
            assert_eq!(detail, format!("{name}: is given more than once; only one value is possible"), "{path}");
        }
        if names.iter().any(|name| name == "limit") {
            let detail = refusal(&admin, &format!("{path}?limit=0")).await;
            assert!(detail.starts_with("limit: must be a whole number from 1 to "), "{path}: {detail}");
        }
    }
    let detail = refusal(&admin, "/events?surelyUnknown=1").await;
    assert!(detail.starts_with("surelyUnknown: unknown query parameter; known are order, after, "), "{detail}");
}

#[tokio::test]
async fn hosted_lists_and_lenient_requests_ignore_unknown_parameters() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    for path in HOSTED {
        let path = format!("{path}?0=P&1=R&projectId={project}&projectId={project}&dateGrouping=day");
        assert_eq!(admin.get(&path).await.0, 200, "{path}");
    }
    let lenient = admin.request(Method::GET, "/events?surelyUnknown=1").header("prefer", "handling=lenient");
    let response = lenient.send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["gatepost-ignored"]),
        (200, &"surelyUnknown".parse().unwrap())
    );
}
