//! The import of keys for a caller.

use std::ops::ControlFlow;

use gatepost_admin::{FileFormat, FileItem, parse_import_row, read_import_file};
use gatepost_control_plane::{
    Caller as UseCaseCaller, Failure, ImportFault, ImportOptions, ImportProgress, MAX_IMPORT_FAULTS, MemberPolicy,
    Notify, NumberedRow, Precondition, RequestContext, RunMode,
};
use gatepost_domain::record::Role;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::fixture::{Caller, Fixture, text};

async fn context(fixture: &Fixture, caller: &Caller<'_>) -> RequestContext {
    let address = "192.0.2.1".parse().unwrap();
    let caller: UseCaseCaller = fixture.control_plane.authenticate_caller(&caller.access_key, address).await.unwrap();
    RequestContext {
        caller,
        address: Some(address),
        request_id: "req_test".to_owned(),
        precondition: Precondition::None,
        members: MemberPolicy::default(),
        idempotency: None,
    }
}

async fn import(
    fixture: &Fixture,
    caller: &Caller<'_>,
    project: Option<&str>,
    mode: RunMode,
    rows: &[Value],
) -> Result<ImportProgress, Failure> {
    let (sender, receiver) = mpsc::channel(rows.len().max(1));
    for (number, row) in (1..).zip(rows) {
        let row = parse_import_row(row.clone()).map_err(|failure| failure.to_string());
        assert!(sender.try_send(NumberedRow { number, row }).is_ok());
    }
    drop(sender);
    let options = ImportOptions { project: project.map(str::to_owned), notify: Notify::Nobody, mode };
    let (mut reports, mut last) = (0, ImportProgress::default());
    let report = |progress: &ImportProgress| {
        reports += 1;
        last = progress.clone();
    };
    let context = context(fixture, caller).await;
    let outcome = fixture.control_plane.import_keys(&context, options, receiver, report).await?;
    assert_eq!((reports, &last), (rows.len(), &outcome));
    Ok(outcome)
}

fn counts(progress: &ImportProgress) -> (u64, u64, u64) {
    (progress.created, progress.already_exist, progress.refused)
}

#[tokio::test]
async fn a_caller_imports_into_its_projects_under_its_own_name() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (project, other) = (admin.create_project().await, admin.create_project().await);
    let stranger = fixture.caller("b", None, Role::Admin).await;
    let foreign = stranger.create_project().await;
    stranger.create_key(&foreign, json!({"key": "taken-by-a-stranger"})).await;
    let rows = [
        json!({"name": "one", "key": "imported-value-one"}),
        json!({"name": "two", "key": "imported-value-two", "projectId": other}),
        json!({"name": "three", "key": "imported-value-three", "projectId": foreign}),
        json!({"name": "four", "key": "taken-by-a-stranger"}),
        json!({"name": "five", "key": 5}),
    ];
    let run = async |mode| import(&fixture, &admin, Some(&project), mode, &rows).await.unwrap();
    let dry = run(RunMode::DryRun).await;
    assert_eq!(counts(&dry), (2, 0, 3));
    assert_eq!(admin.get("/api-keys").await.1, json!([]), "nothing is written");
    let twice = [rows[0].clone(), rows[0].clone()];
    let twice = import(&fixture, &admin, Some(&project), RunMode::DryRun, &twice).await.unwrap();
    assert_eq!(counts(&twice), (1, 1, 0), "the second row finds the key of the first");
    let done = run(RunMode::Apply).await;
    assert_eq!(done, dry);
    let faults: Vec<(u64, &str)> =
        done.faults.iter().map(|ImportFault { row, reason }| (*row, reason.as_str())).collect();
    let no_project = format!("projectId: there is no active project {foreign}");
    assert_eq!(
        faults,
        [
            (3, no_project.as_str()),
            (4, "key: another key has or had this value"),
            (5, "key: must be a string, or null"),
        ]
    );
    assert_eq!(counts(&run(RunMode::Apply).await), (0, 2, 3), "a repeated import changes nothing");

    let (_, access_keys) = admin.get("/access-keys").await;
    let (_, page) = admin.get("/events?order=desc&limit=2").await;
    for event in page["events"].as_array().unwrap() {
        assert_eq!(event["type"], "api-key.imported");
        let actor = json!({"type": "ACCESS_KEY", "id": access_keys[0]["id"], "address": "192.0.2.1"});
        assert_eq!(event["actor"], actor);
    }
    let (_, found) = admin.post("/api-keys/search", json!({"query": "imported-value-two"})).await;
    assert_eq!(found["apiKeys"][0]["projectId"], other.as_str());
}

