//! `gatepost check --store`: a report on a Redis, before there is a store.

use std::path::Path;

use gatepost_test_support::RedisServer;

use crate::listen::outcome;
use crate::process::{EMPTY_DIRECTORY, MASTER_KEY, command};

const ACL: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/redis/gatepost.acl"));
const PASSWORD: &str = "CHANGE-ME";

/// Runs the check without a master key.
fn check(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = command(Path::new(EMPTY_DIRECTORY), &[&["check"], arguments].concat());
    command.env_remove("GATEPOST_MASTER_KEY").envs(variables.iter().copied());
    outcome(&command.output().unwrap())
}

#[test]
fn a_redis_is_tried_without_store_and_master_key_and_the_report_has_no_password() {
    let redis = RedisServer::start_with_acl(ACL);
    let url = redis.url().replacen("://", &format!("://gatepost:{PASSWORD}@"), 1);
    for (arguments, variables) in
        [(vec!["--store", &url], vec![]), (vec!["--store"], vec![("GATEPOST_STORE__URL", url.as_str())])]
    {
        let (code, stdout, stderr) = check(&arguments, &variables);
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        assert!(
            stdout.contains(", standalone, without TLS") && stdout.contains("67 of 67 operations work"),
            "{stdout}"
        );
        assert!(stdout.contains("ok      commit\n") && !stdout.contains("FAILED"), "{stdout}");
        assert!(stdout.contains("all keys of the trial were removed"), "{stdout}");
        assert!(!stdout.contains(PASSWORD) && !stderr.contains(PASSWORD), "{stdout}{stderr}");
    }
    assert_eq!(redis.redis_cli(&["keys", "*"]), "");
}

#[test]
fn an_operation_that_fails_is_reported_with_what_to_do_and_fails_the_check() {
    let redis = RedisServer::start_with_acl(&ACL.replace(" +xadd", ""));
    let url = redis.url().replacen("://", &format!("://gatepost:{PASSWORD}@"), 1);
    let (code, stdout, stderr) = check(&["--store", &url], &[]);
    assert_eq!(code, Some(1), "{stdout}");
    let denied = "FAILED  commit: store refused: the Redis user gatepost may not run the command xadd";
    assert!(
        stdout.contains(denied) && stdout.contains(" others were not tried: they need one that failed"),
        "{stdout}"
    );
    assert!(stderr.contains("the store failed its trial: see the report"), "{stderr}");
}

#[test]
fn the_report_on_a_server_that_does_not_respond_is_short() {
    for (url, advice) in
        [("redis://127.0.0.1:1", "not overloaded?]"), ("rediss://127.0.0.1:1", "speak TLS at this port?]")]
    {
        let (code, stdout, _) = check(&["--store", url], &[]);
        let lines: Vec<&str> = stdout.lines().skip(1).take(3).collect();
        assert!(code == Some(1) && lines[0].starts_with("FAILED  connect: ") && lines[0].ends_with(advice), "{stdout}");
        assert_eq!(
            lines[1..],
            ["-       66 others were not tried: they need one that failed", "0 of 67 operations work"],
            "{stdout}"
        );
    }
    let (code, stdout, stderr) = check(&["--store"], &[]);
    assert!(code == Some(0) && stdout.contains("the operations of a store on Redis only"), "{stdout}{stderr}");
}

#[test]
fn without_a_url_only_a_check_takes_the_configured_store() {
    let output = command(Path::new(EMPTY_DIRECTORY), &["control-plane", "--store"]).output().unwrap();
    let (code, _, stderr) = outcome(&output);
    assert!(code == Some(2) && stderr.contains("a value is required for '--store <URL>'"), "{stderr}");
    let variables = [("GATEPOST_STORE__URL", "redis://127.0.0.1:1"), ("GATEPOST_MASTER_KEY", MASTER_KEY)];
    let (code, stdout, stderr) = check(&["--offline", "--store"], &variables);
    assert!(code == Some(0) && !stdout.contains("trial"), "{stdout}{stderr}");
}
