//! Messages of failures name what failed and what to do, and a failed command leaves nothing behind.

use std::net::TcpListener;
use std::path::Path;

use gatepost_test_support::{MockServer, free_port};

use crate::process::{Gatepost, run};

/// Checks exit code and message of a command.
fn check(directory: &Path, arguments: &[&str], code: i32, parts: &[&str]) {
    let output = run(directory, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    for part in parts {
        assert!(stderr.contains(part), "{arguments:?}: {part:?} is missing in: {stderr}");
    }
}

#[test]
fn a_command_that_cannot_work_creates_no_store() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("gatepost-data").display().to_string();
    let missing = [at.as_str(), "--store", "`gatepost up`"];
    std::fs::write(directory.path().join("keys.csv"), "key,name\nsome-key,k\n").unwrap();
    for (arguments, code, parts) in [
        (&["up"][..], 2, &["no upstream is configured: use --upstream"][..]),
        (&["up", "--upstream", "ftp://a"], 1, &["write HOST:PORT; for https, add [gateway.upstream.NAME.tls]"]),
        (&["up", "--upstream", "3000"], 1, &["\"3000\" is not HOST:PORT, such as 127.0.0.1:3000"]),
        (&["up", "--upstream", "http://3000"], 1, &["\"http://3000\" is not HOST:PORT"]),
        (&["access-key", "create", "--project", "prj_00x"], 1, &missing),
        (&["access-key", "list"], 1, &missing),
        (&["access-key", "revoke", "ak_00x"], 1, &missing),
        (&["dashboard"], 1, &missing),
        (&["backup", "copy.redb"], 2, &missing),
        (&["purge", "--inactive-for", "1d"], 1, &missing),
        (&["store", "upgrade"], 1, &missing),
        (&["import", "--format", "csv", "keys.csv"], 1, &missing),
        (&["listen", "--forward-to", "http://localhost:1"], 2, &["GATEPOST_ACCESS_KEY", "first-access-key"]),
    ] {
        check(directory.path(), arguments, code, parts);
    }
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["keys.csv"]);
}

#[test]
fn a_taken_address_is_reported_with_the_flag_that_chooses_another() {
    let (directory, taken) = (tempfile::tempdir().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = taken.local_addr().unwrap().to_string();
    let flags = ["--listen", "--admin-listen", "--ops-listen"];
    for flag in flags {
        let mut arguments = vec!["up", "--upstream", "http://127.0.0.1:9"];
        for other in flags {
            arguments.extend([other, if other == flag { &address } else { "127.0.0.1:0" }]);
        }
        let named = format!("if its address is taken, choose another one with {flag} or ");
        check(
            directory.path(),
            &arguments,
            1,
            &[&named, &format!("cannot listen on {address}: address already in use")],
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_a_new_file_in_an_existing_directory() {
    let (directory, origin) = (tempfile::tempdir().unwrap(), MockServer::start());
    let mut up = Gatepost::start(directory.path(), &["up", "--upstream", &origin.url()]).await;
    std::fs::write(directory.path().join("old.redb"), "an earlier backup").unwrap();
    // By the running process, then by the command itself.
    for is_running in [true, false] {
        check(
            directory.path(),
            &["backup", "old.redb"],
            1,
            &["old.redb exists already", "give the backup another name"],
        );
        check(directory.path(), &["backup", "nowhere/a.redb"], 1, &["there is no directory", "/nowhere: create it"]);
        if is_running {
            check(
                directory.path(),
                &[
                    "up",
                    "--upstream",
                    "http://127.0.0.1:9",
                    "--listen",
                    "127.0.0.1:0",
                    "--admin-listen",
                    "127.0.0.1:0",
                    "--ops-listen",
                    "127.0.0.1:0",
                ],
                1,
                &["in use by another process: stop that one"],
            );
            assert_eq!(up.terminate(), Some(0));
        }
    }
    assert_eq!(std::fs::read_to_string(directory.path().join("old.redb")).unwrap(), "an earlier backup");
}

#[test]
fn a_redis_that_does_not_respond_is_reported_with_its_setting() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("redis://127.0.0.1:{}", free_port());
    let parts = ["the store does not respond: start it, or correct its address (--store or store.url)", "cannot reach"];
    for arguments in [&["access-key", "create"][..], &["check"], &["purge", "--inactive-for", "1d"]] {
        check(directory.path(), &[arguments, &["--store", &url]].concat(), 1, &parts);
    }
}
