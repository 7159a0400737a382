//! The import of keys by upload in a browser.

use gatepost_domain::record::Role;
use serde_json::json;

use super::browser::{Browser, Page};
use crate::fixture::{Fixture, text};

const PATH: &str = "/dashboard/import";

/// Follows a run until it has ended, as the page does by itself.
async fn wait_until_ended(browser: &mut Browser<'_>, started: &Page) -> (String, String) {
    assert_eq!(started.status, 303, "{}", started.body);
    let path = started.location().to_owned();
    loop {
        let page = browser.get(&path).await;
        assert_eq!(page.status, 200, "{}", page.body);
        if !page.body.contains("The page follows the progress") {
            return (path, page.body);
        }
        tokio::task::yield_now().await;
    }
}

/// Returns the number beside a name in the list of facts.
fn fact(page: &str, name: &str) -> u64 {
    let value =
        page.split(&format!("<dt>{name}</dt><dd><strong>")).nth(1).unwrap_or_else(|| panic!("{name} in {page}"));
    value.split('<').next().unwrap().replace('\u{202f}', "").parse().unwrap()
}

#[tokio::test]
async fn a_file_is_tried_first_and_imported_once_however_often_it_is_sent() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let mut rows = String::from("key,name,projectId,colour\n");
    for number in 0..2000 {
        rows.push_str(&format!("imported-value-{number},number {number},,red\n"));
    }
    rows.push_str(
        "short,too short,,\nimported-value-x,elsewhere,prj_00nothing,\nimported-value-y,one,column,too,many\n",
    );
    let fields = [("projectId", project.as_str())];
    let uploaded = browser.upload(PATH, &fields, "<b>keys</b>.csv", rows.as_bytes()).await;
    let (path, page) = wait_until_ended(&mut browser, &uploaded).await;
    let counts = |page: &str, created: &str| [created, "Exist already", "Refused"].map(|name| fact(page, name));
    assert_eq!(counts(&page, "Would be created"), [2000, 0, 3], "{page}");
    assert!(page.contains("Import 2\u{202f}000 keys") && page.contains("&lt;b&gt;keys&lt;/b&gt;.csv"), "{page}");
    for what in ["colour", ">2001<", ">2002<", ">2003<", "there is no active project prj_00nothing"] {
        assert!(page.contains(what), "{what} in {page}");
    }
    assert!(!page.contains("imported-value"), "no value is shown");
    assert_eq!(admin.get("/api-keys").await.1, json!([]), "nothing is written by the trial");

    let applied = browser.post(&path, &[]).await;
    let (_, page) = wait_until_ended(&mut browser, &applied).await;
    assert_eq!(counts(&page, "Created"), [2000, 0, 3], "{page}");
    let (_, found) = admin.post("/api-keys/search", json!({"query": "imported-value-1999"})).await;
    assert_eq!(text(&found["apiKeys"][0], "name"), "number 1999");
    let again = browser.post(&path, &[]).await;
    let (_, page) = wait_until_ended(&mut browser, &again).await;
    assert_eq!(counts(&page, "Created"), [0, 2000, 3], "{page}");

    let (_, other) = admin.post("/access-keys", json!({"name": "other", "role": "admin"})).await;
    browser.sign_in(&text(&other, "key")).await;
    assert_eq!(browser.get(&path).await.status, 404, "only who sent a file sees it");
    assert_eq!(browser.post(&path, &[]).await.status, 404);
}

