//! Lists of keys: their columns.

use gatepost_domain::record::Role;
use serde_json::json;

use super::browser::Browser;
use crate::fixture::Fixture;

/// Returns the row of a table that has a text.
fn row<'a>(page: &'a str, part: &str) -> &'a str {
    page.split("<tr>").find(|row| row.contains(part)).unwrap_or_else(|| panic!("{part} in {page}"))
}

/// Returns the cells of a row without their markup.
fn cells(row: &str) -> Vec<String> {
    let texts = |cell: &str| cell.split('<').map(|part| part.rsplit('>').next().unwrap()).collect::<Vec<_>>().join("|");
    let cells = row.split("<td>").skip(1).map(|cell| texts(cell.split("</td>").next().unwrap()));
    cells.map(|cell| cell.trim_matches('|').replace("||", "|")).collect()
}

#[tokio::test]
async fn a_key_is_listed_with_its_user_limits_and_expiry() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let limited = json!({
        "name": "limited", "customAccountId": "customer-1", "customUserId": "<i>user</i>", "rateLimit": 1000,
        "rateLimitTtl": 60, "quota": {"limit": 50_000, "period": "month"}, "expiry": "2099-01-01T00:00:00Z",
    });
    admin.create_key(&project, limited).await;
    admin.create_key(&project, json!({"name": "plain"})).await;
    admin.create_key(&project, json!({"name": "of a user", "customUserId": "user-7"})).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    for path in [format!("/projects/{project}/keys"), format!("/projects/{project}")] {
        let page = browser.get(&format!("/dashboard{path}")).await.body;
        let columns = ["Name", "Key", "State", "Customer and user", "Limits", "Last used", "Expires", "Created"];
        let heads = columns.map(|column| format!("<th scope=\"col\">{column}</th>")).concat();
        assert!(page.contains(&heads), "{page}");
        let limited = row(&page, "limited</a>");
        assert!(limited.contains("datetime=\"2099-01-01T00:00:00.000Z\""), "{limited}");
        let limited = cells(limited);
        assert_eq!(limited[2], "customer-1|&lt;i&gt;user&lt;/i&gt;", "{limited:?}");
        assert_eq!(limited[3], "1\u{202f}000 in 1 min|50\u{202f}000 a month", "{limited:?}");
        assert!(limited[5].starts_with("in "), "{limited:?}");
        assert_eq!(cells(row(&page, "plain</a>"))[1..6], ["Active", "–", "–", "–", "–"]);
        assert_eq!(cells(row(&page, "of a user</a>"))[2], "–|user-7");
    }
}
