//! The trial of a Redis, as `gatepost check --store` runs it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use gatepost_runtime::error_chain;
use gatepost_store::{OperationOutcome, Replicas, StoreCheck, StoreErrorKind, check_operations};
use gatepost_test_support::{RedisCluster, RedisServer, SentinelSet};

use crate::fixture::{ACL, TestBackend};

/// Operations of `gatepost store copy`, which no process needs.
const COPY_OPERATIONS: [&str; 7] =
    ["read_entries", "store_numbers", "write_entries", "copy_target", "mark_copy", "discard_copy", "finish_copy"];
/// Operations that need no server.
const LOCAL_OPERATIONS: [&str; 3] = ["warnings", "backup", "replay_stats"];
/// Commands of the access control list that are only sent to find the master of a set or of a cluster.
const DISCOVERY_COMMANDS: [&str; 3] = ["cluster|keyslot", "cluster|slots", "role"];

fn assert_ok(check: &StoreCheck) {
    assert!(check.is_ok(), "{check:#?}");
}

fn outcome<'a>(check: &'a StoreCheck, operation: &str) -> &'a OperationOutcome {
    &check.operations.iter().find(|(name, _)| *name == operation).unwrap().1
}

/// Returns the commands that a server was sent, in lower case.
fn commands_run(redis: &RedisServer) -> BTreeSet<String> {
    let stats = redis.redis_cli(&["info", "commandstats"]);
    let names = stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split(':').next());
    names.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_and_command_is_tried_and_nothing_is_left() {
    let mut backend = TestBackend::redis();
    let redis = backend.redis.take().unwrap();
    let _replica = redis.start_replica();
    backend.options.replicas = Replicas { count: 1, timeout: Duration::from_secs(5) };
    assert_eq!(redis.redis_cli(&["config", "resetstat"]), "OK");
    let check = check_operations(&backend.options).await.unwrap();
    assert_ok(&check);
    assert!(check.settings.is_empty() && check.server.is_some(), "{check:?}");
    assert_eq!(redis.redis_cli(&["keys", "*"]), "");

    let allowed = ACL.lines().last().unwrap().split('+').skip(1).map(|command| command.trim().to_owned());
    let run = commands_run(&redis);
    let not_run: Vec<String> =
        allowed.filter(|command| !run.contains(command) && !DISCOVERY_COMMANDS.contains(&command.as_str())).collect();
    assert!(not_run.is_empty(), "{not_run:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_of_the_backend_is_one_of_the_trial() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/backend.rs");
    let text = std::fs::read_to_string(source).unwrap();
    let names = text.lines().filter_map(|line| line.strip_prefix("    fn ")?.split('(').next());
    let expected: BTreeSet<&str> =
        names.filter(|name| !LOCAL_OPERATIONS.contains(name) && !COPY_OPERATIONS.contains(name)).collect();
    let backend = TestBackend::redis();
    let check = check_operations(&backend.options).await.unwrap();
    let tried: BTreeSet<&str> =
        check.operations.iter().map(|(name, _)| *name).filter(|name| *name != "connect").collect();
    assert_eq!(tried, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denied_command_fails_the_operations_that_need_it_and_the_rest_is_tried_and_removed() {
    for (denied, failed, works) in [
        ("xadd", &["commit"][..], &["create", "queue_stats"][..]),
        ("zrangebylex", &["list"], &["commit", "settle", "trim"]),
        ("hscan", &["uses_page"], &["add_usage", "lease_allowance"]),
        ("xread", &["feed"], &["commit", "lookup"]),
    ] {
        let backend = TestBackend::on_server(RedisServer::start_with_acl(&ACL.replace(&format!(" +{denied} "), " ")));
        let check = check_operations(&backend.options).await.unwrap();
        assert!(!check.is_ok());
        for operation in failed {
            let OperationOutcome::Failed(error) = outcome(&check, operation) else { panic!("{operation}: {check:#?}") };
            assert_eq!(error.kind(), StoreErrorKind::Refused);
            let message = error_chain(error);
            assert!(message.contains(&format!("may not run the command {denied}")), "{message}");
        }
        for operation in works {
            assert!(matches!(outcome(&check, operation), OperationOutcome::Done), "{denied}: {operation}: {check:#?}");
        }
        check.removal.unwrap();
        assert_eq!(backend.redis.unwrap().redis_cli(&["keys", "*"]), "", "{denied}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinel_and_cluster_pass_and_nothing_is_left() {
    let set = SentinelSet::start_with_acl(ACL);
    assert_ok(&check_operations(&TestBackend::sentinel(&set, "gp").options).await.unwrap());
    assert_eq!(set.servers[0].redis_cli(&["keys", "*"]), "");

    let cluster = RedisCluster::start_with_acl(ACL);
    assert_ok(&check_operations(&TestBackend::cluster(&cluster, "gp").options).await.unwrap());
    for server in &cluster.servers {
        assert_eq!(server.redis_cli(&["keys", "*"]), "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_respond_fails_at_connecting_and_an_embedded_store_is_refused() {
    let mut backend = TestBackend::redis();
    backend.redis.as_mut().unwrap().kill();
    let check = check_operations(&backend.options).await.unwrap();
    assert!(matches!(outcome(&check, "connect"), OperationOutcome::Failed(_)));
    assert!(matches!(outcome(&check, "commit"), OperationOutcome::NotTried));
    let refused = check_operations(&TestBackend::memory().options).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Refused);
}
