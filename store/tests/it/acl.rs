//! The store with the access control list in `deploy/redis/gatepost.acl`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::GatewayId;
use gatepost_runtime::error_chain;
use gatepost_store::{FeedCursor, GatewayLabel, Heartbeat};
use gatepost_store::{RecordWrite, Replicas, Store, StoreErrorKind, StoreOptions, StoreUrl, os_rng};
use gatepost_test_support::{RedisCluster, RedisServer, SentinelSet};

use crate::fixture::{ACL, Fixture, TestBackend, account, change};

/// Commands that the client library sends itself: to run a script by its hash, and to load a script.
const LIBRARY_COMMANDS: [&str; 2] = ["evalsha", "script|load"];
/// Commands whose name includes a subcommand.
const CONTAINER_COMMANDS: [&str; 1] = ["cluster"];

/// Commands of `gatepost store copy` that the list does not have. `deploy/redis/README.md` names them.
const COPY_COMMANDS: [&str; 1] = ["scan"];

#[test]
fn acl_file_allows_the_commands_that_the_code_sends_and_no_others() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/redis");
    let mut sent: BTreeSet<String> = LIBRARY_COMMANDS.map(str::to_owned).into();
    for file in files(&source).into_iter().chain(files(&source.join("lua"))) {
        sent.extend(commands_in(&file));
    }
    let allowed: BTreeSet<String> =
        ACL.lines().last().unwrap().split('+').skip(1).map(|command| command.trim().to_owned()).collect();
    assert_eq!(allowed, sent);
    let of_copies: BTreeSet<String> = files(&source.join("copy")).iter().flat_map(|file| commands_in(file)).collect();
    let more: Vec<&String> = of_copies.difference(&allowed).collect();
    assert_eq!(more, COPY_COMMANDS);
}

fn commands_in(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("lua") => commands_after(&text, &["redis.call('", "call_with('", "read_with('"], '\''),
        Some("rs") => commands_after(&text, &["cmd(\"", "command(\"", "record(redis, \"", "record(self, \""], '"'),
        _ => panic!("{} is not a source file", file.display()),
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).collect()
}

/// Returns the commands that follow one of the prefixes.
fn commands_after(text: &str, prefixes: &[&str], end: char) -> Vec<String> {
    let after = prefixes.iter().flat_map(|prefix| text.split(prefix).skip(1));
    after.map(|rest| command_name(rest, end)).collect()
}

fn command_name(rest: &str, end: char) -> String {
    let (command, rest) = rest.split_once(end).unwrap();
    let command = command.to_lowercase();
    if !CONTAINER_COMMANDS.contains(&command.as_str()) {
        return command;
    }
    let (_, rest) = rest.split_once(".arg(\"").unwrap();
    format!("{command}|{}", rest.split('"').next().unwrap().to_lowercase())
}

/// An operation of the store.
#[derive(Debug, Clone, Copy)]
enum StoreOp {
    Open,
    Lookup,
    Commit,
    Heartbeat,
    List,
    Feed,
    RollUp,
}

/// A command, and an operation that needs it.
const REQUIRED: [(&str, StoreOp); 13] = [
    ("ping", StoreOp::Open),
    ("info", StoreOp::Open),
    ("hmget", StoreOp::Open),
    ("evalsha", StoreOp::Lookup),
    ("hget", StoreOp::Lookup),
    ("time", StoreOp::Commit),
    ("xadd", StoreOp::Commit),
    ("pexpire", StoreOp::Commit),
    ("wait", StoreOp::Commit),
    ("hset", StoreOp::Heartbeat),
    ("zrangebylex", StoreOp::List),
    ("xread", StoreOp::Feed),
    ("hscan", StoreOp::RollUp),
];

impl StoreOp {
    async fn run(self, test: &Fixture) -> gatepost_store::Result<()> {
        let store = &test.store;
        match self {
            StoreOp::Open => Store::open(&test.backend.options, &test.backend.master).await.map(drop),
            StoreOp::Lookup => store.lookup(&store.envelope().digest("some value")).await.map(drop),
            StoreOp::Commit => {
                let write = RecordWrite::create(account("another"));
                store.commit(&change(Action::AccountCreated, vec![write], None)).await.map(drop)
            }
            StoreOp::Heartbeat => {
                let (gateway, refuses_within) = (GatewayId::generate(&mut os_rng()), Duration::from_secs(60));
                let label = GatewayLabel::default();
                let heartbeat = Heartbeat { gateway, cursor: FeedCursor::default(), valid_for: refuses_within, label };
                store.heartbeat(heartbeat).await.map(drop)
            }
            StoreOp::List => store.accounts("", 10).await.map(drop),
            StoreOp::Feed => {
                let last = store.last_position().await?;
                store.audit_feed().read(last, 10, Duration::from_millis(1)).await.map(drop)
            }
            StoreOp::RollUp => store.roll_up_usage(&test.project.record.id, None).await.map(drop),
        }
    }

