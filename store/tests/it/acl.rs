//! The store under the access control list that `deploy/redis/gatepost.acl` has for it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::{GatewayId, KeyId};
use gatepost_domain::time::Version;
use gatepost_store::act::Heartbeat;
use gatepost_store::{Replicas, Store, StoreErrorKind, StoreOptions, StoreUrl, Write, os_rng};
use gatepost_test_support::{RedisCluster, RedisServer, SentinelSet};

use crate::fixture::{ACL, Fixture, Place, account, change};

/// What the client library sends for us: scripts by their hash, and those that the server does not know.
const BY_THE_LIBRARY: [&str; 2] = ["evalsha", "script|load"];
/// Commands that are followed by another word, which counts as a part of their name.
const CONTAINERS: [&str; 1] = ["cluster"];

#[test]
fn acl_file_allows_the_commands_that_the_code_sends_and_no_others() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/redis");
    let mut sent: BTreeSet<String> = BY_THE_LIBRARY.map(str::to_owned).into();
    for file in files(&source).into_iter().chain(files(&source.join("lua"))) {
        let text = std::fs::read_to_string(&file).unwrap();
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("lua") => sent.extend(words_after(&text, &["redis.call('", "call_with('"], '\'')),
            Some("rs") => sent.extend(words_after(&text, &["cmd(\"", "command(\""], '"')),
            _ => panic!("{} is no source", file.display()),
        }
    }
    let allowed: BTreeSet<String> =
        ACL.lines().last().unwrap().split('+').skip(1).map(|command| command.trim().to_owned()).collect();
    assert_eq!(allowed, sent);
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).collect()
}

/// The commands that stand behind one of some texts.
fn words_after(text: &str, before: &[&str], end: char) -> Vec<String> {
    let after = before.iter().flat_map(|before| text.split(before).skip(1));
    after.map(|rest| named(rest, end)).collect()
}

fn named(rest: &str, end: char) -> String {
    let (command, rest) = rest.split_once(end).unwrap();
    let command = command.to_lowercase();
    if !CONTAINERS.contains(&command.as_str()) {
        return command;
    }
    let (_, rest) = rest.split_once(".arg(\"").unwrap();
    format!("{command}|{}", rest.split('"').next().unwrap().to_lowercase())
}

/// An act of the store.
#[derive(Debug, Clone, Copy)]
enum Act {
    Open,
    LookUp,
    Commit,
    Heartbeat,
    List,
    Feed,
    Count,
}

/// A command, and an act that cannot do without it.
const NEEDED: [(&str, Act); 13] = [
    ("ping", Act::Open),
    ("info", Act::Open),
    ("hmget", Act::Open),
    ("evalsha", Act::LookUp),
    ("hget", Act::LookUp),
    ("time", Act::Commit),
    ("xadd", Act::Commit),
    ("pexpire", Act::Commit),
    ("wait", Act::Commit),
    ("hset", Act::Heartbeat),
    ("zrangebylex", Act::List),
    ("xread", Act::Feed),
    ("hincrby", Act::Count),
];

impl Act {
    async fn of(self, test: &Fixture) -> gatepost_store::Result<()> {
        let store = &test.store;
        match self {
            Act::Open => Store::open(&test.place.options, &test.place.master).await.map(drop),
            Act::LookUp => store.lookup(&store.digest("some value")).await.map(drop),
            Act::Commit => {
                let write = Write::create(account("another"));
                store.commit(&change(Action::AccountCreated, vec![write], None)).await.map(drop)
            }
            Act::Heartbeat => {
                let (gateway, refuses_within) = (GatewayId::generate(&mut os_rng()), Duration::from_secs(60));
                let cursor = Version::ZERO;
                store.heartbeat(Heartbeat { gateway, cursor, cursor_event: None, refuses_within }).await.map(drop)
            }
            Act::List => store.accounts("", 10).await.map(drop),
            Act::Feed => {
                let last = store.last_position().await?;
                store.feed(last, 10, Duration::from_millis(1)).await.map(drop)
            }
            Act::Count => {
                let usage = [(KeyId::generate(&mut os_rng()), 1)];
                store.add_usage(&test.project.record.id, &usage).await.map(drop)
            }
        }
    }