#[tokio::test]
async fn files_that_cannot_be_read_are_explained() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    for (fields, file, fault) in [
        (&[][..], &b""[..], "<div class=\"fault-summary\" role=\"alert\"><p>The file is empty."),
        (&[("projectId", "prj_00nothing")][..], b"key\nabc", "there is no such project"),
    ] {
        let page = browser.upload(PATH, fields, "keys.csv", file).await;
        assert!(matches!(page.status, 404 | 422), "{fault}: {}", page.status);
        assert!(page.body.to_lowercase().contains(&fault.to_lowercase()), "{fault}: {}", page.body);
    }
    let large = vec![b'x'; 64 * 1024 * 1024 + 1];
    let page = browser.upload(PATH, &[], "keys.csv", &large).await;
    assert_eq!(page.status, 413);
    assert!(page.body.contains("has more than 64 MiB"), "{}", page.body);
    for (file, fault) in [
        ("name,colour\nx,red\n", "one of them key or sha256"),
        ("[{\"key\": \"imported-value-1\"},", "invalid JSON at line 1"),
    ] {
        let uploaded = browser.upload(PATH, &[("projectId", &project)], "keys", file.as_bytes()).await;
        let (_, page) = wait_until_ended(&mut browser, &uploaded).await;
        assert!(page.contains("It ended early:") && page.contains(fault), "{fault}: {page}");
        assert!(
            !page.contains("imported-value") && !page.contains("<form method=\"post\" action=\"/dashboard/import/")
        );
    }
}

#[tokio::test]
async fn old_files_make_room_for_new_ones() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let mut paths = Vec::new();
    for number in 0..4 {
        let row = format!("{{\"key\": \"imported-value-{number}\", \"name\": \"n\"}}");
        let uploaded = browser.upload(PATH, &[("projectId", &project)], "keys.jsonl", row.as_bytes()).await;
        let (path, page) = wait_until_ended(&mut browser, &uploaded).await;
        assert_eq!(fact(&page, "Would be created"), 1);
        paths.push(path);
    }
    let mut statuses = Vec::new();
    for path in &paths {
        statuses.push(browser.get(path).await.status);
    }
    assert_eq!(statuses, [404, 404, 200, 200], "an account keeps two files");
}

/// Returns the rows of a file.
fn rows(file: &Page) -> Vec<Vec<String>> {
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"refused-rows.csv\"");
    let text = file.body.strip_prefix('\u{feff}').expect("spreadsheets recognise UTF-8 by it");
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

#[tokio::test]
async fn refused_rows_are_a_file_which_says_if_there_are_more() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    for (refused, shown, hint) in [
        (3, 3, "<p class=\"hint\">Rows are counted"),
        (150, 100, "These are the first 100, and the file has all. "),
        (1200, 100, "These are the first 100, and the file has the first 1\u{202f}000. "),
    ] {
        let mut sent = String::from("key,name\nimported-value-0,good\n");
        sent.extend((0..refused).map(|number| format!("imported-value-{number},twice,surplus\n")));
        let uploaded = browser.upload(PATH, &[("projectId", &project)], "keys.csv", sent.as_bytes()).await;
        let (path, page) = wait_until_ended(&mut browser, &uploaded).await;
        assert_eq!(fact(&page, "Refused"), refused);
        assert!(page.contains(hint), "{hint} in {page}");
        assert_eq!(page.split("<td class=\"wrap\">").count() - 1, shown);
        let link = format!("{path}/refused.csv");
        assert!(page.contains(&link), "{page}");
        let file = browser.get(&link).await;
        assert!(!file.body.contains("imported-value"), "no value is in the file");
        let rows = rows(&file);
        assert_eq!(rows[0], ["row", "reason"]);
        let listed = usize::try_from(refused).unwrap().min(1000);
        let numbers: Vec<&str> = rows[1..=listed].iter().map(|row| row[0].as_str()).collect();
        assert_eq!(numbers, (2..listed + 2).map(|number| number.to_string()).collect::<Vec<_>>());
        assert!(rows[1][1].contains("columns") || rows[1][1].contains("fields"), "{:?}", rows[1]);
        let rest: Vec<&str> = rows[listed + 1..].iter().map(|row| row[0].as_str()).collect();
        let more = ["Not complete: these are the first of 1200 refused rows."];
        assert_eq!(rest, if refused > 1000 { &more[..] } else { &[] });
    }
}