#[tokio::test]
async fn only_admins_import_and_only_into_what_they_see() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (project, other) = (admin.create_project().await, admin.create_project().await);
    let row = [json!({"name": "one", "key": "imported-value-one"})];
    let run = async |caller: &Caller<'_>, project: Option<&str>| match import(
        &fixture,
        caller,
        project,
        RunMode::Apply,
        &row,
    )
    .await
    {
        Ok(progress) => format!("{:?}", counts(&progress)),
        Err(Failure::Refused(problem)) => problem.code.code().to_owned(),
        Err(failure) => failure.to_string(),
    };
    let user = fixture.caller("a", None, Role::User).await;
    let stranger = fixture.caller("b", None, Role::Admin).await;
    let of_project = fixture.caller("a", Some(&project), Role::Admin).await;
    assert_eq!(run(&user, Some(&project)).await, "forbidden");
    assert_eq!(run(&stranger, Some(&project)).await, "not-found");
    assert_eq!(run(&of_project, Some(&other)).await, "not-found");
    assert_eq!(run(&admin, None).await, "(0, 0, 1)", "an account has several projects");
    assert_eq!(run(&of_project, None).await, "(1, 0, 0)");
    let (_, keys) = admin.get("/api-keys").await;
    assert_eq!(text(&keys[0], "projectId"), project);
    assert_eq!(run(&admin, Some(&other)).await, "(0, 1, 0)");
}

#[tokio::test]
async fn the_first_thousand_refused_rows_are_reported() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let rows: Vec<Value> = (0..1050).map(|_| json!({"name": "n"})).collect();
    let progress = import(&fixture, &admin, Some(&project), RunMode::Apply, &rows).await.unwrap();
    assert_eq!(counts(&progress), (0, 0, 1050));
    let numbers: Vec<u64> = progress.faults.iter().map(|fault| fault.row).collect();
    assert_eq!(numbers, (1..=MAX_IMPORT_FAULTS as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_file_is_read_row_by_row() {
    let read = |format, file: &str| {
        let mut rows = Vec::new();
        let send = |item: FileItem| {
            let row =
                item.into_row().map(|row| (row.number, row.row.map(|key| key.sha256).map_err(|why| why.len() > 5)));
            rows.extend(row);
            ControlFlow::Continue(())
        };
        read_import_file(file.as_bytes(), format, send).map(|()| rows).map_err(|error| error.to_string())
    };
    let hash = Some("aa".to_owned());
    let csv = "\u{feff}name,sha256\nn,aa\nn\nn,aa\n";
    assert_eq!(read(FileFormat::Csv, csv), Ok(vec![(1, Ok(hash.clone())), (2, Err(true)), (3, Ok(hash.clone()))]));
    let json = r#"[{"sha256": "aa"}, {"sha256": 5}]"#;
    assert_eq!(read(FileFormat::Json, json), Ok(vec![(1, Ok(hash.clone())), (2, Err(true))]));
    let lines = "{\"sha256\": \"aa\"}\n{\"sha256\": \"aa\"}\n";
    assert_eq!(read(FileFormat::Json, lines), Ok(vec![(1, Ok(hash.clone())), (2, Ok(hash))]));
    let no_columns = "the first line must name the columns, one of them key or sha256";
    assert_eq!(read(FileFormat::Csv, "name\nn\n"), Err(no_columns.to_owned()));
    assert_eq!(read(FileFormat::Json, "[{]"), Err("invalid JSON at line 1, column 3".to_owned()));
}

#[tokio::test]
async fn a_key_that_has_expired_is_refused_unless_it_was_imported_before() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let soon = fixture.control_plane.now().plus(std::time::Duration::from_secs(60)).to_string();
    let rows = [
        json!({"name": "later", "key": "expires-in-a-minute", "expiry": soon}),
        json!({"name": "ended", "key": "expired-long-ago", "expiry": "2001-01-01"}),
    ];
    let run = async |mode| import(&fixture, &admin, Some(&project), mode, &rows).await.unwrap();
    for mode in [RunMode::DryRun, RunMode::Apply] {
        let done = run(mode).await;
        assert_eq!(counts(&done), (1, 0, 1));
        assert_eq!(done.faults[0].reason, "expiry: is in the past");
    }
    fixture.advance(std::time::Duration::from_secs(61));
    assert_eq!(counts(&run(RunMode::Apply).await), (0, 1, 1), "it expired after it was imported");
}