    /// What the operator reads of an act that is refused.
    async fn refusal(self, test: &Fixture, without: &str) -> String {
        let Err(refused) = self.of(test).await else { panic!("{self:?} is not refused without {without}") };
        assert_eq!(refused.kind(), StoreErrorKind::Refused, "{self:?}: {refused}");
        refused.to_string()
    }
}

/// A store whose master has one replica, which must confirm.
async fn confirmed() -> (Fixture, RedisServer) {
    let mut place = Place::redis();
    let replica = place.redis.as_ref().unwrap().start_replica();
    place.options.replicas = Replicas { count: 1, wait: Duration::from_secs(5) };
    (place.fixture().await, replica)
}

fn refused(what: &str) -> String {
    format!(
        "the Redis user gatepost {what}: its access control list must allow all that deploy/redis/gatepost.acl allows"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_under_the_acl_is_there_after_a_restart_of_the_server() {
    let mut test = Place::redis().fixture().await;
    let (key, _) = test.key().await;
    let redis = test.place.redis.as_mut().unwrap();
    redis.kill();
    redis.resume();
    let store = test.place.open().await;
    assert_eq!(store.api_key(&key.record.id).await.unwrap().unwrap().record, key.record);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_in_without_the_password() {
    let test = Place::redis().fixture().await;
    let url = test.place.redis.as_ref().unwrap().url();
    for (url, refused) in
        [(url.clone(), "NOAUTH"), (url.replacen("://", "://default:x@", 1), "Password authentication failed")]
    {
        let options = StoreOptions { url: StoreUrl::parse(&url).unwrap(), ..test.place.options.clone() };
        let told = Store::open(&options, &test.place.master).await.unwrap_err();
        assert_eq!(told.kind(), StoreErrorKind::Refused, "{told}");
        assert!(told.to_string().contains(refused), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_command_is_a_refusal_that_names_user_and_command() {
    let (test, _replica) = confirmed().await;
    let redis = test.place.redis.as_ref().unwrap();
    for (command, act) in NEEDED {
        act.of(&test).await.unwrap();
        assert_eq!(redis.ask(&["acl", "setuser", "gatepost", &format!("-{command}")]), "OK");
        let told = act.refusal(&test, command).await;
        assert!(told.ends_with(&refused(&format!("may not run the command {command}"))), "{act:?}: {told}");
        assert_eq!(redis.ask(&["acl", "setuser", "gatepost", &format!("+{command}")]), "OK");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_out_of_reach_are_a_refusal_that_names_the_user() {
    let (test, _replica) = confirmed().await;
    let redis = test.place.redis.as_ref().unwrap();
    for (patterns, act) in [("~{other}:*", Act::LookUp), ("~{other}:*", Act::Open), ("~{gp}:*", Act::Count)] {
        assert_eq!(redis.ask(&["acl", "setuser", "gatepost", "resetkeys", patterns]), "OK");
        let told = act.refusal(&test, patterns).await;
        assert!(told.ends_with(&refused("may not access a key or channel of the store")), "{act:?}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_that_refuses_its_slots_is_a_refusal_that_names_user_and_command() {
    let cluster = RedisCluster::start_guarded(&ACL.replace(" +cluster|slots", ""));
    let told = Place::cluster(&cluster, "gp").refusal().await;
    let expected = refused("may not run the command cluster|slots");
    assert!(told.starts_with("store refused: cannot use cluster redis://***:***@127.0.0.1:"), "{told}");
    assert!(told.ends_with(&format!(": {expected}")), "{told}");
    assert_eq!(told.matches("store refused").count(), 1, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn master_of_sentinels_that_refuses_is_a_refusal_that_names_user_and_command() {
    let set = SentinelSet::start_guarded(&ACL.replace(" +info", ""));
    let told = Place::sentinel(&set, "gp").refusal().await;
    assert!(told.ends_with(&refused("may not run the command info")), "{told}");
}

impl Place {
    /// Why no store can be made here.
    async fn refusal(self) -> String {
        let refused = Store::open_or_create(&self.options, &self.master).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Refused, "{refused}");
        refused.to_string()
    }
}
