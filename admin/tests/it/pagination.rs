//! Lists as bare arrays, worked through page by page.

use gatepost_domain::record::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, text};

/// A page of a list, and how its headers say to go on.
struct Page {
    items: Vec<Value>,
    link: Option<String>,
    next: Option<String>,
}

impl Page {
    async fn fetch(caller: &Caller<'_>, path: &str) -> Self {
        let response = caller.request(Method::GET, path).send().await.unwrap();
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (link, next) = (header("link"), header("gatepost-next"));
        let link = link.map(|link| link.strip_suffix(">; rel=\"next\"").unwrap()[1..].to_owned());
        assert_eq!(response.status(), 200, "{path}");
        Self { items: response.json().await.unwrap(), link, next }
    }

    fn names(&self) -> Vec<String> {
        self.items.iter().map(|item| text(item, "name")).collect()
    }
}

/// The names in a list by its links, with what is done after each page.
async fn fetch_all(caller: &Caller<'_>, path: &str, mut between: impl AsyncFnMut(usize)) -> Vec<String> {
    let mut names = Vec::new();
    let mut path = Some(path.to_owned());
    let mut pages = 0;
    while let Some(page_path) = path {
        let page = Page::fetch(caller, &page_path).await;
        names.extend(page.names());
        path = page.link;
        between(pages).await;
        pages += 1;
    }
    names
}

fn numbered_names(name: &str, numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| format!("{name} {number}")).collect()
}

async fn create_keys(caller: &Caller<'_>, project: &str, name: &str, count: u32) -> Vec<Value> {
    let mut made = Vec::new();
    for name in numbered_names(name, 0..count) {
        made.push(caller.create_key(project, json!({"name": name, "customUserId": "a&b <c>€"})).await);
    }
    made
}

#[tokio::test]
async fn keys_are_paged_through_while_others_are_made_revoked_and_their_project_deleted() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let projects = [
        caller.create_project().await,
        caller.create_project().await,
        caller.create_project().await,
        caller.create_project().await,
    ];
    let first = create_keys(&caller, &projects[0], "first", 5).await;
    create_keys(&caller, &projects[1], "ended", 3).await;
    create_keys(&caller, &projects[3], "last", 4).await;
    let names = fetch_all(&caller, "/api-keys?limit=2", async |page| match page {
        0 => assert_eq!(caller.delete(&format!("/api-keys/{}", text(&first[1], "id"))).await.0, 200),
        1 => drop(create_keys(&caller, &projects[3], "new", 1).await),
        2 => assert_eq!(caller.delete(&format!("/projects/{}", projects[1])).await.0, 200),
        _ => {}
    });
    let expected = [
        numbered_names("first", 0..5),
        numbered_names("ended", 0..1),
        numbered_names("last", 0..4),
        numbered_names("new", 0..1),
    ]
    .concat();
    assert_eq!(names.await, expected);

    let filtered = "/api-keys?customUserId=a%26b+%3Cc%3E%E2%82%AC&limit=3&offset=1&isActive=true";
    let page = Page::fetch(&caller, filtered).await;
    assert_eq!(page.names(), ["first 2", "first 3", "first 4"]);
    let link = page.link.unwrap();
    let expected_link = "/api-keys?customUserId=a%26b+%3Cc%3E%E2%82%AC&limit=3&isActive=true&after=";
    assert_eq!(link, format!("{expected_link}{}", page.next.unwrap()));
    assert_eq!(fetch_all(&caller, &link, async |_| ()).await, expected[6..]);
    // Without a limit, all that is left, and nowhere to go on.
    let rest = Page::fetch(&caller, &link.replace("limit=3&", "")).await;
    assert_eq!((rest.names(), rest.link), (expected[6..].to_vec(), None));
}

#[tokio::test]
async fn a_page_that_ends_the_list_or_is_not_limited_has_no_next() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let project = caller.create_project().await;
    create_keys(&caller, &project, "k", 3).await;
    let all = numbered_names("k", 0..3);
    for (query, names, has_next) in [
        ("", &all[..], false),
        ("?limit=", &all[..], false),
        ("?limit=4", &all[..], false),
        ("?limit=3", &all[..], false),
        ("?limit=2", &all[..2], true),
        ("?limit=2&offset=1", &all[1..], false),
        ("?limit=1&offset=1", &all[1..2], true),
        ("?limit=1&name=k%201", &all[1..2], false),
        ("?limit=1&after=undefined", &all[..1], true),
        ("?limit=0", &[], false),
    ] {
        let page = Page::fetch(&caller, &format!("/api-keys{query}")).await;
        assert_eq!((page.names().as_slice(), page.link.is_some()), (names, has_next), "{query}");
        assert_eq!(page.link.is_some(), page.next.is_some());
    }
}