    /// Runs the operation, which must be refused, and returns the message for the operator.
    async fn refusal_message(self, test: &Fixture, without: &str) -> String {
        let Err(error) = self.run(test).await else { panic!("{self:?} is not refused without {without}") };
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{self:?}: {error}");
        error_chain(&error)
    }
}

/// A store whose master has one replica, which must confirm writes.
async fn fixture_with_replica() -> (Fixture, RedisServer) {
    let mut backend = TestBackend::redis();
    let replica = backend.redis.as_ref().unwrap().start_replica();
    backend.options.replicas = Replicas { count: 1, timeout: Duration::from_secs(5) };
    (backend.fixture().await, replica)
}

fn acl_message(denial: &str) -> String {
    format!(
        "the Redis user gatepost {denial}: its access control list must allow everything in deploy/redis/gatepost.acl"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_under_the_acl_survives_a_server_restart() {
    let mut test = TestBackend::redis().fixture().await;
    let (key, _) = test.key().await;
    let redis = test.backend.redis.as_mut().unwrap();
    redis.kill();
    redis.resume();
    let store = test.backend.open().await;
    assert_eq!(store.api_key(&key.record.id).await.unwrap().unwrap().record, key.record);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_without_the_password_is_refused() {
    let test = TestBackend::redis().fixture().await;
    let url = test.backend.redis.as_ref().unwrap().url();
    for (url, expected) in [
        (url.clone(), "the server requires a login"),
        (url.replacen("://", "://default:x@", 1), "the server does not accept the user and password"),
    ] {
        let options = StoreOptions { url: StoreUrl::parse(&url).unwrap(), ..test.backend.options.clone() };
        let error = Store::open(&options, &test.backend.master).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
        let message = error_chain(&error);
        assert!(message.contains(expected) && message.contains("store.password_file"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_command_is_refused_naming_user_and_command() {
    let (test, _replica) = fixture_with_replica().await;
    let redis = test.backend.redis.as_ref().unwrap();
    for (command, op) in REQUIRED {
        op.run(&test).await.unwrap();
        assert_eq!(redis.redis_cli(&["acl", "setuser", "gatepost", &format!("-{command}")]), "OK");
        let message = op.refusal_message(&test, command).await;
        assert!(message.ends_with(&acl_message(&format!("may not run the command {command}"))), "{op:?}: {message}");
        assert_eq!(redis.redis_cli(&["acl", "setuser", "gatepost", &format!("+{command}")]), "OK");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inaccessible_keys_are_refused_naming_the_user() {
    let (test, _replica) = fixture_with_replica().await;
    let redis = test.backend.redis.as_ref().unwrap();
    for (patterns, op) in [("~{other}:*", StoreOp::Lookup), ("~{other}:*", StoreOp::Open), ("~{gp}:*", StoreOp::RollUp)]
    {
        assert_eq!(redis.redis_cli(&["acl", "setuser", "gatepost", "resetkeys", patterns]), "OK");
        let message = op.refusal_message(&test, patterns).await;
        assert!(message.ends_with(&acl_message("may not access a key or channel of the store")), "{op:?}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_denying_slots_is_refused_naming_user_and_command() {
    let cluster = RedisCluster::start_with_acl(&ACL.replace(" +cluster|slots", ""));
    let message = TestBackend::cluster(&cluster, "gp").open_refusal_message().await;
    let expected = acl_message("may not run the command cluster|slots");
    assert!(message.starts_with("store refused: cannot use cluster redis://***:***@127.0.0.1:"), "{message}");
    assert!(message.ends_with(&format!(": {expected}")), "{message}");
    assert_eq!(message.matches("store refused").count(), 1, "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinel_master_denying_a_command_is_refused_naming_user_and_command() {
    let set = SentinelSet::start_with_acl(&ACL.replace(" +info", ""));
    let message = TestBackend::sentinel(&set, "gp").open_refusal_message().await;
    assert!(message.ends_with(&acl_message("may not run the command info")), "{message}");
}

impl TestBackend {
    /// Creates a store, which must be refused, and returns the message.
    async fn open_refusal_message(self) -> String {
        let refused = Store::open_or_create(&self.options, &self.master).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Refused, "{refused}");
        error_chain(&refused)
    }
}
