//! The roll-up of usage, on Redis.

use std::sync::Arc;
use std::time::Duration;

use gatepost_deliverer::Deliverer;
use gatepost_domain::change::Action;
use gatepost_domain::id::KeyId;
use gatepost_store::clock::SystemClock;
use gatepost_store::{MasterKey, RecordWrite, Store, StoreOptions, StoreUrl, os_rng};
use gatepost_test_support::{RedisServer, records};
use prometheus::Registry;

use crate::fixture::{DEADLINE, commit, deliverer_options};

const HOUR_MS: i64 = 3_600_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_that_cannot_be_read_keeps_no_other_from_its_roll_up() {
    // Another test may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redis = RedisServer::start();
    let options = StoreOptions::new(StoreUrl::parse(&redis.url()).unwrap(), Arc::new(SystemClock));
    let master = MasterKey::generate(&mut os_rng());
    let store = Store::open_or_create(&options, &master).await.unwrap().single_cell().clone();
    let account = records::account("first");
    commit(&store, Action::AccountCreated, vec![RecordWrite::create(account.clone())], None).await;
    let key = KeyId::parse("key_00used").unwrap();
    for project in [(); 2].map(|()| records::project(&account.id)) {
        commit(&store, Action::ProjectCreated, vec![RecordWrite::create(project.clone())], None).await;
        for _ in 0..2 {
            store.add_usage(&project.id, &[(key.clone(), 1)]).await.unwrap();
            options.clock_skew.add(HOUR_MS);
        }
    }
    let listed = store.projects(&account.id, "", 2).await.unwrap().items;
    let (unreadable, other) = (&listed[0].record.id, &listed[1].record.id);
    redis.redis_cli(&["set", &format!("{{gp:{unreadable}}}:last-used"), "no hash"]);
    let deliverer = Deliverer::start(store, Arc::new(SystemClock), deliverer_options(1000), &Registry::new()).unwrap();
    let rolled_up = async {
        while redis.redis_cli(&["hexists", &format!("{{gp:{other}:0}}:past-usage"), key.as_str()]) != "1" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, rolled_up).await.unwrap();
    deliverer.stop().await;
}