#[tokio::test]
async fn projects_webhooks_and_access_keys_are_paged_through_as_keys_are() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let mut projects = Vec::new();
    for number in 0..5 {
        let project = admin.create_project().await;
        let name = format!("n {number}");
        assert_eq!(admin.patch(&format!("/projects/{project}"), json!({"name": name})).await.0, 200);
        let of_project = if number % 2 == 0 { json!(project) } else { json!(projects.first()) };
        let hook = json!({"name": name, "url": "https://93.184.215.14/", "topics": ["api-key.created"],
            "projectId": of_project});
        assert_eq!(admin.post("/webhooks", hook).await.0, 201);
        assert_eq!(admin.post("/access-keys", json!({"name": name, "projectId": of_project})).await.0, 201);
        projects.push(project);
    }
    admin.delete(&format!("/projects/{}", projects[4])).await;
    let by_links = async |caller: &Caller<'_>, path: &str| fetch_all(caller, path, async |_| ()).await;
    assert_eq!(by_links(&admin, "/projects?limit=1").await, numbered_names("n", 0..4));
    assert_eq!(by_links(&admin, "/webhooks?limit=2").await, numbered_names("n", 0..5));
    assert_eq!(by_links(&admin, "/access-keys?limit=2").await[1..], numbered_names("n", 0..5));
    let own = fixture.caller("a", Some(&projects[0]), Role::Admin).await;
    assert_eq!(by_links(&own, "/projects?limit=1").await, ["n 0"]);
    assert_eq!(by_links(&own, "/webhooks?limit=1").await, ["n 0", "n 1", "n 3"]);
    assert_eq!(by_links(&own, "/access-keys?limit=1").await, ["n 0", "n 1", "n 3", "test"]);
    assert_eq!(Page::fetch(&own, "/webhooks?limit=1&offset=2").await.names(), ["n 3"]);
    assert_eq!(Page::fetch(&own, "/accounts?limit=1").await.names(), ["a"]);
}

#[tokio::test]
async fn a_cursor_is_valid_only_for_its_list() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (project, other) = (admin.create_project().await, admin.create_project().await);
    create_keys(&admin, &project, "k", 3).await;
    let id = text(&Page::fetch(&admin, "/api-keys").await.items[0], "id");
    let next = async |path: &str| Page::fetch(&admin, path).await.next.unwrap();
    let of_project = next(&format!("/api-keys?limit=1&projectId={project}")).await;
    let of_all = next("/api-keys?limit=1").await;
    assert_eq!(of_all, next("/api-keys?limit=1").await, "the same place is the same cursor");
    assert!(of_all.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')), "{of_all}");

    let project_viewer = fixture.caller("a", Some(&project), Role::Viewer).await;
    assert_eq!(Page::fetch(&project_viewer, &format!("/api-keys?after={of_project}")).await.names(), ["k 1", "k 2"]);
    let other_project = fixture.caller("a", Some(&other), Role::Admin).await;
    let other_account = fixture.caller("b", None, Role::Admin).await;
    let cut = &of_all[..of_all.len() - 1];
    for (caller, path) in [
        (&admin, format!("/api-keys?after={of_project}")),
        (&admin, format!("/api-keys?after={of_all}&projectId={project}")),
        (&admin, format!("/api-keys?after={of_project}&projectId={other}")),
        (&admin, format!("/projects?after={of_all}")),
        (&admin, format!("/accounts?after={of_all}")),
        (&admin, format!("/api-keys?after={cut}")),
        (&admin, format!("/webhooks?after={id}")),
        (&admin, "/access-keys?limit=5&after=1860000000000000000".to_owned()),
        (&project_viewer, format!("/api-keys?after={of_all}")),
        (&other_project, format!("/api-keys?after={of_project}")),
        (&other_project, format!("/api-keys?after={of_all}")),
        (&other_account, format!("/api-keys?after={of_all}")),
    ] {
        let (status, problem) = caller.get(&path).await;
        assert_eq!((status, code(&problem)), (400, "validation"), "{path}: {problem}");
        assert!(text(&problem, "detail").starts_with("after: is no cursor of this list: send one"), "{problem}");
    }
    for list in ["accounts", "api-keys", "projects", "webhooks", "access-keys"] {
        let (status, problem) = admin.get(&format!("/{list}?after={of_all}&offset=0")).await;
        assert_eq!((status, code(&problem)), (400, "validation"), "{list}");
        assert!(text(&problem, "detail").starts_with("offset: cannot stand beside after"), "{problem}");
        assert_eq!(admin.get(&format!("/{list}?limit=1001")).await.0, 400, "{list}");
    }
}
